//! What a journal owes its callers, whatever happened: judged after every opening.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use journal::{Journal, Record, Recovery};
use uuid::Uuid;

/// A broken promise, in words.
pub type Violation = String;

#[derive(Default)]
pub struct Oracle {
    /// Seq → key, of every record that was acknowledged or handed out. Keys are unique.
    known: BTreeMap<u64, String>,
    acknowledged: BTreeSet<u64>,
    forgotten: BTreeSet<u64>,
    /// Key → record, of everything ever given to `append`.
    submitted: BTreeMap<String, Record>,
    /// Keys of records of which it is not known whether they were stored.
    undecided: BTreeSet<String>,
    /// Keys of records that an opening did not find.
    dropped: BTreeSet<String>,
    journal: Option<Uuid>,
}

impl Oracle {
    pub fn submit(&mut self, record: &Record) {
        self.submitted.insert(record.key.clone(), record.clone());
        self.undecided.insert(record.key.clone());
    }

    pub fn acknowledge(&mut self, journal: Uuid, seq: u64, key: &str) -> Result<(), Violation> {
        self.journal = Some(journal);
        self.know(seq, key)?;
        if !self.acknowledged.insert(seq) {
            return Err(format!("seq {seq} was acknowledged twice"));
        }
        Ok(())
    }

    fn know(&mut self, seq: u64, key: &str) -> Result<(), Violation> {
        self.undecided.remove(key);
        match self.known.insert(seq, key.to_owned()) {
            Some(before) if before != key => Err(format!("seq {seq} was {before} and is now {key}")),
            _ => Ok(()),
        }
    }

    pub fn forget(&mut self, range: RangeInclusive<u64>) {
        self.forgotten.extend(range);
    }

    /// Seqs given out so far.
    pub fn seqs(&self) -> Vec<u64> {
        self.known.keys().copied().collect()
    }

    pub fn check_opening(&mut self, journal: &Journal, recovery: &Recovery) -> Result<(), Violation> {
        if recovery.needs_attention() {
            return Err(format!("a crash was taken for damage: {recovery:?}"));
        }
        if self.journal.is_some_and(|id| id != journal.id()) {
            return Err("the journal has another id".into());
        }
        let last = self.known.keys().next_back().copied().unwrap_or(0);
        if journal.stats().next_seq <= last {
            return Err(format!("seq {last} would be given out again"));
        }
        self.check_pending(journal)?;
        self.dropped.append(&mut self.undecided);
        Ok(())
    }

    pub fn check_pending(&mut self, journal: &Journal) -> Result<(), Violation> {
        let pending = read_all(journal)?;
        if !pending.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return Err("pending records are out of order".into());
        }
        let mut keys = BTreeSet::new();
        for (seq, record) in &pending {
            if self.submitted.get(&record.key) != Some(record) {
                return Err(format!("seq {seq} comes back with other bytes"));
            }
            if !keys.insert(&record.key) {
                return Err(format!("{} comes back twice", record.key));
            }
            if self.dropped.contains(&record.key) {
                return Err(format!("{} comes back after it was dropped", record.key));
            }
            self.know(*seq, &record.key)?;
        }
        let seqs: BTreeSet<u64> = pending.iter().map(|(seq, _)| *seq).collect();
        let owed = self.acknowledged.difference(&self.forgotten);
        match owed.copied().find(|seq| !seqs.contains(seq)) {
            Some(lost) => Err(format!("acknowledged seq {lost} is lost")),
            None if journal.stats().pending_records != pending.len() => Err("stats count otherwise".into()),
            None => {
                if !self.known.is_empty() {
                    self.journal = Some(journal.id());
                }
                Ok(())
            }
        }
    }
}

/// Page by page, as a caller would.
pub fn read_all(journal: &Journal) -> Result<Vec<(u64, Record)>, Violation> {
    let mut all: Vec<(u64, Record)> = Vec::new();
    loop {
        let after = all.last().map_or(0, |(seq, _)| *seq);
        let page = journal.read_pending(after, 7, 3000).map_err(|e| format!("cannot read: {e}"))?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}
