//! SIPp as the phones: a SIP stack that is not ours, its own digest, and many calls at once.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use testkit::free_port;

use crate::node::{DOMAIN, Node};

const CALLS: usize = 100;
const CALLS_PER_SECOND: usize = 25;

/// A scenario of tests/sipp, from a port of its own.
fn sipp(node: &Node, folder: &Path, scenario: &str, port: u16, args: &[&str]) -> Child {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp").join(scenario).with_extension("xml");
    let mut command = Command::new("sipp");
    command.arg(node.sip().to_string()).arg("-sf").arg(file).args(["-key", "domain", DOMAIN]);
    command.args(["-i", &Ipv4Addr::LOCALHOST.to_string(), "-p", &port.to_string()]);
    // Without a terminal, with an end.
    command.args(["-nostdin", "-timeout", "60", "-timeout_error", "-trace_err", "-error_file"]);
    command.arg(folder.join(format!("{scenario}.errors"))).args(args);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn ends_well(mut sipp: Child, folder: &Path, scenario: &str) {
    let status = sipp.wait().unwrap();
    let errors = std::fs::read_to_string(folder.join(format!("{scenario}.errors"))).unwrap_or_default();
    assert!(status.success(), "{scenario}: {status}\n{errors}");
}

#[test]
fn many_calls_at_once_are_all_accounted_for() {
    if Command::new("sipp").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return testkit::skip(&"SIPp is not installed");
    }
    let Some(node) = Node::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (caller, callee) = (free_port(), free_port());
    let (calls, rate) = (CALLS.to_string(), CALLS_PER_SECOND.to_string());

    let register = ["-s", "1002", "-au", "1002", "-ap", "pw1002", "-m", "1"];
    ends_well(sipp(&node, folder.path(), "register", callee, &register), folder.path(), "register");
    let answering = sipp(&node, folder.path(), "callee", callee, &["-m", &calls]);
    let calling =
        ["-s", "1002", "-key", "user", "1001", "-au", "1001", "-ap", "pw1001", "-m", &calls, "-r", &rate];
    ends_well(sipp(&node, folder.path(), "caller", caller, &calling), folder.path(), "caller");
    ends_well(answering, folder.path(), "callee");

    node.wait_until("all are told", || node.events.all().len() == 2 * CALLS);
    for kind in ["answered", "ended"] {
        let mut calls: Vec<_> = node.events.all().into_iter().filter(|e| e["event"] == kind).collect();
        calls.sort_by_key(|e| e["vp_call"].to_string());
        calls.dedup_by_key(|e| e["vp_call"].clone());
        assert_eq!(calls.len(), CALLS, "{kind}");
    }
}
