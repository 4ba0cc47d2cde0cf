//! What opening does to files: [`Storage`] with errors that say what was being done.

use std::io;

use uuid::Uuid;

use crate::OpenError;
use crate::format::{FORMAT_VERSION, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::publish::{PublishError, TEMPORARY_SUFFIX};
use crate::segment::{self, Content, SegmentName};
use crate::state::{DAMAGED_STATE_FILE, Decoded, STATE_FILE, State};
use crate::storage::{Storage, StorageFile, SyncPoint};

pub(crate) struct Disk<'a>(pub(crate) &'a dyn Storage);

pub(crate) struct SegmentContent {
    pub(crate) bytes: Vec<u8>,
    /// The header is no good, or the disk could not read all of it.
    pub(crate) is_damaged: bool,
}

impl Disk<'_> {
    pub(crate) fn error(&self, doing: impl Into<String>, source: io::Error) -> OpenError {
        OpenError::Io { location: self.0.location(), doing: doing.into(), source }
    }

    pub(crate) fn io<T>(&self, doing: &str, result: io::Result<T>) -> Result<T, OpenError> {
        result.map_err(|source| self.error(doing, source))
    }

    pub(crate) fn publish_error(&self, what: &str, error: PublishError) -> OpenError {
        match error {
            PublishError::Refused(source) => self.error(format!("write {what}"), source),
            PublishError::Sync(source) => self.error(format!("sync {what}"), source),
        }
    }

    fn newer_version(&self, file: &str, version: u32) -> OpenError {
        let location = self.0.location();
        OpenError::Version { location, file: file.to_owned(), version, supported: FORMAT_VERSION }
    }

    /// Removes what a crash left half-made, makes all names durable and returns them.
    pub(crate) fn tidy(&self) -> Result<Vec<String>, OpenError> {
        self.io("sync the directory above", self.0.sync_parent(SyncPoint::ParentDirectory))?;
        let mut files = self.io("list the directory", self.0.list())?;
        for temporary in files.iter().filter(|file| file.ends_with(TEMPORARY_SUFFIX)) {
            self.io("remove a temporary file", self.0.remove(temporary))?;
        }
        self.io("sync the directory", self.0.sync_dir(SyncPoint::DirectoryRecovered))?;
        files.retain(|file| !file.ends_with(TEMPORARY_SUFFIX));
        Ok(files)
    }

    /// The saved state, and whether there is a damaged one.
    pub(crate) fn read_state(&self, files: &[String]) -> Result<(Option<State>, bool), OpenError> {
        let is_there = |name: &str| files.iter().any(|file| file == name);
        if !is_there(STATE_FILE) {
            return Ok((None, is_there(DAMAGED_STATE_FILE)));
        }
        let file = self.io("open the state file", self.0.open(STATE_FILE))?;
        let content = self.io("read the state file", segment::read_all(&*file))?;
        match State::decode(&content.bytes) {
            Decoded::State(state) => Ok((Some(state), is_there(DAMAGED_STATE_FILE))),
            Decoded::Version(version) => Err(self.newer_version(STATE_FILE, version)),
            Decoded::Damaged => {
                self.io("set the damaged state file aside", self.0.rename(STATE_FILE, DAMAGED_STATE_FILE))?;
                Ok((None, true))
            }
        }
    }

    /// The journal's id, which all intact headers and the state must agree on; `None` if there is none yet.
    pub(crate) fn identify(
        &self,
        names: &[SegmentName],
        state: Option<&State>,
    ) -> Result<Option<Uuid>, OpenError> {
        let mut journal = state.map(|state| state.journal);
        for &name in names {
            let mut bytes = [0; SEGMENT_HEADER_BYTES];
            // Too short or unreadable is damage, which is dealt with when the records are read.
            let _ = self.open(name)?.read_exact_at(&mut bytes, 0);
            let Some(header) = SegmentHeader::decode(&bytes) else { continue };
            if header.version != FORMAT_VERSION {
                return Err(self.newer_version(&name.file(), header.version));
            }
            let expected = *journal.get_or_insert(header.journal);
            if header.journal != expected {
                let (location, file) = (self.0.location(), name.file());
                return Err(OpenError::Foreign { location, file, found: header.journal, expected });
            }
        }
        Ok(journal)
    }

    fn open(&self, name: SegmentName) -> Result<Box<dyn StorageFile>, OpenError> {
        self.0.open(&name.file()).map_err(|e| self.error(format!("open {}", name.file()), e))
    }

    pub(crate) fn read_segment(
        &self,
        name: SegmentName,
    ) -> Result<(Box<dyn StorageFile>, SegmentContent), OpenError> {
        let file = self.open(name)?;
        let Content { bytes, unreadable } =
            segment::read_all(&*file).map_err(|e| self.error(format!("read {}", name.file()), e))?;
        let intact = SegmentHeader::decode(&bytes).is_some_and(|header| header.first_seq == name.first_seq);
        Ok((file, SegmentContent { bytes, is_damaged: unreadable || !intact }))
    }

    pub(crate) fn set_aside(&self, name: SegmentName, aside: SegmentName) -> Result<(), OpenError> {
        if name == aside {
            return Ok(());
        }
        // No sync: should the old name come back, the same damage is found under it again.
        self.io("set a damaged segment aside", self.0.rename(&name.file(), &aside.file()))
    }
}
