//! What `tandem status --json` prints. Its keys are documented in `docs/status.md` and are stable.

use std::process::ExitCode;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::observe::Snapshot;

/// The whole platform, seen from one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub verdict: Verdict,
    pub cluster: String,
    /// The node it was asked on.
    pub asked_on: String,
    pub at: Timestamp,
    /// The virtual address; none on a single node.
    pub vip: Option<String>,
    /// The nodes that hold it.
    pub vip_held_by: Vec<String>,
    /// This node first.
    pub nodes: Vec<NodeReport>,
    /// The worst first.
    pub findings: Vec<Finding>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    pub node: String,
    pub address: String,
    pub source: Source,
    /// Why its agent's word is not here.
    pub problem: Option<String>,
    /// Of the snapshot.
    pub age_seconds: Option<f64>,
    pub snapshot: Option<Snapshot>,
}

/// Who saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The node's agent, within the last seconds.
    Agent,
    /// This command, because the agent is away.
    Sampled,
    /// Nobody.
    Unreachable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Ok,
    Degraded,
    /// No new call or no acknowledged write is possible.
    Down,
}

impl Verdict {
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Ok => 0,
            Self::Degraded => 1,
            Self::Down => 2,
        })
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "DOWN",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Warn,
    Fail,
    /// The platform as a whole does not serve.
    Down,
}

/// Something wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub level: Level,
    /// agent, role, services, postgresql, replication, redis, vip, kamailio, media, voip-admin, disk, memory, versions,
    /// clock.
    pub about: String,
    /// None: of the platform as a whole.
    pub node: Option<String>,
    pub what: String,
    /// What to type, or where to look.
    pub cure: String,
}
