//! The failover, as one table. The first row that fits is taken; its `why` is the log's text.
//!
//! A row either writes the state or acts, never both: whatever a crash interrupts lies between two rows, and the next
//! look at state and facts finds the row to go on with. States cause nothing by themselves; what differs from what
//! the state asks for does.
//!
//! Architecture invariant: a row never waits. What must be waited for is a fact of the next observation.

use crate::config::broken;
use crate::seen::Seen;
use crate::transition::To;
use crate::{Action, Arbiter, Command, Copied, Include, Mode, Names, Redis, Refused, Role, State};

/// The states a row is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Any,
    Primary,
    Solo,
    Paired,
    Standby,
    Rejoining,
    Demoted,
    Hold,
}

impl From {
    pub const fn includes(self, state: &State) -> bool {
        match self {
            Self::Any => true,
            Self::Primary => matches!(state.role, Role::Primary),
            Self::Solo => matches!((state.role, state.mode), (Role::Primary, Mode::Solo)),
            Self::Paired => matches!((state.role, state.mode), (Role::Primary, Mode::Paired)),
            Self::Standby => matches!(state.role, Role::Standby),
            Self::Rejoining => matches!(state.role, Role::Rejoining),
            Self::Demoted => matches!(state.role, Role::Demoted),
            Self::Hold => matches!(state.role, Role::Hold),
        }
    }
}

pub struct Row {
    pub name: &'static str,
    /// The protocol's rule.
    pub rule: u8,
    pub from: From,
    pub when: fn(&Seen) -> bool,
    pub to: To,
    pub does: fn(&Seen) -> Vec<Action>,
    pub why: &'static str,
}

/// A row that acts, or waits (an empty list).
const fn act(
    name: &'static str,
    rule: u8,
    from: From,
    when: fn(&Seen) -> bool,
    does: fn(&Seen) -> Vec<Action>,
    why: &'static str,
) -> Row {
    Row { name, rule, from, when, to: To::Same, does, why }
}

/// A row that writes.
const fn write(
    name: &'static str,
    rule: u8,
    from: From,
    when: fn(&Seen) -> bool,
    to: To,
    why: &'static str,
) -> Row {
    Row { name, rule, from, when, to, does: |_| Vec::new(), why }
}

/// The row of a standby whose engines a person keeps down.
pub const MAINTAINED: &str = "standby: maintained";

const SOLO: &str = "make sure that the other node is off and did not take over, then type on this node: \
    tandem solo --peer-is-dead";
const SOLO_STANDBY: &str = "start the primary; if it is dead for good, make sure that it did not go on alone after this node was away \
    (it was not solo when it died), then type on this node: tandem solo --peer-is-dead";
const REJOIN: &str = "this node's data is kept and its PostgreSQL stopped; if the other node has what must be kept, \
    type on this node: tandem rejoin --discard-local-data; if this one has, and the other is off: tandem solo --peer-is-dead; \
    if both hold, first on the one that has it: tandem solo --peer-is-dead --it-did-not-take-over --force";

const START_OTHER: &str = "start the other node: it has what this one is to be brought in line with; this one's own data cannot serve";

#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    // ---- every boot, before any network
    write("boot", 2, From::Any, |s| s.flag_of_another_boot() && s.arbiter() != Arbiter::Etcd && !broken!(s.config, FlagSurvivesReboot),
        To::GivenUp, "this node rebooted: it no longer knows that it may take over, and gives the join up"),

    // ---- hold: PostgreSQL stopped, data kept, a person asked
    act("hold: no address", 14, From::Hold, |s| s.observed.vip.offered, |_| vec![Action::VipDrop],
        "a held node has no virtual address"),
    act("hold: stop", 1, From::Hold, |s| s.postgres().running, |_| vec![Action::StopPostgres],
        "a held node's PostgreSQL is stopped"),
    act("hold: closed", 1, From::Hold, |s| s.postgres().complete && !s.is_closed(), |_| vec![Action::WriteInclude(Seen::closed())],
        "whoever starts a held node's PostgreSQL by hand finds it closed, and nothing acknowledged"),
    write("hold: rejoin", 10, From::Hold, |s| s.observed.command == Some(Command::Rejoin) && s.peer_is_primary(),
        To::Rejoining, "a person gave this node's data up: it is replaced by the other node's"),
    act("hold: ask etcd", 8, From::Hold, |s| s.arbiter() == Arbiter::Etcd && s.postgres().complete && s.state.owner == s.state.node && s.solo_asserted() && s.register_is_open(),
        |s| vec![Action::CasEpoch { from: s.state.epoch, to: s.next_register() }],
        "a person says that this held node's data counts: etcd is asked for the next epoch"),
    write("hold: commanded", 9, From::Hold, |s| s.postgres().complete && s.state.owner == s.state.node && s.solo_allowed(), To::SoloForced,
        "a person says that the other node is off and that this one's data counts: it goes on alone, its epoch marked as forced"),
    act("hold: refused", 9, From::Hold, |s| s.command_solo(),
        |_| vec![Action::Refuse("this node was not the primary last, the other node or its machine answers, another machine holds the virtual address, an assertion is missing, or etcd does not give it the next epoch; if the other node holds as well, and this one has what must be kept: --force, and what only the other has is given up")],
        "solo was asked for, and refused"),
    act("hold: wait", 10, From::Hold, |_| true, |_| vec![Action::Alarm(REJOIN)],
        "held: a person must say which data counts"),

    // ---- demoted: a planned switchover under way (11)
    act("demoted: no address", 14, From::Demoted, |s| s.observed.vip.offered, |_| vec![Action::VipDrop],
        "the switchover drops the virtual address first"),
    write("demoted: overtaken", 10, From::Demoted, |s| s.peer_ahead_safely(), To::Rejoining,
        "the other node took over as planned: this one becomes its standby"),
    write("demoted: forced", 10, From::Demoted, |s| s.peer_ahead(), To::Hold,
        "the other node's epoch was forced by a person, or is not its own: nothing here is overwritten by itself"),
    write("demoted: abort", 11, From::Demoted, |s| s.observed.command == Some(Command::Abort) || s.observed.overdue || s.given_up(),
        To::Aborted, "the switchover is called off: the other node did not take over, this one is primary again"),
    act("demoted: stop", 11, From::Demoted, |s| s.postgres().running, |_| vec![Action::StopPostgres],
        "the switchover stops PostgreSQL cleanly, its last log goes to the standby"),
    act("demoted: wait", 11, From::Demoted, |_| true, |_| vec![],
        "demoted: the standby is to take over"),

    // ---- a primary that learns it is not the one
    write("solo: rejoin (wrong)", 10, From::Solo, |s| broken!(s.config, RejoinSolo) && s.peer_is_primary() && !s.peer_is(|peer| peer.forced) && (s.peer_ahead() || s.rival()),
        To::Rejoining, "a broken rule"),
    write("primary: rival", 10, From::Primary, |s| s.rival(), To::Hold,
        "the other node owns the same epoch: one of two was told something wrong, both keep their data"),
    write("solo: overtaken", 10, From::Solo, |s| s.peer_ahead(), To::Hold,
        "a higher epoch exists, but this node acknowledged alone: its data is never overwritten by itself"),
    act("paired: overtaken, no address", 14, From::Paired, |s| s.peer_ahead() && s.observed.vip.offered, |_| vec![Action::VipDrop],
        "the other node took over: the virtual address is its own"),
    write("paired: overtaken", 10, From::Paired, |s| s.peer_ahead_safely(), To::Rejoining,
        "the other node took over: all that was acknowledged here is there, this node becomes its standby"),
    write("paired: forced", 10, From::Paired, |s| s.peer_ahead(), To::Hold,
        "the other node's epoch was forced by a person, or is not its own: nothing here is overwritten by itself"),

    act("primary: hung", 12, From::Primary, |s| s.postgres().running && s.postgres().hung, |_| vec![Action::StopPostgres],
        "PostgreSQL runs and answers nobody: it is stopped, and started anew"),

    // ---- a paired primary goes on alone: by a give-up, the arbiter or a person (6, 8, 9)
    write("solo: commanded", 9, From::Paired, |s| s.arbiter() != Arbiter::Etcd && s.solo_asserted(), To::SoloForced,
        "a person says the other node is off and did not take over: this one goes on alone, its epoch marked as forced"),
    act("solo: ask etcd", 8, From::Paired, |s| s.arbiter() == Arbiter::Etcd && s.register_is_open() && (s.gone() || s.solo_asserted() || s.given_up() && s.observed.overdue),
        |s| vec![Action::CasEpoch { from: s.state.epoch, to: s.next_register() }],
        "the standby is gone: this node asks etcd for the next epoch"),
    write("solo: granted", 9, From::Paired, |s| s.solo_asserted() && s.register_is_mine(), To::Solo,
        "a person says that the other node is off, and etcd gave this one the next epoch: nobody can have taken over, it goes on alone"),
    act("solo: refused", 9, From::Paired, |s| s.command_solo(),
        |_| vec![Action::Refuse("the other node or its machine answers, another machine holds the virtual address, an assertion is missing, or etcd does not give this node the next epoch; if you go on alone while it took over, what either acknowledges since is on one side only: --force if you are sure")],
        "solo was asked for, and refused"),
    write("solo: arbiter", 8, From::Paired, |s| s.alone(), To::Solo,
        "the standby is gone and the arbiter makes sure of it: this node goes on alone"),
    write("solo: given up", 6, From::Paired, |s| s.arbiter() != Arbiter::Etcd && s.given_up() && s.observed.overdue, To::Solo,
        "the standby gave this join up and does not come back in time: it can never take over by it, this node goes on alone"),

    // ---- a primary's PostgreSQL
    write("primary: no data", 1, From::Primary, |s| !s.postgres().complete && !broken!(s.config, CopyWithFlag), To::Hold,
        "this primary's data directory is not whole"),
    act("held primary (wrong): promote", 7, From::Paired, |s| s.promotes_held_primary() && s.postgres().running && s.postgres().standby,
        |_| vec![Action::Promote], "a broken rule"),
    act("paired: start", 3, From::Paired, |s| s.stopped(),
        |s| vec![Action::WriteInclude(s.include(s.names_of_mode())), Action::StartPostgres { standby: s.promotes_held_primary() }],
        "PostgreSQL starts as primary, waiting for its standby from the first commit on; clients wait for a barrier"),
    act("solo: start", 3, From::Solo, |s| s.stopped(),
        |s| vec![Action::WriteInclude(s.include(Names::Empty)), Action::StartPostgres { standby: s.postgres().standby }],
        "PostgreSQL starts; this node is the only one that counts"),

    // ---- take-over, from wherever a crash left it (7)
    act("take-over: alone", 7, From::Solo, |s| s.postgres().standby && (s.postgres().names != Names::Empty || s.postgres().upstream.is_some()),
        |s| vec![Action::WriteInclude(Include { clients: false, ..s.include(Names::Empty) })],
        "take-over: waits for nobody, follows nobody"),
    act("take-over: receiver", 7, From::Solo, |s| s.postgres().standby && s.postgres().receiver, |_| vec![],
        "take-over: the walreceiver is still there"),
    act("take-over: promote", 7, From::Solo, |s| s.postgres().standby,
        |s| vec![Action::NoteReplayed(s.postgres().replay), Action::Promote],
        "take-over: PostgreSQL is promoted"),
    write("take-over: too short", 7, From::Solo, |s| s.postgres().switch_point.zip(s.postgres().noted).is_some_and(|(began, noted)| began < noted), To::Hold,
        "the new timeline begins before the end of what was replayed: acknowledged commits would be missing"),

    // ---- switchover (11)
    act("switchover: no address", 11, From::Paired, |s| s.observed.command == Some(Command::Switchover) && s.switchover_ready() && s.observed.vip.offered, |_| vec![Action::VipDrop],
        "switchover: the virtual address is dropped first"),
    write("switchover: demote", 11, From::Paired, |s| s.observed.command == Some(Command::Switchover) && s.switchover_ready(), To::Demoted,
        "switchover: this node steps down, the standby may take over"),
    act("switchover: refused", 11, From::Primary, |s| s.observed.command == Some(Command::Switchover),
        |s| s.switchover_refusal().map(Action::Refuse).into_iter().collect(),
        "a switchover was asked for, and refused"),

    act("unfit: no address", 11, From::Paired, |s| s.outserved() && s.observed.vip.offered, |_| vec![Action::VipDrop],
        "an engine is silent here, or keepalived was stopped, and the standby can serve: the virtual address is dropped first"),
    write("unfit: demote", 11, From::Paired, |s| s.outserved(), To::Demoted,
        "this node cannot serve calls and its standby can: it steps down as by a planned switchover"),

    // ---- join, (a) to (d) (4)
    act("join: grant (wrong)", 4, From::Solo, |s| broken!(s.config, GrantBeforeDurable) && s.grant_to_send().is_some(),
        |s| s.grant_to_send().into_iter().map(Action::SendGrant).collect(), "a broken rule"),
    write("join: paired", 4, From::Primary, |s| s.barrier_passed(), To::Paired,
        "join (d): the barrier's commit was acknowledged by the standby; from now on nothing is acknowledged without it"),
    act("join: names", 4, From::Primary, |s| s.may_join() && s.postgres().names == Names::Barrier && (s.barrier_waits() || broken!(s.config, NoBarrier)),
        |s| vec![Action::WriteInclude(s.include(Names::Peer(s.target()))), Action::EmitWal],
        "join (c): the barrier's commit was seen to wait; now it waits for the standby"),
    act("join: wait", 4, From::Primary, |s| s.may_join() && s.postgres().names == Names::Peer(s.target()) && s.barrier_waits(), |_| vec![],
        "join: the barrier's commit waits for the standby"),
    act("join: barrier", 4, From::Primary, |s| s.may_join() && s.postgres().names == Names::Barrier
            && s.postgres().barrier.is_none_or(|it| it.at != s.target() || it.returned),
        |s| vec![Action::BarrierCommit { at: s.target(), nonce: s.postgres().flush }],
        "join (b): a commit must be seen to wait, or synchronous replication is not effective yet"),
    act("join: look", 4, From::Primary, |s| s.may_join() && s.postgres().names == Names::Barrier, |_| vec![],
        "join: the barrier's commit is not seen waiting yet"),
    act("join: begin", 4, From::Primary, |s| s.may_join(), |s| vec![Action::WriteInclude(s.include(Names::Barrier))],
        "join (a): a standby streams and is nearly caught up: all commits wait until it is proven"),
    act("primary: names", 4, From::Primary, |s| s.postgres().names != s.names_of_mode() || s.postgres().upstream.is_some(),
        |s| vec![Action::WriteInclude(s.include(s.names_of_mode()))],
        "PostgreSQL waits for whom the state names, nobody else"),

    // ---- clients, grant, Redis, address
    act("paired: barrier", 3, From::Paired, |s| !s.postgres().clients && s.postgres().barrier.is_none_or(|it| it.at != s.state.at()),
        |s| vec![Action::BarrierCommit { at: s.state.at(), nonce: s.postgres().flush }],
        "before clients are let in, all that they could see must be on both nodes"),
    act("clients", 3, From::Primary, |s| !s.postgres().clients && (s.state.mode == Mode::Solo || s.barrier_of_start()),
        |s| vec![Action::WriteEpochRow, Action::WriteInclude(Include { clients: true, ..s.include(s.names_of_mode()) })],
        "clients are let in"),
    act("primary: slot", 10, From::Primary, |s| s.postgres().clients && !s.postgres().slot && s.peer().is_some(), |_| vec![Action::WriteEpochRow],
        "the other node's replication slot is not there, or lost its log: it is made anew"),
    act("paired: grant", 4, From::Paired, |s| s.grant_to_send().is_some(),
        |s| s.grant_to_send().into_iter().map(Action::SendGrant).collect(),
        "join (e): the standby is told that it may take over"),
    act("primary: redis", 15, From::Primary, |s| s.postgres().clients && s.observed.redis == Redis::ReplicaOfPeer, |_| vec![Action::RedisMaster],
        "Redis follows PostgreSQL's role"),
    act("primary: address lost", 14, From::Primary, |s| s.observed.vip.offered && (s.address_claimed() || !s.observed.vip.gateway_reached), |_| vec![Action::VipDrop],
        "another machine claims the virtual address, or the gateway is not reached"),
    act("primary: address", 14, From::Primary, |s| !s.observed.vip.offered && s.postgres().clients && !s.address_claimed() && s.observed.vip.gateway_reached,
        |_| vec![Action::VipOffer], "the virtual address follows the writer"),
    act("solo: ask fence", 8, From::Paired, |s| s.arbiter() == Arbiter::Fence && s.gone() && s.may_fence(),
        |s| vec![Action::Fence(s.fence_to_ask())],
        "the standby is gone: it is powered off before this node goes on alone"),
    act("paired: limbo", 8, From::Paired, |s| s.gone(), |_| vec![Action::Alarm(SOLO)],
        "the standby is away: calls go on, acknowledged writes wait"),
    act("paired: behind", 4, From::Paired, |s| s.postgres().follower.is_none(), |_| vec![],
        "the standby is there, and does not stream yet or is behind: acknowledged writes wait for it"),
    act("primary: steady", 0, From::Primary, |_| true, |_| vec![], "as it should be: this node is the one to write to"),

    // ---- standby: take-over and its gates (7, 8)
    act("address on silence (wrong)", 14, From::Standby, |s| broken!(s.config, VipOnSilence) && s.peer().is_none() && !s.observed.vip.offered,
        |_| vec![Action::VipOffer], "a broken rule"),
    write("take-over (wrong): burn", 7, From::Standby, |s| broken!(s.config, TakeOverInTwoWrites) && s.gone() && s.flagged(), To::GivenUp, "a broken rule"),
    write("take-over", 7, From::Standby, |s| s.take_over(), To::TakenOver,
        "the primary is gone, or stepped down; this standby is proven and may take over: it is primary of the next epoch, alone"),
    act("take-over: ask etcd", 8, From::Standby, |s| s.arbiter() == Arbiter::Etcd && s.gone() && s.flagged() && s.register_is_open(),
        |s| vec![Action::CasEpoch { from: s.state.epoch, to: s.next_register() }],
        "the primary is gone: this standby asks etcd for the next epoch"),
    write("take-over: commanded", 9, From::Standby, |s| s.proven() && s.solo_allowed(), To::TakenOverForced,
        "a person says the primary is off and did not go on alone: this standby, proven complete, takes over; its epoch is forced"),
    act("take-over: refused", 9, From::Standby, |s| s.command_solo(),
        |_| vec![Action::Refuse("this standby was not proven complete for the present join, the primary or its machine answers, another machine holds the virtual address, or an assertion is missing: start the primary instead")],
        "solo was asked for, and refused"),

    // ---- standby: its data and its upstream
    act("standby: hung", 12, From::Standby, |s| s.postgres().running && s.postgres().hung, |_| vec![Action::StopPostgres],
        "this standby's PostgreSQL runs and answers nobody: it is stopped, and started anew"),
    write("standby: no data", 10, From::Standby, |s| !s.postgres().complete && s.peer_is_primary(), To::Rejoining,
        "the data directory is not whole: it is copied again"),
    write("standby: refused, forced", 10, From::Standby, |s| s.postgres().refused == Some(Refused::Diverged) && s.peer_is(|peer| peer.forced), To::Hold,
        "this standby's log is no part of a forced epoch: nothing here is overwritten by itself"),
    act("base copy (wrong)", 10, From::Standby, |s| broken!(s.config, CopyWithFlag) && s.postgres().refused.is_some() && s.peer_is_primary(),
        |_| vec![Action::StopPostgres, Action::BaseBackup], "a broken rule"),
    write("standby: refused", 10, From::Standby, |s| s.postgres().refused.is_some() && s.my_primary().is_some(), To::Rejoining,
        "the primary cannot continue this standby's log: the join is given up, and the data brought in line"),
    write("standby: follow", 4, From::Standby, |s| s.peer_ahead() && s.peer_is_primary() && s.state.owner == s.config.peer, To::Following,
        "the primary began a new epoch on the same timeline: this standby goes with it"),
    write("standby: next join", 4, From::Standby, |s| s.my_primary().is_some_and(|primary| s.wanted(primary, s.state.mark) > s.state.at()), To::Following,
        "the primary is to join this standby anew"),
    write("flag", 5, From::Standby, |s| s.grant().is_some(), To::Flagged,
        "the join is proven here: this standby may take over"),
    write("standby: maintenance", 6, From::Standby, |s| s.observed.maintenance && s.state.flag.is_some(), To::GivenUp,
        "a planned stop: the join is given up first, so that the primary may go on"),
    act("standby: stop", 6, From::Standby, |s| s.observed.maintenance && s.postgres().running, |_| vec![Action::StopPostgres],
        "maintenance: PostgreSQL stops"),
    act(MAINTAINED, 6, From::Standby, |s| s.observed.maintenance, |_| vec![], "maintenance"),
    act("standby: no address", 14, From::Standby, |s| s.observed.vip.offered && !broken!(s.config, VipOnSilence), |_| vec![Action::VipDrop],
        "a standby has no virtual address"),
    act("standby: redis", 15, From::Standby, |s| s.observed.redis == Redis::Master && s.my_primary().is_some(), |_| vec![Action::RedisReplica],
        "a standby that was just joined: Redis becomes the master's replica"),
    act("standby: start", 3, From::Standby, |s| s.stopped() && s.postgres().complete && s.postgres().standby,
        |s| vec![Action::WriteInclude(Include { names: Names::Empty, upstream: Some(s.state.at()), clients: false }), Action::StartPostgres { standby: true }],
        "PostgreSQL starts as standby"),
    write("standby: not one", 1, From::Standby, |s| s.postgres().complete && !s.postgres().standby, To::Hold,
        "the state says standby, the data directory is a primary's: one of the two is not this node's"),
    act("standby: upstream", 4, From::Standby, |s| s.postgres().running && (s.postgres().upstream != Some(s.state.at()) || s.postgres().names != Names::Empty),
        |s| vec![Action::WriteInclude(Include { names: Names::Empty, upstream: Some(s.state.at()), clients: false })],
        "the standby streams under the name of its join"),
    act("take-over: ask fence", 8, From::Standby, |s| s.arbiter() == Arbiter::Fence && s.gone() && s.flagged(),
        |s| vec![Action::Fence(s.fence_to_ask())],
        "the primary is gone: it is powered off before this standby takes over"),
    act("standby: lone", 9, From::Standby, |s| s.gone() && !s.flagged(), |_| vec![Action::Alarm(SOLO_STANDBY)],
        "the primary is gone, and this standby may not take over: it waits for it"),
    act("standby: steady", 0, From::Standby, |_| true, |_| vec![], "as it should be: this node follows the primary"),

    // ---- rejoining (10)
    act("rejoin: no address", 14, From::Rejoining, |s| s.observed.vip.offered, |_| vec![Action::VipDrop],
        "a rejoining node has no virtual address"),
    act("rejoin: stop", 10, From::Rejoining, |s| s.postgres().running, |_| vec![Action::StopPostgres],
        "rejoin: PostgreSQL stops, its data is to be replaced"),
    write("rejoin: forced", 10, From::Rejoining, |s| s.peer_ahead() && !s.peer_ahead_safely(), To::Hold,
        "the other node's epoch was forced meanwhile: nothing here is overwritten by itself"),
    act("rejoin: redis", 15, From::Rejoining, |s| s.observed.redis == Redis::Master && s.peer_is_primary(), |_| vec![Action::RedisReplica],
        "rejoin: Redis becomes the new master's replica"),
    act("rejoin: wait", 10, From::Rejoining, |s| !s.peer_is_primary(), |_| vec![Action::Alarm(START_OTHER)],
        "rejoin: the primary is not heard"),
    write("rejoin: done", 10, From::Rejoining, |s| s.postgres().complete && (s.postgres().copy == Copied::Whole
            || s.postgres().copy == Copied::NothingToRewind && (s.postgres().standby || broken!(s.config, BelieveNothingToRewind))), To::Standby,
        "rejoin: the data is in line, this node is standby"),
    act("rejoin: copy", 10, From::Rejoining, |s| !s.postgres().complete || s.postgres().refused == Some(Refused::LogGone) || matches!(s.postgres().copy, Copied::Failed | Copied::NothingToRewind),
        |_| vec![Action::BaseBackup],
        "rejoin: this was a primary and nothing is to rewind, or a copy was interrupted, or the log is gone: a base copy"),
    act("rejoin: rewind", 10, From::Rejoining, |_| true, |_| vec![Action::CheckpointPeer, Action::Rewind],
        "rejoin: pg_rewind to the new primary's timeline"),
];
