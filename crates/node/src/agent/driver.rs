//! The agent's loop: look, take the row of the table that fits, write the state or act; again until nothing is left to do.
//!
//! Architecture invariant: the table decides ([`fsm::step`]), this file does not. What it writes is on the disk before
//! anything is done about it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use fsm::{Command, Copied, Decision, Observation, Role, State};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::Agent;
use super::act::Did;
use super::heartbeat::Saying;
use super::job::{Outcome, What};
use super::mind::Mind;
use crate::postgresql::cluster;
use crate::state;

/// Between two looks while something is under way that ends by itself in a moment: a promotion, a reload.
const SOON: Duration = Duration::from_millis(20);
/// Rows taken in one pass; the longest chain, a take-over, has about ten.
const ROWS_MAX: usize = 32;
/// A trouble that lasts is said again this often.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// What the agent is about: for `tandem status`, and for whoever typed a command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Doing {
    /// The table's row.
    pub row: String,
    /// The failover protocol's rule it comes from.
    pub rule: u8,
    pub reason: String,
    /// What a person may do about it.
    pub cure: Option<String>,
    /// What could not be done.
    pub trouble: Option<String>,
    /// This standby may take over.
    pub promotable: bool,
    /// The peer is heard, and hears this node.
    pub peer_hears: bool,
}

/// Drives for as long as the agent lives.
pub async fn drive(agent: Arc<Agent>) {
    let mut mind = Mind::default();
    let mut said: Option<(String, std::time::Instant)> = None;
    loop {
        let soon = match agent.pass(&mut mind).await {
            Ok(soon) => {
                if mind.trouble.is_none() && said.take().is_some() {
                    tracing::info!("the role is in effect");
                }
                soon
            }
            Err(error) => {
                mind.trouble = Some(format!("{error:#}"));
                false
            }
        };
        if let Some(trouble) = &mind.trouble {
            let again = said.as_ref().is_none_or(|(words, at)| words != trouble || at.elapsed() > SAY_AGAIN);
            if again {
                tracing::error!("{trouble}");
                said = Some((trouble.clone(), std::time::Instant::now()));
            }
        }
        agent.doing.send_if_modified(|told| {
            let is_news = told.trouble != mind.trouble;
            told.trouble.clone_from(&mind.trouble);
            is_news
        });
        agent.pass.beat();
        if let Some(heart) = &agent.heart {
            heart.driver_lives();
        }
        let pause = if soon { SOON } else { agent.beat_every() };
        tokio::select! {
            () = sleep(pause) => {}
            () = agent.news() => {}
        }
    }
}

impl Agent {
    /// One pass: rows are taken until one waits. True: look again in a moment.
    ///
    /// # Errors
    /// Why something is not as the state asks, for the log. It is tried again at the next pass.
    pub(super) async fn pass(self: &Arc<Self>, mind: &mut Mind) -> Result<bool> {
        for _ in 0..ROWS_MAX {
            if self.heart.as_ref().is_some_and(|heart| !heart.has_listened()) {
                return Ok(true);
            }
            if let Some(why) = self.heart.as_ref().and_then(|heart| heart.strange()) {
                anyhow::bail!("{why}");
            }
            self.settle(mind).await;
            let held = self.held.borrow().clone();
            let state = match held {
                Ok(state) => state,
                Err(why) => return self.hold(mind, &why),
            };
            let mut observed = self.look(mind, &state).await;
            self.arbiter.look(&mut observed, &state).await;
            mind.granting = None;
            mind.alarm = None;
            let decision = fsm::step(&state, &observed, &self.table);
            self.take_note(mind, &decision);
            let caused = self.is_ordered(&state, &observed, &decision);
            if decision.next != state {
                let reason = decision.reason;
                if decision.row == "unfit: demote" {
                    mind.fitness.moves();
                }
                self.write(mind, &state, decision).await?;
                if caused {
                    self.orders.answer(true, reason);
                }
                continue;
            }
            if observed.command.is_some() && !caused {
                self.refuse_unheeded(&state, &observed, &decision);
            }
            let mut changed = false;
            let mut failed = None;
            for action in &decision.actions {
                match self.act(mind, &state, action, observed.postgres.hung).await {
                    Ok(Did::NotNow) => break,
                    Ok(did) => changed |= did == Did::Changed,
                    // What comes after it in the row asks for it.
                    Err(error) => {
                        failed = Some(error.context(decision.reason));
                        break;
                    }
                }
            }
            self.tell(mind, &state, &observed, &decision);
            if let Some(error) = failed {
                return Err(error);
            }
            if !changed {
                let under_way = !mind.job.is_idle() || matches!(decision.rule, 4 | 7);
                return Ok(under_way || observed.postgres.running && mind.face.is_strange());
            }
        }
        Ok(true)
    }

    /// The state is replaced, durably; only then anything is done about it.
    async fn write(self: &Arc<Self>, mind: &mut Mind, before: &State, decision: Decision) -> Result<()> {
        let next = decision.next;
        let (places, saved, reason) = (self.places.clone(), next.clone(), decision.reason);
        let written = spawn_blocking(move || state::save(&places, &saved, reason)).await;
        if let Err(error) = written.context("writing the state").flatten() {
            let (id, node) = (self.config.cluster.cluster.id, &self.config.name);
            let file = self.places.state();
            let on_disk = match state::load(&self.places, id, node) {
                Ok(Some(on_disk)) if on_disk == *before => Ok(on_disk),
                // It may be gone after a power cut, and what was done by it would not be.
                Ok(Some(_)) => Err(format!(
                    "{} was replaced, and the disk does not confirm it ({error:#}): mend the disk, then 'systemctl restart \
                     tandem-agent'",
                    file.display()
                )),
                Ok(None) => Err(format!("{} went away", file.display())),
                Err(unusable) => Err(unusable.to_string()),
            };
            drop(self.held.send_replace(on_disk));
            return Err(error);
        }
        if before.role != next.role || before.mode != next.mode {
            mind.copied = Copied::Not;
        }
        if let Some(heart) = &self.heart {
            heart.say(self.saying(mind, &next));
        }
        drop(self.held.send_replace(Ok(next)));
        Ok(())
    }

    /// What a job came to.
    async fn settle(&self, mind: &mut Mind) {
        let Some((what, outcome)) = mind.job.ended().await else { return };
        if what == What::Start && !cluster::is_running(&self.config.layout.paths.postgresql_data) {
            mind.failed_starts += 1;
        }
        match outcome {
            Ok(Outcome::Done) => {}
            Ok(Outcome::Copied(copied)) => {
                tracing::info!(?copied, "the data was brought in line");
                if copied == Copied::Whole {
                    (mind.refused, mind.failed_starts) = (None, 0);
                }
                mind.copied = copied;
            }
            Ok(Outcome::Fenced(proof)) => mind.memory.fenced(proof),
            Err(error) => {
                if what == What::Copy {
                    mind.copied = Copied::Failed;
                }
                mind.trouble = Some(format!("{what:?}: {error:#}"));
                return;
            }
        }
        mind.trouble = None;
    }

    fn take_note(&self, mind: &mut Mind, decision: &Decision) {
        if mind.row == decision.row {
            return;
        }
        mind.row = decision.row;
        // A write is told by what is written.
        tracing::info!(row = decision.row, rule = decision.rule, "{}", decision.reason);
        if mind.job.is_idle() {
            mind.trouble = None;
        }
    }

    /// Whether the row is taken because of what somebody typed.
    fn is_ordered(&self, state: &State, observed: &Observation, decision: &Decision) -> bool {
        let unasked = Observation { command: None, ..observed.clone() };
        observed.command.is_some() && fsm::step(state, &unasked, &self.table).row != decision.row
    }

    fn refuse_unheeded(&self, state: &State, observed: &Observation, decision: &Decision) {
        let words = match observed.command {
            Some(Command::Rejoin) => "a rejoin is for a node that holds, beside a primary that it hears",
            Some(Command::Abort) => "no switchover is under way on this node",
            _ => "nothing was done",
        };
        let role = state.role.as_str();
        self.orders.answer_if_old(&format!("{words}; this node is {role}: {}", decision.reason));
    }

    fn saying(&self, mind: &Mind, state: &State) -> Saying {
        let data = &self.config.layout.paths.postgresql_data;
        Saying {
            state: Some(state.clone()),
            postgres_failed: self.postgres_failed(mind),
            postgres_stopped: !cluster::is_running(data) && !mind.job.is(What::Start),
            fit: mind.fitness.is_fit(),
            log: self.log(mind).filter(|_| state.role == Role::Primary),
            grant: mind.granting,
        }
    }

    /// To the peer, and to whoever asks this node.
    fn tell(&self, mind: &Mind, state: &State, observed: &Observation, decision: &Decision) {
        if let Some(heart) = &self.heart {
            heart.say(self.saying(mind, state));
        }
        let doing = Doing {
            row: decision.row.into(),
            rule: decision.rule,
            reason: decision.reason.into(),
            cure: mind.alarm.map(str::to_owned),
            trouble: mind.trouble.clone(),
            promotable: state.role == Role::Standby
                && state.flag.is_some_and(|flag| (flag.epoch, flag.join) == (state.epoch, state.join)),
            peer_hears: observed.peer.as_ref().is_some_and(|peer| peer.echoes_me),
        };
        self.doing.send_if_modified(|told| {
            let is_news = *told != doing;
            *told = doing;
            is_news
        });
    }

    /// Without a state that can be trusted nothing runs and nothing is guessed.
    fn hold(self: &Arc<Self>, mind: &mut Mind, why: &str) -> Result<bool> {
        self.write_role(false)?;
        if let Some(heart) = &self.heart {
            heart.say(Saying::nothing());
        }
        self.orders.answer(false, &format!("this node holds: {why}"));
        self.doing.send_replace(Doing {
            row: "hold".into(),
            rule: 1,
            reason: "this node holds: PostgreSQL is stopped, its data kept".into(),
            cure: Some(why.to_owned()),
            ..Doing::default()
        });
        if cluster::is_running(&self.config.layout.paths.postgresql_data) && self.stop(mind, false) {
            tracing::warn!("this node holds: PostgreSQL is stopped, its data is kept");
        }
        anyhow::bail!("this node holds: {why}")
    }
}
