//! The primary's side of a join: who may, on which terms, and from when on the standby is waited for.

use std::sync::Arc;

use anyhow::{Context, Result};
use fsm::{Mode, Role, Standby, State};
use host::files;
use http::StatusCode;
use spec::{CLUSTER_FILE, SECRETS_FILE};

use super::{Agent, tokens};
use crate::join::wire::{Again, Joined, Progress, Request, Terms, Welcome};
use crate::postgresql::facts;
use crate::postgresql::session::Commits;
use crate::postgresql::standby::{self, Streaming};

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
                // Who typed the other node's address is told.
                self.primary(self.held.borrow().as_ref())?;
                return Err(Refusal::new(StatusCode::FORBIDDEN, refused.to_string()));
            }
        };
        let held = self.held.borrow().clone();
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
        let held = self.held.borrow().clone();
        let state = self.primary(held.as_ref())?;
        let node = self.joiner(None)?;
        self.terms(state, &node, &again.postgresql).await
    }

    /// `POST /joined`: how far the pairing is, which the table does by itself once the standby streams.
    pub(super) async fn progress(&self, joined: &Joined) -> Result<Progress, Refusal> {
        let held = self.held.borrow().clone();
        let state = self.primary(held.as_ref())?;
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
            Some(_) => self.doing.borrow().reason.clone(),
        };
        Ok(Progress::Waiting { why })
    }

    pub(super) async fn streaming(&self, name: &str) -> Result<Option<Streaming>> {
        let client = self.server.connect(Commits::Local).await?;
        standby::streaming(&client, name).await
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
        facts::prepare_for_peer(&self.server, Some(&fsm::slot(node)), state.at(), &state.owner).await?;
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
