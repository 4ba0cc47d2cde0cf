//! The double over real sockets: the test is Kamailio, the phones behind it, and voipadmind.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a panic in a test's helper is a failed test, with a line number"
)]

mod audio;
mod documents;
mod queue;
mod sip;
mod startup;
mod support;
mod user;
