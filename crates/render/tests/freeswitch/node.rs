//! A real FreeSWITCH on the rendered configuration: free ports, a folder of its own, no privileges, gone on drop.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use render::{Found, Layout, render};
use spec::{Cluster, Ports, Secrets, dev_cluster_yaml};
use tempfile::TempDir;

/// Nobody: what the tests drop to when they run as root.
const UNPRIVILEGED_ID: u32 = 65534;
const KEY: &str = "dtls-srtp.pem";
const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
/// RTP ports of a test: the fewest cluster.yaml takes.
const RTP_PORTS: u16 = 100;

/// An installed FreeSWITCH.
pub struct Installation {
    program: PathBuf,
    prefix: PathBuf,
    modules: PathBuf,
}

/// Looks where `tandem` looks: `TANDEM_FREESWITCH` (the program, its prefix, or `none`), PATH, /opt/freeswitch. Says so
/// where there is none.
pub fn installed() -> Option<Installation> {
    let asked = std::env::var_os("TANDEM_FREESWITCH").filter(|v| !v.is_empty()).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let programs: Vec<PathBuf> = match asked {
        Some(folder) if folder.is_dir() => vec![folder.join("bin/freeswitch")],
        Some(program) => vec![program],
        None => std::env::split_paths(&path)
            .map(|folder| folder.join("freeswitch"))
            .chain([PathBuf::from("/opt/freeswitch/bin/freeswitch")])
            .collect(),
    };
    let found = programs.into_iter().find_map(|program| {
        let prefix = program.parent()?.parent()?.to_path_buf();
        let modules = prefix.join("lib/freeswitch/mod");
        (program.is_file() && modules.is_dir()).then_some(Installation { program, prefix, modules })
    });
    if found.is_none() {
        println!(
            "SKIPPED: FreeSWITCH is not installed (looked in TANDEM_FREESWITCH, PATH and /opt/freeswitch)"
        );
    }
    found
}

pub struct Node {
    pub ports: Ports,
    pub secrets: Secrets,
    pub domain: String,
    folder: TempDir,
    process: Child,
}

impl Node {
    /// Renders, starts and waits for the event socket. `api` is the port voipadmind (its double) listens on, `kamailio`
    /// the one Kamailio sends from.
    pub fn start(installation: &Installation, api: u16, kamailio: u16, secrets: Secrets) -> Self {
        let rtp_min = free_rtp_block();
        let ports = Ports {
            sip: kamailio,
            api,
            fs_sip: free_udp_port(),
            fs_direct: free_udp_port(),
            esl: free_tcp_port(),
            rtp_min,
            rtp_max: rtp_min + RTP_PORTS - 1,
            ..Ports::dev(0)
        };
        let yaml = dev_cluster_yaml(uuid::Uuid::from_u128(1), "fs-test", &ports);
        let cluster = Cluster::parse("cluster.yaml", &yaml).unwrap();
        let folder = tempfile::Builder::new().prefix("tandem-fs-").tempdir().unwrap();
        let found = Found {
            freeswitch_prefix: installation.prefix.clone(),
            freeswitch_mod: installation.modules.clone(),
            ..Found::default()
        };
        let layout = Layout::dev(&cluster, folder.path(), "nobody", &found);

        let etc = layout.paths.freeswitch_etc.parent().unwrap();
        for file in render(&cluster, &secrets, &cluster.nodes[0].name, &layout).unwrap() {
            if file.path.starts_with("freeswitch/") {
                let path = etc.join(file.path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &file.contents).unwrap();
            }
        }
        let paths = &layout.paths;
        let (log, run) = (paths.log.join("freeswitch"), paths.run.join("freeswitch"));
        for folder in [&log, &run, &paths.freeswitch_db, &paths.cdr_spool, &paths.storage, &paths.tmp] {
            fs::create_dir_all(folder).unwrap();
        }

        // FreeSWITCH makes a key of 4096 bits at its first start: seconds, once for all tests.
        let (kept, key) = (Path::new(env!("CARGO_TARGET_TMPDIR")).join(KEY), paths.freeswitch_db.join(KEY));
        let _ = fs::copy(&kept, &key);

        let mut command = Command::new(&installation.program);
        // In the foreground, no console, no NAT probing of the network, normal priority, no 3 s of clock calibration.
        command.args(["-nf", "-nc", "-nonat", "-np", "-nocal"]);
        for (flag, folder) in [
            ("-conf", &paths.freeswitch_etc),
            ("-log", &log),
            ("-run", &run),
            ("-db", &paths.freeswitch_db),
            ("-mod", &paths.freeswitch_mod),
            ("-temp", &paths.tmp),
            ("-cache", &paths.tmp),
            ("-storage", &paths.storage),
            ("-recordings", &paths.storage),
            ("-sounds", &paths.freeswitch_sounds),
            ("-scripts", &paths.freeswitch_etc),
            ("-grammar", &paths.freeswitch_etc),
            ("-htdocs", &paths.freeswitch_etc),
            ("-certs", &paths.freeswitch_db),
        ] {
            command.arg(flag).arg(folder);
        }
        command.env("TZ", "UTC").current_dir(folder.path());
        command.stdin(Stdio::null());
        command.stdout(fs::File::create(folder.path().join("stdout")).unwrap());
        command.stderr(fs::File::create(folder.path().join("stderr")).unwrap());
        if geteuid().is_root() {
            give_away(folder.path());
            command.uid(UNPRIVILEGED_ID).gid(UNPRIVILEGED_ID);
        }
        let process = command.spawn().unwrap();
        let mut node = Self { ports, secrets, domain: cluster.demo.domain, folder, process };
        node.wait_until_up();
        if !kept.exists() {
            let unfinished = kept.with_extension(std::process::id().to_string());
            fs::copy(&key, &unfinished).unwrap();
            fs::rename(&unfinished, &kept).unwrap();
        }
        node
    }

    fn wait_until_up(&mut self) {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("FreeSWITCH ended at its start: {status}\n{}", self.everything_said());
            }
            // `status` is answered before the modules are loaded; mod_sofia is the last of them.
            let ready = self.try_api("sofia status profile direct").is_some_and(|s| s.contains("direct"));
            if ready && self.try_api("sofia status").is_some_and(|s| s.matches("RUNNING").count() == 2) {
                return;
            }
            assert!(Instant::now() < deadline, "FreeSWITCH did not come up\n{}", self.everything_said());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn sip(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.fs_sip).into()
    }

    pub fn direct(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.fs_direct).into()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log/freeswitch/freeswitch.log")).unwrap_or_default()
    }

    /// SIGTERM, as systemd and `tandem dev` do it; the exit status.
    pub fn stop(&mut self) -> ExitStatus {
        kill(Pid::from_raw(self.process.id().cast_signed()), Signal::SIGTERM).unwrap();
        let deadline = Instant::now() + STOP_TIMEOUT;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "FreeSWITCH did not stop");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Log lines of these levels, such as `ERR`.
    pub fn logged(&self, levels: &[&str]) -> Vec<String> {
        let marks: Vec<String> = levels.iter().map(|level| format!("[{level}]")).collect();
        self.log().lines().filter(|line| marks.iter().any(|m| line.contains(m))).map(str::to_owned).collect()
    }

    /// The answer of an API command over the event socket.
    pub fn api(&self, command: &str) -> String {
        self.try_api(command)
            .unwrap_or_else(|| panic!("'{command}' got no answer\n{}", self.everything_said()))
    }

    fn try_api(&self, command: &str) -> Option<String> {
        let mut socket = EventSocket::connect(self.ports.esl)?;
        socket.auth(&self.secrets.esl)?.starts_with("+OK").then_some(())?;
        socket.api(command)
    }

    fn everything_said(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap_or_default();
        let log = self.log();
        let tail = &log[log.len().saturating_sub(20_000)..];
        format!("--- stdout\n{}\n--- stderr\n{}\n--- log\n{tail}", read("stdout"), read("stderr"))
    }
}

impl Drop for Node {
    /// Killed: a clean stop takes seconds, and one test is enough for it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.everything_said());
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connection to mod_event_socket.
pub struct EventSocket {
    reader: BufReader<TcpStream>,
}

impl EventSocket {
    pub fn connect(port: u16) -> Option<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let mut socket = Self { reader: BufReader::new(stream) };
        let (greeting, _) = socket.read()?;
        greeting.contains("auth/request").then_some(socket)
    }

    /// The reply text: `+OK accepted`, `-ERR invalid`.
    pub fn auth(&mut self, password: &str) -> Option<String> {
        write!(self.reader.get_mut(), "auth {password}\n\n").ok()?;
        let (headers, _) = self.read()?;
        headers.lines().find_map(|line| line.strip_prefix("Reply-Text: ")).map(str::to_owned)
    }

    pub fn api(&mut self, command: &str) -> Option<String> {
        write!(self.reader.get_mut(), "api {command}\n\n").ok()?;
        Some(self.read()?.1)
    }

    fn read(&mut self) -> Option<(String, String)> {
        let mut headers = String::new();
        while !headers.ends_with("\n\n") {
            if self.reader.read_line(&mut headers).ok()? == 0 {
                return None;
            }
        }
        let length =
            headers.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).ok()?;
        Some((headers, String::from_utf8_lossy(&body).into_owned()))
    }
}

fn free_udp_port() -> u16 {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn free_tcp_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Below the ports the kernel hands out, so that nobody's free port is inside. Two tests may meet in one: FreeSWITCH is
/// told to skip ports that are taken.
fn free_rtp_block() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let block = (std::process::id() + NEXT.fetch_add(1, Ordering::Relaxed)) % 100;
    22_000 + u16::try_from(block).unwrap() * RTP_PORTS
}

fn give_away(path: &Path) {
    chown(path, Some(UNPRIVILEGED_ID), Some(UNPRIVILEGED_ID)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}
