//! What is wrong, from the snapshots alone. Pure: the same snapshots give the same findings.

mod node;
mod pair;

use jiff::Timestamp;

use super::report::{Finding, Level, NodeReport, Report, Verdict};
use crate::observe::Place;

/// Collects findings of one node, or of the platform.
pub struct Findings {
    node: Option<String>,
    about: &'static str,
    list: Vec<Finding>,
}

impl Findings {
    fn of(node: Option<&str>) -> Self {
        Self { node: node.map(str::to_owned), about: "", list: Vec::new() }
    }

    /// What the findings that follow are about.
    pub fn about(&mut self, about: &'static str) {
        self.about = about;
    }

    pub fn add(&mut self, level: Level, what: impl Into<String>, cure: impl Into<String>) {
        let about = self.about.to_owned();
        self.list.push(Finding {
            level,
            about,
            node: self.node.clone(),
            what: what.into(),
            cure: cure.into(),
        });
    }
}

pub fn judge(place: &Place, nodes: Vec<NodeReport>) -> Report {
    let mut findings = Vec::new();
    for report in &nodes {
        findings.extend(node::findings(report));
    }
    findings.extend(pair::findings(place, &nodes));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let verdict = match findings.iter().map(|finding| finding.level).max() {
        None => Verdict::Ok,
        Some(Level::Warn | Level::Fail) => Verdict::Degraded,
        Some(Level::Down) => Verdict::Down,
    };
    Report {
        verdict,
        cluster: place.cluster.cluster.name.clone(),
        asked_on: place.node.clone(),
        at: Timestamp::now(),
        vip: place.cluster.vip.as_ref().map(|vip| vip.address.to_string()),
        vip_held_by: pair::holders(&nodes),
        nodes,
        findings,
    }
}

#[cfg(test)]
pub(crate) mod tests;
