//! What the `cache:` section says, validated.

use std::sync::Arc;

use http::HeaderName;

use crate::fields::targeted::Targeted;

/// Bounds of the memory store and the cache's mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// Whether stored answers are used at all.
    pub mode: CacheMode,
    /// All entries together, in bytes, with their heads and keys.
    pub memory: u64,
    /// What a client has of it at the most while others want room, in hundredths; `None`: there is no bound.
    pub client_share: Option<u8>,
    /// The longest body that is stored, in bytes.
    pub max_object: u64,
    /// How much one answer may have of what origins name.
    pub bounds: Bounds,
    /// Whether what origins say to caches like this one alone goes on to clients.
    pub targeted: Targeted,
    /// The fields by which origins name tags, beside those that are known.
    pub tag_fields: Arc<[HeaderName]>,
}

/// How much one answer may have of what origins name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most variants that are kept.
    pub variants: usize,
    /// The most request headers that `Vary` may add to a key; an answer with more is not kept.
    pub vary: usize,
    /// The most tags, those of its URL and the wider ones of each included; an answer with more is not kept.
    pub tags: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { variants: 32, vary: 16, tags: 2500 }
    }
}

/// What the cache does with every route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CacheMode {
    /// Store and deliver, as the routes say.
    #[default]
    Serve,
    /// Pass every request.
    Bypass,
}

impl CacheSettings {
    /// What a client has of the memory store at the most while others want room, in bytes.
    pub fn share(&self) -> Option<u64> {
        self.client_share.map(|hundredths| self.memory / 100 * u64::from(hundredths))
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        CacheSettings {
            mode: CacheMode::Serve,
            memory: 256 << 20,
            client_share: Some(12),
            max_object: 8 << 20,
            bounds: Bounds::default(),
            targeted: Targeted::default(),
            tag_fields: Arc::default(),
        }
    }
}
