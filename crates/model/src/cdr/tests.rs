//! Documents nobody captured: old, broken, hostile.

mod captures;

use std::sync::LazyLock;

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Direction, LegDirection};

const START: i64 = 1_795_341_549_991_056;

/// A small sound document, to be changed.
fn document() -> Value {
    json!({
        "core-uuid": "core",
        "channel_data": {"direction": "inbound"},
        "callStats": {},
        "variables": {
            "direction": "inbound",
            "uuid": "leg-1",
            "sip_from_host": "pbx.test",
            "start_stamp": "2026-11-22 09:59:09",
            "start_uepoch": START.to_string(),
            "answer_uepoch": (START + 1_000_000).to_string(),
            "end_uepoch": (START + 5_000_000).to_string(),
            "hangup_cause": "NORMAL_CLEARING",
            "hangup_cause_q850": "16",
            "duration": "5",
            "billsec": "4",
        },
        "callflow": [{
            "profile_index": "1",
            "caller_profile": {
                "uuid": "leg-1",
                "caller_id_number": "1001",
                "caller_id_name": "Zo\u{eb}",
                "destination_number": "1002",
                "context": "tandem",
            },
            "times": {"created_time": START.to_string(), "answered_time": "0", "hangup_time": "0"},
        }],
    })
}

fn leg(document: &Value) -> Leg {
    parse(document.to_string().as_bytes(), None).unwrap()
}

fn with(variables: Value) -> Leg {
    let mut document = document();
    for (name, value) in variables.as_object().unwrap() {
        document["variables"][name] = value.clone();
    }
    leg(&document)
}

fn rejected(body: &[u8]) -> String {
    parse(body, Some("hint")).map_err(|rejected| (rejected.uuid, rejected.reason)).unwrap_err().1
}

fn time(micros: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(micros).ok()
}

#[test]
fn what_is_no_cdr_is_rejected_with_the_reason_and_the_uuid() {
    for (body, reason) in [
        (&b""[..], "empty"),
        (b" \n", "empty"),
        (b"cdr=", "empty"),
        (b"[{}]", "list"),
        (b"<?xml version=\"1.0\"?><cdr/>", "XML"),
        (b"hello", "neither"),
        (b"cdr=!!!!", "base64"),
        (b"cdr=aGVsbG8=", "no JSON object"),
        (b"POST /fs/cdr HTTP/1.1\r\nHost: x", "without a body"),
        (b"{", "EOF"),
        (b"{}", "names no uuid"),
        (b"{\"variables\":{\"uuid\":\"half", "EOF"),
        (b"{} {}", "trailing"),
        (&[0xff, 0xfe, 0x00], "neither"),
    ] {
        // "names no uuid" is told only where there is no hint.
        let hint = (reason != "names no uuid").then_some("hint");
        let rejected = parse(body, hint).unwrap_err();
        assert!(rejected.reason.contains(reason), "{reason}: {rejected}");
        assert_eq!(rejected.uuid.as_deref(), hint);
    }
}

#[test]
fn a_body_over_the_limit_is_rejected_unread() {
    let mut body = document().to_string().into_bytes();
    body.resize(BODY_MAX_BYTES, b' ');
    parse(&body, None).unwrap();
    body.push(b' ');
    assert!(rejected(&body).contains("1048577 bytes"));
}

#[test]
fn the_uuid_of_a_broken_document_is_found_in_its_text() {
    let half = br#"{"core-uuid":"c","variables":{"direction":"inbound","uuid": "leg-9","session"#;
    assert_eq!(parse(half, None).unwrap_err().uuid.as_deref(), Some("leg-9"));
    assert_eq!(parse(half, Some("hint")).unwrap_err().uuid.as_deref(), Some("hint"));
    assert_eq!(parse(b"{\"uuid\":\"\"", None).unwrap_err().uuid, None);
}

#[test]
fn the_uuid_is_the_documents_else_the_query_strings() {
    let mut document = document();
    assert_eq!(parse(document.to_string().as_bytes(), Some("hint")).unwrap().leg_uuid, "leg-1");
    document["variables"].as_object_mut().unwrap().remove("uuid");
    assert_eq!(leg(&document).leg_uuid, "leg-1");
    document["callflow"] = Value::Null;
    assert_eq!(parse(document.to_string().as_bytes(), Some("hint")).unwrap().leg_uuid, "hint");
    assert!(parse(document.to_string().as_bytes(), None).unwrap_err().reason.contains("no uuid"));
}

#[test]
fn a_uuid_that_cannot_be_kept_whole_is_rejected() {
    for uuid in ["x".repeat(300), "a\u{0}b".to_owned()] {
        let mut document = document();
        document["variables"]["uuid"] = json!(uuid);
        assert!(rejected(document.to_string().as_bytes()).contains("uuid"), "{uuid:?}");
    }
}

#[test]
fn the_start_is_the_documents_own_or_the_cdr_is_rejected() {
    assert_eq!(with(json!({})).start_time, time(START).unwrap());
    for absent in
        [json!("0"), json!(null), json!("-5"), json!(""), json!("12"), json!("9".repeat(30)), json!({})]
    {
        assert_eq!(
            with(json!({"start_uepoch": absent})).start_time,
            time(START).unwrap(),
            "from the callflow"
        );
    }
    for created in ["0", "-1795341549991056", "later", ""] {
        let mut document = document();
        document["variables"]["start_uepoch"] = json!("0");
        document["callflow"][0]["times"]["created_time"] = json!(created);
        assert!(rejected(document.to_string().as_bytes()).contains("when the leg began"));
    }
}

#[test]
fn times_of_0_did_not_happen() {
    let leg = with(json!({"answer_uepoch": "0", "end_uepoch": 0}));
    assert_eq!((leg.answer_time, leg.end_time), (None, None));
}

#[test]
fn times_and_seconds_that_are_absent_come_from_the_callflow() {
    let mut document = document();
    let variables = document["variables"].as_object_mut().unwrap();
    for name in ["answer_uepoch", "end_uepoch", "duration", "billsec"] {
        variables.remove(name);
    }
    document["callflow"][0]["times"]["answered_time"] = json!(START + 20_000);
    document["callflow"][0]["times"]["hangup_time"] = json!(START + 4_040_022);
    let leg = leg(&document);
    assert_eq!((leg.answer_time, leg.end_time), (time(START + 20_000), time(START + 4_040_022)));
    // Differences of whole seconds, as FreeSWITCH counts: 09:59:09.99, 10.01, 14.03.
    assert_eq!((leg.duration, leg.billsec), (5, 4));
}

#[test]
fn seconds_are_verbatim_even_when_negative_or_absurd() {
    for (given, kept) in [("-3", -3), ("0", 0), ("99999999999", i32::MAX), ("-99999999999", i32::MIN)] {
        assert_eq!(with(json!({"duration": given, "billsec": given})).duration, kept);
    }
    assert_eq!(with(json!({"duration": 7})).duration, 7);
    assert_eq!(with(json!({"hangup_cause_q850": 99999})).hangup_cause_q850, None);
}

#[test]
fn missing_and_misshapen_sections_read_as_absent() {
    for section in ["core-uuid", "channel_data", "callStats", "callflow", "app_log"] {
        for value in
            [json!(null), json!([]), json!({}), json!([1, "x", null]), json!("x"), json!(7), json!(true)]
        {
            let mut document = document();
            document[section] = value;
            assert_eq!(leg(&document).leg_uuid, "leg-1");
        }
    }
    let mut document = document();
    document.as_object_mut().unwrap().remove("callflow");
    document["channel_data"] = Value::Null;
    let leg = leg(&document);
    assert_eq!((leg.destination_number, leg.leg_direction), (None, LegDirection::Inbound));
}

/// Old versions: `callflow` once a profile, each an object.
#[test]
fn a_repeated_callflow_is_one_callflow() {
    let newest = r#"{"profile_index":"2","caller_profile":{"destination_number":"1002"},"times":{}}"#;
    let oldest = format!(
        r#"{{"profile_index":"1","caller_profile":{{"destination_number":"7001"}},"times":{{"created_time":"{START}"}}}}"#
    );
    for (newest, oldest) in
        [(newest.to_owned(), oldest.clone()), (format!("[{newest}]"), format!("[{oldest}]"))]
    {
        let text = format!(
            r#"{{"variables":{{"uuid":"leg-1","direction":"inbound"}},"callflow":{newest},"callflow":{oldest}}}"#
        );
        let leg = parse(text.as_bytes(), None).unwrap();
        assert_eq!(leg.destination_number.as_deref(), Some("7001"));
        assert_eq!(leg.start_time, time(START).unwrap());
    }
}

#[test]
fn of_a_thousand_profiles_the_oldest_is_kept() {
    let mut document = document();
    let profile =
        |index: usize| json!({"profile_index": index, "caller_profile": {"destination_number": index}});
    document["callflow"] = (1..=1000).rev().map(profile).collect();
    assert_eq!(leg(&document).destination_number.as_deref(), Some("1"));
}

#[test]
fn text_is_stripped_of_control_characters_and_bounded() {
    let mut document = document();
    document["callflow"][0]["caller_profile"]["caller_id_name"] =
        json!(format!("\u{0}\u{1b}[2J{}", "n".repeat(999)));
    document["callflow"][0]["caller_profile"]["caller_id_number"] = json!("\u{0}\r\n");
    let leg = leg(&document);
    assert_eq!(leg.caller_id_name, Some(format!("[2J{}", "n".repeat(252))));
    assert_eq!(leg.caller_id_number, None);
}

#[test]
fn bytes_that_are_no_utf_8_cost_no_cdr() {
    let body = document().to_string().replace("Zo\u{eb}", "Zo@@").into_bytes();
    let body: Vec<u8> = body.into_iter().map(|byte| if byte == b'@' { 0xff } else { byte }).collect();
    assert_eq!(parse(&body, None).unwrap().caller_id_name.as_deref(), Some("Zo\u{fffd}\u{fffd}"));
}

#[test]
fn encoded_values_are_decoded_and_others_left_alone() {
    let encoded = with(json!({
        "start_stamp": "2026-11-22%2009%3A59%3A09",
        "cc_queue": "Support_L1%40PBX.test",
        "cc_agent": "1002%40pbx.test",
        "sip_call_id": "a%2Bb%40x",
    }));
    assert_eq!(encoded.queue.as_deref(), Some("Support_L1"));
    assert_eq!(encoded.agent.as_deref(), Some("1002"));
    assert_eq!(encoded.sip_call_id.as_deref(), Some("a+b@x"));
    assert_eq!(encoded.domain.as_deref(), Some("pbx.test"));
    assert_eq!(with(json!({"sip_call_id": "a%2Bb@x"})).sip_call_id.as_deref(), Some("a%2Bb@x"));
}

#[test]
fn a_leg_belongs_to_whoever_caused_it() {
    let parent = |direction: &str, variables: Value| {
        let mut document = document();
        document["channel_data"]["direction"] = json!(direction);
        for (name, value) in variables.as_object().unwrap() {
            document["variables"][name] = value.clone();
        }
        leg(&document).parent_uuid
    };
    let some = |uuid: &str| Some(uuid.to_owned());
    assert_eq!(parent("outbound", json!({"originator": "a", "cc_member_session_uuid": "m"})), some("a"));
    assert_eq!(parent("outbound", json!({"originating_leg_uuid": "a", "signal_bond": "b"})), some("a"));
    assert_eq!(parent("outbound", json!({"cc_member_session_uuid": "m"})), some("m"));
    // By an API's originate: a root.
    assert_eq!(parent("outbound", json!({"signal_bond": "b", "bridge_uuid": "b"})), None);
    assert_eq!(parent("inbound", json!({"originator": "b", "signal_bond": "b", "bridge_uuid": "b"})), None);
    let half =
        |letter: &str| json!({"loopback_leg": letter, "other_loopback_leg_uuid": "half", "originator": "a"});
    assert_eq!(parent("inbound", half("B")), some("half"));
    assert_eq!(parent("outbound", half("A")), some("a"));
    assert_eq!(parent("outbound", json!({"originator": "leg-1"})), None, "nobody causes himself");
}

#[test]
fn the_direction_is_the_dialplans_word_else_kamailios_else_the_gateways() {
    for (variables, direction) in [
        (json!({}), Direction::Internal),
        (json!({"vp_type": "queue"}), Direction::Internal),
        (json!({"vp_type": "trunk_out"}), Direction::Outbound),
        (json!({"sip_h_X-VP-Type": "trunk_in"}), Direction::Inbound),
        (json!({"sip_gateway": "carrier"}), Direction::Inbound),
        (json!({"sip_gateway_name": "carrier"}), Direction::Outbound),
        (json!({"vp_direction": "inbound", "vp_type": "trunk_out"}), Direction::Inbound),
        (json!({"vp_direction": "sideways"}), Direction::Internal),
    ] {
        assert_eq!(with(variables.clone()).direction, direction, "{variables}");
    }
}

#[test]
fn the_session_s_number_is_one_that_freeswitch_gives() {
    for (text, number) in
        [("1", Some(1)), ("4294967295", Some(4_294_967_295)), ("0", None), ("-1", None), ("x", None)]
    {
        assert_eq!(with(json!({"session_id": text})).session_id, number, "{text}");
    }
}

#[test]
fn the_trunk_is_the_gateway_else_what_kamailio_looked_up() {
    for (variables, trunk) in [
        (json!({}), None),
        // The caller's leg, and the leg that went out for it.
        (json!({"vp_type": "trunk_out", "vp_ref": "carrier"}), Some("carrier")),
        (json!({"sip_h_X-VP-Type": "trunk_out", "sip_h_X-VP-Ref": "carrier"}), Some("carrier")),
        (json!({"sip_gateway_name": "carrier"}), Some("carrier")),
        // Sent on by the second one.
        (json!({"vp_type": "trunk_out", "vp_ref": "carrier", "sip_gateway_name": "other"}), Some("other")),
        (json!({"sip_gateway": "carrier"}), Some("carrier")),
        // A queue's name is no trunk's, and neither is the profile's.
        (json!({"vp_type": "queue", "vp_ref": "support"}), None),
        (json!({"vp_type": "trunk_out", "sofia_profile_name": "kamailio"}), None),
    ] {
        assert_eq!(with(variables.clone()).trunk.as_deref(), trunk, "{variables}");
    }
}

#[test]
fn the_domain_is_the_first_that_is_known() {
    let mut variables = json!({
        "vp_domain": "One.test",
        "sip_h_X-VP-Domain": "two.test",
        "domain_name": "three.test",
        "dialed_domain": "four.test",
        "cc_queue": "q@five.test",
        "sip_from_host": "six.test:5060",
    });
    for (name, domain) in [
        ("vp_domain", "one.test"),
        ("sip_h_X-VP-Domain", "two.test"),
        ("domain_name", "three.test"),
        ("dialed_domain", "four.test"),
        ("cc_queue", "five.test"),
        ("sip_from_host", "six.test"),
    ] {
        assert_eq!(with(variables.clone()).domain.as_deref(), Some(domain));
        variables[name] = json!("");
    }
    assert_eq!(with(variables).domain, None);
}

#[test]
fn a_caller_who_gave_up_before_the_queue_took_him_is_counted_to_it() {
    let leg = with(json!({"vp_type": "queue", "vp_ref": "support", "vp_call": "vc-1", "vp_recorded": "1"}));
    assert_eq!(
        (leg.queue.as_deref(), leg.vp_call.as_deref(), leg.recorded),
        (Some("support"), Some("vc-1"), true)
    );
    assert_eq!(with(json!({"vp_type": "ivr", "vp_ref": "main"})).queue, None);
    assert!(!with(json!({"record_seconds": "0", "record_file_size": "0"})).recorded);
}

#[test]
fn a_recording_is_where_the_dialplan_put_it_once_something_was_recorded() {
    let path = "/storage/recordings/n1/2026/11/22/leg.wav";
    let recording =
        with(json!({"vp_recording": path, "record_ms": "4040", "record_file_size": "64684"})).recording;
    let recording = recording.map(|it| (it.path, it.ms, it.bytes));
    assert_eq!(recording, Some(("2026/11/22/leg.wav".to_owned(), Some(4040), Some(64_684))));
    assert_eq!(with(json!({"vp_recording": path})).recording, None, "nobody answered");
    let foreign = with(json!({"vp_recording": "/etc/passwd", "record_ms": "4040"}));
    assert_eq!((foreign.recorded, foreign.recording), (true, None));
}

/// The text of a document with this value, unescaped, as decoding leaves it.
fn broken(display: &str) -> String {
    let mut document = document();
    document["variables"]["sip_from_display"] = json!("@@@");
    // As FreeSWITCH orders them: what a caller chooses comes before what is counted.
    let variables = document["variables"].take();
    let order =
        ["uuid", "direction", "sip_from_display", "start_uepoch", "answer_uepoch", "end_uepoch", "duration"];
    let member = |name: &str| format!("{}:{}", json!(name), variables[name]);
    let members: Vec<String> = order.into_iter().map(member).collect();
    document["variables"] = json!("###");
    document.to_string().replace("\"###\"", &format!("{{{}}}", members.join(","))).replace("@@@", display)
}

#[test]
fn broken_strings_are_read_by_the_structure_around_them() {
    for display in [
        "\"Zo\u{eb}\" <sip:1001@pbx.test>",
        "line\r\nbreaks\tand\0",
        "ends in a quote\"",
        "\"",
        "\",",
        "\",\"",
        "a\\",
        "a\\\"",
        "\\x \\u12 \\ud800 \\ud83d\\ude00 \\u00e9",
        "}",
        "\"}",
        "\"},",
        "\"]",
        "{\"a\": \"b\"}x",
        "\", \"no colon\", ",
    ] {
        let text = broken(display);
        let leg =
            parse(text.as_bytes(), None).unwrap_or_else(|rejected| panic!("{display:?}: {rejected}\n{text}"));
        assert_eq!((leg.leg_uuid.as_str(), leg.duration), ("leg-1", 5), "{display:?}");
        assert_eq!(leg.caller_id_name.as_deref(), Some("Zo\u{eb}"), "{display:?}");
        assert_eq!(leg.end_time, time(START + 5_000_000), "{display:?}");
    }
}

/// A caller whose display name is made to look like structure cannot change what is counted.
#[test]
fn a_name_that_forges_variables_is_rejected() {
    for display in [
        "x\",\"duration\":\"0",
        "x\", \"start_uepoch\" : \"1\", \"y\":\"z",
        "x\"},\"z\":{\"y\":\"",
        "x\",\"answer_uepoch\":\"0\",\"end_uepoch\":\"0\"},\"app_log\":{\"y\":\"",
        "x\",\"dur\\u0061tion\":\"0",
        "x\",\"dur\\u0061tion\":\"0\"},\"z\":{\"y\":\"",
        "x\"},\"callflow\":[],\"variables\":{\"duration\":\"1\",\"y\":\"",
    ] {
        let body = format!("cdr={}", percent_encode(broken(display).as_bytes(), NON_ALPHANUMERIC));
        let outcome = parse(body.as_bytes(), None);
        match &outcome {
            Err(rejected) => assert_eq!(rejected.uuid.as_deref(), Some("leg-1")),
            Ok(leg) => panic!("{display:?} was read as {leg:?}"),
        }
    }
}

#[test]
fn words_that_json_does_not_know_read_as_null() {
    let text = document().to_string().replace("\"callStats\":{}", "\"callStats\":{\"mos\":-nan,\"j\":inf}");
    parse(text.as_bytes(), None).unwrap();
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = |levels: usize| open.repeat(levels) + "1" + &close.repeat(levels);
        let text = |levels| {
            document().to_string().replace("\"callStats\":{}", &format!("\"callStats\":{}", deep(levels)))
        };
        parse(text(20).as_bytes(), None).unwrap();
        // Skipped without recursion where it is sound; refused where it needs a repair.
        let _ = parse(text(100_000).as_bytes(), None);
        let broken = text(100_000).replace("Zo\u{eb}", "\"Zo\u{eb}\"");
        assert!(rejected(broken.as_bytes()).contains("deeper"));
    }
}

static CAPTURES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/wire/freeswitch/cdr");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|path| std::fs::read(path).unwrap()).collect()
});

/// Whatever is read is fit for the database.
fn check(outcome: Result<Leg, Rejected>) {
    let Ok(leg) = outcome else { return };
    assert!(!leg.leg_uuid.is_empty() && leg.leg_uuid.len() <= tidy::ID_MAX_BYTES);
    let texts = [
        leg.caller_id_name,
        leg.caller_id_number,
        leg.destination_number,
        leg.context,
        leg.domain,
        leg.queue,
    ];
    for text in texts.into_iter().flatten() {
        assert!(!text.is_empty() && text.chars().count() <= tidy::TEXT_MAX_CHARS && !text.contains('\0'));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_rejected(
        prefix in prop::sample::select(&["", "{", "cdr=", "cdr=%7B", "%7B", "{\"variables\":{\"", "POST "][..]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        check(parse(&[prefix.as_bytes(), &bytes].concat(), None));
    }

    #[test]
    fn any_json_like_text_is_read_or_rejected(text in r#"\{("[a-z\\"]{0,4}"|[\[\]{},:" \\]|null|12|\\u[d0-9a-f]{0,4}){0,40}"#) {
        check(parse(text.as_bytes(), None));
    }

    #[test]
    fn damaged_captures_are_read_or_rejected(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), 0u8..5, any::<u8>()), 1..6),
    ) {
        let mut body = which.get(&CAPTURES).clone();
        for (place, kind, byte) in damage {
            if body.is_empty() {
                break;
            }
            let at = place.index(body.len());
            match kind {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                2 => drop(body.remove(at)),
                3 => body.insert(at, b'"'),
                _ => body.truncate(at),
            }
        }
        check(parse(&body, None));
    }

    /// What a repair makes of sound JSON is the same JSON.
    #[test]
    fn a_repair_leaves_sound_json_alone(
        name in r#"[a-zA-Z0-9\\"\u{eb}\u{1F4DE}\n\t ,:{}\[\]/-]{0,30}"#,
        number in any::<i32>(),
    ) {
        let value = json!({"a": name, "b": [name, number, null, {"c": name}], "d": {"e": {}, "f": []}});
        // Inside of proper JSON a quote that looks like an end is escaped.
        let repaired = repair::repair(&value.to_string()).unwrap();
        prop_assert_eq!(serde_json::from_str::<Value>(&repaired).unwrap(), value);
    }
}
