//! `voipadmind`: the daemon of one Tandem node. It answers FreeSWITCH's directory, accounts for every call, and serves
//! the management API. Routes: [`http::router`]. A call's record: [`cdr`].
//!
//! Architecture invariant: knows nothing of the cluster's half (`spec`, `render`, `tandem`); they meet in `config.yaml`.
#![forbid(unsafe_code)]

pub mod bootstrap;
pub mod cdr;
pub mod config;
pub mod directory;
pub mod http;
pub mod live;
pub mod observe;
pub mod provisioning;
pub mod recordings;
pub mod run;
