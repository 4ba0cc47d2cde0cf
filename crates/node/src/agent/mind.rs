//! What the driver keeps from look to look. Lost with the agent, and safely so: what must outlive it is in the state.

use std::time::{Duration, Instant};

use fsm::{Copied, Grant, Lsn, Memory};

use super::fitness::Fitness;
use super::job::Jobs;
use super::look::{Face, Seldom};
use crate::postgresql::barrier::Barrier;

/// A standby that gave its join up is not back: writes wait meanwhile.
const OVERDUE: Duration = Duration::from_secs(3);
/// A switchover is not followed: a clean stop with its checkpoint takes a while.
const SWITCHOVER_OVERDUE: Duration = Duration::from_secs(60);

pub struct Mind {
    pub memory: Memory,
    /// The newest that was received.
    pub grant: Option<Grant>,
    pub barrier: Option<Barrier>,
    /// The receive position before promotion.
    pub noted: Option<Lsn>,
    pub copied: Copied,
    pub job: Jobs,
    pub face: Face,
    pub seldom: Seldom,
    pub fitness: Fitness,
    /// The row that was taken last, and since when.
    pub row: &'static str,
    pub since: Instant,
    /// The grant to be sent with every heartbeat now.
    pub granting: Option<Grant>,
    /// What a person may type now.
    pub alarm: Option<&'static str>,
    /// What could not be done, in words.
    pub trouble: Option<String>,
}

impl Default for Mind {
    fn default() -> Self {
        Self {
            memory: Memory::default(),
            grant: None,
            barrier: None,
            noted: None,
            copied: Copied::Not,
            job: Jobs::default(),
            face: Face::default(),
            seldom: Seldom::default(),
            fitness: Fitness::default(),
            row: "",
            since: Instant::now(),
            granting: None,
            alarm: None,
            trouble: None,
        }
    }
}

impl Mind {
    /// What the row that waits waits for has taken too long.
    pub fn overdue(&self) -> bool {
        let bound = if self.row.starts_with("demoted") { SWITCHOVER_OVERDUE } else { OVERDUE };
        self.since.elapsed() > bound
    }
}
