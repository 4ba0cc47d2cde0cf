//! The ledger adds up: every document is a row, a duplicate or in quarantine.

use store::Content;
use store::accounting::Accounted;

use crate::common::{Fixture, at, item, leg, leg_item};

fn hour(node: &str, hour: &str, counts: [i64; 6]) -> Accounted {
    let [legs, events, stored, duplicates, quarantined, held] = counts;
    let (node, hour) = (node.to_owned(), at(hour));
    Accounted { node, hour, legs, events, stored, duplicates, quarantined, held, ..Accounted::default() }
}

#[tokio::test]
async fn every_document_is_accounted_for_by_node_and_hour() {
    let fixture = testkit::or_skip!(Fixture::seeded().await);
    let store = &fixture.store;
    let start = "2026-11-22T11:59:00Z";
    let mut batch: Vec<_> = (1..=5).map(|seq| leg_item(seq, leg(&format!("l{seq}"), None, start))).collect();
    batch.push(leg_item(6, leg("l1", None, start)));
    let poison = Content::Poison { reason: "half".to_owned(), source: "freeswitch".to_owned(), uuid: None };
    batch.push(item(7, poison));
    // Refused by the database alone; and two of the other node, of which one is of an hour later.
    batch.push(leg_item(8, leg("nul\0", None, start)));
    for seq in 9..=10 {
        let mut theirs = leg_item(seq, leg(&format!("l{seq}"), None, start));
        theirs.node = "n2".to_owned();
        batch.push(theirs);
    }
    store.commit_cdr_batch(&batch[..9]).await.unwrap();
    batch[9].received = at("2026-11-22T13:30:00Z");
    store.commit_cdr_batch(&batch[9..]).await.unwrap();
    // Given again by a journal that got no receipt: one more, and nothing new.
    store.commit_cdr_batch(&batch[..1]).await.unwrap();
    let report =
        async || store.cdr_accounting(at("2026-11-22T00:00:00Z"), at("2026-11-23T00:00:00Z")).await.unwrap();
    let expected = [
        hour("n2", "2026-11-22T13:00:00Z", [1, 0, 1, 0, 0, 0]),
        hour("n1", "2026-11-22T12:00:00Z", [9, 0, 5, 2, 2, 2]),
        hour("n2", "2026-11-22T12:00:00Z", [1, 0, 1, 0, 0, 0]),
    ];
    assert_eq!(report().await, expected);
    for line in report().await {
        assert_eq!(line.legs, line.stored + line.duplicates + line.quarantined, "{line:?}");
    }
    // Hours that are over are added up, and tell the same.
    store.sweep().await.unwrap();
    store.sweep().await.unwrap();
    assert_eq!(report().await, expected);
    let (from, to) = (at("2026-11-22T13:00:00Z"), at("2026-11-22T14:00:00Z"));
    assert_eq!(store.cdr_accounting(from, to).await.unwrap(), expected[..1]);
}
