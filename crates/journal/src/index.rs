//! What is in the journal, in memory: shared by the writer thread, readers and `forget`.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::segment::{Entry, SegmentName};
use crate::state::Done;

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    pub(crate) bytes: u64,
    /// Records in it that are not forgotten.
    pub(crate) held_records: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) segment: SegmentName,
    pub(crate) entry: Entry,
}

#[derive(Debug, Default)]
pub(crate) struct Index {
    /// By first seq; the last one is written to (unless the journal broke while it began a new one).
    segments: BTreeMap<u64, Segment>,
    pending: BTreeMap<u64, Pending>,
    /// Records that were valid once and cannot be read any more: not handed out, kept for the next opening.
    unreadable: BTreeMap<u64, Pending>,
    done: Done,
    /// Seqs forgotten since the state was last saved.
    unsaved: u64,
    pub(crate) next_seq: u64,
}

impl Index {
    pub(crate) fn new(done: Done) -> Self {
        Self { done, next_seq: 1, ..Self::default() }
    }

    pub(crate) fn add_segment(&mut self, name: SegmentName, bytes: u64) {
        self.segments.insert(name.first_seq, Segment { name, bytes, held_records: 0 });
    }

    /// Adds a durable record; a forgotten one only counts as room taken.
    pub(crate) fn add_record(&mut self, segment: SegmentName, entry: Entry) {
        if self.done.forgotten.contains(entry.seq) {
            return;
        }
        if let Some(s) = self.segments.get_mut(&segment.first_seq) {
            s.held_records += 1;
            self.pending.insert(entry.seq, Pending { segment, entry });
        }
    }

    pub(crate) fn set_segment_bytes(&mut self, first_seq: u64, bytes: u64) {
        if let Some(segment) = self.segments.get_mut(&first_seq) {
            segment.bytes = bytes;
        }
    }

    /// Marks seqs as known to be stored elsewhere. Seqs never given out are ignored, and the answer says so.
    pub(crate) fn forget(&mut self, range: &RangeInclusive<u64>) -> bool {
        let (first, last) = ((*range.start()).max(1), (*range.end()).min(self.next_seq - 1));
        if first <= last {
            for records in [&mut self.pending, &mut self.unreadable] {
                let gone: Vec<u64> = records.range(first..=last).map(|(&seq, _)| seq).collect();
                for record in gone.iter().filter_map(|seq| records.remove(seq)) {
                    if let Some(segment) = self.segments.get_mut(&record.segment.first_seq) {
                        segment.held_records -= 1;
                    }
                }
            }
            self.unsaved += self.done.forgotten.insert(first..=last);
        }
        range.is_empty() || *range.end() < self.next_seq
    }

    /// Seqs that are not to be given out, and not missed.
    pub(crate) fn skip(&mut self, seqs: RangeInclusive<u64>) {
        self.unsaved += self.done.skipped.insert(seqs);
    }

    pub(crate) fn done(&self) -> &Done {
        &self.done
    }

    pub(crate) fn unsaved(&self) -> u64 {
        self.unsaved
    }

    /// The state was saved with all that was forgotten when `unsaved` was read.
    pub(crate) fn saved(&mut self, unsaved: u64) {
        self.unsaved -= unsaved.min(self.unsaved);
    }

    /// Segments of which no record is needed. Never the one being written to; never a damaged one, which is kept
    /// for whoever looks into the damage.
    pub(crate) fn deletable(&self) -> Vec<SegmentName> {
        let active = self.segments.last_key_value().map(|(&first_seq, _)| first_seq);
        self.segments
            .values()
            .filter(|s| s.held_records == 0 && !s.name.damaged && Some(s.name.first_seq) != active)
            .map(|s| s.name)
            .collect()
    }

    pub(crate) fn deleted(&mut self, name: SegmentName) {
        self.segments.remove(&name.first_seq);
    }

    /// Whether the segment holds records that are still needed.
    pub(crate) fn holds(&self, first_seq: u64) -> bool {
        self.segments.get(&first_seq).is_some_and(|s| s.held_records > 0)
    }

    /// Up to `records_max` records behind `after_seq` whose bytes on disk stay within `bytes_max`; at least one.
    pub(crate) fn pending_after(&self, after_seq: u64, records_max: usize, bytes_max: usize) -> Vec<Pending> {
        let Some(first) = after_seq.checked_add(1) else { return Vec::new() };
        let mut bytes = 0;
        self.pending
            .range(first..)
            .take(records_max)
            .map(|(_, pending)| *pending)
            .take_while(|pending| {
                let is_first = bytes == 0;
                bytes += pending.entry.bytes as usize;
                is_first || bytes <= bytes_max
            })
            .collect()
    }

    pub(crate) fn is_pending(&self, seq: u64) -> bool {
        self.pending.contains_key(&seq)
    }

    pub(crate) fn mark_unreadable(&mut self, seq: u64) {
        if let Some(pending) = self.pending.remove(&seq) {
            self.unreadable.insert(seq, pending);
        }
    }

    /// Bytes that count against the journal's limit.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.values().filter(|s| !s.name.damaged).map(|s| s.bytes).sum()
    }

    pub(crate) fn damaged_bytes(&self) -> u64 {
        self.segments.values().filter(|s| s.name.damaged).map(|s| s.bytes).sum()
    }

    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    pub(crate) fn held_records(&self) -> usize {
        self.pending.len() + self.unreadable.len()
    }

    pub(crate) fn pending_records(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn unreadable_records(&self) -> usize {
        self.unreadable.len()
    }

    pub(crate) fn first_pending(&self) -> Option<&Pending> {
        self.pending.first_key_value().map(|(_, pending)| pending)
    }
}
