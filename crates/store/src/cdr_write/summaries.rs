//! What the row that stands for a call tells of it: made anew, of all its legs, whenever one of them arrives.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use model::assembly::{Known, Placed, Rekey};
use model::call::{CallLeg, Facts, HangupBy, LEGS_COUNTED_MAX, Status, Story, Summary};
use model::{Direction, LegDirection};
use serde_json::Value;
use tokio_postgres::Row;

use super::insert::{Candidate, NewRow};
use crate::Result;
use crate::transaction::Transaction;

type Span = (Timestamp, Timestamp);

/// What the rows of a batch tell, and the stored ones that tell something else by it.
pub(super) struct Told<'a> {
    pub(super) rows: Vec<NewRow<'a>>,
    settled: Vec<Settled>,
}

/// A stored row and what it is to tell.
struct Settled {
    leg_uuid: String,
    start_time: Timestamp,
    summary: Summary,
}

/// A stored leg with its place.
struct Stored {
    call_uuid: String,
    head: bool,
    leg: CallLeg,
}

/// Reads the legs of the calls that have stored ones, which are locked and re-keyed already, and sums up every call.
pub(super) async fn of<'a>(
    tx: &mut Transaction,
    fresh: &[&'a Candidate<'a>],
    placed: &'a [Placed],
    known: &[Known],
    rekeyed: &[Rekey],
    span: Span,
) -> Result<Told<'a>> {
    let calls: BTreeSet<&str> = placed.iter().map(|place| place.call_uuid.as_str()).collect();
    let had = known.iter().map(|row| row.call_uuid.as_str());
    let have = rekeyed.iter().map(|row| row.call_uuid.as_str()).chain(had);
    let have: BTreeSet<&str> = have.filter(|call| calls.contains(call)).collect();
    let mut stored = if have.is_empty() { Vec::new() } else { read(tx, have.iter().copied(), span).await? };
    let replaced: BTreeSet<(&str, Timestamp)> =
        fresh.iter().map(|it| (it.leg.leg_uuid.as_str(), it.leg.start_time)).collect();
    stored.retain(|row| !replaced.contains(&(row.leg.leg_uuid.as_str(), row.leg.start_time)));

    let arrived: Vec<CallLeg> = placed.iter().map(|place| CallLeg::of(&fresh[place.index].leg)).collect();
    let mut legs = Legs::of(&stored);
    for (place, leg) in placed.iter().zip(&arrived) {
        legs.add(&place.call_uuid, leg);
    }
    let rows = placed.iter().zip(&arrived).map(|(place, leg)| NewRow {
        candidate: fresh[place.index],
        place,
        summary: legs.told(&place.call_uuid, place.head, leg),
    });
    let was_head: BTreeSet<(&str, Timestamp)> =
        known.iter().filter(|row| row.head).map(|row| (row.leg_uuid.as_str(), row.start_time)).collect();
    let settled = stored
        .iter()
        .filter(|row| row.head || was_head.contains(&(row.leg.leg_uuid.as_str(), row.leg.start_time)))
        .map(|row| Settled::new(row, &legs));
    Ok(Told { rows: rows.collect(), settled: settled.collect() })
}

impl Told<'_> {
    /// Writes what the stored rows tell from now on.
    pub(super) async fn settle(&self, tx: &mut Transaction, span: Span) -> Result<()> {
        settle(tx, &self.settled, span).await
    }
}

/// Sums up these calls again; nothing of them may change meanwhile.
pub(super) async fn again(tx: &mut Transaction, calls: &BTreeSet<String>, span: Span) -> Result<()> {
    let stored = read(tx, calls.iter().map(String::as_str), span).await?;
    let legs = Legs::of(&stored);
    let settled: Vec<Settled> = stored.iter().map(|row| Settled::new(row, &legs)).collect();
    settle(tx, &settled, span).await
}

/// The legs of each call.
struct Legs<'a>(BTreeMap<&'a str, Vec<CallLeg>>);

impl<'a> Legs<'a> {
    fn of(stored: &'a [Stored]) -> Self {
        let mut legs = Self(BTreeMap::new());
        stored.iter().for_each(|row| legs.add(&row.call_uuid, &row.leg));
        legs
    }

    fn add(&mut self, call_uuid: &'a str, leg: &CallLeg) {
        self.0.entry(call_uuid).or_default().push(leg.clone());
    }

    /// What a row tells.
    fn told(&self, call_uuid: &str, head: bool, leg: &CallLeg) -> Summary {
        let of_call = || Summary::of_call(call_uuid, self.0.get(call_uuid)?);
        head.then(of_call).flatten().unwrap_or_else(|| Summary::of_leg(leg))
    }
}

impl Settled {
    fn new(row: &Stored, legs: &Legs<'_>) -> Self {
        let summary = legs.told(&row.call_uuid, row.head, &row.leg);
        Self { leg_uuid: row.leg.leg_uuid.clone(), start_time: row.leg.start_time, summary }
    }
}

async fn read<'a>(
    tx: &mut Transaction,
    calls: impl Iterator<Item = &'a str>,
    span: Span,
) -> Result<Vec<Stored>> {
    let calls: Vec<&str> = calls.collect();
    let legs_max = i64::try_from(LEGS_COUNTED_MAX).unwrap_or(i64::MAX);
    let rows = tx.query(LEGS, &[&calls, &span.0, &span.1, &legs_max]).await?;
    rows.iter().map(stored).collect()
}

fn stored(row: &Row) -> Result<Stored> {
    let facts: Option<Value> = row.try_get("facts")?;
    let direction: Option<String> = row.try_get("direction")?;
    let leg_direction: String = row.try_get("leg_direction")?;
    // Written by another version of this program, or by none that knew of facts: the columns tell.
    let of_columns = Facts {
        direction: direction.and_then(|it| Direction::from_name(&it)).unwrap_or(Direction::Internal),
        queue: row.try_get("queue")?,
        agent: row.try_get("agent")?,
        story: Story::default(),
    };
    Ok(Stored {
        call_uuid: row.try_get("call_uuid")?,
        head: row.try_get("head")?,
        leg: CallLeg {
            leg_uuid: row.try_get("leg_uuid")?,
            bleg_uuid: row.try_get("bleg_uuid")?,
            leg_direction: LegDirection::from_name(&leg_direction).unwrap_or(LegDirection::Inbound),
            start_time: row.try_get("start_time")?,
            answer_time: row.try_get("answer_time")?,
            end_time: row.try_get("end_time")?,
            hangup_cause: row.try_get("hangup_cause")?,
            facts: facts.and_then(|it| serde_json::from_value(it).ok()).unwrap_or(of_columns),
        },
    })
}

async fn settle(tx: &mut Transaction, rows: &[Settled], span: Span) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let of =
        |text: fn(&Summary) -> Option<&str>| rows.iter().map(|row| text(&row.summary)).collect::<Vec<_>>();
    let legs: Vec<&str> = rows.iter().map(|row| row.leg_uuid.as_str()).collect();
    let starts: Vec<Timestamp> = rows.iter().map(|row| row.start_time).collect();
    let directions = of(|it| Some(it.direction.as_str()));
    let (queues, agents) = (of(|it| it.queue.as_deref()), of(|it| it.agent.as_deref()));
    let statuses = of(|it| it.status.map(Status::as_str));
    let hangups = of(|it| it.hangup_by.map(HangupBy::as_str));
    let waits: Vec<Option<i32>> = rows.iter().map(|row| row.summary.wait_seconds).collect();
    let talks: Vec<Option<i32>> = rows.iter().map(|row| row.summary.talk_seconds).collect();
    tx.execute(
        SETTLE,
        &[
            &legs,
            &starts,
            &directions,
            &queues,
            &agents,
            &statuses,
            &waits,
            &talks,
            &hangups,
            &span.0,
            &span.1,
        ],
    )
    .await
    .map(drop)
}

/// The order is that of `CallLeg`'s rank: the legs that count where there are too many.
pub(crate) const LEGS: &str = "SELECT k.* FROM unnest($1::text[]) AS n (uuid) CROSS JOIN LATERAL (
        SELECT call_uuid, head, leg_uuid, bleg_uuid, leg_direction, start_time, answer_time, end_time, hangup_cause,
               direction, queue, agent, facts
          FROM voip.cdr c WHERE c.call_uuid = n.uuid AND c.start_time BETWEEN $2 AND $3
         ORDER BY c.leg_uuid <> c.call_uuid, c.answer_time IS NULL, c.start_time, c.leg_uuid COLLATE \"C\" LIMIT $4) k";

/// A row that tells the same already is not written again.
pub(crate) const SETTLE: &str = "UPDATE voip.cdr c SET direction = r.direction, queue = r.queue, agent = r.agent,
        status = r.status, wait_seconds = r.wait_seconds, talk_seconds = r.talk_seconds, hangup_by = r.hangup_by,
        queue_id = (SELECT q.id FROM voip.queues q WHERE q.domain_id = c.domain_id AND q.name = r.queue),
        agent_user_id = coalesce(
            (SELECT e.user_id FROM voip.extensions e
              WHERE e.domain_id = c.domain_id AND e.extension = r.agent AND e.type = 'user'),
            (SELECT u.id FROM voip.users u WHERE u.domain_id = c.domain_id AND u.username = r.agent))
    FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int4[], $8::int4[],
                $9::text[])
        AS r (leg_uuid, start_time, direction, queue, agent, status, wait_seconds, talk_seconds, hangup_by)
    WHERE c.leg_uuid = r.leg_uuid AND c.start_time = r.start_time AND c.start_time BETWEEN $10 AND $11
      AND (c.direction, c.queue, c.agent, c.status, c.wait_seconds, c.talk_seconds, c.hangup_by)
          IS DISTINCT FROM
          (r.direction, r.queue, r.agent, r.status, r.wait_seconds, r.talk_seconds, r.hangup_by)";
