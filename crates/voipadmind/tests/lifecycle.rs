//! Starting and stopping: a port that is taken, a configuration that is wrong, health without engines, the log level.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod support;

use std::net::TcpListener;

use support::Node;

#[test]
fn a_taken_port_is_named_with_its_cure() {
    let mut node = testkit::or_skip!(Node::start());
    node.kill9();
    let _holder = TcpListener::bind(("127.0.0.1", node.port)).unwrap();
    let output = node.command().arg("--config").arg(node.path("config.yaml")).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(error.contains(&node.port.to_string()) && error.contains("server.port"), "{error}");
}

#[test]
fn a_wrong_configuration_stops_before_anything() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.yaml");
    std::fs::write(&path, "server: {host: 127.0.0.1, prot: 8080}\n").unwrap();
    for flag in ["-config", "--config"] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_voipadmind"));
        let output = command.args([flag]).arg(&path).arg("--check-config").output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(78), "{error}");
        assert!(error.contains("config.yaml:1: prot: is not a known key; did you mean 'port'?"), "{error}");
    }
}

#[test]
fn health_metrics_and_level() {
    let mut node = testkit::or_skip!(Node::start());
    let health = node.get("/health").json();
    assert_eq!(
        (&health["status"], &health["live"], &health["ready"]),
        (&"ok".into(), &true.into(), &true.into())
    );
    let metrics = node.get("/metrics").text();
    assert!(metrics.contains("voip_cdr_journal_pending"), "{metrics}");
    node.redis.kill9();
    let degraded = testkit::wait_for(std::time::Duration::from_secs(5), || {
        node.get("/health").json()["status"] == "degraded"
    });
    assert!(degraded, "without Redis a node still takes calls: {}", node.get("/health").text());
    let config = std::fs::read_to_string(node.path("config.yaml")).unwrap();
    std::fs::write(node.path("config.yaml"), config.replace("level: info", "level: debug")).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(node.pid()), nix::sys::signal::Signal::SIGHUP).unwrap();
    assert!(testkit::wait_for(std::time::Duration::from_secs(5), || node
        .log()
        .contains("log level re-read")));
    assert!(!node.log().contains("admin0secret0secret"), "no secret in the log");
    assert!(node.is_running());
}
