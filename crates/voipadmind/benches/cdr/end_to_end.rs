//! From a posted document to a row that is committed on both nodes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::client::{exchange, median, post};
use crate::documents::Documents;
use crate::support::{FS_PASSWORD, FS_USER, Node};
use crate::{TURNS, documents, naive, servers};

const DOCUMENTS: u64 = 6_000;
/// FreeSWITCH posts in the session's thread: so many calls that end at once.
const CONNECTIONS: u64 = 32;

const LOOK_EVERY: Duration = Duration::from_millis(10);

struct Turn {
    /// Documents a second, from the first post to the last commit.
    rate: f64,
    /// Of the answer, milliseconds.
    p99: f64,
    /// Processor time in microseconds a document: of the handler, of Redis, of the first PostgreSQL.
    cpu: [f64; 3],
}

pub fn run() {
    let postgres = testkit::or_skip!(servers::postgres());
    let standby = testkit::or_skip!(postgres.standby());
    let redis = testkit::or_skip!(testkit::Redis::start());
    let replica = testkit::or_skip!(testkit::Redis::start());
    replica.follow(Some(&redis));
    let node = testkit::or_skip!(Node::on(postgres, redis, |config| {
        // Two hosts: a copy on the other node's Redis is promised as well.
        config
            .replace("database: {host: 127.0.0.1,", "database: {host: [127.0.0.1, 127.0.0.1],")
            .replace("cdr: {batch_timeout: 50ms, ", "cdr: {")
    }));
    node.sql("CREATE SCHEMA naive; CREATE TABLE naive.cdr (LIKE voip.cdr INCLUDING ALL) PARTITION BY RANGE (start_time);
        CREATE TABLE naive.all PARTITION OF naive.cdr DEFAULT; GRANT USAGE ON SCHEMA naive TO voip_admin;
        GRANT ALL ON naive.cdr TO voip_admin");
    node.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    node.sql("SELECT pg_reload_conf()");
    let is_sync = || node.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1";
    assert!(testkit::wait_for(Duration::from_secs(20), is_sync), "{}", standby.log());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(compare(&node));
    drop(standby);
}

async fn compare(node: &Node) {
    let dsn = format!(
        "host=127.0.0.1 port={} dbname=voip_platform user=voip_admin password=admin0secret0secret",
        node.postgres.port()
    );
    let (mut child, peer) = naive::start(&dsn);
    let captures = Documents::load();
    let documents = documents(DOCUMENTS);
    let ours: SocketAddr = ([127, 0, 0, 1], node.port).into();
    let mut turns: [Vec<Turn>; 2] = [Vec::new(), Vec::new()];
    for turn in 0..=TURNS as u64 {
        let numbers = turn * documents..(turn + 1) * documents;
        let requests: Arc<Vec<Vec<u8>>> =
            Arc::new(numbers.map(|number| request(&captures, number)).collect());
        let pids = [node.pid(), child.id() as i32];
        for (which, address) in [ours, peer].into_iter().enumerate() {
            let done = load(node, address, pids[which], which == 0, &requests).await;
            if turn > 0 {
                turns[which].push(done);
            }
        }
        let rows = |table: &str| node.sql(&format!("SELECT count(*) FROM {table}")).parse::<u64>().unwrap();
        assert_eq!([rows("voip.cdr"), rows("naive.cdr")], [(turn + 1) * documents; 2]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    print(documents, &turns);
}

fn print(documents: u64, turns: &[Vec<Turn>; 2]) {
    let of = |turns: &[Turn], value: fn(&Turn) -> f64| median(turns.iter().map(value).collect());
    println!(
        "End to end: {documents} documents of 10 to 16 KB posted on {CONNECTIONS} connections, until the last is committed on both"
    );
    println!(
        "PostgreSQLs; medians of {TURNS} turns. Processor time in microseconds a CDR, the standby's not counted. Target: ratio 4.\n"
    );
    println!("| | CDRs/s | p99 of an answer, ms | CPU of the handler | of Redis | of PostgreSQL | in all |");
    println!("|---|---|---|---|---|---|---|");
    for (name, turns) in ["voipadmind", "one INSERT a document"].iter().zip(turns) {
        let (rate, p99) = (of(turns, |turn| turn.rate), of(turns, |turn| turn.p99));
        let [handler, redis, postgres] =
            [of(turns, |turn| turn.cpu[0]), of(turns, |turn| turn.cpu[1]), of(turns, |turn| turn.cpu[2])];
        let all = of(turns, |turn| turn.cpu.iter().sum());
        println!("| {name} | {rate:.0} | {p99:.1} | {handler:.0} | {redis:.0} | {postgres:.0} | {all:.0} |");
    }
    println!("\nRatio: {:.2}\n", of(&turns[0], |turn| turn.rate) / of(&turns[1], |turn| turn.rate));
}

fn request(captures: &Documents, number: u64) -> Vec<u8> {
    let document = captures.number(number);
    let path = format!("/fs/cdr?uuid={}", document.uuid);
    post(&path, "application/json", &format!("{FS_USER}:{FS_PASSWORD}"), &document.body)
}

async fn load(
    node: &Node,
    address: SocketAddr,
    pid: i32,
    is_ours: bool,
    requests: &Arc<Vec<Vec<u8>>>,
) -> Turn {
    let cpu = servers::Cpu::new(pid, node);
    let stored = stored(node) + requests.len() as f64;
    let began = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|first| {
            let requests = Arc::clone(requests);
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut waits = Vec::new();
                for request in requests.iter().skip(first as usize).step_by(CONNECTIONS as usize) {
                    let sent = Instant::now();
                    let answer = exchange(&mut stream, request).await;
                    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
                    waits.push(sent.elapsed().as_secs_f64() * 1e3);
                }
                waits
            })
        })
        .collect();
    let mut waits = Vec::new();
    for client in clients {
        waits.extend(client.await.unwrap());
    }
    // Counted when the commit came back: PostgreSQL is synchronous.
    while is_ours && self::stored(node) < stored {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let took = began.elapsed().as_secs_f64();
    waits.sort_by(f64::total_cmp);
    let documents = requests.len() as f64;
    Turn { rate: documents / took, p99: waits[waits.len() * 99 / 100], cpu: cpu.us_each(documents) }
}

/// Rows that voipadmind has committed.
fn stored(node: &Node) -> f64 {
    let text = node.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix("voip_cdr_stored_total "));
    line.map_or(0.0, |number| number.parse().unwrap())
}
