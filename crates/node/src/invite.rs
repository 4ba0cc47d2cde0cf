//! `tandem invite`: a one-time token for the second node.

use anyhow::{Result, bail};
use fsm::Role;
use host::say;
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use crate::agent::tokens;
use crate::config::Config;
use crate::places::Places;
use crate::state;

/// `tandem invite --json`; `tandem join --ssh` reads it.
#[derive(Serialize, Deserialize)]
pub struct Invitation {
    pub token: String,
    /// Where the joining node finds this one's agent.
    pub address: String,
    pub expires_in_s: i64,
}

/// Makes a token on the primary and prints it.
///
/// # Errors
/// Not root, not the primary, or no second node in cluster.yaml.
pub fn run(places: &Places, json: bool) -> Result<()> {
    if !Uid::effective().is_root() {
        bail!("a token opens this cluster's secrets, so only root makes one; type: sudo tandem invite");
    }
    let config = Config::load(places, &places.etc(), None)?;
    let Some(peer) = config.peer() else {
        bail!("cluster.yaml lists no second node; add it under 'nodes:', then 'tandem apply'");
    };
    let state = state::load(places, config.cluster.cluster.id, &config.name)?;
    match &state {
        Some(state) if state.role == Role::Primary => {}
        Some(state) => bail!(
            "this node is {}; nodes are invited by the primary, {}: type it there",
            state.role.as_str(),
            state.owner
        ),
        None => bail!("this node has no role yet; type 'tandem apply' first"),
    }
    let address = format!("{}:{}", config.node()?.peer_side(), config.cluster.ports.agent);
    let token = tokens::make(&places.tokens(), jiff::Timestamp::now().as_second())?;
    if json {
        say!("{}", serde_json::to_string(&Invitation { token, address, expires_in_s: tokens::LIFE_S })?);
        return Ok(());
    }
    say!("{token}");
    eprintln!(
        "Valid for {} minutes, once. On {} type: tandem join {address} --token-file -   (and paste it; it is not shown in \
         the process list that way)",
        tokens::LIFE_S / 60,
        peer.name
    );
    Ok(())
}
