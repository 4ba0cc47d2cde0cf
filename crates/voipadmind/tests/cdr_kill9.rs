//! SIGKILL of voipadmind at random moments while 5,000 CDRs are posted at full speed, 20 rounds: every acknowledged one is in
//! the table exactly once. This is the death of the process; power loss is the journal's own test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with its line")]

mod support;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::random::Random;
use support::{Engine, Node, wire};

const ROUNDS: usize = 20;
/// Posted over all rounds; with `TANDEM_SOAK` set (`make soak`), in each round.
const DOCUMENTS: usize = 5_000;
const POSTERS: usize = 32;

#[test]
fn acknowledged_cdrs_survive_sigkill_exactly_once() {
    let mut node = testkit::or_skip!(Node::start());
    let a_round = if std::env::var_os("TANDEM_SOAK").is_some() { DOCUMENTS } else { DOCUMENTS / ROUNDS };
    let template = String::from_utf8(wire("cdr/busy.a_leg.json")).unwrap();
    let acknowledged = Arc::new(Mutex::new(HashSet::new()));
    // The same moments at every run.
    let mut random = Random::new(0x5eed_1234_5678_9abc);
    let mut kills = 0;
    for round in 0..ROUNDS {
        let (alive, posted) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let posters: Vec<_> = (0..POSTERS)
            .map(|poster| {
                let uuids: Vec<String> = (0..a_round)
                    .filter(|n| n % POSTERS == poster)
                    .map(|n| format!("kill-{round}-{n}"))
                    .collect();
                let poster = Poster {
                    engine: node.engine(),
                    uuids,
                    template: template.clone(),
                    alive: alive.clone(),
                    posted: posted.clone(),
                    acknowledged: acknowledged.clone(),
                };
                std::thread::spawn(move || poster.run())
            })
            .collect();
        // Somewhere in the middle of the posting, counted in documents so that a fast machine is hit as well.
        let at = 1 + random.below(a_round - 1);
        while posted.load(Ordering::Relaxed) < at {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(Duration::from_micros(random.below(3_000) as u64));
        node.kill9();
        kills += 1;
        let killed = std::time::Instant::now();
        node.launch();
        let back = killed.elapsed();
        for poster in posters {
            poster.join().unwrap();
        }
        alive.store(false, Ordering::Relaxed);
        println!(
            "round {round}: killed after {at} posts, back in {back:?}, all posted after {:?}",
            killed.elapsed()
        );
    }
    node.settle();

    let rows = node.sql("SELECT leg_uuid, count(*) FROM voip.cdr GROUP BY 1");
    let stored: HashMap<&str, usize> =
        rows.lines().map(|l| l.split_once('|').unwrap()).map(|(u, n)| (u, n.parse().unwrap())).collect();
    let acknowledged = acknowledged.lock().unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|uuid| !stored.contains_key(uuid.as_str())).collect();
    let double: Vec<_> = stored.iter().filter(|(_, n)| **n > 1).collect();
    println!("{kills} kills; {} acknowledged, {} stored", acknowledged.len(), stored.len());
    assert_eq!(kills, ROUNDS);
    assert_eq!(acknowledged.len(), ROUNDS * a_round, "every document is acknowledged in the end");
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(double.is_empty(), "double: {double:?}");
}

/// Posts its documents as fast as it can, each again until it is acknowledged, as FreeSWITCH's retries do.
struct Poster {
    engine: Engine,
    uuids: Vec<String>,
    template: String,
    alive: Arc<AtomicBool>,
    posted: Arc<AtomicUsize>,
    acknowledged: Arc<Mutex<HashSet<String>>>,
}

impl Poster {
    fn run(self) {
        for uuid in self.uuids {
            let body = self.template.replace("39503e5f-2031-461c-9054-079ca6084315", &uuid);
            while self.alive.load(Ordering::Relaxed) {
                self.posted.fetch_add(1, Ordering::Relaxed);
                let path = format!("/fs/cdr?uuid={uuid}");
                let answer = self.engine.post(&path, "application/json", body.as_bytes());
                if answer.is_ok_and(|a| a.status == 200) {
                    self.acknowledged.lock().unwrap().insert(uuid);
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
