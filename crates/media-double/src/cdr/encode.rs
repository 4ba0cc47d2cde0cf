//! The encodings of mod_json_cdr (wire/README, "what mod_json_cdr posts").

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Deserialize;

/// What FreeSWITCH's URL encoder takes as unsafe, beside everything outside of printable ASCII.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b':')
    .add(b';')
    .add(b'<')
    .add(b'=')
    .add(b'>')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Percent-encodes as FreeSWITCH does: what looks like `%HH` already is left alone.
pub fn url_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let hex = rest.as_bytes().get(at + 1..at + 3);
        if hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
            encoded.extend(utf8_percent_encode(&rest[..at], UNSAFE));
            encoded.push_str(&rest[at..at + 3]);
            rest = &rest[at + 3..];
        } else {
            encoded.extend(utf8_percent_encode(&rest[..=at], UNSAFE));
            rest = &rest[at + 1..];
        }
    }
    encoded.extend(utf8_percent_encode(rest, UNSAFE));
    encoded
}

/// The setting `encode` of json_cdr.conf.xml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// `false`: the document as it is.
    Json,
    /// `true`, the default: `cdr=` and the document percent-encoded.
    Urlencoded,
    /// `base64`: `cdr=` and the document in base64.
    Base64,
}

impl Encoding {
    /// `Content-Type` of the POST.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Urlencoded => "application/x-www-form-urlencoded",
            Self::Base64 => "application/x-www-form-base64-encoded",
        }
    }

    /// Body of the POST.
    pub fn body(self, document: &str) -> String {
        match self {
            Self::Json => document.to_owned(),
            Self::Urlencoded => format!("cdr={}", url_encode(document)),
            Self::Base64 => format!("cdr={}", STANDARD.encode(document)),
        }
    }

    /// Content of the spool file. There is no capture of a base64 one: the document is spooled plain.
    pub fn spool(self, document: &str) -> String {
        match self {
            Self::Urlencoded => url_encode(document),
            Self::Json | Self::Base64 => document.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_as_in_the_captures() {
        assert_eq!(
            url_encode("\"Zoë O'Neil\" <sip:1001@pbx.test>;tag=1"),
            "%22Zo%C3%AB%20O'Neil%22%20%3Csip%3A1001%40pbx.test%3E%3Btag%3D1"
        );
        assert_eq!(url_encode("%(2000,4000,440,480)"), "%25(2000,4000,440,480)");
        assert_eq!(url_encode("a%20b%4"), "a%20b%254");
        assert_eq!(url_encode("{\"a\":\"b\",\"c\"}"), "%7B%22a%22%3A%22b%22,%22c%22%7D");
    }
}
