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

/// A look-up in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryRequest {
    /// What is asked. Where it [is about a user](RequestKind::is_about_a_user), `user` and `domain` are there.
    pub kind: RequestKind,
    /// The user asked for. FreeSWITCH compares without regard to case; so should the store.
    pub user: Option<String>,
    /// The domain asked for, in lower case (FreeSWITCH compares without regard to case).
    pub domain: Option<String>,
}

impl DirectoryRequest {
    /// Reads a posted form or a query string.
    ///
    /// It never fails: whatever cannot be answered is [`RequestKind::Other`], a quiet miss. FreeSWITCH does not encode
    /// `key_value`, which can be a stranger's own realm, so that parameters can be injected before the true ones: of a
    /// repeated key the last counts. A user or domain that could not have been provisioned reads as absent.
    pub fn parse(form: &[u8]) -> Self {
        let mut asked = Asked::default();
        if form.len() <= REQUEST_MAX_BYTES {
            for (key, value) in form_urlencoded::parse(form) {
                asked.take(&key, value);
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

/// The parameters that matter, each as it came last.
#[derive(Default)]
struct Asked {
    section: Option<String>,
    tag_name: Option<String>,
    key_name: Option<String>,
    key_value: Option<String>,
    action: Option<String>,
    purpose: Option<String>,
    data_type: Option<String>,
    user: Option<String>,
    domain: Option<String>,
}

impl Asked {
    fn take(&mut self, key: &str, value: Cow<str>) {
        let slot = match key {
            "section" => &mut self.section,
            "tag_name" => &mut self.tag_name,
            "key_name" => &mut self.key_name,
            "key_value" => &mut self.key_value,
            "action" => &mut self.action,
            "purpose" => &mut self.purpose,
            "type" => &mut self.data_type,
            "user" => &mut self.user,
            "domain" => &mut self.domain,
            _ => return,
        };
        *slot = Some(value.into_owned());
    }

    fn into_request(self) -> DirectoryRequest {
        let named = self.tag_name.as_deref() == Some("domain") && self.key_name.as_deref() == Some("name");
        let domain = self.domain.or(self.key_value.filter(|_| named));
        let domain = domain.and_then(|domain| text::domain_name("domain", &domain).ok());
        let user = self.user.filter(|user| text::sip_user("user", user).is_ok());
        let kind = if self.section.as_deref() != Some("directory") {
            RequestKind::Other
        } else if let Some(purpose) = self.purpose {
            match purpose.as_str() {
                "gateways" => RequestKind::Gateways,
                "network-list" => RequestKind::NetworkList,
                _ => RequestKind::Other,
            }
        } else if user.is_none() || domain.is_none() {
            RequestKind::Other
        } else {
            match (self.action.as_deref(), self.data_type.as_deref()) {
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

#[cfg(test)]
mod tests;
