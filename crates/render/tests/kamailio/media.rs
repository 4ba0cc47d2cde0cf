//! Calls that FreeSWITCH carries, and FreeSWITCH's own legs. FreeSWITCH is a socket on its address and port.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::node::{Node, Options};
use crate::phone::Phone;
use crate::sip::{Dialog, Message, Request, Socket, tag, unique};

fn vp(invite: &Message) -> Vec<(&str, &str)> {
    let ours = invite.headers.iter().filter(|(n, _)| n.starts_with("X-VP-") && n != "X-VP-Call");
    ours.map(|(n, v)| (&n[5..], v.as_str())).collect()
}

/// A leg of FreeSWITCH's to a user, as its dial-string makes it.
fn leg(node: &Node, user: &str) -> Request {
    let mut invite = node.freeswitch.request("INVITE", &format!("sip:{user}@default.local"), "1001");
    invite.from = format!("\"Caller\" <sip:1001@default.local>;tag={}", unique());
    invite.extra = vec!["X-VP-Leg: b".into(), "X-VP-Call: 1".into(), "X-FS-Support: update_display".into()];
    invite
}

#[test]
fn freeswitch_is_told_everything_about_a_call_to_a_queue() {
    let Some(node) = Node::start() else { return };
    let alice = Phone::registered(&node, "1001");
    let mut invite = alice.invitation("8001");
    invite.extra = vec!["X-VP-Type: trunk_out".into(), "X-VP-Domain: other.local".into()];
    let invite = alice.call_with(invite);

    let received = node.freeswitch_receives("INVITE");
    assert_eq!(received.uri(), "sip:8001@default.local");
    let expected = [
        ("Domain", "default.local"),
        ("Ext", "8001"),
        ("Type", "queue"),
        ("Ref", "support"),
        ("Record", "0"),
    ];
    assert_eq!(vp(&received), expected);
    let vp_call = received.header("X-VP-Call").to_owned();
    assert_eq!(uuid::Uuid::parse_str(&vp_call).map(|u| u.to_string()), Ok(vp_call.clone()));

    node.freeswitch.reply(&received, "200 OK", "fs");
    let answer = alice.final_reply(&invite);
    let mut caller = Dialog::of_caller(&invite, &answer);
    caller.ack(&alice);
    node.freeswitch_receives("ACK");
    let bye = caller.next("BYE");
    alice.send(&bye);
    let received = node.freeswitch_receives("BYE");
    node.freeswitch.reply(&received, "200 OK", "");
    assert_eq!(alice.final_reply(&bye).status(), Some(200));

    let (answered, ended) = (node.events.one("answered"), node.events.one("ended"));
    for event in [&answered, &ended] {
        assert_eq!((&event["media"], &event["vp_call"]), (&json!("1"), &json!(vp_call)), "{event}");
    }
}

#[test]
fn every_kind_of_number_takes_its_way() {
    let Some(node) = Node::start() else { return };
    let (alice, recorded) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1009"));
    for (caller, number, kind, reference, record) in [
        (&alice, "9001", "ivr", "main", "0"),
        (&alice, "0912345678", "trunk_out", "carrier", "0"),
        (&alice, "1008", "user", "1008", "0"),
        (&alice, "1009", "user", "1009", "1"),
        (&recorded, "1001", "user", "1001", "1"),
    ] {
        let invite = caller.call(number);
        let received = node.freeswitch_receives("INVITE");
        let expected = [
            ("Domain", "default.local"),
            ("Ext", number),
            ("Type", kind),
            ("Ref", reference),
            ("Record", record),
        ];
        assert_eq!(vp(&received), expected);
        node.freeswitch.reply(&received, "486 Busy Here", "fs");
        assert_eq!(caller.final_reply(&invite).status(), Some(486));
    }
    node.wait_until("all are told", || node.events.all().len() == 5);
    let directions: Vec<_> =
        node.events.all().iter().map(|e| e["direction"].as_str().unwrap().to_owned()).collect();
    assert_eq!(directions, ["internal", "outbound", "internal", "internal", "internal"]);
}

#[test]
fn a_party_behind_a_nat_gets_a_relay() {
    let Some(node) = Node::start() else { return };
    let alice = Phone::registered(&node, "1001");
    let nated = Phone::new(&node, "1002");
    let mut registration = nated.registration();
    // What a phone behind a NAT believes of itself.
    registration.via = ([10, 1, 2, 3], 5060).into();
    registration.contact = "<sip:1002@10.1.2.3:5060>".into();
    assert_eq!(nated.authenticate(&mut registration).1.status(), Some(200));

    let to_nated = alice.call("1002");
    let received = node.freeswitch_receives("INVITE");
    assert_eq!(vp(&received)[2], ("Type", "user"));
    node.freeswitch.reply(&received, "486 Busy Here", "fs");
    alice.final_reply(&to_nated);

    let mut invite = nated.invitation("1001");
    invite.via = registration.via;
    invite.contact.clone_from(&registration.contact);
    nated.call_with(invite);
    node.freeswitch_receives("INVITE");
    alice.receives_no("INVITE");

    // The leg finds its way back through the NAT.
    node.freeswitch.send(&leg(&node, "1002"));
    let ringing = nated.rings();
    assert_eq!(ringing.uri(), "sip:1002@10.1.2.3:5060");
}

#[test]
fn a_leg_of_freeswitch_reaches_the_phone_unchallenged_and_is_not_accounted() {
    let Some(node) = Node::start() else { return };
    let bob = Phone::registered(&node, "1002");
    let invite = leg(&node, "1002");
    node.freeswitch.send(&invite);
    let ringing = bob.rings();
    assert_eq!(ringing.named_like("X-"), [""; 0], "{ringing:#?}");
    assert_eq!(ringing.uri(), format!("sip:1002@{}", bob.address()));
    bob.reply(&ringing, "200 OK", "b");
    let answer = node.freeswitch.final_reply(&invite);
    let mut leg = Dialog::of_caller(&invite, &answer);
    leg.ack(&node.freeswitch);
    bob.receive("ACK", |m| m.is("ACK"));

    let mut called = Dialog::of_callee(&ringing, "b", &bob);
    let info = called.next("INFO");
    bob.send(&info);
    let received = node.freeswitch_receives("INFO");
    node.freeswitch.reply(&received, "200 OK", "");
    assert_eq!(bob.final_reply(&info).status(), Some(200));

    let bye = leg.next("BYE");
    node.freeswitch.send(&bye);
    let received = bob.receive("BYE", |m| m.is("BYE"));
    bob.reply(&received, "200 OK", "");
    assert_eq!(node.freeswitch.final_reply(&bye).status(), Some(200));
    assert_eq!(node.events.kinds(), [""; 0], "FreeSWITCH accounts for its legs");
}

#[test]
fn a_leg_never_comes_back_to_freeswitch() {
    let Some(mut node) = Node::start() else { return };
    // 1008 needs media and 8001 is a queue: to a leg both are users, or nobody.
    for user in ["1003", "1008", "8001", "0912345678"] {
        assert_eq!(node.freeswitch.ask(&leg(&node, user)).start, "SIP/2.0 480 Not Registered", "{user}");
    }
    let mut elsewhere = leg(&node, "1003");
    elsewhere.uri = "sip:1003@example.net".into();
    assert_eq!(node.freeswitch.ask(&elsewhere).start, "SIP/2.0 404 No Such Domain");
    let mut no_leg = leg(&node, "8001");
    no_leg.extra.clear();
    assert_eq!(node.freeswitch.ask(&no_leg).start, "SIP/2.0 403 Not a Leg");
    node.freeswitch.receives_no("INVITE");

    let media = Phone::registered(&node, "1008");
    node.freeswitch.send(&leg(&node, "1008"));
    media.rings();

    // Registrations are known without the database.
    node.database.down();
    let bob = Phone::new(&node, "1002");
    assert_eq!(node.freeswitch.ask(&leg(&node, &bob.user)).start, "SIP/2.0 480 Not Registered");
    node.freeswitch.send(&leg(&node, "1008"));
    media.rings();
}

#[test]
fn only_freeswitch_s_own_socket_is_believed() {
    let Some(node) = Node::start() else { return };
    let bob = Phone::registered(&node, "1002");
    let same_host = node.socket([127, 0, 0, 1]);
    let same_port = Socket::bind((Ipv4Addr::new(127, 0, 0, 8), node.ports.fs_sip).into(), node.sip());
    for socket in [same_host, same_port] {
        let mut invite = leg(&node, "1002");
        invite.via = socket.address();
        assert_eq!(socket.ask(&invite).status(), Some(407));
    }
    bob.receives_no("INVITE");
}

#[test]
fn a_call_to_a_trunk_leaves_without_our_headers() {
    let Some(node) = Node::start() else { return };
    let trunk = node.socket([127, 0, 0, 7]);
    let mut invite = leg(&node, "0912345678");
    invite.uri = format!("sip:0912345678@{}", trunk.address());
    invite.extra =
        vec!["X-VP-Call: 1".into(), "P-Asserted-Identity: <sip:+84912345678@default.local>".into()];
    node.freeswitch.send(&invite);
    let received = trunk.receive("INVITE", |m| m.is("INVITE"));
    assert_eq!(received.named_like("X-"), [""; 0]);
    assert_ne!(received.header("P-Asserted-Identity"), "");
    trunk.reply(&received, "200 OK", "t");
    let answer = node.freeswitch.final_reply(&invite);
    assert_eq!(tag(answer.header("To")), "t");
    assert_eq!(node.events.kinds(), [""; 0]);
}

#[test]
fn without_freeswitch_only_calls_that_need_it_fail_and_soon() {
    let Some(node) = Node::start_with(&Options { without_freeswitch: true, ..Options::default() }) else {
        return;
    };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    let started = Instant::now();
    assert_eq!(alice.call_in_vain("8001").start, "SIP/2.0 503 No Media Server");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    alice.talk_to(&bob);

    // Once the probing knows, at once; and when it answers again, it is asked again.
    node.wait_until("the probing notices", || node.log().contains("does not answer OPTIONS"));
    let started = Instant::now();
    assert_eq!(alice.call_in_vain("8001").start, "SIP/2.0 503 No Media Server");
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
    node.freeswitch.answer_options();
    node.wait_until("the probing notices", || node.log().contains("answers again"));
    // The first call tried it too.
    while node.freeswitch.receive_within(crate::sip::QUIET, |m| m.is("INVITE")).is_some() {}
    alice.call("8001");
    node.freeswitch_receives("INVITE");

    let failed: Vec<_> = node.events.all().into_iter().filter(|e| e["event"] == "failed").collect();
    assert_eq!(failed.len(), 2, "{failed:#?}");
    assert!(failed.iter().all(|e| e["sip_code"] == "503"), "{failed:#?}");
}

#[test]
fn a_503_of_freeswitch_is_told_from_its_dialplan_s() {
    let Some(node) = Node::start() else { return };
    let alice = Phone::registered(&node, "1001");
    for (freeswitch, heard, media) in [
        ("503 Maximum Calls In Progress", "SIP/2.0 503 No Media Server", "0"),
        ("503 No trunk is provisioned", "SIP/2.0 503 No trunk is provisioned", "1"),
    ] {
        let invite = alice.call("0912345678");
        let received = node.freeswitch_receives("INVITE");
        node.freeswitch.reply(&received, freeswitch, "fs");
        assert_eq!(alice.final_reply(&invite).start, heard);
        node.wait_until("it is told", || node.events.all().iter().any(|e| e["media"] == media));
    }
    assert_eq!(node.events.kinds(), ["failed", "failed"]);
}
