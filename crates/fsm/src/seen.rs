//! The questions the table's guards ask. Each is one idea of the protocol, by its name.

use crate::config::broken;
use crate::{
    Arbiter, Command, Config, FenceProof, Grant, Heard, Include, Mode, Names, Observation, Point, Postgres,
    Register, Role, State,
};

/// A state and what was observed in it.
pub struct Seen<'a> {
    pub state: &'a State,
    pub observed: &'a Observation,
    pub config: &'a Config,
}

impl<'a> Seen<'a> {
    pub const fn postgres(&self) -> &'a Postgres {
        &self.observed.postgres
    }

    pub fn peer(&self) -> Option<&'a Heard> {
        self.observed.peer.as_ref()
    }

    pub fn peer_is(&self, what: impl Fn(&State) -> bool) -> bool {
        self.peer().is_some_and(|heard| what(&heard.state))
    }

    // ---- the peer

    /// Rule 12. A peer that does not hear me counts as gone: it will call me gone too.
    pub fn gone(&self) -> bool {
        self.peer().is_none_or(|heard| {
            let deaf = !heard.echoes_me && !broken!(self.config, NoEcho);
            let stepped_down = heard.state.role == Role::Demoted && heard.postgres_stopped;
            deaf || heard.postgres_failed || stepped_down
        })
    }

    pub fn peer_ahead(&self) -> bool {
        self.peer_is(|peer| peer.epoch > self.state.epoch)
    }

    /// The peer owns a higher epoch that no person forced: what rule 10 lets a node rejoin to.
    pub fn peer_ahead_safely(&self) -> bool {
        let forced_too = broken!(self.config, RejoinForced);
        self.peer_ahead()
            && self.peer_is(|peer| peer.owner == self.config.peer && (!peer.forced || forced_too))
    }

    /// The same epoch with another owner: one of us was told something wrong.
    pub fn rival(&self) -> bool {
        self.peer_is(|peer| peer.epoch == self.state.epoch && peer.owner != self.state.owner)
    }

    pub fn peer_is_primary(&self) -> bool {
        self.peer_is(|peer| peer.role == Role::Primary && peer.owner == self.config.peer)
    }

    /// A primary with the same epoch as mine, which I follow.
    pub fn my_primary(&self) -> Option<&'a State> {
        let state = &self.peer()?.state;
        let mine =
            state.role == Role::Primary && state.owner == self.state.owner && state.epoch == self.state.epoch;
        (mine && self.state.owner == self.config.peer).then_some(state)
    }

    pub fn my_standby(&self) -> Option<&'a Heard> {
        self.peer().filter(|heard| {
            let state = &heard.state;
            state.role == Role::Standby && state.epoch == self.state.epoch && state.owner == self.state.node
        })
    }

    /// Rule 6: this join of mine is dead for ever, the peer will never take over by it.
    pub fn given_up(&self) -> bool {
        if broken!(self.config, GiveUpWithoutJoin) {
            return self.peer_is(|peer| peer.mark.epoch >= self.state.epoch);
        }
        self.peer_is(|peer| peer.mark >= self.state.at())
    }

    // ---- the flag

    pub fn flag_of_another_boot(&self) -> bool {
        self.state.flag.is_some_and(|flag| flag.boot_id != self.observed.boot_id)
    }

    pub fn flagged(&self) -> bool {
        self.state.flag.is_some_and(|flag| Point { epoch: flag.epoch, join: flag.join } == self.state.at())
    }

    /// This standby was proven for this join, though its flag may be burnt: what its primary acknowledged in it is here.
    pub fn proven(&self) -> bool {
        self.flagged() || self.state.mark == self.state.at()
    }

    /// Rule 5.
    pub fn grant(&self) -> Option<Grant> {
        let grant = self.observed.grant?;
        let postgres = self.postgres();
        let boot = grant.boot_id == self.observed.boot_id || broken!(self.config, GrantNotBoundToBoot);
        let row = postgres.row.is_some_and(|row| row.at == grant.at && row.nonce == grant.nonce)
            || broken!(self.config, NoBarrier);
        let fits = grant.at == self.state.at() && grant.at > self.state.mark && boot && row;
        (fits && !self.flagged() && postgres.running && postgres.standby && postgres.flush >= grant.lsn)
            .then_some(grant)
    }

    /// The grant a primary may send: its standby is of this join, and has no flag yet.
    pub fn grant_to_send(&self) -> Option<Grant> {
        let peer = self.my_standby()?;
        let postgres = self.postgres();
        let early = broken!(self.config, GrantBeforeDurable) && self.state.mode == Mode::Solo;
        let at = if early { self.target() } else { self.state.at() };
        let flagged = peer.state.flag.is_some_and(|flag| Point { epoch: flag.epoch, join: flag.join } >= at);
        let row = postgres.row.filter(|row| row.at == at);
        let nonce = if broken!(self.config, NoBarrier) { 0 } else { row?.nonce };
        let ready = postgres.running && !postgres.standby && postgres.names == Names::Peer(at);
        let proven = !early || postgres.barrier.is_some_and(|barrier| barrier.at == at && barrier.returned);
        (ready && proven && peer.state.join == at.join && peer.state.mark < at && !flagged).then_some(Grant {
            at,
            lsn: postgres.flush,
            nonce,
            boot_id: peer.boot_id,
        })
    }

    // ---- gates (rule 8)

    pub fn register_is_mine(&self) -> bool {
        self.observed
            .register
            .as_ref()
            .is_some_and(|it| it.epoch == self.state.epoch + 1 && it.owner == self.state.node)
    }

    /// The next epoch is nobody's yet.
    pub fn register_is_open(&self) -> bool {
        self.observed.register.as_ref().is_some_and(|it| it.epoch == self.state.epoch)
    }

    pub fn next_register(&self) -> Register {
        Register { epoch: self.state.epoch + 1, owner: self.state.node.clone() }
    }

    pub const fn arbiter(&self) -> Arbiter {
        self.config.arbiter
    }

    pub const fn fence_to_ask(&self) -> FenceProof {
        FenceProof { at: self.state.at(), peer_boot: self.observed.memory.peer_boot }
    }

    /// The peer was fenced, in this join, and no other boot of it was heard since.
    pub fn fenced(&self) -> bool {
        self.observed
            .memory
            .fence
            .is_some_and(|proof| proof == self.fence_to_ask() || broken!(self.config, StaleFence))
    }

    /// A rebooted primary may not fence until its standby has answered the new boot.
    pub fn may_fence(&self) -> bool {
        self.observed.memory.answered || broken!(self.config, FenceAtOnce)
    }

    /// Rule 7: take-over.
    pub fn take_over(&self) -> bool {
        let flag = if broken!(self.config, TakeOverInTwoWrites) { self.burnt() } else { self.flagged() };
        flag && self.observed.vip.gateway_reached
            && match self.arbiter() {
                Arbiter::None => self.gone(),
                Arbiter::Fence => {
                    self.gone() && (self.fenced() || broken!(self.config, FenceGatesPrimaryOnly))
                }
                Arbiter::Etcd => {
                    self.register_is_mine() || (self.gone() && broken!(self.config, EtcdGatesPrimaryOnly))
                }
            }
    }

    /// Mutation 16.
    pub fn promotes_held_primary(&self) -> bool {
        broken!(self.config, PromoteHeldPrimary) || broken!(self.config, BelieveNothingToRewind)
    }

    /// Mutation 5's second half.
    pub fn burnt(&self) -> bool {
        self.state.flag.is_none() && self.state.mark == self.state.at()
    }

    /// A paired primary goes on alone because the arbiter says so.
    pub fn alone(&self) -> bool {
        match self.arbiter() {
            Arbiter::None => false,
            Arbiter::Fence => self.gone() && self.may_fence() && self.fenced(),
            Arbiter::Etcd => self.register_is_mine(),
        }
    }

    // ---- joins (rule 4)

    /// The join this primary would make next.
    pub const fn target(&self) -> Point {
        self.state.next_join()
    }

    /// A standby for it streams, and is nearly caught up.
    pub fn candidate(&self) -> bool {
        self.postgres().follower == Some(self.target())
    }

    /// A solo primary may join whom it likes; a paired one only after its standby gave the present join up.
    pub fn may_join(&self) -> bool {
        self.candidate() && (self.state.mode == Mode::Solo || self.given_up())
    }

    /// (b) is seen to wait: nothing released it, so synchronous replication has been effective since.
    pub fn barrier_waits(&self) -> bool {
        self.postgres().barrier.is_some_and(|it| it.at == self.target() && it.seen_waiting && !it.returned)
    }

    /// (c) came true. A barrier that returned before (c) has been replaced by a new one (the table's `join: barrier`).
    pub fn barrier_passed(&self) -> bool {
        let passed = |it: crate::Barrier| it.at == self.target() && it.seen_waiting && it.returned;
        let seen_in_sync = broken!(self.config, NoBarrier) && self.candidate();
        self.postgres().names == Names::Peer(self.target())
            && (seen_in_sync || self.postgres().barrier.is_some_and(passed))
    }

    /// The join a standby should follow its primary in: the present one, or the next if that one is dead or not yet made.
    pub fn wanted(&self, primary: &State, mark: Point) -> Point {
        let next = primary.mode == Mode::Solo || mark >= primary.at();
        if next { primary.next_join() } else { primary.at() }
    }

    /// Rule 14: a primary that cannot acknowledge keeps the address until another machine claims it. Whoever can acknowledge is
    /// the one that the address belongs to, whatever an older holder still says.
    pub fn address_claimed(&self) -> bool {
        self.observed.vip.claimed_by_other && self.state.mode == Mode::Paired && self.gone()
    }

    // ---- PostgreSQL

    /// A primary's include: whom it waits for.
    pub const fn names_of_mode(&self) -> Names {
        match self.state.mode {
            Mode::Solo => Names::Empty,
            Mode::Paired => Names::Peer(self.state.at()),
        }
    }

    pub fn include(&self, names: Names) -> Include {
        Include { names, upstream: None, clients: self.postgres().running && self.postgres().clients }
    }

    pub fn stopped(&self) -> bool {
        !self.postgres().running
    }

    /// The commit that closes a start: all that was visible before it is on both nodes.
    pub fn barrier_of_start(&self) -> bool {
        self.postgres().barrier.is_some_and(|it| it.at == self.state.at() && it.returned)
    }

    pub fn command_solo(&self) -> bool {
        matches!(self.observed.command, Some(Command::Solo { .. }))
    }

    /// Rule 9: both assertions, and nothing that speaks against them.
    pub fn solo_asserted(&self) -> bool {
        let Some(Command::Solo { peer_is_off, peer_did_not_take_over, force }) = self.observed.command else {
            return false;
        };
        let contradicted =
            self.peer().is_some() || self.observed.peer_answers || self.observed.vip.claimed_by_other;
        peer_is_off && peer_did_not_take_over && (force || !contradicted)
    }

    /// A person's word is never above etcd's (rule 8).
    pub fn solo_allowed(&self) -> bool {
        self.solo_asserted() && (self.arbiter() != Arbiter::Etcd || self.register_is_mine())
    }

    /// What a held node's server would run with, if somebody started it by hand: it lets nobody in, and acknowledges nothing.
    pub const fn closed() -> Include {
        Include { names: Names::Barrier, upstream: None, clients: false }
    }

    pub fn is_closed(&self) -> bool {
        let postgres = self.postgres();
        postgres.names == Names::Barrier && postgres.upstream.is_none() && !postgres.clients
    }

    /// Rule 11: the standby can take over at once.
    pub fn switchover_ready(&self) -> bool {
        self.switchover_refusal().is_none()
    }

    /// What a person is told of a switchover that cannot be, and what to do about it.
    pub fn switchover_refusal(&self) -> Option<&'static str> {
        let at = self.state.at();
        let proven = |heard: &Heard| {
            heard.state.flag.map(|flag| Point { epoch: flag.epoch, join: flag.join }) == Some(at)
        };
        if self.peer().is_none() {
            return Some("the other node is not heard, and a switchover needs both: bring it back first");
        }
        if self.state.mode != Mode::Paired {
            return Some("no standby follows this node yet: try again once tandem status says that one does");
        }
        let Some(standby) = self.my_standby() else {
            return Some(
                "the other node is not a standby of this one: see tandem status for what it does, or waits for",
            );
        };
        if !standby.echoes_me {
            return Some(
                "the standby does not hear this node yet: try again in a few seconds, or see tandem status",
            );
        }
        if self.postgres().follower != Some(at) {
            return Some(
                "the standby does not stream, or lags behind what was acknowledged here: try again once tandem status says that it follows",
            );
        }
        if !proven(standby) {
            return Some(
                "the standby may not take over yet, its join is not proven: try again in a few seconds, or see tandem status",
            );
        }
        None
    }

    /// This primary cannot serve calls, and its standby can.
    pub fn outserved(&self) -> bool {
        // A fence would power this node off for it.
        self.arbiter() != Arbiter::Fence
            && self.observed.unfit
            && self.switchover_ready()
            && self.my_standby().is_some_and(|heard| heard.fit)
    }
}
