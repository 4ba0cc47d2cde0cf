//! How fast CDRs get into the table: batches of the store's own against a binary COPY of the same rows into the same table
//! with the same indexes, side by side, medians of [`ROUNDS`]. `cargo bench -p store --bench cdr_drain`
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic ends the measurement, with a line number")]

#[path = "../tests/it/common.rs"]
#[allow(dead_code, reason = "the tests' fixture")]
mod common;

use std::time::{Duration, Instant};

use common::{Fixture, leg, leg_item};
use store::{Item, Store};
use tokio::task::JoinSet;
use tokio_postgres::Client;

const ROUNDS: usize = 7;
const CALLS: usize = 10_000;
const WORKERS: usize = 4;

fn main() {
    // `cargo test` runs benches too, to see that they build.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let fixture = match Fixture::seeded().await {
            Ok(fixture) => fixture,
            Err(error) => return testkit::skip(&error),
        };
        let superuser = fixture.superuser().await;
        fixture
            .store
            .commit_cdr_batch(&[leg_item(0, leg("first", None, "2026-11-22T12:00:00Z"))])
            .await
            .unwrap();
        for batch in [100, 400] {
            let mut rates = [Vec::new(), Vec::new()];
            for round in 0..ROUNDS {
                let took = drained(&fixture.store, &format!("b{batch}r{round}"), batch).await;
                rates[0].push(rows_per_second(took));
                let took = copied(&superuser, &format!("b{batch}r{round}")).await;
                rates[1].push(rows_per_second(took));
            }
            let [store, copy] = rates.map(median);
            println!(
                "batches of {batch}: {store:.0} rows/s, COPY BINARY {copy:.0} rows/s, ratio {:.2}",
                store / copy
            );
        }
    });
}

/// Calls of two legs by way of the store, batches taken by workers side by side.
async fn drained(store: &Store, name: &str, batch: usize) -> Duration {
    let items: Vec<Item> = (0..CALLS)
        .flat_map(|n| {
            let uuid = format!("9f1c2a54-{name}-{n}");
            let a = leg(&uuid, None, "2026-11-22T12:00:00Z");
            let b = leg(&format!("{uuid}-b"), Some(&uuid), "2026-11-22T12:00:01Z");
            [leg_item(2 * n as u64, a), leg_item(2 * n as u64 + 1, b)]
        })
        .collect();
    let mut shares: Vec<Vec<Vec<Item>>> = vec![Vec::new(); WORKERS];
    for (n, batch) in items.chunks(batch).enumerate() {
        shares[n % WORKERS].push(batch.to_vec());
    }
    let began = Instant::now();
    let mut workers = JoinSet::new();
    for share in shares {
        let store = store.clone();
        workers.spawn(async move {
            for batch in share {
                store.commit_cdr_batch(&batch).await.unwrap();
            }
        });
    }
    workers.join_all().await;
    began.elapsed()
}

/// The rows just drained, once more under other names, by one COPY: the server's own best. Reading them back out as a
/// COPY stream is not measured.
async fn copied(client: &Client, name: &str) -> Duration {
    use futures_util::{SinkExt, TryStreamExt};
    let columns = "leg_uuid, start_time, call_uuid, head, parent_uuid, source, provisional, domain, domain_id, direction,
        leg_direction, caller_id_number, caller_id_name, destination_number, context, answer_time, end_time, duration, billsec,
        hangup_cause, hangup_cause_q850, sip_call_id, core_uuid, recorded, node, status, wait_seconds, talk_seconds, hangup_by,
        facts, events";
    let renamed =
        columns.replacen("leg_uuid", "'c' || leg_uuid", 1).replacen("call_uuid", "'c' || call_uuid", 1);
    let out = format!(
        "COPY (SELECT {renamed} FROM voip.cdr WHERE leg_uuid LIKE '9f1c2a54-{name}-%') TO STDOUT (FORMAT binary)"
    );
    let rows: Vec<bytes::Bytes> = client.copy_out(&out).await.unwrap().try_collect().await.unwrap();
    let began = Instant::now();
    let sink =
        client.copy_in(&format!("COPY voip.cdr ({columns}) FROM STDIN (FORMAT binary)")).await.unwrap();
    let mut sink = std::pin::pin!(sink);
    for row in rows {
        sink.feed(row).await.unwrap();
    }
    assert_eq!(sink.finish().await.unwrap(), 2 * CALLS as u64);
    began.elapsed()
}

fn rows_per_second(took: Duration) -> f64 {
    2.0 * CALLS as f64 / took.as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
