//! A client of the walk: one connection that stays open, so that a time is that of the request and not of connecting.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::ground::clock::monotonic;

/// The longest wait for one answer: many times what anything here takes.
const LIMIT: Duration = Duration::from_secs(5);

/// A request.
#[derive(Debug, Clone)]
pub(super) struct DemoRequest {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) body: String,
}

/// Its answer.
#[derive(Debug)]
pub(super) struct DemoReply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// From the sending of the request to the last byte of the answer.
    pub(super) took: Duration,
}

impl DemoReply {
    /// A header as text, empty if there is none.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }
}

/// A connection.
pub(super) struct DemoClient {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl DemoClient {
    /// Connects. The error says what was being done.
    pub(super) async fn connect(address: SocketAddr) -> Result<DemoClient, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("connecting to {address}: {error}"))?;
        stream.set_nodelay(true).map_err(|error| format!("connecting to {address}: {error}"))?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| format!("speaking to {address}: {error}"))?;
        // It ends with the sender, or with the runtime.
        tokio::spawn(connection);
        Ok(DemoClient { address, sender })
    }

    /// Asks, and reads the whole answer.
    pub(super) async fn ask(&mut self, ask: &DemoRequest) -> Result<DemoReply, String> {
        let address = self.address;
        let mut request =
            Request::builder().method(&ask.method).uri(ask.path).header(header::HOST, address.to_string());
        for (name, value) in &ask.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(ask.body.clone())));
        let request = request.map_err(|error| format!("wording {} {}: {error}", ask.method, ask.path))?;
        tokio::time::timeout(LIMIT, self.exchange(request))
            .await
            .map_err(|_| format!("{address} did not answer {} {} within {LIMIT:?}", ask.method, ask.path))?
            .map_err(|error| format!("asking {address} for {} {}: {error}", ask.method, ask.path))
    }

    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<DemoReply> {
        self.sender.ready().await?;
        let began = monotonic();
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(DemoReply { status: head.status, headers: head.headers, body, took: began.elapsed() })
    }
}
