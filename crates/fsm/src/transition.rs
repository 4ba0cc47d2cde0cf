//! The durable writes. Each is one replacement of the whole record.

use crate::seen::Seen;
use crate::{Flag, Mode, Point, Role, State};

/// Where a row leads. Anything but `Same` is written, fsynced, before the node does anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    Same,
    /// mark := max(mark, flag), flag := none: a marked join is dead for ever.
    GivenUp,
    /// The next epoch, alone.
    Solo,
    SoloForced,
    /// The same, and the primary's role with it.
    TakenOver,
    TakenOverForced,
    /// The next join is proven.
    Paired,
    Flagged,
    /// The primary's newer epoch, or its next join.
    Following,
    Demoted,
    /// Demoted no more.
    Aborted,
    Rejoining,
    Standby,
    Hold,
}

fn given_up(state: &State) -> State {
    let flag = state.flag.map_or_else(Point::default, |flag| Point { epoch: flag.epoch, join: flag.join });
    State { mark: state.mark.max(flag), flag: None, ..state.clone() }
}

fn solo(state: &State, forced: bool) -> State {
    State {
        role: Role::Primary,
        mode: Mode::Solo,
        epoch: state.epoch + 1,
        owner: state.node.clone(),
        join: 0,
        forced,
        ..given_up(state)
    }
}

/// As the peer's standby, in its epoch.
fn under_peer(seen: &Seen, role: Role) -> State {
    let state = given_up(seen.state);
    let Some(heard) = seen.peer() else { return State { role, mode: Mode::Paired, ..state } };
    let at = seen.wanted(&heard.state, state.mark);
    State {
        role,
        mode: Mode::Paired,
        epoch: at.epoch,
        join: at.join,
        owner: heard.state.owner.clone(),
        forced: heard.state.forced,
        ..state
    }
}

impl To {
    pub(crate) fn write(self, seen: &Seen) -> State {
        let state = seen.state;
        match self {
            Self::Same => state.clone(),
            Self::GivenUp => given_up(state),
            Self::Solo | Self::TakenOver => solo(state, false),
            Self::SoloForced | Self::TakenOverForced => solo(state, true),
            Self::Paired => state.paired(seen.target()),
            Self::Flagged => State {
                flag: seen.grant().map(|grant| Flag {
                    epoch: grant.at.epoch,
                    join: grant.at.join,
                    boot_id: seen.observed.boot_id,
                }),
                ..state.clone()
            },
            Self::Following | Self::Standby => under_peer(seen, Role::Standby),
            Self::Rejoining => under_peer(seen, Role::Rejoining),
            Self::Demoted => State { role: Role::Demoted, ..state.clone() },
            Self::Aborted => State { role: Role::Primary, ..state.clone() },
            Self::Hold => State { role: Role::Hold, ..given_up(state) },
        }
    }
}
