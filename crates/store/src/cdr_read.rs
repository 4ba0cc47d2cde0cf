//! Calls and legs as people ask for them: newest first, filtered, in keyset pages.

use std::collections::HashMap;

use jiff::Timestamp;
use model::call::{Event, HangupBy, Moment, TimelineLeg, timeline};
use model::{Direction, LegDirection};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::page::{Page, TimeCursor, limits};
use crate::transaction::Transaction;
use crate::{Result, Scope, Store};

/// Legs nested in the calls of one page at most: a queue that rang fifty phones for an hour has thousands. The earliest
/// are shown; `view=legs` pages over all.
pub const LEGS_PER_PAGE_MAX: i64 = 20_000;

/// What calls or legs to list. A filter that is `None` lets everything pass; text compares exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CdrFilter {
    /// The uuid of any leg of the call.
    pub uuid: Option<String>,
    /// Started at this time or later.
    pub from: Option<Timestamp>,
    /// Started before this time.
    pub to: Option<Timestamp>,
    /// `caller_id_number`.
    pub caller: Option<String>,
    /// `destination_number`.
    pub destination: Option<String>,
    /// The call's direction.
    pub direction: Option<Direction>,
    /// FreeSWITCH's name of the cause.
    pub hangup_cause: Option<String>,
    /// The queue's name, without domain.
    pub queue: Option<String>,
    /// The domain's name, known to us or not.
    pub domain: Option<String>,
    /// Items a page: 1 to [`PAGE_ITEMS_MAX`](crate::page::PAGE_ITEMS_MAX).
    pub limit: u16,
    /// `next` of the page before.
    pub after: Option<String>,
}

/// What a call and a leg have in common, under the same names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallFacts {
    /// The uuid of the call's root leg.
    pub call_uuid: String,
    /// The tenant's SIP domain.
    pub domain: Option<String>,
    /// inbound, outbound or internal: the call's.
    pub direction: String,
    /// As first presented.
    pub caller_id_number: Option<String>,
    /// As first presented.
    pub caller_id_name: Option<String>,
    /// What was dialled.
    pub destination_number: Option<String>,
    /// The dialplan context.
    pub context: Option<String>,
    /// UTC.
    pub start_time: Timestamp,
    /// UTC.
    pub answer_time: Option<Timestamp>,
    /// UTC.
    pub end_time: Option<Timestamp>,
    /// Seconds, as the engine counted them.
    pub duration: i32,
    /// Seconds from answer, as the engine counted them.
    pub billsec: i32,
    /// FreeSWITCH's name of the cause.
    pub hangup_cause: Option<String>,
    /// How it ended (`model::call::Status`); `null` while nobody has answered yet.
    pub status: Option<String>,
    /// Seconds until a person answered, or nobody did.
    pub wait_seconds: Option<i32>,
    /// Seconds in which people talked.
    pub talk_seconds: Option<i32>,
    /// caller, callee or system.
    pub hangup_by: Option<String>,
    /// The queue's name, without domain.
    pub queue: Option<String>,
    /// The agent's user name, without domain.
    pub agent: Option<String>,
    /// The leg's SIP `Call-ID`.
    pub sip_call_id: Option<String>,
}

/// A call: the facts of the row that stands for it, and all its legs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Of the root leg; of the earliest leg while the root has not arrived.
    #[serde(flatten)]
    pub facts: CallFacts,
    /// The recordings of all its legs.
    pub recordings: Vec<RecordingRef>,
    /// What happened, in time order: 200 at most.
    pub events: Vec<Moment>,
    /// Its legs in the order they started. In the one that stands for the call direction, queue, agent, status, seconds and
    /// who hung up are the call's.
    pub legs: Vec<LegRow>,
    #[serde(skip)]
    id: i64,
}

/// A leg: one stored row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LegRow {
    /// The leg.
    pub leg_uuid: String,
    /// The leg it was bridged to.
    pub bleg_uuid: Option<String>,
    /// The leg that caused it.
    pub parent_uuid: Option<String>,
    /// inbound or outbound: the leg's, seen from the engine.
    pub leg_direction: String,
    /// The facts.
    #[serde(flatten)]
    pub facts: CallFacts,
    /// The cause's ITU-T Q.850 number.
    pub hangup_cause_q850: Option<i16>,
    /// freeswitch or kamailio.
    pub source: String,
    /// The true row has not come yet.
    pub provisional: bool,
    /// A recording was made on it.
    pub recorded: bool,
    /// The node whose engine carried it.
    pub node: String,
    #[serde(skip)]
    events: Vec<Event>,
    #[serde(skip)]
    id: i64,
}

impl LegRow {
    fn of_timeline(&self) -> TimelineLeg<'_> {
        let called = self.facts.agent.as_deref().or(self.facts.destination_number.as_deref());
        let inbound = self.leg_direction == LegDirection::Inbound.as_str();
        let party = if inbound { self.facts.caller_id_number.as_deref() } else { called };
        TimelineLeg { leg_uuid: &self.leg_uuid, party, events: &self.events }
    }
}

/// A recording of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordingRef {
    /// Its id in `/api/recordings/{id}`.
    pub id: i64,
    /// The leg it was made on.
    pub leg_uuid: String,
    /// Seconds.
    pub duration: Option<i32>,
    /// recording, stored, replicated or missing.
    pub state: String,
}

impl Store {
    /// A page of calls, newest first, each with its legs. Filters look at the row that stands for the call, `uuid` at any.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) for a foreign `after`.
    pub async fn calls(&self, scope: Scope, filter: &CdrFilter) -> Result<Page<Call>> {
        let mut transaction = self.read(scope).await?;
        let sql = if filter.uuid.is_some() { CALLS_OF_LEG } else { CALLS };
        let rows = list(&mut transaction, scope, filter, sql).await?;
        let heads = rows.iter().map(leg_row).collect::<Result<Vec<_>>>()?;
        let page = Page::cut(heads, limits(filter.limit).0, |head| cursor(head.facts.start_time, head.id));
        let mut items: Vec<Call> = page
            .items
            .into_iter()
            .map(|head| Call {
                id: head.id,
                facts: head.facts,
                recordings: Vec::new(),
                events: Vec::new(),
                legs: Vec::new(),
            })
            .collect();
        nest_legs(&mut transaction, &mut items).await?;
        for call in &mut items {
            let legs: Vec<TimelineLeg<'_>> = call.legs.iter().map(LegRow::of_timeline).collect();
            call.events = timeline(&legs, call.facts.hangup_by.as_deref().and_then(HangupBy::from_name));
        }
        transaction.commit().await?;
        Ok(Page { items, next: page.next })
    }

    /// A page of legs, newest first.
    ///
    /// # Errors
    /// As [`calls`](Self::calls).
    pub async fn legs(&self, scope: Scope, filter: &CdrFilter) -> Result<Page<LegRow>> {
        let mut transaction = self.read(scope).await?;
        let sql = if filter.uuid.is_some() { ONE_LEG } else { LEGS };
        let rows = list(&mut transaction, scope, filter, sql).await?;
        let legs = rows.iter().map(leg_row).collect::<Result<Vec<_>>>()?;
        transaction.commit().await?;
        Ok(Page::cut(legs, limits(filter.limit).0, |leg| cursor(leg.facts.start_time, leg.id)))
    }
}

async fn list(tx: &mut Transaction, scope: Scope, filter: &CdrFilter, sql: &'static str) -> Result<Vec<Row>> {
    let after: Option<TimeCursor> = filter.after.as_deref().map(str::parse).transpose()?;
    let (after_start, after_id) = (after.map(|cursor| cursor.start), after.map(|cursor| cursor.id));
    let direction = filter.direction.map(Direction::as_str);
    // A domain that is one of ours is looked up by its id, which the indexes know.
    let (mut domain_id, mut domain) = (scope.tenant(), filter.domain.as_deref());
    if let (None, Some(name)) = (domain_id, domain)
        && let Some(row) = tx.query_opt(ANY_DOMAIN_ID, &[&name]).await?
    {
        (domain_id, domain) = (Some(row.try_get(0)?), None);
    }
    let rows_max = limits(filter.limit).1;
    tx.search(
        sql,
        &[
            (&domain_id, Type::INT4),
            (&filter.from, Type::TIMESTAMPTZ),
            (&filter.to, Type::TIMESTAMPTZ),
            (&after_start, Type::TIMESTAMPTZ),
            (&after_id, Type::INT8),
            (&filter.uuid, Type::TEXT),
            (&filter.caller, Type::TEXT),
            (&filter.destination, Type::TEXT),
            (&direction, Type::TEXT),
            (&filter.hangup_cause, Type::TEXT),
            (&filter.queue, Type::TEXT),
            (&domain, Type::TEXT),
            (&rows_max, Type::INT8),
        ],
    )
    .await
}

/// Fills in the legs and recordings of a page of calls.
async fn nest_legs(tx: &mut Transaction, calls: &mut [Call]) -> Result<()> {
    if calls.is_empty() {
        return Ok(());
    }
    let uuids: Vec<String> = calls.iter().map(|call| call.facts.call_uuid.clone()).collect();
    let index: HashMap<&str, usize> =
        uuids.iter().enumerate().map(|(at, uuid)| (uuid.as_str(), at)).collect();
    let first = calls.iter().map(|call| call.facts.start_time).min();
    let last = calls.iter().map(|call| call.facts.start_time).max();
    let rows = tx
        .search(
            LEGS_OF_CALLS,
            &[
                (&uuids, Type::TEXT_ARRAY),
                (&first, Type::TIMESTAMPTZ),
                (&last, Type::TIMESTAMPTZ),
                (&LEGS_PER_PAGE_MAX, Type::INT8),
            ],
        )
        .await?;
    let mut recorded: HashMap<String, usize> = HashMap::new();
    let mut starts = Vec::new();
    for row in &rows {
        let leg = leg_row(row)?;
        let Some(&at) = index.get(leg.facts.call_uuid.as_str()) else { continue };
        if leg.recorded && recorded.insert(leg.leg_uuid.clone(), at).is_none() {
            starts.push((leg.leg_uuid.clone(), leg.facts.start_time));
        }
        calls[at].legs.push(leg);
    }
    if starts.is_empty() {
        return Ok(());
    }
    let (legs, starts): (Vec<String>, Vec<Timestamp>) = starts.into_iter().unzip();
    let keys: &[(&(dyn ToSql + Sync), Type)] =
        &[(&legs, Type::TEXT_ARRAY), (&starts, Type::TIMESTAMPTZ_ARRAY)];
    for row in tx.search(RECORDINGS_OF_LEGS, keys).await? {
        let leg_uuid: String = row.try_get(0)?;
        if let Some(&at) = recorded.get(&leg_uuid) {
            let (id, duration, state) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            calls[at].recordings.push(RecordingRef { id, leg_uuid, duration, state });
        }
    }
    Ok(())
}

fn cursor(start: Timestamp, id: i64) -> String {
    TimeCursor { start, id }.to_string()
}

fn leg_row(row: &Row) -> Result<LegRow> {
    Ok(LegRow {
        id: row.try_get("id")?,
        leg_uuid: row.try_get("leg_uuid")?,
        bleg_uuid: row.try_get("bleg_uuid")?,
        parent_uuid: row.try_get("parent_uuid")?,
        leg_direction: row.try_get("leg_direction")?,
        facts: CallFacts {
            call_uuid: row.try_get("call_uuid")?,
            domain: row.try_get("domain")?,
            direction: row.try_get("direction")?,
            caller_id_number: row.try_get("caller_id_number")?,
            caller_id_name: row.try_get("caller_id_name")?,
            destination_number: row.try_get("destination_number")?,
            context: row.try_get("context")?,
            start_time: row.try_get("start_time")?,
            answer_time: row.try_get("answer_time")?,
            end_time: row.try_get("end_time")?,
            duration: row.try_get("duration")?,
            billsec: row.try_get("billsec")?,
            hangup_cause: row.try_get("hangup_cause")?,
            status: row.try_get("status")?,
            wait_seconds: row.try_get("wait_seconds")?,
            talk_seconds: row.try_get("talk_seconds")?,
            hangup_by: row.try_get("hangup_by")?,
            queue: row.try_get("queue")?,
            agent: row.try_get("agent")?,
            sip_call_id: row.try_get("sip_call_id")?,
        },
        hangup_cause_q850: row.try_get("hangup_cause_q850")?,
        source: row.try_get("source")?,
        provisional: row.try_get("provisional")?,
        recorded: row.try_get("recorded")?,
        node: row.try_get("node")?,
        events: events(row.try_get("events")?),
    })
}

/// Those that this version of the program knows.
fn events(stored: Value) -> Vec<Event> {
    let Value::Array(events) = stored else { return Vec::new() };
    events.into_iter().filter_map(|event| serde_json::from_value(event).ok()).collect()
}

/// The columns of a [`LegRow`].
macro_rules! columns {
    () => {
        "c.id, c.leg_uuid, c.bleg_uuid, c.parent_uuid, c.leg_direction, c.call_uuid, c.domain, c.direction,
         c.caller_id_number, c.caller_id_name, c.destination_number, c.context, c.start_time, c.answer_time, c.end_time,
         c.duration, c.billsec, c.hangup_cause, c.queue, c.agent, c.sip_call_id, c.hangup_cause_q850, c.source,
         c.provisional, c.recorded, c.node, c.status, c.wait_seconds, c.talk_seconds, c.hangup_by, c.events"
    };
}

/// The filters that calls and legs share. The statement is planned with its values, so an absent filter costs nothing
/// and the range of times prunes partitions; `start_time <= $4` repeats the cursor for that reason alone.
macro_rules! filtered {
    () => {
        " AND ($1::int4 IS NULL OR c.domain_id = $1)
          AND ($2::timestamptz IS NULL OR c.start_time >= $2) AND ($3::timestamptz IS NULL OR c.start_time < $3)
          AND ($4::timestamptz IS NULL OR (c.start_time <= $4 AND (c.start_time, c.id) < ($4, $5)))
          AND ($7::text IS NULL OR c.caller_id_number = $7) AND ($8::text IS NULL OR c.destination_number = $8)
          AND ($9::text IS NULL OR c.direction = $9) AND ($10::text IS NULL OR c.hangup_cause = $10)
          AND ($11::text IS NULL OR c.queue = $11) AND ($12::text IS NULL OR c.domain = lower($12))
        ORDER BY c.start_time DESC, c.id DESC LIMIT $13"
    };
}

pub(crate) const CALLS: &str =
    concat!("SELECT ", columns!(), " FROM voip.cdr c WHERE c.head AND $6::text IS NULL", filtered!());

/// The call of one leg; $6 is the leg.
pub(crate) const CALLS_OF_LEG: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM (SELECT DISTINCT l.call_uuid FROM voip.cdr l WHERE l.leg_uuid = $6::text) AS n CROSS JOIN LATERAL (
        SELECT * FROM voip.cdr h WHERE h.call_uuid = n.call_uuid AND h.head OFFSET 0) c WHERE true",
    filtered!()
);

/// Each half has its index, in the order of the list; the page is among the first of both.
pub(crate) const LEGS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM ((SELECT * FROM voip.cdr c WHERE c.head AND $6::text IS NULL",
    filtered!(),
    ") UNION ALL (SELECT * FROM voip.cdr c WHERE NOT c.head",
    filtered!(),
    ")) c ORDER BY c.start_time DESC, c.id DESC LIMIT $13"
);

/// $6 is the leg.
pub(crate) const ONE_LEG: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM (SELECT * FROM voip.cdr l WHERE l.leg_uuid = $6::text OFFSET 0) c WHERE true",
    filtered!()
);

// Legs start within a week of the row that stands for their call (`cdr_write::calls`). One look-up a call: OFFSET 0 keeps
// the planner from reading the two weeks instead, which it would where there are no statistics yet.

pub(crate) const LEGS_OF_CALLS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM unnest($1::text[]) AS n (call_uuid) CROSS JOIN LATERAL (
        SELECT * FROM voip.cdr l WHERE l.call_uuid = n.call_uuid AND
            l.start_time BETWEEN $2::timestamptz - interval '7 days' AND $3::timestamptz + interval '7 days' OFFSET 0) c
    ORDER BY c.start_time, c.id LIMIT $4"
);

/// $1, $2: the keys of recorded legs.
pub(crate) const RECORDINGS_OF_LEGS: &str = "SELECT r.leg_uuid, r.id, r.duration, r.state
    FROM unnest($1::text[], $2::timestamptz[]) AS n (leg_uuid, start_time) CROSS JOIN LATERAL (
        SELECT * FROM voip.recordings l WHERE l.leg_uuid = n.leg_uuid AND l.start_time = n.start_time OFFSET 0) r
    ORDER BY r.id";

pub(crate) const ANY_DOMAIN_ID: &str = "SELECT id FROM voip.domains WHERE domain = lower($1::text)";
