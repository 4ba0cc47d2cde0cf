//! The API: shapes, errors that name the field, tenants that never see each other, requests sent twice.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod support;

use serde_json::json;
use support::{Node, PLATFORM_KEY, TENANT_KEY, wire};

#[test]
fn extensions_live_their_life() {
    let node = testkit::or_skip!(Node::start());
    let wanted =
        json!({"domain": "default.local", "extension": "1050", "type": "user", "description": "Lobby"});
    let retry = [("Idempotency-Key", "lobby-1")];
    let created = node.api("POST", "/api/extensions", PLATFORM_KEY, Some(&wanted), &retry);
    assert_eq!(created.status, 201, "{}", created.text());
    let extension = created.json();
    assert_eq!(extension["has_secret"], true);
    assert_eq!(extension["sip_password"].as_str().map(str::len), Some(24), "shown once");
    let again = node.api("POST", "/api/extensions", PLATFORM_KEY, Some(&wanted), &retry);
    assert_eq!((again.status, &again.json()["id"]), (201, &extension["id"]), "the same request is done once");
    assert!(again.json().get("sip_password").is_none(), "and never shown again");
    let other = json!({"domain": "default.local", "extension": "1051", "type": "user"});
    let misused = node.api("POST", "/api/extensions", PLATFORM_KEY, Some(&other), &retry);
    assert_eq!((misused.status, &misused.json()["field"]), (409, &json!("Idempotency-Key")));
    let taken = node.api("POST", "/api/extensions", PLATFORM_KEY, Some(&wanted), &[]);
    assert_eq!((taken.status, &taken.json()["field"]), (409, &json!("extension")));

    let path = format!("/api/extensions/{}", extension["id"]);
    let change = json!({"extension": "1050", "type": "user", "description": "Reception", "active": false});
    let changed = node.api("PUT", &path, PLATFORM_KEY, Some(&change), &[]);
    assert_eq!((changed.status, &changed.json()["description"]), (200, &json!("Reception")));
    assert_eq!(node.api("DELETE", &path, PLATFORM_KEY, None, &[]).status, 204);
    assert_eq!(node.get(&path).status, 404);
    let audit =
        node.sql("SELECT string_agg(action, ',' ORDER BY id) FROM voip.audit_log WHERE entity = 'extension'");
    assert_eq!(audit, "create,update,delete");
    let secrets = node.sql("SELECT count(*) FROM voip.audit_log a WHERE a::text ~ 'sip_password|ha1'");
    assert_eq!(secrets, "0", "no secret in the audit log");
}

#[test]
fn errors_name_the_field() {
    let node = testkit::or_skip!(Node::start());
    let post = |body: serde_json::Value| node.api("POST", "/api/extensions", PLATFORM_KEY, Some(&body), &[]);
    let cases = [
        (json!({"extension": "1060", "type": "user"}), 422, "domain"),
        (json!({"domain": "default.local", "type": "user"}), 422, "extension"),
        (json!({"domain": "default.local", "extension": "10 60", "type": "user"}), 422, "extension"),
        (json!({"domain": "default.local", "extension": "1060", "type": "fax"}), 422, "type"),
        (json!({"domain": "default.local", "extension": "1060", "type": "queue"}), 422, "type"),
        (
            json!({"domain": "default.local", "extension": "1060", "type": "queue", "queue_id": 999_999}),
            409,
            "queue_id",
        ),
        (
            json!({"domain": "default.local", "extension": "1060", "type": "user", "sip_password": "short"}),
            422,
            "sip_password",
        ),
        (
            json!({"domain": "default.local", "extension": "1060", "type": "user", "description": "${x}"}),
            422,
            "description",
        ),
        (
            json!({"domain": "default.local", "extension": "1060", "type": "user", "colour": "red"}),
            422,
            "colour",
        ),
    ];
    for (body, status, field) in cases {
        let answer = post(body.clone());
        let problem = answer.json();
        assert_eq!((answer.status, &problem["field"]), (status, &json!(field)), "{body} -> {problem}");
        assert_eq!(answer.content_type, "application/problem+json");
    }
    for (query, field) in [
        ("uuid=%00", "uuid"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("colour=red", "colour"),
        ("after=x", "after"),
        ("from=yesterday", "from"),
        ("direction=up", "direction"),
        ("view=rows", "view"),
        ("tz=Mars/Base", "tz"),
        ("uuid=a&uuid=b", "uuid"),
    ] {
        let answer = node.get(&format!("/api/cdr?{query}"));
        assert_eq!(
            (answer.status, &answer.json()["field"]),
            (400, &json!(field)),
            "{query}: {}",
            answer.text()
        );
    }
    for (query, field) in [
        ("state=lost", "state"),
        ("duration_min=-1", "duration_min"),
        ("duration_max=long", "duration_max"),
        ("legal_hold=yes", "legal_hold"),
        ("direction=up", "direction"),
        ("after=x", "after"),
        ("from=x", "from"),
    ] {
        let answer = node.get(&format!("/api/recordings?{query}"));
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!(field)), "{query}");
    }
    for id in ["x", "999999", "99999999999999999999"] {
        assert_eq!(node.get(&format!("/api/recordings/{id}/media")).status, 404, "{id}");
    }
    let hold = json!({"legal_hold": "yes"});
    let answer = node.api("PUT", "/api/recordings/1", PLATFORM_KEY, Some(&hold), &[]);
    assert_eq!((answer.status, &answer.json()["field"]), (422, &json!("legal_hold")));
    assert_eq!(node.get("/api/nothing").status, 404);
    assert_eq!(node.api("PATCH", "/api/cdr", PLATFORM_KEY, None, &[]).status, 405);
    for key in ["", "x", "tdm_platform_wrong_wrong_wrong_wrong_wrong_wrong"] {
        assert_eq!(node.api("GET", "/api/cdr", key, None, &[]).status, 401, "{key}");
    }
}

#[test]
fn tenants_never_see_each_other() {
    let node = testkit::or_skip!(Node::start());
    for file in ["internal_answered.a_leg.json", "queue_agent_no_answer.json"] {
        let body =
            String::from_utf8(wire(&format!("cdr/{file}"))).unwrap().replace("pbx.test", "default.local");
        assert_eq!(node.post_cdr("", "application/json", body.as_bytes()).status, 200);
    }
    node.settle();
    assert_eq!(node.get("/api/cdr").json()["items"].as_array().unwrap().len(), 2);
    let tenant = |method: &str, path: &str, body| node.api(method, path, TENANT_KEY, body, &[]);
    for path in ["/api/cdr", "/api/cdr?view=legs", "/api/cdr?domain=default.local", "/api/queues"] {
        assert_eq!(tenant("GET", path, None).json()["items"], json!([]), "{path}");
    }
    for (path, count) in
        [("/api/extensions", 1), ("/api/users", 1), ("/api/extensions?domain=default.local", 0)]
    {
        assert_eq!(tenant("GET", path, None).json()["items"].as_array().unwrap().len(), count, "{path}");
    }
    let theirs = node.get("/api/extensions?domain=default.local").json()["items"][0]["id"].clone();
    let path = format!("/api/extensions/{theirs}");
    let change = json!({"extension": "1001", "type": "user"});
    assert_eq!(tenant("GET", &path, None).status, 404);
    assert_eq!(tenant("PUT", &path, Some(&change)).status, 404);
    assert_eq!(tenant("DELETE", &path, None).status, 404);
    let intrusion = json!({"domain": "default.local", "extension": "6666", "type": "user"});
    assert_eq!(tenant("POST", "/api/extensions", Some(&intrusion)).json()["field"], "domain");
    let queue = json!({"domain": "default.local", "name": "spy"});
    assert!(tenant("POST", "/api/queues", Some(&queue)).status >= 400);
    assert_eq!(node.sql("SELECT count(*) FROM voip.queues WHERE name = 'spy'"), "0");
    let recording = node.sql(
        "INSERT INTO voip.recordings (leg_uuid, start_time, domain_id, domain, node, file_path, state, file_size, sha256)
         SELECT 'x', now(), id, domain, 'n1', '2026/11/22/x.wav', 'stored', 1, sha256('x') FROM voip.domains
          WHERE domain = 'default.local' RETURNING id",
    );
    let recording = recording.lines().next().unwrap();
    assert_eq!(node.get(&format!("/api/recordings/{recording}")).status, 200);
    for list in ["/api/recordings", "/api/recordings?domain=default.local", "/api/recordings?uuid=x"] {
        assert_eq!(tenant("GET", list, None).json()["items"], json!([]), "{list}");
    }
    let (one, hold) = (format!("/api/recordings/{recording}"), json!({"legal_hold": true}));
    assert_eq!(tenant("GET", &one, None).status, 404);
    assert_eq!(tenant("PUT", &one, Some(&hold)).status, 404);
    assert_eq!(tenant("GET", &format!("{one}/media"), None).status, 404);
    assert_eq!(node.sql("SELECT count(*) FROM voip.recordings WHERE legal_hold"), "0");
    assert_eq!(node.sql("SELECT count(*) FROM voip.audit_log WHERE entity = 'recording'"), "0");
    assert_eq!(node.get(&path).status, 200, "still there");
}

#[test]
fn pages_follow_each_other_and_a_call_holds_its_legs() {
    let node = testkit::or_skip!(Node::start());
    for file in [
        "queue_call.agent_leg.json",
        "queue_call.a_leg.json",
        "internal_answered.b_leg.json",
        "internal_answered.a_leg.json",
        "busy.a_leg.json",
    ] {
        assert_eq!(
            node.post_cdr("", "application/json", &wire(&format!("cdr/{file}"))).status,
            200,
            "{file}"
        );
    }
    node.settle();
    let mut seen = Vec::new();
    let mut after = String::new();
    for _ in 0..4 {
        let page = node.get(&format!("/api/cdr?limit=1{after}")).json();
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|c| c["call_uuid"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={next}");
    }
    let calls = [
        "39503e5f-2031-461c-9054-079ca6084315",
        "f4e2d12f-7c73-4ed9-8096-92bd1b7d9af6",
        "387cb8cc-3292-4325-94d7-eab93882bea7",
    ];
    assert_eq!(seen, calls, "newest first, each once");
    // Any leg's uuid finds the call; the queue's call is one item with both legs.
    let page = node.get("/api/cdr?uuid=33ce415a-1976-41d7-acd4-69d600b62cca").json();
    let call = &page["items"][0];
    assert_eq!(
        (&call["call_uuid"], &call["queue"], &call["agent"]),
        (&json!(calls[1]), &json!("Support_L1"), &json!("1002"))
    );
    assert_eq!(call["legs"].as_array().unwrap().len(), 2);
    for field in [
        "domain",
        "direction",
        "caller_id_number",
        "caller_id_name",
        "destination_number",
        "context",
        "start_time",
        "answer_time",
        "end_time",
        "duration",
        "billsec",
        "hangup_cause",
        "sip_call_id",
        "recordings",
        "legs",
    ] {
        assert!(call.get(field).is_some(), "{field} in {call:#}");
    }
    assert_eq!(node.get("/api/cdr?queue=Support_L1").json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        node.get("/api/cdr?from=2026-11-22T10:02:20Z&to=2026-11-22T10:03:00Z").json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let berlin = node.get("/api/cdr?tz=Europe/Berlin&limit=1").json();
    assert_eq!(berlin["items"][0]["start_time"], "2026-11-22T11:04:06.586427+01:00");
    let openapi = node.get("/api/openapi.json").json();
    assert_eq!(openapi["openapi"], "3.1.0");
}

#[test]
fn kamailios_events_become_one_call() {
    let node = testkit::or_skip!(Node::start());
    let answered = json!({"event": "answered", "call_id": "c1@phone", "from_tag": "f", "to_tag": "t", "vp_call": "0b0e7f6e-5a0a-4a64-9a3e-0a1b2c3d4e5f",
        "domain": "default.local", "caller": "1001", "caller_name": "Alice", "callee": "1002", "start": "1795341549.991056",
        "time": "1795341551.000000", "sip_code": "200", "sip_reason": "OK", "media": "0", "direction": "internal"});
    let ended = json!({"event": "ended", "call_id": "c1@phone", "from_tag": "f", "to_tag": "t", "time": "1795341561.500000", "by": "caller"});
    // The end overtakes the beginning.
    for event in [&ended, &answered, &ended] {
        let answer =
            node.post_engine("/fs/kamailio", "application/json", event.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    node.settle();
    let page = node.get("/api/cdr").json();
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page:#}");
    let call = &page["items"][0];
    assert_eq!(
        (
            &call["caller_id_number"],
            &call["destination_number"],
            &call["billsec"],
            &call["hangup_cause"],
            &call["sip_call_id"]
        ),
        (&json!("1001"), &json!("1002"), &json!(10), &json!("NORMAL_CLEARING"), &json!("c1@phone")),
        "{call:#}"
    );
    let nonsense = node.post_engine("/fs/kamailio", "application/json", b"{\"event\":\"sneezed\"}").unwrap();
    assert_eq!(nonsense.status, 200, "kept, in quarantine");
    node.settle();
    assert_eq!(node.sql("SELECT count(*) FROM voip.cdr_quarantine WHERE source = 'kamailio'"), "1");
}
