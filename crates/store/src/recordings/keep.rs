//! What a node does with the files of recordings: its own, and its copies of the peer's. The state is the owner's word
//! on its file, but for `stored` and `replicated`, which are the peer's on its copy.
//!
//! Every function is bounded by its `limit`, and what it changes is committed when it returns.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tokio_postgres::Row;

use super::get;
use crate::transaction::{Params, Transaction};
use crate::{Error, Result, Scope, Store};

/// A file to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The recording.
    pub id: i64,
    /// Under the owner's tree.
    pub file_path: String,
    /// One of [`STATES`](super::STATES).
    pub state: String,
    /// As measured.
    pub file_size: Option<i64>,
    /// As measured.
    pub sha256: Option<[u8; 32]>,
    /// Seconds since the row was made.
    pub age_s: i64,
}

/// What the owner found of its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    /// Measured for the first time: `stored`.
    Measured {
        /// Bytes.
        size: i64,
        /// Seconds; `None` when the header does not tell.
        duration: Option<i32>,
        /// Of all its bytes.
        sha256: [u8; 32],
    },
    /// It is what the row says. One that was missing or changed is `stored` again.
    AsBefore,
    /// It is there and was never measured: `recording`.
    Unmeasured,
    /// It is not there.
    Missing,
    /// Its bytes are others.
    Changed,
}

impl FileState {
    fn state(&self, before: &str) -> Option<&'static str> {
        match self {
            Self::Measured { .. } => Some("stored"),
            Self::AsBefore => matches!(before, "missing" | "changed").then_some("stored"),
            Self::Unmeasured => Some("recording"),
            Self::Missing => Some("missing"),
            Self::Changed => Some("changed"),
        }
    }
}

impl Store {
    /// This node's recordings that are not measured yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn recordings_to_finish(&self, node: &str, limit: i64) -> Result<Vec<Kept>> {
        self.kept(TO_FINISH, &[&node, &limit]).await
    }

    /// This node's recordings that were last looked at longer than `again` ago; those missing or changed than `lost_again`.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn recordings_to_check(
        &self,
        node: &str,
        again: Duration,
        lost_again: Duration,
        limit: i64,
    ) -> Result<Vec<Kept>> {
        self.kept(TO_CHECK, &[&node, &again.as_secs_f64(), &lost_again.as_secs_f64(), &limit]).await
    }

    /// Keeps what the owner found.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable), [`Error::Unknown`](crate::Error::Unknown): look again.
    pub async fn mark_recordings(&self, found: &[(Kept, FileState)]) -> Result<()> {
        if found.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = found.iter().map(|(kept, _)| kept.id).collect();
        let states: Vec<_> = found.iter().map(|(kept, found)| found.state(&kept.state)).collect();
        let measured = |found: &FileState| match found {
            FileState::Measured { size, duration, sha256 } => (Some(*size), *duration, Some(sha256.to_vec())),
            _ => (None, None, None),
        };
        let (mut sizes, mut durations, mut sums) = (Vec::new(), Vec::new(), Vec::new());
        for (size, duration, sum) in found.iter().map(|(_, found)| measured(found)) {
            sizes.push(size);
            durations.push(duration);
            sums.push(sum);
        }
        self.mark(MARK_FILES, &[&ids, &states, &sizes, &durations, &sums]).await
    }

    /// Recordings of the peer whose copy here is to be looked for: not there the last time, a minute ago or more, or there and
    /// last looked at longer than `again` ago.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn copies_to_check(&self, owner: &str, again: Duration, limit: i64) -> Result<Vec<Kept>> {
        self.kept(COPIES_TO_CHECK, &[&owner, &again.as_secs_f64(), &limit]).await
    }

    /// Keeps which copies are here, of the size they must have: `replicated`, or `stored` when not.
    ///
    /// # Errors
    /// As [`mark_recordings`](Self::mark_recordings).
    pub async fn mark_copies(&self, found: &[(Kept, bool)]) -> Result<()> {
        if found.is_empty() {
            return Ok(());
        }
        let ids: Vec<i64> = found.iter().map(|(kept, _)| kept.id).collect();
        let here: Vec<bool> = found.iter().map(|(_, here)| *here).collect();
        self.mark(MARK_COPIES, &[&ids, &here]).await
    }

    /// Marks recordings of this node whose retention has ended as `deleting`, and gives the files that are to be deleted now.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable), [`Error::Unknown`](crate::Error::Unknown): delete nothing.
    pub async fn claim_expired_recordings(&self, node: &str, limit: i64) -> Result<Vec<Kept>> {
        // First a look, which costs the standby nothing.
        let claimed = self.kept(FILES_TO_DELETE, &[&node, &limit]).await?;
        if !claimed.is_empty() {
            return Ok(claimed);
        }
        self.mark(CLAIM_EXPIRED, &[&node, &limit]).await?;
        self.kept(FILES_TO_DELETE, &[&node, &limit]).await
    }

    /// Copies here of recordings whose owner has deleted its file.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn copies_to_delete(&self, owner: &str, limit: i64) -> Result<Vec<Kept>> {
        self.kept(COPIES_TO_DELETE, &[&owner, &limit]).await
    }

    /// The owner's files are gone; the rows wait for the peer's copies.
    ///
    /// # Errors
    /// As [`mark_recordings`](Self::mark_recordings).
    pub async fn mark_deleted(&self, ids: &[i64]) -> Result<()> {
        if ids.is_empty() { Ok(()) } else { self.mark(MARK_DELETED, &[&ids]).await }
    }

    /// The last file is gone: so are the rows, and the audit log says why.
    ///
    /// # Errors
    /// As [`mark_recordings`](Self::mark_recordings).
    pub async fn forget_recordings(&self, ids: &[i64]) -> Result<()> {
        if ids.is_empty() {
            return Ok(());
        }
        let mut tx = self.write(Scope::Platform).await?;
        for id in ids {
            forget(&mut tx, *id).await?;
        }
        tx.commit().await
    }

    /// How many of this node's recordings are in each of these states.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn count_recordings(&self, node: &str, states: &[&str]) -> Result<BTreeMap<String, i64>> {
        let mut tx = self.read(Scope::Platform).await?;
        let rows = tx.query(COUNTS, &[&node, &states]).await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
    }

    async fn kept(&self, sql: &'static str, params: Params<'_>) -> Result<Vec<Kept>> {
        let mut tx = self.read(Scope::Platform).await?;
        let rows = tx.query(sql, params).await?;
        tx.commit().await?;
        rows.iter().map(kept).collect()
    }

    async fn mark(&self, sql: &'static str, params: Params<'_>) -> Result<()> {
        let mut tx = self.write(Scope::Platform).await?;
        tx.execute(sql, params).await?;
        tx.commit().await
    }
}

async fn forget(tx: &mut Transaction, id: i64) -> Result<()> {
    let before = match get(tx, id).await {
        // A round that was cut off after its commit.
        Err(Error::NotFound) => return Ok(()),
        found => found?,
    };
    if tx.execute(DELETE, &[&id]).await? == 1 {
        let shown = json!({"leg_uuid": before.leg_uuid, "file_path": before.file_path, "node": before.node,
            "policy": before.policy, "expires_at": before.expires_at, "sha256": before.sha256});
        super::log(tx, "retention", "delete", &before, Some(shown), None).await?;
    }
    Ok(())
}

fn kept(row: &Row) -> Result<Kept> {
    let sha256: Option<&[u8]> = row.try_get("sha256")?;
    Ok(Kept {
        id: row.try_get("id")?,
        file_path: row.try_get("file_path")?,
        state: row.try_get("state")?,
        file_size: row.try_get("file_size")?,
        sha256: sha256.and_then(|sum| sum.try_into().ok()),
        age_s: row.try_get("age_s")?,
    })
}

/// The columns of a [`Kept`].
macro_rules! select {
    () => {
        "SELECT id, file_path, state, file_size, sha256, extract(epoch FROM now() - created_at)::int8 AS age_s
            FROM voip.recordings r "
    };
}

/// But those that go on: of a provisional leg that has not ended, and told of at the beginning only.
pub(crate) const TO_FINISH: &str = concat!(
    select!(),
    "WHERE node = $1 AND state = 'recording'
        AND NOT (provisional AND record_end_time = record_start_time AND EXISTS (SELECT FROM voip.cdr c
            WHERE c.leg_uuid = r.leg_uuid AND c.start_time = r.start_time AND c.provisional AND c.end_time IS NULL))
      ORDER BY id LIMIT $2"
);

/// Each half has its index.
pub(crate) const TO_CHECK: &str = concat!(
    "(",
    select!(),
    "WHERE node = $1 AND state IN ('missing', 'changed')
        AND coalesce(checked_at, '-infinity') < now() - $3 * interval '1 second' ORDER BY checked_at LIMIT $4)
    UNION ALL (",
    select!(),
    "WHERE node = $1 AND state IN ('stored', 'replicated')
        AND checked_at < now() - $2 * interval '1 second' ORDER BY checked_at LIMIT $4) LIMIT $4"
);

pub(crate) const MARK_FILES: &str = "UPDATE voip.recordings r SET checked_at = now(),
        state = coalesce(n.state, r.state), file_size = coalesce(n.file_size, r.file_size),
        duration = coalesce(n.duration, r.duration), sha256 = coalesce(n.sha256, r.sha256)
    FROM unnest($1::int8[], $2::text[], $3::int8[], $4::int4[], $5::bytea[]) AS n (id, state, file_size, duration, sha256)
    WHERE r.id = n.id AND r.state <> 'deleting'";

pub(crate) const COPIES_TO_CHECK: &str = concat!(
    "(",
    select!(),
    "WHERE node = $1 AND state = 'stored'
        AND coalesce(peer_checked_at, '-infinity') < now() - interval '1 minute'
        ORDER BY peer_checked_at NULLS FIRST LIMIT $3)
    UNION ALL (",
    select!(),
    "WHERE node = $1 AND state = 'replicated' AND peer_checked_at < now() - $2 * interval '1 second'
        ORDER BY peer_checked_at LIMIT $3) LIMIT $3"
);

pub(crate) const MARK_COPIES: &str = "UPDATE voip.recordings r SET peer_checked_at = now(),
        state = CASE WHEN n.here THEN 'replicated' ELSE 'stored' END
    FROM unnest($1::int8[], $2::bool[]) AS n (id, here) WHERE r.id = n.id AND r.state IN ('stored', 'replicated')";

pub(crate) const CLAIM_EXPIRED: &str = "UPDATE voip.recordings SET state = 'deleting'
    WHERE id IN (SELECT id FROM voip.recordings WHERE node = $1 AND expires_at < now() AND NOT legal_hold
                    AND state <> 'deleting' ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED)";

pub(crate) const FILES_TO_DELETE: &str =
    concat!(select!(), "WHERE node = $1 AND state = 'deleting' AND owner_deleted_at IS NULL LIMIT $2");

pub(crate) const COPIES_TO_DELETE: &str =
    concat!(select!(), "WHERE node = $1 AND state = 'deleting' AND owner_deleted_at IS NOT NULL LIMIT $2");

pub(crate) const MARK_DELETED: &str =
    "UPDATE voip.recordings SET owner_deleted_at = now() WHERE id = ANY($1) AND state = 'deleting'";

pub(crate) const DELETE: &str = "DELETE FROM voip.recordings WHERE id = $1 AND state = 'deleting'";

pub(crate) const COUNTS: &str =
    "SELECT state, count(*) FROM voip.recordings WHERE node = $1 AND state = ANY($2) GROUP BY state";
