//! The second listener: health, metrics, purges, reloads, and what the process knows of itself.

mod bypass;
mod compatible;
mod explain;
mod known;
pub(crate) mod named;
pub mod problem;
pub(crate) mod purge;
mod reload;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use crate::body::Body;
use crate::config::admin::{AdminToken, TokenScope};
use crate::control::admin::problem::problem;
use crate::control::admin::purge::{Purge, Receipt};
use crate::control::posts::Posts;
use crate::control::reload::Configuration;
use crate::edge::connection::{Client, Reply, Service};
use crate::edge::error::{AfterError, Problem};
use crate::edge::incoming::{self, Refusal};
use crate::edge::places::ClientPlaces;
use crate::edge::watch::Stage;
use crate::fields::authority::without_port;
use crate::ground::notice;
use crate::proxy::current::Proxy;
use crate::store::sweep::Dead;
use crate::telemetry::{MetricsPage, Registry};
use crate::upstream::Upstream;

/// The longest body of a call in bytes.
const MAX_CALL: usize = 1 << 20;

/// How long it may take to come.
const CALL_TIME: Duration = Duration::from_secs(10);

/// Answers calls.
#[derive(Clone)]
pub struct Admin {
    configuration: Arc<Configuration>,
    registry: Arc<Registry>,
    /// The places for client connections.
    places: Arc<ClientPlaces>,
    stage: watch::Receiver<Stage>,
    posts: Posts,
    /// The port that it is called on.
    port: u16,
}

#[derive(Debug, PartialEq, Eq)]
enum Readiness {
    Ready,
    Stopping,
    Failed,
}

impl Service for Arc<Admin> {
    fn answer<'a>(&'a self, client: &'a Client, request: Request<Body>) -> Reply<'a> {
        Reply::Later(Box::pin(async move {
            let (head, body) = request.into_parts();
            let id = self.proxy().ids.next(client.worker);
            let answer = self.call(&head, body).await;
            answer.unwrap_or_else(|problem| {
                let mut response = problem.response(&HeaderMap::new(), &id);
                if problem.status == StatusCode::UNAUTHORIZED {
                    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
                }
                response
            })
        }))
    }

    fn refuse(&self, client: &Client, _headers: &HeaderMap, refusal: Refusal) -> Response<Body> {
        Problem::from(refusal).response(&HeaderMap::new(), &self.proxy().ids.next(client.worker))
    }
}

impl Admin {
    /// For this process.
    pub fn new(
        configuration: Arc<Configuration>,
        registry: Arc<Registry>,
        places: Arc<ClientPlaces>,
        stage: watch::Receiver<Stage>,
        posts: Posts,
        port: u16,
    ) -> Admin {
        Admin { configuration, registry, places, stage, posts, port }
    }

    async fn call(&self, head: &http::request::Parts, body: Body) -> Result<Response<Body>, Problem> {
        // Which host is meant decides whether a web page may ask, and what a purge is about: no two words for it.
        incoming::host(head).map_err(Problem::from)?;
        if compatible::is_foreign(head) {
            let who = self.allow(head, TokenScope::Purge)?;
            let foreign = compatible::read(head, &read(body).await?, self.port)?;
            return Ok(foreign.answer(&self.purge(&foreign.purge, &who)?));
        }
        let is_get = head.method == Method::GET || head.method == Method::HEAD;
        match head.uri.path() {
            "/livez" if is_get => Ok(text("ok\n")),
            "/readyz" if is_get => match self.readiness() {
                Readiness::Ready => Ok(text("ok\n")),
                Readiness::Failed => Err(FAILED),
                Readiness::Stopping => Err(STOPPING),
            },
            "/metrics" if is_get => {
                self.allow(head, TokenScope::Read)?;
                Ok(self.metrics())
            }
            "/api/v1/status" if is_get => {
                self.allow(head, TokenScope::Read)?;
                Ok(json_answer(&self.status().await))
            }
            "/api/v1/routes" if is_get => {
                self.allow(head, TokenScope::Read)?;
                Ok(json_answer(&self.routes()))
            }
            "/api/v1/upstreams" if is_get => {
                self.allow(head, TokenScope::Read)?;
                Ok(json_answer(&self.upstreams()))
            }
            "/api/v1/explain" if is_get => {
                self.allow(head, TokenScope::Read)?;
                Ok(json_answer(&explain::by_query(&self.proxy(), head.uri.query().unwrap_or(""))?))
            }
            // With headers, which may be credentials: a body is in nobody's log.
            "/api/v1/explain" if head.method == Method::POST => {
                self.allow(head, TokenScope::Read)?;
                Ok(json_answer(&explain::by_body(&self.proxy(), &read(body).await?)?))
            }
            "/api/v1/purge" if head.method == Method::POST => {
                let who = self.allow(head, TokenScope::Purge)?;
                let call = Purge::read(&read(body).await?)?;
                let configuration = self.configuration.clone();
                // Off the thread that answers health checks; and to its end, even if the caller goes away.
                let told = tokio::task::spawn_blocking(move || {
                    let receipt = call.apply_and_tell(&configuration.current)?;
                    if !call.dry_run {
                        say(&receipt, &who);
                    }
                    Ok(receipt.json())
                });
                told.await.unwrap_or(Err(BROKEN)).map(|receipt| json_answer(&receipt))
            }
            "/api/v1/reload" if head.method == Method::POST => {
                let who = self.allow(head, TokenScope::Reload)?;
                reload::call(&self.configuration, &who)
            }
            "/api/v1/bypass" if head.method == Method::POST || head.method == Method::DELETE => {
                let who = self.allow(head, TokenScope::Bypass)?;
                let call = bypass::Call::read(&read(body).await?, &head.method)?;
                Ok(json_answer(&bypass::call(&self.configuration.current, &call, &who)?))
            }
            "/livez" | "/readyz" | "/metrics" | "/api/v1/status" | "/api/v1/routes" | "/api/v1/upstreams"
            | "/api/v1/explain" | "/api/v1/purge" | "/api/v1/reload" | "/api/v1/bypass" => Err(METHOD),
            _ => Err(UNKNOWN),
        }
    }

    /// Purges in the words of others, who ask nothing more than that.
    fn purge(&self, call: &Purge, who: &str) -> Result<Receipt, Problem> {
        let receipt = call.apply(&self.configuration.current)?;
        say(&receipt, who);
        Ok(receipt)
    }

    /// The name of the token with this scope that the caller holds. Without any token configured (on loopback only)
    /// everybody may.
    fn allow(&self, head: &http::request::Parts, scope: TokenScope) -> Result<String, Problem> {
        let settings = self.configuration.admin.load();
        let tokens = settings.as_ref().map_or(&[][..], |settings| &settings.tokens);
        if tokens.is_empty() {
            return same_site(head).map(|()| ANYBODY.to_owned());
        }
        let Some(shown) = shown_token(&head.headers) else { return Err(NO_TOKEN) };
        // Every token is compared, each in constant time: how long it takes tells nothing.
        let mut holder: Option<&AdminToken> = None;
        for token in tokens {
            let same =
                blake3::hash(token.secret.as_bytes()).as_bytes().ct_eq(blake3::hash(shown.as_bytes()).as_bytes());
            if bool::from(same) {
                holder = Some(token);
            }
        }
        match holder {
            None => Err(NO_TOKEN),
            Some(token) if token.may.contains(&scope) => Ok(token.name.clone()),
            Some(_) => Err(SCOPE),
        }
    }

    fn proxy(&self) -> Arc<Proxy> {
        self.configuration.current.load_full()
    }

    fn readiness(&self) -> Readiness {
        match *self.stage.borrow() {
            _ if self.posts.failed().is_some() => Readiness::Failed,
            Stage::Serving => Readiness::Ready,
            Stage::Leaving | Stage::Closed | Stage::Ending => Readiness::Stopping,
        }
    }

    fn metrics(&self) -> Response<Body> {
        let proxy = self.proxy();
        proxy.cache.memory.tend();
        let (entries, bytes) = proxy.cache.memory.size();
        let page = self.registry.render(|page| {
            page.gauge("stent_connections", &[], self.places.taken() as u64);
            page.counter("stent_connections_shed_total", &[], self.places.shed());
            page.counter("stent_tls_handshakes_refused_total", &[], self.places.refused_handshakes());
            page.counter("stent_accept_failures_total", &[], self.places.failures());
            page.counter("stent_notices_dropped_total", &[], notice::lost());
            page.gauge("stent_entries", &[], entries);
            page.gauge("stent_bytes", &[], bytes);
            page.gauge("stent_flights", &[], proxy.cache.flights.len() as u64);
            page.gauge("stent_waiting", &[], proxy.cache.flights.waiting() as u64);
            page.gauge("stent_fill_bytes", &[], proxy.cache.budget.used() as u64);
            proxy.upstreams.iter().for_each(|upstream| write_upstream(page, upstream));
        });
        let mut response = text(page);
        let media = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, media);
        response
    }

    async fn status(&self) -> Value {
        let proxy = self.proxy();
        let cache = &proxy.cache;
        cache.memory.tend();
        let (entries, bytes) = cache.memory.size();
        let looked = cache.clone();
        let dead = tokio::task::spawn_blocking(move || looked.swept.dead(&looked.memory, &looked.log));
        let dead = match dead.await.unwrap_or(Dead::NotCounted) {
            Dead::Nothing => Some(0),
            Dead::Bytes(bytes) => Some(bytes),
            Dead::NotCounted => None,
        };
        let done = cache.swept.is_done(&cache.log);
        let full: Vec<_> = proxy.upstreams.iter().flat_map(|upstream| full(upstream)).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "ready": self.readiness() == Readiness::Ready,
            "mode": match proxy.mode {
                crate::store::settings::CacheMode::Serve => "serve",
                crate::store::settings::CacheMode::Bypass => "bypass",
            },
            "memory": {"entries": entries, "bytes": bytes},
            "sweep": {"done": done, "dead_bytes": dead, "swept_bytes": cache.swept.bytes()},
            "flights": cache.flights.len(),
            "full": full,
            "epoch": cache.log.stamp().0,
            "bypasses": bypass::list(&self.configuration.current),
        })
    }

    fn routes(&self) -> Value {
        let proxy = self.proxy();
        let routes = proxy.router.routes().iter().map(|route| {
            json!({
                "name": route.name,
                "line": route.line,
                "path": route.path.text,
                "methods": route.methods.iter().map(|method| method.as_str()).collect::<Vec<_>>(),
                "upstream": proxy.upstreams[route.upstream].settings.name,
                "policy": route.policy_name,
                "share": route.caching.share_text(),
            })
        });
        Value::Array(routes.collect())
    }

    fn upstreams(&self) -> Value {
        let proxy = self.proxy();
        let upstreams = proxy.upstreams.iter().map(|upstream| {
            let servers = upstream.settings.servers.iter().map(ToString::to_string).collect::<Vec<_>>();
            json!({
                "name": upstream.settings.name,
                "servers": servers,
                "max_connections": upstream.settings.max_connections,
                "max_streams": upstream.settings.max_streams,
                "connections": upstream.counts(),
            })
        });
        Value::Array(upstreams.collect())
    }
}

/// Of what an upstream has no more, and whoever comes waits or is refused.
fn full(upstream: &Upstream) -> Vec<Value> {
    let (settings, counts) = (&upstream.settings, upstream.counts());
    let requests = (counts.waiting > 0).then_some("connections");
    let streams = (counts.streams >= settings.max_streams && counts.streams > 0).then_some("streams");
    let what = requests.into_iter().chain(streams);
    what.map(|what| json!({"upstream": settings.name, "what": what})).collect()
}

/// As `Authorization: Bearer`, or as callers of other caches show it.
fn shown_token(headers: &http::HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = text("authorization").and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    bearer.or_else(|| text("fastly-key")).or_else(|| text("x-purge-token"))
}

const ANYBODY: &str = "anybody on this machine";

/// Without tokens whoever is on this machine may call, but no web page that somebody on it happens to look at: a browser
/// says where a request comes from. Of a page whose own name has been made to lead here it says nothing; but it names
/// that host, which is none of this machine's. In a purge as others word it the host is that of the site.
fn same_site(head: &http::request::Parts) -> Result<(), Problem> {
    let foreign = head.headers.contains_key(header::ORIGIN)
        || head.headers.get("sec-fetch-site").is_some_and(|site| site != "none" && site != "same-origin");
    match foreign || !(compatible::is_foreign(head) || names_this_machine(head)) {
        true => Err(FOREIGN),
        false => Ok(()),
    }
}

fn names_this_machine(head: &http::request::Parts) -> bool {
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = without_port(head.uri.authority().map(|authority| authority.as_str()).or(host).unwrap_or(""));
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    address.parse::<std::net::IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost")
}

/// Who purged when, never what: a tag may name a patient.
fn say(receipt: &Receipt, who: &str) {
    notice::say(format_args!("purge at epoch {} by {who}", receipt.epoch.0));
}

/// A call's body.
async fn read(body: Body) -> Result<bytes::Bytes, Problem> {
    let whole = tokio::time::timeout(CALL_TIME, Limited::new(body, MAX_CALL).collect()).await;
    Ok(whole.map_err(|_| TOO_SLOW)?.map_err(|_| TOO_LONG)?.to_bytes())
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

const FAILED: Problem = problem(
    StatusCode::SERVICE_UNAVAILABLE,
    "failed",
    "A part of the process has ended that should not; it ends too, to be started again.",
);
const STOPPING: Problem = problem(StatusCode::SERVICE_UNAVAILABLE, "stopping", "The process is stopping.");
const BROKEN: Problem =
    problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "It is not known whether this was done; send it again.");
const METHOD: Problem = problem(
    StatusCode::METHOD_NOT_ALLOWED,
    "method",
    "Use GET to look and POST to change something, or to explain a request with headers.",
);
const UNKNOWN: Problem = problem(
    StatusCode::NOT_FOUND,
    "unknown-call",
    "There are /livez, /readyz, /metrics, /api/v1/status, /api/v1/routes, /api/v1/upstreams, /api/v1/explain, and POST /api/v1/purge, /api/v1/reload and /api/v1/bypass.",
);
const TOO_LONG: Problem = Problem {
    connection: AfterError::Close,
    ..problem(StatusCode::PAYLOAD_TOO_LARGE, "too-long", "A call may have 1 MiB.")
};
const TOO_SLOW: Problem = Problem {
    connection: AfterError::Close,
    ..problem(StatusCode::REQUEST_TIMEOUT, "too-slow", "A call is to come within ten seconds.")
};
const NO_TOKEN: Problem =
    problem(StatusCode::UNAUTHORIZED, "no-token", "Send a token that admin.tokens names: Authorization: Bearer …");
const SCOPE: Problem =
    problem(StatusCode::FORBIDDEN, "scope", "This token may not do that; see its `may` in admin.tokens.");
const FOREIGN: Problem = problem(
    StatusCode::FORBIDDEN,
    "foreign-page",
    "Calls from web pages, or by a name other than localhost, need a token: see admin.tokens.",
);
/// What an upstream's connections are doing.
fn write_upstream(page: &MetricsPage, upstream: &Upstream) {
    let (name, counts) = (upstream.settings.name.as_str(), upstream.counts());
    for (state, number) in [("open", counts.open), ("idle", counts.idle), ("stream", counts.streams)] {
        page.gauge("stent_upstream_connections", &[("upstream", name), ("state", state)], number as u64);
    }
    page.gauge("stent_upstream_waiting", &[("upstream", name)], counts.waiting as u64);
    page.gauge("stent_upstream_in_flight", &[("upstream", name)], counts.in_flight as u64);
    page.counter("stent_upstream_made_room_total", &[("upstream", name)], counts.made_room as u64);
}
