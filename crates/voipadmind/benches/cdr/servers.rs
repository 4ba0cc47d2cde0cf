//! Durable servers, as on a node: fsync on, and what `tandem` renders for a busy one as far as it matters here.

use testkit::{Error, Postgres, PostgresOptions};

use crate::support::Node;

pub fn postgres() -> Result<Postgres, Error> {
    let settings = [
        ("shared_buffers", "512MB"),
        ("max_wal_size", "4GB"),
        ("wal_compression", "on"),
        ("max_connections", "100"),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    Postgres::start_with(PostgresOptions { durable: true, settings })
}

/// Processor time from now on: of a process, of Redis, of PostgreSQL.
pub struct Cpu {
    pids: [i32; 3],
    before: [f64; 3],
}

impl Cpu {
    pub fn new(pid: i32, node: &Node) -> Self {
        let info = node.redis.command(&["INFO", "server"]);
        let redis = info.lines().find_map(|line| line.strip_prefix("process_id:")).unwrap();
        let lock = std::fs::read_to_string(node.postgres.data_dir().join("postmaster.pid")).unwrap();
        let pids = [pid, redis.parse().unwrap(), lock.lines().next().unwrap().parse().unwrap()];
        Self { pids, before: pids.map(cpu_seconds) }
    }

    /// In microseconds a document.
    pub fn us_each(&self, documents: f64) -> [f64; 3] {
        std::array::from_fn(|at| (cpu_seconds(self.pids[at]) - self.before[at]) * 1e6 / documents)
    }
}

/// Of a process and of its children, those that ended included.
fn cpu_seconds(pid: i32) -> f64 {
    let own = stat(pid).map_or(0.0, |stat| stat.cpu + stat.waited_for);
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = pids.filter_map(stat).filter(|stat| stat.parent == pid);
    own + children.map(|stat| stat.cpu).sum::<f64>()
}

struct Stat {
    parent: i32,
    cpu: f64,
    waited_for: f64,
}

/// proc_pid_stat(5); the clock ticks a hundred times a second.
fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |from: usize| {
        fields[from..from + 2].iter().filter_map(|f| f.parse::<f64>().ok()).sum::<f64>() / 100.0
    };
    Some(Stat { parent: fields[1].parse().ok()?, cpu: ticks(11), waited_for: ticks(13) })
}
