//! Whether a person is looking, and whether they see colours.

use std::io::{IsTerminal, Write};

/// Prints a line. A reader that has gone (`| head`) is no fault of ours, and no panic.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Standard error is a terminal, and nobody asked for no colour.
pub fn stderr_has_colour() -> bool {
    allowed() && std::io::stderr().is_terminal()
}

/// Standard output is a terminal, and nobody asked for no colour.
pub fn stdout_has_colour() -> bool {
    allowed() && std::io::stdout().is_terminal()
}

/// The convention of `NO_COLOR`: set and not empty.
fn allowed() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
