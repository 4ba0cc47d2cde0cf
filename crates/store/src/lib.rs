//! PostgreSQL: the schema, and every statement the platform says to it.
//!
//! In: plain types of `model` and of this crate. Out: the same, or an [`Error`] that tells whether asking again helps.
//! [`Store`] is the daemon's way in (role `voip_admin`, which owns nothing); [`bootstrap`] is the installer's (superuser).
//!
//! Architecture invariants:
//! - No other crate knows SQL, and no SQL is built from input: values are parameters, the tenant is an integer.
//! - Every statement on a tenant's table runs in a transaction that has named its [`Scope`]; without one it sees nothing.
//! - Every write whose success is told to anyone writes WAL, "it was there already" included, because a commit without WAL
//!   does not wait for the standby; and a cancelled wait is never taken for success ([`Error::Unknown`]).
#![forbid(unsafe_code)]

pub mod accounting;
pub mod audit;
pub mod bootstrap;
pub mod cdr_changes;
pub mod cdr_read;
pub mod cdr_write;
pub mod changes;
mod config;
mod connection;
pub mod directory;
mod error;
pub mod extensions;
pub mod health;
mod hosts;
mod idempotency;
pub mod keys;
mod limbo;
pub mod migrations;
pub mod page;
mod pool;
pub mod quarantine;
pub mod queues;
pub mod receipts;
pub mod recordings;
pub mod retention;
pub mod search;
pub mod seed;
pub mod sessions;
#[cfg(test)]
mod statements;
pub mod sweep;
mod tenant;
mod transaction;
pub mod users;

pub use cdr_write::{Content, Item, Outcome};
pub use config::StoreConfig;
pub use error::Error;
pub use idempotency::Created;
pub use pool::{PoolStatus, Store};
pub use transaction::Scope;

/// What every function of this crate answers.
pub type Result<T, E = Error> = std::result::Result<T, E>;
