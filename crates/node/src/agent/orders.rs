//! What a person typed on this node: one command at a time, answered once.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fsm::Command;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

/// A command that no row of the table takes is answered after this.
const UNHEEDED: Duration = Duration::from_millis(800);
/// Longest a command waits for its answer: etcd is asked, or a fence runs.
const ANSWER: Duration = Duration::from_secs(30);

/// On the control socket, and from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "order", deny_unknown_fields)]
pub enum Order {
    Switchover,
    AbortSwitchover,
    Solo {
        peer_is_off: bool,
        peer_did_not_take_over: bool,
        force: bool,
    },
    /// Give this node's data up.
    Rejoin,
    Maintenance {
        on: bool,
    },
    /// Nothing: the answer says what the node is.
    Look,
}

/// Whether it was done, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub done: bool,
    pub words: String,
}

impl Answer {
    pub fn refused(words: impl Into<String>) -> Self {
        Self { done: false, words: words.into() }
    }
}

#[derive(Default)]
pub struct Orders {
    waiting: Mutex<Option<Waiting>>,
    pub came: Notify,
}

struct Waiting {
    command: Command,
    since: Instant,
    answer: oneshot::Sender<Answer>,
}

impl Orders {
    /// What the table is to decide on.
    pub fn command(&self) -> Option<Command> {
        self.slot().as_ref().map(|waiting| waiting.command)
    }

    /// Gives the command to the driver, and waits for its answer.
    pub async fn give(&self, command: Command) -> Answer {
        let (answer, answered) = oneshot::channel();
        {
            let mut slot = self.slot();
            if slot.is_some() {
                return Answer::refused("another command is under way on this node; try again");
            }
            *slot = Some(Waiting { command, since: Instant::now(), answer });
        }
        self.came.notify_one();
        let answer = timeout(ANSWER, answered).await;
        match answer {
            Ok(Ok(answer)) => answer,
            _ => {
                self.slot().take();
                Answer::refused("it was not done in 30 s, and is not tried on: 'tandem status' says why")
            }
        }
    }

    pub fn answer(&self, done: bool, words: &str) {
        if let Some(waiting) = self.slot().take() {
            tracing::info!(command = ?waiting.command, done, "{words}");
            // Who asked may be gone.
            let _ = waiting.answer.send(Answer { done, words: words.to_owned() });
        }
    }

    /// Refuses a command that nothing takes up.
    pub fn answer_if_old(&self, words: &str) {
        let is_old = self.slot().as_ref().is_some_and(|waiting| waiting.since.elapsed() > UNHEEDED);
        if is_old {
            self.answer(false, words);
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
