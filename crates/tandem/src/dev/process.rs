//! Processes as the kernel shows them in `/proc`: a number alone is not a process, numbers come back.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process and the moment it began (clock ticks since boot, proc(5) field 22): both together are one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    pub started_ticks: u64,
}

impl Process {
    /// The process of that number now.
    pub fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok().filter(|pid| *pid > 1)?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything: fields are counted from the last one on.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_ascii_whitespace();
        if fields.next()? == "Z" {
            return None;
        }
        Some(Self { pid, started_ticks: fields.nth(18)?.parse().ok()? })
    }

    /// Whether it is the same process still, and of that user: what a status file says is checked before it is acted
    /// on.
    pub fn alive_as(self, uid: u32) -> bool {
        u32::try_from(self.pid).ok().and_then(Self::of) == Some(self)
            && fs::metadata(format!("/proc/{}", self.pid)).is_ok_and(|m| m.uid() == uid)
    }

    /// Signals its group (every engine leads one), then kills what is left of it after `patience`.
    pub fn end_group(self, uid: u32, signal: Signal, patience: Duration) {
        let group = Pid::from_raw(self.pid);
        if !self.alive_as(uid) {
            return;
        }
        let _ = kill(group, signal);
        let until = Instant::now() + patience;
        while self.alive_as(uid) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = killpg(group, Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_itself_and_no_other() {
        let uid = nix::unistd::Uid::effective().as_raw();
        let me = Process::of(std::process::id()).unwrap();
        assert!(me.alive_as(uid));
        assert!(!me.alive_as(uid + 1));
        assert!(
            !Process { started_ticks: me.started_ticks + 1, ..me }.alive_as(uid),
            "a number that came back"
        );
        assert_eq!(Process::of(0), None);
        assert_eq!(Process::of(1), None, "init is never ours to signal");
    }
}
