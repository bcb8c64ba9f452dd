//! The reading side of a connection: heads and bodies, one after the other, from whatever the socket brings at a time.
//!
//! A worker reads all its sockets into one buffer of its own; a connection keeps bytes only while a head is incomplete or
//! something came after it. An idle connection keeps nothing.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::decode::Decoder;
use super::head::{HeadEnd, HeadFault};
use crate::http1::decoded::{BodyEnd, BodyFault};

thread_local! {
    /// Where a worker reads to, one connection at a time.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]);
}

/// A socket and what came from it without having been used yet.
#[derive(Debug)]
pub struct MessageSource<R> {
    io: R,
    kept: Vec<u8>,
    end: HeadEnd,
}

/// Why there is no head.
#[derive(Debug)]
pub enum NoHead {
    /// The connection ended where a message may begin.
    Closed,
    /// It broke, or ended inside a head.
    Broken,
    /// The head cannot be trusted.
    Fault(HeadFault),
}

/// Why a body is given up.
#[derive(Debug)]
pub enum NoBody {
    /// What came is no such body.
    Fault(BodyFault),
    /// The connection broke.
    Broken(io::Error),
}

/// A piece of a body.
#[derive(Debug)]
pub struct BodyPiece {
    /// Its bytes, perhaps none, in a buffer of their own.
    pub data: Bytes,
    /// It is the last.
    pub end: Option<BodyEnd>,
}

impl<R: AsyncRead + Unpin> MessageSource<R> {
    /// Nothing has come yet.
    pub fn new(io: R) -> MessageSource<R> {
        MessageSource { io, kept: Vec::new(), end: HeadEnd::default() }
    }

    /// The socket.
    pub fn io(&self) -> &R {
        &self.io
    }

    /// The socket, and what came from it and was not used.
    pub fn into_parts(self) -> (R, Vec<u8>) {
        (self.io, self.kept)
    }

    /// Whether something came that was not used.
    pub fn has_more(&self) -> bool {
        !self.kept.is_empty()
    }

    /// Waits for a whole head of at most `max` bytes. `read` is given all that came and the length of the head in it, and
    /// answers how much of that it used.
    pub fn poll_head<T>(
        &mut self,
        cx: &mut Context<'_>,
        max: usize,
        read: impl FnOnce(&[u8], usize) -> Result<(T, usize), HeadFault>,
    ) -> Poll<Result<T, NoHead>> {
        loop {
            if let Some(length) = self.head_in_kept(max).map_err(NoHead::Fault)? {
                let (head, used) = read(&self.kept, length).map_err(NoHead::Fault)?;
                self.use_kept(used);
                return Poll::Ready(Ok(head));
            }
            let whole = ROOM.with_borrow_mut(|room| {
                let came = match ready!(poll_read(&mut self.io, cx, room)) {
                    Ok(0) if self.kept.iter().all(|b| b"\r\n".contains(b)) => return Poll::Ready(Err(NoHead::Closed)),
                    Ok(0) | Err(_) => return Poll::Ready(Err(NoHead::Broken)),
                    Ok(came) => &room[..came],
                };
                if self.kept.is_empty()
                    && let Some(length) = self.end.find(came).map_err(NoHead::Fault)?
                {
                    self.end = HeadEnd::default();
                    if length > max {
                        return Poll::Ready(Err(NoHead::Fault(HeadFault::TooLong)));
                    }
                    return Poll::Ready(Ok(Some((length, came.len()))));
                }
                self.kept.extend_from_slice(came);
                Poll::Ready(Ok(None))
            });
            if let Some((length, came)) = ready!(whole)? {
                return ROOM.with_borrow(|room| {
                    let (head, used) = read(&room[..came], length).map_err(NoHead::Fault)?;
                    self.kept.extend_from_slice(&room[used..came]);
                    Poll::Ready(Ok(head))
                });
            }
        }
    }

    fn head_in_kept(&mut self, max: usize) -> Result<Option<usize>, HeadFault> {
        if self.kept.is_empty() {
            return Ok(None);
        }
        match self.end.find(&self.kept)? {
            Some(length) if length <= max => {
                self.end = HeadEnd::default();
                Ok(Some(length))
            }
            None if self.kept.len() <= max => Ok(None),
            _ => Err(HeadFault::TooLong),
        }
    }

    /// Waits for the next piece of a body.
    pub fn poll_body(&mut self, cx: &mut Context<'_>, decoder: &mut Decoder) -> Poll<Result<BodyPiece, NoBody>> {
        loop {
            let piece = if self.has_more() {
                let (piece, used) = decode(decoder, &self.kept)?;
                self.use_kept(used);
                piece
            } else {
                ready!(self.poll_more(cx, decoder))?
            };
            if !piece.data.is_empty() || piece.end.is_some() {
                return Poll::Ready(Ok(piece));
            }
        }
    }

    /// What the socket has of a body.
    fn poll_more(&mut self, cx: &mut Context<'_>, decoder: &mut Decoder) -> Poll<Result<BodyPiece, NoBody>> {
        ROOM.with_borrow_mut(|room| {
            let came = ready!(poll_read(&mut self.io, cx, room)).map_err(NoBody::Broken)?;
            if came == 0 {
                let end = decoder.end().map_err(NoBody::Fault)?;
                return Poll::Ready(Ok(BodyPiece { data: Bytes::new(), end: Some(end) }));
            }
            let (piece, used) = decode(decoder, &room[..came])?;
            self.kept.extend_from_slice(&room[used..came]);
            Poll::Ready(Ok(piece))
        })
    }

    /// Reads and throws away. Answers how many bytes came; zero at the end of the connection.
    pub fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        ROOM.with_borrow_mut(|room| poll_read(&mut self.io, cx, room))
    }

    fn use_kept(&mut self, used: usize) {
        match used == self.kept.len() {
            true => self.kept = Vec::new(),
            false => drop(self.kept.drain(..used)),
        }
    }
}

/// The data in `input`, in a buffer of its own, and how much of it was the body's.
pub fn decode(decoder: &mut Decoder, input: &[u8]) -> Result<(BodyPiece, usize), NoBody> {
    let most = decoder
        .left()
        .map_or(input.len(), |left| usize::try_from(left).map_or(input.len(), |left| left.min(input.len())));
    let mut data = BytesMut::with_capacity(most);
    let decoded = decoder.decode(input, &mut data).map_err(NoBody::Fault)?;
    Ok((BodyPiece { data: data.freeze(), end: decoded.end }, decoded.consumed))
}

fn poll_read(io: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(room);
    ready!(Pin::new(io).poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}
