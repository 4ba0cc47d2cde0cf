//! Ctrl-C: the load ends what it began, then itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};

/// What is caught.
fn signals() -> SigSet {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals
}

/// Does `spawn` with nothing blocked: a child inherits what is, and SIPp must hear its SIGTERM. A Ctrl-C at just that moment
/// ends this process, and SIPp with it.
pub fn unblocked<T>(spawn: impl FnOnce() -> T) -> Result<T> {
    signals().thread_unblock().context("unblocking SIGINT")?;
    let done = spawn();
    signals().thread_block().context("blocking SIGINT")?;
    Ok(done)
}

/// Whether SIGINT or SIGTERM came. A second one does not hurry: the bounds of what ends are short.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// To be called before any other thread is begun: theirs inherit what is blocked here.
    pub fn catch() -> Result<Self> {
        let signals = signals();
        signals.thread_block().context("blocking SIGINT")?;
        let came = Arc::new(AtomicBool::new(false));
        let flag = came.clone();
        // Ends with the process.
        std::thread::spawn(move || {
            while signals.wait().is_ok() {
                flag.store(true, Ordering::Relaxed);
            }
        });
        Ok(Self(came))
    }

    pub fn came(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
