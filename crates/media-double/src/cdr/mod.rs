//! Call detail records, one a leg, in the form of mod_json_cdr (captures: wire/freeswitch/cdr).
//!
//! In: a [`Leg`] whose call is over. Out: a POST to voipadmind, or a file in the spool when that fails.
//! Architecture invariant: every leg that was created leaves exactly one document.

mod cause;
mod document;
mod encode;
mod leg;
mod sink;
mod times;

pub use cause::Cause;
pub use document::Process;
pub use encode::{Encoding, url_encode};
pub use leg::{Direction, Leg, Other, Profile};
pub use sink::{Settings, Sink};
