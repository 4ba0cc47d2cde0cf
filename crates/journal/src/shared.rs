//! What the journal's handles and its writer thread have in common.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use uuid::Uuid;

use crate::index::Index;
use crate::storage::Storage;
use crate::{AppendError, FullReason, Limits};

pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) limits: Limits,
    pub(crate) journal: Uuid,
    index: Mutex<Index>,
    broken: OnceLock<Arc<str>>,
    /// The last group, if it was refused for want of room.
    full: Mutex<Option<Refused>>,
    pub(crate) appended_records: AtomicU64,
    pub(crate) group_syncs: AtomicU64,
    pub(crate) refused_records: AtomicU64,
}

/// A group that found no room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused {
    pub(crate) reason: FullReason,
    pub(crate) records: usize,
    pub(crate) bytes: u64,
}

impl Shared {
    pub(crate) fn new(storage: Arc<dyn Storage>, limits: Limits, journal: Uuid, index: Index) -> Self {
        Self {
            storage,
            limits,
            journal,
            index: Mutex::new(index),
            broken: OnceLock::new(),
            full: Mutex::new(None),
            appended_records: AtomicU64::new(0),
            group_syncs: AtomicU64::new(0),
            refused_records: AtomicU64::new(0),
        }
    }

    /// Held for look-ups and updates only, never while the disk is waited for.
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on every append is refused, with the first reason given, which is returned.
    pub(crate) fn break_down(&self, reason: String) -> Arc<str> {
        tracing::error!(
            journal = self.storage.location(),
            reason,
            "journal broken: records are refused until it is opened again; check the disk, then restart"
        );
        Arc::clone(self.broken.get_or_init(|| reason.into()))
    }

    pub(crate) fn broken(&self) -> Option<Arc<str>> {
        self.broken.get().cloned()
    }

    pub(crate) fn check_broken(&self) -> Result<(), AppendError> {
        match self.broken() {
            None => Ok(()),
            Some(reason) => Err(AppendError::Broken { reason }),
        }
    }

    /// Which limit this many more records would break.
    pub(crate) fn over_limit(&self, records: usize, bytes: u64) -> io::Result<Option<FullReason>> {
        let limits = &self.limits;
        let free_bytes = self.storage.free_bytes()?;
        let index = self.index();
        Ok(if index.bytes() + bytes > limits.journal_bytes_max {
            Some(FullReason::JournalBytes)
        } else if index.held_records() + records > limits.pending_records_max {
            Some(FullReason::PendingRecords)
        } else if free_bytes < limits.disk_reserve_bytes.saturating_add(bytes) {
            Some(FullReason::Disk)
        } else {
            None
        })
    }

    /// What the last group met, said once when it changes.
    pub(crate) fn last_was_refused(&self, refused: Option<Refused>) {
        let before = {
            let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *full, refused).map(|before| before.reason)
        };
        let journal = self.storage.location();
        match (before, refused.map(|refused| refused.reason)) {
            (before, Some(reason)) if before != Some(reason) => tracing::error!(
                journal,
                %reason,
                "the journal is full: records are refused until there is room (docs/runbook.md#journal)"
            ),
            (Some(_), None) => tracing::info!(journal, "the journal has room again and takes records"),
            _ => {}
        }
    }

    /// Why records are refused: the last group was, and it would be again.
    pub(crate) fn full(&self) -> Option<FullReason> {
        let last = *self.full.lock().unwrap_or_else(PoisonError::into_inner);
        last.and_then(|refused| self.over_limit(refused.records, refused.bytes).ok().flatten())
    }

    pub(crate) fn count(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }
}
