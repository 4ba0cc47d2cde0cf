//! This node's PostgreSQL: its data folder, the one configuration file the agent owns, and what the agent asks of it.
//!
//! Architecture invariant: nothing here reads or writes a tenant's row; the schema is `voipadmind bootstrap`'s.

pub mod barrier;
pub mod cluster;
pub mod include;
pub mod session;
pub mod standby;

pub use session::Server;
