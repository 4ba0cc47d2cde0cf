//! The documents have the structure of the captures: no key that FreeSWITCH would not send, none that matters missing.

use std::collections::BTreeSet;
use std::path::Path;

use super::queue::connect;
use super::support::Bench;
use super::support::kamailio::SDP;
use serde_json::Value;

/// What the platform's dialplan adds, and the captures' dialplan did not.
const OURS: [&str; 3] = ["vp_domain", "vp_call", "cc_export_vars"];

fn capture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/wire/freeswitch/cdr").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("a capture is JSON")
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default()
}

/// Every key of `ours` stands in the capture too; the values that CDR parsing reads have the capture's type.
fn assert_like(ours: &Value, capture: &Value) {
    assert_eq!(keys(ours), keys(capture), "top level");
    let known = keys(&capture["variables"]);
    let elsewhere =
        ["internal_answered.a_leg.json", "internal_answered.b_leg.json", "queue_abandoned.a_leg.json"];
    let elsewhere = elsewhere.map(self::capture);
    for key in keys(&ours["variables"]) {
        let expected = known.contains(key)
            || OURS.contains(&key)
            || key.starts_with("sip_h_X-")
            || elsewhere.iter().any(|capture| capture["variables"].get(key).is_some());
        assert!(expected, "no capture has {key}");
        assert!(ours["variables"][key].is_string(), "{key} is text in every capture");
    }
    for key in
        known.iter().filter(|key| key.ends_with("epoch") || key.ends_with("sec") || key.starts_with("cc_"))
    {
        assert!(ours["variables"].get(key).is_some(), "the capture has {key}");
    }
    let (flow, captured) = (&ours["callflow"], &capture["callflow"]);
    assert_eq!(flow.as_array().map(Vec::len), captured.as_array().map(Vec::len));
    assert_eq!(keys(&flow[0]["times"]), keys(&captured[0]["times"]));
    assert_eq!(keys(&flow[0]["caller_profile"]), keys(&captured[0]["caller_profile"]));
}

#[tokio::test]
async fn a_queue_call_is_like_its_capture() {
    let mut bench = Bench::start().await;
    let (invite, ok, _) = connect(&mut bench.kamailio).await;
    let mut caller = bench.kamailio.established(&invite, &ok).await;
    bench.kamailio.hang_up(&mut caller).await;
    for _ in 0..2 {
        let document = bench.voipadmind.cdr().await;
        assert_eq!(document["switchname"], "media-double");
        let name = match document["variables"]["direction"].as_str() {
            Some("inbound") => "queue_call.a_leg.json",
            _ => "queue_call.agent_leg.json",
        };
        assert_like(&document, &capture(name));
    }
}

#[tokio::test]
async fn a_busy_user_is_like_its_capture() {
    let mut bench = Bench::start().await;
    let sip = &mut bench.kamailio;
    sip.send(&sip.invite("nonsense", "1008", "x")).await;
    sip.response(404, "INVITE").await;
    let document = bench.voipadmind.cdr().await;
    let mut captured = capture("busy.a_leg.json");
    // The capture's call was moved to another context first: a profile more.
    captured["callflow"].as_array_mut().expect("an array").truncate(1);
    assert_like(&document, &captured);
}

#[tokio::test]
async fn an_agent_who_is_busy_and_a_caller_who_gives_up_are_like_their_captures() {
    let mut bench = Bench::start_with(|config| config.queues[0].round_pause_ms = 60_000).await;
    let sip = &mut bench.kamailio;
    let invite = sip.invite("queue", "8001", "support");
    sip.send(&invite).await;
    let ok = sip.response(200, "INVITE").await;
    let mut caller = sip.established(&invite, &ok).await;
    for _ in 0..2 {
        let agent = sip.incoming("INVITE").await;
        sip.reply(&agent, 486, "busy", None).await;
        sip.incoming("ACK").await;
        assert_like(&bench.voipadmind.cdr().await, &capture("queue_agent_no_answer.json"));
    }
    sip.hang_up(&mut caller).await;
    let mut abandoned = capture("queue_abandoned.a_leg.json");
    abandoned["callflow"].as_array_mut().expect("an array").truncate(1);
    assert_like(&bench.voipadmind.cdr().await, &abandoned);
}

#[tokio::test]
async fn a_call_to_a_user_is_like_its_captures() {
    let mut bench = Bench::start().await;
    let sip = &mut bench.kamailio;
    let invite = sip.invite("user", "1002", "1002");
    sip.send(&invite).await;
    let b = sip.incoming("INVITE").await;
    sip.reply(&b, 180, "b", None).await;
    sip.reply(&b, 200, "b", Some(SDP)).await;
    sip.incoming("ACK").await;
    let ok = sip.response(200, "INVITE").await;
    let mut caller = sip.established(&invite, &ok).await;
    sip.hang_up(&mut caller).await;
    for _ in 0..2 {
        let document = bench.voipadmind.cdr().await;
        let name = match document["variables"]["direction"].as_str() {
            Some("inbound") => "internal_answered.a_leg.json",
            _ => "internal_answered.b_leg.json",
        };
        assert_like(&document, &capture(name));
    }
}
