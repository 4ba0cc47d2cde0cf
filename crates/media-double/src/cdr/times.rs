//! The time variables of a leg, with FreeSWITCH's arithmetic.

use super::leg::Times;
use crate::clock;

const US_PER_SECOND: i64 = 1_000_000;
const US_PER_MS: i64 = 1_000;

/// A span between two moments, in some unit.
type Measure = fn(i64, i64) -> i64;

/// Stamps, epochs and durations in the captures' order.
pub fn variables(times: &Times) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let profile_start = times.transferred.unwrap_or(times.created);
    let end = times.hungup.unwrap_or(times.created);
    let moments = [
        ("start", Some(times.created)),
        ("profile_start", Some(profile_start)),
        ("answer", times.answered),
        ("bridge", times.bridged),
        ("progress", times.progress),
        ("progress_media", times.progress_media),
        ("end", Some(end)),
    ];
    for (name, moment) in moments {
        if let Some(moment) = moment {
            out.push((format!("{name}_stamp"), clock::stamp(moment)));
        }
    }
    // A moment that never came is "0".
    let epochs =
        ["start", "profile_start", "answer", "bridge"].iter().chain(&["progress", "progress_media", "end"]);
    for name in epochs {
        let moment =
            moments.iter().find(|(known, _)| known == name).and_then(|(_, moment)| *moment).unwrap_or(0);
        out.push((format!("{name}_epoch"), (moment / US_PER_SECOND).to_string()));
        out.push((format!("{name}_uepoch"), moment.to_string()));
        if *name == "bridge" {
            let never = ["last_hold_epoch", "last_hold_uepoch", "hold_accum_seconds", "hold_accum_usec"];
            let never = never.iter().chain(&["hold_accum_ms", "resurrect_epoch", "resurrect_uepoch"]);
            out.extend(never.map(|name| ((*name).to_owned(), "0".to_owned())));
        }
    }
    durations(times, end, &mut out);
    out
}

/// Durations in seconds are differences of whole epoch seconds, so 4.04 s can be "5"; the others are exact.
fn durations(times: &Times, end: i64, out: &mut Vec<(String, String)>) {
    let start = times.created;
    let spans: [(&str, Option<(i64, i64)>); 7] = [
        ("", Some((start, end))),
        ("bill", times.answered.map(|answered| (answered, end))),
        ("progress", times.progress.map(|progress| (start, progress))),
        ("answer", times.answered.map(|answered| (start, answered))),
        ("wait", times.bridged.map(|bridged| (start, bridged))),
        ("progress_media", times.progress_media.map(|media| (start, media))),
        ("flow_bill", times.answered.map(|_| (start, end))),
    ];
    let units: [(&str, Measure); 3] = [
        ("sec", |from, to| to / US_PER_SECOND - from / US_PER_SECOND),
        ("msec", |from, to| (to - from) / US_PER_MS),
        ("usec", |from, to| to - from),
    ];
    for (unit, measure) in units {
        for (name, span) in spans {
            let value = span.map_or(0, |(from, to)| measure(from, to));
            let name = match (name, unit) {
                ("", "sec") => "duration".to_owned(),
                ("", unit) => format!("{}duration", &unit[..1]),
                (name, unit) => format!("{name}{unit}"),
            };
            out.push((name, value.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The times of wire/freeswitch/cdr/internal_answered.a_leg.json and what FreeSWITCH made of them.
    #[test]
    fn arithmetic_of_the_capture() {
        let times = Times {
            created: 1_795_341_549_991_056,
            progress: Some(1_795_341_549_991_056),
            progress_media: Some(1_795_341_550_011_063),
            answered: Some(1_795_341_550_011_063),
            bridged: Some(1_795_341_550_011_063),
            transferred: None,
            hungup: Some(1_795_341_554_031_078),
        };
        let variables = variables(&times);
        let expected = [
            ("start_stamp", "2026-11-22 09:59:09"),
            ("duration", "5"),
            ("billsec", "4"),
            ("progresssec", "0"),
            ("answersec", "1"),
            ("waitsec", "1"),
            ("progress_mediasec", "1"),
            ("flow_billsec", "5"),
            ("mduration", "4040"),
            ("billmsec", "4020"),
            ("uduration", "4040022"),
            ("answerusec", "20007"),
            ("end_uepoch", "1795341554031078"),
            ("last_hold_uepoch", "0"),
        ];
        for (name, value) in expected {
            let found = variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
            assert_eq!(found, Some(value), "{name}");
        }
    }
}
