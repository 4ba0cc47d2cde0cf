//! A Debian server becomes, and stays, a node of a Tandem platform.
//!
//! In: the package's programs, `cluster.yaml` and its secrets. Out: a running node, and what can be known of it.
//!
//! Architecture invariant: the daemon's half is not imported here; the two meet in the files `render` writes.
#![forbid(unsafe_code)]

pub mod agent;
pub mod apply;
pub mod arbiter;
pub mod command;
pub mod config;
pub mod doctor;
pub mod invite;
pub mod join;
mod listeners;
mod media;
pub mod observe;
pub mod places;
pub mod postgresql;
pub mod redis_role;
pub mod services;
pub mod state;
pub mod status;

#[cfg(test)]
mod fixtures;

#[cfg(test)]
mod runbook;
