//! The events of calls: what they say, that there is one of each, and that none is lost.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use serde_json::{Value, json};

use crate::node::{Node, Options};
use crate::phone::Phone;
use crate::sip::{Dialog, Message, unique};

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or_else(|| panic!("no {key}: {event}"))
}

fn seconds(event: &Value, key: &str) -> f64 {
    let text = text(event, key);
    assert_eq!(text.split_once('.').map(|(s, us)| (s.len(), us.len())), Some((10, 6)), "{text}");
    text.parse().unwrap()
}

/// 1001 calls 1002, who answers and hangs up.
fn a_whole_call(alice: &Phone, bob: &Phone) -> Message {
    let (_, mut called, invite) = alice.talk_to(bob);
    let bye = called.next("BYE");
    bob.send(&bye);
    let received = alice.receive("BYE", |m| m.is("BYE"));
    alice.reply(&received, "200 OK", "");
    bob.final_reply(&bye);
    invite
}

#[test]
fn an_answered_call_is_told_whole() {
    let Some(node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let invite = a_whole_call(&alice, &bob);
    let (answered, ended) = (node.events.one("answered"), node.events.one("ended"));

    let dialog = json!({
        "call_id": invite.header("Call-ID"),
        "from_tag": crate::sip::tag(invite.header("From")),
        "to_tag": text(&answered, "to_tag"),
        "vp_call": text(&answered, "vp_call"),
        "start": text(&answered, "start"),
        "media": "0",
    });
    let mut expected = dialog.clone();
    for (key, value) in [
        ("event", "answered"),
        ("domain", "default.local"),
        ("caller", "1001"),
        ("caller_name", "Phone 1001"),
        ("callee", "1002"),
        ("time", text(&answered, "time")),
        ("sip_code", "200"),
        ("sip_reason", "OK"),
        ("direction", "internal"),
    ] {
        expected[key] = json!(value);
    }
    assert_eq!(answered, expected);
    let mut expected = dialog;
    for (key, value) in [("event", "ended"), ("time", text(&ended, "time")), ("by", "callee")] {
        expected[key] = json!(value);
    }
    assert_eq!(ended, expected);

    assert!(uuid::Uuid::parse_str(text(&answered, "vp_call")).is_ok());
    let (start, answer, end) =
        (seconds(&answered, "start"), seconds(&answered, "time"), seconds(&ended, "time"));
    assert!(
        before <= start && start < answer && answer < end && end < before + 30.0,
        "{start} {answer} {end}"
    );

    let post = &node.events.posts()[0];
    let pair = format!("{}:{}", node.secrets.fs_http_user, node.secrets.fs_http_password);
    let user_password = base64::engine::general_purpose::STANDARD.encode(pair);
    assert!(post.head.starts_with("POST /fs/kamailio HTTP/1.1\r\n"), "{}", post.head);
    assert!(post.head.contains(&format!("Authorization: Basic {user_password}\r\n")), "{}", post.head);
    assert!(post.head.contains("Content-Type: application/json\r\n"), "{}", post.head);
    assert_eq!(node.events.kinds(), ["answered", "ended"]);
}

#[test]
fn every_refusal_of_a_known_caller_is_one_failed_call() {
    let Some(node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    let invite = alice.call("1002");
    let ringing = bob.rings();
    bob.reply(&ringing, "486 Busy Here", "b");
    alice.final_reply(&invite);
    alice.call_in_vain("1003");
    alice.call_in_vain("4711");
    let mut invite = alice.invitation("2001");
    invite.uri = "sip:2001@other.local".into();
    let invite = alice.call_with(invite);
    // Retransmitted before its reply is acknowledged: still one call.
    alice.send(&invite);
    alice.send(&invite);
    alice.final_reply(&invite);

    // Nobody's calls: a wrong password, nobody at all, another's name.
    let mut guesser = Phone::new(&node, "1001");
    guesser.password = "guess".into();
    assert_eq!(guesser.authenticate(&mut guesser.invitation("1002")).1.status(), Some(403));
    let mut stranger = Phone::new(&node, "1001");
    stranger.domain = "example.net".into();
    assert_eq!(stranger.authenticate(&mut stranger.invitation("1002")).1.status(), Some(403));

    node.wait_until("all are told", || node.events.all().len() >= 4);
    assert_eq!(node.events.kinds(), ["failed"; 4]);
    let told: Vec<_> = node
        .events
        .all()
        .iter()
        .map(|e| {
            format!(
                "{} {} {} {}",
                text(e, "caller"),
                text(e, "callee"),
                text(e, "sip_code"),
                text(e, "sip_reason")
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "1001 1002 486 Busy Here",
            "1001 1003 480 Not Registered",
            "1001 4711 404 No Such Extension",
            "1001 2001 403 Another Tenant"
        ]
    );
    assert!(node.events.all().iter().all(|e| e.get("to_tag").is_none() && e["media"] == "0"));
}

#[test]
fn names_of_any_bytes_make_valid_json() {
    let Some(node) = Node::start() else { return };
    let alice = Phone::registered(&node, "1001");
    let utf8 = "\"Nguyễn \\\"Zé\\\" \\\\ Ørsted\" <sip:1001@default.local>".as_bytes().to_vec();
    let latin1 = b"\"Jos\xe9 M\xfcller\" <sip:1001@default.local>".to_vec();
    let unquoted = b"Plain Name <sip:1001@default.local>".to_vec();
    let control = b"\"bell\x07 tab\t\" <sip:1001@default.local>".to_vec();
    let none = b"<sip:1001@default.local>".to_vec();
    for party in [utf8, latin1, unquoted, control, none] {
        let mut invite = alice.invitation("4711");
        invite.from = format!("@FROM@;tag={}", unique());
        let bytes = |request: &crate::sip::Request| {
            let text = request.text().into_bytes();
            let at = text.windows(6).position(|w| w == b"@FROM@").unwrap();
            [&text[..at], &party, &text[at + 6..]].concat()
        };
        alice.send_bytes(&bytes(&invite));
        let challenge = alice.final_reply(&invite);
        alice.answer_challenge(&mut invite, &challenge);
        alice.send_bytes(&bytes(&invite));
        alice.final_reply(&invite);
    }
    node.wait_until("all are told", || node.events.all().len() == 5);
    let names: Vec<_> = node.events.all().iter().map(|e| e["caller_name"].clone()).collect();
    let expected = [
        json!("Nguyễn \"Zé\" \\ Ørsted"),
        json!("Jos? M?ller"),
        json!("Plain Name"),
        json!("bell\u{7} tab\t"),
        Value::Null,
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_bye_counts_without_a_reply_and_once() {
    let Some(node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    let (mut caller, mut called, _) = alice.talk_to(&bob);
    let bye = caller.next("BYE");
    // Nobody answers it; it is retransmitted, sent anew, and crossed by the other side's.
    alice.send(&bye);
    alice.send(&bye);
    bob.receive("BYE", |m| m.is("BYE"));
    let ended = node.events.one("ended");
    assert_eq!(ended["by"], "caller");
    let again = caller.next("BYE");
    alice.send(&again);
    let crossing = called.next("BYE");
    bob.send(&crossing);
    assert_eq!(node.events.kinds(), ["answered", "ended"]);
}

#[test]
fn what_the_route_says_of_a_call_cannot_be_forged() {
    let Some(node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    let invite = alice.call("1002");
    let ringing = bob.rings();
    bob.reply(&ringing, "200 OK", "b");
    let mut answer = alice.final_reply(&invite);
    let genuine = answer.header("Record-Route").to_owned();
    let vps = genuine.split_once(";vps=").unwrap().1.split(';').next().unwrap().to_owned();
    let vpc = genuine.split_once(";vpc=").unwrap().1.split(';').next().unwrap().to_owned();
    for (what, forged) in [
        ("start", genuine.replace(&vps, "1000000000.000000")),
        ("call", genuine.replace(&vpc, "00000000-0000-4000-8000-000000000000")),
        ("way", genuine.replace(";vpm=0", ";vpm=1")),
        ("cookie", genuine.replace(";vpk=", ";vpk=A")),
        ("nothing", format!("<sip:127.0.0.1:{};lr>", node.ports.sip)),
    ] {
        assert_ne!(forged, genuine);
        for (name, value) in &mut answer.headers {
            if name == "Record-Route" {
                value.clone_from(&forged);
            }
        }
        let bye = Dialog::of_caller(&invite, &answer).next("BYE");
        assert_eq!(alice.ask(&bye).status(), Some(481), "{what}");
    }
    bob.receives_no("BYE");
    assert_eq!(node.events.kinds(), ["answered"]);
}

#[test]
fn without_voipadmind_events_are_spooled_whole() {
    let Some(node) = Node::start_with(&Options { without_api: true, ..Options::default() }) else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    for _ in 0..3 {
        a_whole_call(&alice, &bob);
    }
    node.wait_until("all are spooled", || node.spooled().len() == 6);
    let spooled = node.spooled();
    for event in &spooled {
        assert!(spooled.iter().filter(|e| e["vp_call"] == event["vp_call"]).count() == 2, "{spooled:#?}");
    }
    assert!(
        node.http(node.ports.kamailio_rpc, "GET", "/metrics", "")
            .1
            .contains("kamailio_events{way=\"spooled\"} 6")
    );

    // Back again: the next events are posted, the spooled ones are voipadmind's to fetch.
    node.events.open();
    std::thread::sleep(Duration::from_millis(2500));
    a_whole_call(&alice, &bob);
    node.events.one("answered");
    node.events.one("ended");
    assert_eq!(node.spooled().len(), 6);
}

#[test]
fn a_voipadmind_that_fails_or_hangs_costs_no_event_and_no_call() {
    let Some(node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    for (status, events) in [(500, 2), (401, 4), (0, 6)] {
        node.events.answer_with(status);
        let started = std::time::Instant::now();
        a_whole_call(&alice, &bob);
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        node.wait_until("all are spooled", || node.spooled().len() == events);
        std::thread::sleep(Duration::from_millis(2500));
    }
    node.events.answer_with(200);
    a_whole_call(&alice, &bob);
    assert_eq!((node.events.one("answered")["media"].clone(), node.spooled().len()), (json!("0"), 6));
}

#[test]
fn an_event_that_no_disk_takes_is_in_the_log() {
    let Some(node) = Node::start_with(&Options { without_api: true, ..Options::default() }) else { return };
    std::fs::remove_dir(node.spool()).unwrap();
    let alice = Phone::registered(&node, "1001");
    alice.call_in_vain("4711");
    node.wait_until("it is logged", || node.log().contains("EVENT LOST FROM SPOOL"));
    let log = node.log();
    let line = log.lines().find(|l| l.contains("EVENT LOST FROM SPOOL")).unwrap();
    let event: Value = serde_json::from_str(&line[line.find('{').unwrap()..]).unwrap();
    assert_eq!((&event["event"], &event["callee"]), (&json!("failed"), &json!("4711")));
}
