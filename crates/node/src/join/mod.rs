//! `tandem join`: the second node, made from the first.
//!
//! In: the primary's address and a one-time token (or root's ssh). Out: this machine is the standby, and every
//! acknowledged write is on both.
//!
//! Architecture invariant: nothing that may be somebody's data is removed, and a broken run is run again.

pub mod ask;
mod run;
pub mod wire;

pub use run::{Options, run};
