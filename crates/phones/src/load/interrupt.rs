//! Ctrl-C: the load ends what it began, then itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, Signal};

/// Whether SIGINT or SIGTERM came. A second one does not hurry: the bounds of what ends are short.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// To be called before any other thread is begun: theirs inherit what is blocked here. Child processes do not, the
    /// standard library clears it for them.
    pub fn catch() -> Result<Self> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
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
