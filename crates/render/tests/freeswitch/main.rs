//! The rendered configuration on the real FreeSWITCH, with the test in the place of Kamailio and of voipadmind.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is a failed test")]

mod node;
mod sip;
mod voipadmind;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use node::{EventSocket, Node, installed};
use sip::{Dialog, Endpoint, Media, Message, converse};
use spec::Secrets;
use voipadmind::{Voipadmind, md5_hex};

const DOMAIN: &str = "default.local";
const PHONES: [(&str, &str, &str); 3] =
    [("1001", DOMAIN, "one"), ("1002", DOMAIN, "two"), ("1003", DOMAIN, "three")];
const CALL: &str = "7d3fbb1c-9b0e-4a53-9d0a-5f6f4a6b0001";

struct Platform {
    voipadmind: Voipadmind,
    kamailio: Endpoint,
    node: Node,
}

fn platform() -> Option<Platform> {
    let installation = installed()?;
    let phones: Vec<String> = (1001..=1010).map(|n| n.to_string()).collect();
    let secrets = Secrets::generate(phones.iter().map(String::as_str)).unwrap();
    let voipadmind = Voipadmind::start(&secrets.fs_http_user, &secrets.fs_http_password, &PHONES);
    let kamailio = Endpoint::bind();
    let node = Node::start(&installation, voipadmind.port, kamailio.address().port(), secrets);
    assert_eq!(node.domain, DOMAIN);
    Some(Platform { voipadmind, kamailio, node })
}

/// The headers Kamailio adds.
fn vp(kind: &str, ext: &str, reference: &str, record: bool) -> Vec<String> {
    vec![
        format!("X-VP-Domain: {DOMAIN}"),
        format!("X-VP-Type: {kind}"),
        format!("X-VP-Ext: {ext}"),
        format!("X-VP-Ref: {reference}"),
        format!("X-VP-Call: {CALL}"),
        format!("X-VP-Record: {}", u8::from(record)),
    ]
}

impl Platform {
    fn invite(&mut self, number: &str, headers: &[String], media: &Media) -> Dialog {
        let mut dialog = Dialog::new(self.node.sip(), "1001", number, DOMAIN);
        dialog.send(&self.kamailio, "INVITE", headers, Some(&media.sdp()));
        dialog
    }

    /// The INVITE that FreeSWITCH sends for a phone, ringing and answered.
    fn answer_phone(&mut self, media: &Media) -> Message {
        let invite = self.kamailio.expect("INVITE for a phone", |m| m.is("INVITE"));
        self.kamailio.respond(self.node.sip(), &invite, "180 Ringing", "phone", None);
        self.kamailio.respond(self.node.sip(), &invite, "200 OK", "phone", Some(&media.sdp()));
        let id = invite.header("Call-ID").to_owned();
        self.kamailio.expect("ACK of the phone's leg", |m| m.is("ACK") && m.header("Call-ID") == id);
        invite
    }

    fn hang_up(&mut self, caller: &mut Dialog, phone: &Message) {
        caller.send(&self.kamailio, "BYE", &[], None);
        assert_eq!(caller.answer(&mut self.kamailio).status(), Some(200));
        let id = phone.header("Call-ID").to_owned();
        let bye =
            self.kamailio.expect("BYE of the phone's leg", |m| m.is("BYE") && m.header("Call-ID") == id);
        self.kamailio.respond(self.node.sip(), &bye, "200 OK", "phone", None);
    }
}

#[test]
fn starts_and_stops_clean_unprivileged_and_without_users_of_its_own() {
    let Some(mut p) = platform() else { return };
    let mut complaints = p.node.logged(&["ERR", "CRIT", "ALERT", "WARNING"]);
    complaints.retain(|line| !line.contains("MSG Thread")); // mod_sofia's way to say that it started
    assert_eq!(complaints, Vec::<String>::new());

    let modules =
        fs::read_to_string(p.node.path("etc/freeswitch/autoload_configs/modules.conf.xml")).unwrap();
    let asked: Vec<&str> =
        modules.split("module=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(asked.len() > 10);
    for module in asked {
        assert_eq!(p.node.api(&format!("module_exists {module}")), "true", "{module}");
    }

    let status = fs::read_to_string(format!("/proc/{}/status", p.node.pid())).unwrap();
    let uid = status.lines().find_map(|l| l.strip_prefix("Uid:")).unwrap();
    assert!(uid.split_whitespace().all(|id| id != "0"), "runs as {uid}");

    // What it opened for writing is in its own folder.
    for entry in fs::read_dir(format!("/proc/{}/fd", p.node.pid())).unwrap() {
        let entry = entry.unwrap();
        let Ok(open) = fs::read_link(entry.path()) else { continue };
        let regular = open.is_absolute() && !open.starts_with("/dev") && !open.starts_with("/proc");
        assert!(!regular || open.starts_with(p.node.path("")), "writes {}", open.display());
    }

    assert_eq!(p.node.api(&format!("user_exists id 1001 {DOMAIN}")), "true");
    for (user, domain) in [("1000", DOMAIN), ("1001", "127.0.0.1"), ("default", "default")] {
        assert_eq!(p.node.api(&format!("user_exists id {user} {domain}")), "false", "{user}@{domain}");
    }
    let queues = p.node.api("callcenter_config queue list");
    assert!(queues.contains("Support_L1@default.local|longest-idle-agent|"), "{queues}");
    let tiers = p.node.api("callcenter_config tier list");
    assert!(tiers.contains("Support_L1@default.local|1002@default.local|Ready|1|1"), "{tiers}");
    assert!(p.node.stop().success());
}

#[test]
fn the_event_socket_takes_the_password_on_loopback_only() {
    let Some(p) = platform() else { return };
    let mut right = EventSocket::connect(p.node.ports.esl).unwrap();
    assert_eq!(right.auth(&p.node.secrets.esl).unwrap(), "+OK accepted");
    for wrong in ["ClueCon", "", "x"] {
        let mut socket = EventSocket::connect(p.node.ports.esl).unwrap();
        assert_eq!(socket.auth(wrong).unwrap(), "-ERR invalid", "{wrong:?}");
    }
    let other: SocketAddr = (Ipv4Addr::new(127, 0, 0, 2), p.node.ports.esl).into();
    assert!(TcpStream::connect_timeout(&other, Duration::from_secs(1)).is_err(), "listens beyond 127.0.0.1");
}

#[test]
fn nobody_but_kamailio_is_heard() {
    let Some(mut p) = platform() else { return };
    let media = Media::new(0x11);
    let mut stranger = Endpoint::bind();
    let mut call = Dialog::new(p.node.sip(), "1001", "8001", DOMAIN);
    call.send(&stranger, "INVITE", &vp("queue", "8001", "Support_L1", false), Some(&media.sdp()));
    assert_eq!(call.answer(&mut stranger).status(), Some(403));

    let mut register = Dialog::new(p.node.sip(), "1001", "1001", DOMAIN);
    register.send(&stranger, "REGISTER", &[], None);
    assert_eq!(register.answer(&mut stranger).status(), Some(405), "phones register with Kamailio");

    let mut probe = Dialog::new(p.node.sip(), "probe", "probe", DOMAIN);
    probe.send(&p.kamailio, "OPTIONS", &[], None);
    assert_eq!(probe.answer(&mut p.kamailio).status(), Some(200));
}

#[test]
fn what_kamailio_does_not_explain_is_refused() {
    let Some(mut p) = platform() else { return };
    let media = Media::new(0x11);
    let with = |index: usize, line: &str| {
        let mut headers = vp("queue", "8001", "Support_L1", false);
        line.clone_into(&mut headers[index]);
        headers
    };
    let touched = p.node.path("tmp/touched");
    let command = format!("${{system touch {}}}", touched.display());
    for (headers, status, why) in [
        (vec![], 403, "no header at all"),
        (with(0, "X-Other: x"), 403, "no tenant"),
        (with(0, "X-VP-Domain: a b"), 403, "a tenant with a blank"),
        (with(4, "X-Other: x"), 403, "no call id"),
        (with(1, "X-Other: x"), 404, "no type"),
        (with(1, "X-VP-Type: nonsense"), 404, "an unknown type"),
        (with(3, "X-VP-Ref: a;b"), 404, "a reference outside the alphabet"),
        (with(3, &format!("X-VP-Ref: {command}")), 404, "a command as a reference"),
        (with(0, &format!("X-VP-Domain: {command}")), 403, "a command as a tenant"),
        (vp("trunk_out", "0123456789", "carrier", false), 502, "a trunk that is not provisioned"),
        (vp("user", "1009", "1009", false), 480, "a user the directory does not know"),
    ] {
        let mut dialog = p.invite("8001", &headers, &media);
        assert_eq!(dialog.answer(&mut p.kamailio).status(), Some(status), "{why}");
    }
    assert!(!touched.exists(), "a header was executed");
}

#[test]
fn a_phone_registers_with_the_directory_s_digest() {
    let Some(p) = platform() else { return };
    let mut phone = Endpoint::bind();
    for (password, status) in [("one", 200), ("wrong", 403)] {
        let mut dialog = Dialog::new(p.node.direct(), "1001", "1001", DOMAIN);
        dialog.send(&phone, "REGISTER", &["Expires: 60".into()], None);
        let challenge = dialog.answer(&mut phone);
        assert_eq!(challenge.status(), Some(401));
        let offered = challenge.header("WWW-Authenticate");
        let field =
            |name: &str| offered.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(field("realm"), DOMAIN);

        let uri = format!("sip:{DOMAIN}");
        let ha1 = md5_hex(&format!("1001:{DOMAIN}:{password}"));
        let ha2 = md5_hex(&format!("REGISTER:{uri}"));
        let nonce = field("nonce");
        let response = md5_hex(&format!("{ha1}:{nonce}:00000001:abc:auth:{ha2}"));
        let credentials = format!(
            "Authorization: Digest username=\"1001\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm=MD5, cnonce=\"abc\", qop=auth, nc=00000001"
        );
        let mut dialog = Dialog::new(p.node.direct(), "1001", "1001", DOMAIN);
        dialog.send(&phone, "REGISTER", &["Expires: 60".into(), credentials], None);
        assert_eq!(dialog.answer(&mut phone).status(), Some(status), "{password}");
    }
    let lookup =
        p.voipadmind.asked().into_iter().find(|a| a.get("action").is_some_and(|a| a == "sip_auth")).unwrap();
    assert_eq!((lookup["sip_auth_realm"].as_str(), lookup["user"].as_str()), (DOMAIN, "1001"));
    assert!(p.node.api("sofia status profile direct reg").contains(&format!("1001@{DOMAIN}")));
}

#[test]
fn a_queue_call_reaches_an_agent_through_kamailio_and_both_legs_are_accounted() {
    let Some(mut p) = platform() else { return };
    let (caller_media, agent_media) = (Media::new(0x55), Media::new(0x2a));
    let mut caller = p.invite("8001", &vp("queue", "8001", "Support_L1", true), &caller_media);
    let answered = caller.answer(&mut p.kamailio);
    assert_eq!(answered.status(), Some(200));

    let invite = p.answer_phone(&agent_media);
    assert_eq!(invite.uri(), format!("sip:1002@{DOMAIN}"));
    assert_eq!(invite.header("X-VP-Leg"), "b");
    assert_eq!(invite.header_names("X-VP-"), ["X-VP-Leg"], "what Kamailio said is not for phones");
    assert!(invite.header("From").contains(&format!("<sip:1001@{DOMAIN}>")), "{}", invite.header("From"));
    for codec in ["opus/48000", "G722/8000"] {
        assert!(invite.body.contains(codec), "{codec} is not offered: {}", invite.body);
    }
    // On a busy machine little of one round is recorded.
    for _ in 0..4 {
        converse((&caller_media, answered.media()), (&agent_media, invite.media()));
    }
    p.hang_up(&mut caller, &invite);

    let cdrs = p.voipadmind.cdrs(2);
    assert_eq!(cdrs.len(), 2);
    let member = cdrs.iter().find(|c| c.variable("cc_side") == "member").unwrap();
    let agent = cdrs.iter().find(|c| c.variable("cc_side") == "agent").unwrap();
    for leg in [member, agent] {
        assert_eq!(leg.uuid, leg.variable("uuid"));
        assert_eq!((leg.variable("vp_domain").as_str(), leg.variable("vp_call").as_str()), (DOMAIN, CALL));
        assert_eq!(leg.variable("cc_queue"), format!("Support_L1@{DOMAIN}"), "values are not encoded");
        assert_eq!(leg.variable("cc_agent"), format!("1002@{DOMAIN}"));
        assert_eq!(leg.variable("hangup_cause"), "NORMAL_CLEARING");
        assert!(leg.variable("start_stamp").contains(' '), "values are not encoded");
        assert_eq!(leg.json()["switchname"], "n1");
        assert_eq!(
            leg.content_type, "application/x-www-form-urlencoded",
            "disable-100-continue drops the other"
        );
    }
    assert_eq!(agent.variable("cc_member_session_uuid"), member.uuid);
    assert_eq!(
        (member.variable("vp_type").as_str(), member.variable("vp_ref").as_str()),
        ("queue", "Support_L1")
    );
    assert_eq!(member.variable("sip_call_id"), caller.call_id);
    assert_eq!(member.variable("domain_name"), DOMAIN);
    // The caller hears and is heard from the first note of the queue's music on; the agent's leg is in it.
    let recording = member.variable("vp_recording");
    assert!(recording.ends_with(&format!("/{}.wav", member.uuid)), "{recording}");
    let length_ms: u64 = member.variable("record_ms").parse().unwrap();
    assert!(length_ms >= 500, "{length_ms} ms");
    let samples = (fs::metadata(&recording).unwrap().len() - 44) / 2;
    assert!(samples.abs_diff(length_ms * 8) < 8_000, "{samples} samples are not {length_ms} ms of 8 kHz");
    assert_eq!(agent.variable("vp_recording"), "");
    assert_eq!(p.node.logged(&["ERR", "CRIT", "ALERT"]), Vec::<String>::new());
}

#[test]
fn a_call_between_users_is_recorded_when_kamailio_says_so() {
    let Some(mut p) = platform() else { return };
    let (caller_media, phone_media) = (Media::new(0x55), Media::new(0x2a));
    let mut caller = p.invite("1003", &vp("user", "1003", "1003", true), &caller_media);
    let invite = p.answer_phone(&phone_media);
    assert_eq!(invite.uri(), format!("sip:1003@{DOMAIN}"));
    assert_eq!(invite.header_names("X-VP-"), ["X-VP-Leg"]);
    let answered = caller.answer(&mut p.kamailio);
    for _ in 0..4 {
        converse((&caller_media, answered.media()), (&phone_media, invite.media()));
    }
    p.hang_up(&mut caller, &invite);

    let cdrs = p.voipadmind.cdrs(2);
    let (a, b) =
        if cdrs[0].variable("direction") == "inbound" { (&cdrs[0], &cdrs[1]) } else { (&cdrs[1], &cdrs[0]) };
    assert_eq!((b.variable("vp_domain").as_str(), b.variable("vp_call").as_str()), (DOMAIN, CALL));
    let recording = a.variable("vp_recording");
    let storage = p.node.path("storage/recordings/n1");
    let day = jiff::Timestamp::now().strftime("%Y/%m/%d").to_string();
    assert_eq!(recording, format!("{}/{day}/{}.wav", storage.display(), a.uuid));
    assert!(fs::metadata(&recording).unwrap().len() > 16_000, "less than a second of two");
    assert_eq!(b.variable("vp_recording"), "", "one file a call");
}

#[test]
fn a_menu_s_digit_rings_the_phone_it_names() {
    let Some(mut p) = platform() else { return };
    let (caller_media, phone_media) = (Media::new(0x55), Media::new(0x2a));
    let mut caller = p.invite("9001", &vp("ivr", "9001", "Main_Menu", false), &caller_media);
    let answered = caller.answer(&mut p.kamailio);
    std::thread::sleep(Duration::from_millis(300));
    caller_media.key(answered.media(), 2);
    let invite = p.answer_phone(&phone_media);
    assert_eq!(invite.uri(), format!("sip:1001@{DOMAIN}"));
    converse((&caller_media, answered.media()), (&phone_media, invite.media()));
    p.hang_up(&mut caller, &invite);
    for leg in p.voipadmind.cdrs(2) {
        assert_eq!((leg.variable("vp_domain").as_str(), leg.variable("vp_call").as_str()), (DOMAIN, CALL));
    }
}

#[test]
fn a_transferred_leg_goes_to_the_new_number_not_back_to_the_queue() {
    let Some(mut p) = platform() else { return };
    let (caller_media, agent_media) = (Media::new(0x55), Media::new(0x2a));
    let mut caller = p.invite("8001", &vp("queue", "8001", "Support_L1", false), &caller_media);
    let answered = caller.answer(&mut p.kamailio);
    let agent = p.answer_phone(&agent_media);
    converse((&caller_media, answered.media()), (&agent_media, agent.media()));

    // The caller hands the agent over to 1003.
    caller.send(&p.kamailio, "REFER", &[format!("Refer-To: <sip:1003@{DOMAIN}>")], None);
    assert_eq!(caller.answer(&mut p.kamailio).status(), Some(202));
    let invite = p.kamailio.expect("INVITE for 1003", |m| m.is("INVITE"));
    assert_eq!(invite.uri(), format!("sip:1003@{DOMAIN}"));
    assert_eq!(invite.header_names("X-VP-"), ["X-VP-Leg"]);
    p.kamailio.respond(p.node.sip(), &invite, "486 Busy Here", "phone", None);
    for leg in p.voipadmind.cdrs(3) {
        assert_eq!((leg.variable("vp_domain").as_str(), leg.variable("vp_call").as_str()), (DOMAIN, CALL));
    }
}

#[test]
fn a_mailbox_keeps_a_message_and_a_room_takes_a_guest_without_sound_files() {
    let Some(mut p) = platform() else { return };
    let media = Media::new(0x55);
    for (kind, reference) in [("voicemail", "1002"), ("conference", "team")] {
        let mut caller = p.invite("7000", &vp(kind, "7000", reference, false), &media);
        let answered = caller.answer(&mut p.kamailio);
        assert_eq!(answered.status(), Some(200), "{kind}");
        media.talk(answered.media(), Duration::from_secs(6));
        caller.send(&p.kamailio, "BYE", &[], None);
        assert_eq!(caller.answer(&mut p.kamailio).status(), Some(200), "{kind}");
    }
    assert_eq!(p.voipadmind.cdrs(2).len(), 2);
    let mailbox = p.node.path(&format!("storage/voicemail/{DOMAIN}/1002"));
    let messages: Vec<_> = fs::read_dir(&mailbox).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert!(fs::metadata(&messages[0]).unwrap().len() > 16_000, "less than a second");
    let mut complaints = p.node.logged(&["ERR", "CRIT", "ALERT"]);
    // mod_sofia hears of the waiting message and has no phone of that domain: Kamailio has.
    complaints.retain(|line| !line.contains(&format!("Cannot find profile {DOMAIN}")));
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
fn a_cdr_nobody_takes_is_spooled() {
    let Some(mut p) = platform() else { return };
    p.voipadmind.refuse_cdrs();
    let mut dialog =
        p.invite("0123456789", &vp("trunk_out", "0123456789", "carrier", false), &Media::new(0x11));
    assert_eq!(dialog.answer(&mut p.kamailio).status(), Some(502));

    let deadline = Instant::now() + Duration::from_secs(20);
    let spooled = loop {
        let found = fs::read_dir(p.node.path("spool/cdr")).unwrap().map(|e| e.unwrap().path()).next();
        if let Some(path) = found {
            break path;
        }
        assert!(Instant::now() < deadline, "nothing was spooled");
        std::thread::sleep(Duration::from_millis(100));
    };
    std::thread::sleep(Duration::from_millis(100));
    let document: serde_json::Value = serde_json::from_slice(&fs::read(&spooled).unwrap()).unwrap();
    let uuid = document["variables"]["uuid"].as_str().unwrap();
    assert_eq!(spooled.file_name().unwrap().to_str().unwrap(), format!("{uuid}.cdr.json"));
    assert_eq!(document["variables"]["vp_call"], CALL);
}
