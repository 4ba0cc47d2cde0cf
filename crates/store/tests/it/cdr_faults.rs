//! The server dies, forgets how to write, or does not hear its standby: nothing acknowledged is lost, nothing that may
//! be lost is acknowledged.

use std::time::{Duration, Instant};

use store::{Error, Store, StoreConfig};

use crate::common::{Fixture, JOURNAL, config, leg, leg_item};

const START: &str = "2026-11-22T12:00:00Z";

/// A store that waits for a commit no longer than a test can.
fn hasty(fixture: &Fixture) -> Store {
    Store::connect(StoreConfig { commit_timeout: Duration::from_secs(2), ..config(&fixture.postgres) })
        .unwrap()
}

const CANCEL_WAITS: &str = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

async fn rows(fixture: &Fixture) -> i64 {
    fixture.superuser().await.query_one("SELECT count(*) FROM voip.cdr", &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_commit_the_standby_did_not_confirm_is_not_acknowledged() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let superuser = fixture.superuser().await;
    let standby = async |names: &str| {
        superuser
            .batch_execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"))
            .await
            .unwrap();
        superuser.batch_execute("SELECT pg_reload_conf(), pg_sleep(0.3)").await.unwrap();
    };
    let store = hasty(&fixture);
    let batch = [leg_item(1, leg("a", None, START))];
    store.commit_cdr_batch(&batch).await.unwrap();

    standby("nobody").await;
    // Everything is there already, and yet the answer must wait: "stored" is what the caller would take it for.
    let began = Instant::now();
    assert!(matches!(store.commit_cdr_batch(&batch).await, Err(Error::Unknown(_))));
    assert!(began.elapsed() < Duration::from_secs(30));
    // From then on a write is refused at once, with nothing changed, and reads go on.
    assert!(store.is_in_limbo());
    let refused = store.take_receipts(JOURNAL).await;
    assert!(matches!(&refused, Err(Error::Unavailable(why)) if why.contains("standby")), "{refused:?}");
    assert!(store.health().await.unwrap().writable);
    // An operator who cancels the wait gets a success with a warning from PostgreSQL; ours is none.
    let patient = Store::connect(config(&fixture.postgres)).unwrap();
    let waiting =
        tokio::spawn(async move { patient.commit_cdr_batch(&[leg_item(2, leg("b", None, START))]).await });
    while !waiting.is_finished() {
        superuser.batch_execute(CANCEL_WAITS).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let answer = waiting.await.unwrap();
    assert!(matches!(&answer, Err(Error::Unknown(why)) if why.contains("cancelled")), "{answer:?}");

    // Nor is it one to the store: it waits for a commit that was acknowledged.
    superuser.batch_execute(CANCEL_WAITS).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(store.is_in_limbo());
    standby("").await;
    let until = Instant::now() + Duration::from_secs(30);
    while store.is_in_limbo() {
        assert!(Instant::now() < until, "commits are acknowledged, and writes refused");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Given again, each is there once.
    let again = [leg_item(1, leg("a", None, START)), leg_item(2, leg("b", None, START))];
    assert_eq!(store.commit_cdr_batch(&again).await.unwrap().duplicates, 2);
    assert_eq!(store.take_receipts(JOURNAL).await.unwrap(), [1, 2]);
    assert_eq!(rows(&fixture).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_writing_nothing_acknowledged_is_lost() {
    let mut fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = hasty(&fixture);
    let mut acknowledged: Vec<u64> = Vec::new();
    for round in 0..3u64 {
        let (report, mut stored) = tokio::sync::mpsc::unbounded_channel();
        let writer = {
            let store = store.clone();
            tokio::spawn(async move {
                for seq in round * 1_000_000.. {
                    let batch = [leg_item(seq, leg(&format!("l{seq}"), None, START))];
                    match store.commit_cdr_batch(&batch).await {
                        Ok(_) => report.send(seq).unwrap(),
                        Err(error) => return error,
                    }
                }
                unreachable!("numbers end later than the server")
            })
        };
        // In the midst of it: after some have been acknowledged.
        while stored.len() < 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fixture.postgres.kill9();
        let error = writer.await.unwrap();
        assert!(error.is_retryable(), "{error:?}");
        while let Some(seq) = stored.recv().await {
            acknowledged.push(seq);
        }
        assert!(store.commit_cdr_batch(&[leg_item(round, leg("down", None, START))]).await.is_err());
        fixture.postgres.start_again().unwrap();
    }
    // fsync is off, but a process's death loses nothing that reached the kernel.
    assert!(acknowledged.len() >= 60);
    let receipts = store.take_receipts(JOURNAL).await.unwrap();
    assert!(
        acknowledged.iter().all(|seq| receipts.contains(seq)),
        "every acknowledged record has its receipt"
    );
    assert_eq!(rows(&fixture).await, i64::try_from(receipts.len()).unwrap(), "and every receipt its row");
}

#[tokio::test]
async fn a_server_that_cannot_write_is_not_used() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = hasty(&fixture);
    store.commit_cdr_batch(&[leg_item(1, leg("a", None, START))]).await.unwrap();
    let superuser = fixture.superuser().await;
    let read_only = async |on: &str| {
        superuser
            .batch_execute(&format!("ALTER SYSTEM SET default_transaction_read_only = {on}"))
            .await
            .unwrap();
        superuser.batch_execute("SELECT pg_reload_conf(), pg_sleep(0.3)").await.unwrap();
    };
    read_only("on").await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let error = store.commit_cdr_batch(&[leg_item(2, leg("b", None, START))]).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    superuser.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    read_only("off").await;
    store.commit_cdr_batch(&[leg_item(2, leg("b", None, START))]).await.unwrap();
}

#[tokio::test]
async fn no_server_is_said_soon_and_the_next_host_is_tried() {
    let mut fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = hasty(&fixture);
    store.health().await.unwrap();
    fixture.postgres.stop();
    let began = Instant::now();
    assert!(matches!(store.health().await, Err(Error::Unavailable(_))));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // The first host is dead, the second is the server: found within one call.
    fixture.postgres.start_again().unwrap();
    let mut hosts = config(&fixture.postgres);
    hosts.hosts.insert(0, ("127.0.0.1".to_owned(), testkit::free_port()));
    assert!(Store::connect(hosts).unwrap().health().await.unwrap().writable);
}

#[tokio::test]
async fn a_frozen_first_host_does_not_use_up_the_time_of_the_second() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    // Its kernel accepts, and nobody reads.
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut hosts = config(&fixture.postgres);
    hosts.hosts.insert(0, ("127.0.0.1".to_owned(), frozen.local_addr().unwrap().port()));
    hosts.connect_timeout = Duration::from_secs(10);
    let store = Store::connect(hosts).unwrap();
    let began = Instant::now();
    store.health().await.unwrap();
    // Its share of the time would have been five seconds.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    // The next connections begin with the one that was good.
    let began = Instant::now();
    let (one, two) = tokio::join!(store.health(), store.health());
    assert!(one.is_ok() && two.is_ok() && began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn one_silent_connection_is_enough_to_give_up_all() {
    let mut fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = Store::connect(StoreConfig {
        statement_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        tcp_user_timeout: Duration::from_secs(1),
        ..config(&fixture.postgres)
    })
    .unwrap();
    // Connections that will be idle when the server freezes.
    let (a, b, c) = tokio::join!(store.health(), store.health(), store.health());
    assert!(a.is_ok() && b.is_ok() && c.is_ok());
    assert!(store.pool_status().open >= 2, "{:?}", store.pool_status());
    let backends = fixture.superuser().await;
    let pids = "SELECT array_agg(pid) FROM pg_stat_activity WHERE usename = 'voip_admin'";
    let pids: Vec<i32> = backends.query_one(pids, &[]).await.unwrap().get(0);
    let freeze = |signal| {
        pids.iter().for_each(|pid| nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), signal).unwrap())
    };
    freeze(nix::sys::signal::Signal::SIGSTOP);
    let began = Instant::now();
    // The first call finds out, by a time-out; the next is served on a new connection.
    let mut calls = 0;
    while store.health().await.is_err() {
        calls += 1;
        assert!(calls < 3);
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    freeze(nix::sys::signal::Signal::SIGKILL);
    fixture.postgres.stop();
}

#[tokio::test]
async fn a_server_that_falls_silent_is_noticed_before_anybody_needs_it() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = Store::connect(StoreConfig {
        tcp_user_timeout: Duration::from_secs(30),
        ..config(&fixture.postgres)
    });
    let store = store.unwrap();
    store.health().await.unwrap();
    let watch = tokio::spawn({
        let store = store.clone();
        async move { store.watch().await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    // All that are there fall silent; a new connection finds a server again, as after a take-over.
    let superuser = fixture.superuser().await;
    let pids = "SELECT array_agg(pid) FROM pg_stat_activity WHERE usename = 'voip_admin'";
    let pids: Vec<i32> = superuser.query_one(pids, &[]).await.unwrap().get(0);
    let signal = |signal| {
        pids.iter().for_each(|pid| nix::sys::signal::kill(nix::unistd::Pid::from_raw(*pid), signal).unwrap())
    };
    signal(nix::sys::signal::Signal::SIGSTOP);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let began = Instant::now();
    store.health().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    watch.abort();
    signal(nix::sys::signal::Signal::SIGCONT);
}

#[tokio::test]
async fn old_records_are_swept() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    fixture.store.commit_cdr_batch(&[leg_item(1, leg("a", None, START))]).await.unwrap();
    let superuser = fixture.superuser().await;
    superuser
        .batch_execute(
            "INSERT INTO voip.cdr_receipts (journal_id, seqs, created_at)
                VALUES (gen_random_uuid(), '{1}', now() - interval '31 days');
             INSERT INTO voip.idempotency_keys (who, key, request_sha256, created_at)
                SELECT 'x', 'old' || n, '', now() - interval '25 hours' FROM generate_series(1, 25000) n;
             INSERT INTO voip.idempotency_keys (who, key, request_sha256) VALUES ('x', 'new', '');
             INSERT INTO voip.sip_dialogs (call_id, from_tag, evidence, node, updated_at)
                VALUES ('old', '', '{}', 'n1', now() - interval '8 days'), ('new', '', '{}', 'n1', now())",
        )
        .await
        .unwrap();
    let swept = fixture.store.sweep().await.unwrap();
    assert_eq!((swept.receipts, swept.idempotency_keys, swept.sip_dialogs), (1, 25_000, 1));
    assert_eq!(fixture.store.sweep().await.unwrap(), store::sweep::Swept::default());
    assert_eq!(fixture.store.take_receipts(JOURNAL).await.unwrap(), [1]);
}
