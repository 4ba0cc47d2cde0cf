//! One row a commit, by PostgreSQL connections to the virtual address, and to each node's own.
//!
//! A row is acknowledged when the INSERT returned, without the notice that its wait for the standby was cancelled, within
//! the bound. At the bound the connection is dropped, never the statement cancelled. Each row comes back with the timeline
//! it was written on, by which two nodes that acknowledge at once are told.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use phones::Env;
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, Statement};

use super::{Desk, Outcome, Probe};
use crate::written::TABLE;

/// Connections to the virtual address; they take turns, so that one that hangs does not hide what the next one sees.
const LANES: u32 = 3;
/// Of a lane: together one row every 50 ms.
const EVERY: Duration = Duration::from_millis(150);
const DIRECT_EVERY: Duration = Duration::from_millis(100);
const CONNECT: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_millis(1_000);
const TRY_AGAIN: Duration = Duration::from_millis(50);
/// Sessions of ours that wait for the standby after we have left them; more are not begun, or they would take all
/// connections.
const WAITING_MAX: i64 = 12;

/// Starts the lanes.
pub fn start(runtime: &Runtime, desk: &Desk, env: &Env) -> Result<()> {
    let lab = env.lab.as_ref().context("no lab")?;
    let at = |host: &str| -> Result<Config> {
        let mut config: Config = env.pg.replace(&format!("@{}:", lab.vip), &format!("@{host}:")).parse()?;
        config.application_name(format!("faults-{}", desk.run)).connect_timeout(CONNECT);
        Ok(config)
    };
    for lane in 0..LANES {
        let first = Instant::now() + EVERY * lane / LANES;
        runtime.spawn(run(desk.clone(), Probe::Sql, at(&lab.vip)?, first, EVERY));
    }
    for (node, host) in [&lab.n1, &lab.n2].into_iter().enumerate() {
        runtime.spawn(run(desk.clone(), Probe::Direct(node), at(host)?, Instant::now(), DIRECT_EVERY));
    }
    Ok(())
}

async fn run(desk: Desk, probe: Probe, config: Config, first: Instant, every: Duration) {
    let mut ticks = interval_at(first, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut connection: Option<Connection> = None;
    while !desk.is_over() {
        ticks.tick().await;
        let (number, sent) = (desk.number(), desk.now());
        let held = match connection.take() {
            Some(held) => Ok(held),
            None => Connection::open(&config, probe).await,
        };
        let outcome = match held {
            Err(why) => Outcome::Bad(why),
            Ok(held) => {
                let (outcome, usable) = held.write(&desk.run, number).await;
                connection = usable.then_some(held);
                outcome
            }
        };
        let bad = matches!(outcome, Outcome::Bad(_));
        desk.tell(probe, number, sent, outcome);
        if bad {
            sleep(TRY_AGAIN).await;
        }
    }
}

struct Connection {
    client: Client,
    insert: Statement,
    via: &'static str,
    wait_cancelled: Arc<AtomicBool>,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The socket goes with it.
        self.driver.abort();
    }
}

impl Connection {
    async fn open(config: &Config, probe: Probe) -> Result<Self, String> {
        let bounded = timeout(CONNECT, config.connect(NoTls)).await;
        let (client, mut messages) =
            bounded.map_err(|_| "no connection in time".to_owned())?.map_err(said)?;
        let wait_cancelled = Arc::new(AtomicBool::new(false));
        let seen = wait_cancelled.clone();
        let driver = tokio::spawn(async move {
            let mut next = pin!(poll_fn(move |cx| messages.poll_message(cx)));
            while let Some(Ok(message)) = next.as_mut().await {
                // It comes before the reply it belongs to. The text may be translated, the routine is not (syncrep.c).
                if let AsyncMessage::Notice(notice) = message
                    && notice.routine() == Some("SyncRepWaitForLSN")
                {
                    seen.store(true, Ordering::Release);
                }
            }
        });
        let driver = driver.abort_handle();
        let insert = timeout(CONNECT, client.prepare(&insert())).await;
        let insert = insert.map_err(|_| "no answer in time".to_owned()).and_then(|made| made.map_err(said));
        let insert = insert.inspect_err(|_| driver.abort())?;
        Ok(Self { client, insert, via: probe.name(), wait_cancelled, driver })
    }

    /// Whether it was acknowledged, and whether the connection can be used again.
    async fn write(&self, run: &str, number: u64) -> (Outcome, bool) {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&run, &self.via, &number, &WAITING_MAX];
        match timeout(ANSWER, self.client.query_opt(&self.insert, &parameters)).await {
            Err(_) => (Outcome::Bad("no answer in time".into()), false),
            Ok(Err(error)) => (Outcome::Bad(said(error)), false),
            Ok(Ok(_)) if self.wait_cancelled.load(Ordering::Acquire) => {
                (Outcome::Bad("its wait for the standby was cancelled".into()), false)
            }
            Ok(Ok(None)) => (Outcome::Bad("others wait for the standby".into()), true),
            Ok(Ok(Some(row))) => {
                let timeline: Option<String> = row.try_get(0).ok();
                let timeline = timeline.and_then(|hex| u32::from_str_radix(&hex, 16).ok());
                (Outcome::Good(timeline), true)
            }
        }
    }
}

/// The first eight characters of a WAL file's name are the timeline that is written (xlog_internal.h).
fn insert() -> String {
    format!(
        "INSERT INTO {TABLE} (run, via, n) SELECT $1::text, $2::text, $3::bigint \
         WHERE (SELECT count(*) FROM pg_stat_activity WHERE usename = current_user AND wait_event = 'SyncRep') < $4::bigint \
         RETURNING left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
    )
}

fn said(error: tokio_postgres::Error) -> String {
    match (error.code(), std::error::Error::source(&error)) {
        (Some(code), _) => match code.code() {
            "25006" => "the server is read-only".into(),
            "28000" => "the server lets no client in".into(),
            "57P03" => "the server starts".into(),
            "57P01" | "57P02" => "the server ended the connection".into(),
            code => format!("SQL error {code}"),
        },
        (None, Some(source)) => source.to_string(),
        (None, None) => error.to_string(),
    }
}
