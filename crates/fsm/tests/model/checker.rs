//! Everything that may happen next, and what must hold whatever happens.

use fsm::{Arbiter, Command, Mutation, Role};
use stateright::{Model, Property};

use crate::execute::{self, act_next, agent_crash, crash, step};
use crate::log;
use crate::observe::Look;
use crate::world::{Environment, Mind, Person, Says, Scenario, World};

/// How the peer is known in one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Silent,
    Heard,
    /// Heard, but it does not hear us.
    Deaf,
    /// The heartbeat that was late.
    Late,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    Step {
        node: usize,
        peer: Peer,
        grant: Option<u8>,
        command: Option<Command>,
        overdue: bool,
        etcd: bool,
    },
    Act(usize),
    Crash(usize),
    AgentCrash(usize),
    /// The postmaster alone dies.
    PostgresCrash(usize),
    Boot(usize),
    /// A heartbeat to this node is sent now, and arrives when the checker likes.
    Delay(usize),
    /// The primary removes log this standby still needs.
    LogGone(usize),
    Stream(usize),
    Flush(usize),
    /// A reload is noticed by the backends.
    Absorb(usize),
    Release(usize),
    Write(usize),
    /// A worker's commit with synchronous_commit=local.
    Local(usize),
    /// A client or worker asks again about a row that is visible here.
    Again(usize, u8),
    /// A waiting commit is cancelled.
    Cancel(usize, u8),
}

const SOLO: Command = Command::Solo { peer_is_off: true, peer_did_not_take_over: true, force: false };
const SOLO_FORCED: Command = Command::Solo { peer_is_off: true, peer_did_not_take_over: true, force: true };

pub struct Pair(pub Scenario);

impl Pair {
    /// A wrong person has spoken.
    fn excused(&self, world: &World) -> bool {
        self.0.person == Person::Wrong && world.budget.commands < self.0.budget.commands
    }

    fn solo_typed(&self, world: &World, node: usize) -> Option<Command> {
        let (me, peer) = (&world.nodes[node], &world.nodes[1 - node]);
        let off = !peer.up;
        let moved_on = peer.state.at.0 > me.state.at.0;
        match self.0.person {
            Person::Absent => None,
            Person::Truthful => (off && !moved_on).then_some(SOLO),
            Person::Forgetful => off.then_some(SOLO),
            Person::Wrong => Some(SOLO_FORCED),
        }
    }

    fn commands(&self, world: &World, node: usize) -> Vec<Option<Command>> {
        let mut commands = vec![None];
        if world.budget.commands == 0 {
            return commands;
        }
        let state = &world.nodes[node].state;
        match state.role {
            Role::Primary | Role::Standby => {
                commands.extend(self.solo_typed(world, node).map(Some));
                if self.0.switchover && execute::paired(state) {
                    commands.push(Some(Command::Switchover));
                }
            }
            Role::Demoted => commands.push(Some(Command::Abort)),
            Role::Hold => {
                // Nor does he let a node go on alone that lacks what was acknowledged.
                if self.0.person == Person::Wrong || world.has_all(node) {
                    commands.extend(self.solo_typed(world, node).map(Some));
                }
                // A truthful person looks what the other node has; a wrong one does not.
                let kept = self.0.person == Person::Truthful && world.has_all(1 - node);
                if kept || self.0.person == Person::Wrong {
                    commands.push(Some(Command::Rejoin));
                }
            }
            Role::Rejoining => {}
        }
        commands
    }

    fn looks(&self, world: &World, node: usize, events: &mut Vec<Event>) {
        let peer_up = world.nodes[1 - node].up;
        let mut peers = vec![Peer::Silent];
        match (self.0.one_way, node) {
            (true, 0) => {}
            (true, _) => peers.extend(peer_up.then_some(Peer::Deaf)),
            (false, _) if peer_up => peers.extend([Peer::Heard, Peer::Deaf]),
            (false, _) => {}
        }
        if self.0.one_way && peer_up && node == 1 {
            // A node that hears the other is not in silence for long.
            peers.remove(0);
        }
        peers.extend(world.late[node].map(|_| Peer::Late));
        let grants = (0..world.grants.len() as u8).map(Some);
        let state = &world.nodes[node].state;
        let waits = world.nodes[node].state.role == Role::Demoted || execute::paired(state);
        for peer in peers {
            for command in self.commands(world, node) {
                for overdue in [false, true] {
                    for etcd in [false, true] {
                        if overdue && (!waits || command.is_some()) || etcd && self.0.arbiter != Arbiter::Etcd
                        {
                            continue;
                        }
                        events.push(Event::Step { node, peer, grant: None, command, overdue, etcd });
                    }
                }
            }
            if state.role == Role::Standby && node == 1 - state.owner as usize {
                for grant in grants.clone() {
                    let (command, overdue, etcd) = (None, false, false);
                    events.push(Event::Step { node, peer, grant, command, overdue, etcd });
                }
            }
        }
    }

    pub fn says(&self, world: &World, node: usize) -> Says {
        let it = &world.nodes[node];
        Says { state: it.state, boot: it.boot, answers: it.mind.peer_boot }
    }

    fn steps(&self, world: &mut World, event: Event) -> bool {
        let Event::Step { node, peer, grant, command, overdue, etcd } = event else { return false };
        let heard = match peer {
            Peer::Silent => None,
            Peer::Heard => Some((self.says(world, 1 - node), true)),
            Peer::Deaf => Some((self.says(world, 1 - node), false)),
            Peer::Late => world.late[node].map(|says| (says, true)),
        };
        let grant = grant.map(|at| world.grants[at as usize]);
        step(world, node, &Look { heard, grant, command, overdue, etcd }, &self.0).is_some()
    }

    fn again(&self, world: &mut World, node: usize, id: u8) -> bool {
        let known =
            matches!(self.0.environment, Some(Environment::ConflictIsSuccess | Environment::LocalIsKnown));
        let pg = &world.nodes[node].pg;
        if known && pg.running && !pg.signal && pg.clients {
            world.acknowledged |= 1 << id;
            return true;
        }
        world.commit(node, log::message(id), id, false)
    }

    fn cancel(&self, world: &mut World, node: usize, id: u8) {
        world.budget.cancels -= 1;
        world.nodes[node].pg.waiting &= !(1 << id);
        if self.0.environment == Some(Environment::CancelIsSuccess) {
            world.acknowledged |= 1 << id;
        }
    }

    fn apply(&self, world: &mut World, event: Event) -> bool {
        match event {
            Event::Step { .. } => return self.steps(world, event),
            Event::Act(node) => return act_next(world, node, &self.0),
            Event::Crash(node) => {
                world.budget.crashes -= 1;
                crash(world, node, &self.0);
            }
            Event::AgentCrash(node) => {
                world.budget.agent_crashes -= 1;
                agent_crash(world, node);
            }
            Event::PostgresCrash(node) => {
                world.budget.agent_crashes -= 1;
                world.kill_postgres(node);
            }
            Event::Boot(node) => {
                world.nodes[node].up = true;
                world.nodes[node].boot += 1;
            }
            Event::Delay(node) => {
                world.budget.delays -= 1;
                world.late[node] = Some(self.says(world, 1 - node));
            }
            Event::LogGone(node) => {
                world.budget.losses -= 1;
                world.nodes[node].log_gone = true;
            }
            Event::Stream(node) => return world.stream(node, self.0.lazy_flush),
            Event::Flush(node) => {
                let pg = &mut world.nodes[node].pg;
                let changes = pg.flushed < pg.log.len();
                pg.flushed = pg.log.len();
                return changes;
            }
            Event::Absorb(node) => return world.absorb(node),
            Event::Release(node) => {
                return world.release(node, self.0.environment == Some(Environment::RemoteWrite));
            }
            Event::Write(node) | Event::Local(node) => {
                let id = world.budget.writes;
                world.budget.writes -= 1;
                return world.commit(node, log::write(id), id, matches!(event, Event::Local(_)));
            }
            Event::Again(node, id) => return self.again(world, node, id),
            Event::Cancel(node, id) => self.cancel(world, node, id),
        }
        true
    }

    fn faults(&self, world: &World, node: usize, events: &mut Vec<Event>) {
        let budget = &world.budget;
        let me = &world.nodes[node];
        if budget.crashes > 0 {
            events.push(Event::Crash(node));
        }
        if budget.agent_crashes > 0 && me.mind != (Mind { noted: None, ..crate::world::BLANK }) {
            events.push(Event::AgentCrash(node));
        }
        if budget.agent_crashes > 0 && me.pg.running {
            events.push(Event::PostgresCrash(node));
        }
        if budget.delays > 0 && world.nodes[1 - node].up {
            events.push(Event::Delay(node));
        }
        if budget.losses > 0 && me.pg.signal && !me.log_gone && self.behind(world, node) {
            events.push(Event::LogGone(node));
        }
        for id in 1..8 {
            if budget.cancels > 0 && me.pg.waiting & (1 << id) != 0 {
                events.push(Event::Cancel(node, id));
            }
        }
    }

    fn behind(&self, world: &World, node: usize) -> bool {
        world.upstream(node).is_some_and(|log| log.len() > world.nodes[node].pg.log.len())
    }

    fn database(&self, world: &World, node: usize, events: &mut Vec<Event>) {
        let pg = &world.nodes[node].pg;
        if !self.0.one_way {
            events.extend([Event::Stream(node), Event::Release(node)]);
        }
        events.push(Event::Absorb(node));
        if self.0.lazy_flush {
            events.push(Event::Flush(node));
        }
        if world.budget.writes > 0 && pg.clients {
            events.push(Event::Write(node));
            if self.0.environment == Some(Environment::LocalIsKnown) || world.budget.cancels > 0 {
                events.push(Event::Local(node));
            }
        }
        if pg.clients && !pg.signal {
            for id in 1..8 {
                let open = (pg.waiting | world.acknowledged) & (1 << id) == 0;
                if open && pg.log.has(id) {
                    events.push(Event::Again(node, id));
                }
            }
        }
    }
}

impl Model for Pair {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World::start(&self.0)]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        for node in 0..2 {
            if !world.nodes[node].up {
                events.push(Event::Boot(node));
                continue;
            }
            if world.nodes[node].mind.todo[0].is_some() {
                events.push(Event::Act(node));
            } else {
                self.looks(world, node, events);
            }
            self.faults(world, node, events);
            self.database(world, node, events);
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        (self.apply(&mut next, event) && next != *world).then_some(next)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.nodes.iter().all(|node| {
            let at = node.state.at;
            at.0 <= self.0.epoch_max
                && at.1 <= self.0.join_max
                && node.pg.log.len() + 2 < log::RECORDS_MAX as u8
        })
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            // What a wrong person may cost is said in docs/model.md: two writers after `solo --force`, and what
            // `rejoin --discard-local-data` discards. All else holds even then.
            Property::always("an acknowledged row exists", |_: &Self, world: &World| {
                exists(world) || world.discarded
            }),
            Property::always(
                "who acknowledges has all that was acknowledged",
                |pair: &Self, world: &World| {
                    pair.excused(world)
                        || (0..2).all(|node| !world.can_acknowledge(node) || world.has_all(node))
                },
            ),
            Property::always("one writer", |pair: &Self, world: &World| {
                pair.excused(world) || !(0..2).all(|node| world.can_acknowledge(node))
            }),
            Property::always("an epoch has one owner", |pair: &Self, world: &World| {
                pair.excused(world) || world.owners.iter().all(|&owners| owners != 3)
            }),
            Property::always("no data overwritten for a forced epoch", |_: &Self, world: &World| {
                world.broken & crate::world::OVERWROTE_FORCED == 0
            }),
            Property::always("the address only on a primary", |_: &Self, world: &World| {
                world.broken & crate::world::VIP_WITHOUT_ROLE == 0
            }),
            Property::always("no part of a copy promoted", |_: &Self, world: &World| {
                world.broken & crate::world::PROMOTED_PART == 0
            }),
            Property::sometimes("taken over", |_: &Self, world: &World| {
                world.nodes.iter().any(|it| it.state.at.0 > 1 && it.pg.clients && it.pg.log.timeline() > 1)
            }),
        ];
        if self.0.mutation != Some(Mutation::BelieveNothingToRewind) {
            // There it is known to be violated (16a); asked is what becomes of it.
            properties
                .push(Property::always("no two timelines under one number", |_: &Self, world: &World| {
                    !world.nodes[0].pg.log.contradicts(&world.nodes[1].pg.log)
                }));
        }
        if !self.0.one_way {
            properties.push(Property::sometimes("paired again", |_: &Self, world: &World| again(world)));
            properties.push(Property::sometimes("rejoined", |_: &Self, world: &World| world.rejoined));
        }
        if self.0.settles {
            properties.push(Property::always(
                "when faults stop, the pair settles",
                |pair: &Self, world: &World| crate::settle::settles(pair, world),
            ));
        }
        if self.0.switchover {
            properties.push(Property::sometimes("switched over", |_: &Self, world: &World| {
                world.switched && again(world)
            }));
        }
        properties
    }
}

fn again(world: &World) -> bool {
    (0..2).any(|node| world.nodes[node].state.at.0 > 1 && proven(world, node) && world.can_acknowledge(node))
}

/// A paired primary whose standby may take over.
pub fn proven(world: &World, node: usize) -> bool {
    let (me, peer) = (&world.nodes[node].state, &world.nodes[1 - node].state);
    execute::paired(me) && peer.role == Role::Standby && peer.flag.is_some_and(|(at, _)| at == me.at)
}

fn exists(world: &World) -> bool {
    (1..8).all(|id| world.acknowledged & (1 << id) == 0 || world.nodes.iter().any(|node| node.pg.log.has(id)))
}
