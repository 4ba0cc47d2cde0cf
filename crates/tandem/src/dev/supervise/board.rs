//! What the supervisor shows: `status.json`, replaced whole at every change.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::plan::{Kind, Plan};
use super::super::process::Process;
use super::STATUS_FILE;
use host::files;

/// The node as the supervisor sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub supervisor: Option<Process>,
    pub phase: Phase,
    pub since: Timestamp,
    /// Why it failed.
    pub message: Option<String>,
    pub steps: Vec<Shown>,
}

/// Of the whole node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Starting,
    Ready,
    Stopping,
    Stopped,
    Failed,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    pub name: String,
    /// A task that prepares, not an engine.
    pub task: bool,
    pub state: State,
    pub process: Option<Process>,
    pub since: Timestamp,
    /// Times it was started again.
    pub restarts: u32,
    /// How it ended the last time.
    pub last_exit: Option<String>,
    pub version: String,
    pub ports: String,
}

/// Of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    Waiting,
    Starting,
    Ready,
    /// Died; waits before the next start.
    Restarting,
    Stopping,
    Stopped,
    Done,
    Failed,
}

/// A handle to the file; clones write the same one.
#[derive(Clone)]
pub struct Board {
    file: PathBuf,
    shown: Rc<RefCell<Snapshot>>,
}

/// One step's line.
#[derive(Clone)]
pub struct Line {
    board: Board,
    index: usize,
}

impl Board {
    pub fn new(plan: &Plan) -> Self {
        let now = Timestamp::now();
        let steps = plan.steps.iter().map(|step| Shown {
            name: step.name.clone(),
            task: step.kind == Kind::Task,
            state: State::Waiting,
            process: None,
            since: now,
            restarts: 0,
            last_exit: None,
            version: step.version.clone(),
            ports: step.ports.clone(),
        });
        let board = Self {
            file: plan.run.join(STATUS_FILE),
            shown: Rc::new(RefCell::new(Snapshot {
                supervisor: Process::of(std::process::id()),
                phase: Phase::Starting,
                since: now,
                message: None,
                steps: steps.collect(),
            })),
        };
        board.write();
        board
    }

    pub fn of(&self, index: usize) -> Line {
        Line { board: self.clone(), index }
    }

    pub fn phase(&self) -> Phase {
        self.shown.borrow().phase
    }

    pub fn set_phase(&self, phase: Phase, message: Option<String>) {
        {
            let mut shown = self.shown.borrow_mut();
            shown.phase = phase;
            shown.message = message;
            shown.since = Timestamp::now();
        }
        self.write();
    }

    /// A full disk must not stop a node: the old status stays, and the log says so.
    fn write(&self) {
        let text = serde_json::to_string_pretty(&*self.shown.borrow()).unwrap_or_default();
        if let Err(error) = files::write(&self.file, 0o644, None, text.as_bytes()) {
            eprintln!("status file {}: {error}", self.file.display());
        }
    }
}

impl Line {
    pub fn set(&self, state: State, process: Option<Process>) {
        self.change(|line| {
            line.state = state;
            line.process = process;
            line.since = Timestamp::now();
        });
    }

    /// The process ended by itself.
    pub fn ended(&self, how: &str) {
        self.change(|line| {
            line.state = State::Restarting;
            line.process = None;
            line.since = Timestamp::now();
            line.last_exit = Some(how.to_owned());
        });
    }

    pub fn restarted(&self) {
        self.change(|line| line.restarts = line.restarts.saturating_add(1));
    }

    fn change(&self, change: impl FnOnce(&mut Shown)) {
        if let Some(line) = self.board.shown.borrow_mut().steps.get_mut(self.index) {
            change(line);
        }
        self.board.write();
    }
}
