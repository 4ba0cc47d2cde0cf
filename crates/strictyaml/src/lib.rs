//! YAML configuration that refuses what it does not understand.
//!
//! Every file an operator writes goes through [`parse`]: an unknown key, a wrong type or a value out of its range
//! stops the program with file, line, key, what is wrong and what to do, before any port is bound.
//!
//! Architecture invariant: pure. It reads text, never files, and knows no key of ours.
#![forbid(unsafe_code)]

mod error;
mod units;

pub use error::Error;
pub use units::{Bytes, Limited, Span};

/// Largest file that is looked at: ours have a few kilobytes, and a wrong path may name anything.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

/// Reads `text` as a `T`; `file` only names it in errors.
///
/// `T` should carry `#[serde(deny_unknown_fields)]` on every struct: then a misspelt key is answered with the
/// nearest known one.
///
/// # Errors
/// [`Error`] with the line and key of the first thing that is wrong.
pub fn parse<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, Error> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::whole_file(file, "is larger than 1 MiB", "name the right file"));
    }
    serde_saphyr::from_str(text).map_err(|e| Error::from_yaml(file, text, &e))
}
