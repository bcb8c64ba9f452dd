//! A value of the file that knows where it stands.

use crate::config::source::SourcePlace;

/// One value of the file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Where the value is.
    pub place: SourcePlace,
    /// Where the key is that leads to it, if it is the value of a key.
    pub key_place: Option<SourcePlace>,
    /// `routes[3].policy`.
    pub path: String,
    pub kind: NodeKind,
}

#[derive(Debug, Clone)]
pub(super) enum NodeKind {
    Scalar(Scalar),
    List(Vec<Node>),
    /// Without duplicates: the first of two equal keys is kept, the second is a problem.
    Map(Vec<(KeyNode, Node)>),
    /// Already reported; nothing more is said about it.
    Broken,
}

#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub text: String,
    /// Without quotes: `true` and `"true"` differ.
    pub plain: bool,
    /// What stands in the file, if `${…}` in it was replaced. Messages show this.
    pub written: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct KeyNode {
    pub text: String,
    pub place: SourcePlace,
}

impl Node {
    /// Where to point when something is missing in it: its key, as that is what a person looks for.
    pub(super) fn label(&self) -> SourcePlace {
        self.key_place.unwrap_or(self.place)
    }

    /// Nothing is written: `key:`.
    pub(super) fn is_empty(&self) -> bool {
        matches!(&self.kind, NodeKind::Scalar(scalar) if scalar.plain && matches!(scalar.text.as_str(), "" | "~" | "null"))
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            NodeKind::Map(entries) => entries.iter().find(|(k, _)| k.text == key).map(|(_, value)| value),
            _ => None,
        }
    }
}
