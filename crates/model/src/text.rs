//! Text that people type and engines obey: what may be stored.
//!
//! FreeSWITCH runs its preprocessor over an XML answer line by line *before* it parses it, so escaping protects against none
//! of `$${…}`, `${…}` and `X-PRE-PROCESS`: such text is refused when it is stored.

use std::borrow::Cow;

/// Longest extension, pattern or SIP user name, in bytes: one screen of a phone, and Kamailio's columns.
pub const NUMBER_MAX_BYTES: usize = 32;
/// Longest name of a queue, menu, mailbox, conference or trunk, in bytes: what the dialplan takes from `X-VP-Ref`.
pub const REFERENCE_MAX_BYTES: usize = 64;
/// Longest domain name, in bytes (RFC 1035 section 2.3.4).
pub const DOMAIN_MAX_BYTES: usize = 253;
/// Longest label of a domain name, in bytes (RFC 1035 section 2.3.4).
pub const LABEL_MAX_BYTES: usize = 63;
/// Longest text shown to people (a display name, a description), in characters.
pub const DISPLAY_MAX_CHARS: usize = 128;

/// Why a text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct TextError {
    /// The field, as the API names it.
    pub field: &'static str,
    /// What is wrong with it, and the cure: reads on after the field's name.
    pub problem: String,
}

fn refuse<T>(field: &'static str, problem: impl Into<String>) -> Result<T, TextError> {
    Err(TextError { field, problem: problem.into() })
}

/// Refuses what FreeSWITCH, Kamailio or a file would obey instead of show.
///
/// # Errors
/// [`TextError`] for a control character (a line break is one), `$${`, `${`, or `X-PRE-PROCESS` in any case.
pub fn engine_safe(field: &'static str, value: &str) -> Result<(), TextError> {
    if let Some(control) = value.chars().find(|c| c.is_control()) {
        let code = u32::from(control);
        return refuse(field, format!("holds the control character U+{code:04X}; remove it"));
    }
    // `$${` holds `${`, so one test finds both.
    if value.contains("${") {
        return refuse(
            field,
            "holds \"${\", which FreeSWITCH would replace; write it without the dollar sign",
        );
    }
    let obeyed = b"x-pre-process";
    if value.as_bytes().windows(obeyed.len()).any(|part| part.eq_ignore_ascii_case(obeyed)) {
        return refuse(field, "holds \"X-PRE-PROCESS\", which FreeSWITCH would obey; write it differently");
    }
    Ok(())
}

/// A text shown to people, such as a display name: not empty, at most [`DISPLAY_MAX_CHARS`], and [`engine_safe`].
///
/// # Errors
/// [`TextError`] saying which of these it is not.
pub fn display(field: &'static str, value: &str) -> Result<(), TextError> {
    if value.trim().is_empty() {
        return refuse(field, "is empty; give it at least one character");
    }
    if value.chars().count() > DISPLAY_MAX_CHARS {
        return refuse(field, format!("is longer than {DISPLAY_MAX_CHARS} characters; shorten it"));
    }
    engine_safe(field, value)
}

/// A number that is dialled, or a pattern of numbers: 1 to 32 of `0-9 A-Z a-z _ . + * # -`. In a pattern `X` stands for
/// one digit, `N` for 2 to 9, `Z` for 1 to 9 and `.` for one or more of anything.
///
/// # Errors
/// [`TextError`] where it is empty, too long or holds another character.
pub fn extension_pattern(field: &'static str, value: &str) -> Result<(), TextError> {
    of_characters(field, value, NUMBER_MAX_BYTES, "_.+*#-")
}

/// A SIP user name (the user's extension): 1 to 32 of `0-9 A-Z a-z _ . -`, the first a letter or digit. Narrower than
/// RFC 3261's `user`, because it is also an XML attribute, a file name and a key of Redis.
///
/// # Errors
/// [`TextError`] where it is empty, too long, starts otherwise or holds another character.
pub fn sip_user(field: &'static str, value: &str) -> Result<(), TextError> {
    of_characters(field, value, NUMBER_MAX_BYTES, "_.-")?;
    starts_with_alphanumeric(field, value)
}

/// The name of a queue, menu, mailbox, conference or trunk, as it travels in `X-VP-Ref`: 1 to 64 of `0-9 A-Z a-z _ . -`,
/// the first a letter or digit. No `@`: FreeSWITCH's name of a queue is `name@domain`.
///
/// # Errors
/// [`TextError`] where it is empty, too long, starts otherwise or holds another character.
pub fn reference(field: &'static str, value: &str) -> Result<(), TextError> {
    of_characters(field, value, REFERENCE_MAX_BYTES, "_.-")?;
    starts_with_alphanumeric(field, value)
}

/// A domain name (RFC 1035 section 2.3.1, digits first allowed by RFC 1123), returned in lower case, as it is to be stored.
///
/// # Errors
/// [`TextError`] where it is no host name, or an IP address, which no tenant can own.
pub fn domain_name(field: &'static str, value: &str) -> Result<String, TextError> {
    is_domain_name(field, value)?;
    Ok(value.to_ascii_lowercase())
}

/// As [`domain_name`], for a text that is likely in lower case already: then it is not copied.
///
/// # Errors
/// As [`domain_name`].
pub fn domain_name_of<'a>(field: &'static str, value: Cow<'a, str>) -> Result<Cow<'a, str>, TextError> {
    is_domain_name(field, &value)?;
    if value.bytes().any(|b| b.is_ascii_uppercase()) {
        return Ok(Cow::Owned(value.to_ascii_lowercase()));
    }
    Ok(value)
}

fn is_domain_name(field: &'static str, value: &str) -> Result<(), TextError> {
    if value.is_empty() || value.len() > DOMAIN_MAX_BYTES {
        return refuse(field, format!("must have 1 to {DOMAIN_MAX_BYTES} characters"));
    }
    engine_safe(field, value)?;
    for label in value.split('.') {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !inner
            || label.is_empty()
            || label.len() > LABEL_MAX_BYTES
            || label.starts_with('-')
            || label.ends_with('-')
        {
            return refuse(
                field,
                format!(
                    "is not a domain name: between its dots must stand 1 to {LABEL_MAX_BYTES} letters, digits or \
                     inner hyphens; write it like pbx.example.com"
                ),
            );
        }
    }
    if value.rsplit('.').next().is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit())) {
        return refuse(
            field,
            "ends in a number like an IP address; write a domain name like pbx.example.com",
        );
    }
    Ok(())
}

fn of_characters(field: &'static str, value: &str, bytes_max: usize, others: &str) -> Result<(), TextError> {
    if value.is_empty() || value.len() > bytes_max {
        return refuse(field, format!("must have 1 to {bytes_max} characters"));
    }
    match value.chars().find(|&c| !c.is_ascii_alphanumeric() && !others.contains(c)) {
        Some(bad) => refuse(
            field,
            format!("holds {bad:?}; letters and digits of ASCII and any of {others} are allowed"),
        ),
        // Made of allowed characters alone, `X-PRE-PROCESS` would still be obeyed.
        None => engine_safe(field, value),
    }
}

fn starts_with_alphanumeric(field: &'static str, value: &str) -> Result<(), TextError> {
    if value.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Ok(());
    }
    refuse(field, "must start with a letter or digit")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_engines_obey_and_says_the_cure() {
        for value in
            ["$${default_password}", "a ${b} c", "<X-pre-process cmd=\"exec\"/>", "a\nb", "a\0", "\u{85}"]
        {
            let error = engine_safe("display_name", value).unwrap_err();
            assert_eq!(error.field, "display_name");
            assert!(error.to_string().starts_with("display_name holds "), "{error}");
        }
        for value in ["", "Zo\u{eb} O'Neil & S\u{f6}hne <x> \"y\"", "$5 {x}", "100 % %41", "\u{1F4DE}"] {
            engine_safe("display_name", value).unwrap();
        }
    }

    #[test]
    fn display_names_are_bounded() {
        display("name", "Zo\u{eb}").unwrap();
        display("name", "  ").unwrap_err();
        display("name", &"\u{eb}".repeat(DISPLAY_MAX_CHARS)).unwrap();
        display("name", &"\u{eb}".repeat(DISPLAY_MAX_CHARS + 1)).unwrap_err();
    }

    #[test]
    fn extensions_and_patterns() {
        for value in ["X-PRE-PROCESS", "1x-Pre-Process9"] {
            assert!(extension_pattern("extension", value).is_err() && sip_user("extension", value).is_err());
            assert!(
                reference("name", value).is_err() && domain_name("domain", &format!("{value}.com")).is_err()
            );
        }
        for value in ["1001", "*97", "0XXXXXXXXX", "+49.", "_9NZX.", "#1", "a-b"] {
            extension_pattern("extension", value).unwrap();
        }
        for value in ["", "10 01", "1001@x", "1;x", "\u{661}", "a\"", &"1".repeat(33)] {
            extension_pattern("extension", value).unwrap_err();
        }
    }

    #[test]
    fn users_and_references() {
        sip_user("user", "1001").unwrap();
        sip_user("user", "a.b-c_d").unwrap();
        for value in ["", "-x", ".x", "a@b", "a/b", "a+b", "\u{eb}"] {
            sip_user("user", value).unwrap_err();
        }
        reference("queue", "Support_L1").unwrap();
        reference("queue", "Support@x").unwrap_err();
        reference("queue", &"q".repeat(65)).unwrap_err();
    }

    #[test]
    fn domains_are_lower_cased() {
        assert_eq!(domain_name("domain", "PBX.Example.com").unwrap(), "pbx.example.com");
        assert_eq!(domain_name("domain", "3com.example").unwrap(), "3com.example");
        assert_eq!(domain_name("domain", "localhost").unwrap(), "localhost");
        for value in ["pbx.test", "PBX.test"] {
            let copied = matches!(domain_name_of("domain", value.into()).unwrap(), Cow::Owned(_));
            assert_eq!(copied, value != "pbx.test");
            assert_eq!(domain_name_of("domain", value.into()).unwrap(), "pbx.test");
        }
        domain_name_of("domain", "a..b".into()).unwrap_err();
        let long_label = format!("{}.example", "a".repeat(64));
        let long_name = format!("{}example", "a.".repeat(125));
        for value in [
            "",
            ".",
            "a..b",
            "a.",
            "-a.b",
            "a-.b",
            "a_b.c",
            "10.0.0.1",
            "a b",
            "\u{eb}.x",
            &long_label,
            &long_name,
        ] {
            domain_name("domain", value).unwrap_err();
        }
    }
}
