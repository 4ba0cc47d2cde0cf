//! The plain types of the platform, and how they are read from what the engines post.
//!
//! In: bytes as FreeSWITCH and Kamailio sent them. Out: [`Leg`]s, [`sip_event::SipEvent`]s, and which call a leg belongs to.
//! Everything that comes in was chosen by strangers (a caller picks his own display name), so nothing here panics,
//! and every text that leaves is valid UTF-8, without control characters, and of bounded length.
//!
//! Architecture invariant: this crate is pure. No tokio, no files, no sockets, no clock: a test needs nothing but bytes.
#![forbid(unsafe_code)]

pub mod assembly;
pub mod call;
pub mod cdr;
pub mod ha1;
mod json;
mod leg;
mod recording;
pub mod sip_event;
pub mod text;
mod tidy;

pub use leg::{Direction, Leg, LegDirection, LegSource};
pub use recording::Recording;

/// A document that could not be understood. The caller keeps it whole, in quarantine, and shows it: it is never dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Rejected {
    /// The leg's uuid as far as it could be made out: the query string's, else one found in the text.
    pub uuid: Option<String>,
    /// What is wrong with it, as a sentence for an operator.
    pub reason: String,
}

impl Rejected {
    pub(crate) fn new(uuid: Option<String>, reason: impl Into<String>) -> Self {
        Self { uuid, reason: reason.into() }
    }
}
