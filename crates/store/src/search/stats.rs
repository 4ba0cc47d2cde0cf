//! How many calls there were and what became of them, in groups.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;

use super::conditions::{Subject, Tenancy, push_filter, resolve};
use super::filter::CdrFilter;
use super::sql::{Sql, Value};
use crate::{Result, Scope, Store};

/// Groups of one answer at most: the hours of a year.
pub const GROUPS_MAX: i64 = 9_000;

/// What is counted, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsOf {
    /// The groups.
    pub by: GroupBy,
    /// The IANA name of the time zone whose hours and days are meant.
    pub zone: String,
    /// Seconds a caller of a queue may wait for the service level.
    pub within_s: i32,
}

/// What makes a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupBy {
    /// All together.
    Nothing,
    /// The hour they started in.
    Hour,
    /// The day they started on.
    Day,
    /// The queue's name.
    Queue,
    /// Each agent who was rung; the filter looks at the agents' legs.
    Agent,
    /// FreeSWITCH's name of the cause.
    Cause,
    /// inbound, outbound or internal.
    Direction,
    /// What became of them.
    Status,
}

/// The calls of a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// The hour or day: its beginning, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    /// The queue, agent, cause, direction or status; `None` for calls that have none.
    pub name: Option<String>,
    /// Calls.
    pub calls: i64,
    /// Of these, answered: in a queue by an agent.
    pub answered: i64,
    /// Of these, callers who hung up while they waited in a queue or a menu. Not counted by agent.
    pub abandoned: Option<i64>,
    /// Answer-seizure ratio: answered of all, 0 to 1.
    pub asr: f64,
    /// Average duration of an answered call: seconds of talk.
    pub acd: Option<f64>,
    /// Seconds of talk, all together.
    pub talk_seconds: i64,
    /// Average wait in seconds, where it is known.
    pub wait_seconds: Option<f64>,
    /// Callers of queues who were answered within the time, of all who were answered or left: 0 to 1, where waits are known.
    pub service_level: Option<f64>,
}

impl GroupBy {
    #[cfg(test)]
    pub(super) const ALL: [Self; 8] = [
        Self::Nothing,
        Self::Hour,
        Self::Day,
        Self::Queue,
        Self::Agent,
        Self::Cause,
        Self::Direction,
        Self::Status,
    ];

    /// From the API's word.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::Nothing,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "queue" => Self::Queue,
            "agent" => Self::Agent,
            "cause" => Self::Cause,
            "direction" => Self::Direction,
            "status" => Self::Status,
            _ => return None,
        })
    }
}

impl Store {
    /// The groups in the order of their names or times, [`GROUPS_MAX`] at most.
    ///
    /// # Errors
    /// As [`calls`](Self::calls).
    pub async fn cdr_stats(&self, scope: Scope, filter: &CdrFilter, stats: &StatsOf) -> Result<Vec<Group>> {
        let mut tx = self.read(scope).await?;
        let tenancy = Tenancy::find(&mut tx, scope, filter.domain.as_deref()).await?;
        let filter = resolve(&mut tx, &tenancy, filter).await?;
        let sql = statement(&tenancy, &filter, stats);
        let rows = tx.search(sql.text(), &sql.params()).await?;
        tx.commit().await?;
        rows.iter().map(|row| group(row, stats.by)).collect()
    }
}

/// A call's row, then its group's. A call in a queue is answered by an agent, whatever the engine played before; where the
/// row does not say what became of the call, this is told from it.
pub(super) fn statement(tenancy: &Tenancy, filter: &CdrFilter, stats: &StatsOf) -> Sql {
    let mut sql = Sql::new(
        "SELECT at, name, count(*) AS calls, count(*) FILTER (WHERE answered) AS answered,
            count(*) FILTER (WHERE abandoned) AS abandoned, coalesce(sum(talk) FILTER (WHERE answered), 0)::int8 AS talk,
            avg(wait)::float8 AS wait, bool_or(queued) AS queued,
            count(*) FILTER (WHERE queued AND answered AND wait <= ",
    );
    sql.value(Value::Int(stats.within_s)).push(
        ") AS soon, count(*) FILTER (WHERE queued AND (answered OR abandoned)) AS served,
            count(wait) FILTER (WHERE queued) AS waits FROM (SELECT ",
    );
    if stats.by == GroupBy::Agent {
        // The member's leg names the agent who answered it too; that he was rung and spoke, his own leg tells.
        sql.push(
            "NULL::timestamptz AS at, agent AS name, bool_or(NOT head AND answer_time IS NOT NULL) AS answered,
                NULL::bool AS abandoned, max(billsec) FILTER (WHERE NOT head AND answer_time IS NOT NULL) AS talk,
                max(wait_seconds) AS wait, false AS queued FROM voip.cdr c WHERE agent IS NOT NULL",
        );
        push_filter(&mut sql, Subject::Leg, tenancy, filter);
        sql.push(" GROUP BY agent, call_uuid");
    } else {
        push_key(&mut sql, stats);
        sql.push(
            ", coalesce(status = 'answered', CASE WHEN queue IS NULL THEN answer_time IS NOT NULL ELSE agent IS NOT NULL END)
                AS answered, coalesce(status = 'abandoned', queue IS NOT NULL AND agent IS NULL) AS abandoned,
                coalesce(talk_seconds, billsec) AS talk, wait_seconds AS wait, queue IS NOT NULL AS queued
             FROM voip.cdr c WHERE head",
        );
        push_filter(&mut sql, Subject::Call, tenancy, filter);
    }
    sql.push(") r GROUP BY at, name ORDER BY at, name NULLS FIRST LIMIT ").value(Value::Big(GROUPS_MAX));
    sql
}

fn push_key(sql: &mut Sql, stats: &StatsOf) {
    let zone = || Value::Text(stats.zone.clone());
    let name = match stats.by {
        GroupBy::Hour => {
            sql.push("date_trunc('hour', start_time, ").value(zone()).push(") AS at, NULL::text AS name");
            return;
        }
        GroupBy::Day => {
            sql.push("date_trunc('day', start_time, ").value(zone()).push(") AS at, NULL::text AS name");
            return;
        }
        GroupBy::Nothing | GroupBy::Agent => "NULL::text",
        GroupBy::Queue => "queue",
        GroupBy::Cause => "hangup_cause",
        GroupBy::Direction => "direction",
        GroupBy::Status => "status",
    };
    sql.push("NULL::timestamptz AS at, ").push(name).push(" AS name");
}

fn group(row: &Row, by: GroupBy) -> Result<Group> {
    let (calls, answered): (i64, i64) = (row.try_get("calls")?, row.try_get("answered")?);
    let (talk, queued): (i64, bool) = (row.try_get("talk")?, row.try_get("queued")?);
    let abandoned: i64 = row.try_get("abandoned")?;
    let (soon, served): (i64, i64) = (row.try_get("soon")?, row.try_get("served")?);
    let waits: i64 = row.try_get("waits")?;
    let start_time: Option<Timestamp> = row.try_get("at")?;
    let of = |part: i64, whole: i64| if whole == 0 { None } else { Some(part as f64 / whole as f64) };
    Ok(Group {
        start_time,
        name: row.try_get("name")?,
        calls,
        answered,
        abandoned: (by != GroupBy::Agent).then_some(abandoned),
        asr: of(answered, calls).unwrap_or(0.0),
        acd: of(talk, answered),
        talk_seconds: talk,
        wait_seconds: row.try_get("wait")?,
        service_level: of(soon, served).filter(|_| queued && waits > 0),
    })
}
