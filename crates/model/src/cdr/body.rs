//! From the body to the text of the JSON document in it.

use std::borrow::Cow;
use std::ops::Deref;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::percent_decode;

/// Standard alphabet, with or without padding: a proxy or a script may have dropped it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text of a document.
pub(super) struct Json<'a> {
    text: Cow<'a, str>,
    percent_decoded: bool,
}

impl Json<'_> {
    /// Decoding may have unescaped what a caller chose, so that it looks like structure.
    pub(super) fn is_percent_decoded(&self) -> bool {
        self.percent_decoded
    }
}

impl Deref for Json<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.text
    }
}

/// Decides by the first bytes, never by the Content-Type, which FreeSWITCH sets wrongly in one mode.
///
/// | first bytes | what it is |
/// |---|---|
/// | `{` | JSON, posted raw or spooled |
/// | `cdr=%`, `cdr={` | percent-encoded JSON (`encode=true`, mod_format_cdr) |
/// | `cdr=` | base64 (`encode=base64`) |
/// | `%7B` | percent-encoded JSON as it is spooled |
/// | `POST ` | a saved HTTP request with one of these as its body |
pub(super) fn unwrap(body: &[u8]) -> Result<Json<'_>, String> {
    let body = trim(body);
    let body = if body.starts_with(b"POST ") { trim(body_of_request(body)?) } else { body };
    let mut percent_decoded = false;
    let json = match body {
        [] => return Err("the body is empty".to_owned()),
        [b'{', ..] => Cow::Borrowed(body),
        [b'%', b'7', b'b' | b'B', ..] => {
            percent_decoded = true;
            percent_decode(body).into()
        }
        [b'c', b'd', b'r', b'=', form @ ..] => match trim(form) {
            [] => return Err("cdr= is empty".to_owned()),
            form @ [b'%' | b'{', ..] => {
                percent_decoded = true;
                from_form(form)
            }
            base64 => from_base64(base64)?,
        },
        [b'[', ..] => return Err("the body is a JSON list; a CDR is one object".to_owned()),
        [b'<', ..] => {
            return Err(
                "the body is XML; set mod_format_cdr's format to json, or load mod_json_cdr".to_owned()
            );
        }
        _ => return Err("the body is neither JSON nor cdr=… nor percent-encoded JSON".to_owned()),
    };
    match trim(&json) {
        [b'{', ..] => Ok(Json { text: lossy(json), percent_decoded }),
        _ => Err("what is encoded in the body is no JSON object".to_owned()),
    }
}

/// FreeSWITCH writes a blank as `%20` and a plus as `%2B`, so a bare plus is another program's blank, as forms have it.
fn from_form(form: &[u8]) -> Cow<'_, [u8]> {
    if !form.contains(&b'+') {
        return percent_decode(form).into();
    }
    let blanks: Vec<u8> = form.iter().map(|&b| if b == b'+' { b' ' } else { b }).collect();
    Cow::Owned(percent_decode(&blanks).collect())
}

/// FreeSWITCH does not escape base64's `+`, `/` and `=`; another client will.
fn from_base64(text: &[u8]) -> Result<Cow<'static, [u8]>, String> {
    let text: Vec<u8> = percent_decode(text).filter(|b| !b.is_ascii_whitespace()).collect();
    let json = BASE64
        .decode(text)
        .map_err(|error| format!("cdr= is neither percent-encoded nor base64: {error}"))?;
    Ok(Cow::Owned(json))
}

fn body_of_request(request: &[u8]) -> Result<&[u8], String> {
    let after =
        |end: &[u8]| request.windows(end.len()).position(|w| w == end).map(|at| &request[at + end.len()..]);
    after(b"\r\n\r\n")
        .or_else(|| after(b"\n\n"))
        .ok_or_else(|| "a saved HTTP request without a body".to_owned())
}

/// Without blanks at both ends and without the byte order mark of UTF-8.
fn trim(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii()
}

/// A display name is whatever bytes a caller sent: what is no UTF-8 becomes U+FFFD. Looked at as UTF-8 first, which takes ASCII by
/// the word; the lossy reading goes byte by byte.
fn lossy(json: Cow<'_, [u8]>) -> Cow<'_, str> {
    match json {
        Cow::Borrowed(bytes) => {
            std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
        }
        Cow::Owned(bytes) => Cow::Owned(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }),
    }
}
