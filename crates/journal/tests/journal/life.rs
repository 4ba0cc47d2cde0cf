//! A journal's life on a simulated disk: random work, until the process dies at a chosen operation.

use std::time::Duration;

use bytes::Bytes;
use journal::storage::SyncPoint;
use journal::{AppendError, Journal, Limits, Record};
use tokio::runtime::Runtime;

use crate::dice::Dice;
use crate::oracle::{Oracle, Violation};
use crate::sim::{SimDisk, Survives};

/// Small enough that a few dozen records rotate segments, fill groups and reach the limit.
pub fn small_limits() -> Limits {
    Limits {
        segment_bytes_max: 3000,
        journal_bytes_max: 12_000,
        disk_reserve_bytes: 0,
        pending_records_max: 60,
        body_bytes_max: 1200,
        group_records_max: 5,
        group_bytes_max: 2000,
        queue_records_max: 32,
        queue_bytes_max: 64_000,
    }
}

/// What the lives of a test went through, so that it cannot pass for want of events.
#[derive(Debug, Default)]
pub struct Seen {
    acknowledged: u64,
    group_syncs: u64,
    full: u64,
    openings: u64,
    openings_with_a_torn_tail: u64,
    segments_created: u64,
    states_saved: u64,
}

impl Seen {
    pub fn add(&mut self, world: &World) {
        self.acknowledged += world.seen.acknowledged;
        self.full += world.seen.full;
        self.openings += world.seen.openings;
        self.openings_with_a_torn_tail += world.seen.openings_with_a_torn_tail;
        self.group_syncs += world.disk.syncs(SyncPoint::Group);
        self.segments_created += world.disk.syncs(SyncPoint::SegmentCreated);
        self.states_saved += world.disk.syncs(SyncPoint::StateReplaced);
    }

    pub fn must_be_worth_it(&self) {
        assert!(
            self.acknowledged > self.group_syncs + self.group_syncs / 3,
            "groups are too small: {self:?}"
        );
        for (what, n) in [
            ("refusals", self.full),
            ("torn tails", self.openings_with_a_torn_tail),
            ("rotations", self.segments_created),
            ("saved states", self.states_saved),
        ] {
            assert!(n > 100, "too few {what}: {self:?}");
        }
    }
}

pub struct World {
    pub disk: SimDisk,
    pub oracle: Oracle,
    pub dice: Dice,
    runtime: Runtime,
    records: u64,
    seen: Seen,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            disk: SimDisk::new(seed),
            oracle: Oracle::default(),
            dice: Dice::new(seed ^ 0xFEED),
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
            records: 0,
            seen: Seen::default(),
        }
    }

    /// A process from its start to its death, which comes by itself at the disk's chosen operation, or else after
    /// `steps`.
    pub fn live(&mut self, steps: u32) -> Result<(), Violation> {
        let Some(mut journal) = self.open()? else { return Ok(()) };
        for _ in 0..steps {
            match self.dice.below(16) {
                0..=4 => self.append(&journal)?,
                5..=7 => self.append_together(&journal)?,
                8..=11 => self.forget(&journal),
                12 => self.oracle.check_pending(&journal).or_else(|violation| self.unless_dead(violation))?,
                13 => {
                    self.disk.set_capacity(self.disk.used_bytes() + self.dice.below(2500));
                    self.disk.hide_fullness(self.dice.one_in(2));
                }
                14 => self.disk.set_capacity(u64::MAX),
                _ => {
                    self.runtime.block_on(journal.close());
                    drop(journal);
                    match self.open()? {
                        Some(reopened) => journal = reopened,
                        None => return Ok(()),
                    }
                }
            }
            if self.disk.is_dead() {
                break;
            }
        }
        // Before the handle goes: dropping it is an orderly end, unless the disk is dead to it.
        self.disk.kill();
        Ok(())
    }

    /// `None`: the process died while it opened.
    pub fn open(&mut self) -> Result<Option<Journal>, Violation> {
        match Journal::open_on(self.disk.start_process(), small_limits()) {
            Err(_) if self.disk.is_dead() => Ok(None),
            // A full disk may keep a journal from being created, never one from being opened.
            Err(e) if self.oracle.seqs().is_empty() && format!("{e:?}").contains("StorageFull") => {
                self.disk.kill();
                Ok(None)
            }
            Err(e) => Err(format!("does not open: {e}")),
            Ok((journal, recovery)) => {
                let checked = self.oracle.check_opening(&journal, &recovery);
                checked.or_else(|violation| self.unless_dead(violation))?;
                self.seen.openings += 1;
                self.seen.openings_with_a_torn_tail += u64::from(recovery.torn_bytes > 0);
                Ok(Some(journal))
            }
        }
    }

    fn unless_dead(&self, violation: Violation) -> Result<(), Violation> {
        if self.disk.is_dead() { Ok(()) } else { Err(violation) }
    }

    fn record(&mut self) -> Record {
        self.records += 1;
        let longest = if self.dice.one_in(8) { 1200 } else { 200 };
        let body: Vec<u8> = (0..self.dice.below(longest)).map(|_| self.dice.next() as u8).collect();
        let key = format!("{:0width$}", self.records, width = 4 + self.dice.below(20) as usize);
        let received_us = self.dice.next() as i64;
        let record = Record { kind: self.dice.next() as u8, received_us, key, body: Bytes::from(body) };
        self.oracle.submit(&record);
        record
    }

    pub fn append(&mut self, journal: &Journal) -> Result<(), Violation> {
        let record = self.record();
        let key = record.key.clone();
        let answer = self.runtime.block_on(journal.append(record));
        self.judge(journal, &key, answer)
    }

    /// One record, and while its fsync runs several more: they make a group (or two).
    pub fn append_together(&mut self, journal: &Journal) -> Result<(), Violation> {
        let records: Vec<Record> = (0..2 + self.dice.below(8)).map(|_| self.record()).collect();
        let disk = self.disk.clone();
        disk.hold_writer();
        let answers = self.runtime.block_on(async {
            let mut tasks = Vec::new();
            for record in records {
                let journal = journal.clone();
                tasks.push(tokio::spawn(async move { (record.key.clone(), journal.append(record).await) }));
                // The first one must have got to its fsync, or have failed, before the others queue up behind it.
                while tasks.len() == 1 && !disk.writer_is_held() && !tasks[0].is_finished() {
                    tokio::task::yield_now().await;
                    std::thread::sleep(Duration::from_micros(10));
                }
            }
            tokio::task::yield_now().await;
            disk.release_writer();
            let mut answers = Vec::new();
            for task in tasks {
                answers.push(task.await.unwrap());
            }
            answers
        });
        for (key, answer) in answers {
            self.judge(journal, &key, answer)?;
        }
        Ok(())
    }

    fn judge(
        &mut self,
        journal: &Journal,
        key: &str,
        answer: Result<u64, AppendError>,
    ) -> Result<(), Violation> {
        match answer {
            Ok(seq) => {
                self.seen.acknowledged += 1;
                self.oracle.acknowledge(journal.id(), seq, key)
            }
            Err(AppendError::Full { .. }) => {
                self.seen.full += 1;
                Ok(())
            }
            Err(e) => self.unless_dead(format!("an append failed on a healthy disk: {e}")),
        }
    }

    fn forget(&mut self, journal: &Journal) {
        let seqs = self.oracle.seqs();
        if seqs.is_empty() {
            return;
        }
        let first = seqs[self.dice.below(seqs.len() as u64) as usize];
        let range = match self.dice.below(4) {
            0 => 1..=*seqs.last().unwrap(),
            1 => 1..=first,
            2 => first..=first,
            _ => first..=first + self.dice.below(6),
        };
        // Told first: once the journal knows, it may act.
        let known = *range.start()..=(*range.end()).min(journal.stats().next_seq - 1);
        self.oracle.forget(known.clone());
        journal.forget(&[known]);
    }

    /// What the process's death left: half of the time the power went as well.
    pub fn crash(&mut self) {
        match self.dice.below(8) {
            0..=2 => self.disk.kill(),
            3 => self.disk.cut_power(Survives::LastName),
            4 => self.disk.cut_power(Survives::Nothing),
            5 => self.disk.cut_power(Survives::Everything),
            _ => self.disk.cut_power(Survives::AnyPart),
        }
    }

    /// After all crashes: nothing is owed any more, and the journal still works.
    pub fn settle(&mut self) -> Result<(), Violation> {
        self.disk.set_capacity(u64::MAX);
        self.disk.die_at_operation(None);
        let journal = self.open()?.ok_or("does not open")?;
        let last = journal.stats().next_seq - 1;
        self.oracle.forget(1..=last);
        journal.forget(&[1..=last]);
        let record = self.record();
        let key = record.key.clone();
        let seq =
            self.runtime.block_on(journal.append(record)).map_err(|e| format!("does not work on: {e}"))?;
        self.oracle.acknowledge(journal.id(), seq, &key)?;
        self.runtime.block_on(journal.close());
        drop(journal);
        let journal = self.open()?.ok_or("does not open")?;
        if let Some(left_over) = self.disk.names().into_iter().find(|name| name.ends_with(".tmp")) {
            return Err(format!("{left_over} was left behind"));
        }
        match journal.stats().pending_records {
            1 => Ok(()),
            n => Err(format!("{n} records pending where 1 is")),
        }
    }
}
