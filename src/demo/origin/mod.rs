//! The sample clinic: an origin as slow as real ones, on a thread and a port of its own.
//!
//! It knows nothing of caching, as the applications that Stent is made for. All in it is made up, and answers depend on
//! nothing but the request and what was written before.

mod pages;
mod records;
mod visitor;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use records::Records;
use visitor::Visitor;

/// The longest body that it reads.
const LONGEST: usize = 64 * 1024;

/// The clinic, until it is dropped.
pub(super) struct Origin {
    /// Where it listens.
    pub(super) address: SocketAddr,
    clinic: Arc<Clinic>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Origin {
    /// Starts it on a free port.
    pub(super) fn start() -> io::Result<Origin> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let clinic = Arc::new(Clinic::default());
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = serve(listener, clinic.clone());
        // What it has spawned ends with the runtime, and the runtime with this thread.
        let thread = std::thread::Builder::new().name("clinic".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serving => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Origin { address, clinic, stop: Some(stop), thread: Some(thread) })
    }

    /// How often the slow report was asked for.
    pub(super) fn slow_reports(&self) -> u64 {
        self.clinic.slow_reports.load(Ordering::Relaxed)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has nothing to say but that it panicked, which it has printed.
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, clinic: Arc<Clinic>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: what is open must end first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let clinic = clinic.clone();
        let answer = service_fn(move |request: Request<Incoming>| {
            let clinic = clinic.clone();
            async move { Ok::<_, Infallible>(clinic.answer(request).await) }
        });
        // How a connection ends is the client's affair.
        tokio::spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// What it knows.
#[derive(Default)]
struct Clinic {
    records: Records,
    slow_reports: AtomicU64,
}

impl Clinic {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().trim_end_matches('/').to_owned();
        let visitor = Visitor::of(&head.headers);
        if path == pages::SLOW {
            self.slow_reports.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(delay(&path)).await;
        let Ok(body) = Limited::new(body, LONGEST).collect().await else {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "too long\n");
        };
        let body = body.to_bytes();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match (&head.method, segments.as_slice()) {
            (_, ["api" | "dashboard", ..]) => self.records.answer(&head.method, &segments, &visitor, &body),
            (&Method::POST, ["login"]) => pages::sign_in(&body),
            (&Method::GET, _) => pages::get(&path, &visitor),
            _ => text(StatusCode::METHOD_NOT_ALLOWED, "not here\n"),
        }
    }
}

/// How long it thinks, as its databases and templates would.
fn delay(path: &str) -> Duration {
    let milliseconds = match path {
        pages::SLOW => 400,
        "/reports/monthly" => 150,
        "/dashboard/stats" => 90,
        "/api/patients" => 110,
        _ if path.starts_with("/api/patients/") => 70,
        _ if path.starts_with("/api/") => 60,
        _ if path.starts_with("/images/") => 30,
        _ => 50,
    };
    Duration::from_millis(milliseconds)
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", text)
}

fn answer(status: StatusCode, media: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
