//! The store on a real PostgreSQL. Each test starts its own server; where none is installed it says SKIPPED.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic here is a failed test, with a line number")]

mod accounting;
mod bootstrap;
mod cdr_batch;
mod cdr_calls;
mod cdr_changes;
mod cdr_faults;
mod cdr_lists;
mod cdr_view;
mod common;
mod configuration;
mod news;
mod open_legs;
mod recordings;
mod retention;
mod route;
mod search;
mod sessions;
mod stats;
mod tenants;
