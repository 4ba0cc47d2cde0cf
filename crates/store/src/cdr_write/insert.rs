//! The one INSERT of a batch, and the partitions it needs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use model::Leg;
use model::assembly::Placed;
use model::call::{Event, Facts, HangupBy, Status, Summary};
use tokio_postgres::types::Json;

use super::dialogs::Direct;
use super::{Content, Item};
use crate::transaction::Transaction;
use crate::{Result, Scope, Store};

/// A leg of the batch, once: the statement may touch a row only once.
pub(super) struct Candidate<'a> {
    pub(super) leg: Cow<'a, Leg>,
    pub(super) node: Cow<'a, str>,
    /// When FreeSWITCH told of it; a direct call is not watched.
    received: Option<Timestamp>,
    /// How many records of the batch told of it.
    pub(super) copies: usize,
}

/// The batch's legs and those of its direct calls by key; a final one wins over a provisional one, and of these one that
/// tells more of its recording.
pub(super) fn candidates(items: &[Item], direct: Vec<Direct>) -> Vec<Candidate<'_>> {
    let mut legs: BTreeMap<(String, Timestamp), Candidate<'_>> = BTreeMap::new();
    let posted = items.iter().filter_map(|item| match &item.content {
        Content::Leg(leg) => {
            Some((Cow::Borrowed(&**leg), Cow::Borrowed(item.node.as_str()), Some(item.received)))
        }
        _ => None,
    });
    let direct = direct.into_iter().map(|direct| (Cow::Owned(direct.leg), Cow::Owned(direct.node), None));
    for (leg, node, received) in posted.chain(direct) {
        let key = (leg.leg_uuid.clone(), leg.start_time);
        match legs.get_mut(&key) {
            Some(seen) => {
                seen.copies += 1;
                let told = |leg: &Leg| leg.recording.as_ref().map(|recording| recording.ms);
                if seen.leg.provisional && (!leg.provisional || told(&leg) > told(&seen.leg)) {
                    (seen.leg, seen.node) = (leg, node);
                }
            }
            None => {
                legs.insert(key, Candidate { leg, node, received, copies: 1 });
            }
        }
    }
    legs.into_values().collect()
}

/// Makes the partitions of the items' months, in transactions of their own: attaching one inside the batch's would
/// hold its lock on the table for as long as the batch waits for its standby.
pub(crate) async fn ensure_partitions(store: &Store, items: &[Item]) -> Result<()> {
    let starts = items.iter().filter_map(|item| match &item.content {
        Content::Leg(leg) => Some(leg.start_time),
        // The leg of a direct call starts when its INVITE came; later events of the dialog do not tell it again.
        Content::Sip(event) => event.start,
        Content::Poison { .. } => None,
    });
    let months: BTreeMap<(i16, i8), Timestamp> = starts
        .map(|start| {
            let utc = start.to_zoned(TimeZone::UTC);
            ((utc.year(), utc.month()), start)
        })
        .collect();
    let months: Vec<Timestamp> = months.into_values().collect();
    if months.is_empty() {
        return Ok(());
    }
    if store.ask(MISSING_PARTITIONS, &[&months]).await?.is_empty() {
        return Ok(());
    }
    let mut transaction = store.write(Scope::Platform).await?;
    transaction.query(ENSURE_PARTITIONS, &[&months]).await?;
    transaction.commit().await
}

/// A leg with its place, and what its row tells: the call's summary if it stands for it, else its own.
pub(super) struct NewRow<'a> {
    pub(super) candidate: &'a Candidate<'a>,
    pub(super) place: &'a Placed,
    pub(super) summary: Summary,
}

pub(super) async fn rows(tx: &mut Transaction, rows: &[NewRow<'_>]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut columns = Columns::default();
    for row in rows {
        columns.push(row);
    }
    let c = &columns;
    tx.execute(
        INSERT,
        &[
            &c.leg_uuid,
            &c.start_time,
            &c.call_uuid,
            &c.head,
            &c.parent_uuid,
            &c.bleg_uuid,
            &c.source,
            &c.provisional,
            &c.vp_call,
            &c.domain,
            &c.direction,
            &c.leg_direction,
            &c.caller_id_number,
            &c.caller_id_name,
            &c.destination_number,
            &c.context,
            &c.answer_time,
            &c.end_time,
            &c.duration,
            &c.billsec,
            &c.hangup_cause,
            &c.hangup_cause_q850,
            &c.queue,
            &c.agent,
            &c.sip_call_id,
            &c.core_uuid,
            &c.recorded,
            &c.node,
            &c.status,
            &c.wait_seconds,
            &c.talk_seconds,
            &c.hangup_by,
            &c.facts,
            &c.events,
            &c.consult_uuid,
            &c.last_seen,
            &c.trunk,
        ],
    )
    .await
    .map(drop)
}

/// The batch by columns, as UNNEST takes it.
#[derive(Default)]
struct Columns<'a> {
    leg_uuid: Vec<&'a str>,
    start_time: Vec<Timestamp>,
    call_uuid: Vec<&'a str>,
    head: Vec<bool>,
    parent_uuid: Vec<Option<&'a str>>,
    bleg_uuid: Vec<Option<&'a str>>,
    source: Vec<&'a str>,
    provisional: Vec<bool>,
    vp_call: Vec<Option<&'a str>>,
    domain: Vec<Option<&'a str>>,
    direction: Vec<&'a str>,
    leg_direction: Vec<&'a str>,
    caller_id_number: Vec<Option<&'a str>>,
    caller_id_name: Vec<Option<&'a str>>,
    destination_number: Vec<Option<&'a str>>,
    context: Vec<Option<&'a str>>,
    answer_time: Vec<Option<Timestamp>>,
    end_time: Vec<Option<Timestamp>>,
    duration: Vec<i32>,
    billsec: Vec<i32>,
    hangup_cause: Vec<Option<&'a str>>,
    hangup_cause_q850: Vec<Option<i16>>,
    queue: Vec<Option<&'a str>>,
    agent: Vec<Option<&'a str>>,
    sip_call_id: Vec<Option<&'a str>>,
    core_uuid: Vec<Option<&'a str>>,
    recorded: Vec<bool>,
    node: Vec<&'a str>,
    status: Vec<Option<&'a str>>,
    wait_seconds: Vec<Option<i32>>,
    talk_seconds: Vec<Option<i32>>,
    hangup_by: Vec<Option<&'a str>>,
    facts: Vec<Json<Facts>>,
    events: Vec<Json<&'a [Event]>>,
    consult_uuid: Vec<Option<&'a str>>,
    last_seen: Vec<Option<Timestamp>>,
    trunk: Vec<Option<&'a str>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, row: &'a NewRow<'_>) {
        let NewRow { candidate, place, summary } = row;
        let leg: &'a Leg = &candidate.leg;
        self.leg_uuid.push(&leg.leg_uuid);
        self.start_time.push(leg.start_time);
        self.call_uuid.push(&place.call_uuid);
        self.head.push(place.head);
        self.parent_uuid.push(place.parent_uuid.as_deref());
        self.bleg_uuid.push(leg.bleg_uuid.as_deref());
        self.source.push(leg.source.as_str());
        self.provisional.push(leg.provisional);
        self.vp_call.push(leg.vp_call.as_deref());
        self.domain.push(leg.domain.as_deref());
        self.direction.push(summary.direction.as_str());
        self.leg_direction.push(leg.leg_direction.as_str());
        self.caller_id_number.push(leg.caller_id_number.as_deref());
        self.caller_id_name.push(leg.caller_id_name.as_deref());
        self.destination_number.push(leg.destination_number.as_deref());
        self.context.push(leg.context.as_deref());
        self.answer_time.push(leg.answer_time);
        self.end_time.push(leg.end_time);
        self.duration.push(leg.duration);
        self.billsec.push(leg.billsec);
        self.hangup_cause.push(leg.hangup_cause.as_deref());
        self.hangup_cause_q850.push(leg.hangup_cause_q850);
        self.queue.push(summary.queue.as_deref());
        self.agent.push(summary.agent.as_deref());
        self.sip_call_id.push(leg.sip_call_id.as_deref());
        self.core_uuid.push(leg.core_uuid.as_deref());
        self.recorded.push(leg.recorded);
        self.node.push(&candidate.node);
        self.status.push(summary.status.map(Status::as_str));
        self.wait_seconds.push(summary.wait_seconds);
        self.talk_seconds.push(summary.talk_seconds);
        self.hangup_by.push(summary.hangup_by.map(HangupBy::as_str));
        self.facts.push(Json(Facts::of(leg)));
        self.events.push(Json(&leg.story.events));
        self.consult_uuid.push(leg.story.consult_uuid.as_deref());
        self.last_seen.push(candidate.received.filter(|_| leg.provisional));
        self.trunk.push(leg.trunk.as_deref());
    }
}

/// Ids are looked up by the names of the call's time, one look-up a name (a join would read a tenant's every extension);
/// a domain that does not exist stays a name with a null id. UNNEST stands in the select list, where the columns go side by
/// side: in FROM each would be stored whole first, which takes a fifth of the statement. The conflict clause repeats what the
/// locks already guarantee: a final row is never replaced.
pub(crate) const INSERT: &str = "INSERT INTO voip.cdr (
        leg_uuid, start_time, call_uuid, head, parent_uuid, bleg_uuid, source, provisional, vp_call,
        domain, direction, leg_direction, caller_id_number, caller_id_name, destination_number,
        context, answer_time, end_time, duration, billsec, hangup_cause, hangup_cause_q850, queue,
        agent, sip_call_id, core_uuid, recorded, node, status, wait_seconds, talk_seconds, hangup_by, facts, events,
        consult_uuid, last_seen, trunk, domain_id, queue_id, agent_user_id)
    SELECT r.*, d.id,
        (SELECT q.id FROM voip.queues q WHERE q.domain_id = d.id AND q.name = r.queue),
        coalesce(
            (SELECT e.user_id FROM voip.extensions e
              WHERE e.domain_id = d.id AND e.extension = r.agent AND e.type = 'user'),
            (SELECT u.id FROM voip.users u WHERE u.domain_id = d.id AND u.username = r.agent))
      FROM (SELECT
        unnest($1::text[]) AS leg_uuid, unnest($2::timestamptz[]) AS start_time, unnest($3::text[]) AS call_uuid,
        unnest($4::bool[]) AS head, unnest($5::text[]) AS parent_uuid, unnest($6::text[]) AS bleg_uuid,
        unnest($7::text[]) AS source, unnest($8::bool[]) AS provisional, unnest($9::text[]) AS vp_call,
        unnest($10::text[]) AS domain, unnest($11::text[]) AS direction, unnest($12::text[]) AS leg_direction,
        unnest($13::text[]) AS caller_id_number, unnest($14::text[]) AS caller_id_name,
        unnest($15::text[]) AS destination_number, unnest($16::text[]) AS context,
        unnest($17::timestamptz[]) AS answer_time, unnest($18::timestamptz[]) AS end_time,
        unnest($19::int4[]) AS duration, unnest($20::int4[]) AS billsec, unnest($21::text[]) AS hangup_cause,
        unnest($22::int2[]) AS hangup_cause_q850, unnest($23::text[]) AS queue, unnest($24::text[]) AS agent,
        unnest($25::text[]) AS sip_call_id, unnest($26::text[]) AS core_uuid, unnest($27::bool[]) AS recorded,
        unnest($28::text[]) AS node, unnest($29::text[]) AS status, unnest($30::int4[]) AS wait_seconds,
        unnest($31::int4[]) AS talk_seconds, unnest($32::text[]) AS hangup_by, unnest($33::jsonb[]) AS facts,
        unnest($34::jsonb[]) AS events, unnest($35::text[]) AS consult_uuid,
        unnest($36::timestamptz[]) AS last_seen, unnest($37::text[]) AS trunk) AS r
      LEFT JOIN LATERAL (SELECT id FROM voip.domains n WHERE n.domain = lower(r.domain) OFFSET 0) d ON true
    ON CONFLICT (leg_uuid, start_time) DO UPDATE SET (
        call_uuid, head, parent_uuid, bleg_uuid, source, provisional, vp_call, domain, direction,
        leg_direction, caller_id_number, caller_id_name, destination_number, context, answer_time, end_time,
        duration, billsec, hangup_cause, hangup_cause_q850, queue, agent, sip_call_id, core_uuid, recorded,
        node, status, wait_seconds, talk_seconds, hangup_by, facts, events, consult_uuid, last_seen, trunk,
        domain_id, queue_id, agent_user_id) = (
        EXCLUDED.call_uuid, EXCLUDED.head, EXCLUDED.parent_uuid, EXCLUDED.bleg_uuid, EXCLUDED.source,
        EXCLUDED.provisional, EXCLUDED.vp_call, EXCLUDED.domain, EXCLUDED.direction, EXCLUDED.leg_direction,
        EXCLUDED.caller_id_number, EXCLUDED.caller_id_name, EXCLUDED.destination_number, EXCLUDED.context,
        EXCLUDED.answer_time, EXCLUDED.end_time, EXCLUDED.duration, EXCLUDED.billsec, EXCLUDED.hangup_cause,
        EXCLUDED.hangup_cause_q850, EXCLUDED.queue, EXCLUDED.agent, EXCLUDED.sip_call_id,
        EXCLUDED.core_uuid, EXCLUDED.recorded, EXCLUDED.node, EXCLUDED.status,
        EXCLUDED.wait_seconds, EXCLUDED.talk_seconds, EXCLUDED.hangup_by, EXCLUDED.facts, EXCLUDED.events,
        EXCLUDED.consult_uuid, EXCLUDED.last_seen, EXCLUDED.trunk, EXCLUDED.domain_id, EXCLUDED.queue_id,
        EXCLUDED.agent_user_id)
    WHERE cdr.provisional AND NOT EXCLUDED.provisional";

pub(crate) const MISSING_PARTITIONS: &str = "SELECT FROM unnest($1::timestamptz[]) AS t
    WHERE t >= '2000-01-01 00:00+00' AND t < '2100-01-01 00:00+00'
      AND to_regclass('voip.cdr_' || to_char(t AT TIME ZONE 'UTC', 'YYYY_MM')) IS NULL";

pub(crate) const ENSURE_PARTITIONS: &str =
    "SELECT voip.ensure_cdr_partition(t) FROM unnest($1::timestamptz[]) AS t";
