//! What leaves this crate is bounded: text without control characters, ids whole, times that can be meant.

use std::borrow::Cow;

use jiff::Timestamp;

/// Longest name, number, context or cause that is kept, in characters.
pub(crate) const TEXT_MAX_CHARS: usize = 255;
/// Longest id (leg uuid, Call-ID) that is kept, in bytes. A longer one is refused, not cut: cutting would make two calls one.
pub(crate) const ID_MAX_BYTES: usize = 255;

/// The text without control characters (PostgreSQL takes no NUL; a terminal obeys ESC) and outer blanks, cut to
/// [`TEXT_MAX_CHARS`]; `None` when nothing is left.
pub(crate) fn text(value: &str) -> Option<String> {
    let kept: String = value.chars().filter(|c| !c.is_control()).collect();
    let kept: String = kept.trim().chars().take(TEXT_MAX_CHARS).collect();
    let kept = kept.trim_end();
    (!kept.is_empty()).then(|| kept.to_owned())
}

/// A display name as it is meant: without the quotes of a quoted-string, its escapes undone (RFC 3261 section 25.1).
pub(crate) fn unquoted(name: &str) -> Cow<'_, str> {
    let inner = name.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else { return Cow::Borrowed(name) };
    let mut escaped = false;
    let meant = |c: &char| {
        escaped = *c == '\\' && !escaped;
        !escaped
    };
    Cow::Owned(inner.chars().filter(meant).collect())
}

/// The id as it stands, or `None` when it is empty, too long or holds a control character or a blank end.
pub(crate) fn id(value: &str) -> Option<String> {
    let value = value.trim();
    let sound = !value.is_empty() && value.len() <= ID_MAX_BYTES && !value.chars().any(char::is_control);
    sound.then(|| value.to_owned())
}

/// A SIP domain in lower case, without port, brackets kept for IPv6.
pub(crate) fn domain(value: &str) -> Option<String> {
    let value = text(value)?.to_lowercase();
    let host = match value.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            if host.contains(':') && !host.ends_with(']') { value.as_str() } else { host }
        }
        _ => value.as_str(),
    };
    let host = host.trim_end_matches('.');
    (!host.is_empty()).then(|| host.to_owned())
}

/// `name@domain` cut in two; without an `@` all of it is the name.
pub(crate) fn split_at_domain(value: &str) -> (&str, Option<&str>) {
    match value.split_once('@') {
        Some((name, domain)) => (name, Some(domain)),
        None => (value, None),
    }
}

/// 2000-01-01 and 2100-01-01 UTC, microseconds since the epoch. A time outside was not taken by a set clock, and every month
/// that a row names costs a partition.
const PLAUSIBLE_US: std::ops::Range<i64> = 946_684_800_000_000..4_102_444_800_000_000;

/// The time so many microseconds after the epoch; `None` for 0 (FreeSWITCH's "never") and for what no clock meant.
pub(crate) fn timestamp(micros: i64) -> Option<Timestamp> {
    PLAUSIBLE_US.contains(&micros).then(|| Timestamp::from_microsecond(micros).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_lose_their_quotes() {
        for (sent, meant) in [
            ("\"Phone 1001\"", "Phone 1001"),
            ("Phone 1001", "Phone 1001"),
            (r#""a \"b\" \\ c""#, r#"a "b" \ c"#),
            ("\"", "\""),
            ("", ""),
        ] {
            assert_eq!(unquoted(sent), meant);
        }
    }

    #[test]
    fn only_times_a_clock_meant() {
        assert_eq!(
            timestamp(1_795_341_549_991_056).map(|t| t.to_string()),
            Some("2026-11-22T09:59:09.991056Z".to_owned())
        );
        for nonsense in [0, -1, 1, 946_684_799_999_999, 4_102_444_800_000_000, i64::MAX, i64::MIN] {
            assert_eq!(timestamp(nonsense), None);
        }
    }

    #[test]
    fn control_characters_go_and_length_is_bounded() {
        assert_eq!(text(" Zo\u{eb}\0\u{1b}[31m\r\n "), Some("Zo\u{eb}[31m".to_owned()));
        assert_eq!(text("\u{85}\t"), None);
        assert_eq!(text(&"\u{1F4DE}".repeat(400)).map(|t| t.chars().count()), Some(TEXT_MAX_CHARS));
    }

    #[test]
    fn ids_are_whole_or_nothing() {
        assert_eq!(id("a b/c"), Some("a b/c".to_owned()));
        assert_eq!(id(""), None);
        assert_eq!(id("a\nb"), None);
        assert_eq!(id(&"x".repeat(ID_MAX_BYTES + 1)), None);
    }

    #[test]
    fn domains_lose_port_and_case() {
        assert_eq!(domain("PBX.Test:5060").as_deref(), Some("pbx.test"));
        assert_eq!(domain("pbx.test.").as_deref(), Some("pbx.test"));
        assert_eq!(domain("[2001:db8::1]:5060").as_deref(), Some("[2001:db8::1]"));
        assert_eq!(domain("2001:db8::1").as_deref(), Some("2001:db8::1"));
        assert_eq!(domain(" : "), Some(":".to_owned()));
    }
}
