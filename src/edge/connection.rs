//! One client connection: a head in, an answer out, until one of the two has had enough.
//!
//! Nothing here has a timer of its own. What a connection does is noted on its [`Line`], a few relaxed counters, and the
//! worker looks at all of its lines now and then ([`super::watch`]): who sends no head, stands idle or does not read is
//! ended from there.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};

use super::answer::AnswerWriter;
use super::incoming::{Peer, Refusal};
use super::line::Line;
use super::request_body::{Home, RequestBody, RequestSource};
use super::settings::ServerLimits;
use super::sides::{Closing, ReadSide};
use super::tunnel;
use crate::body::upload::Expects;
use crate::body::{Body, Tunnel};
use crate::edge::linger::{DRAIN_TIME, MAX_LINGER};
use crate::edge::parting::{ConnectionEnd, Hangup, RequestRest};
use crate::ground::worker::WorkerId;
use crate::http1::decode::Decoder;
use crate::http1::encode::{self, Announce, Fields};
use crate::http1::head::{self, HeadFault, RequestHead};
use crate::http1::sink::Sink;
use crate::http1::source::{MessageSource, NoHead};
use crate::http1::wire::Wire as _;
use crate::http1::{Framing, Persistence};
use crate::upstream::outgoing::Interim;
use crate::upstream::seat::OwnConnections;

/// One connection's end, as requests on it see it.
#[derive(Debug)]
pub struct Client {
    /// Its address and what it may say.
    pub peer: Peer,
    /// The worker that serves it.
    pub worker: WorkerId,
    /// To hand on interim answers (1xx).
    pub interim: Interim,
    /// Connections to origins for its requests alone, from the one on that signs them in. They close with it.
    pub own: OnceLock<Arc<OwnConnections>>,
}

impl Client {
    /// One that has asked for nothing yet.
    pub fn new(peer: Peer, worker: WorkerId, interim: Interim) -> Client {
        Client { peer, worker, interim, own: OnceLock::new() }
    }
}

/// What answers requests; the proxy, or the admin's.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers one.
    fn answer<'a>(&'a self, client: &'a Client, request: Request<Body>) -> Reply<'a>;

    /// Answers one whose head cannot be trusted; `headers` are what could be read of it.
    fn refuse(&self, client: &Client, headers: &HeaderMap, refusal: Refusal) -> Response<Body>;
}

/// A connection keeps its service with it: one that is large is shared.
impl<S: Service> Service for Arc<S> {
    fn answer<'a>(&'a self, client: &'a Client, request: Request<Body>) -> Reply<'a> {
        self.as_ref().answer(client, request)
    }

    fn refuse(&self, client: &Client, headers: &HeaderMap, refusal: Refusal) -> Response<Body> {
        self.as_ref().refuse(client, headers, refusal)
    }
}

/// An answer, or the way to it.
pub enum Reply<'a> {
    /// Here it is: what is stored needs no way, and nothing on the heap for one.
    Now(Response<Body>),
    /// It takes the origin.
    Later(Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>>),
}

/// Serves a connection until it ends.
pub async fn serve<S: Service>(
    read: ReadSide,
    line: Arc<Line>,
    peer: Peer,
    worker: WorkerId,
    limits: &ServerLimits,
    service: S,
) {
    let client = Client::new(peer, worker, line.interim());
    let connection = Connection { line, client, service, limits };
    match connection.run(MessageSource::new(read)).await {
        ConnectionEnd::Clean => connection.line.write_side().say_goodbye(),
        ConnectionEnd::Unread(source) => connection.linger(source).await,
        ConnectionEnd::Broken => {}
    }
}

/// What an answer needs to know of its request.
#[derive(Debug, Clone, Copy)]
struct Asked {
    is_head: bool,
    version: Version,
    /// What the client said, and whether what follows can be told apart from another protocol.
    persistence: Persistence,
}

impl Asked {
    fn of(head: &RequestHead) -> Asked {
        // Whoever asks for another protocol may go on in it at once, granted or not.
        let persistence = match head.headers.contains_key(header::UPGRADE) {
            true => Persistence::Close,
            false => head.persistence,
        };
        Asked { is_head: head.method == Method::HEAD, version: head.version, persistence }
    }
}

struct Connection<'a, S> {
    line: Arc<Line>,
    client: Client,
    service: S,
    limits: &'a ServerLimits,
}

impl<S: Service> Connection<'_, S> {
    async fn run(&self, mut source: RequestSource) -> ConnectionEnd {
        loop {
            self.line.idle();
            let head = match poll_fn(|cx| self.poll_head(&mut source, cx)).await {
                Ok(head) => head,
                Err(NoHead::Closed) => return ConnectionEnd::Clean,
                Err(NoHead::Broken) => return ConnectionEnd::Broken,
                Err(NoHead::Fault(fault)) => {
                    self.refuse(fault).await;
                    return ConnectionEnd::Unread(source);
                }
            };
            self.line.busy(head.version);
            let asked = Asked::of(&head);
            let (request, rest) = self.request(head, source);
            let Some(response) = self.during(request, &rest).await else { return ConnectionEnd::Broken };
            let rest = rest.now();
            let persistence = self.persistence(asked, &rest, &response);
            match self.write(asked, response, persistence, &rest).await {
                Ok(Written::Answer(Persistence::Keep)) => {}
                Ok(Written::Answer(Persistence::Close)) => return rest.now().end(),
                Ok(Written::Granted(tunnel)) => {
                    let RequestRest::Here(source) = rest else { return ConnectionEnd::Broken };
                    self.line.in_tunnel();
                    tunnel::run(source, &self.line, *tunnel).await;
                    return ConnectionEnd::Broken;
                }
                // The client went away, or the answer was cut off.
                Err(_) => return ConnectionEnd::Broken,
            }
            source = match self.rest(rest).await {
                Ok(source) => source,
                Err(end) => return end,
            };
        }
    }

    fn poll_head(&self, source: &mut RequestSource, cx: &mut Context<'_>) -> Poll<Result<RequestHead, NoHead>> {
        let read = |bytes: &[u8], length| Ok((head::request(&bytes[..length], self.limits.headers)?, length));
        let polled = source.poll_head(cx, self.limits.header_bytes, read);
        if polled.is_pending() && source.has_more() {
            self.line.in_head();
        }
        polled
    }

    /// The request as the service is given it, and where the reading side is meanwhile.
    fn request(&self, head: RequestHead, source: RequestSource) -> (Request<Body>, RequestRest) {
        let expects = match head.headers.get(header::EXPECT) {
            Some(value)
                if value.as_bytes().eq_ignore_ascii_case(b"100-continue") && head.version >= Version::HTTP_11 =>
            {
                Expects::Continue
            }
            _ => Expects::Nothing,
        };
        let (body, rest) = match head.framing {
            Framing::Length(0) => (Body::Empty, RequestRest::Here(source)),
            framing => {
                let (body, home) = RequestBody::new(source, Decoder::new(framing), expects, self.line.clone());
                (Body::stream(body), RequestRest::Away(home))
            }
        };
        let mut request = Request::new(body);
        *request.method_mut() = head.method;
        *request.uri_mut() = head.target;
        *request.version_mut() = head.version;
        *request.headers_mut() = head.headers;
        (request, rest)
    }

    /// Waits for the answer. `None`: the connection broke first.
    async fn during(&self, request: Request<Body>, rest: &RequestRest) -> Option<Response<Body>> {
        let mut answer = match self.service.answer(&self.client, request) {
            Reply::Now(response) => return Some(response),
            Reply::Later(answer) => answer,
        };
        let mut hangup = Hangup::of(rest);
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(Some(response)),
            Poll::Pending => hangup.poll(&self.line, cx).map(|()| None),
        })
        .await
    }

    async fn refuse(&self, fault: HeadFault) {
        self.line.busy(Version::HTTP_11);
        let response = self.service.refuse(&self.client, &HeaderMap::new(), Refusal::from(fault));
        let asked = Asked { is_head: false, version: Version::HTTP_11, persistence: Persistence::Close };
        let nowhere = RequestRest::Away(Arc::new(Home::new(Expects::Nothing)));
        // Whether it arrives is the client's affair.
        let _ = self.write(asked, response, Persistence::Close, &nowhere).await;
    }

    /// Whether another request may follow this answer (RFC 9112 §9.3, §9.6).
    fn persistence(&self, asked: Asked, rest: &RequestRest, response: &Response<Body>) -> Persistence {
        let said = response.headers().get(header::CONNECTION);
        let closes = said.is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(b"close"));
        match closes || self.line.is_closing() || rest.is_doubtful() {
            true => Persistence::Close,
            false => asked.persistence,
        }
    }

    async fn write(
        &self,
        asked: Asked,
        response: Response<Body>,
        persistence: Persistence,
        rest: &RequestRest,
    ) -> io::Result<Written> {
        let (head, body) = response.into_parts();
        let announce = announce(asked, head.status, &body);
        let persistence = match announce {
            Announce::Body(Framing::Close) => Persistence::Close,
            _ => persistence,
        };
        let mut sink = Sink::default();
        sink.text().extend_from_slice(&self.line.answer_begins());
        let connection = match &body {
            Body::Tunnel(_) => Some("upgrade"),
            _ => encode::connection(persistence, asked.version),
        };
        let lines = if let Body::Stored(entry, _) = &body { entry.lines() } else { [b"".as_slice(); 2] };
        let fields = Fields { lines, headers: &head.headers };
        encode::response_head(sink.text(), head.status, fields, announce, connection);
        let (body, tunnel) = match (announce, body) {
            (_, Body::Tunnel(tunnel)) => (Body::Empty, Some(tunnel)),
            (Announce::Body(_), body) => (body, None),
            (Announce::AsSaid | Announce::Head(_) | Announce::Nothing, _) => (Body::Empty, None),
        };
        let framing = match announce {
            Announce::Body(framing) => framing,
            Announce::AsSaid | Announce::Head(_) | Announce::Nothing => Framing::Length(0),
        };
        if framing == Framing::Close {
            // Whatever ends it before its time, the end of this process included, is seen (RFC 9112 §8).
            self.line.write_side().closing_means(Closing::Broken);
        }
        let mut answer = AnswerWriter::new(sink, body, framing);
        let mut hangup = Hangup::of(rest);
        poll_fn(|cx| answer.poll(&self.line, &mut hangup, cx)).await?;
        Ok(tunnel.map_or(Written::Answer(persistence), Written::Granted))
    }

    /// The reading side for the next request, once what is left of this one's body is out of the way.
    async fn rest(&self, rest: RequestRest) -> Result<RequestSource, ConnectionEnd> {
        let rest = match rest {
            RequestRest::Away(home) => {
                // It is still being read: the origin answered before it had all of it.
                let back = tokio::time::timeout(self.limits.idle_timeout, poll_fn(|cx| home.poll_take(cx))).await;
                back.map_or(Err(ConnectionEnd::Clean), |back| Ok(RequestRest::from(back)))?
            }
            rest => rest,
        };
        match rest {
            RequestRest::Here(source) => Ok(source),
            RequestRest::Partly(mut source, mut decoder) => {
                self.line.leaving();
                let drained = poll_fn(|cx| {
                    loop {
                        match ready!(source.poll_body(cx, &mut decoder)) {
                            Ok(piece) if piece.end.is_some() => return Poll::Ready(true),
                            Ok(_) => {}
                            Err(_) => return Poll::Ready(false),
                        }
                    }
                });
                match tokio::time::timeout(DRAIN_TIME, drained).await {
                    Ok(true) => Ok(source),
                    _ => Err(ConnectionEnd::Unread(source)),
                }
            }
            rest => Err(rest.end()),
        }
    }

    /// Leaves the client time to read the last answer: closing with bytes unread would reset the connection under it.
    async fn linger(&self, mut source: RequestSource) {
        let _ = self.line.write_side().finish();
        self.line.leaving();
        let mut read = 0;
        let gone = poll_fn(|cx| {
            loop {
                match ready!(source.poll_discard(cx)) {
                    Ok(0) | Err(_) => return Poll::Ready(()),
                    Ok(came) => read += came,
                }
                if read > MAX_LINGER {
                    return Poll::Ready(());
                }
            }
        });
        let _ = tokio::time::timeout(DRAIN_TIME, gone).await;
    }
}

/// What an answer came to.
enum Written {
    /// It was sent whole.
    Answer(Persistence),
    /// Another protocol begins.
    Granted(Box<Tunnel>),
}

/// RFC 9112 §6.3.
fn announce(asked: Asked, status: StatusCode, body: &Body) -> Announce {
    if status.is_informational() || status == StatusCode::NO_CONTENT {
        return Announce::Nothing;
    }
    if status == StatusCode::NOT_MODIFIED {
        return Announce::AsSaid;
    }
    if asked.is_head {
        return match body {
            Body::Full(bytes) => Announce::Head(bytes.len() as u64),
            Body::Stored(entry, _) => Announce::Head(entry.body().len() as u64),
            Body::Empty | Body::Stream(_) | Body::Tunnel(_) => Announce::AsSaid,
        };
    }
    Announce::Body(match body.length() {
        Some(length) => Framing::Length(length),
        None if asked.version < Version::HTTP_11 => Framing::Close,
        None => Framing::Chunked,
    })
}
