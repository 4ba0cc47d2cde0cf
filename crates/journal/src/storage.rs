//! The seam between the journal and the disk: one flat directory.
//!
//! Only what the journal needs, and every fsync named, so that tests can model a power cut and take out any one
//! of them. The real thing is [`crate::FsStorage`].

use std::io;

/// Every place where the journal waits for the disk. Each is proven necessary by a test that takes it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SyncPoint {
    /// The directory above, at open: else the journal's directory itself may vanish.
    ParentDirectory,
    /// The directory, at open: a process killed between a rename and its sync left names only in memory.
    DirectoryRecovered,
    /// The newest segment, at open: a process killed before a group's fsync left records only in memory. They
    /// are handed out from now on, so they must not vanish and have their seqs given to others.
    TailRecovered,
    /// A new segment's header, before the segment gets its name.
    SegmentHeader,
    /// The directory, after a new segment got its name and before the first record goes into it.
    SegmentCreated,
    /// A group of records, before any of them is acknowledged.
    Group,
    /// The state file's content, before it replaces the one before.
    StateData,
    /// The directory, after the state file was replaced and before segments it explains are deleted.
    StateReplaced,
}

impl SyncPoint {
    /// All of them, for tests that go through every one.
    pub const ALL: [Self; 8] = [
        Self::ParentDirectory,
        Self::DirectoryRecovered,
        Self::TailRecovered,
        Self::SegmentHeader,
        Self::SegmentCreated,
        Self::Group,
        Self::StateData,
        Self::StateReplaced,
    ];
}

/// One flat directory of files. Names hold no separators.
pub trait Storage: Send + Sync {
    /// For messages: the directory's path.
    fn location(&self) -> String;
    /// Creates the directory if it is missing; the one above must exist.
    fn create_dir(&self) -> io::Result<()>;
    /// Takes the exclusive lock. `Some(holder)`: another process has it.
    fn try_lock(&self) -> io::Result<Option<String>>;
    fn unlock(&self);
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates the file, or empties it.
    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>>;
    /// Atomic; replaces the target.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes every create, rename and remove so far durable.
    fn sync_dir(&self, point: SyncPoint) -> io::Result<()>;
    /// Makes the directory's own name durable.
    fn sync_parent(&self, point: SyncPoint) -> io::Result<()>;
    /// Free bytes of the file system for unprivileged users.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// One open file.
pub trait StorageFile: Send + Sync {
    fn bytes(&self) -> io::Result<u64>;
    /// # Errors
    /// `UnexpectedEof` when the file ends before the buffer is full.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// On error any prefix may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn set_bytes(&self, bytes: u64) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self, point: SyncPoint) -> io::Result<()>;
}

/// Whether an error says that there is no room (on the disk, or in the user's quota).
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
