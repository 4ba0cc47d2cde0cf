//! Finding out who forges a CDR.
//!
//! Where decoding also decoded the values (see `repair`), a caller's display name can close its string and go on with members of
//! its own. It cannot take away the true members that follow. So what is counted must stand in the text once, and the value
//! there must be the one that was read: a forged member makes it two, and one that hides its name behind `\u0064` makes it
//! another value.
//!
//! Members that a document need not have could still be added. `encode=false`, as the platform configures FreeSWITCH, leaves no such
//! way.

use super::document::Variables;
use crate::json::Text;

/// Checks the variables that every document has, after all that a caller can choose.
///
/// # Errors
/// Which one is there twice, or is not what was read.
pub(super) fn check(variables: &Variables, json: &str) -> Result<(), String> {
    let sealed: [(&str, &Text); 6] = [
        ("start_uepoch", &variables.start_uepoch),
        ("answer_uepoch", &variables.answer_uepoch),
        ("end_uepoch", &variables.end_uepoch),
        ("duration", &variables.duration),
        ("billsec", &variables.billsec),
        ("hangup_cause", &variables.hangup_cause),
    ];
    let mut stated = [None; 6];
    for (quote, _) in json.match_indices('"') {
        let rest = &json[quote + 1..];
        let Some(which) = sealed.iter().position(|(name, _)| rest.starts_with(name)) else { continue };
        let Some(value) = value_of_member(&rest[sealed[which].0.len()..]) else { continue };
        if stated[which].replace(value).is_some() {
            return Err(forged(sealed[which].0));
        }
    }
    match sealed.iter().zip(stated).find(|((_, read), stated)| read.as_deref() != *stated) {
        Some(((name, _), _)) => Err(forged(name)),
        None => Ok(()),
    }
}

fn forged(name: &str) -> String {
    format!("{name} is there twice or in the wrong place: a name that was sent may have forged it")
}

/// The plain value of a member, from behind its name; `None` where that was no member's name.
fn value_of_member(rest: &str) -> Option<&str> {
    let value = rest.strip_prefix('"')?.trim_start().strip_prefix(':')?.trim_start();
    let value = value.strip_prefix('"').unwrap_or(value);
    Some(value[..value.find(['"', ',', '}']).unwrap_or(value.len())].trim_end())
}
