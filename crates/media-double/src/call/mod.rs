//! Calls: what happens to an initial INVITE, by its X-VP-Type (design: SIP contract).
//!
//! In: INVITEs from the endpoint. Out: answers, calls to users through Kamailio, and one CDR a leg.
//! Architecture invariant: a call is one task from its INVITE to its last CDR; nothing else touches its legs.

mod bridge;
mod caller;
mod dial;
mod facts;
mod party;
mod prompt;
mod queue;
mod routing;
mod switch;
mod user;

pub use switch::{Limits, Queue, Switch};
