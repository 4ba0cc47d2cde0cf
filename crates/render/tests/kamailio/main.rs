//! The rendered configuration on a real Kamailio, with a real PostgreSQL and the platform's schema. Phones and FreeSWITCH
//! are UDP sockets that the tests drive word by word.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test")]

mod database;
mod events;
mod node;
mod phone;
mod sip;
mod wire;

mod accounting;
mod calls;
mod guard;
mod media;
mod pair;
mod registration;
mod sipp;
