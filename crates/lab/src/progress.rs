//! What a person sees while a lab is made.

use std::time::Instant;

use host::say;

/// Steps with the seconds since the start.
pub struct Progress {
    started: Instant,
}

impl Progress {
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub fn step(&self, what: impl std::fmt::Display) {
        say!("{:>4} s  {what}", self.seconds());
    }

    /// A sign of life within a step.
    pub fn detail(&self, what: &str) {
        say!("{:>4} s    {what}", self.seconds());
    }

    pub fn seconds(&self) -> u64 {
        self.started.elapsed().as_secs()
    }
}
