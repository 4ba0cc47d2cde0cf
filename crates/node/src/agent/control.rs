//! The control socket: a command's line of JSON in, its answer's out. Root's alone, by the file's mode.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fsm::{Command, Role};
use host::files;
use nix::sys::stat::{Mode, umask};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Agent;
use super::client::Client;
use super::driver::Doing;
use super::orders::{Answer, Order};
use crate::postgresql::session::Commits;

const LINE_BYTES_MAX: u64 = 4096;
const CONNECTIONS_MAX: usize = 8;
/// Longer than any order takes.
const CONNECTION: Duration = Duration::from_secs(60);

/// Before a switchover begins; together with an order's own bound within [`CONNECTION`].
const CHECKPOINT: Duration = Duration::from_secs(25);

/// What the socket says: the answer, and what the agent is about.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Reply {
    #[serde(flatten)]
    pub answer: Answer,
    pub role: Option<String>,
    pub doing: Doing,
}

/// Answers for as long as the agent lives.
pub async fn serve(agent: Arc<Agent>) {
    let path = agent.places.control();
    let listener = loop {
        let _ = std::fs::remove_file(&path);
        // Nobody else's for a moment either.
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = UnixListener::bind(&path);
        umask(before);
        match bound {
            Ok(listener) => break listener,
            Err(error) => tracing::warn!("cannot listen at {}: {error}", path.display()),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let agent = Arc::clone(&agent);
        tokio::spawn(async move {
            let _ = timeout(CONNECTION, talk(&agent, stream)).await;
            drop(place);
        });
    }
}

async fn talk(agent: &Arc<Agent>, stream: tokio::net::UnixStream) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    tokio::io::BufReader::new(read.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    let answer = match serde_json::from_str::<Order>(&line) {
        Ok(order) => agent.order(order).await,
        Err(error) => Answer::refused(format!("this is no order: {error}")),
    };
    let role = agent.held.borrow().as_ref().ok().map(|state| state.role.as_str().to_owned());
    let reply = Reply { answer, role, doing: agent.doing.borrow().clone() };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    write.write_all(&text).await
}

/// Asks this node's agent.
///
/// # Errors
/// No agent runs here, or the caller is not root.
pub fn ask(socket: &Path, order: Order) -> Result<Reply> {
    let mut stream = UnixStream::connect(socket).with_context(|| {
        format!(
            "the agent does not answer at {}; are you root, and does tandem-agent.service run?",
            socket.display()
        )
    })?;
    stream.set_read_timeout(Some(CONNECTION))?;
    let mut line = serde_json::to_string(&order)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut reply = String::new();
    BufReader::new(stream.take(64 << 10)).read_line(&mut reply).context("waiting for the agent's answer")?;
    ensure!(
        !reply.is_empty(),
        "the agent ended before it answered: look at `tandem status` whether it was done"
    );
    serde_json::from_str(&reply).context("the agent answered something unknown")
}

impl Agent {
    /// Does what was typed, or says why not.
    pub(super) async fn order(self: &Arc<Self>, order: Order) -> Answer {
        let command = match order {
            Order::Look => return Answer { done: true, words: String::new() },
            Order::Maintenance { on } => return self.maintenance(on),
            Order::Solo { peer_is_off, peer_did_not_take_over, force } => {
                Command::Solo { peer_is_off, peer_did_not_take_over, force }
            }
            Order::Rejoin => Command::Rejoin,
            Order::Switchover => Command::Switchover,
            Order::AbortSwitchover => Command::Abort,
        };
        let role = self.held.borrow().as_ref().ok().map(|state| state.role);
        if order == Order::Switchover && role == Some(Role::Standby) {
            return self.ask_peer(order).await;
        }
        if order == Order::Switchover && role == Some(Role::Primary) {
            self.checkpoint().await;
        }
        self.orders.give(command).await
    }

    /// A clean stop writes one too, and nobody is served meanwhile: it then finds little left to write.
    async fn checkpoint(&self) {
        let written = async {
            let session = self.server.connect(Commits::Local).await?;
            Ok::<_, anyhow::Error>(session.batch_execute("CHECKPOINT").await?)
        };
        match timeout(CHECKPOINT, written).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!("no checkpoint before the switchover: {error:#}"),
            Err(_) => tracing::warn!("the checkpoint before the switchover takes long: its stop will too"),
        }
    }

    /// A switchover is the primary's to begin: typed on the standby it means the same.
    async fn ask_peer(self: &Arc<Self>, order: Order) -> Answer {
        let agent = Arc::clone(self);
        let asked = tokio::task::spawn_blocking(move || {
            Client::of_peer(&agent.config, CONNECTION)?.post::<Answer>("/order", &order)
        });
        match asked.await.context("asking the primary").flatten() {
            Ok(answer) => answer,
            Err(error) => Answer::refused(format!("the primary is not reached: {error:#}")),
        }
    }

    /// A standby's engines stay down over restarts until it is called off.
    fn maintenance(&self, on: bool) -> Answer {
        let path = self.places.maintenance();
        let role = self.held.borrow().as_ref().ok().map(|state| state.role);
        if on && !matches!(role, Some(Role::Primary | Role::Standby)) {
            return Answer::refused(
                "maintenance is for a standby; 'tandem status' says what this node is about",
            );
        }
        if on && role == Some(Role::Primary) {
            return Answer::refused("this node is primary: type 'tandem switchover' first, then this again");
        }
        if !on && !path.exists() {
            return Answer::refused("this node is not in maintenance");
        }
        let done = match on {
            true => files::write_durably(&path, 0o600, None, b"").map_err(anyhow::Error::from),
            false => match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
                _ => Ok(()),
            },
        };
        self.orders.came.notify_one();
        match done {
            Ok(()) if on => Answer {
                done: true,
                words:
                    "maintenance: this node gives its join up and stops PostgreSQL; the other goes on alone in a few seconds"
                        .into(),
            },
            Ok(()) => Answer {
                done: true,
                words: "maintenance is over: this node follows the primary again".into(),
            },
            Err(error) => Answer::refused(format!("{}: {error:#}", path.display())),
        }
    }
}
