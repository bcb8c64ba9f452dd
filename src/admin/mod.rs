//! The second listener: health, metrics, purges, and what the process knows of itself.

mod explain;
mod purge;
pub mod settings;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::sync::{Semaphore, watch};

use self::settings::{AdminSettings, AdminToken, Scope};
use crate::body::Body;
use crate::edge::connection::{Client, Service};
use crate::edge::error::{Connection, Problem};
use crate::edge::incoming::Refusal;
use crate::proxy::Proxy;
use crate::telemetry::Registry;

/// The longest body of a call in bytes.
const MAX_CALL: usize = 1 << 20;

/// Answers calls.
#[derive(Clone)]
pub struct Admin {
    settings: Arc<AdminSettings>,
    proxy: Arc<Proxy>,
    registry: Arc<Registry>,
    clients: Clients,
    stopping: watch::Receiver<bool>,
}

/// The places for client connections.
#[derive(Clone)]
pub struct Clients {
    /// Those that are free.
    pub places: Arc<Semaphore>,
    /// All of them.
    pub limit: usize,
}

impl Service for Admin {
    async fn answer(&self, client: &Client, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let id = self.proxy.ids.next(client.worker);
        let answer = self.call(&head, body).await;
        answer.unwrap_or_else(|problem| {
            let mut response = problem.response(&HeaderMap::new(), &id);
            if problem.status == StatusCode::UNAUTHORIZED {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            response
        })
    }

    fn refuse(&self, client: &Client, _headers: &HeaderMap, refusal: Refusal) -> Response<Body> {
        Problem::from(refusal).response(&HeaderMap::new(), &self.proxy.ids.next(client.worker))
    }
}

impl Admin {
    /// For this process.
    pub fn new(
        settings: AdminSettings,
        proxy: Arc<Proxy>,
        registry: Arc<Registry>,
        clients: Clients,
        stopping: watch::Receiver<bool>,
    ) -> Admin {
        Admin { settings: Arc::new(settings), proxy, registry, clients, stopping }
    }

    async fn call(&self, head: &http::request::Parts, body: Body) -> Result<Response<Body>, Problem> {
        let is_get = head.method == Method::GET || head.method == Method::HEAD;
        match head.uri.path() {
            "/livez" if is_get => Ok(text("ok\n")),
            "/readyz" if is_get => match *self.stopping.borrow() {
                true => Err(STOPPING),
                false => Ok(text("ok\n")),
            },
            "/metrics" if is_get => {
                self.allow(head, Scope::Read)?;
                Ok(self.metrics())
            }
            "/api/v1/status" if is_get => {
                self.allow(head, Scope::Read)?;
                Ok(json_answer(&self.status()))
            }
            "/api/v1/routes" if is_get => {
                self.allow(head, Scope::Read)?;
                Ok(json_answer(&self.routes()))
            }
            "/api/v1/upstreams" if is_get => {
                self.allow(head, Scope::Read)?;
                Ok(json_answer(&self.upstreams()))
            }
            "/api/v1/explain" if is_get => {
                self.allow(head, Scope::Read)?;
                Ok(json_answer(&explain::by_query(&self.proxy, head.uri.query().unwrap_or(""))?))
            }
            // With headers, which may be credentials: a body is in nobody's log.
            "/api/v1/explain" if head.method == Method::POST => {
                self.allow(head, Scope::Read)?;
                let body = Limited::new(body, MAX_CALL).collect().await.map_err(|_| TOO_LONG)?.to_bytes();
                Ok(json_answer(&explain::by_body(&self.proxy, &body)?))
            }
            "/api/v1/purge" if head.method == Method::POST => {
                let who = self.allow(head, Scope::Purge)?;
                let body = Limited::new(body, MAX_CALL).collect().await.map_err(|_| TOO_LONG)?.to_bytes();
                let receipt = purge::call(&self.proxy, &body)?;
                // Who and when, never what: a tag may name a patient.
                eprintln!("stent: purge at epoch {} by {who}", receipt["epoch"]);
                Ok(json_answer(&receipt))
            }
            "/livez" | "/readyz" | "/metrics" | "/api/v1/status" | "/api/v1/routes" | "/api/v1/upstreams"
            | "/api/v1/explain" | "/api/v1/purge" => Err(METHOD),
            _ => Err(UNKNOWN),
        }
    }

    /// The name of the token with this scope that the caller holds. Without any token configured (on loopback only)
    /// everybody may.
    fn allow(&self, head: &http::request::Parts, scope: Scope) -> Result<&str, Problem> {
        if self.settings.tokens.is_empty() {
            return same_site(head).map(|()| "anybody on this machine");
        }
        let shown = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        let Some(shown) = shown else { return Err(NO_TOKEN) };
        // Every token is compared, each in constant time: how long it takes tells nothing.
        let mut holder: Option<&AdminToken> = None;
        for token in &self.settings.tokens {
            let same =
                blake3::hash(token.secret.as_bytes()).as_bytes().ct_eq(blake3::hash(shown.as_bytes()).as_bytes());
            if bool::from(same) {
                holder = Some(token);
            }
        }
        match holder {
            None => Err(NO_TOKEN),
            Some(token) if token.may.contains(&scope) => Ok(&token.name),
            Some(_) => Err(SCOPE),
        }
    }

    fn metrics(&self) -> Response<Body> {
        self.proxy.cache.memory.tend();
        let (entries, bytes) = self.proxy.cache.memory.size();
        let gauge = |name, labels: &[(&'static str, &str)], value: u64| {
            self.registry.gauge(name, labels).set(value as f64);
        };
        let open = self.clients.limit.saturating_sub(self.clients.places.available_permits());
        gauge("stent_connections", &[], open as u64);
        gauge("stent_entries", &[], entries);
        gauge("stent_bytes", &[], bytes);
        gauge("stent_flights", &[], self.proxy.cache.flights.len() as u64);
        gauge("stent_waiting", &[], self.proxy.cache.flights.waiting() as u64);
        gauge("stent_fill_bytes", &[], self.proxy.cache.budget.used() as u64);
        for upstream in &self.proxy.upstreams {
            let (name, counts) = (upstream.settings.name.as_str(), upstream.counts());
            gauge("stent_upstream_connections", &[("upstream", name), ("state", "open")], counts.open as u64);
            gauge("stent_upstream_connections", &[("upstream", name), ("state", "idle")], counts.idle as u64);
            gauge("stent_upstream_in_flight", &[("upstream", name)], counts.in_flight as u64);
        }
        let mut response = text(self.registry.render());
        let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, media);
        response
    }

    fn status(&self) -> Value {
        let cache = &self.proxy.cache;
        cache.memory.tend();
        let (entries, bytes) = cache.memory.size();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "ready": !*self.stopping.borrow(),
            "mode": match self.proxy.mode {
                crate::store::settings::CacheMode::Serve => "serve",
                crate::store::settings::CacheMode::Bypass => "bypass",
            },
            "memory": {"entries": entries, "bytes": bytes},
            "flights": cache.flights.len(),
            "epoch": cache.log.stamp().0,
        })
    }

    fn routes(&self) -> Value {
        let routes = self.proxy.router.routes().iter().map(|route| {
            json!({
                "name": route.name,
                "line": route.line,
                "path": route.path.text,
                "methods": route.methods.iter().map(|method| method.as_str()).collect::<Vec<_>>(),
                "upstream": self.proxy.upstreams[route.upstream].settings.name,
                "policy": route.policy_name,
                "share": route.caching.share_text(),
            })
        });
        Value::Array(routes.collect())
    }

    fn upstreams(&self) -> Value {
        let upstreams = self.proxy.upstreams.iter().map(|upstream| {
            let servers = upstream.settings.servers.iter().map(ToString::to_string).collect::<Vec<_>>();
            json!({
                "name": upstream.settings.name,
                "servers": servers,
                "max_connections": upstream.settings.max_connections,
                "connections": upstream.counts(),
            })
        });
        Value::Array(upstreams.collect())
    }
}

/// Without tokens whoever is on this machine may call, but no web page that somebody on it happens to look at: a browser
/// says where a request comes from.
fn same_site(head: &http::request::Parts) -> Result<(), Problem> {
    let foreign = head.headers.contains_key(header::ORIGIN)
        || head.headers.get("sec-fetch-site").is_some_and(|site| site != "none" && site != "same-origin");
    if foreign { Err(FOREIGN) } else { Ok(()) }
}

fn text(text: impl Into<bytes::Bytes>) -> Response<Body> {
    answer(HeaderValue::from_static("text/plain; charset=utf-8"), text.into())
}

fn json_answer(value: &Value) -> Response<Body> {
    answer(HeaderValue::from_static("application/json"), format!("{value}\n").into())
}

fn answer(media: HeaderValue, body: bytes::Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    response.headers_mut().insert(header::CONTENT_TYPE, media);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const fn problem(status: StatusCode, code: &'static str, detail: &'static str) -> Problem {
    Problem { status, detail, code, connection: Connection::Keep }
}

const STOPPING: Problem = problem(StatusCode::SERVICE_UNAVAILABLE, "stopping", "The process is stopping.");
const METHOD: Problem = problem(
    StatusCode::METHOD_NOT_ALLOWED,
    "method",
    "Use GET to look, and POST to purge or to explain a request with headers.",
);
const UNKNOWN: Problem = problem(
    StatusCode::NOT_FOUND,
    "unknown-call",
    "There are /livez, /readyz, /metrics, /api/v1/status, /api/v1/routes, /api/v1/upstreams, /api/v1/explain and POST /api/v1/purge.",
);
const TOO_LONG: Problem = Problem {
    connection: Connection::Close,
    ..problem(StatusCode::PAYLOAD_TOO_LARGE, "too-long", "A call may have 1 MiB.")
};
const NO_TOKEN: Problem =
    problem(StatusCode::UNAUTHORIZED, "no-token", "Send a token that admin.tokens names: Authorization: Bearer …");
const SCOPE: Problem =
    problem(StatusCode::FORBIDDEN, "scope", "This token may not do that; see its `may` in admin.tokens.");
const FOREIGN: Problem =
    problem(StatusCode::FORBIDDEN, "foreign-page", "Calls from web pages need a token: see admin.tokens.");
