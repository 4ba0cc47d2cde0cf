//! `Range` and `If-Range` (RFC 9110, sections 13.1.5 and 14), for what players send: one range of bytes.

use http::{HeaderMap, header};

/// What of a file is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// No range was asked for, or one that may be left aside: another unit, several ranges, a form that is wrong.
    Whole,
    /// From the first to the last byte, both counted.
    Bytes { first: u64, last: u64 },
    /// It begins behind the end: 416.
    Unsatisfiable,
}

impl Part {
    /// What a request asks for of a file of `size` bytes.
    pub(super) fn asked(headers: &HeaderMap, etag: Option<&str>, size: u64) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        // Of a file that is another one by now, the whole. We send no Last-Modified, so a date matches nothing.
        if headers.contains_key(header::IF_RANGE) && (etag.is_none() || text(header::IF_RANGE) != etag) {
            return Self::Whole;
        }
        text(header::RANGE).map_or(Self::Whole, |range| Self::parse(range, size))
    }

    fn parse(range: &str, size: u64) -> Self {
        let Some((unit, set)) = range.split_once('=') else { return Self::Whole };
        let Some((first, last)) = set.trim().split_once('-') else { return Self::Whole };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        // Digits alone: `parse` would take a sign.
        let number =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
        match (first.trim(), last.trim()) {
            ("", count) => match number(count) {
                None => Self::Whole,
                Some(count) if count == 0 || size == 0 => Self::Unsatisfiable,
                Some(count) => Self::Bytes { first: size.saturating_sub(count), last: size - 1 },
            },
            (first, last) => {
                let end = if last.is_empty() { Some(u64::MAX) } else { number(last) };
                match (number(first), end) {
                    (Some(first), Some(end)) if first > end => Self::Whole,
                    (Some(first), Some(_)) if first >= size => Self::Unsatisfiable,
                    (Some(first), Some(end)) => Self::Bytes { first, last: end.min(size - 1) },
                    _ => Self::Whole,
                }
            }
        }
    }

    /// Where it begins, and how long it is.
    pub(super) fn span(self, size: u64) -> (u64, u64) {
        match self {
            Self::Whole => (0, size),
            Self::Bytes { first, last } => (first, last - first + 1),
            Self::Unsatisfiable => (0, 0),
        }
    }

    /// `Content-Range`, where the answer has one.
    pub(super) fn content_range(self, size: u64) -> Option<String> {
        match self {
            Self::Whole => None,
            Self::Bytes { first, last } => Some(format!("bytes {first}-{last}/{size}")),
            Self::Unsatisfiable => Some(format!("bytes */{size}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_players_send_and_leaves_the_rest_aside() {
        let bytes = |first, last| Part::Bytes { first, last };
        for (range, expected) in [
            ("bytes=0-", bytes(0, 99)),
            ("bytes=0-0", bytes(0, 0)),
            ("bytes=10-19", bytes(10, 19)),
            ("Bytes = 10 - 19", bytes(10, 19)),
            ("bytes=90-1000", bytes(90, 99)),
            ("bytes=90-99999999999999999999", Part::Whole),
            ("bytes=-10", bytes(90, 99)),
            ("bytes=-1000", bytes(0, 99)),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=100-", Part::Unsatisfiable),
            ("bytes=100-200", Part::Unsatisfiable),
            ("bytes=20-10", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes", Part::Whole),
            ("rows=0-1", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(Part::parse(range, 100), expected, "{range}");
        }
        assert_eq!(Part::parse("bytes=0-", 0), Part::Unsatisfiable);
        assert_eq!(Part::parse("bytes=-5", 0), Part::Unsatisfiable);
        assert_eq!(bytes(90, 99).span(100), (90, 10));
        assert_eq!(bytes(90, 99).content_range(100).as_deref(), Some("bytes 90-99/100"));
        assert_eq!(Part::Unsatisfiable.content_range(100).as_deref(), Some("bytes */100"));
    }

    #[test]
    fn a_range_of_another_file_is_the_whole_of_this_one() {
        let asked = |if_range: Option<&str>, etag| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, "bytes=0-1".parse().unwrap());
            if let Some(value) = if_range {
                headers.insert(header::IF_RANGE, value.parse().unwrap());
            }
            Part::asked(&headers, etag, 100)
        };
        let part = Part::Bytes { first: 0, last: 1 };
        assert_eq!(asked(None, Some("\"a\"")), part);
        assert_eq!(asked(Some("\"a\""), Some("\"a\"")), part);
        assert_eq!(asked(Some("\"b\""), Some("\"a\"")), Part::Whole);
        assert_eq!(asked(Some("Sun, 22 Nov 2026 12:00:00 GMT"), Some("\"a\"")), Part::Whole);
        assert_eq!(asked(Some("\"a\""), None), Part::Whole);
    }
}
