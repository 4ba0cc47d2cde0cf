//! The journal on a real directory.

use std::fs;

use journal::{AppendError, FullReason, Journal, Limits, OpenError};

use crate::samples::{append, pending_seqs, record, small_segments};

#[tokio::test]
async fn records_are_there_after_reopening_until_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let (journal, recovery) = Journal::open(home.path().join("j"), Limits::default()).unwrap();
    assert!(recovery.created);
    append(&journal, 1..=10).await;
    journal.forget(&[2..=4, 9..=9]);
    let id = journal.id();
    journal.close().await;
    assert!(matches!(journal.append(record(11)).await, Err(AppendError::Closed)));
    journal.close().await;

    let (journal, recovery) = Journal::open(home.path().join("j"), Limits::default()).unwrap();
    assert_eq!((journal.id(), recovery.created, recovery.needs_attention()), (id, false, false));
    assert_eq!(pending_seqs(&journal), [1, 5, 6, 7, 8, 10]);
    append(&journal, 11..=11).await;
    let stats = journal.stats();
    assert_eq!((stats.pending_records, stats.next_seq, stats.segments), (7, 12, 1));
    assert_eq!(stats.pending_oldest_received_us, Some(1_000_001));
}

#[tokio::test]
async fn pages_keep_to_their_limits_and_hold_one_record_at_least() {
    let home = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(home.path().join("j"), small_segments()).unwrap();
    append(&journal, 1..=12).await;
    let page = |after, records_max, bytes_max| -> Vec<u64> {
        let page = journal.read_pending(after, records_max, bytes_max).unwrap();
        page.into_iter().map(|(seq, _)| seq).collect()
    };
    assert_eq!(page(0, 3, 1 << 20), [1, 2, 3]);
    assert_eq!(page(3, 100, 1500), [4, 5]);
    assert_eq!(page(3, 100, 1), [4]);
    assert_eq!(page(11, 100, 1 << 20), [12]);
    assert!(
        page(12, 100, 1 << 20).is_empty()
            && page(u64::MAX, 100, 100).is_empty()
            && page(0, 0, 100).is_empty()
    );
}

#[tokio::test]
async fn a_second_opener_is_told_who_holds_the_lock() {
    let home = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(home.path().join("j"), Limits::default()).unwrap();
    let error = Journal::open(home.path().join("j"), Limits::default()).unwrap_err();
    let us = format!("process {}", std::process::id());
    assert!(matches!(&error, OpenError::Locked { holder, .. } if *holder == us), "{error}");
    assert!(error.to_string().contains("stop that process"), "{error}");
    drop(journal);
    Journal::open(home.path().join("j"), Limits::default()).unwrap();
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let error = Journal::open(home.path().join("no/such"), Limits::default()).unwrap_err().to_string();
    assert!(error.contains("the one above must exist"), "{error}");
    let limits = Limits { group_bytes_max: 5, ..Limits::default() };
    let error = Journal::open(home.path().join("j"), limits).unwrap_err().to_string();
    assert!(error.contains("group_bytes_max must hold one record"), "{error}");
    fs::write(home.path().join("file"), "").unwrap();
    Journal::open(home.path().join("file"), Limits::default()).unwrap_err();
}

#[tokio::test]
async fn segments_are_deleted_when_all_of_their_records_are_forgotten_and_seqs_go_on() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("j");
    let (journal, _) = Journal::open(&directory, small_segments()).unwrap();
    append(&journal, 1..=20).await;
    assert_eq!(journal.stats().segments, 4);
    // One record holds its segment; the others go.
    journal.forget(&[1..=6, 8..=20]);
    append(&journal, 21..=21).await;
    journal.forget(&[21..=21]);
    journal.close().await;
    drop(journal);
    let (journal, recovery) = Journal::open(&directory, small_segments()).unwrap();
    assert!(!recovery.needs_attention(), "{recovery:?}");
    assert_eq!((pending_seqs(&journal), journal.stats().segments), (vec![7], 2));
    journal.forget(&[7..=7]);
    journal.close().await;
    drop(journal);
    // Without the state as well: the newest segment's name and header say where to go on.
    fs::remove_file(directory.join("state")).unwrap();
    let (journal, _) = Journal::open(&directory, small_segments()).unwrap();
    append(&journal, 22..=22).await;
}

#[tokio::test]
async fn a_record_too_large_is_refused_and_the_largest_is_taken() {
    let home = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(home.path().join("j"), Limits::default()).unwrap();
    let mut large = record(1);
    large.body = vec![7; Limits::default().body_bytes_max].into();
    large.key = "k".repeat(255);
    assert_eq!(journal.append(large.clone()).await.unwrap(), 1);
    assert_eq!(journal.read_pending(0, 1, 1).unwrap(), [(1, large.clone())]);
    let mut larger = large.clone();
    larger.body = vec![7; large.body.len() + 1].into();
    assert!(matches!(journal.append(larger).await, Err(AppendError::TooLarge { part: "body", .. })));
    large.key.push('k');
    assert!(matches!(journal.append(large).await, Err(AppendError::TooLarge { part: "key", .. })));
}

#[tokio::test]
async fn a_full_journal_says_so_and_takes_records_again_when_some_are_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let limits = Limits { journal_bytes_max: 10_000, ..small_segments() };
    let (journal, _) = Journal::open(home.path().join("j"), limits).unwrap();
    let mut last = 0;
    let refused = loop {
        match journal.append(record(last + 1)).await {
            Ok(seq) => last = seq,
            Err(e) => break e,
        }
    };
    let full = |e| matches!(e, AppendError::Full { reason: FullReason::JournalBytes, retry_after_s: 1.. });
    assert!(full(refused) && journal.stats().bytes <= 10_000);
    journal.forget(&[1..=5]);
    append(&journal, last + 1..=last + 3).await;
    // Also when the segment being written is the one in the way.
    journal.forget(&[1..=last + 3]);
    append(&journal, last + 4..=last + 12).await;
    assert_eq!(journal.stats().pending_records, 9);

    let limits = Limits { pending_records_max: 3, ..small_segments() };
    let (journal, _) = Journal::open(home.path().join("k"), limits).unwrap();
    append(&journal, 1..=3).await;
    let refused = journal.append(record(4)).await.unwrap_err();
    assert!(matches!(refused, AppendError::Full { reason: FullReason::PendingRecords, .. }));
    journal.forget(&[2..=2]);
    append(&journal, 4..=4).await;
}

#[tokio::test]
async fn files_of_another_journal_or_a_newer_program_are_refused() {
    let home = tempfile::tempdir().unwrap();
    for name in ["j", "k"] {
        let (journal, _) = Journal::open(home.path().join(name), small_segments()).unwrap();
        append(&journal, 1..=12).await;
    }
    let segment = "00000000000000000006.segment";
    fs::copy(home.path().join("j").join(segment), home.path().join("k").join(segment)).unwrap();
    let error = Journal::open(home.path().join("k"), small_segments()).unwrap_err();
    assert!(matches!(&error, OpenError::Foreign { file, .. } if file == segment), "{error}");

    let path = home.path().join("j").join(segment);
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let error = Journal::open(home.path().join("j"), small_segments()).unwrap_err();
    assert!(matches!(error, OpenError::Version { version: 2, supported: 1, .. }), "{error}");
}

#[tokio::test]
async fn a_record_spoilt_while_the_journal_is_open_does_not_hold_up_the_others() {
    let home = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(home.path().join("j"), small_segments()).unwrap();
    append(&journal, 1..=8).await;
    let path = home.path().join("j/00000000000000000001.segment");
    let mut bytes = fs::read(&path).unwrap();
    bytes[64 + 700] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(pending_seqs(&journal), [1, 3, 4, 5, 6, 7, 8]);
    assert_eq!((journal.stats().unreadable_records, journal.stats().pending_records), (1, 7));
    journal.forget(&[1..=1, 3..=8]);
    journal.close().await;
    drop(journal);
    let (_, recovery) = Journal::open(home.path().join("j"), small_segments()).unwrap();
    assert_eq!(recovery.missing, [2..=2]);
    assert_eq!(recovery.damaged[0].file, "00000000000000000001.segment.damaged");
}
