//! PostgreSQL and Redis killed and back while CDRs are posted; Redis emptied; the disk full; a stop in mid-stream.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod support;

use std::time::Duration;

use support::{Node, wire};

const JSON: &str = "application/json";

/// Posts `count` documents named `prefix-N`; the names of those that were acknowledged.
fn post(node: &Node, prefix: &str, count: usize) -> Vec<String> {
    let template = String::from_utf8(wire("cdr/busy.a_leg.json")).unwrap();
    let name = |n| format!("{prefix}-{n}");
    let posted = (0..count).map(name).filter(|uuid| {
        let body = template.replace("39503e5f-2031-461c-9054-079ca6084315", uuid);
        node.post_engine(&format!("/fs/cdr?uuid={uuid}"), JSON, body.as_bytes())
            .is_ok_and(|a| a.status == 200)
    });
    posted.collect()
}

/// Every acknowledged one is stored once, and nothing was stored twice.
fn assert_accounted(node: &Node, acknowledged: &[String]) {
    node.settle();
    let stored = node.sql("SELECT leg_uuid FROM voip.cdr");
    let stored: Vec<&str> = stored.lines().collect();
    let lost: Vec<_> = acknowledged.iter().filter(|uuid| !stored.contains(&uuid.as_str())).collect();
    assert!(lost.is_empty(), "lost {lost:?}; log:\n{}", node.log());
    let mut once = stored.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), stored.len(), "stored twice");
}

#[test]
fn postgres_killed_and_back() {
    let mut node = testkit::or_skip!(Node::start());
    let mut acknowledged = post(&node, "before", 20);
    node.postgres.kill9();
    let during = post(&node, "during", 20);
    assert_eq!(during.len(), 20, "CDRs are taken without the database");
    assert_eq!(node.get("/health").status, 503, "a node without its database is not ready");
    acknowledged.extend(during);
    node.postgres.start_again().unwrap();
    acknowledged.extend(post(&node, "after", 20));
    assert_accounted(&node, &acknowledged);
}

#[test]
fn redis_killed_and_back_and_emptied() {
    let mut node = testkit::or_skip!(Node::start());
    let mut acknowledged = post(&node, "before", 20);
    node.redis.kill9();
    let during = post(&node, "during", 20);
    assert_eq!(during.len(), 20, "CDRs are taken without Redis");
    acknowledged.extend(during);
    node.redis.restart().unwrap();
    acknowledged.extend(post(&node, "after", 20));
    node.redis.flushall();
    acknowledged.extend(post(&node, "flushed", 20));
    node.redis.flushall();
    assert_accounted(&node, &acknowledged);
}

/// Of two nodes, as far as Redis is concerned: the second's follows the first's.
fn of_a_pair(durability: &str) -> Result<(Node, testkit::Redis), testkit::Error> {
    let node = Node::start_with(|config| {
        let config =
            config.replace("database: {host: 127.0.0.1,", "database: {host: [127.0.0.1, 127.0.0.1],");
        config.replace("cdr: {", &format!("cdr: {{durability: {durability}, "))
    })?;
    let replica = testkit::Redis::start()?;
    replica.follow(Some(&node.redis));
    Ok((node, replica))
}

/// Acknowledgements since the start that only this node's disk stood for.
fn degraded(node: &Node) -> u64 {
    let text = node.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix("voip_cdr_ack_degraded_total "));
    line.map_or(0, |number| number.parse().unwrap())
}

/// Entries that the stream has ever had, on this server.
fn entries_added(redis: &testkit::Redis) -> usize {
    let info = redis.command(&["XINFO", "STREAM", "cdr_queue"]);
    let mut lines = info.lines().skip_while(|line| *line != "entries-added").skip(1);
    lines.next().and_then(|line| line.strip_prefix(':')).map_or(0, |number| number.parse().unwrap())
}

/// Posts one at a time until an acknowledgement is, or is not, the replica's too.
fn until(node: &Node, prefix: &str, is_copied: bool, acknowledged: &mut Vec<String>) {
    let mut times = 0;
    let reached = testkit::wait_for(Duration::from_secs(30), || {
        times += 1;
        let before = degraded(node);
        acknowledged.extend(post(node, &format!("{prefix}{times}"), 1));
        (degraded(node) == before) == is_copied
    });
    assert!(reached, "{prefix}: {}", node.log());
}

#[test]
fn an_acknowledgement_is_the_replicas_too_or_is_counted() {
    let (node, mut replica) = testkit::or_skip!(of_a_pair("replicated"));
    let mut acknowledged = Vec::new();
    until(&node, "joined", true, &mut acknowledged);
    let mut copied = 0;
    for number in 0..20 {
        let before = degraded(&node);
        acknowledged.extend(post(&node, &format!("both{number}"), 1));
        // On a slow machine the replica's word may come too late for one of them.
        if degraded(&node) == before {
            copied += 1;
            let added = entries_added(&replica);
            assert!(
                added >= acknowledged.len(),
                "{} acknowledged, the replica has had {added}",
                acknowledged.len()
            );
        }
    }
    assert!(copied > 0, "{}", node.log());
    let before = degraded(&node);
    replica.kill9();
    let alone = post(&node, "alone", 20);
    assert_eq!(alone.len(), 20, "calls are accounted for without the other node");
    assert_eq!(degraded(&node), before + 20, "and each is counted");
    acknowledged.extend(alone);
    replica.restart().unwrap();
    replica.follow(Some(&node.redis));
    until(&node, "again", true, &mut acknowledged);
    assert_accounted(&node, &acknowledged);
}

#[test]
fn strict_refuses_what_is_on_one_node_only() {
    let (node, mut replica) = testkit::or_skip!(of_a_pair("strict"));
    let mut acknowledged = Vec::new();
    let copied = testkit::wait_for(Duration::from_secs(30), || {
        let more = post(&node, &format!("joined{}", acknowledged.len()), 1);
        acknowledged.extend(more.iter().cloned());
        !more.is_empty()
    });
    assert!(copied, "{}", node.log());
    acknowledged.extend(post(&node, "both", 10));
    replica.kill9();
    let body = wire("cdr/busy.a_leg.json");
    let refused = node.post_cdr("39503e5f-2031-461c-9054-079ca6084315", JSON, &body);
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("strict"), "{}", refused.text());
    replica.restart().unwrap();
    replica.follow(Some(&node.redis));
    let again = testkit::wait_for(Duration::from_secs(30), || {
        node.post_cdr("39503e5f-2031-461c-9054-079ca6084315", JSON, &body).status == 200
    });
    assert!(again, "{}", node.log());
    acknowledged.push("39503e5f-2031-461c-9054-079ca6084315".into());
    assert_accounted(&node, &acknowledged);
}

#[test]
fn a_stop_drains_and_the_next_start_finishes() {
    let mut node = testkit::or_skip!(Node::start());
    let acknowledged = post(&node, "stop", 50);
    let status = node.terminate();
    assert!(status.success(), "{status}: {}", node.log());
    node.launch();
    assert_accounted(&node, &acknowledged);
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let Some(disk) = SmallDisk::mount() else {
        testkit::skip(&"a small tmpfs cannot be mounted here: not root");
        return;
    };
    let dir = disk.0.path().to_owned();
    let journal = dir.join("journal").display().to_string();
    let adapt = |config: String| {
        let line = config.lines().find(|l| l.starts_with("cdr:")).unwrap().to_owned();
        config.replace(
            &line,
            &format!("cdr: {{batch_timeout: 50ms, journal_max: 512MiB, journal_dir: {journal}}}"),
        )
    };
    let mut node = testkit::or_skip!(Node::start_with(adapt));
    let mut acknowledged = post(&node, "room", 10);
    assert_eq!(acknowledged.len(), 10);
    let ballast = dir.join("ballast");
    let filled = std::process::Command::new("dd")
        .args(["if=/dev/zero", "bs=64k", &format!("of={}", ballast.display())])
        .output()
        .unwrap();
    assert!(!filled.status.success(), "dd stops when the disk is full");
    node.postgres.kill9();
    acknowledged.extend(post(&node, "full", 200));
    assert!(acknowledged.len() < 210, "a full disk must refuse at some point");
    assert!(node.is_running());
    let health = node.get("/health");
    let journal = health.json()["details"]["journal"].clone();
    assert!(health.status == 503 && journal.as_str().unwrap().contains("file system is full"), "{journal}");
    assert!(node.log().contains("the journal is full"), "{}", node.log());
    std::fs::remove_file(ballast).unwrap();
    node.postgres.start_again().unwrap();
    let again = testkit::wait_for(Duration::from_secs(20), || {
        let more = post(&node, &format!("again{}", acknowledged.len()), 1);
        let taken = !more.is_empty();
        acknowledged.extend(more);
        taken
    });
    assert!(again, "the journal takes records again when there is room; log:\n{}", node.log());
    assert_eq!(node.get("/health").json()["details"]["journal"], "ok");
    assert_accounted(&node, &acknowledged);
}

/// A tmpfs of 128 MiB: the journal keeps a reserve of 64.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=128m", "tmpfs"])
            .arg(dir.path())
            .output()
            .ok()?;
        mounted.status.success().then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("--lazy").arg(self.0.path()).output();
    }
}
