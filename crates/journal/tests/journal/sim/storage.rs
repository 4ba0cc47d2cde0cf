//! [`Storage`] as one process sees the simulated disk.

use std::io;
use std::sync::MutexGuard;

use journal::storage::{Storage, StorageFile, SyncPoint};

use super::changes::{FileChange, NameChange};
use super::{Hold, SimDisk, State};

/// What one process has open.
pub struct SimStorage {
    pub(super) disk: SimDisk,
    pub(super) process: u64,
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
                state.files.push(super::changes::File::default());
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
