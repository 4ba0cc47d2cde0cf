//! What a node sees when it decides. Plain data: who gathers it, and how often, is the agent's business.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Memory, Point, State};

/// A position in the write-ahead log, in bytes, as `pg_lsn` counts.
pub type Lsn = u64;

/// One look at everything that counts.
#[derive(Debug, Clone)]
pub struct Observation {
    /// /proc/sys/kernel/random/boot_id.
    pub boot_id: Uuid,
    /// The newest heartbeat of the last five intervals, on either network. None: silence.
    pub peer: Option<Heard>,
    pub memory: Memory,
    /// The newest grant received.
    pub grant: Option<Grant>,
    pub postgres: Postgres,
    pub redis: Redis,
    pub vip: Vip,
    /// etcd's answer to a linearizable read just now. None: not asked, not reached, or no etcd.
    pub register: Option<Register>,
    pub command: Option<Command>,
    /// The other machine answers on some address of its own, whatever its agent does: asked when a person says it is off.
    pub peer_answers: bool,
    /// This node cannot serve calls, and does not come back by itself: an engine is silent, or somebody stopped keepalived.
    pub unfit: bool,
    /// `tandem maintenance on`: this node's engines stay down.
    pub maintenance: bool,
    /// What the row that is waiting waits for has taken longer than its bound.
    pub overdue: bool,
}

/// A heartbeat, authenticated, of this cluster and of a version known here.
#[derive(Debug, Clone)]
pub struct Heard {
    pub state: State,
    pub boot_id: Uuid,
    /// It repeats a sequence number of mine that is no older than five intervals: the peer hears me too.
    pub echoes_me: bool,
    /// The boot id of mine it last heard.
    pub answers: Option<Uuid>,
    /// It is there, but its PostgreSQL died and does not come back.
    pub postgres_failed: bool,
    /// Its PostgreSQL does not run: what a demoted node says when its last log is sent.
    pub postgres_stopped: bool,
    /// It could serve calls: its engines answer, and its keepalived runs.
    pub fit: bool,
}

/// The primary's word to its standby that the join `at` is proven and durable: up to `lsn` all is acknowledged by both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    pub at: Point,
    pub lsn: Lsn,
    /// Written in the barrier's row: reading it in the own database proves whose log was replayed.
    pub nonce: u64,
    /// The standby's boot this grant is for.
    pub boot_id: Uuid,
}

/// What `synchronous_standby_names` says: as written and reloaded, which backends may not have noticed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Empty,
    /// [`crate::BARRIER`]: every commit waits, for nobody.
    Barrier,
    /// The peer in this join ([`crate::Standby`]).
    Peer(Point),
    /// Somebody else's word, such as `*` in postgresql.auto.conf of a base copy.
    Other,
}

/// PostgreSQL, running or not.
#[derive(Debug, Clone)]
pub struct Postgres {
    pub running: bool,
    /// It runs, and has answered nobody for longer than its bound: frozen, or its disk is.
    pub hung: bool,
    /// The data directory is whole: no copy or rewind into it was interrupted.
    pub complete: bool,
    /// `standby.signal` is there (stopped), or the server is in recovery (running).
    pub standby: bool,
    pub names: Names,
    /// Whom, and in which join, `primary_conninfo` follows.
    pub upstream: Option<Point>,
    pub receiver: bool,
    /// The HBA lets clients in.
    pub clients: bool,
    /// Flushed here, in bytes of the log.
    pub flush: Lsn,
    /// Replayed here: the end of a whole record.
    pub replay: Lsn,
    /// Where this timeline began, if it did since the receive position was noted.
    pub switch_point: Option<Lsn>,
    /// The standby that streams from here and is nearly caught up.
    pub follower: Option<Point>,
    /// The barrier commit this agent's session has under way.
    pub barrier: Option<Barrier>,
    /// The newest barrier row readable in this database.
    pub row: Option<Row>,
    /// The peer's replication slot is there, and has its log.
    pub slot: bool,
    /// The upstream cannot serve this standby's log: diverged, or removed.
    pub refused: Option<Refused>,
    /// What the copy of this rejoin came to, as far as this agent knows.
    pub copy: Copied,
    /// The replay position noted before promotion.
    pub noted: Option<Lsn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barrier {
    pub at: Point,
    /// `pg_stat_activity` showed its backend with wait_event SyncRep: synchronous replication is effective.
    pub seen_waiting: bool,
    pub returned: bool,
}

/// A barrier's row in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    pub at: Point,
    pub nonce: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// "requested starting point is ahead", "is not in this server's history".
    Diverged,
    /// "requested WAL segment has already been removed".
    LogGone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Copied {
    Not,
    /// pg_rewind or pg_basebackup ended well; the data is a standby's.
    Whole,
    /// pg_rewind said "no rewind required".
    NothingToRewind,
    /// pg_rewind failed, or the upstream no longer has the log a rewound server needs.
    Failed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redis {
    Down,
    Master,
    ReplicaOfPeer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vip {
    /// keepalived is told to hold the address (the role file says so).
    pub offered: bool,
    /// Another MAC answers for it.
    pub claimed_by_other: bool,
    /// A veto, never a permission.
    pub gateway_reached: bool,
}

/// etcd's row of this cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    pub epoch: u64,
    pub owner: String,
}

/// What a person typed on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `tandem solo --peer-is-dead`: the two assertions, and whether the refusals are overruled.
    Solo { peer_is_off: bool, peer_did_not_take_over: bool, force: bool },
    /// `tandem switchover`, on the primary.
    Switchover,
    /// `tandem switchover --abort`
    Abort,
    /// `tandem rejoin --discard-local-data`
    Rejoin,
}
