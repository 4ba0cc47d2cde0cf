//! What a lab consists of, written down before it is made.

use anyhow::{Context, Result};
use host::files;
use serde::{Deserialize, Serialize};

use crate::Release;
use crate::arbiter::Arbiter;
use crate::places::Places;
use crate::process::Process;

/// A lab as `up` made it. Namespaces, mounts and cgroups are not listed: their names say whose they are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    pub release: Release,
    /// Systems only: no package installed, no cluster.
    pub bare: bool,
    pub witness: bool,
    #[serde(default)]
    pub arbiter: Arbiter,
    /// On the host's loopback, to the virtual address's API.
    pub port: u16,
    /// Overlayfs' lower folders, the upper one first.
    pub lower: String,
    /// `freeswitch` or `double`.
    pub media: String,
    /// Bound read-only into the nodes.
    pub freeswitch: Option<std::path::PathBuf>,
    /// Everything stands.
    pub whole: bool,
    pub processes: Vec<Process>,
    pub faults: Faults,
}

/// What is broken on purpose; put back when a node starts again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Faults {
    pub cuts: Vec<Cut>,
    /// Of a hundred frames between any two hosts.
    pub loss_percent: u8,
    /// Added to every frame, one way.
    pub slow_ms: u32,
}

/// Frames from one host to another that are dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    pub from: String,
    pub to: String,
    pub net: crate::net::Net,
}

impl State {
    /// `None`: there is no such lab.
    pub fn read(places: &Places) -> Result<Option<Self>> {
        let path = places.state();
        let Some(text) = files::read(&path).with_context(|| format!("reading {}", path.display()))? else {
            return Ok(None);
        };
        let state = serde_json::from_str(&text);
        state.map(Some).with_context(|| {
            format!("{} is damaged; 'tandem lab down' removes what is there", path.display())
        })
    }

    /// A lab that must be there.
    pub fn existing(places: &Places) -> Result<Self> {
        Self::read(places)?.with_context(|| format!("{}; 'tandem lab up' makes one", places.none()))
    }

    pub fn write(&self, places: &Places) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        files::write(&places.state(), 0o600, None, &text).context("writing the lab's state")
    }

    /// Every host of the lab.
    pub fn hosts(&self) -> Vec<&'static crate::net::Host> {
        crate::net::HOSTS.iter().filter(|host| self.witness || host.name != "w").collect()
    }
}
