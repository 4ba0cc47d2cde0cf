//! What is wrong between the nodes, and whether the platform serves at all.

use super::super::report::{Finding, Level, NodeReport};
use super::super::words::bytes;
use super::Findings;
use crate::observe::{Place, Snapshot};

/// Two clocks further apart break signed messages and every log's order.
const CLOCKS_APART_SECONDS_MAX: f64 = 2.0;
const LAG_BYTES_WARN: u64 = 64 << 20;

/// The nodes that hold the virtual address.
pub fn holders(nodes: &[NodeReport]) -> Vec<String> {
    let holds =
        |n: &&NodeReport| n.snapshot.as_ref().and_then(|s| s.vip.as_ref()).is_some_and(|vip| vip.held);
    nodes.iter().filter(holds).map(|n| n.node.clone()).collect()
}

pub fn findings(place: &Place, nodes: &[NodeReport]) -> Vec<Finding> {
    let mut found = Findings::of(None);
    let seen: Vec<&Snapshot> = nodes.iter().filter_map(|n| n.snapshot.as_ref()).collect();
    // Who is not root sees roles and the address, not the databases.
    let unasked =
        seen.iter().any(|s| s.postgresql.problem.as_deref().is_some_and(|p| p.starts_with("not asked")));
    let all = seen.len() == place.cluster.nodes.len();
    writer(&mut found, &seen, all, unasked);
    address(&mut found, place, nodes, &seen, all);
    if place.cluster.nodes.len() > 1 {
        replication(&mut found, &seen);
        same(&mut found, nodes, &seen);
    }
    found.list
}

fn is_primary(snapshot: &&&Snapshot) -> bool {
    snapshot.role.as_deref() == Some("primary")
}

fn writer(found: &mut Findings, seen: &[&Snapshot], all: bool, unasked: bool) {
    found.about("role");
    let primaries: Vec<&&Snapshot> = seen.iter().filter(is_primary).collect();
    if primaries.len() > 1 {
        let named: Vec<String> =
            primaries.iter().map(|s| format!("{} in epoch {}", s.node, s.epoch.unwrap_or(0))).collect();
        found.add(
            Level::Fail,
            format!("two primaries: {}; the higher epoch is the right one", named.join(", ")),
            "see docs/runbook.md, 'Two primaries'",
        );
    }
    if unasked || primaries.iter().any(|s| s.postgresql.writable) {
        return;
    }
    let streams = |s: &&Snapshot| s.postgresql.receiver.as_ref().is_some_and(|r| r.status == "streaming");
    if !all && seen.iter().any(streams) {
        // The primary cannot be asked and yet sends: it lives.
        return;
    }
    found.add(
        Level::Down,
        "no PostgreSQL seen takes writes: nothing can be provisioned; calls in progress and CDRs are kept",
        "see docs/runbook.md, 'No writer'",
    );
}

fn address(found: &mut Findings, place: &Place, nodes: &[NodeReport], seen: &[&Snapshot], all: bool) {
    found.about("vip");
    let Some(vip) = &place.cluster.vip else {
        if seen.iter().all(|s| !s.kamailio.answers) {
            found.add(
                Level::Down,
                "no Kamailio answers: no new call is possible",
                "type: systemctl restart kamailio",
            );
        }
        return;
    };
    let address = vip.address;
    let holders = holders(nodes);
    match holders.as_slice() {
        [] if all || seen.iter().any(|s| s.role.as_deref() == Some("primary")) => found.add(
            Level::Down,
            format!("no node holds {address}: no phone reaches the platform"),
            "see docs/runbook.md, 'Nobody holds the virtual address'",
        ),
        [] => {}
        [holder] => {
            let Some(snapshot) = seen.iter().find(|s| s.node == *holder) else { return };
            if snapshot.role.as_deref() != Some("primary") {
                found.add(
                    Level::Fail,
                    format!("{holder} holds {address} and is not primary"),
                    "see docs/runbook.md, 'The virtual address is on the wrong node'",
                );
            }
            if !snapshot.kamailio.answers {
                found.add(
                    Level::Down,
                    format!("Kamailio on {holder}, which holds {address}, does not answer: no new call is possible"),
                    format!("on {holder}: systemctl restart kamailio; journalctl -u kamailio"),
                );
            }
        }
        _ => found.add(
            Level::Fail,
            format!("{} hold {address} at once", holders.join(" and ")),
            "see docs/runbook.md, 'Two nodes hold the virtual address'",
        ),
    }
}

fn replication(found: &mut Findings, seen: &[&Snapshot]) {
    found.about("replication");
    let Some(primary) = seen.iter().find(is_primary) else { return };
    let pg = &primary.postgresql;
    if primary.mode.as_deref() == Some("solo") {
        found.add(
            Level::Warn,
            format!("{} is solo: there is one copy of the data", primary.node),
            "bring the other node back, or make one: tandem invite here, tandem join there",
        );
        return;
    }
    if !pg.running {
        return;
    }
    // The agent misses the other node sooner than PostgreSQL its walsender.
    let cure = primary.doing.as_ref().and_then(|doing| doing.cure.as_deref());
    let standby = pg.standbys.iter().find(|s| matches!(s.sync_state.as_str(), "sync" | "quorum"));
    match standby.filter(|_| cure.is_none()) {
        None if primary.mode.as_deref() == Some("paired") => {
            let waiting = pg.writes_waiting;
            found.add(
                Level::Fail,
                format!(
                    "{} waits for its standby: writes are not acknowledged ({waiting} wait now)",
                    primary.node
                ),
                match cure {
                    Some(cure) => {
                        let cure = cure.replace("on this node", &format!("on {}", primary.node));
                        format!("bring the standby back. If it cannot be: {cure}")
                    }
                    None => "bring the standby back; docs/runbook.md, 'Writes wait for the standby'".into(),
                },
            );
        }
        Some(standby) if standby.flush_lag_bytes.is_some_and(|lag| lag > LAG_BYTES_WARN) => {
            let lag = bytes(standby.flush_lag_bytes.unwrap_or(0));
            found.add(
                Level::Warn,
                format!("{} is {lag} behind", standby.name),
                "see docs/runbook.md, 'A standby that lags'",
            );
        }
        _ => {}
    }
    for standby in seen.iter().filter(|s| s.role.as_deref() == Some("standby") && s.postgresql.running) {
        let status = standby.postgresql.receiver.as_ref().map_or("no connection", |r| r.status.as_str());
        if status != "streaming" {
            found.add(
                Level::Fail,
                format!("{} does not receive from {}: {status}", standby.node, primary.node),
                format!("on {}: journalctl -u postgresql@*; is the peer link up?", standby.node),
            );
        }
    }
}

fn same(found: &mut Findings, nodes: &[NodeReport], seen: &[&Snapshot]) {
    found.about("versions");
    let [one, other] = seen else { return };
    if one.cluster_id != other.cluster_id {
        found.add(
            Level::Fail,
            "the nodes are of different clusters",
            "compare cluster.id in both /etc/tandem/cluster.yaml",
        );
    }
    if one.version != other.version {
        found.add(
            Level::Warn,
            format!("{} runs tandem {}, {} runs {}", one.node, one.version, other.node, other.version),
            "install the newer package on the other node, then there: tandem apply",
        );
    }
    found.about("clock");
    if let Some(age) = nodes.iter().filter_map(|n| n.age_seconds).find(|age| *age < -CLOCKS_APART_SECONDS_MAX)
    {
        found.add(
            Level::Warn,
            format!("the nodes' clocks are {:.0} s apart", -age),
            "type on both: timedatectl; apt install chrony",
        );
    }
}
