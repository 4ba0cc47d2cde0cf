//! SIP itself: retransmissions, refusals, garbage.

use super::queue::connect;
use super::support::{Bench, T1_MS};
use media_double::sip::message::{Message, Start};
use std::time::Duration;
use tokio::net::UdpSocket;

fn code(message: &Message) -> u16 {
    match message.start {
        Start::Response { code, .. } => code,
        Start::Request { .. } => 0,
    }
}

#[tokio::test]
async fn options_are_answered_and_unknown_methods_refused() {
    let mut bench = Bench::start().await;
    let sip = &mut bench.kamailio;
    let double = format!("sip:{}", sip.double);
    sip.send(&sip.request("OPTIONS", &double, "o1")).await;
    sip.response(200, "OPTIONS").await;
    sip.send(&sip.request("REGISTER", &double, "r1")).await;
    assert!(sip.response(405, "REGISTER").await.headers.get("Allow").is_some());
    let mut stray = sip.request("BYE", &double, "b1");
    stray.headers.set("To", "<sip:x@y>;tag=nobody");
    sip.send(&stray).await;
    sip.response(481, "BYE").await;
    sip.send(&sip.request("CANCEL", &double, "c1")).await;
    sip.response(481, "CANCEL").await;
    let mut extension = sip.invite("queue", "8001", "support");
    extension.headers.push("Require", "100rel");
    sip.send(&extension).await;
    assert_eq!(sip.response(420, "INVITE").await.headers.get("Unsupported"), Some("100rel"));
}

#[tokio::test]
async fn a_retransmitted_invite_is_one_call_and_the_answer_is_repeated_until_the_ack() {
    let mut bench = Bench::start().await;
    let sip = &mut bench.kamailio;
    let invite = sip.invite("ivr", "9001", "main");
    sip.send(&invite).await;
    sip.send(&invite).await;
    let ok = sip.response(200, "INVITE").await;
    sip.send(&invite).await;
    let repeated = sip.overhear(Duration::from_millis(T1_MS * 10)).await;
    let oks: Vec<&Message> = repeated.iter().filter(|m| code(m) == 200).collect();
    assert!(oks.len() >= 3, "{} repetitions", oks.len());
    assert!(oks.iter().all(|again| **again == ok), "all the same");

    let mut caller = sip.established(&invite, &ok).await;
    sip.overhear(Duration::from_millis(20)).await;
    assert!(sip.overhear(Duration::from_millis(T1_MS * 10)).await.is_empty(), "quiet after the ACK");
    let bye = sip.within(&mut caller, "BYE");
    sip.send(&bye).await;
    sip.response(200, "BYE").await;
    sip.send(&bye).await;
    sip.response(200, "BYE").await;
    let (callers, _) = bench.voipadmind.legs(1).await;
    assert_eq!((&callers[0]["last_app"], &callers[0]["last_arg"]), (&"ivr".into(), &"main".into()));
    bench.voipadmind.assert_no_more_cdrs();
}

#[tokio::test]
async fn our_requests_are_repeated_until_they_are_heard() {
    let mut bench = Bench::start().await;
    let sip = &mut bench.kamailio;
    sip.send(&sip.invite("queue", "8001", "support")).await;
    let first = sip.incoming("INVITE").await;
    let second = sip.incoming("INVITE").await;
    assert_eq!(first, second, "the same INVITE again");
    sip.reply(&first, 486, "busy", None).await;
    sip.incoming("ACK").await;
    sip.reply(&first, 486, "busy", None).await;
    sip.incoming("ACK").await;
}

#[tokio::test]
async fn an_answer_that_nobody_acknowledges_ends_the_call() {
    let mut bench = Bench::start_with(|config| config.t1_ms = 3).await;
    let sip = &mut bench.kamailio;
    sip.send(&sip.invite("ivr", "9001", "main")).await;
    sip.incoming("BYE").await;
    let (callers, _) = bench.voipadmind.legs(1).await;
    assert_eq!(callers[0]["hangup_cause"], "NORMAL_UNSPECIFIED");
}

#[tokio::test]
async fn a_kamailio_that_is_gone_is_a_timeout() {
    let mut bench = Bench::start_with(|config| config.t1_ms = 3).await;
    let sip = &mut bench.kamailio;
    sip.send(&sip.invite("user", "1002", "1002")).await;
    sip.response(504, "INVITE").await;
    let (_, called) = bench.voipadmind.legs(2).await;
    assert_eq!(called[0]["hangup_cause"], "RECOVERY_ON_TIMER_EXPIRE");
}

#[tokio::test]
async fn calls_that_no_dialplan_takes_are_refused_and_accounted_for() {
    let mut bench = Bench::start().await;
    let sip = &mut bench.kamailio;
    for (kind, reference, status) in
        [("nonsense", "x", 404), ("queue", "unknown", 404), ("trunk_out", "t", 503), ("queue", "${x}", 404)]
    {
        sip.send(&sip.invite(kind, "8001", reference)).await;
        sip.response(status, "INVITE").await;
        let (callers, _) = bench.voipadmind.legs(1).await;
        assert_eq!((&callers[0]["last_app"], &callers[0]["billsec"]), (&"respond".into(), &"0".into()));
    }
    let mut nameless = sip.invite("ivr", "9001", "main");
    nameless.headers.set("X-VP-Call", "${system reboot}");
    let mut looped = sip.invite("ivr", "9001", "main");
    looped.headers.push("X-VP-Leg", "b");
    let webrtc =
        sip.invite("ivr", "9001", "main").with_body("application/sdp", "v=0\r\nm=audio 1 RTP/SAVPF 111\r\n");
    for (invite, status) in [(nameless, 403), (looped, 482), (webrtc, 488)] {
        sip.send(&invite).await;
        sip.response(status, "INVITE").await;
        bench.voipadmind.cdr().await;
    }
}

#[tokio::test]
async fn garbage_ends_nothing() {
    let mut bench = Bench::start().await;
    let (invite, ok, _) = connect(&mut bench.kamailio).await;
    let sip = &mut bench.kamailio;
    let mut caller = sip.established(&invite, &ok).await;
    let valid = sip.request("OPTIONS", "sip:x", "o").to_bytes();
    for cut in (0..valid.len()).step_by(7) {
        sip.send_raw(&valid[..cut]).await;
    }
    for (at, byte) in (0..valid.len()).step_by(5).zip([0, 0xff, b'\r', b'"', b'<', b':'].into_iter().cycle())
    {
        let mut bent = valid.clone();
        bent[at] = byte;
        sip.send_raw(&bent).await;
    }
    sip.send_raw(&[0xff; 60_000]).await;
    sip.send_raw("\r\n\r\n".as_bytes()).await;
    sip.hang_up(&mut caller).await;
    assert_eq!(bench.voipadmind.legs(2).await.0.len(), 1);
}

#[tokio::test]
async fn strangers_are_not_heard() {
    let mut bench = Bench::start().await;
    // Every address of 127/8 is ours; the double listens to 127.0.0.1's Kamailio only.
    let stranger = UdpSocket::bind("127.0.0.2:0").await.expect("a free port");
    let options = bench.kamailio.request("OPTIONS", "sip:x", "o").to_bytes();
    stranger.send_to(&options, bench.kamailio.double).await.expect("sent");
    assert!(bench.kamailio.overhear(Duration::from_millis(100)).await.is_empty());
    bench.stop().await;
}

#[tokio::test]
async fn a_hold_and_a_resume_are_accepted() {
    let mut bench = Bench::start().await;
    let (invite, ok, _) = connect(&mut bench.kamailio).await;
    let sip = &mut bench.kamailio;
    let mut caller = sip.established(&invite, &ok).await;
    let sdp = "v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 8\r\na=sendonly\r\n";
    let hold = sip.within(&mut caller, "INVITE").with_body("application/sdp", sdp);
    sip.send(&hold).await;
    let ok = sip.expect("200", |m| code(m) == 200 && m.cseq() == hold.cseq()).await;
    assert!(!ok.body.is_empty());
    sip.send(&{
        let mut ack = sip.within(&mut caller, "ACK");
        ack.headers.set("CSeq", format!("{} ACK", hold.cseq().expect("a CSeq").0));
        ack
    })
    .await;
    let info = sip.within(&mut caller, "INFO");
    sip.send(&info).await;
    sip.response(200, "INFO").await;
    sip.hang_up(&mut caller).await;
}
