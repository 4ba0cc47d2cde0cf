use proptest::prelude::*;

use super::*;
use crate::call::{CallLeg, EventKind, HangupBy, Status, Story, Summary};
use crate::{Leg, LegDirection, LegSource};

/// The three events of one direct call, and one of a call that failed.
const ANSWERED: &str = r#"{"event":"answered","call_id":"c1@phone","from_tag":"f1","to_tag":"t1",
    "vp_call":"0198a7de-1111-7000-8000-000000000001","domain":"PBX.test","caller":"1001","caller_name":"Zoë \"Z\"",
    "callee":"1002","start":"1795341549.991056","time":"1795341550.011063","sip_code":"200","sip_reason":"OK",
    "media":"0","direction":"internal"}"#;
const ENDED: &str = r#"{"event":"ended","call_id":"c1@phone","from_tag":"f1","to_tag":"t1","time":"1795341554.031078","by":"callee"}"#;
const FAILED: &str = r#"{"event":"failed","call_id":"c2@phone","from_tag":"f2","to_tag":"",
    "vp_call":"0198a7de-1111-7000-8000-000000000002","domain":"pbx.test","caller":"1001","caller_name":"","callee":"1008",
    "start":"1795341549.5","time":"1795341556.25","sip_code":"486","sip_reason":"Busy Here","media":"0","direction":"internal"}"#;

fn event(text: &str) -> SipEvent {
    parse(text.as_bytes()).unwrap()
}

fn micros(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap()
}

fn merged<'a>(events: impl IntoIterator<Item = &'a SipEvent>) -> Dialog {
    let dialogs = events.into_iter().map(Dialog::of);
    dialogs
        .reduce(|mut known, more| {
            known.merge(&more);
            known
        })
        .unwrap()
}

#[test]
fn an_event_is_read_as_posted() {
    assert_eq!(
        event(ANSWERED),
        SipEvent {
            kind: SipEventKind::Answered,
            call_id: "c1@phone".to_owned(),
            from_tag: "f1".to_owned(),
            to_tag: Some("t1".to_owned()),
            vp_call: Some("0198a7de-1111-7000-8000-000000000001".to_owned()),
            domain: Some("pbx.test".to_owned()),
            caller: Some("1001".to_owned()),
            caller_name: Some("Zo\u{eb} \"Z\"".to_owned()),
            callee: Some("1002".to_owned()),
            start: Some(micros(1_795_341_549_991_056)),
            time: micros(1_795_341_550_011_063),
            sip_code: Some(200),
            sip_reason: Some("OK".to_owned()),
            media: Some(false),
            direction: Some(Direction::Internal),
            by: None,
        }
    );
    let ended = event(ENDED);
    assert_eq!(
        (ended.kind, ended.vp_call, ended.start, ended.media),
        (SipEventKind::Ended, None, None, None)
    );
    let failed = event(FAILED);
    assert_eq!((failed.to_tag, failed.caller_name, failed.sip_code), (None, None, Some(486)));
}

#[test]
fn what_is_no_event_is_rejected_with_the_reason() {
    for (body, reason) in [
        ("", "must be a JSON object"),
        ("[]", "must be a JSON object"),
        ("{", "not valid JSON"),
        ("{} x", "not valid JSON"),
        ("{}", "has no event"),
        (r#"{"event":"rang"}"#, "must be answered, ended or failed"),
        (r#"{"event":"ended","from_tag":"f","time":"1795341549"}"#, "no usable call_id"),
        (r#"{"event":"ended","call_id":"c","from_tag":"","time":"1795341549"}"#, "no usable from_tag"),
        (r#"{"event":"ended","call_id":"c","from_tag":"f","time":"soon"}"#, "no usable time"),
        (r#"{"event":"ended","call_id":"c","from_tag":"f","time":"0"}"#, "no usable time"),
        (
            r#"{"event":"answered","call_id":"c","from_tag":"f","start":"1795341549","time":"1795341549"}"#,
            "vp_call",
        ),
        (
            r#"{"event":"failed","call_id":"c","from_tag":"f","vp_call":"v","time":"1795341549"}"#,
            "no usable start",
        ),
    ] {
        let rejected = parse(body.as_bytes()).unwrap_err();
        assert!(rejected.reason.contains(reason), "{body}: {rejected}");
        assert_eq!(rejected.uuid.is_some(), body.contains("vp_call"), "{body}");
    }
    let big = format!("{{\"event\":\"{}\"}}", "x".repeat(EVENT_MAX_BYTES));
    assert!(parse(big.as_bytes()).unwrap_err().reason.contains("at most"));
}

#[test]
fn seconds_of_the_epoch_have_any_number_of_decimals() {
    for (text, expected) in [
        ("1795341549", Some(1_795_341_549_000_000)),
        ("1795341549.", Some(1_795_341_549_000_000)),
        ("1795341549.5", Some(1_795_341_549_500_000)),
        ("1795341549.000001", Some(1_795_341_549_000_001)),
        ("1795341549.9910569", Some(1_795_341_549_991_056)),
        ("-1795341549", None),
        (".5", None),
        ("1795341549.5.5", None),
        ("1e9", None),
        ("99999999999999999999", None),
        ("9223372036854775807", None),
        ("", None),
    ] {
        assert_eq!(epoch_seconds(text), expected.map(micros), "{text}");
    }
}

#[test]
fn a_direct_call_is_one_leg() {
    let leg = merged([&event(ANSWERED), &event(ENDED)]).to_leg().unwrap();
    let expected = Leg {
        leg_uuid: "0198a7de-1111-7000-8000-000000000001".to_owned(),
        parent_uuid: None,
        bleg_uuid: None,
        source: LegSource::Kamailio,
        provisional: false,
        vp_call: Some("0198a7de-1111-7000-8000-000000000001".to_owned()),
        domain: Some("pbx.test".to_owned()),
        direction: Direction::Internal,
        leg_direction: LegDirection::Inbound,
        caller_id_number: Some("1001".to_owned()),
        caller_id_name: Some("Zo\u{eb} \"Z\"".to_owned()),
        destination_number: Some("1002".to_owned()),
        context: None,
        start_time: micros(1_795_341_549_991_056),
        answer_time: Some(micros(1_795_341_550_011_063)),
        end_time: Some(micros(1_795_341_554_031_078)),
        // 4.040 and 4.020 s; FreeSWITCH counted 5 and 4 of the same times (internal_answered.a_leg.json).
        duration: 4,
        billsec: 4,
        hangup_cause: Some("NORMAL_CLEARING".to_owned()),
        hangup_cause_q850: Some(16),
        queue: None,
        agent: None,
        trunk: None,
        sip_call_id: Some("c1@phone".to_owned()),
        core_uuid: None,
        session_id: None,
        recorded: false,
        recording: None,
        story: Story::default(),
    };
    assert_eq!(Leg { story: Story::default(), ..leg.clone() }, expected);
    let told: Vec<_> =
        leg.story.events.iter().map(|it| (it.kind, it.who.as_deref(), it.detail.as_deref())).collect();
    assert_eq!(
        told,
        [
            (EventKind::Dialled, Some("1001"), Some("1002")),
            (EventKind::Answered, Some("1002"), None),
            (EventKind::HungUp, Some("1002"), Some("NORMAL_CLEARING")),
        ]
    );
    let summary = Summary::of_leg(&CallLeg::of(&leg));
    assert_eq!(
        (summary.status, summary.wait_seconds, summary.talk_seconds, summary.hangup_by),
        (Some(Status::Answered), Some(0), Some(4), Some(HangupBy::Callee))
    );
}

#[test]
fn a_call_that_still_goes_on_is_provisional() {
    let leg = merged([&event(ANSWERED)]).to_leg().unwrap();
    assert!(leg.provisional);
    assert_eq!((leg.end_time, leg.duration, leg.billsec, leg.hangup_cause), (None, 0, 0, None));
}

#[test]
fn a_failed_call_has_its_codes_cause() {
    let leg = merged([&event(FAILED)]).to_leg().unwrap();
    assert_eq!((leg.hangup_cause.as_deref(), leg.hangup_cause_q850), (Some("USER_BUSY"), Some(17)));
    // 6.75 s.
    assert_eq!((leg.duration, leg.billsec, leg.answer_time, leg.provisional), (6, 0, None, false));
    let summary = Summary::of_leg(&CallLeg::of(&leg));
    assert_eq!(
        (summary.status, summary.wait_seconds, summary.talk_seconds, summary.hangup_by),
        (Some(Status::Busy), Some(6), None, Some(HangupBy::Callee))
    );
}

#[test]
fn a_bye_is_no_leg_until_the_answer_comes_and_tells_only_when() {
    let claiming =
        ENDED.replace("\"by\"", "\"vp_call\":\"0\",\"start\":\"1795341549\",\"media\":\"0\",\"by\"");
    for bye in [ENDED, &claiming] {
        let mut dialog = Dialog::of(&event(bye));
        assert_eq!(dialog.to_leg(), None);
        dialog.merge(&Dialog::of(&event(ANSWERED)));
        assert_eq!(dialog.to_leg(), merged([&event(ANSWERED), &event(ENDED)]).to_leg());
    }
}

#[test]
fn a_call_that_freeswitch_carried_is_freeswitchs_to_account_for() {
    let carried = event(&ANSWERED.replace("\"media\":\"0\"", "\"media\":\"1\""));
    assert_eq!(merged([&carried, &event(ENDED)]).to_leg(), None);
    assert_eq!(merged([&carried, &event(ANSWERED)]).to_leg(), None);
    assert_eq!(merged([&event(&ANSWERED.replace("\"media\":\"0\"", "\"media\":\"\""))]).to_leg(), None);
}

#[test]
fn an_answer_outweighs_a_failure_of_another_branch() {
    let failed = FAILED.replace("c2@phone", "c1@phone").replace("f2", "f1");
    let leg = merged([&event(&failed), &event(ANSWERED), &event(ENDED)]).to_leg().unwrap();
    assert_eq!(leg.hangup_cause.as_deref(), Some("NORMAL_CLEARING"));
}

#[test]
fn codes_have_freeswitchs_causes() {
    for (code, cause) in [
        (403, ("CALL_REJECTED", 21)),
        (404, ("UNALLOCATED_NUMBER", 1)),
        (408, ("NO_ANSWER", 19)),
        (480, ("NO_USER_RESPONSE", 18)),
        (483, ("EXCHANGE_ROUTING_ERROR", 25)),
        (486, ("USER_BUSY", 17)),
        (487, ("ORIGINATOR_CANCEL", 16)),
        (503, ("NORMAL_TEMPORARY_FAILURE", 41)),
        (603, ("CALL_REJECTED", 21)),
        (0, ("NORMAL_UNSPECIFIED", 31)),
        (699, ("NORMAL_UNSPECIFIED", 31)),
    ] {
        assert_eq!(cause::of_sip_code(code), cause, "{code}");
    }
}

/// Events of one dialog with small and clashing values.
fn of_one_dialog() -> impl Strategy<Value = SipEvent> {
    let word = || prop::option::of("[ab]");
    let time = |seconds: i64| micros(1_795_341_549_000_000 + seconds * 1_000_000);
    let kind = prop::sample::select(vec![SipEventKind::Answered, SipEventKind::Ended, SipEventKind::Failed]);
    let direction = prop::option::of(prop::sample::select(vec![Direction::Internal, Direction::Outbound]));
    let code = prop::option::of(prop::sample::select(vec![404, 486]));
    let by = prop::option::of(prop::sample::select(vec![HangupBy::Caller, HangupBy::Callee]));
    let told = (code, any::<Option<bool>>(), direction, by);
    (kind, word(), word(), word(), prop::option::of(0i64..3), 0i64..9, told).prop_map(
        move |(kind, to_tag, vp_call, caller, start, at, (sip_code, media, direction, by))| SipEvent {
            kind,
            call_id: "c".to_owned(),
            from_tag: "f".to_owned(),
            to_tag,
            vp_call,
            domain: caller.clone(),
            caller_name: caller.clone(),
            callee: caller.clone(),
            caller,
            start: start.map(time),
            time: time(at),
            sip_code,
            sip_reason: None,
            media,
            direction,
            by,
        },
    )
}

proptest! {
    #[test]
    fn neither_order_nor_repetition_matters(
        (events, shuffled) in prop::collection::vec(of_one_dialog(), 1..6)
            .prop_flat_map(|events| {
                let twice: Vec<SipEvent> = events.iter().chain(&events).cloned().collect();
                (Just(events), Just(twice).prop_shuffle())
            }),
    ) {
        prop_assert_eq!(merged(&events), merged(&shuffled));
    }

    #[test]
    fn halves_merge_into_the_whole(events in prop::collection::vec(of_one_dialog(), 2..6), cut in any::<prop::sample::Index>()) {
        let (left, right) = events.split_at(1 + cut.index(events.len() - 1));
        let mut halves = merged(left);
        if !right.is_empty() {
            halves.merge(&merged(right));
        }
        prop_assert_eq!(halves, merged(&events));
    }

    #[test]
    fn any_bytes_are_read_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
        let _ = parse(&[&b"{\"event\":\"ended\",\"time\":\"1795341549\",\"call_id\":\""[..], &bytes].concat());
    }

    #[test]
    fn a_dialog_survives_its_storage(event in of_one_dialog()) {
        let dialog = Dialog::of(&event);
        let stored = serde_json::to_string(&dialog).unwrap();
        prop_assert_eq!(serde_json::from_str::<Dialog>(&stored).unwrap(), dialog);
    }
}
