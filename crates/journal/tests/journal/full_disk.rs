//! The disk is full: nothing acknowledged is lost, nothing that did not fit is acknowledged, and it goes on by
//! itself when there is room again.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use journal::{AppendError, FullReason, Journal, Limits};

use crate::samples::{append, pending_seqs, record, small_segments};
use crate::sim::{SimDisk, Survives};

fn is_disk_full(error: &AppendError) -> bool {
    matches!(error, AppendError::Full { reason: FullReason::Disk, .. })
}

#[tokio::test]
async fn the_reserve_is_left_free() {
    let disk = SimDisk::new(0);
    disk.set_capacity(20_000);
    let limits = Limits { disk_reserve_bytes: 8_000, ..small_segments() };
    let (journal, _) = Journal::open_on(disk.start_process(), limits).unwrap();
    let mut appended = 0;
    let error = loop {
        match journal.append(record(appended + 1)).await {
            Ok(_) => appended += 1,
            Err(e) => break e,
        }
    };
    assert!(is_disk_full(&error), "{error}");
    assert!(disk.used_bytes() <= 12_000 && appended >= 15, "{appended} in {}", disk.used_bytes());
    assert_eq!(journal.stats().full, Some(FullReason::Disk));
    journal.forget(&[1..=appended]);
    append(&journal, appended + 1..=appended + 5).await;
    assert_eq!(journal.stats().full, None);
}

/// Whoever asks after its health is told, and told of room before the next record comes.
#[tokio::test]
async fn fullness_is_shown_while_it_lasts() {
    let disk = SimDisk::new(0);
    disk.set_capacity(20_000);
    let (journal, _) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
    let mut next = 1;
    while journal.append(record(next)).await.is_ok() {
        assert_eq!(journal.stats().full, None);
        next += 1;
    }
    assert_eq!(journal.stats().full, Some(FullReason::Disk));
    disk.set_capacity(u64::MAX);
    assert_eq!(journal.stats().full, None);
}

/// Somebody else takes the last bytes between the look and the write, at every fill level.
#[tokio::test]
async fn a_write_that_does_not_fit_is_cut_off_and_not_acknowledged() {
    for free_bytes in (0..1400).step_by(37) {
        let disk = SimDisk::new(free_bytes);
        let (journal, _) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
        append(&journal, 1..=4).await;
        disk.set_capacity(disk.used_bytes() + free_bytes);
        disk.hide_fullness(true);
        let (mut last, mut used_bytes) = (4, disk.used_bytes());
        let error = loop {
            match journal.append(record(last + 1)).await {
                Ok(seq) => (last, used_bytes) = (seq, disk.used_bytes()),
                Err(e) => break e,
            }
        };
        assert!(is_disk_full(&error), "{error}");
        // No more than a segment begun for it.
        assert!(disk.used_bytes() <= used_bytes + 64, "what did not fit still takes up room");
        assert_eq!(pending_seqs(&journal), (1..=last).collect::<Vec<_>>());
        disk.set_capacity(u64::MAX);
        append(&journal, last + 1..=last + 9).await;
        disk.cut_power(Survives::AnyPart);
        drop(journal);
        let (journal, recovery) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
        assert!(!recovery.needs_attention(), "{recovery:?}");
        assert_eq!(pending_seqs(&journal), (1..=last + 9).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_real_file_system_fills_up() {
    let home = tempfile::tempdir().unwrap();
    let Some(_mounted) = SmallFileSystem::mount(home.path()) else { return };
    let directory = home.path().join("j");
    let limits = Limits { journal_bytes_max: 1 << 30, segment_bytes_max: 100_000, ..small_segments() };
    let (journal, _) = Journal::open(&directory, limits.clone()).unwrap();
    let somebody_elses = home.path().join("core");
    fs::write(&somebody_elses, vec![0; 200_000]).unwrap();
    let mut last = 0;
    let error = loop {
        match journal.append(record(last + 1)).await {
            Ok(seq) => last = seq,
            Err(e) => break e,
        }
    };
    assert!(is_disk_full(&error) && last > 500, "{error} at {last}");
    journal.close().await;
    drop(journal);
    let (journal, recovery) = Journal::open(&directory, limits).unwrap();
    assert!(!recovery.needs_attention(), "{recovery:?}");
    assert_eq!(pending_seqs(&journal), (1..=last).collect::<Vec<_>>());
    assert!(is_disk_full(&journal.append(record(last + 1)).await.unwrap_err()));
    fs::remove_file(somebody_elses).unwrap();
    append(&journal, last + 1..=last + 3).await;
    // Forgetting makes room as well: whole segments of it.
    journal.forget(&[1..=last]);
    append(&journal, last + 4..=last + 600).await;
    assert_eq!(journal.stats().pending_records, 600);
}

/// A tmpfs of 1 MiB, unmounted when dropped.
struct SmallFileSystem<'a>(&'a Path);

impl<'a> SmallFileSystem<'a> {
    fn mount(directory: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"])
            .arg(directory)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            println!("SKIPPED a_real_file_system_fills_up: mounting a tmpfs is not permitted here");
        }
        mounted.then_some(Self(directory))
    }
}

impl Drop for SmallFileSystem<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}
