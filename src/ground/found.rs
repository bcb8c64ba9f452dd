//! What was found out about somebody, kept under a digest for a while: verified tokens, permissions.
//!
//! Bounded by bytes, like the store of answers. Whatever is evicted costs finding it out again, never truth.

use moka::sync::Cache;
use serde_json::{Map, Value};

/// Findings of one kind.
pub struct Findings<V> {
    all: Cache<[u8; 32], (V, u32), foldhash::quality::RandomState>,
}

/// What one finding takes beside itself: its digest, and its place in the map.
const PLACE: usize = 400;

impl<V: Clone + Send + Sync + 'static> Findings<V> {
    /// Bounded by this many bytes.
    pub fn new(max_bytes: u64) -> Findings<V> {
        let all = Cache::builder().max_capacity(max_bytes).weigher(|_, (_, weight): &(V, u32)| *weight);
        Findings { all: all.build_with_hasher(foldhash::quality::RandomState::default()) }
    }

    /// What was found, if it is still known.
    pub fn get(&self, digest: &[u8; 32]) -> Option<V> {
        self.all.get(digest).map(|(found, _)| found)
    }

    /// Forgets it.
    pub fn remove(&self, digest: &[u8; 32]) {
        self.all.invalidate(digest);
    }

    /// Keeps it; it takes about this many bytes.
    pub fn put(&self, digest: [u8; 32], found: V, bytes: usize) {
        self.all.insert(digest, (found, u32::try_from(bytes + PLACE).unwrap_or(u32::MAX)));
    }
}

/// What the fields of a JSON object take on the heap, about: of many small things a tree takes many times the length of its text.
pub fn json_bytes(fields: &Map<String, Value>) -> usize {
    /// A node of a map, which holds up to eleven fields and is no less than half full, but for the only one.
    const NODE: usize = 11 * (size_of::<String>() + size_of::<Value>()) + 16;
    let nodes = if fields.is_empty() { 0 } else { (fields.len() / 5).max(1) * NODE };
    nodes + fields.iter().map(|(name, value)| name.len() + value_bytes(value)).sum::<usize>()
}

fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        // A list grows by doubling.
        Value::Array(items) => items.iter().map(|item| 2 * size_of::<Value>() + value_bytes(item)).sum(),
        Value::Object(fields) => json_bytes(fields),
    }
}

impl<V> std::fmt::Debug for Findings<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Findings(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tree_takes_is_told_by_its_nodes_not_by_its_text() {
        let bytes = |text: &str| json_bytes(&serde_json::from_str(text).unwrap());
        assert_eq!(bytes("{}"), 0);
        assert!(bytes("{\"a\": 1}") > 500, "a node has room for eleven");
        assert!(bytes(&format!("{{\"a\": \"{}\"}}", "x".repeat(10_000))) < 11_000);
        assert!(bytes(&format!("{{\"a\": [{}0]}}", "{\"\":{\"\":0}},".repeat(1_000))) > 1_000_000);
        assert!(bytes(&format!("{{\"a\": [{}0]}}", "[],".repeat(1_000))) > 32_000);
    }
}
