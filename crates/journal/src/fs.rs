//! [`Storage`] on a real directory.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock, statvfs};

use crate::storage::{Storage, StorageFile, SyncPoint};

const LOCK_FILE: &str = "lock";
/// Call records are personal data: nobody but the daemon reads them.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// A directory on disk, locked with flock(2) while a journal uses it.
#[derive(Debug)]
pub struct FsStorage {
    directory: PathBuf,
    lock: Mutex<Option<File>>,
}

impl FsStorage {
    /// Touches nothing yet.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), lock: Mutex::new(None) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn parent(&self) -> &Path {
        match self.directory.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            Some(_) => Path::new("."),
            None => Path::new("/"),
        }
    }
}

impl Storage for FsStorage {
    fn location(&self) -> String {
        self.directory.display().to_string()
    }

    fn create_dir(&self) -> io::Result<()> {
        match DirBuilder::new().mode(DIRECTORY_MODE).create(&self.directory) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && self.directory.is_dir() => Ok(()),
            other => other,
        }
    }

    fn try_lock(&self) -> io::Result<Option<String>> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(self.path(LOCK_FILE))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                // The pid is a courtesy to whoever reads the message; the lock does not depend on it.
                let _ = file.take(20).read_to_string(&mut pid);
                let pid = pid.trim();
                return Ok(Some(if pid.is_empty() {
                    "another process".into()
                } else {
                    format!("process {pid}")
                }));
            }
            Err(e) => return Err(e.into()),
        }
        file.set_len(0)?;
        // A full disk must not keep the journal from being opened and drained: the pid may be missing.
        let _ = writeln!(file, "{}", std::process::id());
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(None)
    }

    fn unlock(&self) {
        // Closing the descriptor releases the lock. The file stays: removing it would race with the next owner.
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn list(&self) -> io::Result<Vec<String>> {
        // A name that is no UTF-8 is none of ours.
        std::fs::read_dir(&self.directory)?
            .filter_map(|entry| entry.map(|e| e.file_name().into_string().ok()).transpose())
            .collect()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(FILE_MODE);
        Ok(Box::new(FsFile(options.open(self.path(name))?)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(FsFile(OpenOptions::new().read(true).write(true).open(self.path(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path(name))
    }

    fn sync_dir(&self, _point: SyncPoint) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn sync_parent(&self, _point: SyncPoint) -> io::Result<()> {
        match File::open(self.parent()) {
            // A directory this user may not even read is one it did not create the journal in: whoever did was
            // done with it long ago.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            opened => opened?.sync_all(),
        }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = statvfs(&self.directory)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

struct FsFile(File);

impl StorageFile for FsFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_bytes(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self, _point: SyncPoint) -> io::Result<()> {
        // fdatasync(2) flushes the length too where reading the data back needs it.
        self.0.sync_data()
    }
}
