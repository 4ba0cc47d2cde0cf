//! How long calls are kept: each tenant's by its own rule, whole months where they are expired for everybody.

use store::audit::Actor;
use store::retention::{Expired, Retention};
use store::{Error, Scope};

use crate::common::{A, B, Fixture, leg, leg_item};

fn platform() -> Actor {
    Actor { who: "test".to_owned(), scope: Scope::Platform, idempotency: None }
}

/// `<name><days>` for a call with two legs, so many days ago.
async fn call(fixture: &Fixture, name: &str, domain: Option<&str>, days: i64) {
    let start = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days);
    let start = start.to_string();
    let root = format!("{name}{days}");
    let mut legs = [leg(&root, None, &start), leg(&format!("{root}b"), Some(&root), &start)];
    for leg in &mut legs {
        leg.domain = domain.map(str::to_owned);
    }
    let items: Vec<_> = (1..).zip(legs).map(|(seq, leg)| leg_item(seq, leg)).collect();
    fixture.store.commit_cdr_batch(&items).await.unwrap();
}

async fn heads(fixture: &Fixture) -> Vec<String> {
    let rows =
        fixture.superuser().await.query("SELECT leg_uuid FROM voip.cdr WHERE head ORDER BY 1", &[]).await;
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn each_tenants_calls_go_by_its_own_rule_and_expired_months_whole() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    for days in [1, 40, 400] {
        call(&fixture, "a", Some(A), days).await;
        call(&fixture, "b", Some(B), days).await;
        call(&fixture, "stranger", Some("unknown.example"), days).await;
    }
    call(&fixture, "nobody", None, 14_000).await;
    let everything = heads(&fixture).await;
    assert_eq!(everything.len(), 10);
    assert_eq!(store.expire_cdr().await.unwrap().rows, 0, "no rule: for ever");

    // A keeps 30 days; nobody else has a rule, so no month may go while somebody has calls in it.
    store.set_cdr_retention(&platform(), Some(A), Some(30)).await.unwrap();
    let expired = store.expire_cdr().await.unwrap();
    assert_eq!(expired.rows, 4, "two calls of two legs");
    assert_eq!(heads(&fixture).await.iter().filter(|head| head.starts_with('a')).count(), 1);
    assert_eq!(heads(&fixture).await.len(), 8);

    // All others keep 100 days: a year ago is expired for everybody, and goes as months.
    store.set_cdr_retention(&platform(), None, Some(100)).await.unwrap();
    let months = store.cdr_partitions().await.unwrap().len();
    let expired = store.expire_cdr().await.unwrap();
    assert!(!expired.partitions.is_empty(), "{expired:?}");
    assert_eq!(store.cdr_partitions().await.unwrap().len(), months - expired.partitions.len());
    assert_eq!(heads(&fixture).await, ["a1", "b1", "b40", "stranger1", "stranger40"]);
    assert_eq!(store.expire_cdr().await.unwrap(), Expired::default(), "nothing more");

    // B keeps ten years, so that months of a year ago stay for it alone: theirs are deleted one by one.
    store.set_cdr_retention(&platform(), Some(B), Some(3_650)).await.unwrap();
    call(&fixture, "b", Some(B), 400).await;
    call(&fixture, "stranger", Some("unknown.example"), 400).await;
    let expired = store.expire_cdr().await.unwrap();
    assert_eq!(expired, Expired { rows: 2, partitions: Vec::new() });
    assert!(heads(&fixture).await.contains(&"b400".to_owned()), "a dropped month was made again");

    let rules = |scope| store.cdr_retention(scope);
    let rule = |domain: Option<&str>, days| Retention { domain: domain.map(str::to_owned), days };
    let all = rules(Scope::Platform).await.unwrap();
    assert_eq!(all, [rule(None, 100), rule(Some(A), 30), rule(Some(B), 3_650)]);
    let own = rules(Scope::Tenant(fixture.domain_id(A).await)).await.unwrap();
    assert_eq!(own, [rule(Some(A), 30)]);
    store.set_cdr_retention(&platform(), Some(A), None).await.unwrap();
    assert_eq!(rules(Scope::Platform).await.unwrap().len(), 2);
    for (domain, days, field) in [(Some(A), 0, "days"), (Some("c.example"), 1, "domain")] {
        let refused = store.set_cdr_retention(&platform(), domain, Some(days)).await;
        assert!(matches!(refused, Err(Error::Invalid { field: f, .. }) if f == field), "{refused:?}");
    }
}

/// A month that is dropped while a batch is on its way is made again; no call is refused or quarantined for it.
#[tokio::test]
async fn no_call_is_refused_for_want_of_a_month() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let superuser = fixture.superuser().await;
    let item = [leg_item(1, leg("late", None, "2020-05-05T12:00:00Z"))];
    fixture.store.commit_cdr_batch(&item).await.unwrap();
    // What a batch meets whose month went between its look and its INSERT.
    superuser.batch_execute("DROP TABLE voip.cdr_2020_05").await.unwrap();
    superuser.batch_execute("CREATE TABLE voip.cdr_2020_05 ()").await.unwrap();
    let refused = fixture.store.commit_cdr_batch(&item).await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "tried again, not quarantined: {refused:?}");
    superuser.batch_execute("DROP TABLE voip.cdr_2020_05").await.unwrap();
    assert_eq!(fixture.store.commit_cdr_batch(&item).await.unwrap().inserted, 1);
}

/// A month that looks empty may be getting its first call: nobody sees it before it is committed.
#[tokio::test]
async fn a_month_that_is_getting_its_first_call_stays() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let (writer, watcher) = (fixture.superuser().await, fixture.superuser().await);
    writer.batch_execute("SELECT voip.ensure_cdr_partition('2020-05-05')").await.unwrap();
    let first = "BEGIN; INSERT INTO voip.cdr (leg_uuid, start_time, call_uuid, head, source, provisional, direction,
            leg_direction, duration, billsec, recorded, node)
        VALUES ('late', '2020-05-05', 'late', true, 'freeswitch', false, 'internal', 'inbound', 0, 0, false, 'n1')";
    writer.batch_execute(first).await.unwrap();
    let store = fixture.store.clone();
    let expiry = tokio::spawn(async move { store.expire_cdr().await });
    let waits = "SELECT FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'";
    while watcher.query(waits, &[]).await.unwrap().is_empty() && !expiry.is_finished() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    writer.batch_execute("COMMIT").await.unwrap();
    // On a machine that stood still for a second it gave up, and the next run comes upon a month with a call.
    if expiry.await.unwrap().is_err() {
        fixture.store.expire_cdr().await.unwrap();
    }
    assert_eq!(heads(&fixture).await, ["late"]);
}
