//! Wrong rules, one for each counterexample of the protocol: the model must catch every one of them.

/// Which rule is broken. The numbers are the protocol's counterexamples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mutation {
    /// 1. The fence gates only the primary.
    FenceGatesPrimaryOnly,
    /// 2. etcd gates only the primary.
    EtcdGatesPrimaryOnly,
    /// 3. The flag survives a reboot.
    FlagSurvivesReboot,
    /// 5. The flag is burnt and the epoch taken in two writes.
    TakeOverInTwoWrites,
    /// 6. A give-up is compared by its epoch alone.
    GiveUpWithoutJoin,
    /// 7. A grant is taken whatever boot it was meant for.
    GrantNotBoundToBoot,
    /// 8. "Seen in sync" is enough: no barrier, no nonce.
    NoBarrier,
    /// 9. Granted while the primary's own record still says solo.
    GrantBeforeDurable,
    /// 10. A base copy begins with the flag set, and nobody looks whether it came to its end.
    CopyWithFlag,
    /// 11. A rebooted primary fences at once.
    FenceAtOnce,
    /// 11. A fence's confirmation is good for ever.
    StaleFence,
    /// 11, found by this model: a late heartbeat of the peer's former boot revives a void confirmation.
    LateRevivesFence,
    /// 12. A solo node rejoins by itself, to a higher epoch or to an equal one of another owner.
    RejoinSolo,
    /// 12. A node rejoins to a forced epoch by itself.
    RejoinForced,
    /// 16. A primary is started as a standby and promoted.
    PromoteHeldPrimary,
    /// 16, to its end: and then "no rewind required" is believed of the node that was primary.
    BelieveNothingToRewind,
    /// 17. Any heartbeat heard means that the peer is there, whether it hears us or not.
    NoEcho,
    /// 19. The address is taken by a node that hears nobody.
    VipOnSilence,
}
