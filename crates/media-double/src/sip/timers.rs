//! Retransmission timers of RFC 3261 section 17, all derived from T1.

use std::time::Duration;

/// T1 and what follows from it. Tests shorten T1; nothing else does.
#[derive(Debug, Clone, Copy)]
pub struct Timers {
    /// Estimate of the round trip: the first retransmission comes after this.
    pub t1: Duration,
    /// Longest gap between two retransmissions of a non-INVITE request or of a final response.
    pub t2: Duration,
}

impl Timers {
    /// The RFC's values are T1 = 500 ms and T2 = 4 s: T2 keeps its proportion to T1 here.
    pub fn from_t1(t1: Duration) -> Self {
        Self { t1, t2: t1 * 8 }
    }

    /// Timers B, F and H: a transaction that has heard nothing for this long is dead.
    pub fn transaction(&self) -> Duration {
        self.t1 * 64
    }

    /// The gap after `gap` where retransmissions double up to T2.
    pub fn next_gap(&self, gap: Duration) -> Duration {
        (gap * 2).min(self.t2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_double_up_to_t2() {
        let timers = Timers::from_t1(Duration::from_millis(500));
        let mut gaps = vec![timers.t1];
        for _ in 0..4 {
            gaps.push(timers.next_gap(gaps[gaps.len() - 1]));
        }
        let ms: Vec<u128> = gaps.iter().map(Duration::as_millis).collect();
        assert_eq!(ms, [500, 1000, 2000, 4000, 4000]);
        assert_eq!(timers.transaction(), Duration::from_secs(32));
    }
}
