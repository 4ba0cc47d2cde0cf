//! What a decision asks the agent to do. Each is safe to repeat: a crash in between asks for it again.

use uuid::Uuid;

use crate::{Grant, Lsn, Names, Point, Register};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write the owned include (and the HBA switch), reset `synchronous_standby_names` in postgresql.auto.conf, and
    /// reload if PostgreSQL runs.
    WriteInclude(Include),
    /// Start as the data directory stands; with `standby` it must hold standby.signal.
    StartPostgres {
        standby: bool,
    },
    /// Fast shutdown, bounded; then immediate.
    StopPostgres,
    /// Commit the row (at, nonce) in a session of the agent's own that nobody cancels, and look whether it waits.
    BarrierCommit {
        at: Point,
        nonce: u64,
    },
    /// One more local WAL record: without it the barrier's release took ten seconds.
    EmitWal,
    SendGrant(Grant),
    /// Remember the replay position.
    NoteReplayed(Lsn),
    Promote,
    WriteEpochRow,
    /// Compare and set `from` (epoch) to `to`; an ambiguous answer is settled by the next linearizable read.
    CasEpoch {
        from: u64,
        to: Register,
    },
    /// Run the fence command; on success [`crate::Memory::fenced`].
    Fence(FenceProof),
    /// CHECKPOINT on the new primary, or pg_rewind may compare with an old control file.
    CheckpointPeer,
    Rewind,
    BaseBackup,
    RedisMaster,
    /// REPLICAOF the peer, CONFIG REWRITE.
    RedisReplica,
    /// The role file says primary.
    VipOffer,
    VipDrop,
    /// The command is answered: not done, why, and what it would cost.
    Refuse(&'static str),
    /// Shown by `tandem status` and logged once: what a person may type.
    Alarm(&'static str),
}

/// All that the owned include and the HBA say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Include {
    pub names: Names,
    /// Follow the peer under the name of this join.
    pub upstream: Option<Point>,
    /// Clients are let in; else replication and the agent only.
    pub clients: bool,
}

/// That the peer was off: valid only for the join, and for the boot of the peer, it was asked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FenceProof {
    pub at: Point,
    /// The peer's boot last heard of when the fence was asked.
    pub peer_boot: Option<Uuid>,
}
