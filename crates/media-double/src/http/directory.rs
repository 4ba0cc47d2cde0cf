//! The directory look-up that FreeSWITCH makes before it calls `user/<user>@<domain>`
//! (capture: wire/freeswitch/xml_curl/directory.user_call.form).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::Uri;
use quick_xml::events::{BytesStart, Event};

use super::Client;
use crate::cdr::url_encode;
use crate::clock;

/// FreeSWITCH's own user agent is `freeswitch-xml/1.0`.
const USER_AGENT: &str = "freeswitch-xml/1.0 (media-double)";

/// One look-up.
pub struct UserCall<'a> {
    /// SIP user name.
    pub user: &'a str,
    /// Its domain.
    pub domain: &'a str,
    /// Variables the calling leg exports, in order.
    pub exports: &'a [(&'static str, String)],
}

/// Asks voipadmind for users.
pub struct Directory {
    client: Arc<Client>,
    uri: Uri,
    hostname: String,
    core_uuid: String,
    sequence: AtomicU64,
}

impl Directory {
    /// Look-ups at `uri`.
    pub fn new(client: Arc<Client>, uri: Uri, hostname: &str, core_uuid: &str) -> Self {
        let (hostname, core_uuid) = (hostname.to_owned(), core_uuid.to_owned());
        Self { client, uri, hostname, core_uuid, sequence: AtomicU64::new(1) }
    }

    /// Whether the user may be called. Like FreeSWITCH, takes everything but a 200 that names the user as "no".
    pub async fn knows(&self, call: &UserCall<'_>) -> bool {
        let form = self.form(call);
        let answer =
            self.client.post(&self.uri, USER_AGENT, "application/x-www-form-urlencoded", form.into()).await;
        match answer {
            Ok(answer) if answer.status == 200 => names_user(&answer.body, call.user, call.domain),
            Ok(answer) => {
                tracing::warn!(status = answer.status, user = call.user, "the directory refused a look-up");
                false
            }
            Err(error) => {
                tracing::warn!(%error, user = call.user, "the directory could not be asked");
                false
            }
        }
    }

    fn form(&self, call: &UserCall<'_>) -> String {
        let now = clock::now();
        // The first five are not encoded by FreeSWITCH (wire/README, xml_curl rule 5).
        let mut form = format!(
            "hostname={}&section=directory&tag_name=domain&key_name=name&key_value={}",
            self.hostname, call.domain
        );
        let mut field = |name: &str, value: &str| form.push_str(&format!("&{name}={}", url_encode(value)));
        field("Event-Name", "REQUEST_PARAMS");
        field("Core-UUID", &self.core_uuid);
        field("FreeSWITCH-Hostname", &self.hostname);
        field("FreeSWITCH-Switchname", crate::SWITCHNAME);
        field("Event-Date-Local", &clock::stamp(now));
        field("Event-Date-GMT", &clock::rfc2822(now));
        field("Event-Date-Timestamp", &now.to_string());
        field("Event-Calling-File", "mod_dptools.c");
        field("Event-Calling-Function", "user_outgoing_channel");
        field("Event-Sequence", &self.sequence.fetch_add(1, Ordering::Relaxed).to_string());
        field("as_channel", "true");
        field("action", "user_call");
        if !call.exports.is_empty() {
            let names: Vec<&str> = call.exports.iter().map(|(name, _)| *name).collect();
            field("export_vars", &names.join(","));
        }
        for (name, value) in call.exports {
            field(name, value);
        }
        field("key", "id");
        field("user", call.user);
        field("domain", call.domain);
        form
    }
}

/// Whether the document holds `<domain name=domain>` and in it `<user id=user>` (or number-alias).
fn names_user(document: &[u8], user: &str, domain: &str) -> bool {
    let document = String::from_utf8_lossy(document);
    let mut reader = quick_xml::Reader::from_str(&document);
    let mut in_domain = false;
    loop {
        match reader.read_event() {
            Ok(Event::Start(tag) | Event::Empty(tag)) => match tag.name().as_ref() {
                "domain" => in_domain = attribute_is(&tag, "name", domain),
                "user"
                    if in_domain
                        && (attribute_is(&tag, "id", user) || attribute_is(&tag, "number-alias", user)) =>
                {
                    return true;
                }
                _ => {}
            },
            Ok(Event::End(tag)) if tag.name().as_ref() == "domain" => in_domain = false,
            Ok(Event::Eof) | Err(_) => return false,
            Ok(_) => {}
        }
    }
}

fn attribute_is(tag: &BytesStart<'_>, name: &str, wanted: &str) -> bool {
    let attribute = tag.try_get_attribute(name).ok().flatten();
    attribute
        .and_then(|attribute| attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).ok())
        .is_some_and(|value| value == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_document_that_names_the_user_is_a_yes() {
        let found = |user: &str| {
            let document = format!(
                r#"<document type="freeswitch/xml"><section name="directory"><domain name="default.local">
                <groups><group name="default"><users>{user}</users></group></groups></domain></section></document>"#
            );
            names_user(document.as_bytes(), "1002", "default.local")
        };
        assert!(found(r#"<user id="1002"/>"#));
        assert!(found(r#"<user id="anna" number-alias="1002"><params/></user>"#));
        assert!(!found(r#"<user id="1003"/>"#));
        assert!(!found("<user"));
        let miss = r#"<document><section name="result"><result status="not found"/></section></document>"#;
        assert!(!names_user(miss.as_bytes(), "1002", "default.local"));
        let stranger = r#"<domain name="other"><user id="1002"/></domain>"#;
        assert!(!names_user(stranger.as_bytes(), "1002", "default.local"));
    }
}
