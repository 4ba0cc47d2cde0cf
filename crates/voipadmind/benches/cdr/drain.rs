//! From the queue to committed rows, against COPY.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use queue::{Entry, Queue, QueueConfig};
use store::{Store, StoreConfig};
use tokio_util::sync::CancellationToken;
use voipadmind::cdr::worker::Worker;

use crate::client::median;
use crate::documents::Documents;
use crate::support::Node;
use crate::{TURNS, servers};

const DOCUMENTS: u64 = 20_000;
/// As the configuration's defaults.
const WORKERS: usize = 4;
const BATCH: usize = 100;
const BATCH_TIMEOUT: Duration = Duration::from_secs(5);
const PUSHED_AT_ONCE: u64 = 200;

/// A table like ours, with all its indexes, for COPY.
const PEER: &str =
    "CREATE SCHEMA peer; CREATE TABLE peer.cdr (LIKE voip.cdr INCLUDING ALL) PARTITION BY RANGE (start_time);
    CREATE INDEX ON peer.cdr (start_time DESC, id DESC) WHERE head";

pub fn run() {
    let postgres = testkit::or_skip!(servers::postgres());
    let redis = testkit::or_skip!(testkit::Redis::start());
    let node = testkit::or_skip!(Node::on(postgres, redis, |config| config));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(compare(&node));
}

async fn compare(node: &Node) {
    make_peer(node);
    let queue = Queue::new(QueueConfig {
        hosts: vec![("127.0.0.1".into(), node.redis.port())],
        password: node.redis.password().into(),
        db: 0,
        stream: "bench_queue".into(),
    });
    let config = StoreConfig::new(
        "127.0.0.1",
        node.postgres.port(),
        "voip_platform",
        "voip_admin",
        "admin0secret0secret",
    );
    let store = Store::connect(config).unwrap();
    let documents = Documents::load();
    let (mut ours, mut copies) = (Vec::new(), Vec::new());
    for turn in 0..=TURNS as u64 {
        fill(&queue, &documents, turn * DOCUMENTS).await;
        let last: u64 = node.sql("SELECT coalesce(max(id), 0) FROM voip.cdr").parse().unwrap();
        let rate = drain(&queue, &store).await;
        let rows: u64 =
            node.sql(&format!("SELECT count(*) FROM voip.cdr WHERE id > {last}")).parse().unwrap();
        assert_eq!(rows, DOCUMENTS, "each document is a row");
        let copy = copy(node, last);
        // The first turn makes caches warm and partitions be there.
        if turn > 0 {
            ours.push(rate);
            copies.push(copy);
        }
    }
    let (ours, copies) = (median(ours), median(copies));
    println!("drain: {DOCUMENTS} documents of 10 to 16 KB, {TURNS} turns; rows/s, medians");
    println!("{:44}{ours:>10.0}", format!("{WORKERS} workers: Redis, parsed, placed, committed"));
    println!("{:44}{copies:>10.0}", "one COPY BINARY of the same rows");
    println!("ratio: {:.2}", ours / copies);
}

fn make_peer(node: &Node) {
    node.sql(PEER.lines().next().unwrap());
    // The same partitions, and each of its indexes: LIKE takes those of the partitioned table.
    node.sql(
        "DO $$ DECLARE part record; BEGIN FOR part IN SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound
           FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'voip.cdr'::regclass LOOP
           EXECUTE format('CREATE TABLE peer.%I PARTITION OF peer.cdr %s', part.name, part.bound); END LOOP; END $$",
    );
    let count = |schema: &str| {
        node.sql(&format!(
            "SELECT count(*) FROM pg_indexes WHERE schemaname = '{schema}' AND tablename = 'cdr'"
        ))
    };
    assert_eq!(count("voip"), count("peer"), "the same indexes");
}

async fn fill(queue: &Queue, documents: &Documents, first: u64) {
    let journal_id = uuid::Uuid::new_v4();
    for from in (first..first + DOCUMENTS).step_by(PUSHED_AT_ONCE as usize) {
        let entry = |seq: u64| {
            let document = documents.number(seq);
            Entry {
                journal_id,
                seq,
                node: "n1".into(),
                kind: voipadmind::cdr::Kind::Freeswitch.code(),
                received_us: Timestamp::now().as_microsecond(),
                key: document.uuid,
                body: document.body,
            }
        };
        queue.push(&(from..from + PUSHED_AT_ONCE).map(entry).collect::<Vec<_>>()).await.unwrap();
    }
}

/// Rows a second, until the last is committed and off the queue.
async fn drain(queue: &Queue, store: &Store) -> f64 {
    let stop = CancellationToken::new();
    let began = Instant::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|number| {
            let worker = Worker {
                queue: queue.clone(),
                reader: queue.reader(&format!("bench-{number}")),
                store: store.clone(),
                batch_size: BATCH,
                batch_timeout: BATCH_TIMEOUT,
            };
            tokio::spawn(worker.run(stop.clone()))
        })
        .collect();
    while queue.len().await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed();
    stop.cancel();
    for worker in workers {
        worker.await.unwrap();
    }
    DOCUMENTS as f64 / took.as_secs_f64()
}

/// Rows a second, by psql's own clock.
fn copy(node: &Node, last: u64) -> f64 {
    let file = node.postgres.data_dir().join("turn.bin");
    let file = file.display();
    let columns = node.sql(
        "SELECT string_agg(column_name, ', ' ORDER BY ordinal_position) FROM information_schema.columns
          WHERE table_schema = 'voip' AND table_name = 'cdr' AND is_generated = 'NEVER'",
    );
    node.sql(&format!("COPY (SELECT {columns} FROM voip.cdr WHERE id > {last}) TO '{file}' (FORMAT binary)"));
    let output = std::process::Command::new("psql")
        .arg("--host")
        .arg(node.postgres.socket_dir())
        .args(["--port", &node.postgres.port().to_string(), "--username", node.postgres.superuser()])
        .args(["--dbname", "voip_platform", "--no-psqlrc", "--set", "ON_ERROR_STOP=1"])
        .args([
            "--command",
            "\\timing on",
            "--command",
            &format!("COPY peer.cdr ({columns}) FROM '{file}' (FORMAT binary)"),
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let time = said.lines().find_map(|line| line.strip_prefix("Time: ")).unwrap_or_else(|| panic!("{said}"));
    let ms: f64 = time.split(' ').next().unwrap().parse().unwrap();
    DOCUMENTS as f64 / (ms / 1e3)
}
