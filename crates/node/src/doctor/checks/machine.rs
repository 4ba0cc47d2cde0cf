//! The machine and the system on it.

use super::super::facts::Facts;
use super::{Level, Line, Lines};

/// For 600 to 800 calls with media, everything on one node: at least, and recommended.
const CORES: (u32, u32) = (16, 24);
const MEMORY_GIB: (u64, u64) = (64, 96);
/// System and databases; recordings.
const DISK_GIB: (u64, u64) = (460, 930);
const STORAGE_GIB: (u64, u64) = (2_790, 4_650);
const GIB: u64 = 1 << 30;
/// Firmware and the kernel keep some: a machine sold with 64 GiB shows 62.
const MEMORY_KEPT_PERCENT: u64 = 5;

const DEBIANS: [&str; 2] = ["12", "13"];

pub fn system(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    let system = &facts.system;
    let inside =
        system.container.as_ref().map(|kind| format!(", in a container ({kind})")).unwrap_or_default();
    if system.id == "debian" && DEBIANS.contains(&system.version.as_str()) {
        lines.ok(format!("{}{inside}", system.pretty));
    } else {
        lines.fail(
            format!("{}{inside} is not supported", system.pretty),
            "install Debian 13 or 12; runbook: 'An unsupported system'",
        );
    }
    lines.list
}

fn size(lines: &mut Lines, what: &str, has: u64, (least, good): (u64, u64), shown: impl Fn(u64) -> String) {
    let cure = format!("runbook: 'A small machine' ({} recommended)", shown(good));
    if has < least {
        lines.warn(
            format!("{} of {what}: 600 to 800 calls with media need {}", shown(has), shown(least)),
            cure,
        );
    } else if has < good {
        lines.ok(format!("{} of {what}; {} are recommended", shown(has), shown(good)));
    } else {
        lines.ok(format!("{} of {what}", shown(has)));
    }
}

pub fn cores(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    let Some(here) = facts.here() else { return lines.list };
    let both = (u64::from(CORES.0), u64::from(CORES.1));
    size(&mut lines, "processor", u64::from(here.machine.cores), both, |n| format!("{n} cores"));
    lines.list
}

pub fn memory(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    let Some(here) = facts.here() else { return lines.list };
    let whole = here.machine.memory_bytes * 100 / (100 - MEMORY_KEPT_PERCENT);
    size(&mut lines, "memory", whole / GIB, MEMORY_GIB, |n| format!("{n} GiB"));
    for finding in facts.report.findings.iter().filter(|f| f.about == "memory") {
        if finding.node.as_deref() == Some(&facts.place.node) {
            lines.warn(finding.what.clone(), finding.cure.clone());
        }
    }
    lines.list
}

pub fn disk_size(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    let Some(here) = facts.here() else { return lines.list };
    let storage = facts.place.layout.paths.storage.display().to_string();
    for disk in here.machine.disks.iter().filter(|d| d.problem.is_none() && d.path != "/") {
        let wanted = if disk.path == storage { STORAGE_GIB } else { DISK_GIB };
        size(&mut lines, &disk.path, disk.total_bytes / GIB, wanted, |n| format!("{n} GiB"));
    }
    lines.list
}

pub fn clock(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    let cure = "type: apt install chrony; timedatectl; runbook: 'A clock that is not kept'";
    let in_container = facts.system.container.is_some();
    let keeper = facts.system.clock_keeper.as_deref();
    let synchronised = facts.system.time.as_ref().map(|t| t.get("NTPSynchronized").map(String::as_str));
    match (synchronised, keeper) {
        (Ok(Some("yes")), Some(keeper)) => lines.ok(format!("synchronised, by {keeper}")),
        (Ok(Some("yes")), None) if in_container => lines.ok("synchronised, by the host"),
        (Ok(Some("yes")), None) => lines.ok("synchronised"),
        _ if in_container => lines.skipped(
            "kept by the container's host, which does not say that it is synchronised",
            "on the host: timedatectl",
        ),
        (Ok(_), Some(keeper)) => {
            lines.warn(format!("{keeper} runs and has not synchronised the clock"), cure)
        }
        (Ok(_), None) => lines.fail("nobody keeps the clock", cure),
        (Err(why), _) => lines.warn(format!("not known: {why}"), cure),
    }
    for finding in facts.report.findings.iter().filter(|f| f.about == "clock") {
        lines.fail(finding.what.clone(), cure);
    }
    lines.list
}

/// Everything is stored in UTC; logs of two nodes are read side by side.
pub fn time_zone(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    match facts.system.time.as_ref().ok().and_then(|t| t.get("Timezone")) {
        Some(zone) => lines.ok(format!("{zone}; records are kept in UTC whatever it is")),
        None => lines.skipped("not known: timedatectl does not say", ""),
    }
    lines.list
}

pub fn host_name(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    let host = &facts.system.hostname;
    if facts.system.hostname_resolves {
        lines.ok(format!("{host} resolves"));
    } else {
        lines.warn(
            format!("the host's own name, {host}, does not resolve: programs wait for it"),
            format!("add to /etc/hosts: {} {host}", facts.place.address()),
        );
    }
    lines.list
}

pub fn kernel(facts: &Facts, name: &'static str) -> Vec<Line> {
    let mut lines = Lines::new(name);
    let settings = &facts.system.kernel;
    if settings.is_empty() {
        lines.warn("no settings of ours are in /etc/sysctl.d", "type: tandem apply");
        return lines.list;
    }
    let in_container = facts.system.container.is_some();
    let mut same = 0;
    for setting in settings {
        let is = match &setting.is {
            Some(is) if *is == setting.wanted => {
                same += 1;
                continue;
            }
            Some(is) => is.as_str(),
            None => "not there",
        };
        let what = format!("{} is {is}, wanted {}", setting.key, setting.wanted);
        if in_container {
            lines.add(Level::Skipped, format!("{what}: set by the host"), None);
        } else {
            lines.fail(what, "type: sysctl --system; runbook: 'Kernel settings'");
        }
    }
    if same > 0 {
        lines.list.insert(
            0,
            Line {
                check: name.to_owned(),
                level: Level::Ok,
                what: format!("{same} of {} settings as wanted", settings.len()),
                cure: None,
            },
        );
    }
    lines.list
}
