//! Strangers, floods, scanners, malformed and looping requests; the RPC port.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use serde_json::json;

use crate::node::Node;
use crate::phone::Phone;
use crate::sip::{QUIET, unique};

#[test]
fn options_are_answered_and_what_we_do_not_do_is_said() {
    let Some(mut node) = Node::start() else { return };
    let probe = node.socket([127, 0, 0, 2]);
    for uri in [format!("sip:{}", node.sip()), format!("sip:ping@{}", node.sip()), "sip:default.local".into()]
    {
        let reply = probe.ask(&probe.request("OPTIONS", &uri, "probe"));
        assert_eq!((reply.status(), reply.header("Allow").contains("INVITE")), (Some(200), true), "{uri}");
    }
    let own = format!("sip:{}", node.sip());
    for (method, uri, status) in [
        ("OPTIONS", "sip:example.net", 404),
        ("SUBSCRIBE", &*own, 489),
        ("PUBLISH", &own, 489),
        ("MESSAGE", &own, 405),
        ("NOTIFY", &own, 405),
        ("CANCEL", &own, 481),
    ] {
        assert_eq!(probe.ask(&probe.request(method, uri, "probe")).status(), Some(status), "{method} {uri}");
    }
    // The health check needs no database.
    node.database.down();
    assert_eq!(probe.ask(&probe.request("OPTIONS", &own, "probe")).status(), Some(200));
}

#[test]
fn a_request_without_hops_left_ends_here() {
    let Some(node) = Node::start() else { return };
    let alice = Phone::registered(&node, "1001");
    for method in ["INVITE", "REGISTER", "OPTIONS"] {
        let mut request = alice.request(method, "sip:1002@default.local", "1001");
        request.max_forwards = 0;
        assert_eq!(alice.ask(&request).start, "SIP/2.0 483 Too Many Hops", "{method}");
    }
    let bob = Phone::registered(&node, "1002");
    let mut invite = alice.invitation("1002");
    invite.max_forwards = 5;
    alice.call_with(invite);
    assert_eq!(bob.rings().header("Max-Forwards"), "4");
}

#[test]
fn scanners_get_no_answer_and_nonsense_no_hold() {
    let Some(node) = Node::start() else { return };
    let stranger = node.socket([127, 0, 0, 2]);
    for agent in ["friendly-scanner", "SIPVicious", "sipcli/v1.8"] {
        let mut request = stranger.request("OPTIONS", &format!("sip:{}", node.sip()), "100");
        request.extra = vec![format!("User-Agent: {agent}")];
        stranger.send(&request);
    }
    for bytes in [
        &b"\r\n\r\n"[..],
        b"\0\0\0\0",
        b"INVITE sip:x SIP/2.0\r\n\r\n",
        b"REGISTER sip:default.local SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nFrom: <sip:\r\nTo: >\r\nCall-ID:\r\nCSeq: x\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        &[b'A'; 60_000],
    ] {
        stranger.send_bytes(bytes);
    }
    assert!(stranger.receive_within(QUIET, |m| m.status() == Some(200)).is_none());

    let mut long = stranger.request("OPTIONS", &format!("sip:{}", node.sip()), "100");
    long.call_id = "x".repeat(300);
    assert_eq!(stranger.ask(&long).status(), Some(400));
    Phone::registered(&node, "1001");
}

#[test]
fn injected_names_reach_no_statement() {
    let Some(node) = Node::start() else { return };
    for user in ["1001'--", "x' OR '1'='1", "1001\\'", "$(id)", "${x}", "%271001", "1001|1", "1001:8001"] {
        let mut phone = Phone::new(&node, "1001");
        phone.user = user.into();
        let mut request = phone.registration();
        request.from = format!("<sip:1001@default.local>;tag={}", unique());
        request.to = "<sip:1001@default.local>".into();
        request.contact = format!("<sip:phone@{}>", phone.address());
        let reply = phone.authenticate(&mut request).1;
        assert_eq!(reply.status(), Some(403), "{user}: {reply:#?}");
    }
    for domain in ["default.local'--", "a'b", "a;b"] {
        let phone = Phone::new(&node, "1001");
        let mut request = phone.registration();
        request.to = format!("<sip:1001@{domain}>");
        request.from = format!("<sip:1001@{domain}>;tag={}", unique());
        let status = phone.ask(&request).status();
        assert!(matches!(status, Some(400 | 403)), "{domain}: {status:?}");
    }
    assert!(!node.log().contains("syntax error"), "{}", node.log());
    // A contact is whatever its phone says, and only data.
    let phone = Phone::new(&node, "1001");
    let mut request = phone.registration();
    request.contact = format!(
        "<sip:O'Neil;x=1@{}>;+sip.instance=\"<urn:'); DROP TABLE kamailio.location;-->\"",
        phone.address()
    );
    request.extra.push("User-Agent: a'); DELETE FROM kamailio.location; -- \u{e9}".into());
    assert_eq!(phone.authenticate(&mut request).1.status(), Some(200));
    let stored = "SELECT count(*) FROM kamailio.location WHERE contact LIKE 'sip:O''Neil%' AND user_agent LIKE 'a'')%'";
    node.wait_until("it is stored", || node.database.sql(stored) == "1");
}

#[test]
fn a_flood_is_not_heard_and_the_office_is() {
    let Some(node) = Node::start() else { return };
    let (flood, office) = (node.socket([127, 0, 0, 5]), node.socket([127, 0, 0, 1]));
    let own = format!("sip:{}", node.sip());
    for socket in [&flood, &office] {
        for _ in 0..400 {
            socket.send(&socket.request("OPTIONS", &own, "x"));
        }
    }
    node.wait_until("it is noticed", || node.log().contains("flood from 127.0.0.5"));
    std::thread::sleep(QUIET);
    while flood.receive_within(QUIET, |_| true).is_some() {}
    flood.send(&flood.request("OPTIONS", &own, "x"));
    assert!(flood.receive_within(QUIET, |_| true).is_none());
    assert_eq!(office.ask(&office.request("OPTIONS", &own, "x")).status(), Some(200));
    assert!(!node.log().contains("flood from 127.0.0.1"));
}

#[test]
fn rpc_and_metrics_are_on_their_port_alone() {
    let Some(node) = Node::start() else { return };
    let (rpc, sip) = (node.ports.kamailio_rpc, node.ports.sip);
    let alice = Phone::registered(&node, "1001");
    alice.call_in_vain("4711");

    let dump = node.rpc("htable.dump", &json!(["cache"])).to_string();
    for key in ["auth:1001@default.local", "domain:default.local"] {
        assert!(dump.contains(key), "{dump}");
    }
    let metrics = || node.http(rpc, "GET", "/metrics", "");
    assert_eq!(metrics().0, 200);
    // Counted by another process of Kamailio's, a moment after the caller has his answer.
    node.wait_until("the failed call is counted", || {
        metrics().1.contains("kamailio_calls{result=\"failed\"} 1")
    });
    node.wait_until("the phone is counted", || metrics().1.contains("kamailio_usrloc_location_contacts 1"));
    assert_eq!(node.http(rpc, "GET", "/", "").0, 404);
    let dump = r#"{"jsonrpc":"2.0","id":1,"method":"htable.dump","params":["cache"]}"#;
    let (status, answer) = node.http(rpc, "POST", "/RPC", dump);
    assert_eq!((status, answer.contains("auth:")), (401, false), "another user of this machine: {answer}");
    for path in ["/RPC", "/metrics"] {
        assert_eq!(node.http(sip, "POST", path, "{}").0, 403, "{path} on the SIP port");
    }
    // SIP on the HTTP port is nobody's.
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, rpc)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut options = alice.request("OPTIONS", &format!("sip:127.0.0.1:{rpc}"), "x").text();
    options = options.replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    stream.write_all(options.as_bytes()).unwrap();
    let mut answer = [0; 16];
    assert!(!matches!(std::io::Read::read(&mut stream, &mut answer), Ok(1..)));
}

#[test]
fn a_changed_route_counts_from_the_second_kamailio_is_told() {
    let Some(node) = Node::start() else { return };
    let alice = Phone::registered(&node, "1001");
    assert_eq!(alice.call_in_vain("1003").start, "SIP/2.0 480 Not Registered");
    node.database.sql("UPDATE voip.extensions SET active = false WHERE extension = '1003'");
    assert_eq!(alice.call_in_vain("1003").start, "SIP/2.0 480 Not Registered", "cached");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    node.rpc("htable.seti", &json!(["changed", "route:default.local", now]));
    assert_eq!(alice.call_in_vain("1003").start, "SIP/2.0 404 No Such Extension");
}
