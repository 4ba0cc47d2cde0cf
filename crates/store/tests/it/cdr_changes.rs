//! The feed of changes: each state of a leg once and no gap, whatever the order of commits.

use std::collections::BTreeSet;
use std::time::Duration;

use store::{Error, Scope, Store};
use tokio_postgres::Client;

use crate::common::{A, B, Fixture, leg, leg_item};

async fn read(store: &Store, scope: Scope, after: Option<&str>) -> (Vec<String>, String, bool) {
    let changes = store.cdr_changes(scope, None, 3, after).await.unwrap();
    (changes.items.into_iter().map(|leg| leg.leg_uuid).collect(), changes.next, changes.more)
}

async fn writer(fixture: &Fixture) -> Client {
    let client = fixture.role("voip_admin").await;
    client.batch_execute("SET voip.tenant = '*'").await.unwrap();
    client
}

fn insert(uuid: &str) -> String {
    format!(
        "INSERT INTO voip.cdr (leg_uuid, start_time, call_uuid, head, source, provisional, direction, leg_direction, duration,
            billsec, recorded, node) VALUES ('{uuid}', now(), '{uuid}', true, 'freeswitch', false, 'internal', 'inbound', 1, 1, false, 'n1')"
    )
}

#[tokio::test]
async fn a_commit_that_comes_late_is_not_jumped_over() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let (first, second) = (writer(&fixture).await, writer(&fixture).await);
    let (_, start, _) = read(store, Scope::Platform, Some("now")).await;
    first.batch_execute(&format!("BEGIN; {}", insert("early"))).await.unwrap();
    second.batch_execute(&insert("late")).await.unwrap();
    let (seen, next, more) = read(store, Scope::Platform, Some(&start)).await;
    assert_eq!((seen, more), (vec![], false), "the earlier transaction still runs");
    first.batch_execute("COMMIT").await.unwrap();
    let (seen, next, _) = read(store, Scope::Platform, Some(&next)).await;
    assert_eq!(seen, ["early", "late"]);
    assert_eq!(read(store, Scope::Platform, Some(&next)).await.0, [""; 0]);
    for foreign in ["x", "1", "1-", "-1", "-1-1", "1795815526173486.7"] {
        let bad = store.cdr_changes(Scope::Platform, None, 3, Some(foreign)).await;
        assert!(matches!(bad, Err(Error::Invalid { field: "after", .. })), "{foreign}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_that_overlap_are_read_without_gap_or_double() {
    const WRITERS: u64 = 6;
    const ROWS: u64 = 40;
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let client = writer(&fixture).await;
        writers.push(tokio::spawn(async move {
            for row in 0..ROWS {
                client
                    .batch_execute(&format!("BEGIN; {}", insert(&format!("w{number}r{row}"))))
                    .await
                    .unwrap();
                // They overlap in every way; which, does not matter to the outcome.
                tokio::time::sleep(Duration::from_millis((number * 7 + row * 3) % 11)).await;
                client.batch_execute(if row % 8 == 7 { "ROLLBACK" } else { "COMMIT" }).await.unwrap();
            }
        }));
    }
    let (mut seen, mut next, mut finished) = (Vec::new(), None, false);
    loop {
        let (rows, position, more) = read(&fixture.store, Scope::Platform, next.as_deref()).await;
        let nothing = rows.is_empty();
        seen.extend(rows);
        next = Some(position);
        if finished && nothing && !more {
            break;
        }
        finished = writers.iter().all(tokio::task::JoinHandle::is_finished);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let once: BTreeSet<_> = seen.iter().cloned().collect();
    assert_eq!(once.len(), seen.len(), "none twice");
    let expected: BTreeSet<_> = (0..WRITERS)
        .flat_map(|number| (0..ROWS).filter(|row| row % 8 != 7).map(move |row| format!("w{number}r{row}")))
        .collect();
    assert_eq!(once, expected, "none missed");
}

#[tokio::test]
async fn a_leg_comes_again_when_it_changes_and_to_its_tenant_only() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let start = "2026-11-22T12:00:00Z";
    let mut provisional = leg("answered", None, start);
    provisional.provisional = true;
    let mut theirs = leg("theirs", None, start);
    theirs.domain = Some(B.to_owned());
    let orphan = leg("child", Some("root"), start);
    let late = leg("leaf", Some("branch"), start);
    let batch = [leg_item(1, provisional), leg_item(2, theirs), leg_item(3, orphan), leg_item(4, late)];
    store.commit_cdr_batch(&batch).await.unwrap();
    let (a, b) = (Scope::Tenant(fixture.domain_id(A).await), Scope::Tenant(fixture.domain_id(B).await));
    let (seen, next, _) = read(store, a, None).await;
    assert_eq!(seen, ["answered", "child", "leaf"]);
    assert_eq!(read(store, b, None).await.0, ["theirs"]);
    // The true row, and the same again, which changes nothing; the root its child was filed under before, which changes nothing of
    // the child; and a branch that files its leaf under another call.
    let batch = [
        leg_item(5, leg("answered", None, start)),
        leg_item(6, leg("answered", None, start)),
        leg_item(7, leg("root", None, start)),
        leg_item(8, leg("branch", Some("trunk"), start)),
    ];
    store.commit_cdr_batch(&batch).await.unwrap();
    let (mut seen, next, more) = read(store, a, Some(&next)).await;
    assert!(more);
    let (rest, next, _) = read(store, a, Some(&next)).await;
    seen.extend(rest);
    seen.sort();
    assert_eq!(seen, ["answered", "branch", "leaf", "root"]);
    store.commit_cdr_batch(&batch).await.unwrap();
    assert_eq!(read(store, a, Some(&next)).await.0, [""; 0]);
}
