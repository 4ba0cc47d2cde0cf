//! `tandem status`: both nodes, what is wrong, and what to type.
//!
//! In: the agent's snapshot of this node (or, when the agent is away, a sample taken here) and the peer's, asked of its
//! agent. Out: a table or JSON, and an exit code: 0 all well, 1 degraded, 2 down, 3 not known.
//!
//! Architecture invariant: looks, never changes; whatever is away is said, and the rest is shown all the same.

mod gather;
mod judge;
mod report;
mod table;
mod words;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use host::say;
use tokio::time::{MissedTickBehavior, interval};

pub use report::{Finding, Level, NodeReport, Report, Source, Verdict};
pub use words::{bytes, span};

use crate::observe::Place;
#[cfg(test)]
pub(crate) use judge::{judge, tests::well};

const REDRAW: Duration = Duration::from_secs(1);

/// How it is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    pub json: bool,
    /// Again each second, until interrupted.
    pub watch: bool,
}

/// Nothing can be said: this machine is no node. Not 1 or 2, which say something.
const NOT_KNOWN: u8 = 3;

/// The command; `etc` is where cluster.yaml is.
///
/// # Errors
/// The system gives no timer or socket.
pub fn run(etc: &Path, options: Options) -> Result<ExitCode> {
    let place = match Place::load(etc) {
        Ok(place) => place,
        Err(error) => {
            eprintln!("tandem status: {error}");
            return Ok(ExitCode::from(NOT_KNOWN));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if options.watch {
            watch(&place, options.json).await
        } else {
            let report = report(&place).await;
            show(&report, options.json)?;
            Ok(report.verdict.exit_code())
        }
    })
}

/// Both nodes, judged.
pub async fn report(place: &Place) -> Report {
    let nodes = gather::both(place).await;
    judge::judge(place, nodes)
}

/// On a terminal the screen is drawn again; elsewhere, and with JSON, one report follows the other.
async fn watch(place: &Place, json: bool) -> Result<ExitCode> {
    let clear = std::io::IsTerminal::is_terminal(&std::io::stdout()) && !json;
    let mut every = interval(REDRAW);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = every.tick() => {}
            stopped = tokio::signal::ctrl_c() => {
                stopped.context("waiting for Ctrl-C")?;
                return Ok(ExitCode::SUCCESS);
            }
        }
        let report = report(place).await;
        let mut out = std::io::stdout().lock();
        let shown = if json { serde_json::to_string(&report)? } else { table::text(&report) };
        // Home, draw, clear what is below: without the flicker of an empty screen.
        let lines = if clear { format!("\x1b[H{}\x1b[J", shown.replace('\n', "\x1b[K\n")) } else { shown };
        if writeln!(out, "{lines}").and_then(|()| out.flush()).is_err() {
            // Whoever read it went away.
            return Ok(report.verdict.exit_code());
        }
    }
}

fn show(report: &Report, json: bool) -> Result<()> {
    if json {
        say!("{}", serde_json::to_string_pretty(report)?);
    } else {
        say!("{}", table::text(report));
    }
    Ok(())
}
