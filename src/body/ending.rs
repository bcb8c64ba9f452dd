//! How the end of a body is known, whatever protocol brings it.

/// How the end of a body is known. HTTP/1.1 has a framing for each (RFC 9112 §6.3); HTTP/2 marks every end (RFC 9113 §8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// There is no body, or its length in bytes was announced.
    Length(u64),
    /// The end is marked when it comes; trailers may stand behind it.
    Marked,
    /// The connection ends: a cut cannot be told from the end.
    Unmarked,
}
