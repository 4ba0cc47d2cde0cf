//! Values with a unit or a range. They refuse a wrong value while it is being read, so that the error has its line.

use std::time::Duration;

use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize, Serializer};

/// A whole number between `MIN` and `MAX`, both allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limited<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Limited<MIN, MAX> {
    /// For defaults; a value out of range is brought to the nearer end.
    pub const fn new(value: u64) -> Self {
        Self(if value < MIN {
            MIN
        } else if value > MAX {
            MAX
        } else {
            value
        })
    }
    pub const fn get(self) -> u64 {
        self.0
    }
    /// The same, for lengths and counts in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const MIN: u64, const MAX: u64> Serialize for Limited<MIN, MAX> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(self.0)
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Limited<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let value = u64::deserialize(d)?;
        if (MIN..=MAX).contains(&value) {
            return Ok(Self(value));
        }
        Err(D::Error::custom(format!("must be between {MIN} and {MAX}, is {value}")))
    }
}

/// A length of time written with its unit: `500ms`, `30s`, `5m`, `1h`, `7d`; at most 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl Span {
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }
}

/// Written as it is read, in whole seconds where it can be.
impl Serialize for Span {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let ms = self.0.as_millis();
        s.collect_str(&if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") })
    }
}

const SPAN_MAX_MS: u64 = 366 * 86_400_000;

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        with_unit(&text, &units)
            .filter(|ms| (1..=SPAN_MAX_MS).contains(ms))
            .map(|ms| Self(Duration::from_millis(ms)))
            .ok_or_else(|| {
                D::Error::custom(format!("'{text}' is not a length of time such as 500ms, 30s, 5m, 1h or 7d"))
            })
    }
}

/// A number of bytes in powers of 1024 (`64KiB`, `256MiB`, `4GiB`): never the ambiguous `GB`, which PostgreSQL reads
/// as binary and others as decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// The bare number of bytes: what is written from it chooses its own unit.
impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u64(self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        with_unit(&text, &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)])
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or_else(|| D::Error::custom(format!("'{text}' is not a size such as 64KiB, 256MiB or 4GiB")))
    }
}

fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.trim().len() - text.trim().trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.trim().split_at(digits);
    let factor = units.iter().find(|(name, _)| *name == unit.trim())?.1;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_units() {
        let spans: Vec<Span> = crate::parse("t", "[500ms, 30s, 5m, 1h, 7d]").unwrap();
        assert_eq!(
            spans.iter().map(|s| s.0.as_millis()).collect::<Vec<_>>(),
            [500, 30_000, 300_000, 3_600_000, 604_800_000]
        );
        let sizes: Vec<Bytes> = crate::parse("t", "[64KiB, 4GiB]").unwrap();
        assert_eq!(sizes, [Bytes(65_536), Bytes(4 << 30)]);
    }

    #[test]
    fn refuses_what_could_be_misread() {
        for text in ["'5'", "5 minutes", "-5s", "0s", "99999999999999999999s", "400d"] {
            assert!(crate::parse::<Span>("t", text).is_err(), "{text}");
        }
        for text in ["4GB", "0KiB", "GiB", "99999999999999TiB"] {
            assert!(crate::parse::<Bytes>("t", text).is_err(), "{text}");
        }
    }
}
