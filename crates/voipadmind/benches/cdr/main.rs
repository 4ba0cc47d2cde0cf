//! `make bench-cdr`: call records against what a plain program would do with them, turn by turn on the same engines.
//!
//! Drain: the queue's workers against one binary COPY of the same rows. End to end: documents posted to voipadmind against a
//! handler that writes one INSERT a document, both to a PostgreSQL with a synchronous standby. What is printed is a section of
//! docs/benchmarks.md.
//!
//! `ONLY=drain` or `ONLY=end-to-end`; `DOCUMENTS=n` a turn, to see that it runs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot run ends")]

#[path = "../client/mod.rs"]
mod client;
mod documents;
mod drain;
mod end_to_end;
mod naive;
mod servers;
#[path = "../../tests/support/mod.rs"]
mod support;

/// As the daemon has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Medians are taken of these; one turn before them makes caches warm and partitions be there.
const TURNS: usize = 7;

/// Documents a turn.
fn documents(usual: u64) -> u64 {
    std::env::var("DOCUMENTS").ok().and_then(|documents| documents.parse().ok()).unwrap_or(usual)
}

fn main() {
    if naive::is_asked() {
        return naive::run();
    }
    let only = std::env::var("ONLY").unwrap_or_default();
    if only != "end-to-end" {
        drain::run();
    }
    if only != "drain" {
        end_to_end::run();
    }
}
