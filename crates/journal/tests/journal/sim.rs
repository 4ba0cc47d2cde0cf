//! A disk in memory that loses power.
//!
//! What the page cache holds and what the disk holds are kept apart. A kill keeps the page cache. A power cut keeps
//! what was synced, and of the rest whatever the disk happened to have written: any subset of the directory's
//! changes, any subset of the sectors of each write, in any order, as POSIX allows. Every [`SyncPoint`] can be
//! taken out, every operation can be the one at which the process dies.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use journal::storage::{Storage, StorageFile, SyncPoint};

use crate::dice::Dice;

const SECTOR_BYTES: usize = 512;

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

#[derive(Default)]
struct Directory {
    exists: bool,
    exists_durably: bool,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    unsynced: Vec<NameChange>,
}

#[derive(Clone)]
enum NameChange {
    Link(String, usize),
    Rename(String, String, usize),
    Unlink(String),
}

#[derive(Default, Clone)]
struct File {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<FileChange>,
}

#[derive(Clone)]
enum FileChange {
    Write(usize, Vec<u8>),
    Resize(usize),
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Link(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
        }
    }
}

impl FileChange {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, new) => {
                if bytes.len() < offset + new.len() {
                    bytes.resize(offset + new.len(), 0);
                }
                bytes[*offset..offset + new.len()].copy_from_slice(new);
            }
            Self::Resize(length) => bytes.resize(*length, 0),
        }
    }

    /// The parts that a disk writes as a whole.
    fn sectors(&self) -> Vec<Self> {
        match self {
            Self::Resize(_) => vec![self.clone()],
            Self::Write(offset, new) => {
                let first = (SECTOR_BYTES - offset % SECTOR_BYTES).min(new.len());
                let (head, tail) = new.split_at(first);
                let mut sectors = vec![Self::Write(*offset, head.to_vec())];
                for (i, sector) in tail.chunks(SECTOR_BYTES).enumerate() {
                    sectors.push(Self::Write(offset + first + i * SECTOR_BYTES, sector.to_vec()));
                }
                sectors
            }
        }
    }
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

/// What one process has open.
pub struct SimStorage {
    disk: SimDisk,
    process: u64,
}

impl SimStorage {
    fn alive(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.dead || state.process != self.process {
            return Err(io::Error::other("simulated: this process is dead"));
        }
        Ok(state)
    }

    /// Before every change: this may be the moment the process dies.
    fn operation(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.alive()?;
        state.operations += 1;
        if state.die_at_operation.is_some_and(|at| state.operations > at) {
            state.dead = true;
            return Err(io::Error::other("simulated: this process dies"));
        }
        Ok(state)
    }

    fn opened(&self, file: usize) -> Box<dyn StorageFile> {
        Box::new(SimFile { storage: Self { disk: self.disk.clone(), process: self.process }, file })
    }
}

impl Storage for SimStorage {
    fn location(&self) -> String {
        "sim".into()
    }

    fn create_dir(&self) -> io::Result<()> {
        self.operation()?.directory.exists = true;
        Ok(())
    }

    fn try_lock(&self) -> io::Result<Option<String>> {
        let mut state = self.alive()?;
        let held = std::mem::replace(&mut state.locked, true);
        Ok(held.then(|| "another process".to_owned()))
    }

    fn unlock(&self) {
        if let Ok(mut state) = self.alive() {
            state.locked = false;
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.alive()?.directory.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.operation()?;
        let file = match state.file(name) {
            Ok(file) => {
                state.change_file(file, FileChange::Resize(0));
                file
            }
            Err(_) => {
                let file = state.files.len();
                state.files.push(File::default());
                state.change_names(NameChange::Link(name.to_owned(), file));
                file
            }
        };
        Ok(self.opened(file))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let file = self.alive()?.file(name)?;
        Ok(self.opened(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.operation()?;
        let file = state.file(from)?;
        state.change_names(NameChange::Rename(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.operation()?;
        state.file(name)?;
        state.change_names(NameChange::Unlink(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, point: SyncPoint) -> io::Result<()> {
        let mut state = self.operation()?;
        if state.count_sync(point)? {
            state.directory.durable_names = state.directory.names.clone();
            state.directory.unsynced.clear();
        }
        Ok(())
    }

    fn sync_parent(&self, point: SyncPoint) -> io::Result<()> {
        let mut state = self.operation()?;
        if state.count_sync(point)? {
            state.directory.exists_durably = true;
        }
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.alive()?;
        let free_bytes = state.capacity_bytes.saturating_sub(state.used_bytes());
        Ok(if state.hides_fullness { u64::MAX } else { free_bytes })
    }
}

struct SimFile {
    storage: SimStorage,
    file: usize,
}

impl StorageFile for SimFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.storage.alive()?.files[self.file].bytes.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.storage.alive()?;
        let bytes = &state.files[self.file].bytes;
        let offset = offset as usize;
        let end = offset + buffer.len();
        let source = bytes.get(offset..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        if state.bad_sectors.as_ref().is_some_and(|bad| bad.start < end && offset < bad.end) {
            return Err(io::Error::other("simulated: bad sector"));
        }
        buffer.copy_from_slice(source);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = offset as usize;
        drop(self.storage.alive()?);
        let mut state = match self.storage.operation() {
            Ok(state) => state,
            Err(death) => {
                // Killed in the middle of a write: some of it got into the page cache.
                let mut state = self.storage.disk.state();
                let written = state.dice.below(bytes.len() as u64 + 1) as usize;
                state.change_file(self.file, FileChange::Write(offset, bytes[..written].to_vec()));
                return Err(death);
            }
        };
        let grows = (offset + bytes.len()).saturating_sub(state.files[self.file].bytes.len()) as u64;
        let free = state.capacity_bytes.saturating_sub(state.used_bytes());
        let fits = bytes.len() - grows.saturating_sub(free).min(bytes.len() as u64) as usize;
        state.change_file(self.file, FileChange::Write(offset, bytes[..fits].to_vec()));
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.storage.operation()?.change_file(self.file, FileChange::Resize(bytes as usize));
        Ok(())
    }

    fn sync(&self, point: SyncPoint) -> io::Result<()> {
        let mut state = self.storage.operation()?;
        if point == SyncPoint::Group && state.hold == Hold::Wanted {
            state.hold = Hold::Holding;
            state = self.storage.disk.state.1.wait_while(state, |s| s.hold == Hold::Holding).unwrap();
        }
        let carried_out = state.count_sync(point);
        let file = &mut state.files[self.file];
        match carried_out {
            Ok(false) => return Ok(()),
            Ok(true) => file.unsynced.drain(..).for_each(|change| change.apply(&mut file.durable)),
            Err(_) => file.unsynced.clear(),
        }
        carried_out.map(|_| ())
    }
}
