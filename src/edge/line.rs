//! What a connection tells its watch, and its writing side, which answers and interim answers share.

use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderName, StatusCode, Version, header};
use tokio::net::TcpStream;

use super::sides::WriteSide;
use crate::body::upload::Expects;
use crate::entry::tag::TagSet;
use crate::http1::encode::field_lines;
use crate::http1::wire::Wire as _;
use crate::upstream::outgoing::Interim;

/// A connection, as others see it.
#[derive(Debug)]
pub struct Line {
    write: WriteSide,
    phase: AtomicU8,
    requests: AtomicU32,
    moves: AtomicU32,
    /// Bytes that a client took of answers which did not leave at once, modulo 2³².
    taken: AtomicU32,
    blocked: AtomicBool,
    half_closed: AtomicBool,
    /// The service wants more of the request's body than has come.
    awaits_body: AtomicBool,
    closing: AtomicBool,
    /// An interim answer may go out: a request is under way, its client understands them, and its answer has not begun.
    interim: AtomicBool,
    /// What of interim answers did not fit into the socket.
    left_over: Mutex<Vec<u8>>,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinePhase {
    /// Between two requests.
    Idle,
    /// In a head that is not whole.
    Head,
    /// Answering.
    Busy,
    /// Speaking another protocol.
    Tunnel,
    /// Answered, and left some time for what the client still sends.
    Leaving,
}

/// Whether an interim answer went out.
enum Said {
    Yes,
    No,
}

impl Line {
    /// A new connection with this writing side.
    pub fn new(write: WriteSide) -> Line {
        Line {
            write,
            phase: AtomicU8::new(0),
            requests: AtomicU32::new(0),
            moves: AtomicU32::new(0),
            taken: AtomicU32::new(0),
            blocked: AtomicBool::new(false),
            half_closed: AtomicBool::new(false),
            awaits_body: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            interim: AtomicBool::new(false),
            left_over: Mutex::default(),
        }
    }

    /// The writing side.
    pub(super) fn write_side(&self) -> &WriteSide {
        &self.write
    }

    /// The socket beneath.
    pub fn socket(&self) -> &TcpStream {
        self.write.socket()
    }

    /// What is going on.
    pub fn phase(&self) -> LinePhase {
        match self.phase.load(Ordering::Relaxed) {
            0 => LinePhase::Idle,
            1 => LinePhase::Head,
            2 => LinePhase::Busy,
            3 => LinePhase::Tunnel,
            _ => LinePhase::Leaving,
        }
    }

    /// Requests that were read, modulo 2³².
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Reads and writes that moved something, modulo 2³².
    pub fn moves(&self) -> u32 {
        self.moves.load(Ordering::Relaxed)
    }

    /// Bytes that the client took of answers which did not leave at once, modulo 2³².
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// The client does not read what is sent.
    pub fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// The client will send no more.
    pub fn is_half_closed(&self) -> bool {
        self.half_closed.load(Ordering::Relaxed)
    }

    /// The request under way, or the next, is the last.
    pub fn close_soon(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    pub(super) fn idle(&self) {
        self.phase.store(0, Ordering::Relaxed);
    }

    pub(super) fn in_head(&self) {
        self.moved();
        self.phase.store(1, Ordering::Relaxed);
    }

    pub(super) fn busy(&self, version: Version) {
        self.phase.store(2, Ordering::Relaxed);
        // One thread writes: a plain addition does.
        self.requests.store(self.requests().wrapping_add(1), Ordering::Relaxed);
        self.moved();
        self.interim.store(version >= Version::HTTP_11, Ordering::Relaxed);
    }

    pub(super) fn in_tunnel(&self) {
        self.phase.store(3, Ordering::Relaxed);
    }

    pub(super) fn leaving(&self) {
        self.phase.store(4, Ordering::Relaxed);
    }

    /// The client has begun to agree on a session, at least.
    pub fn has_begun(&self) -> bool {
        self.write.has_begun()
    }

    /// A request waits for the rest of its body.
    pub fn awaits_body(&self) -> bool {
        self.awaits_body.load(Ordering::Relaxed)
    }

    pub(super) fn set_awaits_body(&self, awaits: bool) {
        self.awaits_body.store(awaits, Ordering::Relaxed);
    }

    pub(super) fn moved(&self) {
        self.moves.store(self.moves().wrapping_add(1), Ordering::Relaxed);
    }

    pub(super) fn took(&self, bytes: usize) {
        self.taken.store(self.taken().wrapping_add(bytes as u32), Ordering::Relaxed);
    }

    pub(super) fn blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    pub(super) fn half_closed(&self) {
        self.half_closed.store(true, Ordering::Relaxed);
    }

    /// The answer begins: no interim one can go out any more. Answers what is left of those that did.
    pub(super) fn answer_begins(&self) -> Vec<u8> {
        self.interim.store(false, Ordering::Relaxed);
        std::mem::take(&mut self.left_over.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The client waits for this before it sends its body (RFC 9110 §10.1.1). Answers what it waits for then.
    pub(super) fn say_continue(&self) -> Expects {
        match self.say(b"HTTP/1.1 100 Continue\r\n\r\n") {
            Said::Yes => Expects::Nothing,
            Said::No => Expects::Continue,
        }
    }

    /// Writes an interim answer, if one may go out; otherwise it is dropped, as RFC 9110 §15.2 lets a proxy.
    fn say(&self, bytes: &[u8]) -> Said {
        if !self.interim.load(Ordering::Relaxed) {
            return Said::No;
        }
        let mut left_over = self.left_over.lock().unwrap_or_else(PoisonError::into_inner);
        if !left_over.is_empty() {
            return Said::No;
        }
        let written = self.write.try_write(&[IoSlice::new(bytes)]).unwrap_or(0);
        if written == 0 {
            return Said::No;
        }
        left_over.extend_from_slice(&bytes[written..]);
        Said::Yes
    }

    /// To hand on interim answers.
    pub(super) fn interim(self: &Arc<Self>) -> Interim {
        let line = Arc::downgrade(self);
        Interim(Arc::new(move |status: StatusCode, headers: &HeaderMap| {
            // `100 Continue` is said when the body is first read.
            if let Some(line) = line.upgrade().filter(|_| status != StatusCode::CONTINUE) {
                let _ = line.say(&interim_head(status, headers));
            }
        }))
    }
}

/// What no interim answer says to a client.
const UNSAID: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::SET_COOKIE, header::WWW_AUTHENTICATE, AUTHENTICATION_INFO];
const AUTHENTICATION_INFO: HeaderName = HeaderName::from_static("authentication-info");

fn interim_head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or("Interim");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    let mut headers = headers.clone();
    crate::hop::answer::leave_hop(&mut headers, &[]);
    crate::hop::answer::take_tags(&mut headers, &[], "", &mut TagSet::default());
    // RFC 9110 §8.6: there is no body, and nobody is to look for one. And a hint is no place for secrets.
    UNSAID.iter().for_each(|name| drop(headers.remove(name)));
    field_lines(&mut head, &headers);
    head.extend_from_slice(b"\r\n");
    head
}
