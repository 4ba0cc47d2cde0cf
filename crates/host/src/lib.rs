//! What the command line asks of the machine it runs on: files that are whole or not there, words for people, and where
//! the engines' programs are.
//!
//! Architecture invariant: runs no command of ours (a cure may name one) and changes nothing but the file it is given.
#![forbid(unsafe_code)]

pub mod files;
mod output;
pub mod programs;

pub use output::{document, line};
