//! The run itself: phones register, answer and call, until every call is over.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use tempfile::TempDir;

use super::interrupt::Interrupt;
use super::media::Ear;
use super::messages::{self, Met};
use super::mix::Kind;
use super::platform::{Platform, Sampler, Usage};
use super::progress::Progress;
use super::sipp::{Rate, Run, Running};
use super::stat::Stat;
use super::{Options, place, scenarios};
use crate::Env;

/// How long a registration lasts that is neither renewed nor taken back.
const EXPIRES_S: u32 = 120;
/// A few phones that renew so often are as many registrations as 600 phones that renew every two minutes.
const REGISTRATIONS_PER_SECOND: u32 = 5;
/// All phones must be registered by then.
const REGISTER: Duration = Duration::from_secs(30);
/// Beyond ramp, hold and the ramp down: answers that are late, calls that are hung up.
const SLACK: Duration = Duration::from_secs(60);
/// BYEs on their way when the callers are done.
const LAST_WORDS: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);
/// Menus hang up by themselves, and are called again meanwhile: so many times at most.
const AGAIN_MAX: u32 = 30;
/// Of records' times and ours.
const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// What was seen.
pub struct Ran {
    pub started: Timestamp,
    /// No record is older.
    pub since: Timestamp,
    pub seconds: f64,
    /// Every call by Call-ID.
    pub calls: HashMap<String, (Kind, Met)>,
    /// Every registration.
    pub registrations: Vec<Met>,
    /// SIPp's own count of calls made.
    pub created: u64,
    /// Packets of audio heard.
    pub heard: u64,
    pub usage: Vec<Usage>,
    /// Of the machine in percent: over the run, in the worst second.
    pub idle: Option<(f64, f64)>,
    pub systems: Vec<(String, String)>,
}

/// What the calls left.
struct Called {
    calls: HashMap<String, (Kind, Met)>,
    renewed: Vec<Met>,
    created: u64,
}

struct Stage<'a> {
    env: &'a Env,
    options: &'a Options,
    interrupt: &'a Interrupt,
    /// Scenarios, fields and traces; readable by us only, removed at the end.
    folder: TempDir,
    server: SocketAddr,
    /// Where the phones answer, register, and call from: SIPp has a socket for each.
    answers: SocketAddr,
    registers: SocketAddr,
    callers: Vec<SocketAddr>,
    ear: Ear,
    /// No SIPp runs longer.
    limit: Duration,
}

/// Runs to the end.
///
/// # Errors
/// SIPp is missing or fails, the platform is not up, phones cannot register, or Ctrl-C. Nothing is left behind.
pub fn run(env: &Env, options: &Options, platform: Platform, interrupt: &Interrupt) -> Result<Ran> {
    if env.phones.len() < 2 {
        bail!("TANDEM_PHONES names {} phones; a call needs two", env.phones.len());
    }
    crate::call::check_api(env)?;
    let server = place::target(&env.sip)?;
    let ip = place::local_ip(server)?;
    let mut callers = place::free_ports(ip, Kind::ALL.len() + 2)?;
    let mut port = || callers.pop().context("no free port");
    let (answers, registers) = (port()?, port()?);
    let stage = Stage {
        env,
        options,
        interrupt,
        folder: TempDir::with_prefix("tandem-load-").context("making a temporary folder")?,
        server,
        answers,
        registers,
        callers,
        ear: Ear::open(ip).context("opening a port for audio")?,
        limit: options.ramp() + options.call() + scenarios::ANSWER_MAX + SLACK,
    };
    stage.run(platform)
}

impl Stage<'_> {
    fn run(&self, platform: Platform) -> Result<Ran> {
        let started = Timestamp::now();
        let mut registrations = self.register("register", EXPIRES_S)?;
        let leave = Leave(self);
        let systems = super::machine::systems(&platform);
        let mut sampler = Sampler::new(platform);
        let heard_before = self.ear.packets();
        let began = Instant::now();
        let called = self.call(&mut sampler)?;
        let seconds = began.elapsed().as_secs_f64();
        let (usage, idle) = sampler.finish();
        registrations.extend(called.renewed);
        drop(leave);
        Ok(Ran {
            started,
            since: started.checked_sub(CLOCK_SKEW).unwrap_or(started),
            seconds,
            calls: called.calls,
            registrations,
            created: called.created,
            heard: self.ear.packets() - heard_before,
            usage,
            idle,
            systems,
        })
    }

    /// Every phone once.
    fn register(&self, name: &str, expires_s: u32) -> Result<Vec<Met>> {
        let phones = u32::try_from(self.env.phones.len()).unwrap_or(u32::MAX);
        let fields = scenarios::registrations(self.env, expires_s, self.answers);
        let rate = Rate { calls: 20, period: SECOND, open_max: 10, total: phones };
        let mut sipp = Running::start(&Run {
            fields: Some(&fields),
            rate: Some(rate),
            limit: REGISTER,
            ..self.sipp(name, scenarios::register(), self.registers)
        })?;
        let until = Instant::now() + REGISTER;
        while sipp.ended()?.is_none() && Instant::now() < until && !self.interrupt.came() {
            sleep(POLL);
        }
        sipp.end();
        let met: Vec<Met> = self.read(&sipp)?.into_values().collect();
        let there = met.iter().filter(|met| met.answered.is_some()).count();
        if self.interrupt.came() {
            bail!("interrupted");
        }
        if there < self.env.phones.len() && expires_s > 0 {
            let why =
                met.iter().find_map(|met| met.refused.clone()).unwrap_or_else(|| "nobody answered".into());
            bail!(
                "{there} of {phones} phones could register at {}: {why}; is the node up ('make up'), and are the \
                 phones' addresses in sip.trusted_sources? SIPp: {}",
                self.server,
                sipp.last_words()
            );
        }
        Ok(met)
    }

    fn call(&self, sampler: &mut Sampler) -> Result<Called> {
        let (options, port) = (self.options, self.ear.port());
        let answer = scenarios::answer(options.call() + scenarios::ANSWER_MAX, port);
        let mut answering = Running::start(&self.sipp("answer", &answer, self.answers))?;
        let fields = scenarios::registrations(self.env, EXPIRES_S, self.answers);
        let rate =
            Rate { calls: REGISTRATIONS_PER_SECOND, period: SECOND, open_max: 100, total: u32::MAX / 2 };
        let mut renewing = Running::start(&Run {
            fields: Some(&fields),
            rate: Some(rate),
            ..self.sipp("renew", scenarios::register(), self.registers)
        })?;

        let run_id = uuid::Uuid::new_v4().simple().to_string();
        let caller = scenarios::caller(options.call(), port);
        let mut callers = Vec::new();
        for ((kind, count), local) in options.mix.cut(options.calls).into_iter().zip(&self.callers) {
            let total = if kind == Kind::Ivr { count * AGAIN_MAX } else { count };
            let rate = Rate { calls: count, period: options.ramp(), open_max: count, total };
            let fields = scenarios::calls(self.env, kind, total);
            let call_ids = format!("tandem-load-{run_id}-{}-%u", kind.name());
            let sipp = Running::start(&Run {
                fields: Some(&fields),
                call_ids: Some(&call_ids),
                rate: Some(rate),
                ..self.sipp(kind.name(), &caller, *local)
            })?;
            callers.push((kind, sipp));
        }
        self.watch(&mut callers, &mut answering, sampler)?;

        sleep(LAST_WORDS);
        renewing.call_no_more();
        answering.end();
        renewing.end();
        let mut called = Called { calls: HashMap::new(), created: 0, renewed: Vec::new() };
        for (kind, sipp) in &callers {
            called.created += sipp.stat().created;
            called.calls.extend(self.read(sipp)?.into_iter().map(|(call_id, met)| (call_id, (*kind, met))));
        }
        called.renewed = self.read(&renewing)?.into_values().collect();
        Ok(called)
    }

    /// Until the last call is over.
    fn watch(
        &self,
        callers: &mut [(Kind, Running)],
        answering: &mut Running,
        sampler: &mut Sampler,
    ) -> Result<()> {
        let began = Instant::now();
        let mut progress = Progress::new(self.options);
        let mut next_second = began;
        let mut enough = false;
        loop {
            let now = Instant::now();
            if self.interrupt.came() {
                progress.end();
                bail!(
                    "interrupted: SIPp is ended, without a BYE; calls that were up stay open in the platform for a while"
                );
            }
            let mut open = false;
            for (_, sipp) in &mut *callers {
                match sipp.ended()? {
                    None => open = true,
                    // 1: a call failed, which is read from its messages; 97 and 99: the time was over (sipp(1)).
                    Some(status) if matches!(status.code(), Some(0 | 1 | 97 | 99)) => {}
                    Some(status) => bail!("SIPp ({}) ended with {status}: {}", sipp.name, sipp.last_words()),
                }
            }
            if let Some(status) = answering.ended()? {
                bail!("SIPp (answer) ended with {status}: {}", answering.last_words());
            }
            if now >= next_second || !open {
                next_second = now + SECOND;
                sampler.sample();
                let stat = callers.iter().map(|(_, sipp)| sipp.stat()).fold(Stat::default(), Stat::plus);
                progress.show(now - began, stat);
            }
            if !open {
                progress.end();
                return Ok(());
            }
            if !enough && now - began >= self.options.call() {
                enough = true;
                // Menus that hang up from now on are not called again.
                callers
                    .iter()
                    .filter(|(kind, _)| *kind == Kind::Ivr)
                    .for_each(|(_, sipp)| sipp.call_no_more());
            }
            if now - began > self.limit {
                progress.end();
                bail!("calls are still open after {} s; SIPp is ended", self.limit.as_secs());
            }
            sleep(POLL);
        }
    }

    /// A run to be completed: it answers, until the load's limit.
    fn sipp<'a>(&'a self, name: &'a str, scenario: &'a str, local: SocketAddr) -> Run<'a> {
        Run {
            name,
            folder: self.folder.path(),
            scenario,
            fields: None,
            remote: self.server,
            local,
            call_ids: None,
            rate: None,
            limit: self.limit,
        }
    }

    fn read(&self, sipp: &Running) -> Result<HashMap<String, Met>> {
        let file = sipp.messages();
        let trace = match File::open(&file) {
            Ok(trace) => trace,
            // Nothing was sent.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
            Err(error) => return Err(error).context("opening SIPp's trace"),
        };
        messages::read(BufReader::new(trace)).with_context(|| format!("reading SIPp's trace ({})", sipp.name))
    }
}

/// Registered phones; dropped, they leave.
struct Leave<'a, 'b>(&'a Stage<'b>);

impl Drop for Leave<'_, '_> {
    fn drop(&mut self) {
        // What is not taken back runs out after EXPIRES_S.
        let _left = self.0.register("leave", 0);
    }
}
