//! TLS on a client's connection, for a reader and a writer at once, neither of which waits for the other.
//!
//! What the client has sent stays with the kernel until somebody reads; what is written is made into records of which at most
//! 32 KiB wait for the socket.

use std::future::poll_fn;
use std::io::{self, BufRead as _, IoSlice, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use rustls::{InvalidMessage, ServerConnection};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

use super::{TlsTerms, subject};
use crate::asker::facet::certificate::{Authorities, Certificate};
use crate::edge::linger::{ClientAct, DRAIN_TIME, MAX_LINGER};
use crate::http1::wire::Wire as _;

/// Records that a client does not take yet, in bytes.
const MAX_UNSENT: usize = 32 << 10;

/// What whoever speaks plain HTTP here is told.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 36\r\n\
    connection: close\r\n\r\nThis address speaks HTTPS, not HTTP.";

/// A connection under TLS.
pub struct Session {
    socket: TcpStream,
    tls: Mutex<ServerConnection>,
    /// Something has come of the handshake.
    begun: AtomicBool,
    /// By whom a certificate of the client is verified.
    authorities: Option<Authorities>,
}

/// Why there is no session.
#[derive(Debug)]
pub enum NoSession {
    /// The client went away.
    Gone,
    /// What it says is not TLS.
    NotTls,
    /// It was refused, as its version, its certificate or what else it offers demands.
    Refused,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session")
    }
}

impl Session {
    /// A connection on which nothing was said yet.
    pub fn new(socket: TcpStream, terms: &TlsTerms) -> io::Result<Session> {
        let mut tls = ServerConnection::new(terms.config.clone()).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(MAX_UNSENT));
        Ok(Session { socket, tls: Mutex::new(tls), begun: AtomicBool::new(false), authorities: terms.authorities() })
    }

    /// The socket beneath.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Whether the client has sent anything of the handshake.
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Agrees with the client on the session. Answers the certificate that it showed, which was verified. Whoever is refused
    /// is told so.
    pub async fn handshake(&self) -> Result<Option<Arc<Certificate>>, NoSession> {
        match poll_fn(|cx| self.poll_handshake(cx)).await {
            Ok(()) => Ok(self.certificate()),
            Err(NoSession::Gone) => Err(NoSession::Gone),
            Err(refusal) => {
                self.turn_away(&refusal).await;
                Err(refusal)
            }
        }
    }

    fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<Result<(), NoSession>> {
        let gone = |_| NoSession::Gone;
        loop {
            let mut tls = self.tls();
            match self.send(&mut tls) {
                Ok(()) if !tls.is_handshaking() => return Poll::Ready(Ok(())),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(cx)).map_err(gone)?;
                    continue;
                }
                Err(_) => return Poll::Ready(Err(NoSession::Gone)),
            }
            match tls.read_tls(&mut Now(&self.socket)) {
                Ok(0) => return Poll::Ready(Err(NoSession::Gone)),
                Ok(_) => self.begun.store(true, Ordering::Relaxed),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_read_ready(cx)).map_err(gone)?;
                    continue;
                }
                Err(_) => return Poll::Ready(Err(NoSession::Gone)),
            }
            match tls.process_new_packets() {
                Ok(_) => {}
                Err(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                    return Poll::Ready(Err(NoSession::NotTls));
                }
                Err(_) => return Poll::Ready(Err(NoSession::Refused)),
            }
        }
    }

    /// Tells the client why, and leaves it the time to read that.
    async fn turn_away(&self, refusal: &NoSession) {
        let _ = match refusal {
            NoSession::NotTls => self.socket.try_write(NOT_TLS).map(drop),
            // The alert that is due.
            _ => self.send(&mut self.tls()),
        };
        let _ = self.socket.finish();
        // On the heap: every connection's future would be larger by an array, which few ever use.
        let mut room = vec![0; 4 << 10];
        let mut read = 0;
        let gone = poll_fn(|cx| {
            while read <= MAX_LINGER {
                match self.socket.try_read(&mut room) {
                    Ok(0) => break,
                    Ok(came) => read += came,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        ready!(self.socket.poll_read_ready(cx)).ok();
                    }
                    Err(_) => break,
                }
            }
            Poll::Ready(())
        });
        let _ = tokio::time::timeout(DRAIN_TIME, gone).await;
    }

    fn certificate(&self) -> Option<Arc<Certificate>> {
        let tls = self.tls();
        let shown = tls.peer_certificates()?.first()?;
        // Nothing verifies one unless there are authorities.
        Some(Arc::new(subject::certificate(shown, self.authorities?)))
    }

    /// As [`tokio::io::AsyncRead::poll_read`].
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.try_read(buffer.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.socket.poll_read_ready(cx))?,
                came => {
                    buffer.advance(came?);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// As [`crate::http1::wire::Wire::try_read`]. A connection that ends without a word was cut off (RFC 8446 §6.1).
    pub fn try_read(&self, room: &mut [u8]) -> io::Result<usize> {
        let mut tls = self.tls();
        loop {
            match tls.reader().read(room) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.receive(&mut tls)?,
                came => return came,
            }
        }
    }

    /// Waits for the client to send something or to end.
    pub fn poll_came(&self, cx: &mut Context<'_>) -> Poll<io::Result<ClientAct>> {
        let mut tls = self.tls();
        loop {
            match tls.reader().fill_buf() {
                Ok([]) => return Poll::Ready(Ok(ClientAct::End)),
                Ok(_) => return Poll::Ready(Ok(ClientAct::Data)),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(ClientAct::End)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            match self.receive(&mut tls) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.socket.poll_read_ready(cx))?,
                received => received?,
            }
        }
    }

    /// As [`crate::http1::wire::Wire::try_write`].
    pub fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut tls = self.tls();
        self.send(&mut tls)?;
        let taken = tls.writer().write_vectored(pieces)?;
        match self.send(&mut tls) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// As [`crate::http1::wire::Wire::poll_flush`].
    pub fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut tls = self.tls();
        loop {
            match self.send(&mut tls) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => ready!(self.socket.poll_write_ready(cx))?,
                sent => return Poll::Ready(sent),
            }
        }
    }

    /// Says that nothing more will come (RFC 8446 §6.1), if the socket takes it at once.
    pub fn say_goodbye(&self) {
        let mut tls = self.tls();
        tls.send_close_notify();
        let _ = self.send(&mut tls);
    }

    /// Takes what the socket has, and answers what belongs to TLS itself. The plaintext must have been read.
    fn receive(&self, tls: &mut ServerConnection) -> io::Result<()> {
        tls.read_tls(&mut Now(&self.socket))?;
        let processed = tls.process_new_packets();
        // What does not leave now leaves with the next write.
        let _ = self.send(tls);
        processed.map(drop).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Sends the records that are due. [`io::ErrorKind::WouldBlock`]: not all of them left.
    fn send(&self, tls: &mut ServerConnection) -> io::Result<()> {
        while tls.wants_write() {
            if tls.write_tls(&mut Now(&self.socket))? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    fn tls(&self) -> MutexGuard<'_, ServerConnection> {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that does not wait.
struct Now<'a>(&'a TcpStream);

impl Read for Now<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(room)
    }
}

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
