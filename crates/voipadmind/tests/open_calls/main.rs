//! Calls are known from answer on, and recordings from their end on, on the real FreeSWITCH: its channels are loopback ones, its event socket, CDRs and files its own.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod freeswitch;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use freeswitch::Freeswitch;
use serde_json::Value;
use support::{Node, PLATFORM_KEY};

const PATIENCE: Duration = Duration::from_secs(30);

fn following(config: &str, esl: u16, recordings: &Path) -> String {
    let (password, dir) = (freeswitch::PASSWORD, recordings.display());
    format!(
        "{config}freeswitch: {{esl_port: {esl}, esl_password: {password}}}\n\
         recordings: {{dir: {dir}, check_every: 100ms}}\n"
    )
}

fn leg(node: &Node, uuid: &str) -> Option<Value> {
    node.get(&format!("/api/cdr?view=legs&uuid={uuid}")).json()["items"].get(0).cloned()
}

#[test]
fn a_call_is_shown_at_answer_and_replaced_by_its_cdr() {
    let Some(installed) = freeswitch::installed() else { return };
    let (esl, recordings) = (testkit::free_port(), tempfile::tempdir().unwrap());
    let node = testkit::or_skip!(Node::start_with(|config| following(&config, esl, recordings.path())));
    // voipadmind is there first, and one call is answered before it is let in: the list of channels tells of that one.
    let freeswitch = Freeswitch::start(&installed, esl, node.port, recordings.path());
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

#[test]
fn a_recording_is_known_from_its_beginning_measured_at_its_end_and_its_cdr_changes_nothing_of_that() {
    let Some(installed) = freeswitch::installed() else { return };
    let (esl, recordings) = (testkit::free_port(), tempfile::tempdir().unwrap());
    let node = testkit::or_skip!(Node::start_with(|config| following(&config, esl, recordings.path())));
    let freeswitch = Freeswitch::start(&installed, esl, node.port, recordings.path());
    assert!(testkit::wait_for(PATIENCE, || node.log().contains("following FreeSWITCH")), "{}", node.log());
    let file = |uuid: &str| recordings.path().join(format!("n1/2026/11/22/{uuid}.wav"));
    let of = |uuid: &str| node.get(&format!("/api/recordings?uuid={uuid}")).json()["items"].get(0).cloned();

    for uuid in ["lost", "told"] {
        freeswitch
            .api(&format!("originate {{origination_uuid={uuid}}}loopback/answer/default record XML default"));
        let size = || std::fs::metadata(file(uuid)).map_or(0, |it| it.len());
        assert!(testkit::wait_for(PATIENCE, || size() > 20_000), "{}", freeswitch.log());
        assert!(testkit::wait_for(PATIENCE, || of(uuid).is_some()), "{}", node.log());
        let shown = of(uuid).unwrap();
        assert_eq!((&shown["state"], &shown["duration"]), (&"recording".into(), &serde_json::Value::Null));
        let path = format!("/api/recordings/{}/media", shown["id"]);
        assert_eq!(node.api("GET", &path, PLATFORM_KEY, None, &[]).status, 409, "it goes on");
    }
    // The one ends while its call goes on, and the other with it.
    freeswitch.api(&format!("uuid_record lost stop {}", file("lost").display()));
    freeswitch.api("uuid_kill told");
    for uuid in ["lost", "told"] {
        assert!(
            testkit::wait_for(PATIENCE, || of(uuid).is_some_and(|it| it["state"] == "stored")),
            "{}",
            node.log()
        );
        let shown = of(uuid).unwrap();
        let bytes = std::fs::read(file(uuid)).unwrap();
        assert_eq!(shown["file_size"], bytes.len(), "{shown:#}");
        assert_eq!(shown["file_path"], format!("2026/11/22/{uuid}.wav"));
        assert_eq!(node.sql(&format!("SELECT count(*) FROM voip.recordings WHERE leg_uuid = '{uuid}'")), "1");
        let path = format!("/api/recordings/{}/media", shown["id"]);
        assert!(node.api("GET", &path, PLATFORM_KEY, None, &[]).body == bytes);
    }
    let provisional =
        |uuid: &str| node.sql(&format!("SELECT provisional FROM voip.recordings WHERE leg_uuid = '{uuid}'"));
    assert!(testkit::wait_for(PATIENCE, || provisional("told") == "f"), "no CDR: {}", freeswitch.log());
    assert_eq!(of("told").unwrap()["state"], "stored", "it is what was measured");
    // FreeSWITCH dies, and no CDR comes of the other.
    drop(freeswitch);
    assert_eq!((provisional("lost").as_str(), &of("lost").unwrap()["state"]), ("t", &"stored".into()));
}
