//! The files the agent owns beside PostgreSQL's: Redis' role, keepalived's track file.

use anyhow::{Context, Result};
use host::files;
use nix::unistd::User;

use super::Agent;
use crate::postgresql::include;
use crate::redis_role::{self, Follows};

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
