//! `tandem agent`: gives this node's engines their role, and answers the other node.
//!
//! In: the state file and cluster.yaml, the peer's heartbeats and signed messages, PostgreSQL, Redis, a person's commands.
//! Out: the state file, PostgreSQL and Redis in its role, keepalived's track file, heartbeats, a snapshot a second.
//!
//! What is decided, and why, is `fsm`'s table alone: `driver` looks (`look`), takes the row that fits, and writes or acts
//! (`act`, `job`).
//!
//! Architecture invariant: PostgreSQL is started nowhere else. The agent never kills a server it does not understand:
//! it stops it, keeps the data and says why (*hold*). Stopping the agent stops no engine.

mod act;
pub mod auth;
mod claims;
pub mod client;
pub mod control;
mod driver;
mod fitness;
mod gateway;
mod heartbeat;
mod http;
mod job;
mod joining;
mod judge;
mod look;
mod metrics;
mod mind;
pub mod orders;
mod owned;
mod pulse;
mod run;
pub mod tokens;

use std::sync::Arc;

use fsm::State;
use nix::unistd::User;
use tokio::sync::watch;
use uuid::Uuid;

use crate::config::Config;
use crate::observe::Snapshot;
use crate::places::Places;
use crate::postgresql::Server;
use crate::services::Services;
use auth::Door;
use claims::Claims;
use heartbeat::Heart;
use judge::Judge;
use orders::Orders;
use pulse::Pulse;

pub use driver::Doing;
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
    /// The table's constants.
    table: fsm::Config,
    boot_id: Uuid,
    /// What the node is, as the disk has it. The driver alone changes it.
    held: watch::Sender<Held>,
    doing: watch::Sender<Doing>,
    orders: Orders,
    arbiter: Arc<Judge>,
    claims: Option<Claims>,
    /// None on a single node.
    heart: Option<Arc<Heart>>,
    door: Door,
    /// The loops' lives.
    pass: Pulse,
    look: Pulse,
    snapshot: watch::Sender<Option<Snapshot>>,
}

#[cfg(test)]
mod tests;
