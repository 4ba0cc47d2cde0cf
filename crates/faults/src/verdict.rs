//! The judgement: what the probes were promised against what is there. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::probe::{Held, Log, Outcome, Probe, Sample};
use crate::written::Written;

/// A time without an answer, from the last good one before it to the first good one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub last_good: Duration,
    /// None: there was none any more.
    pub first_good: Option<Duration>,
}

impl Gap {
    pub fn length(&self, ended: Duration) -> Duration {
        self.first_good.unwrap_or(ended).saturating_sub(self.last_good)
    }
}

/// Of everything the log and the database say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub acknowledged: BTreeMap<Probe, usize>,
    pub lost: Vec<(Probe, u64)>,
    /// There on the primary, not on the standby.
    pub not_copied: usize,
    pub twice: Vec<(Probe, u64)>,
    /// Rows that were acknowledged by two nodes at once.
    pub dual: Vec<(u64, u64)>,
    pub two_holders: Duration,
    pub two_holders_times: usize,
}

impl Verdict {
    pub fn of(log: &Log, written: &[Written; 2]) -> Self {
        let [primary, standby] = written;
        let probes = crate::written::WRITERS.into_iter().chain([Probe::Sip]);
        let (two_holders, two_holders_times) = two_holders(&log.held, log.ended);
        Self {
            acknowledged: probes.map(|probe| (probe, log.acknowledged(probe).len())).collect(),
            lost: primary.lost(log),
            not_copied: standby.lost(log).len().saturating_sub(primary.lost(log).len()),
            twice: primary.twice(),
            dual: dual(&log.samples),
            two_holders,
            two_holders_times,
        }
    }

    /// What must never be. Nothing, if all is well.
    pub fn broken(&self) -> Vec<String> {
        let some = |what: &[(Probe, u64)]| {
            let first: Vec<String> =
                what.iter().take(5).map(|(probe, n)| format!("{} {n}", probe.name())).collect();
            format!("{}: {}{}", what.len(), first.join(", "), if what.len() > 5 { ", …" } else { "" })
        };
        let mut broken = Vec::new();
        if !self.lost.is_empty() {
            broken.push(format!("acknowledged and lost: {}", some(&self.lost)));
        }
        if self.not_copied > 0 {
            broken.push(format!("{} acknowledged rows are not on the standby", self.not_copied));
        }
        if !self.twice.is_empty() {
            broken.push(format!("stored twice: {}", some(&self.twice)));
        }
        if !self.dual.is_empty() {
            broken.push(format!(
                "two nodes acknowledged at once: {} rows, as {:?}",
                self.dual.len(),
                self.dual[0]
            ));
        }
        broken
    }
}

/// The longest gap of the probes that touches the time from `from` to `until`.
pub fn gap(samples: &[Sample], of: impl Fn(Probe) -> bool, from: Duration, until: Duration) -> Option<Gap> {
    let mut good: Vec<Duration> =
        samples.iter().filter(|s| of(s.probe) && s.is_good()).map(|s| s.done).collect();
    good.sort_unstable();
    let next = good.iter().skip(1).map(Some).chain([None]);
    let gaps =
        good.iter().zip(next).map(|(last, first)| Gap { last_good: *last, first_good: first.copied() });
    let touching =
        gaps.filter(|gap| gap.last_good <= until && gap.first_good.is_none_or(|first| first >= from));
    touching.max_by_key(|gap| gap.length(until.max(gap.last_good)))
}

/// A row acknowledged on a timeline though one of a later timeline had been acknowledged before it was sent; and two nodes
/// that acknowledged on one timeline. Pairs of numbers: the early one, the late one.
fn dual(samples: &[Sample]) -> Vec<(u64, u64)> {
    let mut rows: Vec<(&Sample, u32)> = samples
        .iter()
        .filter_map(|sample| match sample.outcome {
            Outcome::Good(Some(timeline)) => Some((sample, timeline)),
            _ => None,
        })
        .collect();
    rows.sort_by_key(|(sample, _)| sample.done);
    let mut dual = Vec::new();
    // The first acknowledgement of each timeline, and who gave it.
    let mut first: BTreeMap<u32, &Sample> = BTreeMap::new();
    let mut node: BTreeMap<u32, &Sample> = BTreeMap::new();
    for (sample, timeline) in &rows {
        first.entry(*timeline).or_insert(sample);
        if matches!(sample.probe, Probe::Direct(_)) {
            let other = node.entry(*timeline).or_insert(sample);
            if other.probe != sample.probe {
                dual.push((other.number, sample.number));
            }
        }
    }
    for (sample, timeline) in &rows {
        let later = first.range(timeline + 1..).find(|(_, later)| later.done < sample.sent);
        dual.extend(later.map(|(_, later)| (later.number, sample.number)));
    }
    dual
}

/// How long both nodes had the address, and how often.
fn two_holders(held: &[Held], ended: Duration) -> (Duration, usize) {
    let mut changes: Vec<Held> = held.to_vec();
    changes.sort_by_key(|change| change.at);
    let (mut holds, mut since) = ([false; 2], None);
    let (mut total, mut times) = (Duration::ZERO, 0);
    for change in changes {
        holds[change.node] = change.holds;
        match (holds == [true; 2], since) {
            (true, None) => (since, times) = (Some(change.at), times + 1),
            (false, Some(began)) => (since, total) = (None, total + change.at.saturating_sub(began)),
            _ => {}
        }
    }
    total += since.map_or(Duration::ZERO, |began| ended.saturating_sub(began));
    (total, times)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    pub fn sample(probe: Probe, number: u64, sent: u64, done: u64, good: bool) -> Sample {
        let outcome = if good { Outcome::Good(None) } else { Outcome::Bad("no".into()) };
        Sample { probe, number, sent: ms(sent), done: ms(done), outcome }
    }

    fn row(probe: Probe, number: u64, sent: u64, done: u64, timeline: u32) -> Sample {
        Sample { outcome: Outcome::Good(Some(timeline)), ..sample(probe, number, sent, done, true) }
    }

    pub fn log(samples: Vec<Sample>) -> Log {
        Log { run: "r".into(), samples, held: Vec::new(), ended: ms(10_000) }
    }

    #[test]
    fn what_was_acknowledged_must_be_there_once() {
        let log = log(vec![
            sample(Probe::Http, 1, 0, 5, true),
            sample(Probe::Http, 2, 0, 5, false),
            sample(Probe::Http, 2, 9, 12, true),
            sample(Probe::Cdr, 3, 0, 5, true),
            sample(Probe::Sql, 4, 0, 5, false),
        ]);
        let written = |rows: &[(Probe, u64, u32)]| {
            let mut written = Written::default();
            for (probe, number, times) in rows {
                written.of.entry(*probe).or_default().insert(*number, *times);
            }
            written
        };
        let whole =
            written(&[(Probe::Http, 1, 1), (Probe::Http, 2, 1), (Probe::Cdr, 3, 1), (Probe::Sql, 4, 1)]);
        let verdict = Verdict::of(&log, &[whole.clone(), whole.clone()]);
        assert_eq!(verdict.broken(), Vec::<String>::new(), "an unknown one may be there");
        assert_eq!((verdict.acknowledged[&Probe::Http], verdict.acknowledged[&Probe::Sql]), (2, 0));
        let bad = written(&[(Probe::Http, 1, 2), (Probe::Cdr, 3, 1)]);
        let verdict = Verdict::of(&log, &[bad, whole.clone()]);
        assert_eq!((verdict.lost, verdict.twice), (vec![(Probe::Http, 2)], vec![(Probe::Http, 1)]));
        let verdict = Verdict::of(&log, &[whole, Written::default()]);
        assert_eq!((verdict.lost.len(), verdict.not_copied), (0, 3));
    }

    #[test]
    fn a_gap_is_from_the_last_good_to_the_first_good() {
        let good = [10, 20, 30, 1_530, 1_540, 5_000];
        let samples: Vec<Sample> = good
            .iter()
            .enumerate()
            .map(|(n, done)| sample(Probe::Sip, n as u64, done - 1, *done, true))
            .collect();
        let found = gap(&samples, |p| p == Probe::Sip, ms(25), ms(1_000)).unwrap();
        assert_eq!(found, Gap { last_good: ms(30), first_good: Some(ms(1_530)) });
        assert_eq!(found.length(ms(9_000)), ms(1_500));
        assert_eq!(gap(&samples, |p| p == Probe::Http, ms(0), ms(9)), None);
        let last = gap(&samples, |_| true, ms(6_000), ms(9_000)).unwrap();
        assert_eq!((last.first_good, last.length(ms(9_000))), (None, ms(4_000)));
    }

    #[test]
    fn two_nodes_that_acknowledge_are_found() {
        let direct = Probe::Direct;
        let handed_over =
            [row(direct(0), 1, 0, 5, 1), row(Probe::Sql, 2, 4, 9, 1), row(direct(1), 3, 20, 25, 2)];
        assert_eq!(dual(&handed_over), []);
        // Sent before the take-over and answered late: the old node may have acknowledged it in time.
        assert_eq!(dual(&[row(direct(0), 1, 4, 30, 1), row(direct(1), 2, 6, 9, 2)]), []);
        assert_eq!(dual(&[row(direct(0), 1, 10, 30, 1), row(direct(1), 2, 6, 9, 2)]), [(2, 1)]);
        assert_eq!(
            dual(&[row(direct(0), 1, 0, 5, 1), row(direct(1), 2, 6, 9, 1)]),
            [(1, 2)],
            "one timeline, two nodes"
        );
    }

    #[test]
    fn moments_with_two_holders_are_counted_and_timed() {
        let held = |node, at, holds| Held { node, at: ms(at), holds };
        let changes = [
            held(0, 0, true),
            held(1, 0, false),
            held(1, 100, true),
            held(0, 250, false),
            held(0, 400, true),
        ];
        assert_eq!(two_holders(&changes, ms(500)), (ms(250), 2));
        assert_eq!(two_holders(&changes[..2], ms(500)), (ms(0), 0));
    }
}
