//! A small SIP user agent over UDP (RFC 3261): what a media server behind one proxy needs, and no more.
//!
//! In: datagrams from the proxies on the access list. Out: initial INVITEs as [`endpoint::Invite`], everything
//! later in a dialog as [`dialog::Event`]; OPTIONS and what is not understood are answered here.
//! Architecture invariant: this module knows nothing of calls, queues, HTTP or CDRs, and no packet, however
//! formed, ends the process.

pub mod client;
pub mod dialog;
pub mod endpoint;
pub mod headers;
pub mod message;
pub mod sdp;
pub mod server;
pub mod timers;
pub mod uri;

use uuid::Uuid;

/// Every branch starts with this cookie (RFC 3261 section 8.1.1.7).
pub const BRANCH_COOKIE: &str = "z9hG4bK";

/// Methods this program answers with something else than 405.
pub const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO";

/// A new transaction branch, unique over time and space.
pub fn new_branch() -> String {
    format!("{BRANCH_COOKIE}{}", Uuid::new_v4().simple())
}

/// A new From or To tag.
pub fn new_tag() -> String {
    let mut tag = Uuid::new_v4().simple().to_string();
    tag.truncate(16);
    tag
}
