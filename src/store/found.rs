//! What was found out about somebody, kept under a digest for a while: verified tokens, permissions.
//!
//! Bounded by bytes, like the store of answers. Whatever is evicted costs finding it out again, never truth.

use moka::sync::Cache;

/// Findings of one kind.
pub struct Found<V> {
    all: Cache<[u8; 32], (V, u32), foldhash::quality::RandomState>,
}

/// What one finding takes beside itself: its digest, and its place in the map.
const PLACE: usize = 400;

impl<V: Clone + Send + Sync + 'static> Found<V> {
    /// Bounded by this many bytes.
    pub fn new(max_bytes: u64) -> Found<V> {
        let all = Cache::builder().max_capacity(max_bytes).weigher(|_, (_, weight): &(V, u32)| *weight);
        Found { all: all.build_with_hasher(foldhash::quality::RandomState::default()) }
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

impl<V> std::fmt::Debug for Found<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Found(…)")
    }
}
