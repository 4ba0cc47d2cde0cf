//! The other node's word, before this one begins a new platform: a first node that was set up afresh looks like a new one.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, bail};
use spec::Node;

use crate::agent::client::Client;
use crate::config::Config;
use crate::observe::Snapshot;

const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(5);

/// Refuses where the other node has a role, or its agent cannot be asked. One where nobody listens is not set up yet.
///
/// # Errors
/// Its role, with what to type.
pub fn has_no_role(config: &Config) -> Result<()> {
    let Some(peer) = config.peer() else { return Ok(()) };
    let mut addresses = vec![peer.peer_side(), peer.address];
    addresses.dedup();
    addresses.into_iter().try_for_each(|address| ask(config, peer, address))
}

fn ask(config: &Config, peer: &Node, address: IpAddr) -> Result<()> {
    let at = SocketAddr::new(address, config.cluster.ports.agent);
    if TcpStream::connect_timeout(&at, CONNECT).is_err() {
        return Ok(());
    }
    let (own, other) = (&config.name, &peer.name);
    let role = match Client::new(config, peer, address, ANSWER).get::<Snapshot>("/status") {
        // Lost or unreadable: its history says that it had one.
        Ok(Snapshot { role: None, transitions, .. }) if !transitions.is_empty() => {
            Some("without the role it had".to_owned())
        }
        Ok(snapshot) => snapshot.role,
        Err(error) => bail!(
            "{other} has an agent ({at}) that does not tell its role: {error:#}\nA second, empty platform is not begun \
             beside it. Look there: 'tandem status'. If {own} was set up afresh, it joins {other} again: {}",
            rejoin(peer)
        ),
    };
    match role.as_deref() {
        None => Ok(()),
        Some("primary") => bail!(
            "{other} is primary already: {own} was set up afresh, and a second, empty platform is not begun beside it. It \
             becomes {other}'s standby: {}",
            rejoin(peer)
        ),
        Some(role) => bail!(
            "{other} is {role} and holds the platform's data: a second, empty platform is not begun beside it. Restore \
             /var/lib/tandem and PostgreSQL's data of {own}; if they are lost, {other} has the only copy: see \
             docs/runbook.md 'A first node that was lost'"
        ),
    }
}

fn rejoin(peer: &Node) -> String {
    format!(
        "move /etc/tandem/cluster.yaml and secrets.yaml away, then 'tandem invite' on {} and here 'tandem join {} \
         --token-file -'",
        peer.name, peer.address
    )
}
