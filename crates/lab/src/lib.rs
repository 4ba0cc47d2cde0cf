//! The laboratory: two real Debian systems on one machine, installed the way an operator installs servers.
//!
//! In: a Debian mirror, our packages, a name. Out: nodes that run systemd in namespaces of their own, two networks between
//! them, faults on demand, and `.tandem/env` to reach them by. Everything a lab makes carries its name, so that [`down`]
//! finds it whatever died meanwhile.
//!
//! Architecture invariant: nothing here configures a node. What the package, `tandem apply` and `tandem join` do not do on
//! a server, they do not do here. Only what stands beside Tandem is put there by the lab: etcd, for `--arbiter etcd`.
#![forbid(unsafe_code)]

mod arbiter;
mod cli;
mod down;
mod environment;
mod etcd;
pub mod fault;
mod forward;
mod image;
mod install;
mod lock;
mod name;
mod net;
mod node;
mod places;
mod power;
mod preflight;
mod process;
mod progress;
mod run;
mod state;
mod status;
mod syslog;
mod up;

pub use arbiter::Arbiter;
pub use cli::{Command, run};
pub use name::{LabName, Release};
pub use net::{CLIENTS, NODES, Net, VIP};
pub use node::run as run_in;
pub use preflight::{Impossible, possible};
pub use process::Process;
pub use state::State;
pub use syslog::{Line, Syslog};

/// What a lab that is up consists of.
///
/// # Errors
/// There is no such lab.
pub fn state(lab: &LabName) -> anyhow::Result<State> {
    State::existing(&places::Places::of(lab))
}

/// How a lab that is up is reached.
///
/// # Errors
/// There is no such lab, or it is bare.
pub fn env(lab: &LabName) -> anyhow::Result<phones::Env> {
    phones::Env::read(&env_file(lab))
}

/// Where that stands.
pub fn env_file(lab: &LabName) -> std::path::PathBuf {
    places::Places::of(lab).env()
}
