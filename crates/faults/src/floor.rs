//! The time a take-over cannot be faster than: until the silence is noticed, the database promoted, and the address taken.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::pair::Pair;

/// Adverts a backup waits for, and its skew (RFC 9568, 6.1): priority 100, an advert every 200 ms.
const ADVERT: Duration = Duration::from_millis(200);
const ADVERTS: u32 = 3;
const PRIORITY: u32 = 100;
/// Promotions that are measured.
const PROMOTIONS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Floor {
    pub detection: Duration,
    pub promotion: Duration,
    pub vrrp: Duration,
}

impl Floor {
    pub fn total(&self) -> Duration {
        self.detection + self.promotion + self.vrrp
    }

    /// Measures what can be measured.
    ///
    /// # Errors
    /// The standby has no room for a copy, or PostgreSQL does not come up as one.
    pub fn measure(pair: &Pair, standby: usize) -> Result<Self> {
        let said = pair.shell(standby, PROMOTE).context("measuring a promotion")?;
        let promotion = median(said.lines().filter_map(|line| line.trim().parse().ok()).collect());
        let promotion = Duration::from_millis(promotion.with_context(|| format!("no promotion: {said}"))?);
        Ok(Self { detection: pair.settings.detection, promotion, vrrp: vrrp() })
    }
}

impl fmt::Display for Floor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = Duration::as_millis;
        write!(
            f,
            "{} ms = detection {} + promotion alone {} (median of {PROMOTIONS}) + VRRP {}",
            ms(&self.total()),
            ms(&self.detection),
            ms(&self.promotion),
            ms(&self.vrrp)
        )
    }
}

fn vrrp() -> Duration {
    ADVERT * ADVERTS + ADVERT * (256 - PRIORITY) / 256
}

pub fn median(mut of: Vec<u64>) -> Option<u64> {
    of.sort_unstable();
    of.get(of.len() / 2).copied()
}

/// A cluster of its own beside the node's, in one folder, that is a standby again and again. Nothing of the node's is used
/// but its programs (its `end` stops one that may not run: the folder goes either way); the measure is from the call of pg_promote to its answer, which waits for the promotion.
const PROMOTE: &str = r#"set -e
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1); dir=/var/lib/postgresql/faults-floor
end() { runuser -u postgres -- "$bin/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$dir"; }
end; trap end EXIT
mkdir -p "$dir"; chown postgres "$dir"; cd "$dir"
as() { runuser -u postgres -- "$@"; }
as "$bin/initdb" -D "$dir/data" -A trust >/dev/null
for n in 1 2 3 4 5; do
  as touch "$dir/data/standby.signal"
  as "$bin/pg_ctl" -D "$dir/data" -w -l "$dir/log" -o "-c listen_addresses='' -k $dir" start >/dev/null
  as psql -h "$dir" -d postgres -XAt -c '\timing on' -c 'SELECT pg_promote(true, 15)' | sed -n 's/^Time: \([0-9]*\).*/\1/p'
  as "$bin/pg_ctl" -D "$dir/data" -w -m fast stop >/dev/null
done"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_a_sum() {
        assert_eq!(vrrp(), Duration::from_micros(721_875));
        let ms = Duration::from_millis;
        let floor = Floor { detection: ms(500), promotion: ms(120), vrrp: ms(722) };
        assert_eq!(floor.total(), ms(1_342));
        assert!(floor.to_string().starts_with("1342 ms = detection 500"), "{floor}");
        assert_eq!(median(vec![3, 1, 2]), Some(2));
        assert_eq!(median(Vec::new()), None);
    }
}
