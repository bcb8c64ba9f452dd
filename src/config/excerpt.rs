//! How problems look: `file:line:column: error: …`, the line with what is meant underlined, and what to write instead.

use std::fmt::Write as _;

use crate::config::message::{ConfigProblem, Severity};
use crate::config::source::SourceText;

/// Longer lines are cut around the place that is meant.
const WIDTH: usize = 110;

/// Nobody reads more at once.
const MOST_SHOWN: usize = 100;

/// Terminal sequences, or nothing.
struct Paint {
    error: &'static str,
    warning: &'static str,
    bold: &'static str,
    quiet: &'static str,
    hint: &'static str,
    reset: &'static str,
}

const PLAIN: Paint = Paint { error: "", warning: "", bold: "", quiet: "", hint: "", reset: "" };
const COLORED: Paint = Paint {
    error: "\x1b[1;31m",
    warning: "\x1b[1;33m",
    bold: "\x1b[1m",
    quiet: "\x1b[34m",
    hint: "\x1b[32m",
    reset: "\x1b[0m",
};

/// The problems, separated by empty lines; of very many, the first.
pub(super) fn render(source: &SourceText, problems: &[ConfigProblem], color: bool) -> String {
    let paint = if color { &COLORED } else { &PLAIN };
    let mut out = String::new();
    for (index, problem) in problems.iter().take(MOST_SHOWN).enumerate() {
        if index > 0 {
            out.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = one(&mut out, source, problem, paint);
    }
    if let more @ 1.. = problems.len().saturating_sub(MOST_SHOWN) {
        let _ = writeln!(out, "\n… and {more} more");
    }
    out
}

fn one(out: &mut String, source: &SourceText, problem: &ConfigProblem, paint: &Paint) -> std::fmt::Result {
    let Paint { bold, quiet, hint, reset, .. } = *paint;
    let (tint, label) = match problem.severity {
        Severity::Error => (paint.error, "error"),
        Severity::Warning => (paint.warning, "warning"),
    };
    let file = visible(&source.file);
    let message = visible(&problem.message);
    let indent = " ".repeat(if problem.line == 0 { 1 } else { problem.line.to_string().len() });
    if problem.line == 0 {
        writeln!(out, "{bold}{file}:{reset} {tint}{label}:{reset} {bold}{message}{reset}")?;
    } else {
        let (line, column) = (problem.line, problem.column);
        writeln!(out, "{bold}{file}:{line}:{column}:{reset} {tint}{label}:{reset} {bold}{message}{reset}")?;
        if let Some(text) = source.line(line) {
            let (shown, start, length) = window(text, column, problem.length);
            let margin = line.to_string();
            let (gap, mark) = (" ".repeat(start), "^".repeat(length));
            writeln!(out, "{quiet} {indent} |{reset}")?;
            writeln!(out, "{quiet} {margin} |{reset} {shown}")?;
            writeln!(out, "{quiet} {indent} |{reset} {gap}{tint}{mark}{reset}")?;
        }
    }
    if let Some(related) = &problem.related {
        writeln!(out, "{quiet} {indent} = {reset}line {}: {}", related.line, visible(&related.message))?;
    }
    if let Some(text) = &problem.hint {
        writeln!(out, "{quiet} {indent} = {reset}{hint}{}{reset}", visible(text))?;
    }
    Ok(())
}

/// The part of the line to show, and where in it the underline begins and how long it is.
fn window(text: &str, column: u32, length: u32) -> (String, usize, usize) {
    let characters: Vec<char> = visible(text).chars().collect();
    let start = usize::try_from(column).unwrap_or(usize::MAX).saturating_sub(1).min(characters.len());
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let end = start.saturating_add(length).min(characters.len().max(start + 1));
    let from = if characters.len() <= WIDTH { 0 } else { start.saturating_sub(WIDTH / 3) };
    let to = (from + WIDTH).min(characters.len());
    let mut shown = String::new();
    if from > 0 {
        shown.push('…');
    }
    let offset = shown.chars().count();
    shown.extend(&characters[from..to]);
    if to < characters.len() {
        shown.push('…');
    }
    let end = end.min(to.max(start + 1));
    (shown.trim_end().to_owned(), start - from + offset, end - start)
}

/// Control characters cannot reach the terminal, and a tab is one column wide.
fn visible(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\t' {
                ' '
            } else if c.is_control() {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_underline_stays_under_its_text_when_a_long_line_is_cut() {
        let text = format!("{}here{}", "a".repeat(300), "b".repeat(300));
        let (shown, start, length) = window(&text, 301, 4);
        let underlined: String = shown.chars().skip(start).take(length).collect();
        assert_eq!(underlined, "here");
        assert!(shown.chars().count() <= WIDTH + 2);
    }

    #[test]
    fn a_place_behind_the_end_of_the_line_still_has_a_caret() {
        assert_eq!(window("ab", 9, 3), ("ab".to_owned(), 2, 1));
        assert_eq!(window("", 1, u32::MAX), (String::new(), 0, 1));
    }
}
