//! Audio: one UDP socket a leg from a bounded port range; two legs' streams are relayed to each other byte for byte.
//!
//! Architecture invariant: no codec runs here. What one phone sends the other gets, so both must speak the same.

mod ports;
mod stream;

pub use ports::Ports;
pub use stream::{Counters, Stream};
