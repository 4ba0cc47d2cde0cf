//! What only the platform's keys do with calls' records: poison that is kept whole, months, how long they are kept.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod support;

use std::fmt::Write as _;

use serde_json::json;
use support::{Node, PLATFORM_KEY, TENANT_KEY, wire};

const UUID: &str = "f4e2d12f-7c73-4ed9-8096-92bd1b7d9af6";

#[test]
fn three_of_five_hundred_are_poison() {
    let node =
        testkit::or_skip!(Node::start_with(|config| config.replace("cdr: {", "cdr: {batch_size: 500, ")));
    let sound = String::from_utf8(wire("cdr/queue_call.a_leg.json")).unwrap();
    let poison = [sound[..sound.len() / 2].to_owned(), "{}".to_owned(), "\u{feff}not a document".to_owned()];
    for n in 0..500 {
        let body = match n {
            7 => poison[0].clone(),
            250 => poison[1].clone(),
            499 => poison[2].clone(),
            _ => sound.replace(UUID, &format!("00000000-0000-4000-8000-{n:012}")),
        };
        let answer = node.post_cdr(&format!("u{n}"), "application/json", body.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    node.settle();
    assert_eq!(node.sql("SELECT count(*) FROM voip.cdr"), "497");
    let report = node.get("/api/cdr/accounting").json();
    let total = |name: &str| {
        report["items"].as_array().unwrap().iter().map(|it| it[name].as_i64().unwrap()).sum::<i64>()
    };
    assert_eq!(["legs", "stored", "duplicates", "quarantined", "held"].map(total), [500, 497, 0, 3, 3]);
    assert_eq!(node.api("GET", "/api/cdr/accounting", TENANT_KEY, None, &[]).status, 403);
    let held = node.get("/api/cdr/quarantine").json();
    let items = held["items"].as_array().unwrap();
    assert_eq!((items.len(), &held["next"]), (3, &json!(null)));
    for (item, (body, uuid)) in items.iter().rev().zip(poison.iter().zip(["u7", "u250", "u499"])) {
        assert_eq!(
            (&item["uuid"], &item["state"], &item["node"]),
            (&json!(uuid), &json!("held"), &json!("n1"))
        );
        assert!(!item["reason"].as_str().unwrap().is_empty());
        let path = format!("/api/cdr/quarantine/{}", item["id"]);
        assert_eq!(node.get(&path).json()["body"], json!(body));
        assert_eq!(node.get(&format!("{path}/body")).body, body.as_bytes(), "whole");
    }
}

#[test]
fn what_is_held_is_given_again_or_put_away() {
    let node = testkit::or_skip!(Node::start());
    // What an earlier version did not understand and this one does.
    let sound = wire("cdr/queue_call.a_leg.json");
    let hex = sound.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    node.sql(&format!(
        "INSERT INTO voip.cdr_quarantine (sha256, body, reason, source, node, received_at, last_at)
         SELECT sha256(b), b, 'of an earlier version', 'freeswitch', 'n2', now(), now() FROM (SELECT '\\x{hex}'::bytea b) s"
    ));
    assert_eq!(node.post_cdr("u1", "application/json", b"{\"half\":").status, 200);
    node.settle();
    let ids: Vec<i64> = node.get("/api/cdr/quarantine").json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_i64().unwrap())
        .collect();
    let [half, sound] = ids[..] else { panic!("{ids:?}") };
    let ask = |method: &str, path: &str, key| node.api(method, path, key, None, &[]);
    let post = |path: &str| ask("POST", &format!("/api/cdr/quarantine/{path}"), PLATFORM_KEY);

    for (method, path) in [
        ("GET", "/api/cdr/quarantine".to_owned()),
        ("GET", format!("/api/cdr/quarantine/{half}")),
        ("GET", format!("/api/cdr/quarantine/{half}/body")),
        ("POST", format!("/api/cdr/quarantine/{sound}/replay")),
        ("POST", "/api/cdr/quarantine/replay".to_owned()),
        ("POST", format!("/api/cdr/quarantine/{half}/discard")),
    ] {
        assert_eq!(ask(method, &path, TENANT_KEY).status, 403, "{method} {path}");
    }
    let refused = post(&format!("{half}/replay"));
    assert_eq!(refused.status, 422, "{}", refused.text());
    let imported = post(&format!("{sound}/replay"));
    assert_eq!(
        (imported.status, imported.json()),
        (200, json!({"imported": 1, "rows": 1, "held": 0, "next": null}))
    );
    assert_eq!(node.sql("SELECT leg_uuid || node FROM voip.cdr"), format!("{UUID}n2"), "stored for its node");
    let told = |path: String, state: &str| {
        let refused = post(&path);
        assert_eq!((refused.status, &refused.json()["field"]), (409, &json!("state")), "{path}");
        assert!(refused.text().contains(state), "{}", refused.text());
    };
    told(format!("{sound}/replay"), "imported already");
    told(format!("{sound}/discard"), "imported already");
    assert_eq!(post("replay").json(), json!({"imported": 0, "rows": 0, "held": 1, "next": null}));
    assert_eq!(post(&format!("{half}/discard")).status, 204);
    told(format!("{half}/discard"), "discarded already; replay");
    assert_eq!(post("9999/discard").status, 404);
    assert_eq!(post("9999/replay").status, 404);
    assert_eq!(node.get("/api/cdr/quarantine").json()["items"], json!([]));
    let all = node.get("/api/cdr/quarantine?state=all").json();
    let states: Vec<_> = all["items"].as_array().unwrap().iter().map(|item| item["state"].clone()).collect();
    assert_eq!(states, ["discarded", "imported"]);
    let audit = node.sql(
        "SELECT string_agg(action, ',' ORDER BY id) FROM voip.audit_log WHERE entity = 'cdr_quarantine'",
    );
    assert_eq!(audit, "replay,discard");
    assert_eq!(node.get("/api/cdr/quarantine/x").status, 404);
}

#[test]
fn a_discarded_document_can_be_given_again() {
    let node = testkit::or_skip!(Node::start());
    let post = |path: &str| node.api("POST", &format!("/api/cdr/quarantine/{path}"), PLATFORM_KEY, None, &[]);
    assert_eq!(node.post_cdr("u1", "application/json", b"{\"half\":").status, 200);
    node.settle();
    let id = node.sql("SELECT id FROM voip.cdr_quarantine");
    assert_eq!(post(&format!("{id}/discard")).status, 204);
    assert_eq!(post("replay").json()["held"], json!(0), "all means those that are held");
    assert_eq!(post(&format!("{id}/replay")).status, 422, "not understood, as before");
    assert_eq!(node.sql("SELECT state FROM voip.cdr_quarantine"), "discarded");
    // As if a later version understood it.
    let hex = wire("cdr/queue_call.a_leg.json").iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    });
    node.sql(&format!("UPDATE voip.cdr_quarantine SET body = '\\x{hex}'"));
    assert_eq!(post(&format!("{id}/replay")).json()["rows"], json!(1));
    assert_eq!(node.sql("SELECT state FROM voip.cdr_quarantine"), "imported");
}

/// The same bytes are kept once for each call they were posted for; all of many are given again, each once, page by page.
#[test]
fn all_that_are_held_are_given_again_page_by_page() {
    let node = testkit::or_skip!(Node::start());
    for uuid in ["u1", "u2", "u3", "u4", "u5", "u5"] {
        assert_eq!(node.post_cdr(uuid, "application/json", b"[]").status, 200);
        node.settle();
    }
    let kept =
        node.sql("SELECT string_agg(uuid || ' ' || times, ',' ORDER BY uuid) FROM voip.cdr_quarantine");
    assert_eq!(kept, "u1 1,u2 1,u3 1,u4 1,u5 2");
    let mut path = "/api/cdr/quarantine/replay?limit=2".to_owned();
    let mut held = Vec::new();
    loop {
        let page = node.api("POST", &path, PLATFORM_KEY, None, &[]).json();
        held.push(page["held"].as_u64().unwrap());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/cdr/quarantine/replay?limit=2&after={next}");
    }
    assert_eq!(held, [2, 2, 1]);
    let refused = node.api("POST", "/api/cdr/quarantine/replay?after=x", PLATFORM_KEY, None, &[]);
    assert_eq!((refused.status, &refused.json()["field"]), (400, &json!("after")));
}

#[test]
fn months_are_shown_and_how_long_they_are_kept_is_the_platforms_to_set() {
    let node = testkit::or_skip!(Node::start());
    let months = node.get("/api/cdr/partitions").json();
    let months = months["items"].as_array().unwrap();
    assert!(months.len() >= 6, "four months and the two outer tables: {months:?}");
    assert_eq!(months.iter().filter(|month| month["from_time"].is_null()).count(), 2);
    let put = |key, rule| node.api("PUT", "/api/cdr/retention", key, Some(&rule), &[]).status;
    assert_eq!(put(PLATFORM_KEY, json!({"days": 400})), 204);
    assert_eq!(put(PLATFORM_KEY, json!({"domain": "other.test", "days": 90})), 204);
    assert_eq!(put(PLATFORM_KEY, json!({"domain": "other.test", "days": 0})), 422);
    assert_eq!(put(TENANT_KEY, json!({"domain": "other.test", "days": 1})), 403);
    let rules = json!([{"domain": null, "days": 400}, {"domain": "other.test", "days": 90}]);
    assert_eq!(node.get("/api/cdr/retention").json()["items"], rules);
    let own = node.api("GET", "/api/cdr/retention", TENANT_KEY, None, &[]).json();
    assert_eq!(own["items"], json!([{"domain": "other.test", "days": 90}]));
    assert_eq!(node.api("GET", "/api/cdr/partitions", TENANT_KEY, None, &[]).status, 403);
}
