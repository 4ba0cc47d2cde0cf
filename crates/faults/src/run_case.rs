//! One case, from a whole pair to a whole pair.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lab::NODES;

use crate::act::Act;
use crate::cases::{Case, Expect};
use crate::interrupt::pause;
use crate::pair::{Pair, Whole};
use crate::probe::{Held, Log, Probe, Probes, Sample, refusals};
use crate::verdict::{Gap, Verdict, gap};
use crate::written::Written;
use crate::{seed_literal, written};

/// Until the pair of before is whole, and until it is again.
pub const WHOLE: Duration = Duration::from_secs(180);
/// Until every probe succeeds on a healthy pair.
const FIRST_GOOD: Duration = Duration::from_secs(20);
/// Of good answers before the fault, and after all is mended.
pub const CALM: Duration = Duration::from_millis(1_500);
/// Until it is served again, while the fault lasts.
pub const SERVED: Duration = Duration::from_secs(20);
/// A fault shows by then.
const SHOWS: Duration = Duration::from_secs(3);
/// How long writes are seen to wait.
const WAITS: Duration = Duration::from_secs(6);
/// Commits that were on their way when the fault came.
const ON_THEIR_WAY: Duration = Duration::from_millis(500);
/// All probes are answered within this time, so it is served.
pub const LATELY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What came of it.
#[derive(Debug, Clone)]
pub struct Ran {
    pub case: &'static str,
    /// Who was active, and who was when all was mended.
    pub before: usize,
    pub after: usize,
    /// When it was served again, before it was mended.
    pub served: bool,
    /// Nobody's write was acknowledged: neither through the API nor by SQL.
    pub writes: Option<Duration>,
    /// Through the API alone.
    pub api: Option<Duration>,
    /// Documents.
    pub cdr: Option<Duration>,
    pub sip: Option<Duration>,
    /// What status said to type while writes waited.
    pub cure: Option<String>,
    /// From the mending until the pair was whole.
    pub whole_after: Duration,
    pub verdict: Verdict,
    /// What came of something that is not ours, and is not judged.
    pub compared: Option<String>,
    pub broken: Vec<String>,
}

impl Ran {
    pub fn moved(&self) -> bool {
        self.before != self.after
    }

    /// The longest of them: until then somebody was not served.
    pub fn take_over(&self) -> Option<Duration> {
        self.writes.into_iter().chain(self.api).chain(self.sip).max()
    }
}

/// Runs it; every sample goes into a file, if one is given.
///
/// # Errors
/// The pair is not whole before, or not again afterwards; a step could not be done. What was broken is mended.
pub fn run(
    pair: &Pair,
    case: &'static Case,
    repeat: u64,
    samples: Option<&Path>,
    say: &mut dyn FnMut(&str),
) -> Result<Ran> {
    if let Expect::Compared(test) = case.expect {
        return seed_literal::run(pair, case, test, samples, say);
    }
    let before = pair.wait_whole(WHOLE).context("before the fault the pair is not whole")?;
    written::prepare(pair, before.active)?;
    let mut probes = Probes::start(&pair.env)?;
    begin(&mut probes)?;
    pause(CALM)?;

    let mut act = Act::new(pair, before.active, repeat);
    let began = probes.now();
    let done = during(pair, case, &mut act, &mut probes, say);
    let mended_at = probes.now();
    let mended = act.mend().context("mending");
    let during = done.and_then(|during| mended.map(|()| during))?;
    let since = Instant::now();
    let after = pair.wait_whole(WHOLE).context("after the fault was mended the pair is not whole again")?;
    let whole_after = since.elapsed();
    pause(CALM)?;
    let log = probes.stop();
    if let Some(file) = samples {
        log.write(file, began).with_context(|| format!("writing {}", file.display()))?;
    }

    let (after, written) = settled(pair, &log, after)?;
    let verdict = Verdict::of(&log, &written);
    let length = |of: fn(Probe) -> bool| {
        // Of the fault alone: what mending costs (a node that boots, a join's barrier) is no take-over.
        let until = if during.served { mended_at } else { log.ended };
        let found = gap(&log.samples, of, began, until);
        found.map(|gap: Gap| gap.length(log.ended))
    };
    let mut broken = verdict.broken();
    broken.extend(during.broken);
    let moved = during.holder.is_some_and(|holder| holder != before.active);
    match case.expect {
        Expect::Moves if !moved => {
            broken.push(format!("{} was to take over and did not", NODES[1 - before.active]))
        }
        Expect::Stays if after.active != before.active => broken.push("it moved for no reason".into()),
        _ => {}
    }
    let ran = Ran {
        case: case.name,
        before: before.active,
        after: after.active,
        served: during.served,
        writes: length(Probe::is_write),
        api: length(|probe| probe == Probe::Http),
        cdr: length(|probe| probe == Probe::Cdr),
        sip: length(|probe| probe == Probe::Sip),
        cure: during.cure,
        whole_after,
        verdict,
        compared: None,
        broken,
    };
    written::clear(pair, after.active)?;
    Ok(ran)
}

/// What is on both nodes, and who is who by then. Some faults show late (a disk that was full a moment ago): a node that was
/// whole steps down once more, and what it has is looked at when the pair is whole again.
fn settled(pair: &Pair, log: &Log, whole: Whole) -> Result<(Whole, [Written; 2])> {
    match written::look(pair, log, whole.active) {
        Ok(written) => Ok((whole, written)),
        Err(_) => {
            let whole = pair.wait_whole(WHOLE).context("the pair was whole, and is not again")?;
            Ok((whole, written::look(pair, log, whole.active)?))
        }
    }
}

/// Waits until every probe succeeds.
///
/// # Errors
/// One does not, on a pair that is whole.
pub fn begin(probes: &mut Probes) -> Result<()> {
    if wait_for(probes, FIRST_GOOD, |samples, _| lacking(samples, Duration::ZERO).is_empty()).is_err() {
        let samples = probes.look().0;
        let lacking = lacking(samples, Duration::ZERO).into_iter();
        let lacking = lacking.map(|probe| format!("{} ({})", probe.name(), refusals(samples, probe)));
        bail!(
            "on a pair that is whole these probes never succeed: {}",
            lacking.collect::<Vec<_>>().join("; ")
        );
    }
    Ok(())
}

/// What was seen while the fault lasted.
struct During {
    served: bool,
    /// Of the address, at the end.
    holder: Option<usize>,
    cure: Option<String>,
    broken: Vec<String>,
}

fn during(
    pair: &Pair,
    case: &Case,
    act: &mut Act<'_>,
    probes: &mut Probes,
    say: &mut dyn FnMut(&str),
) -> Result<During> {
    for step in case.steps {
        let said = act.step(*step).with_context(|| format!("{}: {step:?}", case.name))?;
        said.lines().for_each(&mut *say);
    }
    let from = probes.now();
    let mut during = During { served: false, holder: None, cure: None, broken: Vec::new() };
    match case.expect {
        Expect::Moves | Expect::Stays | Expect::Serves => {
            pause(SHOWS)?;
            served(probes, &mut during);
        }
        Expect::WritesWait if pair.settings.arbiter != "none" => {
            pause(SHOWS)?;
            served(probes, &mut during);
        }
        Expect::WritesWait => {
            pause(WAITS)?;
            during.cure = cure(pair);
            let (samples, _) = probes.look();
            let late = |s: &&Sample| s.sent > from + ON_THEIR_WAY && s.is_good();
            if samples.iter().any(|s| s.probe.is_write() && late(&s)) {
                during.broken.push("a write was acknowledged without the standby".into());
            }
            if !samples.iter().any(|s| s.probe == Probe::Sip && late(&s)) {
                during.broken.push("SIP is not served while writes wait".into());
            }
            if during.cure.is_none() {
                during.broken.push("status does not say what to type".into());
            }
        }
        Expect::Refuses => {
            pause(WAITS)?;
            during.cure = cure(pair);
            if probes.look().0.iter().any(|s| s.probe.is_write() && s.sent > from && s.is_good()) {
                during.broken.push("a node that may not serve alone acknowledged a write".into());
            }
        }
        // What is compared is not run here.
        Expect::Safe | Expect::Compared(_) => {
            pause(SHOWS)?;
            let (samples, _) = probes.look();
            during.served = lacking(samples, from).is_empty();
        }
    }
    during.holder = holder(probes.look().1);
    Ok(during)
}

/// Of the virtual address, as last seen.
pub fn holder(held: &[Held]) -> Option<usize> {
    let holds = |node| held.iter().rfind(|each| each.node == node).is_some_and(|each| each.holds);
    (0..NODES.len()).find(|node| holds(*node))
}

fn served(probes: &mut Probes, during: &mut During) {
    let again =
        wait_for(probes, SERVED, |samples, now| lacking(samples, now.saturating_sub(LATELY)).is_empty());
    during.served = again.is_ok();
    if !during.served {
        let since = probes.now().saturating_sub(LATELY);
        let lacking: Vec<&str> = lacking(probes.look().0, since).iter().map(|probe| probe.name()).collect();
        let seconds = (SHOWS + SERVED).as_secs();
        during.broken.push(format!("after {seconds} s nobody serves: {}", lacking.join(", ")));
    }
}

/// Probes that were not answered since.
pub fn lacking(samples: &[Sample], since: Duration) -> Vec<Probe> {
    let asked = [Probe::Http, Probe::Cdr, Probe::Sql, Probe::Sip];
    let good = |probe| samples.iter().rev().any(|s| s.probe == probe && s.is_good() && s.done >= since);
    asked.into_iter().filter(|probe| !good(*probe)).collect()
}

/// What the primary's operator is told to type.
pub fn cure(pair: &Pair) -> Option<String> {
    let findings = pair.seen().into_iter().flat_map(|seen| seen.findings);
    findings.map(|(_, cure)| cure).find(|cure| cure.contains("tandem solo"))
}

/// Looks again and again.
pub fn wait_for(
    probes: &mut Probes,
    within: Duration,
    seen: impl Fn(&[Sample], Duration) -> bool,
) -> Result<()> {
    let until = Instant::now() + within;
    loop {
        let now = probes.now();
        if seen(probes.look().0, now) {
            return Ok(());
        }
        if Instant::now() >= until {
            bail!("not within {} s", within.as_secs());
        }
        pause(LOOK_EVERY)?;
    }
}
