//! A durable local log for records that must not be lost before they are stored elsewhere.
//!
//! In: [`Journal::append`], which returns when the record survives a power cut. Out: [`Journal::read_pending`], in
//! order, until [`Journal::forget`] says that a record is stored elsewhere. On disk: a directory of segment files.
//!
//! What holds, through any kill or power cut at any instant (`tests/journal/crash.rs` tries them all):
//! 1. An acknowledged record that was not forgotten is there after opening: once, in order, with the same bytes.
//! 2. A seq, once acknowledged or handed out, never means another record, even when every segment was deleted.
//! 3. What cannot be read is reported ([`Recovery`]), never passed over; a power cut alone causes no such report.
//!
//! Must never happen: a record acknowledged before its fsync returned; an fsync repeated after it failed; a
//! record returned whose checksum does not match; the disk filled to the last byte.
//!
//! Architecture invariant: knows nothing of calls, HTTP, Redis or SQL.
#![forbid(unsafe_code)]

mod disk;
mod error;
mod format;
mod fs;
mod index;
mod journal;
mod limits;
mod publish;
mod ranges;
mod reader;
mod recovery;
mod segment;
mod shared;
mod state;
pub mod storage;
mod writer;

pub use error::{AppendError, FullReason, OpenError};
pub use fs::FsStorage;
pub use journal::{Journal, Record, Stats};
pub use limits::{KEY_BYTES_MAX, Limits, SEGMENT_BYTES_CEILING};
pub use recovery::{Damaged, Recovery};
