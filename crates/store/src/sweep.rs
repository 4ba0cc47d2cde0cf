//! What the platform may forget: each table that only grows by use has an age, and is swept in bounded pieces.

use serde::Serialize;

use crate::{Result, Scope, Store};

/// Rows of one table deleted by one sweep at most, so that no sweep holds anyone up.
pub const SWEPT_ROWS_MAX: i64 = 10_000;

/// What a sweep deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Idempotency keys older than a day.
    pub idempotency_keys: u64,
    /// Receipts that their journal has not taken for thirty days: its node is gone. Should it come back, it gives its
    /// records again and gets new ones.
    pub receipts: u64,
    /// Evidence of SIP dialogs that has not changed for a week.
    pub sip_dialogs: u64,
}

impl Store {
    /// Sweeps once. Call it every hour or so, on one node or both.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn sweep(&self) -> Result<Swept> {
        let mut transaction = self.write(Scope::Platform).await?;
        let swept = Swept {
            idempotency_keys: transaction.execute(IDEMPOTENCY_KEYS, &[&SWEPT_ROWS_MAX]).await?,
            receipts: transaction.execute(RECEIPTS, &[&SWEPT_ROWS_MAX]).await?,
            sip_dialogs: transaction.execute(SIP_DIALOGS, &[&SWEPT_ROWS_MAX]).await?,
        };
        transaction.commit().await?;
        Ok(swept)
    }
}

pub(crate) const IDEMPOTENCY_KEYS: &str = "DELETE FROM voip.idempotency_keys WHERE (who, key) IN (
    SELECT who, key FROM voip.idempotency_keys WHERE created_at < now() - interval '1 day' LIMIT $1)";
pub(crate) const RECEIPTS: &str = "DELETE FROM voip.cdr_receipts WHERE id IN (
    SELECT id FROM voip.cdr_receipts WHERE created_at < now() - interval '30 days' ORDER BY id LIMIT $1)";
pub(crate) const SIP_DIALOGS: &str = "DELETE FROM voip.sip_dialogs WHERE (call_id, from_tag) IN (
    SELECT call_id, from_tag FROM voip.sip_dialogs WHERE updated_at < now() - interval '7 days' LIMIT $1)";
