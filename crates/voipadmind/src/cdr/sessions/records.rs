//! Whether every session has its record, in numbers and in one sentence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use store::Store;
use store::sessions::SessionCounts;
use tokio::sync::watch;
use tokio::time::{Instant, interval};

const LOOK_EVERY: Duration = Duration::from_secs(15);
const ADD_UP_EVERY: Duration = Duration::from_secs(600);
/// Sessions that ended longer ago are in `GET /api/cdr/accounting`.
const RANGE: SignedDuration = SignedDuration::from_hours(7 * 24);
const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The sessions of both nodes in the last seven days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Records {
    /// Owe a record that did not come.
    pub missing: i64,
    /// Ended while nobody listened, and no record came.
    pub unheard: i64,
    /// `ok`, or how many of which node when.
    pub what: String,
}

/// As last looked at; `None` before that, and where nobody counts.
pub type Latest = watch::Receiver<Option<Arc<Records>>>;

/// Looks again and again. An answer that fails leaves the last one.
pub async fn keep_looking(store: Store, latest: watch::Sender<Option<Arc<Records>>>) {
    let mut tick = interval(LOOK_EVERY);
    let mut added_up: Option<Instant> = None;
    loop {
        tick.tick().await;
        if added_up.is_none_or(|at| at.elapsed() > ADD_UP_EVERY) {
            added_up = Some(Instant::now());
            if let Err(error) = store.add_up_sessions().await {
                tracing::debug!(%error, "told sessions not added up; the next time");
            }
        }
        let to = Timestamp::now().saturating_add(HOUR).unwrap_or(Timestamp::MAX);
        let from = to.saturating_sub(RANGE).unwrap_or(Timestamp::MIN);
        match store.session_hours(from, to).await {
            Ok(hours) if hours.is_empty() => drop(latest.send_replace(None)),
            Ok(hours) => {
                let records = Records::of(&hours);
                metrics::gauge!("voip_cdr_missing").set(records.missing as f64);
                metrics::gauge!("voip_cdr_unheard").set(records.unheard as f64);
                latest.send_replace(Some(Arc::new(records)));
            }
            Err(error) => tracing::debug!(%error, "missing records not looked for; trying again"),
        }
    }
}

impl Records {
    fn of(hours: &BTreeMap<(Timestamp, String), SessionCounts>) -> Self {
        let missing = Lack::by_node(hours, |counts| counts.missing);
        let unheard = Lack::by_node(hours, |counts| counts.unheard);
        let said = |lacks: &BTreeMap<&str, Lack>, how: &str| -> Vec<String> {
            let one = |(node, lack): (&&str, &Lack)| {
                let Lack { sessions, first, last } = lack;
                let until = last.saturating_add(HOUR).unwrap_or(*last);
                format!("of {node}, between {first} and {until}: {sessions} {how}")
            };
            lacks.iter().map(one).collect()
        };
        let all =
            [said(&missing, "without a record"), said(&unheard, "unheard and without a record")].concat();
        let sum = |lacks: &BTreeMap<&str, Lack>| lacks.values().map(|lack| lack.sessions).sum();
        Self {
            missing: sum(&missing),
            unheard: sum(&unheard),
            what: if all.is_empty() { "ok".to_owned() } else { format!("sessions {}", all.join("; ")) },
        }
    }
}

/// Sessions of one node without a record.
struct Lack {
    sessions: i64,
    first: Timestamp,
    last: Timestamp,
}

impl Lack {
    fn by_node(
        hours: &BTreeMap<(Timestamp, String), SessionCounts>,
        of: fn(&SessionCounts) -> i64,
    ) -> BTreeMap<&str, Self> {
        let mut lacks: BTreeMap<&str, Self> = BTreeMap::new();
        for ((hour, node), counts) in hours {
            let sessions = of(counts);
            if sessions > 0 {
                let lack = lacks.entry(node).or_insert(Self { sessions: 0, first: *hour, last: *hour });
                lack.sessions += sessions;
                lack.last = *hour;
            }
        }
        lacks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sentence_says_which_node_lacks_how_many_records_and_of_when() {
        let hour = |at: &str, node: &str, missing, unheard| {
            let counts = SessionCounts { sessions_ended: 9, missing, unheard, ..SessionCounts::default() };
            ((format!("2026-11-22T{at}:00:00Z").parse().unwrap(), node.to_owned()), counts)
        };
        let records = |hours: Vec<_>| Records::of(&hours.into_iter().collect());
        let well = records(vec![hour("10", "n1", 0, 0), hour("10", "n2", 0, 0)]);
        assert_eq!(well, Records { missing: 0, unheard: 0, what: "ok".to_owned() });
        let ill = records(vec![
            hour("10", "n1", 2, 0),
            hour("10", "n2", 0, 1),
            hour("11", "n1", 0, 0),
            hour("12", "n1", 1, 0),
            hour("13", "n2", 1, 0),
        ]);
        assert_eq!((ill.missing, ill.unheard), (4, 1));
        assert_eq!(
            ill.what,
            "sessions of n1, between 2026-11-22T10:00:00Z and 2026-11-22T13:00:00Z: 3 without a record; \
             of n2, between 2026-11-22T13:00:00Z and 2026-11-22T14:00:00Z: 1 without a record; \
             of n2, between 2026-11-22T10:00:00Z and 2026-11-22T11:00:00Z: 1 unheard and without a record"
        );
    }
}
