//! Calls to a user as two legs: captures internal_answered, no_answer, busy.

use super::support::Bench;
use super::support::kamailio::SDP;
use std::time::Duration;

#[tokio::test]
async fn a_user_answers_and_the_caller_hangs_up() {
    let mut bench = Bench::start().await;
    let sip = &mut bench.kamailio;
    let invite = sip.invite("user", "1002", "1002");
    sip.send(&invite).await;
    let b = sip.incoming("INVITE").await;
    assert!(
        b.headers
            .get("From")
            .is_some_and(|from| from.starts_with("\"Zo\u{eb} O'Neil\" <sip:1001@default.local>"))
    );
    sip.reply(&b, 180, "b", None).await;
    sip.response(180, "INVITE").await;
    sip.reply(&b, 200, "b", Some(SDP)).await;
    sip.incoming("ACK").await;
    let ok = sip.response(200, "INVITE").await;
    let mut caller = sip.established(&invite, &ok).await;
    sip.hang_up(&mut caller).await;
    sip.incoming("BYE").await;

    let (callers, called) = bench.voipadmind.legs(2).await;
    let (a, b) = (&callers[0], &called[0]);
    assert_eq!((&b["originator"], &b["originating_leg_uuid"]), (&a["uuid"], &a["uuid"]));
    assert_eq!((&a["bridge_uuid"], &a["last_arg"]), (&b["uuid"], &"user/1002@default.local".into()));
    assert_eq!((&a["DIALSTATUS"], &a["hangup_cause"]), (&"SUCCESS".into(), &"NORMAL_CLEARING".into()));
    assert_ne!(a["progress_uepoch"], "0");
    assert_eq!(b["vp_call"], a["vp_call"]);
    let lookup = &bench.voipadmind.lookups()[0].body;
    assert!(
        lookup.contains("&export_vars=vp_domain,vp_call&vp_domain=default.local&vp_call=vp-"),
        "{lookup}"
    );
}

#[tokio::test]
async fn what_the_user_says_the_caller_hears() {
    for (code, cause) in
        [(486, "USER_BUSY"), (480, "NO_USER_RESPONSE"), (603, "CALL_REJECTED"), (404, "UNALLOCATED_NUMBER")]
    {
        let mut bench = Bench::start().await;
        let sip = &mut bench.kamailio;
        let invite = sip.invite("user", "1002", "1002");
        sip.send(&invite).await;
        let b = sip.incoming("INVITE").await;
        sip.reply(&b, code, "b", None).await;
        sip.response(code, "INVITE").await;
        let (callers, called) = bench.voipadmind.legs(2).await;
        assert_eq!(callers[0]["hangup_cause"], cause);
        assert_eq!((&called[0]["hangup_cause"], &called[0]["answer_uepoch"]), (&cause.into(), &"0".into()));
    }
}

#[tokio::test]
async fn nobody_answers() {
    let mut bench = Bench::start_with(|config| config.limits.ring_ms = 100).await;
    let sip = &mut bench.kamailio;
    let invite = sip.invite("user", "1002", "1002");
    sip.send(&invite).await;
    let b = sip.incoming("INVITE").await;
    sip.reply(&b, 180, "b", None).await;
    sip.response(480, "INVITE").await;
    sip.incoming("CANCEL").await;
    let (callers, called) = bench.voipadmind.legs(2).await;
    assert_eq!(
        (&called[0]["hangup_cause"], &called[0]["hangup_cause_q850"]),
        (&"NO_ANSWER".into(), &"19".into())
    );
    assert_eq!(callers[0]["originate_failed_cause"], "NO_ANSWER");
}

#[tokio::test]
async fn a_caller_takes_the_call_back_while_it_rings() {
    let mut bench = Bench::start().await;
    let sip = &mut bench.kamailio;
    let invite = sip.invite("user", "1002", "1002");
    sip.send(&invite).await;
    let b = sip.incoming("INVITE").await;
    sip.reply(&b, 180, "b", None).await;
    sip.response(180, "INVITE").await;
    let mut cancel = sip.request("CANCEL", "sip:1002@x", invite.call_id());
    for name in ["Via", "From", "To"] {
        cancel.headers.set(name, invite.headers.get(name).expect("there"));
    }
    sip.send(&cancel).await;
    sip.response(200, "CANCEL").await;
    sip.response(487, "INVITE").await;
    sip.incoming("CANCEL").await;
    // The phone had answered when the CANCEL came: it is acknowledged, and hung up.
    sip.reply(&b, 200, "b", Some(SDP)).await;
    assert_eq!(sip.incoming("ACK").await.call_id(), b.call_id());
    assert_eq!(sip.incoming("BYE").await.call_id(), b.call_id());
    let (callers, called) = bench.voipadmind.legs(2).await;
    assert_eq!(
        (&callers[0]["hangup_cause"], &callers[0]["billsec"]),
        (&"ORIGINATOR_CANCEL".into(), &"0".into())
    );
    assert_eq!(called[0]["hangup_cause"], "ORIGINATOR_CANCEL");
}

#[tokio::test]
async fn a_user_the_directory_does_not_know_is_not_called() {
    let mut bench = Bench::start().await;
    bench.voipadmind.forget("1002");
    let sip = &mut bench.kamailio;
    let invite = sip.invite("user", "1002", "1002");
    sip.send(&invite).await;
    sip.response(480, "INVITE").await;
    let (callers, called) = bench.voipadmind.legs(1).await;
    assert_eq!((&callers[0]["hangup_cause"], called.len()), (&"SUBSCRIBER_ABSENT".into(), 0));
}

#[tokio::test]
async fn two_phones_answer_and_one_is_kept() {
    let mut bench = Bench::start().await;
    let sip = &mut bench.kamailio;
    let invite = sip.invite("user", "1002", "1002");
    sip.send(&invite).await;
    let b = sip.incoming("INVITE").await;
    sip.reply(&b, 200, "desk", Some(SDP)).await;
    sip.reply(&b, 200, "mobile", Some(SDP)).await;
    let bye = sip.incoming("BYE").await;
    assert_eq!(bye.to_tag().as_deref(), Some("mobile"));
    let ok = sip.response(200, "INVITE").await;
    let mut caller = sip.established(&invite, &ok).await;
    let others = sip.overhear(Duration::from_millis(50)).await;
    assert_eq!(others.iter().filter(|m| m.method() == "ACK").count(), 2, "each answer is acknowledged once");
    sip.hang_up(&mut caller).await;
    let bye = sip.expect("BYE", |m| m.method() == "BYE" && m.to_tag().as_deref() == Some("desk")).await;
    sip.reply(&bye, 200, "desk", None).await;
    assert_eq!(bench.voipadmind.legs(2).await.1.len(), 1);
}
