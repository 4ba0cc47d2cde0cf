//! A lab of the test's own, through the real commands; it goes with the test.
#![allow(dead_code, reason = "each test uses a part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    pub succeeded: bool,
    pub out: String,
    pub err: String,
}

pub struct Lab {
    pub name: String,
    port: u16,
    folder: tempfile::TempDir,
}

/// Our programs: beside the tests' folder.
fn built() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().to_owned()
}

/// Says SKIPPED where a lab cannot run.
pub fn skipped() -> bool {
    if let Err(why) = lab::possible() {
        eprintln!("SKIPPED: {why}");
        return true;
    }
    if !built().join("tandem").exists() {
        eprintln!("SKIPPED: tandem is not built; cargo build --workspace --bins");
        return true;
    }
    false
}

impl Lab {
    /// A lab's name; nothing is made yet. `letter` tells tests of one process apart.
    pub fn new(letter: char) -> Self {
        let port = testkit::free_port();
        Self { name: format!("t{letter}{}", std::process::id()), port, folder: tempfile::tempdir().unwrap() }
    }

    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(built().join("tandem"));
        command.args(["lab", "--lab", &self.name]).args(words).stdin(Stdio::null());
        command
            .current_dir(self.folder.path())
            .env_remove("TANDEM_DIR")
            .env("TANDEM_LAB_PORT", self.port.to_string());
        command
    }

    pub fn tandem(&self, words: &[&str]) -> Ran {
        let output = self.command(words).output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|b| String::from_utf8_lossy(&b).into_owned());
        Ran { succeeded: output.status.success(), out, err }
    }

    /// A command that has to work; what it printed.
    pub fn must(&self, words: &[&str]) -> String {
        let ran = self.tandem(words);
        assert!(ran.succeeded, "{words:?}: {ran:?}");
        ran.out
    }

    /// Whether a command in a node ended well.
    pub fn exec(&self, node: &str, words: &[&str]) -> Ran {
        self.tandem(&[&["exec", node, "--"], words].concat())
    }

    pub fn pings(&self, from: &str, address: &str) -> bool {
        self.exec(from, &["ping", "-c", "1", "-W", "1", "-q", address]).succeeded
    }

    /// What is left of it on this machine: namespaces, mounts, disks, cgroups, processes, folders.
    pub fn remains(&self) -> Vec<String> {
        let mut left = Vec::new();
        let own = format!("tdm-{}-", self.name);
        let state = format!("/var/lib/tandem-lab/{}", self.name);
        let cgroups = ["", "/unified", "/systemd", "/blkio"].map(|tree| format!("/sys/fs/cgroup{tree}"));
        for folder in ["/run/netns".to_owned()].into_iter().chain(cgroups) {
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            left.extend(names.filter(|name| name.starts_with(&own)).map(|name| format!("{folder}/{name}")));
        }
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        left.extend(mounts.lines().filter(|line| line.contains(&state)).map(str::to_owned));
        let loops = Command::new("/usr/sbin/losetup").arg("--list").output().unwrap();
        let loops = String::from_utf8_lossy(&loops.stdout).into_owned();
        left.extend(loops.lines().filter(|line| line.contains(&state)).map(str::to_owned));
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let mark = format!("TANDEM_LAB_PROCESS={}", self.name);
            let environ = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            if environ.split(|b| *b == 0).any(|line| line == mark.as_bytes()) {
                left.push(entry.path().display().to_string());
            }
        }
        left.extend(Path::new(&state).exists().then_some(state));
        left
    }

    /// A file of the lab's folder, through the link that `up` makes.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(".tandem").join(name)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("TANDEM_LAB_KEEP").is_some() {
            eprintln!("the lab {} is kept; remove it with: tandem lab down --lab {0}", self.name);
            return;
        }
        let _down = self.command(&["down"]).output();
    }
}
