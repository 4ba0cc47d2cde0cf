//! Records for tests that need no randomness.

use bytes::Bytes;
use journal::{Journal, Limits, Record};

/// About 600 bytes on disk, different for every `n`.
pub fn record(n: u64) -> Record {
    let body = Bytes::from(format!("{{\"n\":{n:05}}}").repeat(50));
    Record { kind: 1, received_us: 1_000_000 + n as i64, key: format!("leg-{n}"), body }
}

/// Five such records fill a segment.
pub fn small_segments() -> Limits {
    Limits {
        segment_bytes_max: 3400,
        journal_bytes_max: 1 << 20,
        disk_reserve_bytes: 0,
        body_bytes_max: 3000,
        group_bytes_max: 1 << 16,
        ..Limits::default()
    }
}

pub async fn append(journal: &Journal, numbers: std::ops::RangeInclusive<u64>) {
    for n in numbers {
        assert_eq!(journal.append(record(n)).await.unwrap(), n);
    }
}

pub fn pending_seqs(journal: &Journal) -> Vec<u64> {
    let pending = journal.read_pending(0, 10_000, 64 << 20).unwrap();
    for (seq, found) in &pending {
        assert_eq!(found, &record(*seq), "seq {seq} has other bytes");
    }
    pending.into_iter().map(|(seq, _)| seq).collect()
}
