//! Durable servers, as on a node: fsync on, and what `tandem` renders for a busy one as far as it matters here.

use std::path::Path;

use testkit::{Error, Postgres, PostgresOptions};

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

/// Processor time of a process and of its children, those that ended included, in seconds.
pub fn cpu_seconds(pid: i32) -> f64 {
    let own = stat(pid).map_or(0.0, |stat| stat.cpu + stat.waited_for);
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let children = pids.filter_map(stat).filter(|stat| stat.parent == pid);
    own + children.map(|stat| stat.cpu).sum::<f64>()
}

pub fn postmaster(data: &Path) -> i32 {
    let lock = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
    lock.lines().next().unwrap().parse().unwrap()
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
