//! When faults stop: from any state reached, a fair run ends in a pair that acknowledges, or where a person is asked.

use fsm::{Arbiter, Role};

use crate::checker::{self, Pair};
use crate::execute::{act_next, step};
use crate::observe::Look;
use crate::world::World;

/// Rounds of both nodes; what takes more is stuck.
const ROUNDS_MAX: usize = 120;
/// From here on what was waited for counts as overdue.
const PATIENCE_ROUNDS: usize = 40;

/// Both nodes up, every message in time, nobody types.
pub fn settles(pair: &Pair, world: &World) -> bool {
    let mut world = world.clone();
    world.late = [None, None];
    world.budget.fences = 2;
    for round in 0..ROUNDS_MAX {
        if settled(&world) {
            return true;
        }
        for node in 0..2 {
            turn(pair, &mut world, node, round >= PATIENCE_ROUNDS);
        }
    }
    false
}

fn settled(world: &World) -> bool {
    let asks = world.nodes.iter().any(|it| it.state.role == Role::Hold)
        && world.nodes.iter().any(|it| it.state.forced);
    asks || (0..2).any(|node| world.can_acknowledge(node) && checker::proven(world, node))
}

fn turn(pair: &Pair, world: &mut World, node: usize, overdue: bool) {
    let scenario = &pair.0;
    let me = &mut world.nodes[node];
    if !me.up {
        me.up = true;
        me.boot += 1;
        return;
    }
    world.absorb(node);
    while world.stream(node, false) {}
    let pg = &mut world.nodes[node].pg;
    pg.flushed = pg.log.len();
    world.release(node, false);
    if act_next(world, node, scenario) {
        return;
    }
    let heard = world.nodes[1 - node].up.then(|| (pair.says(world, 1 - node), true));
    let etcd = scenario.arbiter == Arbiter::Etcd;
    // A grant in the post is delivered; the newest first, as the agent keeps the newest.
    for grant in world.grants.clone().into_iter().rev().map(Some).chain([None]) {
        let look = Look { heard, grant, command: None, overdue, etcd };
        if step(world, node, &look, scenario).is_some() {
            return;
        }
    }
}
