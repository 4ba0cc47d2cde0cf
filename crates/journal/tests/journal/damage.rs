//! Files changed behind the journal's back: it never panics, never hands out other bytes than were appended, and
//! never passes over a loss.

use std::collections::BTreeMap;

use journal::{Journal, Limits};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::samples::{append, pending_seqs, record, small_segments};
use crate::sim::SimDisk;

#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Overwrite(Index, Vec<u8>),
    Append(Vec<u8>),
    Truncate(Index),
    /// A piece of the file again, at its end: valid records where they do not belong.
    Repeat(Index, Index),
    Delete,
}

fn damage() -> impl Strategy<Value = Damage> {
    let bytes = || proptest::collection::vec(any::<u8>(), 1..300);
    prop_oneof![
        4 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        2 => (any::<Index>(), bytes()).prop_map(|(at, bytes)| Damage::Overwrite(at, bytes)),
        1 => bytes().prop_map(Damage::Append),
        1 => any::<Index>().prop_map(Damage::Truncate),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
        1 => Just(Damage::Delete),
    ]
}

fn inflict(disk: &SimDisk, file: &str, damage: &Damage) {
    let mut bytes = disk.content(file);
    match damage {
        Damage::Delete => return disk.delete(file),
        Damage::Append(more) => bytes.extend(more),
        _ if bytes.is_empty() => return,
        Damage::Flip(at, bit) => {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        Damage::Overwrite(at, new) => {
            let at = at.index(bytes.len());
            let end = (at + new.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&new[..end - at]);
        }
        Damage::Truncate(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Repeat(from, to) => {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            bytes.extend_from_within(from.min(to)..from.max(to));
        }
    }
    disk.put(file, bytes);
}

/// Fourteen records in three segments, 1, 6, 7 and 11 forgotten; closed in order or killed.
fn journal_on_disk(closed: bool) -> SimDisk {
    let disk = SimDisk::new(1);
    let (journal, _) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        append(&journal, 1..=13).await;
        journal.forget(&[1..=1, 6..=7, 11..=11]);
        append(&journal, 14..=14).await;
        if closed {
            journal.close().await;
        }
    });
    disk.kill();
    disk
}

const OWED: [u64; 10] = [2, 3, 4, 5, 8, 9, 10, 12, 13, 14];

proptest! {
    #![proptest_config(ProptestConfig { cases: 800, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_damage_makes_it_panic_or_lie(
        closed in any::<bool>(),
        damages in proptest::collection::vec((any::<Index>(), damage()), 1..4),
    ) {
        let disk = journal_on_disk(closed);
        for (file, damage) in &damages {
            let files = disk.names();
            if !files.is_empty() {
                inflict(&disk, &files[file.index(files.len())], damage);
            }
        }
        let before: BTreeMap<String, Vec<u8>> =
            disk.names().into_iter().map(|name| (name.clone(), disk.content(&name))).collect();

        let (journal, recovery) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
        // Compares the bytes of every record with what was appended under its seq.
        let pending = pending_seqs(&journal);
        let lost: Vec<u64> = OWED.into_iter().filter(|seq| !pending.contains(seq)).collect();
        // Not closed in order, the last records may as well have been in the middle of being written.
        let unprovable = !closed && OWED.ends_with(&lost);
        if !lost.is_empty() && !unprovable {
            prop_assert!(recovery.needs_attention() || recovery.created, "lost {:?}: {:?}", lost, recovery);
        }
        for damaged in &recovery.damaged {
            let before = &before[damaged.file.strip_suffix(".damaged").unwrap()];
            prop_assert!(&disk.content(&damaged.file) == before, "the evidence was changed");
        }
        // It works on, and gives out no seq that it knows to have given out.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let seq = runtime.block_on(journal.append(record(1000))).unwrap();
        prop_assert!(pending.iter().all(|&known| known < seq));
        prop_assert!(!closed || lost.is_empty() || recovery.created || seq > 14 || recovery.state_damaged);
        runtime.block_on(journal.close());
        drop(journal);

        let (journal, again) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
        prop_assert_eq!(&again.damaged, &recovery.damaged, "damage is reported until somebody deals with it");
        prop_assert_eq!(&again.missing, &recovery.missing);
        prop_assert_eq!(journal.stats().pending_records, pending.len() + 1);
    }
}

#[test]
fn damage_in_the_middle_costs_only_what_it_covers() {
    let disk = journal_on_disk(true);
    let file = "00000000000000000001.segment";
    // Somewhere in the third record.
    let mut bytes = disk.content(file);
    bytes[64 + 2 * 650 + 100] ^= 0x10;
    disk.put(file, bytes);
    let (journal, recovery) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
    assert_eq!(pending_seqs(&journal), [2, 4, 5, 8, 9, 10, 12, 13, 14]);
    assert_eq!(recovery.missing, [3..=3]);
    assert_eq!((recovery.damaged.len(), recovery.damaged[0].readable_records), (1, 4));
    // The operator took note: the loss is not reported again, the file is until it is moved away.
    journal.forget(&recovery.missing);
    drop(journal);
    let (journal, recovery) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
    assert_eq!((recovery.missing.len(), recovery.damaged.len()), (0, 1));
    journal.forget(&[1..=14]);
    drop(journal);
    disk.delete("00000000000000000001.segment.damaged");
    let (_, recovery) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
    assert!(!recovery.needs_attention(), "{recovery:?}");
}

/// Behind the hole in a group are whole records, which must not come to light when the hole is filled again.
#[tokio::test]
async fn a_torn_tail_is_cut_off_for_good() {
    let disk = SimDisk::new(1);
    let (journal, _) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
    disk.hold_writer();
    let tasks: Vec<_> = (1..=4)
        .map(|n| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.append(record(n)).await })
        })
        .collect();
    while !disk.writer_is_held() {
        tokio::task::yield_now().await;
    }
    disk.release_writer();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    disk.kill();
    drop(journal);
    // As if the power had gone while the second group was written.
    let file = "00000000000000000001.segment";
    let mut bytes = disk.content(file);
    let record_bytes = (bytes.len() - 64) / 4;
    bytes[64 + record_bytes + 20] ^= 1;
    disk.put(file, bytes);

    let (journal, recovery) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
    assert_eq!((pending_seqs(&journal), recovery.torn_bytes), (vec![1], 3 * record_bytes as u64));
    assert!(!recovery.needs_attention(), "{recovery:?}");
    append(&journal, 2..=2).await;
    disk.kill();
    drop(journal);
    let (journal, recovery) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
    assert_eq!((pending_seqs(&journal), recovery.torn_bytes), (vec![1, 2], 0));
}

/// Nothing is cut off or thrown away for what may be a loose cable.
#[tokio::test]
async fn what_the_disk_cannot_read_today_is_there_when_it_can_again() {
    let limits = || Limits { segment_bytes_max: 1 << 20, journal_bytes_max: 2 << 20, ..small_segments() };
    let disk = SimDisk::new(1);
    let (journal, _) = Journal::open_on(disk.start_process(), limits()).unwrap();
    append(&journal, 1..=300).await;
    disk.kill();
    drop(journal);
    disk.spoil_sectors(Some(150_000..150_512));
    let (journal, recovery) = Journal::open_on(disk.start_process(), limits()).unwrap();
    let readable = pending_seqs(&journal);
    assert!((150..300).contains(&readable.len()), "{} can be read", readable.len());
    assert_eq!(recovery.damaged[0].readable_records, readable.len());
    let next_seq = journal.stats().next_seq;
    append(&journal, next_seq..=next_seq).await;
    disk.kill();
    drop(journal);
    disk.spoil_sectors(None);
    let (journal, recovery) = Journal::open_on(disk.start_process(), limits()).unwrap();
    assert!(recovery.missing.is_empty(), "{recovery:?}");
    assert_eq!(journal.stats().pending_records, 301);
}

#[test]
fn a_segment_somebody_deleted_is_missed() {
    let disk = journal_on_disk(true);
    disk.delete("00000000000000000006.segment");
    let (journal, recovery) = Journal::open_on(disk.start_process(), small_segments()).unwrap();
    assert_eq!(recovery.missing, [8..=10]);
    assert_eq!(pending_seqs(&journal), [2, 3, 4, 5, 12, 13, 14]);
}
