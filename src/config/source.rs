//! The text that was read, and places in it. What is kept for excerpts has its secrets blotted out.

use serde_yaml::granit_parser::{Marker, Span};

/// A place in one line of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SourcePlace {
    /// 1-based; 0 means the file as a whole.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    /// In characters; what runs over several lines counts to the end of the first.
    pub length: u32,
}

impl SourcePlace {
    pub(super) fn of_marker(marker: &Marker) -> SourcePlace {
        SourcePlace { line: narrow(marker.line()), column: narrow(marker.col()).saturating_add(1), length: 1 }
    }

    pub(super) fn of_span(span: &Span) -> SourcePlace {
        let start = SourcePlace::of_marker(&span.start);
        let one_line = span.start.line() == span.end.line();
        let length = if one_line { narrow(span.end.col().saturating_sub(span.start.col())) } else { u32::MAX };
        SourcePlace { length: length.max(1), ..start }
    }
}

/// The lines as the parser counts them: a carriage return alone ends one too.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text).filter(|text| !text.is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let broken = if text[end..].starts_with("\r\n") { end + 2 } else { end + 1 };
        rest = Some(&text[broken..]).filter(|rest| !rest.is_empty());
        Some(&text[..end])
    })
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A file's name and its lines, for excerpts.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceText {
    pub file: String,
    lines: Vec<String>,
}

/// Keys whose value is a secret wherever they stand.
const SECRET_KEYS: [&str; 6] = ["token", "seal_key", "password", "secret", "bearer", "api_key"];

impl SourceText {
    pub(super) fn new(file: &str, text: &str) -> SourceText {
        // A byte order mark is not a character of the first line.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        SourceText { file: file.to_owned(), lines: lines(text).map(str::to_owned).collect() }
    }

    /// The line, 1-based.
    pub(super) fn line(&self, number: u32) -> Option<&str> {
        self.lines.get(usize::try_from(number).ok()?.checked_sub(1)?).map(String::as_str)
    }

    /// Replaces every visible character from `start` to `end` by a dot, so that columns stay where they are.
    pub(super) fn blot(&mut self, start: &Marker, end: &Marker) {
        for number in start.line()..=end.line() {
            let Some(line) = number.checked_sub(1).and_then(|index| self.lines.get_mut(index)) else { return };
            let from = if number == start.line() { start.col() } else { 0 };
            let to = if number == end.line() { end.col() } else { usize::MAX };
            *line = blotted(line, from, to);
        }
    }

    /// For a text that is not YAML, where nobody can say which value belongs to which key: blots out what follows a
    /// secret's key on the same line.
    pub(super) fn blot_by_key(&mut self) {
        for line in &mut self.lines {
            for key in SECRET_KEYS {
                let Some(at) = line.find(&format!("{key}:")) else { continue };
                let value = line[..at].chars().count() + key.len() + 1;
                if !line[at + key.len() + 1..].trim_start().starts_with("{file:") {
                    *line = blotted(line, value, usize::MAX);
                }
            }
        }
    }
}

/// Whether the value at `path` must never be shown: that of a secret's key, and everything below `admin.tokens` but
/// scopes and the names of files, since a token under a misspelt key is a token too.
pub(super) fn is_secret(path: &str) -> bool {
    let mut keys = path.split(['.', '[']);
    let secret = path.starts_with("admin.tokens") || keys.any(|key| SECRET_KEYS.contains(&key));
    secret && !path.split(['.', '[']).any(|key| key == "may" || key == "file")
}

/// A line in which a secret may stand.
pub(super) fn may_hold_secret(line: &str) -> bool {
    SECRET_KEYS.iter().any(|key| line.contains(&format!("{key}:")))
}

fn blotted(line: &str, from: usize, to: usize) -> String {
    let blot = |(index, c): (usize, char)| if index >= from && index < to && !c.is_whitespace() { '•' } else { c };
    line.chars().enumerate().map(blot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_as_the_parser_ends_them() {
        let check = |text: &str, wanted: &[&str]| assert_eq!(lines(text).collect::<Vec<_>>(), wanted, "{text:?}");
        check("", &[]);
        check("a", &["a"]);
        check("a\nb\n", &["a", "b"]);
        check("a\r\nb\rc\n\nd", &["a", "b", "c", "", "d"]);
        check("\n", &[""]);
    }
}
