//! Search over HTTP: filters and their contraries, pages both ways, counts, chosen fields.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod support;

use serde_json::{Value, json};
use support::{Node, wire};

const BUSY: &str = "39503e5f-2031-461c-9054-079ca6084315";
const QUEUE: &str = "f4e2d12f-7c73-4ed9-8096-92bd1b7d9af6";
const ANSWERED: &str = "387cb8cc-3292-4325-94d7-eab93882bea7";

fn calls(node: &Node, query: &str) -> Vec<String> {
    let page = node.get(&format!("/api/cdr?{query}")).json();
    let items = page["items"].as_array().unwrap_or_else(|| panic!("{query}: {page:#}"));
    items.iter().map(|call| call["call_uuid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn calls_are_found_counted_and_cut() {
    let node = testkit::or_skip!(Node::start());
    for file in [
        "queue_call.agent_leg.json",
        "queue_call.a_leg.json",
        "internal_answered.b_leg.json",
        "internal_answered.a_leg.json",
        "busy.a_leg.json",
    ] {
        assert_eq!(node.post_cdr("", "application/json", &wire(&format!("cdr/{file}"))).status, 200);
    }
    node.settle();
    for (query, expected) in [
        ("agent=1002", vec![QUEUE]),
        ("queue=Support*", vec![QUEUE]),
        ("queue!=Support_L1", vec![BUSY, ANSWERED]),
        ("cause=USER_BUSY", vec![BUSY]),
        ("q850!=16", vec![BUSY]),
        ("dialled=*010", vec![QUEUE]),
        ("recorded=true", vec![QUEUE]),
        ("fields=call_uuid&duration_min=0", vec![BUSY, QUEUE, ANSWERED]),
    ] {
        let mut found = calls(&node, query);
        let mut expected: Vec<_> = expected.into_iter().map(str::to_owned).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{query}");
    }
    let first = node.get("/api/cdr?limit=1&count=exact&fields=call_uuid,start_time").json();
    assert_eq!(first["count"], json!({"value": 3, "exact": true}));
    assert_eq!(first["previous"], Value::Null);
    let fields: Vec<_> = first["items"][0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["call_uuid", "start_time"]);
    let next = first["next"].as_str().unwrap();
    let second = node.get(&format!("/api/cdr?limit=1&after={next}")).json();
    let previous = second["previous"].as_str().unwrap();
    let back = node.get(&format!("/api/cdr?limit=1&before={previous}")).json();
    assert_eq!(back["items"][0]["call_uuid"], first["items"][0]["call_uuid"]);
    for (query, field) in [
        ("fields=colour", "fields"),
        ("count=maybe", "count"),
        ("caller=1*2", "caller"),
        ("recorded=perhaps", "recorded"),
        ("from!=2026-11-22", "from!"),
        ("after=1.1&before=1.1", "before"),
        ("before=x", "before"),
    ] {
        let answer = node.get(&format!("/api/cdr?{query}"));
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!(field)), "{query}");
    }
}
