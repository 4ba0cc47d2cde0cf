//! What the program says about itself: logs, metrics, health.
//!
//! Architecture invariant: nothing here decides anything. A full log disk or a failed scrape changes no call.

pub mod health;
pub mod logging;
pub mod metrics;
