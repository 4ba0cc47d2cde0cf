//! What the driver keeps from look to look. Lost with the agent, and safely so: what must outlive it is in the state.

use std::time::{Duration, Instant};

use fsm::{Copied, Grant, Lsn, Memory, Refused, Role, State};

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
    /// The row that was taken last.
    pub row: &'static str,
    /// Since when the peer has given this primary's join up; since when this node is demoted.
    given_up: Option<Instant>,
    demoted: Option<Instant>,
    /// What the primary could not serve, until the data was brought in line: what is learnt of a running standby holds while it is
    /// stopped for it.
    pub refused: Option<Refused>,
    /// Starts in a row after which no server ran.
    pub failed_starts: u32,
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
            given_up: None,
            demoted: None,
            refused: None,
            failed_starts: 0,
            granting: None,
            alarm: None,
            trouble: None,
        }
    }
}

impl Mind {
    /// Notes since when what a row may wait for has been so.
    pub fn wait(&mut self, state: &State, given_up: bool) {
        since(&mut self.given_up, given_up && state.role == Role::Primary);
        since(&mut self.demoted, state.role == Role::Demoted);
    }

    /// It has been so for too long.
    pub fn overdue(&self) -> bool {
        let lasts = |since: Option<Instant>, bound| since.is_some_and(|at| at.elapsed() > bound);
        lasts(self.given_up, OVERDUE) || lasts(self.demoted, SWITCHOVER_OVERDUE)
    }
}

/// Since when something is so.
pub fn since(at: &mut Option<Instant>, is_so: bool) {
    if is_so {
        at.get_or_insert_with(Instant::now);
    } else {
        *at = None;
    }
}
