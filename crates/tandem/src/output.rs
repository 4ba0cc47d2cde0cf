//! Words for people on standard output.

use std::fmt::Arguments;
use std::io::Write;

/// `println!` for which a reader that went away (`tandem … | head`) is no failure: what was begun is finished.
macro_rules! say {
    ($($words:tt)*) => { $crate::output::line(format_args!($($words)*)) };
}
pub(crate) use say;

pub fn line(words: Arguments<'_>) {
    let _ = writeln!(std::io::stdout().lock(), "{words}");
}
