//! The role put into effect, again and again: what differs from the state is brought to it, what must not run is
//! stopped.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fsm::{Role, State};

use super::{Agent, Held};
use crate::postgresql::cluster::{self, Content};
use crate::postgresql::include::{self, Names};
use crate::redis_role::{self, Follows};

/// While systemd is asked, the watchdog is told this often that the pass goes on.
const SYSTEMD_BEAT: Duration = Duration::from_secs(1);
/// After a reload, until the server runs with it: a second.
const RELOADED_POLLS_MAX: usize = 20;
const RELOADED_POLL: Duration = Duration::from_millis(50);

impl Agent {
    /// One pass. What fails is tried again at the next; nothing here promotes, demotes or removes.
    ///
    /// # Errors
    /// Why the role is not in effect, for the log.
    pub(super) async fn keep_role(self: &Arc<Self>) -> Result<()> {
        let held = self.held.lock().await;
        match &*held {
            Ok(state) if matches!(state.role, Role::Primary | Role::Standby) => {
                if state.role == Role::Standby {
                    self.write_role(false)?;
                }
                // A primary in limbo keeps its address: calls go on. One that never was up has none yet.
                self.take_role(state).await
            }
            other => self.hold(other).await,
        }
    }

    async fn take_role(self: &Arc<Self>, state: &State) -> Result<()> {
        // Tried first, because a Redis that starts reads it, and told last: what is wrong with it stops no database.
        let follows = Follows::of(&self.config, state.role);
        let redis_file = self.write_redis_role(&follows);
        let names = Names::of(&self.config, state);
        self.write_include(state, &names)?;
        let in_recovery = match self.server.in_recovery().await {
            Ok(in_recovery) => in_recovery,
            Err(problem) => {
                self.start_postgresql(state, &problem).await?;
                self.server.in_recovery().await.context("PostgreSQL was started, and does not answer yet")?
            }
        };
        let is_standby = state.role == Role::Standby;
        if in_recovery != is_standby {
            self.stop_postgresql().await?;
            bail!(
                "PostgreSQL ran as {}, but this node is {}: it was stopped, its data is kept; see docs/runbook.md \
                 'A node that holds'",
                if in_recovery { "standby" } else { "primary" },
                state.role.as_str()
            );
        }
        self.read_include(&include::settings(&self.config, state, &names)).await?;
        // The address follows PostgreSQL: a Redis that is away costs no call and no record.
        self.write_role(!is_standby)?;
        redis_file.context("Redis' role cannot be kept")?;
        if redis_role::tell(&self.config, &follows).await.context("telling Redis its role")? {
            tracing::info!(?follows, "Redis was told its role");
        }
        Ok(())
    }

    /// The server runs with what the file says, however often a reload was lost: asked of the server, not of the file.
    async fn read_include(&self, settings: &[(&'static str, String)]) -> Result<()> {
        if self.server.differing(settings).await?.is_empty() {
            return Ok(());
        }
        self.server.reload().await?;
        for _ in 0..RELOADED_POLLS_MAX {
            if self.server.differing(settings).await?.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(RELOADED_POLL).await;
        }
        let differ = self.server.differing(settings).await?;
        if differ.is_empty() {
            return Ok(());
        }
        bail!(
            "PostgreSQL was told to read {} and goes on with another {}: 'ALTER SYSTEM RESET {}' in psql, and \
             look at what else sets it (pg_file_settings)",
            include::path(&self.config).display(),
            differ.join(" and "),
            differ.first().copied().unwrap_or_default()
        )
    }

    /// Starts the stopped server; one that runs and does not answer is left alone: it may be recovering.
    async fn start_postgresql(self: &Arc<Self>, state: &State, problem: &anyhow::Error) -> Result<()> {
        let unit = self.config.postgresql_unit();
        let data = &self.config.layout.paths.postgresql_data;
        if cluster::is_running(data) && self.services.is_active(&unit) {
            bail!("PostgreSQL runs, but does not answer: {problem:#}");
        }
        if cluster::content(data)? == Content::Absent {
            bail!("there is no database in {}; 'tandem apply' or 'tandem join' makes it", data.display());
        }
        let is_copy = include::has_standby_signal(data);
        if is_copy != (state.role == Role::Standby) {
            bail!(
                "the data in {} is {}, but this node is {}: nothing is started, the data is kept; see \
                 docs/runbook.md 'A node that holds'",
                data.display(),
                if is_copy { "a standby's" } else { "not a standby's" },
                state.role.as_str()
            );
        }
        self.clean_auto_conf()?;
        tracing::info!(role = state.role.as_str(), "starting PostgreSQL");
        self.with_services(move |services| services.start(&unit)).await
    }

    async fn stop_postgresql(self: &Arc<Self>) -> Result<()> {
        let unit = self.config.postgresql_unit();
        self.with_services(move |services| services.stop(&unit)).await
    }

    async fn hold(self: &Arc<Self>, held: &Held) -> Result<()> {
        self.write_role(false)?;
        let unit = self.config.postgresql_unit();
        if self.services.is_active(&unit) {
            tracing::warn!("this node holds: PostgreSQL is stopped, its data is kept");
            self.stop_postgresql().await?;
        }
        match held {
            Ok(state) => bail!("this node's role is {}: PostgreSQL stays stopped", state.role.as_str()),
            Err(why) => bail!("this node holds: {why}"),
        }
    }

    /// systemctl waits, for as long as a server recovers; the agent's other tasks go on, and this one is no hang.
    pub(super) async fn with_services(
        self: &Arc<Self>,
        ask: impl FnOnce(&dyn crate::services::Services) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let services = Arc::clone(&self.services);
        let mut asked = tokio::task::spawn_blocking(move || ask(&*services));
        loop {
            tokio::select! {
                done = &mut asked => return done.context("asking systemd")?,
                () = tokio::time::sleep(SYSTEMD_BEAT) => self.pass.beat(),
            }
        }
    }
}
