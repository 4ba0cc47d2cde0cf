//! `tandem doctor`: is this node, and the pair as seen from it, as it should be? The checklist of an installation, and
//! what to run when something is odd.
//!
//! In: [`facts::Facts`], gathered at once, each with its limit. Out: one [`Line`] or more a check, with its cure.
//!
//! Architecture invariant: looks, never changes; a check is a pure function of the facts.

mod checks;
mod facts;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use host::say;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::observe::Place;
use facts::Facts;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// Not judged: it needs root, or is not this system's to say.
    Skipped,
    Warn,
    Fail,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The check's name; stable.
    pub check: String,
    pub level: Level,
    pub what: String,
    /// What to type or where to look; none where nothing is wrong.
    pub cure: Option<String>,
}

/// What `--json` prints; documented in `docs/status.md`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Examination {
    pub node: String,
    pub at: Timestamp,
    /// The worst line's.
    pub verdict: Level,
    pub lines: Vec<Line>,
}

/// The command; `etc` is where cluster.yaml is. Exit code 0 without a failed check (warnings are allowed), else 1.
///
/// # Errors
/// This machine is no node.
pub fn run(etc: &Path, json: bool) -> Result<ExitCode> {
    let place = Place::load(etc)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let examination = runtime.block_on(examine(place));
    // A question that hangs in the kernel must not keep the command.
    runtime.shutdown_background();
    if json {
        say!("{}", serde_json::to_string_pretty(&examination)?);
    } else {
        show(&examination);
    }
    Ok(if examination.verdict == Level::Fail { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Every check, in the table's order.
pub async fn examine(place: Place) -> Examination {
    let facts = Facts::gather(place).await;
    let lines: Vec<Line> = checks::ALL.iter().flat_map(|check| (check.run)(&facts, check.name)).collect();
    Examination {
        node: facts.place.node.clone(),
        at: Timestamp::now(),
        verdict: lines.iter().map(|line| line.level).max().unwrap_or(Level::Ok),
        lines,
    }
}

fn show(examination: &Examination) {
    let width = examination.lines.iter().map(|line| line.check.len()).max().unwrap_or(0);
    for line in &examination.lines {
        let level = match line.level {
            Level::Ok => "ok  ",
            Level::Skipped => "-   ",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        say!("{level}  {:width$}  {}", line.check, line.what);
        if let Some(cure) = &line.cure {
            say!("      {:width$}  → {cure}", "");
        }
    }
    let count = |level| examination.lines.iter().filter(|line| line.level == level).count();
    say!(
        "\n{}: {} ok, {} warnings, {} failed, {} not judged",
        examination.node,
        count(Level::Ok),
        count(Level::Warn),
        count(Level::Fail),
        count(Level::Skipped)
    );
}
