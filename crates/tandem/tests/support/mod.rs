//! A dev node in a folder of its own, on ports of its own, run by an unprivileged user.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use host::programs::{Freeswitch, find};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use spec::{PathOverrides, Ports};
use testkit::Folder;

/// As testkit: who runs engines when root runs tests.
const NOBODY: u32 = 65_534;
const PROGRAMS: [&str; 3] = ["tandem", "voipadmind", "media-double"];

/// What a dev node needs and this machine has not.
pub fn missing() -> Option<String> {
    let built = Path::new(env!("CARGO_BIN_EXE_tandem")).parent().unwrap();
    let unbuilt = PROGRAMS.iter().find(|name| !built.join(name).exists());
    if let Some(name) = unbuilt {
        return Some(format!("{name} is not built; cargo build --workspace --bins"));
    }
    let folders = ["/usr/bin", "/usr/sbin", "/usr/local/bin"];
    let engines = ["redis-server", "kamailio", "sipp"];
    let absent = engines.iter().find(|e| !folders.iter().any(|f| Path::new(f).join(e).exists()));
    absent.map(|name| format!("{name} is not installed"))
}

/// Why there is no FreeSWITCH that a dev node of these tests can run, as `tandem` itself finds it.
pub fn missing_freeswitch() -> Option<String> {
    let uid = if Uid::effective().is_root() { Uid::from_raw(NOBODY) } else { Uid::effective() };
    let user = User::from_uid(uid).unwrap().unwrap();
    match find(&PathOverrides::default(), None, &user).unwrap().freeswitch {
        Freeswitch::Found(_) => None,
        Freeswitch::Absent(why) => Some(why),
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub succeeded: bool,
    pub out: String,
    pub err: String,
}

pub struct Node {
    folder: Folder,
    offset: u16,
    freeswitch: bool,
}

impl Node {
    /// With the media double, whatever is installed.
    pub fn new() -> Self {
        Self::having(false)
    }

    /// With the FreeSWITCH that is installed.
    pub fn with_freeswitch() -> Self {
        Self::having(true)
    }

    fn having(freeswitch: bool) -> Self {
        let folder = Folder::new("dev").unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_tandem")).parent().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for name in PROGRAMS {
            fs::copy(built.join(name), bin.join(name)).unwrap();
        }
        Self { folder, offset: free_offset(), freeswitch }
    }

    pub fn dir(&self) -> PathBuf {
        self.folder.path().join("node")
    }

    /// Runs `tandem` against this node.
    pub fn tandem(&self, args: &[&str]) -> Ran {
        self.tandem_in("node", args)
    }

    /// Against another node of the same ports.
    pub fn tandem_in(&self, name: &str, args: &[&str]) -> Ran {
        let mut command = Command::new(self.folder.path().join("bin/tandem"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("TANDEM_DIR", self.folder.path().join(name))
            .env("HOME", self.folder.path())
            .stdin(Stdio::null());
        if !self.freeswitch {
            command.env("TANDEM_FREESWITCH", "none");
        }
        if args == ["dev", "up"] {
            command.env("TANDEM_PORT_OFFSET", self.offset.to_string());
        }
        if Uid::effective().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().unwrap();
        Ran {
            succeeded: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub fn status(&self) -> serde_json::Value {
        let status = self.tandem(&["dev", "status", "--json"]);
        serde_json::from_str(&status.out).unwrap_or_else(|e| panic!("{e}: {status:?}"))
    }

    /// Process ids by engine, each checked to be alive.
    pub fn engine_pids(&self) -> BTreeMap<String, i32> {
        let status = self.status();
        let engines = status["steps"].as_array().unwrap().iter().filter(|s| s["task"] == false);
        engines
            .map(|s| {
                assert_eq!(s["state"], "ready", "{s:#}");
                (
                    s["name"].as_str().unwrap().to_owned(),
                    i32::try_from(s["process"]["pid"].as_i64().unwrap()).unwrap(),
                )
            })
            .collect()
    }

    pub fn kill(&self, pid: i32, signal: Signal) {
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Command lines of living processes that name this node's folder.
    pub fn living(&self) -> Vec<String> {
        let folder = self.dir().to_str().unwrap().to_owned();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|p| fs::read(p.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(&folder))
            .collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.tandem(&["dev", "down"]);
    }
}

/// An offset at which every port of a dev node is free now, below the range of outgoing connections. Tests that start at
/// once have process ids side by side: a hundred apart, no port of one is another of the next.
fn free_offset() -> u16 {
    let start = u16::try_from(std::process::id() % 97).unwrap();
    (0..97)
        .map(|step| 300 + (start + step) % 97 * 100)
        .find(|offset| {
            Ports::dev(*offset).named().into_iter().all(|(_, port)| {
                TcpListener::bind(("127.0.0.1", port)).is_ok() && UdpSocket::bind(("127.0.0.1", port)).is_ok()
            })
        })
        .unwrap()
}
