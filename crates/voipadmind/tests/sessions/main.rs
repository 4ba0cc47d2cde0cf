//! Every session of the real FreeSWITCH has its record, or is missing by name: some posts are refused, and their files taken
//! away, some sessions end while nobody listens.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod door;
#[path = "../open_calls/freeswitch.rs"]
mod freeswitch;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use door::Door;
use freeswitch::Freeswitch;
use serde_json::Value;
use support::Node;

const PATIENCE: Duration = Duration::from_secs(90);

/// Ended, exempt, pending, missing, unheard of all hours; `None` while nobody counted.
fn counts(node: &Node) -> Option<[i64; 5]> {
    let items = node.get("/api/cdr/accounting").json()["items"].clone();
    let counted = items.as_array().unwrap().iter().filter(|item| !item["sessions_ended"].is_null());
    let of = |item: &Value| {
        ["sessions_ended", "exempt", "pending", "missing", "unheard"]
            .map(|field| item[field].as_i64().unwrap())
    };
    counted.map(of).reduce(|all, hour| std::array::from_fn(|it| all[it] + hour[it]))
}

/// The uuids without a record; a number where nobody heard the uuid.
fn without_record(node: &Node) -> BTreeSet<String> {
    let named = node.get("/api/cdr/accounting").json()["sessions_without_record"].clone();
    let name =
        |it: &Value| it["leg_uuid"].as_str().map_or_else(|| it["session_id"].to_string(), str::to_owned);
    named.as_array().unwrap().iter().map(name).collect()
}

fn expect(node: &Node, freeswitch: &Freeswitch, what: &str, expected: [i64; 5]) {
    let found = testkit::wait_for(PATIENCE, || counts(node) == Some(expected));
    assert!(found, "{what}: {:?}\n{}\n{}", counts(node), node.log(), freeswitch.log());
}

/// Two sessions: the halves of a loopback channel.
fn call(freeswitch: &Freeswitch, uuid: &str, variables: &str) {
    freeswitch
        .api(&format!("originate {{origination_uuid={uuid}{variables}}}loopback/answer/default &park()"));
}

fn hang_up(freeswitch: &Freeswitch, uuid: &str) {
    freeswitch.api(&format!("uuid_kill {uuid}"));
    let over = || freeswitch.api("show channels count").contains("0 total");
    assert!(testkit::wait_for(PATIENCE, over), "{}", freeswitch.log());
}

/// Takes what FreeSWITCH could not post out of its spool, the named one last.
fn take_spooled(freeswitch: &Freeswitch, uuid: &str) -> [(String, Vec<u8>); 2] {
    let mut taken = Vec::new();
    assert!(testkit::wait_for(PATIENCE, || freeswitch.spooled().len() == 2), "{}", freeswitch.log());
    for file in freeswitch.spooled() {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        taken.push((name.strip_suffix(".cdr.json").unwrap().to_owned(), std::fs::read(&file).unwrap()));
        std::fs::remove_file(file).unwrap();
    }
    taken.sort_by_key(|(name, _)| name == uuid);
    taken.try_into().unwrap()
}

fn give_back(node: &Node, (uuid, body): &(String, Vec<u8>)) {
    assert_eq!(node.post_cdr(uuid, "application/json", body).status, 200);
    node.settle();
}

fn time_passes(node: &Node) {
    node.sql("UPDATE voip.cdr_sessions SET told_at = told_at - interval '11 minutes'");
}

#[test]
fn a_session_without_a_record_is_missing_by_name_until_it_comes() {
    let Some(installed) = freeswitch::installed() else { return };
    let esl = testkit::free_port();
    let adapt = |config: String| {
        format!("{config}freeswitch: {{esl_port: {esl}, esl_password: {}}}\n", freeswitch::PASSWORD)
    };
    let mut node = testkit::or_skip!(Node::start_with(adapt));
    assert_eq!(counts(&node), None, "nobody counts yet");
    assert_eq!(node.get("/health").json()["details"]["records"], Value::Null);
    let door = Door::to(node.port);
    let freeswitch = Freeswitch::start(&installed, esl, door.port, &node.path("recordings"));
    expect(&node, &freeswitch, "it listens", [0, 0, 0, 0, 0]);

    call(&freeswitch, "kept", "");
    hang_up(&freeswitch, "kept");
    expect(&node, &freeswitch, "each has its record", [2, 0, 0, 0, 0]);
    call(&freeswitch, "told-not-to", ",process_cdr=false");
    hang_up(&freeswitch, "told-not-to");
    expect(&node, &freeswitch, "they owe none", [4, 2, 0, 0, 0]);

    // FreeSWITCH cannot post, and its files are lost.
    door.shut(true);
    call(&freeswitch, "lost", "");
    hang_up(&freeswitch, "lost");
    let [other, lost] = take_spooled(&freeswitch, "lost");
    door.shut(false);
    expect(&node, &freeswitch, "they may still come", [6, 2, 2, 0, 0]);
    time_passes(&node);
    expect(&node, &freeswitch, "they did not come", [6, 2, 0, 2, 0]);
    give_back(&node, &other);
    expect(&node, &freeswitch, "one did not come", [6, 2, 0, 1, 0]);
    assert_eq!(without_record(&node), BTreeSet::from(["lost".to_owned()]));
    let told = || node.get("/health").json()["details"]["records"].clone();
    assert!(testkit::wait_for(PATIENCE, || told()["missing"] == 1), "{}", told());
    let what = told()["what"].as_str().unwrap().to_owned();
    assert!(what.starts_with("sessions of n1, between ") && what.ends_with(": 1 without a record"), "{what}");
    assert!(node.get("/metrics").text().contains("\nvoip_cdr_missing 1\n"));
    give_back(&node, &lost);
    expect(&node, &freeswitch, "all came", [6, 2, 0, 0, 0]);

    // Nobody listens while a call ends. One that goes on is not taken for it.
    node.kill9();
    call(&freeswitch, "long", "");
    call(&freeswitch, "unheard", "");
    freeswitch.api("uuid_kill unheard");
    let files = take_spooled(&freeswitch, "unheard");
    node.launch();
    expect(&node, &freeswitch, "they ended unheard", [8, 2, 0, 0, 2]);
    assert_eq!(without_record(&node).len(), 2);
    for file in &files {
        give_back(&node, file);
    }
    expect(&node, &freeswitch, "they came", [8, 2, 0, 0, 0]);
    hang_up(&freeswitch, "long");
    expect(&node, &freeswitch, "it came", [10, 2, 0, 0, 0]);

    // FreeSWITCH is started anew: its numbers begin again.
    drop(freeswitch);
    let freeswitch = Freeswitch::start(&installed, esl, door.port, &node.path("recordings"));
    call(&freeswitch, "anew", "");
    hang_up(&freeswitch, "anew");
    expect(&node, &freeswitch, "another run", [12, 2, 0, 0, 0]);
    assert_eq!(without_record(&node), BTreeSet::new());
}
