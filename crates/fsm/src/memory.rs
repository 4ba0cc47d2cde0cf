//! What an agent remembers of its peer while it runs. Lost with the agent, and safely so.

use uuid::Uuid;

use crate::{FenceProof, Heard, Role, State};

/// A restarted agent starts with `Memory::default()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Memory {
    /// The boot of the peer last heard of.
    pub peer_boot: Option<Uuid>,
    /// My standby, of my epoch, has answered this boot of mine: it had not taken over when this boot began.
    pub answered: bool,
    pub fence: Option<FenceProof>,
}

impl Memory {
    /// Called with each heartbeat before [`crate::step`].
    pub fn hear(&mut self, me: &State, boot_id: Uuid, heard: &Heard) {
        self.peer_boot = Some(heard.boot_id);
        let standby_of_mine = heard.state.role == Role::Standby
            && heard.state.epoch == me.epoch
            && heard.state.owner == me.owner
            && me.owner == me.node;
        if standby_of_mine && heard.answers == Some(boot_id) {
            self.answered = true;
        }
    }
}
