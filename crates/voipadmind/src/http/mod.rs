//! HTTP: the routes, who may use them, and how errors look.
//!
//! In: requests. Out: calls into one feature each. Never: a decision of a feature, or an error without its cure.

pub mod caller;
pub mod engines;
pub mod input;
pub mod openapi;
pub mod problem;
pub mod router;
pub mod server;
