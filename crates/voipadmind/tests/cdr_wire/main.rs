//! Every capture of the wire, posted as FreeSWITCH posted it, is one right row a leg; posted again, still one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod expected;
#[path = "../support/mod.rs"]
mod support;

use expected::{EXPECTED, EXPECTED_CALLS};
use serde_json::{Value, json};
use support::{Node, wire};

#[test]
fn every_capture_is_one_right_row_and_stays_one() {
    let node = testkit::or_skip!(Node::start());
    for round in 0..2 {
        for (file, content_type, uuid, ..) in EXPECTED {
            let answer = node.post_cdr(uuid, content_type, &body_of(file));
            assert_eq!(answer.status, 200, "{file}, round {round}: {}", answer.text());
        }
        node.settle();
    }
    for (file, _, uuid, duration, billsec, cause, [caller, destination, start, answered, end]) in EXPECTED {
        let page = node.get(&format!("/api/cdr?view=legs&uuid={uuid}")).json();
        let legs: Vec<&Value> =
            page["items"].as_array().unwrap().iter().filter(|leg| leg["leg_uuid"] == *uuid).collect();
        assert_eq!(legs.len(), 1, "{file}: {page:#}");
        let or_null = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
        let expected = json!({
            "duration": duration, "billsec": billsec, "hangup_cause": cause,
            "caller_id_number": or_null(caller), "destination_number": or_null(destination),
            "start_time": or_null(start), "answer_time": or_null(answered), "end_time": or_null(end),
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&legs[0][name], value, "{file}: {name} in {:#}", legs[0]);
        }
    }
    every_capture_is_in_its_call(&node);
    assert_eq!(node.sql("SELECT count(*) FROM voip.cdr_quarantine"), "0");
    assert_eq!(node.sql("SELECT count(*) FROM voip.cdr"), distinct_legs().to_string());
}

fn every_capture_is_in_its_call(node: &Node) {
    let page = node.get("/api/cdr?limit=100&tz=Europe/Berlin").json();
    assert_eq!(page["items"].as_array().unwrap().len(), EXPECTED_CALLS.len());
    for (uuid, texts, seconds, legs, told) in EXPECTED_CALLS {
        let call = page["items"].as_array().unwrap().iter().find(|it| it["call_uuid"] == *uuid).unwrap();
        for (name, text) in ["status", "queue", "agent", "hangup_by"].iter().zip(texts) {
            assert_eq!(call[name].as_str().unwrap_or_default(), *text, "{uuid}: {name} in {call:#}");
        }
        for (name, number) in ["wait_seconds", "talk_seconds"].iter().zip(seconds) {
            assert_eq!(call[name].as_i64().unwrap_or(-1), *number, "{uuid}: {name} in {call:#}");
        }
        assert_eq!(call["legs"].as_array().unwrap().len(), *legs, "{uuid}: {call:#}");
        let word = |event: &Value, name: &str| event[name].as_str().map(str::to_owned);
        let lines = call["events"].as_array().unwrap().iter().map(|event| {
            assert!(event["time"].as_str().unwrap().ends_with("+01:00"), "{event}");
            let words = ["event", "who", "detail"].iter().filter_map(|name| word(event, name));
            words.collect::<Vec<_>>().join(" ")
        });
        assert_eq!(lines.collect::<Vec<_>>().join(", "), *told, "{uuid}");
    }
}

/// Two captures are the spool's and other encodings' copies of legs posted already.
fn distinct_legs() -> usize {
    EXPECTED.iter().map(|e| e.2).collect::<std::collections::HashSet<_>>().len()
}

/// The body of a capture; `.http` captures carry the request's head too.
fn body_of(file: &str) -> Vec<u8> {
    let bytes = wire(&format!("cdr/{file}"));
    if !file.ends_with(".http") {
        return bytes;
    }
    let end = bytes.windows(2).position(|w| w == b"\n\n").unwrap_or_else(|| panic!("{file} has no head"));
    bytes[end + 2..].to_vec()
}
