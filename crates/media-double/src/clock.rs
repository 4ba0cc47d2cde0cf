//! Times as FreeSWITCH writes them: microseconds since the epoch, and local stamps without an offset.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Now, in microseconds since the epoch.
pub fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

fn at(us: i64) -> Timestamp {
    Timestamp::from_microsecond(us).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `2026-11-22 09:59:09`. This program's local time is UTC.
pub fn stamp(us: i64) -> String {
    at(us).to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `Sun, 22 Nov 2026 09:59:09 GMT`.
pub fn rfc2822(us: i64) -> String {
    at(us).to_zoned(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_those_of_the_captures() {
        assert_eq!(stamp(1_795_341_549_991_056), "2026-11-22 09:59:09");
        assert_eq!(rfc2822(1_795_341_549_991_056), "Sun, 22 Nov 2026 09:59:09 GMT");
    }
}
