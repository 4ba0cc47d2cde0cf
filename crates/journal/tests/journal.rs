//! The journal on a real directory.

use bytes::Bytes;
use journal::{AppendError, Journal, Limits, OpenError, Record};

fn record(n: u64) -> Record {
    let body = Bytes::from(format!("{{\"n\":{n}}}").repeat(50));
    Record { kind: 1, received_us: 1_000_000 + n as i64, key: format!("leg-{n}"), body }
}

#[tokio::test]
async fn records_are_there_after_reopening_until_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let (journal, recovery) = Journal::open(home.path().join("j"), Limits::default()).unwrap();
    assert!(recovery.created);
    for n in 1..=10 {
        assert_eq!(journal.append(record(n)).await.unwrap(), n);
    }
    journal.forget(&[2..=4, 9..=9]);
    let id = journal.id();
    journal.close().await;
    assert!(matches!(journal.append(record(11)).await, Err(AppendError::Closed)));

    let (journal, recovery) = Journal::open(home.path().join("j"), Limits::default()).unwrap();
    assert_eq!((journal.id(), recovery.created, recovery.needs_attention()), (id, false, false));
    let pending = journal.read_pending(0, 100, 1 << 20).unwrap();
    assert_eq!(pending, [1, 5, 6, 7, 8, 10].map(|n| (n, record(n))));
    assert_eq!(journal.append(record(11)).await.unwrap(), 11);
    let stats = journal.stats();
    assert_eq!((stats.pending_records, stats.next_seq, stats.segments), (7, 12, 1));
    assert_eq!(stats.pending_oldest_received_us, Some(1_000_001));
}

#[tokio::test]
async fn a_second_opener_is_told_who_holds_the_lock() {
    let home = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(home.path().join("j"), Limits::default()).unwrap();
    let error = Journal::open(home.path().join("j"), Limits::default()).unwrap_err();
    assert!(
        matches!(&error, OpenError::Locked { holder, .. } if holder == &format!("process {}", std::process::id()))
    );
    assert!(error.to_string().contains("stop that process"), "{error}");
    drop(journal);
    Journal::open(home.path().join("j"), Limits::default()).unwrap();
}
