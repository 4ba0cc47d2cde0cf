//! SIPp as the load's child processes.
//!
//! Architecture invariant: no SIPp outlives this program. Each is told to end when its parent dies (setpriv(1)), and has a
//! time limit of its own besides. SIGUSR1 makes SIPp call no more; SIGTERM ends it at once, and no BYE is sent (3.6.1).

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::interrupt;
use super::stat::Stat;
use crate::call::sipp_program;

/// How long SIPp has to end.
const STOP: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);
/// What is read of SIPp's statistics: an hour of lines.
const STAT_BYTES_MAX: u64 = 4 << 20;
/// Words of SIPp that are shown.
const WORDS_BYTES_MAX: usize = 400;

/// One run of it. Its files are `<name>.*` in `folder`.
pub struct Run<'a> {
    pub name: &'a str,
    pub folder: &'a Path,
    pub scenario: &'a str,
    /// Fields of the calls, one line a call; it holds passwords and is for our eyes only.
    pub fields: Option<&'a str>,
    pub remote: SocketAddr,
    pub local: SocketAddr,
    /// Call-IDs, `%u` being the call's number.
    pub call_ids: Option<&'a str>,
    /// Without it, it answers.
    pub rate: Option<Rate>,
    /// Ends by itself then, whatever happens.
    pub limit: Duration,
}

/// How many calls are made when.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Calls in `period`, evenly.
    pub calls: u32,
    pub period: Duration,
    /// At once.
    pub open_max: u32,
    /// In all.
    pub total: u32,
}

/// A SIPp that runs.
pub struct Running {
    pub name: String,
    child: Child,
    folder: PathBuf,
}

impl Running {
    /// Starts it. Its parent is the calling thread: that must live as long as the load.
    pub fn start(run: &Run<'_>) -> Result<Self> {
        let file = |extension: &str| run.folder.join(format!("{}.{extension}", run.name));
        std::fs::write(file("xml"), run.scenario).context("writing a scenario")?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(sipp_program()?);
        command.arg(run.remote.to_string()).arg("-sf").arg(file("xml"));
        command.args(["-i", &run.local.ip().to_string(), "-p", &run.local.port().to_string()]);
        command
            .args(["-nostdin", "-aa", "-ci", "127.0.0.1", "-trace_err", "-error_file"])
            .arg(file("errors"));
        // SIPp ends itself when its own clock is late, as on a busy machine: what is late shows in the results.
        command.args(["-watchdog_interval", "0", "-timeout", &run.limit.as_secs().to_string()]);
        if let Some(fields) = run.fields {
            std::fs::write(file("csv"), format!("SEQUENTIAL\n{fields}")).context("writing fields")?;
            command.arg("-inf").arg(file("csv"));
        }
        if let Some(rate) = run.rate {
            command.args(["-r", &rate.calls.to_string(), "-rp", &rate.period.as_millis().to_string()]);
            command.args(["-l", &rate.open_max.to_string(), "-m", &rate.total.to_string()]);
            command.args(["-trace_shortmsg", "-shortmessage_file"]).arg(file("messages"));
            command.args(["-trace_stat", "-fd", "1", "-stf"]).arg(file("stat"));
        }
        if let Some(call_ids) = run.call_ids {
            command.args(["-cid_str", call_ids]);
        }
        // A terminal's Ctrl-C is for this program, which then ends its children one by one.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        // SIPp draws a screen of numbers.
        command.stdin(Stdio::null()).stdout(Stdio::null()).current_dir(run.folder);
        command.stderr(File::create(file("stderr")).context("writing SIPp's words")?);
        let child = interrupt::unblocked(|| command.spawn())?;
        let child = child.context("starting SIPp (setpriv is Debian's util-linux)")?;
        Ok(Self { name: run.name.into(), child, folder: run.folder.into() })
    }

    /// What became of it, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().context("looking at SIPp")
    }

    /// Calls no more, and ends with its last open call.
    pub fn call_no_more(&self) {
        self.signal(Signal::SIGUSR1);
    }

    /// Ends it, whatever is open.
    pub fn end(&mut self) {
        if matches!(self.ended(), Ok(Some(_))) {
            return;
        }
        self.signal(Signal::SIGTERM);
        let until = Instant::now() + STOP;
        while Instant::now() < until && matches!(self.ended(), Ok(None)) {
            std::thread::sleep(POLL);
        }
        // It may have ended by itself; either way nothing is left behind.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }

    fn signal(&self, signal: Signal) {
        // The number is ours until it is waited for.
        let pid = i32::try_from(self.child.id()).unwrap_or(0);
        if pid > 1 {
            let _gone = kill(Pid::from_raw(pid), signal);
        }
    }

    /// Its counters of the last second.
    pub fn stat(&self) -> Stat {
        let read = || {
            let file = File::open(self.file("stat")).ok()?;
            let mut text = String::new();
            std::io::Read::read_to_string(&mut std::io::Read::take(file, STAT_BYTES_MAX), &mut text).ok()?;
            Stat::last(&text)
        };
        read().unwrap_or_default()
    }

    /// The trace of its messages.
    pub fn messages(&self) -> PathBuf {
        self.file("messages")
    }

    /// What it said last.
    pub fn last_words(&self) -> String {
        let words = |extension: &str| {
            let text = std::fs::read(self.file(extension)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            text.lines().rfind(|line| !line.trim().is_empty()).map(str::to_owned)
        };
        let mut said = words("stderr").or_else(|| words("errors")).unwrap_or_else(|| "nothing".into());
        said.truncate(said.floor_char_boundary(WORDS_BYTES_MAX));
        said
    }

    fn file(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.name))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}
