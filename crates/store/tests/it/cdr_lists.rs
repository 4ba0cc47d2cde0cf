//! Lists of calls and legs: every one once, newest first, whatever the page, the filter and the tenant.

use store::Scope;
use store::cdr_read::{CALL_FIELDS, LEG_FIELDS};
use store::search::{CdrFilter, Count, CountOf, Cursor, PageOf};

use crate::common::{Fixture, at, leg, leg_item};

fn everything() -> CdrFilter {
    CdrFilter::default()
}

fn page(limit: u16) -> PageOf {
    PageOf { limit, ..PageOf::default() }
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
            let cursor = after.map(Cursor::After);
            let page = PageOf { cursor, ..page(limit) };
            let page = store.calls(Scope::Platform, &everything(), &page).await.unwrap();
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
    let legs = store.legs(Scope::Platform, &everything(), &page(500)).await.unwrap();
    assert_eq!((legs.items.len(), legs.next), (81, None));
    let json =
        serde_json::to_value(store.calls(Scope::Platform, &everything(), &page(1)).await.unwrap()).unwrap();
    assert_eq!(json["items"][0]["legs"][0]["leg_uuid"], "orphan");
    assert_eq!(json["items"][0]["start_time"], "2027-01-02T00:00:00Z");
    assert!(json["next"].is_string());
    let names = |value: &serde_json::Value| {
        let mut names: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        names.sort();
        names
    };
    let sorted = |fields: &[&str]| {
        let mut fields: Vec<_> = fields.iter().map(|field| (*field).to_owned()).collect();
        fields.sort();
        fields
    };
    assert_eq!(names(&json["items"][0]), sorted(CALL_FIELDS));
    assert_eq!(names(&json["items"][0]["legs"][0]), sorted(LEG_FIELDS));
}

/// The root first, should it have been stored last; what a leg tells of the call, the call tells.
#[tokio::test]
async fn the_root_is_the_first_leg_and_the_call_tells_what_any_leg_does() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let start = "2026-11-22T12:00:00Z";
    let mut open = leg("b", Some("a"), start);
    (open.provisional, open.end_time, open.recorded) = (true, None, true);
    let later = leg("0", Some("a"), "2026-11-22T12:00:01Z");
    store.commit_cdr_batch(&[leg_item(1, later), leg_item(2, open.clone())]).await.unwrap();
    store.commit_cdr_batch(&[leg_item(3, leg("a", None, start))]).await.unwrap();
    let call = store.calls(Scope::Platform, &everything(), &page(5)).await.unwrap().items.remove(0);
    let legs: Vec<_> = call.legs.iter().map(|leg| leg.leg_uuid.as_str()).collect();
    assert_eq!(legs, ["a", "b", "0"]);
    assert_eq!((call.provisional, call.recorded), (true, true));

    (open.provisional, open.end_time) = (false, Some(at("2026-11-22T12:00:09Z")));
    store.commit_cdr_batch(&[leg_item(4, open)]).await.unwrap();
    let call = store.calls(Scope::Platform, &everything(), &page(5)).await.unwrap().items.remove(0);
    assert_eq!((call.provisional, call.recorded), (false, true));
}

#[tokio::test]
async fn a_list_is_read_in_both_directions_and_counted() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    // Nine calls in three minutes, so that neighbours start at the same instant; over a month's border.
    let starts = ["2026-10-31T23:59:00Z", "2026-11-01T00:00:00Z", "2026-11-01T00:01:00Z"];
    let items: Vec<_> = (0..9u64)
        .map(|n| leg_item(n, leg(&format!("call{n}"), None, starts[usize::try_from(n).unwrap() / 3])))
        .collect();
    store.commit_cdr_batch(&items).await.unwrap();
    let read = async |legs: bool, cursor: Option<Cursor>| {
        let page = PageOf { cursor, ..page(4) };
        if legs {
            let listed = store.legs(Scope::Platform, &everything(), &page).await.unwrap();
            let uuids: Vec<_> = listed.items.into_iter().map(|leg| leg.leg_uuid).collect();
            return (uuids, listed.next, listed.previous);
        }
        let listed = store.calls(Scope::Platform, &everything(), &page).await.unwrap();
        let uuids: Vec<_> = listed.items.into_iter().map(|call| call.facts.call_uuid).collect();
        (uuids, listed.next, listed.previous)
    };
    for legs in [false, true] {
        let (first, next, none) = read(legs, None).await;
        assert_eq!((first.len(), none), (4, None));
        let (second, next, previous) = read(legs, next.map(Cursor::After)).await;
        assert_eq!(read(legs, previous.map(Cursor::Before)).await.0, first, "back again");
        let (third, end, previous) = read(legs, next.map(Cursor::After)).await;
        assert_eq!((third.len(), end), (1, None));
        let (again, forward, back) = read(legs, previous.map(Cursor::Before)).await;
        assert_eq!(again, second, "back again");
        assert_eq!(read(legs, forward.map(Cursor::After)).await.0, third);
        let (top, _, none) = read(legs, back.map(Cursor::Before)).await;
        assert_eq!((top, none), (first.clone(), None), "nothing is newer");
        let mut all = [first, second, third].concat();
        all.sort();
        assert_eq!(all, (0..9).map(|n| format!("call{n}")).collect::<Vec<_>>());
    }

    let count = async |filter: CdrFilter, how| {
        let page = PageOf { count: Some(how), ..page(1) };
        let calls = store.calls(Scope::Platform, &filter, &page).await.unwrap().count;
        (calls, store.legs(Scope::Platform, &filter, &page).await.unwrap().count)
    };
    let from = Some(at("2026-11-01T00:00:00Z"));
    let six = Some(Count { value: 6, exact: true });
    assert_eq!(count(CdrFilter { from, ..everything() }, CountOf::Exact).await, (six, six));
    let (believed, _) = count(everything(), CountOf::Estimate).await;
    assert!(believed.is_some_and(|count| !count.exact && count.value >= 0), "{believed:?}");
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
    let page = fixture.store.calls(Scope::Platform, &everything(), &page(100)).await.unwrap();
    let recording = &page.items[0].recordings[0];
    assert_eq!(
        (recording.leg_uuid.as_str(), recording.duration, recording.state.as_str()),
        ("one", Some(5), "stored")
    );
}
