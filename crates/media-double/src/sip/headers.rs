//! Header fields in order, with compact names expanded and list headers split into one entry a value.

/// Long names of the compact forms (RFC 3261 section 7.3.3 and the registry).
const COMPACT: [(&str, &str); 9] = [
    ("v", "Via"),
    ("f", "From"),
    ("t", "To"),
    ("i", "Call-ID"),
    ("m", "Contact"),
    ("l", "Content-Length"),
    ("c", "Content-Type"),
    ("k", "Supported"),
    ("s", "Subject"),
];

/// Headers whose values may stand on one line, separated by commas, and whose order matters here.
const LISTS: [&str; 4] = ["Via", "Route", "Record-Route", "Contact"];

/// The header fields of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// First value of `name`, whatever its case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Every value of `name`, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// Appends one value.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Replaces the first value of `name`, or appends it.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        match self.0.iter_mut().find(|(n, _)| n.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value.into(),
            None => self.push(name, value),
        }
    }

    /// Every field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// Takes one field as received: expands a compact name, splits a list.
    pub(super) fn push_received(&mut self, name: &str, value: &str) {
        let name = COMPACT.iter().find(|(c, _)| c.eq_ignore_ascii_case(name)).map_or(name, |(_, long)| long);
        if LISTS.iter().any(|list| list.eq_ignore_ascii_case(name)) {
            for part in split_list(value) {
                self.push(name, part);
            }
        } else {
            self.push(name, value);
        }
    }
}

/// Splits at commas that stand outside quotes and angle brackets.
fn split_list(value: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted, mut angle, mut escaped) = (Vec::new(), 0, false, false, false);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !angle => quoted = !quoted,
            b'<' if !quoted => angle = true,
            b'>' if !quoted => angle = false,
            b',' if !quoted && !angle => {
                parts.push(value[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(value[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_outside_quotes_and_brackets() {
        let value = r#""Last, First \"x\"" <sip:a@h;x=1,2>;p=1 , <sip:b@h>,"#;
        assert_eq!(split_list(value), [r#""Last, First \"x\"" <sip:a@h;x=1,2>;p=1"#, "<sip:b@h>"]);
    }

    #[test]
    fn names_are_matched_without_case_and_compact_forms_expanded() {
        let mut headers = Headers::default();
        headers.push_received("v", "SIP/2.0/UDP a;branch=1, SIP/2.0/UDP b;branch=2");
        headers.push_received("subject", "one, two");
        assert_eq!(headers.all("via").count(), 2);
        assert_eq!(headers.get("Subject"), Some("one, two"));
        headers.set("VIA", "x");
        assert_eq!(headers.get("Via"), Some("x"));
    }
}
