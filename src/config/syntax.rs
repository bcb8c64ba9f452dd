//! What a person did when the text is not YAML, in words that need no knowledge of YAML's grammar.
//!
//! The parser says where it stopped and why it could not go on. Both are often far from the mistake, so the line is
//! looked at too: an unquoted `{id}`, `*`, `@` or `%` at the start of a value is by far the likeliest cause.

use serde_yaml::granit_parser::ErrorKind;

use crate::config::message::{ConfigProblem, MessageKind};
use crate::config::source::{SourcePlace, lines, may_hold_secret};

/// The problem behind `error`, which the parser met at `at`. `brackets` are those still open there, outermost first.
pub(super) fn explain(error: &ErrorKind, at: SourcePlace, text: &str, brackets: &[SourcePlace]) -> ConfigProblem {
    use ErrorKind as E;
    let at = within(at, text);
    let line = line_of(text, at.line);
    let problem = |place: SourcePlace, message: String, hint: String| {
        ConfigProblem::error(MessageKind::Syntax, place, "", message).hint(hint)
    };
    if matches!(error, E::RecursionLimitExceeded) {
        return problem(
            at,
            "brackets or indentation are nested too deeply here".to_owned(),
            "no section of the configuration is that deep: look for a bracket or an indentation too many".to_owned(),
        );
    }
    if let Some(tab) = tab_in_indentation(line) {
        let place = SourcePlace { line: at.line, column: tab, length: 1 };
        return problem(place, "this line is indented with a tab".to_owned(), "indent with spaces".to_owned());
    }
    if let E::MismatchedFlowCollectionEnd { open, close } = error {
        let wanted = if *open == '[' { ']' } else { '}' };
        let message = format!("the `{open}` that opens here is closed by a `{close}`");
        return problem(at, message, format!("write `{wanted}` before the `{close}`, or look for a bracket too many"));
    }
    if let Some((place, value)) = unquoted(line, at) {
        let message = match first_char(value) {
            first @ ('*' | '@' | '`' | '%' | '{') => format!("a value that begins with `{first}` must be in quotes"),
            _ => "a value with `${…}` must be in quotes where it stands inside brackets".to_owned(),
        };
        let hint = if may_hold_secret(line) { "put it in quotes".to_owned() } else { format!("write \"{value}\"") };
        return problem(place, message, hint);
    }
    if let E::UnclosedFlowCollection { open } = error {
        return unclosed(at, *open);
    }
    if is_in_brackets(error)
        && let Some(open) = brackets.last()
    {
        let bracket = char_at(text, *open).unwrap_or('[');
        if open.line != at.line {
            return unclosed(*open, bracket);
        }
        let message = format!("a `,` or the closing `{}` is missing before this", closing(bracket));
        return problem(
            at,
            message,
            "separate entries with `,`, and put text with brackets or `: ` in quotes".to_owned(),
        );
    }
    if matches!(error, E::MappingValueNotAllowed) {
        return misplaced_entry(at, line);
    }
    let (message, hint) = words(error);
    problem(at, message.to_owned(), hint.to_owned())
}

fn unclosed(open: SourcePlace, bracket: char) -> ConfigProblem {
    let message = format!("the `{bracket}` that opens here is never closed");
    let hint = format!("write the missing `{}`", closing(bracket));
    ConfigProblem::error(MessageKind::Syntax, open, "", message).hint(hint)
}

fn closing(bracket: char) -> char {
    if bracket == '{' { '}' } else { ']' }
}

/// The parser stopped at a `:` that it did not expect.
fn misplaced_entry(at: SourcePlace, line: &str) -> ConfigProblem {
    let before: String = line.chars().take(usize::try_from(at.column.saturating_sub(1)).unwrap_or(0)).collect();
    if before.contains(": ") {
        let problem = ConfigProblem::error(MessageKind::Syntax, at, "", "a second `:` on one line");
        return problem.hint("begin `key: value` on a line of its own; put text that contains `: ` in quotes");
    }
    let indentation = line.len() - line.trim_start().len();
    let column = u32::try_from(indentation).unwrap_or(u32::MAX).saturating_add(1);
    let place = SourcePlace { line: at.line, column, length: at.column.saturating_sub(column).max(1) };
    let problem = ConfigProblem::error(MessageKind::Syntax, place, "", "a `key: value` cannot begin here");
    problem.hint("the line before has no `:` or already has a value, or this line is indented too far")
}

/// What the parser says when brackets are open that should not be, or when something is between them that cannot be.
fn is_in_brackets(error: &ErrorKind) -> bool {
    use ErrorKind as E;
    matches!(
        error,
        E::UnexpectedEofFlowSequence
            | E::UnexpectedEofFlowMapping
            | E::UnexpectedEofImplicitFlowMapping
            | E::ExpectedFlowMappingSeparator
            | E::ExpectedFlowSequenceSeparator
            | E::UnexpectedEof
            | E::InvalidIndentation
            | E::InvalidFlowScalarIndent
            | E::BlockEntryInFlowCollection
            | E::BlockSequenceEntryNotAllowed
            | E::SimpleKeyExpected
            | E::InvalidSimpleKey
            | E::InvalidColonPlacement
            | E::ExpectedNodeContent
    )
}

fn words(error: &ErrorKind) -> (&'static str, &'static str) {
    use ErrorKind as E;
    match error {
        E::UnclosedQuotedScalar | E::DocumentIndicatorInQuotedScalar => {
            ("a quote that opens here or before is never closed", "write the missing quote at the end of the text")
        }
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => {
            ("something follows the closing quote", "put the whole text inside the quotes, or write a `,` behind them")
        }
        E::UnknownQuotedScalarEscape | E::InvalidQuotedScalarHexEscape | E::InvalidUnicodeEscape => {
            ("the character behind `\\` has no meaning there", "write `\\\\` for a backslash, or use single quotes")
        }
        E::MappingValueNotAllowed | E::InvalidColonPlacement | E::InvalidMappingValueWhitespace => (
            "a `key: value` cannot begin here",
            "begin it on a line of its own; put a value that contains `: ` in quotes",
        ),
        E::SimpleKeyExpected | E::InvalidSimpleKey | E::ExpectedBlockMappingKey => (
            "a `key: value` is expected here, but the `:` is missing or the line is indented wrongly",
            "write `key: value` with a space after the `:`, indented like the lines before",
        ),
        E::InvalidIndentation
        | E::InvalidQuotedScalarIndent
        | E::ExpectedBlockSequenceEntry
        | E::MappingKeyNotAllowed => (
            "the indentation does not fit the lines before",
            "indent this line like the others of its section; spaces only",
        ),
        E::BlockSequenceEntryNotAllowed | E::InvalidBlockEntryWhitespace | E::BlockEntryInFlowCollection => {
            ("a list entry (`- `) cannot begin here", "write the first `- ` on a line of its own below the key")
        }
        E::MisplacedFlowCollectionEnd => {
            ("this bracket closes nothing", "remove it, or write the bracket that opens the list or the map")
        }
        E::TabNotAllowed
        | E::TabInPlainScalar
        | E::TabInIndentation
        | E::TabInBlockIndentation
        | E::TabAtBlockScalarStart => ("a tab cannot stand here", "use spaces"),
        E::CommentNotSeparated => ("a comment needs a space before its `#`", "write a space before `#`"),
        E::DirectiveDisallowed | E::MissingDirectiveName | E::InvalidDirectiveName | E::ExpectedDocumentStart => (
            "a line cannot begin with `%`, and nothing may follow the end of the document",
            "remove it, or put the text in quotes",
        ),
        E::MissingAnchorOrAliasName => ("`*` and `&` have a meaning of their own here", "put the text in quotes"),
        E::UnexpectedCharacter { .. } => ("a value cannot begin with this character", "put the text in quotes"),
        E::BomInsideDocument => ("there is an invisible byte order mark here", "delete it"),
        _ => (
            "this line cannot be read",
            "look at the brackets, quotes, `:` and indentation of this line and the one before",
        ),
    }
}

/// A value on this line whose first character gives it a meaning that its author did not want: its place and its text.
fn unquoted(line: &str, at: SourcePlace) -> Option<(SourcePlace, &str)> {
    // Nobody wrote a longer line by hand, and looking at it costs its length squared.
    if line.len() > 4096 {
        return None;
    }
    let mut found = None;
    for (start, value) in values(line) {
        let column = u32::try_from(line[..start].chars().count()).unwrap_or(u32::MAX).saturating_add(1);
        if column > at.column {
            break;
        }
        if has_other_meaning(value) {
            let length = u32::try_from(value.chars().count()).unwrap_or(u32::MAX);
            found = Some((SourcePlace { line: at.line, column, length }, value));
        }
    }
    found
}

fn has_other_meaning(value: &str) -> bool {
    // `{id}/photo`, not `{a: 1}`.
    let part = |value: &str| {
        let inside = value.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        inside.is_some_and(|(name, rest)| !rest.is_empty() && !name.contains([':', ',', ' ']))
    };
    matches!(first_char(value), '*' | '@' | '`' | '%') || value.contains("${") || part(value)
}

/// The texts on a line that follow `: `, `- `, `[`, `{` or `, `, up to the next separator, with their byte offsets.
fn values(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let starts = line.char_indices().filter_map(move |(index, c)| {
        let before = line[..index].trim_end_matches(' ');
        let spaced = before.len() < index;
        let begins = match before.chars().last() {
            Some(':' | '-' | ',') => spaced,
            Some('[' | '{') => !before.ends_with("${"),
            _ => false,
        };
        (begins && c != ' ').then_some(index)
    });
    starts.map(move |start| (start, &line[start..start + length(&line[start..])]))
}

/// The length of the value at the start of `rest` in bytes, with the braces of `{id}` and `${NAME}` in it.
fn length(rest: &str) -> usize {
    let mut end = 0;
    while let Some(next) = rest[end..].find(['{', ',', ']', '}', ' ']).map(|next| end + next) {
        let brace = rest[next..].starts_with('{') && (next == 0 || rest[..next].ends_with('$'));
        match rest[next..].find('}') {
            Some(close) if brace => end = next + close + 1,
            _ => return next,
        }
    }
    rest.len()
}

fn tab_in_indentation(line: &str) -> Option<u32> {
    let indentation = line.len() - line.trim_start().len();
    let tab = line[..indentation].find('\t')?;
    u32::try_from(tab + 1).ok()
}

fn first_char(value: &str) -> char {
    value.chars().next().unwrap_or(' ')
}

fn line_of(text: &str, number: u32) -> &str {
    let index = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    lines(text).nth(index).unwrap_or("")
}

fn char_at(text: &str, place: SourcePlace) -> Option<char> {
    let column = usize::try_from(place.column.saturating_sub(1)).ok()?;
    line_of(text, place.line).chars().nth(column)
}

/// The parser may stop behind the last line; a person looks at the last one that has something on it.
fn within(at: SourcePlace, text: &str) -> SourcePlace {
    let lines = u32::try_from(lines(text.trim_end()).count()).unwrap_or(u32::MAX).max(1);
    if at.line <= lines {
        return at;
    }
    let column = u32::try_from(line_of(text, lines).chars().count()).unwrap_or(u32::MAX).max(1);
    SourcePlace { line: lines, column, length: 1 }
}
