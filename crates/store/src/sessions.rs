//! Which sessions FreeSWITCH ended, by its own numbers, and which of them have no record: `V12__sessions.sql` says how.
//!
//! In: ends as they are heard, and numbers of sessions that ended while nobody listened. Out: hours of a node that add up, and the
//! names of what is missing. Never: a session called missing whose record may still be on its way.

use std::collections::BTreeMap;

use jiff::Timestamp;
use model::cdr::session::EndedSession;
use serde::Serialize;

use crate::sweep::PIECE_ROWS_MAX;
use crate::{Result, Scope, Store};

/// A session without record is pending for so many minutes after its end was told: a post has tries, a spooled file is swept,
/// a queue is worked off.
pub const PENDING_MAX_MINUTES: i32 = 10;
/// Sessions of one run of FreeSWITCH told at once.
pub const TOLD_MAX: usize = 10_000;
/// Open numbers of one run asked for at once, the newest.
pub const OPEN_MAX: i64 = 200_000;
/// Missing sessions named at once.
pub const NAMED_MAX: i64 = 100;

/// The sessions of one hour of one node, by when they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SessionCounts {
    /// Ended, by FreeSWITCH's own count.
    pub sessions_ended: i64,
    /// Of these, owe no record: refused before they began, or told to make none.
    pub exempt: i64,
    /// Of these, have no record yet, and ended less than [`PENDING_MAX_MINUTES`] ago.
    pub pending: i64,
    /// Of these, owe a record that did not come.
    pub missing: i64,
    /// Of these, ended while nobody listened, and no record came: lost, or never owed.
    pub unheard: i64,
}

/// A session without a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The node whose FreeSWITCH counted it.
    pub node: String,
    /// The hour in which it ended, UTC.
    pub hour: Timestamp,
    /// Which run of FreeSWITCH.
    pub core_uuid: String,
    /// Its number there, the CDR's variable `session_id`.
    pub session_id: i64,
    /// Its uuid, which is also the spooled file's name; `null` where nobody heard its end.
    pub leg_uuid: Option<String>,
    /// It owes a record; false where nobody heard its end, so that it may owe none.
    pub owed: bool,
}

impl Store {
    /// Notes sessions of one run of this node's FreeSWITCH that ended, [`TOLD_MAX`] at most. May be told again.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable), [`Error::Unknown`](crate::Error::Unknown): tell again.
    pub async fn tell_ended_sessions(&self, node: &str, core: &str, ended: &[EndedSession]) -> Result<()> {
        let numbers: Vec<i64> = ended.iter().map(|it| it.number).collect();
        let times: Vec<Timestamp> = ended.iter().map(|it| it.ended).collect();
        let owe: Vec<bool> = ended.iter().map(|it| it.owes_record).collect();
        let owing: Vec<&EndedSession> = ended.iter().filter(|it| it.owes_record).collect();
        let owing_numbers: Vec<i64> = owing.iter().map(|it| it.number).collect();
        let uuids: Vec<&str> = owing.iter().map(|it| it.leg_uuid.as_str()).collect();
        let starts: Vec<Option<Timestamp>> = owing.iter().map(|it| it.start_time).collect();
        let ends: Vec<Timestamp> = owing.iter().map(|it| it.ended).collect();
        let mut tx = self.write_by_keys(Scope::Platform).await?;
        tx.execute(TELL_ENDED, &[&node, &core, &numbers, &times, &owe]).await?;
        tx.execute(NAME_OWING, &[&core, &owing_numbers, &uuids, &starts, &ends]).await?;
        tx.commit().await
    }

    /// Notes sessions whose end nobody heard, and which are over.
    ///
    /// # Errors
    /// As [`tell_ended_sessions`](Self::tell_ended_sessions).
    pub async fn tell_unheard_sessions(&self, node: &str, core: &str, numbers: &[i64]) -> Result<()> {
        let mut tx = self.write(Scope::Platform).await?;
        tx.execute(TELL_UNHEARD, &[&node, &core, &numbers]).await?;
        tx.commit().await
    }

    /// Notes that somebody listens to this run of FreeSWITCH in this hour, so that an hour without an end has 0 and not nothing.
    ///
    /// # Errors
    /// As [`tell_ended_sessions`](Self::tell_ended_sessions).
    pub async fn tell_listening(&self, node: &str, core: &str, hour: Timestamp) -> Result<()> {
        let mut tx = self.write(Scope::Platform).await?;
        tx.execute(TELL_LISTENING, &[&node, &core, &hour]).await?;
        tx.commit().await
    }

    /// Adds up what was told more than [`PENDING_MAX_MINUTES`] ago: every batch leaves a row, and a report reads all of a run.
    /// Call it as often, on one node or both.
    ///
    /// # Errors
    /// As [`tell_ended_sessions`](Self::tell_ended_sessions).
    pub async fn add_up_sessions(&self) -> Result<()> {
        let mut tx = self.write(Scope::Platform).await?;
        tx.execute(ADD_UP, &[&PIECE_ROWS_MAX, &PENDING_MAX_MINUTES]).await?;
        tx.commit().await
    }

    /// The numbers up to `last` of this run whose end nobody has told, [`OPEN_MAX`] at most, the newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn open_sessions(&self, core: &str, last: i64) -> Result<Vec<i64>> {
        let mut tx = self.read(Scope::Platform).await?;
        let rows = tx.query(OPEN, &[&core, &last, &OPEN_MAX]).await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// The hours of this range in which somebody listened, by hour and node.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn session_hours(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<BTreeMap<(Timestamp, String), SessionCounts>> {
        let mut tx = self.read(Scope::Platform).await?;
        let rows = tx.query(HOURS, &[&from, &to, &PENDING_MAX_MINUTES]).await?;
        tx.commit().await?;
        let mut hours = BTreeMap::new();
        for row in &rows {
            let counts = SessionCounts {
                sessions_ended: row.try_get("sessions_ended")?,
                exempt: row.try_get("exempt")?,
                pending: row.try_get("pending")?,
                missing: row.try_get("missing")?,
                unheard: row.try_get("unheard")?,
            };
            hours.insert((row.try_get("hour")?, row.try_get("node")?), counts);
        }
        Ok(hours)
    }

    /// The sessions of this range without a record, [`NAMED_MAX`] at most: first those that owe one, the newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`](crate::Error::Unavailable).
    pub async fn missing_sessions(&self, from: Timestamp, to: Timestamp) -> Result<Vec<Missing>> {
        let mut tx = self.read(Scope::Platform).await?;
        let rows = tx.query(NAMES, &[&from, &to, &PENDING_MAX_MINUTES, &NAMED_MAX]).await?;
        tx.commit().await?;
        rows.iter()
            .map(|row| {
                Ok(Missing {
                    node: row.try_get("node")?,
                    hour: row.try_get("hour")?,
                    core_uuid: row.try_get("core_uuid")?,
                    session_id: row.try_get("number")?,
                    leg_uuid: row.try_get("leg_uuid")?,
                    owed: row.try_get("owed")?,
                })
            })
            .collect()
    }
}

pub(crate) const TELL_ENDED: &str = "INSERT INTO voip.cdr_sessions (node, core_uuid, hour, told, numbers)
    SELECT $1::text, $2::text, date_trunc('hour', r.ended, 'UTC'), CASE WHEN r.owes THEN 'ended' ELSE 'exempt' END,
           range_agg(int8range(r.number, r.number, '[]'))
      FROM unnest($3::int8[], $4::timestamptz[], $5::bool[]) AS r (number, ended, owes) GROUP BY 3, 4";

pub(crate) const NAME_OWING: &str = "INSERT INTO voip.cdr_sessions_owing (core_uuid, number, leg_uuid, ended_at)
    SELECT $1::text, r.number, r.leg_uuid, r.ended
      FROM unnest($2::int8[], $3::text[], $4::timestamptz[], $5::timestamptz[]) AS r (number, leg_uuid, start_time, ended)
     WHERE NOT EXISTS (SELECT FROM voip.cdr c WHERE c.leg_uuid = r.leg_uuid AND c.start_time = r.start_time
                          AND NOT c.provisional)
    ON CONFLICT DO NOTHING";

pub(crate) const TELL_UNHEARD: &str = "INSERT INTO voip.cdr_sessions (node, core_uuid, hour, told, numbers)
    SELECT $1::text, $2::text, date_trunc('hour', now(), 'UTC'), 'unheard', range_agg(int8range(n, n, '[]'))
      FROM unnest($3::int8[]) AS n";

pub(crate) const TELL_LISTENING: &str = "INSERT INTO voip.cdr_sessions (node, core_uuid, hour, told, numbers)
    VALUES ($1, $2, date_trunc('hour', $3::timestamptz, 'UTC'), 'ended', '{}')";

pub(crate) const OPEN: &str = "SELECT n FROM unnest(
        int8multirange(int8range(1, $2::int8 + 1)) - (SELECT coalesce(range_agg(numbers), '{}') FROM voip.cdr_sessions
            WHERE core_uuid = $1 AND told <> 'document')) AS open,
        generate_series(lower(open), upper(open) - 1) AS n ORDER BY n DESC LIMIT $3";

pub(crate) const HOURS: &str =
    "SELECT node, hour, sum(voip.how_many(ended + exempt))::int8 AS sessions_ended,
        sum(voip.how_many(exempt))::int8 AS exempt, sum(voip.how_many(pending))::int8 AS pending,
        sum(voip.how_many(missing))::int8 AS missing, sum(voip.how_many(unheard))::int8 AS unheard
    FROM voip.session_hours($1, $2, make_interval(mins => $3::int4)) GROUP BY node, hour";

pub(crate) const NAMES: &str =
    "SELECT h.node, h.hour, h.core_uuid, n AS number, o.leg_uuid, h.missing @> n AS owed
    FROM voip.session_hours($1, $2, make_interval(mins => $3::int4)) AS h
        CROSS JOIN LATERAL unnest(h.missing + h.unheard) AS open
        CROSS JOIN LATERAL generate_series(lower(open), upper(open) - 1) AS n
        LEFT JOIN voip.cdr_sessions_owing o ON o.core_uuid = h.core_uuid AND o.number = n
    ORDER BY owed DESC, h.hour DESC, h.node, n LIMIT $4";

/// Adds up what was told more than $2 minutes ago, so that a row an hour, run and kind is left; $1 of them at once.
pub(crate) const ADD_UP: &str = "WITH many AS (
        SELECT node, core_uuid, hour, told FROM voip.cdr_sessions
         WHERE told_at <= now() - make_interval(mins => $2::int4)
         GROUP BY node, core_uuid, hour, told HAVING count(*) > 1 LIMIT $1),
    gone AS (
        DELETE FROM voip.cdr_sessions s USING many m
         WHERE s.node = m.node AND s.core_uuid = m.core_uuid AND s.hour = m.hour AND s.told = m.told
           AND s.told_at <= now() - make_interval(mins => $2::int4) RETURNING s.*)
    INSERT INTO voip.cdr_sessions (node, core_uuid, hour, told, numbers, told_at)
    SELECT node, core_uuid, hour, told, range_agg(numbers), max(told_at) FROM gone GROUP BY node, core_uuid, hour, told";

/// Names of sessions whose record came since, and old ones.
pub(crate) const FORGET_NAMES: &str = "DELETE FROM voip.cdr_sessions_owing WHERE (core_uuid, number) IN (
    SELECT o.core_uuid, o.number FROM voip.cdr_sessions_owing o
     WHERE o.ended_at < now() - interval '400 days'
        OR EXISTS (SELECT FROM voip.cdr_sessions s
                    WHERE s.core_uuid = o.core_uuid AND s.told = 'document' AND s.numbers @> o.number) LIMIT $1)";

/// Runs that are over: of one that goes on every number is needed, however old.
pub(crate) const FORGET: &str = "DELETE FROM voip.cdr_sessions WHERE id IN (
    SELECT s.id FROM voip.cdr_sessions s WHERE s.hour < now() - interval '400 days'
       AND NOT EXISTS (SELECT FROM voip.cdr_sessions n WHERE n.core_uuid = s.core_uuid AND n.hour >= now() - interval '400 days')
     LIMIT $1)";
