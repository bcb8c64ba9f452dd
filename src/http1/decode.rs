//! Bodies: from bytes on the wire to data, by whatever framing the head announced.

use bytes::BytesMut;

use super::Framing;
use super::chunked::Chunked;
use crate::http1::decoded::{BodyEnd, BodyFault, Decoded};

/// Reads one body.
#[derive(Debug)]
pub enum Decoder {
    /// So many bytes are to come.
    Length(u64),
    /// Chunks.
    Chunked(Chunked),
    /// All until the connection ends.
    Close,
}

impl Decoder {
    /// For a body framed so.
    pub fn new(framing: Framing) -> Decoder {
        match framing {
            Framing::Length(length) => Decoder::Length(length),
            Framing::Chunked => Decoder::Chunked(Chunked::default()),
            Framing::Close => Decoder::Close,
        }
    }

    /// Reads as much as there is, and appends the data to `out`.
    pub fn decode(&mut self, input: &[u8], out: &mut BytesMut) -> Result<Decoded, BodyFault> {
        match self {
            Decoder::Length(left) => {
                let here = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                out.extend_from_slice(&input[..here]);
                *left -= here as u64;
                Ok(Decoded { consumed: here, end: (*left == 0).then(BodyEnd::default) })
            }
            Decoder::Chunked(chunked) => chunked.decode(input, out),
            Decoder::Close => {
                out.extend_from_slice(input);
                Ok(Decoded { consumed: input.len(), end: None })
            }
        }
    }

    /// The connection ended.
    pub fn end(&self) -> Result<BodyEnd, BodyFault> {
        match self {
            Decoder::Close | Decoder::Length(0) => Ok(BodyEnd::default()),
            _ => Err(BodyFault::Cut),
        }
    }

    /// Bytes that are to come, as far as they were announced.
    pub fn left(&self) -> Option<u64> {
        match self {
            Decoder::Length(left) => Some(*left),
            Decoder::Chunked(_) | Decoder::Close => None,
        }
    }
}
