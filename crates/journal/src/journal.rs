//! The handle: what callers see of a journal.

use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use uuid::Uuid;

use crate::format::record_bytes;
use crate::limits::KEY_BYTES_MAX;
use crate::recovery::{Recovered, recover};
use crate::shared::Shared;
use crate::storage::Storage;
use crate::writer::{Command, Request, Writer};
use crate::{AppendError, FsStorage, FullReason, Limits, OpenError, Recovery, reader};

/// One thing to be kept until it is known to be stored elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The caller's; the journal does not look at it.
    pub kind: u8,
    /// When it was received, microseconds since 1970-01-01 UTC, by the caller's clock.
    pub received_us: i64,
    /// At most [`KEY_BYTES_MAX`] bytes.
    pub key: String,
    /// At most [`Limits::body_bytes_max`] bytes.
    pub body: Bytes,
}

/// A handle to an open journal; clones share it. When the last one is dropped the queue is written out, which
/// blocks; [`Journal::close`] does the same without blocking.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    /// Bounds the bytes in the queue, one permit a byte.
    queue_bytes: Arc<Semaphore>,
    /// `None` only while the last handle is being dropped.
    commands: Option<mpsc::Sender<Command>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// Figures for metrics and health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Of all segment files but the damaged ones: what [`Limits::journal_bytes_max`] bounds.
    pub bytes: u64,
    pub damaged_bytes: u64,
    /// Files, damaged ones included.
    pub segments: usize,
    /// Records not forgotten.
    pub pending_records: usize,
    /// When the first of them was received; `None` if there is none.
    pub pending_oldest_received_us: Option<i64>,
    /// Records that were durable but cannot be read back since the journal was opened.
    pub unreadable_records: usize,
    /// The next record's seq: one more than the last one given out.
    pub next_seq: u64,
    /// Since the journal was opened.
    pub appended_records: u64,
    /// Appends that were refused for want of room or because the journal is broken, since it was opened.
    pub refused_records: u64,
    /// fsyncs that acknowledged records, since the journal was opened.
    pub group_syncs: u64,
    /// Why the journal takes no more records; see [`AppendError::Broken`].
    pub broken: Option<Arc<str>>,
    /// Why the next record would be refused for want of room; see [`AppendError::Full`].
    pub full: Option<FullReason>,
}

impl Journal {
    /// Opens the journal in `directory`, or creates it (the directory above must exist). Blocks: reads every
    /// segment, 16 MiB in a few milliseconds each.
    ///
    /// # Errors
    /// See [`OpenError`]. Records that cannot be read are no error but are told in [`Recovery`].
    pub fn open(directory: impl AsRef<Path>, limits: Limits) -> Result<(Self, Recovery), OpenError> {
        Self::open_on(Arc::new(FsStorage::new(directory.as_ref())), limits)
    }

    /// The same on any storage: for tests that model disks that fail.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_on(storage: Arc<dyn Storage>, limits: Limits) -> Result<(Self, Recovery), OpenError> {
        limits.check()?;
        let io =
            |doing: &str, source| OpenError::Io { location: storage.location(), doing: doing.into(), source };
        storage.create_dir().map_err(|e| io("create the directory (the one above must exist)", e))?;
        if let Some(holder) = storage.try_lock().map_err(|e| io("take the lock", e))? {
            return Err(OpenError::Locked { location: storage.location(), holder });
        }
        let Recovered { journal, index, active, saved_next_seq, report } =
            recover(&*storage).inspect_err(|_| storage.unlock())?;
        if report.needs_attention() {
            tracing::error!(
                journal = storage.location(),
                damaged = ?report.damaged, missing = ?report.missing, state_damaged = report.state_damaged,
                "the journal's files are damaged: everything readable is kept; check the disk"
            );
        }

        let (commands, queue) = mpsc::channel(limits.queue_records_max);
        let queue_bytes = Arc::new(Semaphore::new(limits.queue_bytes_max as usize));
        let shared = Arc::new(Shared::new(Arc::clone(&storage), limits, journal, index));
        let writer = Writer::new(Arc::clone(&shared), queue, active, saved_next_seq);
        let writer = std::thread::Builder::new()
            .name("journal".into())
            .spawn(|| writer.run())
            .map_err(|e| io("start the writer thread", e))
            .inspect_err(|_| storage.unlock())?;
        let writer = Mutex::new(Some(writer));
        let inner = Inner { shared, queue_bytes, commands: Some(commands), writer };
        Ok((Self { inner: Arc::new(inner) }, report))
    }

    /// Made when the journal was created; seqs are unique within it for ever.
    pub fn id(&self) -> Uuid {
        self.inner.shared.journal
    }

    /// Stores the record and returns its seq once it survives a power cut. Waits for a place in the queue and for
    /// the fsync; records appended at the same time share one. Dropping the future does not take the record back.
    ///
    /// # Errors
    /// See [`AppendError`]: the record is then not acknowledged.
    pub async fn append(&self, record: Record) -> Result<u64, AppendError> {
        let Inner { shared, queue_bytes, commands, .. } = &*self.inner;
        for (part, bytes, bytes_max) in [
            ("key", record.key.len(), KEY_BYTES_MAX),
            ("body", record.body.len(), shared.limits.body_bytes_max),
        ] {
            if bytes > bytes_max {
                return Err(AppendError::TooLarge { part, bytes, bytes_max });
            }
        }
        shared.check_broken()?;
        // Fits: `Limits::check` saw to it that the queue holds the largest record.
        let bytes = record_bytes(record.key.len(), record.body.len()) as u32;
        let queued =
            Arc::clone(queue_bytes).acquire_many_owned(bytes).await.map_err(|_| AppendError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let commands = commands.as_ref().ok_or(AppendError::Closed)?;
        commands
            .send(Command::Append(Request { record, reply, _queued: queued }))
            .await
            .map_err(|_| AppendError::Closed)?;
        answer.await.unwrap_or(Err(AppendError::Closed))
    }

    /// Marks records as stored elsewhere: they are not handed out again, and segments of such records are deleted.
    /// Returns at once; after a crash some may be handed out once more. Seqs never given out are ignored.
    pub fn forget(&self, seqs: &[RangeInclusive<u64>]) {
        let Inner { shared, commands, .. } = &*self.inner;
        let mut all_known = true;
        {
            let mut index = shared.index();
            for range in seqs {
                all_known &= index.forget(range);
            }
        }
        if !all_known {
            tracing::warn!(journal = %shared.journal, ?seqs, "told to forget records the journal never held");
        }
        if let Some(commands) = commands {
            // A full queue needs no nudge: the writer looks for room after every group.
            let _ = commands.try_send(Command::Forgotten);
        }
    }

    /// Records behind `after_seq` that are not forgotten, by rising seq: up to `records_max`, and no more bytes
    /// than `bytes_max` but at least one record. Empty when there are none. Reads files (as a rule from the page
    /// cache), so it blocks a little; writing goes on meanwhile.
    ///
    /// # Errors
    /// When a segment cannot be opened. A record that cannot be read is skipped, logged and counted in
    /// [`Stats::unreadable_records`].
    pub fn read_pending(
        &self,
        after_seq: u64,
        records_max: usize,
        bytes_max: usize,
    ) -> io::Result<Vec<(u64, Record)>> {
        reader::read_pending(&self.inner.shared, after_seq, records_max, bytes_max)
    }

    /// Cheap enough for every scrape.
    pub fn stats(&self) -> Stats {
        let shared = &self.inner.shared;
        // Before the index is held: it asks the disk.
        let full = shared.full();
        let index = shared.index();
        Stats {
            bytes: index.bytes(),
            damaged_bytes: index.damaged_bytes(),
            segments: index.segments(),
            pending_records: index.pending_records(),
            pending_oldest_received_us: index.first_pending().map(|pending| pending.entry.received_us),
            unreadable_records: index.unreadable_records(),
            next_seq: index.next_seq,
            appended_records: shared.appended_records.load(Ordering::Relaxed),
            refused_records: shared.refused_records.load(Ordering::Relaxed),
            group_syncs: shared.group_syncs.load(Ordering::Relaxed),
            broken: shared.broken(),
            full,
        }
    }

    /// Writes out what is queued, saves what is forgotten and releases the directory. Later appends answer
    /// `Closed`. Closing twice is fine.
    pub async fn close(&self) {
        let Some(commands) = &self.inner.commands else { return };
        let (done, closed) = oneshot::channel();
        if commands.send(Command::Close(done)).await.is_ok() {
            // An error means that another close came first and is done.
            let _ = closed.await;
        }
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("id", &self.id())
            .field("location", &self.inner.shared.storage.location())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(writer) = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic in the writer was printed when it happened; its callers were told `Closed`.
            let _ = writer.join();
        }
    }
}
