//! Real engines for tests: each test starts its own, on free ports, in a folder of its own, and they die with it.
//!
//! PostgreSQL refuses to run as root, so a test that does runs its engines as the unprivileged `nobody`.
//! A test that cannot have what it needs says so with [`skip`], and CI counts the lines.
#![forbid(unsafe_code)]

mod engine;
mod etcd;
mod ports;
mod postgres;
mod redis;

use std::time::{Duration, Instant};

pub use engine::{Engine, Error, Folder};
pub use etcd::Etcd;
pub use ports::free_port;
pub use postgres::{Postgres, PostgresOptions};
pub use redis::Redis;

/// How often a condition is looked at.
const LOOK_EVERY_MS: u64 = 10;

/// Waits until `condition` holds; `false` when it still does not after `limit`.
pub fn wait_for(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(LOOK_EVERY_MS));
    }
}

/// Says that a test was skipped, the way CI counts it: on standard error, which test runners show.
pub fn skip(why: &dyn std::fmt::Display) {
    eprintln!("SKIPPED: {why}");
}

/// The engine, or the end of the test with a line that says why: `let postgres = or_skip!(Postgres::start());`
///
/// Only what is not installed is skipped; an engine that is there and does not start fails the test.
#[macro_export]
macro_rules! or_skip {
    ($start:expr) => {
        match $start {
            Ok(engine) => engine,
            Err(error) if error.is_absence() => {
                $crate::skip(&error);
                return Default::default();
            }
            Err(error) => panic!("{error}"),
        }
    };
}
