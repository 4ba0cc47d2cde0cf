//! Menus, mailboxes and conference rooms: answered with silence until the caller leaves.

use tokio::time::sleep;

use super::caller::Caller;
use super::routing::Routing;
use super::switch::Switch;
use crate::cdr::Cause;

/// Runs `application` (capture: ivr_abandoned).
pub async fn run(switch: &Switch, mut caller: Caller, application: &'static str, routing: &Routing) {
    caller.leg.run("answer", "");
    caller.answer();
    let reference = routing.reference.as_deref().unwrap_or(&routing.extension);
    caller.leg.run(application, reference);
    caller.party.stream.play_silence(caller.party.codec);
    tokio::select! {
        ending = caller.party.ended() => caller.left(switch, ending),
        () = sleep(switch.limits.prompt_max) => caller.hang_up(switch, Cause::NormalClearing),
        () = switch.stop.cancelled() => caller.hang_up(switch, Cause::SystemShutdown),
    }
}
