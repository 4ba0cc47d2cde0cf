//! CDRs as they should never be: each gets a clear answer, none is lost once it was acknowledged, the process lives.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod support;

use support::{Node, wire};

const JSON: &str = "application/json";

#[test]
fn what_cannot_be_understood_is_kept_whole() {
    let mut node = testkit::or_skip!(Node::start());
    let whole = wire("cdr/internal_answered.a_leg.json");
    let text = String::from_utf8(whole.clone()).unwrap();
    let without_start = text.replace("start_uepoch", "start_xepoch").replace("created_time", "xreated_time");
    let poison: Vec<(&str, Vec<u8>)> = vec![
        ("half JSON", whole[..whole.len() / 2].to_vec()),
        ("an array", b"[1,2,3]".to_vec()),
        ("not JSON", b"\xff\xfe\x00garbage".to_vec()),
        ("cdr= and nothing", b"cdr=".to_vec()),
        ("an empty object", b"{}".to_vec()),
        (
            "no uuid",
            text.replace("\"uuid\":\"387cb8cc-3292-4325-94d7-eab93882bea7\"", "\"vuid\":\"x\"").into_bytes(),
        ),
        ("no start", without_start.into_bytes()),
    ];
    for (what, body) in &poison {
        let answer = node.post_cdr("", JSON, body);
        assert_eq!(answer.status, 200, "{what} is kept, so it is acknowledged: {}", answer.text());
    }
    node.settle();
    for (what, body) in &poison {
        let kept =
            node.sql(&format!("SELECT reason FROM voip.cdr_quarantine WHERE body = '\\x{}'", hex(body)));
        assert!(!kept.is_empty(), "{what} is not in quarantine whole");
    }
    assert_eq!(node.sql("SELECT count(*) FROM voip.cdr"), "0");
    assert!(node.is_running());
}

#[test]
fn strange_but_readable_documents_are_rows() {
    let node = testkit::or_skip!(Node::start());
    let text = String::from_utf8(wire("cdr/busy.a_leg.json")).unwrap();
    let uuid = "39503e5f-2031-461c-9054-079ca6084315";
    let variants = [
        ("negative", text.replace("\"duration\":\"0\"", "\"duration\":\"-3\"").replace(uuid, "negative")),
        ("zero", text.replace("\"answer_uepoch\":\"0\"", "\"answer_uepoch\":\"\"").replace(uuid, "zero")),
        ("double", text.replacen('{', "{\"callflow\":[],", 1).replace(uuid, "double")),
        ("not/a uuid", text.replace(uuid, "not/a uuid")),
    ];
    for (name, body) in &variants {
        assert_eq!(node.post_cdr("", JSON, body.as_bytes()).status, 200, "{name}");
    }
    node.settle();
    for (name, _) in &variants {
        let rows = node.sql(&format!("SELECT count(*) FROM voip.cdr WHERE leg_uuid = '{name}'"));
        let why = node.sql("SELECT reason FROM voip.cdr_quarantine");
        assert_eq!(rows, "1", "{name}; quarantine: {why}");
    }
    assert_eq!(node.sql("SELECT duration FROM voip.cdr WHERE leg_uuid = 'negative'"), "-3", "verbatim");
}

#[test]
fn refusals_are_clear_and_acknowledge_nothing() {
    let mut node = testkit::or_skip!(Node::start());
    let empty = node.post_cdr("x", JSON, b"");
    assert_eq!(empty.status, 400, "{}", empty.text());
    let large = node.post_engine("/fs/cdr?uuid=x", JSON, &vec![b' '; 2 << 20]);
    // The connection may be closed on a sender that goes on sending after the answer.
    assert!(large.map_or(true, |a| a.status == 413));
    let wrong = node.post_as("/fs/cdr", JSON, b"{}", "freeswitch:guess").unwrap();
    assert_eq!(wrong.status, 401);
    assert_eq!(node.get("/fs/cdr").status, 405, "GET");
    node.settle();
    assert_eq!(
        node.sql("SELECT (SELECT count(*) FROM voip.cdr) + (SELECT count(*) FROM voip.cdr_quarantine)"),
        "0"
    );
    assert!(node.is_running());
    // Neither vanished without a trace.
    let (metrics, log) = (node.get("/metrics").text(), node.log());
    for (reason, length) in [("too_large", 2 << 20), ("empty", 0)] {
        assert!(metrics.contains(&format!("voip_cdr_refused_total{{reason=\"{reason}\"}} 1")), "{metrics}");
        let told = |line: &&str| {
            line.contains("was refused")
                && line.contains(reason)
                && line.contains("uuid=\"x\"")
                && line.contains(&format!("length={length}"))
        };
        assert_eq!(log.lines().filter(told).count(), 1, "{reason}: {log}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
