//! A node: a Debian system of its own in systemd-nspawn, on an overlay of the image and a disk of its own for `/var`.
//!
//! In: an image, the node's network namespace. Out: a system that booted. Its power can be cut and given again.

mod boot;
mod disk;
mod enter;
mod slow;

use anyhow::{Result, bail};

pub use boot::{boot, cgroups, init, kill, remove_cgroup, wait};
pub use disk::{make_disks, mounts_below, unmount_below};
pub use enter::{command, run, run_quietly, write_file};
pub use slow::slow_disk;

use crate::net::{Host, NODES};

/// The node of that name.
///
/// # Errors
/// There is none; says which there are.
pub fn named(name: &str) -> Result<&'static Host> {
    match Host::named(name) {
        Some(host) if NODES.contains(&host.name) => Ok(host),
        _ => bail!("{name:?} is no node of the lab: n1, n2"),
    }
}
