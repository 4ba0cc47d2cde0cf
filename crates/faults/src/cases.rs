//! The faults, one row each: what is done, and what must come of it. Everything is mended at the end of every case, and the
//! pair must be whole again without hands; that nothing acknowledged is lost or there twice, and that never two nodes
//! acknowledge, is asked of every row.

use crate::act::Nets::{Both, Peer, Service};
use crate::act::Step::{
    self, AgentDiesAt, Clock, Cut, CutFrom, CutGateway, Fill, FlapLinks, Freeze, Join, Kill, KillMain, Loss,
    PowerOff, PowerOn, Slow, SlowDisk, Sql, Stop, Switchover, Switchovers, Thaw, WaitMs, WaitMsByRepeat,
};
use crate::act::Who::{Active, Standby, Witness};
use crate::seed_literal::Test;

/// What must come of a case while the fault lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// The other node serves.
    Moves,
    /// The same node serves, at the end as at the beginning.
    Stays,
    /// One of them serves: it was healed in place, or moved.
    Serves,
    /// SIP is served; with arbiter none writes wait, and status says what to type. With one they resume.
    WritesWait,
    /// Who is there may not serve alone: no write is acknowledged until the other is back.
    Refuses,
    /// Nothing but what is asked of all: the fault leaves no node that may serve.
    Safe,
    /// Nothing: the seed's own files are run, and what comes of them is told beside ours.
    Compared(Test),
}

#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    pub about: &'static str,
    pub steps: &'static [Step],
    pub expect: Expect,
    /// In the subset that the tests run.
    pub quick: bool,
    /// Chaos draws it.
    pub random: bool,
    /// Only where this is the arbiter.
    pub arbiter: Option<&'static str>,
}

const fn case(name: &'static str, about: &'static str, steps: &'static [Step], expect: Expect) -> Case {
    Case { name, about, steps, expect, quick: false, random: true, arbiter: None }
}

impl Case {
    const fn quick(self) -> Self {
        Self { quick: true, ..self }
    }

    const fn with(self, arbiter: &'static str) -> Self {
        Self { arbiter: Some(arbiter), ..self }
    }

    /// Whether a lab with this arbiter can have it.
    pub fn fits(&self, arbiter: &str) -> bool {
        self.arbiter.is_none_or(|only| only == arbiter)
    }

    /// Too long, or too unlike a fault, for a draw.
    const fn by_name_only(self) -> Self {
        Self { random: false, ..self }
    }
}

pub fn named(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}

/// In the seed's procedure 9.2 (postgresql freeswitch kamailio keepalived voip-admin redis).
const ALL_ENGINES: &[&str] =
    &["postgres", "freeswitch", "media-double", "kamailio", "keepalived", "voipadmind", "redis"];
/// Every WAL file the other node could still ask for is gone.
const FORGET_WAL: &str = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active; \
    CREATE TABLE IF NOT EXISTS faults.ballast AS SELECT 1 AS n; SELECT pg_switch_wal(); CHECKPOINT; \
    INSERT INTO faults.ballast VALUES (2); SELECT pg_switch_wal(); CHECKPOINT; INSERT INTO faults.ballast VALUES (3); \
    SELECT pg_switch_wal(); CHECKPOINT";

/// An agent's death at each of these rows of its table. Not drawn: a row that is not met is a broken case, and only here the
/// way to it is known.
macro_rules! agent_dies {
    ($name:literal, $who:ident, $row:literal, $by:expr, $expect:ident) => {
        case(
            concat!("agent-dies-at-", $name),
            concat!("kill -9 of the agent at its row '", $row, "'"),
            &[AgentDiesAt($who, $row, $by)],
            Expect::$expect,
        )
        .by_name_only()
    };
}

/// What leads an agent there.
const TAKE_OVER: &[Step] = &[PowerOff(Active)];
const JOIN: &[Step] = &[PowerOff(Standby), PowerOn(Standby)];
/// In the boot after the death: the other node has taken over by then.
const REJOIN: &[Step] = &[PowerOff(Active), WaitMs(6_000), PowerOn(Active)];
const BY_HAND: &[Step] = &[Switchover(Active)];

pub const CASES: &[Case] = &[
    // A whole node.
    case("active-dies", "power loss of the active node", &[PowerOff(Active)], Expect::Moves).quick(),
    case("standby-dies", "power loss of the standby", &[PowerOff(Standby)], Expect::WritesWait).quick(),
    case(
        "both-die",
        "power loss of both",
        &[PowerOff(Standby), PowerOff(Active), WaitMs(2_000)],
        Expect::Safe,
    ),
    // The counterexamples of two deaths.
    case(
        "standby-then-active-old-standby-returns",
        "the standby dies, the active node dies, the old standby returns alone: it may not serve",
        &[PowerOff(Standby), WaitMs(3_000), PowerOff(Active), PowerOn(Standby)],
        Expect::Refuses,
    ),
    case(
        "failover-then-new-active-dies-old-returns",
        "a failover, then the new active node dies and the old one returns alone: it may not serve",
        &[PowerOff(Active), WaitMs(6_000), PowerOff(Standby), PowerOn(Active)],
        Expect::Refuses,
    ),
    case(
        "agent-dies-in-take-over",
        "the active node dies, and the agent that takes over is killed at another moment each repeat",
        &[PowerOff(Active), WaitMsByRepeat(150), Kill(Standby, "agent")],
        Expect::Moves,
    ),
    // A take-over.
    agent_dies!("take-over", Standby, "take-over", TAKE_OVER, Moves),
    agent_dies!("take-over-alone", Standby, "take-over: alone", TAKE_OVER, Moves),
    agent_dies!("take-over-promote", Standby, "take-over: promote", TAKE_OVER, Moves),
    agent_dies!("clients", Standby, "clients", TAKE_OVER, Moves),
    agent_dies!("redis", Standby, "primary: redis", TAKE_OVER, Moves),
    agent_dies!("address", Standby, "primary: address", TAKE_OVER, Moves),
    // A join: the standby comes back.
    agent_dies!("join-begin", Active, "join: begin", JOIN, Serves),
    agent_dies!("join-barrier", Active, "join: barrier", JOIN, Serves),
    agent_dies!("join-names", Active, "join: names", JOIN, Serves),
    agent_dies!("join-paired", Active, "join: paired", JOIN, Serves),
    // A rejoin: the dead node comes back to one that took over.
    agent_dies!("overtaken", Active, "paired: overtaken", REJOIN, Moves),
    agent_dies!("rewind", Active, "rejoin: rewind", REJOIN, Moves),
    agent_dies!("rejoin-done", Active, "rejoin: done", REJOIN, Moves),
    // A switchover: killed before the state is written it is off, after that it goes on.
    agent_dies!("demote", Active, "switchover: demote", BY_HAND, Serves),
    agent_dies!("demoted-stop", Active, "demoted: stop", BY_HAND, Moves),
    case(
        "rejoin-without-wal",
        "the dead node returns when the new active one keeps none of the WAL it needs",
        &[PowerOff(Active), WaitMs(5_000), Sql(Standby, FORGET_WAL)],
        Expect::Moves,
    ),
    // One engine, on either node.
    case("active-postgres-killed", "kill -9 of PostgreSQL", &[Kill(Active, "postgres")], Expect::Serves)
        .quick(),
    case(
        "active-postmaster-killed",
        "kill -9 of the postmaster alone",
        &[KillMain(Active, "postgres")],
        Expect::Serves,
    ),
    case(
        "active-postgres-frozen",
        "SIGSTOP of PostgreSQL",
        &[Freeze(Active, "postgres"), WaitMs(8_000)],
        Expect::Serves,
    ),
    case("active-redis-killed", "kill -9 of Redis", &[Kill(Active, "redis")], Expect::Serves),
    case("active-kamailio-killed", "kill -9 of Kamailio", &[Kill(Active, "kamailio")], Expect::Serves)
        .quick(),
    case("active-media-killed", "kill -9 of the media server", &[Kill(Active, "media")], Expect::Serves),
    case("active-voipadmind-killed", "kill -9 of voipadmind", &[Kill(Active, "voipadmind")], Expect::Serves),
    case("active-keepalived-killed", "kill -9 of keepalived", &[Kill(Active, "keepalived")], Expect::Serves),
    case(
        "active-keepalived-frozen",
        "SIGSTOP of keepalived",
        &[Freeze(Active, "keepalived"), WaitMs(8_000)],
        Expect::Serves,
    ),
    case("active-agent-killed", "kill -9 of the agent", &[Kill(Active, "agent")], Expect::Serves).quick(),
    case(
        "active-agent-frozen",
        "SIGSTOP of the agent",
        &[Freeze(Active, "agent"), WaitMs(8_000)],
        Expect::Serves,
    ),
    case("standby-postgres-killed", "kill -9 of PostgreSQL", &[Kill(Standby, "postgres")], Expect::Serves),
    case(
        "standby-postmaster-killed",
        "kill -9 of the postmaster alone",
        &[KillMain(Standby, "postgres")],
        Expect::Serves,
    ),
    case(
        "standby-postgres-frozen",
        "SIGSTOP of PostgreSQL: no write may be acknowledged meanwhile",
        &[Freeze(Standby, "postgres"), WaitMs(4_000), Thaw(Standby, "postgres")],
        Expect::Stays,
    ),
    case("standby-redis-killed", "kill -9 of Redis", &[Kill(Standby, "redis")], Expect::Stays),
    case("standby-kamailio-killed", "kill -9 of Kamailio", &[Kill(Standby, "kamailio")], Expect::Stays),
    case("standby-media-killed", "kill -9 of the media server", &[Kill(Standby, "media")], Expect::Stays),
    case("standby-voipadmind-killed", "kill -9 of voipadmind", &[Kill(Standby, "voipadmind")], Expect::Stays),
    case("standby-keepalived-killed", "kill -9 of keepalived", &[Kill(Standby, "keepalived")], Expect::Stays),
    case(
        "standby-keepalived-frozen",
        "SIGSTOP of keepalived",
        &[Freeze(Standby, "keepalived"), WaitMs(5_000)],
        Expect::Stays,
    ),
    case("standby-agent-killed", "kill -9 of the agent", &[Kill(Standby, "agent")], Expect::Stays),
    case(
        "standby-agent-frozen",
        "SIGSTOP of the agent",
        &[Freeze(Standby, "agent"), WaitMs(5_000)],
        Expect::Stays,
    ),
    // Networks.
    case(
        "cut-peer",
        "the peer link is cut, heartbeats go over the service network",
        &[Cut(Peer), WaitMs(5_000)],
        Expect::Safe,
    ),
    case(
        "cut-service",
        "the nodes are cut from each other on the service network",
        &[Cut(Service), WaitMs(5_000)],
        Expect::Stays,
    ),
    case(
        "cut-both",
        "the nodes are cut from each other on both networks",
        &[Cut(Both), WaitMs(6_000)],
        Expect::Safe,
    )
    .quick(),
    case(
        "cut-one-way-from-active",
        "what the active node sends is lost",
        &[CutFrom(Active, Both), WaitMs(6_000)],
        Expect::Safe,
    ),
    case(
        "cut-one-way-from-standby",
        "what the standby sends is lost",
        &[CutFrom(Standby, Both), WaitMs(6_000)],
        Expect::Safe,
    ),
    case(
        "cut-gateway-from-active",
        "the active node does not reach the gateway",
        &[CutGateway(Active), WaitMs(6_000)],
        Expect::Safe,
    ),
    case(
        "cut-gateway-from-standby",
        "the standby does not reach the gateway",
        &[CutGateway(Standby), WaitMs(4_000)],
        Expect::Stays,
    ),
    case(
        "blip",
        "both networks are away for one second: longer than the deadline",
        &[Cut(Both), WaitMs(1_000), Join],
        Expect::Safe,
    )
    .quick(),
    case(
        "blip-at-deadline",
        "both networks are away for just the deadline",
        &[Cut(Both), WaitMs(500), Join],
        Expect::Safe,
    ),
    case(
        "flapping",
        "both networks go and come for two minutes",
        &[FlapLinks { every_ms: 700, seconds: 120 }],
        Expect::Safe,
    )
    .by_name_only(),
    case("loss", "one frame of five is lost", &[Loss(20), WaitMs(8_000)], Expect::Safe),
    case("delay", "frames take 60 ms more", &[Slow(60), WaitMs(8_000)], Expect::Safe),
    // Disks. A node's /var holds log, WAL and journal.
    case(
        "active-disk-full",
        "the active node's /var is full: log, WAL and journal",
        &[Fill(Active, "/var"), WaitMs(8_000)],
        Expect::Safe,
    ),
    case(
        "standby-disk-full",
        "the standby's /var is full",
        &[Fill(Standby, "/var"), WaitMs(8_000)],
        Expect::Safe,
    ),
    case(
        "active-disk-slow",
        "50 writes a second to the active node's /var and no more",
        &[SlowDisk(Active, 20), WaitMs(8_000)],
        Expect::Serves,
    ),
    case(
        "active-disk-crawls",
        "20 writes a second to the active node's /var and no more, for half a minute",
        &[SlowDisk(Active, 50), WaitMs(30_000)],
        Expect::Safe,
    )
    .by_name_only(),
    case(
        "standby-disk-slow",
        "50 writes a second to the standby's /var and no more",
        &[SlowDisk(Standby, 20), WaitMs(8_000)],
        Expect::Stays,
    ),
    // Clocks.
    case(
        "active-clock-forward",
        "the active node's agent is an hour ahead",
        &[Clock(Active, "agent", "+1h"), WaitMs(4_000)],
        Expect::Serves,
    ),
    case(
        "active-clock-back",
        "the active node's agent is an hour behind",
        &[Clock(Active, "agent", "-1h"), WaitMs(4_000)],
        Expect::Serves,
    ),
    case(
        "standby-clock-forward",
        "the standby's agent is an hour ahead",
        &[Clock(Standby, "agent", "+1h"), WaitMs(4_000)],
        Expect::Serves,
    ),
    case(
        "voipadmind-clock-forward",
        "the active node's voipadmind is an hour ahead",
        &[Clock(Active, "voipadmind", "+1h"), WaitMs(4_000)],
        Expect::Serves,
    ),
    // The arbiter.
    case(
        "witness-dies",
        "etcd's third member dies: nothing changes",
        &[PowerOff(Witness), WaitMs(3_000)],
        Expect::Stays,
    )
    .with("etcd"),
    case(
        "witness-dies-then-active",
        "the third member and the active node die: one member of three may decide nothing",
        &[PowerOff(Witness), WaitMs(2_000), PowerOff(Active)],
        Expect::Refuses,
    )
    .with("etcd"),
    case("active-etcd-killed", "kill -9 of the active node's etcd", &[Kill(Active, "etcd")], Expect::Stays)
        .with("etcd"),
    // By hand.
    case("switchover", "tandem switchover", &[Switchover(Active)], Expect::Moves).quick(),
    case(
        "switchover-again-and-again",
        "eleven switchovers, each as soon as the last is over: so many take-overs and no more",
        &[Switchovers(11)],
        Expect::Moves,
    )
    .by_name_only(),
    case(
        "seed-9.1",
        "the seed's planned test: systemctl stop keepalived",
        &[Stop(Active, &["keepalived"]), WaitMs(5_000)],
        Expect::Moves,
    ),
    case(
        "seed-9.2",
        "the seed's disaster test: all engines of the active node stopped",
        &[Stop(Active, ALL_ENGINES), WaitMs(5_000)],
        Expect::Moves,
    ),
    // The seed's files instead of ours. A fence or a register would be more than the seed has.
    case(
        "seed-literal-9.1",
        "the seed's own files: systemctl stop keepalived, 30 s, start",
        &[],
        Expect::Compared(Test::KeepalivedStops),
    )
    .by_name_only()
    .with("none"),
    case(
        "seed-literal-active-dies",
        "the seed's own files: power loss of its node 1, 30 s, power",
        &[],
        Expect::Compared(Test::NodeDies),
    )
    .by_name_only()
    .with("none"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let mut names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CASES.len());
        assert!(
            names
                .iter()
                .all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b"-.0123456789".contains(&b)))
        );
        assert!(named("active-dies").is_some_and(|case| case.quick && case.random));
    }

    #[test]
    fn an_agent_dies_at_a_row_that_there_is() {
        let steps = CASES.iter().flat_map(|case| case.steps);
        let rows: Vec<&str> = steps
            .filter_map(|step| match step {
                AgentDiesAt(_, row, _) => Some(*row),
                _ => None,
            })
            .collect();
        assert_eq!(rows.len(), 15);
        for row in rows {
            assert!(fsm::TABLE.iter().any(|each| each.name == row), "{row}");
        }
    }
}
