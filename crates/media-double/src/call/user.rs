//! `X-VP-Type: user`: a call to a user that needs media, as two legs.

use super::bridge;
use super::caller::Caller;
use super::dial::{self, Dialed, Target};
use super::facts;
use super::routing::Routing;
use super::switch::Switch;
use crate::cdr::{Cause, Other};
use crate::http::UserCall;

/// Runs the call (captures: internal_answered, no_answer, busy).
pub async fn run(switch: &Switch, mut caller: Caller, routing: &Routing) {
    let user = routing.reference.as_deref().unwrap_or(&routing.extension);
    let user = user.split('@').next().unwrap_or_default();
    let domain = routing.domain.as_str();
    caller.leg.run("bridge", format!("user/{user}@{domain}"));
    caller.leg.set("dialed_user", user);
    caller.leg.set("dialed_domain", domain);
    let exports = routing.exports();
    if !switch.directory.knows(&UserCall { user, domain, exports: &exports }).await {
        return caller.hang_up(switch, Cause::SubscriberAbsent);
    }
    let target = Target { user, domain, ring_max: switch.limits.ring_max, relay_ringing: true };
    let mut leg = dial::new_leg(&caller, &target);
    let a_uuid = caller.leg.uuid().to_owned();
    leg.other = Some(Other::Originator(caller.leg.profile.clone()));
    for name in ["originator", "originating_leg_uuid", "signal_bond", "call_uuid"] {
        leg.set(name, a_uuid.as_str());
    }
    leg.set("originate_endpoint", "user");
    facts::exported(&mut leg, &exports);
    caller.leg.set("originated_legs", format!("{};Outbound Call;{user}", leg.uuid()));

    let outcome = dial::dial(switch, &mut caller, &mut leg, &target).await;
    let cause = match outcome {
        Dialed::Answered(party) => {
            caller.leg.other = Some(Other::Originatee(leg.profile.clone()));
            caller.leg.set("originate_disposition", "SUCCESS");
            caller.leg.set("DIALSTATUS", "SUCCESS");
            caller.answer();
            return bridge::talk(switch, caller, leg, *party).await;
        }
        Dialed::CallerLeft(ending) => {
            switch.cdrs.submit(leg);
            return caller.left(switch, ending);
        }
        Dialed::Refused(cause) => cause,
        Dialed::NoAnswer => Cause::NoAnswer,
        Dialed::Stopped => Cause::SystemShutdown,
    };
    caller.leg.set("originate_causes", format!("{};{}", leg.uuid(), cause.name()));
    caller.leg.set("originate_disposition", cause.name());
    caller.leg.set("originate_failed_cause", cause.name());
    caller.leg.set("last_bridge_hangup_cause", cause.name());
    switch.cdrs.submit(leg);
    caller.hang_up(switch, cause);
}
