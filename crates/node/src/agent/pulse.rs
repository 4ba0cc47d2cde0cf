//! Whether the agent's two loops still go round: what the service manager's watchdog is told by.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// When something was last seen to be alive.
pub struct Pulse {
    what: &'static str,
    /// This long without a beat is a hang.
    silent_max: Duration,
    last: Mutex<Instant>,
}

impl Pulse {
    pub fn new(what: &'static str, silent_max: Duration) -> Self {
        Self { what, silent_max, last: Mutex::new(Instant::now()) }
    }

    pub fn beat(&self) {
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
    }

    /// What hangs, in words.
    pub fn hangs(&self, now: Instant) -> Option<String> {
        let last = *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let silent = now.saturating_duration_since(last);
        (silent > self.silent_max)
            .then(|| format!("{} has not finished for {} s", self.what, silent.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_a_hang_only_after_its_bound() {
        let pulse = Pulse::new("a pass", Duration::from_secs(30));
        let now = Instant::now();
        assert_eq!(pulse.hangs(now + Duration::from_secs(29)), None);
        let hangs = pulse.hangs(now + Duration::from_secs(31)).unwrap();
        assert!(hangs.starts_with("a pass has not finished for 3"), "{hangs}");
        std::thread::sleep(Duration::from_millis(5));
        pulse.beat();
        assert_eq!(pulse.hangs(now + Duration::from_secs(30)), None);
    }
}
