//! The table's actions, done. Each is safe to repeat; what cannot be done now is asked for again at the next look.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fsm::{Action, Copied, Include, Redis, State};
use host::files;
use nix::sys::signal::Signal;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::Agent;
use super::job::{Outcome, What};
use super::mind::Mind;
use crate::postgresql::barrier::Barrier;
use crate::postgresql::base_copy::{self, Old, Source};
use crate::postgresql::session::{Commits, answer};
use crate::postgresql::{cluster, facts, include, rewind};
use crate::redis_role::{self, Follows};

/// After a reload, until the server runs with it: milliseconds where nothing overrules the file.
const RELOADED: Duration = Duration::from_secs(1);
const RELOADED_POLL: Duration = Duration::from_millis(5);
/// A clean stop waits for the standby to have the last log; after this the server is killed.
const STOP: Duration = Duration::from_secs(60);
const KILLED: Duration = Duration::from_secs(10);
const STOP_POLL: Duration = Duration::from_millis(50);

/// What an action came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Did {
    /// Something changed: worth another look at once.
    Changed,
    /// It is under way, or was only said.
    Nothing,
    /// It cannot be done yet, and what comes after it in the row not either.
    NotNow,
}

impl Did {
    const fn begun(begun: bool) -> Self {
        if begun { Self::Changed } else { Self::Nothing }
    }
}

impl Agent {
    /// Does one action.
    pub(super) async fn act(
        self: &Arc<Self>,
        mind: &mut Mind,
        state: &State,
        action: &Action,
        hung: bool,
    ) -> Result<Did> {
        let needs_server = matches!(
            action,
            Action::BarrierCommit { .. } | Action::EmitWal | Action::Promote | Action::WriteEpochRow
        );
        if needs_server && mind.face.is_strange() {
            // It is starting, or fell silent just now.
            return Ok(Did::NotNow);
        }
        match action {
            Action::WriteInclude(wanted) => {
                let changed = self.include(mind, wanted).await?;
                return Ok(if changed { Did::Changed } else { Did::Nothing });
            }
            Action::StartPostgres { standby } => return self.start(mind, *standby).map(Did::begun),
            Action::StopPostgres => return Ok(Did::begun(self.stop(mind, hung))),
            Action::BarrierCommit { at, nonce } => {
                mind.barrier = Some(Barrier::commit(&self.server, *at, *nonce).await?);
            }
            Action::EmitWal => {
                let client = self.server.connect(Commits::Local).await?;
                answer(client.query_one("SELECT pg_logical_emit_message(true, 'tandem', 'nudge')", &[]))
                    .await?;
            }
            Action::SendGrant(grant) => {
                mind.granting = Some(*grant);
                return Ok(Did::Nothing);
            }
            Action::NoteReplayed(lsn) => {
                mind.noted = Some(*lsn);
                return Ok(Did::Nothing);
            }
            Action::Promote => {
                let client = self.server.connect(Commits::Local).await?;
                answer(
                    client.query_one("SELECT CASE WHEN pg_is_in_recovery() THEN pg_promote(false) END", &[]),
                )
                .await?;
                return Ok(Did::Nothing);
            }
            Action::WriteEpochRow => {
                let slot = self.peer_slot();
                facts::prepare_for_peer(&self.server, slot.as_deref(), state.at(), &state.owner).await?;
            }
            Action::CasEpoch { from, to } => {
                let (arbiter, from, to) = (Arc::clone(&self.arbiter), *from, to.clone());
                return Ok(Did::begun(mind.job.begin(What::Cas, async move {
                    arbiter.take_epoch(from, &to).await?;
                    Ok(Outcome::Done)
                })));
            }
            Action::Fence(proof) => {
                let (arbiter, proof) = (Arc::clone(&self.arbiter), *proof);
                return Ok(Did::begun(mind.job.begin(What::Fence, async move {
                    arbiter.fence().await?;
                    Ok(Outcome::Fenced(proof))
                })));
            }
            // Part of the rewind's job, which it precedes.
            Action::CheckpointPeer => return Ok(Did::Nothing),
            Action::Rewind => return Ok(Did::begun(self.rewind(mind))),
            Action::BaseBackup => return self.base_backup(mind).map(Did::begun),
            Action::RedisMaster => self.redis_follows(mind, &Follows::Nobody).await?,
            Action::RedisReplica => self.redis_follows(mind, &Follows::peer(&self.config)).await?,
            Action::VipOffer => {
                self.write_rank(state.epoch)?;
                self.write_role(true)?;
            }
            Action::VipDrop => self.write_role(false)?,
            Action::Refuse(words) => {
                self.orders.answer(false, words);
                return Ok(Did::Nothing);
            }
            Action::Alarm(words) => {
                mind.alarm = Some(words);
                return Ok(Did::Nothing);
            }
        }
        Ok(Did::Changed)
    }

    /// Both files, and a running server made to run with them: asked of the server, however often a reload was lost.
    async fn include(&self, mind: &mut Mind, wanted: &Include) -> Result<bool> {
        let owner = super::owned::owner(&self.postgresql_user);
        let text = include::text(&self.config, wanted);
        let mut changed = include::write(&include::path(&self.config), &text, owner)?;
        let source = include::hba_source(&self.config, wanted.clients);
        let hba = files::read(&source)?
            .with_context(|| format!("{} is not there: tandem apply", source.display()))?;
        changed |= include::write(&include::hba_path(&self.config), &hba, owner)?;
        if mind.face.is_strange() {
            // Stopped, or not up yet: it reads them when it starts, or is told when it answers.
            return Ok(changed);
        }
        let settings = include::settings(&self.config, wanted);
        let client = self.server.connect(Commits::Local).await?;
        answer(client.query_one("SELECT pg_reload_conf()", &[])).await?;
        let (mut until, mut overruled) = (Instant::now() + RELOADED, false);
        loop {
            // A new session has what the postmaster has.
            let session = self.server.connect(Commits::Local).await?;
            let differ = self.server.differing(&session, &settings).await?;
            let Some(first) = differ.first() else {
                mind.face.renew(session);
                return Ok(true);
            };
            if !overruled && Instant::now() > until {
                // Somebody's ALTER SYSTEM wins over our file, and would acknowledge what one node has.
                overruled = true;
                until = Instant::now() + RELOADED;
                tracing::warn!(?differ, "postgresql.auto.conf overrules this node's role: it is reset");
                for setting in include::OWNED {
                    answer(session.simple_query(&format!("ALTER SYSTEM RESET {setting}"))).await?;
                }
                answer(session.query_one("SELECT pg_reload_conf()", &[])).await?;
            } else if Instant::now() > until {
                bail!(
                    "PostgreSQL was told to read {} and goes on with another {}: 'ALTER SYSTEM RESET {first}' in \
                     psql, and look at what else sets it (pg_file_settings)",
                    include::path(&self.config).display(),
                    differ.join(" and "),
                )
            }
            sleep(RELOADED_POLL).await;
        }
    }

    /// Starts the stopped server as its data stands.
    fn start(self: &Arc<Self>, mind: &mut Mind, standby: bool) -> Result<bool> {
        let data = &self.config.layout.paths.postgresql_data;
        if cluster::content(data)? == cluster::Content::Absent {
            bail!("there is no database in {}; 'tandem apply' or 'tandem join' makes it", data.display());
        }
        let is_copy = include::has_standby_signal(data);
        if is_copy != standby {
            bail!(
                "the data in {} is {}, but this node is {}: nothing is started, the data is kept; see \
                 docs/runbook.md 'A node that holds'",
                data.display(),
                if is_copy { "a standby's" } else { "not a standby's" },
                if standby { "standby" } else { "primary" },
            );
        }
        self.clean_auto_conf()?;
        let (agent, unit) = (Arc::clone(self), self.config.postgresql_unit());
        Ok(mind.job.begin(What::Start, async move {
            let started = spawn_blocking(move || {
                cluster::clear_lock(&agent.config.layout.paths.postgresql_data)?;
                agent.services.start(&unit)
            });
            started.await.context("asking systemd")??;
            Ok(Outcome::Done)
        }))
    }

    /// Fast shutdown, with its bound; one that hangs is killed at once, since it would not listen.
    pub(super) fn stop(self: &Arc<Self>, mind: &mut Mind, hung: bool) -> bool {
        if !hung {
            mind.face.lives.stopped();
        }
        let (agent, unit) = (Arc::clone(self), self.config.postgresql_unit());
        mind.job.begin(What::Stop, async move {
            let patience = if hung { Duration::ZERO } else { STOP };
            let (asked, stopped) = (Arc::clone(&agent), unit.clone());
            let mut stopping = spawn_blocking(move || asked.services.stop(&stopped));
            let done = tokio::select! {
                done = &mut stopping => done,
                () = sleep(patience) => {
                    tracing::warn!("PostgreSQL does not stop: it is killed");
                    let killing = Arc::clone(&agent);
                    spawn_blocking(move || killing.services.kill(&unit)).await.context("asking systemd")??;
                    stopping.await
                }
            };
            done.context("asking systemd")??;
            // One that was started outside its unit.
            let data = agent.config.layout.paths.postgresql_data.clone();
            for (signal, bound) in [(Signal::SIGINT, STOP), (Signal::SIGKILL, KILLED)] {
                if !cluster::signal(&data, signal)? {
                    return Ok(Outcome::Done);
                }
                let until = Instant::now() + bound;
                while cluster::is_running(&data) && Instant::now() < until {
                    sleep(STOP_POLL).await;
                }
            }
            ensure!(!cluster::is_running(&data), "PostgreSQL does not end: its disk hangs");
            Ok(Outcome::Done)
        })
    }

    fn source(&self) -> Result<Source> {
        let peer = self.config.peer().context("a single node has no peer")?;
        let size_bytes = cluster::size_bytes(&self.config.layout.paths.postgresql_data);
        Ok(Source { address: peer.peer_side(), size_bytes })
    }

    fn rewind(self: &Arc<Self>, mind: &mut Mind) -> bool {
        let agent = Arc::clone(self);
        mind.job.begin(What::Rewind, async move {
            // Or pg_rewind may compare with a control file from before the promotion. And where the primary is not reached,
            // nothing is begun.
            rewind::promoted(&agent.config).await?;
            let copied = spawn_blocking(move || rewind::run(&agent.config, &agent.postgresql_user));
            Ok(Outcome::Copied(copied.await.context("rewinding")??))
        })
    }

    fn base_backup(self: &Arc<Self>, mind: &mut Mind) -> Result<bool> {
        let (agent, source) = (Arc::clone(self), self.source()?);
        Ok(mind.job.begin(What::Copy, async move {
            // A copy of a standby that is promoted meanwhile is thrown away.
            rewind::promoted(&agent.config).await?;
            let copied = spawn_blocking(move || {
                base_copy::take(&agent.config, source, &agent.postgresql_user, Old::Remove)
            });
            copied.await.context("copying")??;
            Ok(Outcome::Copied(Copied::Whole))
        }))
    }

    /// The file first, because a Redis that starts reads it.
    async fn redis_follows(&self, mind: &mut Mind, follows: &Follows) -> Result<()> {
        self.write_redis_role(follows)?;
        mind.seldom.forget_redis();
        if redis_role::role(&self.config).await != Redis::Down {
            redis_role::tell(&self.config, follows).await.context("telling Redis its role")?;
            tracing::info!(?follows, "Redis was told its role");
        }
        Ok(())
    }
}
