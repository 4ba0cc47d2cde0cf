//! Which call each leg belongs to: what is stored and touches the batch is read under locks, `model::assembly` decides,
//! and rows, re-keyed rows and what they tell of their calls ([`summaries`]) are written together.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use model::Leg;
use model::assembly::{self, Known, Rekey};

use super::insert::{self, Candidate};
use super::locks::{Added, Locks};
use super::{Outcome, recordings, summaries};
use crate::Result;
use crate::transaction::Transaction;

/// Legs of one call start within this of each other. The bound lets PostgreSQL look into two or three partitions
/// instead of all; a leg that starts later still is stored, as a call of its own.
const CALL_SPAN_MAX: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Stored rows by key, among them all that [`assembly::place`] wants to know.
pub(super) struct Calls {
    known: Vec<Known>,
    span: (Timestamp, Timestamp),
}

impl Calls {
    /// Whether the row is written: it is new, or true where a provisional one was.
    pub(super) fn takes(&self, leg: &Leg) -> bool {
        let stored = |row: &&Known| row.leg_uuid == leg.leg_uuid && row.start_time == leg.start_time;
        self.known.iter().find(stored).is_none_or(|row| row.provisional && !leg.provisional)
    }
}

/// Reads until every call found is locked. `None`: another worker holds one of them.
pub(super) async fn read(
    tx: &mut Transaction,
    legs: &[Candidate<'_>],
    locks: &mut Locks,
) -> Result<Option<Calls>> {
    let starts: Vec<Timestamp> = legs.iter().map(|candidate| candidate.leg.start_time).collect();
    let span = span_of(&starts);
    if legs.is_empty() {
        return Ok(Some(Calls { known: Vec::new(), span }));
    }
    let own = legs.iter().map(|candidate| candidate.leg.leg_uuid.as_str());
    let consults = legs.iter().filter_map(|candidate| candidate.leg.story.consult_uuid.as_deref());
    let parents = legs.iter().filter_map(|candidate| candidate.leg.parent_uuid.as_deref());
    let waited_for: BTreeSet<&str> = own.chain(consults).collect();
    let touched: BTreeSet<&str> = waited_for.iter().copied().chain(parents).collect();
    // A direct call's uuids come from stored evidence, so they may not be locked yet.
    if let Added::Refused = locks.add(tx, touched.iter().copied()).await? {
        return Ok(None);
    }
    let touched: Vec<&str> = touched.into_iter().collect();
    let waited_for: Vec<&str> = waited_for.into_iter().collect();
    loop {
        let rows = tx.query(KNOWN, &[&touched, &waited_for, &span.0, &span.1]).await?;
        let known = rows
            .iter()
            .map(|row| {
                Ok(Known {
                    leg_uuid: row.try_get(0)?,
                    parent_uuid: row.try_get(1)?,
                    consult_uuid: row.try_get(2)?,
                    call_uuid: row.try_get(3)?,
                    head: row.try_get(4)?,
                    provisional: row.try_get(5)?,
                    start_time: row.try_get(6)?,
                })
            })
            .collect::<Result<Vec<Known>>>()?;
        match locks.add(tx, known.iter().map(|row| row.call_uuid.as_str())).await? {
            Added::Nothing => return Ok(Some(Calls { known, span })),
            Added::Held => {}
            Added::Refused => return Ok(None),
        }
    }
}

/// Inserts what is new, replaces what was provisional, re-keys what waited.
pub(super) async fn write(
    tx: &mut Transaction,
    legs: &[Candidate<'_>],
    calls: &Calls,
    outcome: &mut Outcome,
) -> Result<()> {
    let stored: BTreeMap<(&str, Timestamp), bool> =
        calls.known.iter().map(|row| ((row.leg_uuid.as_str(), row.start_time), row.provisional)).collect();
    let mut fresh: Vec<&Candidate<'_>> = Vec::with_capacity(legs.len());
    let mut open: Vec<&Candidate<'_>> = Vec::new();
    for candidate in legs {
        let stored = stored.get(&(candidate.leg.leg_uuid.as_str(), candidate.leg.start_time));
        if stored != Some(&false) {
            open.push(candidate);
        }
        match stored {
            None => outcome.inserted += candidate.copies.min(1),
            Some(true) if !candidate.leg.provisional => outcome.replaced += 1,
            Some(_) => {
                outcome.duplicates += candidate.copies;
                continue;
            }
        }
        outcome.duplicates += candidate.copies - 1;
        fresh.push(candidate);
    }
    recordings::rows(tx, &open).await?;
    if fresh.is_empty() {
        return Ok(());
    }
    let batch: Vec<&Leg> = fresh.iter().map(|candidate| &*candidate.leg).collect();
    let (placed, rekeyed) = assembly::place(&batch, &calls.known);
    outcome.rekeyed += rekeyed.len();
    rekey(tx, &rekeyed, calls.span).await?;
    let told = summaries::of(tx, &fresh, &placed, &calls.known, &rekeyed, calls.span).await?;
    insert::rows(tx, &told.rows).await?;
    told.settle(tx, calls.span).await
}

async fn rekey(tx: &mut Transaction, rekeyed: &[Rekey], span: (Timestamp, Timestamp)) -> Result<()> {
    if rekeyed.is_empty() {
        return Ok(());
    }
    let legs: Vec<&str> = rekeyed.iter().map(|row| row.leg_uuid.as_str()).collect();
    let starts: Vec<Timestamp> = rekeyed.iter().map(|row| row.start_time).collect();
    let calls: Vec<&str> = rekeyed.iter().map(|row| row.call_uuid.as_str()).collect();
    let heads: Vec<bool> = rekeyed.iter().map(|row| row.head).collect();
    let parents: Vec<Option<&str>> = rekeyed.iter().map(|row| row.parent_uuid.as_deref()).collect();
    tx.execute(REKEY, &[&legs, &starts, &calls, &heads, &parents, &span.0, &span.1]).await.map(drop)
}

/// When legs may have started whose calls have legs that started at these times.
pub(super) fn span_of(starts: &[Timestamp]) -> (Timestamp, Timestamp) {
    let first = starts.iter().min().copied().unwrap_or(Timestamp::UNIX_EPOCH);
    let last = starts.iter().max().copied().unwrap_or(Timestamp::UNIX_EPOCH);
    (
        first.saturating_sub(CALL_SPAN_MAX).unwrap_or(Timestamp::MIN),
        last.saturating_add(CALL_SPAN_MAX).unwrap_or(Timestamp::MAX),
    )
}

/// The columns of a [`Known`].
macro_rules! known {
    () => {
        "SELECT leg_uuid, parent_uuid, consult_uuid, call_uuid, head, provisional, start_time FROM voip.cdr c"
    };
}

/// $1: the legs, their parents and consultations; $2: without the parents. The kinds of rows that `assembly::Known` asks for.
///
/// One look-up a key: OFFSET 0 keeps the planner from joining the other way round, which without statistics it would,
/// and `head` outside of it keeps it from the list's index. The last part leaves out the calls that the third reads whole.
pub(crate) const KNOWN: &str = concat!(
    "WITH named AS MATERIALIZED (
        SELECT k.* FROM unnest($1::text[]) AS n (uuid) CROSS JOIN LATERAL (",
    known!(),
    " WHERE c.leg_uuid = n.uuid AND c.start_time BETWEEN $3 AND $4 OFFSET 0) k
        UNION
        SELECT k.* FROM unnest($2::text[]) AS n (uuid) CROSS JOIN LATERAL (",
    known!(),
    " WHERE c.consult_uuid = n.uuid AND c.start_time BETWEEN $3 AND $4 OFFSET 0) k)
    SELECT * FROM named
    UNION
    SELECT k.* FROM unnest($2::text[]) AS n (uuid) CROSS JOIN LATERAL (",
    known!(),
    " WHERE c.call_uuid = n.uuid AND c.start_time BETWEEN $3 AND $4 OFFSET 0) k
    UNION
    SELECT k.* FROM (SELECT call_uuid FROM named UNION SELECT unnest($1::text[]) EXCEPT SELECT unnest($2::text[]))
        AS n (uuid) CROSS JOIN LATERAL (",
    known!(),
    " WHERE c.call_uuid = n.uuid AND c.start_time BETWEEN $3 AND $4 OFFSET 0) k WHERE k.head"
);

pub(crate) const REKEY: &str =
    "UPDATE voip.cdr c SET call_uuid = r.call_uuid, head = r.head, parent_uuid = r.parent_uuid
    FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::bool[], $5::text[])
        AS r (leg_uuid, start_time, call_uuid, head, parent_uuid)
    WHERE c.leg_uuid = r.leg_uuid AND c.start_time = r.start_time AND c.start_time BETWEEN $6 AND $7";
