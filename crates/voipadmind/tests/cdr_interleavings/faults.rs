//! What dies in a round, and when: moments are counted in documents taken in hand, so that a fast machine is hit as well.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::Node;
use crate::support::random::Random;

const FAULTS_MAX: usize = 4;
/// So much of a round's moments lie behind its last document, while what was posted is being stored.
const AFTER: usize = 3;
const PAUSE_US: usize = 60_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    DaemonKilled,
    RedisKilled,
    RedisKilledAndItsDataLost,
    RedisFlushed,
    PostgresKilled,
    PostgresStoppedAtOnce,
}

use Fault::*;

/// What stands here more often comes more often.
const FAULTS: [Fault; 9] = [
    DaemonKilled,
    DaemonKilled,
    DaemonKilled,
    RedisKilled,
    RedisKilledAndItsDataLost,
    RedisFlushed,
    PostgresKilled,
    PostgresKilled,
    PostgresStoppedAtOnce,
];

/// A fault, when it comes and when it is mended: with one another they lie in any way.
#[derive(Debug)]
pub struct Planned {
    pub fault: Fault,
    pub from: usize,
    pub to: usize,
}

pub fn plan(documents: usize, random: &mut Random) -> Vec<Planned> {
    let moments = documents + documents / AFTER;
    let faults = 1 + random.below(FAULTS_MAX);
    let planned = (0..faults).map(|_| {
        let from = random.below(moments);
        let to = from + random.below(documents / AFTER);
        Planned { fault: FAULTS[random.below(FAULTS.len())], from, to }
    });
    planned.collect()
}

/// Carries the plan out while documents are posted, and leaves all running. What is down already is not killed again: which
/// faults there were.
pub fn carry_out(
    node: &mut Node,
    plan: &[Planned],
    taken: &AtomicUsize,
    documents: usize,
    random: &mut Random,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    let begins = plan.iter().map(|it| (it.from, it.fault, true));
    let ends = plan.iter().map(|it| (it.to, it.fault, false));
    let mut steps: Vec<_> = begins.chain(ends).collect();
    steps.sort();
    for (moment, fault, begins) in steps {
        while taken.load(Ordering::Relaxed) < moment.min(documents) {
            std::thread::sleep(Duration::from_micros(200));
        }
        // Within a document's way, or after the last one.
        std::thread::sleep(Duration::from_micros(random.below(PAUSE_US) as u64));
        match begins {
            true => faults.extend(fault.begin(node).then_some(fault)),
            false => fault.end(node),
        }
    }
    for fault in [PostgresKilled, RedisKilled, DaemonKilled] {
        fault.end(node);
    }
    faults
}

impl Fault {
    /// Whether there was something to break.
    fn begin(self, node: &mut Node) -> bool {
        let is_up = match self {
            DaemonKilled => node.has_daemon(),
            RedisKilled | RedisKilledAndItsDataLost | RedisFlushed => node.redis.engine().is_some(),
            PostgresKilled | PostgresStoppedAtOnce => node.postgres.engine().is_some(),
        };
        match self {
            _ if !is_up => {}
            DaemonKilled => {
                assert!(node.is_running(), "voipadmind ended by itself; its log:\n{}", node.log());
                node.kill9();
            }
            RedisKilled => node.redis.kill9(),
            RedisKilledAndItsDataLost => {
                node.redis.kill9();
                node.redis.lose_data().unwrap();
            }
            RedisFlushed => node.redis.flushall(),
            PostgresKilled => node.postgres.kill9(),
            PostgresStoppedAtOnce => node.postgres.stop_immediately(),
        }
        is_up
    }

    /// Mends it; what was mended already stays.
    fn end(self, node: &mut Node) {
        match self {
            DaemonKilled => {
                if !node.has_daemon() {
                    node.spawn();
                }
            }
            RedisKilled | RedisKilledAndItsDataLost => {
                if node.redis.engine().is_none() {
                    node.redis.restart().unwrap();
                }
            }
            RedisFlushed => {}
            PostgresKilled | PostgresStoppedAtOnce => {
                if node.postgres.engine().is_none() {
                    node.postgres.start_again().unwrap();
                }
            }
        }
    }
}
