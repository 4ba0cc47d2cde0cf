//! PostgreSQL and Redis start with what is rendered, and do what it means. (Kamailio and FreeSWITCH have tests of their
//! own.)
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is a failed test")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use spec::Ports;
use testkit::{Engine, Error, Folder, free_port};

const READY: Duration = Duration::from_secs(60);

/// A dev node's files in a folder of the engines' user.
struct Node {
    ports: Ports,
    folder: Folder,
    user: String,
}

impl Node {
    fn new() -> Self {
        let ports = Ports { postgresql: free_port(), redis: free_port(), ..Ports::dev(0) };
        // As testkit does: engines of a test that root runs belong to nobody.
        let uid = if Uid::effective().is_root() { Uid::from_raw(65_534) } else { Uid::effective() };
        let user = User::from_uid(uid).unwrap().unwrap().name;
        let node = Self { ports, folder: Folder::new("render").unwrap(), user };
        for file in common::dev(&node.ports, node.root(), &node.user) {
            let path = node.root().join("etc").join(file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, file.contents).unwrap();
        }
        for made in ["data", "data/redis", "run", "run/postgresql"] {
            fs::create_dir_all(node.root().join(made)).unwrap();
            node.folder.hand_over(&node.root().join(made)).unwrap();
        }
        node
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn start(&self, name: &'static str, program: &Path, args: &[&str]) -> Engine {
        let log = self.root().join("run").join(format!("{name}.log"));
        Engine::start(name, program, args, log, Signal::SIGQUIT).unwrap()
    }

    /// Runs a program to its end and returns what it printed.
    fn run(&self, name: &'static str, program: &Path, args: &[&str]) -> String {
        let _ = fs::remove_file(self.root().join("run").join(format!("{name}.log")));
        let mut engine = self.start(name, program, args);
        assert!(testkit::wait_for(READY, || !engine.is_running()), "{name} does not end");
        engine.log_tail()
    }

    fn sql(&self, bin: &Path, url: &str, sql: &str) -> String {
        self.run("psql", &bin.join("psql"), &["-XtA", "-d", url, "-c", sql])
    }
}

fn postgresql_bin() -> Result<PathBuf, Error> {
    (15..=17)
        .rev()
        .map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")))
        .find(|bin| bin.join("initdb").exists())
        .ok_or(Error::Absent("PostgreSQL 15, 16 or 17"))
}

fn redis_server() -> Result<PathBuf, Error> {
    let path = PathBuf::from("/usr/bin/redis-server");
    if path.exists() { Ok(path) } else { Err(Error::Absent("redis-server")) }
}

#[test]
fn postgresql_starts_and_lets_in_whom_it_should() {
    let bin = testkit::or_skip!(postgresql_bin());
    let node = Node::new();
    let root = node.root().to_str().unwrap();
    let data = format!("{root}/data/postgresql");
    let user = format!("--username={}", node.user);
    node.run("initdb", &bin.join("initdb"), &["-D", &data, &user, "--auth-local=peer", "--no-sync"]);
    let config = format!("config_file={root}/etc/postgresql/postgresql.conf");
    let mut server = node.start("postgres", &bin.join("postgres"), &["-D", &data, "-c", &config]);
    let socket = format!("host={root}/run/postgresql port={} user={}", node.ports.postgresql, node.user);
    let superuser = format!("{socket} dbname=postgres");
    server.wait_until(READY, || node.sql(&bin, &superuser, "SELECT 1") == "1").unwrap();

    for (setting, value) in [
        ("max_locks_per_transaction", "256"),
        ("wal_level", "replica"),
        ("max_connections", "300"),
        ("shared_buffers", "128MB"),
        ("listen_addresses", "127.0.0.1"),
        ("password_encryption", "scram-sha-256"),
        ("TimeZone", "UTC"),
    ] {
        assert_eq!(node.sql(&bin, &superuser, &format!("SHOW {setting}")), value, "{setting}");
    }
    let wrong = node.sql(&bin, &superuser, "SELECT count(*) FROM pg_hba_file_rules WHERE error IS NOT NULL");
    assert_eq!(wrong, "0");

    node.sql(&bin, &superuser, "CREATE DATABASE voip_platform");
    node.sql(&bin, &superuser, "CREATE ROLE kamailio LOGIN PASSWORD 'right'");
    let tcp = |database: &str, password: &str| {
        let port = node.ports.postgresql;
        let url = format!("postgresql://kamailio:{password}@127.0.0.1:{port}/{database}");
        node.sql(&bin, &url, "SELECT 'in'")
    };
    assert_eq!(tcp("voip_platform", "right"), "in");
    assert!(tcp("voip_platform", "wrong").contains("password authentication failed"));
    assert!(tcp("postgres", "right").contains("no pg_hba.conf entry"), "another database is open");
    server.stop(Signal::SIGINT);
}

#[test]
fn redis_starts_and_never_evicts_the_queue() {
    let program = testkit::or_skip!(redis_server());
    let node = Node::new();
    let config = node.root().join("etc/redis/redis.conf");
    let mut server = node.start("redis", &program, &[config.to_str().unwrap()]);
    let password = common::secrets(&common::cluster(&node.ports)).redis;
    let ask = |words: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", node.ports.redis)).ok()?;
        stream.write_all(format!("AUTH {password}\r\n{words}\r\nQUIT\r\n").as_bytes()).ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        Some(reply)
    };
    server.wait_until(READY, || ask("PING").is_some_and(|r| r.contains("+PONG"))).unwrap();
    for (setting, value) in [
        ("maxmemory-policy", "volatile-lru"),
        ("maxmemory", "268435456"),
        ("appendonly", "yes"),
        ("appendfsync", "everysec"),
        ("bind", "127.0.0.1"),
    ] {
        let reply = ask(&format!("CONFIG GET {setting}")).unwrap();
        assert!(reply.contains(&format!("\r\n{value}\r\n")), "{setting}: {reply}");
    }
    let mut stranger = TcpStream::connect(("127.0.0.1", node.ports.redis)).unwrap();
    stranger.write_all(b"PING\r\nQUIT\r\n").unwrap();
    let mut reply = String::new();
    stranger.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("-NOAUTH"), "{reply}");
    server.stop(Signal::SIGTERM);
}
