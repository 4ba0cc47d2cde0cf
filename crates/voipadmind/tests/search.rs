//! Search over HTTP: filters and their contraries, pages both ways, counts, chosen fields.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod support;

use serde_json::{Value, json};
use support::{Node, TENANT_KEY, wire};

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

/// More rows than two pages of the store, some of them hostile.
fn many_calls(node: &Node) {
    node.sql(
        "INSERT INTO voip.cdr (leg_uuid, start_time, call_uuid, head, source, provisional, domain_id, domain, direction,
            leg_direction, caller_id_name, duration, billsec, recorded, node)
         SELECT 'c' || n, '2026-11-22 12:00+00'::timestamptz + n * interval '1 second', 'c' || n, true, 'freeswitch', false,
            d.id, d.domain, 'internal', 'inbound', CASE WHEN n = 1 THEN '=1+1,\"x\"' END, n, 0, false, 'n1'
           FROM generate_series(1, 1203) n, voip.domains d WHERE d.domain = 'default.local'",
    );
}

#[test]
fn an_export_is_whole_goes_on_where_it_broke_and_is_the_tenants_own() {
    let node = testkit::or_skip!(Node::start());
    many_calls(&node);
    let csv = node.get("/api/cdr/export?fields=call_uuid,caller_id_name,duration");
    assert_eq!((csv.status, csv.content_type.as_str()), (200, "text/csv; charset=utf-8; header=present"));
    let text = csv.text();
    let lines: Vec<_> = text.split("\r\n").collect();
    assert_eq!(lines[0], "call_uuid,caller_id_name,duration,cursor");
    assert_eq!((lines.len(), lines[1204]), (1205, ""), "a header, 1203 calls, the end");
    assert!(lines[1].starts_with("c1203,,1203,"), "{}", lines[1]);
    assert!(lines[1203].starts_with("c1,\"'=1+1,\"\"x\"\"\",1,"), "{}", lines[1203]);
    // A call's legs are read for the columns that need them, where they are asked for.
    let csv = |query: &str| node.get(&format!("/api/cdr/export?duration_max=1{query}")).text();
    assert!(!csv("").split_once("\r\n").unwrap().0.contains("provisional"));
    assert!(csv("&fields=call_uuid,provisional,recorded").contains("\r\nc1,false,false,"));
    // Broken off after line 700.
    let cursor = lines[700].rsplit(',').next().unwrap();
    let rest =
        node.get(&format!("/api/cdr/export?fields=call_uuid,caller_id_name,duration&after={cursor}")).text();
    assert_eq!(rest.split_once("\r\n").unwrap().1, lines[701..].join("\r\n"));

    let ndjson = node.get("/api/cdr/export?format=ndjson&view=legs&duration_max=600&tz=Asia/Kathmandu");
    assert_eq!(ndjson.content_type, "application/x-ndjson");
    let rows: Vec<Value> = ndjson.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 600);
    assert_eq!(
        (&rows[0]["leg_uuid"], &rows[0]["start_time"]),
        (&json!("c600"), &json!("2026-11-22T17:55:00+05:45"))
    );
    assert!(rows.iter().all(|row| row["cursor"].is_string()));

    let theirs = node.api("GET", "/api/cdr/export?format=ndjson", TENANT_KEY, None, &[]);
    assert_eq!((theirs.status, theirs.text().as_str()), (200, ""));
    for (query, field) in
        [("format=xml", "format"), ("fields=legs", "fields"), ("after=x", "after"), ("colour=red", "colour")]
    {
        let answer = node.get(&format!("/api/cdr/export?{query}"));
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!(field)), "{query}");
    }
}

#[test]
fn changes_and_statistics_are_the_tenants_own() {
    let node = testkit::or_skip!(Node::start());
    many_calls(&node);
    let (mut after, mut seen) = (String::new(), 0);
    loop {
        let feed = node.get(&format!("/api/cdr/changes?limit=500&fields=leg_uuid{after}")).json();
        seen += feed["items"].as_array().unwrap().len();
        after = format!("&after={}", feed["next"].as_str().unwrap());
        if feed["more"] == json!(false) {
            break;
        }
    }
    assert_eq!(seen, 1203);
    assert_eq!(node.get(&format!("/api/cdr/changes?limit=500{after}")).json()["items"], json!([]));
    let stats = "/api/cdr/stats?from=2026-11-22&to=2026-11-23&by=hour&tz=Asia/Kathmandu";
    let hours = node.get(stats).json();
    assert_eq!(
        (
            hours["items"].as_array().unwrap().len(),
            &hours["items"][0]["start_time"],
            &hours["items"][0]["calls"]
        ),
        (2, &json!("2026-11-22T17:00:00+05:45"), &json!(899)),
        "{hours:#}"
    );
    for path in ["/api/cdr/changes", stats] {
        let theirs = node.api("GET", path, TENANT_KEY, None, &[]).json();
        assert_eq!(theirs["items"], json!([]), "{path}");
    }
    for (query, field) in
        [("by=colour", "by"), ("within=-1", "within"), ("from=2020-01-01&to=2026-01-01", "from")]
    {
        let answer = node.get(&format!("/api/cdr/stats?{query}"));
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!(field)), "{query}");
    }
}
