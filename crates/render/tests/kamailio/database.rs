//! A real PostgreSQL with the platform's real schema (the files of crates/store/migrations) and two tenants.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testkit::Postgres;

/// What bootstrap does before the migrations, and refinery's own table, which the last migration shows to the daemon.
const BEFORE_MIGRATIONS: &str = r"
    CREATE ROLE voip_owner NOLOGIN;
    CREATE ROLE voip_admin LOGIN; CREATE ROLE replicator LOGIN; CREATE ROLE exporter LOGIN;
    GRANT pg_monitor TO voip_owner, exporter;
    CREATE DATABASE voip_platform OWNER voip_owner;
    ALTER ROLE kamailio IN DATABASE voip_platform SET search_path = kamailio;
    \c voip_platform
    SET ROLE voip_owner;
    CREATE SCHEMA voip;
    CREATE TABLE voip.schema_history (version integer);
";

pub struct Database {
    server: Postgres,
}

impl Database {
    /// `password` is Kamailio's.
    ///
    /// # Errors
    /// As [`Postgres::start`].
    pub fn start(password: &str) -> Result<Self, testkit::Error> {
        let database = Self { server: Postgres::start()? };
        let mut script = format!("CREATE ROLE kamailio LOGIN PASSWORD '{password}';");
        script += BEFORE_MIGRATIONS;
        for migration in migrations() {
            script += &format!("{}\n;\n", fs::read_to_string(migration).unwrap());
        }
        script += include_str!("seed.sql");
        database.psql("postgres", &script);
        Ok(database)
    }

    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Runs statements as superuser; the rows of all, unaligned.
    pub fn sql(&self, statements: &str) -> String {
        self.psql("voip_platform", statements)
    }

    fn psql(&self, database: &str, script: &str) -> String {
        let mut psql = Command::new("psql");
        psql.arg("-h").arg(self.server.socket_dir()).args(["-p", &self.port().to_string(), "-d", database]);
        psql.args(["-U", self.server.superuser(), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        psql.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut psql = psql.spawn().unwrap();
        psql.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = psql.wait_with_output().unwrap();
        assert!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    pub fn down(&mut self) {
        self.server.stop();
    }

    pub fn up(&mut self) {
        self.server.start_again().unwrap();
    }

    /// Every process of it stops where it is: connections stay open, nothing is answered.
    pub fn freeze(&mut self) {
        self.signal_all(Signal::SIGSTOP);
    }

    pub fn thaw(&mut self) {
        self.signal_all(Signal::SIGCONT);
    }

    fn signal_all(&mut self, signal: Signal) {
        let server = self.server.engine().unwrap().pid();
        let children = fs::read_to_string(format!("/proc/{server}/task/{server}/children")).unwrap();
        self.server.engine().unwrap().signal(signal);
        for child in children.split_whitespace() {
            // A backend may be gone by now.
            let _ = kill(Pid::from_raw(child.parse().unwrap()), signal);
        }
    }
}

/// In the order of their numbers: `V1__…`, `V2__…`.
fn migrations() -> Vec<PathBuf> {
    let number = |path: &PathBuf| -> u32 {
        let name = path.file_name().unwrap().to_str().unwrap();
        name[1..].split_once("__").unwrap().0.parse().unwrap()
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/migrations");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort_by_key(number);
    files
}
