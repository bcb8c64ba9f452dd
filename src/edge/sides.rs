//! The two sides of a client's connection, plain or under TLS: one reads requests, the other writes answers.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::tls::session::Session;
use crate::edge::linger::ClientAct;
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
    Plain(Writing),
    /// Of TLS on one.
    Tls(Arc<Session>),
}

/// The writing side of a socket. It tells of its end when it is dropped, unless that is to be seen for what it is.
#[derive(Debug)]
pub struct Writing {
    /// There until it is dropped.
    half: Option<OwnedWriteHalf>,
    is_broken: AtomicBool,
}

impl Writing {
    fn socket(&self) -> &TcpStream {
        self.half.as_ref().expect("it is taken when it is dropped").as_ref()
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // It would say first that all has been said, and be reset behind that.
        if let (Some(half), true) = (self.half.take(), self.is_broken.load(Ordering::Relaxed)) {
            half.forget();
        }
    }
}

/// What a client is to take the end of its connection for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// The end of an answer.
    Whole,
    /// That the answer broke off: a reset, which also drops what has not left yet.
    Broken,
}

/// Both sides of a socket.
pub fn plain(stream: TcpStream) -> (ReadSide, WriteSide) {
    let (read, write) = stream.into_split();
    (ReadSide::Plain(read), WriteSide::Plain(Writing { half: Some(write), is_broken: AtomicBool::new(false) }))
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
            WriteSide::Plain(write) => write.socket(),
            WriteSide::Tls(session) => session.socket(),
        }
    }

    /// Waits for the client to do something, and takes nothing of it. `Err`: the connection is broken.
    pub fn poll_came(&self, cx: &mut Context<'_>) -> Poll<io::Result<ClientAct>> {
        match self {
            WriteSide::Plain(write) => {
                let mut byte = [0];
                let came = ready!(write.socket().poll_peek(cx, &mut ReadBuf::new(&mut byte)))?;
                Poll::Ready(Ok(if came == 0 { ClientAct::End } else { ClientAct::Data }))
            }
            WriteSide::Tls(session) => session.poll_came(cx),
        }
    }

    /// What closing will tell. Where the system refuses to be told, an end is an end.
    pub fn closing_means(&self, closing: Closing) {
        let is_broken = closing == Closing::Broken;
        if let WriteSide::Plain(write) = self {
            write.is_broken.store(is_broken, Ordering::Relaxed);
        }
        let linger = if is_broken { Some(Duration::ZERO) } else { None };
        let _ = socket2::SockRef::from(self.socket()).set_linger(linger);
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
            WriteSide::Plain(write) => write.socket().poll_readable(cx),
            WriteSide::Tls(session) => session.poll_came(cx).map_ok(drop),
        }
    }

    fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        match self {
            WriteSide::Plain(write) => write.socket().try_read(room),
            WriteSide::Tls(session) => session.try_read(room),
        }
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_write_ready(cx)
    }

    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            WriteSide::Plain(write) => Wire::try_write(write.socket(), pieces),
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
