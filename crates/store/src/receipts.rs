//! Receipts: which journal records are stored, on this server, for good.

use uuid::Uuid;

use crate::{Result, Scope, Store};

/// Receipt rows taken at once; each stands for one batch.
pub const RECEIPTS_TAKEN_MAX: i64 = 1_000;

impl Store {
    /// Takes the receipts of a journal: the numbers of its records that are committed, ascending. They are gone from the
    /// database then; a journal that forgets them only afterwards loses nothing by a crash in between, it gives the
    /// records again and gets new receipts. An empty answer: nothing new is stored. Call again until it is.
    ///
    /// Commits with `synchronous_commit = on`, after the rows in the same log: where there is a standby, the rows are on
    /// both nodes when this returns. A failover that dropped rows dropped their receipts as well.
    ///
    /// # Errors
    /// On any error nothing may be forgotten; [`Error::Unknown`](crate::Error::Unknown) may have used up receipts, so their
    /// records have to be given again, which is harmless.
    pub async fn take_receipts(&self, journal: Uuid) -> Result<Vec<u64>> {
        let mut transaction = self.write(Scope::Platform).await?;
        transaction.batch("SET LOCAL synchronous_commit = on").await?;
        let rows = transaction.query(TAKE_RECEIPTS, &[&journal, &RECEIPTS_TAKEN_MAX]).await?;
        let mut seqs = Vec::new();
        for row in rows {
            let batch: Vec<i64> = row.try_get(0)?;
            seqs.extend(batch.into_iter().map(i64::cast_unsigned));
        }
        transaction.commit().await?;
        seqs.sort_unstable();
        seqs.dedup();
        Ok(seqs)
    }
}

pub(crate) const TAKE_RECEIPTS: &str = "DELETE FROM voip.cdr_receipts WHERE id IN (
        SELECT id FROM voip.cdr_receipts WHERE journal_id = $1 ORDER BY id LIMIT $2)
    RETURNING seqs";
