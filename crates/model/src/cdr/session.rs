//! FreeSWITCH's own count of its sessions, as its events tell it.
//!
//! Every session gets a number, from 1 without a gap in one run of FreeSWITCH (`session_id`, `switch_core_session.c`), and ends
//! with one `CHANNEL_DESTROY`, after its CDR was posted or spooled; `HEARTBEAT` tells how many numbers were given. So the
//! numbers are a line on which a record that never came is a hole with a name.

use std::ops::RangeInclusive;

use jiff::Timestamp;
use serde::Deserialize;

use crate::{Rejected, tidy};

/// What FreeSWITCH counts with.
pub const NUMBERS: RangeInclusive<i64> = 1..=u32::MAX as i64;

/// A session that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSession {
    /// Which run of FreeSWITCH counted it.
    pub core_uuid: String,
    /// Its number there.
    pub number: i64,
    /// Its uuid; of one that owes a record the record's.
    pub leg_uuid: String,
    /// When it began, to the microsecond as in its record; `None` for one that never did.
    pub start_time: Option<Timestamp>,
    /// When FreeSWITCH told.
    pub ended: Timestamp,
    /// It makes a record. One that was refused before it began makes none (an address that is not allowed, a gateway that is
    /// not there), nor does one that was told not to (`process_cdr`, `skip_cdr_causes`).
    pub owes_record: bool,
}

/// An event that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// `CHANNEL_DESTROY`.
    Ended(EndedSession),
    /// `HEARTBEAT`.
    Counted {
        /// Which run of FreeSWITCH.
        core_uuid: String,
        /// The last number it gave, 0 before the first.
        last_number: i64,
    },
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "Event-Name")]
    name: &'a str,
    #[serde(rename = "Core-UUID")]
    core_uuid: String,
    #[serde(rename = "Event-Date-Timestamp")]
    told: String,
    #[serde(rename = "Session-Since-Startup")]
    last_number: Option<String>,
    #[serde(rename = "Unique-ID")]
    leg_uuid: Option<String>,
    #[serde(rename = "variable_session_id")]
    number: Option<String>,
    #[serde(rename = "Caller-Channel-Created-Time")]
    created: Option<String>,
    #[serde(rename = "variable_start_uepoch")]
    start: Option<String>,
    #[serde(rename = "Hangup-Cause")]
    cause: Option<String>,
    #[serde(rename = "variable_process_cdr")]
    process_cdr: Option<String>,
    #[serde(rename = "variable_skip_cdr_causes")]
    skip_cdr_causes: Option<String>,
}

/// Reads an event of the event socket in JSON; `None` for other events.
///
/// # Errors
/// [`Rejected`] for what is no event, or one without what it must have.
pub fn event(body: &[u8]) -> Result<Option<SessionEvent>, Rejected> {
    let event: Event = serde_json::from_slice(body)
        .map_err(|error| Rejected::new(None, format!("not an event in JSON: {error}")))?;
    let uuid = event.leg_uuid.as_deref().and_then(tidy::id);
    let lacks = |what: &str| Rejected::new(uuid.clone(), format!("{} tells no {what}", event.name));
    let core_uuid = tidy::id(&event.core_uuid).ok_or_else(|| lacks("Core-UUID"))?;
    match event.name {
        "HEARTBEAT" => {
            let last_number = number(event.last_number.as_deref()).filter(|it| *it <= *NUMBERS.end());
            let last_number = last_number.ok_or_else(|| lacks("Session-Since-Startup"))?;
            Ok(Some(SessionEvent::Counted { core_uuid, last_number }))
        }
        "CHANNEL_DESTROY" => {
            let start_time = time(event.start.as_deref()).or_else(|| time(event.created.as_deref()));
            Ok(Some(SessionEvent::Ended(EndedSession {
                core_uuid,
                number: number(event.number.as_deref())
                    .filter(|it| NUMBERS.contains(it))
                    .ok_or_else(|| lacks("session_id"))?,
                leg_uuid: uuid.clone().ok_or_else(|| lacks("Unique-ID"))?,
                start_time,
                ended: time(Some(&event.told)).ok_or_else(|| lacks("time"))?,
                owes_record: start_time.is_some() && !event.is_told_to_make_none(),
            })))
        }
        _ => Ok(None),
    }
}

impl Event<'_> {
    /// `switch_core_session_reporting_state`. What a dialplan sets to `a_only` or `b_only` is not owed: which leg this is the
    /// event does not say for certain.
    fn is_told_to_make_none(&self) -> bool {
        let told = self.process_cdr.as_deref().is_some_and(|it| !it.is_empty() && !is_true(it));
        let cause = self.cause.as_deref().unwrap_or_default();
        let skipped = self.skip_cdr_causes.as_deref().unwrap_or_default();
        told || skipped.split('|').any(|it| !it.is_empty() && it.eq_ignore_ascii_case(cause))
    }
}

/// `switch_true`.
fn is_true(value: &str) -> bool {
    const WORDS: [&str; 7] = ["yes", "on", "true", "t", "enabled", "active", "allow"];
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word)) || value.parse().is_ok_and(|it: i64| it != 0)
}

fn number(text: Option<&str>) -> Option<i64> {
    text?.trim().parse().ok()
}

/// Microseconds since the epoch, "0" for never.
fn time(micros: Option<&str>) -> Option<Timestamp> {
    super::interpret::timestamp(micros?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: &str = "87401b29-0c93-444c-a4a4-6cf3ab35c682";
    const OWING: &[u8] = include_bytes!("../../../../fixtures/esl/channel_destroy.owing.json");
    const NEVER_BEGUN: &[u8] = include_bytes!("../../../../fixtures/esl/channel_destroy.never_begun.json");
    const REFUSED: &[u8] = include_bytes!("../../../../fixtures/esl/channel_destroy.refused.json");
    const TOLD_NOT_TO: &[u8] =
        include_bytes!("../../../../fixtures/esl/channel_destroy.process_cdr_false.json");
    const HEARTBEAT: &[u8] = include_bytes!("../../../../fixtures/esl/heartbeat.json");

    fn ended(body: &[u8]) -> EndedSession {
        match event(body) {
            Ok(Some(SessionEvent::Ended(ended))) => ended,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_session_that_ends_is_counted_and_says_whether_it_owes_a_record() {
        let session = |number, leg_uuid: &str, start: Option<i64>, ended, owes_record| EndedSession {
            core_uuid: CORE.to_owned(),
            number,
            leg_uuid: leg_uuid.to_owned(),
            start_time: start.map(|it| Timestamp::from_microsecond(it).unwrap()),
            ended: Timestamp::from_microsecond(ended).unwrap(),
            owes_record,
        };
        let began = Some(1_795_804_071_225_486);
        assert_eq!(ended(OWING), session(1, "lo", began, 1_795_804_073_824_149, true));
        let began = Some(1_795_804_075_044_344);
        assert_eq!(ended(TOLD_NOT_TO), session(3, "nopc", began, 1_795_804_075_704_810, false));
        // To a gateway that is not there; and an INVITE from an address that is not allowed. FreeSWITCH posted nothing of either.
        assert_eq!(ended(NEVER_BEGUN), session(7, "gw", None, 1_795_804_079_644_189, false));
        let uuid = "a928dc10-b8f1-4bc5-b85a-99b194172011";
        assert_eq!(ended(REFUSED), session(11, uuid, None, 1_795_804_082_904_158, false));
        let counted = SessionEvent::Counted { core_uuid: CORE.to_owned(), last_number: 18 };
        assert_eq!(event(HEARTBEAT), Ok(Some(counted)));
    }

    #[test]
    fn what_a_dialplan_says_about_records_is_heard() {
        let owes = |variables: &[(&str, &str)]| {
            let mut event: serde_json::Value = serde_json::from_slice(OWING).unwrap();
            for (name, value) in variables {
                event[format!("variable_{name}")] = (*value).into();
            }
            ended(event.to_string().as_bytes()).owes_record
        };
        assert!(
            owes(&[("process_cdr", "")]) && owes(&[("process_cdr", "True")]) && owes(&[("process_cdr", "1")])
        );
        assert!(!owes(&[("process_cdr", "0")]) && !owes(&[("process_cdr", "a_only")]));
        assert!(owes(&[("skip_cdr_causes", "USER_BUSY|NO_ANSWER")]) && owes(&[("skip_cdr_causes", "")]));
        assert!(!owes(&[("skip_cdr_causes", "user_busy|normal_clearing")]));
    }

    #[test]
    fn other_events_count_nothing_and_nonsense_is_rejected() {
        let other = String::from_utf8_lossy(OWING).replace("CHANNEL_DESTROY", "CHANNEL_ANSWER");
        assert_eq!(event(other.as_bytes()), Ok(None));
        let owing = String::from_utf8_lossy(OWING);
        for (from, to) in [
            ("variable_session_id", "variable_x"),
            ("\"variable_session_id\": \"1\"", "\"variable_session_id\": \"0\""),
            ("Unique-ID", "X"),
            ("Core-UUID", "X"),
            ("1795804073824149", "0"),
        ] {
            assert!(owing.contains(from) && event(owing.replacen(from, to, 1).as_bytes()).is_err(), "{from}");
        }
        for body in [&b""[..], b"{}", b"[]", b"-ERR"] {
            assert!(event(body).is_err());
        }
    }
}
