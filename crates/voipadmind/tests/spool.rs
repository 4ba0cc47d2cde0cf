//! What the engines could not post is found in their spool folders.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod support;

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use support::{Node, wire};

const WAIT: Duration = Duration::from_secs(30);

fn with_spool(config: &str, fs: &Path) -> String {
    config.replace("cdr: {", &format!("cdr: {{spool_dir: {}, ", fs.display()))
}

/// As if nobody had written to it since.
fn age(file: &File, seconds: u64) {
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
}

fn write_aged(file: &Path, body: &[u8], seconds: u64) -> File {
    let mut file = File::create(file).unwrap();
    file.write_all(body).unwrap();
    age(&file, seconds);
    file
}

#[test]
fn spooled_documents_are_imported_and_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let (fs, kamailio) = (dir.path().join("fs"), dir.path().join("kamailio"));
    for folder in [&fs, &kamailio] {
        std::fs::create_dir(folder).unwrap();
    }
    let write = |file: &str, body: &[u8]| std::fs::write(fs.join(file), body).unwrap();
    write("7f90c027-e898-4472-8054-9ad52d680954.cdr.json", &wire("cdr/spool.encode_false.cdr.json"));
    write("ded86229-6683-4e08-b166-bf6f4513d8ec.cdr.json", &wire("cdr/spool.encode_true.cdr.json"));
    let half = wire("cdr/busy.a_leg.json");
    let half = &half[..half.len() / 3];
    write_aged(&fs.join("39503e5f-2031-461c-9054-079ca6084315.cdr.json"), half, 120);
    write("huge.cdr.json", &vec![b' '; 2 << 20]);
    write_aged(&fs.join("empty.cdr.json"), b"", 120);
    // What lies in bad/ is never written over.
    std::fs::create_dir(fs.join("bad")).unwrap();
    write("bad/empty.cdr.json", b"another");
    let event = r#"{"event":"failed","call_id":"c9","from_tag":"f","vp_call":"5d0e7f6e-5a0a-4a64-9a3e-0a1b2c3d4e5f","domain":"default.local","caller":"1001","callee":"1002","start":"1795341549.1","time":"1795341551.0","sip_code":"486","sip_reason":"Busy Here","media":"0","direction":"internal"}"#;
    std::fs::write(kamailio.join("e1.json"), format!("{event}\n")).unwrap();

    let adapt = |config: String| {
        let folders =
            format!("cdr: {{spool_dir: {}, kamailio_spool_dir: {}, ", fs.display(), kamailio.display());
        config.replace("cdr: {", &folders)
    };
    let node = testkit::or_skip!(Node::start_with(adapt));
    let bad = |name: &str| std::fs::read(fs.join("bad").join(name)).ok();
    let imported = testkit::wait_for(WAIT, || {
        !kamailio.join("e1.json").exists()
            && std::fs::read_dir(fs.join("done")).is_ok_and(|d| d.count() == 2)
            && std::fs::read_dir(fs.join("bad")).is_ok_and(|d| d.count() == 4)
    });
    assert!(imported, "{}", node.log());
    node.settle();
    let rows = node.sql("SELECT leg_uuid, hangup_cause FROM voip.cdr ORDER BY start_time");
    let expected = [
        "5d0e7f6e-5a0a-4a64-9a3e-0a1b2c3d4e5f|USER_BUSY",
        "7f90c027-e898-4472-8054-9ad52d680954|NORMAL_CLEARING",
        "ded86229-6683-4e08-b166-bf6f4513d8ec|NORMAL_CLEARING",
    ];
    assert_eq!(rows.lines().collect::<Vec<_>>(), expected);
    let kept = node.sql("SELECT uuid FROM voip.cdr_quarantine");
    assert_eq!(kept, "39503e5f-2031-461c-9054-079ca6084315", "half a file is kept whole, with its name");
    // What is no record is put aside whole, told and counted.
    assert_eq!(bad("huge.cdr.json").map(|body| body.len()), Some(2 << 20));
    assert_eq!(bad("39503e5f-2031-461c-9054-079ca6084315.cdr.json").as_deref(), Some(half));
    assert_eq!(bad("empty.cdr.json").as_deref(), Some(&b"another"[..]));
    assert_eq!(bad("empty.cdr.json.1").as_deref(), Some(&b""[..]));
    let log = node.log();
    for (file, reason) in [
        ("huge.cdr.json", "too_large"),
        ("empty.cdr.json.1", "empty"),
        ("39503e5f-2031-461c-9054-079ca6084315.cdr.json", "not_understood"),
    ] {
        let told = |line: &&str| line.contains("put aside") && line.contains(file) && line.contains(reason);
        assert_eq!(log.lines().filter(told).count(), 1, "{file}: {log}");
        let counted = format!("voip_cdr_spool_bad_total{{kind=\"freeswitch\",reason=\"{reason}\"}} 1");
        assert!(node.get("/metrics").text().contains(&counted), "{counted}");
    }
    let shown = testkit::wait_for(WAIT, || {
        let metrics = node.get("/metrics").text();
        metrics.contains("voip_cdr_spool_bad{kind=\"freeswitch\"} 4")
            && metrics.contains("voip_cdr_spool_waiting{kind=\"freeswitch\"} 0")
    });
    assert!(shown, "{}", node.get("/metrics").text());

    // One that its writer closes is taken at once: by its date this one would never have settled.
    let late = fs.join("late.cdr.json");
    let mut file = File::create(&late).unwrap();
    let text = String::from_utf8(wire("cdr/busy.a_leg.json")).unwrap();
    file.write_all(text.replace("39503e5f-2031-461c-9054-079ca6084315", "late").as_bytes()).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(86_400)).unwrap();
    drop(file);
    let taken = testkit::wait_for(WAIT, || fs.join("done/late.cdr.json").exists());
    assert!(taken && !late.exists(), "{}", node.log());
}

#[test]
fn half_a_document_waits_for_its_other_half() {
    let dir = tempfile::tempdir().unwrap();
    let fs = dir.path();
    let text = String::from_utf8(wire("cdr/busy.a_leg.json")).unwrap();
    let document = |uuid: &str| text.replace("39503e5f-2031-461c-9054-079ca6084315", uuid).into_bytes();
    let (slow, stuck) = (document("slow"), document("stuck"));
    let half = text.len() / 2;
    // One whose writer was held up for more than a minute, and one for less.
    let mut stuck_file = write_aged(&fs.join("stuck.cdr.json"), &stuck[..half], 120);
    let node = testkit::or_skip!(Node::start_with(|config| with_spool(&config, fs)));
    let taken = testkit::wait_for(WAIT, || fs.join("bad/stuck.cdr.json").exists());
    assert!(taken, "{}", node.log());
    node.settle();
    assert_eq!(node.sql("SELECT uuid FROM voip.cdr_quarantine"), "stuck");
    let mut slow_file = write_aged(&fs.join("slow.cdr.json"), &slow[..half], 10);
    let waiting = "voip_cdr_spool_waiting{kind=\"freeswitch\"} 1";
    assert!(testkit::wait_for(WAIT, || node.get("/metrics").text().contains(waiting)), "{}", node.log());
    // One round more.
    std::thread::sleep(Duration::from_secs(3));
    assert!(fs.join("slow.cdr.json").exists(), "{}", node.log());

    slow_file.write_all(&slow[half..]).unwrap();
    stuck_file.write_all(&stuck[half..]).unwrap();
    drop((slow_file, stuck_file));
    for name in ["slow", "stuck"] {
        let done = fs.join(format!("done/{name}.cdr.json"));
        assert!(testkit::wait_for(WAIT, || done.exists()), "{name}: {}", node.log());
        assert_eq!(std::fs::read(done).unwrap(), document(name), "whole");
    }
    node.settle();
    assert_eq!(node.sql("SELECT leg_uuid FROM voip.cdr ORDER BY leg_uuid"), "slow\nstuck");
    assert_eq!(node.sql("SELECT count(*) FROM voip.cdr_quarantine"), "1", "the half is shown");
}

#[test]
fn a_file_that_cannot_be_taken_is_told_once_and_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let fs = dir.path();
    let sound = fs.join("39503e5f-2031-461c-9054-079ca6084315.cdr.json");
    write_aged(&sound, &wire("cdr/busy.a_leg.json"), 10);
    write_aged(&fs.join("huge.cdr.json"), &vec![b' '; 2 << 20], 10);
    // A file in the folder's place: not even root can move the document.
    std::fs::write(fs.join("done"), "").unwrap();
    let node = testkit::or_skip!(Node::start_with(|config| with_spool(&config, fs)));
    assert!(testkit::wait_for(WAIT, || fs.join("bad/huge.cdr.json").exists()), "{}", node.log());
    let unreadable = "voip_cdr_spool_unreadable{kind=\"freeswitch\"} 1";
    assert!(testkit::wait_for(WAIT, || node.get("/metrics").text().contains(unreadable)), "{}", node.log());
    // Three rounds more.
    std::thread::sleep(Duration::from_secs(6));
    let log = node.log();
    let told = |line: &&str| line.contains("cannot be taken") && line.contains("39503e5f");
    assert_eq!(log.lines().filter(told).count(), 1, "{log}");
    assert_eq!(node.sql("SELECT count(*) FROM voip.cdr"), "0", "not taken in before it can be put aside");

    // Mended, and closed once more by somebody: taken at once.
    std::fs::remove_file(fs.join("done")).unwrap();
    drop(File::options().append(true).open(&sound).unwrap());
    let done = fs.join("done").join(sound.file_name().unwrap());
    assert!(testkit::wait_for(WAIT, || done.exists()), "{}", node.log());
    node.settle();
    assert_eq!(node.sql("SELECT count(*) FROM voip.cdr"), "1");
}
