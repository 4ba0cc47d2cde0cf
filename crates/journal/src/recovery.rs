//! Opening: reads every segment, cuts off a torn tail, sets damage aside, and finds out what is missing.
//!
//! Order matters. Names and the newest segment are synced before anything read from them is handed out: a process
//! that was killed (no power cut) left them in memory only, and a later power cut would take them away again.

use std::io;
use std::ops::RangeInclusive;

use uuid::Uuid;

use crate::format::{FORMAT_VERSION, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, Seed, SegmentHeader};
use crate::index::Index;
use crate::ranges::RangeSet;
use crate::segment::{self, Content, SegmentName, StepError, TEMPORARY_SUFFIX};
use crate::state::{DAMAGED_STATE_FILE, Decoded, STATE_FILE, State};
use crate::storage::{Storage, StorageFile, SyncPoint};
use crate::writer::Active;
use crate::{Limits, OpenError};

/// What opening found. Only `damaged`, `missing` and `state_damaged` ask for action: a crash or a power cut alone
/// never causes them, a failing disk or a hand in the directory does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// There was no journal; this one has a new id.
    pub created: bool,
    pub segments: usize,
    pub pending_records: usize,
    /// Bytes of records that were being written, and so not acknowledged, when the process or the power went.
    pub torn_bytes: u64,
    /// Segments with damage. They are kept, read as far as they can be, and reported at every opening until
    /// somebody moves them away.
    pub damaged: Vec<Damaged>,
    /// Acknowledged and not forgotten, but in no segment. Reported at every opening until passed to
    /// [`Journal::forget`](crate::Journal::forget).
    pub missing: Vec<RangeInclusive<u64>>,
    /// The state file could not be read and is kept aside: records already stored elsewhere are handed out again,
    /// and those of deleted segments are counted as missing.
    pub state_damaged: bool,
}

/// A segment set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Its name in the journal's directory.
    pub file: String,
    /// Records that could still be read out of it.
    pub readable_records: usize,
    pub damaged_bytes: u64,
}

impl Recovery {
    /// Whether acknowledged records may be lost: to be shown to the operator.
    pub fn needs_attention(&self) -> bool {
        !self.damaged.is_empty() || !self.missing.is_empty() || self.state_damaged
    }
}

/// An opened journal, before its writer thread is started.
pub(crate) struct Recovered {
    pub(crate) journal: Uuid,
    pub(crate) index: Index,
    pub(crate) active: Active,
    pub(crate) saved_next_seq: u64,
    pub(crate) report: Recovery,
}

/// One segment file that was read.
struct Read {
    file: Box<dyn StorageFile>,
    content: Content,
    header: Option<SegmentHeader>,
}

/// Opens the journal; the caller holds the lock.
pub(crate) fn recover(storage: &dyn Storage, limits: &Limits) -> Result<Recovered, OpenError> {
    let disk = Disk(storage);
    disk.io("sync the directory above", storage.sync_parent(SyncPoint::ParentDirectory))?;
    let files = disk.io("list the directory", storage.list())?;
    for temporary in files.iter().filter(|file| file.ends_with(TEMPORARY_SUFFIX)) {
        disk.io("remove a temporary file", storage.remove(temporary))?;
    }
    disk.io("sync the directory", storage.sync_dir(SyncPoint::DirectoryRecovered))?;

    let mut report = Recovery::default();
    let state = disk.read_state(&files, &mut report)?;
    let mut names: Vec<SegmentName> = files.iter().filter_map(|file| SegmentName::parse(file)).collect();
    names.sort_unstable();
    // A copy somebody made of a segment that was mended since is not part of the journal.
    names.dedup_by_key(|name| name.first_seq);
    let journal = disk.identify(&names, state.as_ref())?;
    report.created = journal.is_none();
    let journal = journal.unwrap_or_else(Uuid::new_v4);

    let (durable_below, forgotten) = state.map_or((1, RangeSet::default()), |s| (s.next_seq, s.forgotten));
    let mut index = Index::new(1, forgotten);
    let mut found = RangeSet::default();
    let mut active = None;
    let mut next_seq = durable_below.max(index.forgotten().max() + 1);
    for (position, &name) in names.iter().enumerate() {
        let next_first_seq = names.get(position + 1).map(|next| next.first_seq);
        let read = disk.read_segment(name)?;
        let seed = Seed::new(journal, name.first_seq);
        let scan = segment::scan(&read.content.bytes, seed, name.first_seq, next_first_seq, durable_below);
        let end_seq = scan.entries.last().map_or(name.first_seq, |entry| entry.seq + 1);
        next_seq = next_seq.max(end_seq);
        let ends_early = end_seq < next_first_seq.unwrap_or(durable_below);
        let mut bytes = read.content.bytes.len() as u64;
        let unread_bytes = bytes - scan.end;
        let damaged = name.damaged
            || read.header.is_none()
            || read.content.unreadable
            || scan.damaged_bytes > 0
            || (ends_early && unread_bytes > 0);
        if next_first_seq.is_none() {
            if damaged {
                // What cannot be read at its end were records too, and their seqs must not be given out again.
                let skipped = next_seq..=next_seq + unread_bytes / RECORD_HEADER_BYTES as u64;
                next_seq = skipped.end() + 1;
                index.skip(skipped);
            } else if unread_bytes > 0 {
                report.torn_bytes = unread_bytes;
                bytes = scan.end;
                disk.io("cut off a torn tail", read.file.set_bytes(bytes))?;
            }
            disk.io("sync the newest segment", read.file.sync(SyncPoint::TailRecovered))?;
        }
        let kept = SegmentName { damaged, ..name };
        if damaged {
            disk.set_aside(name, kept)?;
            let tail_bytes = if ends_early || next_first_seq.is_none() { unread_bytes } else { 0 };
            let damaged_bytes = scan.damaged_bytes + tail_bytes;
            report.damaged.push(Damaged {
                file: kept.file(),
                readable_records: scan.entries.len(),
                damaged_bytes,
            });
        }
        index.add_segment(kept, bytes);
        for entry in scan.entries {
            found.insert(entry.seq..=entry.seq);
            index.add_record(kept, entry);
        }
        active = (!damaged && end_seq == next_seq && bytes < limits.segment_bytes_max).then_some(Active {
            first_seq: name.first_seq,
            file: read.file,
            bytes,
        });
    }

    index.next_seq = next_seq;
    let active = match active {
        Some(active) => active,
        None => {
            let file = segment::create(storage, journal, next_seq).map_err(|e| match e {
                StepError::Refused(source) => disk.error("begin a segment", source),
                StepError::Sync(source) => disk.error("sync a new segment", source),
            })?;
            let active = Active { first_seq: next_seq, file, bytes: SEGMENT_HEADER_BYTES as u64 };
            index.add_segment(active.name(), active.bytes);
            active
        }
    };
    for range in index.forgotten().iter() {
        found.insert(range);
    }
    report.missing = found.gaps(1..=next_seq - 1);
    report.segments = index.segments();
    report.pending_records = index.pending_records();
    Ok(Recovered { journal, index, active, saved_next_seq: durable_below, report })
}

/// [`Storage`] with errors that say what was being done.
struct Disk<'a>(&'a dyn Storage);

impl Disk<'_> {
    fn error(&self, doing: impl Into<String>, source: io::Error) -> OpenError {
        OpenError::Io { location: self.0.location(), doing: doing.into(), source }
    }

    fn io<T>(&self, doing: &str, result: io::Result<T>) -> Result<T, OpenError> {
        result.map_err(|source| self.error(doing, source))
    }

    fn newer_version(&self, file: &str, version: u32) -> OpenError {
        let location = self.0.location();
        OpenError::Version { location, file: file.to_owned(), version, supported: FORMAT_VERSION }
    }

    fn read_state(&self, files: &[String], report: &mut Recovery) -> Result<Option<State>, OpenError> {
        report.state_damaged = files.iter().any(|file| file == DAMAGED_STATE_FILE);
        if !files.iter().any(|file| file == STATE_FILE) {
            return Ok(None);
        }
        let file = self.io("open the state file", self.0.open(STATE_FILE))?;
        let content = self.io("read the state file", segment::read_all(&*file))?;
        match State::decode(&content.bytes) {
            Decoded::State(state) => Ok(Some(state)),
            Decoded::Version(version) => Err(self.newer_version(STATE_FILE, version)),
            Decoded::Damaged => {
                self.io("set the damaged state file aside", self.0.rename(STATE_FILE, DAMAGED_STATE_FILE))?;
                report.state_damaged = true;
                Ok(None)
            }
        }
    }

    /// The journal's id, which all intact headers and the state must agree on; `None` if there is none yet.
    fn identify(&self, names: &[SegmentName], state: Option<&State>) -> Result<Option<Uuid>, OpenError> {
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
        // No intact header at all: an id is believed if the checksums of records agree with it.
        for &name in names.iter().filter(|_| journal.is_none()) {
            let bytes = self.read_segment(name)?.content.bytes;
            let Some(claimed) = SegmentHeader::claimed_journal(&bytes) else { continue };
            let seed = Seed::new(claimed, name.first_seq);
            let scan = segment::scan(&bytes, seed, name.first_seq, None, u64::MAX);
            if !scan.entries.is_empty() {
                return Ok(Some(claimed));
            }
        }
        Ok(journal)
    }

    fn open(&self, name: SegmentName) -> Result<Box<dyn StorageFile>, OpenError> {
        self.0.open(&name.file()).map_err(|e| self.error(format!("open {}", name.file()), e))
    }

    fn read_segment(&self, name: SegmentName) -> Result<Read, OpenError> {
        let file = self.open(name)?;
        let content =
            segment::read_all(&*file).map_err(|e| self.error(format!("read {}", name.file()), e))?;
        let header =
            SegmentHeader::decode(&content.bytes).filter(|header| header.first_seq == name.first_seq);
        Ok(Read { file, content, header })
    }

    fn set_aside(&self, name: SegmentName, aside: SegmentName) -> Result<(), OpenError> {
        if name == aside {
            return Ok(());
        }
        // No sync: should the old name come back, the same damage is found under it again.
        self.io("set a damaged segment aside", self.0.rename(&name.file(), &aside.file()))
    }
}
