//! The queue on a real Redis: what is pushed is delivered until it is acknowledged, whatever becomes of the server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with a line number")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use nix::sys::signal::Signal;
use proptest::prelude::*;
use queue::{Entry, Queue, QueueConfig, Reader};
use testkit::{Redis, or_skip};
use uuid::Uuid;

const SOON: Duration = Duration::from_millis(200);
/// Longer than any bound of the queue's own, shorter than a human's patience.
const BOUND: Duration = Duration::from_secs(15);

fn config(servers: &[&Redis]) -> QueueConfig {
    QueueConfig {
        hosts: servers.iter().map(|redis| ("127.0.0.1".to_owned(), redis.port())).collect(),
        password: servers[0].password().to_owned(),
        db: 0,
        stream: "cdr_queue".to_owned(),
    }
}

fn entry(seq: u64) -> Entry {
    Entry {
        journal_id: Uuid::from_u128(7),
        seq,
        node: "n1".to_owned(),
        kind: 1,
        received_us: 1_795_341_549_991_056,
        key: format!("leg-{seq}"),
        body: Bytes::from(format!("{{\"seq\":{seq}}}")),
    }
}

async fn read_all(reader: &Reader) -> Vec<u64> {
    let mut seqs = Vec::new();
    loop {
        let delivered = reader.read(100, SOON).await.unwrap();
        if delivered.is_empty() {
            return seqs;
        }
        seqs.extend(delivered.into_iter().map(|delivered| delivered.entry.seq));
    }
}

/// Until it succeeds: a connection that broke is noticed by the call that fails.
async fn push_at_last(queue: &Queue, entries: &[Entry]) {
    let began = Instant::now();
    while let Err(error) = queue.push(entries).await {
        assert!(began.elapsed() < BOUND, "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn each_entry_goes_to_one_reader_until_it_is_acknowledged() {
    let redis = or_skip!(Redis::start());
    let queue = Queue::new(config(&[&redis]));
    queue.push(&[]).await.unwrap();
    // Pushed before any reader made the group.
    queue.push(&(0..100).map(entry).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(queue.len().await.unwrap(), 100);
    let (one, two) = (queue.reader("one"), queue.reader("two"));
    let first = one.read(60, SOON).await.unwrap();
    let second = two.read(60, SOON).await.unwrap();
    assert_eq!((first.len(), second.len()), (60, 40));
    assert_eq!(first[0].entry, entry(0));
    let ids: Vec<_> = first.into_iter().map(|delivered| delivered.id).collect();
    queue.ack(&ids).await.unwrap();
    queue.ack(&ids).await.unwrap();
    assert_eq!(queue.len().await.unwrap(), 40);
    // The second dies; after a while its entries go to whoever asks.
    assert!(one.claim_stale(Duration::from_secs(60), 100).await.unwrap().is_empty());
    tokio::time::sleep(Duration::from_millis(50)).await;
    let claimed = one.claim_stale(Duration::from_millis(20), 100).await.unwrap();
    assert_eq!(
        claimed.iter().map(|delivered| delivered.entry.seq).collect::<Vec<_>>(),
        (60..100).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_flushed_server_is_used_again_at_once() {
    let redis = or_skip!(Redis::start());
    let queue = Queue::new(config(&[&redis]));
    let reader = queue.reader("one");
    assert!(read_all(&reader).await.is_empty());
    queue.push(&[entry(1)]).await.unwrap();
    redis.flushall();
    assert!(read_all(&reader).await.is_empty());
    assert!(reader.claim_stale(Duration::ZERO, 10).await.unwrap().is_empty());
    queue.push(&[entry(2)]).await.unwrap();
    assert_eq!(read_all(&reader).await, [2]);
    // Flushed under a blocked read.
    let blocked = tokio::spawn(async move { (reader.read(10, Duration::from_secs(4)).await, reader) });
    tokio::time::sleep(SOON).await;
    redis.flushall();
    queue.push(&[entry(3)]).await.unwrap();
    let (delivered, reader) = blocked.await.unwrap();
    let mut seqs: Vec<u64> = delivered.unwrap().iter().map(|delivered| delivered.entry.seq).collect();
    seqs.extend(read_all(&reader).await);
    assert_eq!(seqs, [3]);
}

#[tokio::test]
async fn a_killed_server_fails_soon_and_is_found_again_with_what_it_had() {
    let mut redis = or_skip!(Redis::start());
    let queue = Queue::new(config(&[&redis]));
    let reader = queue.reader("one");
    queue.push(&[entry(1)]).await.unwrap();
    let identity = queue.identity().await.unwrap();
    assert_eq!(queue.identity().await.unwrap(), identity);
    redis.kill9();
    let began = Instant::now();
    assert!(queue.push(&[entry(2)]).await.is_err());
    assert!(reader.read(10, SOON).await.is_err());
    assert!(queue.cache_get("x").await.is_err());
    assert!(began.elapsed() < BOUND);
    redis.restart().unwrap();
    push_at_last(&queue, &[entry(3)]).await;
    assert_eq!(read_all(&reader).await, [1, 3]);
    assert_ne!(queue.identity().await.unwrap(), identity, "another life of the server");
}

#[tokio::test]
async fn a_frozen_server_holds_nobody_up() {
    let mut redis = or_skip!(Redis::start());
    let queue = Queue::new(config(&[&redis]));
    let reader = queue.reader("one");
    assert!(read_all(&reader).await.is_empty());
    queue.push(&[entry(1)]).await.unwrap();
    redis.engine().unwrap().signal(Signal::SIGSTOP);
    let began = Instant::now();
    let second = [entry(2)];
    let (pushed, read) = tokio::join!(queue.push(&second), reader.read(10, SOON));
    assert!(pushed.is_err() && read.is_err());
    assert!(queue.cache_get("x").await.is_err(), "nor can it be connected to");
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
    redis.engine().unwrap().signal(Signal::SIGCONT);
    push_at_last(&queue, &[entry(3)]).await;
    // What the frozen server took in may be delivered or wait for its claim; nothing is lost.
    let mut seqs = read_all(&reader).await;
    seqs.extend(
        reader.claim_stale(Duration::ZERO, 10).await.unwrap().iter().map(|delivered| delivered.entry.seq),
    );
    assert!(seqs.contains(&1) && seqs.contains(&3), "{seqs:?}");
}

#[tokio::test]
async fn a_demoted_master_is_left_for_the_new_one() {
    let (one, two) = (or_skip!(Redis::start()), or_skip!(Redis::start()));
    two.follow(Some(&one));
    // The replica comes first in the list and is passed over.
    let queue = Queue::new(config(&[&two, &one]));
    let reader = queue.reader("one");
    assert_eq!(queue.push_replicated(&[entry(1)], BOUND).await.unwrap(), 1);
    assert_eq!(read_all(&reader).await, [1]);
    let identity = queue.identity().await.unwrap();
    two.follow(None);
    one.follow(Some(&two));
    push_at_last(&queue, &[entry(2)]).await;
    assert!(two.command(&["XLEN", "cdr_queue"]).starts_with(":2"));
    let began = Instant::now();
    let mut seqs = Vec::new();
    while seqs.is_empty() {
        assert!(began.elapsed() < BOUND);
        let delivered = reader.read(10, SOON).await.unwrap_or_default();
        seqs.extend(delivered.into_iter().map(|delivered| delivered.entry.seq));
    }
    assert_eq!(seqs, [2]);
    assert_ne!(queue.identity().await.unwrap(), identity);
}

#[tokio::test]
async fn a_missing_replica_is_counted_not_waited_for() {
    let redis = or_skip!(Redis::start());
    let queue = Queue::new(config(&[&redis]));
    let began = Instant::now();
    assert_eq!(queue.push_replicated(&[entry(1)], Duration::from_millis(50)).await.unwrap(), 0);
    assert!(began.elapsed() < BOUND);
    assert_eq!(queue.len().await.unwrap(), 1, "pushed all the same");
    // While one waits for a replica, others are served.
    let waiting = {
        let queue = queue.clone();
        tokio::spawn(async move { queue.push_replicated(&[entry(2)], BOUND).await })
    };
    let began = Instant::now();
    queue.cache_put("x", b"y", BOUND).await.unwrap();
    assert!(!waiting.is_finished() || began.elapsed() > queue::REPLICA_WAIT_MAX);
    assert_eq!(waiting.await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn what_is_not_ours_is_taken_off() {
    let redis = or_skip!(Redis::start());
    let queue = Queue::new(config(&[&redis]));
    redis.command(&["XADD", "cdr_queue", "*", "hello", "world"]);
    redis.command(&["XADD", "cdr_queue", "*", "j", "short", "s", "-1"]);
    queue.push(&[entry(1)]).await.unwrap();
    assert_eq!(read_all(&queue.reader("one")).await, [1]);
    assert_eq!(queue.len().await.unwrap(), 1);
    // Somebody else's key under our name: an error, not a panic.
    redis.flushall();
    redis.command(&["SET", "cdr_queue", "x"]);
    assert!(queue.push(&[entry(1)]).await.is_err());
    assert!(queue.reader("one").read(1, SOON).await.is_err());
}

#[tokio::test]
async fn the_cache_forgets_and_the_stream_does_not() {
    let redis = or_skip!(Redis::start());
    let queue = Queue::new(config(&[&redis]));
    queue.cache_put("dir:a.example:1001", b"<xml/>\0\xff", Duration::from_secs(60)).await.unwrap();
    assert_eq!(queue.cache_get("dir:a.example:1001").await.unwrap().as_deref(), Some(&b"<xml/>\0\xff"[..]));
    assert!(!redis.command(&["TTL", "dir:a.example:1001"]).starts_with(":-"));
    queue.push(&[entry(1)]).await.unwrap();
    assert_eq!(
        redis.command(&["TTL", "cdr_queue"]).lines().next(),
        Some(":-1"),
        "or volatile-lru could evict it"
    );
    queue.cache_del("dir:a.example:1001").await.unwrap();
    assert_eq!(queue.cache_get("dir:a.example:1001").await.unwrap(), None);
    queue.cache_put("short", b"", Duration::ZERO).await.unwrap();
    assert!(testkit::wait_for(BOUND, || redis.command(&["EXISTS", "short"]).starts_with(":0")));
}

#[tokio::test]
async fn a_wrong_password_and_no_server_are_said_soon() {
    let redis = or_skip!(Redis::start());
    let began = Instant::now();
    let wrong = Queue::new(QueueConfig { password: "wrong".to_owned(), ..config(&[&redis]) });
    let error = wrong.len().await.unwrap_err();
    assert!(!error.to_string().contains("wrong\""), "{error}");
    let nobody =
        QueueConfig { hosts: vec![("127.0.0.1".to_owned(), testkit::free_port())], ..config(&[&redis]) };
    assert!(Queue::new(nobody).push(&[entry(1)]).await.is_err());
    let nowhere = QueueConfig { hosts: Vec::new(), ..config(&[&redis]) };
    assert!(Queue::new(nowhere).len().await.is_err());
    assert!(began.elapsed() < BOUND);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20, ..ProptestConfig::default() })]

    /// Any record comes out as it went in: bodies are bytes, and numbers keep their sign and size.
    #[test]
    fn every_record_comes_out_as_it_went_in(
        records in proptest::collection::vec((any::<u128>(), any::<u64>(), ".*", any::<u8>(), any::<i64>(), ".*",
            proptest::collection::vec(any::<u8>(), 0..2_000)), 1..20)
    ) {
        let entries: Vec<Entry> = records.into_iter().map(|(journal, seq, node, kind, received_us, key, body)| Entry {
            journal_id: Uuid::from_u128(journal), seq, node, kind, received_us, key, body: body.into(),
        }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let read = runtime.block_on(async {
            let redis = SHARED.with(|redis| redis.as_ref().map(|redis| config(&[redis])));
            let Some(config) = redis else { return entries.clone() };
            let queue = Queue::new(config);
            queue.push(&entries).await.unwrap();
            let delivered = queue.reader("one").read(100, SOON).await.unwrap();
            queue.ack(&delivered.iter().map(|delivered| delivered.id.clone()).collect::<Vec<_>>()).await.unwrap();
            delivered.into_iter().map(|delivered| delivered.entry).collect()
        });
        prop_assert_eq!(read, entries);
    }
}

thread_local! {
    /// One server for all cases; they leave the stream empty.
    static SHARED: Option<Redis> = match Redis::start() {
        Ok(redis) => Some(redis),
        Err(error) if error.is_absence() => { testkit::skip(&error); None }
        Err(error) => panic!("{error}"),
    };
}
