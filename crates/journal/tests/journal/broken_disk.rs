//! An fsync fails: the journal stops, and says so, rather than to acknowledge what may not be on the disk.

use journal::storage::SyncPoint;
use journal::{AppendError, Journal};

use crate::samples::{append, pending_seqs, record, small_segments};
use crate::sim::{SimDisk, Survives};

#[tokio::test]
async fn after_a_failed_fsync_nothing_is_taken_until_the_journal_is_opened_again() {
    for point in
        [SyncPoint::Group, SyncPoint::SegmentHeader, SyncPoint::SegmentCreated, SyncPoint::StateReplaced]
    {
        for survives in [None, Some(Survives::Nothing), Some(Survives::AnyPart)] {
            let disk = SimDisk::new(3);
            let (journal, _) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
            append(&journal, 1..=4).await;
            disk.fail(Some(point));
            let mut last = 4;
            let error = loop {
                match journal.append(record(last + 1)).await {
                    Ok(seq) => last = seq,
                    Err(e) => break e,
                }
                journal.forget(&[1..=2, 6..=10]);
            };
            assert!(matches!(&error, AppendError::Broken { .. }), "{point:?}: {error}");
            assert!(error.to_string().contains("check the disk, then restart"), "{error}");
            // The disk answers again, but what it dropped is gone: a second fsync would prove nothing.
            disk.fail(None);
            let syncs = disk.syncs(point);
            assert!(matches!(journal.append(record(0)).await, Err(AppendError::Broken { .. })));
            assert!(journal.stats().broken.is_some());
            assert_eq!(disk.syncs(point), syncs, "{point:?} was tried again");
            let pending = pending_seqs(&journal);
            journal.close().await;
            drop(journal);
            if let Some(survives) = survives {
                disk.cut_power(survives);
            }

            let (journal, recovery) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
            assert!(!recovery.needs_attention(), "{point:?} {survives:?}: {recovery:?}");
            let known = pending_seqs(&journal);
            assert!(pending.iter().all(|seq| known.contains(seq)), "{point:?}: {pending:?} → {known:?}");
            assert!(journal.append(record(99)).await.unwrap() > last);
            // What was handed out now is on the disk now.
            disk.cut_power(Survives::Nothing);
            drop(journal);
            let (journal, recovery) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
            assert!(!recovery.needs_attention(), "{point:?} {survives:?}: {recovery:?}");
            assert!(journal.stats().pending_records > known.len(), "{point:?} {survives:?}");
        }
    }
}

#[test]
fn a_journal_that_cannot_be_made_durable_does_not_open() {
    for point in [SyncPoint::ParentDirectory, SyncPoint::DirectoryRecovered, SyncPoint::SegmentCreated] {
        let disk = SimDisk::new(3);
        disk.fail(Some(point));
        let error = Journal::open_on(disk.start_process(), small_segments()).unwrap_err().to_string();
        assert!(error.contains("sync"), "{error}");
    }
}
