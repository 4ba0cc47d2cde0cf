//! The documents.

use std::io;

use model::text;
use quick_xml::Writer;

/// How FreeSWITCH reaches a user: through the local Kamailio (`vp_edge` is its address, a global variable of the node), which
/// knows where the phone is. `X-VP-Leg: b` tells Kamailio that this is a leg of FreeSWITCH's own, never to be sent back to it.
///
/// FreeSWITCH replaces `${…}` in it, API calls included. It is therefore a constant of the platform: nothing of it is anybody's input.
pub const DIAL_STRING: &str = "{sip_invite_domain=${dialed_domain},presence_id=${dialed_user}@${dialed_domain},\
sip_h_X-VP-Leg=b}sofia/kamailio/${dialed_user}@${dialed_domain};fs_path=sip:${vp_edge}";

/// A user as FreeSWITCH is to see him.
#[derive(Debug, Clone, Copy)]
pub struct DirectoryUser<'a> {
    /// SIP user name, which is the extension.
    pub user: &'a str,
    /// The tenant's SIP domain; must be the domain asked for.
    pub domain: &'a str,
    /// HA1: MD5 of user:realm:password in hex ([`model::ha1::md5`]). The password itself is never known here.
    pub ha1_md5: &'a str,
    /// Another number he is known by.
    pub number_alias: Option<&'a str>,
    /// The name others see when he calls.
    pub caller_id_name: &'a str,
    /// The number others see when he calls.
    pub caller_id_number: &'a str,
    /// How long FreeSWITCH may answer from its own memory, milliseconds. `None`: it asks every time.
    pub cacheable_ms: Option<u32>,
    /// More variables, set on every channel of his: name and value.
    pub variables: &'a [(&'a str, &'a str)],
}

/// A value that must not become part of a document, because FreeSWITCH would obey it instead of showing it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not written into a document for FreeSWITCH: {field} {problem}")]
pub struct Unsafe {
    /// Which value.
    pub field: String,
    /// What is wrong with it, and the cure.
    pub problem: String,
}

/// The quiet miss: FreeSWITCH takes it as "no such thing" and logs no error.
pub fn not_found() -> &'static str {
    "<document type=\"freeswitch/xml\">\n  <section name=\"result\">\n    <result status=\"not found\"/>\n  </section>\n</document>\n"
}

/// The directory's document of one user.
///
/// There is no `user_context`: the context is the profile's, and a call must not be able to leave it by who makes it.
///
/// # Errors
/// [`Unsafe`] for a value holding `$${`, `${`, `X-PRE-PROCESS`, `<?` or a control character, and for what is no HA1.
pub fn directory_user(user: &DirectoryUser) -> Result<String, Unsafe> {
    safe("user", user.user)?;
    safe("domain", user.domain)?;
    safe("number_alias", user.number_alias.unwrap_or_default())?;
    safe("caller_id_name", user.caller_id_name)?;
    safe("caller_id_number", user.caller_id_number)?;
    if user.ha1_md5.len() != 32 || !user.ha1_md5.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(refuse("ha1_md5", "is not 32 hex digits; set the user's password again"));
    }
    for (name, value) in user.variables {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return Err(refuse(name, "is no name of a variable; use letters, digits and _"));
        }
        safe(name, value)?;
    }
    document(user.domain, |domain| {
        domain.create_element("users").write_inner_content(|users| write_user(users, user))?;
        Ok(())
    })
}

/// The directory's document of a domain without users: enough where FreeSWITCH only wants to see that it exists.
///
/// # Errors
/// [`Unsafe`] as [`directory_user`].
pub fn directory_domain(domain: &str) -> Result<String, Unsafe> {
    safe("domain", domain)?;
    document(domain, |_| Ok(()))
}

type Xml = Writer<Vec<u8>>;

fn write_user(users: &mut Xml, user: &DirectoryUser) -> io::Result<()> {
    let cacheable = user.cacheable_ms.map(|ms| ms.to_string());
    let mut element = users.create_element("user").with_attribute(("id", user.user));
    if let Some(alias) = user.number_alias {
        element = element.with_attribute(("number-alias", alias));
    }
    if let Some(ms) = &cacheable {
        element = element.with_attribute(("cacheable", ms.as_str()));
    }
    element.write_inner_content(|inner| {
        inner.create_element("params").write_inner_content(|params| {
            pair(params, "param", "a1-hash", user.ha1_md5)?;
            pair(params, "param", "dial-string", DIAL_STRING)
        })?;
        inner.create_element("variables").write_inner_content(|variables| {
            pair(variables, "variable", "vp_domain", user.domain)?;
            pair(variables, "variable", "domain_name", user.domain)?;
            pair(variables, "variable", "effective_caller_id_name", user.caller_id_name)?;
            pair(variables, "variable", "effective_caller_id_number", user.caller_id_number)?;
            user.variables.iter().try_for_each(|(name, value)| pair(variables, "variable", name, value))
        })?;
        Ok(())
    })?;
    Ok(())
}

fn pair(xml: &mut Xml, element: &str, name: &str, value: &str) -> io::Result<()> {
    xml.create_element(element).with_attributes([("name", name), ("value", value)]).write_empty()?;
    Ok(())
}

/// `document`, `section` and `domain` around what `inner` writes.
fn document(name: &str, inner: impl FnOnce(&mut Xml) -> io::Result<()>) -> Result<String, Unsafe> {
    let mut xml = Writer::new_with_indent(Vec::with_capacity(2048), b' ', 2);
    xml.create_element("document")
        .with_attribute(("type", "freeswitch/xml"))
        .write_inner_content(|document| {
            document.create_element("section").with_attribute(("name", "directory")).write_inner_content(
                |section| {
                    let domain = section.create_element("domain").with_attribute(("name", name));
                    domain.write_inner_content(inner)?;
                    Ok(())
                },
            )?;
            Ok(())
        })
        .map_err(|error| refuse("document", &format!("could not be written: {error}")))?;
    let mut xml = xml.into_inner();
    xml.push(b'\n');
    String::from_utf8(xml).map_err(|error| refuse("document", &format!("is not UTF-8: {error}")))
}

fn safe(field: &str, value: &str) -> Result<(), Unsafe> {
    text::engine_safe("", value).map_err(|error| refuse(field, &error.problem))?;
    if value.contains("<?") {
        return Err(refuse(
            field,
            "holds \"<?\", which FreeSWITCH's preprocessor acts on; write it differently",
        ));
    }
    Ok(())
}

fn refuse(field: &str, problem: &str) -> Unsafe {
    Unsafe { field: field.to_owned(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests;
