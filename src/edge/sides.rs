//! The two sides of a client's connection, plain or under TLS: one reads requests, the other writes answers.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::tls::session::Session;
use crate::http1::wire::Wire;

/// The reading side.
#[derive(Debug)]
pub enum ReadSide {
    /// Of a socket.
    Plain(OwnedReadHalf),
    /// Of TLS on one.
    Tls(Arc<Session>),
}

/// The writing side.
#[derive(Debug)]
pub enum WriteSide {
    /// Of a socket.
    Plain(OwnedWriteHalf),
    /// Of TLS on one.
    Tls(Arc<Session>),
}

/// What a client did while nobody read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// It sent something.
    Data,
    /// It closed its side.
    End,
}

/// Both sides of a socket.
pub fn plain(stream: TcpStream) -> (ReadSide, WriteSide) {
    let (read, write) = stream.into_split();
    (ReadSide::Plain(read), WriteSide::Plain(write))
}

/// Both sides of a TLS session.
pub fn tls(session: Session) -> (ReadSide, WriteSide) {
    let session = Arc::new(session);
    (ReadSide::Tls(session.clone()), WriteSide::Tls(session))
}

impl AsyncRead for ReadSide {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ReadSide::Plain(read) => Pin::new(read).poll_read(cx, buffer),
            ReadSide::Tls(session) => session.poll_read(cx, buffer),
        }
    }
}

impl WriteSide {
    /// The socket beneath.
    pub fn socket(&self) -> &TcpStream {
        match self {
            WriteSide::Plain(write) => write.as_ref(),
            WriteSide::Tls(session) => session.socket(),
        }
    }

    /// Waits for the client to do something, and takes nothing of it. `Err`: the connection is broken.
    pub fn poll_came(&self, cx: &mut Context<'_>) -> Poll<io::Result<Came>> {
        match self {
            WriteSide::Plain(write) => {
                let mut byte = [0];
                let came = ready!(write.as_ref().poll_peek(cx, &mut ReadBuf::new(&mut byte)))?;
                Poll::Ready(Ok(if came == 0 { Came::End } else { Came::Data }))
            }
            WriteSide::Tls(session) => session.poll_came(cx),
        }
    }

    /// Whether the client has begun to agree on a session, where one is due.
    pub fn has_begun(&self) -> bool {
        matches!(self, WriteSide::Tls(session) if session.has_begun())
    }

    /// The connection ends in order, where its own protocol has a word for that (RFC 9112 §9.8).
    pub fn say_goodbye(&self) {
        if let WriteSide::Tls(session) = self {
            session.say_goodbye();
        }
    }
}

impl Wire for WriteSide {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            WriteSide::Plain(write) => write.as_ref().poll_readable(cx),
            WriteSide::Tls(session) => session.poll_came(cx).map_ok(drop),
        }
    }

    fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            WriteSide::Plain(write) => write.as_ref().try_read(room),
            WriteSide::Tls(session) => session.try_read(room),
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_write_ready(cx)
    }

    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            WriteSide::Plain(write) => Wire::try_write(write.as_ref(), pieces),
            WriteSide::Tls(session) => session.try_write(pieces),
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            WriteSide::Plain(_) => Poll::Ready(Ok(())),
            WriteSide::Tls(session) => session.poll_flush(cx),
        }
    }

    fn finish(&self) -> io::Result<()> {
        self.say_goodbye();
        self.socket().finish()
    }
}
