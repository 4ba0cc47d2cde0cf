//! A node made of testkit's engines.
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use node::observe::Place;
use render::{Found, Layout};
use spec::{Cluster, Ports, Secrets, dev_cluster_yaml};
use testkit::{Engine, Folder, Postgres, PostgresOptions, Redis, free_port};

pub const EXPORTER: &str = "exporterPasswordOfATest12";

/// Files of a node whose engines are testkit's.
pub struct NodeUnderTest {
    folder: tempfile::TempDir,
    place: Place,
}

impl NodeUnderTest {
    /// Makes the role that looks, as `voipadmind bootstrap` does.
    pub fn new(postgres: &Postgres, redis: &Redis) -> Self {
        psql(postgres, &format!("CREATE ROLE exporter LOGIN PASSWORD '{EXPORTER}'"));
        psql(postgres, "GRANT pg_monitor TO exporter");
        Self::with(postgres.port(), postgres.socket_dir(), redis)
    }

    /// The other node: its role came with the copy.
    pub fn beside(_: &Self, port: u16, socket: &Path, redis: &Redis) -> Self {
        Self::with(port, socket, redis)
    }

    fn with(port: u16, socket: &Path, redis: &Redis) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut cluster =
            Cluster::parse("c", &dev_cluster_yaml(uuid::Uuid::from_u128(7), "test", &Ports::dev(0))).unwrap();
        let free = [(); 5].map(|()| free_port());
        cluster.ports = Ports {
            sip: free[0],
            api: free[1],
            fs_sip: free[2],
            agent: free[3],
            esl: free[4],
            postgresql: port,
            redis: redis.port(),
            ..cluster.ports
        };
        let mut secrets =
            Secrets::generate(cluster.demo.extensions.iter().map(|e| e.extension.as_str())).unwrap();
        secrets.db_exporter = EXPORTER.into();
        secrets.redis = redis.password().into();
        let mut layout = Layout::dev(&cluster, folder.path(), "nobody", &Found::default());
        layout.paths.postgresql_socket = socket.into();
        let run = layout.paths.run.clone();
        let etc = folder.path().to_owned();
        let place = Place {
            cluster,
            node: "n1".into(),
            state: etc.clone(),
            etc,
            run,
            layout,
            secrets: Some(secrets),
        };
        Self { folder, place }
    }

    pub fn place(&self) -> Place {
        assert!(self.folder.path().is_dir());
        self.place.clone()
    }
}

pub fn primary_options() -> PostgresOptions {
    let setting = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    PostgresOptions { settings: vec![setting("wal_level", "replica")], ..PostgresOptions::default() }
}

fn bin() -> PathBuf {
    let newest = ["17", "16", "15"].map(|v| PathBuf::from(format!("/usr/lib/postgresql/{v}/bin")));
    newest.into_iter().find(|bin| bin.join("postgres").is_file()).unwrap()
}

/// As superuser over the socket.
pub fn psql(postgres: &Postgres, sql: &str) -> String {
    let port = postgres.port().to_string();
    let output = Command::new(bin().join("psql"))
        .args([
            "-XqtA",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "postgres",
            "-d",
            "postgres",
            "-p",
            &port,
            "-c",
            sql,
            "-h",
        ])
        .arg(postgres.socket_dir())
        .output()
        .unwrap();
    assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A transaction that waits for the standby, if one is to be waited for.
pub fn commit_in_background(postgres: &Postgres) -> JoinHandle<()> {
    let (port, socket) = (postgres.port().to_string(), postgres.socket_dir().to_owned());
    std::thread::spawn(move || {
        let _ = Command::new(bin().join("psql"))
            .args(["-Xq", "-U", "postgres", "-d", "postgres", "-p", &port])
            .args(["-c", "SELECT pg_logical_emit_message(true, 'test', 'x')", "-h"])
            .arg(socket)
            .output();
    })
}

/// The server's processes other than the postmaster, by the postmaster's pid file.
pub fn children(data: &Path) -> Vec<Pid> {
    let pid = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let Some(pid) = pid.lines().next() else { return Vec::new() };
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|p| p.parse().ok()).map(Pid::from_raw).collect()
}

/// A streaming standby, copied from a primary by pg_basebackup.
pub struct Standby {
    _engine: Engine,
    port: u16,
    folder: Folder,
}

impl Standby {
    pub fn of(primary: &Postgres, name: &str, slot: &str) -> Self {
        let folder = Folder::new("pg-standby").unwrap();
        let data = folder.path().join("data");
        let socket = primary.socket_dir().display().to_string();
        let conninfo = format!("host={socket} port={} user=postgres application_name={name}", primary.port());
        let copied = Command::new(bin().join("pg_basebackup"))
            .args(["-D".as_ref(), data.as_os_str()])
            .args(["-R", "-C", "-S", slot, "--checkpoint=fast", "-d", &conninfo])
            .output()
            .unwrap();
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let _ = Command::new("chown").args(["-R", "65534:65534"]).arg(&data).output();
        folder.hand_over(&data).unwrap();
        let port = free_port();
        let set = |name: &str, value: &str| ["-c".to_owned(), format!("{name}={value}")];
        let mut args = vec!["-D".to_owned(), data.display().to_string()];
        args.extend(set("port", &port.to_string()));
        args.extend(set("listen_addresses", ""));
        args.extend(set("unix_socket_directories", &folder.path().display().to_string()));
        args.extend(set("max_connections", "60"));
        args.extend(set("primary_conninfo", &conninfo));
        let log = folder.path().join("log");
        let mut engine =
            Engine::start("PostgreSQL", &bin().join("postgres"), args, log, Signal::SIGQUIT).unwrap();
        let answers = folder.path().join(format!(".s.PGSQL.{port}"));
        engine.wait_until(Duration::from_secs(30), || answers.exists()).unwrap();
        Self { _engine: engine, port, folder }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn socket_dir(&self) -> &Path {
        self.folder.path()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}
