//! Whether this node could serve calls, by the agent's look at it once a second. What systemd heals in a moment is no reason to
//! move; what somebody stopped, or what does not come back, is.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::mind::since;
use crate::observe::Snapshot;

/// An engine is started anew in less.
const SILENT: Duration = Duration::from_secs(10);
/// A restart of keepalived is shorter than two looks.
const STOPPED: Duration = Duration::from_secs(2);

/// A fault that follows the role would go to and fro: a node steps down for it once in this time.
const AGAIN: Duration = Duration::from_secs(600);

/// Since when what is amiss.
#[derive(Default)]
pub struct Fitness {
    looked: Option<Timestamp>,
    silent: Option<Instant>,
    stopped: Option<Instant>,
    moved: Option<Instant>,
}

impl Fitness {
    /// Takes a snapshot in; the same one again changes nothing.
    pub fn look(&mut self, snapshot: Option<&Snapshot>) {
        let Some(seen) = snapshot.filter(|seen| self.looked != Some(seen.sampled_at)) else { return };
        self.looked = Some(seen.sampled_at);
        // 'failing' takes no call's record: its journal's disk is full, or broken.
        let takes_records = seen.voip_admin.answers && seen.voip_admin.status.as_deref() != Some("failing");
        let answers = seen.kamailio.answers && seen.media.sip.answers && takes_records;
        // A unit that failed or waits for its restart is not inactive.
        let is_stopped = seen.services.iter().any(|s| s.name == "keepalived" && s.state == "inactive");
        since(&mut self.silent, !answers);
        since(&mut self.stopped, is_stopped);
    }

    /// This node steps down for it.
    pub fn moves(&mut self) {
        self.moved = Some(Instant::now());
    }

    /// Everything answers now.
    pub const fn is_fit(&self) -> bool {
        self.looked.is_some() && self.silent.is_none() && self.stopped.is_none()
    }

    /// Something does not, and will not by itself.
    pub fn is_unfit(&self) -> bool {
        if self.moved.is_some_and(|at| at.elapsed() < AGAIN) {
            return false;
        }
        let lasts = |since: Option<Instant>, bound| since.is_some_and(|at| at.elapsed() > bound);
        lasts(self.silent, SILENT) || lasts(self.stopped, STOPPED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(second: i64, answers: bool, keepalived: &str) -> Snapshot {
        let said = serde_json::json!({ "node": "n1", "cluster": "test", "cluster_id": uuid::Uuid::nil(), "version": "0",
            "sampled_at": Timestamp::from_second(second).unwrap(), "kamailio": { "answers": answers },
            "media": { "sip": { "answers": true } }, "voip_admin": { "answers": true },
            "services": [{ "name": "keepalived", "state": keepalived }] });
        serde_json::from_value(said).unwrap()
    }

    #[test]
    fn what_comes_back_is_no_reason_to_move() {
        let mut fitness = Fitness::default();
        assert!(!fitness.is_fit() && !fitness.is_unfit(), "nothing is known yet");
        fitness.look(Some(&seen(1, true, "active")));
        assert!(fitness.is_fit());
        fitness.look(Some(&seen(2, false, "activating")));
        assert!(!fitness.is_fit() && !fitness.is_unfit());
        fitness.silent = Instant::now().checked_sub(SILENT * 2);
        assert!(fitness.is_unfit());
        fitness.look(Some(&seen(3, true, "inactive")));
        assert!(!fitness.is_fit() && !fitness.is_unfit(), "stopped just now: perhaps a restart");
        fitness.stopped = Instant::now().checked_sub(STOPPED * 2);
        fitness.look(Some(&seen(4, true, "inactive")));
        assert!(fitness.is_unfit());
        fitness.moves();
        assert!(!fitness.is_unfit(), "once, and not to and fro");
        fitness.look(Some(&seen(5, true, "active")));
        assert!(fitness.is_fit());
    }
}
