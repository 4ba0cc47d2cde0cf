//! A look at real engines: a pair of PostgreSQL servers, a pair of Redis servers, and what hangs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test")]

mod common;

use std::time::{Duration, Instant};

use common::{NodeUnderTest, psql};
use nix::sys::signal::Signal;
use node::observe::{Observer, sample};
use testkit::{Postgres, Redis, or_skip, wait_for};

#[tokio::test]
async fn engines_tell_what_they_are() {
    let mut postgres = or_skip!(Postgres::start());
    let redis = or_skip!(Redis::start());
    let node = NodeUnderTest::new(&postgres, &redis);
    psql(&postgres, "SELECT pg_create_physical_replication_slot('tandem_n2', true)");
    let mut observer = Observer::new(node.place());
    let seen = observer.sample().await;
    assert_eq!(seen.postgresql.problem, None);
    assert!(
        seen.postgresql.running && seen.postgresql.writable && seen.postgresql.in_recovery == Some(false)
    );
    assert_eq!((seen.postgresql.timeline, seen.postgresql.sync_names.as_str()), (Some(1), ""));
    assert!(seen.postgresql.version.unwrap().starts_with("1"));
    assert!(seen.postgresql.started_at.is_some() && seen.postgresql.connections_max == 60);
    assert_eq!(
        (seen.postgresql.slots[0].name.as_str(), seen.postgresql.slots[0].active),
        ("tandem_n2", false)
    );
    assert_eq!((seen.redis.problem, seen.redis.role.as_deref()), (None, Some("master")));
    assert!(seen.machine.cores > 0 && seen.machine.disks[0].total_bytes > 0);
    assert!(!seen.kamailio.answers && !seen.media.sip.answers && !seen.voip_admin.answers);

    // The kept connection dies with the server, and its successor is found.
    postgres.kill9();
    let seen = observer.sample().await;
    assert!(!seen.postgresql.running && seen.postgresql.problem.is_some());
    postgres.start_again().unwrap();
    assert!(runs_again(&mut observer).await);
}

#[tokio::test]
async fn a_frozen_engine_costs_its_own_answer_only() {
    let mut postgres = or_skip!(Postgres::start());
    let mut redis = or_skip!(Redis::start());
    let node = NodeUnderTest::new(&postgres, &redis);
    let mut observer = Observer::new(node.place());
    assert!(runs_again(&mut observer).await);
    // The backend of the kept connection too: the whole group.
    let group = nix::unistd::Pid::from_raw(-i32::try_from(postgres.engine().unwrap().pid()).unwrap());
    nix::sys::signal::kill(group, Signal::SIGSTOP).unwrap();
    for backend in common::children(&postgres.data_dir()) {
        nix::sys::signal::kill(backend, Signal::SIGSTOP).unwrap();
    }
    redis.engine().unwrap().signal(Signal::SIGSTOP);
    let started = Instant::now();
    let seen = observer.sample().await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert!(!seen.postgresql.running && seen.postgresql.problem.unwrap().contains("no answer within"));
    assert!(!seen.redis.running && seen.redis.problem.unwrap().contains("no answer within"));
    assert!(seen.machine.memory_bytes > 0);
    for backend in common::children(&postgres.data_dir()) {
        let _ = nix::sys::signal::kill(backend, Signal::SIGCONT);
    }
    nix::sys::signal::kill(group, Signal::SIGCONT).unwrap();
    redis.engine().unwrap().signal(Signal::SIGCONT);
    let answered = runs_again(&mut observer).await;
    assert!(answered, "engines that go on are not seen again");
}

/// On a loaded machine an answer may take longer than a sample waits.
async fn runs_again(observer: &mut Observer) -> bool {
    for _ in 0..10 {
        let seen = observer.sample().await;
        if seen.postgresql.running && seen.redis.running {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn a_pair_tells_its_lag_and_its_links() {
    let primary = or_skip!(Postgres::start_with(common::primary_options()));
    let master = or_skip!(Redis::start());
    let replica = or_skip!(Redis::start());
    replica.follow(Some(&master));
    let n1 = NodeUnderTest::new(&primary, &master);
    let standby = common::Standby::of(&primary, "n2_e1_j1", "tandem_n2");
    let n2 = NodeUnderTest::beside(&n1, standby.port(), standby.socket_dir(), &replica);
    let streams =
        || psql(&primary, "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1";
    assert!(wait_for(Duration::from_secs(30), streams), "{}", standby.log());
    psql(&primary, "ALTER SYSTEM SET synchronous_standby_names = 'n2_e1_j1'");
    psql(&primary, "SELECT pg_reload_conf()");
    let sync = || psql(&primary, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == "1";
    assert!(wait_for(Duration::from_secs(30), sync));

    let seen = sample(&n1.place()).await;
    let only = &seen.postgresql.standbys[0];
    assert_eq!(
        (only.name.as_str(), only.state.as_str(), only.sync_state.as_str()),
        ("n2_e1_j1", "streaming", "sync")
    );
    assert_eq!(seen.postgresql.sync_names, "n2_e1_j1");
    assert!(seen.postgresql.slots[0].active);
    assert_eq!((seen.redis.replicas, seen.redis.role.as_deref()), (1, Some("master")));

    let seen = sample(&n2.place()).await;
    assert_eq!(seen.postgresql.problem, None);
    assert_eq!((seen.postgresql.in_recovery, seen.postgresql.writable), (Some(true), false));
    let receiver = seen.postgresql.receiver.unwrap();
    assert_eq!((receiver.status.as_str(), receiver.slot.as_deref()), ("streaming", Some("tandem_n2")));
    assert_eq!(seen.postgresql.timeline, Some(1));
    assert!(seen.postgresql.replay_lag_bytes.is_some());
    assert_eq!((seen.redis.role.as_deref(), seen.redis.link.as_deref()), (Some("slave"), Some("up")));

    // Commits that wait for a standby that is away are seen.
    drop(standby);
    let waiting = common::commit_in_background(&primary);
    let mut observer = Observer::new(n1.place());
    let mut seen = 0;
    for _ in 0..50 {
        seen = observer.sample().await.postgresql.writes_waiting;
        if seen > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(seen, 1);
    psql(&primary, "ALTER SYSTEM RESET synchronous_standby_names");
    psql(&primary, "SELECT pg_reload_conf()");
    waiting.join().unwrap();
}
