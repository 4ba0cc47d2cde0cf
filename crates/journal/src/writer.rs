//! The one thread that writes: takes what has queued up, writes it, syncs once, answers everybody.
//!
//! Architecture invariant: nothing else changes files once the journal is open.

use std::io;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::format::{SEGMENT_HEADER_BYTES, Seed, encode_record, record_bytes};
use crate::publish::PublishError;
use crate::segment::{self, Entry, SegmentName};
use crate::shared::{Refused, Shared};
use crate::state::State;
use crate::storage::{StorageFile, SyncPoint, is_full};
use crate::{AppendError, FullReason, Record};

/// A full journal is looked at again about this often; the database is usually back by then.
const FULL_RETRY_AFTER_S: u32 = 5;
/// Records forgotten without the state being saved. After a crash they are handed out once more.
const UNSAVED_RECORDS_MAX: u64 = 4096;

pub(crate) enum Command {
    Append(Request),
    /// Records were forgotten: see whether segments can go.
    Forgotten,
    /// Everything queued before this is done; save the state, release the lock, stop.
    Close(oneshot::Sender<()>),
}

pub(crate) struct Request {
    pub(crate) record: Record,
    pub(crate) reply: oneshot::Sender<Result<u64, AppendError>>,
    /// Its share of `queue_bytes_max`, given back when the request is answered.
    pub(crate) _queued: OwnedSemaphorePermit,
}

impl Request {
    fn bytes(&self) -> u64 {
        record_bytes(self.record.key.len(), self.record.body.len())
    }
}

/// The segment being written.
pub(crate) struct Active {
    pub(crate) first_seq: u64,
    pub(crate) file: Box<dyn StorageFile>,
    /// Length up to which all is durable.
    pub(crate) bytes: u64,
}

impl Active {
    pub(crate) fn name(&self) -> SegmentName {
        SegmentName { first_seq: self.first_seq, damaged: false }
    }

    fn is_empty(&self) -> bool {
        self.bytes == SEGMENT_HEADER_BYTES as u64
    }
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    commands: mpsc::Receiver<Command>,
    /// Taken from the queue, but for the next turn.
    carried: Option<Command>,
    active: Active,
    /// Next seq as the last saved state has it.
    saved_next_seq: u64,
    buffer: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        commands: mpsc::Receiver<Command>,
        active: Active,
        saved_next_seq: u64,
    ) -> Self {
        Self { shared, commands, carried: None, active, saved_next_seq, buffer: Vec::new() }
    }

    /// Until closed, or until every handle is gone and the queue is empty.
    pub(crate) fn run(mut self) {
        let closed = loop {
            match self.carried.take().or_else(|| self.commands.blocking_recv()) {
                Some(Command::Append(first)) => {
                    let group = self.collect_group(first);
                    self.append(group);
                    self.reclaim();
                }
                Some(Command::Forgotten) => self.reclaim(),
                Some(Command::Close(done)) => break Some(done),
                None => break None,
            }
        };
        let state_is_stale = {
            let index = self.shared.index();
            index.next_seq != self.saved_next_seq || index.unsaved() > 0
        };
        if state_is_stale {
            self.save_state();
        }
        self.shared.storage.unlock();
        if let Some(done) = closed {
            // Whoever asked may have stopped waiting.
            let _ = done.send(());
        }
    }

    /// What has queued up behind `first`, as far as it shares a segment and an fsync with it.
    fn collect_group(&mut self, first: Request) -> Vec<Request> {
        let limits = &self.shared.limits;
        let room = limits.segment_bytes_max.saturating_sub(self.active.bytes);
        let fresh_room = limits.segment_bytes_max - SEGMENT_HEADER_BYTES as u64;
        let bytes_max =
            if first.bytes() <= room { room } else { fresh_room }.min(limits.group_bytes_max as u64);
        let mut bytes = first.bytes();
        let mut group = vec![first];
        while group.len() < limits.group_records_max {
            match self.commands.try_recv() {
                Ok(Command::Append(request)) if bytes + request.bytes() <= bytes_max => {
                    bytes += request.bytes();
                    group.push(request);
                }
                // Room is looked for after every group anyway.
                Ok(Command::Forgotten) => {}
                Ok(command) => {
                    self.carried = Some(command);
                    break;
                }
                Err(_) => break,
            }
        }
        group
    }

    fn append(&mut self, group: Vec<Request>) {
        match self.write(&group) {
            Ok(first_seq) => {
                Shared::count(&self.shared.appended_records, group.len());
                self.shared.last_was_refused(None);
                for (seq, request) in (first_seq..).zip(group) {
                    // A caller that stopped waiting gets no answer; its record stays.
                    let _ = request.reply.send(Ok(seq));
                }
            }
            Err(error) => {
                Shared::count(&self.shared.refused_records, group.len());
                if let AppendError::Full { reason, .. } = error {
                    let bytes = group.iter().map(Request::bytes).sum();
                    self.shared.last_was_refused(Some(Refused { reason, records: group.len(), bytes }));
                }
                for request in group {
                    let _ = request.reply.send(Err(error.clone()));
                }
            }
        }
    }

    /// Makes the group durable and returns its first seq.
    fn write(&mut self, group: &[Request]) -> Result<u64, AppendError> {
        self.shared.check_broken()?;
        let bytes = group.iter().map(Request::bytes).sum();
        self.make_room(group.len(), bytes)?;
        if self.active.bytes + bytes > self.shared.limits.segment_bytes_max {
            self.rotate()?;
        }
        let first_seq = self.shared.index().next_seq;
        let entries = self.encode(group, first_seq);
        if let Err(e) = self.active.file.write_all_at(&self.buffer, self.active.bytes) {
            return Err(self.write_failed(e));
        }
        if let Err(e) = self.active.file.sync(SyncPoint::Group) {
            // The page cache still has what the disk may not: cut it off, so that the next opening does not hand
            // it out as durable. Should this fail as well, there is nothing more to be done here.
            let _ = self.active.file.set_bytes(self.active.bytes);
            return Err(self.broken("fsync of a segment", &e));
        }
        Shared::count(&self.shared.group_syncs, 1);
        self.active.bytes += bytes;
        let mut index = self.shared.index();
        index.set_segment_bytes(self.active.first_seq, self.active.bytes);
        for entry in entries {
            index.add_record(self.active.name(), entry);
        }
        index.next_seq += group.len() as u64;
        Ok(first_seq)
    }

    fn encode(&mut self, group: &[Request], first_seq: u64) -> Vec<Entry> {
        let seed = Seed::new(self.shared.journal, self.active.first_seq);
        self.buffer.clear();
        (first_seq..)
            .zip(group)
            .map(|(seq, Request { record, .. })| {
                let start = self.buffer.len();
                encode_record(&mut self.buffer, seed, seq, first_seq, record);
                Entry {
                    seq,
                    offset: self.active.bytes + start as u64,
                    bytes: (self.buffer.len() - start) as u32,
                    received_us: record.received_us,
                }
            })
            .collect()
    }

    /// Cuts off what was written of a group. No sync: until the next group is durable, what comes back after a
    /// power cut is a torn tail or records nobody was told about; if that group goes into another segment,
    /// recovery ignores records here whose seqs belong there.
    fn write_failed(&mut self, error: io::Error) -> AppendError {
        if !is_full(&error) {
            return self.broken("writing a segment", &error);
        }
        match self.active.file.set_bytes(self.active.bytes) {
            Ok(()) => full(FullReason::Disk),
            Err(e) => self.broken("cutting off a half-written group", &e),
        }
    }

    fn broken(&self, doing: &str, error: &io::Error) -> AppendError {
        AppendError::Broken { reason: self.shared.break_down(format!("{doing}: {error}")) }
    }

    /// Answers `Full` before the disk is, so that there is room left for what frees room.
    fn make_room(&mut self, records: usize, bytes: u64) -> Result<(), AppendError> {
        if self.over_limit(records, bytes)?.is_none() {
            return Ok(());
        }
        if !self.active.is_empty() && !self.shared.index().holds(self.active.first_seq) {
            // Everything in the segment being written is done with: let it go as well.
            self.rotate()?;
        }
        self.reclaim();
        self.shared.check_broken()?;
        match self.over_limit(records, bytes)? {
            None => Ok(()),
            Some(reason) => Err(full(reason)),
        }
    }

    fn over_limit(&self, records: usize, bytes: u64) -> Result<Option<FullReason>, AppendError> {
        self.shared.over_limit(records, bytes).map_err(|e| self.broken("asking for free space", &e))
    }

    fn rotate(&mut self) -> Result<(), AppendError> {
        let first_seq = self.shared.index().next_seq;
        match segment::create(&*self.shared.storage, self.shared.journal, first_seq) {
            Ok(file) => {
                self.active = Active { first_seq, file, bytes: SEGMENT_HEADER_BYTES as u64 };
                self.shared.index().add_segment(self.active.name(), self.active.bytes);
                Ok(())
            }
            Err(PublishError::Refused(e)) if is_full(&e) => Err(full(FullReason::Disk)),
            Err(PublishError::Refused(e)) => Err(self.broken("beginning a segment", &e)),
            Err(PublishError::Sync(e)) => Err(self.broken("fsync of a new segment", &e)),
        }
    }

    /// Deletes segments that nobody needs, and saves the state where that is due.
    fn reclaim(&mut self) {
        let (deletable, unsaved) = {
            let index = self.shared.index();
            (index.deletable(), index.unsaved())
        };
        if deletable.is_empty() && unsaved < UNSAVED_RECORDS_MAX {
            return;
        }
        // The state first: it is what tells a deleted segment from a lost one.
        if !self.save_state() {
            return;
        }
        for name in deletable {
            // No sync: should the file come back after a power cut, the state says that it is done with.
            match self.shared.storage.remove(&name.file()) {
                Ok(()) => self.shared.index().deleted(name),
                Err(error) => {
                    tracing::warn!(%error, file = name.file(), "cannot delete a segment; trying later")
                }
            }
        }
    }

    fn save_state(&mut self) -> bool {
        if self.shared.broken().is_some() {
            return false;
        }
        let (state, unsaved) = {
            let index = self.shared.index();
            let done = index.done().clone();
            (State { journal: self.shared.journal, next_seq: index.next_seq, done }, index.unsaved())
        };
        match state.save(&*self.shared.storage) {
            Ok(()) => {
                self.saved_next_seq = state.next_seq;
                self.shared.index().saved(unsaved);
                true
            }
            Err(PublishError::Refused(error)) => {
                tracing::warn!(%error, "cannot save which records are done with; trying later");
                false
            }
            Err(PublishError::Sync(error)) => {
                self.broken("fsync of the state", &error);
                false
            }
        }
    }
}

fn full(reason: FullReason) -> AppendError {
    AppendError::Full { reason, retry_after_s: FULL_RETRY_AFTER_S }
}
