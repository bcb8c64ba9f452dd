//! Whether a person is looking, and whether they see colours.

use std::io::{IsTerminal, Write};

/// Prints a line. A reader that has gone (`| head`) is no fault of ours, and no panic.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a line on standard error, which is no fault of ours either when nobody reads it.
pub fn complain(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// As [`complain`], with what has its own ends of lines.
pub fn complain_text(text: &str) {
    let _ = std::io::stderr().write_all(text.as_bytes());
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

/// Colours or none.
#[derive(Debug, Clone, Copy)]
pub enum Paint {
    /// Terminal sequences.
    Colours,
    /// Nothing.
    Plain,
}

/// Terminal attributes (ECMA-48 §8.3.117).
const BOLD: &str = "1";
const FAINT: &str = "2";
pub(crate) const RED: &str = "1;31";
pub(crate) const GREEN: &str = "1;32";
pub(crate) const YELLOW: &str = "33";
pub(crate) const BLUE: &str = "34";
pub(crate) const MAGENTA: &str = "35";

impl Paint {
    /// What standard output is to have.
    pub fn of_standard_output() -> Paint {
        if stdout_has_colour() { Paint::Colours } else { Paint::Plain }
    }

    /// In bold.
    pub fn bold(self, text: &str) -> String {
        self.with(BOLD, text)
    }

    /// In the background.
    pub fn faint(self, text: &str) -> String {
        self.with(FAINT, text)
    }

    pub(crate) fn with(self, attributes: &str, text: &str) -> String {
        match self {
            Paint::Colours => format!("\x1b[{attributes}m{text}\x1b[0m"),
            Paint::Plain => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_means_no_escapes() {
        assert_eq!(Paint::Plain.bold("a"), "a");
        assert_eq!(Paint::Colours.bold("a"), "\x1b[1ma\x1b[0m");
    }
}
