//! The report for people: a column a node, and below it what is wrong with what to type.

use std::fmt::Write;

use comfy_table::{Table, presets};
use jiff::Timestamp;

use super::report::{Level, NodeReport, Report, Source};
use super::words::{bytes, span};
use crate::observe::{Postgresql, Redis, Service, SipAnswer, Snapshot};

/// Of both nodes together.
const TRANSITIONS_SHOWN_MAX: usize = 8;

type Row = (&'static str, fn(&Snapshot) -> String);

/// The upper table, line by line.
const ROWS: &[Row] = &[
    ("role", role),
    ("epoch", epoch),
    ("PostgreSQL", |s| postgresql(&s.postgresql)),
    ("replication", |s| replication(&s.postgresql)),
    ("slots", |s| slots(&s.postgresql)),
    ("Redis", |s| redis(&s.redis)),
    ("virtual address", vip),
    ("Kamailio", |s| sip(&s.kamailio)),
    ("media", media),
    ("voipadmind", voip_admin),
    ("disks free", disks),
    ("load, memory free", machine),
];

/// The whole report.
pub fn text(report: &Report) -> String {
    let mut text = format!(
        "{}: {}   asked on {} at {}\n",
        report.cluster,
        report.verdict.as_str(),
        report.asked_on,
        report.at.strftime("%F %T UTC")
    );
    let _ = writeln!(text, "\n{}", overview(report).trim_fmt());
    let _ = writeln!(text, "\n{}", services(report).trim_fmt());
    if let Some(changes) = transitions(report) {
        let _ = writeln!(text, "\n{}", changes.trim_fmt());
    }
    if report.findings.is_empty() {
        let _ = write!(text, "\nNothing is wrong.");
    } else {
        let _ = writeln!(text, "\nWRONG, AND WHAT TO DO");
        for finding in &report.findings {
            let level = match finding.level {
                Level::Warn => "warn",
                Level::Fail => "fail",
                Level::Down => "DOWN",
            };
            let node = finding.node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
            let _ = writeln!(text, "  {level}  {node}{}\n        {}", finding.what, finding.cure);
        }
        text.truncate(text.trim_end().len());
    }
    text
}

fn table(first: &str, report: &Report) -> Table {
    let mut table = Table::new();
    let names = report.nodes.iter().map(|n| match n.node == report.asked_on {
        true => format!("{} (here)", n.node),
        false => n.node.clone(),
    });
    table.load_style(presets::NOTHING).set_header(std::iter::once(first.to_owned()).chain(names));
    table
}

fn overview(report: &Report) -> Table {
    let vip = report.vip.as_ref().map(|vip| format!("{} ({vip})", report.cluster));
    let mut table = table(vip.as_deref().unwrap_or(&report.cluster), report);
    for (name, shown) in ROWS {
        let cells = report.nodes.iter().map(|n| n.snapshot.as_ref().map_or_else(|| "?".to_owned(), shown));
        table.add_row(std::iter::once((*name).to_owned()).chain(cells));
    }
    table.add_row(std::iter::once("seen".to_owned()).chain(report.nodes.iter().map(seen)));
    table
}

fn seen(node: &NodeReport) -> String {
    let age = node.age_seconds.unwrap_or(0.0).max(0.0);
    match node.source {
        Source::Agent => format!("by its agent, {age:.0} s ago"),
        Source::Sampled => "now, without its agent".into(),
        Source::Unreachable => "not reached".into(),
    }
}

fn role(s: &Snapshot) -> String {
    let role = s.role.as_deref().unwrap_or("none");
    match (role, s.mode.as_deref(), &s.doing) {
        ("primary", Some(mode), _) => format!("{role}, {mode}"),
        ("standby", _, Some(doing)) if doing.promotable => format!("{role}, may take over"),
        ("standby", _, Some(_)) => format!("{role}, may not take over"),
        ("rejoining", _, Some(doing)) => format!("{role}: {}", doing.row),
        _ => role.to_owned(),
    }
}

fn epoch(s: &Snapshot) -> String {
    let forced = if s.forced { ", forced" } else { "" };
    match (s.epoch, s.join) {
        (Some(epoch), Some(join)) => format!("{epoch}, join {join}{forced}"),
        (Some(epoch), None) => format!("{epoch}{forced}"),
        _ => "-".into(),
    }
}

fn postgresql(pg: &Postgresql) -> String {
    if !pg.running {
        return pg.problem.clone().unwrap_or_else(|| "stopped".into());
    }
    let is = match (pg.in_recovery, pg.writable) {
        (Some(true), _) => "standby",
        (_, true) => "takes writes",
        (_, false) => "read-only",
    };
    format!("{}, {is}, timeline {}", pg.version.as_deref().unwrap_or("?"), pg.timeline.unwrap_or(0))
}

fn replication(pg: &Postgresql) -> String {
    if let Some(receiver) = &pg.receiver {
        let from = receiver.from_host.as_deref().unwrap_or("?");
        let replay = pg.replay_lag_seconds.filter(|s| *s >= 1.0).map(|s| format!(", {s:.0} s"));
        return format!(
            "{} from {from}, {} to come, {} to replay{}",
            receiver.status,
            bytes(receiver.lag_bytes.unwrap_or(0)),
            bytes(pg.replay_lag_bytes.unwrap_or(0)),
            replay.unwrap_or_default()
        );
    }
    let mut lines: Vec<String> = pg
        .standbys
        .iter()
        .map(|s| {
            let late = s.flush_lag_seconds.filter(|s| *s >= 0.001).map(|s| format!(", {:.0} ms", s * 1000.0));
            let behind = bytes(s.flush_lag_bytes.unwrap_or(0));
            format!("{}: {}, {}, {behind} behind{}", s.name, s.state, s.sync_state, late.unwrap_or_default())
        })
        .collect();
    if pg.writes_waiting > 0 {
        lines.push(format!("{} commits wait", pg.writes_waiting));
    }
    if lines.is_empty() && !pg.sync_names.is_empty() {
        lines.push(format!("waits for {}", pg.sync_names));
    }
    or_dash(lines.join("\n"))
}

fn slots(pg: &Postgresql) -> String {
    let slot = |s: &crate::observe::Slot| {
        let used = if s.active { "in use" } else { "not in use" };
        format!("{}: {used}, {} kept", s.name, bytes(s.retained_bytes.unwrap_or(0)))
    };
    or_dash(pg.slots.iter().map(slot).collect::<Vec<_>>().join("\n"))
}

fn redis(redis: &Redis) -> String {
    if !redis.running {
        return redis.problem.clone().unwrap_or_else(|| "stopped".into());
    }
    let version = redis.version.as_deref().unwrap_or("?");
    let role = redis.role.as_deref().unwrap_or("?");
    let lag = redis.lag_bytes.map(|lag| format!(", {} behind", bytes(lag))).unwrap_or_default();
    match &redis.link {
        Some(link) => format!("{version}, replica, link {link}{lag}"),
        None => format!("{version}, {role}, {} replicas{lag}", redis.replicas),
    }
}

fn vip(s: &Snapshot) -> String {
    match &s.vip {
        Some(vip) if vip.held => format!("held on {}", vip.interface.as_deref().unwrap_or("?")),
        Some(vip) => vip.problem.clone().unwrap_or_else(|| "-".into()),
        None => "-".into(),
    }
}

fn sip(answer: &SipAnswer) -> String {
    match answer.code {
        Some(code) => format!("answers {code} in {} ms", answer.milliseconds.unwrap_or(0)),
        None => answer.problem.clone().unwrap_or_else(|| "-".into()),
    }
}

fn media(s: &Snapshot) -> String {
    let engine = match s.media.engine.as_str() {
        "double" => "media double (a test program)",
        _ => "FreeSWITCH",
    };
    format!("{engine} {}", sip(&s.media.sip))
}

fn voip_admin(s: &Snapshot) -> String {
    let admin = &s.voip_admin;
    match &admin.status {
        Some(status) => match admin.journal_pending {
            Some(pending) => format!("{status}, {pending} CDRs in the journal"),
            None => status.clone(),
        },
        None => admin.problem.clone().unwrap_or_else(|| "-".into()),
    }
}

fn disks(s: &Snapshot) -> String {
    let disk = |d: &crate::observe::Disk| match &d.problem {
        Some(problem) => format!("{} {problem}", d.path),
        None => format!("{} {}", d.path, bytes(d.free_bytes)),
    };
    s.machine.disks.iter().map(disk).collect::<Vec<_>>().join(", ")
}

fn machine(s: &Snapshot) -> String {
    let m = &s.machine;
    format!("{:.2} on {} cores, {}", m.load[0], m.cores, bytes(m.memory_available_bytes))
}

fn services(report: &Report) -> Table {
    let mut table = table("SERVICES", report);
    let mut names: Vec<&str> = Vec::new();
    for service in report.nodes.iter().filter_map(|n| n.snapshot.as_ref()).flat_map(|s| &s.services) {
        if !names.contains(&service.name.as_str()) {
            names.push(&service.name);
        }
    }
    for name in names {
        let cell = |node: &NodeReport| {
            let all = node.snapshot.as_ref().map(|s| s.services.as_slice()).unwrap_or_default();
            all.iter().find(|s| s.name == name).map_or_else(|| "-".to_owned(), |s| service(s, report.at))
        };
        table.add_row(std::iter::once(name.to_owned()).chain(report.nodes.iter().map(cell)));
    }
    table
}

fn service(service: &Service, now: Timestamp) -> String {
    let mut words = vec![service.state.clone()];
    if let Some(since) = service.since {
        words.push(span(u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0)));
    }
    words.extend(service.version.clone());
    words.extend(service.memory_bytes.map(bytes));
    if service.restarts > 0 {
        words.push(format!("{} restarts", service.restarts));
    }
    words.join(", ")
}

fn transitions(report: &Report) -> Option<Table> {
    let mut all: Vec<_> = report
        .nodes
        .iter()
        .filter_map(|n| n.snapshot.as_ref())
        .flat_map(|s| s.transitions.iter().map(|t| (t.at, s.node.clone(), t)))
        .collect();
    all.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    all.truncate(TRANSITIONS_SHOWN_MAX);
    if all.is_empty() {
        return None;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["LAST CHANGES", "NODE", "FROM", "TO", "WHY"]);
    for (at, node, t) in all {
        let at = at.strftime("%F %T").to_string();
        table.add_row([at, node, t.from.clone(), t.to.clone(), t.reason.clone()]);
    }
    Some(table)
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".into() } else { text }
}
