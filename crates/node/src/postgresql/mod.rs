//! This node's PostgreSQL: its data folder, the two configuration files the agent owns, and what the agent asks of it.
//!
//! Architecture invariant: nothing here reads or writes a tenant's row; the schema is `voipadmind bootstrap`'s.

pub mod barrier;
pub mod base_copy;
pub mod cluster;
pub mod facts;
pub mod include;
pub mod rewind;
pub mod session;
pub mod standby;

pub use session::Server;
