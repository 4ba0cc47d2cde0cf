//! A dev node with the real FreeSWITCH: phone → Kamailio → FreeSWITCH → Kamailio → the agent's phone, heard both ways.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is a failed test")]

#[allow(dead_code, reason = "tests with the media double have more needs")]
mod support;
mod voice;

// Phones as the tests of the rendered Kamailio have them.
#[allow(dead_code, reason = "Kamailio's own tests have more needs")]
#[path = "../../render/tests/kamailio/phone.rs"]
mod phone;
#[allow(dead_code, reason = "Kamailio's own tests have more needs")]
#[path = "../../render/tests/kamailio/sip.rs"]
mod sip;
#[allow(dead_code, reason = "Kamailio's own tests have more needs")]
#[path = "../../render/tests/kamailio/wire.rs"]
mod wire;

use std::path::Path;
use std::time::Duration;

use phone::Phone;
use phones::Env;
use serde_json::Value;
use sip::{Dialog, unique};
use spec::Cluster;
use voice::{CONVERSATION, Voice, share_of};

const QUEUE: &str = "8001";
/// The first agent of the queue.
const AGENT: &str = "1002";
const CALLER: &str = "1001";
/// Numbers of FreeSWITCH's demo dialplan: echo, its conference, its menu, music on hold.
const DEMO_NUMBERS: [&str; 4] = ["9196", "3000", "5000", "9664"];
/// Until FreeSWITCH has posted both legs and they are stored.
const RECORDS: Duration = Duration::from_secs(15);
/// What FreeSWITCH's own examples come with.
const DEMO_USER: (&str, &str) = ("1000", "1234");
/// In what is rendered these would be users, passwords and contexts of the examples.
const DEMO_WORDS: [&str; 6] = [
    "<user ",
    "default_password",
    "ClueCon",
    "demo_ivr",
    "context name=\"default\"",
    "context name=\"public\"",
];
const CALLER_HZ: f64 = 500.0;
const AGENT_HZ: f64 = 1_300.0;
/// Of all that is heard: the other's tone is nearly all of it, one's own nearly nothing.
const MOST: f64 = 0.8;
const NEXT_TO_NOTHING: f64 = 0.05;

/// What the shared phones ask of their surroundings.
mod node {
    use std::net::{IpAddr, SocketAddr};

    use crate::sip::Socket;

    pub const DOMAIN: &str = "default.local";

    /// Where phones register.
    pub struct Node(pub SocketAddr);

    impl Node {
        pub fn sip(&self) -> SocketAddr {
            self.0
        }

        pub fn socket(&self, ip: [u8; 4]) -> Socket {
            Socket::bind((IpAddr::from(ip), 0).into(), self.0)
        }
    }
}

#[test]
fn a_queue_call_through_freeswitch_is_heard_both_ways_and_is_one_call() {
    if let Some(why) = support::missing().or_else(support::missing_freeswitch) {
        testkit::skip(&why);
        return;
    }
    let node = support::Node::with_freeswitch();
    let up = node.tandem(&["dev", "up"]);
    assert!(up.succeeded && up.out.contains("freeswitch ready"), "{up:?}");
    let env = Env::read(&node.dir().join("env")).unwrap();
    assert_eq!((env.media.as_str(), env.domain.as_str()), ("freeswitch", node::DOMAIN));

    let call_id = it_is_heard_both_ways(&env);
    it_is_one_call(&env, &call_id);

    let written = std::fs::read_to_string(node.dir().join("cluster.yaml")).unwrap();
    let cluster = Cluster::parse("cluster.yaml", &written).unwrap();
    it_registers_at_the_profile_direct(&env, cluster.ports.fs_direct);
    nothing_of_the_demo_is_left(&env, &node.dir().join("etc/freeswitch"));
}

/// A phone of the node, with the password the node gave it.
fn phone(env: &Env, number: &str) -> Phone {
    let mut phone = Phone::new(&node::Node(env.sip.parse().unwrap()), number);
    phone.password = env.phones.iter().find(|(n, _)| n == number).unwrap().1.clone();
    phone
}

/// The call's Call-ID.
fn it_is_heard_both_ways(env: &Env) -> String {
    let (caller, agent) = (phone(env, CALLER), phone(env, AGENT));
    for phone in [&caller, &agent] {
        let challenge = phone.ask(&phone.registration());
        assert_eq!(challenge.status(), Some(401), "not challenged: {challenge:#?}");
        let reply = phone.register();
        assert_eq!(reply.status(), Some(200), "{reply:#?}");
    }
    let (callers_voice, agents_voice) = (Voice::of(CALLER_HZ), Voice::of(AGENT_HZ));

    let mut invite = caller.invitation(QUEUE);
    invite.sdp = Some(callers_voice.sdp());
    let invite = caller.call_with(invite);
    let answer = caller.final_reply(&invite);
    assert_eq!(answer.status(), Some(200), "{answer:#?}");
    let mut dialog = Dialog::of_caller(&invite, &answer);
    dialog.ack(&caller);

    let ringing = agent.rings();
    assert_eq!(ringing.all("Via").count(), 2, "from FreeSWITCH through Kamailio: {ringing:#?}");
    assert_eq!(ringing.named_like("X-VP"), Vec::<&str>::new(), "ours, and none of a phone's business");
    let tag = unique();
    agent.reply(&ringing, "180 Ringing", &tag);
    agent.accept(&ringing, &tag, &agents_voice.sdp());
    agent.receive("ACK", |m| m.is("ACK"));

    let (to_caller, to_agent) = (voice::place(&ringing.body), voice::place(&answer.body));
    let (caller_heard, agent_heard) = std::thread::scope(|scope| {
        let caller = scope.spawn(|| callers_voice.converse(to_agent));
        let agent = scope.spawn(|| agents_voice.converse(to_caller));
        (caller.join().unwrap(), agent.join().unwrap())
    });
    for (who, heard, own, others) in
        [("caller", caller_heard, CALLER_HZ, AGENT_HZ), ("agent", agent_heard, AGENT_HZ, CALLER_HZ)]
    {
        let (own, others) = (share_of(own, &heard), share_of(others, &heard));
        assert!(others > MOST, "the {who} does not hear the other: {others:.3} of {} samples", heard.len());
        assert!(own < NEXT_TO_NOTHING, "the {who} hears their own voice: {own:.3}");
    }

    let bye = dialog.next("BYE");
    assert_eq!(caller.ask(&bye).status(), Some(200));
    let bye = agent.receive("BYE", |m| m.is("BYE"));
    agent.reply(&bye, "200 OK", &tag);
    invite.call_id
}

fn it_is_one_call(env: &Env, call_id: &str) {
    let mut calls = Vec::new();
    let whole = testkit::wait_for(RECORDS, || {
        calls = calls_in_the_api(env);
        let legs: Vec<&Value> = calls.iter().filter_map(|call| call["legs"].as_array()).flatten().collect();
        legs.len() >= 2 && legs.iter().all(|leg| leg["source"] == "freeswitch" && leg["provisional"] == false)
    });
    assert!(whole, "after {} s: {calls:#?}", RECORDS.as_secs());
    let [call] = calls.as_slice() else { panic!("one call and no other: {calls:#?}") };
    assert_eq!(call["sip_call_id"], call_id, "{call:#}");
    for (key, value) in [
        ("direction", "internal"),
        ("domain", node::DOMAIN),
        ("caller_id_number", CALLER),
        ("destination_number", QUEUE),
        ("queue", "Support_L1"),
        ("agent", AGENT),
        ("hangup_cause", "NORMAL_CLEARING"),
    ] {
        assert_eq!(call[key], value, "{key}: {call:#}");
    }
    let legs = call["legs"].as_array().unwrap();
    let [root, agent] = legs.as_slice() else { panic!("the caller's leg and the agent's: {call:#}") };
    assert_eq!(root["leg_uuid"], call["call_uuid"], "{call:#}");
    assert_eq!((&root["leg_direction"], &root["destination_number"]), (&"inbound".into(), &QUEUE.into()));
    assert_eq!((&agent["leg_direction"], &agent["destination_number"]), (&"outbound".into(), &AGENT.into()));
    assert_eq!(agent["parent_uuid"], root["leg_uuid"], "{call:#}");
    assert_eq!((&root["bleg_uuid"], &agent["bleg_uuid"]), (&agent["leg_uuid"], &root["leg_uuid"]));
    for leg in legs {
        assert!(leg["billsec"].as_u64().unwrap() >= CONVERSATION.as_secs() - 1, "{call:#}");
    }
}

fn calls_in_the_api(env: &Env) -> Vec<Value> {
    let request = ureq::get(format!("{}/api/cdr", env.api));
    let mut answer = request.header("Authorization", format!("Bearer {}", env.api_key)).call().unwrap();
    let page: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    page["items"].as_array().unwrap().clone()
}

/// FreeSWITCH itself asks voipadmind for the user (mod_xml_curl).
fn it_registers_at_the_profile_direct(env: &Env, port: u16) {
    let direct = ([127, 0, 0, 1], port).into();
    let mut known = phone(env, "1003");
    known.sends_to(direct);
    let challenge = known.ask(&known.registration());
    assert_eq!(challenge.status(), Some(401), "{challenge:#?}");
    let reply = known.register();
    assert_eq!(reply.status(), Some(200), "{reply:#?}");

    let (user, password) = DEMO_USER;
    for number in ["1004", user] {
        let mut refused = Phone::new(&node::Node(direct), number);
        refused.password = password.into();
        let reply = refused.register();
        assert!(matches!(reply.status(), Some(401 | 403)), "{} got in: {reply:#?}", refused.user);
    }
}

fn nothing_of_the_demo_is_left(env: &Env, rendered: &Path) {
    let caller = phone(env, CALLER);
    for number in DEMO_NUMBERS {
        let reply = caller.call_in_vain(number);
        assert_eq!(reply.status(), Some(404), "{number}: {reply:#?}");
    }
    let mut files = 0;
    let mut folders = vec![rendered.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            let found: Vec<&&str> = DEMO_WORDS.iter().filter(|word| text.contains(**word)).collect();
            assert!(found.is_empty(), "{} has {found:?}", path.display());
        }
    }
    assert!(files > 10, "only {files} files in {}", rendered.display());
}

#[test]
fn a_tone_is_told_from_silence_and_from_another() {
    let a_second = Duration::from_secs(1);
    let (tone, silence) = (voice::samples(CALLER_HZ, a_second), voice::samples(0.0, a_second));
    assert!(share_of(CALLER_HZ, &tone) > 0.99 && share_of(AGENT_HZ, &tone) < 0.001);
    assert!(share_of(CALLER_HZ, &silence) < NEXT_TO_NOTHING && share_of(CALLER_HZ, &[]) < NEXT_TO_NOTHING);
}
