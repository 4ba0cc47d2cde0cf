//! The primary's side of a join: who may, on which terms, and from when on the standby is waited for.

use std::sync::Arc;

use anyhow::{Context, Result};
use fsm::{Mode, Point, Role, Standby, State};
use host::files;
use http::StatusCode;
use spec::{CLUSTER_FILE, SECRETS_FILE};

use super::owned::IncludeNames;
use super::{Agent, Held, tokens};
use crate::join::wire::{Again, Joined, Progress, Request, Terms, Welcome};
use crate::postgresql::barrier;
use crate::postgresql::include::Names;
use crate::postgresql::session::Commits;
use crate::postgresql::standby::{self, Streaming};
use crate::state;

/// A standby this near is caught up: less than a WAL segment.
const NEARLY_BYTES: u64 = 16 << 20;

/// A refusal: what the joining node's operator reads.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub words: String,
}

impl Refusal {
    pub fn new(status: StatusCode, words: impl Into<String>) -> Self {
        Self { status, words: words.into() }
    }

    fn conflict(words: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, words)
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        tracing::error!("a join failed here: {error:#}");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("the primary could not do it now: {error:#}"))
    }
}

impl Agent {
    /// `POST /join`: checks everything, uses the token up, and returns the sealed welcome.
    pub(super) async fn welcome(
        self: &Arc<Self>,
        request: &Request,
        body: &[u8],
        signature: &str,
    ) -> Result<Vec<u8>, Refusal> {
        let now = jiff::Timestamp::now();
        let file = self.places.tokens();
        let opened = match tokens::open(&file, &request.token, body, signature, now.as_second())? {
            Ok(opened) => opened,
            Err(refused) => {
                // Who typed the other node's address is told, but nobody without a token waits for the role.
                if let Ok(held) = self.held.try_lock() {
                    self.primary(held.as_ref())?;
                }
                return Err(Refusal::new(StatusCode::FORBIDDEN, refused.to_string()));
            }
        };
        let held = self.held.lock().await;
        let state = self.primary(held.as_ref())?;
        let node = self.joiner(request.node.as_deref())?;
        let terms = self.terms(state, &node, &request.postgresql).await?;
        let read = |name: &str| -> Result<String> {
            let path = self.places.etc().join(name);
            files::read(&path)?.with_context(|| format!("{} is not there", path.display()))
        };
        let (cluster_yaml, secrets_yaml) = (read(CLUSTER_FILE)?, read(SECRETS_FILE)?);
        let by = format!("{} joined as {node} at {}", printable(&request.host), now.strftime("%F %TZ"));
        // Before it is told: a token that was seen to work must never work again.
        tokens::consume(&file, &opened, &by)?
            .map_err(|refused| Refusal::new(StatusCode::FORBIDDEN, refused.to_string()))?;
        tracing::info!(node, "a node joins with a token");
        let welcome = serde_json::to_vec(&Welcome { cluster_yaml, secrets_yaml, terms })
            .map_err(anyhow::Error::from)?;
        Ok(opened.seal(signature, &welcome)?)
    }

    /// `POST /joining`: the terms again, for a peer that has the cluster's key.
    pub(super) async fn terms_again(self: &Arc<Self>, again: &Again) -> Result<Terms, Refusal> {
        let held = self.held.lock().await;
        let state = self.primary(held.as_ref())?;
        let node = self.joiner(None)?;
        self.terms(state, &node, &again.postgresql).await
    }

    /// `POST /joined`: waits for the standby from now on, once it is there.
    ///
    /// In a task of its own: who asked may be gone, or the request's time over, and the state on disk and the one that
    /// is kept must still become the same.
    pub(super) async fn pair(self: &Arc<Self>, joined: &Joined) -> Result<Progress, Refusal> {
        let (agent, joined) = (Arc::clone(self), joined.clone());
        let pairing = tokio::spawn(async move { agent.pair_to_its_end(&joined).await });
        pairing.await.context("pairing broke off")?
    }

    async fn pair_to_its_end(&self, joined: &Joined) -> Result<Progress, Refusal> {
        let mut held = self.held.lock().await;
        let state = self.primary(held.as_ref())?.clone();
        let node = self.joiner(None)?;
        let name = Standby { node: &node, at: joined.at }.to_string();
        let streaming = self.streaming(&name).await?;
        if state.mode == Mode::Paired && state.at() == joined.at {
            return Ok(match streaming {
                Some(found) => Progress::Paired { sync_state: found.sync_state },
                None => Progress::Waiting { why: format!("{node} does not stream now") },
            });
        }
        if joined.at != state.next_join() {
            return Err(Refusal::conflict(format!(
                "{node} was copied for epoch {} join {}, the primary is at epoch {} join {}: run 'tandem join' again",
                joined.at.epoch, joined.at.join, state.epoch, state.join
            )));
        }
        let why = match streaming {
            None => format!("{node} does not stream yet"),
            Some(Streaming { state, .. }) if state != "streaming" => format!("{node} is in state '{state}'"),
            Some(Streaming { lag_bytes, .. }) if lag_bytes > NEARLY_BYTES => {
                format!("{node} is {} MiB behind", lag_bytes >> 20)
            }
            Some(_) => {
                self.synchronise(&mut held, &state, joined.at, &name).await?;
                let found = self.streaming(&name).await?;
                return Ok(Progress::Paired { sync_state: found.map(|f| f.sync_state).unwrap_or_default() });
            }
        };
        Ok(Progress::Waiting { why })
    }

    pub(super) async fn streaming(&self, name: &str) -> Result<Option<Streaming>> {
        let client = self.server.connect(Commits::Local).await?;
        standby::streaming(&client, name).await
    }

    /// Barrier, then durably paired. Before the state is written the primary may go back, and does.
    async fn synchronise(&self, held: &mut Held, state: &State, at: Point, name: &str) -> Result<()> {
        let proven = barrier::prove(&self.server, name, &IncludeNames { agent: self, state }).await;
        if let Err(error) = proven {
            self.write_include(state, &Names::of(&self.config, state))?;
            self.server.reload().await?;
            return Err(error);
        }
        let paired = state.paired(at);
        let places = self.places.clone();
        let saved = paired.clone();
        let reason =
            format!("{name} streams and confirmed a commit: every acknowledged write is on both nodes");
        let written = tokio::task::spawn_blocking(move || state::save(&places, &saved, &reason)).await;
        if let Err(error) = written.context("writing the state").flatten() {
            // Half written it counts as what the next start would read.
            let (id, node) = (self.config.cluster.cluster.id, &self.config.name);
            match state::load(&self.places, id, node) {
                Ok(Some(on_disk)) => *held = Ok(on_disk),
                Ok(None) => *held = Err(format!("{} went away", self.places.state().display())),
                Err(unusable) => *held = Err(unusable.to_string()),
            }
            return Err(error);
        }
        // Before anything that can fail: from here on nobody goes back to acknowledging alone (failover.md 4, d).
        *held = Ok(paired.clone());
        self.write_include(&paired, &Names::of(&self.config, &paired))?;
        self.server.reload().await
    }

    /// Only a primary takes a node in; another says whom to ask.
    fn primary<'a>(&self, held: Result<&'a State, &String>) -> Result<&'a State, Refusal> {
        match held {
            Ok(state) if state.role == Role::Primary => Ok(state),
            Ok(state) => {
                let primary = self.config.cluster.node(&state.owner);
                let whom = primary.map_or_else(
                    || "the primary".to_owned(),
                    |node| format!("{} (tandem join {})", node.name, node.address),
                );
                Err(Refusal::conflict(format!(
                    "this node, {}, is {}: only the primary takes a node in; ask {whom}",
                    self.config.name,
                    state.role.as_str()
                )))
            }
            Err(why) => Err(Refusal::conflict(format!("this node holds: {why}"))),
        }
    }

    /// The node that may join here: the other one of cluster.yaml.
    fn joiner(&self, asked: Option<&str>) -> Result<String, Refusal> {
        let Some(peer) = self.config.peer() else {
            return Err(Refusal::conflict(
                "this cluster.yaml lists one node; add the second to 'nodes:', then 'tandem apply' here",
            ));
        };
        match asked {
            Some(name) if name != peer.name => Err(Refusal::conflict(format!(
                "the node that can join here is {}, not '{}'",
                peer.name,
                printable(name)
            ))),
            _ => Ok(peer.name.clone()),
        }
    }

    async fn terms(&self, state: &State, node: &str, postgresql: &str) -> Result<Terms, Refusal> {
        let (version, system_id) = self.server.identity().await?;
        let major = version.split('.').next().unwrap_or_default();
        if major != postgresql {
            return Err(Refusal::conflict(format!(
                "PostgreSQL is {version} on {} and {} there: a standby needs the same major version; install \
                 postgresql-{major} on {node}",
                self.config.name,
                printable(postgresql)
            )));
        }
        let name = Standby { node, at: state.at() }.to_string();
        if state.mode == Mode::Paired && self.streaming(&name).await?.is_some() {
            return Err(Refusal::conflict(format!("{node} is joined already and streams as {name}")));
        }
        standby::ensure_slot(&self.server, &fsm::slot(node)).await?;
        let own = self.config.node()?;
        Ok(Terms {
            node: node.to_owned(),
            primary: own.name.clone(),
            address: own.peer_side(),
            at: state.next_join(),
            postgresql: version,
            system_id,
            size_bytes: self.server.size_bytes().await?,
            now_ms: jiff::Timestamp::now().as_millisecond(),
        })
    }
}

/// A stranger's word in our log and answers: short, and plain characters only.
fn printable(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(64).collect()
}
