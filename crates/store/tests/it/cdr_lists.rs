//! Lists of calls and legs: every one once, newest first, whatever the page, the filter and the tenant.

use model::Direction;
use store::cdr_read::CdrFilter;
use store::{Error, Scope, Store};

use crate::common::{A, B, Fixture, at, leg, leg_item};

fn filter() -> CdrFilter {
    CdrFilter { limit: 100, ..CdrFilter::default() }
}

async fn calls(store: &Store, scope: Scope, filter: CdrFilter) -> Vec<String> {
    let page = store.calls(scope, &filter).await.unwrap();
    page.items.into_iter().map(|call| call.facts.call_uuid).collect()
}

#[tokio::test]
async fn pages_show_every_call_once_with_its_legs() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    // Forty calls over a year's border, some at the same microsecond, each with a second leg; one with a late root.
    let mut items = Vec::new();
    for n in 0..40u64 {
        let start = format!("2026-12-31T23:{:02}:00Z", 40 + n / 3);
        let uuid = format!("call{n:02}");
        items.push(leg_item(2 * n, leg(&uuid, None, &start)));
        items.push(leg_item(
            2 * n + 1,
            leg(&format!("{uuid}b"), Some(&uuid), &format!("2027-01-01T00:{:02}:00Z", n)),
        ));
    }
    items.push(leg_item(1_000, leg("orphan", Some("not yet"), "2027-01-02T00:00:00Z")));
    store.commit_cdr_batch(&items).await.unwrap();
    for limit in [1, 7, 41, 500] {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = store.calls(Scope::Platform, &CdrFilter { limit, after, ..filter() }).await.unwrap();
            assert!(page.items.len() <= usize::from(limit));
            seen.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), 41, "pages of {limit}");
        assert!(seen.is_sorted_by(|a, b| a.facts.start_time >= b.facts.start_time));
        assert_eq!(seen[0].facts.call_uuid, "not yet");
        for call in &seen[1..] {
            let legs: Vec<_> = call.legs.iter().map(|leg| leg.leg_uuid.clone()).collect();
            assert_eq!(legs, [call.facts.call_uuid.clone(), format!("{}b", call.facts.call_uuid)]);
        }
    }
    let legs = store.legs(Scope::Platform, &CdrFilter { limit: 500, ..filter() }).await.unwrap();
    assert_eq!((legs.items.len(), legs.next), (81, None));
    let json = serde_json::to_value(
        store.calls(Scope::Platform, &CdrFilter { limit: 1, ..filter() }).await.unwrap(),
    )
    .unwrap();
    assert_eq!(json["items"][0]["legs"][0]["leg_uuid"], "orphan");
    assert_eq!(json["items"][0]["start_time"], "2027-01-02T00:00:00Z");
    assert!(json["next"].is_string());
}

#[tokio::test]
async fn filters_choose_calls_by_the_row_that_stands_for_them() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let mut one = leg("one", None, "2026-11-22T12:00:00Z");
    (one.queue, one.destination_number) = (Some("Support_L1".to_owned()), Some("8001".to_owned()));
    let mut agent = leg("agent", Some("one"), "2026-11-22T12:00:05Z");
    (agent.agent, agent.destination_number) = (Some("1002".to_owned()), Some("1002".to_owned()));
    let mut two = leg("two", None, "2026-11-22T13:00:00Z");
    (two.direction, two.hangup_cause) = (Direction::Outbound, Some("USER_BUSY".to_owned()));
    two.caller_id_number = Some("1003".to_owned());
    let mut three = leg("three", None, "2026-11-22T14:00:00Z");
    three.domain = Some(B.to_owned());
    store
        .commit_cdr_batch(&[leg_item(1, one), leg_item(2, agent), leg_item(3, two), leg_item(4, three)])
        .await
        .unwrap();
    let text = |value: &str| Some(value.to_owned());
    let cases = [
        (filter(), vec!["three", "two", "one"]),
        (CdrFilter { uuid: text("agent"), ..filter() }, vec!["one"]),
        (CdrFilter { uuid: text("one"), ..filter() }, vec!["one"]),
        (CdrFilter { uuid: text("none"), ..filter() }, vec![]),
        (CdrFilter { from: Some(at("2026-11-22T13:00:00Z")), ..filter() }, vec!["three", "two"]),
        (CdrFilter { to: Some(at("2026-11-22T13:00:00Z")), ..filter() }, vec!["one"]),
        (CdrFilter { caller: text("1003"), ..filter() }, vec!["two"]),
        (CdrFilter { destination: text("8001"), ..filter() }, vec!["one"]),
        (CdrFilter { direction: Some(Direction::Outbound), ..filter() }, vec!["two"]),
        (CdrFilter { hangup_cause: text("USER_BUSY"), ..filter() }, vec!["two"]),
        (CdrFilter { queue: text("Support_L1"), ..filter() }, vec!["one"]),
        (CdrFilter { domain: text("B.Example"), ..filter() }, vec!["three"]),
        (CdrFilter { domain: text("'; DROP TABLE voip.cdr; --"), ..filter() }, vec![]),
    ];
    for (filter, expected) in cases {
        assert_eq!(calls(store, Scope::Platform, filter.clone()).await, expected, "{filter:?}");
    }
    let legs = store.legs(Scope::Platform, &CdrFilter { uuid: text("agent"), ..filter() }).await.unwrap();
    assert_eq!((legs.items.len(), legs.items[0].facts.call_uuid.as_str()), (1, "one"));
    let bad = store.calls(Scope::Platform, &CdrFilter { after: text("x"), ..filter() }).await;
    assert!(matches!(bad, Err(Error::Invalid { field: "after", .. })));

    let a = Scope::Tenant(fixture.domain_id(A).await);
    assert_eq!(calls(store, a, filter()).await, ["two", "one"]);
    assert!(calls(store, a, CdrFilter { uuid: text("three"), ..filter() }).await.is_empty());
    assert!(calls(store, a, CdrFilter { domain: text(B), ..filter() }).await.is_empty());
    assert!(store.legs(a, &CdrFilter { uuid: text("three"), ..filter() }).await.unwrap().items.is_empty());
    assert!(calls(store, Scope::Tenant(i32::MAX), filter()).await.is_empty());
}

#[tokio::test]
async fn recordings_hang_on_their_leg() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let mut recorded = leg("one", None, "2026-11-22T12:00:00Z");
    recorded.recorded = true;
    fixture.store.commit_cdr_batch(&[leg_item(1, recorded)]).await.unwrap();
    let superuser = fixture.superuser().await;
    superuser
        .batch_execute(
            "INSERT INTO voip.recordings (leg_uuid, start_time, domain_id, node, file_path, duration, state)
             SELECT 'one', '2026-11-22 12:00+00', id, 'n1', '2026/11/22/one.wav', 5, 'stored'
               FROM voip.domains WHERE domain = 'a.example'",
        )
        .await
        .unwrap();
    let page = fixture.store.calls(Scope::Platform, &filter()).await.unwrap();
    let recording = &page.items[0].recordings[0];
    assert_eq!(
        (recording.leg_uuid.as_str(), recording.duration, recording.state.as_str()),
        ("one", Some(5), "stored")
    );
}
