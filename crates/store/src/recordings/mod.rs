//! Recordings: the rows people look for, and ([`keep`]) what the nodes do with the files.
//!
//! A row is made with its leg, or when the file is closed (`cdr_write::recordings`). Its file lies under the tree of the node that carried the leg, and
//! the peer has a copy under the same path. States: `recording` (the file is not measured yet), `stored`, `replicated` (the
//! peer has a copy of that size), `missing`, `changed` (the owner's file is not the one that was measured), `deleting`.
//!
//! Never: a recording under legal hold in state `deleting`, which the table itself refuses.

pub mod keep;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::audit::{self, Actor, shown};
use crate::page::{Page, TimeCursor, limits};
use crate::search::Pattern;
use crate::tenant;
use crate::transaction::Transaction;
use crate::{Error, Result, Scope, Store};

/// Every state a recording can be in.
pub const STATES: [&str; 6] = ["recording", "stored", "replicated", "missing", "changed", "deleting"];

/// A recording as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recording {
    /// Its id.
    pub id: i64,
    /// The call's, as far as its leg is (still) stored.
    pub call_uuid: Option<String>,
    /// The leg it was made on.
    pub leg_uuid: String,
    /// The tenant's SIP domain.
    pub domain: Option<String>,
    /// inbound, outbound or internal: the call's.
    pub direction: Option<String>,
    /// As first presented.
    pub caller_id_number: Option<String>,
    /// What was dialled.
    pub destination_number: Option<String>,
    /// The queue's name, without domain.
    pub queue: Option<String>,
    /// The agent's user name, without domain.
    pub agent: Option<String>,
    /// When the leg began. UTC.
    pub start_time: Timestamp,
    /// When recording began. UTC.
    pub record_start_time: Option<Timestamp>,
    /// When it ended. UTC.
    pub record_end_time: Option<Timestamp>,
    /// Seconds: FreeSWITCH's count, then the file's.
    pub duration: Option<i32>,
    /// One of [`STATES`].
    pub state: String,
    /// The node whose FreeSWITCH wrote it.
    pub node: String,
    /// The file under that node's tree: `YYYY/MM/DD/<uuid>.wav`.
    pub file_path: String,
    /// Bytes: FreeSWITCH's count, then the file's.
    pub file_size: Option<i64>,
    /// `wav`.
    pub format: String,
    /// Of the file as it was when it was finished: 64 hex digits.
    pub sha256: Option<String>,
    /// The policy whose retention it falls under.
    pub policy: Option<String>,
    /// When retention deletes it; `None`: not by itself.
    pub expires_at: Option<Timestamp>,
    /// Retention leaves it alone.
    pub legal_hold: bool,
    /// When its node last compared the file with this row.
    pub checked_at: Option<Timestamp>,
    #[serde(skip)]
    domain_id: Option<i32>,
}

/// What recordings to list. A filter that is `None` lets everything pass; text compares exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordingFilter {
    /// The uuid of any leg of the call, or the call's.
    pub uuid: Option<String>,
    /// The leg started at this time or later.
    pub from: Option<Timestamp>,
    /// The leg started before this time.
    pub to: Option<Timestamp>,
    /// `caller_id_number`.
    pub caller: Option<Pattern>,
    /// `destination_number`.
    pub destination: Option<Pattern>,
    /// `inbound`, `outbound` or `internal`.
    pub direction: Option<String>,
    /// The queue's name, without domain.
    pub queue: Option<String>,
    /// The agent's user name, without domain.
    pub agent: Option<String>,
    /// The domain's name, known to us or not.
    pub domain: Option<String>,
    /// One of [`STATES`].
    pub state: Option<String>,
    /// Seconds, inclusive.
    pub duration_min: Option<i32>,
    /// Seconds, inclusive.
    pub duration_max: Option<i32>,
    /// Only those under legal hold, or only the others.
    pub legal_hold: Option<bool>,
    /// Items a page: 1 to [`PAGE_ITEMS_MAX`](crate::page::PAGE_ITEMS_MAX).
    pub limit: u16,
    /// `next` of the page before.
    pub after: Option<String>,
}

impl Store {
    /// A page of recordings, newest first.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a foreign `after`.
    pub async fn recordings(&self, scope: Scope, filter: &RecordingFilter) -> Result<Page<Recording>> {
        let after: Option<TimeCursor> = filter.after.as_deref().map(str::parse).transpose()?;
        let (after_start, after_id) = (after.map(|cursor| cursor.start), after.map(|cursor| cursor.id));
        let (items, rows_max) = limits(filter.limit);
        let mut tx = self.read(scope).await?;
        // A domain that is one of ours is looked up by its id, which the indexes know.
        let (mut domain_id, mut domain) = (scope.tenant(), filter.domain.as_deref());
        if let (None, Some(name)) = (domain_id, domain)
            && let Some(row) = tx.query_opt(tenant::BY_NAME, &[&name]).await?
        {
            (domain_id, domain) = (Some(row.try_get(0)?), None);
        }
        let [(caller, caller_like), (destination, destination_like)] = [&filter.caller, &filter.destination]
            .map(|pattern| pattern.as_ref().map_or((None, None), exact_or_like));
        let values: [(&(dyn ToSql + Sync), Type); 19] = [
            (&domain_id, Type::INT4),
            (&filter.from, Type::TIMESTAMPTZ),
            (&filter.to, Type::TIMESTAMPTZ),
            (&after_start, Type::TIMESTAMPTZ),
            (&after_id, Type::INT8),
            (&filter.uuid, Type::TEXT),
            (&caller, Type::TEXT),
            (&destination, Type::TEXT),
            (&filter.queue, Type::TEXT),
            (&filter.agent, Type::TEXT),
            (&domain, Type::TEXT),
            (&filter.state, Type::TEXT),
            (&filter.duration_min, Type::INT4),
            (&filter.duration_max, Type::INT4),
            (&filter.legal_hold, Type::BOOL),
            (&rows_max, Type::INT8),
            (&caller_like, Type::TEXT),
            (&destination_like, Type::TEXT),
            (&filter.direction, Type::TEXT),
        ];
        let sql = if filter.uuid.is_some() { LIST_OF_CALL } else { LIST };
        let rows = tx.search(sql, &values).await?;
        tx.commit().await?;
        let recordings = rows.iter().map(recording).collect::<Result<Vec<_>>>()?;
        let cursor = |it: &Recording| TimeCursor { start: it.start_time, id: it.id }.to_string();
        Ok(Page::cut(recordings, items, cursor))
    }

    /// One recording.
    ///
    /// # Errors
    /// [`Error::NotFound`], also for another tenant's.
    pub async fn recording(&self, scope: Scope, id: i64) -> Result<Recording> {
        let mut tx = self.read(scope).await?;
        let found = get(&mut tx, id).await?;
        tx.commit().await?;
        Ok(found)
    }

    /// Puts a recording under legal hold, or takes it off.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Conflict`] when retention is deleting it already; [`Error::Unknown`].
    pub async fn hold_recording(&self, actor: &Actor, id: i64, legal_hold: bool) -> Result<Recording> {
        let mut tx = self.write(actor.scope).await?;
        tx.query_opt(LOCK, &[&id]).await?.ok_or(Error::NotFound)?;
        let before = get(&mut tx, id).await?;
        if legal_hold && before.state == "deleting" {
            let reason = "its retention has ended and it is being deleted".to_owned();
            return Err(Error::Conflict { field: "legal_hold", reason });
        }
        tx.execute(HOLD, &[&id, &legal_hold]).await?;
        let after = get(&mut tx, id).await?;
        log(&mut tx, &actor.who, "update", &before, Some(shown(&before)?), Some(shown(&after)?)).await?;
        tx.commit().await?;
        Ok(after)
    }

    /// Notes that somebody was given audio. Give it out only when this has succeeded.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Unknown`]: then nobody may be sure that it is in the log.
    pub async fn log_recording_access(&self, actor: &Actor, of: &Recording, access: &Access) -> Result<()> {
        let mut tx = self.write(actor.scope).await?;
        let after = json!({"range": access.range, "address": access.address});
        log(&mut tx, &actor.who, "read", of, None, Some(after)).await?;
        tx.commit().await
    }
}

/// How audio was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The bytes given, such as `bytes 0-99/1000`; `None` is all of them.
    pub range: Option<String>,
    /// Who asked, as an IP address.
    pub address: String,
}

async fn get(tx: &mut Transaction, id: i64) -> Result<Recording> {
    tx.query_opt(GET, &[&id]).await?.as_ref().map_or(Err(Error::NotFound), recording)
}

async fn log(
    tx: &mut Transaction,
    who: &str,
    action: &str,
    of: &Recording,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<()> {
    let id = of.id.to_string();
    tx.execute(audit::LOG, &[&who, &action, &"recording", &id, &of.domain_id, &before, &after])
        .await
        .map(drop)
}

fn recording(row: &Row) -> Result<Recording> {
    let sha256: Option<Vec<u8>> = row.try_get("sha256")?;
    Ok(Recording {
        id: row.try_get("id")?,
        call_uuid: row.try_get("call_uuid")?,
        leg_uuid: row.try_get("leg_uuid")?,
        domain: row.try_get("domain")?,
        direction: row.try_get("direction")?,
        caller_id_number: row.try_get("caller_id_number")?,
        destination_number: row.try_get("destination_number")?,
        queue: row.try_get("queue")?,
        agent: row.try_get("agent")?,
        start_time: row.try_get("start_time")?,
        record_start_time: row.try_get("record_start_time")?,
        record_end_time: row.try_get("record_end_time")?,
        duration: row.try_get("duration")?,
        state: row.try_get("state")?,
        node: row.try_get("node")?,
        file_path: row.try_get("file_path")?,
        file_size: row.try_get("file_size")?,
        format: row.try_get("format")?,
        sha256: sha256.map(hex::encode),
        policy: row.try_get("policy")?,
        expires_at: row.try_get("expires_at")?,
        legal_hold: row.try_get("legal_hold")?,
        checked_at: row.try_get("checked_at")?,
        domain_id: row.try_get("domain_id")?,
    })
}

/// The columns of a [`Recording`] `r`. Its call is the leg's, which a late root may still change.
macro_rules! columns {
    () => {
        "SELECT r.id, r.leg_uuid, r.start_time, r.domain_id, r.domain, r.direction, r.caller_id_number,
            r.destination_number, r.queue, r.agent, r.record_start_time, r.record_end_time, r.duration, r.state, r.node,
            r.file_path, r.file_size, r.format, r.sha256, r.policy, r.expires_at, r.legal_hold, r.checked_at,
            (SELECT c.call_uuid FROM voip.cdr c WHERE c.leg_uuid = r.leg_uuid AND c.start_time = r.start_time) AS call_uuid"
    };
}

/// As in `cdr_read`: planned with its values, so an absent filter costs nothing; `start_time <= $4` is for the index.
/// A text to compare with, which has its index; or what LIKE takes, which is looked at along the list.
fn exact_or_like(pattern: &Pattern) -> (Option<String>, Option<String>) {
    let plain = |text: &str| text.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_");
    match pattern {
        Pattern::Is(text) => (Some(text.clone()), None),
        Pattern::Begins(text) => (None, Some(format!("{}%", plain(text)))),
        Pattern::Ends(text) => (None, Some(format!("%{}", plain(text)))),
        Pattern::Holds(text) => (None, Some(format!("%{}%", plain(text)))),
    }
}

macro_rules! filtered {
    () => {
        " AND ($1::int4 IS NULL OR r.domain_id = $1)
          AND ($2::timestamptz IS NULL OR r.start_time >= $2) AND ($3::timestamptz IS NULL OR r.start_time < $3)
          AND ($4::timestamptz IS NULL OR (r.start_time <= $4 AND (r.start_time, r.id) < ($4, $5)))
          AND ($7::text IS NULL OR r.caller_id_number = $7) AND ($8::text IS NULL OR r.destination_number = $8)
          AND ($9::text IS NULL OR r.queue = $9) AND ($10::text IS NULL OR r.agent = $10)
          AND ($11::text IS NULL OR r.domain = lower($11)) AND ($12::text IS NULL OR r.state = $12)
          AND ($13::int4 IS NULL OR r.duration >= $13) AND ($14::int4 IS NULL OR r.duration <= $14)
          AND ($15::bool IS NULL OR r.legal_hold = $15) AND ($17::text IS NULL OR r.caller_id_number LIKE $17)
          AND ($18::text IS NULL OR r.destination_number LIKE $18) AND ($19::text IS NULL OR r.direction = $19)
        ORDER BY r.start_time DESC, r.id DESC LIMIT $16"
    };
}

pub(crate) const LIST: &str =
    concat!(columns!(), " FROM voip.recordings r WHERE $6::text IS NULL", filtered!());

/// The recordings of one call; $6 is any of its legs, or the call.
pub(crate) const LIST_OF_CALL: &str = concat!(
    columns!(),
    " FROM (SELECT $6::text AS leg_uuid UNION SELECT l.leg_uuid
              FROM (SELECT $6::text AS call_uuid UNION SELECT n.call_uuid FROM voip.cdr n WHERE n.leg_uuid = $6) AS calls
             CROSS JOIN LATERAL (SELECT c.leg_uuid FROM voip.cdr c WHERE c.call_uuid = calls.call_uuid OFFSET 0) l) AS legs
     CROSS JOIN LATERAL (SELECT * FROM voip.recordings x WHERE x.leg_uuid = legs.leg_uuid OFFSET 0) r WHERE true",
    filtered!()
);

pub(crate) const GET: &str = concat!(columns!(), " FROM voip.recordings r WHERE r.id = $1");

pub(crate) const LOCK: &str = "SELECT FROM voip.recordings WHERE id = $1 FOR UPDATE";

pub(crate) const HOLD: &str = "UPDATE voip.recordings SET legal_hold = $2 WHERE id = $1";
