//! Starting, refusing to start, stopping, and a voipadmind that is away.

use super::queue::connect;
use super::support::{Bench, config_text};
use std::path::Path;
use std::process::{Command, Output};

fn start(dir: &Path, marker: &str, config: &str) -> Output {
    let config_path = dir.join("config.yaml");
    std::fs::write(&config_path, config).expect("written");
    Command::new(env!("CARGO_BIN_EXE_media-double"))
        .args(["--check-config", "--marker"])
        .arg(dir.join(marker))
        .arg("--config")
        .arg(config_path)
        .output()
        .expect("runs")
}

#[test]
fn without_the_marker_nothing_starts() {
    let dir = tempfile::tempdir().expect("temp dir");
    let config = config_text("127.0.0.1:5060", "http://127.0.0.1:8080", dir.path());
    let refused = start(dir.path(), "marker", &config);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("starts only where their marker file is"), "{said}");

    std::fs::write(dir.path().join("marker"), "tandem dev\n").expect("written");
    let accepted = start(dir.path(), "marker", &config);
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
}

#[test]
fn a_wrong_configuration_is_refused_with_its_key() {
    let dir = tempfile::tempdir().expect("temp dir");
    std::fs::write(dir.path().join("marker"), "tandem lab\n").expect("written");
    let valid = config_text("127.0.0.1:5060", "http://127.0.0.1:8080", dir.path());
    for (change, to, says) in [
        ("listen: 127.0.0.1:0", "listen: 0.0.0.0:5080", "listen: 0.0.0.0:5080 names no address"),
        ("t1_ms", "t2_ms", "t2_ms"),
        ("port_min: 30000", "port_min: 40000", "port_min 40000 is not below"),
        ("'1002', '1003'", "", "support has no agents"),
        ("'1002'", "'1002;x'", "1002;x"),
        ("'http://127.0.0.1:8080/fs/cdr'", "'https://x/fs/cdr'", "must begin with http://"),
        ("err_log_dir: /", "err_log_dir: /nowhere/", "is no directory"),
    ] {
        assert!(valid.contains(change), "{change}");
        let refused = start(dir.path(), "marker", &valid.replace(change, to));
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains(says), "{to}: {said}");
    }
}

#[tokio::test]
async fn a_stop_ends_calls_and_accounts_for_them() {
    let mut bench = Bench::start().await;
    let (invite, ok, agent) = connect(&mut bench.kamailio).await;
    bench.kamailio.established(&invite, &ok).await;
    bench.stop().await;
    let ids = [bench.kamailio.incoming("BYE").await, bench.kamailio.incoming("BYE").await];
    for leg in [&invite, &agent] {
        assert!(ids.iter().any(|bye| bye.call_id() == leg.call_id()));
    }
    let (callers, agents) = bench.voipadmind.legs(2).await;
    assert_eq!(
        (&callers[0]["hangup_cause"], &agents[0]["hangup_cause"]),
        (&"SYSTEM_SHUTDOWN".into(), &"SYSTEM_SHUTDOWN".into())
    );
}

#[tokio::test]
async fn what_cannot_be_posted_is_spooled() {
    let mut bench = Bench::start_with(|config| {
        config.cdr.encode = media_double::cdr::Encoding::Urlencoded;
        config.cdr.encode_values = true;
    })
    .await;
    bench.voipadmind.answer_cdrs_with(503);
    let sip = &mut bench.kamailio;
    sip.send(&sip.invite("nonsense", "1", "x")).await;
    sip.response(404, "INVITE").await;
    let (first, second) = (bench.voipadmind.request().await, bench.voipadmind.request().await);
    assert_eq!(first.body, second.body, "one try more, with the same document");
    assert!(first.headers.contains("content-type: application/x-www-form-urlencoded"));
    assert!(first.headers.contains("user-agent: freeswitch-json/1.0"));

    bench.stop().await;
    let uuid = first.target.strip_prefix("/fs/cdr?uuid=").expect("a uuid");
    let spooled =
        std::fs::read_to_string(bench.spool.path().join(format!("{uuid}.cdr.json"))).expect("spooled");
    assert_eq!(Some(spooled.as_str()), first.body.strip_prefix("cdr="));
    assert!(spooled.starts_with("%7B%22core-uuid%22%3A%22"));
}

#[tokio::test]
async fn without_a_directory_nobody_is_called_and_without_http_all_is_spooled() {
    let mut bench = Bench::start_with(|config| {
        // A port that nothing listens on.
        config.http.directory_url = "http://127.0.0.1:9/fs/xml/directory".into();
        config.cdr.url = "http://127.0.0.1:9/fs/cdr".into();
    })
    .await;
    let sip = &mut bench.kamailio;
    sip.send(&sip.invite("user", "1002", "1002")).await;
    sip.response(480, "INVITE").await;
    bench.stop().await;
    let spooled = std::fs::read_dir(bench.spool.path()).expect("a directory");
    let names: Vec<String> =
        spooled.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(names.iter().filter(|name| name.ends_with(".cdr.json")).count(), 1, "{names:?}");
}
