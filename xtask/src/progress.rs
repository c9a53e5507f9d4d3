//! Says what is being done, on standard error.

use std::fmt::Display;
use std::io::{IsTerminal, stderr};

/// A headline before a step that can take long.
pub(crate) fn headline(text: impl Display) {
    if stderr().is_terminal() {
        eprintln!("\x1b[1m==> {text}\x1b[0m");
    } else {
        eprintln!("==> {text}");
    }
}
