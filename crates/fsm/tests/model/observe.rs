//! From the small world to what the table sees, and back.

use fsm::{Arbiter, Command, Config, Flag, Heard, Memory, Observation, Point, Postgres, Redis, State};
use uuid::Uuid;

use crate::world::{Durable, Names, P, Says, Scenario, World};

const NAMES: [&str; 2] = ["n1", "n2"];
const CLUSTER: Uuid = Uuid::from_u128(7);

pub fn boot_id(boot: u8) -> Uuid {
    Uuid::from_u128(u128::from(boot))
}

fn boot_of(id: Uuid) -> u8 {
    id.as_u128() as u8
}

pub fn small(point: Point) -> P {
    P(point.epoch as u8, point.join as u8)
}

fn point(p: P) -> Point {
    Point { epoch: p.0.into(), join: p.1.into() }
}

pub fn small_names(names: fsm::Names) -> Names {
    match names {
        fsm::Names::Empty | fsm::Names::Other => Names::Empty,
        fsm::Names::Barrier => Names::Barrier,
        fsm::Names::Peer(at) => Names::Peer(small(at)),
    }
}

pub fn state(node: usize, small: &Durable) -> State {
    let flag =
        small.flag.map(|(at, boot)| Flag { epoch: at.0.into(), join: at.1.into(), boot_id: boot_id(boot) });
    State {
        version: fsm::VERSION,
        cluster: CLUSTER,
        node: NAMES[node].into(),
        role: small.role,
        mode: small.mode,
        epoch: small.at.0.into(),
        owner: NAMES[small.owner as usize].into(),
        join: small.at.1.into(),
        forced: small.forced,
        flag,
        mark: point(small.mark),
    }
}

pub fn durable(state: &State) -> Durable {
    Durable {
        role: state.role,
        mode: state.mode,
        at: small(state.at()),
        owner: u8::from(state.owner == NAMES[1]),
        forced: state.forced,
        flag: state.flag.map(|flag| (P(flag.epoch as u8, flag.join as u8), boot_of(flag.boot_id))),
        mark: small(state.mark),
    }
}

/// What one look takes in beside the node itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    pub heard: Option<(Says, bool)>,
    pub grant: Option<crate::world::Grant>,
    pub command: Option<Command>,
    pub overdue: bool,
    pub etcd: bool,
}

pub fn config(scenario: &Scenario, node: usize) -> Config {
    Config { mutation: scenario.mutation, ..Config::new(NAMES[1 - node], scenario.arbiter) }
}

pub fn memory(world: &World, node: usize) -> Memory {
    let mind = &world.nodes[node].mind;
    let boot = |boot: u8| (boot > 0).then(|| boot_id(boot));
    Memory {
        peer_boot: boot(mind.peer_boot),
        answered: mind.answered,
        fence: mind.fence.map(|(at, peer)| fsm::FenceProof { at: point(at), peer_boot: boot(peer) }),
    }
}

/// Memory as the world keeps it: boots count only where a fence does, which keeps other state spaces small.
pub fn remember(world: &mut World, node: usize, memory: &Memory, arbiter: Arbiter) {
    if arbiter == Arbiter::Fence {
        world.nodes[node].mind.peer_boot = memory.peer_boot.map_or(0, boot_of);
        world.nodes[node].mind.answered = memory.answered;
        world.nodes[node].mind.fence =
            memory.fence.map(|proof| (small(proof.at), proof.peer_boot.map_or(0, boot_of)));
    }
}

pub fn heard(node: usize, says: &Says, echoes_me: bool) -> Heard {
    Heard {
        state: state(1 - node, &says.state),
        boot_id: boot_id(says.boot),
        echoes_me,
        answers: (says.answers > 0).then(|| boot_id(says.answers)),
        postgres_failed: false,
        // At any time: what a take-over before the last log was sent may do is among what is checked.
        postgres_stopped: true,
        // A switchover by itself is one that a person may command at any time.
        fit: true,
    }
}

pub fn observation(world: &World, node: usize, look: &Look, memory: Memory) -> Observation {
    let me = &world.nodes[node];
    Observation {
        boot_id: boot_id(me.boot),
        peer: look.heard.map(|(says, echoes)| heard(node, &says, echoes)),
        memory,
        grant: look.grant.map(|grant| fsm::Grant {
            at: point(grant.at),
            lsn: grant.lsn.into(),
            nonce: grant.nonce.into(),
            boot_id: boot_id(grant.boot),
        }),
        postgres: postgres(world, node),
        // Redis is out of the model: it is always as its node's role asks.
        redis: Redis::Down,
        vip: fsm::Vip { offered: me.vip, claimed_by_other: false, gateway_reached: true },
        register: look.etcd.then(|| fsm::Register {
            epoch: world.register.0.into(),
            owner: NAMES[world.register.1 as usize].into(),
        }),
        command: look.command,
        peer_answers: false,
        unfit: false,
        maintenance: false,
        overdue: look.overdue,
    }
}

fn postgres(world: &World, node: usize) -> Postgres {
    let (me, pg) = (&world.nodes[node], &world.nodes[node].pg);
    let row = pg.log.newest_barrier().filter(|_| pg.running);
    let refused = if me.log_gone {
        Some(fsm::Refused::LogGone)
    } else {
        (pg.running && world.upstream(node).is_some_and(|log| !log.serves(&pg.log)))
            .then_some(fsm::Refused::Diverged)
    };
    Postgres {
        running: pg.running,
        hung: false,
        complete: pg.complete,
        standby: pg.signal,
        names: match pg.names {
            Names::Empty => fsm::Names::Empty,
            Names::Barrier => fsm::Names::Barrier,
            Names::Peer(at) => fsm::Names::Peer(point(at)),
        },
        upstream: pg.upstream.map(point),
        receiver: false,
        clients: pg.clients,
        flush: pg.flushed.into(),
        replay: pg.flushed.into(),
        switch_point: me.mind.noted.filter(|_| !pg.signal).map(u64::from),
        follower: world.follower(node).map(point),
        barrier: me.mind.barrier.map(|it| fsm::Barrier {
            at: point(it.at),
            seen_waiting: it.waited,
            returned: it.returned,
        }),
        row: row.map(|(at, nonce)| fsm::BarrierRow { at: point(at), nonce: nonce.into() }),
        slot: true,
        refused,
        copy: me.mind.copied,
        noted: me.mind.noted.map(u64::from),
    }
}
