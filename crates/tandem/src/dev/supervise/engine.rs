//! Keeping one engine running.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::process::Child;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout};

use super::super::plan::{Keeping, Plan, Step};
use super::board::{Line, State};
use super::{child, probe};

/// Starts that may fail before the node is given up.
const FIRST_STARTS_MAX: u32 = 3;
/// Time an engine has until its probe succeeds.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// An engine that was ready this long has recovered: the next failure starts the back-off anew.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
const LOG_CHECK_EVERY: Duration = Duration::from_secs(60);

/// An engine that is being kept.
pub struct Kept {
    told: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Kept {
    /// Ends it, and returns when nothing of it is left.
    pub async fn stop(self) -> Result<()> {
        self.told.send_replace(true);
        self.task.await.context("an engine's task failed")
    }
}

/// How one run of the program ended.
enum End {
    Told,
    Died(String),
}

/// Starts an engine and keeps it running; the receiver learns when it is ready for the first time, or why it never was.
pub fn keep(
    plan: &Rc<Plan>,
    step: &Step,
    keeping: &Keeping,
    line: Line,
) -> (Kept, oneshot::Receiver<Result<()>>) {
    let (ready, first_ready) = oneshot::channel();
    let stop = watch::Sender::new(false);
    let keeper = Keeper {
        plan: Rc::clone(plan),
        step: step.clone(),
        keeping: keeping.clone(),
        line,
        told: stop.subscribe(),
        first_ready: Some(ready),
        ready_since: None,
    };
    (Kept { told: stop, task: spawn_local(keeper.run()) }, first_ready)
}

struct Keeper {
    plan: Rc<Plan>,
    step: Step,
    keeping: Keeping,
    line: Line,
    told: watch::Receiver<bool>,
    first_ready: Option<oneshot::Sender<Result<()>>>,
    /// Of this run.
    ready_since: Option<Instant>,
}

impl Keeper {
    async fn run(mut self) {
        let mut failures = 0;
        loop {
            self.ready_since = None;
            let how = match self.run_once().await {
                End::Told => break,
                End::Died(how) => how,
            };
            eprintln!("{} {}: {how}", jiff::Timestamp::now(), self.step.name);
            self.line.ended(&how);
            let recovered = self.ready_since.is_some_and(|since| since.elapsed() > HEALTHY_AFTER);
            failures = if recovered { 1 } else { failures + 1 };
            if failures >= FIRST_STARTS_MAX
                && let Some(ready) = self.first_ready.take()
            {
                self.line.set(State::Failed, None);
                let _ = ready.send(Err(anyhow!("{} does not start: {how}", self.step.name)));
                return;
            }
            let wait = (BACKOFF_FIRST * 2u32.saturating_pow(failures - 1)).min(BACKOFF_MAX);
            tokio::select! {
                () = sleep(wait) => self.line.restarted(),
                _ = self.told.wait_for(|told| *told) => break,
            }
        }
        self.line.set(State::Stopped, None);
    }

    async fn run_once(&mut self) -> End {
        let mut child = match child::spawn(&self.plan, &self.step, self.keeping.stop) {
            Ok(child) => child,
            Err(error) => return End::Died(format!("{error:#}")),
        };
        let process = child::process_of(&child);
        self.line.set(State::Starting, process);
        let group = child.id();
        let end = self.watch(&mut child).await;
        if matches!(end, End::Told) {
            self.line.set(State::Stopping, process);
        }
        let patience = Duration::from_secs(self.keeping.stop_timeout_s);
        child::stop(&mut child, group, self.keeping.stop, patience).await;
        end
    }

    /// Waits for readiness, then for the end.
    async fn watch(&mut self, child: &mut Child) -> End {
        let process = child::process_of(child);
        let mut told = self.told.clone();
        tokio::select! {
            status = child.wait() => return died(status),
            _ = told.wait_for(|told| *told) => return End::Told,
            ready = timeout(READY_TIMEOUT, probe::until_ready(&self.keeping.ready)) => {
                if ready.is_err() {
                    return End::Died(format!("was not ready within {} s", READY_TIMEOUT.as_secs()));
                }
            }
        }
        self.line.set(State::Ready, process);
        self.ready_since = Some(Instant::now());
        if let Some(ready) = self.first_ready.take() {
            let _ = ready.send(Ok(()));
        }
        loop {
            tokio::select! {
                status = child.wait() => return died(status),
                _ = told.wait_for(|told| *told) => return End::Told,
                () = sleep(LOG_CHECK_EVERY) => child::trim_log(&self.plan.log, &self.step.name),
            }
        }
    }
}

fn died(status: std::io::Result<std::process::ExitStatus>) -> End {
    End::Died(match status {
        Ok(status) => format!("ended by itself ({status})"),
        Err(error) => format!("cannot be waited for: {error}"),
    })
}
