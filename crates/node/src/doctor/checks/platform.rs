//! The platform as `tandem status` judges it: its findings, or what is well.

use super::super::facts::Facts;
use super::{Line, Lines};
use crate::observe::Snapshot;
use crate::status::{Level, bytes};

/// The findings about one thing; `well` where there are none.
fn about(
    facts: &Facts,
    name: &'static str,
    about: &str,
    well: impl FnOnce(&Snapshot) -> Option<String>,
) -> Vec<Line> {
    let mut lines = Lines::new(name);
    for finding in facts.report.findings.iter().filter(|f| f.about == about) {
        let node = finding.node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
        let what = format!("{node}{}", finding.what);
        // What only root may ask is no fault.
        if finding.what.contains("not asked") {
            lines.skipped(what, super::NEEDS_ROOT);
        } else if finding.level == Level::Warn {
            lines.warn(what, finding.cure.clone());
        } else {
            lines.fail(what, finding.cure.clone());
        }
    }
    if lines.list.is_empty()
        && let Some(words) = facts.here().and_then(well)
    {
        lines.ok(words);
    }
    lines.list
}

pub fn disk_space(facts: &Facts, name: &'static str) -> Vec<Line> {
    about(facts, name, "disk", |here| {
        let disk = |d: &crate::observe::Disk| {
            format!("{} {} and {} % of inodes", d.path, bytes(d.free_bytes), d.inodes_free_percent)
        };
        Some(format!("free: {}", here.machine.disks.iter().map(disk).collect::<Vec<_>>().join(", ")))
    })
}

pub fn same_version(facts: &Facts, name: &'static str) -> Vec<Line> {
    about(facts, name, "versions", |here| Some(format!("tandem {}", here.version)))
}

pub fn services(facts: &Facts, name: &'static str) -> Vec<Line> {
    about(facts, name, "services", |here| {
        let active: Vec<&str> = here.services.iter().filter(|s| s.active).map(|s| s.name.as_str()).collect();
        Some(format!("active: {}", active.join(", ")))
    })
}

pub fn agent(facts: &Facts, name: &'static str) -> Vec<Line> {
    about(facts, name, "agent", |_| {
        let nodes: Vec<&str> = facts.report.nodes.iter().map(|n| n.node.as_str()).collect();
        Some(format!("the agents of {} answer", nodes.join(" and ")))
    })
}

pub fn role(facts: &Facts, name: &'static str) -> Vec<Line> {
    about(facts, name, "role", |here| {
        let mode = here.mode.as_deref().map(|mode| format!(", {mode}")).unwrap_or_default();
        Some(format!("{}{mode}, epoch {}", here.role.as_deref()?, here.epoch.unwrap_or(0)))
    })
}

pub fn postgresql(facts: &Facts, name: &'static str) -> Vec<Line> {
    about(facts, name, "postgresql", |here| {
        let pg = &here.postgresql;
        let is = if pg.in_recovery == Some(true) { "replays" } else { "takes writes" };
        pg.running.then(|| format!("{is}, timeline {}", pg.timeline.unwrap_or(0)))
    })
}

pub fn replication(facts: &Facts, name: &'static str) -> Vec<Line> {
    if facts.place.peer().is_none() {
        return Vec::new();
    }
    about(facts, name, "replication", |here| {
        let pg = &here.postgresql;
        if let Some(receiver) = &pg.receiver {
            let slot = receiver.slot.as_deref().unwrap_or("none");
            return Some(format!(
                "{} by slot {slot}, {} behind",
                receiver.status,
                bytes(receiver.lag_bytes.unwrap_or(0))
            ));
        }
        let standby = pg.standbys.iter().find(|s| s.sync_state == "sync")?;
        let behind = bytes(standby.flush_lag_bytes.unwrap_or(0));
        let kept = bytes(pg.slots.iter().filter_map(|s| s.retained_bytes).sum());
        Some(format!("{} is synchronous, {behind} behind; {kept} of WAL kept by slots", standby.name))
    })
}

pub fn redis(facts: &Facts, name: &'static str) -> Vec<Line> {
    about(facts, name, "redis", |here| {
        let redis = &here.redis;
        let link = redis.link.as_ref().map(|link| format!(", link {link}")).unwrap_or_default();
        Some(format!("{}{link}", redis.role.as_deref()?))
    })
}

pub fn vip(facts: &Facts, name: &'static str) -> Vec<Line> {
    let Some(address) = &facts.report.vip else { return Vec::new() };
    about(facts, name, "vip", |_| match facts.report.vip_held_by.as_slice() {
        [holder] => Some(format!("{address} is held by {holder} alone")),
        _ => Some(format!("{address} is not held here")),
    })
}

pub fn kamailio(facts: &Facts, name: &'static str) -> Vec<Line> {
    about(facts, name, "kamailio", |here| {
        let code = here.kamailio.code?;
        Some(format!("answers an OPTIONS with {code} in {} ms", here.kamailio.milliseconds.unwrap_or(0)))
    })
}

pub fn freeswitch(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut list = about(facts, name, "media", |here| {
        let sip = &here.media.sip;
        Some(format!(
            "{} answers an OPTIONS with {} in {} ms",
            here.media.engine,
            sip.code?,
            sip.milliseconds.unwrap_or(0)
        ))
    });
    let mut lines = Lines::new(name);
    match &facts.freeswitch {
        None => {}
        Some(Err(why)) => lines.fail(why.clone(), "type: systemctl status freeswitch; runbook: 'FreeSWITCH'"),
        Some(Ok(found)) => {
            if !found.profile_runs {
                lines.fail(
                    "the profile 'kamailio' does not run",
                    "type: fs_cli -x 'sofia profile kamailio start'; runbook: 'FreeSWITCH'",
                );
            }
            if found.missing_modules.is_empty() {
                lines.ok("the modules the platform needs are loaded");
            } else {
                lines.fail(
                    format!("not loaded: {}", found.missing_modules.join(", ")),
                    "install its module packages, then: systemctl restart freeswitch; runbook: 'FreeSWITCH'",
                );
            }
        }
    }
    list.append(&mut lines.list);
    list
}

pub fn voip_admin(facts: &Facts, name: &'static str) -> Vec<Line> {
    about(facts, name, "voip-admin", |here| here.voip_admin.status.clone())
}

/// Every session that FreeSWITCH ended has its record, on both nodes.
pub fn records(facts: &Facts, name: &'static str) -> Vec<Line> {
    const CURE: &str = "type: tandem cdr accounting; runbook: 'Sessions without a record'";
    let mut lines = Lines::new(name);
    // Of one that does not answer its own check tells.
    let Some(admin) = facts.here().map(|here| &here.voip_admin).filter(|admin| admin.answers) else {
        return lines.list;
    };
    match &admin.records {
        None => lines
            .skipped("nobody counts FreeSWITCH's sessions: the media double, or it was not heard yet", ""),
        Some(records) if records.missing > 0 => lines.fail(records.what.clone(), CURE),
        Some(records) if records.unheard > 0 => lines.warn(records.what.clone(), CURE),
        Some(_) => lines.ok("every session that FreeSWITCH ended in the last seven days has its record"),
    }
    lines.list
}
