//! Words for people on standard output.

use std::fmt::Arguments;
use std::io::Write;

/// `println!` for which a reader that went away (`tandem … | head`) is no failure: what was begun is finished.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => { $crate::line(format_args!($($words)*)) };
}

/// One line on standard output.
pub fn line(words: Arguments<'_>) {
    let _ = writeln!(std::io::stdout().lock(), "{words}");
}
