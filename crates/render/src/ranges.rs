//! Ranges of ports in the words of those who know none.

use serde::Serialize;

/// Ports that agree with `port` in the bits of `mask`, as tc's u32 matches them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Block {
    pub port: u16,
    /// `0xc000`.
    pub mask: String,
}

/// The fewest blocks that make up `first..=last`: at most 30 of 16-bit numbers.
pub fn blocks(first: u16, last: u16) -> Vec<Block> {
    let (mut next, end) = (u32::from(first), u32::from(last) + 1);
    let mut blocks = Vec::new();
    while next < end {
        // As large as the alignment of its first port allows, and not beyond the end.
        let aligned = if next == 0 { 1 << 16 } else { 1 << next.trailing_zeros() };
        let mut size: u32 = aligned;
        while next + size > end {
            size /= 2;
        }
        let mask = 0x1_0000 - size;
        blocks.push(Block { port: u16::try_from(next).unwrap_or(u16::MAX), mask: format!("{mask:#06x}") });
        next += size;
    }
    blocks
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]
    use super::*;

    #[test]
    fn the_seeds_range_is_one_block() {
        assert_eq!(blocks(16_384, 32_767), [Block { port: 16_384, mask: "0xc000".into() }]);
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(32))]
        #[test]
        fn blocks_cover_the_range_and_nothing_else(a in 1u16.., b in 1u16..) {
            let (first, last) = (a.min(b), a.max(b));
            let blocks = blocks(first, last);
            proptest::prop_assert!(blocks.len() <= 30);
            let masks: Vec<(u16, u16)> = blocks
                .iter()
                .map(|b| (b.port, u16::from_str_radix(b.mask.trim_start_matches("0x"), 16).unwrap()))
                .collect();
            for port in 0..=u16::MAX {
                let matched = masks.iter().filter(|(value, mask)| port & mask == *value).count();
                proptest::prop_assert_eq!(matched, usize::from((first..=last).contains(&port)), "port {}", port);
            }
        }
    }
}
