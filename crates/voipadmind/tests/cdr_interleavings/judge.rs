//! What has to be true when all is up again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::calls::{Call, Document, Leg};
use crate::posting::{Counts, Posting};
use crate::support::Node;

/// Generous: nothing is measured here.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);
/// Entries whose reader died are handed to another after some seconds, and found to be stored.
const EMPTY_WITHIN: Duration = Duration::from_secs(60);

/// Sums over the rounds.
pub struct Judge {
    spools: [PathBuf; 2],
    calls: Vec<Call>,
    given: Counts,
}

impl Judge {
    pub fn new(spools: [PathBuf; 2]) -> Self {
        Self { spools, calls: Vec::new(), given: Counts::default() }
    }

    /// Judges a round's calls, and the sums of all. Answers how long it took to settle.
    pub fn round(&mut self, node: &Node, calls: Vec<Call>, posting: Posting) -> Duration {
        let began = Instant::now();
        self.settle(node);
        let took = began.elapsed();
        let told = posting.told.into_inner().unwrap();
        for call in &calls {
            is_one_item(node, call, &told.words);
        }
        self.given += told.counts;
        self.calls.extend(calls);
        self.sums(node);
        took
    }

    /// Judges once more when nothing is left that could still change anything.
    pub fn end(&self, node: &Node) {
        let info = || node.redis.command(&["XINFO", "STREAM", "cdr_queue"]).replace("\r\n", " ");
        let empty = testkit::wait_for(EMPTY_WITHIN, || info().contains(" length :0 "));
        assert!(empty, "the queue is not empty: {}; log:\n{}", info(), node.log());
        node.settle();
        self.sums(node);
        let rows = node.sql("SELECT call_uuid, leg_uuid, billsec FROM voip.cdr");
        let row = |call: &Call, leg: &Leg| format!("{}|{}|{}", call.root, leg.uuid, leg.billsec);
        let expected = self.calls.iter().flat_map(|call| call.legs.iter().map(move |leg| row(call, leg)));
        let (rows, expected): (BTreeSet<_>, BTreeSet<_>) =
            (rows.lines().map(str::to_owned).collect(), expected.collect());
        let changed: Vec<_> = rows.symmetric_difference(&expected).collect();
        assert!(changed.is_empty(), "changed since their round: {changed:?}; log:\n{}", node.log());
    }

    pub fn totals(&self) -> String {
        let Counts { acknowledged, spooled, refused, .. } = self.given;
        let (calls, legs) = (self.calls.len(), self.legs());
        format!(
            "{calls} calls of {legs} legs: {acknowledged} acknowledged, {spooled} spooled, {refused} not taken; 0 lost, 0 twice;"
        )
    }

    fn legs(&self) -> usize {
        self.calls.iter().map(|call| call.legs.len()).sum()
    }

    fn settle(&self, node: &Node) {
        node.wait_ready();
        let swept = testkit::wait_for(SETTLED_WITHIN, || self.spools.iter().all(|spool| files(spool) == 0));
        let left = self.spools.each_ref().map(|spool| files(spool));
        assert!(swept, "files left in the spools: {left:?}; log:\n{}", node.log());
        node.settle();
    }

    fn sums(&self, node: &Node) {
        let rows = node.sql("SELECT count(*), count(DISTINCT leg_uuid) FROM voip.cdr");
        assert_eq!(rows, format!("{0}|{0}", self.legs()), "rows, and legs that have one");
        let calls = &node.get("/api/cdr?limit=1&count=exact").json()["count"]["value"];
        assert_eq!(*calls, self.calls.len(), "calls in all");
        for count in ["cdr_quarantine", "cdr WHERE provisional"] {
            assert_eq!(node.sql(&format!("SELECT count(*) FROM voip.{count}")), "0", "{count}");
        }
        self.accounts(node);
    }

    /// Every document given is in the report, and became a row or is another's duplicate.
    fn accounts(&self, node: &Node) {
        let report = node.get("/api/cdr/accounting").json();
        let hours = report["items"].as_array().unwrap();
        let sum = |name: &str| hours.iter().map(|hour| hour[name].as_u64().unwrap() as usize).sum::<usize>();
        let [legs, events, stored, duplicates] = ["legs", "events", "stored", "duplicates"].map(sum);
        assert_eq!((sum("quarantined"), sum("held")), (0, 0), "{report:#}");
        let given = self.given;
        let events_given = given.acknowledged + given.spooled - given.legs;
        assert!(
            legs >= given.legs && events >= events_given,
            "given {} and {events_given}: {report:#}",
            given.legs
        );
        let direct = self.calls.iter().filter(|call| call.is_direct()).count();
        // A direct call may be stored twice: while it goes on, and when it has ended.
        assert!((self.legs()..=self.legs() + direct).contains(&stored), "{} legs: {report:#}", self.legs());
        let first = self.legs() - direct;
        assert!(duplicates >= given.legs - first, "{} given of {first} legs: {report:#}", given.legs);
        let accounted = stored + duplicates;
        assert!((legs..=legs + events).contains(&accounted), "missing, or too many: {report:#}");
        let wrong = node.sql("SELECT * FROM voip.cdr_ledger WHERE legs > stored + duplicates + quarantined OR events = 0 AND legs < stored + duplicates + quarantined");
        assert_eq!(wrong, "", "batches whose legs are not stored, duplicates or quarantined");
    }
}

/// Found by any of its legs, with all of them and no other.
fn is_one_item(node: &Node, call: &Call, told: &BTreeMap<String, String>) {
    let any = &call.legs[call.legs.len() - 1].uuid;
    let page = node.get(&format!("/api/cdr?uuid={any}")).json();
    let fates = || {
        let fate = |document: &Document| {
            format!("{}{}\n", document.uuid, told.get(&document.uuid).map_or("", String::as_str))
        };
        call.documents.iter().map(fate).collect::<String>()
    };
    let items = page["items"].as_array().unwrap_or_else(|| panic!("{page:#}"));
    assert_eq!(items.len(), 1, "items of {}: {page:#}\n{}{}", call.root, fates(), node.log());
    let item = &items[0];
    assert_eq!(item["call_uuid"], *call.root, "{item:#}\n{}", fates());
    let seen = |leg: &Value| (leg["leg_uuid"].as_str().unwrap().to_owned(), leg["billsec"].as_i64().unwrap());
    let mut legs: Vec<_> = item["legs"].as_array().unwrap().iter().map(seen).collect();
    let mut expected: Vec<_> = call.legs.iter().map(|leg| (leg.uuid.clone(), leg.billsec)).collect();
    legs.sort();
    expected.sort();
    assert_eq!(legs, expected, "legs and billsec of {item:#}\n{}", fates());
    assert_eq!(item["status"], call.status, "{item:#}\n{}", fates());
    if let Some(seconds) = call.seconds {
        let shown = ["wait_seconds", "talk_seconds"].map(|name| item[name].as_i64().unwrap_or(-1));
        assert_eq!(shown, seconds, "waited and talked: {item:#}\n{}", fates());
    }
}

fn files(folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap().filter_map(Result::ok);
    files.filter(|file| file.path().extension().is_some_and(|it| it == "json")).count()
}
