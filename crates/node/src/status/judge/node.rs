//! What is wrong on one node.

use super::super::report::{Finding, Level, NodeReport, Source};
use super::super::words::bytes;
use super::Findings;
use crate::observe::{Disk, Service, Snapshot};

/// A filesystem with less left is told, and with less than the second fills within hours.
const DISK_FREE_WARN_PERCENT: u64 = 10;
const DISK_FREE_FAIL_PERCENT: u64 = 3;
const MEMORY_FREE_WARN_PERCENT: u64 = 5;
/// A standby this far behind is not ready to take over.
const LAG_BYTES_WARN: u64 = 64 << 20;
/// WAL kept for a standby that is away.
const RETAINED_BYTES_WARN: u64 = 4 << 30;
/// CDRs that wait in the journal: minutes of a busy platform.
const JOURNAL_PENDING_WARN: u64 = 1_000;

pub fn findings(report: &NodeReport) -> Vec<Finding> {
    let mut found = Findings::of(Some(&report.node));
    seen(&mut found, report);
    let Some(snapshot) = &report.snapshot else { return found.list };
    found.about("role");
    if let Some(problem) = &snapshot.state_problem {
        found.add(
            Level::Fail,
            format!("its role is not known: {problem}"),
            "see docs/runbook.md, 'A node without a role'",
        );
    }
    let doing = snapshot.doing.as_ref();
    let here = format!("on {}", report.node);
    let cure = doing.and_then(|doing| doing.cure.as_deref()).map(|cure| cure.replace("on this node", &here));
    if snapshot.role.as_deref() == Some("hold") {
        found.add(
            Level::Fail,
            "it holds: PostgreSQL is stopped, its data kept",
            cure.unwrap_or_else(|| "see docs/runbook.md, 'A node that holds'".into()),
        );
    } else if is_maintained(snapshot) {
        found.add(
            Level::Warn,
            "maintenance: its PostgreSQL is stopped, and the other node has the only copy",
            format!("when the work is done, {here}: tandem maintenance off"),
        );
    } else if let (Some(doing), Some(cure), false) =
        (doing, cure, snapshot.role.as_deref() == Some("primary"))
    {
        found.add(Level::Fail, doing.reason.clone(), cure);
    }
    if let Some(trouble) = doing.and_then(|doing| doing.trouble.clone()) {
        found.add(Level::Fail, trouble, "the agent tries on; see: journalctl -u tandem-agent");
    }
    services(&mut found, snapshot);
    postgresql(&mut found, snapshot);
    redis(&mut found, snapshot);
    engines(&mut found, snapshot);
    machine(&mut found, snapshot);
    found.list
}

fn seen(found: &mut Findings, report: &NodeReport) {
    found.about("agent");
    let problem = report.problem.as_deref().unwrap_or("no answer");
    match report.source {
        Source::Agent => {}
        Source::Sampled => {
            found.add(
                Level::Fail,
                format!("{problem}; what is shown was looked at by this command"),
                "type: systemctl restart tandem-agent; journalctl -u tandem-agent",
            );
        }
        Source::Unreachable => found.add(
            Level::Warn,
            format!("its agent tells nothing: {problem}"),
            format!(
                "is it on, and is the link up? ping {}; there: systemctl status tandem-agent",
                report.address
            ),
        ),
    }
}

fn is_maintained(snapshot: &Snapshot) -> bool {
    snapshot.doing.as_ref().is_some_and(|doing| doing.row == fsm::MAINTAINED)
}

/// A node that holds or joins, or is in maintenance, has its database stopped, as it should be.
fn runs_database(snapshot: &Snapshot) -> bool {
    matches!(snapshot.role.as_deref(), Some("primary" | "standby")) && !is_maintained(snapshot)
}

fn services(found: &mut Findings, snapshot: &Snapshot) {
    found.about("services");
    for service in &snapshot.services {
        let expected = service.name != "postgresql" || runs_database(snapshot);
        if service.active || !expected || service.state == "unknown" {
            continue;
        }
        let Service { name, unit, state, .. } = service;
        let how = service.result.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
        let cure = match state.as_str() {
            "absent" if name == "freeswitch" => "install FreeSWITCH 1.10, then: tandem apply".to_owned(),
            "absent" => "type: tandem apply".to_owned(),
            _ if name == "postgresql" => {
                "the agent starts it; see: journalctl -u tandem-agent -u postgresql@*".to_owned()
            }
            _ => format!("type: systemctl start {unit}; journalctl -u {unit}"),
        };
        found.add(Level::Fail, format!("{name} is {state}{how}"), cure);
    }
    if snapshot.services.iter().all(|s| s.state == "unknown") && !snapshot.services.is_empty() {
        let why = snapshot.services.iter().find_map(|s| s.result.clone()).unwrap_or_default();
        found.add(Level::Warn, format!("systemd does not tell what runs: {why}"), "type: systemctl status");
    }
}

fn postgresql(found: &mut Findings, snapshot: &Snapshot) {
    found.about("postgresql");
    let pg = &snapshot.postgresql;
    if !pg.running {
        if runs_database(snapshot) {
            let why = pg.problem.as_deref().unwrap_or("no answer");
            let level = if why.starts_with("not asked") { Level::Warn } else { Level::Fail };
            found.add(
                level,
                format!("PostgreSQL does not answer: {why}"),
                "see: journalctl -u postgresql@*; docs/runbook.md, 'PostgreSQL does not answer'",
            );
        }
        return;
    }
    match (snapshot.role.as_deref(), pg.in_recovery) {
        (Some("primary"), Some(true)) => found.add(
            Level::Fail,
            "it is primary, and its PostgreSQL still a standby",
            "the agent promotes it; see: journalctl -u tandem-agent",
        ),
        (Some("standby" | "rejoining" | "demoted" | "hold"), Some(false)) => found.add(
            Level::Fail,
            "its PostgreSQL takes writes, and its role does not allow it",
            "type: systemctl restart tandem-agent; docs/runbook.md, 'A server in the wrong role'",
        ),
        _ => {}
    }
    for slot in &pg.slots {
        let retained = slot.retained_bytes.unwrap_or(0);
        if matches!(slot.wal_status.as_deref(), Some("lost" | "unreserved")) {
            found.add(
                Level::Fail,
                format!("the WAL of slot {} is gone: its standby needs a new copy", slot.name),
                "on the standby: tandem join",
            );
        } else if retained > RETAINED_BYTES_WARN {
            let kept = bytes(retained);
            found.add(
                Level::Warn,
                format!("{kept} of WAL are kept for {}, which does not take them", slot.name),
                "bring that node back; docs/runbook.md, 'WAL is kept for a node that is away'",
            );
        }
    }
    if pg.replay_lag_bytes.is_some_and(|lag| lag > LAG_BYTES_WARN) {
        let lag = bytes(pg.replay_lag_bytes.unwrap_or(0));
        found.add(
            Level::Warn,
            format!("it replays {lag} behind what it received"),
            "see docs/runbook.md, 'A standby that lags'",
        );
    }
    if pg.connections_max > 0 && pg.connections * 10 > pg.connections_max * 9 {
        found.add(
            Level::Warn,
            format!("{} of {} connections are taken", pg.connections, pg.connections_max),
            "raise postgresql.max_connections in cluster.yaml, then: tandem apply",
        );
    }
}

fn redis(found: &mut Findings, snapshot: &Snapshot) {
    found.about("redis");
    let redis = &snapshot.redis;
    if !redis.running {
        let why = redis.problem.as_deref().unwrap_or("no answer");
        let level = if why.starts_with("not asked") { Level::Warn } else { Level::Fail };
        found.add(level, format!("Redis does not answer: {why}"), "see: journalctl -u redis-server");
        return;
    }
    let wanted = match snapshot.role.as_deref() {
        Some("primary") => "master",
        Some("standby") => "slave",
        _ => return,
    };
    if redis.role.as_deref() != Some(wanted) {
        let is = redis.role.as_deref().unwrap_or("unknown");
        found.add(
            Level::Fail,
            format!("Redis is a {is} and should be a {wanted}"),
            "the agent sets it; see: journalctl -u tandem-agent",
        );
    } else if wanted == "slave" && redis.link.as_deref() != Some("up") {
        found.add(
            Level::Fail,
            "Redis has lost its master",
            "see: journalctl -u redis-server, and the peer link",
        );
    }
    if redis.append_only_ok == Some(false) {
        found.add(
            Level::Fail,
            "Redis cannot write its append-only file",
            "is the disk full? df -h /var/lib/redis",
        );
    }
}

fn engines(found: &mut Findings, snapshot: &Snapshot) {
    found.about("kamailio");
    let runs = |name: &str| snapshot.services.iter().any(|s| s.name == name && s.active);
    let ask = |answer: &crate::observe::SipAnswer| answer.problem.clone().unwrap_or_default();
    if !snapshot.kamailio.answers && runs("kamailio") {
        found.add(
            Level::Fail,
            format!("Kamailio runs and does not answer an OPTIONS: {}", ask(&snapshot.kamailio)),
            "see: journalctl -u kamailio; it needs its database to start",
        );
    }
    found.about("media");
    if !snapshot.media.sip.answers && (runs("freeswitch") || runs("media-double")) {
        found.add(
            Level::Fail,
            format!(
                "{} runs and does not answer an OPTIONS: {}",
                snapshot.media.engine,
                ask(&snapshot.media.sip)
            ),
            "is the profile up? fs_cli -x 'sofia status'",
        );
    }
    found.about("voip-admin");
    let admin = &snapshot.voip_admin;
    if !admin.answers {
        if runs("voip-admin") {
            let why = admin.problem.as_deref().unwrap_or_default();
            found.add(
                Level::Fail,
                format!("voipadmind runs and does not answer: {why}"),
                "see: journalctl -u voip-admin",
            );
        }
        return;
    }
    for (part, said) in [("database", &admin.database), ("Redis", &admin.redis), ("journal", &admin.journal)]
    {
        if let Some(said) = said.as_ref().filter(|said| *said != "ok") {
            found.add(
                Level::Fail,
                format!("voipadmind says of its {part}: {said}"),
                "see: journalctl -u voip-admin; docs/runbook.md",
            );
        }
    }
    if admin.journal_pending.is_some_and(|pending| pending > JOURNAL_PENDING_WARN) {
        let pending = admin.journal_pending.unwrap_or(0);
        found.add(
            Level::Warn,
            format!("{pending} CDRs wait in the journal for the database"),
            "they are safe; docs/runbook.md, 'CDRs wait in the journal'",
        );
    }
}

fn machine(found: &mut Findings, snapshot: &Snapshot) {
    found.about("disk");
    for disk in &snapshot.machine.disks {
        let Disk { path, free_bytes, total_bytes, .. } = disk;
        if let Some(problem) = &disk.problem {
            found.add(Level::Warn, format!("{path}: {problem}"), format!("type: df -h {path}"));
        } else if *free_bytes * 100 < total_bytes * DISK_FREE_WARN_PERCENT {
            let full = free_bytes * 100 < total_bytes * DISK_FREE_FAIL_PERCENT;
            let level = if full { Level::Fail } else { Level::Warn };
            let what = format!("{path} has {} left", bytes(*free_bytes));
            found.add(level, what, format!("make room: du -xh --max-depth=2 {path} | sort -h | tail"));
        } else if disk.inodes_free_percent < 5 {
            found.add(Level::Warn, format!("{path} has few inodes left"), format!("type: df -i {path}"));
        }
    }
    found.about("memory");
    let machine = &snapshot.machine;
    if machine.memory_available_bytes * 100 < machine.memory_bytes * MEMORY_FREE_WARN_PERCENT {
        let left = bytes(machine.memory_available_bytes);
        found.add(Level::Warn, format!("{left} of memory are left"), "type: systemd-cgtop -m");
    }
}
