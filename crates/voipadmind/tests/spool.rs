//! What the engines could not post is found in their spool folders.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod support;

use std::time::Duration;

use support::{Node, wire};

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
    write("39503e5f-2031-461c-9054-079ca6084315.cdr.json", &half[..half.len() / 3]);
    write("huge.cdr.json", &vec![b' '; 2 << 20]);
    let event = r#"{"event":"failed","call_id":"c9","from_tag":"f","vp_call":"5d0e7f6e-5a0a-4a64-9a3e-0a1b2c3d4e5f","domain":"default.local","caller":"1001","callee":"1002","start":"1795341549.1","time":"1795341551.0","sip_code":"486","sip_reason":"Busy Here","media":"0","direction":"internal"}"#;
    std::fs::write(kamailio.join("e1.json"), format!("{event}\n")).unwrap();

    let adapt = |config: String| {
        let folders =
            format!("cdr: {{spool_dir: {}, kamailio_spool_dir: {}, ", fs.display(), kamailio.display());
        config.replace("cdr: {", &folders)
    };
    let node = testkit::or_skip!(Node::start_with(adapt));
    let imported = testkit::wait_for(Duration::from_secs(30), || {
        !kamailio.join("e1.json").exists()
            && std::fs::read_dir(fs.join("done")).is_ok_and(|d| d.count() == 3)
            // What is too large is put aside, not deleted.
            && fs.join("bad/huge.cdr.json").exists()
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

    // One that its writer closes is taken at once: by its date this one would never have settled.
    use std::io::Write as _;
    let late = fs.join("late.cdr.json");
    let mut file = std::fs::File::create(&late).unwrap();
    let text = String::from_utf8(wire("cdr/busy.a_leg.json")).unwrap();
    file.write_all(text.replace("39503e5f-2031-461c-9054-079ca6084315", "late").as_bytes()).unwrap();
    file.set_modified(std::time::SystemTime::now() + Duration::from_secs(86_400)).unwrap();
    drop(file);
    let taken = testkit::wait_for(Duration::from_secs(30), || fs.join("done/late.cdr.json").exists());
    assert!(taken && !late.exists(), "{}", node.log());
}
