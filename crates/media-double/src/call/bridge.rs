//! Two legs that talk.

use tokio::time::sleep;

use super::caller::Caller;
use super::facts;
use super::party::{Ending, Party};
use super::switch::Switch;
use crate::cdr::{Cause, Leg};

/// Lets `caller` and the answered leg talk until one of them leaves, then ends the other and writes both CDRs.
pub async fn talk(switch: &Switch, mut caller: Caller, mut leg: Leg, mut callee: Party) {
    facts::bridged(&mut caller.leg, &mut leg);
    caller.party.stream.bridge(&callee.stream);
    tokio::select! {
        ending = caller.party.ended() => {
            end_callee(switch, leg, callee, Cause::NormalClearing);
            caller.leg.set("bridge_hangup_cause", Cause::NormalClearing.name());
            caller.left(switch, ending);
        }
        ending = callee.ended() => {
            let (cause, disposition) = match ending {
                Ending::Bye => (Cause::NormalClearing, "recv_bye"),
                Ending::Cancelled | Ending::Lost => (Cause::NormalUnspecified, "send_bye"),
            };
            leg.media = Some(callee.stream.counters());
            leg.hang_up(cause, disposition);
            switch.cdrs.submit(leg);
            caller.leg.set("bridge_hangup_cause", cause.name());
            caller.hang_up(switch, Cause::NormalClearing);
        }
        () = sleep(switch.limits.call_max) => {
            end_callee(switch, leg, callee, Cause::AllottedTimeout);
            caller.hang_up(switch, Cause::AllottedTimeout);
        }
        () = switch.stop.cancelled() => {
            end_callee(switch, leg, callee, Cause::SystemShutdown);
            caller.hang_up(switch, Cause::SystemShutdown);
        }
    }
}

fn end_callee(switch: &Switch, mut leg: Leg, callee: Party, cause: Cause) {
    leg.media = Some(callee.stream.counters());
    leg.hang_up(cause, "send_bye");
    callee.dialog.bye();
    switch.cdrs.submit(leg);
}
