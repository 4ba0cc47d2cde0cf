//! Calling a user through Kamailio, while a caller waits.

use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::{Instant, sleep_until};

use super::caller::Caller;
use super::facts::{self, Sdp};
use super::party::{Ending, Party};
use super::switch::Switch;
use crate::cdr::{Cause, Direction, Leg, Profile};
use crate::clock;
use crate::rtp::Stream;
use crate::sip::client::{self, Progress};
use crate::sip::message::{Message, Start};
use crate::sip::new_tag;
use crate::sip::sdp::{self, Local, Remote};
use crate::sip::uri::quote;

/// What need not be escaped in the user part of a URI (RFC 3261, `user`).
const USER_UNSAFE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'+');

/// Whom to call.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// SIP user name.
    pub user: &'a str,
    /// Its domain.
    pub domain: &'a str,
    /// How long it may ring.
    pub ring_max: Duration,
    /// Whether the caller is to hear that it rings: not in a queue, which has answered already.
    pub relay_ringing: bool,
}

/// How it went.
#[derive(Debug)]
pub enum Dialed {
    /// The user answered.
    Answered(Box<Party>),
    /// The user, or Kamailio for it, refused.
    Refused(Cause),
    /// It rang for too long and was cancelled.
    NoAnswer,
    /// The caller left; the call was cancelled.
    CallerLeft(Ending),
    /// The program stops; the call was cancelled.
    Stopped,
}

/// A leg that is about to be called.
pub fn new_leg(caller: &Caller, target: &Target<'_>) -> Leg {
    let from = &caller.leg.profile;
    Leg::new(
        Direction::Outbound,
        Profile {
            username: from.username.clone(),
            dialplan: "XML",
            caller_id_name: from.caller_id_name.clone(),
            ani: from.ani.clone(),
            caller_id_number: from.caller_id_number.clone(),
            network_addr: from.network_addr.clone(),
            destination_number: target.user.to_owned(),
            source: "mod_sofia",
            context: "tandem",
            chan_name: format!("sofia/kamailio/{}@{}", target.user, target.domain),
            ..Profile::default()
        },
    )
}

/// Calls `target` for `caller`, noting in `leg` what happens. On every outcome but `Answered` the leg is hung up.
pub async fn dial(switch: &Switch, caller: &mut Caller, leg: &mut Leg, target: &Target<'_>) -> Dialed {
    let Ok(stream) = Stream::open(&switch.ports).await else {
        leg.hang_up(Cause::NormalTemporaryFailure, "send_refuse");
        return Dialed::Refused(Cause::NormalTemporaryFailure);
    };
    let invite = invite(switch, caller, &stream, target);
    facts::outgoing(leg, &invite, switch.endpoint.local(), target.user, target.domain);
    let mut attempt = client::invite(&switch.endpoint, invite);
    let give_up_at = Instant::now() + target.ring_max;
    loop {
        tokio::select! {
            progress = attempt.next() => match progress {
                Some(Progress::Ringing(response)) => {
                    leg.times.progress.get_or_insert_with(clock::now);
                    facts::response(leg, &response);
                    if target.relay_ringing {
                        caller.ring();
                    }
                }
                Some(Progress::Answered(dialog, response)) => {
                    facts::response(leg, &response);
                    let remote = Remote::parse(&response.body);
                    // We offered one codec: an answer without it is none.
                    let Some(remote) = remote.filter(|remote| remote.codec == caller.party.codec) else {
                        leg.hang_up(Cause::IncompatibleDestination, "send_bye");
                        dialog.bye();
                        return Dialed::Refused(Cause::IncompatibleDestination);
                    };
                    leg.times.answered = Some(clock::now());
                    let sdp = Sdp { ours: &attempt.invite.body, theirs: &response.body };
                    facts::media(leg, stream.local(), sdp);
                    let party = Party::new(&switch.endpoint, *dialog, stream, Some(&remote));
                    return Dialed::Answered(Box::new(party));
                }
                Some(Progress::Failed(response)) => {
                    facts::response(leg, &response);
                    let code = match response.start {
                        Start::Response { code, .. } => code,
                        Start::Request { .. } => 500,
                    };
                    let cause = Cause::of_sip(code);
                    leg.hang_up(cause, "recv_refuse");
                    return Dialed::Refused(cause);
                }
                None => {
                    leg.hang_up(Cause::NormalTemporaryFailure, "recv_refuse");
                    return Dialed::Refused(Cause::NormalTemporaryFailure);
                }
            },
            ending = caller.party.ended() => {
                cancelled(leg, Cause::OriginatorCancel);
                return Dialed::CallerLeft(ending);
            }
            () = sleep_until(give_up_at) => {
                cancelled(leg, Cause::NoAnswer);
                return Dialed::NoAnswer;
            }
            () = switch.stop.cancelled() => {
                cancelled(leg, Cause::SystemShutdown);
                return Dialed::Stopped;
            }
        }
    }
}

/// Notes a CANCEL; dropping the attempt sends it.
fn cancelled(leg: &mut Leg, cause: Cause) {
    leg.set("sip_invite_failure_status", "487");
    leg.set("sip_invite_failure_phrase", "CANCEL");
    leg.hang_up(cause, "send_cancel");
}

fn invite(switch: &Switch, caller: &Caller, stream: &Stream, target: &Target<'_>) -> Message {
    let domain = target.domain;
    let encode = |user: &str| utf8_percent_encode(user, USER_UNSAFE).to_string();
    let uri = format!("sip:{}@{domain}", encode(target.user));
    let from = &caller.leg.profile;
    let (name, number) = (quote(&from.caller_id_name), encode(&from.caller_id_number));
    let mut invite = switch.endpoint.initial_request("INVITE", &uri);
    invite.headers.set("Max-Forwards", caller.max_forwards.saturating_sub(1).to_string());
    invite.headers.push("From", format!("{name} <sip:{number}@{domain}>;tag={}", new_tag()));
    invite.headers.push("To", format!("<{uri}>"));
    // Kamailio sends a call with this header to registered contacts only, never back to us.
    invite.headers.push("X-VP-Leg", "b");
    let local = Local { address: stream.local(), session: u64::from(stream.local().port()) };
    invite.with_body(sdp::CONTENT_TYPE, local.offer(caller.party.codec, caller.party.dtmf))
}
