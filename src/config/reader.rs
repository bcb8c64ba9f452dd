//! Typed reading of nodes. Whatever cannot be read becomes a problem and `None`, and reading goes on.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::message::{ConfigProblem, MessageKind, Severity};
use crate::config::nearest::nearest;
use crate::config::node::{KeyNode, Node, NodeKind, Scalar};
use crate::config::source::SourcePlace;
use crate::config::{not_yet, units};

/// Collects problems while the bridge reads.
#[derive(Default)]
pub(super) struct NodeReader {
    /// The file that is read.
    pub(super) file: PathBuf,
    problems: Vec<ConfigProblem>,
    /// The paths of keys that somebody probably meant by an unknown one. They are not called missing too.
    meant: HashSet<String>,
    /// Errors, and how often a value was wanted whose mistake was reported when the tree was built.
    errors: usize,
}

/// A value and the node that says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'n, T> {
    pub value: T,
    pub node: &'n Node,
}

/// A map whose keys were checked.
#[derive(Clone, Copy)]
pub(super) struct NodeTable<'n> {
    pub node: &'n Node,
}

impl<'n> NodeTable<'n> {
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.node.get(key)
    }
}

impl NodeReader {
    pub(super) fn push(&mut self, problem: ConfigProblem) {
        self.errors += usize::from(problem.severity == Severity::Error);
        self.problems.push(problem);
    }

    /// An error at a value.
    pub(super) fn error(
        &mut self,
        kind: MessageKind,
        node: &Node,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.push(ConfigProblem::error(kind, node.place, &node.path, message).hint(hint));
    }

    /// `node` has no `key`: an error at the key that leads to `node`, unless an unknown key was meant to be it.
    pub(super) fn missing(&mut self, node: &Node, key: &str, message: impl Into<String>, hint: impl Into<String>) {
        if !self.is_meant(node, key) {
            self.push(ConfigProblem::error(MessageKind::Missing, node.label(), &node.path, message).hint(hint));
        }
    }

    /// `node` has an unknown key that is probably `key`, misspelt.
    pub(super) fn is_meant(&self, node: &Node, key: &str) -> bool {
        self.meant.contains(&below(&node.path, key))
    }

    pub(super) fn warn(&mut self, kind: MessageKind, node: &Node, message: impl Into<String>, hint: impl Into<String>) {
        self.push(ConfigProblem::error(kind, node.place, &node.path, message).hint(hint).warning());
    }

    /// A part of the vocabulary that this version does not have, at its key.
    pub(super) fn not_yet(&mut self, node: &Node, what: &str) {
        let message = format!("`{what}` is not available yet in this version");
        self.push(
            ConfigProblem::error(MessageKind::NotYet, node.label(), &node.path, message)
                .hint(not_yet::hint(&node.path)),
        );
    }

    /// How many errors were met; two equal counts mean that nothing went wrong in between.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    fn reported_before<T>(&mut self) -> Option<T> {
        self.errors += 1;
        None
    }

    pub(super) fn into_problems(self) -> Vec<ConfigProblem> {
        self.problems
    }

    /// A map with the keys in `known`. Those in `not_yet` and all others are reported.
    pub(super) fn table<'n>(&mut self, node: &'n Node, known: &[&str], not_yet: &[&str]) -> Option<NodeTable<'n>> {
        let entries = self.map(node)?;
        for (key, value) in entries {
            if known.contains(&key.text.as_str()) {
                continue;
            }
            if not_yet.contains(&key.text.as_str()) {
                self.not_yet(value, &value.path);
                continue;
            }
            let every = known.iter().chain(not_yet).copied();
            let hint = match nearest(&key.text, every) {
                Some(name) => {
                    self.meant.insert(below(&node.path, name));
                    format!("did you mean `{name}`?")
                }
                None => format!("these exist here: {}", known.join(", ")),
            };
            let message = format!("unknown key `{}`", key.text);
            self.push(ConfigProblem::error(MessageKind::UnknownKey, key.place, &value.path, message).hint(hint));
        }
        Some(NodeTable { node })
    }

    /// The entries of a map with free keys.
    pub(super) fn map<'n>(&mut self, node: &'n Node) -> Option<&'n [(KeyNode, Node)]> {
        match &node.kind {
            NodeKind::Map(entries) => Some(entries),
            NodeKind::Broken => self.reported_before(),
            _ => self.wrong(node, "a map", "write `key: value` lines below it, or {key: value}"),
        }
    }

    /// The entries of a map of named things, without those whose name cannot be one.
    pub(super) fn named<'n>(&mut self, node: &'n Node) -> Option<Vec<(&'n KeyNode, &'n Node)>> {
        let entries = self.map(node)?;
        let mut named = Vec::new();
        for (key, value) in entries {
            if is_name(&key.text) {
                named.push((key, value));
            } else {
                let message = format!("`{}` cannot be a name", key.text);
                let hint = "use letters, digits, spaces, `-`, `_` and `.`; 64 characters at most";
                self.push(ConfigProblem::error(MessageKind::Value, key.place, &value.path, message).hint(hint));
            }
        }
        Some(named)
    }

    pub(super) fn list<'n>(&mut self, node: &'n Node) -> Option<&'n [Node]> {
        match &node.kind {
            NodeKind::List(items) => Some(items),
            NodeKind::Broken => self.reported_before(),
            NodeKind::Scalar(scalar) if !node.is_empty() => {
                let hint = format!("write [{}]", shown(scalar));
                self.wrong(node, "a list", &hint)
            }
            _ => self.wrong(node, "a list", "write [one, two], or lines that begin with `- `"),
        }
    }

    /// A list, or the single value that stands for a list of one.
    pub(super) fn one_or_list<'n>(&mut self, node: &'n Node) -> Option<&'n [Node]> {
        match &node.kind {
            NodeKind::Scalar(_) if !node.is_empty() => Some(std::slice::from_ref(node)),
            _ => self.list(node),
        }
    }

    pub(super) fn scalar<'n>(&mut self, node: &'n Node, what: &str, hint: &str) -> Option<&'n Scalar> {
        match &node.kind {
            NodeKind::Scalar(scalar) if !node.is_empty() => Some(scalar),
            NodeKind::Broken => self.reported_before(),
            _ => self.wrong(node, what, hint),
        }
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        self.scalar(node, "text", "write one value").map(|scalar| scalar.text.as_str())
    }

    /// Text for which `parse` decides; `parse` gives a message and a hint when it refuses.
    pub(super) fn parsed<T>(
        &mut self,
        node: &Node,
        what: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Result<T, (String, String)>,
    ) -> Option<T> {
        let hint = format!("write {example}");
        let scalar = self.scalar(node, what, &hint)?;
        match parse(&scalar.text) {
            Ok(value) => Some(value),
            Err((message, hint)) => {
                // A variable's value may be a secret, so only its name is shown.
                let (message, hint) = match &scalar.written {
                    Some(written) => {
                        (format!("`{written}` does not give {what}"), format!("let the variable hold {example}"))
                    }
                    None => (message, hint),
                };
                self.error(MessageKind::Value, node, message, hint);
                None
            }
        }
    }

    pub(super) fn duration<'n>(&mut self, node: &'n Node) -> Option<Written<'n, Duration>> {
        let value = self.parsed(node, "a time", "300ms, 30s, 5m, 1h or 7d", units::duration)?;
        Some(Written { value, node })
    }

    /// A duration of which zero would make no sense.
    pub(super) fn positive_duration<'n>(&mut self, node: &'n Node, hint: &str) -> Option<Written<'n, Duration>> {
        let written = self.duration(node)?;
        if written.value.is_zero() {
            self.error(MessageKind::Value, node, format!("`{}` must be longer than zero", last_key(&node.path)), hint);
            return None;
        }
        Some(written)
    }

    pub(super) fn size<'n>(&mut self, node: &'n Node) -> Option<Written<'n, u64>> {
        let value = self.parsed(node, "a size", "32KiB, 8MiB or 1GiB", units::size)?;
        Some(Written { value, node })
    }

    pub(super) fn count(&mut self, node: &Node, least: u64, most: u64) -> Option<u64> {
        let example = format!("a whole number from {least} to {most}");
        self.parsed(node, "a number", &example, |text| {
            let number = text.parse::<u64>().ok().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| (format!("`{text}` is not {example}"), format!("write {example}")))
        })
    }

    pub(super) fn boolean(&mut self, node: &Node) -> Option<bool> {
        let scalar = self.scalar(node, "true or false", "write true or false")?;
        let written = shown(scalar);
        let quoted = !scalar.plain && scalar.written.is_none();
        match scalar.text.as_str() {
            "true" if !quoted => return Some(true),
            "false" if !quoted => return Some(false),
            "true" | "false" => {
                let hint = format!("write {written} without quotes");
                self.error(MessageKind::Value, node, format!("\"{written}\" in quotes is text"), hint);
            }
            other => {
                let meant = match other.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "true" | "y" | "1" => "write true",
                    "no" | "off" | "false" | "n" | "0" => "write false",
                    _ => "write true or false",
                };
                self.error(MessageKind::Value, node, format!("`{written}` is neither true nor false"), meant);
            }
        }
        None
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&mut self, node: &Node, choices: &[(&str, T)]) -> Option<T> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let hint = format!("write {}", or(&names));
        let scalar = self.scalar(node, "a word", &hint)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == scalar.text) {
            return Some(*value);
        }
        let hint = match nearest(&scalar.text, names.iter().copied()) {
            Some(name) => format!("did you mean `{name}`? it can be {}", or(&names)),
            None => hint,
        };
        let message = format!("`{}` is not a value of `{}`", shown(scalar), last_key(&node.path));
        self.error(MessageKind::Value, node, message, hint);
        None
    }

    /// One of a few words, of which some are not available yet.
    pub(super) fn choice_so_far<T: Copy>(&mut self, node: &Node, choices: &[(&str, T)], later: &[&str]) -> Option<T> {
        if let NodeKind::Scalar(scalar) = &node.kind
            && later.contains(&scalar.text.as_str())
        {
            self.not_yet(node, &format!("{}: {}", last_key(&node.path), scalar.text));
            return None;
        }
        self.choice(node, choices)
    }

    fn wrong<T>(&mut self, node: &Node, wanted: &str, hint: &str) -> Option<T> {
        let name = if node.path.is_empty() { "the file".to_owned() } else { format!("`{}`", node.path) };
        let (place, message): (SourcePlace, String) = match &node.kind {
            _ if node.is_empty() => (node.label(), format!("{name} has no value")),
            NodeKind::Scalar(_) => (node.place, format!("{name} must be {wanted}, but this is a single value")),
            NodeKind::List(_) => (node.place, format!("{name} must be {wanted}, but this is a list")),
            NodeKind::Map(_) => (node.place, format!("{name} must be {wanted}, but this is a map")),
            NodeKind::Broken => return self.reported_before(),
        };
        self.push(ConfigProblem::error(MessageKind::Value, place, &node.path, message).hint(hint));
        None
    }
}

fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// What a message may say of a value: what stands in the file.
pub(super) fn shown(scalar: &Scalar) -> &str {
    scalar.written.as_deref().unwrap_or(&scalar.text)
}

/// `ttl` of `policies.page.ttl`.
pub(super) fn last_key(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, key)| key)
}

/// `a, b or c`.
pub(super) fn or(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// A name goes into logs and metrics.
pub(super) fn is_name(text: &str) -> bool {
    let fits = (1..=64).contains(&text.chars().count());
    let good = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.');
    fits && text.chars().all(good) && text.trim() == text
}
