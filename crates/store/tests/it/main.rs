//! The store on a real PostgreSQL. Each test starts its own server; where none is installed it says SKIPPED.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with a line number")]

mod bootstrap;
mod cdr_batch;
mod cdr_calls;
mod cdr_faults;
mod cdr_lists;
mod common;
mod configuration;
mod news;
mod recordings;
mod route;
mod tenants;
