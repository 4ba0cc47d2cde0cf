//! The X-VP headers by which Kamailio says what a call is for.

use crate::sip::message::{Message, Start};
use crate::sip::uri::Uri;

/// Longest value taken.
const VALUE_CHARS_MAX: usize = 64;

/// `X-VP-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A call to a user that needs media.
    User,
    /// A queue of agents.
    Queue,
    /// A menu.
    Ivr,
    /// A mailbox.
    Voicemail,
    /// A conference room.
    Conference,
    /// A call to a trunk.
    TrunkOut,
    /// None of these, or no header.
    Unknown,
}

/// What Kamailio said of a call; read as the rendered dialplan reads it (context `tandem`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routing {
    /// What it is for.
    pub kind: Kind,
    /// Tenant's domain. Empty if Kamailio named none: then the call is not admitted.
    pub domain: String,
    /// Number dialled; of the Request-URI if Kamailio named none.
    pub extension: String,
    /// Queue, menu, mailbox, room; for a user the user name.
    pub reference: Option<String>,
    /// The platform's call id. Empty if Kamailio gave none: then the call is not admitted.
    pub call: String,
    /// It has an `X-VP-Leg`: only our own calls carry one, so this one came round.
    pub came_round: bool,
}

impl Routing {
    /// Reads the headers. A value outside of `[A-Za-z0-9_.@-]` counts as absent (wire/README, "FreeSWITCH, other").
    pub fn of(invite: &Message) -> Self {
        let value = |name: &str| invite.headers.get(name).filter(|value| is_safe(value)).map(str::to_owned);
        Self {
            kind: match value("X-VP-Type").as_deref() {
                Some("user") => Kind::User,
                Some("queue") => Kind::Queue,
                Some("ivr") => Kind::Ivr,
                Some("voicemail") => Kind::Voicemail,
                Some("conference") => Kind::Conference,
                Some("trunk_out") => Kind::TrunkOut,
                _ => Kind::Unknown,
            },
            domain: value("X-VP-Domain").unwrap_or_default(),
            extension: value("X-VP-Ext").or_else(|| request_user(invite)).unwrap_or_default(),
            reference: value("X-VP-Ref"),
            call: value("X-VP-Call").unwrap_or_default(),
            came_round: invite.headers.get("X-VP-Leg").is_some(),
        }
    }

    /// Variables the dialplan exports to every leg.
    pub fn exports(&self) -> [(&'static str, String); 2] {
        [("vp_domain", self.domain.clone()), ("vp_call", self.call.clone())]
    }

    /// Whether the dialplan's rule `admit` lets it in.
    pub fn admitted(&self) -> bool {
        !self.domain.is_empty() && !self.call.is_empty()
    }
}

/// User part of the Request-URI.
pub fn request_user(request: &Message) -> Option<String> {
    match &request.start {
        Start::Request { uri, .. } => Uri::parse(uri)?.user,
        Start::Response { .. } => None,
    }
}

fn is_safe(value: &str) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'@' | b'-');
    !value.is_empty() && value.len() <= VALUE_CHARS_MAX && value.bytes().all(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(headers: &[(&str, &str)]) -> Message {
        let mut invite = Message::request("INVITE", "sip:8001@127.0.0.1:5080");
        invite.headers.push("From", "<sip:1001@default.local>;tag=a");
        for (name, value) in headers {
            invite.headers.push(name, *value);
        }
        invite
    }

    #[test]
    fn headers_are_read() {
        let routing = Routing::of(&invite(&[
            ("X-VP-Type", "queue"),
            ("x-vp-ref", "support"),
            ("X-VP-Domain", "tenant.local"),
            ("X-VP-Ext", "8002"),
            ("X-VP-Call", "c-1"),
        ]));
        assert_eq!((routing.kind, routing.reference.as_deref()), (Kind::Queue, Some("support")));
        assert_eq!((routing.domain.as_str(), routing.extension.as_str()), ("tenant.local", "8002"));
        assert!(routing.admitted());
        assert_eq!(routing.exports(), [("vp_domain", "tenant.local".into()), ("vp_call", "c-1".into())]);
    }

    #[test]
    fn what_could_be_an_application_argument_is_not_taken() {
        let long = "x".repeat(65);
        for bad in ["", "${system(x)}", "a b", "a,b", long.as_str()] {
            let routing =
                Routing::of(&invite(&[("X-VP-Type", "queue"), ("X-VP-Ref", bad), ("X-VP-Domain", bad)]));
            assert_eq!((&routing.reference, routing.domain.as_str()), (&None, ""), "{bad}");
            assert!(!routing.admitted());
        }
        assert_eq!(Routing::of(&invite(&[])).kind, Kind::Unknown);
        assert_eq!(Routing::of(&invite(&[])).extension, "8001");
    }
}
