//! Many callers at once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use journal::storage::SyncPoint;
use journal::{Journal, Limits};

use crate::samples::{record, small_segments};
use crate::sim::SimDisk;

const TASKS: u64 = 64;
const APPENDS_A_TASK: u64 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_share_fsyncs_while_records_are_read_and_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let limits = Limits { segment_bytes_max: 100_000, journal_bytes_max: 8 << 20, ..small_segments() };
    let (journal, _) = Journal::open(home.path().join("j"), limits.clone()).unwrap();
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let journal = journal.clone();
            tokio::spawn(async move {
                let mut appended = Vec::new();
                for n in 0..APPENDS_A_TASK {
                    let record = record(task * APPENDS_A_TASK + n);
                    appended.push((journal.append(record.clone()).await.unwrap(), record));
                }
                appended
            })
        })
        .collect();
    // Every even seq is forgotten as soon as it is seen.
    let all = TASKS * APPENDS_A_TASK;
    let mut read = Vec::new();
    while (read.len() as u64) < all {
        let after = read.last().map_or(0, |(seq, _)| *seq);
        let page = journal.read_pending(after, 100, 1 << 20).unwrap();
        journal.forget(
            &page.iter().filter(|(seq, _)| seq % 2 == 0).map(|(seq, _)| *seq..=*seq).collect::<Vec<_>>(),
        );
        read.extend(page);
        tokio::task::yield_now().await;
    }
    let mut appended = Vec::new();
    for task in tasks {
        let of_task = task.await.unwrap();
        assert!(
            of_task.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "a caller's own records are in its order"
        );
        appended.extend(of_task);
    }
    appended.sort_by_key(|(seq, _)| *seq);
    assert!(appended == read, "what was read is not what was appended");
    assert!(appended.iter().map(|(seq, _)| *seq).eq(1..=all));
    let stats = journal.stats();
    assert_eq!((stats.appended_records, stats.pending_records as u64), (all, all / 2));
    assert!(stats.group_syncs * 2 < all, "{} fsyncs for {all} appends", stats.group_syncs);
    journal.close().await;
    drop(journal);
    let (journal, recovery) = Journal::open(home.path().join("j"), limits).unwrap();
    assert!(!recovery.needs_attention(), "{recovery:?}");
    assert_eq!(journal.stats().pending_records as u64, all / 2);
}

/// A queue of four: the others wait for a place, nobody is turned away, and a caller that gives up takes nothing
/// with it.
#[tokio::test]
async fn a_full_queue_makes_callers_wait() {
    let disk = SimDisk::new(0);
    let limits = Limits { queue_records_max: 4, group_records_max: 3, ..small_segments() };
    let (journal, _) = Journal::open_on(disk.start_process(), limits).unwrap();
    disk.hold_writer();
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.append(record(n)).await })
        })
        .collect();
    while !disk.writer_is_held() {
        tokio::task::yield_now().await;
    }
    // The last ones are still waiting for a place in the queue.
    for task in &tasks[35..] {
        task.abort();
    }
    disk.release_writer();
    let mut seqs = BTreeSet::new();
    for task in tasks {
        match task.await {
            Ok(answer) => assert!(seqs.insert(answer.unwrap())),
            Err(e) => assert!(e.is_cancelled()),
        }
    }
    assert!(seqs.into_iter().eq(1..=35));
    assert_eq!(journal.stats().pending_records, 35);
    assert!(disk.syncs(SyncPoint::Group) >= 35 / 3);
}

#[tokio::test]
async fn closing_writes_out_what_is_queued() {
    let disk = SimDisk::new(0);
    let (journal, _) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
    let journal = Arc::new(journal);
    disk.hold_writer();
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let journal = Arc::clone(&journal);
            tokio::spawn(async move { journal.append(record(n)).await })
        })
        .collect();
    while !disk.writer_is_held() {
        tokio::task::yield_now().await;
    }
    let closing = tokio::spawn({
        let journal = Arc::clone(&journal);
        async move { journal.close().await }
    });
    tokio::time::sleep(Duration::from_millis(1)).await;
    disk.release_writer();
    closing.await.unwrap();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}
