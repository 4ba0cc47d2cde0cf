//! What the load came to.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Result, bail};
use jiff::Timestamp;
use serde::Serialize;

use super::accounting::{self, Accounted};
use super::interrupt::Interrupt;
use super::machine::Machine;
use super::messages::Met;
use super::mix::Kind;
use super::percentiles::Percentiles;
use super::platform::Usage;
use super::stage::Ran;
use super::{Options, machine};
use crate::Env;

/// Everything that is told. Times in UTC.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub started: Timestamp,
    /// `dev`, or `lab`.
    pub shape: &'static str,
    /// `FreeSWITCH`, or `media double`.
    pub media_server: &'static str,
    pub command: String,
    pub machine: Machine,
    /// Calls at once that were asked for.
    pub calls: u32,
    pub run_s: f64,
    pub tried: usize,
    pub connected: usize,
    /// By what they met, as `503 No Media Server`.
    pub failed: BTreeMap<String, usize>,
    pub kinds: Vec<OfKind>,
    /// Answered and not yet ended.
    pub dialogs_peak: usize,
    /// From the first INVITE to 180 or 200.
    pub post_dial: Option<Percentiles>,
    /// From the first REGISTER to 200, the challenge between them.
    pub registration: Option<Percentiles>,
    pub registrations_failed: usize,
    /// Requests that had to be sent again.
    pub requests_repeated: u32,
    /// Calls with exactly one finished record that says what the phone saw.
    pub accounted: usize,
    /// Call-IDs of the others, with what is wrong.
    pub unaccounted: Vec<(String, String)>,
    /// Audio the phones sent: none.
    pub media_sent_packets: u64,
    /// Audio the platform sent them.
    pub media_received_packets: u64,
    pub usage: Vec<Usage>,
    /// Of the machine, percent.
    pub idle_percent: Option<f64>,
    pub idle_percent_min: Option<f64>,
}

/// Calls to one place.
#[derive(Debug, Serialize)]
pub struct OfKind {
    pub kind: &'static str,
    pub tried: usize,
    pub connected: usize,
    pub failed: usize,
    pub dialogs_peak: usize,
    pub post_dial: Option<Percentiles>,
}

impl Outcome {
    /// Asks the API for the calls' records, and counts.
    pub fn of(env: &Env, options: &Options, ran: Ran, interrupt: &Interrupt) -> Result<Self> {
        let tried: HashMap<String, bool> =
            ran.calls.iter().map(|(id, (_, met))| (id.clone(), met.answered.is_some())).collect();
        eprintln!("looking for the records of {} calls in {}/api/cdr", tried.len(), env.api);
        let accounted = accounting::account(env, ran.since, &tried, interrupt)?;
        Ok(Self::counted(env, options, ran, accounted))
    }

    fn counted(env: &Env, options: &Options, ran: Ran, accounted: Accounted) -> Self {
        let of = |kind: Option<Kind>| -> Vec<&(Kind, Met)> {
            ran.calls.values().filter(|(k, _)| kind.is_none_or(|kind| kind == *k)).collect()
        };
        let mut failed = BTreeMap::new();
        for fault in of(None).into_iter().filter_map(|(kind, met)| fault(*kind, met)) {
            *failed.entry(fault).or_default() += 1;
        }
        // A call that left no message is none, but SIPp counted it: nothing may be lost on our side.
        if ran.created > ran.calls.len() as u64 {
            failed
                .insert("counted by SIPp, without a message".into(), ran.created as usize - ran.calls.len());
        }
        let kinds = Kind::ALL.into_iter().filter(|kind| !of(Some(*kind)).is_empty()).map(|kind| {
            let calls = of(Some(kind));
            OfKind {
                kind: kind.name(),
                tried: calls.len(),
                connected: connected(&calls),
                failed: calls.iter().filter(|(kind, met)| fault(*kind, met).is_some()).count(),
                dialogs_peak: peak(&calls),
                post_dial: post_dial(&calls),
            }
        });
        let kinds = kinds.collect();
        let all = of(None);
        let registered = ran.registrations.iter().filter_map(Met::answered_us).collect();
        Self {
            started: ran.started,
            shape: if env.lab.is_some() { "lab" } else { "dev" },
            media_server: if env.media == "freeswitch" { "FreeSWITCH" } else { "media double" },
            command: format!(
                "tandem load --calls {} --cps {} --hold {} --mix {}",
                options.calls, options.cps, options.hold_s, options.mix
            ),
            machine: machine::this(&ran.systems),
            calls: options.calls,
            run_s: ran.seconds,
            tried: all.len(),
            connected: connected(&all),
            failed,
            kinds,
            dialogs_peak: peak(&all),
            post_dial: post_dial(&all),
            registration: Percentiles::of(registered),
            registrations_failed: ran.registrations.iter().filter(|met| met.answered.is_none()).count(),
            requests_repeated: all.iter().map(|(_, met)| met.repeats).sum::<u32>()
                + ran.registrations.iter().map(|met| met.repeats).sum::<u32>(),
            accounted: accounted.whole,
            unaccounted: accounted.wrong.into_iter().map(|(id, lack)| (id, lack.to_owned())).collect(),
            media_sent_packets: 0,
            media_received_packets: ran.heard,
            usage: ran.usage,
            idle_percent: ran.idle.map(|idle| idle.0),
            idle_percent_min: ran.idle.map(|idle| idle.1),
        }
    }

    /// Calls that failed.
    pub fn failures(&self) -> usize {
        self.failed.values().sum()
    }

    /// # Errors
    /// A call failed or is not accounted for, or the load that was asked for was never on.
    pub fn verdict(&self) -> Result<()> {
        let by_themselves =
            self.kinds.iter().filter(|of| of.kind == Kind::Ivr.name()).map(|of| of.tried).sum();
        if let Some(lack) = lack(self.calls as usize, self.tried, self.dialogs_peak, by_themselves) {
            bail!("this was not the load that was asked for: {lack}");
        }
        let (failed, unaccounted) = (self.failures(), self.unaccounted.len());
        if failed == 0 && unaccounted == 0 && self.registrations_failed == 0 {
            return Ok(());
        }
        bail!(
            "{failed} calls failed, {unaccounted} are not accounted for, {} registrations failed; see 'make logs' \
             (kamailio, then the media server, then voipadmind), by Call-ID",
            self.registrations_failed
        )
    }
}

/// What the run lacks of the load asked for. Each call lasts until all are up, but a menu hangs up `by_itself`.
fn lack(calls: usize, tried: usize, peak: usize, by_itself: usize) -> Option<String> {
    if tried < calls {
        return Some(format!("{tried} of {calls} calls were tried"));
    }
    (peak + by_itself < calls).then(|| format!("{peak} of {calls} calls were up at once"))
}

/// What is wrong with a call.
fn fault(kind: Kind, met: &Met) -> Option<String> {
    let words = match met {
        Met { answered: None, refused: Some(refused), .. } => return Some(refused.clone()),
        Met { answered: None, .. } => "no final answer",
        Met { ended: None, .. } => "never hung up",
        // A menu that nobody answers hangs up; a phone and a queue do not.
        Met { ended_there: true, .. } if kind != Kind::Ivr => "hung up by the platform",
        Met { end_confirmed: false, .. } => "BYE without an answer",
        _ => return None,
    };
    Some(words.into())
}

fn connected(calls: &[&(Kind, Met)]) -> usize {
    calls.iter().filter(|(_, met)| met.answered.is_some()).count()
}

fn post_dial(calls: &[&(Kind, Met)]) -> Option<Percentiles> {
    Percentiles::of(calls.iter().filter_map(|(_, met)| met.post_dial_us()).collect())
}

/// The most calls that were up at one moment.
fn peak(calls: &[&(Kind, Met)]) -> usize {
    let mut changes: Vec<(i64, i32)> = calls
        .iter()
        .filter_map(|(_, met)| Some([(met.answered?, 1), (met.ended.unwrap_or(i64::MAX), -1)]))
        .flatten()
        .collect();
    // One that ends at the moment another begins is over.
    changes.sort_unstable();
    let (mut up, mut most) = (0_i32, 0_i32);
    for (_, change) in changes {
        up += change;
        most = most.max(up);
    }
    usize::try_from(most).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(answered: Option<i64>, ended: Option<i64>) -> Met {
        Met { answered, ended, end_confirmed: ended.is_some(), ..Met::default() }
    }

    #[test]
    fn the_peak_is_what_was_up_at_one_moment() {
        let calls = [(1, 5), (2, 3), (3, 6), (4, 9), (7, 8)];
        let calls: Vec<(Kind, Met)> =
            calls.iter().map(|(from, to)| (Kind::Direct, met(Some(*from), Some(*to)))).collect();
        assert_eq!(peak(&calls.iter().collect::<Vec<_>>()), 3);
        let never = [(Kind::Direct, met(None, None)), (Kind::Direct, met(Some(1), None))];
        assert_eq!(peak(&never.iter().collect::<Vec<_>>()), 1);
    }

    #[test]
    fn a_load_that_was_never_on_is_no_success() {
        assert_eq!(lack(100, 100, 100, 10), None);
        assert_eq!(lack(100, 100, 90, 10), None, "menus hang up by themselves");
        assert_eq!(lack(100, 100, 89, 10).as_deref(), Some("89 of 100 calls were up at once"));
        assert_eq!(lack(100, 99, 99, 10).as_deref(), Some("99 of 100 calls were tried"));
        assert_eq!(lack(100, 0, 0, 0).as_deref(), Some("0 of 100 calls were tried"));
    }

    #[test]
    fn what_is_wrong_with_a_call_is_told() {
        let good = met(Some(1), Some(2));
        assert_eq!(fault(Kind::Direct, &good), None);
        let there = Met { ended_there: true, ..good.clone() };
        assert_eq!(fault(Kind::Ivr, &there), None, "a menu hangs up by itself");
        assert_eq!(fault(Kind::Queue, &there).as_deref(), Some("hung up by the platform"));
        assert_eq!(fault(Kind::Direct, &met(None, None)).as_deref(), Some("no final answer"));
        assert_eq!(fault(Kind::Direct, &met(Some(1), None)).as_deref(), Some("never hung up"));
        let refused = Met { refused: Some("486 Busy Here".into()), ..met(None, None) };
        assert_eq!(fault(Kind::Direct, &refused).as_deref(), Some("486 Busy Here"));
        let unheard = Met { end_confirmed: false, ..good };
        assert_eq!(fault(Kind::Direct, &unheard).as_deref(), Some("BYE without an answer"));
    }
}
