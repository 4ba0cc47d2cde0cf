//! Direct calls: Kamailio's events, in any order, become one row of a call that never touched FreeSWITCH.

use jiff::Timestamp;
use model::sip_event::{SipEvent, SipEventKind};
use store::search::{CdrFilter, PageOf};
use store::{Content, Item, Outcome, Scope};

use crate::common::{A, Fixture, at, item};

const START: &str = "2026-11-22T12:00:00.5Z";

fn event(kind: SipEventKind, time: &str, media: Option<bool>) -> SipEvent {
    let known = kind != SipEventKind::Ended;
    let text = |value: &str| known.then(|| value.to_owned());
    SipEvent {
        kind,
        call_id: "call-id@phone".to_owned(),
        from_tag: "from".to_owned(),
        to_tag: Some("to".to_owned()),
        vp_call: text("vp-call"),
        domain: text(A),
        caller: text("1001"),
        caller_name: text("Alice"),
        callee: text("1002"),
        start: known.then(|| at(START)),
        time: at(time),
        sip_code: known.then_some(if kind == SipEventKind::Failed { 486 } else { 200 }),
        sip_reason: None,
        media,
        direction: None,
        by: None,
    }
}

fn sip(seq: u64, event: &SipEvent) -> Item {
    item(seq, Content::Sip(Box::new(event.clone())))
}

struct Seen {
    provisional: bool,
    billsec: i32,
    cause: Option<String>,
    end: Option<Timestamp>,
}

async fn seen(fixture: &Fixture) -> Vec<Seen> {
    let page = fixture
        .store
        .legs(Scope::Platform, &CdrFilter::default(), &PageOf { limit: 10, ..PageOf::default() })
        .await
        .unwrap();
    let legs = page.items.into_iter();
    legs.map(|leg| {
        assert_eq!(
            (leg.leg_uuid.as_str(), leg.facts.start_time, leg.source.as_str()),
            ("vp-call", at(START), "kamailio")
        );
        Seen {
            provisional: leg.provisional,
            billsec: leg.facts.billsec,
            cause: leg.facts.hangup_cause,
            end: leg.facts.end_time,
        }
    })
    .collect()
}

#[tokio::test]
async fn answered_then_ended_and_the_other_way_round() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let answered = event(SipEventKind::Answered, "2026-11-22T12:00:03.5Z", Some(false));
    let ended = event(SipEventKind::Ended, "2026-11-22T12:00:13.5Z", None);
    for order in [[&answered, &ended], [&ended, &answered]] {
        for (seq, event) in (1..).zip(order) {
            let outcome = store.commit_cdr_batch(&[sip(seq, event)]).await.unwrap();
            assert_eq!(outcome.sip_events, 1);
        }
        let rows = seen(&fixture).await;
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].provisional, rows[0].billsec), (false, 10));
        assert_eq!(rows[0].cause.as_deref(), Some("NORMAL_CLEARING"));
        assert_eq!(rows[0].end, Some(at("2026-11-22T12:00:13.5Z")));
        // Once more, by way of both nodes: nothing new.
        let again = store.commit_cdr_batch(&[sip(9, &answered), sip(9, &ended)]).await.unwrap();
        assert_eq!(again, Outcome { sip_events: 2, duplicates: 1, ..Outcome::default() });
        fixture
            .superuser()
            .await
            .batch_execute("DELETE FROM voip.cdr; DELETE FROM voip.sip_dialogs")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_call_shows_at_answer_and_is_final_at_its_end() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let answered = event(SipEventKind::Answered, "2026-11-22T12:00:03.5Z", Some(false));
    let ended = event(SipEventKind::Ended, "2026-11-22T12:00:13.5Z", None);
    let first = fixture.store.commit_cdr_batch(&[sip(1, &answered)]).await.unwrap();
    assert_eq!(first, Outcome { inserted: 1, sip_events: 1, ..Outcome::default() });
    assert!(seen(&fixture).await[0].provisional);
    let second = fixture.store.commit_cdr_batch(&[sip(2, &ended)]).await.unwrap();
    assert_eq!(second, Outcome { replaced: 1, sip_events: 1, ..Outcome::default() });
    assert!(!seen(&fixture).await[0].provisional);
}

#[tokio::test]
async fn failed_calls_are_rows_and_freeswitchs_calls_are_evidence_only() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let carried = event(SipEventKind::Answered, "2026-11-22T12:00:03.5Z", Some(true));
    store.commit_cdr_batch(&[sip(1, &carried)]).await.unwrap();
    assert!(seen(&fixture).await.is_empty());
    let mut failed = event(SipEventKind::Failed, "2026-11-22T12:00:03.5Z", Some(false));
    failed.call_id = "another@phone".to_owned();
    store.commit_cdr_batch(&[sip(2, &failed)]).await.unwrap();
    let rows = seen(&fixture).await;
    assert_eq!((rows.len(), rows[0].cause.as_deref(), rows[0].billsec), (1, Some("USER_BUSY"), 0));
}

#[tokio::test]
async fn evidence_that_cannot_be_stored_is_quarantined_alone() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let mut bad = event(SipEventKind::Answered, "2026-11-22T12:00:03.5Z", Some(false));
    bad.from_tag = "\0".to_owned();
    let good = event(SipEventKind::Answered, "2026-11-22T12:00:03.5Z", Some(false));
    let outcome = fixture.store.commit_cdr_batch(&[sip(1, &bad), sip(2, &good)]).await.unwrap();
    assert_eq!(outcome, Outcome { inserted: 1, sip_events: 1, quarantined: 1, ..Outcome::default() });
}
