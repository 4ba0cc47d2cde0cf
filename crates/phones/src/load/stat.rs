//! SIPp's statistics (`-trace_stat`): a header, then a line a second.

/// The last line of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stat {
    /// Calls made so far.
    pub created: u64,
    /// Calls that SIPp has open, being set up or held.
    pub open: u64,
    pub failed: u64,
    /// Requests and answers sent again.
    pub repeats: u64,
}

impl Stat {
    /// Of the file's text; nothing while there is no whole line.
    pub fn last(text: &str) -> Option<Self> {
        let mut lines = text.split_inclusive('\n');
        let names: Vec<&str> = lines.next()?.trim_end().split(';').collect();
        // The last line may be in writing.
        let last: Vec<&str> = lines.rfind(|line| line.ends_with('\n'))?.trim_end().split(';').collect();
        let value = |name| last.get(names.iter().position(|n| *n == name)?)?.parse().ok();
        Some(Self {
            created: value("TotalCallCreated")?,
            open: value("CurrentCall")?,
            failed: value("FailedCall(C)")?,
            repeats: value("Retransmissions(C)")?,
        })
    }

    /// Of several at once.
    pub fn plus(self, other: Self) -> Self {
        Self {
            created: self.created + other.created,
            open: self.open + other.open,
            failed: self.failed + other.failed,
            repeats: self.repeats + other.repeats,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written by SIPp 3.6.1 against a dev node.
    const CAPTURED: &str = include_str!("captured/caller.stat");

    #[test]
    fn the_last_whole_line_counts() {
        let last = Stat { created: 4, open: 0, failed: 1, repeats: 0 };
        assert_eq!(Stat::last(CAPTURED), Some(last));
        let torn = CAPTURED.trim_end_matches('\n');
        assert_eq!(Stat::last(torn).unwrap().open, 2, "the line before it");
        let header = CAPTURED.lines().next().unwrap();
        assert_eq!(Stat::last(header), None);
        assert_eq!(Stat::last(""), None);
    }
}
