//! A leg that goes on, as FreeSWITCH's event of its channel tells it (`CHANNEL_ANSWER`; `uuid_dump … json` says the same), and
//! its recording when that begins (`RECORD_START`: the file is open) and has ended (`RECORD_STOP`: it is closed, and `record_ms` is
//! set; switch_ivr_async.c).
//!
//! The event becomes a document of the form of a CDR, small enough to be kept like one, and is read as one. Its row is
//! provisional: the CDR, which has the same key, replaces it.

use serde_json::{Map, Value, json};

use super::parse;
use crate::{Leg, LegDirection, Rejected};

/// A longer value says nothing that is read (an SDP, a list of codecs).
const VALUE_MAX_BYTES: usize = 512;

/// The document of an answered channel, with its uuid; `None` while it is not answered, and for a recording that is not the
/// dialplan's: a message left in a mailbox has the same events, and has at its end set `record_ms` to its own length.
///
/// # Errors
/// [`Rejected`] for what is no event of a channel.
pub fn document(event: &[u8]) -> Result<Option<(String, Vec<u8>)>, Rejected> {
    let event: Map<String, Value> = serde_json::from_slice(event)
        .map_err(|error| Rejected::new(None, format!("the event is no JSON object: {error}")))?;
    let text = |name: &str| event.get(name).and_then(Value::as_str);
    let Some(uuid) = text("Unique-ID") else {
        return Err(Rejected::new(None, "the event names no Unique-ID"));
    };
    let foreign = || text("Record-File-Path") != text("variable_vp_recording");
    let begins = text("Event-Name") == Some("RECORD_START");
    if (begins || text("Event-Name") == Some("RECORD_STOP")) && foreign() {
        return Ok(None);
    }
    if text("Caller-Channel-Answered-Time").is_none_or(|time| time == "0") {
        return Ok(None);
    }
    let mut variables: Map<String, Value> = event
        .iter()
        .filter(|(_, value)| value.as_str().is_some_and(|it| it.len() <= VALUE_MAX_BYTES))
        .filter_map(|(name, value)| Some((name.strip_prefix("variable_")?.to_owned(), value.clone())))
        .collect();
    if begins {
        // Its length comes with its end; should the node die before, there is a file all the same.
        variables.insert("vp_recorded".to_owned(), "1".into());
    }
    let document = json!({
        "core-uuid": text("Core-UUID"),
        "switchname": text("FreeSWITCH-Switchname"),
        "channel_data": {"direction": text("Call-Direction")},
        "variables": variables,
        "callflow": [{
            "caller_profile": {
                "uuid": uuid,
                "caller_id_name": text("Caller-Caller-ID-Name"),
                "caller_id_number": text("Caller-Caller-ID-Number"),
                "destination_number": text("Caller-Destination-Number"),
                "context": text("Caller-Context"),
            },
            "times": {
                "created_time": text("Caller-Channel-Created-Time"),
                "answered_time": text("Caller-Channel-Answered-Time"),
                "bridged_time": text("Caller-Channel-Bridged-Time"),
            },
        }],
    });
    Ok(Some((uuid.to_owned(), document.to_string().into_bytes())))
}

/// Reads what [`document`] made.
///
/// # Errors
/// As [`parse`].
pub fn parse_open(body: &[u8]) -> Result<Leg, Rejected> {
    let mut leg = parse(body, None)?;
    leg.provisional = true;
    (leg.end_time, leg.hangup_cause, leg.hangup_cause_q850) = (None, None, None);
    (leg.duration, leg.billsec) = (0, 0);
    // A phone that answers is connected in the next instant, which no event of its own tells.
    let connected = leg.answer_time.filter(|_| leg.leg_direction == LegDirection::Outbound);
    leg.story.bridged = leg.story.bridged.or(connected);
    Ok(leg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::{CallLeg, EventKind, Status, Summary};
    use crate::{Direction, LegSource, Recording};

    /// FreeSWITCH's events of both legs of one call, in the order they came.
    const CALLEE: &[u8] = include_bytes!("../../../../fixtures/esl/channel_answer.b_leg.json");
    const CALLER: &[u8] = include_bytes!("../../../../fixtures/esl/channel_answer.a_leg.json");

    fn open_leg(event: &[u8]) -> Leg {
        let (uuid, body) = document(event).unwrap().unwrap();
        let leg = parse_open(&body).unwrap();
        assert_eq!(leg.leg_uuid, uuid);
        assert!(body.len() < 8 * 1024);
        leg
    }

    #[test]
    fn an_answered_channel_is_a_provisional_leg() {
        let leg = open_leg(CALLEE);
        assert_eq!(leg.leg_uuid, "a1530c99-10c0-42aa-ac7e-a15b09f87962");
        assert_eq!(leg.parent_uuid.as_deref(), Some("551df598-c995-48ea-9124-5af6e05401ea"));
        assert_eq!((leg.source, leg.provisional), (LegSource::Freeswitch, true));
        assert_eq!((leg.direction, leg.leg_direction), (Direction::Internal, LegDirection::Outbound));
        assert_eq!(leg.vp_call.as_deref(), Some("7d3fbb1c-9b0e-4a53-9d0a-5f6f4a6b0001"));
        assert_eq!(
            (leg.domain.as_deref(), leg.destination_number.as_deref()),
            (Some("default.local"), Some("1003"))
        );
        // The key of the CDR's row to come.
        assert_eq!(leg.start_time.as_microsecond(), 1_795_792_326_044_932);
        assert_eq!(leg.answer_time.map(|it| it.as_microsecond()), Some(1_795_792_326_065_449));
        assert_eq!((leg.end_time, leg.hangup_cause, leg.duration, leg.billsec), (None, None, 0, 0));
    }

    #[test]
    fn an_open_call_tells_who_answered() {
        let legs = [open_leg(CALLER), open_leg(CALLEE)];
        assert_eq!(legs[0].leg_uuid, "551df598-c995-48ea-9124-5af6e05401ea");
        let parts: Vec<CallLeg> = legs.iter().map(CallLeg::of).collect();
        let summary = Summary::of_call(&legs[0].leg_uuid, &parts).unwrap();
        assert_eq!((summary.status, summary.wait_seconds), (Some(Status::Answered), Some(0)));
        assert_eq!((summary.talk_seconds, summary.hangup_by), (None, None));
        let kinds: Vec<EventKind> =
            legs.iter().flat_map(|leg| leg.story.events.iter().map(|it| it.kind)).collect();
        assert_eq!(kinds, [EventKind::Dialled, EventKind::Offered, EventKind::Answered]);
    }

    #[test]
    fn a_recording_that_has_ended_is_told_and_another_file_s_end_is_not() {
        let leg = open_leg(include_bytes!("../../../../fixtures/esl/record_stop.session.json"));
        let path = "2026/11/27/92977f89-43b1-42fe-9f7c-eeffa1b28bba.wav".to_owned();
        assert_eq!(leg.recording, Some(Recording { path, ms: Some(5_200), bytes: Some(83_244) }));
        assert_eq!((leg.provisional, leg.recorded, leg.end_time), (true, true, None));
        assert_eq!(leg.start_time.as_microsecond(), 1_795_804_352_992_667);
        let message = include_bytes!("../../../../fixtures/esl/record_stop.message.json");
        assert_eq!(document(message), Ok(None));
    }

    #[test]
    fn a_recording_that_has_begun_has_no_length_yet() {
        let leg = open_leg(include_bytes!("../../../../fixtures/esl/record_start.session.json"));
        let path = "2026/11/27/d892bf7b-0df1-4b2e-949d-3c1f5934266b.wav".to_owned();
        assert_eq!(leg.recording, Some(Recording { path, ms: None, bytes: None }));
        assert_eq!((leg.provisional, leg.recorded), (true, true));
        assert_eq!(leg.start_time.as_microsecond(), 1_795_817_751_415_875);
    }

    #[test]
    fn what_is_not_answered_is_no_leg_and_what_is_no_event_is_rejected() {
        let ringing = String::from_utf8_lossy(CALLEE).replace("1795792326065449", "0");
        assert_eq!(document(ringing.as_bytes()), Ok(None));
        for event in [&b"-ERR No such channel!"[..], b"{}", b"[]", b"", b"{\"Unique-ID\": 5}"] {
            assert!(document(event).is_err());
        }
    }
}
