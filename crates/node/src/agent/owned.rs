//! The files the agent owns: PostgreSQL's and Redis' role, keepalived's track file.

use anyhow::{Context, Result};
use fsm::State;
use host::files;
use nix::unistd::User;

use super::Agent;
use crate::postgresql::barrier::SetNames;
use crate::postgresql::include::{self, Names};
use crate::redis_role::{self, Follows};

/// User and group to give a file to.
fn owner(user: &User) -> files::Owner {
    Some((user.uid.as_raw(), user.gid.as_raw()))
}

impl Agent {
    /// Writes PostgreSQL's include; true when it changed.
    pub(super) fn write_include(&self, state: &State, names: &Names) -> Result<bool> {
        let text = include::text(&self.config, state, names);
        include::write(&include::path(&self.config), &text, owner(&self.postgresql_user))
    }

    /// A stopped server's own notes may not contradict it.
    pub(super) fn clean_auto_conf(&self) -> Result<()> {
        include::clean_auto_conf(&self.config.layout.paths.postgresql_data, owner(&self.postgresql_user))
    }

    pub(super) fn write_redis_role(&self, follows: &Follows) -> Result<()> {
        redis_role::write(&self.config, follows, owner(&self.redis_user))
    }

    /// Whether keepalived may hold the virtual address.
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

/// Names for one join, by the include: what the barrier switches.
pub(super) struct IncludeNames<'a> {
    pub agent: &'a Agent,
    pub state: &'a State,
}

impl SetNames for IncludeNames<'_> {
    async fn set(&self, name: &str) -> Result<()> {
        self.agent.write_include(self.state, &Names::One(name.to_owned()))?;
        self.agent.server.reload().await
    }
}
