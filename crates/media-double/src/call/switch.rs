//! What all calls share, and the loop that takes them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::caller::Caller;
use super::routing::{Kind, Routing};
use super::{prompt, queue, user};
use crate::cdr::{Cause, Sink};
use crate::http::Directory;
use crate::rtp::Ports;
use crate::sip::endpoint::{Endpoint, Invite};

/// Calls at a time: the platform's 800 and some room. Above it a call gets 503.
const CALLS_MAX: usize = 1_000;

/// Times no call may exceed.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Ringing of a user called directly.
    pub ring_max: Duration,
    /// A menu, a mailbox, a conference.
    pub prompt_max: Duration,
    /// Talking.
    pub call_max: Duration,
}

/// A queue.
#[derive(Debug, Clone)]
pub struct Queue {
    /// Name without domain: the value of X-VP-Ref.
    pub name: String,
    /// Tenant's domain.
    pub domain: String,
    /// User names of the agents, in the order they are called.
    pub agents: Vec<String>,
    /// How long one agent's phone rings.
    pub agent_ring_max: Duration,
    /// How long a caller waits.
    pub wait_max: Duration,
    /// Pause after every agent was tried in vain.
    pub round_pause: Duration,
}

/// The media double's switch.
pub struct Switch {
    /// SIP.
    pub endpoint: Arc<Endpoint>,
    /// RTP ports.
    pub ports: Ports,
    /// Who may be called.
    pub directory: Directory,
    /// Where CDRs go.
    pub cdrs: Arc<Sink>,
    /// Queues.
    pub queues: Vec<Queue>,
    /// Longest times.
    pub limits: Limits,
    /// Cancelled when the program stops: every call ends, and is accounted for.
    pub stop: CancellationToken,
    /// Calls and CDRs under way.
    pub tasks: TaskTracker,
    /// Agents being called or talking.
    pub claimed: Mutex<HashSet<String>>,
}

/// An agent who is being called or talks; dropped, the agent is free.
#[derive(Debug)]
pub struct Claim<'a> {
    claimed: &'a Mutex<HashSet<String>>,
    agent: String,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        lock(self.claimed).remove(&self.agent);
    }
}

fn lock(claimed: &Mutex<HashSet<String>>) -> MutexGuard<'_, HashSet<String>> {
    claimed.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Switch {
    /// Takes the agent for one call; `None` if another call has it.
    pub fn claim(&self, agent: &str) -> Option<Claim<'_>> {
        let free = lock(&self.claimed).insert(agent.to_owned());
        free.then(|| Claim { claimed: &self.claimed, agent: agent.to_owned() })
    }

    /// Takes calls until `invites` ends.
    pub async fn serve(self: Arc<Self>, mut invites: mpsc::Receiver<Invite>) {
        let room = Arc::new(Semaphore::new(CALLS_MAX));
        while let Some(invite) = invites.recv().await {
            let Ok(permit) = room.clone().try_acquire_owned() else {
                invite.transaction.reply(503, "Too Many Calls");
                continue;
            };
            let switch = self.clone();
            self.tasks.spawn(async move {
                switch.call(invite).await;
                drop(permit);
            });
        }
    }

    async fn call(&self, invite: Invite) {
        let routing = Routing::of(&invite.transaction.request);
        let caller = match Caller::new(self, invite, &routing).await {
            Ok(caller) => caller,
            Err(error) => return tracing::error!(%error, "a call was refused: no RTP port"),
        };
        tracing::info!(
            uuid = caller.leg.uuid(), kind = ?routing.kind, from = %caller.leg.profile.caller_id_number,
            to = %routing.extension, reference = routing.reference, "a call came in"
        );
        if routing.came_round || caller.max_forwards == 0 {
            return caller.hang_up(self, Cause::ExchangeRoutingError);
        }
        if !caller.acceptable {
            return caller.hang_up(self, Cause::IncompatibleDestination);
        }
        if !routing.admitted() {
            return caller.respond(self, 403, "Forbidden");
        }
        match routing.kind {
            Kind::User => user::run(self, caller, &routing).await,
            Kind::Queue => match self.queue(&routing) {
                Some(queue) => queue::run(self, caller, queue, &routing).await,
                None => caller.respond(self, 404, "No such queue"),
            },
            Kind::Ivr => prompt::run(self, caller, "ivr", &routing).await,
            Kind::Voicemail => prompt::run(self, caller, "voicemail", &routing).await,
            Kind::Conference => prompt::run(self, caller, "conference", &routing).await,
            Kind::TrunkOut => caller.respond(self, 503, "No trunk in the media double"),
            Kind::Unknown => caller.respond(self, 404, "No such destination"),
        }
    }

    fn queue(&self, routing: &Routing) -> Option<&Queue> {
        // X-VP-Ref may carry the domain, as FreeSWITCH's own queue names do.
        let name = routing.reference.as_deref()?.split('@').next()?;
        self.queues.iter().find(|queue| queue.name == name && queue.domain == routing.domain)
    }
}
