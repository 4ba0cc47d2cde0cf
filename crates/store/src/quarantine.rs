//! Documents that could not be understood or stored, kept whole: shown, given again, put away.
//!
//! Platform keys only: a document that was not understood belongs to no tenant.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::audit::Actor;
use crate::cdr_write::locks::Locks;
use crate::cdr_write::{ATTEMPTS_MAX, Item, Outcome, insert, write};
use crate::page::{Page, limits};
use crate::{Error, Result, Scope, Store};

/// A kept document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quarantined {
    /// Its id.
    pub id: i64,
    /// held, imported or discarded.
    pub state: String,
    /// Why it is here.
    pub reason: String,
    /// Which engine it came from: freeswitch or kamailio.
    pub source: String,
    /// The leg's uuid, as far as it is known.
    pub uuid: Option<String>,
    /// The node that took it in.
    pub node: String,
    /// When it came first.
    pub received_at: Timestamp,
    /// When it came last.
    pub last_at: Timestamp,
    /// How often it came.
    pub times: i32,
    /// Its size.
    pub bytes: i32,
    /// SHA-256, hex.
    pub sha256: String,
}

impl Store {
    /// A page of kept documents, the newest first; without their bodies.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a foreign `after`.
    pub async fn quarantine(
        &self,
        state: Option<&str>,
        limit: u16,
        after: Option<&str>,
    ) -> Result<Page<Quarantined>> {
        let (items, rows_max) = limits(limit);
        let before: Option<i64> = match after {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| Error::Invalid {
                field: "after",
                reason: "not a cursor of this list: give `next` of the page before".to_owned(),
            })?),
        };
        let mut tx = self.read(Scope::Platform).await?;
        let rows =
            tx.search(LIST, &[(&state, Type::TEXT), (&before, Type::INT8), (&rows_max, Type::INT8)]).await?;
        tx.commit().await?;
        let kept = rows.iter().map(quarantined).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(kept, items, |kept| kept.id.to_string()))
    }

    /// One document and its bytes.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn quarantined(&self, id: i64) -> Result<(Quarantined, Vec<u8>)> {
        let mut tx = self.read(Scope::Platform).await?;
        let row = tx.query_opt(GET, &[&id]).await?.ok_or(Error::NotFound)?;
        tx.commit().await?;
        Ok((quarantined(&row)?, row.try_get("body")?))
    }

    /// Stores a held or discarded document that is understood now, and marks it as imported, in one transaction. Its legs that
    /// are stored already are found as duplicates.
    ///
    /// # Errors
    /// [`Error::NotFound`]: no such document, or it was imported. Data that the database refuses: [`Error::Invalid`]; it stays.
    pub async fn import_quarantined(&self, actor: &Actor, id: i64, item: &Item) -> Result<Outcome> {
        let items = std::slice::from_ref(item);
        insert::ensure_partitions(self, items).await?;
        let mut locks = Locks::of_items(items);
        for _ in 0..ATTEMPTS_MAX {
            let mut tx = self.write_by_keys(Scope::Platform).await?;
            locks.take(&mut tx).await?;
            if let Some(outcome) = write(&mut tx, items, &mut locks).await? {
                if tx.execute(IMPORTED, &[&id]).await? == 0 {
                    return Err(Error::NotFound);
                }
                tx.execute(LOG, &[&actor.who, &"replay", &id.to_string()]).await?;
                tx.commit().await?;
                return Ok(outcome);
            }
            tx.rollback().await;
        }
        Err(Error::Unavailable("the call of this document changes faster than it can be locked".to_owned()))
    }

    /// Why a document was not imported, told anew.
    ///
    /// # Errors
    /// [`Error::NotFound`]: no such document, or it was imported.
    pub async fn still_quarantined(&self, id: i64, reason: &str) -> Result<()> {
        let mut tx = self.write(Scope::Platform).await?;
        if tx.execute(REASON, &[&id, &crate::cdr_write::quarantine::reason(reason)]).await? == 0 {
            return Err(Error::NotFound);
        }
        tx.commit().await
    }

    /// Puts a held document away. Its bytes stay.
    ///
    /// # Errors
    /// [`Error::NotFound`]: no such document, or it is not held.
    pub async fn discard_quarantined(&self, actor: &Actor, id: i64) -> Result<()> {
        let mut tx = self.write(Scope::Platform).await?;
        if tx.execute(DISCARDED, &[&id]).await? == 0 {
            return Err(Error::NotFound);
        }
        tx.execute(LOG, &[&actor.who, &"discard", &id.to_string()]).await?;
        tx.commit().await
    }
}

fn quarantined(row: &Row) -> Result<Quarantined> {
    Ok(Quarantined {
        id: row.try_get("id")?,
        state: row.try_get("state")?,
        reason: row.try_get("reason")?,
        source: row.try_get("source")?,
        uuid: row.try_get("uuid")?,
        node: row.try_get("node")?,
        received_at: row.try_get("received_at")?,
        last_at: row.try_get("last_at")?,
        times: row.try_get("times")?,
        bytes: row.try_get("bytes")?,
        sha256: row.try_get("sha256")?,
    })
}

pub(crate) const LIST: &str =
    "SELECT q.id, q.state, q.reason, q.source, q.uuid, q.node, q.received_at, q.last_at, q.times,
        octet_length(q.body) AS bytes, encode(q.sha256, 'hex') AS sha256
    FROM voip.cdr_quarantine q
    WHERE ($1::text IS NULL OR q.state = $1) AND ($2::int8 IS NULL OR q.id < $2) ORDER BY q.id DESC LIMIT $3";

pub(crate) const GET: &str =
    "SELECT q.id, q.state, q.reason, q.source, q.uuid, q.node, q.received_at, q.last_at, q.times,
        octet_length(q.body) AS bytes, encode(q.sha256, 'hex') AS sha256, q.body
    FROM voip.cdr_quarantine q WHERE q.id = $1";

pub(crate) const IMPORTED: &str =
    "UPDATE voip.cdr_quarantine SET state = 'imported' WHERE id = $1 AND state <> 'imported'";

pub(crate) const DISCARDED: &str =
    "UPDATE voip.cdr_quarantine SET state = 'discarded' WHERE id = $1 AND state = 'held'";

pub(crate) const REASON: &str =
    "UPDATE voip.cdr_quarantine SET reason = $2 WHERE id = $1 AND state <> 'imported'";

pub(crate) const LOG: &str = "INSERT INTO voip.audit_log (who, action, entity, entity_id)
    VALUES ($1, $2, 'cdr_quarantine', $3)";
