//! Calls are known from answer on, on the real FreeSWITCH: its channels are loopback ones, its event socket and CDRs its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod freeswitch;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use freeswitch::Freeswitch;
use serde_json::Value;
use support::Node;

const PATIENCE: Duration = Duration::from_secs(30);

fn leg(node: &Node, uuid: &str) -> Option<Value> {
    node.get(&format!("/api/cdr?view=legs&uuid={uuid}")).json()["items"].get(0).cloned()
}

#[test]
fn a_call_is_shown_at_answer_and_replaced_by_its_cdr() {
    let Some(installed) = freeswitch::installed() else { return };
    let esl = testkit::free_port();
    let adapt = |config: String| {
        format!("{config}freeswitch: {{esl_port: {esl}, esl_password: {}}}\n", freeswitch::PASSWORD)
    };
    let node = testkit::or_skip!(Node::start_with(adapt));
    // voipadmind is there first, and one call is answered before it is let in: the list of channels tells of that one.
    let freeswitch = Freeswitch::start(&installed, esl, node.port);
    freeswitch.api("originate {origination_uuid=early}loopback/answer/default &park()");
    let shown = testkit::wait_for(PATIENCE, || leg(&node, "early").is_some());
    assert!(shown, "not shown: {}\n{}", node.log(), freeswitch.log());
    freeswitch.api("originate {origination_uuid=late}loopback/answer/default &park()");
    assert!(testkit::wait_for(PATIENCE, || leg(&node, "late").is_some()), "not shown: {}", node.log());
    for uuid in ["early", "late"] {
        let leg = leg(&node, uuid).unwrap();
        assert_eq!((&leg["provisional"], &leg["end_time"]), (&Value::Bool(true), &Value::Null), "{leg:#}");
        assert!(leg["answer_time"].is_string(), "{leg:#}");
    }

    let started = leg(&node, "late").unwrap()["start_time"].clone();
    freeswitch.api("uuid_kill late");
    let ended = || leg(&node, "late").filter(|leg| leg["provisional"] == false);
    assert!(testkit::wait_for(PATIENCE, || ended().is_some()), "no CDR: {}", freeswitch.log());
    let leg = ended().unwrap();
    assert_eq!((&leg["hangup_cause"], &leg["start_time"]), (&"NORMAL_CLEARING".into(), &started), "{leg:#}");
    assert_eq!(node.sql("SELECT count(*) FROM voip.cdr WHERE leg_uuid = 'late'"), "1");

    // FreeSWITCH dies in mid-call. What nobody has seen for long is closed, by any node's voipadmind.
    drop(freeswitch);
    assert_eq!(node.sql("SELECT provisional FROM voip.cdr WHERE leg_uuid = 'early'"), "t");
}
