//! Templates of tags: text with holes, which an exchange fills.

use super::{MAX_TAG_BYTES, MAX_TAGS, escape};
use crate::facet::Facet;

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
    /// `<tenant>`: a facet of whoever asks.
    Facet(Facet),
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
    /// `principal`: everything that is kept under any credential that the request shows.
    Principal,
}

/// Where the holes of a template get their values from, for one exchange.
pub trait Values {
    /// The values of a source: none when it is missing, several when it runs through an array.
    /// `Err` when it cannot be told (no such field, not JSON), which is not the same as an empty list.
    fn values(&self, source: &TagSource) -> Result<Vec<String>, Unknown>;
}

/// A value cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

impl TagTemplate {
    /// The tags that this template makes. `Err` when a value cannot be told or is missing.
    pub fn tags(&self, values: &dyn Values) -> Result<Vec<String>, Unknown> {
        let mut tags = vec![String::new()];
        for piece in &self.pieces {
            match piece {
                TagPiece::Text(text) => tags.iter_mut().for_each(|tag| tag.push_str(text)),
                TagPiece::Value(source) => {
                    let found = values.values(source)?;
                    if tags.len().saturating_mul(found.len()) > MAX_TAGS {
                        return Err(Unknown);
                    }
                    tags = tags
                        .iter()
                        .flat_map(|tag| found.iter().map(move |value| format!("{tag}{}", escape(value))))
                        .collect();
                }
            }
        }
        match tags.iter().all(|tag| tag.len() <= MAX_TAG_BYTES) {
            true => Ok(tags),
            false => Err(Unknown),
        }
    }

    /// What a purge by this template names: as [`TagTemplate::tags`], but a value that is missing widens the tag to
    /// `…:*` at that place, so that a purge is never too narrow.
    pub fn purged(&self, values: &dyn Values) -> Vec<String> {
        match self.tags(values) {
            Ok(tags) if !tags.is_empty() => tags,
            _ => vec![self.widened(values)],
        }
    }

    fn widened(&self, values: &dyn Values) -> String {
        let mut tag = String::new();
        for piece in &self.pieces {
            match piece {
                TagPiece::Text(text) => tag.push_str(text),
                TagPiece::Value(source) => match values.values(source) {
                    Ok(found) if found.len() == 1 => tag.push_str(&escape(&found[0])),
                    _ => {
                        // Entries carry wildcards at colons only.
                        let colon = tag.rfind(':').map_or(0, |at| at + 1);
                        tag.truncate(colon);
                        tag.push('*');
                        return tag;
                    }
                },
            }
        }
        tag
    }

    /// Whether a value comes from the answer's body.
    pub fn needs_answer(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, TagPiece::Value(TagSource::Answer(_))))
    }
}

impl std::fmt::Display for TagTemplate {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            TagPiece::Text(text) => f.write_str(text),
            TagPiece::Value(TagSource::Part(name)) => write!(f, "<{name}>"),
            TagPiece::Value(TagSource::Facet(facet)) => write!(f, "<{}>", facet.name),
            TagPiece::Value(TagSource::Query(name)) => write!(f, "<query.{name}>"),
            TagPiece::Value(TagSource::Sent(path)) => write!(f, "<sent.{}>", path.join(".")),
            TagPiece::Value(TagSource::Answer(path)) => write!(f, "<answer.{}>", path.join(".")),
        })
    }
}

/// The values that a dotted path finds in JSON, through arrays. `null` is no value; a field that is not there is unknown.
pub fn json_values(json: &serde_json::Value, path: &[String]) -> Result<Vec<String>, Unknown> {
    use serde_json::Value;
    match (json, path) {
        (Value::Array(items), _) => {
            let mut all = Vec::new();
            for item in items {
                all.extend(json_values(item, path)?);
                if all.len() > MAX_TAGS {
                    return Err(Unknown);
                }
            }
            Ok(all)
        }
        (Value::Null, []) => Ok(Vec::new()),
        (Value::String(text), []) => Ok(vec![text.clone()]),
        (Value::Number(number), []) => Ok(vec![number.to_string()]),
        (Value::Bool(truth), []) => Ok(vec![truth.to_string()]),
        (Value::Object(fields), [first, rest @ ..]) => fields.get(first).map_or(Err(Unknown), |v| json_values(v, rest)),
        _ => Err(Unknown),
    }
}
