//! What a key finds.

use std::sync::Arc;
use std::time::Instant;

use crate::entry::incomplete::Incomplete;
use crate::entry::key::Key;
use crate::entry::stored::Entry;
use crate::entry::variants::Variants;

/// What a key finds.
#[derive(Debug, Clone)]
pub enum Slot {
    /// An answer.
    Entry(Entry),
    /// A part of one.
    Incomplete(Incomplete),
    /// The answers here differ by request headers; look again under a variant's key.
    Variants(Arc<Variants>),
    /// The origin's answers here cannot be stored: pass at once, without a queue, until then.
    Uncacheable(Instant),
    /// They are too long to be stored whole: pass them until then, save for parts that may be.
    TooLong(Instant),
}

impl Slot {
    /// What is stored, whole or in part.
    pub fn entry(&self) -> Option<&Entry> {
        match self {
            Slot::Entry(entry) => Some(entry),
            Slot::Incomplete(part) => Some(part.entry()),
            Slot::Variants(_) | Slot::Uncacheable(_) | Slot::TooLong(_) => None,
        }
    }

    /// Bytes in memory, nearly, with the key.
    pub fn weight(&self, key: &Key) -> u32 {
        /// What the map, its queue and the allocator add to an entry; measured with 100 000 of them.
        const MAP_ENTRY: usize = 360;
        let own = match self {
            Slot::Entry(entry) => entry.weight(),
            Slot::Incomplete(part) => part.weight(),
            Slot::Variants(variants) => variants.weight(),
            Slot::Uncacheable(_) | Slot::TooLong(_) => 0,
        };
        u32::try_from(own + key.len() + MAP_ENTRY).unwrap_or(u32::MAX)
    }
}
