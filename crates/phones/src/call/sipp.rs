//! SIPp as a child process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// A run that takes longer has failed.
const RUN_S_MAX: u32 = 40;
/// A response or request that takes longer has failed.
const RECEIVE_MS_MAX: u32 = 15_000;
/// What is read of SIPp's error file.
const ERRORS_BYTES_MAX: usize = 16 * 1024;

/// The program.
#[derive(Debug)]
pub struct Sipp(PathBuf);

/// One run of it.
#[derive(Debug, Clone)]
pub struct Run<'a> {
    /// Scenario file.
    pub scenario: &'a Path,
    /// Fields of the calls, one line a call; it holds passwords and is for our eyes only.
    pub fields: Option<&'a Path>,
    /// Calls to make; none for one that answers until it is stopped.
    pub calls: Option<usize>,
    /// Where to send.
    pub remote: SocketAddr,
    /// Where to send from.
    pub local: SocketAddr,
    /// RTP port.
    pub media_port: u16,
    /// Call-ID of a single call.
    pub call_id: Option<&'a str>,
    /// How long a call lasts, for scenarios with a pause of no length.
    pub talk_ms: Option<u32>,
    /// Where SIPp tells what went wrong.
    pub errors: &'a Path,
}

/// What was said instead of what was hoped for.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// `480 Not Registered`, or a sentence when nothing was said at all.
    pub answer: String,
}

impl Sipp {
    /// Finds the program.
    ///
    /// # Errors
    /// It is not installed; says how to.
    pub fn find() -> Result<Self> {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&folders)
            .map(|folder| folder.join("sipp"))
            .find(|program| program.is_file())
            .map(Self)
            .context("the phones are played by SIPp, which is not installed; type: sudo apt-get install sip-tester")
    }

    /// Where it is.
    pub fn into_path(self) -> PathBuf {
        self.0
    }

    /// Runs to the end. `Err` is a fault of the run itself, `Ok(Some)` a call that failed.
    pub fn run(&self, run: &Run<'_>) -> Result<Option<Refusal>> {
        let status = self.command(run).status().context("running sipp")?;
        match status.code() {
            Some(0) => Ok(None),
            // 1: a call failed; 97: the time was over (sipp(1), EXIT CODES).
            Some(1 | 97) => Ok(Some(Refusal::read(run.errors))),
            _ => bail!("sipp ended with {status}: {}", Refusal::read(run.errors).answer),
        }
    }

    /// Starts one that answers; dropped, it ends.
    pub fn start(&self, run: &Run<'_>) -> Result<Answering> {
        Ok(Answering(self.command(run).spawn().context("starting sipp")?))
    }

    fn command(&self, run: &Run<'_>) -> Command {
        let mut command = Command::new(&self.0);
        command.arg(run.remote.to_string()).arg("-sf").arg(run.scenario);
        command.args(["-i", &run.local.ip().to_string(), "-p", &run.local.port().to_string()]);
        command.args(["-mi", &run.local.ip().to_string(), "-mp", &run.media_port.to_string()]);
        command.args(["-nostdin", "-trace_err", "-error_file"]).arg(run.errors);
        command.args(["-recv_timeout", &RECEIVE_MS_MAX.to_string()]);
        if let Some(fields) = run.fields {
            command.arg("-inf").arg(fields);
        }
        match run.calls {
            Some(calls) => {
                command.args(["-m", &calls.to_string(), "-l", "1"]);
                command.args(["-timeout", &RUN_S_MAX.to_string(), "-timeout_error"]);
            }
            None => {
                command.arg("-rtp_echo");
            }
        }
        if let Some(call_id) = run.call_id {
            command.args(["-cid_str", call_id]);
        }
        if let Some(talk_ms) = run.talk_ms {
            command.args(["-d", &talk_ms.to_string()]);
        }
        // SIPp draws a screen of numbers.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// A SIPp that answers calls.
#[derive(Debug)]
pub struct Answering(Child);

impl Drop for Answering {
    fn drop(&mut self) {
        // It may have ended by itself; either way nothing is left behind.
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

impl Refusal {
    fn read(errors: &Path) -> Self {
        let text = std::fs::read(errors).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[..text.len().min(ERRORS_BYTES_MAX)]).into_owned();
        Self { answer: Self::answer_in(&text) }
    }

    /// The status line SIPp quotes, or its own last words.
    fn answer_in(errors: &str) -> String {
        let unexpected =
            errors.rfind("received 'SIP/2.0 ").map(|at| &errors[at + "received 'SIP/2.0 ".len()..]);
        if let Some(answer) = unexpected.and_then(|text| text.lines().next()) {
            return format!("SIP {}", answer.trim().trim_end_matches('\''));
        }
        match errors.lines().map(str::trim).rfind(|line| !line.is_empty()) {
            Some(last) => last.to_owned(),
            None => "nobody answered".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_found_in_what_sipp_writes() {
        let errors = "sipp: The following events occured:\n2026-11-22 10:00:00.1: Aborting call on unexpected message \
            for Call-Id 'x': while expecting '200' (index 9), received 'SIP/2.0 480 Not Registered\r\nVia: SIP/2.0/UDP \
            127.0.0.1:1\r\n\r\n'.\n";
        assert_eq!(Refusal::answer_in(errors), "SIP 480 Not Registered");
        assert_eq!(Refusal::answer_in("a\n2026: retransmission timeout\n\n"), "2026: retransmission timeout");
        assert_eq!(Refusal::answer_in(""), "nobody answered");
    }
}
