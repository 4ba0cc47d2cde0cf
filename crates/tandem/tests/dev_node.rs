//! A dev node from nothing to calls and back, with the real engines and the media double, through the real commands.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is a failed test")]

#[allow(dead_code, reason = "tests of the real FreeSWITCH have more needs")]
mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use support::{Node, missing};

/// Of an engine that died, until it is back; of engines whose supervisor died, until they are gone.
const RECOVERY: Duration = Duration::from_secs(60);

#[test]
fn a_node_comes_up_calls_survives_and_goes() {
    if let Some(why) = missing() {
        eprintln!("SKIPPED: {why}");
        return;
    }
    let node = Node::new();
    let up = node.tandem(&["dev", "up"]);
    assert!(up.succeeded && up.out.contains("kamailio ready") && up.out.contains("media double"), "{up:?}");
    for word in ["API key", "tdm_", "default.local", "make call"] {
        assert!(up.out.contains(word), "the table tells nothing of {word}: {}", up.out);
    }

    it_wrote_the_environment(&node);
    let pids = node.engine_pids();
    let again = node.tandem(&["dev", "up"]);
    assert!(again.succeeded && again.out.contains("the node runs already"), "{again:?}");
    assert_eq!(node.engine_pids(), pids, "a second up started something again");

    it_makes_calls(&node);
    a_new_password_counts_at_once(&node);
    it_carries_a_load_and_accounts_for_each_call(&node);
    an_engine_that_dies_comes_back(&node);
    a_second_node_on_the_same_ports_is_told_who_holds_them(&node);
    nothing_outlives_a_killed_supervisor(&node);

    let up = node.tandem(&["dev", "up"]);
    assert!(up.succeeded, "after a crash: {up:?}");
    let down = node.tandem(&["dev", "down"]);
    assert!(down.succeeded && down.out.contains("stopped"), "{down:?}");
    assert!(node.living().is_empty(), "left after down: {:?}", node.living());
    let purged = node.tandem(&["dev", "down", "--purge"]);
    assert!(purged.succeeded && !node.dir().join("cluster.yaml").exists(), "{purged:?}");
}

/// design.md section 7: these names, mode 0600, plain values.
fn it_wrote_the_environment(node: &Node) {
    let file = node.dir().join("env");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(file).unwrap();
    let keys: Vec<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
    assert_eq!(
        keys,
        [
            "TANDEM_API",
            "TANDEM_API_KEY",
            "TANDEM_FS_URL",
            "TANDEM_FS_USER",
            "TANDEM_FS_PASSWORD",
            "TANDEM_SIP",
            "TANDEM_DOMAIN",
            "TANDEM_PHONES",
            "TANDEM_PG",
            "TANDEM_REDIS",
            "TANDEM_MEDIA",
            "TANDEM_SPOOL",
        ]
    );
    assert!(text.contains("TANDEM_MEDIA=double\n"), "{text}");
}

fn it_makes_calls(node: &Node) {
    let call = node.tandem(&["dev", "call", "--json"]);
    assert!(call.succeeded, "{call:?}");
    let calls: serde_json::Value = serde_json::from_str(&call.out).unwrap();
    let legs: Vec<usize> =
        calls["items"].as_array().unwrap().iter().map(|c| c["legs"].as_array().unwrap().len()).collect();
    assert_eq!(legs.len(), 2, "{calls:#}");
    assert!(legs.contains(&2), "the queue's call has its caller and its agent: {calls:#}");
}

fn it_carries_a_load_and_accounts_for_each_call(node: &Node) {
    let load = node
        .tandem(&["load", "--calls", "20", "--cps", "10", "--hold", "3", "--json", "--report", "load.md"]);
    assert!(load.succeeded, "{load:?}");
    let told: serde_json::Value = serde_json::from_str(&load.out).unwrap();
    for (key, value) in
        [("tried", 20), ("connected", 20), ("accounted", 20), ("dialogs_peak", 20), ("media_sent_packets", 0)]
    {
        assert_eq!(told[key], value, "{key}: {told:#}");
    }
    assert_eq!(told["failed"], serde_json::json!({}), "{told:#}");
    assert_eq!(told["kinds"].as_array().unwrap().len(), 3, "{told:#}");
    assert!(told["registration"]["count"].as_u64().unwrap() >= 10, "{told:#}");
    let programs: Vec<&str> =
        told["usage"].as_array().unwrap().iter().filter_map(|usage| usage["program"].as_str()).collect();
    for program in ["kamailio", "postgres", "voipadmind", "media-double"] {
        assert!(programs.contains(&program), "{program}: {programs:?}");
    }
    let left: Vec<String> = node.living().into_iter().filter(|line| line.contains("sipp")).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// voipadmind tells Kamailio of the change (RPC with credentials): the answer that Kamailio keeps for minutes, fresh from
/// the calls just made, is gone.
fn a_new_password_counts_at_once(node: &Node) {
    let env = phones::Env::read(&node.dir().join("env")).unwrap();
    let (number, password) = &env.phones[0];
    let extension = api(&env, "GET", "", "")["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|item| item["extension"] == number.as_str())
        .unwrap()
        .clone();
    let replace = |password: &str| {
        let wanted = serde_json::json!({
            "extension": number, "type": "user", "user_id": extension["user_id"],
            "description": extension["description"], "sip_password": password,
        });
        api(&env, "PUT", &format!("/{}", extension["id"]), &wanted.to_string());
    };

    replace("another-password-1");
    let refused = node.tandem(&["dev", "call"]);
    let cannot = format!("{number} cannot register");
    assert!(
        !refused.succeeded && refused.err.contains(&cannot),
        "the old password still counts: {refused:?}"
    );
    replace(password);
    it_makes_calls(node);
}

/// One request about extensions.
fn api(env: &phones::Env, method: &str, path: &str, body: &str) -> serde_json::Value {
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}/api/extensions{path}", env.api))
        .header("Authorization", format!("Bearer {}", env.api_key))
        .header("Content-Type", "application/json")
        .body(body.to_owned())
        .unwrap();
    let mut answer = ureq::Agent::new_with_defaults().run(request).unwrap();
    serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
}

fn an_engine_that_dies_comes_back(node: &Node) {
    let before = node.engine_pids();
    node.kill(before["redis"], Signal::SIGKILL);
    let back = testkit::wait_for(RECOVERY, || {
        let status = node.status();
        let redis =
            status["steps"].as_array().unwrap().iter().find(|s| s["name"] == "redis").unwrap().clone();
        redis["state"] == "ready" && redis["restarts"] == 1
    });
    assert!(back, "{:#}", node.status());
    assert_eq!(node.engine_pids()["postgresql"], before["postgresql"], "another engine was touched");
}

fn a_second_node_on_the_same_ports_is_told_who_holds_them(node: &Node) {
    let second = node.tandem_in("second", &["dev", "up"]);
    assert!(!second.succeeded, "{second:?}");
    for words in ["ports.sip", "is held by kamailio (pid ", "change 'ports:' in cluster.yaml"] {
        assert!(second.err.contains(words), "{words:?} is not in {}", second.err);
    }
}

fn nothing_outlives_a_killed_supervisor(node: &Node) {
    let status = node.status();
    node.kill(i32::try_from(status["supervisor"]["pid"].as_i64().unwrap()).unwrap(), Signal::SIGKILL);
    let gone = testkit::wait_for(RECOVERY, || node.living().is_empty());
    assert!(gone, "these outlive their supervisor: {:?}", node.living());
    let status = node.tandem(&["dev", "status"]);
    assert!(status.out.contains("the node does not run"), "{status:?}");
}
