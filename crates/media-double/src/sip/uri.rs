//! SIP URIs and name-addrs, read leniently: only the parts this program routes and accounts by.

/// `sip:user@host:port;params` (RFC 3261 section 19.1). Other schemes are not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uri {
    /// Before the `@`, password cut off; `None` where there is none.
    pub user: Option<String>,
    /// Host as written; an IPv6 address without its brackets.
    pub host: String,
    /// Port, if one is given.
    pub port: Option<u16>,
}

impl Uri {
    /// Reads a bare URI. `None` if it is no `sip:` or `sips:` URI with a host.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once(':')?;
        if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
            return None;
        }
        // Parameters of a user part may hold no '@' unescaped: the last '@' before '?' ends the user.
        let rest = rest.split('?').next()?;
        let (user, host_port) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user.split([':', ';']).next()?.to_owned()), host),
            None => (None, rest),
        };
        let host_port = host_port.split(';').next()?;
        let (host, port) = split_host_port(host_port)?;
        Some(Self { user: user.filter(|u| !u.is_empty()), host: host.to_owned(), port })
    }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`.
pub fn split_host_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = if let Some(v6) = text.strip_prefix('[') {
        let (host, rest) = v6.split_once(']')?;
        (host, rest.strip_prefix(':'))
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = match port {
        Some(port) => Some(port.trim().parse().ok()?),
        None => None,
    };
    (!host.is_empty()).then_some((host, port))
}

/// `"Display" <uri>;params`, as in From, To, Contact, Route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddr {
    /// Display name without quotes and escapes; empty if there is none.
    pub display: String,
    /// The URI as written, without angle brackets.
    pub uri: String,
    /// Header parameters after the URI, as written and without the leading `;`.
    params: String,
}

impl NameAddr {
    /// Reads one value; `None` if quotes or brackets do not close.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (display, rest) = match text.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => match text.find('<') {
                Some(at) => (text[..at].trim().to_owned(), &text[at..]),
                None => (String::new(), text),
            },
        };
        let rest = rest.trim_start();
        let (uri, params) = match rest.strip_prefix('<') {
            Some(angled) => angled.split_once('>')?,
            // Without brackets a parameter belongs to the header (RFC 3261 section 20.10).
            None => rest.split_at(rest.find(';').unwrap_or(rest.len())),
        };
        let params = params.trim().trim_start_matches(';').to_owned();
        Some(Self { display, uri: uri.trim().to_owned(), params })
    }

    /// Value of a header parameter; an empty string for a bare one.
    pub fn param(&self, name: &str) -> Option<&str> {
        param(&self.params, name)
    }
}

/// Value of `name` in `a=1;b;c="2"`.
pub fn param<'a>(params: &'a str, name: &str) -> Option<&'a str> {
    params.split(';').find_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"'))
    })
}

/// Reads a quoted string after its opening quote: the text and what follows the closing quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut display = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => display.push(chars.next()?.1),
            '"' => return Some((display, &text[at + 1..])),
            c => display.push(c),
        }
    }
    None
}

/// A display name ready for a header: quoted, with `"` and `\` escaped, line breaks dropped.
pub fn quote(display: &str) -> String {
    let mut out = String::with_capacity(display.len() + 2);
    out.push('"');
    for c in display.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_are_read() {
        let uri = |user: Option<&str>, host: &str, port| Uri {
            user: user.map(Into::into),
            host: host.into(),
            port,
        };
        assert_eq!(Uri::parse("sip:1001@h:5062;x=y"), Some(uri(Some("1001"), "h", Some(5062))));
        assert_eq!(Uri::parse("SIP:h"), Some(uri(None, "h", None)));
        assert_eq!(Uri::parse("sip:a:pw@[::1]:5060"), Some(uri(Some("a"), "::1", Some(5060))));
        for bad in ["", "tel:+49", "sip:", "sip:a@", "sip:a@h:99999", "sip:a@[::1"] {
            assert_eq!(Uri::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn name_addrs_are_read() {
        let a = NameAddr::parse(r#""Z;tag=no \"q\" <x>" <sip:1005@h;lr>;tag=t1;x"#).expect("valid");
        assert_eq!((a.display.as_str(), a.uri.as_str()), (r#"Z;tag=no "q" <x>"#, "sip:1005@h;lr"));
        assert_eq!((a.param("tag"), a.param("x"), a.param("y")), (Some("t1"), Some(""), None));
        let b = NameAddr::parse("sip:1001@h;tag=t2").expect("valid");
        assert_eq!((b.uri.as_str(), b.param("tag")), ("sip:1001@h", Some("t2")));
        assert_eq!(NameAddr::parse(r#""open <sip:a@b>"#), None);
        assert_eq!(NameAddr::parse("<sip:a@b"), None);
    }

    #[test]
    fn display_names_cannot_break_a_header() {
        assert_eq!(quote("a\"b\\\r\nEvil: 1"), r#""a\"b\\Evil: 1""#);
    }
}
