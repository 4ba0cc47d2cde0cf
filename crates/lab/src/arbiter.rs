//! The failover's arbiter in a lab: what it needs besides Tandem, as whoever runs a site would install it.

use anyhow::{Context, Result};
pub use spec::Arbiter;

use crate::net::{Host, NODES, Net};
use crate::places::Places;
use crate::progress::Progress;
use crate::state::State;
use crate::{LabName, etcd, power};

/// What `tandem init` is told.
pub fn init_words(arbiter: Arbiter) -> Vec<String> {
    match arbiter {
        Arbiter::None => Vec::new(),
        Arbiter::Fence => {
            power::COMMAND.iter().flat_map(|word| ["--fence-command".into(), (*word).into()]).collect()
        }
        Arbiter::Etcd => {
            etcd::endpoints().into_iter().flat_map(|url| ["--etcd-endpoint".into(), url]).collect()
        }
    }
}

/// Starts it, on systems that have booted.
pub fn start(lab: &LabName, state: &mut State, places: &Places, progress: &Progress) -> Result<()> {
    match state.arbiter {
        Arbiter::None => Ok(()),
        Arbiter::Fence => {
            progress.step("gw: a power switch");
            state.processes.push(power::start(lab, places)?);
            Ok(())
        }
        Arbiter::Etcd => {
            progress.step("n1, n2, w: etcd");
            state.processes.push(etcd::start_witness(lab, &state.lower, places)?);
            for name in NODES {
                etcd::start_on(lab, name)?;
            }
            etcd::wait(lab)
        }
    }
}

/// A host's address on the service network, which every host is on.
pub fn address(name: &str) -> Result<String> {
    Host::named(name)
        .and_then(|host| host.address(Net::Service))
        .with_context(|| format!("no address of {name}"))
}
