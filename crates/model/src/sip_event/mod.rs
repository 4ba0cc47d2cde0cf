//! What Kamailio posts of a SIP dialog (`POST /fs/kamailio`): one JSON object an event, every value a string.
//!
//! In: the body. Out: a [`SipEvent`]; the events of one dialog merge into a [`Dialog`] in any order, and a dialog that never
//! touched FreeSWITCH becomes the [`Leg`](crate::Leg) of a direct call. Only initial INVITEs that passed authentication are reported.

pub mod cause;
mod dialog;

use jiff::Timestamp;

pub use crate::Rejected;
pub use dialog::Dialog;

use crate::call::HangupBy;
use crate::json::{self, Text, members};
use crate::{Direction, tidy};

/// A larger body is refused. Kamailio's events are below 2 KiB.
pub const EVENT_MAX_BYTES: usize = 64 * 1024;

/// What happened to the dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SipEventKind {
    /// A 2xx to the initial INVITE.
    Answered,
    /// A BYE.
    Ended,
    /// A final reply of 300 or above to the initial INVITE.
    Failed,
}

impl SipEventKind {
    /// The word as it stands on the wire and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

/// One event of one dialog. `answered` and `failed` always carry `vp_call` and `start`; `ended` may carry no more than
/// the dialog's name and the time, because after a take-over Kamailio knows no more.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SipEvent {
    /// What happened.
    pub kind: SipEventKind,
    /// The dialog's `Call-ID`.
    pub call_id: String,
    /// The tag the caller chose in the initial INVITE.
    pub from_tag: String,
    /// The tag the answering side chose.
    pub to_tag: Option<String>,
    /// `X-VP-Call`, made by Kamailio at the initial INVITE: the leg uuid of a direct call.
    pub vp_call: Option<String>,
    /// The tenant's SIP domain, lower case.
    pub domain: Option<String>,
    /// The authenticated caller's number.
    pub caller: Option<String>,
    /// The display name the caller chose.
    pub caller_name: Option<String>,
    /// What was dialled.
    pub callee: Option<String>,
    /// When the initial INVITE came.
    pub start: Option<Timestamp>,
    /// When this happened.
    pub time: Timestamp,
    /// The final reply's code, 100 to 699.
    pub sip_code: Option<u16>,
    /// The final reply's reason phrase.
    pub sip_reason: Option<String>,
    /// Whether the call went by way of FreeSWITCH, whose CDRs then account for it; unknown where the event does not say.
    pub media: Option<bool>,
    /// The call's direction, where the event says.
    pub direction: Option<Direction>,
    /// Who sent the BYE.
    pub by: Option<HangupBy>,
}

/// Reads one posted event.
///
/// # Errors
/// [`Rejected`] for what is not an event, lacks what its kind must carry, or is larger than [`EVENT_MAX_BYTES`]; its
/// `uuid` is the `vp_call` if one was found.
pub fn parse(body: &[u8]) -> Result<SipEvent, Rejected> {
    if body.len() > EVENT_MAX_BYTES {
        return Err(Rejected::new(
            None,
            format!("a SIP event of {} bytes; at most {EVENT_MAX_BYTES} are read", body.len()),
        ));
    }
    let text = String::from_utf8_lossy(body);
    if !text.trim_start().starts_with('{') {
        return Err(Rejected::new(None, "a SIP event must be a JSON object"));
    }
    let posted: Posted = json::read(&text)
        .map_err(|error| Rejected::new(None, format!("the SIP event is not valid JSON: {error}")))?;
    let vp_call = posted.vp_call.as_deref().and_then(tidy::id);
    posted.into_event(vp_call.clone()).map_err(|reason| Rejected::new(vp_call, reason))
}

members! {
    /// The members as they were posted.
    struct Posted<'a> {
        event: Text<'a> = "event",
        call_id: Text<'a> = "call_id",
        from_tag: Text<'a> = "from_tag",
        to_tag: Text<'a> = "to_tag",
        vp_call: Text<'a> = "vp_call",
        domain: Text<'a> = "domain",
        caller: Text<'a> = "caller",
        caller_name: Text<'a> = "caller_name",
        callee: Text<'a> = "callee",
        start: Text<'a> = "start",
        time: Text<'a> = "time",
        sip_code: Text<'a> = "sip_code",
        sip_reason: Text<'a> = "sip_reason",
        media: Text<'a> = "media",
        direction: Text<'a> = "direction",
        by: Text<'a> = "by",
    }
}

impl Posted<'_> {
    fn into_event(self, vp_call: Option<String>) -> Result<SipEvent, String> {
        let kind = match self.event.as_deref() {
            Some("answered") => SipEventKind::Answered,
            Some("ended") => SipEventKind::Ended,
            Some("failed") => SipEventKind::Failed,
            Some(other) => return Err(format!("event is {other:?}; it must be answered, ended or failed")),
            None => return Err("the SIP event has no event".to_owned()),
        };
        let id = |name: &str, value: &Text| {
            value.as_deref().and_then(tidy::id).ok_or_else(|| format!("the SIP event has no usable {name}"))
        };
        let text = |value: &Text| value.as_deref().and_then(tidy::text);
        let start = self.start.as_deref().and_then(epoch_seconds);
        if kind != SipEventKind::Ended {
            id("vp_call", &self.vp_call)?;
            start.ok_or("the SIP event has no usable start")?;
        }
        Ok(SipEvent {
            kind,
            call_id: id("call_id", &self.call_id)?,
            from_tag: id("from_tag", &self.from_tag)?,
            to_tag: self.to_tag.as_deref().and_then(tidy::id),
            vp_call,
            domain: self.domain.as_deref().and_then(tidy::domain),
            caller: text(&self.caller),
            caller_name: self.caller_name.as_deref().and_then(|name| tidy::text(&tidy::unquoted(name))),
            callee: text(&self.callee),
            start,
            time: self.time.as_deref().and_then(epoch_seconds).ok_or("the SIP event has no usable time")?,
            sip_code: self
                .sip_code
                .and_then(|code| code.parse().ok())
                .filter(|code| (100..700).contains(code)),
            sip_reason: text(&self.sip_reason),
            media: match self.media.as_deref() {
                Some("0" | "false") => Some(false),
                Some("1" | "true") => Some(true),
                _ => None,
            },
            direction: self.direction.as_deref().and_then(Direction::from_name),
            by: self.by.as_deref().and_then(HangupBy::from_name),
        })
    }
}

/// `1795341549.991056`, seconds since the epoch with up to six digits of fraction (more are dropped), of a
/// [plausible](crate::tidy::timestamp) time.
fn epoch_seconds(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if seconds.is_empty() || !digits(seconds) || !digits(fraction) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6.6}").parse().ok()?;
    tidy::timestamp(seconds.parse::<i64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)?)
}

#[cfg(test)]
mod tests;
