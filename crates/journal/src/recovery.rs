//! Opening: reads every segment, cuts off a torn tail, sets damage aside, and finds out what is missing.
//!
//! Order matters. Names and the newest segment are synced before anything read from them is handed out: a process
//! that was killed (no power cut) left them in memory only, and a later power cut would take them away again.

use std::ops::RangeInclusive;

use uuid::Uuid;

use crate::OpenError;
use crate::disk::{Disk, SegmentContent};
use crate::format::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, Seed};
use crate::index::Index;
use crate::ranges::RangeSet;
use crate::segment::{self, Scan, SegmentName};
use crate::state::{Done, State};
use crate::storage::{Storage, SyncPoint};
use crate::writer::Active;

/// What opening found. Only `damaged`, `missing` and `state_damaged` ask for action: a crash or a power cut alone
/// never causes them, a failing disk or a hand in the directory does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// There was no journal; this one has a new id.
    pub created: bool,
    /// Files, damaged ones included.
    pub segments: usize,
    pub pending_records: usize,
    /// Bytes of records that were being written, and so not acknowledged, when the process or the power went.
    pub torn_bytes: u64,
    /// Segments with damage. They are kept, read as far as they can be, and reported at every opening until
    /// somebody moves them away.
    pub damaged: Vec<Damaged>,
    /// Seqs that were given out and not forgotten, but are in no segment. Reported at every opening until passed
    /// to [`Journal::forget`](crate::Journal::forget).
    pub missing: Vec<RangeInclusive<u64>>,
    /// The state file is not there, or could not be read and is kept aside (and reported until somebody moves it
    /// away): records already stored elsewhere are handed out again, those of deleted segments count as missing.
    pub state_damaged: bool,
}

/// A segment set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Its name in the journal's directory.
    pub file: String,
    /// Records that could still be read out of it.
    pub readable_records: usize,
    /// Bytes that should be records and are not.
    pub damaged_bytes: u64,
}

impl Recovery {
    /// Whether acknowledged records may be lost: to be shown to the operator.
    pub fn needs_attention(&self) -> bool {
        !self.damaged.is_empty() || !self.missing.is_empty() || self.state_damaged
    }
}

/// An opened journal, before its writer thread is started.
pub(crate) struct Recovered {
    pub(crate) journal: Uuid,
    pub(crate) index: Index,
    pub(crate) active: Active,
    pub(crate) saved_next_seq: u64,
    pub(crate) report: Recovery,
}

/// Opens the journal; the caller holds the lock.
pub(crate) fn recover(storage: &dyn Storage) -> Result<Recovered, OpenError> {
    let disk = Disk(storage);
    let files = disk.tidy()?;
    let (state, state_damaged) = disk.read_state(&files)?;
    let names = segment_names(&files);
    let known_id = disk.identify(&names, state.as_ref())?;
    // A journal begins with its state: segments without one lack what tells deleted segments from lost ones.
    let state_damaged = state_damaged || (state.is_none() && !names.is_empty());
    let state_is_due = state.is_none() && names.is_empty();
    let (saved_next_seq, done) = state.map_or((1, Done::default()), |state| (state.next_seq, state.done));

    let mut survey = Survey {
        disk: &disk,
        journal: known_id.unwrap_or_else(Uuid::new_v4),
        durable_below: saved_next_seq,
        next_seq: saved_next_seq.max(done.max().saturating_add(1)),
        index: Index::new(done),
        found: RangeSet::default(),
        report: Recovery { created: known_id.is_none(), state_damaged, ..Recovery::default() },
    };
    let mut active = None;
    for (position, &name) in names.iter().enumerate() {
        match names.get(position + 1) {
            Some(next) => survey.read_sealed(name, next.first_seq)?,
            None => active = survey.read_newest(name)?,
        }
    }
    if state_is_due || survey.index.unsaved() > 0 {
        survey.save_state()?;
    }
    survey.finish(active, saved_next_seq)
}

fn segment_names(files: &[String]) -> Vec<SegmentName> {
    let mut names: Vec<SegmentName> = files.iter().filter_map(|file| SegmentName::parse(file)).collect();
    names.sort_unstable();
    // A damaged segment beside one that somebody mended is not part of the journal.
    names.dedup_by_key(|name| name.first_seq);
    names
}

/// What is known of the journal while its segments are read, oldest first.
struct Survey<'a> {
    disk: &'a Disk<'a>,
    journal: Uuid,
    /// Records below it are known to have been durable.
    durable_below: u64,
    next_seq: u64,
    index: Index,
    /// Seqs of all readable records.
    found: RangeSet,
    report: Recovery,
}

impl Survey<'_> {
    fn scan(&self, name: SegmentName, content: &SegmentContent, next_first_seq: Option<u64>) -> Scan {
        let seed = Seed::new(self.journal, name.first_seq);
        segment::scan(&content.bytes, seed, name.first_seq, next_first_seq, self.durable_below)
    }

    fn read_sealed(&mut self, name: SegmentName, next_first_seq: u64) -> Result<(), OpenError> {
        let (_, content) = self.disk.read_segment(name)?;
        let scan = self.scan(name, &content, Some(next_first_seq));
        let bytes = content.bytes.len() as u64;
        // Behind a segment's last record there may be rubbish: the start of a group that did not fit on the disk.
        let spoilt_tail_bytes = if scan.next_seq < next_first_seq { bytes - scan.end } else { 0 };
        let damaged = name.damaged || content.is_damaged || scan.damaged_bytes + spoilt_tail_bytes > 0;
        self.add(name, bytes, scan, damaged.then_some(spoilt_tail_bytes))
    }

    /// Returns the segment if it can be written on.
    fn read_newest(&mut self, name: SegmentName) -> Result<Option<Active>, OpenError> {
        let (file, content) = self.disk.read_segment(name)?;
        let scan = self.scan(name, &content, None);
        let mut bytes = content.bytes.len() as u64;
        let tail_bytes = bytes - scan.end;
        let durable_records_spoilt = scan.next_seq < self.durable_below && tail_bytes > 0;
        let damaged = name.damaged || content.is_damaged || scan.damaged_bytes > 0 || durable_records_spoilt;
        if !damaged && tail_bytes > 0 {
            self.disk.io("cut off a torn tail", file.set_bytes(scan.end))?;
            self.report.torn_bytes = tail_bytes;
            bytes = scan.end;
        }
        self.disk.io("sync the newest segment", file.sync(SyncPoint::TailRecovered))?;
        self.next_seq = self.next_seq.max(scan.next_seq);
        let continues = !damaged && scan.next_seq == self.next_seq;
        if damaged {
            // There may have been records in what cannot be read: their seqs must not be given out again.
            let skipped_max = tail_bytes / RECORD_HEADER_BYTES as u64 + 1;
            self.index.skip(self.next_seq..=self.next_seq + skipped_max - 1);
            self.next_seq += skipped_max;
        }
        self.add(name, bytes, scan, damaged.then_some(tail_bytes))?;
        Ok(continues.then_some(Active { first_seq: name.first_seq, file, bytes }))
    }

    /// Takes a segment's records into the index; with `spoilt_tail_bytes` it is damaged, and set aside.
    fn add(
        &mut self,
        name: SegmentName,
        bytes: u64,
        scan: Scan,
        spoilt_tail_bytes: Option<u64>,
    ) -> Result<(), OpenError> {
        let kept = SegmentName { damaged: spoilt_tail_bytes.is_some(), ..name };
        if let Some(spoilt_tail_bytes) = spoilt_tail_bytes {
            self.disk.set_aside(name, kept)?;
            self.report.damaged.push(Damaged {
                file: kept.file(),
                readable_records: scan.entries.len(),
                damaged_bytes: scan.damaged_bytes + spoilt_tail_bytes,
            });
        }
        self.next_seq = self.next_seq.max(scan.next_seq);
        self.index.add_segment(kept, bytes);
        for entry in scan.entries {
            self.found.insert(entry.seq..=entry.seq);
            self.index.add_record(kept, entry);
        }
        Ok(())
    }

    fn save_state(&mut self) -> Result<(), OpenError> {
        let done = self.index.done().clone();
        let state = State { journal: self.journal, next_seq: self.next_seq, done };
        state.save(self.disk.0).map_err(|e| self.disk.publish_error("the state", e))?;
        self.index.saved(self.index.unsaved());
        Ok(())
    }

    fn finish(mut self, active: Option<Active>, saved_next_seq: u64) -> Result<Recovered, OpenError> {
        let active = match active {
            Some(active) => active,
            None => {
                let file = segment::create(self.disk.0, self.journal, self.next_seq)
                    .map_err(|e| self.disk.publish_error("a new segment", e))?;
                let active = Active { first_seq: self.next_seq, file, bytes: SEGMENT_HEADER_BYTES as u64 };
                self.index.add_segment(active.name(), active.bytes);
                active
            }
        };
        self.index.next_seq = self.next_seq;
        let Done { forgotten, skipped } = self.index.done();
        let mut accounted_for = self.found;
        for range in forgotten.iter().chain(skipped.iter()) {
            accounted_for.insert(range);
        }
        self.report.missing = accounted_for.gaps(1..=self.next_seq - 1);
        self.report.segments = self.index.segments();
        self.report.pending_records = self.index.pending_records();
        let Self { journal, index, report, .. } = self;
        Ok(Recovered { journal, index, active, saved_next_seq, report })
    }
}
