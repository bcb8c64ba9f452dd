//! The writing side of a connection: what is to be sent is gathered, so that a head and a small body leave in one write.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;

use super::Framing;
use super::encode::field_lines;
use super::wire::Wire;

/// Pieces up to this length are copied together; longer ones are written from where they are.
const COPIED: usize = 8 << 10;

/// Enough to be worth a write.
const ENOUGH: usize = 64 << 10;

thread_local! {
    /// Buffers that are not in use.
    static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Spare buffers that a worker keeps, and how long they may be.
const MAX_SPARE: usize = 64;
const MAX_KEPT: usize = 128 << 10;

/// What is to be written, in order: `text`, then `data`, then `tail`.
#[derive(Debug)]
pub struct Sink {
    text: Vec<u8>,
    data: Bytes,
    tail: &'static [u8],
    /// How much of it has left.
    written: usize,
}

impl Default for Sink {
    fn default() -> Sink {
        let text = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        Sink { text, data: Bytes::new(), tail: b"", written: 0 }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let mut text = std::mem::take(&mut self.text);
        if text.capacity() > MAX_KEPT {
            return;
        }
        text.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MAX_SPARE {
                spare.push(text);
            }
        });
    }
}

impl Sink {
    /// Where heads are written to; only while [`Sink::takes_more`].
    pub fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Whether more may be added before a write.
    pub fn takes_more(&self) -> bool {
        self.data.is_empty() && self.tail.is_empty() && self.text.len() < ENOUGH
    }

    /// Whether everything has left.
    pub fn is_empty(&self) -> bool {
        self.length() == 0
    }

    /// How many bytes have left of what is in here now.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Adds a piece of a body; only while [`Sink::takes_more`].
    pub fn data(&mut self, data: Bytes, framing: Framing) {
        if data.is_empty() {
            return;
        }
        let chunked = framing == Framing::Chunked;
        if chunked {
            chunk_size(&mut self.text, data.len());
        }
        let tail: &'static [u8] = if chunked { b"\r\n" } else { b"" };
        if data.len() <= COPIED {
            self.text.extend_from_slice(&data);
            self.text.extend_from_slice(tail);
        } else {
            self.data = data;
            self.tail = tail;
        }
    }

    /// Adds the end of a body; only while [`Sink::takes_more`].
    pub fn end(&mut self, trailers: Option<&HeaderMap>, framing: Framing) {
        if framing == Framing::Chunked {
            self.text.extend_from_slice(b"0\r\n");
            field_lines(&mut self.text, trailers.into_iter().flatten());
            self.text.extend_from_slice(b"\r\n");
        }
    }

    fn length(&self) -> usize {
        self.text.len() + self.data.len() + self.tail.len()
    }

    /// Writes until nothing is left. Answers how many bytes left.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, wire: &impl Wire) -> Poll<io::Result<usize>> {
        let before = self.written;
        while self.written < self.length() {
            ready!(wire.poll_writable(cx))?;
            match self.write(wire) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        ready!(wire.poll_flush(cx))?;
        let left = self.written - before;
        self.text.clear();
        self.data = Bytes::new();
        self.tail = b"";
        self.written = 0;
        Poll::Ready(Ok(left))
    }

    fn write(&self, wire: &impl Wire) -> io::Result<usize> {
        let text = &self.text[self.written.min(self.text.len())..];
        if self.data.is_empty() {
            return wire.try_write(&[IoSlice::new(text)]);
        }
        let behind = self.written.saturating_sub(self.text.len());
        let data = &self.data[behind.min(self.data.len())..];
        let tail = &self.tail[behind.saturating_sub(self.data.len())..];
        wire.try_write(&[IoSlice::new(text), IoSlice::new(data), IoSlice::new(tail)])
    }
}

fn chunk_size(out: &mut Vec<u8>, size: usize) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut begun = false;
    for shift in (0..16).rev().map(|digit| digit * 4) {
        let digit = size >> shift & 15;
        begun |= digit > 0 || shift == 0;
        if begun {
            out.push(DIGITS[digit]);
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_chunks() {
        let size = |size| {
            let mut out = Vec::new();
            chunk_size(&mut out, size);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(size(0), "0\r\n");
        assert_eq!(size(10), "a\r\n");
        assert_eq!(size(0x1f0), "1f0\r\n");
    }
}
