//! A page for people: a heading, and paragraphs of lines beside a label.

use super::terminal::Paint;

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
            let label = self.paint.faint(&format!("{label:<LABEL$}"));
            self.text.push_str(format!("  {label}{line}").trim_end());
            self.text.push('\n');
        }
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
}
