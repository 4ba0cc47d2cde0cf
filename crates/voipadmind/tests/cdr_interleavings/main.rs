//! Documents of calls of every kind come in any order, from many sides, in every form, again and again, while voipadmind, Redis and
//! PostgreSQL die at random moments. Whatever happened: nothing acknowledged or spooled is lost, nothing is there twice, and
//! each call is one item with exactly its legs.
//!
//! 10 rounds; with `TANDEM_SOAK` (`make soak`) 200; `TANDEM_ROUNDS=n` of any number. Calls, faults and what each poster does
//! are drawn from `TANDEM_SEED`, a random one where it is not set; threads and processes run as they run. Round n of seed s
//! is the first round of seed s + n.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod calls;
mod faults;
mod judge;
mod posting;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use calls::Call;
use judge::Judge;
use posting::Posting;
use support::Node;
use support::random::Random;

const ROUNDS: usize = 10;
const SOAK_ROUNDS: usize = 200;
const CALLS_A_ROUND: usize = 33;
const POSTERS: usize = 8;

#[test]
fn every_interleaving_ends_in_the_same_calls() {
    let spool = tempfile::tempdir().unwrap();
    let [freeswitch, kamailio] = ["freeswitch", "kamailio"].map(|engine| spool.path().join(engine));
    for folder in [&freeswitch, &kamailio] {
        std::fs::create_dir(folder).unwrap();
    }
    let folders =
        format!("cdr: {{spool_dir: {}, kamailio_spool_dir: {}, ", freeswitch.display(), kamailio.display());
    let mut node = testkit::or_skip!(Node::start_with(|config| config.replace("cdr: {", &folders)));
    let soak = std::env::var_os("TANDEM_SOAK").is_some();
    let rounds = number("TANDEM_ROUNDS").map_or(if soak { SOAK_ROUNDS } else { ROUNDS }, |it| it as usize);
    let seed = number("TANDEM_SEED").unwrap_or_else(|| u64::from(uuid::Uuid::new_v4().as_fields().0));
    println!("{rounds} rounds from TANDEM_SEED={seed}");
    let mut judge = Judge::new([freeswitch.clone(), kamailio.clone()]);
    let mut faults = BTreeMap::new();
    for round in 0..rounds {
        let seed = seed.wrapping_add(round as u64);
        let _told = TellsSeed { round, seed };
        let mut random = Random::new(seed);
        let calls: Vec<Call> = (0..CALLS_A_ROUND).map(|n| calls::call(n, &mut random)).collect();
        let posting = posting(&node, [&freeswitch, &kamailio], &calls);
        let documents = posting.waiting.lock().unwrap().len();
        let plan = faults::plan(documents, &mut random);
        let carried_out = std::thread::scope(|scope| {
            for _ in 0..POSTERS {
                let random = Random::new(random.next());
                scope.spawn(|| posting.run(random));
            }
            faults::carry_out(&mut node, &plan, &posting.taken, documents, &mut random)
        });
        for fault in carried_out {
            *faults.entry(fault).or_insert(0_usize) += 1;
        }
        let took = judge.round(&node, calls, posting);
        println!(
            "round {round}: TANDEM_SEED={seed}, {documents} documents, settled after {took:?}, {plan:?}"
        );
    }
    judge.end(&node);
    println!("{} {faults:?}", judge.totals());
}

fn posting(node: &Node, [freeswitch, kamailio]: [&PathBuf; 2], calls: &[Call]) -> Posting {
    Posting {
        engine: node.engine(),
        freeswitch_spool: freeswitch.clone(),
        kamailio_spool: kamailio.clone(),
        waiting: Mutex::new(calls.iter().flat_map(|call| call.documents.clone()).collect()),
        taken: AtomicUsize::new(0),
        told: Mutex::default(),
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text}: a whole number is wanted")))
}

/// A round that fails says how it is run again.
struct TellsSeed {
    round: usize,
    seed: u64,
}

impl Drop for TellsSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "round {} failed: TANDEM_SEED={} TANDEM_ROUNDS=1 begins with it",
                self.round, self.seed
            );
        }
    }
}
