//! Requests that may change something: what they touched is purged before the first byte of their answer goes out
//! (purge rule 14, RFC 9111 §4.4).
//!
//! The exchange runs in a task of its own: a client that hangs up does not keep the purge from following the write.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::BodyExt;

use crate::asker::facet::Worth;
use crate::body::upload::{ASIDE_BYTES, Aside, UploadState};
use crate::body::{Body, BodyError};
use crate::coherence::tags::{RequestPlace, principal_ended, principal_parts};
use crate::entry::purge::Strength;
use crate::entry::tag::TagSet;
use crate::fields::authority::without_port;
use crate::fields::structured;
use crate::fields::url::path_without;
use crate::ground::failure::{Failure, FailureKind, Phase};
use crate::hop::fields::METHOD_OVERRIDES;
use crate::policy::invalidate::{self, Base, LocationReading};
use crate::policy::outcome::RequestSent;
use crate::policy::pass::PassReason;
use crate::policy::types::media_type;
use crate::proxy::current::Proxy;
use crate::proxy::exchange::{Answer, Exchange};
use crate::rules::caching::Caching;
use crate::rules::path::aliases::Telling;
use crate::rules::picker::{Picked, pick};
use crate::rules::route::Route;
use crate::rules::route::router::Target;
use crate::rules::tag_template::{PurgeTemplate, TagSource};
use crate::rules::template::HostTemplate;
use crate::upstream::exchange::{Exchanged, Sending};

/// How long after a write of unknown outcome, or one that was merely accepted, its purge is repeated: the origin may still be at
/// it. A route's `settle` says otherwise.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What a write may have touched.
struct Touched {
    route: Arc<Route>,
    place: RequestPlace,
    upload: Option<Arc<UploadState>>,
    /// The routes of the method that the client names instead of its own, and of the path's plain name, where those are others.
    meant: Vec<Arc<Route>>,
    /// By what that is kept for whoever wrote ends, where the route says so.
    ended: Vec<[u8; 32]>,
    /// What kind of request it was.
    by: Act,
    /// The page that its upstream sends to whoever is not signed in.
    sign_in: Option<String>,
}

/// How a request touches things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// It may change its path and what its route names.
    Write,
    /// It reads, on a route whose `purges` hold for reading as well: those and nothing else.
    Read,
}

impl Proxy {
    pub(super) async fn write(
        self: &Arc<Self>,
        exchange: &mut Exchange<'_>,
        incoming: Body,
        reason: PassReason,
    ) -> Answer {
        let by = if exchange.route.only_reads(&exchange.method) { Act::Read } else { Act::Write };
        let place = self.place(exchange);
        let meant = self.routes_meant(exchange, place.plain.as_deref());
        let sign_in = self.upstreams[exchange.route.upstream].settings.sign_in.clone();
        let ended = match place.principal.len() {
            0 | 1 => place.principal.clone(),
            _ => principal_ended(&exchange.headers, &self.identity, &self.secret),
        };
        let mut touched = Touched { route: exchange.route.clone(), place, upload: None, meant, ended, by, sign_in };
        let sent = |source: &TagSource| source.in_sent().is_some();
        let aside = if exchange.route.uses_in_tags(sent) { Aside::Keep } else { Aside::No };
        let mut outgoing = match self.outgoing(exchange, incoming, aside).await {
            Ok(outgoing) => outgoing,
            Err(failure) => return exchange.failure(failure, RequestSent::Past(reason)),
        };
        touched.upload = outgoing.upload.clone();
        let (proxy, worker) = (self.clone(), exchange.client.worker);
        let upstream = self.upstreams[exchange.route.upstream].clone();
        let sent_at = self.cache.clock.instant();
        let task = tokio::spawn(async move {
            let sent = upstream.send(worker, &mut outgoing).await;
            if let Ok(exchanged) = &sent {
                proxy.heed_answer(&outgoing.headers, &exchanged.head);
            }
            (proxy.after(touched, sent).await, outgoing.headers)
        });
        let broken = |_| (Err(Failure::sent(FailureKind::Internal)), HeaderMap::new());
        let (exchanged, headers) = task.await.unwrap_or_else(broken);
        exchange.headers = headers;
        self.spent_since(sent_at, exchange, &exchanged);
        self.end_pass(exchange, exchanged, reason)
    }

    /// Purges what a write touched, by how it ended.
    async fn after(self: &Arc<Self>, touched: Touched, sent: Result<Exchanged, Failure>) -> Result<Exchanged, Failure> {
        match sent {
            Ok(exchanged) if touched.is_undone(&exchanged) => {
                let wide = LocationReading::of(&touched.route.caching) == LocationReading::Wide;
                if touched.is_sent_to_sign_in(&exchanged.head) {
                    // What is kept for nobody but its writer is not worth the risk that this ended a session.
                    let mut tags = TagSet::default();
                    touched.own_principal(&mut tags);
                    if !tags.hashes().is_empty() {
                        self.purge(&tags, Strength::Hard);
                    }
                }
                if wide && touched.by == Act::Write && invalidate::contradicts(exchanged.head.status) {
                    // What the client had seen is not what is there: the copy that caused the conflict is asked about.
                    let mut tags = TagSet::default();
                    self.own_path(&touched, &mut tags);
                    self.purge(&tags, self.doubt(&touched));
                }
                Ok(exchanged)
            }
            Ok(exchanged) => {
                let (exchanged, answer) = peek(&touched.route, exchanged).await?;
                let tags = self.touched(&touched, answer.as_ref(), Some(&exchanged.head));
                self.purge(&tags, Strength::Hard);
                let settle = touched.route.settle;
                let accepted = exchanged.head.status == StatusCode::ACCEPTED;
                if exchanged.sending == Sending::Again || accepted || settle.is_some() {
                    self.purge_again(tags, settle.unwrap_or(AGAIN_AFTER));
                }
                Ok(exchanged)
            }
            Err(failure) if failure.phase == Phase::Before => Err(failure),
            Err(failure) => {
                // The origin may have acted, or may yet.
                let tags = self.touched(&touched, None, None);
                self.purge(&tags, Strength::Hard);
                self.purge_again(tags, touched.route.settle.unwrap_or(AGAIN_AFTER));
                Err(failure)
            }
        }
    }

    /// Once more, when an origin that may still be at it should be done.
    fn purge_again(self: &Arc<Self>, tags: TagSet, after: Duration) {
        let proxy = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            proxy.purge(&tags, Strength::Hard);
        });
    }

    /// The path with any query, the route's tags and purges, and where the answer points (RFC 9111 §4.4).
    fn touched(&self, touched: &Touched, answer: Option<&Picked>, head: Option<&http::response::Parts>) -> TagSet {
        let Touched { route, place, .. } = touched;
        let mut tags = TagSet::default();
        if touched.by == Act::Write {
            self.own_path(touched, &mut tags);
        }
        let host = touched.host();
        let sent = touched.upload.as_ref().and_then(|upload| upload.aside());
        let routes = touched.meant.iter().chain([route]);
        let asked = routes.flat_map(|route| route.tag_sources()).filter_map(TagSource::in_sent);
        let sent = sent.and_then(|body| pick(&body, asked));
        let named = match touched.by {
            Act::Write => place.purged(route, sent.as_ref(), answer),
            Act::Read => place.purged_besides(route, sent.as_ref(), answer),
        };
        named.iter().for_each(|tag| tags.name(tag));
        for meant in &touched.meant {
            place.purged(meant, sent.as_ref(), answer).iter().for_each(|tag| tags.name(tag));
        }
        touched.own_principal(&mut tags);
        let Some(head) = head.filter(|_| touched.by == Act::Write) else { return tags };
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            let values = head.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            for path in values.filter_map(|value| touched.same_origin_path(value)) {
                tags.path(host, &path);
                route.aliases.plain(&path).iter().for_each(|plain| tags.path(host, plain));
            }
        }
        if invalidate::is_done(head.status) {
            // RFC 9875 §3.
            let groups = structured::strings(&head.headers, "cache-group-invalidation").unwrap_or_default();
            groups.iter().for_each(|group| tags.group(&place.origin(), group));
        }
        tags
    }

    /// The routes that would take a write by the method that its client names in an override field, and by the path's plain name.
    pub(super) fn routes_meant(&self, exchange: &Exchange<'_>, plain: Option<&str>) -> Vec<Arc<Route>> {
        let named = METHOD_OVERRIDES.iter().find_map(|name| exchange.headers.get(*name));
        let named = named.and_then(|named| named.to_str().ok());
        let named = named.and_then(|named| Method::from_bytes(named.trim().to_ascii_uppercase().as_bytes()).ok());
        let host = exchange.arrival.host_name();
        let own = exchange.route;
        let (mut meant, folded) = (Vec::<Arc<Route>>::new(), own.aliases.case == Telling::Ignored);
        for path in [Some(&*exchange.path.text), plain].into_iter().flatten() {
            for method in [Some(&exchange.method), named.as_ref()].into_iter().flatten() {
                let target = Target { host, path, method, headers: &exchange.headers };
                let found = self.router.find(target).filter(|(index, _)| *index != exchange.index);
                let is_new = |route: &&Arc<Route>| !meant.iter().any(|known| Arc::ptr_eq(known, route));
                meant.extend(found.map(|(_, route)| route).filter(is_new).cloned());
                // Templates may be in another case than the plain name.
                let takes = |route: &&Arc<Route>| {
                    route.path.takes_in_any_case(path)
                        && route.takes(method, &exchange.headers)
                        && (route.host.is_none() || route.host == own.host)
                };
                let found = self.router.routes().iter().find(|route| folded && takes(route));
                let is_new = |route: &&Arc<Route>| !meant.iter().any(|known| Arc::ptr_eq(known, route));
                meant.extend(found.filter(|route| !Arc::ptr_eq(route, own)).filter(is_new).cloned());
            }
        }
        meant
    }

    /// The path with any query; and where it holds a credential, the path that others ask for.
    /// How what a conflict is about is purged: where the operator lets it be served while it is revalidated, it must be gone, or whoever
    /// tries again sees it once more.
    fn doubt(&self, touched: &Touched) -> Strength {
        let (host, path) = (touched.host(), &touched.place.path);
        let read = Target { host, path, method: &Method::GET, headers: &HeaderMap::new() };
        let reading = self.router.find(read).map(|(_, route)| route);
        let is_shown = |route: &Arc<Route>| match &route.caching {
            Caching::Named(policy) => policy.stale_while_revalidate.is_some_and(|window| !window.is_zero()),
            _ => false,
        };
        match reading.into_iter().chain([&touched.route]).any(is_shown) {
            true => Strength::Hard,
            false => Strength::Soft,
        }
    }

    fn own_path(&self, touched: &Touched, tags: &mut TagSet) {
        let (Touched { route, place, .. }, host) = (touched, touched.host());
        tags.path(host, &place.path);
        place.plain.iter().for_each(|plain| tags.path(host, plain));
        if let Some(path) = path_without(&place.path, &self.identity.url_credentials) {
            tags.path(host, &path);
        }
        if crate::rules::path::RequestPath::new(&place.path).ambiguity.is_some() {
            // Which path the origin takes it for is not known.
            tags.host(host);
            tags.route(&route.name);
        }
    }

    fn place(&self, exchange: &Exchange<'_>) -> RequestPlace {
        RequestPlace {
            principal: principal_parts(&exchange.headers, &self.identity, &self.secret),
            facets: self.tag_facets(exchange, Worth::Proven),
            ..exchange.place(exchange.uri.query().unwrap_or(""))
        }
    }
}

impl Touched {
    /// Tenants by host are kept apart; otherwise other names of the host are the same origin.
    fn host(&self) -> &str {
        let by_host = matches!(self.route.host, Some(HostTemplate::Wildcard { part: Some(_), .. }));
        if by_host { without_port(&self.place.authority) } else { "" }
    }

    /// Whoever wrote, where the route purges what is theirs.
    fn own_principal(&self, tags: &mut TagSet) {
        let routes = self.meant.iter().chain([&self.route]);
        if routes.into_iter().any(|route| route.purges.contains(&PurgeTemplate::Principal)) {
            self.ended.iter().for_each(|digest| tags.principal(digest));
        }
    }

    /// The origin has not done it, now or before.
    fn is_undone(&self, exchanged: &Exchanged) -> bool {
        let reading = LocationReading::of(&self.route.caching);
        let undone = invalidate::is_undone(exchanged.head.status, reading) || self.is_sent_to_sign_in(&exchanged.head);
        undone && exchanged.sending == Sending::First
    }

    /// The origin has refused, and says where to sign in: whoever posts without a session would otherwise purge. One `Location`,
    /// of the same origin, that names that page and no other.
    fn is_sent_to_sign_in(&self, head: &http::response::Parts) -> bool {
        let Some(page) = self.sign_in.as_deref().filter(|_| invalidate::is_redirect(head.status)) else { return false };
        // A sign-out leads there too: by a link, or by an answer that sets a cookie for somebody who showed one.
        let is_sign_out = !self.place.principal.is_empty() && head.headers.contains_key(header::SET_COOKIE);
        if self.by == Act::Read || is_sign_out {
            return false;
        }
        let mut to = head.headers.get_all(header::LOCATION).iter();
        let (Some(to), None) = (to.next().and_then(|to| to.to_str().ok()), to.next()) else { return false };
        self.place.path != page && self.same_origin_path(to).is_some_and(|path| path == page)
    }

    fn same_origin_path(&self, reference: &str) -> Option<String> {
        let RequestPlace { scheme, authority, forwarded_host, path, .. } = &self.place;
        let base = Base { scheme: *scheme, authority, forwarded_host: forwarded_host.as_deref(), path };
        invalidate::same_origin_path(reference, &base, LocationReading::of(&self.route.caching))
    }
}

/// Reads an answer whose fields name what to purge, as far as [`ASIDE_BYTES`]; the body is whole again afterwards.
async fn peek(route: &Route, exchanged: Exchanged) -> Result<(Exchanged, Option<Picked>), Failure> {
    let is_json = media_type(&exchanged.head.headers).ends_with("json");
    let encoded = exchanged.head.headers.contains_key(header::CONTENT_ENCODING);
    if !route.uses_in_tags(|source| source.in_answer().is_some()) || !is_json || encoded {
        return Ok((exchanged, None));
    }
    let Exchanged { head, mut body, ending, delay, sending } = exchanged;
    let mut read: Vec<Bytes> = Vec::new();
    let mut length = 0;
    while length <= ASIDE_BYTES {
        match body.frame().await {
            None => {
                let whole = Bytes::from(read.concat());
                let picked = pick(&whole, route.tag_sources().filter_map(TagSource::in_answer));
                return Ok((Exchanged { head, body: Body::full(whole), ending, delay, sending }, picked));
            }
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    length += data.len();
                    read.push(data);
                }
            }
            // The write took place; what it touched is purged, and the client sees the answer break off.
            Some(Err(error)) => {
                let body = Body::stream(Prefixed { read: read.into(), rest: Err(Some(error)) });
                return Ok((Exchanged { head, body, ending, delay, sending }, None));
            }
        }
    }
    let body = Body::stream(Prefixed { read: read.into(), rest: Ok(body) });
    Ok((Exchanged { head, body, ending, delay, sending }, None))
}

/// What was read already, then the rest or how it broke off.
struct Prefixed {
    read: std::collections::VecDeque<Bytes>,
    rest: Result<Body, Option<BodyError>>,
}

impl http_body::Body for Prefixed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        use std::task::Poll;
        let this = self.get_mut();
        if let Some(data) = this.read.pop_front() {
            return Poll::Ready(Some(Ok(http_body::Frame::data(data))));
        }
        match &mut this.rest {
            Ok(body) => std::pin::Pin::new(body).poll_frame(cx),
            Err(error) => Poll::Ready(error.take().map(Err)),
        }
    }
}
