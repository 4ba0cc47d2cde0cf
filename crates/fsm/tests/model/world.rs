//! The world's state: two nodes, what is under way between them, and what the checker keeps to judge by.

use fsm::{Arbiter, Copied, Mode, Mutation, Role};

use crate::log::Log;

/// A join of an epoch, small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct P(pub u8, pub u8);

/// The durable state, small. A flag carries its boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Durable {
    pub role: Role,
    pub mode: Mode,
    pub at: P,
    pub owner: u8,
    pub forced: bool,
    pub flag: Option<(P, u8)>,
    pub mark: P,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Names {
    Empty,
    Barrier,
    Peer(P),
}

/// PostgreSQL. `names` is what the file says and a reload was sent for, `effective` what backends go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pg {
    pub running: bool,
    pub complete: bool,
    pub signal: bool,
    pub names: Names,
    pub effective: Names,
    pub upstream: Option<P>,
    pub clients: bool,
    pub log: Log,
    /// Records that survive a crash of the machine.
    pub flushed: u8,
    /// Rows whose commit waits, as bits.
    pub waiting: u8,
}

/// An action under way, small.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    Include(Names, Option<P>, bool),
    Start(bool),
    Stop,
    Barrier(P),
    Grant(Grant),
    Note(u8),
    Promote,
    Cas(u8),
    Fence(P, u8),
    Rewind,
    RewindDone,
    Copy,
    CopyDone,
    Vip(bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Grant {
    pub at: P,
    pub lsn: u8,
    pub nonce: u8,
    pub boot: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Barrier {
    pub at: P,
    pub end: u8,
    pub waited: bool,
    pub returned: bool,
}

/// What is lost with the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mind {
    pub todo: [Option<Act>; 2],
    pub barrier: Option<Barrier>,
    pub noted: Option<u8>,
    pub copied: Copied,
    pub peer_boot: u8,
    pub answered: bool,
    pub fence: Option<(P, u8)>,
}

pub const BLANK: Mind = Mind {
    todo: [None, None],
    barrier: None,
    noted: None,
    copied: Copied::Not,
    peer_boot: 0,
    answered: false,
    fence: None,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Node {
    pub up: bool,
    pub boot: u8,
    pub state: Durable,
    pub pg: Pg,
    pub mind: Mind,
    pub vip: bool,
    /// The upstream removed log this standby needs.
    pub log_gone: bool,
    /// A person gave this node's data up.
    pub consent: bool,
}

/// A heartbeat's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Says {
    pub state: Durable,
    pub boot: u8,
    pub answers: u8,
}

/// What may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    pub crashes: u8,
    pub agent_crashes: u8,
    pub delays: u8,
    pub writes: u8,
    pub commands: u8,
    pub cancels: u8,
    pub losses: u8,
    pub fences: u8,
}

/// What must never have happened, as bits of `World::broken`.
pub const OVERWROTE_FORCED: u8 = 1;
pub const VIP_WITHOUT_ROLE: u8 = 2;
pub const PROMOTED_PART: u8 = 4;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub nodes: [Node; 2],
    /// Sent once, delivered any time, any number of times, in any order, or never.
    pub grants: Vec<Grant>,
    /// A heartbeat to this node that is late.
    pub late: [Option<Says>; 2],
    /// etcd: (epoch, owner).
    pub register: (u8, u8),
    pub budget: Budget,
    /// Rows a client was told are safe.
    pub acknowledged: u8,
    /// Owners of each epoch, as bits.
    pub owners: [u8; 8],
    pub broken: u8,
    pub rejoined: bool,
    pub switched: bool,
    /// A wrong person discarded data.
    pub discarded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Person {
    /// Nobody types.
    Absent,
    /// Types `solo` only if the peer is off and began no other epoch; switchover, abort and rejoin at any time.
    Truthful,
    /// Sees the peer off and does not ask whether it had taken over (4).
    Forgetful,
    /// Types `solo --force` at any time.
    Wrong,
}

/// What is checked: the start, the bounds, the faults.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub name: &'static str,
    pub arbiter: Arbiter,
    pub mutation: Option<Mutation>,
    pub environment: Option<Environment>,
    pub person: Person,
    pub budget: Budget,
    pub epoch_max: u8,
    pub join_max: u8,
    /// A standby's log reaches its disk later than its memory.
    pub lazy_flush: bool,
    /// From the start n1's heartbeats reach n2, none the other way, and no stream passes.
    pub one_way: bool,
    pub switchover: bool,
    /// Ask of every state whether a fair run from it ends well.
    pub settles: bool,
    /// Start with a paired, flagged pair instead of a solo primary and a fresh standby.
    pub paired: bool,
}

/// Counterexamples outside the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// As it is; the person is what is wrong (4).
    Nothing,
    /// 13. "The row was already there" is told without waiting.
    ConflictIsSuccess,
    /// 14. A cancelled wait is told as success.
    CancelIsSuccess,
    /// 15. A row seen committed by `local` is forgotten by the journal.
    LocalIsKnown,
    /// 18. `synchronous_commit = remote_write`.
    RemoteWrite,
}
