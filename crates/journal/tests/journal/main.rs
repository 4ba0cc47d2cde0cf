//! The journal's promises, on simulated disks that die and on a real directory.

// Helpers of tests may end a test as a test does; clippy.toml's exception only covers `#[test]` functions.
#![allow(clippy::unwrap_used, clippy::panic)]

mod broken_disk;
mod concurrency;
mod crash;
mod damage;
mod dice;
mod full_disk;
mod life;
mod oracle;
mod real_directory;
mod samples;
mod sim;
