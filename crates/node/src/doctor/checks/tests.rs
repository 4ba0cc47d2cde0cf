use super::super::facts::{Arbiters, Endpoint, EtcdFacts, Gateway, Program};
use super::super::facts::{Backlog, FileState, FileStatus, Files, KernelSetting, System};
use super::*;
use crate::listeners::Listener;
use crate::observe::Records;
use crate::status::{judge, well};

fn facts() -> Facts {
    let (place, mut nodes) = well();
    for node in &mut nodes {
        let here = node.snapshot.as_mut().unwrap();
        here.machine.cores = 32;
        here.machine.memory_bytes = 128 << 30;
        here.machine.memory_available_bytes = 64 << 30;
        here.redis.version = Some("8.0.2".into());
        here.voip_admin.records = Some(Records { what: "ok".into(), ..Records::default() });
        let versions = [
            ("kamailio", "6.0.1"),
            ("keepalived", "2.3.3"),
            ("freeswitch", "1.10.12"),
            ("postgresql", "17.6"),
        ];
        for service in &mut here.services {
            service.version = versions.iter().find(|(n, _)| *n == service.name).map(|(_, v)| (*v).to_owned());
        }
    }
    let time = [("NTPSynchronized", "yes"), ("Timezone", "Etc/UTC")];
    let system = System {
        id: "debian".into(),
        version: "13".into(),
        pretty: "Debian GNU/Linux 13 (trixie)".into(),
        container: None,
        time: Ok(time.map(|(k, v)| (k.to_owned(), v.to_owned())).into()),
        clock_keeper: Some("chrony".into()),
        kernel: vec![KernelSetting { key: "fs.file-max".into(), wanted: "9".into(), is: Some("9".into()) }],
        hostname: "n1".into(),
        hostname_resolves: true,
    };
    let ports = place.cluster.ports;
    let listener = |(protocol, port, program): (&str, u16, &str)| Listener {
        protocol: protocol.into(),
        address: "0.0.0.0".into(),
        port,
        program: Some(program.into()),
        pid: Some(1),
    };
    let listeners = [
        ("udp", ports.sip, "kamailio"),
        ("tcp", ports.sip, "kamailio"),
        ("tcp", ports.kamailio_rpc, "kamailio"),
        ("udp", ports.fs_sip, "freeswitch"),
        ("tcp", ports.esl, "freeswitch"),
        ("tcp", ports.api, "voipadmind"),
        ("tcp", ports.redis, "redis-server"),
        ("tcp", ports.agent, "tandem"),
        ("tcp", ports.postgresql, "postgres"),
    ];
    Facts {
        report: judge(&place, nodes),
        is_root: true,
        system,
        listeners: Ok(listeners.map(listener).into()),
        files: Ok(Files { written: 40, ..Files::default() }),
        backlogs: vec![Backlog { of: "CDRs", folder: "/var/spool/x".into(), files: Ok(0) }],
        freeswitch: None,
        arbiters: Arbiters {
            etcd: Some(etcd()),
            fence: Some(Program { path: "/sbin/off".into(), problems: Vec::new() }),
            gateway: Some(Gateway {
                address: [198, 18, 77, 1].into(),
                neighbour: Ok(("02:00:00:00:00:01".into(), "REACHABLE".into())),
            }),
        },
        place,
    }
}

fn etcd() -> EtcdFacts {
    let endpoint = |last: u8| Endpoint {
        at: format!("http://198.18.77.{last}:2379"),
        answer: Ok(std::time::Duration::from_millis(3)),
        cluster: Some("7".into()),
    };
    EtcdFacts {
        members: Ok(3),
        register: Ok(Some(fsm::Register { epoch: 4, owner: "n1".into() })),
        endpoints: vec![endpoint(11), endpoint(12), endpoint(13)],
    }
}

#[test]
fn arbiters_are_judged_when_they_are_chosen() {
    type Spoil = fn(&mut EtcdFacts);
    let cases: &[(Option<Level>, Spoil)] = &[
        (None, |_| {}),
        (Some(Level::Warn), |e| e.endpoints[1].answer = Err("no answer".into())),
        (Some(Level::Warn), |e| e.register = Ok(None)),
        (Some(Level::Fail), |e| e.register = Err("something else".into())),
        (Some(Level::Fail), |e| e.members = Err("2 voting members".into())),
        (Some(Level::Fail), |e| e.endpoints[2].cluster = Some("8".into())),
    ];
    for (number, (level, spoil)) in cases.iter().enumerate() {
        let mut facts = facts();
        facts.place.cluster.failover.arbiter = spec::Arbiter::Etcd;
        spoil(facts.arbiters.etcd.as_mut().unwrap());
        let found = ill(&facts).into_iter().find(|(name, ..)| *name == "arbiter").map(|(_, level, _)| level);
        assert_eq!(found, *level, "case {number}");
    }
    let mut facts = facts();
    facts.place.cluster.failover.arbiter = spec::Arbiter::Fence;
    assert_eq!(ill(&facts), vec![]);
    facts.arbiters.fence.as_mut().unwrap().problems.push("belongs to user 33".into());
    facts.arbiters.gateway.as_mut().unwrap().neighbour = Err("no answer to ARP".into());
    let levels: Vec<_> = ill(&facts).into_iter().map(|(name, level, _)| (name, level)).collect();
    assert_eq!(levels, [("gateway", Level::Fail), ("arbiter", Level::Fail)]);
}

/// The worst level of each check that is not well, with its first words.
fn ill(facts: &Facts) -> Vec<(&'static str, Level, String)> {
    let worst = |check: &Check| {
        let line = (check.run)(facts, check.name).into_iter().max_by_key(|line| line.level)?;
        assert!(line.level < Level::Warn || line.cure.is_some(), "{line:?} names no cure");
        (line.level > Level::Ok).then_some((check.name, line.level, line.what))
    };
    ALL.iter().filter_map(worst).collect()
}

#[test]
fn a_node_that_is_well_fails_nothing() {
    assert_eq!(ill(&facts()), vec![]);
}

#[test]
fn each_fault_is_found_by_its_check() {
    type Spoil = fn(&mut Facts);
    let cases: &[(&str, Level, Spoil)] = &[
        ("system", Level::Fail, |f| f.system.version = "11".into()),
        ("clock", Level::Fail, |f| {
            f.system.time = Ok([("NTPSynchronized".to_owned(), "no".to_owned())].into());
            f.system.clock_keeper = None;
        }),
        ("host-name", Level::Warn, |f| f.system.hostname_resolves = false),
        ("kernel", Level::Fail, |f| f.system.kernel[0].is = Some("1".into())),
        ("kernel", Level::Warn, |f| f.system.kernel.clear()),
        ("files", Level::Fail, |f| f.files = Ok(Files { never_applied: true, ..Files::default() })),
        ("files", Level::Fail, |f| f.files = Ok(Files { unfinished: true, ..Files::default() })),
        ("files", Level::Warn, |f| {
            let changed = FileStatus { path: "/etc/x".into(), state: FileState::Changed };
            f.files = Ok(Files { differing: vec![changed; 20], ..Files::default() });
        }),
        ("secrets", Level::Fail, |f| {
            let state = FileState::Mode { is: 0o644, wanted: 0o600 };
            f.files =
                Ok(Files { exposed: vec![FileStatus { path: "/s".into(), state }], ..Files::default() });
        }),
        ("listeners", Level::Fail, |f| {
            f.listeners.as_mut().unwrap()[5].program = Some("apache2".into());
        }),
        ("listeners", Level::Fail, |f| {
            f.listeners.as_mut().unwrap().pop();
        }),
        ("backlog", Level::Warn, |f| f.backlogs[0].files = Ok(500)),
        ("records", Level::Fail, |f| lack(f, 3, 1)),
        ("records", Level::Warn, |f| lack(f, 0, 1)),
        ("records", Level::Skipped, |f| {
            f.report.nodes[0].snapshot.as_mut().unwrap().voip_admin.records = None
        }),
        ("freeswitch", Level::Fail, |f| f.freeswitch = Some(Err("refused".into()))),
        ("versions", Level::Fail, |f| {
            f.report.nodes[0].snapshot.as_mut().unwrap().postgresql.version = Some("17.4".into());
        }),
        ("media", Level::Warn, |f| {
            f.report.nodes[0].snapshot.as_mut().unwrap().media.engine = "double".into();
        }),
        ("cores", Level::Warn, |f| f.report.nodes[0].snapshot.as_mut().unwrap().machine.cores = 2),
    ];
    for (check, level, spoil) in cases {
        let mut facts = facts();
        spoil(&mut facts);
        let ill = ill(&facts);
        assert!(ill.iter().any(|(name, is, _)| name == check && is == level), "{check}: {ill:?}");
    }
}

fn lack(facts: &mut Facts, missing: u64, unheard: u64) {
    let what = "sessions of n1".to_owned();
    let here = facts.report.nodes[0].snapshot.as_mut().unwrap();
    here.voip_admin.records = Some(Records { missing, unheard, what });
}

#[test]
fn what_is_the_hosts_or_roots_is_not_failed() {
    let mut facts = facts();
    facts.system.container = Some("systemd-nspawn".into());
    facts.system.kernel[0].is = Some("1".into());
    facts.system.time = Err("no bus".into());
    facts.system.clock_keeper = None;
    facts.is_root = false;
    facts.files = Err("permission denied".into());
    for (name, level, what) in ill(&facts) {
        assert_eq!(level, Level::Skipped, "{name}: {what}");
    }
}

#[test]
fn versions_are_compared_by_branch() {
    use super::versions::numbers;
    assert_eq!(
        (numbers("15.18"), numbers("6.0.1"), numbers("1.10.12-release")),
        (vec![15, 18], vec![6, 0, 1], vec![1, 10])
    );
    for (version, level) in [
        ("15.12", Some(Level::Fail)),
        ("15.13", None),
        ("16.8", Some(Level::Fail)),
        ("17.5", None),
        ("18.0", Some(Level::Warn)),
    ] {
        let mut facts = facts();
        let here = facts.report.nodes[0].snapshot.as_mut().unwrap();
        here.postgresql.version = Some(version.into());
        for service in here.services.iter_mut().filter(|s| s.name == "postgresql") {
            service.version = Some(version.into());
        }
        let found = ill(&facts).into_iter().find(|(name, ..)| *name == "versions").map(|(_, level, _)| level);
        assert_eq!(found, level, "{version}");
    }
}
