//! What became of every document, and of every session that owed one, by node and hour.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;

use crate::sessions::SessionCounts;
use crate::{Result, Scope, Store};

/// Hours and nodes of one report at most: a month of a pair.
pub const HOURS_MAX: i64 = 1_600;

/// One hour of one node: documents by when they came in, sessions by when they ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Accounted {
    /// The node whose engine told it.
    pub node: String,
    /// Its beginning, UTC.
    pub hour: Timestamp,
    /// Legs' documents given to the database, repeated ones too.
    pub legs: i64,
    /// Events of Kamailio.
    pub events: i64,
    /// Rows that are new, or true where a provisional one was; those made of events too.
    pub stored: i64,
    /// Rows that were there already.
    pub duplicates: i64,
    /// Documents kept because they were not understood, or refused.
    pub quarantined: i64,
    /// Of these, held now.
    pub held: i64,
    /// Sessions that this node's FreeSWITCH ended in this hour, by its own count. This and what follows is `None` where nobody
    /// counted: the media double, or no event socket.
    pub sessions_ended: Option<i64>,
    /// Of these, owe no record.
    pub exempt: Option<i64>,
    /// Of these, may still get theirs.
    pub pending: Option<i64>,
    /// Of these, owe a record that did not come. It must be 0.
    pub missing: Option<i64>,
    /// Of these, ended while nobody listened, and no record came: lost, or never owed.
    pub unheard: Option<i64>,
}

impl Store {
    /// The hours of this range, the newest first, [`HOURS_MAX`] at most.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn cdr_accounting(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Accounted>> {
        let counted = self.session_hours(from, to).await?;
        let mut tx = self.read(Scope::Platform).await?;
        let rows = tx.query(REPORT, &[&from, &to, &HOURS_MAX]).await?;
        tx.commit().await?;
        let mut hours: BTreeMap<(Timestamp, String), Accounted> = BTreeMap::new();
        for row in &rows {
            let hour = accounted(row)?;
            hours.insert((hour.hour, hour.node.clone()), hour);
        }
        for ((hour, node), counts) in counted {
            let accounted = hours.entry((hour, node.clone())).or_insert_with(|| Accounted {
                node,
                hour,
                ..Accounted::default()
            });
            accounted.count(counts);
        }
        let mut hours: Vec<Accounted> = hours.into_values().collect();
        hours.sort_by(|a, b| b.hour.cmp(&a.hour).then_with(|| a.node.cmp(&b.node)));
        hours.truncate(usize::try_from(HOURS_MAX).unwrap_or(usize::MAX));
        Ok(hours)
    }
}

impl Accounted {
    fn count(&mut self, counts: SessionCounts) {
        self.sessions_ended = Some(counts.sessions_ended);
        self.exempt = Some(counts.exempt);
        self.pending = Some(counts.pending);
        self.missing = Some(counts.missing);
        self.unheard = Some(counts.unheard);
    }
}

fn accounted(row: &Row) -> Result<Accounted> {
    Ok(Accounted {
        node: row.try_get("node")?,
        hour: row.try_get("hour")?,
        legs: row.try_get("legs")?,
        events: row.try_get("events")?,
        stored: row.try_get("stored")?,
        duplicates: row.try_get("duplicates")?,
        quarantined: row.try_get("quarantined")?,
        held: row.try_get("held")?,
        ..Accounted::default()
    })
}

pub(crate) const REPORT: &str = "SELECT l.node, l.hour, sum(l.legs)::int8 AS legs, sum(l.events)::int8 AS events,
        sum(l.stored)::int8 AS stored, sum(l.duplicates)::int8 AS duplicates, sum(l.quarantined)::int8 AS quarantined,
        (SELECT count(*) FROM voip.cdr_quarantine q WHERE q.state = 'held' AND q.node = l.node
            AND q.received_at >= l.hour AND q.received_at < l.hour + interval '1 hour') AS held
    FROM voip.cdr_ledger l WHERE l.hour >= $1 AND l.hour < $2
    GROUP BY l.node, l.hour ORDER BY l.hour DESC, l.node LIMIT $3";

/// Adds up the rows of hours that are over; $1 hours and nodes at once.
pub(crate) const ADD_UP: &str = "WITH many AS (
        SELECT node, hour FROM voip.cdr_ledger WHERE hour < now() - interval '2 hours'
         GROUP BY node, hour HAVING count(*) > 1 LIMIT $1),
    gone AS (
        DELETE FROM voip.cdr_ledger l USING many m WHERE l.node = m.node AND l.hour = m.hour RETURNING l.*)
    INSERT INTO voip.cdr_ledger (node, hour, legs, events, stored, duplicates, quarantined)
    SELECT node, hour, sum(legs), sum(events), sum(stored), sum(duplicates), sum(quarantined) FROM gone GROUP BY node, hour";
