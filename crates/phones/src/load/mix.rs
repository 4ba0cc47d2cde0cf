//! What the calls are, in parts of a hundred.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context as _, Error, Result, bail};

/// Where a call goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Another phone, without media of ours.
    Direct,
    /// The demo queue: most wait, an agent talks to one at a time.
    Queue,
    /// The demo menu, which hangs up when nobody chooses.
    Ivr,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Direct, Self::Queue, Self::Ivr];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Queue => "queue",
            Self::Ivr => "ivr",
        }
    }
}

/// Parts of each kind; they make 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mix([u32; 3]);

impl Default for Mix {
    fn default() -> Self {
        Self([70, 20, 10])
    }
}

impl FromStr for Mix {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = [None; 3];
        for word in text.split(',') {
            let (name, number) =
                word.split_once('=').with_context(|| format!("'{word}' is no kind=percent"))?;
            let Some(kind) = Kind::ALL.iter().position(|kind| kind.name() == name.trim()) else {
                bail!("'{name}' is no kind of call: they are direct, queue and ivr");
            };
            let part = number.trim().parse().ok().filter(|part| *part <= 100);
            let part = part.with_context(|| format!("{name}={number}: from 0 to 100"))?;
            if parts[kind].replace(part).is_some() {
                bail!("{name} is given twice");
            }
        }
        let parts = parts.map(Option::unwrap_or_default);
        match parts.iter().sum::<u32>() {
            100 => Ok(Self(parts)),
            sum => bail!("the parts make {sum}; they must make 100, as in direct=70,queue=20,ivr=10"),
        }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [direct, queue, ivr] = self.0;
        write!(f, "direct={direct},queue={queue},ivr={ivr}")
    }
}

impl Mix {
    /// `calls` cut by the parts, to the last one; kinds without calls are left out.
    pub fn cut(self, calls: u32) -> Vec<(Kind, u32)> {
        let mut counts = self.0.map(|part| calls * part / 100);
        let left = calls - counts.iter().sum::<u32>();
        let mut by_remainder = [0, 1, 2];
        by_remainder.sort_by_key(|kind| std::cmp::Reverse(calls * self.0[*kind] % 100));
        for kind in by_remainder.into_iter().cycle().take(left as usize) {
            counts[kind] += 1;
        }
        Kind::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_of_a_kind() {
        for calls in [1, 7, 20, 100, 799] {
            for mix in ["direct=70,queue=20,ivr=10", "direct=33,queue=33,ivr=34", "queue=100"] {
                let mix: Mix = mix.parse().unwrap();
                assert_eq!(mix.cut(calls).iter().map(|(_, count)| count).sum::<u32>(), calls);
            }
        }
        assert_eq!(Mix::default().cut(600), [(Kind::Direct, 420), (Kind::Queue, 120), (Kind::Ivr, 60)]);
        assert_eq!("queue=100".parse::<Mix>().unwrap().cut(5), [(Kind::Queue, 5)]);
    }

    #[test]
    fn what_is_no_mix_is_told_why() {
        for (text, why) in [
            ("", "no kind=percent"),
            ("direct=70", "make 70"),
            ("direct=50,direct=50", "twice"),
            ("phone=100", "no kind of call"),
            ("direct=101,queue=0", "from 0 to 100"),
            ("direct=-1,queue=101", "from 0 to 100"),
        ] {
            let error = text.parse::<Mix>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert_eq!(Mix::default().to_string().parse::<Mix>().unwrap(), Mix::default());
    }
}
