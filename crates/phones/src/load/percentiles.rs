//! Percentiles by nearest rank: each is a value that was measured.

use serde::Serialize;

/// Of a set of times, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many there were.
    pub count: usize,
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Percentiles {
    /// Of microseconds, in any order; nothing of nothing.
    pub fn of(mut times_us: Vec<i64>) -> Option<Self> {
        times_us.sort_unstable();
        let count = times_us.len();
        // The smallest value that at least `percent` of all do not exceed.
        let at = |percent: usize| {
            let rank = (count * percent).div_ceil(100).max(1);
            times_us.get(rank - 1).map(|us| *us as f64 / 1_000.0)
        };
        Some(Self { count, p50_ms: at(50)?, p95_ms: at(95)?, p99_ms: at(99)?, max_ms: at(100)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn are_by_nearest_rank() {
        assert_eq!(Percentiles::of(vec![]), None);
        let one = Percentiles::of(vec![1_500]).unwrap();
        assert_eq!((one.p50_ms, one.p99_ms, one.count), (1.5, 1.5, 1));
        let hundred = Percentiles::of((1..=100).rev().map(|n| n * 1_000).collect()).unwrap();
        assert_eq!((hundred.p50_ms, hundred.p95_ms, hundred.p99_ms), (50.0, 95.0, 99.0));
        assert_eq!(hundred.max_ms, 100.0);
        let two = Percentiles::of(vec![1_000, 2_000]).unwrap();
        assert_eq!((two.p50_ms, two.p95_ms), (1.0, 2.0));
    }
}
