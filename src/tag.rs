//! Tags: the names by which stored answers are purged.
//!
//! An entry carries the hashes of its tags. Its URL, host, path prefixes and route are tags too, so that one mechanism
//! serves every kind of purge (COHERENCE rule 4). `a:b:c` also carries `a:b:*` and `a:*`, so a purge may be as wide as it
//! must. Values that come from a request are escaped before they become part of a tag: they cannot contain `:` or `*`.

/// `patient:<id>`, `patient:<answer.patient_id>`: text with holes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagTemplate {
    /// Text and holes in order.
    pub pieces: Vec<TagPiece>,
}

/// A piece of a tag template.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TagPiece {
    /// This text.
    Text(String),
    /// What this source holds for the exchange at hand.
    Value(TagSource),
}

/// Where the value of a hole comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TagSource {
    /// `<id>`: a named part of the path or the host.
    Part(String),
    /// `<query.x>`: a query parameter.
    Query(String),
    /// `<sent.x.y>`: a field of the request's JSON body.
    Sent(Vec<String>),
    /// `<answer.x.y>`: a field of the answer's JSON body; through arrays, every element's.
    Answer(Vec<String>),
}

/// An item of `purges:`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PurgeTemplate {
    /// This tag.
    Tag(TagTemplate),
    /// `principal`: everything that is kept for whoever asks, and for whom the answer's cookies sign in.
    Principal,
}
