//! Months of calls: which there are, and how long each tenant's are kept.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;

use crate::audit::Actor;
use crate::{Error, Result, Scope, Store, tenant};

/// Calls of one tenant deleted by one transaction at most, each with its legs.
const CALLS_MAX: i32 = 1_000;

/// Transactions of one run at most; what is left waits for the next.
const PIECES_MAX: usize = 2_000;

/// The table of one month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Such as `cdr_2026_11`.
    pub name: String,
    /// Its first instant; `None`: everything before the first month there can be, or after the last.
    pub from_time: Option<Timestamp>,
    /// The first instant after it.
    pub to_time: Option<Timestamp>,
    /// Legs in it, as the planner believes.
    pub rows_estimate: i64,
    /// With its indexes.
    pub bytes: i64,
}

/// How long calls are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Retention {
    /// The tenant; `None`: all who have no days of their own, and calls of domains that are none of ours.
    pub domain: Option<String>,
    /// Days from a call's start.
    pub days: i32,
}

/// What a run deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// Rows deleted one by one.
    pub rows: u64,
    /// Months dropped whole.
    pub partitions: Vec<String>,
}

impl Store {
    /// Every month's table, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn cdr_partitions(&self) -> Result<Vec<Partition>> {
        self.ask(PARTITIONS, &[]).await?.iter().map(partition).collect()
    }

    /// How long calls are kept; the common rule first. Who has no rule keeps them for ever.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn cdr_retention(&self, scope: Scope) -> Result<Vec<Retention>> {
        let mut tx = self.read(scope).await?;
        let rows = tx.query(LIST, &[]).await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok(Retention { domain: row.try_get(0)?, days: row.try_get(1)? })).collect()
    }

    /// Sets how long the calls of a domain, or of all others, are kept; `None`: no rule.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field.
    pub async fn set_cdr_retention(
        &self,
        actor: &Actor,
        domain: Option<&str>,
        days: Option<i32>,
    ) -> Result<()> {
        let mut tx = self.write(Scope::Platform).await?;
        let domain_id = match domain {
            Some(_) => Some(tenant::of_request(&mut tx, Scope::Platform, domain).await?),
            None => None,
        };
        match days {
            Some(days) => tx.execute(SET, &[&domain_id, &days]).await?,
            None => tx.execute(UNSET, &[&domain_id]).await?,
        };
        let after = days.map(|days| serde_json::json!({"domain": domain, "days": days}));
        tx.execute(LOG, &[&actor.who, &domain_id, &after]).await?;
        tx.commit().await
    }

    /// Deletes what nobody keeps any longer: whole months where they are expired for everybody, else call by call in
    /// bounded transactions. Call it a few times a day, on one node or both.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; what was deleted before it stays deleted.
    pub async fn expire_cdr(&self) -> Result<Expired> {
        let mut expired = Expired::default();
        for _ in 0..PIECES_MAX {
            let mut tx = self.write(Scope::Platform).await?;
            // The lock is held to the end of the commit, which must not wait for the standby. A drop that a failover loses is
            // done again.
            tx.batch("SET LOCAL synchronous_commit = local").await?;
            let dropped = tx.query_opt(DROP_PARTITION, &[]).await?.ok_or(Error::NotFound)?;
            let dropped: Option<String> = dropped.try_get(0)?;
            tx.commit().await?;
            let Some(name) = dropped else { break };
            expired.partitions.push(name);
        }
        for _ in 0..PIECES_MAX {
            let mut tx = self.write_by_keys(Scope::Platform).await?;
            let deleted = tx.query_opt(DELETE, &[&CALLS_MAX]).await?.ok_or(Error::NotFound)?;
            let deleted: i64 = deleted.try_get(0)?;
            tx.commit().await?;
            if deleted == 0 {
                break;
            }
            expired.rows += deleted.unsigned_abs();
        }
        Ok(expired)
    }
}

fn partition(row: &Row) -> Result<Partition> {
    Ok(Partition {
        name: row.try_get(0)?,
        from_time: row.try_get(1)?,
        to_time: row.try_get(2)?,
        rows_estimate: row.try_get(3)?,
        bytes: row.try_get(4)?,
    })
}

pub(crate) const PARTITIONS: &str =
    "SELECT name, from_time, to_time, rows_estimate, bytes FROM voip.cdr_partitions()";
pub(crate) const LIST: &str = "SELECT d.domain, r.days FROM voip.cdr_retention r
    LEFT JOIN voip.domains d ON d.id = r.domain_id ORDER BY d.domain NULLS FIRST";
pub(crate) const SET: &str = "INSERT INTO voip.cdr_retention (domain_id, days) VALUES ($1, $2)
    ON CONFLICT (domain_id) DO UPDATE SET days = EXCLUDED.days";
pub(crate) const UNSET: &str = "DELETE FROM voip.cdr_retention WHERE domain_id IS NOT DISTINCT FROM $1";
pub(crate) const LOG: &str = "INSERT INTO voip.audit_log (who, action, entity, entity_id, domain_id, after)
    VALUES ($1, 'update', 'cdr_retention', coalesce($2::int4::text, 'common'), $2, $3)";
pub(crate) const DROP_PARTITION: &str = "SELECT voip.drop_expired_cdr_partition()";
pub(crate) const DELETE: &str = "SELECT voip.delete_expired_cdr($1)";
