//! What a call tells, whatever order its legs came in. The timelines are written down in crate model (`call::tests`).

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::Leg;
use serde_json::Value;
use store::cdr_read::Call;
use store::search::{CdrFilter, Column, Condition, GroupBy, PageOf, Pattern, StatsOf, Wanted};
use store::{Scope, Store};

use crate::common::{Fixture, Random, leg_item};

/// Call; direction, status, hang-up; queue, agent; seconds waited and talked; legs and events. "" and -1 for none.
type Written = (&'static str, [&'static str; 3], [&'static str; 2], [i64; 2], [usize; 2]);

#[rustfmt::skip]
const CALLS: [Written; 16] = [
    ("41b495aa-4786-46cb-a6ab-d12822a8704a", ["internal", "answered", "system"], ["", ""], [0, 9], [4, 10]),
    ("55f7d839-c11a-4cb3-8a54-e64a5a52cdc5", ["internal", "answered", "callee"], ["Support_L1", "1002"], [0, 0], [3, 8]),
    ("btq-a", ["internal", "answered", "callee"], ["Support_L1", "1003"], [10, 30], [3, 8]),
    ("fr-a", ["internal", "answered", "caller"], ["", ""], [3, 10], [3, 6]),
    ("vml-a", ["internal", "voicemail", "system"], ["", ""], [-1, -1], [1, 3]),
    ("ctc-a", ["internal", "answered", "callee"], ["Support_L1", "1003"], [10, 30], [2, 7]),
    ("ce9d6568-4645-4a7f-ab58-2d8d1165c90f", ["internal", "answered", "caller"], ["", ""], [-1, 6], [1, 3]),
    ("2851040e-9e5c-4c88-8f36-a1d8790f46cf", ["internal", "answered", "caller"], ["", ""], [0, 0], [2, 6]),
    ("ivq-a", ["inbound", "answered", "callee"], ["Support_L1", "1004"], [30, 60], [4, 11]),
    ("lo-a", ["internal", "voicemail", "caller"], ["", ""], [-1, -1], [4, 5]),
    ("983effd7-f3fe-4f82-af89-ffaace3e715a", ["internal", "answered", "caller"], ["Support_L1", "1003"], [0, 0], [3, 8]),
    ("seq-a", ["internal", "answered", "callee"], ["", ""], [12, 30], [3, 6]),
    ("36816932-e9fd-4496-8d93-2596a6cd898e", ["internal", "voicemail", "caller"], ["", ""], [-1, -1], [1, 3]),
    ("387cb8cc-3292-4325-94d7-eab93882bea7", ["internal", "answered", "caller"], ["", ""], [0, 4], [2, 4]),
    ("1ddaeeef-4f8e-4d65-8330-c392af5a5aab", ["internal", "missed", "system"], ["", ""], [2, -1], [2, 4]),
    ("26ceb677-5334-4231-80bd-2601c333526b", ["internal", "abandoned", "caller"], ["Support_L1", ""], [6, -1], [2, 5]),
];

/// Captures that have both legs of their call.
const PAIRS: [&str; 6] = [
    "internal_answered.a_leg",
    "internal_answered.b_leg",
    "no_answer.a_leg",
    "no_answer.b_leg",
    "queue_abandoned.a_leg",
    "queue_agent_no_answer",
];

fn legs() -> Vec<Leg> {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let files = std::fs::read_dir(fixtures.join("calls")).unwrap().map(|file| file.unwrap().path());
    let shapes = files.filter(|file| file.extension().is_some_and(|it| it == "json")).flat_map(|file| {
        let documents: Vec<Value> = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        documents.into_iter().map(|document| document.to_string().into_bytes())
    });
    let captures = fixtures.join("wire/freeswitch/cdr");
    let pairs = PAIRS.iter().map(|name| std::fs::read(captures.join(format!("{name}.json"))).unwrap());
    shapes.chain(pairs).map(|body| model::cdr::parse(&body, None).unwrap()).collect()
}

async fn calls(store: &Store) -> BTreeMap<String, Call> {
    let page = store
        .calls(Scope::Platform, &CdrFilter::default(), &PageOf { limit: 100, ..PageOf::default() })
        .await
        .unwrap();
    page.items.into_iter().map(|call| (call.facts.call_uuid.clone(), call)).collect()
}

/// As the API gives it; legs that began at one instant come in the order they were stored.
fn shown(calls: &BTreeMap<String, Call>) -> Value {
    let mut value = serde_json::to_value(calls).unwrap();
    for call in value.as_object_mut().unwrap().values_mut() {
        let by_leg = |leg: &Value| leg["leg_uuid"].as_str().map(str::to_owned);
        call["legs"].as_array_mut().unwrap().sort_by_key(by_leg);
    }
    value
}

#[tokio::test]
async fn every_call_is_one_item_that_tells_what_it_was() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let items: Vec<_> = (1..).zip(legs()).map(|(seq, leg)| leg_item(seq, leg)).collect();
    fixture.store.commit_cdr_batch(&items).await.unwrap();
    let calls = calls(&fixture.store).await;
    assert_eq!(calls.len(), CALLS.len());
    for (uuid, [direction, status, hangup], [queue, agent], [wait, talk], [legs, events]) in CALLS {
        let call = &calls[uuid];
        let facts = &call.facts;
        let text = |it: &Option<String>| it.clone().unwrap_or_default();
        assert_eq!(
            [
                &facts.direction,
                &text(&facts.status),
                &text(&facts.hangup_by),
                &text(&facts.queue),
                &text(&facts.agent)
            ],
            [direction, status, hangup, queue, agent],
            "{uuid}"
        );
        let seconds = |it: Option<i32>| it.map_or(-1, i64::from);
        assert_eq!([seconds(facts.wait_seconds), seconds(facts.talk_seconds)], [wait, talk], "{uuid}");
        assert_eq!([call.legs.len(), call.events.len()], [legs, events], "{uuid}: {:#?}", call.events);
    }
    // A leg that does not stand for its call tells of itself.
    let leg = calls["ivq-a"].legs.iter().find(|leg| leg.leg_uuid == "ivq-x1").unwrap();
    assert_eq!((leg.facts.status.as_deref(), leg.facts.agent.as_deref()), (Some("rejected"), Some("1002")));
}

/// Any order, any batches, every leg twice, some at answer first: the same calls that tell the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_order_legs_come_in_their_calls_tell_the_same() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let legs = legs();
    let items: Vec<_> = (1..).zip(&legs).map(|(seq, leg)| leg_item(seq, leg.clone())).collect();
    store.commit_cdr_batch(&items).await.unwrap();
    let expected = shown(&calls(store).await);
    let superuser = fixture.superuser().await;
    let mut random = Random(20_261_127);
    for round in 0..20 {
        superuser.batch_execute("TRUNCATE voip.cdr").await.unwrap();
        let mut arriving: Vec<Leg> = legs.iter().chain(&legs).cloned().collect();
        for leg in legs.iter().filter(|leg| leg.answer_time.is_some()) {
            if random.below(2) == 0 {
                arriving.push(at_answer(leg));
            }
        }
        random.shuffle(&mut arriving);
        let items: Vec<_> = (1..).zip(arriving).map(|(seq, leg)| leg_item(seq, leg)).collect();
        let batches: Vec<_> = items.chunks(1 + random.below(5)).map(<[_]>::to_vec).collect();
        let queue = std::sync::Arc::new(tokio::sync::Mutex::new(batches));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (store, queue) = (store.clone(), queue.clone());
                tokio::spawn(async move {
                    loop {
                        let Some(batch) = queue.lock().await.pop() else { return };
                        store.commit_cdr_batch(&batch).await.unwrap();
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        assert_eq!(shown(&calls(store).await), expected, "round {round}");
    }
}

/// The leg as it was known when it was answered.
fn at_answer(leg: &Leg) -> Leg {
    let mut leg = Leg { provisional: true, end_time: None, hangup_cause: None, ..leg.clone() };
    (leg.duration, leg.billsec, leg.recorded, leg.agent) = (0, 0, false, None);
    leg.story =
        model::call::Story { bridged: leg.story.bridged, loopback: leg.story.loopback, ..Default::default() };
    leg
}

/// The phone of a caller who waited in a queue is not the agent's, though it names him.
#[tokio::test]
async fn an_agent_is_credited_with_his_own_legs() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let queued = |leg: &Leg| leg.leg_uuid.starts_with("btq-") || leg.leg_uuid.starts_with("ctc-");
    let legs: Vec<Leg> = legs().into_iter().filter(queued).collect();
    let items: Vec<_> = (1..).zip(legs).map(|(seq, leg)| leg_item(seq, leg)).collect();
    fixture.store.commit_cdr_batch(&items).await.unwrap();
    let of = StatsOf { by: GroupBy::Agent, zone: "UTC".to_owned(), within_s: 20 };
    let groups = fixture.store.cdr_stats(Scope::Platform, &CdrFilter::default(), &of).await.unwrap();
    let told: Vec<_> =
        groups.iter().map(|it| (it.name.as_deref(), it.calls, it.answered, it.talk_seconds)).collect();
    // 20 s of btq-x, 30 s of ctc-x; not the 40 s of btq-b and ctc-a.
    assert_eq!(told, [(Some("1003"), 2, 2, 50)]);
    let agent = Condition::Text(Column::Agent, Pattern::Is("1003".to_owned()));
    let filter =
        CdrFilter { conditions: vec![Wanted { condition: agent, not: false }], ..CdrFilter::default() };
    let page = PageOf { limit: 10, ..PageOf::default() };
    let found = fixture.store.calls(Scope::Platform, &filter, &page).await.unwrap();
    let mut found: Vec<_> = found.items.into_iter().map(|call| call.facts.call_uuid).collect();
    found.sort();
    assert_eq!(found, ["btq-a", "ctc-a"]);
}

#[tokio::test]
async fn what_an_older_program_stored_is_told_by_its_columns() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let legs: Vec<Leg> = legs().into_iter().filter(|leg| leg.leg_uuid.starts_with("ivq-")).collect();
    let (root, agents): (Vec<Leg>, Vec<Leg>) = legs.into_iter().partition(|leg| leg.parent_uuid.is_none());
    fixture.store.commit_cdr_batch(&[leg_item(1, root[0].clone())]).await.unwrap();
    fixture.superuser().await.batch_execute("UPDATE voip.cdr SET facts = NULL, events = '[]'").await.unwrap();
    let items: Vec<_> = (2..).zip(agents).map(|(seq, leg)| leg_item(seq, leg)).collect();
    fixture.store.commit_cdr_batch(&items).await.unwrap();
    let facts = calls(&fixture.store).await.remove("ivq-a").unwrap().facts;
    assert_eq!((facts.direction.as_str(), facts.queue.as_deref()), ("inbound", Some("Support_L1")));
    assert_eq!((facts.agent.as_deref(), facts.status.as_deref()), (Some("1004"), Some("answered")));
}
