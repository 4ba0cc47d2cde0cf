//! Versions of the engines.

use super::super::facts::Facts;
use super::{Line, Lines};

/// An engine and the versions it is good from, one a branch; a newer branch is told, an older one fails.
struct Wanted {
    service: &'static str,
    branches: &'static [&'static [u32]],
    why: &'static str,
}

const WANTED: &[Wanted] = &[
    Wanted {
        service: "postgresql",
        branches: &[&[15, 13], &[16, 9], &[17, 5]],
        why: "before that, a standby could be counted as synchronous while it starts",
    },
    Wanted { service: "redis", branches: &[&[7], &[8]], why: "its replication is tested with these" },
    Wanted {
        service: "kamailio",
        branches: &[&[5, 6], &[6, 0]],
        why: "its configuration is written for these",
    },
    Wanted { service: "keepalived", branches: &[&[2, 2]], why: "VRRPv3 with a tracked file needs it" },
];

pub fn engines(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    let Some(here) = facts.here() else { return lines.list };
    for wanted in WANTED {
        let Some(service) = here.services.iter().find(|s| s.name == wanted.service) else { continue };
        // The server's own word, where it gave it, before its package's: it may not have been restarted since.
        let runs = match wanted.service {
            "postgresql" => here.postgresql.version.as_ref(),
            "redis" => here.redis.version.as_ref(),
            _ => None,
        };
        let Some(version) = runs.or(service.version.as_ref()) else {
            lines.fail(
                format!("{} is not installed", wanted.service),
                format!("type: apt install {}", package(wanted.service)),
            );
            continue;
        };
        let has = numbers(version);
        let named = format!("{} {version}", wanted.service);
        match wanted.branches.iter().find(|branch| has.first() == branch.first()) {
            Some(branch) if has.as_slice() >= *branch => lines.ok(named),
            Some(branch) => lines.fail(
                format!("{named} is older than {}: {}", shown(branch), wanted.why),
                format!("type: apt update && apt install --only-upgrade {}", package(wanted.service)),
            ),
            None => lines.warn(
                format!("{named} is not of a branch this is built for: {}", wanted.why),
                "runbook: 'Versions of the engines'",
            ),
        }
        if let (Some(runs), Some(installed)) = (runs, &service.version)
            && numbers(runs) != numbers(installed)
        {
            lines.warn(
                format!("{} {installed} is installed, {runs} runs", wanted.service),
                "restart it when calls allow: the standby first; runbook: 'Versions of the engines'",
            );
        }
    }
    lines.list
}

fn package(service: &str) -> &str {
    match service {
        "redis" => "redis-server",
        other => other,
    }
}

pub fn media(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    let Some(here) = facts.here() else { return lines.list };
    if here.media.engine == "double" {
        lines.warn(
            "the media double stands in for FreeSWITCH: a test program, for a lab only",
            "on a server: apt purge tandem-media-double, install FreeSWITCH 1.10, tandem apply",
        );
        return lines.list;
    }
    let version = here.services.iter().find(|s| s.name == "freeswitch").and_then(|s| s.version.as_ref());
    match version {
        None => lines.fail("FreeSWITCH is not installed", "install FreeSWITCH 1.10; runbook: 'FreeSWITCH'"),
        Some(version) if numbers(version).starts_with(&[1, 10]) => lines.ok(format!("FreeSWITCH {version}")),
        Some(version) => {
            lines.warn(
                format!("FreeSWITCH {version}: this is built for 1.10"),
                "install FreeSWITCH 1.10; runbook: 'FreeSWITCH'",
            );
        }
    }
    lines.list
}

fn shown(branch: &[u32]) -> String {
    branch.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

/// `15.18` → 15, 18; stops at what is no number.
pub fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}
