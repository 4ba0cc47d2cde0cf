//! One run of a program, its output in its log.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::super::plan::{Plan, Step, StopSignal};
use super::super::process::Process;
use super::board::{Line, State};

/// A log that has grown beyond this is put aside as `<name>.log.1`, once.
const LOG_BYTES_MAX: u64 = 64 << 20;
const TASK_TIMEOUT: Duration = Duration::from_secs(120);

/// Starts the step's program in a group of its own.
pub fn spawn(plan: &Plan, step: &Step, signal: StopSignal) -> Result<Child> {
    let log = log_file(&plan.log, &step.name).with_context(|| format!("opening the log of {}", step.name))?;
    let mut command = Command::new(&plan.tandem);
    command
        .args(["dev", "exec", "--parent", &std::process::id().to_string(), "--signal", signal.as_str(), "--"])
        .args(&step.argv)
        .current_dir(&plan.run)
        // FreeSWITCH names a recording's folder by its own day, which is to be the UTC one.
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        // A task whose wait is given up.
        .kill_on_drop(true);
    command.spawn().with_context(|| format!("starting {}", step.name))
}

pub fn process_of(child: &Child) -> Option<Process> {
    child.id().and_then(Process::of)
}

/// Runs a task to its end.
pub async fn run_task(plan: &Plan, step: &Step, line: &Line) -> Result<()> {
    let mut child = spawn(plan, step, StopSignal::Term)?;
    line.set(State::Starting, process_of(&child));
    let group = child.id();
    let outcome = tokio::time::timeout(TASK_TIMEOUT, child.wait()).await;
    kill_group(group);
    match outcome {
        Ok(Ok(status)) if status.success() => {
            line.set(State::Done, None);
            Ok(())
        }
        outcome => {
            line.set(State::Failed, None);
            match outcome {
                Ok(status) => bail!("{} failed ({})", step.name, status?),
                Err(_) => bail!("{} did not end within {} s", step.name, TASK_TIMEOUT.as_secs()),
            }
        }
    }
}

/// Ends the child with its signal; after `patience` with SIGKILL. Then kills what is left of its `group`.
pub async fn stop(child: &mut Child, group: Option<u32>, signal: StopSignal, patience: Duration) {
    // No id: it ended and was waited for.
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::from(signal));
        if tokio::time::timeout(patience, child.wait()).await.is_err() {
            kill_group(group);
            let _ = child.wait().await;
        }
    }
    kill_group(group);
}

/// A leader that died may leave its workers behind (Kamailio's, after a SIGKILL).
fn kill_group(leader: Option<u32>) {
    if let Some(leader) = leader.and_then(|pid| i32::try_from(pid).ok()) {
        let _ = killpg(Pid::from_raw(leader), Signal::SIGKILL);
    }
}

/// Opens a log for appending, a large one put aside before.
pub fn log_file(folder: &Path, name: &str) -> io::Result<File> {
    let path = folder.join(format!("{name}.log"));
    if std::fs::metadata(&path).is_ok_and(|m| m.len() > LOG_BYTES_MAX) {
        std::fs::rename(&path, folder.join(format!("{name}.log.1")))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// Cuts a log that an engine is writing to: it has the file open for appending, so writing goes on at the start.
pub fn trim_log(folder: &Path, name: &str) {
    let path = folder.join(format!("{name}.log"));
    if std::fs::metadata(&path).is_ok_and(|m| m.len() > LOG_BYTES_MAX) {
        let aside = std::fs::copy(&path, folder.join(format!("{name}.log.1")));
        let cut = OpenOptions::new().write(true).open(&path).and_then(|file| file.set_len(0));
        if let Err(error) = aside.map(drop).and(cut) {
            eprintln!("log {}: {error}", path.display());
        }
    }
}
