//! `/metrics` in Prometheus' text format. Names and units are listed in `docs/metrics.md`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, State};
use http::StatusCode;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::config::Network;
use crate::http::input::is_listed;
use crate::http::problem::Problem;

/// Histograms grow without end unless upkeep is called.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Seconds; from a cached directory answer (tens of microseconds) to a waiting commit.
const LATENCY_BUCKETS_S: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
const BATCH_BUCKETS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 1_000.0, 5_000.0];

/// Installs the recorder. Called once in the life of the process.
///
/// # Errors
/// When a recorder is installed already.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &LATENCY_BUCKETS_S)?
        .set_buckets_for_metric(Matcher::Suffix("_batch_size".into()), &BATCH_BUCKETS)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

pub async fn upkeep(handle: PrometheusHandle) {
    let mut tick = tokio::time::interval(UPKEEP_EVERY);
    loop {
        tick.tick().await;
        handle.run_upkeep();
    }
}

fn describe() {
    use metrics::{describe_counter as counter, describe_gauge as gauge, describe_histogram as histogram};
    counter!("voip_cdr_received_total", "documents received, by kind");
    counter!("voip_cdr_acknowledged_total", "documents answered with 200 after they were durable, by kind");
    counter!("voip_cdr_refused_total", "documents not acknowledged, by reason");
    counter!(
        "voip_cdr_ack_degraded_total",
        "acknowledged with the local fsync alone although a peer is configured"
    );
    counter!("voip_cdr_stored_total", "rows committed");
    counter!("voip_cdr_duplicates_total", "rows that were there already");
    counter!("voip_cdr_quarantined_total", "documents kept whole because they could not be understood");
    counter!("voip_cdr_spool_imported_total", "documents imported from an engine's spool folder, by kind");
    counter!("voip_cdr_spool_bad_total", "spooled files put aside in bad/, by kind and reason");
    gauge!("voip_cdr_spool_waiting", "files that wait in an engine's spool folder, by kind");
    gauge!("voip_cdr_spool_unreadable", "of these, cannot be read or moved");
    gauge!("voip_cdr_spool_bad", "files that lie in bad/, by kind");
    counter!("voip_cdr_expired_rows_total", "rows deleted because nobody keeps them longer");
    counter!("voip_cdr_expired_partitions_total", "months dropped because nobody keeps them longer");
    counter!("voip_sip_events_total", "events of Kamailio stored");
    counter!("voip_cdr_repushed_total", "times the journal was pushed to Redis again");
    gauge!("voip_cdr_journal_bytes", "size of the journal");
    gauge!("voip_cdr_journal_pending", "records not yet known to be committed");
    gauge!("voip_cdr_lag_seconds", "age of the oldest record not yet known to be committed");
    gauge!("voip_cdr_missing", "sessions of the last seven days that owe a record that did not come");
    gauge!("voip_cdr_unheard", "sessions of the last seven days that ended unheard and have no record");
    counter!("voip_sessions_ended_total", "sessions that this node's FreeSWITCH ended, as heard");
    histogram!("voip_cdr_ack_seconds", "time from the request to its acknowledgement");
    histogram!("voip_cdr_batch_size", "documents in one transaction");
    counter!("voip_directory_requests_total", "directory look-ups, by where the answer came from");
    histogram!("voip_directory_seconds", "time of a directory answer");
    gauge!("voip_recordings", "this node's recordings by state, but for those that are well");
    counter!("voip_recordings_lost_total", "recordings found missing or changed, by state");
    counter!("voip_recordings_deleted_total", "files deleted at the end of their retention");
    counter!("voip_fs_refused_total", "requests to /fs refused, by why");
}

/// `GET /metrics`, for loopback and `metrics.allow` only: names of tenants and queues are labels.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String), (status = 403)))]
pub async fn show(
    State(handle): State<PrometheusHandle>,
    State(watchers): State<Arc<[Network]>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
) -> Result<String, Problem> {
    if is_listed(peer, &watchers) {
        return Ok(handle.render());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "metrics are shown to loopback and to metrics.allow only"))
}
