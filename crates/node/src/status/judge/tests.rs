use super::super::report::Source;
use super::super::table;
use super::*;
use crate::observe::place::tests::pair_in;
use crate::observe::{Postgresql, Receiver, Redis, Service, SipAnswer, Snapshot, Standby, Transition, Vip};

pub fn well() -> (Place, Vec<NodeReport>) {
    let place = pair_in("n1".as_ref());
    let nodes = vec![node("n1", true), node("n2", false)];
    (place, nodes)
}

fn node(name: &str, primary: bool) -> NodeReport {
    let at: Timestamp = "2026-11-24T18:00:00Z".parse().unwrap();
    let ok = SipAnswer { answers: true, code: Some(200), milliseconds: Some(1), problem: None };
    let service = |name: &str| Service {
        name: name.into(),
        unit: format!("{name}.service"),
        state: "active".into(),
        active: true,
        ..Service::default()
    };
    let snapshot = Snapshot {
        node: name.into(),
        cluster: "test".into(),
        cluster_id: uuid::Uuid::from_u128(7),
        version: "0.1.0".into(),
        sampled_at: at,
        role: Some(if primary { "primary" } else { "standby" }.into()),
        mode: primary.then(|| "paired".into()),
        epoch: Some(3),
        join: Some(2),
        forced: false,
        state_problem: None,
        postgresql: Postgresql {
            running: true,
            version: Some("17.6".into()),
            in_recovery: Some(!primary),
            writable: primary,
            timeline: Some(3),
            sync_names: "n2_e3_j2".into(),
            connections_max: 300,
            receiver: (!primary).then(|| Receiver { status: "streaming".into(), ..Receiver::default() }),
            standbys: primary
                .then(|| Standby {
                    name: "n2_e3_j2".into(),
                    state: "streaming".into(),
                    sync_state: "sync".into(),
                    ..Standby::default()
                })
                .into_iter()
                .collect(),
            ..Postgresql::default()
        },
        redis: Redis {
            running: true,
            role: Some(if primary { "master" } else { "slave" }.into()),
            link: (!primary).then(|| "up".into()),
            append_only_ok: Some(true),
            ..Redis::default()
        },
        vip: Some(Vip { address: "198.18.77.100".into(), held: primary, ..Vip::default() }),
        services: [
            "tandem-agent",
            "postgresql",
            "redis",
            "voip-admin",
            "freeswitch",
            "kamailio",
            "keepalived",
        ]
        .map(service)
        .into(),
        kamailio: ok.clone(),
        media: crate::observe::Media { engine: "freeswitch".into(), sip: ok },
        voip_admin: crate::observe::VoipAdmin {
            answers: true,
            status: Some("ok".into()),
            ..Default::default()
        },
        machine: Default::default(),
        doing: None,
        transitions: vec![Transition {
            at,
            from: "standby".into(),
            to: "primary".into(),
            reason: "the peer said: demoted".into(),
        }],
    };
    NodeReport {
        node: name.into(),
        address: "198.18.77.11".into(),
        source: Source::Agent,
        problem: None,
        age_seconds: Some(0.4),
        snapshot: Some(snapshot),
    }
}

fn seen(nodes: &mut [NodeReport], n: usize) -> &mut Snapshot {
    nodes[n].snapshot.as_mut().unwrap()
}

/// Verdict, and the first finding's words.
fn judged(spoil: impl FnOnce(&mut Vec<NodeReport>)) -> (Verdict, String) {
    let (place, mut nodes) = well();
    spoil(&mut nodes);
    let report = judge(&place, nodes);
    // The table takes whatever the judge makes.
    assert!(table::text(&report).contains("SERVICES"));
    let first = report.findings.first();
    (report.verdict, first.map(|f| f.what.clone()).unwrap_or_default())
}

#[test]
fn a_pair_that_is_well_has_no_findings() {
    let (place, nodes) = well();
    let report = judge(&place, nodes);
    assert_eq!((report.verdict, report.findings), (Verdict::Ok, vec![]));
    assert_eq!(report.vip_held_by, ["n1"]);
}

#[test]
fn maintenance_is_said_with_its_end_and_nothing_is_found_wrong() {
    let (place, mut nodes) = well();
    let n2 = seen(&mut nodes, 1);
    n2.doing = Some(crate::agent::Doing { row: fsm::MAINTAINED.into(), ..Default::default() });
    n2.postgresql = Postgresql { problem: Some("it does not run".into()), ..Postgresql::default() };
    n2.services[1].active = false;
    let found: Vec<_> = judge(&place, nodes)
        .findings
        .into_iter()
        .filter(|f| f.node.as_deref() == Some("n2"))
        .map(|f| f.cure)
        .collect();
    assert_eq!(found, ["when the work is done, on n2: tandem maintenance off"]);
}

#[test]
fn a_peer_that_is_away_degrades() {
    let away = |nodes: &mut Vec<NodeReport>, n: usize| {
        nodes[n].source = Source::Unreachable;
        nodes[n].problem = Some("timeout".into());
        nodes[n].snapshot = None;
    };
    let (verdict, what) = judged(|nodes| away(nodes, 1));
    assert_eq!((verdict, what.as_str()), (Verdict::Degraded, "its agent tells nothing: timeout"));
    // Seen from the standby, a primary that sends still lives...
    assert_eq!(judged(|nodes| away(nodes, 0)).0, Verdict::Degraded);
    // ...and one that does not, does not.
    let (verdict, what) = judged(|nodes| {
        away(nodes, 0);
        seen(nodes, 1).postgresql.receiver = None;
    });
    assert_eq!(verdict, Verdict::Down);
    assert!(what.starts_with("no PostgreSQL seen takes writes"), "{what}");
}

#[test]
fn the_address_is_held_once_by_the_primary() {
    let held =
        |nodes: &mut [NodeReport], n: usize, held: bool| seen(nodes, n).vip.as_mut().unwrap().held = held;
    let (verdict, what) = judged(|nodes| held(nodes, 0, false));
    assert_eq!((verdict, what.contains("no node holds")), (Verdict::Down, true));
    let (verdict, what) = judged(|nodes| held(nodes, 1, true));
    assert_eq!((verdict, what.contains("n1 and n2 hold")), (Verdict::Degraded, true));
    let (verdict, what) = judged(|nodes| {
        held(nodes, 0, false);
        held(nodes, 1, true);
    });
    assert_eq!((verdict, what.contains("is not primary")), (Verdict::Degraded, true));
}

#[test]
fn writes_that_wait_are_told_before_they_are_missed() {
    let (verdict, what) = judged(|nodes| seen(nodes, 0).postgresql.standbys.clear());
    assert_eq!((verdict, what.contains("writes are not acknowledged")), (Verdict::Degraded, true));
    let (verdict, what) = judged(|nodes| {
        seen(nodes, 0).mode = Some("solo".into());
        seen(nodes, 0).postgresql.standbys.clear();
    });
    assert_eq!((verdict, what.contains("one copy")), (Verdict::Degraded, true));
}

#[test]
fn two_primaries_and_wrong_roles_are_told() {
    let (_, what) = judged(|nodes| nodes[1] = node("n2", true));
    assert!(what.starts_with("two primaries") || what.contains("hold"), "{what}");
    let (_, what) = judged(|nodes| seen(nodes, 1).postgresql.in_recovery = Some(false));
    assert!(what.contains("does not allow it"), "{what}");
    let (_, what) = judged(|nodes| seen(nodes, 1).redis.role = Some("master".into()));
    assert!(what.contains("should be a slave"), "{what}");
}

#[test]
fn a_dead_kamailio_is_down_where_the_address_is_and_degraded_elsewhere() {
    let dead = |nodes: &mut [NodeReport], n: usize| {
        seen(nodes, n).kamailio = SipAnswer { problem: Some("refused".into()), ..SipAnswer::default() };
    };
    assert_eq!(judged(|nodes| dead(nodes, 0)).0, Verdict::Down);
    assert_eq!(judged(|nodes| dead(nodes, 1)).0, Verdict::Degraded);
}

#[test]
fn every_finding_says_what_to_do() {
    let (place, mut nodes) = well();
    for n in 0..2 {
        let s = seen(&mut nodes, n);
        s.state_problem = Some("gone".into());
        s.redis.append_only_ok = Some(false);
        s.voip_admin.journal = Some("full".into());
        s.voip_admin.journal_pending = Some(5_000);
        s.media.sip = SipAnswer::default();
        s.machine.memory_bytes = 100;
        s.machine.disks = vec![crate::observe::Disk {
            path: "/var".into(),
            total_bytes: 1_000,
            free_bytes: 1,
            ..Default::default()
        }];
        for service in &mut s.services {
            (service.active, service.state) = (false, "failed".into());
        }
    }
    let report = judge(&place, nodes);
    assert!(report.findings.len() > 20);
    for finding in &report.findings {
        assert!(!finding.what.is_empty() && finding.cure.len() > 10, "{finding:?}");
    }
    let levels: Vec<Level> = report.findings.iter().map(|f| f.level).collect();
    assert!(levels.is_sorted_by(|a, b| a >= b), "the worst stands first");
}

#[test]
fn who_is_not_root_is_told_so_and_not_alarmed() {
    let (verdict, what) = judged(|nodes| {
        seen(nodes, 0).postgresql =
            Postgresql { problem: Some("not asked: its password is root's".into()), ..Postgresql::default() };
    });
    assert_eq!((verdict, what.contains("not asked")), (Verdict::Degraded, true));
}

#[test]
fn older_and_newer_nodes_read_each_other() {
    let snapshot = node("n1", true).snapshot.unwrap();
    let mut json = serde_json::to_value(&snapshot).unwrap();
    json["a_key_of_tomorrow"] = serde_json::json!({"x": 1});
    json.as_object_mut().unwrap().remove("machine");
    json["postgresql"].as_object_mut().unwrap().remove("slots");
    let read: Snapshot = serde_json::from_value(json).unwrap();
    assert_eq!(read.node, "n1");
}

#[test]
fn the_table() {
    let (place, mut nodes) = well();
    seen(&mut nodes, 1).redis.link = Some("down".into());
    let mut report = judge(&place, nodes);
    report.at = "2026-11-24T18:00:01Z".parse().unwrap();
    insta::assert_snapshot!(table::text(&report));
}
