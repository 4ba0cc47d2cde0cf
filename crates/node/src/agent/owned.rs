//! The files the agent owns beside PostgreSQL's: Redis' role, keepalived's track file.

use anyhow::{Context, Result};
use host::files;
use nix::unistd::User;

use super::Agent;
use crate::postgresql::include;
use crate::redis_role::{self, Follows};

/// keepalived adds the rank to a priority of 100 and has 254 at most. Where the numbers begin anew, a node whose agent is frozen
/// may keep the address until its watchdog ends that.
const RANKS: u64 = 100;

/// User and group to give a file to.
pub(super) fn owner(user: &User) -> files::Owner {
    Some((user.uid.as_raw(), user.gid.as_raw()))
}

impl Agent {
    /// A stopped server's own notes may not contradict the include.
    pub(super) fn clean_auto_conf(&self) -> Result<()> {
        include::clean_auto_conf(&self.config.layout.paths.postgresql_data, owner(&self.postgresql_user))
    }

    pub(super) fn write_redis_role(&self, follows: &Follows) -> Result<()> {
        redis_role::write(&self.config, follows, owner(&self.redis_user))
    }

    /// Whether keepalived may hold the virtual address, as it is told.
    pub(super) fn offers_vip(&self) -> bool {
        files::read(&self.places.role()).ok().flatten().is_some_and(|text| text.trim() == "1")
    }

    /// Of two that hold the address, the newer epoch's is the one that may write; keepalived gives it the higher priority.
    pub(super) fn write_rank(&self, epoch: u64) -> Result<()> {
        let path = self.places.rank();
        let rank = epoch % RANKS;
        std::fs::write(&path, format!("{rank}\n")).with_context(|| format!("writing {}", path.display()))
    }

    /// Tells keepalived.
    pub(super) fn write_role(&self, may_hold_vip: bool) -> Result<()> {
        let path = self.places.role();
        let text = if may_hold_vip { "1\n" } else { "0\n" };
        if files::read(&path).is_ok_and(|old| old.as_deref() == Some(text)) {
            return Ok(());
        }
        // Read by keepalived as root, written in place: it watches this very file.
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        tracing::info!(may_hold_vip, "the virtual address follows the role");
        Ok(())
    }
}
