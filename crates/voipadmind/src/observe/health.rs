//! `GET /health`: is the process live, and is it ready to take calls' records and answer the engines.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use http::StatusCode;
use journal::Journal;
use queue::Queue;
use serde::Serialize;
use store::Store;

use crate::cdr::sessions::records::{Latest, Records};
use crate::config::Network;
use crate::http::input::is_listed;
use crate::recordings::Recordings;

/// A part that does not answer by then is down.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct Health {
    pub store: Store,
    pub queue: Queue,
    pub journal: Arc<Journal>,
    pub records: Latest,
    pub recordings: Recordings,
    pub node: Arc<str>,
}

/// `ready` means: CDRs are taken, and the database answers. Redis away is reported and does not make a node unready,
/// because the journal carries the load alone.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Report {
    /// `ok`, `degraded` or `failing`.
    status: &'static str,
    live: bool,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details>,
}

/// Shown to loopback and `metrics.allow` only.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Details {
    node: String,
    version: &'static str,
    /// `ok`, or what is wrong.
    database: String,
    redis: String,
    journal: String,
    /// CDRs that are durable here and not yet known to be in the database.
    journal_pending: usize,
    /// Whether every session of FreeSWITCH has its record; null where nobody counts. It makes no node unready: it is no outage.
    records: Option<Records>,
    /// `ok`, or how many of this node's files are missing or changed. It makes no node unready: it is no outage.
    recordings: String,
}

#[utoipa::path(get, path = "/health", responses((status = 200, body = Report), (status = 503, body = Report)))]
pub async fn show(
    State(health): State<Health>,
    State(watchers): State<Arc<[Network]>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
) -> (StatusCode, Json<Report>) {
    let (database, redis) = tokio::join!(
        told(async { database(&health.store).await }),
        told(async { health.queue.identity().await.map(drop).map_err(|e| e.to_string()) }),
    );
    let stats = health.journal.stats();
    let journal = match (stats.broken, stats.full) {
        (Some(broken), _) => broken.to_string(),
        (None, Some(full)) => full.to_string(),
        (None, None) => "ok".to_owned(),
    };
    let ready = database == "ok" && journal == "ok";
    let in_limbo = health.store.is_in_limbo();
    let database = if ready && in_limbo {
        "commits are not acknowledged: the standby is away, or a disk hangs".to_owned()
    } else {
        database
    };
    let status = match (ready, redis == "ok" && !in_limbo) {
        (true, true) => "ok",
        (true, false) => "degraded",
        (false, _) => "failing",
    };
    let details = is_listed(peer, &watchers).then(|| Details {
        node: health.node.to_string(),
        version: env!("CARGO_PKG_VERSION"),
        database,
        redis,
        journal,
        journal_pending: stats.pending_records,
        records: health.records.borrow().as_deref().cloned(),
        recordings: health.recordings.health(),
    });
    let code = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(Report { status, live: true, ready, details }))
}

/// `SELECT 1` passes on a server that can do nothing for us: it must take writes and have our schema.
async fn database(store: &Store) -> Result<(), String> {
    let found = store.health().await.map_err(|e| e.to_string())?;
    if !found.writable {
        return Err(format!("the {} takes no writes", found.role));
    }
    if found.schema_version < found.schema_version_wanted {
        return Err(
            "the schema is older than this program: run 'voipadmind bootstrap' on the primary".to_owned()
        );
    }
    Ok(())
}

async fn told(check: impl Future<Output = Result<(), String>>) -> String {
    match tokio::time::timeout(CHECK_TIMEOUT, check).await {
        Ok(Ok(())) => "ok".to_owned(),
        Ok(Err(error)) => error,
        Err(_) => format!("no answer in {} s", CHECK_TIMEOUT.as_secs()),
    }
}
