//! What the `cache:` section says, validated.

use crate::policy::targeted::Targeted;

/// Bounds of the memory store and the cache's mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheSettings {
    /// Whether stored answers are used at all.
    pub mode: CacheMode,
    /// All entries together, in bytes, with their heads and keys.
    pub memory: u64,
    /// The longest body that is stored, in bytes.
    pub max_object: u64,
    /// The most variants of one answer that are kept, by the origin's `Vary`.
    pub variants: usize,
    /// Whether what origins say to caches like this one alone goes on to clients.
    pub targeted: Targeted,
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

impl Default for CacheSettings {
    fn default() -> Self {
        CacheSettings {
            mode: CacheMode::Serve,
            memory: 256 << 20,
            max_object: 8 << 20,
            variants: 32,
            targeted: Targeted::default(),
        }
    }
}
