//! Batches of CDRs: each leg once, in its call, in its month, whatever the others hold.

use model::assembly::{Known, place};
use store::{Content, Outcome};

use crate::common::{A, Fixture, JOURNAL, Random, at, item, leg, leg_item};

#[tokio::test]
async fn a_batch_again_changes_nothing_and_is_receipted_again() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let batch = [
        leg_item(1, leg("a", None, "2026-11-22T12:00:00Z")),
        leg_item(2, leg("b", Some("a"), "2026-11-22T12:00:01Z")),
        // The same record twice in one batch, and the same leg in another record.
        leg_item(2, leg("b", Some("a"), "2026-11-22T12:00:01Z")),
        leg_item(3, leg("a", None, "2026-11-22T12:00:00Z")),
    ];
    let first = store.commit_cdr_batch(&batch).await.unwrap();
    assert_eq!(first, Outcome { inserted: 2, duplicates: 2, ..Outcome::default() });
    let second = store.commit_cdr_batch(&batch).await.unwrap();
    assert_eq!(second, Outcome { duplicates: 4, ..Outcome::default() });
    assert_eq!(rows(&fixture).await, [("a", "a", true), ("b", "a", false)].map(owned));

    assert_eq!(store.take_receipts(JOURNAL).await.unwrap(), [1, 2, 3]);
    assert!(store.take_receipts(JOURNAL).await.unwrap().is_empty());
    assert!(store.take_receipts(uuid::Uuid::nil()).await.unwrap().is_empty());
}

#[tokio::test]
async fn ids_are_looked_up_by_the_names_of_the_time() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let mut known = leg("known", None, "2026-11-22T12:00:00Z");
    (known.queue, known.agent) = (Some("Support_L1".to_owned()), Some("1002".to_owned()));
    known.domain = Some("A.Example".to_owned());
    let mut strange = leg("strange", None, "2026-11-22T12:00:00Z");
    (strange.queue, strange.agent) = (Some("Support_L1".to_owned()), Some("nobody".to_owned()));
    strange.domain = Some("unknown.example".to_owned());
    fixture.store.commit_cdr_batch(&[leg_item(1, known), leg_item(2, strange)]).await.unwrap();
    let superuser = fixture.superuser().await;
    let rows = superuser
        .query(
            "SELECT c.domain, d.domain, q.name, u.username FROM voip.cdr c LEFT JOIN voip.domains d ON d.id = c.domain_id
               LEFT JOIN voip.queues q ON q.id = c.queue_id LEFT JOIN voip.users u ON u.id = c.agent_user_id
              ORDER BY leg_uuid",
            &[],
        )
        .await
        .unwrap();
    let texts = |n: usize| [0, 1, 2, 3].map(|column| rows[n].get::<_, Option<String>>(column));
    let texts = |n| texts(n).map(|text| text.unwrap_or_default());
    assert_eq!(texts(0), ["A.Example", A, "Support_L1", "1002"]);
    assert_eq!(texts(1), ["unknown.example", "", "", ""]);
}

#[tokio::test]
async fn a_final_row_replaces_a_provisional_one_and_never_the_other_way() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let start = "2026-11-22T12:00:00Z";
    let provisional = |uuid: &str| {
        let mut leg = leg(uuid, None, start);
        (leg.provisional, leg.end_time, leg.hangup_cause, leg.billsec) = (true, None, None, 0);
        leg
    };
    // In this order, in the other, and in one batch.
    let one =
        store.commit_cdr_batch(&[leg_item(1, provisional("x")), leg_item(2, leg("y", None, start))]).await;
    assert_eq!(one.unwrap().inserted, 2);
    let two = store
        .commit_cdr_batch(&[
            leg_item(3, leg("x", None, start)),
            leg_item(4, provisional("y")),
            leg_item(5, provisional("z")),
            leg_item(6, leg("z", None, start)),
        ])
        .await;
    assert_eq!(two.unwrap(), Outcome { inserted: 1, replaced: 1, duplicates: 2, ..Outcome::default() });
    let superuser = fixture.superuser().await;
    let row = superuser
        .query_one(
            "SELECT count(*) FILTER (WHERE NOT provisional AND billsec = 5), count(*) FROM voip.cdr",
            &[],
        )
        .await
        .unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (3, 3));
}

#[tokio::test]
async fn a_late_root_takes_its_whole_call() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    // Deepest first: each batch brings the parent of the one before.
    let chain = [("d", Some("c")), ("e", Some("c")), ("c", Some("b")), ("b", Some("a")), ("a", None)];
    for (seq, (uuid, parent)) in (1..).zip(chain) {
        let start = format!("2026-11-22T12:00:0{}Z", 9 - seq);
        let done = store.commit_cdr_batch(&[leg_item(seq, leg(uuid, parent, &start))]).await.unwrap();
        assert_eq!(done.inserted, 1);
        let heads = rows(&fixture).await.into_iter().filter(|(.., head)| *head).count();
        assert_eq!(heads, 1, "one row stands for the call after {uuid}");
    }
    let all = [("a", "a", true), ("b", "a", false), ("c", "a", false), ("d", "a", false), ("e", "a", false)];
    assert_eq!(rows(&fixture).await, all.map(owned));
}

#[tokio::test]
async fn every_instant_has_its_utc_month() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let starts = [
        ("1970-01-01T00:00:00Z", "cdr_before_2000"),
        ("1999-12-31T23:59:59.999999Z", "cdr_before_2000"),
        ("2000-01-01T00:00:00Z", "cdr_2000_01"),
        ("2026-10-31T23:59:59.999999Z", "cdr_2026_10"),
        ("2026-11-01T00:00:00Z", "cdr_2026_11"),
        ("2024-02-29T12:00:00Z", "cdr_2024_02"),
        ("2099-12-31T23:59:59.999999Z", "cdr_2099_12"),
        ("2100-01-01T00:00:00Z", "cdr_from_2100"),
        ("9999-12-30T22:00:00.999999Z", "cdr_from_2100"),
        ("-004000-01-01T00:00:00Z", "cdr_before_2000"),
    ];
    let batch: Vec<_> = (1..)
        .zip(starts)
        .map(|(seq, (start, _))| leg_item(seq, leg(&format!("l{seq:02}"), None, start)))
        .collect();
    let done = fixture.store.commit_cdr_batch(&batch).await.unwrap();
    assert_eq!(done, Outcome { inserted: starts.len(), ..Outcome::default() });
    let superuser = fixture.superuser().await;
    let rows = superuser
        .query("SELECT tableoid::regclass::text, start_time FROM voip.cdr WHERE start_time > '4001-01-01 BC' ORDER BY leg_uuid", &[])
        .await
        .unwrap();
    for (row, (start, partition)) in rows.iter().zip(starts) {
        assert_eq!(row.get::<_, &str>(0), format!("voip.{partition}"), "{start}");
        assert_eq!(row.get::<_, jiff::Timestamp>(1), at(start));
    }
    assert_eq!(rows.len(), starts.len());
    // The months to come are there beforehand.
    let row = superuser
        .query_one("SELECT count(*) FROM generate_series(0, 3) n WHERE to_regclass('voip.cdr_' ||
            to_char((date_trunc('month', now() AT TIME ZONE 'UTC') + n * interval '1 month'), 'YYYY_MM')) IS NOT NULL", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i64>(0), 4);
    fixture.store.prepare_cdr_partitions().await.unwrap();
}

#[tokio::test]
async fn a_record_that_cannot_be_stored_goes_to_quarantine_alone() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let start = "2026-11-22T12:00:00Z";
    // Random text does not compress: too long for an index row. NUL is no character of PostgreSQL's. Before 4713 BC
    // there is no timestamp.
    let mut random = Random(1);
    let long: String =
        (0..9_000).map(|_| char::from(b'!' + u8::try_from(random.below(90)).unwrap())).collect();
    let mut batch: Vec<_> =
        (1..=20).map(|seq| leg_item(seq, leg(&format!("good{seq}"), None, start))).collect();
    batch.insert(3, leg_item(101, leg(&long, None, start)));
    batch.insert(9, leg_item(102, leg("nul\0", None, start)));
    batch.insert(15, leg_item(103, leg("ancient", None, "-009999-01-02T01:59:59Z")));
    batch.push(item(
        104,
        Content::Poison {
            reason: "half a document\0".to_owned(),
            source: "fs/cdr".to_owned(),
            uuid: Some("\0".repeat(10_000)),
        },
    ));
    let done = fixture.store.commit_cdr_batch(&batch).await.unwrap();
    assert_eq!(done, Outcome { inserted: 20, quarantined: 4, ..Outcome::default() });
    let again = fixture.store.commit_cdr_batch(&batch).await.unwrap();
    assert_eq!(again, Outcome { duplicates: 20, quarantined: 4, ..Outcome::default() });
    let superuser = fixture.superuser().await;
    let kept = superuser
        .query("SELECT body, reason, times, node FROM voip.cdr_quarantine ORDER BY body", &[])
        .await
        .unwrap();
    assert_eq!(kept.len(), 4);
    for (row, seq) in kept.iter().zip(101..) {
        assert_eq!(row.get::<_, &[u8]>(0), format!("body {seq}").as_bytes(), "kept whole");
        assert_eq!((row.get::<_, i32>(2), row.get::<_, &str>(3)), (2, "n1"));
    }
    let receipts = fixture.store.take_receipts(JOURNAL).await.unwrap();
    assert_eq!(receipts.len(), 24, "quarantined is stored");
}

#[tokio::test]
async fn the_same_bytes_of_two_calls_are_two_documents_and_of_one_are_one() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let poison = |seq, uuid: Option<&str>| {
        let (reason, source) = ("a list".to_owned(), "freeswitch".to_owned());
        let content = Content::Poison { reason, source, uuid: uuid.map(str::to_owned) };
        store::Item { body: "[]".into(), ..item(seq, content) }
    };
    let batch = [poison(1, Some("u1")), poison(2, Some("u2")), poison(3, None)];
    for _ in 0..2 {
        fixture.store.commit_cdr_batch(&batch).await.unwrap();
    }
    let kept = fixture.store.quarantine(Some("held"), 10, None).await.unwrap().items;
    let mut kept: Vec<_> = kept.into_iter().map(|kept| (kept.uuid, kept.times, kept.bytes)).collect();
    kept.sort();
    assert_eq!(kept, [(None, 2, 2), (Some("u1".to_owned()), 2, 2), (Some("u2".to_owned()), 2, 2)]);
}

/// Four workers, calls of several levels, every leg twice, in any order and any batches: each row once, under its root.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_side_by_side_agree_with_one_alone() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let mut random = Random(20_261_122);
    for round in 0..15 {
        let mut legs = Vec::new();
        for call in 0..8 {
            let size = 1 + random.below(6);
            for n in 0..size {
                let parent = (n > 0).then(|| format!("r{round}c{call}l{}", random.below(n)));
                let start = format!("2026-11-22T12:00:{:02}Z", random.below(60));
                let mut made = leg(&format!("r{round}c{call}l{n}"), parent.as_deref(), &start);
                made.vp_call = Some(format!("round {round}"));
                legs.push(made);
            }
            // Some roots never come.
            if random.below(4) == 0 {
                let root = format!("r{round}c{call}l0");
                legs.retain(|leg| leg.leg_uuid != root);
            }
        }
        let (alone, _) = place(&legs, &[] as &[Known]);
        let mut expected: Vec<_> = alone
            .into_iter()
            .map(|placed| (legs[placed.index].leg_uuid.clone(), placed.call_uuid, placed.head))
            .collect();
        expected.sort();

        let mut items: Vec<_> =
            (1..).zip(legs.iter().chain(&legs)).map(|(seq, leg)| leg_item(seq, leg.clone())).collect();
        random.shuffle(&mut items);
        let batches: Vec<_> = items.chunks(1 + random.below(9)).map(<[_]>::to_vec).collect();
        let queue = std::sync::Arc::new(tokio::sync::Mutex::new(batches));
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let (store, queue) = (fixture.store.clone(), queue.clone());
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
        let prefix = format!("r{round}c");
        let stored: Vec<_> =
            rows(&fixture).await.into_iter().filter(|(leg, ..)| leg.starts_with(&prefix)).collect();
        assert_eq!(stored, expected, "round {round}");
    }
}

fn owned((leg, call, head): (&str, &str, bool)) -> (String, String, bool) {
    (leg.to_owned(), call.to_owned(), head)
}

/// Every row's leg, call and head, by leg.
async fn rows(fixture: &Fixture) -> Vec<(String, String, bool)> {
    let client = fixture.superuser().await;
    let rows =
        client.query("SELECT leg_uuid, call_uuid, head FROM voip.cdr ORDER BY leg_uuid", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}
