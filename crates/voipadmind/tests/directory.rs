//! `/fs/xml/…`: every captured request, and what strangers could make of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod support;

use support::{Node, wire};

const FORM: &str = "application/x-www-form-urlencoded";
const MISS: &str = "status=\"not found\"";

fn ask(node: &Node, form: &[u8]) -> support::Answer {
    node.post_engine("/fs/xml/directory", FORM, form).unwrap()
}

/// A capture, for a user that exists.
fn captured(file: &str) -> String {
    String::from_utf8(wire(&format!("xml_curl/{file}")))
        .unwrap()
        .trim_end()
        .replace("pbx.test", "default.local")
}

#[test]
fn answers_every_captured_kind() {
    let node = testkit::or_skip!(Node::start());
    let ha1 = model::ha1::md5("1001", "default.local", support::PHONE_PASSWORD);
    for file in ["sip_auth_register", "sip_auth_invite", "message_count", "user_call", "user_data"] {
        let answer = ask(&node, captured(&format!("directory.{file}.form")).as_bytes());
        let text = answer.text();
        assert_eq!(answer.status, 200, "{file}");
        assert!(text.contains("<domain name=\"default.local\">"), "{file}: {text}");
        assert!(text.contains("name=\"a1-hash\""), "{file}: {text}");
        assert!(
            !text.contains(support::PHONE_PASSWORD) && !text.contains("name=\"password\""),
            "{file}: {text}"
        );
        assert!(!text.contains("<?"), "an XML declaration destroys the document: {text}");
    }
    assert!(ask(&node, captured("directory.sip_auth_register.form").as_bytes()).text().contains(&ha1));
    for file in ["directory.gateways.form", "directory.network_list.form"] {
        assert!(ask(&node, captured(file).as_bytes()).text().contains(MISS), "{file}");
    }
    for (path, file) in [("dialplan", "dialplan.form"), ("configuration", "configuration.callcenter.form")] {
        let answer = node.post_engine(&format!("/fs/xml/{path}"), FORM, captured(file).as_bytes()).unwrap();
        assert_eq!((answer.status, answer.text().contains(MISS)), (200, true), "{file}");
    }
}

#[test]
fn a_get_is_answered_like_a_post() {
    let node = testkit::or_skip!(Node::start());
    let query = captured("directory.user_call.form").replace(' ', "+");
    let answer = node.get_engine(&format!("/fs/xml/directory?{query}"));
    assert!(answer.text().contains("a1-hash"), "{}", answer.text());
}

#[test]
fn strangers_learn_and_break_nothing() {
    let mut node = testkit::or_skip!(Node::start());
    let base = captured("directory.sip_auth_register.form");
    let with_user = |user: &str| base.replace("&user=1001", &format!("&user={user}"));
    // The last of a repeated key counts: a realm of the stranger's making comes first.
    let injected =
        base.replace("key_value=default.local", "key_value=x&user=1002&domain=other.test&action=user_call");
    assert!(
        ask(&node, injected.as_bytes()).text().contains("<user id=\"1001\""),
        "injection before the true parameters"
    );
    for user in [
        "1001%3Cx%3E",
        "%22",
        "%24%24%7Bx%7D",
        "X-PRE-PROCESS",
        "1001%00",
        "%0A1001",
        "%FF%FE",
        "",
        "nobody",
        "1002'--",
    ] {
        let answer = ask(&node, with_user(user).as_bytes());
        assert_eq!((answer.status, answer.text().contains(MISS)), (200, true), "{user}: {}", answer.text());
    }
    for domain in ["%3Cx%3E", "%24%24%7Bdomain%7D", "unknown.test", "%00", "%FF", "default.local%0A"] {
        let answer =
            ask(&node, base.replace("&domain=default.local", &format!("&domain={domain}")).as_bytes());
        assert_eq!((answer.status, answer.text().contains(MISS)), (200, true), "{domain}: {}", answer.text());
    }
    let mut raw = base.clone().into_bytes();
    raw.extend(b"&junk=\xff\xfe\x00&&&=&%zz");
    assert_eq!(ask(&node, &raw).status, 200, "invalid UTF-8 and broken escapes");
    assert_eq!(ask(&node, &vec![b'a'; 1 << 20]).status, 413, "1 MiB of them");
    assert_eq!(ask(&node, b"").status, 200);
    let wrong = node.post_as("/fs/xml/directory", FORM, base.as_bytes(), "freeswitch:wrong").unwrap();
    assert_eq!(wrong.status, 401);
    let tenants_key = node.api("GET", "/fs/xml/directory", support::TENANT_KEY, None, &[]);
    assert_eq!(tenants_key.status, 401, "an API key opens no engine's door");
    assert!(node.is_running());
}

#[test]
fn changes_are_seen_at_once_and_an_outage_is_bridged() {
    let mut node = testkit::or_skip!(Node::start());
    let request = captured("directory.sip_auth_register.form");
    let before = ask(&node, request.as_bytes()).text();
    let id = node.get("/api/extensions").json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["extension"] == "1001" && e["domain"] == "default.local")
        .map(|e| e["id"].as_i64().unwrap())
        .unwrap();
    let wanted = serde_json::json!({"extension": "1001", "type": "user", "sip_password": "another-password"});
    let put = node.api("PUT", &format!("/api/extensions/{id}"), support::PLATFORM_KEY, Some(&wanted), &[]);
    assert_eq!(put.status, 200, "{}", put.text());
    let ha1 = model::ha1::md5("1001", "default.local", "another-password");
    let seen = testkit::wait_for(std::time::Duration::from_secs(5), || {
        ask(&node, request.as_bytes()).text().contains(&ha1)
    });
    assert!(seen && !before.contains(&ha1), "the change never reached the directory");

    node.postgres.kill9();
    assert!(
        ask(&node, request.as_bytes()).text().contains(&ha1),
        "known users are served without the database"
    );
    let unknown = captured("directory.user_call.form").replace("&user=1002", "&user=1009");
    assert_eq!(ask(&node, unknown.as_bytes()).status, 503, "nobody can know");
    node.kill9();
    node.spawn();
    // A new process remembers nothing itself; Redis does.
    let bridged = testkit::wait_for(std::time::Duration::from_secs(15), || {
        node.post_engine("/fs/xml/directory", FORM, request.as_bytes()).is_ok_and(|a| a.text().contains(&ha1))
    });
    assert!(bridged, "Redis remembers for a process that was restarted in the outage; log:\n{}", node.log());
}
