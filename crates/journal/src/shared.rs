//! What the journal's handles and its writer thread have in common.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use uuid::Uuid;

use crate::index::Index;
use crate::storage::Storage;
use crate::{AppendError, Limits};

pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) limits: Limits,
    pub(crate) journal: Uuid,
    index: Mutex<Index>,
    broken: OnceLock<Arc<str>>,
    pub(crate) appended_records: AtomicU64,
    pub(crate) group_syncs: AtomicU64,
    pub(crate) refused_records: AtomicU64,
}

impl Shared {
    pub(crate) fn new(storage: Arc<dyn Storage>, limits: Limits, journal: Uuid, index: Index) -> Self {
        Self {
            storage,
            limits,
            journal,
            index: Mutex::new(index),
            broken: OnceLock::new(),
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

    pub(crate) fn count(counter: &AtomicU64, n: usize) {
        counter.fetch_add(n as u64, Ordering::Relaxed);
    }
}
