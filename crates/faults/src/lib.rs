//! What the pair promises, shown and measured in a lab: `tandem lab demo`, `faults` and `chaos`.
//!
//! In: a lab that is up. Out: for each fault what moved, how long nobody was acknowledged, and whether anything that was
//! acknowledged is lost, is there twice, or was acknowledged by two nodes at once. A case is a row of [`cases`]; every row
//! is run the same way ([`run_case`]): probes on, fault, heal, wait for the pair, look what is there, judge ([`verdict`]).
//!
//! Architecture invariants: what is asked of the platform goes the way a client's traffic goes, from the clients' namespace;
//! only the judgement looks into the database as its superuser. Nothing waits without a bound. What is broken is mended at
//! the end, whatever that end is.
#![forbid(unsafe_code)]

mod act;
mod agent_death;
mod cases;
mod chaos;
mod cli;
mod demo;
mod floor;
mod interrupt;
mod namespace;
mod pair;
mod probe;
mod report;
mod run_case;
mod seed;
mod seed_literal;
mod timeline;
mod verdict;
mod written;

pub use cli::{Command, run};
