//! REGISTER: who may, and what happens to it while the database is away.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::node::Node;
use crate::phone::Phone;
use crate::sip::QUIET;

/// A cached answer needs no database; this is ample for one on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(900);

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_phone_registers_and_its_contact_reaches_the_database() {
    let Some(node) = Node::start() else { return };
    let phone = Phone::new(&node, "1001");
    let mut request = phone.registration();
    let challenge = phone.ask(&request);
    assert_eq!(challenge.status(), Some(401));
    let header = challenge.header("WWW-Authenticate");
    assert!(header.contains("realm=\"default.local\"") && header.contains("qop=\"auth\""), "{header}");
    phone.answer_challenge(&mut request, &challenge);
    let reply = phone.ask(&request);
    assert_eq!(reply.status(), Some(200), "{reply:#?}");
    assert!(reply.header("Contact").contains(&phone.address().to_string()), "{reply:#?}");
    assert!(reply.header("Contact").contains("expires=300"), "{reply:#?}");

    let stored = "SELECT username || '@' || domain || ' ' || contact FROM kamailio.location";
    let expected = format!("1001@default.local sip:1001@{}", phone.address());
    node.wait_until("the contact is stored", || node.database.sql(stored) == expected);
}

#[test]
fn a_restart_forgets_no_registration() {
    let Some(mut node) = Node::start() else { return };
    let bob = Phone::registered(&node, "1002");
    node.wait_until("the contact is stored", || {
        node.database.sql("SELECT count(*) FROM kamailio.location") == "1"
    });
    node.down();
    node.up();
    let alice = Phone::new(&node, "1001");
    alice.call("1002");
    bob.rings();
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_told_the_same() {
    let Some(node) = Node::start() else { return };
    let mut wrong = Phone::new(&node, "1001");
    wrong.password = "guess".into();
    let unknown = Phone::new(&node, "4711");
    let heard = [wrong, unknown].map(|phone| {
        let mut request = phone.registration();
        let challenge = phone.ask(&request);
        phone.answer_challenge(&mut request, &challenge);
        let reply = phone.ask(&request);
        let names: Vec<_> = reply.headers.iter().map(|(name, _)| name.clone()).collect();
        (challenge.start, reply.start, names)
    });
    assert_eq!(heard[0], heard[1]);
    assert_eq!(heard[0].1, "SIP/2.0 403 Forbidden");
}

#[test]
fn nobody_registers_for_another_or_elsewhere() {
    let Some(node) = Node::start() else { return };
    let alice = Phone::new(&node, "1001");

    let mut for_another = alice.registration();
    for_another.to = "<sip:1002@default.local>".into();
    assert_eq!(alice.authenticate(&mut for_another).1.start, "SIP/2.0 403 From Is Not You");

    let mut claims = alice.registration();
    claims.from = claims.from.replace("1001", "1002");
    claims.to = "<sip:1002@default.local>".into();
    assert_eq!(alice.authenticate(&mut claims).1.start, "SIP/2.0 403 From Is Not You");

    let mut stranger = Phone::new(&node, "1001");
    stranger.domain = "example.net".into();
    assert_eq!(stranger.register().start, "SIP/2.0 403 Domain Not Served");

    // The realm is the user's own domain: the same number elsewhere is another user.
    let mut elsewhere = Phone::new(&node, "1001");
    elsewhere.domain = "other.local".into();
    assert_eq!(elsewhere.register().start, "SIP/2.0 403 Forbidden");

    for port in [node.ports.sip, node.ports.fs_sip, node.ports.fs_direct] {
        let mut trap = alice.registration();
        trap.contact = format!("<sip:1001@127.0.0.1:{port}>");
        assert_eq!(alice.authenticate(&mut trap).1.start, "SIP/2.0 403 Contact Is Not a Phone");
    }
    assert_eq!(node.database.sql("SELECT count(*) FROM kamailio.location"), "0");
}

#[test]
fn a_challenge_is_good_once_and_for_its_address() {
    let Some(node) = Node::start() else { return };
    let alice = Phone::new(&node, "1001");
    let (mut overheard, reply) = alice.authenticate(&mut alice.registration());
    assert_eq!(reply.status(), Some(200));

    // Word for word again, with another contact: the digest does not cover it.
    overheard.again();
    overheard.contact = "<sip:1001@192.0.2.66>".into();
    let refused = alice.ask(&overheard);
    assert_eq!(refused.status(), Some(401), "{refused:#?}");
    // Not a wrong password: the phone tries again by itself.
    assert!(refused.header("WWW-Authenticate").contains("stale=true"), "{refused:#?}");

    let thief = Phone::at(&node, [127, 0, 0, 2], "1001");
    let mut stolen = alice.registration();
    let challenge = alice.ask(&stolen);
    alice.answer_challenge(&mut stolen, &challenge);
    stolen.via = thief.address();
    let refused = thief.ask(&stolen);
    assert_eq!(refused.status(), Some(401), "{refused:#?}");
}

#[test]
fn guessing_passwords_ends_in_silence_for_that_address_alone() {
    let Some(node) = Node::start() else { return };
    let mut guesser = Phone::at(&node, [127, 0, 0, 3], "1001");
    guesser.password = "guess".into();
    for attempt in 1..=20 {
        let reply = guesser.register();
        assert_eq!(reply.status(), Some(403), "attempt {attempt}: {reply:#?}");
    }
    guesser.send(&guesser.registration());
    assert!(guesser.receive_within(QUIET, |_| true).is_none());
    guesser.password = "pw1001".into();
    guesser.send(&guesser.registration());
    assert!(guesser.receive_within(QUIET, |_| true).is_none());

    let other = Phone::at(&node, [127, 0, 0, 4], "1001");
    assert_eq!(other.register().status(), Some(200));
}

#[test]
fn times_and_numbers_of_contacts_have_bounds() {
    let Some(node) = Node::start() else { return };
    let alice = Phone::new(&node, "1001");
    for (asked, granted) in [("5", "expires=60"), ("99999", "expires=3600")] {
        let mut request = alice.registration();
        request.extra = vec![format!("Expires: {asked}")];
        let reply = alice.authenticate(&mut request).1;
        assert!(reply.header("Contact").contains(granted), "{asked}: {reply:#?}");
    }
    let statuses: Vec<_> = (0..11)
        .map(|device| {
            let mut request = alice.registration();
            request.contact = format!("<sip:1001@192.0.2.{device}>");
            alice.authenticate(&mut request).1.status().unwrap()
        })
        .collect();
    // One stands from above.
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 200, 200, 503, 503]);
    let mut gone = alice.registration();
    gone.contact = "*".into();
    gone.extra = vec!["Expires: 0".into()];
    assert_eq!(alice.authenticate(&mut gone).1.status(), Some(200));
    assert_eq!(Phone::new(&node, "1002").call_in_vain("1001").status(), Some(480));
}

#[test]
fn while_the_database_is_down_who_was_known_stays_known() {
    let Some(mut node) = Node::start() else { return };
    let (known, never_seen) = (Phone::registered(&node, "1001"), Phone::new(&node, "1003"));
    node.database.down();

    assert_eq!(known.register().status(), Some(200));
    let reply = never_seen.register();
    assert_eq!((reply.status(), reply.header("Retry-After")), (Some(503), "5"), "{reply:#?}");

    // Long gone stale, and served all the same.
    node.rpc("htable.seti", &json!(["changed", "all", now() + 1]));
    assert_eq!(known.register().status(), Some(200));
    assert!(node.http(node.ports.kamailio_rpc, "GET", "/metrics", "").1.contains("kamailio_stale_answers"));

    node.database.up();
    node.wait_until("the database is back", || never_seen.register().status() == Some(200));
    assert_eq!(known.register().status(), Some(200));
}

#[test]
fn a_database_that_hangs_holds_nobody_up() {
    let Some(mut node) = Node::start() else { return };
    let (known, never_seen) = (Phone::registered(&node, "1001"), Phone::new(&node, "1003"));
    let bob = Phone::registered(&node, "1002");
    node.database.freeze();
    node.wait_until("the probe notices", || node.log().contains("the database is away"));
    node.rpc("htable.seti", &json!(["changed", "all", now() + 1]));

    let mut slowest = Duration::ZERO;
    for (phone, status) in [(&known, 200), (&never_seen, 503), (&bob, 200), (&never_seen, 503), (&known, 200)]
    {
        let started = Instant::now();
        assert_eq!(phone.register().status(), Some(status));
        slowest = slowest.max(started.elapsed());
    }
    assert!(slowest < AT_ONCE, "{slowest:?}");
    node.database.thaw();
    node.wait_until("the database is back", || never_seen.register().status() == Some(200));
}

#[test]
fn a_changed_password_counts_from_the_moment_kamailio_is_told() {
    let Some(mut node) = Node::start() else { return };
    let mut alice = Phone::registered(&node, "1001");
    node.database.sql(
        "UPDATE voip.sip_credentials SET ha1 = md5('1001:default.local:new')
          WHERE extension_id = (SELECT id FROM voip.extensions WHERE extension = '1001' AND domain_id = 1)",
    );
    assert_eq!(alice.register().status(), Some(200), "cached");
    let answer = node.rpc("htable.delete", &json!(["cache", "auth:1001@default.local"]));
    assert!(answer.get("error").is_none(), "{answer}");
    assert_eq!(alice.register().status(), Some(403), "the old password");
    alice.password = "new".into();
    assert_eq!(alice.register().status(), Some(200));

    // The old one is gone for good, also when nobody can be asked.
    node.rpc("htable.delete", &json!(["cache", "auth:1001@default.local"]));
    node.database.down();
    alice.password = "pw1001".into();
    assert_eq!(alice.register().status(), Some(503));
}
