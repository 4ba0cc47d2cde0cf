//! From the queue to committed rows, against COPY.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use queue::{Entry, Queue, QueueConfig};
use store::{Store, StoreConfig};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use voipadmind::cdr::worker::Worker;

use crate::client::median;
use crate::documents::Documents;
use crate::support::Node;
use crate::{TURNS, documents, servers};

const DOCUMENTS: u64 = 20_000;
/// As the configuration's default.
const WORKERS: usize = 4;
/// `cdr.batch_size`: the default, and a larger one. Workers that are behind take up to 16 times as many at once.
const BATCHES: [usize; 2] = [100, 400];
const BATCH_TIMEOUT: Duration = Duration::from_secs(5);
const PUSHED_AT_ONCE: usize = 200;

/// A table like ours for COPY: the same partitions and indexes. LIKE takes the indexes of the partitioned table, and
/// PARTITION OF hands them on.
const PEER: [&str; 2] = [
    "CREATE SCHEMA peer; CREATE TABLE peer.cdr (LIKE voip.cdr INCLUDING ALL) PARTITION BY RANGE (start_time)",
    "DO $$ DECLARE part record; BEGIN FOR part IN SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bound
       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'voip.cdr'::regclass LOOP
       EXECUTE format('CREATE TABLE peer.%I PARTITION OF peer.cdr %s', part.name, part.bound); END LOOP; END $$",
];

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
    let captures = Documents::load();
    let documents = documents(DOCUMENTS);
    let mut turns: [Vec<Turn>; BATCHES.len()] = Default::default();
    let mut first = 0;
    for turn in 0..=TURNS {
        for (batch, turns) in BATCHES.into_iter().zip(&mut turns) {
            fill(&queue, &captures, first..first + documents).await;
            first += documents;
            let last = number(node, "SELECT coalesce(max(id), 0) FROM voip.cdr");
            let transactions = number(node, TRANSACTIONS);
            let cpu = servers::Cpu::new(std::process::id() as i32, node);
            let ours = documents as f64 / drain(&queue, &store, batch).await;
            let cpu = cpu.us_each(documents as f64);
            let transactions = number(node, TRANSACTIONS) - transactions;
            let rows = number(node, &format!("SELECT count(*) FROM voip.cdr WHERE id > {last}"));
            assert_eq!(rows, documents, "each document is a row");
            let copied = documents as f64 / copy(node, last);
            if turn > 0 {
                turns.push(Turn { ours, copied, batch: documents as f64 / transactions as f64, cpu });
            }
        }
    }
    print(documents, &turns);
}

struct Turn {
    /// Rows a second.
    ours: f64,
    copied: f64,
    /// Documents a transaction.
    batch: f64,
    /// Processor time in microseconds a row: of the workers, of Redis, of PostgreSQL.
    cpu: [f64; 3],
}

fn print(documents: u64, turns: &[Vec<Turn>; BATCHES.len()]) {
    println!(
        "Drain: {documents} documents of 10 to 16 KB in Redis, read, parsed, placed and committed by {WORKERS} workers, against one"
    );
    println!(
        "COPY BINARY of the same rows into a table with the same indexes; medians of {TURNS} turns. Target: 0.5.\n"
    );
    println!(
        "| `cdr.batch_size` | documents a transaction | rows/s | COPY, rows/s | ratio | CPU of the workers | of Redis | of PostgreSQL |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (size, turns) in BATCHES.iter().zip(turns) {
        let of = |value: fn(&Turn) -> f64| median(turns.iter().map(value).collect());
        let ratio = of(|turn| turn.ours / turn.copied);
        let (batch, ours, copied) = (of(|turn| turn.batch), of(|turn| turn.ours), of(|turn| turn.copied));
        let [workers, redis, postgres] =
            [of(|turn| turn.cpu[0]), of(|turn| turn.cpu[1]), of(|turn| turn.cpu[2])];
        println!(
            "| {size} | {batch:.0} | {ours:.0} | {copied:.0} | {ratio:.2} | {workers:.0} | {redis:.0} | {postgres:.0} |"
        );
    }
    println!();
}

/// Each transaction of a worker leaves one receipt.
const TRANSACTIONS: &str = "SELECT count(*) FROM voip.cdr_receipts";

fn number(node: &Node, sql: &str) -> u64 {
    node.sql(sql).parse().unwrap()
}

fn make_peer(node: &Node) {
    for sql in PEER {
        node.sql(sql);
    }
    let indexes = |schema: &str| {
        number(
            node,
            &format!(
                "SELECT count(*) FROM pg_partition_tree('{schema}.cdr') t JOIN pg_index i ON i.indrelid = t.relid"
            ),
        )
    };
    assert_eq!(indexes("voip"), indexes("peer"), "the same indexes");
}

async fn fill(queue: &Queue, captures: &Documents, numbers: std::ops::Range<u64>) {
    let journal_id = uuid::Uuid::new_v4();
    for from in numbers.clone().step_by(PUSHED_AT_ONCE) {
        let entry = |seq: u64| {
            let document = captures.number(seq);
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
        queue.push(&(from..numbers.end).take(PUSHED_AT_ONCE).map(entry).collect::<Vec<_>>()).await.unwrap();
    }
}

/// Seconds until the last is committed and off the queue.
async fn drain(queue: &Queue, store: &Store, batch_size: usize) -> f64 {
    let stop = CancellationToken::new();
    let reader = Arc::new(Mutex::new(queue.reader("bench")));
    let began = Instant::now();
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let worker = Worker {
                queue: queue.clone(),
                reader: Arc::clone(&reader),
                store: store.clone(),
                batch_size,
                batch_timeout: BATCH_TIMEOUT,
            };
            tokio::spawn(worker.run(stop.clone()))
        })
        .collect();
    while queue.len().await.unwrap() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = began.elapsed().as_secs_f64();
    stop.cancel();
    for worker in workers {
        worker.await.unwrap();
    }
    took
}

/// Seconds, by psql's own clock.
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
    ms / 1e3
}
