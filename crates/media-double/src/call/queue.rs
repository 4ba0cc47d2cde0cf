//! `X-VP-Type: queue`: the caller waits while the queue's agents are called one by one, in the configured order.

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::bridge;
use super::caller::Caller;
use super::dial::{self, Dialed, Target};
use super::party::{Ending, Party};
use super::routing::Routing;
use super::switch::{Claim, Queue, Switch};
use crate::cdr::{Cause, Leg, Other};
use crate::clock;
use crate::http::UserCall;

const US_PER_SECOND: i64 = 1_000_000;

/// One caller in one queue.
struct Member<'a> {
    switch: &'a Switch,
    queue: &'a Queue,
    exports: [(&'static str, String); 2],
    /// `<queue>@<domain>`, mod_callcenter's name of it.
    name: String,
    uuid: String,
    joined_epoch: String,
}

/// An agent who took the call; the claim keeps other callers away while they talk.
struct Answered<'a> {
    agent: String,
    claim: Claim<'a>,
    leg: Leg,
    party: Box<Party>,
}

/// Why a round of calls is over.
enum Round<'a> {
    Answered(Box<Answered<'a>>),
    Left(Ending),
    Stopped,
    TimedOut,
    Nobody,
}

/// Runs the call (captures: queue_call, queue_agent_no_answer, queue_abandoned).
pub async fn run(switch: &Switch, mut caller: Caller, queue: &Queue, routing: &Routing) {
    let name = format!("{}@{}", queue.name, queue.domain);
    caller.leg.run("answer", "");
    caller.answer();
    caller.leg.run("callcenter", name.as_str());
    caller.party.stream.play_silence(caller.party.codec);
    let joined_epoch = (clock::now() / US_PER_SECOND).to_string();
    let member = Member {
        switch,
        queue,
        exports: routing.exports(),
        name,
        uuid: Uuid::new_v4().to_string(),
        joined_epoch,
    };
    caller.leg.set("cc_side", "member");
    caller.leg.set("cc_member_uuid", member.uuid.as_str());
    caller.leg.set("cc_queue_joined_epoch", member.joined_epoch.as_str());
    caller.leg.set("cc_queue", member.name.as_str());
    member.wait(caller).await;
}

impl<'a> Member<'a> {
    /// Calls round after round until an agent answers, the caller leaves, or the wait is over.
    async fn wait(&self, mut caller: Caller) {
        let over_at = Instant::now() + self.queue.wait_max;
        loop {
            let outcome = match self.round(&mut caller, over_at).await {
                Round::Nobody => self.pause(&mut caller, over_at).await,
                outcome => outcome,
            };
            match outcome {
                Round::Nobody => {}
                Round::Answered(answered) => return self.connect(caller, *answered).await,
                Round::Left(ending) => {
                    self.cancelled(&mut caller, "BREAK_OUT");
                    return caller.left(self.switch, ending);
                }
                Round::TimedOut => {
                    self.cancelled(&mut caller, "TIMEOUT");
                    return caller.hang_up(self.switch, Cause::NormalClearing);
                }
                Round::Stopped => {
                    self.cancelled(&mut caller, "BREAK_OUT");
                    return caller.hang_up(self.switch, Cause::SystemShutdown);
                }
            }
        }
    }

    /// Calls every free agent once.
    async fn round(&self, caller: &mut Caller, over_at: Instant) -> Round<'a> {
        let domain = self.queue.domain.as_str();
        for user in &self.queue.agents {
            let left = over_at.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Round::TimedOut;
            }
            let agent = format!("{user}@{domain}");
            let Some(claim) = self.switch.claim(&agent) else { continue };
            // mod_callcenter calls agents outside of any session: nothing is exported to the look-up.
            if !self.switch.directory.knows(&UserCall { user, domain, exports: &[] }).await {
                continue;
            }
            let ring_max = self.queue.agent_ring_max.min(left);
            let target = Target { user, domain, ring_max, relay_ringing: false };
            let mut leg = self.agent_leg(caller, &target, &agent);
            match dial::dial(self.switch, caller, &mut leg, &target).await {
                Dialed::Answered(party) => {
                    return Round::Answered(Box::new(Answered { agent, claim, leg, party }));
                }
                Dialed::Refused(_) => self.switch.cdrs.submit(leg),
                Dialed::NoAnswer => {
                    // The word mod_callcenter has for it.
                    leg.cause = Cause::AllottedTimeout;
                    self.switch.cdrs.submit(leg);
                }
                Dialed::CallerLeft(ending) => {
                    self.switch.cdrs.submit(leg);
                    return Round::Left(ending);
                }
                Dialed::Stopped => {
                    self.switch.cdrs.submit(leg);
                    return Round::Stopped;
                }
            }
        }
        Round::Nobody
    }

    /// Waits for the next round.
    async fn pause(&self, caller: &mut Caller, over_at: Instant) -> Round<'a> {
        let until = (Instant::now() + self.queue.round_pause).min(over_at);
        tokio::select! {
            ending = caller.party.ended() => Round::Left(ending),
            () = self.switch.stop.cancelled() => Round::Stopped,
            () = sleep_until(until) => if until == over_at { Round::TimedOut } else { Round::Nobody },
        }
    }

    fn agent_leg(&self, caller: &Caller, target: &Target<'_>, agent: &str) -> Leg {
        let mut leg = dial::new_leg(caller, target);
        // No dialplan and no caller's channel behind it: mod_callcenter originated it.
        (leg.profile.username, leg.profile.dialplan) = (String::new(), "");
        leg.profile.source = "src/switch_ivr_originate.c";
        leg.profile.context = "default";
        leg.set("call_uuid", leg.uuid().to_owned());
        leg.set("cc_queue", self.name.as_str());
        leg.set("cc_queue_joined_epoch", self.joined_epoch.as_str());
        leg.set("cc_member_uuid", self.uuid.as_str());
        leg.set("cc_member_session_uuid", caller.leg.uuid());
        leg.set("cc_member_pre_answer_uuid", self.uuid.as_str());
        leg.set("cc_agent", agent);
        leg.set("cc_agent_type", "callback");
        leg.set("cc_side", "agent");
        leg.set("originate_endpoint", "user");
        leg.set("origination_caller_id_name", caller.leg.profile.caller_id_name.as_str());
        leg.set("origination_caller_id_number", caller.leg.profile.caller_id_number.as_str());
        // The dialplan's cc_export_vars: an originated leg has no export_vars of its own.
        for (name, value) in &self.exports {
            leg.set(name, value.as_str());
        }
        leg
    }

    /// The agent answered: mod_callcenter bridges by uuid, which begins a second profile on both legs.
    async fn connect(&self, mut caller: Caller, answered: Answered<'a>) {
        let Answered { agent, claim: _claim, mut leg, party } = answered;
        let now = clock::now();
        let answered_epoch = (now / US_PER_SECOND).to_string();
        caller.leg.times.transferred = Some(now);
        leg.times.transferred = Some(now);
        leg.other = Some(Other::Originator(caller.leg.profile.clone()));
        caller.leg.other = Some(Other::Originatee(leg.profile.clone()));
        caller.leg.set("cc_cause", "answered");
        caller.leg.set("cc_agent", agent);
        caller.leg.set("cc_agent_uuid", leg.uuid());
        caller.leg.set("cc_queue_answered_epoch", answered_epoch);
        caller.leg.set("cc_agent_bridged", "true");
        leg.set("cc_agent_bridged", "true");
        leg.unset("cc_member_pre_answer_uuid");
        bridge::talk(self.switch, caller, leg, *party).await;
    }

    fn cancelled(&self, caller: &mut Caller, reason: &str) {
        caller.leg.set("cc_queue_canceled_epoch", (clock::now() / US_PER_SECOND).to_string());
        caller.leg.set("cc_cause", "cancel");
        caller.leg.set("cc_cancel_reason", reason);
    }
}
