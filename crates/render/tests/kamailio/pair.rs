//! One node of a pair: the virtual address is what phones and Record-Route know, whoever holds it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

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
