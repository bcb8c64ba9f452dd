//! One small request to the admin of a running process.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends it and answers status and body; an error says what was being done.
pub(crate) fn call(
    method: Method,
    address: &str,
    path: &str,
    token: Option<&str>,
    body: String,
    limit: Duration,
) -> Result<(StatusCode, Bytes), String> {
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, address);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let request =
        request.body(Full::new(Bytes::from(body))).map_err(|error| format!("wording the request: {error}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("starting: {error}"))?;
    let exchange = async {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("connecting to {address}: {error}"))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("speaking to {address}: {error}"))?;
        tokio::spawn(connection);
        let answer = sender.send_request(request).await.map_err(|error| format!("asking {address}: {error}"))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| format!("reading the answer: {error}"))?;
        Ok((status, body.to_bytes()))
    };
    runtime.block_on(async {
        tokio::time::timeout(limit, exchange)
            .await
            .unwrap_or_else(|_| Err(format!("{address} did not answer within {limit:?}")))
    })
}
