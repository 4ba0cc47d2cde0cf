//! A running server, asked ten times a second over one session.

use std::time::Duration;

use anyhow::{Context, Result};
use fsm::{BarrierRow, Lsn, Point};
use jiff::Timestamp;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::session::{Commits, Server};

/// A server that does not answer in this time is silent now; what it said before stands for a while.
const ANSWER: Duration = Duration::from_millis(1500);
/// A standby this near is caught up: less than a WAL segment.
const NEARLY_BYTES: i64 = 16 << 20;
const QUESTION: &str = include_str!("facts.sql");

/// What a server says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub in_recovery: bool,
    pub names: String,
    pub conninfo: String,
    /// Flushed here, in bytes of the log.
    pub flush: Lsn,
    /// Replayed here: always the end of a whole record, which what was received is not.
    pub replay: Lsn,
    pub receiver: bool,
    /// The receiver streams.
    pub receives: bool,
    /// Application names of the standbys that stream and are nearly caught up, the newest connection first.
    pub standbys: Vec<String>,
    /// The barrier's backend waits for the standby.
    pub barrier_waits: bool,
    /// From where on log is kept for the peer; none without its slot, or where that lost its log.
    pub kept_from: Option<Lsn>,
    pub timeline: u32,
    pub started: Timestamp,
    /// The newest barrier row.
    pub row: Option<BarrierRow>,
}

/// Asks over `client`.
///
/// # Errors
/// Silent, gone, or in a fault: the session is of no more use.
pub async fn ask(client: &Client, barrier_pid: Option<i32>, slot: &str) -> Result<Facts> {
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&barrier_pid.unwrap_or(0), &slot, &NEARLY_BYTES];
    let asked = async {
        let (facts, row) = tokio::join!(client.query_one(QUESTION, &parameters), barrier_row(client));
        anyhow::Ok((facts?, row?))
    };
    let (facts, row) = timeout(ANSWER, asked).await.context("PostgreSQL did not answer in time")??;
    Ok(Facts {
        in_recovery: facts.try_get(0)?,
        names: facts.try_get(1)?,
        conninfo: facts.try_get(2)?,
        flush: facts.try_get::<_, Option<i64>>(3)?.unwrap_or(0).unsigned_abs(),
        replay: facts.try_get::<_, Option<i64>>(4)?.unwrap_or(0).unsigned_abs(),
        receiver: facts.try_get(5)?,
        receives: facts.try_get(6)?,
        standbys: facts.try_get(7)?,
        barrier_waits: facts.try_get(8)?,
        kept_from: facts.try_get::<_, Option<i64>>(9)?.map(i64::unsigned_abs),
        timeline: facts.try_get::<_, Option<i32>>(10)?.unwrap_or(0).unsigned_abs(),
        started: facts.try_get(11)?,
        row,
    })
}

/// None on a server that never had one.
async fn barrier_row(client: &Client) -> Result<Option<BarrierRow>, tokio_postgres::Error> {
    let row = match client.query_opt(NEWEST_BARRIER, &[]).await {
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => return Ok(None),
        Err(error) if error.code() == Some(&SqlState::INVALID_SCHEMA_NAME) => return Ok(None),
        other => other?,
    };
    let Some(row) = row else { return Ok(None) };
    let number = |at: usize| row.try_get::<_, i64>(at).map(i64::unsigned_abs);
    Ok(Some(BarrierRow { at: Point { epoch: number(0)?, join: number(1)? }, nonce: number(2)? }))
}

/// Where the timeline a server is on left the one before; 0 for the first.
///
/// # Errors
/// The server's history file is not there or not understood.
pub async fn began(client: &Client, timeline: u32) -> Result<Lsn> {
    if timeline <= 1 {
        return Ok(0);
    }
    let file = format!("pg_wal/{timeline:08X}.history");
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&file];
    let row = timeout(ANSWER, client.query_one("SELECT pg_read_file($1)", &parameters))
        .await
        .context("PostgreSQL did not answer in time")??;
    let text: String = row.try_get(0)?;
    last_switch(&text).with_context(|| format!("{file} is not understood"))
}

/// The last line that is no comment: `parent timeline, switch point, reason`.
fn last_switch(history: &str) -> Option<Lsn> {
    let line = history.lines().rfind(|line| !line.trim().is_empty() && !line.starts_with('#'))?;
    lsn(line.split_ascii_whitespace().nth(1)?)
}

/// `16/B374D848`.
pub fn lsn(text: &str) -> Option<Lsn> {
    let (high, low) = text.split_once('/')?;
    Some((Lsn::from_str_radix(high, 16).ok()? << 32) | Lsn::from_str_radix(low, 16).ok()?)
}

/// What a primary needs before a peer can follow it: the agent's table of epochs, the peer's slot, and the rights of
/// pg_rewind (postgresql.org, pg_rewind, "Notes").
///
/// # Errors
/// As the server says.
pub async fn prepare_for_peer(server: &Server, slot: Option<&str>, at: Point, owner: &str) -> Result<()> {
    let mut client = server.connect(Commits::Local).await?;
    let work = async {
        let transaction = client.transaction().await?;
        transaction.batch_execute(QUIETLY).await?;
        transaction.batch_execute(TABLES).await?;
        // A cross-check only: it is replicated, and a rewind copies it.
        let sql = "INSERT INTO tandem.epoch VALUES (1, $1, $2) ON CONFLICT (one) DO UPDATE \
                   SET epoch = excluded.epoch, owner = excluded.owner";
        transaction.execute(sql, &[&signed(at.epoch), &owner]).await?;
        let role = transaction.query_opt("SELECT FROM pg_roles WHERE rolname = 'replicator'", &[]).await?;
        if role.is_some() {
            transaction.batch_execute(REWIND_RIGHTS).await?;
        }
        transaction.commit().await?;
        if let Some(slot) = slot {
            let sql = "SELECT pg_create_physical_replication_slot($1::text::name, true) \
                       WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1::text::name)";
            // One that lost its log serves nobody: its standby is copied anew over a new one.
            client.query(DROP_LOST, &[&slot]).await?;
            client.query(sql, &[&slot]).await?;
        }
        Ok::<_, tokio_postgres::Error>(())
    };
    timeout(ANSWER * 4, work).await.context("PostgreSQL did not answer in time")??;
    Ok(())
}

const DROP_LOST: &str = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
    WHERE slot_name = $1::text::name AND wal_status = 'lost' AND NOT active";

/// What is there already is not told.
const QUIETLY: &str = "SET LOCAL client_min_messages = warning";

/// The agent's own two rows, in the database `postgres`.
pub const TABLES: &str = "CREATE SCHEMA IF NOT EXISTS tandem; \
    CREATE TABLE IF NOT EXISTS tandem.epoch (one int PRIMARY KEY CHECK (one = 1), epoch int8 NOT NULL, owner text NOT NULL); \
    CREATE TABLE IF NOT EXISTS tandem.barrier (id int8 GENERATED ALWAYS AS IDENTITY, epoch int8 NOT NULL, \
        joined int8 NOT NULL, nonce int8 NOT NULL)";

const NEWEST_BARRIER: &str = "SELECT epoch, joined, nonce FROM tandem.barrier ORDER BY id DESC LIMIT 1";

const REWIND_RIGHTS: &str = "ALTER ROLE replicator INHERIT; GRANT pg_checkpoint TO replicator; GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text, boolean, boolean), \
    pg_catalog.pg_stat_file(text, boolean), pg_catalog.pg_read_binary_file(text), \
    pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) TO replicator";

/// PostgreSQL's integers are signed; epochs, joins and positions stay far below.
pub const fn signed(number: u64) -> i64 {
    number.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_began_where_its_history_says() {
        let history =
            "1\t0/50000A0\tno recovery target specified\n\n2\t16/B374D848\tno recovery target specified\n";
        assert_eq!(last_switch(history), Some((0x16 << 32) | 0xB374_D848));
        assert_eq!((lsn("0/0"), lsn("x"), last_switch("")), (Some(0), None, None));
    }
}
