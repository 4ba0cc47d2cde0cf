//! Where the worlds begin.

use fsm::{Mode, Role};

use crate::log::{self, Log};
use crate::world::{BLANK, Budget, Durable, Names, Node, P, Pg, Scenario, World};

/// Boots are numbered through, n1's from 1, n2's from here: they never meet.
const N2_BOOT: u8 = 64;

pub const NO_FAULTS: Budget = Budget {
    crashes: 0,
    agent_crashes: 0,
    delays: 0,
    writes: 1,
    commands: 0,
    cancels: 0,
    losses: 0,
    fences: 0,
};

impl World {
    pub fn has_all(&self, node: usize) -> bool {
        (1..8).all(|id| self.acknowledged & (1 << id) == 0 || self.nodes[node].pg.log.has(id))
    }

    /// n1 is the primary of epoch 1; n2 its standby, proven in join 1 or not yet in any.
    pub fn start(scenario: &Scenario) -> Self {
        let mut log = Log::default();
        if scenario.paired {
            log.push(log::barrier(P(1, 1)));
        }
        let at = if scenario.paired { P(1, 1) } else { P(1, 0) };
        let mode = if scenario.paired { Mode::Paired } else { Mode::Solo };
        let names = if scenario.paired { Names::Peer(at) } else { Names::Empty };
        let primary =
            Durable { role: Role::Primary, mode, at, owner: 0, forced: false, flag: None, mark: P(0, 0) };
        let flag = scenario.paired.then_some((P(1, 1), N2_BOOT));
        let standby = Durable {
            role: Role::Standby,
            mode: Mode::Paired,
            at: P(1, 1),
            owner: 0,
            forced: false,
            flag,
            mark: P(0, 0),
        };
        let pg = Pg {
            running: true,
            complete: true,
            signal: false,
            names,
            effective: names,
            upstream: None,
            clients: true,
            log,
            flushed: log.len(),
            waiting: 0,
        };
        let follower = Pg {
            signal: true,
            names: Names::Empty,
            effective: Names::Empty,
            upstream: Some(P(1, 1)),
            clients: false,
            ..pg
        };
        let node = |state, pg, boot, vip| Node {
            up: true,
            boot,
            state,
            pg,
            mind: BLANK,
            vip,
            log_gone: false,
            consent: false,
        };
        let mut world = Self {
            nodes: [node(primary, pg, 1, true), node(standby, follower, N2_BOOT, false)],
            grants: vec![],
            late: [None, None],
            register: (1, 0),
            budget: scenario.budget,
            acknowledged: 0,
            owners: [0; 8],
            broken: 0,
            rejoined: false,
            switched: false,
            discarded: false,
        };
        world.owners[1] = 1;
        if scenario.arbiter == fsm::Arbiter::Fence && scenario.paired {
            for (node, peer_boot) in [(0, N2_BOOT), (1, 1)] {
                world.nodes[node].mind.peer_boot = peer_boot;
                world.nodes[node].mind.answered = node == 0;
            }
        }
        world
    }
}
