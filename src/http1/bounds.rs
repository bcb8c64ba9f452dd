//! The largest heads that are read, unless the configuration says otherwise.

/// The longest head of an answer in bytes, where nothing else is configured.
pub const MAX_HEAD: usize = 64 << 10;

/// The most fields in it, likewise.
pub const MAX_FIELDS: usize = 256;
