//! The file as a tree of nodes that know where they stand: what the bridge reads.
//!
//! Built from the parser's events and not by deserialising, because a deserialiser stops at the first mistake, forgets
//! whether a scalar was quoted, and drops all but one of two equal keys. Anchors, aliases, tags, merge keys and a
//! second document are refused here, which also rules out every way of making a small file large. Nothing here can
//! panic or recurse: open collections are kept on a stack of bounded depth.

use std::collections::HashMap;

use serde_yaml::granit_parser::{Event, Marker, Options, Parser, ScalarStyle, Span, StructureStyle};

use crate::config::message::{ConfigProblem, MessageKind};
use crate::config::node::{KeyNode, Node, NodeKind, Scalar};
use crate::config::source::{self, SourcePlace};
use crate::config::syntax;

/// Nesting of the deepest sensible file is 6.
const MAX_DEPTH: usize = 16;
/// A file with a thousand routes has some 20 000.
const MAX_NODES: usize = 200_000;
/// Longer keys are shortened in paths, so that paths stay small in any file.
const MAX_PATH_SEGMENT: usize = 64;

/// What was found in a text.
#[derive(Default)]
pub(super) struct Tree {
    /// `None` after a syntax error, and when there is nothing in the file.
    pub root: Option<Node>,
    pub problems: Vec<ConfigProblem>,
    /// From the first to behind the last character of each secret, those that were refused included.
    pub secrets: Vec<(Marker, Marker)>,
}

pub(super) fn build(text: &str) -> Tree {
    let mut options = Options::default();
    options.set_emit_comments(false);
    options.emit_unresolved_aliases = true;
    options.emit_anchor_events = true;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => {
                if !builder.take(event, span) {
                    return Tree { root: None, ..builder.found };
                }
            }
            Err(error) => {
                let place = SourcePlace::of_marker(error.marker());
                let problem = syntax::explain(error.kind(), place, text, &builder.open_brackets());
                builder.found.problems.push(problem);
                return Tree { root: None, ..builder.found };
            }
        }
    }
    builder.found
}

/// A collection whose end has not been seen.
struct Open {
    node: Node,
    flow: bool,
    /// The key whose value comes next.
    key: Option<KeyNode>,
    /// All keys so far, so that a map of any size is checked in linear time.
    seen: HashMap<String, SourcePlace>,
}

#[derive(Default)]
struct Builder {
    found: Tree,
    open: Vec<Open>,
    /// Of the node that began last.
    last_path: String,
    nodes: usize,
    documents: usize,
}

impl Builder {
    /// Whether to go on.
    fn take(&mut self, event: Event<'_>, span: Span) -> bool {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let place = SourcePlace::of_span(&span);
                    let problem = ConfigProblem::error(MessageKind::Syntax, place, "", "a second document begins here");
                    self.found.problems.push(
                        problem.hint("the file holds one document: remove the line `---` and what belongs to it"),
                    );
                    return false;
                }
            }
            Event::Scalar(text, style, _, tag) => {
                let plain = style == ScalarStyle::Plain;
                let scalar = Scalar { text: text.into_owned(), plain, written: None };
                let kind = if tag.is_some() { self.refuse_tag(&span) } else { NodeKind::Scalar(scalar) };
                return self.leaf(kind, &span);
            }
            Event::Alias(_) => {
                let problem = self.syntax(&span, "aliases (`*name`) are not supported");
                self.found
                    .problems
                    .push(problem.hint("write the value itself; for text that begins with `*`, put it in quotes"));
                return self.leaf(NodeKind::Broken, &span);
            }
            Event::UnresolvedAlias(name) => {
                let problem = self.syntax(&span, "text that begins with `*` must be in quotes");
                let secret = source::is_secret(&self.next_path());
                self.found.problems.push(problem.hint(if secret {
                    "put it in quotes".to_owned()
                } else {
                    format!("write \"*{name}\"")
                }));
                return self.leaf(NodeKind::Broken, &span);
            }
            Event::Anchor(_, name) => {
                // It comes behind the node that it stands before.
                let secret = source::is_secret(&self.last_path);
                if secret {
                    self.found.secrets.push((span.start, span.end));
                }
                let name = if secret { "…".into() } else { name };
                let place = SourcePlace::of_span(&span);
                let problem = ConfigProblem::error(
                    MessageKind::Syntax,
                    place,
                    &self.last_path,
                    "anchors (`&name`) are not supported",
                );
                let hint =
                    format!("remove `&{name}` and write the value where it is needed; for text, put it in quotes");
                self.found.problems.push(problem.hint(hint));
            }
            Event::SequenceStart(style, _, tag) => {
                let kind = if tag.is_some() { self.refuse_tag(&span) } else { NodeKind::List(Vec::new()) };
                return self.opened(kind, style, &span);
            }
            Event::MappingStart(style, _, tag) => {
                let kind = if tag.is_some() { self.refuse_tag(&span) } else { NodeKind::Map(Vec::new()) };
                return self.opened(kind, style, &span);
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            _ => {}
        }
        true
    }

    fn syntax(&self, span: &Span, message: &str) -> ConfigProblem {
        ConfigProblem::error(MessageKind::Syntax, SourcePlace::of_span(span), &self.next_path(), message)
    }

    fn refuse_tag(&mut self, span: &Span) -> NodeKind {
        let tag = span.tag_span().unwrap_or(*span);
        let path = self.next_path();
        if source::is_secret(&path) {
            self.found.secrets.push((tag.start, tag.end));
        }
        let problem = ConfigProblem::error(
            MessageKind::Syntax,
            SourcePlace::of_span(&tag),
            &path,
            "tags (`!name`) are not supported",
        );
        self.found.problems.push(problem.hint("remove it; for text that begins with `!`, put it in quotes"));
        NodeKind::Broken
    }

    /// The path of the value that comes next.
    fn next_path(&self) -> String {
        let Some(parent) = self.open.last() else { return String::new() };
        match (&parent.node.kind, &parent.key) {
            (NodeKind::List(items), _) => format!("{}[{}]", parent.node.path, items.len()),
            (_, Some(key)) => {
                let short: String = key.text.chars().take(MAX_PATH_SEGMENT).collect();
                if parent.node.path.is_empty() { short } else { format!("{}.{short}", parent.node.path) }
            }
            _ => parent.node.path.clone(),
        }
    }

    fn node(&mut self, kind: NodeKind, span: &Span) -> Node {
        self.last_path = self.next_path();
        let key_place = self.open.last().and_then(|parent| parent.key.as_ref()).map(|key| key.place);
        Node { place: SourcePlace::of_span(span), key_place, path: self.last_path.clone(), kind }
    }

    fn leaf(&mut self, kind: NodeKind, span: &Span) -> bool {
        let node = self.node(kind, span);
        let is_key =
            self.open.last().is_some_and(|parent| matches!(parent.node.kind, NodeKind::Map(_)) && parent.key.is_none());
        // `${NAME}` is not the secret itself, and worth seeing.
        let named = matches!(&node.kind, NodeKind::Scalar(scalar) if scalar.text.starts_with("${") && !scalar.text.contains(":-"));
        if !is_key && !named && source::is_secret(&node.path) {
            self.found.secrets.push((span.start, span.end));
        }
        self.put(node)
    }

    fn opened(&mut self, kind: NodeKind, style: StructureStyle, span: &Span) -> bool {
        let mut node = self.node(kind, span);
        let flow = style == StructureStyle::Flow;
        if flow {
            node.place.length = 1;
        }
        self.open.push(Open { node, flow, key: None, seen: HashMap::new() });
        self.within_bounds(span)
    }

    fn close(&mut self) {
        if let Some(done) = self.open.pop() {
            self.put(done.node);
        }
    }

    /// Hands a finished node to its parent: as a key, a value or an item.
    fn put(&mut self, node: Node) -> bool {
        self.nodes += 1;
        let Some(parent) = self.open.last_mut() else {
            self.found.root = Some(node);
            return true;
        };
        match &mut parent.node.kind {
            NodeKind::List(items) => items.push(node),
            NodeKind::Map(entries) => match parent.key.take() {
                None => parent.key = Some(key_of(node, &mut self.found.problems)),
                Some(key) if key.text == "<<" => {
                    refuse_merge(&key, &node, &mut self.found.problems);
                    // What it would have brought is unknown, so nothing in this map can be called missing.
                    parent.node.kind = NodeKind::Broken;
                }
                Some(key) => add(entries, &mut parent.seen, key, node, &mut self.found.problems),
            },
            // The children of something refused are counted, and forgotten.
            _ => {}
        }
        self.nodes <= MAX_NODES || self.too_large()
    }

    fn within_bounds(&mut self, span: &Span) -> bool {
        if self.open.len() <= MAX_DEPTH {
            return true;
        }
        let problem = self.syntax(span, &format!("more than {MAX_DEPTH} levels are nested here"));
        self.found.problems.push(
            problem.hint("no section of the configuration is that deep: look for a bracket or an indentation too many"),
        );
        false
    }

    fn too_large(&mut self) -> bool {
        let place = SourcePlace { line: 1, column: 1, length: 1 };
        let message = format!("the file has more than {MAX_NODES} values");
        self.found.problems.push(
            ConfigProblem::error(MessageKind::Syntax, place, "", message)
                .hint("split the service, or write fewer routes with wider paths"),
        );
        false
    }

    /// Where the brackets stand that are still open, outermost first.
    fn open_brackets(&self) -> Vec<SourcePlace> {
        self.open.iter().filter(|open| open.flow).map(|open| open.node.place).collect()
    }
}

fn key_of(node: Node, problems: &mut Vec<ConfigProblem>) -> KeyNode {
    let text = match node.kind {
        NodeKind::Scalar(scalar) if !scalar.text.is_empty() => scalar.text,
        // Reported where it was found.
        NodeKind::Broken => String::new(),
        _ => {
            let problem = ConfigProblem::error(MessageKind::Syntax, node.place, &node.path, "a key must be plain text");
            problems.push(problem.hint("write `key: value`; put text that begins with `{`, `[` or `?` in quotes"));
            String::new()
        }
    };
    KeyNode { text, place: node.place }
}

fn refuse_merge(key: &KeyNode, value: &Node, problems: &mut Vec<ConfigProblem>) {
    let problem =
        ConfigProblem::error(MessageKind::Syntax, key.place, &value.path, "merge keys (`<<`) are not supported");
    problems.push(problem.hint("write the keys out where they are needed"));
}

type Entries = Vec<(KeyNode, Node)>;

fn add(
    entries: &mut Entries,
    seen: &mut HashMap<String, SourcePlace>,
    key: KeyNode,
    value: Node,
    problems: &mut Vec<ConfigProblem>,
) {
    if key.text.is_empty() {
        return;
    }
    if let Some(&first) = seen.get(&key.text) {
        let message = format!("duplicate key `{}`: it is already written in line {}", key.text, first.line);
        let problem =
            ConfigProblem::error(MessageKind::Duplicate, key.place, &value.path, message).hint("keep one of the two");
        problems.push(problem.related(first, "first written here"));
        return;
    }
    seen.insert(key.text.clone(), key.place);
    entries.push((key, value));
}
