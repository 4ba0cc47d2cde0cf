//! What the supervisor is to do: written by `up`, who knows the cluster, and read by the supervisor, who needs not.

use std::path::PathBuf;

use clap::ValueEnum;
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// The steps in order, and where the supervisor tells how it goes. Holds the Redis password: mode 0600.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// The supervisor's own folder: lock and status.
    pub run: PathBuf,
    /// One `<step>.log` each.
    pub log: PathBuf,
    /// The `tandem` that becomes the engines.
    pub tandem: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    pub argv: Vec<String>,
    pub kind: Kind,
    pub version: String,
    /// For people: `5060/udp`.
    pub ports: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Runs to its end before the next step.
    Task,
    /// Keeps running, and is started again when it dies.
    Engine(Keeping),
}

/// How an engine is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Keeping {
    pub ready: Probe,
    pub stop: StopSignal,
    /// Then SIGKILL.
    pub stop_timeout_s: u64,
}

/// How to see that an engine does its work; each is what its clients would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// `pg_isready` ends with 0.
    Postgresql { pg_isready: PathBuf, socket: PathBuf, port: u16 },
    /// PING is answered.
    Redis { port: u16, password: String },
    /// `GET path` is answered with 200.
    Http { port: u16, path: String },
    /// OPTIONS over UDP is answered with 200.
    Sip { port: u16 },
}

/// The signal an engine ends well on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum StopSignal {
    Term,
    /// PostgreSQL's fast shutdown; its SIGTERM waits for every client to leave.
    Int,
}

impl StopSignal {
    /// As `tandem dev exec` reads it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Term => "term",
            Self::Int => "int",
        }
    }
}

impl From<StopSignal> for Signal {
    fn from(stop: StopSignal) -> Self {
        match stop {
            StopSignal::Term => Self::SIGTERM,
            StopSignal::Int => Self::SIGINT,
        }
    }
}
