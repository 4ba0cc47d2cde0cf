//! Searches: what each filter finds, and its contrary; the same whether few or many legs fulfil it.

use jiff::SignedDuration;
use model::Direction;
use store::search::{CdrFilter, Column, Compare, Condition, Cursor, Number, PageOf, Pattern, Time, Wanted};
use store::{Error, Scope, Store};

use crate::common::{A, B, Fixture, at, leg, leg_item};

fn page() -> PageOf {
    PageOf { limit: 100, ..PageOf::default() }
}

async fn calls(store: &Store, scope: Scope, filter: &CdrFilter) -> Vec<String> {
    let listed = store.calls(scope, filter, &page()).await.unwrap();
    listed.items.into_iter().map(|call| call.facts.call_uuid).collect()
}

fn with(condition: Condition) -> CdrFilter {
    CdrFilter { conditions: vec![Wanted { condition, not: false }], ..CdrFilter::default() }
}

fn without(condition: Condition) -> CdrFilter {
    CdrFilter { conditions: vec![Wanted { condition, not: true }], ..CdrFilter::default() }
}

fn is(column: Column, text: &str) -> Condition {
    Condition::Text(column, Pattern::Is(text.to_owned()))
}

fn begins(column: Column, text: &str) -> Condition {
    Condition::Text(column, Pattern::Begins(text.to_owned()))
}

fn ends(column: Column, text: &str) -> Condition {
    Condition::Text(column, Pattern::Ends(text.to_owned()))
}

/// `one`: a queue's call, answered by agent 1002 at 12:00; `two`: outbound, busy, at 13:00; `three`: tenant B's, at 14:00.
async fn three_calls(fixture: &Fixture) {
    let text = |value: &str| Some(value.to_owned());
    let mut one = leg("one", None, "2026-11-22T12:00:00Z");
    (one.queue, one.destination_number) = (text("Support_L1"), text("8001"));
    (one.duration, one.billsec) = (90, 80);
    one.end_time = Some(at("2026-11-22T12:01:30Z"));
    let mut agent = leg("agent", Some("one"), "2026-11-22T12:00:05Z");
    (agent.agent, agent.destination_number, agent.recorded) = (text("1002"), text("1002"), true);
    let mut two = leg("two", None, "2026-11-22T13:00:00Z");
    (two.direction, two.hangup_cause, two.hangup_cause_q850) =
        (Direction::Outbound, text("USER_BUSY"), Some(17));
    (two.caller_id_number, two.caller_id_name, two.answer_time) = (text("1003"), text("Carol"), None);
    (two.destination_number, two.trunk) = (text("0049891234"), text("pstn"));
    let mut three = leg("three", None, "2026-11-22T14:00:00Z");
    three.domain = text(B);
    let legs = [one, agent, two, three];
    let items: Vec<_> = (1..).zip(legs).map(|(seq, leg)| leg_item(seq, leg)).collect();
    fixture.store.commit_cdr_batch(&items).await.unwrap();
    let superuser = fixture.superuser().await;
    superuser
        .batch_execute(
            "UPDATE voip.cdr SET status = 'answered', wait_seconds = 10, talk_seconds = 80, hangup_by = 'caller'
              WHERE leg_uuid = 'one';
             UPDATE voip.cdr SET status = 'busy' WHERE leg_uuid = 'two'",
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn filters_find_their_calls_and_contraries_the_others() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    three_calls(&fixture).await;
    let number = |number, compare, value| Condition::Number(number, compare, value);
    let time = |time, compare, text| Condition::Time(time, compare, at(text));
    let cases = [
        (is(Column::Uuid, "agent"), vec!["one"]),
        (is(Column::Uuid, "one"), vec!["one"]),
        (is(Column::Uuid, "none"), vec![]),
        (is(Column::CallUuid, "two"), vec!["two"]),
        (is(Column::SipCallId, "agent@sip"), vec!["one"]),
        (is(Column::Caller, "1003"), vec!["two"]),
        (begins(Column::Caller, "10"), vec!["three", "two", "one"]),
        (ends(Column::Caller, "03"), vec!["two"]),
        (is(Column::Name, "CAROL"), vec!["two"]),
        (begins(Column::Name, "ca"), vec!["two"]),
        (ends(Column::Name, "ol"), vec!["two"]),
        (Condition::Text(Column::Name, Pattern::Holds("Aro".to_owned())), vec!["two"]),
        (is(Column::Dialled, "8001"), vec!["one"]),
        (begins(Column::Dialled, "0049"), vec!["two"]),
        (begins(Column::Dialled, "%"), vec![]),
        (ends(Column::Dialled, "1234"), vec!["two"]),
        (is(Column::Dialled, "1002"), vec!["three"]),
        (is(Column::Callee, "1002"), vec!["three", "one"]),
        (begins(Column::Callee, "100"), vec!["three", "one"]),
        (ends(Column::Callee, "1234"), vec!["two"]),
        (is(Column::Agent, "1002"), vec!["one"]),
        (begins(Column::Agent, "100"), vec!["one"]),
        (Condition::Extension(vec!["1002".to_owned()]), vec!["three", "one"]),
        (Condition::Extension(vec!["1003".to_owned()]), vec!["two"]),
        (is(Column::Queue, "Support_L1"), vec!["one"]),
        (is(Column::Direction, "outbound"), vec!["two"]),
        (is(Column::Status, "busy"), vec!["two"]),
        (is(Column::HangupBy, "caller"), vec!["one"]),
        (is(Column::Cause, "USER_BUSY"), vec!["two"]),
        (is(Column::Trunk, "pstn"), vec!["two"]),
        (is(Column::Source, "kamailio"), vec![]),
        (is(Column::Node, "n1"), vec!["three", "two", "one"]),
        (number(Number::Q850, Compare::Is, 17), vec!["two"]),
        (number(Number::Duration, Compare::AtLeast, 8), vec!["one"]),
        (number(Number::Billsec, Compare::AtMost, 5), vec!["three", "two"]),
        (number(Number::Wait, Compare::AtMost, 10), vec!["one"]),
        (number(Number::Talk, Compare::AtLeast, 81), vec![]),
        (time(Time::Answer, Compare::AtLeast, "2026-11-22T12:30:00Z"), vec!["three"]),
        (time(Time::End, Compare::Below, "2026-11-22T13:00:00Z"), vec!["one"]),
        (Condition::Recorded, vec!["one"]),
        (is(Column::Queue, "'; DROP TABLE voip.cdr; --"), vec![]),
    ];
    for (condition, expected) in cases {
        let found = calls(store, Scope::Platform, &with(condition.clone())).await;
        assert_eq!(found, expected, "{condition:?}");
        let others: Vec<_> =
            ["three", "two", "one"].into_iter().filter(|call| !expected.contains(call)).collect();
        let found = calls(store, Scope::Platform, &without(condition.clone())).await;
        assert_eq!(found, others, "not {condition:?}");
    }
    let both = CdrFilter {
        conditions: [with(is(Column::Agent, "1002")), without(is(Column::Queue, "Support_L1"))]
            .into_iter()
            .flat_map(|filter| filter.conditions)
            .collect(),
        ..CdrFilter::default()
    };
    assert!(calls(store, Scope::Platform, &both).await.is_empty(), "all must hold");

    let one_leg = store.legs(Scope::Platform, &with(is(Column::Uuid, "agent")), &page()).await.unwrap();
    assert_eq!((one_leg.items.len(), one_leg.items[0].facts.call_uuid.as_str()), (1, "one"));
    let rung = store.legs(Scope::Platform, &with(is(Column::Callee, "1002")), &page()).await.unwrap();
    let rung: Vec<_> = rung.items.iter().map(|leg| leg.leg_uuid.as_str()).collect();
    assert_eq!(rung, ["three", "agent"]);
}

#[tokio::test]
async fn ranges_domains_and_users_are_a_tenants_own() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    three_calls(&fixture).await;
    let noon = Some(at("2026-11-22T13:00:00Z"));
    let domain = |name: &str| CdrFilter { domain: Some(name.to_owned()), ..CdrFilter::default() };
    let user = |name: &str| with(Condition::User(name.to_owned()));
    for (filter, expected) in [
        (CdrFilter::default(), vec!["three", "two", "one"]),
        (CdrFilter { from: noon, ..CdrFilter::default() }, vec!["three", "two"]),
        (CdrFilter { to: noon, ..CdrFilter::default() }, vec!["one"]),
        (domain("B.Example"), vec!["three"]),
        (domain("'; DROP TABLE voip.cdr; --"), vec![]),
        (CdrFilter { domain: Some(A.to_owned()), ..user("1003") }, vec!["two"]),
        (CdrFilter { domain: Some(B.to_owned()), ..user("1002") }, vec!["three"]),
        (CdrFilter { domain: Some(B.to_owned()), ..user("nobody") }, vec![]),
    ] {
        assert_eq!(calls(store, Scope::Platform, &filter).await, expected, "{filter:?}");
    }
    let nameless = store.calls(Scope::Platform, &user("1003"), &page()).await;
    assert!(matches!(nameless, Err(Error::Invalid { field: "domain", .. })));
    for cursor in [Cursor::After("x".to_owned()), Cursor::Before("x".to_owned())] {
        let page = PageOf { cursor: Some(cursor), ..page() };
        let bad = store.calls(Scope::Platform, &CdrFilter::default(), &page).await;
        assert!(matches!(bad, Err(Error::Invalid { field: "after" | "before", .. })));
    }

    let a = Scope::Tenant(fixture.domain_id(A).await);
    assert_eq!(calls(store, a, &CdrFilter::default()).await, ["two", "one"]);
    assert_eq!(calls(store, a, &user("1002")).await, ["one"]);
    assert!(calls(store, a, &domain(B)).await.is_empty());
    for condition in [is(Column::Uuid, "three"), is(Column::SipCallId, "three@sip")] {
        assert!(calls(store, a, &with(condition.clone())).await.is_empty());
        assert!(store.legs(a, &with(condition), &page()).await.unwrap().items.is_empty());
    }
    assert_eq!(calls(store, a, &with(is(Column::Callee, "1002"))).await, ["one"]);
    assert!(calls(store, Scope::Tenant(i32::MAX), &CdrFilter::default()).await.is_empty());
}

/// Agents with a few legs, with thousands in a few days, and with thousands over months; a rest of the filter that leaves a third
/// of their calls, four, or none; what an index has in the order of its value: whichever way finds the page, it is the
/// page of the list, forwards and backwards.
#[tokio::test]
async fn many_legs_or_few_show_the_same_calls() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let superuser = fixture.superuser().await;
    superuser
        .batch_execute(
            "SELECT voip.ensure_cdr_partition('2026-01-15 00:00+00'::timestamptz + n * interval '1 month') FROM generate_series(0, 6) n;
             INSERT INTO voip.cdr (leg_uuid, start_time, call_uuid, head, source, provisional, domain_id, direction, leg_direction,
                    destination_number, duration, billsec, hangup_cause_q850, recorded, node)
             SELECT 'c' || n, '2026-01-01 00:00+00'::timestamptz + n * interval '10 minutes', 'c' || n, true, 'freeswitch', false,
                    1, 'internal', 'inbound', n * 7919 % 10007, n % 3, 1, n % 5000, false, 'n1' FROM generate_series(1, 20000) n;
             INSERT INTO voip.cdr (leg_uuid, start_time, call_uuid, head, source, provisional, domain_id, direction, leg_direction,
                    duration, billsec, recorded, node, agent)
             SELECT agent || n, '2026-01-01 00:00+00'::timestamptz + n * interval '10 minutes 1 second', 'c' || n, false, 'freeswitch',
                    false, 1, 'internal', 'outbound', 1, 1, false, 'n1', agent
               FROM generate_series(1, 20000) n, (VALUES ('rare', 997, 0), ('often', 3, 0), ('dense', 1, 17000), ('all', 1, 0)) a (agent, each, first)
              WHERE n % each = 0 AND n > first;
             ANALYZE voip.cdr",
        )
        .await
        .unwrap();
    let third = || Condition::Number(Number::Duration, Compare::AtMost, 0);
    let four = || Condition::Number(Number::Q850, Compare::Is, 0);
    let none = || Condition::Number(Number::Q850, Compare::AtLeast, 5_000);
    for (agent, each, first) in [("rare", 997, 0), ("often", 3, 0), ("dense", 1, 17_000), ("all", 1, 0)] {
        let theirs = |n: i64| n % each == 0 && n > first;
        let filter = |rest: Condition| {
            let mut filter = with(is(Column::Agent, agent));
            filter.conditions.extend(with(rest).conditions);
            filter
        };
        shows(store, filter(third()), |n| theirs(n) && n % 3 == 0).await;
        shows(store, filter(four()), |n| theirs(n) && n % 5_000 == 0).await;
        shows(store, filter(none()), |_| false).await;
    }
    for start in ["1", "12", "1234"] {
        let dialled = |n: i64| (n * 7_919 % 10_007).to_string();
        shows(store, with(begins(Column::Dialled, start)), |n| dialled(n).starts_with(start)).await;
        shows(store, with(ends(Column::Dialled, start)), |n| dialled(n).ends_with(start)).await;
    }
}

/// The newest, and those before and after the middle, are the calls that `fulfils` names.
async fn shows(store: &Store, filter: CdrFilter, fulfils: impl Fn(i64) -> bool) {
    let expected: Vec<i64> = (1..=20_000).rev().filter(|n| fulfils(*n)).collect();
    let middle = at("2026-01-01T00:00:00Z") + SignedDuration::from_mins(10 * 18_500);
    let cursor = format!("{}.0", middle.as_microsecond());
    let (newer, older): (Vec<i64>, Vec<i64>) = expected.iter().partition(|n| **n >= 18_500);
    for (cursor, expected) in [
        (None, &expected[..expected.len().min(7)]),
        (Some(Cursor::After(cursor.clone())), &older[..older.len().min(7)]),
        (Some(Cursor::Before(cursor)), &newer[newer.len().saturating_sub(7)..]),
    ] {
        let page = PageOf { limit: 7, cursor, heads_only: true, ..PageOf::default() };
        let listed = store.calls(Scope::Platform, &filter, &page).await.unwrap();
        let found: Vec<i64> = listed.items.iter().map(|call| number(&call.facts.call_uuid)).collect();
        assert_eq!(found, expected, "{filter:?}: {page:?}");
    }
}

fn number(call: &str) -> i64 {
    call[1..].parse().unwrap()
}
