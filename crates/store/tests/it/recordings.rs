//! Recordings: a row with its leg, in its own tenant, for as long as the policy says, and never gone under legal hold.

use std::time::Duration;

use model::Recording;
use store::audit::Actor;
use store::recordings::keep::{FileState, Kept};
use store::recordings::{Access, RecordingFilter};
use store::search::Pattern;
use store::{Error, Scope, Store};

use crate::common::{A, B, Fixture, at, leg, leg_item};

const AGAIN: Duration = Duration::from_secs(3_600);

fn recorded(uuid: &str, domain: &str, start: &str, ms: i64) -> model::Leg {
    let mut made = leg(uuid, None, start);
    made.domain = Some(domain.to_owned());
    made.recorded = true;
    made.recording =
        Some(Recording { path: format!("2026/11/22/{uuid}.wav"), ms: Some(ms), bytes: Some(44 + 16 * ms) });
    made
}

fn filter() -> RecordingFilter {
    RecordingFilter { limit: 100, ..RecordingFilter::default() }
}

async fn legs(store: &Store, scope: Scope, filter: &RecordingFilter) -> Vec<String> {
    let page = store.recordings(scope, filter).await.unwrap();
    page.items.into_iter().map(|recording| recording.leg_uuid).collect()
}

fn actor(scope: Scope) -> Actor {
    Actor { who: "key:test".to_owned(), scope, idempotency: None }
}

#[tokio::test]
async fn a_leg_brings_its_recording_once_and_the_right_policy_says_how_long() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let superuser = fixture.superuser().await;
    superuser
        .batch_execute(
            "INSERT INTO voip.recording_policies (domain_id, name, record_internal, record_queue, retention_days)
             SELECT d.id, p.name, p.internal, p.queue, p.days FROM voip.domains d,
                (VALUES ('short', true, false, 10), ('long', true, false, 400), ('queue', false, true, 30))
                    AS p (name, internal, queue, days) WHERE d.domain = 'a.example';
             UPDATE voip.extensions e SET recording_policy_id = p.id FROM voip.recording_policies p
              WHERE p.domain_id = e.domain_id AND (e.extension, p.name) IN
                    (('1001', 'short'), ('1002', 'long'), ('8001', 'queue'))",
        )
        .await
        .unwrap();
    let store = &fixture.store;
    let mut made: Vec<model::Leg> = ["both", "caller", "queued", "nobody's", "other", "unknown"]
        .iter()
        .map(|uuid| recorded(uuid, A, "2026-11-22T12:00:00Z", 61_500))
        .collect();
    made[1].destination_number = Some("1003".to_owned());
    (made[2].caller_id_number, made[2].destination_number) =
        (Some("0301234".to_owned()), Some("8001".to_owned()));
    (made[2].queue, made[2].agent) = (Some("Support_L1".to_owned()), Some("1003".to_owned()));
    (made[3].caller_id_number, made[3].destination_number) =
        (Some("1003".to_owned()), Some("1004".to_owned()));
    made[4].domain = Some(B.to_owned());
    made[5].domain = Some("unknown.example".to_owned());
    let mut items: Vec<_> = (1..).zip(made).map(|(seq, leg)| leg_item(seq, leg)).collect();
    // What is not answered is not recorded; what is told twice is one recording.
    items.push(leg_item(20, leg("unanswered", None, "2026-11-22T12:00:00Z")));
    items.extend(items.clone());
    store.commit_cdr_batch(&items).await.unwrap();
    store.commit_cdr_batch(&items).await.unwrap();

    let rows = superuser
        .query(
            "SELECT leg_uuid, policy, (expires_at - record_end_time)::text, duration, state, node FROM voip.recordings ORDER BY id",
            &[],
        )
        .await
        .unwrap();
    let rows: Vec<(String, Option<String>, Option<String>)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let row = |uuid: &str, policy: &str, kept: &str| {
        (uuid.to_owned(), Some(policy.to_owned()), Some(kept.to_owned()))
    };
    let mut sorted = rows.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [
            row("both", "long", "400 days"),
            row("caller", "short", "10 days"),
            // Neither party has one: the tenant's, and of those that record such a call the longest.
            row("nobody's", "long", "400 days"),
            row("other", "Default Queue Recording", "90 days"),
            row("queued", "queue", "30 days"),
            ("unknown".to_owned(), None, None),
        ]
    );
    let one = &store
        .recordings(Scope::Platform, &RecordingFilter { uuid: Some("queued".into()), ..filter() })
        .await
        .unwrap()
        .items[0];
    assert_eq!((one.duration, one.state.as_str(), one.node.as_str()), (Some(61), "recording", "n1"));
    assert_eq!(one.record_end_time, Some(at("2026-11-22T12:01:01.5Z")));
    assert_eq!(one.call_uuid.as_deref(), Some("queued"));
}

/// The same leg, as FreeSWITCH tells of it when its recording has ended.
fn stopped(of: &model::Leg, ms: i64) -> model::Leg {
    let recording = of.recording.clone().map(|it| Recording { ms: Some(ms), ..it });
    let (end_time, hangup_cause) = (None, None);
    model::Leg { provisional: true, recording, agent: None, end_time, hangup_cause, ..of.clone() }
}

#[tokio::test]
async fn a_recording_that_has_ended_is_there_without_its_cdr_and_in_whichever_order_they_come() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let mut cdr = recorded("call", A, "2026-11-22T12:00:00Z", 61_500);
    cdr.agent = Some("1003".to_owned());
    let stop = stopped(&cdr, 61_500);
    // At answer nothing is recorded yet.
    let answered = model::Leg { recorded: false, recording: None, ..stop.clone() };
    let commit = async |seq: u64, legs: &[&model::Leg]| {
        let items: Vec<_> = (seq..).zip(legs).map(|(seq, leg)| leg_item(seq, (*leg).clone())).collect();
        store.commit_cdr_batch(&items).await.unwrap();
    };
    let all = async || store.recordings(Scope::Platform, &filter()).await.unwrap().items;
    let told = async || {
        let [one] = <[_; 1]>::try_from(all().await).unwrap();
        (one.agent.clone(), one.duration, one.file_size, one.state.clone(), one.record_end_time)
    };
    let (state, ended) = (|it: &str| it.to_owned(), |it: &str| Some(at(it)));
    let agent = || Some("1003".to_owned());

    commit(1, &[&answered]).await;
    assert!(all().await.is_empty());
    let end = ended("2026-11-22T12:01:01.5Z");
    commit(2, &[&stop]).await;
    assert_eq!(told().await, (None, Some(61), Some(984_044), state("recording"), end));
    let files = store.recordings_to_finish("n1", 10).await.unwrap();
    let measured = FileState::Measured { size: 44, duration: Some(62), sha256: [7; 32] };
    store.mark_recordings(&[(files[0].clone(), measured.clone())]).await.unwrap();
    commit(3, &[&cdr]).await;
    commit(4, &[&stop, &answered]).await;
    commit(6, &[&cdr]).await;
    assert_eq!(
        told().await,
        (agent(), Some(62), Some(44), state("stored"), end),
        "the CDR has the last word"
    );

    // Recording was begun again: what was measured in between was not the whole.
    let superuser = fixture.superuser().await;
    let reset = "DELETE FROM voip.recordings; DELETE FROM voip.cdr";
    superuser.batch_execute(reset).await.unwrap();
    let (first, second) = (stopped(&cdr, 10_000), stopped(&cdr, 20_000));
    commit(7, &[&answered, &first]).await;
    let files = store.recordings_to_finish("n1", 10).await.unwrap();
    store.mark_recordings(&[(files[0].clone(), measured)]).await.unwrap();
    commit(9, &[&second]).await;
    commit(10, &[&first]).await;
    let end = ended("2026-11-22T12:00:20Z");
    assert_eq!(told().await, (None, Some(20), Some(984_044), state("recording"), end));
    commit(11, &[&stop, &cdr]).await;
    let end = ended("2026-11-22T12:01:01.5Z");
    assert_eq!(told().await, (agent(), Some(61), Some(984_044), state("recording"), end));

    // The CDR first. What its retention has ended does not come back with an event that was late.
    superuser.batch_execute(reset).await.unwrap();
    commit(13, &[&cdr]).await;
    let first = told().await;
    commit(14, &[&stop]).await;
    assert_eq!(told().await, first);
    superuser.batch_execute("DELETE FROM voip.recordings").await.unwrap();
    commit(15, &[&stop, &cdr]).await;
    assert!(all().await.is_empty());
}

#[tokio::test]
async fn a_recording_is_there_from_its_beginning_and_finished_when_its_node_died() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let cdr = recorded("call", A, "2026-11-22T12:00:00Z", 61_500);
    let stop = stopped(&cdr, 61_500);
    let mut start = stop.clone();
    start.recording.as_mut().unwrap().ms = None;
    start.recording.as_mut().unwrap().bytes = None;
    let answered = model::Leg { recorded: false, recording: None, ..stop.clone() };
    let commit = async |seq: u64, legs: &[&model::Leg]| {
        let items: Vec<_> = (seq..).zip(legs).map(|(seq, leg)| leg_item(seq, (*leg).clone())).collect();
        store.commit_cdr_batch(&items).await.unwrap();
    };
    let unfinished = async || store.recordings_to_finish("n1", 10).await.unwrap().len();
    let superuser = fixture.superuser().await;
    let shown = async || {
        let sql = "SELECT c.recorded, r.state, r.duration FROM voip.cdr c JOIN voip.recordings r USING (leg_uuid, start_time)";
        let row = superuser.query_one(sql, &[]).await.unwrap();
        (row.get::<_, bool>(0), row.get::<_, String>(1), row.get::<_, Option<i32>>(2))
    };

    commit(1, &[&answered]).await;
    commit(2, &[&start]).await;
    assert_eq!(shown().await, (true, "recording".to_owned(), None));
    assert_eq!(unfinished().await, 0, "it goes on");
    superuser.batch_execute("UPDATE voip.cdr SET last_seen = now() - interval '1 hour'").await.unwrap();
    assert_eq!(store.close_unseen_legs().await.unwrap(), 1);
    assert_eq!(unfinished().await, 1, "what there is, is measured");

    // In one batch and in any order the end is what is known of it; a beginning that comes late says nothing new.
    superuser.batch_execute("DELETE FROM voip.recordings; DELETE FROM voip.cdr").await.unwrap();
    commit(3, &[&answered, &stop, &start]).await;
    assert_eq!(shown().await, (true, "recording".to_owned(), Some(61)));
    commit(6, &[&start]).await;
    assert_eq!(shown().await, (true, "recording".to_owned(), Some(61)));
    assert_eq!(unfinished().await, 1);
}

#[tokio::test]
async fn filters_pages_and_tenants() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let mut one = recorded("one", A, "2026-11-22T12:00:00Z", 5_000);
    (one.queue, one.agent) = (Some("Support_L1".to_owned()), Some("1002".to_owned()));
    one.destination_number = Some("8001".to_owned());
    let mut two = recorded("two", A, "2026-11-22T13:00:00Z", 60_000);
    two.caller_id_number = Some("1003".to_owned());
    let mut leg_of_two = leg("leg of two", Some("two"), "2026-11-22T13:00:02Z");
    leg_of_two.domain = Some(A.to_owned());
    let three = recorded("three", B, "2026-11-22T13:30:00Z", 600_000);
    let items = [leg_item(1, one), leg_item(2, two), leg_item(3, leg_of_two), leg_item(4, three)];
    store.commit_cdr_batch(&items).await.unwrap();
    let text = |value: &str| Some(value.to_owned());
    let cases = [
        (filter(), vec!["three", "two", "one"]),
        (RecordingFilter { uuid: text("leg of two"), ..filter() }, vec!["two"]),
        (RecordingFilter { uuid: text("two"), ..filter() }, vec!["two"]),
        (RecordingFilter { uuid: text("none"), ..filter() }, vec![]),
        (RecordingFilter { from: Some(at("2026-11-22T13:00:00Z")), ..filter() }, vec!["three", "two"]),
        (RecordingFilter { to: Some(at("2026-11-22T13:00:00Z")), ..filter() }, vec!["one"]),
        (RecordingFilter { caller: Some(Pattern::Is("1003".into())), ..filter() }, vec!["two"]),
        (RecordingFilter { caller: Some(Pattern::Ends("03".into())), ..filter() }, vec!["two"]),
        (RecordingFilter { caller: Some(Pattern::Begins("_00".into())), ..filter() }, vec![]),
        (RecordingFilter { destination: Some(Pattern::Is("8001".into())), ..filter() }, vec!["one"]),
        (RecordingFilter { destination: Some(Pattern::Begins("80".into())), ..filter() }, vec!["one"]),
        (RecordingFilter { direction: text("outbound"), ..filter() }, vec![]),
        (RecordingFilter { queue: text("Support_L1"), ..filter() }, vec!["one"]),
        (RecordingFilter { agent: text("1002"), ..filter() }, vec!["one"]),
        (RecordingFilter { domain: text("B.Example"), ..filter() }, vec!["three"]),
        (RecordingFilter { domain: text("'; DROP TABLE voip.cdr; --"), ..filter() }, vec![]),
        (RecordingFilter { state: text("stored"), ..filter() }, vec![]),
        (RecordingFilter { state: text("recording"), ..filter() }, vec!["three", "two", "one"]),
        (RecordingFilter { duration_min: Some(60), ..filter() }, vec!["three", "two"]),
        (RecordingFilter { duration_max: Some(60), ..filter() }, vec!["two", "one"]),
        (RecordingFilter { legal_hold: Some(true), ..filter() }, vec![]),
    ];
    for (filter, expected) in cases {
        assert_eq!(legs(store, Scope::Platform, &filter).await, expected, "{filter:?}");
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .recordings(Scope::Platform, &RecordingFilter { limit: 1, after, ..filter() })
            .await
            .unwrap();
        seen.extend(page.items.into_iter().map(|it| it.leg_uuid));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, ["three", "two", "one"]);
    let bad = store.recordings(Scope::Platform, &RecordingFilter { after: text("x"), ..filter() }).await;
    assert!(matches!(bad, Err(Error::Invalid { field: "after", .. })));

    let a = Scope::Tenant(fixture.domain_id(A).await);
    assert_eq!(legs(store, a, &filter()).await, ["two", "one"]);
    for hidden in
        [RecordingFilter { uuid: text("three"), ..filter() }, RecordingFilter { domain: text(B), ..filter() }]
    {
        assert!(legs(store, a, &hidden).await.is_empty());
    }
    let theirs = store.recordings(Scope::Platform, &filter()).await.unwrap().items.remove(0);
    assert!(matches!(store.recording(a, theirs.id).await, Err(Error::NotFound)));
    assert!(matches!(store.hold_recording(&actor(a), theirs.id, true).await, Err(Error::NotFound)));
    let access = Access { range: None, address: "192.0.2.1".to_owned() };
    assert!(store.log_recording_access(&actor(a), &theirs, &access).await.is_err(), "not into another's log");
}

#[tokio::test]
async fn states_follow_what_the_nodes_find() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let items = ["one", "two"].map(|uuid| recorded(uuid, A, "2026-11-22T12:00:00Z", 5_000));
    let items: Vec<_> = (1..).zip(items).map(|(seq, leg)| leg_item(seq, leg)).collect();
    store.commit_cdr_batch(&items).await.unwrap();
    assert!(store.recordings_to_finish("n2", 10).await.unwrap().is_empty(), "the other node's are not ours");
    let found = store.recordings_to_finish("n1", 10).await.unwrap();
    assert_eq!(found.len(), 2);
    let [one, two] = <[Kept; 2]>::try_from(found).unwrap();
    let measured = FileState::Measured { size: 44, duration: Some(7), sha256: [7; 32] };
    store.mark_recordings(&[(one.clone(), measured), (two.clone(), FileState::Missing)]).await.unwrap();
    let state = async |id| store.recording(Scope::Platform, id).await.unwrap().state;
    let shown = store.recording(Scope::Platform, one.id).await.unwrap();
    assert_eq!((shown.file_size, shown.duration, shown.sha256), (Some(44), Some(7), Some("07".repeat(32))));
    assert_eq!((state(one.id).await, state(two.id).await), ("stored".to_owned(), "missing".to_owned()));

    // The peer: not here, then here, then lost.
    let copies = store.copies_to_check("n1", AGAIN, 10).await.unwrap();
    assert_eq!(copies.iter().map(|copy| copy.id).collect::<Vec<_>>(), [one.id]);
    store.mark_copies(&[(copies[0].clone(), false)]).await.unwrap();
    assert!(store.copies_to_check("n1", AGAIN, 10).await.unwrap().is_empty(), "not at once again");
    store.mark_copies(&[(copies[0].clone(), true)]).await.unwrap();
    assert_eq!(state(one.id).await, "replicated");
    assert_eq!(
        store.copies_to_check("n1", Duration::ZERO, 10).await.unwrap().len(),
        1,
        "a copy is looked at again"
    );
    // The owner's own look changes nothing of that, unless the file is not what it was.
    assert!(store.recordings_to_check("n1", AGAIN, AGAIN, 10).await.unwrap().is_empty());
    let due = store.recordings_to_check("n1", Duration::ZERO, Duration::ZERO, 10).await.unwrap();
    assert_eq!(due.iter().map(|kept| kept.id).collect::<Vec<_>>(), [two.id, one.id]);
    store
        .mark_recordings(&[(due[1].clone(), FileState::AsBefore), (due[0].clone(), FileState::Unmeasured)])
        .await
        .unwrap();
    assert_eq!((state(one.id).await, state(two.id).await), ("replicated".to_owned(), "recording".to_owned()));
    store.mark_recordings(&[(due[1].clone(), FileState::Changed)]).await.unwrap();
    store.mark_copies(&[(due[1].clone(), true)]).await.unwrap();
    assert_eq!(state(one.id).await, "changed", "the peer's copy does not mend the owner's file");
    let changed = Kept { state: "changed".to_owned(), ..due[1].clone() };
    store.mark_recordings(&[(changed, FileState::AsBefore)]).await.unwrap();
    assert_eq!(state(one.id).await, "stored");
    let counts = store.count_recordings("n1", &["stored", "recording", "missing"]).await.unwrap();
    assert_eq!(
        counts.into_iter().collect::<Vec<_>>(),
        [("recording".to_owned(), 1), ("stored".to_owned(), 1)]
    );
}

#[tokio::test]
async fn retention_deletes_on_both_nodes_and_nothing_under_legal_hold() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    // Ended ninety days ago and more, but for one.
    let starts =
        [("old", "2020-01-01T12:00:00Z"), ("held", "2020-01-01T12:00:00Z"), ("new", "2099-01-01T12:00:00Z")];
    let items: Vec<_> = (1..)
        .zip(starts)
        .map(|(seq, (uuid, start))| leg_item(seq, recorded(uuid, A, start, 5_000)))
        .collect();
    store.commit_cdr_batch(&items).await.unwrap();
    let a = Scope::Tenant(fixture.domain_id(A).await);
    let all = store.recordings(a, &filter()).await.unwrap().items;
    let id = |uuid: &str| all.iter().find(|it| it.leg_uuid == uuid).unwrap().id;
    let held = store.hold_recording(&actor(a), id("held"), true).await.unwrap();
    assert!(held.legal_hold);
    assert!(store.claim_expired_recordings("n2", 10).await.unwrap().is_empty());
    let claimed = store.claim_expired_recordings("n1", 10).await.unwrap();
    assert_eq!(claimed.iter().map(|kept| kept.id).collect::<Vec<_>>(), [id("old")]);
    assert_eq!(store.claim_expired_recordings("n1", 10).await.unwrap(), claimed, "until it is done");
    let late = store.hold_recording(&actor(a), id("old"), true).await;
    assert!(matches!(late, Err(Error::Conflict { field: "legal_hold", .. })));
    assert!(
        store.copies_to_delete("n1", 10).await.unwrap().is_empty(),
        "the owner's first: it would push it again"
    );
    store.mark_deleted(&[id("old")]).await.unwrap();
    assert_eq!(store.copies_to_delete("n1", 10).await.unwrap().len(), 1);
    // Only what is being deleted is forgotten, twice is as good as once.
    store.forget_recordings(&[id("old"), id("held")]).await.unwrap();
    store.forget_recordings(&[id("old")]).await.unwrap();
    assert_eq!(legs(store, a, &filter()).await, ["new", "held"]);

    store.hold_recording(&actor(a), id("held"), false).await.unwrap();
    assert_eq!(store.claim_expired_recordings("n1", 10).await.unwrap().len(), 1);
    let access = Access { range: Some("bytes 0-9/44".to_owned()), address: "192.0.2.1".to_owned() };
    let new = store.recording(a, id("new")).await.unwrap();
    store.log_recording_access(&actor(a), &new, &access).await.unwrap();
    let superuser = fixture.superuser().await;
    let log = superuser
        .query(
            "SELECT who || ' ' || action || ' ' || coalesce(before ->> 'legal_hold', '') || coalesce(after ->> 'legal_hold', '')
                || coalesce(after ->> 'range', '') || coalesce(before ->> 'file_path', '')
               FROM voip.audit_log WHERE entity = 'recording' ORDER BY id",
            &[],
        )
        .await
        .unwrap();
    let log: Vec<String> = log.iter().map(|row| row.get(0)).collect();
    assert_eq!(log[0], "key:test update falsetrue2026/11/22/held.wav");
    assert_eq!(log[1], "retention delete 2026/11/22/old.wav");
    assert_eq!(log[3], "key:test read bytes 0-9/44");
}
