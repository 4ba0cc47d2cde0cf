//! Words for people on standard output.

use std::fmt::Arguments;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether standard output is a program's to read.
static IS_DOCUMENT: AtomicBool = AtomicBool::new(false);

/// `println!` for which a reader that went away (`tandem … | head`) is no failure: what was begun is finished.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::line(format_args!($($words)*)) };
}

/// One line on standard output, or on standard error once that is a program's to read.
pub fn line(words: Arguments<'_>) {
    let _ = if IS_DOCUMENT.load(Ordering::Relaxed) {
        writeln!(std::io::stderr().lock(), "{words}")
    } else {
        writeln!(std::io::stdout().lock(), "{words}")
    };
}

/// `--json` of a command that goes on working: this document is all that standard output gets from now on, so that a
/// program can read it to its end. What is said while working goes to standard error.
pub fn document(text: &str) {
    line(format_args!("{text}"));
    IS_DOCUMENT.store(true, Ordering::Relaxed);
}
