//! A CDR as FreeSWITCH's mod_json_cdr or mod_format_cdr posts it, or leaves it in its spool, read into a [`Leg`].
//!
//! In: the body, byte by byte as it came. Out: a [`Leg`], or a [`Rejected`] that says why not. In three steps: the body is unwrapped
//! to JSON by its first bytes (`body`), the JSON is read, after a repair if it has to be (`document`, `repair`, `seal`), and what it
//! says is interpreted (`interpret`, and `story` for what happened on the leg).
//!
//! Reading is lenient, because a CDR that is refused is work for a person; interpreting is not inventive, because it is
//! money. Body, nesting and text are bounded, and so is the work: every step is linear in the body.

mod body;
mod document;
mod interpret;
pub mod open;
mod repair;
mod seal;
pub mod session;
mod story;

pub use crate::Rejected;

use crate::{Leg, json, tidy};
use document::Document;

/// A larger body is refused. Real documents have 5 to 40 KiB.
pub const BODY_MAX_BYTES: usize = 1024 * 1024;

/// Reads a CDR from a body exactly as it was posted or spooled. `uuid_hint` is the query string's `uuid`, or the spooled
/// file's name: it counts where the document names no uuid.
///
/// # Errors
/// [`Rejected`] for what cannot be understood; keep the body whole.
pub fn parse(body: &[u8], uuid_hint: Option<&str>) -> Result<Leg, Rejected> {
    let hint = uuid_hint.and_then(tidy::id);
    if body.len() > BODY_MAX_BYTES {
        let reason = format!("the body has {} bytes; a CDR has at most {BODY_MAX_BYTES}", body.len());
        return Err(Rejected::new(hint, reason));
    }
    let json = body::unwrap(body).map_err(|reason| Rejected::new(hint.clone(), reason))?;
    read(&json, hint.as_deref()).map_err(|reason| Rejected::new(hint.or_else(|| find_uuid(&json)), reason))
}

fn read(json: &body::Json, uuid_hint: Option<&str>) -> Result<Leg, String> {
    match json::read::<Document>(json) {
        Ok(document) if json.is_percent_decoded() => interpret_sealed(&document, json, uuid_hint),
        Ok(document) => interpret::leg(&document, uuid_hint),
        Err(strict) => {
            let repaired =
                repair::repair(json).map_err(|broken| format!("not valid JSON ({strict}), and {broken}"))?;
            let document = json::read::<Document>(&repaired)
                .map_err(|error| format!("not valid JSON ({strict}), nor after a repair ({error})"))?;
            interpret_sealed(&document, json, uuid_hint)
        }
    }
}

fn interpret_sealed(document: &Document, json: &str, uuid_hint: Option<&str>) -> Result<Leg, String> {
    seal::check(&document.variables, json)?;
    interpret::leg(document, uuid_hint)
}

/// The first `"uuid":"…"` in a text that could not be read as a document.
fn find_uuid(json: &str) -> Option<String> {
    let (_, rest) = json.split_once("\"uuid\"")?;
    let (value, _) = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?.split_once('"')?;
    tidy::id(value)
}

#[cfg(test)]
mod tests;
