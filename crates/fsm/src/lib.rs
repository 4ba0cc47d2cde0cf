//! The pair's state: what a node must know of itself before it touches PostgreSQL.
//!
//! In: nothing yet. Out: [`State`], the names that follow from it, and what is durable in it. The table that decides
//! (state, observation) → (state, actions) comes to stand beside it.
//!
//! Architecture invariant: pure. No file, no clock, no socket, no tokio: what decides the pair can be model-checked.
#![forbid(unsafe_code)]

mod names;
mod state;

pub use names::{BARRIER, Standby, slot};
pub use state::{Flag, Mode, Point, Role, State, VERSION};
