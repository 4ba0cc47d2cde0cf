//! The media double: a test program that stands where FreeSWITCH would in Tandem's dev and lab. It is not
//! FreeSWITCH, says so in every CDR and SIP message, and refuses to run anywhere else.
//!
//! Bird's eye: [`sip`] is a small user agent; [`call`] decides what a call is and calls agents; [`rtp`] relays
//! audio; [`cdr`] writes a document a leg and posts it; [`http`] is how voipadmind is asked and told.
//! Architecture invariant: this crate shares no code with the daemon it tests. Both read the captures under `wire/`.

#![forbid(unsafe_code)]

pub mod call;
pub mod cdr;
mod clock;
pub mod config;
pub mod http;
pub mod marker;
pub mod rtp;
pub mod running;
pub mod sip;

pub use config::Config;
pub use running::Running;

/// `User-Agent` of every SIP message.
pub const USER_AGENT: &str = concat!("tandem-media-double/", env!("CARGO_PKG_VERSION"));

/// `switchname` of every CDR: by it, what this program reported can always be told from FreeSWITCH's.
pub const SWITCHNAME: &str = "media-double";
