//! A look-up in the directory, as mod_xml_curl posts it.

use std::borrow::Cow;

use model::text;

/// A longer form is not read: it is answered like an unknown one. FreeSWITCH's own are below 2 KiB in the directory.
pub const REQUEST_MAX_BYTES: usize = 64 * 1024;

/// What FreeSWITCH wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestKind {
    /// A phone's digest is to be checked (`action=sip_auth`): REGISTER or INVITE.
    SipAuth,
    /// `bridge user/…` wants the dial-string (`action=user_call`).
    UserCall,
    /// mod_voicemail counts messages (`action=message-count`), after a REGISTER for instance.
    MessageCount,
    /// The dialplan reads a parameter or variable of a user (`user_data`: `type=param|var|attr`).
    UserData,
    /// mod_voicemail looks its mailbox up (`action=voicemail-lookup`).
    VoicemailLookup,
    /// Another question about one user, such as `user_exists`: it gets the same document.
    OtherUser,
    /// A profile starts and asks for gateways (`purpose=gateways`).
    Gateways,
    /// An access list is loaded and asks for the users of a domain (`purpose=network-list`).
    NetworkList,
    /// Anything else, or nothing that can be answered: a quiet miss.
    Other,
}

impl RequestKind {
    /// The kind as a label of logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SipAuth => "sip_auth",
            Self::UserCall => "user_call",
            Self::MessageCount => "message_count",
            Self::UserData => "user_data",
            Self::VoicemailLookup => "voicemail_lookup",
            Self::OtherUser => "other_user",
            Self::Gateways => "gateways",
            Self::NetworkList => "network_list",
            Self::Other => "other",
        }
    }

    /// Whether the answer is a user's document.
    pub fn is_about_a_user(self) -> bool {
        !matches!(self, Self::Gateways | Self::NetworkList | Self::Other)
    }
}

/// A look-up in the directory. It borrows from the form: of its forty parameters nine are looked at, and two kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryRequest<'a> {
    /// What is asked. Where it [is about a user](RequestKind::is_about_a_user), `user` and `domain` are there.
    pub kind: RequestKind,
    /// The user asked for. FreeSWITCH compares without regard to case; so should the store.
    pub user: Option<Cow<'a, str>>,
    /// The domain asked for, in lower case (FreeSWITCH compares without regard to case).
    pub domain: Option<Cow<'a, str>>,
}

impl<'a> DirectoryRequest<'a> {
    /// Reads a posted form or a query string.
    ///
    /// It never fails: whatever cannot be answered is [`RequestKind::Other`], a quiet miss. FreeSWITCH does not encode
    /// `key_value`, which can be a stranger's own realm, so that parameters can be injected before the true ones: of a
    /// repeated key the last counts. A user or domain that could not have been provisioned reads as absent.
    pub fn parse(form: &'a [u8]) -> Self {
        let mut asked = Asked::default();
        if form.len() <= REQUEST_MAX_BYTES {
            let mut start = 0;
            for end in memchr::memchr_iter(b'&', form).chain([form.len()]) {
                asked.take(&form[start..end]);
                start = end + 1;
            }
        }
        asked.into_request()
    }

    /// The user and domain of a request that is about a user.
    pub fn user_at_domain(&self) -> Option<(&str, &str)> {
        if self.kind.is_about_a_user() {
            Some((self.user.as_deref()?, self.domain.as_deref()?))
        } else {
            None
        }
    }
}

/// `key_value`, the longest key of [`Asked`].
const KEY_MAX_BYTES: usize = 9;

/// The parameters that matter, each as it came last: `key=value`, not decoded yet.
#[derive(Default)]
struct Asked<'a> {
    section: Option<&'a [u8]>,
    tag_name: Option<&'a [u8]>,
    key_name: Option<&'a [u8]>,
    key_value: Option<&'a [u8]>,
    action: Option<&'a [u8]>,
    purpose: Option<&'a [u8]>,
    data_type: Option<&'a [u8]>,
    user: Option<&'a [u8]>,
    domain: Option<&'a [u8]>,
}

impl<'a> Asked<'a> {
    fn take(&mut self, pair: &'a [u8]) {
        // What goes on beyond the longest of our keys, with nothing encoded so far, is none of them.
        let start = &pair[..pair.len().min(KEY_MAX_BYTES + 1)];
        match start.iter().position(|b| matches!(b, b'=' | b'%')) {
            Some(at) if start[at] == b'=' => self.keep(&start[..at], pair),
            // No engine writes one of our keys so, but it would mean the same. A key without a value is an empty one.
            _ if start.len() <= KEY_MAX_BYTES || start.contains(&b'%') => {
                if let Some((key, _)) = form_urlencoded::parse(pair).next() {
                    self.keep(key.as_bytes(), pair);
                }
            }
            _ => {}
        }
    }

    fn keep(&mut self, key: &[u8], pair: &'a [u8]) {
        let slot = match key {
            b"section" => &mut self.section,
            b"tag_name" => &mut self.tag_name,
            b"key_name" => &mut self.key_name,
            b"key_value" => &mut self.key_value,
            b"action" => &mut self.action,
            b"purpose" => &mut self.purpose,
            b"type" => &mut self.data_type,
            b"user" => &mut self.user,
            b"domain" => &mut self.domain,
            _ => return,
        };
        *slot = Some(pair);
    }

    fn into_request(self) -> DirectoryRequest<'a> {
        let is = |pair: Option<&[u8]>, wanted: &str| value(pair).is_some_and(|value| value == wanted);
        let named = is(self.tag_name, "domain") && is(self.key_name, "name");
        let domain = value(self.domain.or(self.key_value.filter(|_| named)));
        let domain = domain.and_then(|domain| text::domain_name_of("domain", domain).ok());
        let user = value(self.user).filter(|user| text::sip_user("user", user).is_ok());
        let kind = if !is(self.section, "directory") {
            RequestKind::Other
        } else if let Some(purpose) = value(self.purpose) {
            match &*purpose {
                "gateways" => RequestKind::Gateways,
                "network-list" => RequestKind::NetworkList,
                _ => RequestKind::Other,
            }
        } else if user.is_none() || domain.is_none() {
            RequestKind::Other
        } else {
            match (value(self.action).as_deref(), value(self.data_type).as_deref()) {
                (Some("sip_auth"), _) => RequestKind::SipAuth,
                (Some("user_call"), _) => RequestKind::UserCall,
                (Some("message-count"), _) => RequestKind::MessageCount,
                (Some("voicemail-lookup"), _) => RequestKind::VoicemailLookup,
                (None, Some("param" | "var" | "attr")) => RequestKind::UserData,
                _ => RequestKind::OtherUser,
            }
        };
        DirectoryRequest { kind, user, domain }
    }
}

/// The decoded value of `key=value`.
fn value(pair: Option<&[u8]>) -> Option<Cow<'_, str>> {
    form_urlencoded::parse(pair?).next().map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
