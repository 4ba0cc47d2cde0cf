//! Ctrl-C: what is broken is mended first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, Signal};

static CAME: AtomicBool = AtomicBool::new(false);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// From here on a Ctrl-C ends the next [`pause`]. Called before any other thread begins: theirs inherit what is blocked.
pub fn catch() -> Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block().context("blocking SIGINT")?;
    std::thread::spawn(move || {
        while signals.wait().is_ok() {
            CAME.store(true, Ordering::Relaxed);
        }
    });
    Ok(())
}

pub fn came() -> bool {
    CAME.load(Ordering::Relaxed)
}

/// Sleeps.
///
/// # Errors
/// Ctrl-C came.
pub fn pause(time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    loop {
        if came() {
            bail!("interrupted; what was broken is mended");
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        sleep(left.min(LOOK_EVERY));
    }
}
