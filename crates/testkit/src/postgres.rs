//! A private PostgreSQL server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::engine::{Engine, Error, Folder, find, is_root, unprivileged};
use crate::free_port;

/// Versions the platform runs on, the newest first.
const VERSIONS: [u32; 3] = [17, 16, 15];

const READY: Duration = Duration::from_secs(60);

/// A port found free can be taken before the server binds it.
const PORT_TRIES: u32 = 5;

/// How the server is to be.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// fsync and full-page writes on, as in production. Off by default: only tests of power loss need them.
    pub durable: bool,
    /// Further settings, such as `("timezone", "Asia/Kathmandu")`.
    pub settings: Vec<(String, String)>,
}

/// A private PostgreSQL server on 127.0.0.1 and a unix socket: superuser `postgres` without a password over the socket,
/// everyone else with scram-sha-256 over TCP.
pub struct Postgres {
    engine: Option<Engine>,
    program: PathBuf,
    options: PostgresOptions,
    port: u16,
    // Last: removed after the server is gone.
    folder: Folder,
}

impl Postgres {
    /// Starts one with the defaults.
    ///
    /// # Errors
    /// [`Error::Absent`] where PostgreSQL is not installed.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(PostgresOptions::default())
    }

    /// Starts one.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(options: PostgresOptions) -> Result<Self, Error> {
        let bin = installation().ok_or(Error::Absent("PostgreSQL 15, 16 or 17"))?;
        let folder = Folder::new("pg")?;
        data_from_template(&bin, &folder)?;
        let mut postgres =
            Self { engine: None, program: bin.join("postgres"), options, port: free_port(), folder };
        for _ in 1..PORT_TRIES {
            match postgres.start_again() {
                Err(Error::Failed(_, log)) if log.contains("could not bind") => postgres.port = free_port(),
                done => return done.map(|()| postgres),
            }
        }
        postgres.start_again().map(|()| postgres)
    }

    /// A standby that streams from it, with the same options; a second server of its own.
    ///
    /// # Errors
    /// [`Error::Failed`] with what pg_basebackup or the server said.
    pub fn standby(&self) -> Result<Self, Error> {
        let folder = Folder::new("pg-standby")?;
        let mut copy = unprivileged(self.program.with_file_name("pg_basebackup"));
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--username=postgres", "--host"]);
        copy.arg(self.socket_dir())
            .args(["--port", &self.port.to_string(), "--pgdata"])
            .arg(folder.path().join("data"));
        run(&mut copy, "pg_basebackup")?;
        let (program, options) = (self.program.clone(), self.options.clone());
        let mut standby = Self { engine: None, program, options, port: free_port(), folder };
        standby.start_again().map(|()| standby)
    }

    /// The port, on 127.0.0.1 and in the socket's name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of the unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.folder.path()
    }

    /// The superuser.
    pub fn superuser(&self) -> &'static str {
        "postgres"
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// The running process, for signals such as SIGSTOP.
    pub fn engine(&mut self) -> Option<&mut Engine> {
        self.engine.as_mut()
    }

    /// The death of the machine, as far as a process can have it: every process of the server killed at once.
    pub fn kill9(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            // A backend has a session of its own and would answer for moments after its parent's death; one that is
            // forked while they are counted would too.
            engine.signal(Signal::SIGSTOP);
            let backends = engine.children();
            engine.stop(Signal::SIGKILL);
            for backend in &backends {
                // One that ended by itself is as dead.
                let _ = kill(*backend, Signal::SIGKILL);
            }
            // A start before the last one's memory is free is refused.
            crate::wait_for(READY, || !backends.iter().any(|backend| has_memory(*backend)));
        }
    }

    /// Stops it in good order (fast shutdown).
    pub fn stop(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            engine.stop(Signal::SIGINT);
        }
    }

    /// Stops it at once, as `pg_ctl stop -m immediate` does: the next start recovers.
    pub fn stop_immediately(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            engine.stop(Signal::SIGQUIT);
        }
    }

    /// Starts it on the same data and port.
    ///
    /// # Errors
    /// [`Error::Failed`] with its log.
    pub fn start_again(&mut self) -> Result<(), Error> {
        let data = self.data_dir();
        let socket_dir = self.folder.path().display().to_string();
        let fsync = if self.options.durable { "on" } else { "off" };
        let mut args = vec!["-D".to_owned(), data.display().to_string()];
        let mut set = |name: &str, value: &str| args.extend(["-c".to_owned(), format!("{name}={value}")]);
        set("port", &self.port.to_string());
        set("listen_addresses", "127.0.0.1");
        set("unix_socket_directories", &socket_dir);
        set("fsync", fsync);
        set("full_page_writes", fsync);
        set("shared_buffers", "32MB");
        set("max_connections", "60");
        set("password_encryption", "scram-sha-256");
        set("log_min_messages", "warning");
        for (name, value) in &self.options.settings {
            set(name, value);
        }
        // SIGQUIT: a postmaster killed outright leaves its shared memory behind.
        let mut engine = Engine::start("PostgreSQL", &self.program, args, self.log_path(), Signal::SIGQUIT)?;
        engine.wait_until(READY, || self.is_ready())?;
        self.engine = Some(engine);
        Ok(())
    }

    fn is_ready(&self) -> bool {
        let ready = Command::new(self.program.with_file_name("pg_isready"))
            .args(["-q", "-h"])
            .arg(self.folder.path())
            .args(["-p", &self.port.to_string()])
            .status();
        ready.is_ok_and(|status| status.success())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            engine.signal(Signal::SIGCONT);
            engine.stop(Signal::SIGQUIT);
        }
    }
}

/// A process that is there, and not only waited for.
fn has_memory(process: Pid) -> bool {
    fs::read_to_string(format!("/proc/{process}/maps")).is_ok_and(|maps| !maps.is_empty())
}

/// The folder of the newest version's programs.
fn installation() -> Option<PathBuf> {
    let folders = VERSIONS.map(|version| PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")));
    find("initdb", &folders).and_then(|initdb| initdb.parent().map(Path::to_owned))
}

/// A fresh data directory, copied from one that initdb made once: a second saved by every test.
fn data_from_template(bin: &Path, folder: &Folder) -> Result<(), Error> {
    let template = template_path(bin);
    if !template.is_dir() {
        make_template(bin, &template)?;
    }
    let data = folder.path().join("data");
    run(
        Command::new("cp").args(["-a", "--reflink=auto", "--"]).arg(&template).arg(&data),
        "copying a template",
    )?;
    if is_root() {
        // The copy belongs to the engines' user like the template, whoever made that.
        run(Command::new("chown").args(["-R", "65534:65534", "--"]).arg(&data), "handing over the data")?;
    }
    folder.hand_over(&data)
}

/// Beside the build's output, named after the version that made it.
fn template_path(bin: &Path) -> PathBuf {
    let version = bin.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let exe = std::env::current_exe().unwrap_or_default();
    let target = exe.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).map(Path::to_owned);
    target.unwrap_or_else(std::env::temp_dir).join("tmp").join(format!("pg-template-{version}"))
}

fn make_template(bin: &Path, template: &Path) -> Result<(), Error> {
    let folder = Folder::new("pg-template")?;
    let data = folder.path().join("data");
    run(
        unprivileged(bin.join("initdb"))
            .args([
                "--username=postgres",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "--encoding=UTF8",
            ])
            .args(["--locale=C.UTF-8", "--no-sync", "--no-instructions", "--wal-segsize=2", "-D"])
            .arg(&data),
        "initdb",
    )?;
    let parent = template.parent().unwrap_or(template);
    fs::create_dir_all(parent).map_err(|error| Error::Io(parent.display().to_string(), error))?;
    // Copied under another name, then renamed: tests start side by side, and one of them wins.
    let mine = parent.join(folder.path().file_name().unwrap_or_default());
    run(Command::new("cp").args(["-a", "--"]).arg(&data).arg(&mine), "keeping a template")?;
    if fs::rename(&mine, template).is_err() {
        let _ = fs::remove_dir_all(&mine);
    }
    Ok(())
}

fn run(command: &mut Command, what: &str) -> Result<(), Error> {
    let output = command.output().map_err(|error| Error::Io(what.to_owned(), error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Failed(format!("{what} failed ({})", output.status), said))
}
