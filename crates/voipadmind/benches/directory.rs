//! `make bench-directory`: a cached directory answer against a bare axum handler that answers the same bytes, in the same
//! process, turn by turn. Prints the median rate and latency of each, and their ratio.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run ends")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod client;
#[path = "../tests/support/mod.rs"]
mod support;

use client::{exchange, median, serve};

const TURNS: usize = 7;
const TURN: Duration = Duration::from_secs(2);
const CONNECTIONS: usize = 16;

fn main() {
    let node = testkit::or_skip!(support::Node::start());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(compare(&node));
}

async fn compare(node: &support::Node) {
    let config = voipadmind::config::load(&bench_config(node), |_| None).unwrap();
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let metrics = voipadmind::observe::metrics::install().unwrap();
    let (app, _journal) = voipadmind::run::start(&config, metrics, &tasks, &stop).unwrap();
    let ours = serve(voipadmind::http::router::router(app, Duration::from_secs(30))).await;
    let request = directory_request();
    let answer = once(ours, &request).await;
    assert!(answer.windows(7).any(|w| w == b"a1-hash"), "{}", String::from_utf8_lossy(&answer));
    let body: bytes::Bytes =
        answer[answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4..].to_vec().into();
    let bytes = body.len();
    let bare = serve(Router::new().route(
        "/fs/xml/directory",
        // Like ours, it reads the form before it answers.
        post(move |_form: bytes::Bytes| {
            let body = body.clone();
            async move { ([("content-type", "text/xml; charset=utf-8")], body) }
        }),
    ))
    .await;

    let mut turns: [Vec<Turn>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..TURNS {
        for (address, turns) in [ours, bare].into_iter().zip(&mut turns) {
            turns.push(load(address, &request).await);
        }
    }
    let rate = |turns: &[Turn]| median(turns.iter().map(|t| t.rate).collect());
    let at = |turns: &[Turn], q: usize| median(turns.iter().map(|t| t.latency_us[q]).collect());
    println!(
        "directory answer of {bytes} bytes, {CONNECTIONS} connections, {TURNS} turns of {} s each",
        TURN.as_secs()
    );
    println!("{:24}{:>12}{:>12}{:>12}", "", "requests/s", "p50 us", "p99 us");
    for (name, turns) in ["voipadmind, cached", "bare axum handler"].iter().zip(&turns) {
        println!("{name:24}{:>12.0}{:>12.0}{:>12.0}", rate(turns), at(turns, 0), at(turns, 1));
    }
    let single = latency_alone(ours, &request).await;
    println!("one connection alone: median {single:.0} us");
    println!("ratio of the rates: {:.2}", rate(&turns[0]) / rate(&turns[1]));
    stop.cancel();
}

struct Turn {
    rate: f64,
    /// p50 and p99.
    latency_us: [f64; 2],
}

async fn load(address: SocketAddr, request: &Arc<[u8]>) -> Turn {
    let stop = Arc::new(AtomicBool::new(false));
    let started = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (request, stop) = (request.clone(), stop.clone());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut latencies = Vec::with_capacity(1 << 16);
                while !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    exchange(&mut stream, &request).await;
                    latencies.push(sent.elapsed().as_nanos() as f64 / 1e3);
                }
                latencies
            })
        })
        .collect();
    tokio::time::sleep(TURN).await;
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await.unwrap());
    }
    let rate = all.len() as f64 / started.elapsed().as_secs_f64();
    all.sort_by(f64::total_cmp);
    Turn { rate, latency_us: [all[all.len() / 2], all[all.len() * 99 / 100]] }
}

async fn latency_alone(address: SocketAddr, request: &[u8]) -> f64 {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut latencies = Vec::new();
    for _ in 0..2_000 {
        let sent = Instant::now();
        exchange(&mut stream, request).await;
        latencies.push(sent.elapsed().as_nanos() as f64 / 1e3);
    }
    median(latencies)
}

async fn once(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    exchange(&mut stream, request).await
}

fn directory_request() -> Arc<[u8]> {
    let form = String::from_utf8(support::wire("xml_curl/directory.sip_auth_register.form")).unwrap();
    let form = form.trim_end().replace("pbx.test", "default.local");
    let credentials = format!("{}:{}", support::FS_USER, support::FS_PASSWORD);
    client::post("/fs/xml/directory", "application/x-www-form-urlencoded", &credentials, form.as_bytes())
        .into()
}

/// The node's configuration with a journal of its own: the node's daemon runs beside us.
fn bench_config(node: &support::Node) -> std::path::PathBuf {
    let text = std::fs::read_to_string(node.path("config.yaml")).unwrap();
    let path = node.path("bench.yaml");
    std::fs::write(&path, text.replace("/journal", "/bench-journal").replace("level: info", "level: error"))
        .unwrap();
    assert!(Path::new(&path).exists());
    path
}
