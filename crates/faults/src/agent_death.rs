//! The death of an agent at a step of its table: killed the moment it says that it takes a row.
//!
//! The agent logs a row before it writes the state or acts, and the line is here as soon as journald and we were scheduled. So
//! what dies is an agent within the row or just after it. The rows that it said before it died are told, so that nobody takes
//! one for the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lab::{LabName, Process, Syslog};

use crate::interrupt;

/// Until the row is taken: a boot, and a base copy before the last of a rejoin.
const COMES: Duration = Duration::from_secs(90);
/// Between two looks whether the node is on, and whether anybody still waits.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Until the last words of one that was killed have come.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// The word of the agent's command line.
const AGENT: &str = "agent";

/// One that is to come.
pub struct AgentDeath {
    row: &'static str,
    killed: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    watch: Option<JoinHandle<Result<Vec<String>>>>,
}

impl AgentDeath {
    /// Listens from here on; on a node that is off, from the first moment of its next boot.
    ///
    /// # Errors
    /// Nothing can listen there.
    pub fn at(lab: &LabName, node: &'static str, row: &'static str) -> Result<Self> {
        let (killed, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let first = Syslog::of(lab, node)?;
        let watch = Watch {
            lab: lab.clone(),
            node,
            row,
            killed: Arc::clone(&killed),
            over: Arc::clone(&over),
            until: Instant::now() + COMES,
        };
        let thread = thread::Builder::new().name("agent-death".into());
        let watch = thread.spawn(move || watch.run(first)).context("starting a thread")?;
        Ok(Self { row, killed, over, watch: Some(watch) })
    }

    pub fn happened(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    /// Waits for it. The rows that the agent took after this one.
    ///
    /// # Errors
    /// It did not take the row in time.
    pub fn wait(mut self) -> Result<Vec<String>> {
        let watch = self.watch.take().context("nobody listens")?;
        let after = watch.join().unwrap_or_else(|_| bail!("the thread that listens ended in a panic"));
        after.with_context(|| format!("waiting for the agent's row '{}'", self.row))
    }
}

impl Drop for AgentDeath {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(watch) = self.watch.take() {
            // What it found is of no interest any more.
            let _ended = watch.join();
        }
    }
}

struct Watch {
    lab: LabName,
    node: &'static str,
    row: &'static str,
    killed: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    until: Instant,
}

impl Watch {
    fn run(&self, mut syslog: Option<Syslog>) -> Result<Vec<String>> {
        let mut lines = 0u64;
        while !self.over.load(Ordering::Relaxed) && !interrupt::came() {
            if Instant::now() >= self.until {
                bail!("it was not taken in {} s ({lines} lines were heard)", COMES.as_secs());
            }
            let Some(there) = &syslog else {
                sleep(LOOK_EVERY);
                syslog = Syslog::of(&self.lab, self.node)?;
                continue;
            };
            match there.next(LOOK_EVERY) {
                Ok(None) => {}
                Ok(Some(line)) => {
                    lines += 1;
                    if row(&line.text) == Some(self.row) && self.kill(line.pid) {
                        return Ok(last_rows(there, line.pid));
                    }
                }
                // Off: its next boot is listened to.
                Err(_) => syslog = None,
            }
        }
        bail!("nobody waits for it any more")
    }

    /// Whether it was the agent, and is dead.
    fn kill(&self, pid: i32) -> bool {
        let Some(agent) = Process::of(pid).filter(|process| process.runs_with(AGENT)) else { return false };
        self.killed.store(true, Ordering::Relaxed);
        agent.kill();
        true
    }
}

/// What it had said before it was killed and is heard now.
fn last_rows(syslog: &Syslog, pid: i32) -> Vec<String> {
    let until = Instant::now() + LAST_WORDS;
    let mut rows = Vec::new();
    while Instant::now() < until {
        if let Ok(Some(line)) = syslog.next(LOOK_EVERY)
            && line.pid == pid
            && let Some(row) = row(&line.text)
        {
            rows.push(row.to_owned());
        }
    }
    rows
}

/// The row of the table that a line of the agent's names.
fn row(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(" row=\"")?;
    rest.split_once('"').map(|(row, _)| row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_from_a_line_of_the_agents() {
        let line = "<30>Nov 27 15:14:01 tandem[311]:  INFO node::agent::driver: take-over: PostgreSQL is promoted \
                    row=\"take-over: promote\" rule=7";
        assert_eq!(row(line), Some("take-over: promote"));
        assert_eq!(row("INFO node::state: switchover role=\"demoted\""), None);
        assert_eq!(row("row=\"unfinished"), None);
    }
}
