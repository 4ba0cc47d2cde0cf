//! A record that never came is told, by name, and only that: whatever is told late, twice or in any order.

use jiff::Timestamp;
use model::Leg;
use model::cdr::session::EndedSession;
use store::sessions::{Missing, SessionCounts};
use store::{Content, Item, Store};

use crate::common::{Fixture, at, item, leg, leg_item};

const ENDED: &str = "2026-11-22T12:00:00Z";

fn ended(number: i64, leg_uuid: &str, at_time: &str) -> EndedSession {
    EndedSession {
        core_uuid: "core".to_owned(),
        number,
        leg_uuid: leg_uuid.to_owned(),
        start_time: Some(at("2026-11-22T11:59:00Z")),
        ended: at(at_time),
        owes_record: true,
    }
}

fn exempt(number: i64) -> EndedSession {
    EndedSession { start_time: None, owes_record: false, ..ended(number, "refused", ENDED) }
}

fn record(seq: u64, number: i64, uuid: &str) -> Item {
    leg_item(seq, Leg { session_id: Some(number), ..leg(uuid, None, "2026-11-22T11:59:00Z") })
}

fn range() -> (Timestamp, Timestamp) {
    (at("2026-11-22T00:00:00Z"), at("2026-11-23T00:00:00Z"))
}

/// Ended, exempt, pending, missing, unheard of each hour and node.
async fn hours(store: &Store) -> Vec<(String, String, [i64; 5])> {
    let (from, to) = range();
    let hours = store.session_hours(from, to).await.unwrap();
    let line = |((hour, node), it): ((Timestamp, String), SessionCounts)| {
        (hour.to_string(), node, [it.sessions_ended, it.exempt, it.pending, it.missing, it.unheard])
    };
    hours.into_iter().map(line).collect()
}

async fn noon(store: &Store) -> [i64; 5] {
    let hours = hours(store).await;
    assert_eq!(hours.len(), 1, "{hours:?}");
    assert_eq!((hours[0].0.as_str(), hours[0].1.as_str()), ("2026-11-22T12:00:00Z", "n1"));
    hours[0].2
}

/// What was told lately was told long ago.
async fn time_passes(fixture: &Fixture) {
    let superuser = fixture.superuser().await;
    superuser
        .batch_execute("UPDATE voip.cdr_sessions SET told_at = told_at - interval '11 minutes'")
        .await
        .unwrap();
}

async fn names(store: &Store) -> Vec<(i64, Option<String>, bool)> {
    let (from, to) = range();
    let missing = store.missing_sessions(from, to).await.unwrap();
    missing.into_iter().map(|it: Missing| (it.session_id, it.leg_uuid, it.owed)).collect()
}

#[tokio::test]
async fn a_record_that_does_not_come_is_pending_and_then_missing_and_named() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    // One record came before its session's end was told, one comes after it, one never, and one is owed by nobody.
    store.commit_cdr_batch(&[record(1, 1, "early")]).await.unwrap();
    let told = [
        ended(1, "early", ENDED),
        ended(2, "late", ENDED),
        ended(3, "never", "2026-11-22T12:59:59Z"),
        exempt(4),
    ];
    store.tell_ended_sessions("n1", "core", &told).await.unwrap();
    assert_eq!(noon(store).await, [4, 1, 2, 0, 0]);
    // Told again: the answer of the commit was lost.
    store.tell_ended_sessions("n1", "core", &told).await.unwrap();
    assert_eq!(noon(store).await, [4, 1, 2, 0, 0]);
    assert_eq!(names(store).await, []);
    time_passes(&fixture).await;
    assert_eq!(noon(store).await, [4, 1, 0, 2, 0]);
    let named = |number, uuid: &str| (number, Some(uuid.to_owned()), true);
    assert_eq!(names(store).await, [named(2, "late"), named(3, "never")]);
    store.commit_cdr_batch(&[record(2, 2, "late"), record(3, 2, "late")]).await.unwrap();
    assert_eq!(noon(store).await, [4, 1, 0, 1, 0]);
    assert_eq!(names(store).await, [named(3, "never")]);
    // What was told long ago is added up, and tells the same.
    store.add_up_sessions().await.unwrap();
    store.sweep().await.unwrap();
    let superuser = fixture.superuser().await;
    let rows = "SELECT count(*) FROM voip.cdr_sessions WHERE told_at < now() - interval '10 minutes'";
    assert_eq!(superuser.query_one(rows, &[]).await.unwrap().get::<_, i64>(0), 3, "ended, exempt, document");
    assert_eq!(noon(store).await, [4, 1, 0, 1, 0]);
    let (from, to) = range();
    let accounted = store.cdr_accounting(from, to).await.unwrap();
    assert_eq!((accounted.len(), accounted[0].legs, accounted[0].stored), (1, 3, 2));
    assert_eq!((accounted[0].sessions_ended, accounted[0].missing), (Some(4), Some(1)));
    store.commit_cdr_batch(&[record(4, 3, "never")]).await.unwrap();
    assert_eq!(noon(store).await, [4, 1, 0, 0, 0]);
    assert_eq!(names(store).await, []);
    store.sweep().await.unwrap();
    assert_eq!(noon(store).await, [4, 1, 0, 0, 0]);
    let left = superuser.query_one("SELECT count(*) FROM voip.cdr_sessions_owing", &[]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn quarantine_is_no_loss_and_a_provisional_row_is_no_record() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let told = [ended(1, "poison", ENDED), ended(2, "nul", ENDED), ended(3, "open", ENDED)];
    store.tell_ended_sessions("n1", "core", &told).await.unwrap();
    time_passes(&fixture).await;
    assert_eq!(noon(store).await, [3, 0, 0, 3, 0]);
    // One is not understood, one is refused by the database, and of one only the answer was seen.
    let reason = "half".to_owned();
    let poison = Content::Poison { reason, source: "freeswitch".to_owned(), uuid: Some("poison".to_owned()) };
    let mut open = record(3, 3, "open");
    if let Content::Leg(leg) = &mut open.content {
        leg.provisional = true;
    }
    store.commit_cdr_batch(&[item(1, poison), record(2, 2, "nul\0"), open]).await.unwrap();
    assert_eq!(noon(store).await, [3, 0, 0, 1, 0]);
    assert_eq!(names(store).await, [(3, Some("open".to_owned()), true)]);
}

#[tokio::test]
async fn a_run_has_its_own_numbers_and_a_node_its_own_hours() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    // FreeSWITCH was started anew: number 1 again. And the other node's counts too.
    store.tell_ended_sessions("n1", "core", &[ended(1, "first", ENDED)]).await.unwrap();
    store.tell_ended_sessions("n1", "core2", &[ended(1, "second", ENDED)]).await.unwrap();
    store.tell_ended_sessions("n2", "core3", &[ended(1, "third", ENDED)]).await.unwrap();
    store.tell_listening("n1", "core2", at("2026-11-22T13:10:00Z")).await.unwrap();
    store.commit_cdr_batch(&[record(1, 1, "first")]).await.unwrap();
    time_passes(&fixture).await;
    let line =
        |hour: &str, node: &str, counts| (format!("2026-11-22T{hour}:00:00Z"), node.to_owned(), counts);
    let expected = [
        line("12", "n1", [2, 0, 0, 1, 0]),
        line("12", "n2", [1, 0, 0, 1, 0]),
        // Somebody listened, and nothing ended.
        line("13", "n1", [0, 0, 0, 0, 0]),
    ];
    assert_eq!(hours(store).await, expected);
    let (from, to) = range();
    let accounted = store.cdr_accounting(from, to).await.unwrap();
    let shown: Vec<_> =
        accounted.iter().map(|it| (it.node.as_str(), it.sessions_ended, it.missing)).collect();
    assert_eq!(shown, [("n1", Some(0), Some(0)), ("n1", Some(2), Some(1)), ("n2", Some(1), Some(1))]);
}

#[tokio::test]
async fn who_did_not_listen_finds_what_ended_meanwhile() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    assert_eq!(store.open_sessions("core", 3).await.unwrap(), [3, 2, 1]);
    assert_eq!(store.open_sessions("core", 0).await.unwrap(), [0_i64; 0]);
    store.tell_ended_sessions("n1", "core", &[ended(2, "heard", ENDED), exempt(5)]).await.unwrap();
    store.commit_cdr_batch(&[record(1, 2, "heard"), record(2, 3, "came")]).await.unwrap();
    assert_eq!(store.open_sessions("core", 7).await.unwrap(), [7, 6, 4, 3, 1]);
    // 3 and 4 are over; of 3 there is a record. 1, 6 and 7 go on.
    store.tell_unheard_sessions("n1", "core", &[3, 4]).await.unwrap();
    assert_eq!(store.open_sessions("core", 7).await.unwrap(), [7, 6, 1]);
    let superuser = fixture.superuser().await;
    let hour = "UPDATE voip.cdr_sessions SET hour = '2026-11-22T12:00:00Z' WHERE told = 'unheard'";
    superuser.batch_execute(hour).await.unwrap();
    time_passes(&fixture).await;
    assert_eq!(noon(store).await, [4, 1, 0, 0, 1]);
    assert_eq!(names(store).await, [(4, None, false)]);
    // Its end was heard after all, and then its record came.
    store.tell_ended_sessions("n1", "core", &[ended(4, "slow", ENDED)]).await.unwrap();
    assert_eq!(noon(store).await, [4, 1, 1, 0, 0]);
    store.commit_cdr_batch(&[record(3, 4, "slow")]).await.unwrap();
    assert_eq!(noon(store).await, [4, 1, 0, 0, 0]);
}
