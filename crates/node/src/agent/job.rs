//! What takes longer than a look: it runs beside the driver, one at a time, and the table sees what has come of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fsm::{Copied, FenceProof};
use tokio::task::JoinHandle;

/// A job that failed is not tried again for so long.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Start,
    Stop,
    Rewind,
    Copy,
    Fence,
    Cas,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub enum Outcome {
    Done,
    Copied(Copied),
    Fenced(FenceProof),
}

/// At most one.
#[derive(Default)]
pub struct Jobs {
    running: Option<(What, JoinHandle<Result<Outcome>>)>,
    failed: Option<(What, Instant)>,
}

impl Jobs {
    pub fn is(&self, what: What) -> bool {
        self.running.as_ref().is_some_and(|(running, _)| *running == what)
    }

    pub const fn is_idle(&self) -> bool {
        self.running.is_none()
    }

    /// Begins it, unless one is under way or this one failed a moment ago; true if it began.
    pub fn begin(
        &mut self,
        what: What,
        work: impl Future<Output = Result<Outcome>> + Send + 'static,
    ) -> bool {
        let too_soon = self.failed.is_some_and(|(failed, at)| failed == what && at.elapsed() < AGAIN_AFTER);
        if !self.is_idle() || too_soon {
            return false;
        }
        self.running = Some((what, tokio::spawn(work)));
        true
    }

    /// The one that ended since the last call.
    pub async fn ended(&mut self) -> Option<(What, Result<Outcome>)> {
        let (what, handle) = self.running.take_if(|(_, handle)| handle.is_finished())?;
        let outcome = handle.await.context("a job of the agent's broke").flatten();
        if outcome.is_err() {
            self.failed = Some((what, Instant::now()));
        }
        Some((what, outcome))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_job_at_a_time_and_a_failed_one_after_a_pause() {
        let mut jobs = Jobs::default();
        let fails = async { anyhow::bail!("no") };
        assert!(jobs.begin(What::Start, fails) && jobs.is(What::Start));
        assert!(!jobs.begin(What::Stop, async { Ok(Outcome::Done) }), "another is under way");
        while !jobs.is_idle() {
            tokio::task::yield_now().await;
            if let Some((what, outcome)) = jobs.ended().await {
                assert!(what == What::Start && outcome.is_err());
            }
        }
        assert!(!jobs.begin(What::Start, async { Ok(Outcome::Done) }), "too soon");
        assert!(jobs.begin(What::Stop, async { Ok(Outcome::Done) }));
    }
}
