//! Both nodes' snapshots, from whoever has them.

use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::report::{NodeReport, Source};
use crate::agent::client::Client;
use crate::config::Config;
use crate::observe::{AGENT_SNAPSHOT, Place, Snapshot, sample};

/// The agent writes one a second; older than this, it hangs.
const FRESH_SECONDS_MAX: f64 = 5.0;
/// The peer answers from memory.
const PEER_MAX: Duration = Duration::from_millis(1_500);

/// This node first, then its peer.
pub async fn both(place: &Place) -> Vec<NodeReport> {
    let (here, peer) = tokio::join!(here(place), peer(place));
    [Some(here), peer].into_iter().flatten().collect()
}

async fn here(place: &Place) -> NodeReport {
    let (source, problem, snapshot) = match agents_word(place) {
        Ok(snapshot) => (Source::Agent, None, snapshot),
        Err(problem) => (Source::Sampled, Some(problem), sample(place).await),
    };
    NodeReport {
        node: place.node.clone(),
        address: place.address().to_string(),
        source,
        problem,
        age_seconds: Some(age(&snapshot)),
        snapshot: Some(snapshot),
    }
}

/// What the agent wrote, if it did lately.
fn agents_word(place: &Place) -> Result<Snapshot, String> {
    let path = place.run.join(AGENT_SNAPSHOT);
    let text = host::files::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let text = text.ok_or("the agent does not run")?;
    let snapshot: Snapshot =
        serde_json::from_str(&text).map_err(|e| format!("{} is not understood: {e}", path.display()))?;
    let age = age(&snapshot);
    if age.abs() > FRESH_SECONDS_MAX {
        return Err(format!("the agent's last look was {age:.0} s ago"));
    }
    Ok(snapshot)
}

async fn peer(place: &Place) -> Option<NodeReport> {
    let peer = place.peer()?;
    let mut found = NodeReport {
        node: peer.name.clone(),
        address: peer.address.to_string(),
        source: Source::Unreachable,
        problem: None,
        age_seconds: None,
        snapshot: None,
    };
    match ask(place).await {
        Ok(snapshot) => {
            found.source = Source::Agent;
            found.age_seconds = Some(age(&snapshot));
            found.snapshot = Some(snapshot);
        }
        Err(problem) => found.problem = Some(problem),
    }
    Some(found)
}

async fn ask(place: &Place) -> Result<Snapshot, String> {
    let secrets =
        place.secrets.clone().ok_or("not asked: the cluster's key is root's; type: sudo tandem status")?;
    let config =
        Config::of(place.cluster.clone(), secrets, place.node.clone()).map_err(|e| format!("{e:#}"))?;
    // Either way to it will do: the peer link first, because the service network may be cut.
    let asking = spawn_blocking(move || ask_on_any(&config));
    match asking.await {
        Ok(answer) => answer.map_err(|e| format!("{e:#}")),
        Err(_) => Err("the question to it was broken off".to_owned()),
    }
}

fn ask_on_any(config: &Config) -> anyhow::Result<Snapshot> {
    let peer = config.peer().context("a single node has no peer")?;
    let ask = |address| Client::new(config, peer, address, PEER_MAX).get::<Snapshot>("/status");
    match ask(peer.peer_side()) {
        Err(first) if peer.address != peer.peer_side() => ask(peer.address).map_err(|_| first),
        answer => answer,
    }
}

fn age(snapshot: &Snapshot) -> f64 {
    Timestamp::now().duration_since(snapshot.sampled_at).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::place::tests::place_in;

    #[tokio::test]
    async fn an_agent_that_hangs_is_no_witness() {
        let dir = tempfile::tempdir().unwrap();
        let place = place_in(dir.path());
        std::fs::create_dir_all(&place.run).unwrap();
        assert_eq!(agents_word(&place).unwrap_err(), "the agent does not run");
        let path = place.run.join(AGENT_SNAPSHOT);
        let mut snapshot = sample(&place).await;
        std::fs::write(&path, serde_json::to_string(&snapshot).unwrap()).unwrap();
        assert_eq!(agents_word(&place).unwrap().node, "n1");
        snapshot.sampled_at -= Duration::from_secs(60);
        std::fs::write(&path, serde_json::to_string(&snapshot).unwrap()).unwrap();
        assert!(agents_word(&place).unwrap_err().contains("60 s ago"));
        std::fs::write(&path, "{\"node\":").unwrap();
        assert!(agents_word(&place).unwrap_err().contains("not understood"));
        assert_eq!(here(&place).await.source, Source::Sampled);
    }
}
