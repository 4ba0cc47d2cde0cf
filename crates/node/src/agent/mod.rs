//! `tandem agent`: gives this node's engines their role, and answers the other node.
//!
//! In: the state file and cluster.yaml, read once at the start; the peer's signed messages. Out: PostgreSQL and Redis
//! in the state's role, keepalived's track file, a snapshot a second, the state file when a join makes a pair.
//!
//! Architecture invariant: PostgreSQL is started nowhere else. The agent never kills a server it does not understand:
//! it stops it, keeps the data and says why (*hold*). Stopping the agent stops no engine.

pub mod auth;
pub mod client;
mod http;
mod joining;
mod keeper;
mod metrics;
mod owned;
mod pulse;
mod run;
pub mod tokens;

use std::sync::Arc;

use fsm::State;
use nix::unistd::User;
use tokio::sync::{Mutex, watch};

use crate::config::Config;
use crate::observe::Snapshot;
use crate::places::Places;
use crate::postgresql::Server;
use crate::services::Services;
use auth::Door;
use pulse::Pulse;

pub use run::{Configured, configure, run};

/// What the node is, or why it holds.
pub type Held = Result<State, String>;

/// Everything the agent's tasks share.
pub struct Agent {
    pub places: Places,
    pub config: Config,
    pub server: Server,
    pub services: Arc<dyn Services>,
    /// Whom PostgreSQL's and Redis' files belong to.
    pub postgresql_user: User,
    pub redis_user: User,
    /// Held while the role is being put into effect or changed: one change at a time.
    held: Mutex<Held>,
    door: Door,
    /// The loops' lives.
    pass: Pulse,
    look: Pulse,
    snapshot: watch::Sender<Option<Snapshot>>,
}

#[cfg(test)]
mod tests;
