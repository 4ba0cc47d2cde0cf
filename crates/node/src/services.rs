//! The service manager. A trait only because tests have none: on a server it is systemd, always.

use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// What is asked of the service manager. Each call returns when it is done.
pub trait Services: Send + Sync {
    fn daemon_reload(&self) -> Result<()>;
    /// Whether there is such a unit on this node.
    fn exists(&self, unit: &str) -> bool;
    fn is_active(&self, unit: &str) -> bool;
    /// Whether it is being stopped only to be started again.
    fn is_restarting(&self, _unit: &str) -> bool {
        false
    }
    fn is_enabled(&self, unit: &str) -> bool;
    fn enable(&self, unit: &str) -> Result<()>;
    fn disable(&self, unit: &str) -> Result<()>;
    fn start(&self, unit: &str) -> Result<()>;
    fn stop(&self, unit: &str) -> Result<()>;
    /// SIGKILL to every process of it.
    fn kill(&self, unit: &str) -> Result<()>;
    fn restart(&self, unit: &str) -> Result<()>;
    /// Reloads it where it can, else restarts it; a unit that does not run is left alone.
    fn reload(&self, unit: &str) -> Result<()>;
    /// The last lines it logged, for an error's text.
    fn last_words(&self, unit: &str) -> String;
}

/// Lines of a unit's log shown in an error.
const LOG_LINES: &str = "8";

/// systemd, by its command.
#[derive(Debug, Clone, Copy, Default)]
pub struct Systemd;

impl Systemd {
    fn ask(arguments: &[&str]) -> Result<Output> {
        // The agent's own: systemd would take what it says there for the agent's word.
        let mut systemctl = Command::new("systemctl");
        systemctl.args(arguments).env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_PID");
        systemctl.output().context("running systemctl")
    }

    fn tell(&self, arguments: &[&str]) -> Result<()> {
        let output = Self::ask(arguments)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let unit = arguments.last().copied().unwrap_or_default();
        bail!("systemctl {}: {}\n{}", arguments.join(" "), said.trim(), self.last_words(unit).trim_end());
    }

    fn says(arguments: &[&str]) -> bool {
        Self::ask(arguments).is_ok_and(|output| output.status.success())
    }
}

impl Services for Systemd {
    fn daemon_reload(&self) -> Result<()> {
        self.tell(&["daemon-reload"])
    }

    fn exists(&self, unit: &str) -> bool {
        Self::says(&["cat", "--", unit])
    }

    fn is_active(&self, unit: &str) -> bool {
        Self::says(&["is-active", "--quiet", unit])
    }

    fn is_restarting(&self, unit: &str) -> bool {
        let jobs = Self::ask(&["list-jobs", "--plain", "--no-legend", "--no-pager"]);
        jobs.is_ok_and(|jobs| restarts(&String::from_utf8_lossy(&jobs.stdout), unit))
    }

    fn is_enabled(&self, unit: &str) -> bool {
        Self::says(&["is-enabled", "--quiet", unit])
    }

    fn enable(&self, unit: &str) -> Result<()> {
        self.tell(&["enable", "--quiet", unit])
    }

    fn disable(&self, unit: &str) -> Result<()> {
        self.tell(&["disable", "--quiet", unit])
    }

    fn start(&self, unit: &str) -> Result<()> {
        // A unit that failed too often would refuse to start, however well it is configured now.
        let _ = Self::ask(&["reset-failed", unit]);
        self.tell(&["start", unit])
    }

    fn stop(&self, unit: &str) -> Result<()> {
        self.tell(&["stop", unit])
    }

    fn kill(&self, unit: &str) -> Result<()> {
        self.tell(&["kill", "--kill-whom=all", "--signal=SIGKILL", unit])
    }

    fn restart(&self, unit: &str) -> Result<()> {
        let _ = Self::ask(&["reset-failed", unit]);
        self.tell(&["restart", unit])
    }

    fn reload(&self, unit: &str) -> Result<()> {
        self.tell(&["try-reload-or-restart", unit])
    }

    fn last_words(&self, unit: &str) -> String {
        let output = Command::new("journalctl")
            .args(["-u", unit, "-n", LOG_LINES, "--no-pager", "-o", "cat"])
            .output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default()
    }
}

/// `1234 tandem-agent.service restart running`: job, unit, type, state.
fn restarts(jobs: &str, unit: &str) -> bool {
    jobs.lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .any(|job| matches!(job.as_slice(), [_, of, kind, ..] if *of == unit && kind.ends_with("restart")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_told_from_a_stop() {
        let jobs = " 12 tandem-agent.service restart running\n3 tandem.service try-restart waiting\n4 b.service stop running\n";
        assert!(restarts(jobs, "tandem-agent.service") && restarts(jobs, "tandem.service"));
        assert!(
            !restarts(jobs, "b.service") && !restarts(jobs, "agent.service") && !restarts("", "b.service")
        );
    }
}
