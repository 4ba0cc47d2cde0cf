//! A recording's life: measured, played, copied, found lost, held, deleted. Real files, one node and two.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{Answer, Node, PLATFORM_KEY, wire};

const LEG: &str = "1b12750e-3862-47fe-846f-3e56bbf4a5b8";
const FILE: &str = "n1/2026/11/22/1b12750e-3862-47fe-846f-3e56bbf4a5b8.wav";
const PEER_PASSWORD: &str = "peer0password0of0the0test";

/// The capture of a recorded call, as our dialplan would have had it.
fn recorded_call(dir: &Path) -> Vec<u8> {
    let text = String::from_utf8(wire("cdr/recorded_call.a_leg.json")).unwrap();
    let mut document: Value = serde_json::from_str(&text.replace("pbx.test", "default.local")).unwrap();
    document["variables"]["vp_recording"] = json!(dir.join(FILE));
    document.to_string().into_bytes()
}

/// `seconds` of 8 kHz, 16 bit, mono, each byte telling its place. Settled: nobody writes to it any more.
fn write_wav(dir: &Path, seconds: usize) -> Vec<u8> {
    let data = seconds * 16_000;
    let mut wav =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data".to_vec();
    wav.extend(u32::try_from(data).unwrap().to_le_bytes());
    wav.extend((0..data).map(|at| (at / 7 % 251) as u8));
    write(dir, &wav);
    wav
}

fn write(dir: &Path, bytes: &[u8]) {
    let path = dir.join(FILE);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

fn config_of(dir: &Path, again: &str, peer: &str) -> String {
    format!("recordings: {{dir: {}, check_every: 100ms, check_again: {again}{peer}}}\n", dir.display())
}

fn get(node: &Node, path: &str, headers: &[(&str, &str)]) -> Answer {
    node.api("GET", path, PLATFORM_KEY, None, headers)
}

fn id(node: &Node) -> String {
    node.get("/api/recordings").json()["items"][0]["id"].to_string()
}

fn becomes(node: &Node, state: &str) {
    let query = "SELECT string_agg(state, ',') FROM voip.recordings";
    let there = testkit::wait_for(Duration::from_secs(60), || node.sql(query) == state);
    assert!(there, "{} instead of {state}; log:\n{}", node.sql(query), node.log());
}

#[test]
fn measured_played_and_audited() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("n1")).unwrap();
    let node = testkit::or_skip!(Node::start_with(|config| config + &config_of(dir.path(), "7d", "")));
    assert_eq!(node.post_cdr(LEG, "application/json", &recorded_call(dir.path())).status, 200);
    node.settle();
    let id = id(&node);
    let (show, media) = (format!("/api/recordings/{id}"), format!("/api/recordings/{id}/media"));
    assert_eq!(get(&node, &media, &[]).status, 409, "not finished");

    let wav = write_wav(dir.path(), 5);
    becomes(&node, "stored");
    let sum = hex::encode(Sha256::digest(&wav));
    let recording = node.get(&show).json();
    for (field, value) in [
        ("leg_uuid", json!(LEG)),
        ("call_uuid", json!(LEG)),
        ("domain", json!("default.local")),
        ("caller_id_number", json!("1001")),
        ("destination_number", json!("7002")),
        ("start_time", json!("2026-11-22T09:59:18.371061Z")),
        ("node", json!("n1")),
        ("file_path", json!(FILE.strip_prefix("n1/"))),
        ("file_size", json!(80_044)),
        ("duration", json!(5)),
        ("sha256", json!(sum)),
        ("legal_hold", json!(false)),
    ] {
        assert_eq!(recording[field], value, "{field} in {recording:#}");
    }
    let berlin = node.get(&format!("{show}?tz=Europe/Berlin")).json();
    assert_eq!(berlin["start_time"], "2026-11-22T10:59:18.371061+01:00");
    let found =
        |query: &str| node.get(&format!("/api/recordings?{query}")).json()["items"].as_array().unwrap().len();
    assert_eq!(
        (found("duration_min=5&duration_max=5&caller=1001&state=stored"), found("duration_min=6")),
        (1, 0)
    );
    let call = node.get(&format!("/api/cdr?uuid={LEG}")).json();
    assert_eq!(call["items"][0]["recordings"][0]["id"].to_string(), id);

    let whole = get(&node, &media, &[]);
    assert_eq!((whole.status, whole.content_type.as_str(), whole.body == wav), (200, "audio/wav", true));
    let etag = format!("\"{sum}\"");
    assert_eq!((whole.header("etag"), whole.header("accept-ranges")), (etag.as_str(), "bytes"));
    let name = format!("inline; filename=\"20261122T095918Z_1001_7002_{id}.wav\"");
    assert_eq!(whole.header("content-disposition"), name);
    assert!(get(&node, &show, &[("Accept", "audio/*")]).body == wav);
    let part = get(&node, &media, &[("Range", "bytes=100-199"), ("If-Range", &etag)]);
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 100-199/80044"));
    assert!(part.body == wav[100..200]);
    let end = get(&node, &media, &[("Range", "bytes=-44")]);
    assert!(end.status == 206 && end.body == wav[80_000..]);
    let behind = get(&node, &media, &[("Range", "bytes=80044-")]);
    assert_eq!((behind.status, behind.header("content-range")), (416, "bytes */80044"));
    let known = get(&node, &media, &[("If-None-Match", &format!("\"x\", W/{etag}"))]);
    assert_eq!((known.status, known.body.len()), (304, 0));
    let head = node.api("HEAD", &media, PLATFORM_KEY, None, &[]);
    assert_eq!((head.status, head.header("content-length")), (200, "80044"));
    assert_eq!(get(&node, &media, &[("Range", "bytes=0-1,5-6")]).status, 200, "several are the whole");
    assert_eq!(get(&node, &media, &[("Range", "bytes=0-1"), ("If-Range", "\"x\"")]).status, 200);

    let heard = node.sql(
        "SELECT who, action, entity_id, coalesce(after ->> 'range', 'all'), after ->> 'address' FROM voip.audit_log
          WHERE entity = 'recording' ORDER BY id",
    );
    let heard_of = |range: &str| format!("key:tdm_platform|read|{id}|{range}|127.0.0.1");
    let all = ["all", "all", "bytes 100-199/80044", "bytes 80000-80043/80044", "all", "all"];
    assert_eq!(
        heard.lines().collect::<Vec<_>>(),
        all.map(heard_of),
        "neither what was known nor what was not given"
    );
}

#[test]
fn lost_found_held_and_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let node = testkit::or_skip!(Node::start_with(|config| config + &config_of(dir.path(), "100ms", "")));
    let wav = write_wav(dir.path(), 1);
    assert_eq!(node.post_cdr(LEG, "application/json", &recorded_call(dir.path())).status, 200);
    node.settle();
    becomes(&node, "stored");
    let id = id(&node);
    let media = format!("/api/recordings/{id}/media");
    // What is lost is looked for again after ten minutes.
    let later = || node.sql("UPDATE voip.recordings SET checked_at = checked_at - interval '1 hour'");

    let mut other = wav.clone();
    other[1_000] ^= 1;
    write(dir.path(), &other);
    becomes(&node, "changed");
    assert_eq!(get(&node, &media, &[]).status, 409, "nobody vouches for it");
    let told = testkit::wait_for(Duration::from_secs(20), || {
        let health = node.get("/health").json()["details"]["recordings"].to_string();
        health.contains("0 missing, 1 changed")
    });
    assert!(told, "{}", node.get("/health").text());
    assert!(node.get("/metrics").text().contains("voip_recordings{state=\"changed\"} 1"));
    write(dir.path(), &wav);
    later();
    becomes(&node, "stored");
    fs::remove_file(dir.path().join(FILE)).unwrap();
    becomes(&node, "missing");
    assert_eq!(get(&node, &media, &[]).status, 404);
    write(dir.path(), &wav);
    later();
    becomes(&node, "stored");
    assert!(get(&node, &media, &[]).body == wav);

    let hold = |on: bool| {
        let wanted = json!({"legal_hold": on});
        node.api("PUT", &format!("/api/recordings/{id}"), PLATFORM_KEY, Some(&wanted), &[])
    };
    assert_eq!(hold(true).json()["legal_hold"], true);
    node.sql("UPDATE voip.recordings SET expires_at = now() - interval '1 day'");
    // Rounds go by.
    let looked = || node.sql("SELECT checked_at FROM voip.recordings");
    for _ in 0..3 {
        let before = looked();
        assert!(testkit::wait_for(Duration::from_secs(60), || looked() != before), "{}", node.log());
    }
    assert!(dir.path().join(FILE).exists());
    assert_eq!(node.sql("SELECT state FROM voip.recordings"), "stored");
    assert_eq!(hold(false).status, 200);
    becomes(&node, "");
    assert!(!dir.path().join(FILE).exists());
    assert_eq!(node.get(&format!("/api/recordings/{id}")).status, 404);
    let log = node.sql(
        "SELECT who, action FROM voip.audit_log WHERE entity = 'recording' AND action <> 'read' ORDER BY id",
    );
    let log: Vec<_> = log.lines().collect();
    assert_eq!(log, ["key:tdm_platform|update", "key:tdm_platform|update", "retention|delete"]);
}

/// The other node's voipadmind, on the same database.
struct Second {
    child: Child,
    port: u16,
    agent: ureq::Agent,
}

impl Second {
    fn start(of: &Node, port: u16, recordings: &str) -> Self {
        let config = fs::read_to_string(of.path("config.yaml")).unwrap();
        let (own, _) = config.split_once("recordings:").unwrap();
        let config = own
            .replace("node: {name: n1}", "node: {name: n2}")
            .replace(&format!("port: {}}}\ndatabase", of.port), &format!("port: {port}}}\ndatabase"))
            .replace(&of.path("journal").display().to_string(), &of.path("journal2").display().to_string())
            .replace(
                &of.path("daemon.log").display().to_string(),
                &of.path("daemon2.log").display().to_string(),
            );
        let path = of.path("config2.yaml");
        fs::write(&path, config + recordings).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_voipadmind"), "--config"])
            .arg(&path)
            .spawn()
            .unwrap();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
        let second = Self { child, port, agent };
        let up = testkit::wait_for(Duration::from_secs(30), || {
            second.agent.get(second.url("/health")).call().is_ok_and(|answer| answer.status() == 200)
        });
        assert!(up, "{}", fs::read_to_string(of.path("daemon2.log")).unwrap_or_default());
        second
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> (u16, Vec<u8>) {
        let mut request = self.agent.get(self.url(path)).header("X-API-Key", PLATFORM_KEY);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.call().unwrap();
        (answer.status().as_u16(), answer.into_body().read_to_vec().unwrap())
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn peer(name: &str, port: u16) -> String {
    format!(
        ", peer: {{name: {name}, url: 'http://127.0.0.1:{port}', allow: [127.0.0.1], password: {PEER_PASSWORD}}}"
    )
}

#[test]
fn either_node_plays_what_the_other_has_and_both_forget_it() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&one, &two] {
        fs::create_dir(dir.path().join("n1")).unwrap();
        fs::create_dir(dir.path().join("n2")).unwrap();
    }
    let port = testkit::free_port();
    let first = config_of(one.path(), "7d", &peer("n2", port));
    let mut node = testkit::or_skip!(Node::start_with(|config| config + &first));
    let second = Second::start(&node, port, &config_of(two.path(), "7d", &peer("n1", node.port)));
    // Longer than what is read ahead.
    let wav = write_wav(one.path(), 120);
    assert_eq!(node.post_cdr(LEG, "application/json", &recorded_call(one.path())).status, 200);
    node.settle();
    becomes(&node, "stored");
    let id = id(&node);
    let media = format!("/api/recordings/{id}/media");
    assert_eq!(second.get(&media, &[]), (200, wav.clone()), "not here: through the peer");
    assert_eq!(second.get(&media, &[("Range", "bytes=1000000-")]), (206, wav[1_000_000..].to_vec()));
    assert_eq!(node.sql("SELECT count(*) FROM voip.audit_log WHERE action = 'read'"), "2", "once each");

    // Who may come through the peer's door, and to what.
    let door = format!("/peer/recordings/{FILE}");
    assert_eq!(second.get(&door, &[]).0, 401);
    assert_eq!(node.post_engine(&door, "text/plain", b"").unwrap().status, 405);
    let token = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("peer:{PEER_PASSWORD}"))
    };
    let etag = format!("\"{}\"", hex::encode(Sha256::digest(&wav)));
    let knock = |path: &str| get_with_basic(&node, path, &token, &etag);
    assert_eq!(knock(&door), 200);
    for other in ["", "\"x\"", &etag.replace(char::is_numeric, "0")] {
        assert_eq!(get_with_basic(&node, &door, &token, other), 404, "{other}");
    }
    for path in
        ["n1/nothing.wav", "n1/..%2F..%2F..%2Fetc%2Fpasswd", "..%2Fn1/x.wav", "n1//etc/passwd", "n1/2026"]
    {
        assert_ne!(knock(&format!("/peer/recordings/{path}")), 200, "{path}");
    }

    // A half copy is none; a whole one is.
    write(two.path(), &wav[..wav.len() / 2]);
    assert_eq!(second.get(&media, &[]).1.len(), wav.len());
    let again = || node.sql("UPDATE voip.recordings SET peer_checked_at = NULL");
    again();
    let looked = "SELECT peer_checked_at IS NOT NULL FROM voip.recordings";
    assert!(testkit::wait_for(Duration::from_secs(30), || node.sql(looked) == "t"));
    assert_eq!(node.sql("SELECT state FROM voip.recordings"), "stored");
    write(two.path(), &wav);
    again();
    becomes(&node, "replicated");

    // The owner's disk has lost it.
    let kept: PathBuf = one.path().join("kept.wav");
    fs::rename(one.path().join(FILE), &kept).unwrap();
    assert!(get(&node, &media, &[]).body == wav, "from the peer");
    fs::rename(&kept, one.path().join(FILE)).unwrap();

    // One byte is another, and the file's time is set back: the copy is given out, and nothing when that is no better.
    let mut changed = wav.clone();
    changed[50_000] ^= 1;
    write(one.path(), &changed);
    assert!(get(&node, &media, &[]).body == wav, "the peer's copy");
    write(two.path(), &changed);
    for range in [&[][..], &[("Range", "bytes=0-9")]] {
        let answer = get(&node, &media, range);
        assert_eq!((answer.status, second.get(&media, range).0), (404, 404), "{range:?}");
    }
    write(one.path(), &wav);
    write(two.path(), &wav);
    assert!(get(&node, &media, &[]).body == wav);

    node.sql("UPDATE voip.recordings SET expires_at = now() - interval '1 day'");
    becomes(&node, "");
    assert!(!one.path().join(FILE).exists() && !two.path().join(FILE).exists());
    drop(second);
    node.kill9();
    node.launch();
    node.sql(
        "INSERT INTO voip.recordings (leg_uuid, start_time, node, file_path, state, file_size, sha256)
         VALUES ('x', now(), 'n2', '2026/11/22/x.wav', 'stored', 1, sha256('x'))",
    );
    let away = format!("/api/recordings/{}/media", self::id(&node));
    assert_eq!(get(&node, &away, &[]).status, 503, "the peer is away");
}

fn get_with_basic(node: &Node, path: &str, token: &str, etag: &str) -> u16 {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    agent
        .get(node.url(path))
        .header("If-Match", etag)
        .header("Authorization", format!("Basic {token}"))
        .call()
        .unwrap()
        .status()
        .as_u16()
}
