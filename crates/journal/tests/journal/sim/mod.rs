//! A disk in memory that loses power.
//!
//! What the page cache holds and what the disk holds are kept apart. A kill keeps the page cache. A power cut keeps
//! what was synced, and of the rest whatever the disk happened to have written: any subset of the directory's
//! changes, any subset of the sectors of each write, in any order, as POSIX allows. Every [`SyncPoint`] can be
//! taken out, every operation can be the one at which the process dies.

mod changes;
mod storage;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use journal::storage::SyncPoint;

use self::changes::{Directory, File, FileChange, NameChange};
pub use self::storage::SimStorage;
use crate::dice::Dice;

/// The disk: outlives processes and power cuts.
#[derive(Clone)]
pub struct SimDisk {
    state: Arc<(Mutex<State>, Condvar)>,
}

struct State {
    /// Counts processes; handles of an earlier one fail.
    process: u64,
    operations: u64,
    die_at_operation: Option<u64>,
    dead: bool,
    taken_out: Option<SyncPoint>,
    failing: Option<SyncPoint>,
    bad_sectors: Option<Range<usize>>,
    syncs: BTreeMap<SyncPoint, u64>,
    capacity_bytes: u64,
    hides_fullness: bool,
    hold: Hold,
    locked: bool,
    directory: Directory,
    files: Vec<File>,
    dice: Dice,
}

/// Stops the writer at its next group sync, so that a test decides what queues up behind it.
#[derive(Clone, Copy, PartialEq)]
enum Hold {
    No,
    Wanted,
    Holding,
}

/// What a power cut leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Survives {
    Nothing,
    AnyPart,
    /// The directory's last change, which overtook the others.
    LastName,
    Everything,
}

impl SimDisk {
    pub fn new(seed: u64) -> Self {
        let state = State {
            process: 0,
            operations: 0,
            die_at_operation: None,
            dead: false,
            taken_out: None,
            failing: None,
            bad_sectors: None,
            syncs: BTreeMap::new(),
            capacity_bytes: u64::MAX,
            hides_fullness: false,
            hold: Hold::No,
            locked: false,
            directory: Directory::default(),
            files: Vec::new(),
            dice: Dice::new(seed),
        };
        Self { state: Arc::new((Mutex::new(state), Condvar::new())) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap()
    }

    /// From now on this sync answers that it is done, and does nothing.
    pub fn take_out(&self, point: SyncPoint) {
        self.state().taken_out = Some(point);
    }

    /// From now on this sync fails as a broken disk's does.
    pub fn fail(&self, point: Option<SyncPoint>) {
        self.state().failing = point;
    }

    /// From now on these bytes of every file cannot be read.
    pub fn spoil_sectors(&self, bytes: Option<Range<usize>>) {
        self.state().bad_sectors = bytes;
    }

    pub fn die_at_operation(&self, operation: Option<u64>) {
        self.state().die_at_operation = operation;
    }

    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    pub fn syncs(&self, point: SyncPoint) -> u64 {
        self.state().syncs.get(&point).copied().unwrap_or(0)
    }

    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity_bytes = bytes;
    }

    /// There seems to be room whenever one looks.
    pub fn hide_fullness(&self, hides: bool) {
        self.state().hides_fullness = hides;
    }

    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// The process's view of the disk from its start on; earlier processes are dead.
    pub fn start_process(&self) -> Arc<SimStorage> {
        let mut state = self.state();
        state.process += 1;
        state.dead = false;
        state.locked = false;
        Arc::new(SimStorage { disk: self.clone(), process: state.process })
    }

    /// The process dies; its page cache stays.
    pub fn kill(&self) {
        self.state().dead = true;
    }

    /// The process dies, and the page cache with it.
    pub fn cut_power(&self, survives: Survives) {
        let mut guard = self.state();
        let State { dead, directory, files, dice, .. } = &mut *guard;
        *dead = true;
        // Of a hundred, how many changes survive: a cut early in the write-back differs from one late in it.
        let percent = match survives {
            Survives::Nothing | Survives::LastName => 0,
            Survives::AnyPart => [10, 50, 90][dice.below(3) as usize],
            Survives::Everything => 100,
        };
        if !directory.exists_durably && dice.below(100) >= percent {
            directory.exists = false;
            directory.durable_names.clear();
            directory.unsynced.clear();
        }
        let changes = std::mem::take(&mut directory.unsynced);
        for (i, change) in changes.iter().enumerate() {
            let is_last = i + 1 == changes.len();
            if dice.below(100) < percent || (is_last && survives == Survives::LastName) {
                change.apply(&mut directory.durable_names);
            }
        }
        directory.exists_durably = directory.exists;
        directory.names = directory.durable_names.clone();
        for file in files {
            for change in std::mem::take(&mut file.unsynced) {
                for sector in change.sectors() {
                    if dice.below(100) < percent {
                        sector.apply(&mut file.durable);
                    }
                }
            }
            file.bytes = file.durable.clone();
        }
    }

    /// The writer stops at its next group sync.
    pub fn hold_writer(&self) {
        self.state().hold = Hold::Wanted;
    }

    pub fn writer_is_held(&self) -> bool {
        self.state().hold == Hold::Holding
    }

    pub fn release_writer(&self) {
        self.state().hold = Hold::No;
        self.state.1.notify_all();
    }

    pub fn names(&self) -> Vec<String> {
        self.state().directory.names.keys().cloned().collect()
    }

    pub fn content(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.directory.names[name]].bytes.clone()
    }

    /// Puts bytes on the disk behind the journal's back.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let file = state.files.len();
        state.files.push(File { bytes: bytes.clone(), durable: bytes, unsynced: Vec::new() });
        state.directory.names.insert(name.to_owned(), file);
        state.directory.durable_names.insert(name.to_owned(), file);
    }

    pub fn delete(&self, name: &str) {
        let mut state = self.state();
        state.directory.names.remove(name);
        state.directory.durable_names.remove(name);
    }
}

impl State {
    fn used_bytes(&self) -> u64 {
        self.directory.names.values().map(|&file| self.files[file].bytes.len() as u64).sum()
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.directory.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.directory.names);
        self.directory.unsynced.push(change);
    }

    fn change_file(&mut self, file: usize, change: FileChange) {
        let file = &mut self.files[file];
        change.apply(&mut file.bytes);
        file.unsynced.push(change);
    }

    /// Whether the sync is to be carried out. A failing one forgets what it could not write, as Linux does.
    fn count_sync(&mut self, point: SyncPoint) -> io::Result<bool> {
        *self.syncs.entry(point).or_default() += 1;
        if self.failing == Some(point) {
            return Err(io::Error::other("simulated: the disk does not answer"));
        }
        Ok(self.taken_out != Some(point))
    }
}
