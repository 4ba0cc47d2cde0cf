//! The real way onto two servers: package, init, apply, invite, join; then a call through the virtual address.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic in a test is a failed test")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use support::{Lab, skipped};

const VIP: &str = "198.18.77.100";

#[test]
fn two_servers_become_a_pair_and_carry_a_call() {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dist");
    if skipped() {
        return;
    }
    if !packages.is_dir() {
        eprintln!("SKIPPED: there are no packages in dist; type: make deb");
        return;
    }
    let lab = Lab::new('p');
    let up = lab.must(&["up", "--debs", packages.to_str().unwrap()]);
    assert!(up.contains("the lab is up"), "{up}");

    let holds = |node: &str| lab.exec(node, &["ip", "-br", "addr", "show", "svc0"]).out.contains(VIP);
    assert!(holds("n1") && !holds("n2"), "the address is on the first node");
    let streams = "SELECT application_name || ' ' || state || ' ' || sync_state FROM pg_stat_replication";
    let psql = ["runuser", "-u", "postgres", "--", "psql", "-Atc", streams];
    assert_eq!(lab.exec("n1", &psql).out.trim(), "n2_e1_j1 streaming sync");
    let again = lab.must(&["exec", "n1", "--", "tandem", "apply", "--json"]);
    assert!(again.contains("\"changed\":false") || again.contains("\"changed\": false"), "{again}");

    an_apply_that_changes_something_says_one_document(&lab);

    it_wrote_the_environment(&lab);
    let calls: serde_json::Value = serde_json::from_str(&lab.must(&["call", "--json"])).unwrap();
    assert_eq!(calls["items"].as_array().unwrap().len(), 2, "{calls:#}");

    lab.must(&["down"]);
    assert_eq!(lab.remains(), Vec::<String>::new());
}

/// Ansible reads it whole, and only its changes show what an apply says while it works.
fn an_apply_that_changes_something_says_one_document(lab: &Lab) {
    lab.exec("n1", &["sh", "-c", "echo >>/etc/logrotate.d/tandem && systemctl stop tandem-recordings.timer"]);
    lab.exec("n1", &["chmod", "0600", "/etc/keepalived/keepalived.conf"]);
    let said = lab.must(&["exec", "n1", "--", "tandem", "apply", "--json", "--yes"]);
    let report: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
    assert_eq!(report["changed"], true, "{report:#}");
}

/// design.md section 7: these names, mode 0600; the API's address works from here and from the phones' place.
fn it_wrote_the_environment(lab: &Lab) {
    let file = lab.file("env");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(file).unwrap();
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap();
    assert_eq!(value("TANDEM_VIP"), VIP);
    let health = format!("{}/health", value("TANDEM_API"));
    let there = ["ip", "netns", "exec", value("TANDEM_CLIENT_NETNS")];
    for before in [&[][..], &there] {
        let words = [before, &["curl", "-sSf", "-m", "5", &health]].concat();
        let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    }
}
