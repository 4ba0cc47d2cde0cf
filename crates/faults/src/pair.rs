//! The pair as an operator sees it: `tandem status --json` on each node, and a shell there.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lab::{LabName, NODES};
use phones::Env;
use serde_json::Value;

use crate::interrupt::pause;

/// No command in a node takes longer, whatever is frozen there.
const COMMAND_S: &str = "20";
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A lab's two nodes. Nodes are numbered as in [`NODES`].
pub struct Pair {
    pub lab: LabName,
    pub env: Env,
    pub settings: Settings,
}

/// What `cluster.yaml` says of the failover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// none, fence or etcd.
    pub arbiter: String,
    /// Until a silent peer counts as gone.
    pub detection: Duration,
}

impl Settings {
    fn of(yaml: &str) -> Result<Self> {
        let failover = spec::Cluster::parse("cluster.yaml", yaml)?.failover;
        Ok(Self { arbiter: failover.arbiter.as_str().to_owned(), detection: failover.detection() })
    }
}

/// One node, as it says itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// It answered.
    pub answers: bool,
    pub role: String,
    pub mode: String,
    pub epoch: u64,
    pub join: u64,
    pub timeline: u64,
    pub streaming: bool,
    pub vip: bool,
    /// What is well there besides: PostgreSQL, Redis, Kamailio, voipadmind.
    pub unwell: Vec<&'static str>,
    /// What is wrong, and what to type.
    pub findings: Vec<(String, String)>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.answers {
            return f.write_str("silent");
        }
        write!(f, "{} {} e{} j{}", self.role, self.mode, self.epoch, self.join)?;
        if self.unwell.is_empty() { Ok(()) } else { write!(f, " (not well: {})", self.unwell.join(", ")) }
    }
}

impl Seen {
    fn of(node: &str, report: &Value) -> Self {
        let nodes = report["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let Some(own) = nodes.iter().find(|each| each["node"] == node) else { return Self::default() };
        let own = &own["snapshot"];
        let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
        let findings = report["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
        let findings = findings.iter().map(|each| (text(&each["what"]), text(&each["cure"])));
        // Why the agent does not go on by itself, and what would let it.
        let doing = own["doing"]["cure"]
            .is_string()
            .then(|| (text(&own["doing"]["reason"]), text(&own["doing"]["cure"])));
        let well = [
            ("PostgreSQL", own["postgresql"]["running"] == true),
            ("Redis", own["redis"]["running"] == true && own["redis"]["link"] != "down"),
            ("Kamailio", own["kamailio"]["answers"] == true),
            ("media", own["media"]["sip"]["answers"] == true),
            ("voipadmind", own["voip_admin"]["answers"] == true),
        ];
        Self {
            answers: own.is_object(),
            role: text(&own["role"]),
            mode: text(&own["mode"]),
            epoch: own["epoch"].as_u64().unwrap_or(0),
            join: own["join"].as_u64().unwrap_or(0),
            timeline: own["postgresql"]["timeline"].as_u64().unwrap_or(0),
            streaming: own["postgresql"]["receiver"]["status"] == "streaming",
            vip: own["vip"]["held"] == true,
            unwell: well.into_iter().filter(|(_, well)| !well).map(|(name, _)| name).collect(),
            findings: doing.into_iter().chain(findings).collect(),
        }
    }
}

/// A pair that is whole: who is who.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    pub active: usize,
    pub epoch: u64,
}

/// What is missing for the pair to be whole.
pub fn whole(seen: &[Seen; 2]) -> Result<Whole, String> {
    let active = match [seen[0].role == "primary", seen[1].role == "primary"] {
        [true, false] => 0,
        [false, true] => 1,
        [true, true] => return Err("both say primary".into()),
        [false, false] => return Err("none is primary".into()),
    };
    let (primary, standby) = (&seen[active], &seen[1 - active]);
    let lacks = [
        (standby.role != "standby", "the other is no standby"),
        (primary.mode != "paired", "the primary is not paired"),
        (primary.epoch != standby.epoch || primary.join != standby.join, "they differ in epoch or join"),
        (primary.timeline != standby.timeline, "they differ in timeline"),
        (!standby.streaming, "the standby does not stream"),
        (!primary.vip || standby.vip, "the address is not the primary's"),
        (!primary.unwell.is_empty() || !standby.unwell.is_empty(), "an engine is not well"),
    ];
    match lacks.into_iter().find(|(lacks, _)| *lacks) {
        Some((_, what)) => Err(what.into()),
        None => Ok(Whole { active, epoch: primary.epoch }),
    }
}

impl Pair {
    /// # Errors
    /// There is no such lab, or it is bare.
    pub fn of(lab: &LabName) -> Result<Self> {
        if lab::state(lab)?.bare {
            bail!("the lab {lab} is bare: nothing in it can fail over");
        }
        let read = |node: &&str| lab::run_in(lab, node, &["cat", "/etc/tandem/cluster.yaml"]).ok();
        let yaml = NODES.iter().find_map(read).context("no node of the lab is on; 'tandem lab start n1'")?;
        Ok(Self { lab: lab.clone(), env: lab::env(lab)?, settings: Settings::of(&yaml)? })
    }

    /// Runs a script in a node, for a bounded time.
    pub fn shell(&self, node: usize, script: &str) -> Result<String> {
        self.shell_for(node, COMMAND_S, script)
    }

    /// As [`Self::shell`], with a bound of its own.
    pub fn shell_for(&self, node: usize, seconds: &str, script: &str) -> Result<String> {
        lab::run_in(&self.lab, NODES[node], &["timeout", "--kill-after=1", seconds, "sh", "-c", script])
    }

    /// SQL as the superuser. Every text is ours.
    pub fn sql(&self, node: usize, sql: &str) -> Result<String> {
        let words =
            ["timeout", "--kill-after=1", COMMAND_S, "runuser", "-u", "postgres", "--", "psql", "-XAtq"];
        let rest = ["-F", " ", "-v", "ON_ERROR_STOP=1", "-d", "voip_platform", "-c", sql];
        lab::run_in(&self.lab, NODES[node], &[&words[..], &rest[..]].concat())
    }

    pub fn is_on(&self, node: usize) -> bool {
        lab::run_in(&self.lab, NODES[node], &["true"]).is_ok()
    }

    /// Both, as each says itself.
    pub fn seen(&self) -> [Seen; 2] {
        std::thread::scope(|scope| {
            let ask = |node: usize| {
                // Its exit code is a verdict on both nodes, which is not asked for here.
                let said = self.shell(node, "tandem status --json || true").ok();
                said.and_then(|said| serde_json::from_str(&said).ok())
                    .map(|report| Seen::of(NODES[node], &report))
                    .unwrap_or_default()
            };
            let other = scope.spawn(move || ask(1));
            [ask(0), other.join().unwrap_or_default()]
        })
    }

    /// Waits until the pair is whole.
    ///
    /// # Errors
    /// It is not in time; says what is missing, what each node says of itself, and what to type.
    pub fn wait_whole(&self, within: Duration) -> Result<Whole> {
        let until = Instant::now() + within;
        loop {
            let seen = self.seen();
            let lack = match whole(&seen) {
                Ok(whole) => return Ok(whole),
                Err(lack) => lack,
            };
            if Instant::now() >= until {
                let cures: Vec<&str> = seen
                    .iter()
                    .flat_map(|each| &each.findings)
                    .map(|(_, cure)| cure.as_str())
                    .filter(|cure| cure.contains("tandem "))
                    .collect();
                let cure = cures.first().map(|cure| format!("; to type: {cure}")).unwrap_or_default();
                bail!(
                    "after {} s {lack}: {} is {}, {} is {}{cure}",
                    within.as_secs(),
                    NODES[0],
                    seen[0],
                    NODES[1],
                    seen[1]
                );
            }
            pause(LOOK_EVERY)?;
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn pair() -> [Seen; 2] {
        let primary = Seen {
            answers: true,
            role: "primary".into(),
            mode: "paired".into(),
            epoch: 3,
            join: 1,
            timeline: 4,
            vip: true,
            ..Seen::default()
        };
        [Seen { role: "standby".into(), streaming: true, vip: false, ..primary.clone() }, primary]
    }

    #[test]
    fn a_pair_is_whole_or_what_it_lacks_is_said() {
        assert_eq!(whole(&pair()), Ok(Whole { active: 1, epoch: 3 }));
        type Change = fn(&mut [Seen; 2]);
        let changes: [(Change, &str); 7] = [
            (|p| p[0].role = "primary".into(), "both say primary"),
            (|p| p[1].role = "hold".into(), "none is primary"),
            (|p| p[0].role = "rejoining".into(), "no standby"),
            (|p| p[1].mode = "solo".into(), "not paired"),
            (|p| p[0].epoch = 2, "epoch"),
            (|p| p[0].streaming = false, "stream"),
            (|p| p[0].unwell = vec!["Redis"], "engine"),
        ];
        for (change, lack) in changes {
            let mut seen = pair();
            change(&mut seen);
            let said = whole(&seen).unwrap_err();
            assert!(said.contains(lack), "{said}");
        }
    }

    #[test]
    fn a_node_is_read_from_the_report() {
        let report = serde_json::json!({ "nodes": [{ "node": "n1", "snapshot": null }, { "node": "n2", "snapshot": {
            "role": "standby", "mode": "paired", "epoch": 2, "join": 5, "postgresql": { "running": true, "timeline": 2,
            "receiver": { "status": "streaming" } }, "redis": { "running": true, "link": "down" },
            "kamailio": { "answers": true }, "media": { "sip": { "answers": true } }, "voip_admin": { "answers": true },
            "vip": { "held": false }, "doing": { "reason": "y", "cure": null } } }], "findings": [{ "what": "x", "cure": "type y" }] });
        assert!(!Seen::of("n1", &report).answers);
        let seen = Seen::of("n2", &report);
        assert_eq!(seen.to_string(), "standby paired e2 j5 (not well: Redis)");
        assert!(seen.streaming && seen.findings == [("x".to_owned(), "type y".to_owned())]);
    }
}
