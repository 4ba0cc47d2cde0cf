//! The agent: one decision of the table, and its actions one by one, with a crash possible in between.

use fsm::{Action, Copied, Mode, Mutation, Role};

use crate::observe::{self, Look, small, small_names};
use crate::world::{
    Act, Durable, Grant, Names, OVERWROTE_FORCED, PROMOTED_PART, Scenario, VIP_WITHOUT_ROLE, World,
};

/// Grants under way at once; the oldest is lost then.
const GRANTS_MAX: usize = 4;

/// What one decision does to the world: nothing, a durable write, or actions put on the list.
pub fn step(world: &mut World, node: usize, look: &Look, scenario: &Scenario) -> Option<&'static str> {
    let mut memory = observe::memory(world, node);
    let state = observe::state(node, &world.nodes[node].state);
    if let Some((says, echoes)) = &look.heard {
        memory.hear(
            &state,
            observe::boot_id(world.nodes[node].boot),
            &observe::heard(node, says, *echoes),
            &observe::config(scenario, node),
        );
    }
    let before = world.nodes[node].mind;
    observe::remember(world, node, &memory, scenario.arbiter);
    let observed = observe::observation(world, node, look, memory);
    let decision = fsm::step(&state, &observed, &observe::config(scenario, node));
    if decision.next != state {
        assert!(decision.actions.is_empty(), "{} writes and acts", decision.row);
        let next = observe::durable(&decision.next);
        written(world, node, &next, look);
        return Some(decision.row);
    }
    let acts: Vec<Act> = decision.actions.iter().filter_map(act).collect();
    assert!(acts.len() <= 2, "{} has more actions than the model keeps", decision.row);
    for (place, act) in acts.iter().enumerate() {
        world.nodes[node].mind.todo[place] = Some(*act);
    }
    (world.nodes[node].mind != before).then_some(decision.row)
}

fn written(world: &mut World, node: usize, next: &Durable, look: &Look) {
    let before = world.nodes[node].state;
    world.nodes[node].state = *next;
    if next.role == Role::Primary {
        world.owners[next.at.0 as usize] |= 1 << node;
    }
    match (before.role, next.role) {
        (Role::Rejoining, Role::Standby) => {
            world.rejoined = true;
            world.nodes[node].consent = false;
        }
        (Role::Hold, Role::Rejoining) => {
            world.nodes[node].consent = true;
            world.discarded |= !world.has_all(1 - node);
        }
        (Role::Primary, Role::Demoted) => world.switched = true,
        _ => {}
    }
    if before.role != next.role || before.mode != next.mode {
        world.nodes[node].mind.copied = Copied::Not;
    }
    if look.command.is_some() {
        world.budget.commands -= 1;
    }
}

fn act(action: &Action) -> Option<Act> {
    Some(match action {
        Action::WriteInclude(it) => Act::Include(small_names(it.names), it.upstream.map(small), it.clients),
        Action::StartPostgres { standby } => Act::Start(*standby),
        Action::StopPostgres => Act::Stop,
        Action::BarrierCommit { at, .. } => Act::Barrier(small(*at)),
        Action::SendGrant(it) => Act::Grant(Grant {
            at: small(it.at),
            lsn: it.lsn as u8,
            nonce: it.nonce as u8,
            boot: it.boot_id.as_u128() as u8,
        }),
        Action::NoteReplayed(lsn) => Act::Note(*lsn as u8),
        Action::Promote => Act::Promote,
        Action::CasEpoch { from, .. } => Act::Cas(*from as u8),
        Action::Fence(proof) => {
            Act::Fence(small(proof.at), proof.peer_boot.map_or(0, |boot| boot.as_u128() as u8))
        }
        Action::Rewind => Act::Rewind,
        Action::BaseBackup => Act::Copy,
        Action::VipOffer => Act::Vip(true),
        Action::VipDrop => Act::Vip(false),
        Action::EmitWal
        | Action::WriteEpochRow
        | Action::CheckpointPeer
        | Action::RedisMaster
        | Action::RedisReplica
        | Action::Refuse(_)
        | Action::Alarm(_) => return None,
    })
}

/// The next action of the list. None: it cannot be done now, and is dropped with the rest.
pub fn act_next(world: &mut World, node: usize, scenario: &Scenario) -> bool {
    let Some(act) = world.nodes[node].mind.todo[0] else { return false };
    let rest = world.nodes[node].mind.todo[1];
    world.nodes[node].mind.todo = [rest, None];
    if !done(world, node, act, scenario) {
        world.nodes[node].mind.todo = [None, None];
    }
    true
}

fn done(world: &mut World, node: usize, act: Act, scenario: &Scenario) -> bool {
    let peer = 1 - node;
    match act {
        Act::Include(names, upstream, clients) => {
            let pg = &mut world.nodes[node].pg;
            (pg.names, pg.upstream, pg.clients) = (names, upstream, clients && pg.running);
            if !pg.running {
                pg.effective = names;
            }
        }
        Act::Start(standby) => {
            let pg = &mut world.nodes[node].pg;
            (pg.running, pg.effective, pg.signal) = (true, pg.names, pg.signal || standby);
        }
        Act::Stop => world.kill_postgres(node),
        Act::Barrier(at) => return world.commit_barrier(node, at),
        Act::Grant(grant) => {
            if !world.grants.contains(&grant) {
                world.grants.push(grant);
                world.grants.sort_unstable();
            }
            if world.grants.len() > GRANTS_MAX {
                world.grants.remove(0);
            }
        }
        Act::Note(lsn) => world.nodes[node].mind.noted = Some(lsn),
        Act::Promote => {
            let pg = &mut world.nodes[node].pg;
            if !pg.running || !pg.signal {
                return false;
            }
            if !pg.complete {
                world.broken |= PROMOTED_PART;
            }
            pg.log.promote(node);
            pg.flushed = pg.log.len();
            pg.signal = false;
        }
        Act::Cas(from) => {
            if world.register.0 == from {
                world.register = (from + 1, node as u8);
            }
        }
        Act::Fence(at, boot) => {
            if world.budget.fences == 0 {
                return false;
            }
            world.budget.fences -= 1;
            crash(world, peer, scenario);
            let mind = &mut world.nodes[node].mind;
            mind.fence = (boot == mind.peer_boot).then_some((at, boot));
        }
        Act::Rewind => return rewind(world, node, scenario),
        Act::Copy => {
            if overwritten(world, node) {
                let pg = &mut world.nodes[node].pg;
                pg.log.truncate(0);
                pg.flushed = 0;
                pg.complete = false;
                world.nodes[node].mind.todo = [Some(Act::CopyDone), None];
            }
        }
        Act::RewindDone | Act::CopyDone => return copied(world, node),
        Act::Vip(on) => {
            if on && (world.nodes[node].state.role != Role::Primary || world.nodes[node].pg.signal) {
                world.broken |= VIP_WITHOUT_ROLE;
            }
            world.nodes[node].vip = on;
        }
    }
    true
}

/// The source of a copy: the peer as a running primary.
fn source(world: &World, node: usize) -> bool {
    let peer = &world.nodes[1 - node].pg;
    peer.running && !peer.signal
}

/// This node's data is about to go.
fn overwritten(world: &mut World, node: usize) -> bool {
    if !source(world, node) {
        return false;
    }
    if world.nodes[1 - node].state.forced && !world.nodes[node].consent {
        world.broken |= OVERWROTE_FORCED;
    }
    true
}

fn rewind(world: &mut World, node: usize, scenario: &Scenario) -> bool {
    if !source(world, node) {
        return false;
    }
    let theirs = world.nodes[1 - node].pg.log;
    if world.nodes[node].pg.log.rewind_to(&theirs).is_none() {
        world.nodes[node].mind.copied = Copied::NothingToRewind;
        if scenario.mutation == Some(Mutation::BelieveNothingToRewind) {
            world.nodes[node].pg.signal = true;
        }
        return true;
    }
    overwritten(world, node);
    world.nodes[node].pg.complete = false;
    world.nodes[node].mind.todo = [Some(Act::RewindDone), None];
    true
}

fn copied(world: &mut World, node: usize) -> bool {
    if !source(world, node) {
        return false;
    }
    let log = world.nodes[1 - node].pg.log;
    let me = &mut world.nodes[node];
    (me.pg.log, me.pg.flushed, me.pg.complete, me.pg.signal) = (log, log.len(), true, true);
    me.pg.names = Names::Empty;
    me.pg.effective = Names::Empty;
    me.mind.copied = Copied::Whole;
    me.log_gone = false;
    true
}

/// The machine loses power.
pub fn crash(world: &mut World, node: usize, scenario: &Scenario) {
    world.kill_postgres(node);
    let me = &mut world.nodes[node];
    me.up = false;
    me.vip = false;
    me.mind = crate::world::BLANK;
    if scenario.lazy_flush {
        me.pg.log.truncate(me.pg.flushed);
    }
}

/// The agent dies and is started again; its sessions die with it, PostgreSQL runs on.
pub fn agent_crash(world: &mut World, node: usize) {
    world.nodes[node].mind = crate::world::BLANK;
}

pub const fn paired(state: &Durable) -> bool {
    matches!((state.role, state.mode), (Role::Primary, Mode::Paired))
}
