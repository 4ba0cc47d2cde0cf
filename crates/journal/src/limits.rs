//! Every limit of the journal, in one place.

use crate::OpenError;
use crate::format::{SEGMENT_HEADER_BYTES, record_bytes};

/// Longest key of a record, in bytes: its length is stored in one byte.
pub const KEY_BYTES_MAX: usize = 255;

/// Largest value [`Limits::segment_bytes_max`] may take: recovery reads one segment into memory at a time.
pub const SEGMENT_BYTES_CEILING: u64 = 1 << 30;

/// What a journal may use. The defaults carry a node of 800 concurrent calls through hours without a database.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A segment file is closed and a new one begun before it grows beyond this.
    pub segment_bytes_max: u64,
    /// All segment files together (those set aside as damaged excepted); beyond it appends answer `Full`.
    pub journal_bytes_max: u64,
    /// Appends answer `Full` while the file system has less than this free: room for the journal's own
    /// bookkeeping (which is what frees space again), and for the rest of the node.
    pub disk_reserve_bytes: u64,
    /// Records that wait to be forgotten; bounds the index in memory (about 60 bytes each).
    pub pending_records_max: usize,
    /// Body of one record.
    pub body_bytes_max: usize,
    /// Records made durable by one fsync.
    pub group_records_max: usize,
    /// Bytes made durable by one fsync; also the size of the writer's buffer.
    pub group_bytes_max: usize,
    /// Appends waiting for the writer thread; the next one waits for a place.
    pub queue_records_max: usize,
    /// Bytes waiting for the writer thread; the next append waits for a place.
    pub queue_bytes_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes_max: SEGMENT_BYTES_MAX,
            journal_bytes_max: 4 << 30,
            disk_reserve_bytes: 64 << 20,
            pending_records_max: 500_000,
            body_bytes_max: (1 << 20) + (64 << 10),
            group_records_max: 512,
            group_bytes_max: 8 << 20,
            queue_records_max: 4096,
            queue_bytes_max: 64 << 20,
        }
    }
}

/// A segment file, unless the caller chooses.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;

impl Limits {
    /// The least `journal_bytes_max` that goes with the default segments.
    pub const JOURNAL_BYTES_MIN: u64 = 2 * SEGMENT_BYTES_MAX;

    /// Refuses limits that contradict each other, before any file is touched.
    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let record_max = record_bytes(KEY_BYTES_MAX, self.body_bytes_max);
        let rules = [
            (self.group_records_max > 0, "group_records_max must be at least 1"),
            (self.queue_records_max > 0, "queue_records_max must be at least 1"),
            (self.pending_records_max > 0, "pending_records_max must be at least 1"),
            (
                self.group_bytes_max as u64 >= record_max,
                "group_bytes_max must hold one record of body_bytes_max",
            ),
            (
                u64::from(self.queue_bytes_max) >= record_max,
                "queue_bytes_max must hold one record of body_bytes_max",
            ),
            (
                self.segment_bytes_max >= SEGMENT_HEADER_BYTES as u64 + record_max,
                "segment_bytes_max must hold one record of body_bytes_max",
            ),
            (self.segment_bytes_max <= SEGMENT_BYTES_CEILING, "segment_bytes_max must be at most 1 GiB"),
            (
                // One segment being written while another waits for its last record to be forgotten.
                self.journal_bytes_max >= 2 * self.segment_bytes_max,
                "journal_bytes_max must hold two segments of segment_bytes_max",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            None => Ok(()),
            Some((_, rule)) => Err(OpenError::Limits(rule)),
        }
    }
}
