//! The recordings of a batch's legs, in the transaction that stores the legs: neither is there without the other.
//!
//! FreeSWITCH tells of a recording three times: when the file is opened, when it is closed, and in the leg's CDR, which has the
//! last word. They come in any order, and each may never come.

use jiff::{SignedDuration, Timestamp};

use super::insert::Candidate;
use crate::Result;
use crate::transaction::Transaction;

/// `legs` are those of which no CDR was stored before: what is told again of the others may be deleted by now.
pub(super) async fn rows(tx: &mut Transaction, legs: &[&Candidate<'_>]) -> Result<()> {
    let mut columns = Columns::default();
    for leg in legs {
        columns.push(leg);
    }
    let c = &columns;
    if c.file_path.is_empty() {
        return Ok(());
    }
    tx.execute(
        INSERT,
        &[
            &c.leg_uuid,
            &c.start_time,
            &c.domain,
            &c.node,
            &c.file_path,
            &c.duration,
            &c.size,
            &c.began,
            &c.ended,
            &c.direction,
            &c.caller,
            &c.destination,
            &c.queue,
            &c.agent,
            &c.provisional,
        ],
    )
    .await?;
    let open = || legs.iter().filter(|it| it.leg.provisional && it.leg.recording.is_some());
    let uuids: Vec<&str> = open().map(|it| it.leg.leg_uuid.as_str()).collect();
    if !uuids.is_empty() {
        let starts: Vec<Timestamp> = open().map(|it| it.leg.start_time).collect();
        tx.execute(TELL, &[&uuids, &starts]).await?;
    }
    Ok(())
}

#[derive(Default)]
struct Columns<'a> {
    leg_uuid: Vec<&'a str>,
    start_time: Vec<Timestamp>,
    domain: Vec<Option<&'a str>>,
    node: Vec<&'a str>,
    file_path: Vec<&'a str>,
    duration: Vec<Option<i32>>,
    size: Vec<Option<i64>>,
    began: Vec<Timestamp>,
    ended: Vec<Timestamp>,
    direction: Vec<&'a str>,
    caller: Vec<Option<&'a str>>,
    destination: Vec<Option<&'a str>>,
    queue: Vec<Option<&'a str>>,
    agent: Vec<Option<&'a str>>,
    provisional: Vec<bool>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, candidate: &'a Candidate<'_>) {
        let leg = &candidate.leg;
        let Some(recording) = &leg.recording else { return };
        // The dialplan begins to record at the answer.
        let began = leg.answer_time.unwrap_or(leg.start_time);
        let length = recording.ms.map(SignedDuration::from_millis);
        let ended = length.and_then(|length| began.checked_add(length).ok()).or(leg.end_time);
        self.leg_uuid.push(&leg.leg_uuid);
        self.start_time.push(leg.start_time);
        self.domain.push(leg.domain.as_deref());
        self.node.push(&candidate.node);
        self.file_path.push(&recording.path);
        self.duration.push(recording.ms.and_then(|ms| i32::try_from(ms / 1_000).ok()));
        self.size.push(recording.bytes);
        self.began.push(began);
        self.ended.push(ended.unwrap_or(began));
        self.direction.push(leg.direction.as_str());
        self.caller.push(leg.caller_id_number.as_deref());
        self.destination.push(leg.destination_number.as_deref());
        self.queue.push(leg.queue.as_deref());
        self.agent.push(leg.agent.as_deref());
        self.provisional.push(leg.provisional);
    }
}

/// The row of a leg that goes on was written at its answer.
pub(crate) const TELL: &str = "UPDATE voip.cdr c SET recorded = true
      FROM unnest($1::text[], $2::timestamptz[]) AS r (leg_uuid, start_time)
     WHERE c.leg_uuid = r.leg_uuid AND c.start_time = r.start_time AND c.provisional AND NOT c.recorded";

/// A file is one recording, however often its leg is told of. The retention is that of the policy at call time.
///
/// A row that is provisional is told anew by the CDR, and by a later end of the recording. If that moves the end, what was
/// measured was not the whole file, and it is measured again.
pub(crate) const INSERT: &str = "INSERT INTO voip.recordings AS l (
        leg_uuid, start_time, domain, node, file_path, duration, file_size, record_start_time, record_end_time, direction,
        caller_id_number, destination_number, queue, agent, provisional, domain_id, policy, expires_at)
    SELECT DISTINCT ON (r.node, r.file_path) r.*, d.id, p.policy, r.ended + p.retention_days * interval '1 day'
      FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::int4[], $7::int8[],
                  $8::timestamptz[], $9::timestamptz[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[],
                  $15::bool[])
        AS r (leg_uuid, start_time, domain, node, file_path, duration, size, began, ended, direction, caller,
              destination, queue, agent, provisional)
      LEFT JOIN LATERAL (SELECT id FROM voip.domains n WHERE n.domain = lower(r.domain) OFFSET 0) d ON true
      LEFT JOIN LATERAL voip.retention_of(d.id, r.direction, r.caller, r.destination, r.queue) p ON true
     ORDER BY r.node, r.file_path, r.provisional
    ON CONFLICT (node, file_path) DO UPDATE SET
        domain = EXCLUDED.domain, domain_id = EXCLUDED.domain_id, direction = EXCLUDED.direction,
        caller_id_number = EXCLUDED.caller_id_number, destination_number = EXCLUDED.destination_number,
        queue = EXCLUDED.queue, agent = EXCLUDED.agent, policy = EXCLUDED.policy, expires_at = EXCLUDED.expires_at,
        record_start_time = EXCLUDED.record_start_time, record_end_time = EXCLUDED.record_end_time,
        provisional = EXCLUDED.provisional,
        (state, duration, file_size) = (
            SELECT CASE WHEN same THEN l.state ELSE 'recording' END,
                   CASE WHEN same THEN l.duration ELSE EXCLUDED.duration END,
                   CASE WHEN same THEN l.file_size ELSE EXCLUDED.file_size END
              FROM (SELECT l.record_end_time = EXCLUDED.record_end_time AS same) s)
      WHERE l.provisional AND l.state <> 'deleting' AND l.leg_uuid = EXCLUDED.leg_uuid
        AND (NOT EXCLUDED.provisional OR EXCLUDED.record_end_time > l.record_end_time)";
