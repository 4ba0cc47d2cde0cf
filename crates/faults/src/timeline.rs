//! What happened when, for a person: milliseconds from one moment on. Pure.

use std::time::Duration;

use lab::NODES;

use crate::probe::{Held, Outcome, Probe, Sample};

/// A line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// From the moment on.
    pub at: Duration,
    pub what: String,
}

/// How people call what the probes ask.
const TOLD: [(Probe, &str); 4] = [
    (Probe::Sip, "SIP request"),
    (Probe::Http, "write through the API"),
    (Probe::Sql, "SQL commit"),
    (Probe::Cdr, "call record (CDR)"),
];

/// From `zero` on: the first failure of each probe, where the address went, the first success of each after it.
pub fn lines(samples: &[Sample], held: &[Held], zero: Duration, until: Duration) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut tell = |at: Duration, what: String| {
        if at >= zero && at <= until {
            lines.push(Line { at: at.saturating_sub(zero), what });
        }
    };
    for (probe, name) in TOLD {
        let of: Vec<&Sample> = samples.iter().filter(|s| s.probe == probe).collect();
        // The first that was sent and not answered well; what is told is when it was sent: from then on it did not work.
        let bad =
            of.iter().filter(|s| !s.is_good() && s.done >= zero && s.sent <= until).min_by_key(|s| s.sent);
        let Some(bad) = bad else { continue };
        let why = match &bad.outcome {
            Outcome::Bad(why) => why.as_str(),
            Outcome::Good(_) => "",
        };
        tell(bad.sent.max(zero), format!("✗ first {name} without success ({why})"));
        // Of those sent after it: an answer that was on its way does not count as service.
        let good = of.iter().filter(|s| s.is_good() && s.done > bad.sent && s.done > zero);
        let again = good.filter(|s| s.sent > bad.sent).min_by_key(|s| s.done);
        if let Some(good) = again {
            let word = if probe == Probe::Sip { "answered" } else { "acknowledged" };
            tell(good.done, format!("✓ first {name} {word}"));
        }
    }
    for change in held.iter().filter(|change| change.at > zero) {
        let word = if change.holds { "has the virtual address" } else { "has the virtual address no more" };
        tell(change.at, format!("→ {} {word}", NODES[change.node]));
    }
    lines.sort_by_key(|line| line.at);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::{ms, sample};

    #[test]
    fn a_failover_is_told_in_its_order() {
        let samples = [
            sample(Probe::Sip, 1, 900, 905, true),
            sample(Probe::Sip, 2, 1_000, 1_500, false),
            sample(Probe::Sip, 3, 2_400, 2_405, true),
            sample(Probe::Sip, 4, 2_500, 2_505, true),
            sample(Probe::Http, 5, 1_050, 3_550, false),
            sample(Probe::Http, 6, 2_450, 2_600, true),
            sample(Probe::Cdr, 7, 1_010, 1_020, true),
        ];
        let held = [Held { node: 0, at: ms(0), holds: true }, Held { node: 1, at: ms(2_350), holds: true }];
        let told: Vec<String> = lines(&samples, &held, ms(1_000), ms(9_000))
            .into_iter()
            .map(|line| format!("{} {}", line.at.as_millis(), line.what))
            .collect();
        assert_eq!(
            told,
            [
                "0 ✗ first SIP request without success (no)",
                "50 ✗ first write through the API without success (no)",
                "1350 → n2 has the virtual address",
                "1405 ✓ first SIP request answered",
                "1600 ✓ first write through the API acknowledged",
            ]
        );
        assert_eq!(lines(&samples, &held, ms(5_000), ms(9_000)), []);
    }
}
