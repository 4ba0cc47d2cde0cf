//! Phones for trying a platform: SIPp registers, calls and answers; the calls' records are read from the API.
//!
//! In: [`Env`], the contract of `.tandem/env`. Out: what the calls met, and their records.
#![forbid(unsafe_code)]

pub mod call;
mod env_file;
pub mod load;

pub use env_file::{Env, Lab, shell};
