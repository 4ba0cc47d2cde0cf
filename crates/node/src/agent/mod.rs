//! `tandem agent`
pub mod auth;
pub mod tokens;
