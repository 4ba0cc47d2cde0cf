//! `tandem lab demo`: for a person who wants to see it. Phones register and call, the active node dies, the other one takes
//! over; the dead one returns; then the standby dies.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use host::say;
use lab::{NODES, fault};
use serde_json::Value;

use crate::act::Act;
use crate::interrupt::pause;
use crate::pair::{Pair, Whole};
use crate::probe::{Probe, Probes};
use crate::report::TAKE_OVER_MAX;
use crate::run_case::{LATELY, SERVED, WHOLE, begin, cure, lacking, wait_for};
use crate::timeline;
use crate::verdict::{Verdict, gap};
use crate::written;

/// All calls are made within this time, whatever their number.
const RAMP_S: u32 = 20;
const CALLS_PER_SECOND_MIN: u32 = 3;
/// They last over both deaths.
const HOLD_S: u32 = 75;
/// Phones register.
const REGISTER: Duration = Duration::from_secs(4);
/// The load ends by itself long before.
const CALLS_END: Duration = Duration::from_secs(240);
/// Good answers after the take-over, and writes that wait.
const LOOK: Duration = Duration::from_secs(2);
const WAITS: Duration = Duration::from_secs(6);
const POLL: Duration = Duration::from_millis(100);

/// Runs it with so many calls at once.
///
/// # Errors
/// The pair did not keep what it promises, or is not whole. What was broken is mended.
pub fn run(pair: &Pair, calls: u32) -> Result<()> {
    Act::new(pair, 0, 0).mend()?;
    let whole = pair.wait_whole(WHOLE)?;
    written::prepare(pair, whole.active)?;
    let ended = play(pair, whole, calls);
    if ended.is_err() {
        Act::new(pair, whole.active, 0).mend()?;
    }
    if let Ok(whole) = pair.wait_whole(WHOLE) {
        written::clear(pair, whole.active)?;
    }
    ended
}

fn play(pair: &Pair, whole: Whole, count: u32) -> Result<()> {
    let (active, standby) = (NODES[whole.active], NODES[1 - whole.active]);
    title(&format!("{active} is active, {standby} is standby, epoch {}", whole.epoch));
    let mut probes = Probes::start(&pair.env)?;
    begin(&mut probes)?;
    let cps = count.div_ceil(RAMP_S).max(CALLS_PER_SECOND_MIN);
    let mut calls = Calls::start(pair, count, cps)?;
    say!(
        "  phones register and make {count} calls through {}; clients write 10 changes a second",
        pair.env.sip
    );
    say!("  through the API, 20 SQL commits and 20 call records, and send 20 SIP requests");
    calls.wait(REGISTER + Duration::from_secs(u64::from(count.div_ceil(cps))))?;
    take_over(pair, &mut probes, whole)?;

    title(&format!("{active} gets power again"));
    let again = power_on(pair, whole.active)?;
    if again.active == whole.active {
        bail!("{active} took the platform back: nobody asked it to");
    }
    standby_dies(pair, &mut probes, again)?;

    title("the calls end");
    let calls_broken = calls.end()?;
    let log = probes.stop();
    let written = written::look(pair, &log, again.active)?;
    let verdict = Verdict::of(&log, &written);
    let of = |probe| verdict.acknowledged.get(&probe).copied().unwrap_or(0);
    title("what was lost");
    say!(
        "  {} writes through the API, {} call records and {} SQL commits were acknowledged; {} lost, {} stored twice",
        of(Probe::Http),
        of(Probe::Cdr),
        of(Probe::Sql) + of(Probe::Direct(0)) + of(Probe::Direct(1)),
        verdict.lost.len() + verdict.not_copied,
        verdict.twice.len()
    );
    say!("  never did two nodes acknowledge: {} rows", verdict.dual.len());
    say!(
        "  both nodes had the virtual address {} times, {} ms in all",
        verdict.two_holders_times,
        verdict.two_holders.as_millis()
    );
    let broken: Vec<String> = verdict.broken().into_iter().chain(calls_broken).collect();
    match broken.as_slice() {
        [] => Ok(()),
        broken => bail!("{}", broken.join("; ")),
    }
}

/// The active node dies; its timeline.
fn take_over(pair: &Pair, probes: &mut Probes, whole: Whole) -> Result<()> {
    let (active, standby) = (NODES[whole.active], NODES[1 - whole.active]);
    title(&format!("{active} loses its power"));
    let asked = probes.now();
    fault::kill(&pair.lab, active)?;
    // The command looks for the node's processes first, which takes its time on a busy machine. The node is dead when its
    // address is gone, seen within 50 ms.
    let gone =
        probes.look().1.iter().find(|each| each.node == whole.active && !each.holds && each.at >= asked);
    let zero = gone.map_or(asked, |gone| gone.at);
    let again = wait_for(probes, SERVED, |samples, now| {
        now > zero + LATELY * 2 && lacking(samples, now.saturating_sub(LATELY)).is_empty()
    });
    pause(LOOK)?;
    let until = probes.now();
    let (samples, held) = probes.look();
    say!("{:>7} ms  {active} is dead", 0);
    for line in timeline::lines(samples, held, zero, until) {
        say!("{:>7} ms  {}", line.at.as_millis(), line.what);
    }
    if again.is_err() {
        bail!("{standby} did not take over within {} s; 'tandem lab logs {standby} agent'", SERVED.as_secs());
    }
    let length = |of: fn(Probe) -> bool| {
        gap(samples, of, zero, until).map(|gap| gap.length(until)).unwrap_or_default()
    };
    let (writes, api) = (length(Probe::is_write), length(|probe| probe == Probe::Http));
    let sip = length(|probe| probe == Probe::Sip);
    say!(
        "  from the last good to the first good: writes {} ms (through the API {} ms), SIP {} ms: {} {} ms",
        writes.as_millis(),
        api.as_millis(),
        sip.as_millis(),
        if writes.max(api).max(sip) < TAKE_OVER_MAX { "within" } else { "LONGER THAN" },
        TAKE_OVER_MAX.as_millis()
    );
    Ok(())
}

/// The node boots, and finds its place without hands.
fn power_on(pair: &Pair, node: usize) -> Result<Whole> {
    let since = Instant::now();
    fault::start(&pair.lab, NODES[node])?;
    say!("  {} has booted after {:.1} s", NODES[node], since.elapsed().as_secs_f64());
    let whole = pair.wait_whole(WHOLE)?;
    let other = NODES[1 - node];
    say!(
        "  it is standby of {other} after {:.1} s, by itself: epoch {}, every write is on both again",
        since.elapsed().as_secs_f64(),
        whole.epoch
    );
    Ok(whole)
}

/// Calls go on; what writes do depends on the arbiter.
fn standby_dies(pair: &Pair, probes: &mut Probes, whole: Whole) -> Result<()> {
    let (active, standby) = (NODES[whole.active], NODES[1 - whole.active]);
    title(&format!("{standby}, now the standby, loses its power"));
    let zero = probes.now();
    fault::kill(&pair.lab, standby)?;
    pause(WAITS)?;
    let typed = cure(pair);
    let (samples, _) = probes.look();
    // What was on its way is no answer to the death.
    let since = zero + LATELY;
    let good = |of: fn(Probe) -> bool| {
        samples.iter().filter(|s| of(s.probe) && s.sent > since && s.is_good()).count()
    };
    let (sip, writes) = (good(|probe| probe == Probe::Sip), good(Probe::is_write));
    say!("  calls go on: {sip} SIP requests were answered in {} s", (WAITS - LATELY).as_secs());
    match (pair.settings.arbiter.as_str(), writes, typed) {
        ("none", 0, Some(typed)) => {
            say!(
                "  {active} is alone and no arbiter says that it may be: writes wait, nothing unsafe is acknowledged"
            );
            say!("  'tandem status' on {active} says: {typed}");
        }
        ("none", 0, None) => bail!("writes wait, and 'tandem status' on {active} does not say what to type"),
        ("none", writes, _) => {
            bail!("{writes} writes were acknowledged without the standby, by nobody's leave")
        }
        (arbiter, 0, _) => bail!("writes wait though the arbiter ({arbiter}) is there"),
        (arbiter, writes, _) => {
            say!("  the arbiter ({arbiter}) let {active} go on alone: {writes} writes were acknowledged")
        }
    }
    title(&format!("{standby} gets power again"));
    power_on(pair, 1 - whole.active)?;
    let resumed =
        wait_for(probes, SERVED, |samples, now| lacking(samples, now.saturating_sub(LATELY)).is_empty());
    resumed.context("writes do not resume")?;
    say!("  writes are acknowledged again");
    Ok(())
}

fn title(words: &str) {
    say!("\n== {words}");
}

/// `tandem load`, which enters the clients' namespace by itself.
struct Calls {
    child: Child,
    until: Instant,
}

impl Drop for Calls {
    fn drop(&mut self) {
        // Its SIPps end with it.
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Calls {
    fn start(pair: &Pair, count: u32, cps: u32) -> Result<Self> {
        let clients = &pair.env.lab.as_ref().context("no lab")?.client_netns;
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", clients])
            .arg(std::env::current_exe().context("finding this program")?);
        command.arg("load").args(["--calls", &count.to_string(), "--cps", &cps.to_string()]);
        command.args(["--hold", &HOLD_S.to_string(), "--mix", "direct=100,queue=0,ivr=0", "--json", "--env"]);
        command.arg(lab::env_file(&pair.lab));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().context("starting the calls")?;
        Ok(Self { child, until: Instant::now() + CALLS_END })
    }

    /// For a time in which they may not end.
    fn wait(&mut self, time: Duration) -> Result<()> {
        pause(time)?;
        if self.child.try_wait()?.is_some() {
            bail!("the calls ended at once: {}", self.words()?.1);
        }
        Ok(())
    }

    /// What it wrote: its document, and its last words.
    fn words(&mut self) -> Result<(String, String)> {
        let mut texts = [String::new(), String::new()];
        if let Some(mut out) = self.child.stdout.take() {
            std::io::Read::read_to_string(&mut out, &mut texts[0])?;
        }
        if let Some(mut err) = self.child.stderr.take() {
            std::io::Read::read_to_string(&mut err, &mut texts[1])?;
        }
        let [document, words] = texts;
        Ok((document, words.lines().last().unwrap_or_default().to_owned()))
    }

    /// Waits for their end and tells of it. What is not as it should be.
    fn end(mut self) -> Result<Vec<String>> {
        while self.child.try_wait()?.is_none() {
            if Instant::now() > self.until {
                bail!("the calls do not end");
            }
            pause(POLL)?;
        }
        let (document, words) = self.words()?;
        let seen: Value = serde_json::from_str(&document).with_context(|| format!("the calls: {words}"))?;
        let number = |key: &str| seen[key].as_u64().unwrap_or(0);
        say!(
            "  {} calls made, {} answered, {} with their record; {} at once over both deaths",
            number("tried"),
            number("connected"),
            number("accounted"),
            number("dialogs_peak")
        );
        say!("  registrations that failed: {}", number("registrations_failed"));
        let mut broken = Vec::new();
        for (why, times) in seen["failed"].as_object().into_iter().flatten() {
            broken.push(format!("{times} calls: {why}"));
        }
        for call in seen["unaccounted"].as_array().into_iter().flatten() {
            broken.push(format!("the record of call {} {}", call[0], call[1]));
        }
        if number("registrations_failed") > 0 {
            broken.push(format!("{} registrations failed", number("registrations_failed")));
        }
        if broken.is_empty() {
            say!("  every one was hung up by its caller, and the hanging up was answered");
        }
        Ok(broken)
    }
}
