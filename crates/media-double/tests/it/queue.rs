//! Queues: captures queue_call, queue_agent_no_answer, queue_abandoned.

use super::support::kamailio::SDP;
use super::support::{Bench, Kamailio};
use media_double::sip::message::{Message, Start};

/// The agent a call of the double is for.
pub fn called(invite: &Message) -> &str {
    match &invite.start {
        Start::Request { uri, .. } => uri,
        Start::Response { .. } => panic!("a request"),
    }
}

/// Calls the queue and answers for its first agent: (caller's INVITE, 200, agent's INVITE).
pub async fn connect(kamailio: &mut Kamailio) -> (Message, Message, Message) {
    let invite = kamailio.invite("queue", "8001", "support");
    kamailio.send(&invite).await;
    let ok = kamailio.response(200, "INVITE").await;
    let agent = kamailio.incoming("INVITE").await;
    kamailio.reply(&agent, 180, "agent", None).await;
    kamailio.reply(&agent, 200, "agent", Some(SDP)).await;
    kamailio.incoming("ACK").await;
    (invite, ok, agent)
}

#[tokio::test]
async fn the_second_agent_answers_after_the_first_is_busy() {
    let mut bench = Bench::start().await;
    let sip = &mut bench.kamailio;
    let invite = sip.invite("queue", "8001", "support");
    sip.send(&invite).await;
    sip.response(100, "INVITE").await;
    let ok = sip.response(200, "INVITE").await;
    let mut caller = sip.established(&invite, &ok).await;

    let first = sip.incoming("INVITE").await;
    assert_eq!(called(&first), "sip:1002@default.local");
    assert_eq!(first.headers.get("X-VP-Leg"), Some("b"));
    assert_eq!(first.headers.get("X-VP-Domain"), None, "our headers stop here");
    assert_eq!(first.headers.get("Max-Forwards"), Some("68"));
    sip.reply(&first, 486, "busy", None).await;
    assert_eq!(
        sip.incoming("ACK").await.branch(),
        first.branch(),
        "a refusal's ACK is of the same transaction"
    );

    let second = sip.incoming("INVITE").await;
    assert_eq!(called(&second), "sip:1003@default.local");
    sip.reply(&second, 180, "agent", None).await;
    sip.reply(&second, 200, "agent", Some(SDP)).await;
    let ack = sip.incoming("ACK").await;
    assert_ne!(ack.branch(), second.branch(), "a 2xx's ACK is a transaction of its own");
    assert!(ack.headers.get("Route").is_some_and(|route| route.contains("lr;y=2")));

    sip.hang_up(&mut caller).await;
    let bye = sip.incoming("BYE").await;
    assert_eq!(bye.call_id(), second.call_id());
    sip.reply(&bye, 200, "agent", None).await;

    let (callers, agents) = bench.voipadmind.legs(3).await;
    let (a, busy, talked) = (&callers[0], &agents[0], &agents[1]);
    assert_eq!(a["sip_call_id"], invite.call_id());
    assert_eq!(a["vp_domain"], "default.local");
    assert_eq!(a["cc_queue"], "support@default.local");
    assert_eq!((&a["cc_side"], &a["cc_cause"]), (&"member".into(), &"answered".into()));
    assert_eq!((&a["cc_agent"], &a["cc_agent_uuid"]), (&"1003@default.local".into(), &talked["uuid"]));
    assert_eq!(
        (&a["hangup_cause"], &a["sip_hangup_disposition"]),
        (&"NORMAL_CLEARING".into(), &"recv_bye".into())
    );
    assert_eq!(
        (&busy["cc_agent"], &busy["hangup_cause"]),
        (&"1002@default.local".into(), &"USER_BUSY".into())
    );
    assert_eq!((&busy["sip_invite_failure_status"], &busy["billsec"]), (&"486".into(), &"0".into()));
    assert_eq!(talked["cc_member_session_uuid"], a["uuid"]);
    assert_eq!((&talked["bridge_uuid"], &talked["sip_hangup_disposition"]), (&a["uuid"], &"send_bye".into()));
    for leg in [a, busy, talked] {
        assert_eq!(leg["vp_call"], a["vp_call"]);
    }
    bench.voipadmind.assert_no_more_cdrs();

    let lookups = bench.voipadmind.lookups();
    assert_eq!(lookups.len(), 2);
    assert!(lookups[0].headers.contains("user-agent: freeswitch-xml/1.0"));
    assert!(
        lookups[0].body.contains("&as_channel=true&action=user_call&key=id&user=1002&domain=default.local")
    );
}

#[tokio::test]
async fn an_agent_who_hangs_up_ends_the_call() {
    let mut bench = Bench::start().await;
    let (invite, ok, agent) = connect(&mut bench.kamailio).await;
    let sip = &mut bench.kamailio;
    sip.established(&invite, &ok).await;
    let mut callee = sip.callee(&agent, "agent");
    sip.hang_up(&mut callee).await;
    let bye = sip.incoming("BYE").await;
    assert_eq!(bye.call_id(), invite.call_id());
    sip.reply(&bye, 200, "x", None).await;

    let (callers, agents) = bench.voipadmind.legs(2).await;
    assert_eq!(callers[0]["sip_hangup_disposition"], "send_bye");
    assert_eq!(agents[0]["sip_hangup_disposition"], "recv_bye");
    assert_eq!(agents[0]["hangup_cause"], "NORMAL_CLEARING");
}

#[tokio::test]
async fn a_caller_who_gives_up_has_abandoned() {
    let mut bench = Bench::start().await;
    let sip = &mut bench.kamailio;
    let invite = sip.invite("queue", "8001", "support");
    sip.send(&invite).await;
    let ok = sip.response(200, "INVITE").await;
    let mut caller = sip.established(&invite, &ok).await;
    let agent = sip.incoming("INVITE").await;
    sip.reply(&agent, 180, "agent", None).await;
    // The double has heard the phone ring once it has nothing left to retransmit.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    sip.hang_up(&mut caller).await;
    let cancel = sip.incoming("CANCEL").await;
    assert_eq!(cancel.branch(), agent.branch());
    sip.reply(&cancel, 200, "agent", None).await;
    sip.reply(&agent, 487, "agent", None).await;
    sip.incoming("ACK").await;

    let (callers, agents) = bench.voipadmind.legs(2).await;
    let (a, b) = (&callers[0], &agents[0]);
    assert_eq!((&a["cc_cause"], &a["cc_cancel_reason"]), (&"cancel".into(), &"BREAK_OUT".into()));
    assert_eq!(
        (&a["hangup_cause"], &a["sip_hangup_disposition"]),
        (&"NORMAL_CLEARING".into(), &"recv_bye".into())
    );
    assert_eq!(a["bridge_uepoch"], "0");
    assert_eq!(
        (&b["hangup_cause"], &b["sip_hangup_disposition"]),
        (&"ORIGINATOR_CANCEL".into(), &"send_cancel".into())
    );
    assert_eq!(b["answer_uepoch"], "0");
}

#[tokio::test]
async fn an_agent_who_does_not_answer_is_passed_over() {
    let mut bench = Bench::start_with(|config| config.queues[0].agent_ring_ms = 100).await;
    let sip = &mut bench.kamailio;
    let invite = sip.invite("queue", "8001", "support");
    sip.send(&invite).await;
    let ok = sip.response(200, "INVITE").await;
    let mut caller = sip.established(&invite, &ok).await;
    let first = sip.incoming("INVITE").await;
    sip.reply(&first, 180, "first", None).await;
    let cancel = sip.incoming("CANCEL").await;
    sip.reply(&cancel, 200, "first", None).await;
    sip.reply(&first, 487, "first", None).await;
    let second = sip.incoming("INVITE").await;
    assert_eq!(called(&second), "sip:1003@default.local");
    sip.reply(&second, 200, "second", Some(SDP)).await;
    sip.incoming("ACK").await;
    sip.hang_up(&mut caller).await;

    let (_, agents) = bench.voipadmind.legs(3).await;
    assert_eq!(
        (&agents[0]["hangup_cause"], &agents[0]["hangup_cause_q850"]),
        (&"ALLOTTED_TIMEOUT".into(), &"16".into())
    );
    assert_eq!(agents[0]["sip_invite_failure_status"], "487");
}

#[tokio::test]
async fn agents_the_directory_does_not_know_are_not_called_and_the_wait_is_bounded() {
    let mut bench = Bench::start_with(|config| config.queues[0].wait_ms = 200).await;
    bench.voipadmind.forget("1002");
    bench.voipadmind.forget("1003");
    let sip = &mut bench.kamailio;
    let invite = sip.invite("queue", "8001", "support");
    sip.send(&invite).await;
    let ok = sip.response(200, "INVITE").await;
    sip.established(&invite, &ok).await;
    let bye = sip.incoming("BYE").await;
    sip.reply(&bye, 200, "x", None).await;
    let (callers, agents) = bench.voipadmind.legs(1).await;
    assert_eq!(callers[0]["cc_cancel_reason"], "TIMEOUT");
    assert!(agents.is_empty());
    assert!(bench.voipadmind.lookups().len() > 2, "asked again after a pause");
    let heard = sip.overhear(std::time::Duration::from_millis(50)).await;
    assert!(heard.iter().all(|m| matches!(m.start, Start::Response { .. })), "no agent was called");
}

#[tokio::test]
async fn an_agent_talks_to_one_caller_at_a_time() {
    let mut bench = Bench::start().await;
    let (_invite, _ok, first) = connect(&mut bench.kamailio).await;
    assert_eq!(called(&first), "sip:1002@default.local");
    let sip = &mut bench.kamailio;
    let invite = sip.invite("queue", "8001", "support");
    sip.send(&invite).await;
    let second = sip.incoming("INVITE").await;
    assert_eq!(called(&second), "sip:1003@default.local");
}
