//! The servers in this binary: an origin, a server that shows what a hit costs hyper alone, a proxy that does nothing but
//! hand on, and a relay that does not even look at what it hands on. One thread each.

use std::error::Error;
use std::future::ready;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{Empty, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

use crate::Outcome;
use crate::args::Role;

type Failure = Box<dyn Error + Send + Sync>;

/// The longest body in bytes.
pub const LARGEST: usize = 1000 * 1024;

/// Serves until the process is ended.
pub fn run(role: Role) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match role {
            Role::Origin { listen } => {
                LazyLock::force(&PAYLOAD);
                let count = Arc::new(AtomicU64::new(0));
                let service = move |request| {
                    let etag = format!("\"{:012x}\"", count.fetch_add(1, Ordering::Relaxed));
                    ready(HeaderValue::try_from(etag).map(|etag| answer(&request, etag)).map_err(Failure::from))
                };
                serve(listen, service_fn(service)).await
            }
            Role::Server { listen } => {
                LazyLock::force(&PAYLOAD);
                let etag = HeaderValue::from_static("\"3f2a9c40d1b7\"");
                let service = move |request| ready(Ok::<_, Failure>(answer(&request, etag.clone())));
                serve(listen, service_fn(service)).await
            }
            Role::Proxy { listen, origin } => {
                let pool = Arc::new(Pool { origin, idle: Mutex::default() });
                let hand_on = move |request| {
                    let pool = pool.clone();
                    async move { pool.hand_on(request).await }
                };
                serve(listen, service_fn(hand_on)).await
            }
            Role::Relay { listen, origin } => relay(listen, origin).await,
        }
    })
}

/// What a body of this many bytes consists of.
pub fn payload(length: usize) -> Bytes {
    PAYLOAD.slice(..length)
}

static PAYLOAD: LazyLock<Bytes> = LazyLock::new(|| {
    let item = |id: usize| format!("{{\"id\":{id:06},\"name\":\"patient {id:06}\",\"active\":true}},\n");
    let text: String = (0..LARGEST / item(0).len() + 1).map(item).collect();
    Bytes::from(text).slice(..LARGEST)
});

async fn serve<S, B>(listen: SocketAddr, service: S) -> Outcome<()>
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Failure> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<Failure>> + Send + 'static,
{
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // How a connection ends is the client's affair.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone()));
    }
}

/// Each connection to one of its own to the origin: what a byte costs on its way through, whatever it says.
async fn relay(listen: SocketAddr, origin: SocketAddr) -> Outcome<()> {
    const ROOM: usize = 4 << 10;
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (mut client, _) = listener.accept().await?;
        let mut behind = TcpStream::connect(origin).await?;
        client.set_nodelay(true)?;
        behind.set_nodelay(true)?;
        tokio::spawn(async move { copy_bidirectional_with_sizes(&mut client, &mut behind, ROOM, ROOM).await });
    }
}

/// `/bytes/<n>` may be kept and `/pass/<n>` may not; what follows the number only makes a path different from others.
fn answer(request: &Request<Incoming>, etag: HeaderValue) -> Response<Full<Bytes>> {
    let mut segments = request.uri().path().split('/').skip(1);
    let caching = match segments.next() {
        Some("bytes") => "max-age=3600",
        _ => "no-store",
    };
    let length = segments.next().and_then(|length| length.parse().ok()).filter(|&length| length <= LARGEST);
    let Some(length) = length else {
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let mut response = Response::new(Full::new(payload(length)));
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static(caching)),
        (header::ETAG, etag),
    ];
    response.headers_mut().extend(fields);
    response
}

/// Connections to the origin.
struct Pool {
    origin: SocketAddr,
    idle: Mutex<Vec<SendRequest<Empty<Bytes>>>>,
}

impl Pool {
    async fn hand_on(&self, request: Request<Incoming>) -> Result<Response<Incoming>, Failure> {
        let mut sender = match self.ready() {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let response = sender.send_request(request.map(|_| Empty::new())).await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        Ok(response)
    }

    /// One whose last answer has been read to its end.
    fn ready(&self) -> Option<SendRequest<Empty<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        let index = idle.iter().rposition(SendRequest::is_ready)?;
        Some(idle.swap_remove(index))
    }

    async fn connect(&self) -> Result<SendRequest<Empty<Bytes>>, Failure> {
        let stream = TcpStream::connect(self.origin).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}
