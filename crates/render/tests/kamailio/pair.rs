//! One node of a pair: the virtual address is what phones and Record-Route know, whoever holds it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::json;

use crate::node::{Node, Options, PEER};
use crate::phone::Phone;
use crate::sip::{Dialog, Message, Socket, unique};

const VIP: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 5);

fn pair(vip: Ipv4Addr) -> Option<Node> {
    Node::start_with(&Options { vip: Some(IpAddr::V4(vip)), ..Options::default() })
}

/// All there is names the virtual address: a dialog outlives the node.
fn routed_by_the_vip(node: &Node, invite: &Message) {
    let routes: Vec<_> = invite.all("Record-Route").collect();
    assert!(
        routes.len() == 1 && routes[0].starts_with(&format!("<sip:{VIP}:{};", node.ports.sip)),
        "{routes:?}"
    );
}

fn phone(node: &Node, user: &str) -> Phone {
    let mut phone = Phone::new(node, user);
    phone.sends_to((VIP, node.ports.sip).into());
    assert_eq!(phone.register().status(), Some(200));
    phone
}

#[test]
fn the_virtual_address_is_the_only_one_a_dialog_names() {
    let Some(mut node) = pair(VIP) else { return };
    let vip = SocketAddr::from((VIP, node.ports.sip));
    let (alice, bob) = (phone(&node, "1001"), phone(&node, "1002"));
    let (_, _, direct) = alice.talk_to(&bob);
    routed_by_the_vip(&node, &direct);
    assert_eq!(direct.source, vip);

    alice.call("8001");
    let queue = node.freeswitch_receives("INVITE");
    routed_by_the_vip(&node, &queue);
    assert_eq!(queue.source, vip);

    node.freeswitch.sends_to(vip);
    let mut leg = node.freeswitch.request("INVITE", "sip:1002@default.local", "8001");
    leg.extra = vec!["X-VP-Leg: b".into()];
    node.freeswitch.send(&leg);
    let ringing = bob.rings();
    routed_by_the_vip(&node, &ringing);
    assert_eq!(ringing.source, vip);
    bob.reply(&ringing, "200 OK", &unique());
    Dialog::of_caller(&leg, &node.freeswitch.final_reply(&leg)).ack(&node.freeswitch);
    bob.receive("ACK", |m| m.is("ACK"));
}

#[test]
fn the_peer_s_freeswitch_is_one_of_ours() {
    let Some(node) = pair(VIP) else { return };
    let bob = phone(&node, "1002");
    let theirs = Socket::bind((PEER, node.ports.fs_sip).into(), node.sip());
    let mut leg = theirs.request("INVITE", "sip:1002@default.local", "8001");
    leg.extra = vec!["X-VP-Leg: b".into()];
    theirs.send(&leg);
    assert_eq!(bob.rings().named_like("X-"), [""; 0]);
}

#[test]
fn a_node_without_the_virtual_address_runs_and_knows_its_freeswitch() {
    let Some(node) = pair(Ipv4Addr::new(192, 0, 2, 10)) else { return };
    // Two rounds of probing, sent from the node's own address, and answered.
    std::thread::sleep(std::time::Duration::from_secs(5));
    assert!(!node.log().contains("does not answer OPTIONS"), "{}", node.log());
    let probe = node.socket([127, 0, 0, 2]);
    assert_eq!(probe.ask(&probe.request("OPTIONS", &format!("sip:{}", node.sip()), "x")).status(), Some(200));
}

#[test]
fn what_one_kamailio_knows_the_other_knows_and_a_stranger_tells_neither() {
    let Some(node) = pair(VIP) else { return };
    let early = phone(&node, "1001");
    let (_engine, folder, peer) = node.start_peer(Ipv4Addr::new(192, 0, 2, 10).into());
    let contacts = |user: &str| {
        node.rpc_at(peer, "ul.lookup", &json!(["location", format!("{user}@default.local")]))["result"]
            .to_string()
    };
    let banned = |port: u16, address: &str| {
        node.rpc_at(port, "htable.get", &json!(["banned", address])).get("result").is_some()
    };

    // What was there before it came, and what comes after.
    node.wait_until("the peer learns an old registration", || contacts("1001").contains("sip:1001@"));
    let late = phone(&node, "1002");
    node.wait_until("the peer learns a new registration", || contacts("1002").contains("sip:1002@"));
    drop((early, late));

    node.rpc("htable.seti", &json!(["banned", "203.0.113.9", 1]));
    node.wait_until("the peer bans the same address", || banned(peer, "203.0.113.9"));

    // A stranger, with the words the peer would use: no answer, no effect.
    let socket = std::net::UdpSocket::bind((Ipv4Addr::new(127, 0, 0, 9), 0)).unwrap();
    let words = r#"{"action":1,"htname":"banned","cname":"203.0.113.77","type":0,"intval":1,"mode":1}"#;
    let mut form = node.socket([127, 0, 0, 9]).request("KDMQ", &format!("sip:htable@{}", node.sip()), "1001");
    form.via = socket.local_addr().unwrap();
    form.extra = vec!["Content-Type: application/json".into()];
    let length = format!("Content-Length: {}", words.len());
    let text = form.text().replace("Content-Length: 0", &length) + words;
    socket.send_to(text.as_bytes(), node.sip()).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
    assert!(socket.recv(&mut [0; 2048]).is_err(), "a stranger's KDMQ was answered");
    assert!(!banned(node.ports.kamailio_rpc, "203.0.113.77"));
    let log = std::fs::read_to_string(folder.path().join("kamailio.log")).unwrap();
    let complaints: Vec<_> =
        log.lines().filter(|l| l.contains("ERROR: dmq") || l.contains("ERROR: htable")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
}
