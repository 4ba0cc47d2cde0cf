//! What an agent remembers of its peer while it runs. Lost with the agent, and safely so.

use uuid::Uuid;

use crate::config::broken;
use crate::{Config, FenceProof, Heard, Role, State};

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
    /// The fence command confirmed that the peer is off. A confirmation that comes after another boot was heard is void.
    pub fn fenced(&mut self, proof: FenceProof) {
        self.fence = (proof.peer_boot == self.peer_boot).then_some(proof);
    }

    /// Called with each heartbeat before [`crate::step`].
    pub fn hear(&mut self, me: &State, boot_id: Uuid, heard: &Heard, config: &Config) {
        // Void for ever: a late heartbeat of the boot before must not bring the confirmation back.
        let kept = broken!(config, LateRevivesFence) || broken!(config, StaleFence);
        if self.fence.is_some_and(|proof| proof.peer_boot != Some(heard.boot_id)) && !kept {
            self.fence = None;
        }
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
