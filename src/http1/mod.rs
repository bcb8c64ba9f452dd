//! HTTP/1.1 messages as bytes (RFC 9112): heads, bodies, and a socket that they are read from. Both ends use it: the
//! [`edge`](crate::edge) for requests, the [`upstream`](crate::upstream) for answers.
//!
//! It is strict where two parties could read a message differently, and leaves no choice about it: a message that is not
//! clear is a fault, and the connection that it came on carries nothing more.

pub mod bounds;
pub mod chunked;
pub mod decode;
pub mod decoded;
pub mod encode;
pub mod head;
pub mod sink;
pub mod source;
pub mod wire;

use crate::body::ending::Ending;

/// How the end of a body is known (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none, or its length in bytes was announced.
    Length(u64),
    /// In chunks.
    Chunked,
    /// By the end of the connection: a cut cannot be told from the end. Answers only.
    Close,
}

impl From<Framing> for Ending {
    fn from(framing: Framing) -> Ending {
        match framing {
            Framing::Length(length) => Ending::Length(length),
            Framing::Chunked => Ending::Marked,
            Framing::Close => Ending::Unmarked,
        }
    }
}

/// Whether the peer lets the connection go on after a message (RFC 9112 §9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Another message may follow.
    Keep,
    /// This is the last.
    Close,
}
