//! Moving bytes without waiting, and waiting for the moment when some can be moved: over a socket, or over TLS on one.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

/// A connection. Each of its two directions is waited for by one task at a time.
pub trait Wire {
    /// Ready once [`Wire::try_read`] may have something to tell.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads what has come; nothing at the end, [`io::ErrorKind::WouldBlock`] where there is nothing yet.
    fn try_read(&self, room: &mut [u8]) -> io::Result<usize>;

    /// Ready once [`Wire::try_write`] may take something.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Takes as much as it can of these, in order.
    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ready once everything that was taken has left.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Tells the other side that nothing more will come.
    fn finish(&self) -> io::Result<()>;
}

impl Wire for TcpStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        TcpStream::try_read(self, room)
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }

    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match pieces {
            [one] => TcpStream::try_write(self, one),
            several => self.try_write_vectored(several),
        }
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn finish(&self) -> io::Result<()> {
        socket2::SockRef::from(self).shutdown(Shutdown::Write)
    }
}
