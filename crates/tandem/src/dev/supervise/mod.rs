//! The supervisor: starts the plan's steps in order, keeps the engines running, stops them in reverse.
//!
//! In: a [`Plan`] and SIGTERM. Out: `status.json`. It holds a lock while it lives, so there is one a node.
//! What must never happen: an engine that outlives it. Every engine asks the kernel for a signal on the supervisor's
//! death (`tandem dev exec`), and leads a process group that is killed after it.

mod board;
mod child;
mod engine;
mod probe;

use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{dup2_stderr, dup2_stdout, setsid};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::LocalSet;

use super::plan::{Kind, Plan};
use board::Board;
pub use board::{Phase, Shown, Snapshot, State};
use engine::Kept;
use host::files;

const LOCK_FILE: &str = "supervisor.lock";
pub const STATUS_FILE: &str = "status.json";
/// The supervisor's own log, beside the engines'.
pub const LOG_NAME: &str = "supervisor";

/// `tandem dev supervise`: runs until SIGTERM or SIGINT.
pub fn supervise(plan: &Path) -> Result<()> {
    let text = files::read(plan).context("reading the plan")?.context("there is no plan")?;
    let plan: Plan = serde_json::from_str(&text).context("the plan is damaged")?;
    let Some(_lock) = lock(&plan.run)? else { bail!("another supervisor runs this node") };
    let log = child::log_file(&plan.log, LOG_NAME).context("opening the supervisor's log")?;
    dup2_stdout(&log)?;
    dup2_stderr(&log)?;
    // A session of its own: the terminal's Ctrl-C and hang-up are not for us. Fails only for a group's leader, which is
    // apart already.
    let _ = setsid();
    // One thread: the kernel's parent-death signal is bound to the thread that forked.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(plan))
}

/// Takes the node's lock; `None` when a living supervisor has it.
fn lock(run: &Path) -> Result<Option<Flock<File>>> {
    let path = run.join(LOCK_FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    try_lock(file.with_context(|| format!("opening {}", path.display()))?)
}

/// Whether a supervisor runs. It made the file, so a missing one says no.
pub fn is_running(run: &Path) -> Result<bool> {
    match File::open(run.join(LOCK_FILE)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context("opening the supervisor's lock"),
        Ok(file) => Ok(try_lock(file)?.is_none()),
    }
}

fn try_lock(file: File) -> Result<Option<Flock<File>>> {
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => bail!("locking the supervisor's file: {error}"),
    }
}

async fn run(plan: Plan) -> Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let plan = Rc::new(plan);
    let board = Board::new(&plan);
    let mut running = Vec::new();
    let outcome = tokio::select! {
        outcome = start(&plan, &board, &mut running) => outcome,
        () = told(&mut term, &mut int) => Ok(()),
    };
    if outcome.is_ok() && board.phase() != Phase::Starting {
        told(&mut term, &mut int).await;
    }
    board.set_phase(Phase::Stopping, None);
    for engine in running.into_iter().rev() {
        engine.stop().await?;
    }
    match outcome {
        Ok(()) => board.set_phase(Phase::Stopped, None),
        Err(why) => board.set_phase(Phase::Failed, Some(format!("{why:#}"))),
    }
    Ok(())
}

async fn told(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

async fn start(plan: &Rc<Plan>, board: &Board, running: &mut Vec<Kept>) -> Result<()> {
    for (index, step) in plan.steps.iter().enumerate() {
        match &step.kind {
            Kind::Task => child::run_task(plan, step, &board.of(index)).await?,
            Kind::Engine(keeping) => {
                let (kept, ready) = engine::keep(plan, step, keeping, board.of(index));
                running.push(kept);
                ready.await.context("the engine's task ended")??;
            }
        }
    }
    board.set_phase(Phase::Ready, None);
    Ok(())
}
