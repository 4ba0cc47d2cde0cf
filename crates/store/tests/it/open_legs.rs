//! Legs that go on, and what becomes of them when their node dies.

use model::{Leg, LegDirection};
use store::cdr_read::Call;
use store::search::{CdrFilter, PageOf};
use store::{Item, Outcome, Scope};

use crate::common::{Fixture, at, leg, leg_item};

const ANSWER: &str = "2026-11-22T12:00:05Z";
const SEEN: &str = "2026-11-22T12:01:15.5Z";

/// A caller and the phone that answered him, as they are known at answer.
fn open_call() -> [Leg; 2] {
    let mut legs = [leg("a", None, "2026-11-22T12:00:00Z"), leg("b", Some("a"), "2026-11-22T12:00:01Z")];
    for leg in &mut legs {
        (leg.provisional, leg.end_time, leg.hangup_cause) = (true, None, None);
        (leg.duration, leg.billsec, leg.answer_time) = (0, 0, Some(at(ANSWER)));
    }
    legs[1].leg_direction = LegDirection::Outbound;
    legs[1].story.bridged = Some(at(ANSWER));
    legs
}

/// Of a node whose clock is far from the test's.
fn received(seq: u64, leg: Leg) -> Item {
    Item { received: at(SEEN), ..leg_item(seq, leg) }
}

async fn one_call(fixture: &Fixture) -> Call {
    let ten = PageOf { limit: 10, ..PageOf::default() };
    let mut page = fixture.store.calls(Scope::Platform, &CdrFilter::default(), &ten).await.unwrap();
    assert_eq!(page.items.len(), 1);
    page.items.remove(0)
}

#[tokio::test]
async fn a_call_is_known_from_answer_on_and_closed_when_nobody_sees_it_any_more() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let [a, b] = open_call();
    store.commit_cdr_batch(&[received(1, a.clone()), received(2, b.clone())]).await.unwrap();
    let call = one_call(&fixture).await;
    assert_eq!((call.facts.status.as_deref(), call.facts.end_time), (Some("answered"), None));
    assert_eq!(
        (call.facts.wait_seconds, call.facts.talk_seconds, call.facts.hangup_by),
        (Some(5), None, None)
    );

    // Last seen long before this test runs.
    assert_eq!(store.close_unseen_legs().await.unwrap(), 2);
    assert_eq!(store.close_unseen_legs().await.unwrap(), 0);
    let call = one_call(&fixture).await;
    assert_eq!(
        (call.facts.hangup_cause.as_deref(), call.facts.end_time),
        (Some("NODE_FAILURE"), Some(at(SEEN)))
    );
    assert_eq!((call.facts.duration, call.facts.billsec, call.facts.talk_seconds), (75, 70, Some(70)));
    assert_eq!(
        (call.facts.status.as_deref(), call.facts.hangup_by.as_deref()),
        (Some("answered"), Some("system"))
    );
    assert!(call.legs.iter().all(|leg| leg.provisional));
    let last = call.events.last().unwrap();
    assert_eq!((last.time, last.detail.as_deref(), &last.who), (at(SEEN), Some("NODE_FAILURE"), &None));

    // The true CDRs come after all.
    let ended = |mut leg: Leg| {
        (leg.provisional, leg.end_time, leg.billsec) = (false, Some(at("2026-11-22T12:02:00Z")), 115);
        leg.hangup_cause = Some("NORMAL_CLEARING".to_owned());
        leg
    };
    let done = store.commit_cdr_batch(&[leg_item(3, ended(a)), leg_item(4, ended(b))]).await.unwrap();
    assert_eq!(done, Outcome { replaced: 2, ..Outcome::default() });
    let call = one_call(&fixture).await;
    assert_eq!((call.facts.hangup_cause.as_deref(), call.facts.billsec), (Some("NORMAL_CLEARING"), 115));
    assert_eq!(call.facts.talk_seconds, Some(115));
    assert_eq!(store.close_unseen_legs().await.unwrap(), 0);
    assert_eq!(store.see_open_legs(&["a".to_owned()]).await.unwrap(), ["a"], "it is not open any more");
}

#[tokio::test]
async fn what_its_node_sees_stays_open_and_opens_again() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let items = open_call().map(|leg| received(1, leg));
    store.commit_cdr_batch(&items).await.unwrap();
    let both = ["a".to_owned(), "b".to_owned(), "unknown".to_owned()];
    assert_eq!(store.see_open_legs(&both).await.unwrap(), ["unknown"]);
    assert_eq!(store.close_unseen_legs().await.unwrap(), 0);

    // Its node could not tell for a while.
    let superuser = fixture.superuser().await;
    superuser.batch_execute("UPDATE voip.cdr SET last_seen = now() - interval '1 hour'").await.unwrap();
    assert_eq!(store.close_unseen_legs().await.unwrap(), 2);
    assert_eq!(one_call(&fixture).await.facts.hangup_cause.as_deref(), Some("NODE_FAILURE"));
    assert_eq!(store.see_open_legs(&both).await.unwrap(), ["unknown"]);
    let call = one_call(&fixture).await;
    assert_eq!((call.facts.hangup_cause, call.facts.end_time, call.facts.talk_seconds), (None, None, None));
    assert_eq!(call.facts.status.as_deref(), Some("answered"));
    assert!(call.events.iter().all(|event| event.detail.as_deref() != Some("NODE_FAILURE")));
    assert_eq!(store.close_unseen_legs().await.unwrap(), 0);
}

/// A direct call needs no node to go on.
#[tokio::test]
async fn a_direct_call_is_not_closed_with_a_node() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let event = model::sip_event::parse(
        br#"{"event":"answered","call_id":"c","from_tag":"f","to_tag":"t","vp_call":"v","domain":"a.example",
            "caller":"1001","callee":"1002","start":"1795341549.5","time":"1795341550.5","media":"0"}"#,
    );
    let item = crate::common::item(1, store::Content::Sip(Box::new(event.unwrap())));
    fixture.store.commit_cdr_batch(&[item]).await.unwrap();
    let call = one_call(&fixture).await;
    assert_eq!((call.facts.status.as_deref(), call.legs[0].provisional), (Some("answered"), true));
    assert_eq!(fixture.store.close_unseen_legs().await.unwrap(), 0);
}
