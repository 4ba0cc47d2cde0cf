//! Calls between phones.

use serde_json::json;

use crate::node::Node;
use crate::phone::Phone;
use crate::sip::{Dialog, unique};

#[test]
fn a_user_calls_a_user_and_hangs_up() {
    let Some(node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    let (mut caller, _, invite) = alice.talk_to(&bob);

    let route = invite.header("Record-Route");
    assert!(route.starts_with(&format!("<sip:127.0.0.1:{};", node.ports.sip)), "{route}");
    assert_eq!(invite.all("Record-Route").count(), 1, "{invite:#?}");
    assert_eq!(invite.uri(), format!("sip:1002@{}", bob.address()));
    assert_eq!(invite.header("Proxy-Authorization"), "", "credentials are for Kamailio alone");
    assert!(invite.header("From").starts_with("\"Phone 1001\" <sip:1001@default.local>"));

    let bye = caller.next("BYE");
    alice.send(&bye);
    let received = bob.receive("BYE", |m| m.is("BYE"));
    bob.reply(&received, "200 OK", "");
    assert_eq!(alice.final_reply(&bye).status(), Some(200));
    assert!(node.freeswitch.receive_within(crate::sip::QUIET, |_| true).is_none(), "no media was needed");
}

#[test]
fn the_called_hangs_up_and_a_call_is_changed_on_the_way() {
    let Some(node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    let (mut caller, mut called, _) = alice.talk_to(&bob);

    let hold = caller.next("INVITE");
    alice.send(&hold);
    let received = bob.receive("re-INVITE", |m| m.is("INVITE"));
    bob.reply(&received, "200 OK", "");
    assert_eq!(alice.final_reply(&hold).status(), Some(200));
    caller.ack(&alice);
    bob.receive("ACK", |m| m.is("ACK"));

    let bye = called.next("BYE");
    bob.send(&bye);
    let received = alice.receive("BYE", |m| m.is("BYE"));
    alice.reply(&received, "200 OK", "");
    assert_eq!(bob.final_reply(&bye).status(), Some(200));
}

#[test]
fn what_the_called_says_reaches_the_caller() {
    let Some(node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    for refusal in ["486 Busy Here", "603 Decline", "480 Do Not Disturb"] {
        let invite = alice.call("1002");
        let ringing = bob.rings();
        bob.reply(&ringing, refusal, &unique());
        assert_eq!(alice.final_reply(&invite).start, format!("SIP/2.0 {refusal}"));
        bob.receive("ACK", |m| m.is("ACK"));
    }
}

#[test]
fn a_phone_on_tcp_is_called_over_the_connection_it_came_by() {
    let Some(node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::over_tcp(&node, "1002"));
    assert_eq!(bob.register().status(), Some(200));
    let (_, mut called, invite) = alice.talk_to(&bob);
    assert_eq!(invite.all("Record-Route").count(), 2, "one for each transport: {invite:#?}");
    let bye = called.next("BYE");
    bob.send(&bye);
    let received = alice.receive("BYE", |m| m.is("BYE"));
    alice.reply(&received, "200 OK", "");
    assert_eq!(bob.final_reply(&bye).status(), Some(200));

    let (mut caller, _, _) = bob.talk_to(&alice);
    let bye = caller.next("BYE");
    bob.send(&bye);
    let received = alice.receive("BYE", |m| m.is("BYE"));
    alice.reply(&received, "200 OK", "");
    assert_eq!(bob.final_reply(&bye).status(), Some(200));
    assert_eq!(node.events.kinds(), ["answered", "ended", "answered", "ended"]);
    assert!(node.events.all().iter().all(|e| e["media"] == "0"), "TCP is no NAT");
}

#[test]
fn every_phone_of_a_user_rings_and_the_first_takes_the_call() {
    let Some(node) = Node::start() else { return };
    let (alice, desk, mobile) = (
        Phone::registered(&node, "1001"),
        Phone::registered(&node, "1002"),
        Phone::registered(&node, "1002"),
    );
    let invite = alice.call("1002");
    let (at_desk, at_mobile) = (desk.rings(), mobile.rings());
    desk.reply(&at_desk, "180 Ringing", "desk");
    mobile.reply(&at_mobile, "180 Ringing", "mobile");
    mobile.reply(&at_mobile, "200 OK", "mobile");
    let answer = alice.final_reply(&invite);
    assert!(answer.header("To").ends_with(";tag=mobile"), "{answer:#?}");
    Dialog::of_caller(&invite, &answer).ack(&alice);
    mobile.receive("ACK", |m| m.is("ACK"));

    let cancel = desk.receive("CANCEL", |m| m.is("CANCEL"));
    desk.reply(&cancel, "200 OK", "desk");
    desk.reply(&at_desk, "487 Request Terminated", "desk");
    assert_eq!(node.events.kinds(), ["answered"]);
}

#[test]
fn a_caller_who_gives_up_ends_the_ringing() {
    let Some(node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    let invite = alice.call("1002");
    let ringing = bob.rings();
    bob.reply(&ringing, "180 Ringing", "b");
    alice.provisional_reply(&invite, 180);

    assert_eq!(alice.cancel(&invite).status(), Some(200));
    let cancel = bob.receive("CANCEL", |m| m.is("CANCEL"));
    bob.reply(&cancel, "200 OK", "b");
    bob.reply(&ringing, "487 Request Terminated", "b");
    assert_eq!(alice.final_reply(&invite).status(), Some(487));
    let event = node.events.one("failed");
    assert_eq!((&event["sip_code"], &event["sip_reason"]), (&json!("487"), &json!("Request Terminated")));
}

#[test]
fn a_phone_that_is_gone_is_not_waited_for() {
    let Some(node) = Node::start() else { return };
    let alice = Phone::registered(&node, "1001");
    let gone = Phone::registered(&node, "1002");
    let started = std::time::Instant::now();
    let invite = alice.call("1002");
    gone.rings();
    assert_eq!(alice.final_reply(&invite).start, "SIP/2.0 408 Request Timeout");
    assert!(started.elapsed().as_secs() < 9, "{:?}", started.elapsed());
}

#[test]
fn where_a_call_cannot_go_is_said_clearly() {
    let Some(node) = Node::start() else { return };
    let alice = Phone::registered(&node, "1001");
    for (uri, status) in [
        ("sip:1003@default.local", "480 Not Registered"),
        ("sip:4711@default.local", "404 No Such Extension"),
        ("sip:10'OR'1@default.local", "404 No Such Extension"),
        ("sip:default.local", "404 No Such Extension"),
        ("sip:2001@other.local", "403 Another Tenant"),
        ("sip:anyone@example.net", "404 No Such Domain"),
        ("sip:1003@DEFAULT.local", "480 Not Registered"),
        (&format!("sip:1003@{}", node.sip()), "480 Not Registered"),
    ] {
        let mut invite = alice.invitation("any");
        invite.uri = uri.into();
        let invite = alice.call_with(invite);
        assert_eq!(alice.final_reply(&invite).start, format!("SIP/2.0 {status}"), "{uri}");
    }
}

#[test]
fn while_the_database_is_down_known_numbers_are_reached_and_unknown_ones_are_not_denied() {
    let Some(mut node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    let (mut caller, _, _) = alice.talk_to(&bob);
    let bye = caller.next("BYE");
    alice.send(&bye);
    let received = bob.receive("BYE", |m| m.is("BYE"));
    bob.reply(&received, "200 OK", "");

    node.database.down();
    alice.talk_to(&bob);
    let reply = alice.call_in_vain("1004");
    assert_eq!((reply.status(), reply.header("Retry-After")), (Some(503), "5"), "{reply:#?}");
}

#[test]
fn nobody_calls_as_somebody_else() {
    let Some(node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    let mut invite = alice.invitation("1002");
    invite.from = invite.from.replace("1001", "1003");
    let (_, reply) = alice.authenticate(&mut invite);
    assert_eq!(reply.start, "SIP/2.0 403 From Is Not You");
    bob.receives_no("INVITE");
    assert_eq!(node.events.kinds(), [""; 0], "nobody's call");
}

#[test]
fn headers_that_command_or_assert_do_not_pass() {
    let Some(node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    let mut invite = alice.invitation("1002");
    invite.extra = [
        "X-VP-Type: trunk_out",
        "x-vp-leg : b",
        "X-AUTH-IP: 192.0.2.1",
        "P-Asserted-Identity: <sip:boss@default.local>",
        "Remote-Party-ID: <sip:boss@default.local>",
        "Alert-Info: <http://192.0.2.1/ring.wav>;info=alert-autoanswer",
        "call-info : <sip:default.local>;answer-after=0",
        "Answer-Mode: Auto",
        "Priv-Answer-Mode: Auto",
        "Subject: stays",
    ]
    .map(String::from)
    .to_vec();
    let invite = alice.call_with(invite);
    let ringing = bob.rings();
    for prefix in ["X-", "P-", "Remote-Party-ID", "Alert-Info", "Call-Info", "Answer-Mode", "Priv-"] {
        assert_eq!(ringing.named_like(prefix), [""; 0], "{ringing:#?}");
    }
    assert_eq!(ringing.header("Subject"), "stays");
    let extra = ["X-VP-Call: mine", "Alert-Info: <http://192.0.2.1/x.wav>", "Reason: Q.850;cause=17"];
    bob.reply_with(&ringing, "486 Busy Here", "b", &extra);
    let reply = alice.final_reply(&invite);
    for prefix in ["X-", "Alert-Info"] {
        assert_eq!(reply.named_like(prefix), [""; 0]);
    }
    assert_eq!(reply.header("Reason"), "Q.850;cause=17");
}

#[test]
fn a_route_or_a_to_tag_made_up_leads_nowhere() {
    let Some(node) = Node::start() else { return };
    let alice = Phone::registered(&node, "1001");
    let victim = node.socket([127, 0, 0, 9]);
    let own = format!("Route: <sip:127.0.0.1:{};lr;ftag=x;vpk=AAAAAAAAAAAAAAAAAAAAAAAA>", node.ports.sip);
    for (method, routes) in [
        ("INVITE", vec![format!("Route: <sip:{};lr>", victim.address())]),
        ("INVITE", vec![own.clone(), format!("Route: <sip:{};lr>", victim.address())]),
        ("MESSAGE", vec![own.clone()]),
        ("BYE", vec![own]),
        ("BYE", vec![]),
    ] {
        for target in [victim.address(), node.freeswitch.address()] {
            let mut request = alice.request(method, &format!("sip:x@{target}"), "1001");
            request.to = format!("<sip:x@{target}>;tag={}", unique());
            request.extra = routes.clone();
            assert_eq!(alice.ask(&request).status(), Some(481), "{method} {routes:?}");
        }
    }
    // Without a To tag the Route is not looked at.
    let mut invite = alice.invitation("1003");
    invite.extra = vec![format!("Route: <sip:{};lr>", victim.address())];
    let invite = alice.call_with(invite);
    assert_eq!(alice.final_reply(&invite).status(), Some(480));
    for socket in [&victim, &node.freeswitch] {
        assert!(socket.receive_within(crate::sip::QUIET, |_| true).is_none());
    }
}

/// After a take-over nothing is left of a call but what its Route headers say.
#[test]
fn a_call_ends_well_on_a_kamailio_that_has_never_seen_it() {
    let Some(mut node) = Node::start() else { return };
    let (alice, bob) = (Phone::registered(&node, "1001"), Phone::registered(&node, "1002"));
    let (_, mut called, _) = alice.talk_to(&bob);
    let answered = node.events.one("answered");
    node.down();
    node.up();

    let bye = called.next("BYE");
    bob.send(&bye);
    let received = alice.receive("BYE", |m| m.is("BYE"));
    alice.reply(&received, "200 OK", "");
    assert_eq!(bob.final_reply(&bye).status(), Some(200));
    let ended = node.events.one("ended");
    for key in ["vp_call", "start", "call_id", "from_tag", "to_tag", "media"] {
        assert_eq!(ended[key], answered[key], "{key}");
    }
}
