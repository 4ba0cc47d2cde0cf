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
    for (name, read) in sealed {
        let mut stated =
            json.match_indices(name).filter_map(|(at, _)| value_of_member(json, at, at + name.len()));
        if stated.next() != read.as_deref() || stated.next().is_some() {
            return Err(format!(
                "{name} is there twice or in the wrong place: a name that was sent may have forged it"
            ));
        }
    }
    Ok(())
}

/// The plain value of the member whose name stands here, if it is a member's name.
fn value_of_member(json: &str, start: usize, end: usize) -> Option<&str> {
    let rest = json[end..].strip_prefix('"').filter(|_| json[..start].ends_with('"'))?;
    let value = rest.trim_start().strip_prefix(':')?.trim_start();
    let value = value.strip_prefix('"').unwrap_or(value);
    Some(&value[..value.find(['"', ',', '}']).unwrap_or(value.len())])
}
