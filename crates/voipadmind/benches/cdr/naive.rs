//! The peer: a handler that understands a document as ours does and writes one INSERT for it, committed when it answers.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::StatusCode;
use tokio::sync::{Mutex, mpsc};
use tokio_postgres::{Client, NoTls, Statement};

const SETTINGS: &str = "TANDEM_BENCH_NAIVE_DSN";
/// As voipadmind's pool.
const CONNECTIONS: usize = 20;

const INSERT: &str = "INSERT INTO naive.cdr (leg_uuid, start_time, call_uuid, head, parent_uuid, bleg_uuid, source, provisional,
        vp_call, domain, direction, leg_direction, caller_id_number, caller_id_name, destination_number, context,
        answer_time, end_time, duration, billsec, hangup_cause, hangup_cause_q850, queue, agent, sip_call_id, core_uuid,
        recorded, node)
    VALUES ($1, $2, $1, true, $3, $4, $5, false, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
        $22, $23, $24, 'n1') ON CONFLICT DO NOTHING";

pub fn is_asked() -> bool {
    std::env::var_os(SETTINGS).is_some()
}

/// A process of its own, and where it listens.
pub fn start(dsn: &str) -> (Child, SocketAddr) {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(std::env::current_exe().unwrap());
    let mut child = command.env(SETTINGS, dsn).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    (child, line.trim().parse().unwrap())
}

pub fn run() {
    let dsn = std::env::var(SETTINGS).unwrap();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        let (free, pool) = mpsc::channel(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let (client, connection) = tokio_postgres::connect(&dsn, NoTls).await.unwrap();
            tokio::spawn(connection);
            let insert = client.prepare(INSERT).await.unwrap();
            free.send((client, insert)).await.unwrap();
        }
        let peer = Peer { free, pool: Arc::new(Mutex::new(pool)) };
        let address = crate::client::serve(Router::new().route("/fs/cdr", post(take)).with_state(peer)).await;
        println!("{address}");
        std::future::pending::<()>().await;
    });
}

#[derive(Clone)]
struct Peer {
    free: mpsc::Sender<(Client, Statement)>,
    pool: Arc<Mutex<mpsc::Receiver<(Client, Statement)>>>,
}

async fn take(State(peer): State<Peer>, body: Bytes) -> StatusCode {
    let Ok(leg) = model::cdr::parse(&body, None) else { return StatusCode::BAD_REQUEST };
    let (client, insert) = peer.pool.lock().await.recv().await.unwrap();
    let done = client
        .execute(
            &insert,
            &[
                &leg.leg_uuid,
                &leg.start_time,
                &leg.parent_uuid,
                &leg.bleg_uuid,
                &leg.source.as_str(),
                &leg.vp_call,
                &leg.domain,
                &leg.direction.as_str(),
                &leg.leg_direction.as_str(),
                &leg.caller_id_number,
                &leg.caller_id_name,
                &leg.destination_number,
                &leg.context,
                &leg.answer_time,
                &leg.end_time,
                &leg.duration,
                &leg.billsec,
                &leg.hangup_cause,
                &leg.hangup_cause_q850,
                &leg.queue,
                &leg.agent,
                &leg.sip_call_id,
                &leg.core_uuid,
                &leg.recorded,
            ],
        )
        .await;
    peer.free.send((client, insert)).await.unwrap();
    if done.is_ok() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR }
}
