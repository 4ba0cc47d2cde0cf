//! A real Kamailio on the rendered configuration, with its PostgreSQL, a voipadmind of two screens of code that takes its
//! events, and a socket where FreeSWITCH would be.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::sys::signal::Signal;
use render::{Found, Layout, render};
use serde_json::{Value, json};
use spec::{Cluster, Ports, Secrets, Shape, Vip, dev_cluster_yaml};
use testkit::{Engine, Folder, free_port};

use crate::database::Database;
use crate::events::Events;
use crate::sip::{Message, Socket};

pub const DOMAIN: &str = "default.local";
pub const PEER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 6);
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// What a test changes before Kamailio starts.
#[derive(Default)]
pub struct Options {
    /// No socket on FreeSWITCH's port: nobody answers the probing.
    pub without_freeswitch: bool,
    /// No voipadmind: connections to its port are refused.
    pub without_api: bool,
    /// A pair with this virtual address; the peer is 127.0.0.6.
    pub vip: Option<IpAddr>,
}

pub struct Node {
    cluster: Cluster,
    pub ports: Ports,
    pub secrets: Secrets,
    pub database: Database,
    pub events: Events,
    pub freeswitch: Socket,
    etc: PathBuf,
    program: PathBuf,
    engine: Option<Engine>,
    // Last: removed after Kamailio is gone.
    folder: Folder,
}

/// `kamailio` in PATH or where Debian has it, or another version where the environment says.
fn installed() -> Option<(PathBuf, Found)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let asked = std::env::var_os("TANDEM_KAMAILIO").map(PathBuf::from);
    let program = asked.or_else(|| folders.map(|f| f.join("kamailio")).find(|p| p.is_file()));
    let mut found = Found::default();
    if let Some(modules) = std::env::var_os("TANDEM_KAMAILIO_MODULES") {
        found.kamailio_mod = modules.into();
    }
    match program {
        Some(program) => Some((program, found)),
        None => {
            testkit::skip(&"Kamailio is not installed");
            None
        }
    }
}

/// Kamailio's files below the folder of a node; where they are.
fn write_config(cluster: &Cluster, secrets: &Secrets, node: &str, folder: &Folder, found: &Found) -> PathBuf {
    let layout = Layout::dev(cluster, folder.path(), "nobody", found);
    let etc = layout.paths.kamailio_etc.clone();
    for file in render(cluster, secrets, node, &layout).unwrap() {
        if let Some(name) = file.path.strip_prefix("kamailio/") {
            fs::create_dir_all(&etc).unwrap();
            fs::write(etc.join(name), &file.contents).unwrap();
        }
    }
    for own in [&layout.paths.kamailio_spool, &layout.paths.kamailio_run] {
        fs::create_dir_all(own).unwrap();
        folder.hand_over(own).unwrap();
    }
    etc
}

impl Node {
    /// None where the engines are not installed.
    pub fn start() -> Option<Self> {
        Self::start_with(&Options::default())
    }

    pub fn start_with(options: &Options) -> Option<Self> {
        let (program, found) = installed()?;
        let secrets = Secrets::generate(
            (1001..=1010).map(|n| n.to_string()).collect::<Vec<_>>().iter().map(String::as_str),
        )
        .unwrap();
        let database = match Database::start(&secrets.db_kamailio) {
            Ok(database) => database,
            Err(error) if error.is_absence() => {
                testkit::skip(&error);
                return None;
            }
            Err(error) => panic!("{error}"),
        };
        let folder = Folder::new("kam").unwrap();
        let ports = Ports {
            sip: free_port(),
            fs_sip: free_port(),
            fs_direct: free_port(),
            kamailio_rpc: free_port(),
            api: free_port(),
            postgresql: database.port(),
            ..Ports::dev(0)
        };
        let mut cluster = Cluster::parse("c", &dev_cluster_yaml(uuid::Uuid::nil(), "test", &ports)).unwrap();
        // 127.0.0.1 is an office; strangers come from other addresses of loopback.
        cluster.sip.trusted_sources = vec!["127.0.0.1/32".into()];
        if let Some(address) = options.vip {
            cluster.shape = Shape::Lab;
            cluster.vip =
                Some(Vip { address, prefix: 32, router_id: strictyaml::Limited::new(100), gateway: None });
            cluster.nodes.push(spec::Node {
                name: "n2".into(),
                address: PEER.into(),
                peer_address: None,
                interface: None,
                peer_interface: None,
            });
        }
        let etc = write_config(&cluster, &secrets, "n1", &folder, &found);

        let sip = SocketAddr::from((Ipv4Addr::LOCALHOST, ports.sip));
        let freeswitch = Socket::bind((Ipv4Addr::LOCALHOST, ports.fs_sip).into(), sip);
        if !options.without_freeswitch {
            freeswitch.answer_options();
        }
        let events = if options.without_api { Events::closed(ports.api) } else { Events::listen(ports.api) };
        let mut node = Self {
            ports,
            secrets,
            database,
            events,
            freeswitch,
            etc,
            program,
            engine: None,
            folder,
            cluster,
        };
        node.up();
        Some(node)
    }

    /// The pair's other Kamailio, on [`PEER`], with the same database; its RPC port. Both on one machine: the virtual
    /// address is this one's, so the other's is none that is here.
    pub fn start_peer(&self, vip: IpAddr) -> (Engine, Folder, u16) {
        let (program, found) = installed().unwrap();
        let folder = Folder::new("kam2").unwrap();
        let mut cluster = self.cluster.clone();
        cluster.ports.kamailio_rpc = free_port();
        cluster.vip.as_mut().unwrap().address = vip;
        let etc = write_config(&cluster, &self.secrets, "n2", &folder, &found);
        let config = etc.join("kamailio.cfg").display().to_string();
        let run = folder.path().join("run/kamailio").display().to_string();
        let args = ["-DD", "-E", "-m", "64", "-M", "8", "-f", &config, "-Y", &run];
        let log = folder.path().join("kamailio.log");
        let mut engine = Engine::start("Kamailio", &program, args, log, Signal::SIGTERM).unwrap();
        let port = cluster.ports.kamailio_rpc;
        engine.wait_until(START_TIMEOUT, || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()).unwrap();
        (engine, folder, port)
    }

    pub fn up(&mut self) {
        let config = self.etc.join("kamailio.cfg").display().to_string();
        let run = self.folder.path().join("run/kamailio").display().to_string();
        let args = ["-DD", "-E", "-m", "64", "-M", "8", "-f", &config, "-Y", &run];
        let log = self.folder.path().join("kamailio.log");
        self.engine = Some(Engine::start("Kamailio", &self.program, args, log, Signal::SIGTERM).unwrap());

        let probe = Socket::bind((Ipv4Addr::LOCALHOST, 0).into(), self.sip());
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            assert!(
                self.engine.as_mut().unwrap().is_running(),
                "Kamailio ended at its start\n{}",
                self.log()
            );
            probe.send(&probe.request("OPTIONS", &format!("sip:{}", self.sip()), "probe"));
            let heard =
                probe.receive_within(Duration::from_millis(200), |m| m.status() == Some(200)).is_some();
            // The RPC port is served by the processes that start last.
            if heard && TcpStream::connect((Ipv4Addr::LOCALHOST, self.ports.kamailio_rpc)).is_ok() {
                self.rpc("core.uptime", &json!([]));
                return;
            }
            assert!(Instant::now() < deadline, "Kamailio did not answer\n{}", self.log());
        }
    }

    /// SIGTERM, as systemd does it.
    pub fn down(&mut self) {
        if let Some(mut engine) = self.engine.take() {
            engine.stop(Signal::SIGTERM);
        }
    }

    pub fn sip(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.sip).into()
    }

    pub fn spool(&self) -> PathBuf {
        self.folder.path().join("spool/kamailio")
    }

    /// The events in the spool, each a file of one line; one without its line feed is being written.
    pub fn spooled(&self) -> Vec<Value> {
        let mut events = Vec::new();
        for entry in fs::read_dir(self.spool()).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(path.extension().unwrap(), "json", "{}", path.display());
            let text = fs::read_to_string(&path).unwrap();
            if let Some(line) = text.strip_suffix('\n') {
                assert!(!line.contains('\n'), "{text:?}");
                events.push(serde_json::from_str(line).unwrap());
            }
        }
        events
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("kamailio.log")).unwrap_or_default()
    }

    /// A phone of the first tenant, on an address of loopback.
    pub fn socket(&self, ip: [u8; 4]) -> Socket {
        Socket::bind((IpAddr::from(ip), 0).into(), self.sip())
    }

    /// A JSON-RPC call; the answer, with `result` or `error`.
    pub fn rpc(&self, method: &str, params: &Value) -> Value {
        self.rpc_at(self.ports.kamailio_rpc, method, params)
    }

    /// The same, of the Kamailio with this RPC port.
    pub fn rpc_at(&self, port: u16, method: &str, params: &Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        let token =
            STANDARD.encode(format!("{}:{}", self.secrets.fs_http_user, self.secrets.fs_http_password));
        let authorization = format!("Authorization: Basic {token}\r\n");
        let answer = self.http_with(port, "POST", "/RPC", &authorization, &body).1;
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{method}: {e}: {answer}"))
    }

    /// Status and body.
    pub fn http(&self, port: u16, method: &str, path: &str, body: &str) -> (u16, String) {
        self.http_with(port, method, path, "", body)
    }

    fn http_with(&self, port: u16, method: &str, path: &str, header: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{header}Content-Length: {length}\r\n\r\n{body}")
            .unwrap();
        read_response(&mut stream)
    }

    /// Waits until `happened`, for what Kamailio does in its own time.
    pub fn wait_until(&self, what: &str, happened: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !happened() {
            assert!(Instant::now() < deadline, "never: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What FreeSWITCH's socket receives next.
    pub fn freeswitch_receives(&self, method: &str) -> Message {
        self.freeswitch.receive(&format!("{method} at FreeSWITCH"), |m| m.is(method))
    }
}

fn read_response(stream: &mut TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return (head[9..12].parse().unwrap(), body.to_owned());
            }
        }
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the connection ended: {text}");
        bytes.extend_from_slice(&chunk[..read]);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.down();
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
