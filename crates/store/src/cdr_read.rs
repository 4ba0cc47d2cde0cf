//! Calls and legs as they are shown, and how the legs and recordings of a page of calls are found. [`crate::search`] chooses them.

use std::collections::HashMap;

use jiff::Timestamp;
use model::call::{Event, HangupBy, Moment, TimelineLeg, timeline};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::Result;
use crate::page::TimeCursor;
use crate::transaction::Transaction;

/// Legs nested in the calls of one page at most: a queue that rang fifty phones for an hour has thousands. The earliest
/// are shown; `view=legs` pages over all.
pub const LEGS_PER_PAGE_MAX: i64 = 20_000;

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
    /// The queue's name, without domain.
    pub queue: Option<String>,
    /// The agent's user name, without domain: of a call who answered it, of a leg whose it is.
    pub agent: Option<String>,
    /// The leg's SIP `Call-ID`.
    pub sip_call_id: Option<String>,
    /// How it ended (`model::call::Status`); `null` while nobody has answered yet.
    pub status: Option<String>,
    /// caller, callee or system.
    pub hangup_by: Option<String>,
    /// Seconds until a person answered, or nobody did.
    pub wait_seconds: Option<i32>,
    /// Seconds in which people talked.
    pub talk_seconds: Option<i32>,
    /// The trunk's name.
    pub trunk: Option<String>,
}

/// A call: the facts of the row that stands for it, and all its legs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Of the root leg; of the earliest leg while the root has not arrived.
    #[serde(flatten)]
    pub facts: CallFacts,
    /// The true row of a leg has not come yet.
    pub provisional: bool,
    /// A recording was made on a leg.
    pub recorded: bool,
    /// The recordings of all its legs.
    pub recordings: Vec<RecordingRef>,
    /// What happened, in time order: 200 at most.
    pub events: Vec<Moment>,
    /// Its legs: the one that stands for the call, then the others in the order they started. In the one that stands for the call direction, queue, agent, status, seconds and
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
    pub(crate) id: i64,
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

/// The names of a [`Call`]'s fields, as they are serialised.
pub const CALL_FIELDS: &[&str] = &[
    "call_uuid",
    "domain",
    "direction",
    "caller_id_number",
    "caller_id_name",
    "destination_number",
    "context",
    "start_time",
    "answer_time",
    "end_time",
    "duration",
    "billsec",
    "hangup_cause",
    "queue",
    "agent",
    "sip_call_id",
    "status",
    "hangup_by",
    "wait_seconds",
    "talk_seconds",
    "trunk",
    "provisional",
    "recorded",
    "recordings",
    "events",
    "legs",
];

/// Those of them that only a call with its legs has right ([`PageOf::heads_only`](crate::search::PageOf::heads_only)).
pub const CALL_FIELDS_OF_LEGS: &[&str] = &["provisional", "recorded", "recordings", "events", "legs"];

/// The names of a [`LegRow`]'s fields, as they are serialised.
pub const LEG_FIELDS: &[&str] = &[
    "leg_uuid",
    "bleg_uuid",
    "parent_uuid",
    "leg_direction",
    "call_uuid",
    "domain",
    "direction",
    "caller_id_number",
    "caller_id_name",
    "destination_number",
    "context",
    "start_time",
    "answer_time",
    "end_time",
    "duration",
    "billsec",
    "hangup_cause",
    "queue",
    "agent",
    "sip_call_id",
    "status",
    "hangup_by",
    "wait_seconds",
    "talk_seconds",
    "trunk",
    "hangup_cause_q850",
    "source",
    "provisional",
    "recorded",
    "node",
];

impl Call {
    /// Without what its legs tell.
    pub(crate) fn of_head(head: LegRow) -> Self {
        Self {
            id: head.id,
            facts: head.facts,
            provisional: head.provisional,
            recorded: head.recorded,
            recordings: Vec::new(),
            events: Vec::new(),
            legs: Vec::new(),
        }
    }

    fn tell(&mut self) {
        self.provisional |= self.legs.iter().any(|leg| leg.provisional);
        self.recorded |= self.legs.iter().any(|leg| leg.recorded);
        let legs: Vec<TimelineLeg<'_>> = self.legs.iter().map(LegRow::of_timeline).collect();
        self.events = timeline(&legs, self.facts.hangup_by.as_deref().and_then(HangupBy::from_name));
    }

    /// Where the list of calls goes on after this one.
    pub fn cursor(&self) -> String {
        cursor(self.facts.start_time, self.id)
    }
}

/// Fills in the legs, recordings and events of a page of calls.
pub(crate) async fn nest_legs(tx: &mut Transaction, calls: &mut [Call]) -> Result<()> {
    if calls.is_empty() {
        return Ok(());
    }
    let uuids: Vec<String> = calls.iter().map(|call| call.facts.call_uuid.clone()).collect();
    let index: HashMap<&str, usize> =
        uuids.iter().enumerate().map(|(at, uuid)| (uuid.as_str(), at)).collect();
    let starts: Vec<Timestamp> = calls.iter().map(|call| call.facts.start_time).collect();
    let rows = tx
        .search(
            LEGS_OF_CALLS,
            &[
                (&uuids, Type::TEXT_ARRAY),
                (&starts, Type::TIMESTAMPTZ_ARRAY),
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
    calls.iter_mut().for_each(Call::tell);
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

impl LegRow {
    /// Where the list goes on after this one.
    pub fn cursor(&self) -> String {
        cursor(self.facts.start_time, self.id)
    }

    fn of_timeline(&self) -> TimelineLeg<'_> {
        TimelineLeg { leg_uuid: &self.leg_uuid, events: &self.events }
    }
}

fn cursor(start: Timestamp, id: i64) -> String {
    TimeCursor { start, id }.to_string()
}

pub(crate) fn leg_row(row: &Row) -> Result<LegRow> {
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
            queue: row.try_get("queue")?,
            agent: row.try_get("agent")?,
            sip_call_id: row.try_get("sip_call_id")?,
            status: row.try_get("status")?,
            hangup_by: row.try_get("hangup_by")?,
            wait_seconds: row.try_get("wait_seconds")?,
            talk_seconds: row.try_get("talk_seconds")?,
            trunk: row.try_get("trunk")?,
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
         c.provisional, c.recorded, c.node, c.status, c.hangup_by, c.wait_seconds, c.talk_seconds, c.trunk,
         c.events"
    };
}

pub(crate) const COLUMNS: &str = columns!();

// Legs start within a week of the row that stands for their call (`cdr_write::calls`). One look-up a call: OFFSET 0 keeps
// the planner from reading the two weeks instead, which it would where there are no statistics yet.

pub(crate) const LEGS_OF_CALLS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM unnest($1::text[], $2::timestamptz[]) AS n (call_uuid, head_start) CROSS JOIN LATERAL (
        SELECT * FROM voip.cdr l WHERE l.call_uuid = n.call_uuid AND
            l.start_time BETWEEN n.head_start - interval '7 days' AND n.head_start + interval '7 days' OFFSET 0) c
    ORDER BY NOT c.head, c.start_time, c.id LIMIT $3"
);

/// $1, $2: the keys of recorded legs.
pub(crate) const RECORDINGS_OF_LEGS: &str = "SELECT r.leg_uuid, r.id, r.duration, r.state
    FROM unnest($1::text[], $2::timestamptz[]) AS n (leg_uuid, start_time) CROSS JOIN LATERAL (
        SELECT * FROM voip.recordings l WHERE l.leg_uuid = n.leg_uuid AND l.start_time = n.start_time OFFSET 0) r
    ORDER BY r.id";

pub(crate) const ANY_DOMAIN_ID: &str = "SELECT id FROM voip.domains WHERE domain = lower($1::text)";

/// $1 the tenant, $2 the user's name.
pub(crate) const NUMBERS_OF_USER: &str = "SELECT e.extension FROM voip.users u
    JOIN voip.extensions e ON e.user_id = u.id AND e.type = 'user'
    WHERE u.domain_id = $1 AND u.username = $2 ORDER BY e.id LIMIT $3";

/// $1 the tenant, $2 a domain that is none of ours, $3 and $4 the position, $5 the horizon.
pub(crate) const CHANGES: &str = concat!(
    "SELECT ",
    columns!(),
    ", c.xid::text::int8 AS changed_by FROM voip.cdr c
    WHERE ($1::int4 IS NULL OR c.domain_id = $1) AND ($2::text IS NULL OR c.domain = lower($2))
      AND c.xid >= ($3::int8)::text::xid8 AND (c.xid, c.id) > (($3::int8)::text::xid8, $4)
      AND c.xid < ($5::int8)::text::xid8
    ORDER BY c.xid, c.id LIMIT $6"
);
