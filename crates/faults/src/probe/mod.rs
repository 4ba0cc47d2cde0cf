//! Clients of the platform that never stop asking, each sample with its time.
//!
//! In: a lab's env. Out: a [`Log`]: every write that was tried, under a number of its own, with what came of it; every SIP
//! request; who held the virtual address when. All clients are on the clients' host; who holds the address is looked at on
//! each node.
//!
//! Architecture invariants: what was not clearly acknowledged is not acknowledged; a client's bound ends its wait, never the
//! server's commit.

mod cdr;
mod holders;
mod http;
mod sip;
mod sql;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use phones::Env;
use tokio::runtime::Runtime;

use crate::namespace;

/// Until all probes have ended: longer than any bound of theirs.
const STOP: Duration = Duration::from_secs(4);
/// Requests of HTTP that may be waiting at once; each takes a thread.
const WAITING_MAX: usize = 120;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Probe {
    /// `POST /api/queues`, with an Idempotency-Key.
    Http,
    /// `POST /fs/cdr`.
    Cdr,
    /// One row a commit, at the virtual address.
    Sql,
    /// The same at a node's own address: who else would acknowledge?
    Direct(usize),
    /// OPTIONS.
    Sip,
}

impl Probe {
    /// In names, ids and the table of rows.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Cdr => "cdr",
            Self::Sql => "sql",
            Self::Direct(0) => "n1",
            Self::Direct(_) => "n2",
            Self::Sip => "sip",
        }
    }

    /// What the API acknowledges to users: a change that both nodes have.
    pub fn is_write(self) -> bool {
        matches!(self, Self::Http | Self::Sql)
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged, or answered; a row of SQL with the timeline it was written on.
    Good(Option<u32>),
    /// Not acknowledged, and why.
    Bad(String),
}

/// One attempt. Times are since the log's beginning.
#[derive(Debug, Clone)]
pub struct Sample {
    pub probe: Probe,
    pub number: u64,
    pub sent: Duration,
    pub done: Duration,
    pub outcome: Outcome,
}

impl Sample {
    pub fn is_good(&self) -> bool {
        matches!(self.outcome, Outcome::Good(_))
    }
}

/// A node has the virtual address, or has it no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    pub node: usize,
    pub at: Duration,
    pub holds: bool,
}

/// Everything that was seen.
#[derive(Debug, Clone)]
pub struct Log {
    /// Part of every name these probes write under.
    pub run: String,
    pub samples: Vec<Sample>,
    pub held: Vec<Held>,
    pub ended: Duration,
}

impl Log {
    /// Acknowledged numbers of a probe, each once.
    pub fn acknowledged(&self, probe: Probe) -> Vec<u64> {
        let mut numbers: Vec<u64> =
            self.samples.iter().filter(|s| s.probe == probe && s.is_good()).map(|s| s.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// A line a sample, in milliseconds from `zero` on: probe, number, sent, done, what came of it.
    pub fn write(&self, file: &Path, zero: Duration) -> std::io::Result<()> {
        let ms = |at: Duration| at.as_millis() as i128 - zero.as_millis() as i128;
        let line = |s: &Sample| {
            let words = match &s.outcome {
                Outcome::Good(None) => "good".to_owned(),
                Outcome::Good(Some(timeline)) => format!("good, timeline {timeline}"),
                Outcome::Bad(why) => why.clone(),
            };
            format!("{} {} {} {} {words}\n", s.probe.name(), s.number, ms(s.sent), ms(s.done))
        };
        std::fs::write(file, self.samples.iter().map(line).collect::<String>())
    }
}

/// How often what was said instead of an acknowledgement.
pub fn refusals(samples: &[Sample], probe: Probe) -> String {
    let mut words: BTreeMap<&str, usize> = BTreeMap::new();
    for sample in samples.iter().filter(|s| s.probe == probe) {
        if let Outcome::Bad(why) = &sample.outcome {
            *words.entry(why.as_str()).or_default() += 1;
        }
    }
    let words: Vec<String> = words.iter().map(|(why, times)| format!("{times} x {why}")).collect();
    if words.is_empty() { "never asked".into() } else { words.join(", ") }
}

enum Event {
    Sample(Sample),
    Held(Held),
}

/// What every probe has.
#[derive(Clone)]
struct Desk {
    began: Instant,
    run: String,
    events: Sender<Event>,
    ended: Arc<AtomicBool>,
    numbers: Arc<AtomicU64>,
}

impl Desk {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn is_over(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Unique in this run, whatever the probe.
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    fn tell(&self, probe: Probe, number: u64, sent: Duration, outcome: Outcome) {
        let sample = Sample { probe, number, sent, done: self.now(), outcome };
        // The reader is there until all have ended.
        let _over = self.events.send(Event::Sample(sample));
    }

    fn held(&self, node: usize, holds: bool) {
        let _over = self.events.send(Event::Held(Held { node, at: self.now(), holds }));
    }
}

/// Probes that run.
pub struct Probes {
    desk: Desk,
    events: Receiver<Event>,
    runtime: Option<Runtime>,
    threads: Vec<JoinHandle<()>>,
    samples: Vec<Sample>,
    held: Vec<Held>,
}

impl Probes {
    /// Starts all of them.
    ///
    /// # Errors
    /// The lab is not up.
    pub fn start(env: &Env) -> Result<Self> {
        let lab = env.lab.as_ref().context("the env is no lab's")?;
        let (events_in, events) = channel();
        let run = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
        let desk = Desk {
            began: Instant::now(),
            run,
            events: events_in,
            ended: Arc::default(),
            numbers: Arc::default(),
        };
        let clients = lab.client_netns.clone();
        // Entered once here, so that a lab that is not up is an error and not a silence.
        std::thread::spawn({
            let clients = clients.clone();
            move || namespace::enter(&clients)
        })
        .join()
        .map_err(|_| anyhow::anyhow!("entering the clients' namespace ended in a panic"))??;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(WAITING_MAX)
            .thread_name("probe")
            .enable_all()
            // A thread that is elsewhere would reach nothing, which shows as a probe that never succeeds.
            .on_thread_start({
                let clients = clients.clone();
                move || drop(namespace::enter(&clients))
            })
            .build()
            .context("starting the probes")?;
        runtime.spawn(http::run(desk.clone(), http::Target::of(env)?));
        runtime.spawn(cdr::run(desk.clone(), cdr::Target::of(env)));
        sql::start(&runtime, &desk, env)?;
        let mut threads = vec![sip::start(desk.clone(), clients, &env.sip)?];
        for (node, (_, netns)) in lab.nodes().enumerate() {
            threads.push(holders::start(desk.clone(), node, netns, &lab.vip)?);
        }
        Ok(Self { desk, events, runtime: Some(runtime), threads, samples: Vec::new(), held: Vec::new() })
    }

    pub fn now(&self) -> Duration {
        self.desk.now()
    }

    /// What was seen up to now.
    pub fn look(&mut self) -> (&[Sample], &[Held]) {
        while let Ok(event) = self.events.try_recv() {
            match event {
                Event::Sample(sample) => self.samples.push(sample),
                Event::Held(held) => self.held.push(held),
            }
        }
        (&self.samples, &self.held)
    }

    /// Ends them; what is waiting is waited for, within its bound.
    pub fn stop(mut self) -> Log {
        self.desk.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(STOP);
        }
        let ended = self.desk.now();
        self.look();
        Log {
            run: self.desk.run.clone(),
            samples: std::mem::take(&mut self.samples),
            held: std::mem::take(&mut self.held),
            ended,
        }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.desk.ended.store(true, Ordering::Relaxed);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
