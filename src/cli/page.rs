//! A page for people: a heading, and paragraphs of lines beside a label.

use crate::ground::terminal::{Paint, RED};

/// A page in the making.
pub(super) struct Page {
    pub paint: Paint,
    text: String,
}

/// The width of the column of labels.
const LABEL: usize = 12;

impl Page {
    pub(super) fn new(paint: Paint) -> Page {
        Page { paint, text: String::new() }
    }

    /// A line of its own that names what follows.
    pub(super) fn heading(&mut self, text: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&self.paint.bold(text));
        self.text.push('\n');
    }

    /// Lines, the first of them beside the label; nothing where there are none.
    pub(super) fn lines(&mut self, label: &str, lines: impl IntoIterator<Item = String>) {
        for (index, line) in lines.into_iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            self.beside(&self.paint.faint(&format!("{label:<LABEL$}")), &line);
        }
    }

    /// Lines under a label that nobody may miss.
    pub(super) fn alarm(&mut self, label: &str, line: &str, more: &str) {
        self.beside(&self.paint.with(RED, &format!("{label:<LABEL$}")), line);
        self.lines("", [self.paint.faint(more)]);
    }

    fn beside(&mut self, label: &str, line: &str) {
        self.text.push_str(format!("  {label}{line}").trim_end());
        self.text.push('\n');
    }

    /// One line beside a label.
    pub(super) fn line(&mut self, label: &str, line: impl Into<String>) {
        self.lines(label, [line.into()]);
    }

    /// The page, without the end of its last line.
    pub(super) fn text(&self) -> &str {
        self.text.trim_end()
    }
}

/// A time as it is spoken of: `5m 30s`.
pub(super) fn time(seconds: u64) -> String {
    let parts = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "m"), (seconds % 60, "s")];
    let said: Vec<String> =
        parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count}{unit}")).collect();
    if said.is_empty() { "0s".to_owned() } else { said.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_beside_their_label() {
        let mut page = Page::new(Paint::Plain);
        page.heading("a");
        page.lines("tags", ["one".to_owned(), "two".to_owned()]);
        page.lines("none", []);
        assert_eq!(page.text(), "a\n  tags        one\n              two");
    }

    #[test]
    fn times_are_spoken_of_in_whole_units() {
        let check = |seconds: u64, want: &str| assert_eq!(time(seconds), want);
        check(0, "0s");
        check(330, "5m 30s");
        check(90_000, "1d 1h");
        check(86_400 * 365, "365d");
    }
}
