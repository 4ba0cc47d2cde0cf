//! The feed of stored legs in the order of their transactions, for systems that copy them: each state of a row once, no gap.
//!
//! Transactions commit in another order than they began, so a reader who remembers the last id it saw misses rows. Here only
//! rows below the oldest transaction that still runs are shown: what is below it can never change again but by a newer one.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use tokio_postgres::types::Type;

use crate::cdr_read::{CHANGES, LegRow, leg_row};
use crate::page::limits;
use crate::search::Tenancy;
use crate::{Error, Result, Scope, Store};

/// A piece of the feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Legs as they are now, in the order in which they were written last.
    pub items: Vec<LegRow>,
    /// Give it as `after` the next time; never missing, because the feed never ends.
    pub next: String,
    /// There is more already.
    pub more: bool,
}

/// Where the feed goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    xid: u64,
    id: i64,
}

impl Store {
    /// Legs written after this position: new ones, provisional ones replaced by true ones, and those filed under another
    /// call. A leg is known by (`leg_uuid`, `start_time`); one that comes again replaces what came before.
    /// `after`: `None` is the beginning, `now` is the end.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a foreign `after`.
    pub async fn cdr_changes(
        &self,
        scope: Scope,
        domain: Option<&str>,
        limit: u16,
        after: Option<&str>,
    ) -> Result<Changes> {
        let (items_max, rows_max) = limits(limit);
        let mut tx = self.read(scope).await?;
        // Asked first: what the next statement sees is at least as new.
        let horizon = tx.query_opt(HORIZON, &[]).await?.ok_or(Error::NotFound)?;
        let horizon: i64 = horizon.try_get(0)?;
        let position = match after {
            None => Position { xid: 0, id: 0 },
            Some("now") => Position { xid: horizon.cast_unsigned(), id: 0 },
            Some(text) => text.parse()?,
        };
        let tenancy = Tenancy::find(&mut tx, scope, domain).await?;
        let (domain_id, stranger) = match tenancy {
            Tenancy::Everybody => (None, None),
            Tenancy::Id(id) => (Some(id), None),
            Tenancy::Stranger(name) => (None, Some(name)),
        };
        let from = position.xid.cast_signed();
        let rows = tx
            .search(
                CHANGES,
                &[
                    (&domain_id, Type::INT4),
                    (&stranger, Type::TEXT),
                    (&from, Type::INT8),
                    (&position.id, Type::INT8),
                    (&horizon, Type::INT8),
                    (&rows_max, Type::INT8),
                ],
            )
            .await?;
        tx.commit().await?;
        let more = rows.len() > items_max;
        let shown = &rows[..rows.len().min(items_max)];
        let last = match shown.last().filter(|_| more) {
            Some(row) => {
                let (xid, id): (i64, i64) = (row.try_get("changed_by")?, row.try_get("id")?);
                Position { xid: xid.cast_unsigned(), id }
            }
            // All below the horizon was looked at: the next look begins there, however few of the rows were this tenant's.
            None => Position { xid: position.xid.max(horizon.cast_unsigned()), id: 0 },
        };
        Ok(Changes { items: shown.iter().map(leg_row).collect::<Result<_>>()?, next: last.to_string(), more })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A hyphen: no other list's cursor, which would be a position far in the future.
        write!(f, "{}-{}", self.xid, self.id)
    }
}

impl FromStr for Position {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let parts = text.split_once('-').and_then(|(xid, id)| Some((xid.parse().ok()?, id.parse().ok()?)));
        let (xid, id) = parts.ok_or_else(|| Error::Invalid {
            field: "after",
            reason: "not a position of this feed: give `next` of the answer before, or 'now'".to_owned(),
        })?;
        Ok(Self { xid, id })
    }
}

/// The oldest transaction that may still write.
pub(crate) const HORIZON: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::int8";
