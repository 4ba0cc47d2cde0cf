//! The failover's arbiter, and the gateway that may veto.

use std::collections::BTreeSet;

use super::super::facts::{Arbiters, EtcdFacts, Facts};
use super::{Line, Lines, NEEDS_ROOT};

const ETCD_CURE: &str = "type on its host: systemctl status etcd; runbook: 'The arbiter'";

pub fn arbiter(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    if facts.place.peer().is_none() {
        return lines.list;
    }
    let Arbiters { etcd: answers, fence, .. } = &facts.arbiters;
    match facts.place.cluster.failover.arbiter {
        spec::Arbiter::None => lines.ok("none: a primary whose standby died waits for it, or for a person"),
        spec::Arbiter::Etcd => match answers {
            Some(answers) => etcd(answers, &mut lines),
            None => lines.skipped("etcd is not asked: its password is root's to read", NEEDS_ROOT),
        },
        spec::Arbiter::Fence => {
            let Some(program) = fence else { return lines.list };
            for problem in &program.problems {
                lines.fail(
                    format!("fence: {}: {problem}", program.path),
                    "mend it; the program and all folders above it are root's; runbook: 'The arbiter'",
                );
            }
            if program.problems.is_empty() {
                lines.ok(format!(
                    "fence: {} is there, and root's alone to change; it was not run",
                    program.path
                ));
            }
        }
    }
    lines.list
}

fn etcd(etcd: &EtcdFacts, lines: &mut Lines) {
    let mut well = Vec::new();
    for endpoint in &etcd.endpoints {
        match &endpoint.answer {
            Ok(took) => well.push(format!("{} in {} ms", endpoint.at, took.as_millis())),
            // Without a majority all say the same, which is said once.
            Err(_) if etcd.members.is_err() => {}
            Err(why) => lines.warn(why.clone(), ETCD_CURE),
        }
    }
    let clusters: BTreeSet<_> = etcd.endpoints.iter().filter_map(|e| e.cluster.as_ref()).collect();
    if clusters.len() > 1 {
        lines.fail(
            "etcd: the endpoints belong to different etcd clusters: each would decide for itself",
            "write endpoints of one cluster; runbook: 'The arbiter'",
        );
    }
    match &etcd.members {
        Ok(members) if *members < etcd.endpoints.len() => lines.warn(
            format!(
                "etcd has {members} voting members, failover.etcd.endpoints names {}",
                etcd.endpoints.len()
            ),
            "write the members that there are",
        ),
        Ok(members) => lines.ok(format!("etcd: {members} voting members; answered {}", well.join(", "))),
        Err(why) => lines.fail(why.clone(), ETCD_CURE),
    }
    match &etcd.register {
        Ok(Some(register)) => lines.ok(format!("etcd: epoch {} of {}", register.epoch, register.owner)),
        Ok(None) => lines.warn("etcd holds no register of this cluster yet", "runbook: 'The arbiter'"),
        // Said above, unless it is damaged.
        Err(why) if etcd.members.is_ok() => lines.fail(why.clone(), ETCD_CURE),
        Err(_) => {}
    }
}

pub fn gateway(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    match facts.arbiters.gateway.as_ref().map(|gateway| (gateway.address, &gateway.neighbour)) {
        None => {}
        Some((address, Ok((hardware, state)))) => {
            lines.ok(format!("{address} is {hardware} ({})", state.to_lowercase()));
        }
        Some((address, Err(why))) => lines.fail(
            format!("{address}: {why}; a primary that does not reach it drops the virtual address"),
            "look at the cable and at vip.gateway in cluster.yaml; runbook: 'The gateway'",
        ),
    }
    lines.list
}
