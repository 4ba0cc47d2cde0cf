//! What the platform may forget: each table that only grows by use has an age, and is swept in bounded pieces.

use serde::Serialize;

use crate::{Result, Scope, Store};
use crate::{accounting, sessions};

/// Rows of one table deleted by one transaction at most, so that none holds anyone up.
pub const PIECE_ROWS_MAX: i64 = 10_000;

/// Transactions of one sweep at most; what is left waits for the next.
pub const PIECES_MAX: usize = 500;

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
    /// Hours of the ledger that are older than four hundred days.
    pub ledger: u64,
    /// Sessions of runs of FreeSWITCH that ended four hundred days ago, and names of those whose record came.
    pub sessions: u64,
}

impl Store {
    /// Sweeps until nothing old is left, piece by piece. Call it a few times a day, on one node or both.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable); what was swept before it stays swept.
    pub async fn sweep(&self) -> Result<Swept> {
        let mut swept = Swept::default();
        for _ in 0..PIECES_MAX {
            let piece = self.sweep_piece().await?;
            swept.idempotency_keys += piece.idempotency_keys;
            swept.receipts += piece.receipts;
            swept.sip_dialogs += piece.sip_dialogs;
            swept.ledger += piece.ledger;
            swept.sessions += piece.sessions;
            let piece =
                [piece.idempotency_keys, piece.receipts, piece.sip_dialogs, piece.ledger, piece.sessions];
            let most = piece.into_iter().max().unwrap_or_default();
            if most < PIECE_ROWS_MAX.unsigned_abs() {
                break;
            }
        }
        Ok(swept)
    }

    async fn sweep_piece(&self) -> Result<Swept> {
        let mut transaction = self.write(Scope::Platform).await?;
        let piece = Swept {
            idempotency_keys: transaction.execute(IDEMPOTENCY_KEYS, &[&PIECE_ROWS_MAX]).await?,
            receipts: transaction.execute(RECEIPTS, &[&PIECE_ROWS_MAX]).await?,
            sip_dialogs: transaction.execute(SIP_DIALOGS, &[&PIECE_ROWS_MAX]).await?,
            ledger: transaction.execute(LEDGER, &[&PIECE_ROWS_MAX]).await?,
            sessions: transaction.execute(sessions::FORGET, &[&PIECE_ROWS_MAX]).await?
                + transaction.execute(sessions::FORGET_NAMES, &[&PIECE_ROWS_MAX]).await?,
        };
        transaction.execute(accounting::ADD_UP, &[&PIECE_ROWS_MAX]).await?;
        transaction.commit().await?;
        Ok(piece)
    }
}

pub(crate) const IDEMPOTENCY_KEYS: &str = "DELETE FROM voip.idempotency_keys WHERE (who, key) IN (
    SELECT who, key FROM voip.idempotency_keys WHERE created_at < now() - interval '1 day' LIMIT $1)";
pub(crate) const RECEIPTS: &str = "DELETE FROM voip.cdr_receipts WHERE id IN (
    SELECT id FROM voip.cdr_receipts WHERE created_at < now() - interval '30 days' ORDER BY id LIMIT $1)";
pub(crate) const SIP_DIALOGS: &str = "DELETE FROM voip.sip_dialogs WHERE (call_id, from_tag) IN (
    SELECT call_id, from_tag FROM voip.sip_dialogs WHERE updated_at < now() - interval '7 days' LIMIT $1)";
pub(crate) const LEDGER: &str = "DELETE FROM voip.cdr_ledger WHERE id IN (
    SELECT id FROM voip.cdr_ledger WHERE hour < now() - interval '400 days' LIMIT $1)";
