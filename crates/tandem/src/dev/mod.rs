//! The dev node: everything of a node on this machine's loopback, unprivileged, without systemd.
//!
//! In: a folder with cluster.yaml. Out: running engines, `.tandem/env`, a status file. [`up`] prepares and leaves a
//! supervisor behind, which knows nothing but its plan; the other commands read what the supervisor writes.
//!
//! Architecture invariant: the engines run exactly what `render` writes. Nothing here edits a configuration file.

mod down;
mod exec;
mod holder;
mod logs;
mod place;
mod plan;
mod ports;
mod process;
mod status;
mod steps;
mod supervise;
mod up;

use std::path::Path;

use anyhow::Result;

pub use down::down;
pub use exec::{ExecArgs, exec};
pub use logs::logs;
pub use place::Place;
pub use status::status;
pub use supervise::supervise;
pub use up::up;

/// `tandem dev call`: against the node in `dir`.
pub fn call(dir: &Path, json: bool) -> Result<()> {
    phones::call::run(&phones::Env::read(&Place::existing(dir)?.env_file())?, phones::call::Options { json })
}

/// The processes of the dev node that `env_file` belongs to, for `tandem load`.
pub fn platform(env_file: &Path) -> phones::load::Platform {
    let supervisor = || {
        let place = Place::existing(env_file.parent()?).ok()?;
        u32::try_from(status::read(&place)?.supervisor?.pid).ok()
    };
    supervisor().map_or(phones::load::Platform::Elsewhere, phones::load::Platform::Supervisor)
}
