//! A set of seqs, kept as disjoint ranges: records are forgotten roughly in order, so it stays small.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Start → end (inclusive). Ranges neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RangeSet(BTreeMap<u64, u64>);

impl RangeSet {
    /// Returns how many seqs are new to the set.
    pub(crate) fn insert(&mut self, range: RangeInclusive<u64>) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let new = self.gaps(range.clone()).into_iter().map(|gap| (gap.end() - gap.start()).saturating_add(1));
        let new = new.fold(0, u64::saturating_add);
        let (mut start, mut end) = range.into_inner();
        while let Some((&s, &e)) = self.0.range(..=end.saturating_add(1)).next_back() {
            if e.saturating_add(1) < start {
                break;
            }
            start = start.min(s);
            end = end.max(e);
            self.0.remove(&s);
        }
        self.0.insert(start, end);
        new
    }

    pub(crate) fn contains(&self, seq: u64) -> bool {
        self.0.range(..=seq).next_back().is_some_and(|(_, &end)| seq <= end)
    }

    /// The largest member, 0 for the empty set.
    pub(crate) fn max(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(_, &end)| end)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = RangeInclusive<u64>> {
        self.0.iter().map(|(&start, &end)| start..=end)
    }

    /// What of `within` is not in the set.
    pub(crate) fn gaps(&self, within: RangeInclusive<u64>) -> Vec<RangeInclusive<u64>> {
        let (mut next, last) = within.into_inner();
        let mut gaps = Vec::new();
        let from = self.0.range(..=next).next_back().map_or(next, |(&start, _)| start);
        for (&start, &end) in self.0.range(from..) {
            if start > last {
                break;
            }
            if start > next {
                gaps.push(next..=start - 1);
            }
            match end.checked_add(1) {
                Some(after) => next = next.max(after),
                None => return gaps,
            }
        }
        if next <= last {
            gaps.push(next..=last);
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(ranges in proptest::collection::vec((1u64..60, 0u64..12), 0..20)) {
            let mut set = RangeSet::default();
            let mut plain = BTreeSet::new();
            for (start, length) in ranges {
                let before = plain.len();
                plain.extend(start..=start + length);
                prop_assert_eq!(set.insert(start..=start + length), (plain.len() - before) as u64);
            }
            for seq in 0..80 {
                prop_assert_eq!(set.contains(seq), plain.contains(&seq));
            }
            let gaps: Vec<u64> = set.gaps(1..=79).into_iter().flatten().collect();
            prop_assert_eq!(gaps, (1..=79).filter(|s| !plain.contains(s)).collect::<Vec<_>>());
            prop_assert_eq!(set.max(), plain.last().copied().unwrap_or(0));
            let starts: Vec<_> = set.iter().collect();
            prop_assert!(starts.windows(2).all(|w| w[0].end() + 1 < *w[1].start()), "ranges touch: {:?}", starts);
        }
    }

    #[test]
    fn takes_the_ends_of_the_number_range() {
        let mut set = RangeSet::default();
        set.insert(u64::MAX..=u64::MAX);
        set.insert(0..=0);
        set.insert(1..=u64::MAX - 1);
        assert_eq!(set.iter().collect::<Vec<_>>(), [0..=u64::MAX]);
        assert!(set.gaps(0..=u64::MAX).is_empty());
    }
}
