//! Processes a lab started: known by number and start time, since numbers are used again.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::LabName;

/// Every process a lab starts carries its name in this variable, so that one whose number was never noted is found too.
pub const MARK: &str = "TANDEM_LAB_PROCESS";
/// Of `/proc/PID/stat` after the name in brackets: state is field 3, so start time (22) is at 19.
const START_FIELD: usize = 19;

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    pub pid: i32,
    /// Clock ticks since boot.
    pub started: u64,
}

impl Process {
    /// The process that has this number now.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        // A zombie has ended; somebody just has not looked.
        (fields.next()? != "Z").then_some(())?;
        Some(Self { pid, started: fields.nth(START_FIELD - 1)?.parse().ok()? })
    }

    pub fn lives(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Ends it without a chance to do anything more.
    pub fn kill(&self) {
        if self.lives() {
            // It may have ended this very moment.
            let _gone = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        }
    }

    /// Whether a word stands in its command line.
    pub fn runs_with(&self, word: &str) -> bool {
        let words = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        words.split(|b| *b == 0).any(|found| found == word.as_bytes())
    }

    /// What it runs.
    pub fn name(&self) -> String {
        fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default().trim().to_owned()
    }
}

/// Processes that carry the lab's mark.
pub fn marked(lab: &LabName) -> Vec<Process> {
    let mark = format!("{MARK}={lab}");
    let marked = |pid: i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|b| *b == 0).any(|line| line == mark.as_bytes()))
    };
    let me = i32::try_from(std::process::id()).unwrap_or(0);
    pids().into_iter().filter(|pid| *pid != me && marked(*pid)).filter_map(Process::of).collect()
}

/// Every process there is.
pub fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A container's init: the first process of a PID namespace of its own, in this network namespace. Found so whether its
/// container manager lives or not.
pub fn init_in(network_namespace: &Path) -> Option<Process> {
    let namespace = network_namespace.metadata().ok()?;
    let inside = |pid: i32| {
        let own = Path::new("/proc").join(pid.to_string()).join("ns/net");
        own.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (namespace.dev(), namespace.ino()))
    };
    pids().into_iter().filter(|pid| is_init(*pid) && inside(*pid)).find_map(Process::of)
}

fn is_init(pid: i32) -> bool {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    let status = status.unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    // Its number here and its number inside; a third would be a namespace within the container.
    matches!(numbers.split_ascii_whitespace().collect::<Vec<_>>().as_slice(), [_, "1"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_not_taken_for_another_with_its_number() {
        let me = Process::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.lives());
        assert!(!Process { started: me.started + 1, ..me }.lives());
    }
}
