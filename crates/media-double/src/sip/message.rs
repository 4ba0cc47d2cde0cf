//! One SIP message: parsing what arrived, writing what is sent.

use super::headers::Headers;
use super::uri::{NameAddr, param};

/// Largest message read or written: one UDP datagram.
pub const MESSAGE_BYTES_MAX: usize = 65_535;
/// Most header lines in a message; more is an attack or a loop, not a call.
const HEADER_LINES_MAX: usize = 256;

/// Why a datagram is no SIP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(&'static str);

/// First line of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// `METHOD uri SIP/2.0`
    Request {
        /// Method, case-sensitive.
        method: String,
        /// Request-URI as written.
        uri: String,
    },
    /// `SIP/2.0 code reason`
    Response {
        /// 100 to 699.
        code: u16,
        /// Reason phrase.
        reason: String,
    },
}

/// A SIP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Request or status line.
    pub start: Start,
    /// Header fields.
    pub headers: Headers,
    /// Body, `Content-Length` bytes.
    pub body: Vec<u8>,
}

impl Message {
    /// A request without headers or body.
    pub fn request(method: &str, uri: &str) -> Self {
        let start = Start::Request { method: method.to_owned(), uri: uri.to_owned() };
        Self { start, headers: Headers::default(), body: Vec::new() }
    }

    /// The response to `request`: its Vias, From, To, Call-ID, CSeq and Record-Routes are copied (RFC 3261 section
    /// 8.2.6), and `to_tag` is put to the To unless it has one.
    pub fn response(request: &Message, code: u16, reason: &str, to_tag: Option<&str>) -> Self {
        let start = Start::Response { code, reason: reason.to_owned() };
        let mut headers = Headers::default();
        for (name, value) in request.headers.iter() {
            let copied = ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"];
            if !copied.iter().any(|c| c.eq_ignore_ascii_case(name)) {
                continue;
            }
            match to_tag {
                Some(tag) if name.eq_ignore_ascii_case("To") && tag_of(value).is_none() => {
                    headers.push(name, format!("{value};tag={tag}"));
                }
                _ => headers.push(name, value),
            }
        }
        Self { start, headers, body: Vec::new() }
    }

    /// Sets the body and its type.
    pub fn with_body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.headers.set("Content-Type", content_type);
        self.body = body.into();
        self
    }

    /// Reads one datagram. Invalid UTF-8 in headers becomes U+FFFD: a strange display name must not cost a call.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        let end = find(datagram, b"\r\n\r\n").ok_or(Malformed("no empty line after the headers"))?;
        let head = String::from_utf8_lossy(&datagram[..end]);
        let mut lines = unfold(&head)?.into_iter();
        let start = parse_start(&lines.next().ok_or(Malformed("empty message"))?)?;
        let mut headers = Headers::default();
        for line in lines {
            if line.contains(['\r', '\n', '\0']) {
                return Err(Malformed("line break or NUL inside a header"));
            }
            let (name, value) = line.split_once(':').ok_or(Malformed("header line without a colon"))?;
            let name = name.trim();
            if name.is_empty() || name.contains(char::is_whitespace) {
                return Err(Malformed("header name with a space in it, or none"));
            }
            headers.push_received(name, value.trim());
        }
        for required in ["Via", "From", "To", "Call-ID", "CSeq"] {
            headers.get(required).ok_or(Malformed("a header every message has is missing"))?;
        }
        let rest = &datagram[end + 4..];
        let body = match headers.get("Content-Length") {
            Some(length) => {
                let length: usize = length.parse().map_err(|_| Malformed("Content-Length is no number"))?;
                rest.get(..length).ok_or(Malformed("body shorter than Content-Length"))?
            }
            None => rest,
        };
        let message = Self { start, headers, body: body.to_vec() };
        message.cseq().ok_or(Malformed("CSeq is not a number and a method"))?;
        message.branch().ok_or(Malformed("top Via without a branch"))?;
        Ok(message)
    }

    /// The message as sent. `Content-Length` is always written, and last.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = match &self.start {
            Start::Request { method, uri } => format!("{method} {uri} SIP/2.0\r\n"),
            Start::Response { code, reason } => format!("SIP/2.0 {code} {reason}\r\n"),
        };
        for (name, value) in self.headers.iter().filter(|(n, _)| !n.eq_ignore_ascii_case("Content-Length")) {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        let mut bytes = out.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Method of a request; for a response the method it answers.
    pub fn method(&self) -> &str {
        match &self.start {
            Start::Request { method, .. } => method,
            Start::Response { .. } => self.cseq().map_or("", |(_, method)| method),
        }
    }

    /// `CSeq` as number and method.
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.headers.get("CSeq")?.split_once(char::is_whitespace)?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// Branch of the top Via: names the transaction.
    pub fn branch(&self) -> Option<&str> {
        self.headers.get("Via").and_then(|via| param(via, "branch")).filter(|branch| !branch.is_empty())
    }

    /// `Call-ID`.
    pub fn call_id(&self) -> &str {
        self.headers.get("Call-ID").unwrap_or_default()
    }

    /// Tag of the From header.
    pub fn from_tag(&self) -> Option<String> {
        self.headers.get("From").and_then(tag_of)
    }

    /// Tag of the To header: a request that has one belongs to a dialog.
    pub fn to_tag(&self) -> Option<String> {
        self.headers.get("To").and_then(tag_of)
    }
}

/// Tag in a From or To value.
fn tag_of(value: &str) -> Option<String> {
    NameAddr::parse(value)?.param("tag").filter(|tag| !tag.is_empty()).map(str::to_owned)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Header lines with folded ones joined (RFC 3261 section 7.3.1).
fn unfold(head: &str) -> Result<Vec<String>, Malformed> {
    let mut lines: Vec<String> = Vec::new();
    // Empty lines before a request line are a keep-alive's leftovers (RFC 3261 section 7.5).
    for line in head.split("\r\n").skip_while(|line| line.is_empty()) {
        if line.starts_with([' ', '\t'])
            && let Some(last) = lines.last_mut()
        {
            last.push(' ');
            last.push_str(line.trim());
        } else if lines.len() < HEADER_LINES_MAX {
            lines.push(line.to_owned());
        } else {
            return Err(Malformed("too many header lines"));
        }
    }
    Ok(lines)
}

fn parse_start(line: &str) -> Result<Start, Malformed> {
    let mut parts = line.splitn(3, ' ');
    let (first, second, third) = (parts.next(), parts.next(), parts.next());
    match (first, second, third) {
        (Some("SIP/2.0"), Some(code), reason) => match code.parse() {
            Ok(code @ 100..=699) => {
                Ok(Start::Response { code, reason: reason.unwrap_or_default().to_owned() })
            }
            _ => Err(Malformed("status code outside 100 to 699")),
        },
        (Some(method), Some(uri), Some("SIP/2.0"))
            if !method.is_empty() && method.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') =>
        {
            Ok(Start::Request { method: method.to_owned(), uri: uri.to_owned() })
        }
        _ => Err(Malformed("first line is neither a request nor a status line")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:8001@127.0.0.1:5080 SIP/2.0\r\n\
        Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKa.1;rport, SIP/2.0/UDP 10.0.0.9;branch=z9hG4bKb\r\n\
        Record-Route: <sip:127.0.0.1;lr>\r\n\
        f: \"Zo\u{eb}\" <sip:1001@default.local>;tag=a\r\n\
        To: <sip:8001@default.local>\r\n\
        Call-ID:\r\n  folded@host\r\n\
        CSeq: 2 INVITE\r\n\
        Content-Length: 4\r\n\r\nv=0\nrest";

    #[test]
    fn a_request_is_read_and_answered() {
        let invite = Message::parse(INVITE.as_bytes()).expect("valid");
        assert_eq!(invite.method(), "INVITE");
        assert_eq!(invite.call_id(), "folded@host");
        assert_eq!(invite.branch(), Some("z9hG4bKa.1"));
        assert_eq!((invite.from_tag().as_deref(), invite.to_tag()), (Some("a"), None));
        assert_eq!(invite.body, b"v=0\n");

        let ok = Message::response(&invite, 200, "OK", Some("us")).with_body("application/sdp", "x");
        let again = Message::parse(&ok.to_bytes()).expect("what we write we can read");
        assert_eq!(again.headers.all("Via").count(), 2);
        assert_eq!(again.to_tag().as_deref(), Some("us"));
        assert_eq!(again.method(), "INVITE");
        assert_eq!(again.body, b"x");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bad in [
            "",
            "\r\n\r\n\r\n\r\n",
            "GARBAGE",
            "INVITE sip:a@b SIP/2.0\r\n\r\n",
            "SIP/2.0 99 Low\r\nVia: x;branch=1\r\nFrom: a\r\nTo: b\r\nCall-ID: c\r\nCSeq: 1 BYE\r\n\r\n",
            "BYE sip:a SIP/2.0\r\nVia: x\r\nFrom: a\r\nTo: b\r\nCall-ID: c\r\nCSeq: 1 BYE\r\n\r\n",
            "BYE sip:a SIP/2.0\r\nVia: x;branch=1\r\nFrom: a\r\nTo: b\r\nCall-ID: c\r\nCSeq: BYE\r\n\r\n",
        ] {
            assert!(Message::parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let cut = INVITE.replace("Content-Length: 4", "Content-Length: 400");
        assert_eq!(Message::parse(cut.as_bytes()), Err(Malformed("body shorter than Content-Length")));
    }

    #[test]
    fn invalid_utf8_costs_no_call() {
        let mut bytes = INVITE.as_bytes().to_vec();
        let at = find(&bytes, "\u{eb}".as_bytes()).expect("there");
        bytes[at] = 0xff;
        assert!(Message::parse(&bytes).is_ok());
    }
}
