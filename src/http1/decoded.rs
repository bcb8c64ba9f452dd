//! What comes of reading a body, whatever its framing.

use http::HeaderMap;

/// Why a body is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// The connection ended before the body.
    Cut,
    /// A chunk that could be read in two ways.
    Chunk,
}

/// What came of some bytes.
#[derive(Debug)]
pub struct Decoded {
    /// How many of them were the body's.
    pub consumed: usize,
    /// The body is whole.
    pub end: Option<BodyEnd>,
}

/// The end of a body.
#[derive(Debug, Default)]
pub struct BodyEnd {
    /// What came after it.
    pub trailers: Option<HeaderMap>,
}

impl std::fmt::Display for BodyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            BodyFault::Cut => "the body broke off",
            BodyFault::Chunk => "the body's chunks are not clear",
        })
    }
}

impl std::error::Error for BodyFault {}
