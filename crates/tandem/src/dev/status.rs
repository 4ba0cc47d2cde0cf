//! What runs, as what: for people and as JSON.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::Place;
use super::supervise::{self, STATUS_FILE, Shown, Snapshot, State};
use host::files;
use host::say;
use phones::{Env, shell};

/// `tandem dev status --json`.
#[derive(Serialize)]
struct Report {
    running: bool,
    /// As whom the engines run.
    user: String,
    /// Nothing of it where the node never ran.
    #[serde(flatten)]
    snapshot: Option<Snapshot>,
}

/// `tandem dev status`.
pub fn status(dir: &Path, json: bool) -> Result<()> {
    let place = Place::existing(dir)?;
    let running = supervise::is_running(&place.run())?;
    let snapshot = read(&place);
    if json {
        let report = Report { running, user: place.user.name.clone(), snapshot };
        say!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    if running {
        return print_summary(&place);
    }
    say!("the node does not run; start it with 'make dev'");
    if let Some(message) = snapshot.and_then(|s| s.message) {
        say!("it ended with: {message}");
    }
    Ok(())
}

/// What the supervisor wrote last.
pub fn read(place: &Place) -> Option<Snapshot> {
    let text = files::read(&place.run().join(STATUS_FILE)).ok().flatten()?;
    serde_json::from_str(&text).ok()
}

/// The table a start ends with.
pub fn print_summary(place: &Place) -> Result<()> {
    let snapshot = read(place).context("the supervisor's status is unreadable")?;
    let env = Env::read(&place.env_file())?;
    say!("\n{}\n", engines(place, &snapshot).trim_fmt());
    say!("{}\n", reach(place, &env).trim_fmt());
    say!("{}", next(place));
    Ok(())
}

fn engines(place: &Place, snapshot: &Snapshot) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["ENGINE", "STATE", "VERSION", "USER", "PID", "PORTS"]);
    for step in snapshot.steps.iter().filter(|step| !step.task) {
        table.add_row([
            step.name.clone(),
            shown_state(step),
            step.version.clone(),
            place.user.name.clone(),
            step.process.map_or_else(|| "-".into(), |p| p.pid.to_string()),
            step.ports.clone(),
        ]);
    }
    table
}

fn shown_state(step: &Shown) -> String {
    let state = format!("{:?}", step.state).to_lowercase();
    match (&step.last_exit, step.restarts) {
        (Some(exit), _) => format!("{state} ({} restarts; {exit})", step.restarts),
        _ => state,
    }
}

fn reach(place: &Place, env: &Env) -> Table {
    let shown = env.phones.iter().take(3).map(|(e, p)| format!("{e}:{p}")).collect::<Vec<_>>().join(" ");
    let media =
        if env.media == "double" { "the media double: a test program, not FreeSWITCH" } else { "FreeSWITCH" };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for (name, value) in [
        ("API", format!("{}/api", env.api)),
        ("API key", env.api_key.clone()),
        ("phones register at", format!("{} (UDP, TCP), domain {}", env.sip, env.domain)),
        ("phones", format!("{shown} ... {} in all", env.phones.len())),
        ("media", media.into()),
        ("settings for scripts", place.shown.join("env").display().to_string()),
        ("state", place.root.display().to_string()),
    ] {
        table.add_row([name.to_owned(), value]);
    }
    table
}

fn next(place: &Place) -> String {
    // What has to be typed before, for a node that is not where make looks by itself.
    let shown = shell(&place.shown.display().to_string());
    let which = if shown == ".tandem-dev" { String::new() } else { format!("TANDEM_DEV_DIR={shown} ") };
    let calls = format!("{which}make call");
    let logs = format!("{which}make logs");
    let width = calls.len();
    format!(
        "Next:\n  {calls:width$}   two phones register and call; the records are printed\n  \
         {logs:width$}   what the engines say\n  \
         . {shown}/env && curl -sH \"X-API-Key: $TANDEM_API_KEY\" $TANDEM_API/api/cdr"
    )
}

/// The steps as they go: one line that changes on a terminal, a line a step elsewhere.
pub struct Progress {
    bar: Option<ProgressBar>,
    finished: usize,
}

impl Progress {
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}").ok();
            let bar = ProgressBar::new_spinner();
            bar.enable_steady_tick(Duration::from_millis(100));
            style.map_or_else(|| bar.clone(), |style| bar.clone().with_style(style))
        });
        Self { bar, finished: 0 }
    }

    pub fn show(&mut self, snapshot: &Snapshot) {
        let finished = |step: &&Shown| matches!(step.state, State::Ready | State::Done);
        let steps = snapshot.steps.iter();
        for step in steps.clone().take_while(finished).skip(self.finished) {
            self.finished += 1;
            let line = format!("  {} {}", step.name, if step.task { "done" } else { "ready" });
            match &self.bar {
                Some(bar) => bar.println(line),
                None => say!("{line}"),
            }
        }
        if let (Some(bar), Some(step)) = (&self.bar, steps.clone().find(|step| !finished(step))) {
            bar.set_message(step.name.clone());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
