//! Legs that go on: written at answer, seen again and again by the node that carries them, and closed when nobody sees them any
//! more: their node died, or its FreeSWITCH, or their end was lost. The true CDR replaces such a row whenever it comes.
//!
//! Only FreeSWITCH's legs are closed: a direct call needs no node to go on, and its BYE is told by whichever node gets it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use model::call::{Event, EventKind, NODE_FAILURE, seconds_between};
use tokio_postgres::types::Json;

use super::locks::Locks;
use super::{calls, summaries};
use crate::transaction::Transaction;
use crate::{Error, Result, Scope, Store};

/// How often a node tells which legs it has, in seconds.
pub const SEEN_EVERY_S: u64 = 30;
/// A leg that was not seen for so long is closed, in seconds: three times it was not told.
pub const UNSEEN_MAX_S: u64 = 3 * SEEN_EVERY_S;
/// Legs closed or opened again by one transaction at most; the next takes the rest.
const LEGS_MAX: i64 = 500;

impl Store {
    /// Notes that these legs go on, and opens again what was closed by mistake. Answers those that have no open row.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Database`]: tell again.
    pub async fn see_open_legs(&self, legs: &[String]) -> Result<Vec<String>> {
        let mut transaction = self.write_by_keys(Scope::Platform).await?;
        let rows = transaction.query(SEEN, &[&legs]).await?;
        transaction.commit().await?;
        let seen = rows.iter().map(|row| row.try_get(0)).collect::<Result<BTreeSet<String>, _>>()?;
        let unseen: Vec<String> = legs.iter().filter(|leg| !seen.contains(*leg)).cloned().collect();
        if unseen.is_empty() {
            return Ok(unseen);
        }
        let opened = self.change(Change::Open(&unseen)).await?;
        Ok(unseen.into_iter().filter(|leg| !opened.contains(leg)).collect())
    }

    /// Closes the legs that were not seen for [`UNSEEN_MAX_S`], as `NODE_FAILURE` at the time last seen. Answers how many.
    ///
    /// Call it only when every node has had that long to tell: after writes were refused for a while nobody has.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Database`]: call again.
    pub async fn close_unseen_legs(&self) -> Result<usize> {
        let mut closed = 0;
        loop {
            let piece = self.change(Change::Close).await?.len();
            closed += piece;
            if i64::try_from(piece).unwrap_or(i64::MAX) < LEGS_MAX {
                return Ok(closed);
            }
        }
    }

    /// Answers the legs that were changed.
    async fn change(&self, change: Change<'_>) -> Result<BTreeSet<String>> {
        let mut transaction = self.write_by_keys(Scope::Platform).await?;
        let found = change.find(&mut transaction).await?;
        if found.is_empty() {
            transaction.rollback().await;
            return Ok(BTreeSet::new());
        }
        let names: BTreeSet<&str> =
            found.iter().flat_map(|it| [it.leg_uuid.as_str(), &it.call_uuid]).collect();
        Locks::of_calls(names.iter().copied()).take(&mut transaction).await?;
        let (legs, calls) = change.write(&mut transaction, &found).await?;
        if calls.iter().any(|call| !names.contains(call.as_str())) {
            transaction.rollback().await;
            return Err(Error::Unavailable(
                "a call changed while its legs were closed; the next time".to_owned(),
            ));
        }
        let starts: Vec<Timestamp> = found.iter().map(|it| it.start_time).collect();
        summaries::again(&mut transaction, &calls, calls::span_of(&starts)).await?;
        transaction.commit().await?;
        Ok(legs)
    }
}

/// A leg that may be changed.
struct Found {
    leg_uuid: String,
    start_time: Timestamp,
    call_uuid: String,
    answer_time: Option<Timestamp>,
    last_seen: Timestamp,
}

enum Change<'a> {
    Close,
    /// These legs go on.
    Open(&'a [String]),
}

impl Change<'_> {
    async fn find(&self, tx: &mut Transaction) -> Result<Vec<Found>> {
        let unseen_s = i32::try_from(UNSEEN_MAX_S).unwrap_or(i32::MAX);
        let rows = match self {
            Self::Close => tx.query(UNSEEN, &[&unseen_s, &LEGS_MAX]).await?,
            Self::Open(legs) => tx.query(CLOSED, &[legs, &NODE_FAILURE, &LEGS_MAX]).await?,
        };
        rows.iter()
            .map(|row| {
                Ok(Found {
                    leg_uuid: row.try_get(0)?,
                    start_time: row.try_get(1)?,
                    call_uuid: row.try_get(2)?,
                    answer_time: row.try_get(3)?,
                    last_seen: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// The legs that were changed, and their calls. What changed since it was found (its CDR came, it was seen) stays.
    async fn write(
        &self,
        tx: &mut Transaction,
        found: &[Found],
    ) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
        let legs: Vec<&str> = found.iter().map(|it| it.leg_uuid.as_str()).collect();
        let starts: Vec<Timestamp> = found.iter().map(|it| it.start_time).collect();
        let seen: Vec<Timestamp> = found.iter().map(|it| it.last_seen).collect();
        let rows = match self {
            Self::Close => {
                let since = |it: &Found| it.answer_time.unwrap_or(it.start_time);
                let ends: Vec<Timestamp> = found.iter().map(|it| it.last_seen.max(since(it))).collect();
                let seconds = |from: fn(&Found) -> Timestamp| -> Vec<i32> {
                    found.iter().zip(&ends).map(|(it, end)| seconds_between(from(it), *end)).collect()
                };
                let durations = seconds(|it| it.start_time);
                let billed = seconds(|it| it.answer_time.unwrap_or(it.last_seen.max(it.start_time)));
                let hung_up = |at: &Timestamp| Event::new(*at, EventKind::HungUp, None, Some(NODE_FAILURE));
                let events: Vec<Json<Event>> = ends.iter().map(hung_up).map(Json).collect();
                tx.query(CLOSE, &[&legs, &starts, &seen, &ends, &durations, &billed, &events, &NODE_FAILURE])
                    .await?
            }
            Self::Open(_) => tx.query(OPEN, &[&legs, &starts, &NODE_FAILURE]).await?,
        };
        let text = |at: usize| rows.iter().map(move |row| row.try_get(at)).collect::<Result<_, _>>();
        Ok((text(0)?, text(1)?))
    }
}

/// By leg alone: the index of what is provisional is small in every month.
pub(crate) const SEEN: &str = "UPDATE voip.cdr SET last_seen = now()
    WHERE provisional AND leg_uuid = ANY ($1::text[]) AND source <> 'kamailio' AND end_time IS NULL RETURNING leg_uuid";

pub(crate) const UNSEEN: &str = "SELECT leg_uuid, start_time, call_uuid, answer_time, last_seen FROM voip.cdr
    WHERE provisional AND end_time IS NULL AND last_seen < now() - make_interval(secs => $1::int4) LIMIT $2";

pub(crate) const CLOSE: &str = "UPDATE voip.cdr c SET end_time = r.end_time, duration = r.duration, billsec = r.billsec,
        hangup_cause = $8::text, events = c.events || r.event
    FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[], $5::int4[], $6::int4[], $7::jsonb[])
        AS r (leg_uuid, start_time, last_seen, end_time, duration, billsec, event)
    WHERE c.leg_uuid = r.leg_uuid AND c.start_time = r.start_time AND c.provisional AND c.end_time IS NULL
      AND c.last_seen = r.last_seen
    RETURNING c.leg_uuid, c.call_uuid";

pub(crate) const CLOSED: &str = "SELECT leg_uuid, start_time, call_uuid, answer_time, last_seen FROM voip.cdr
    WHERE provisional AND leg_uuid = ANY ($1::text[]) AND hangup_cause = $2 AND last_seen IS NOT NULL LIMIT $3";

/// The last event is the end that was none.
pub(crate) const OPEN: &str =
    "UPDATE voip.cdr c SET end_time = NULL, duration = 0, billsec = 0, hangup_cause = NULL,
        events = c.events - -1, last_seen = now()
    FROM unnest($1::text[], $2::timestamptz[]) AS r (leg_uuid, start_time)
    WHERE c.leg_uuid = r.leg_uuid AND c.start_time = r.start_time AND c.provisional AND c.hangup_cause = $3
    RETURNING c.leg_uuid, c.call_uuid";
