//! `tandem dev down`: stops the node; its data stays unless it is purged.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use spec::CLUSTER_FILE;

use super::supervise::{self, Phase};
use super::{Place, status};
use host::say;

/// The sum of the engines' own limits, and some.
const DOWN_TIMEOUT: Duration = Duration::from_secs(150);
/// For each of the leftovers of a supervisor that was killed.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(10);

pub fn down(dir: &Path, purge: bool) -> Result<()> {
    if fs::symlink_metadata(dir).is_err() {
        say!("there is no dev node in {}", dir.display());
        return Ok(());
    }
    let place = Place::existing(dir)?;
    let _claim = place.claim()?;
    if supervise::is_running(&place.run())? {
        stop(&place)?;
        say!("stopped");
    } else {
        end_leftovers(&place);
        say!("the node does not run");
    }
    if purge {
        remove(&place)?;
        say!("removed its data, configuration and secrets");
    }
    Ok(())
}

fn stop(place: &Place) -> Result<()> {
    let supervisor =
        status::read(place).and_then(|s| s.supervisor).context("the supervisor's status is unreadable")?;
    if !supervisor.alive_as(place.user.uid.as_raw()) {
        bail!(
            "the status file names another supervisor than the one that runs; see 'ps -u {}'",
            place.user.name
        );
    }
    kill(Pid::from_raw(supervisor.pid), Signal::SIGTERM).context("telling the supervisor to stop")?;
    wait_until_stopped(place)
}

fn wait_until_stopped(place: &Place) -> Result<()> {
    let until = Instant::now() + DOWN_TIMEOUT;
    while supervise::is_running(&place.run())? {
        if Instant::now() > until {
            bail!("still stopping after {} s; see 'make logs'", DOWN_TIMEOUT.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A node that was told to stop, by a signal or by a step that failed, is not one that runs.
pub fn wait_for_the_end_of_a_stop(place: &Place) -> Result<()> {
    match status::read(place).map(|status| status.phase) {
        Some(Phase::Stopping | Phase::Stopped | Phase::Failed) => wait_until_stopped(place),
        _ => Ok(()),
    }
}

/// What a supervisor that was killed left: engines that the kernel's signal did not end, sockets and pid files.
pub fn end_leftovers(place: &Place) {
    let uid = place.user.uid.as_raw();
    let Some(snapshot) = status::read(place) else { return };
    for process in snapshot.steps.iter().rev().filter_map(|step| step.process) {
        process.end_group(uid, Signal::SIGTERM, LEFTOVER_PATIENCE);
    }
    // Things of one boot: whatever is here is stale now.
    if let Err(error) = fs::remove_dir_all(place.run()) {
        eprintln!("clearing {}: {error}", place.run().display());
    }
}

fn remove(place: &Place) -> Result<()> {
    if !place.root.join(CLUSTER_FILE).exists() {
        bail!("{} holds no {CLUSTER_FILE}: not ours to remove", place.root.display());
    }
    fs::remove_dir_all(&place.root).with_context(|| format!("removing {}", place.root.display()))?;
    if fs::symlink_metadata(&place.shown).is_ok_and(|m| m.is_symlink()) {
        fs::remove_file(&place.shown).with_context(|| format!("removing {}", place.shown.display()))?;
    }
    Ok(())
}
