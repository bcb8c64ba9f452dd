//! A request on its way down the line.

use std::pin::Pin;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Response, Uri, header};
use http_body::Body as _;

use crate::asker::facet::Proven;
use crate::body::Body;
use crate::coherence::tags::RequestPlace;
use crate::deliver;
use crate::edge::connection::Client;
use crate::edge::error::Problem;
use crate::edge::incoming::{Arrival, SignsIn};
use crate::entry::key::Partition;
use crate::entry::purge::Stamp;
use crate::entry::stored::Entry;
use crate::ground::failure::Failure;
use crate::hop::trust::Trust;
use crate::policy::outcome::{Outcome, RequestSent};
use crate::policy::plan::Lookup;
use crate::policy::question::{Asked, BodyPresence};
use crate::policy::reuse::Freshness;
use crate::rules::path::RequestPath;
use crate::rules::route::Route;
use crate::telemetry::event::Spending;

/// A request on its way down the line.
pub(super) struct Exchange<'a> {
    pub(super) client: &'a Client,
    pub(super) arrival: Arrival,
    pub(super) method: Method,
    pub(super) uri: &'a Uri,
    pub(super) path: &'a RequestPath<'a>,
    pub(super) headers: HeaderMap,
    pub(super) route: &'a Arc<Route>,
    /// Its index.
    pub(super) index: usize,
    /// What was found out about whoever asks.
    pub(super) proven: Proven,
    /// Where the purge log stood when the request was complete.
    pub(super) arrived: Stamp,
    /// Where its time goes.
    pub(super) spending: Spending,
}

/// An answer and what became of the request.
pub(super) type Answer = (Response<Body>, Outcome);

/// A way to the origin, on the heap: what a request keeps while it waits there would make every hit's future large, and
/// futures are moved.
pub(super) type ToOrigin<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl Exchange<'_> {
    /// A date says of an answer when it was made, and not for whom: of one principal's copy nothing is confirmed by it, and
    /// nothing is put beside it.
    pub(super) fn leave_dates_of_others(&mut self, lookup: &Lookup) {
        if !matches!(lookup.partition, Partition::Principal(_)) {
            return;
        }
        self.headers.remove(header::IF_MODIFIED_SINCE);
        let is_date = |value: &HeaderValue| !value.as_bytes().contains(&b'"');
        if self.headers.get(header::IF_RANGE).is_some_and(is_date) {
            self.headers.remove(header::IF_RANGE);
            self.headers.remove(header::RANGE);
        }
    }

    pub(super) fn asked(&self, body: BodyPresence) -> Asked<'_> {
        Asked {
            method: &self.method,
            scheme: self.arrival.scheme,
            authority: &self.arrival.authority,
            host: self.arrival.host_name(),
            forwarded_host: self.arrival.other_host(),
            path: &self.path.text,
            ambiguity: self.path.ambiguity,
            query: self.uri.query(),
            headers: &self.headers,
            body,
            proven: &self.proven,
            bypass: None,
        }
    }

    /// Its connection is somebody's: NTLM or Negotiate was seen on it, or is now.
    pub(super) fn is_signed_in(&self) -> bool {
        self.arrival.signs_in == SignsIn::Connection || self.client.own.get().is_some()
    }

    /// It comes from a proxy, believed or not, whose next request may be another person's.
    pub(super) fn is_handed_on(&self) -> bool {
        self.arrival.trust == Trust::Proxy || self.arrival.through_proxy
    }

    /// Where it takes place: what tags are made from, less who asks.
    pub(super) fn place(&self, query: &str) -> RequestPlace {
        RequestPlace {
            scheme: self.arrival.scheme,
            authority: self.arrival.authority.clone(),
            forwarded_host: self.arrival.other_host_named(),
            path: self.path.text.clone().into_owned(),
            plain: self.route.aliases.plain(&self.path.text),
            query: query.to_owned(),
            principal: Vec::new(),
            facets: Vec::new(),
        }
    }

    /// Answers with an error of our own.
    pub(super) fn problem(&self, problem: Problem, outcome: Outcome) -> Answer {
        (problem.response(&self.headers, &self.arrival.request_id), outcome)
    }

    /// Answers for an origin that did not.
    pub(super) fn failure(&self, failure: Failure, sent: RequestSent) -> Answer {
        self.problem(Problem::from(failure), Outcome::Failed(failure, sent))
    }
}

/// Whether a request brings this body.
pub(super) fn presence(body: &Body) -> BodyPresence {
    if body.is_end_stream() { BodyPresence::Absent } else { BodyPresence::Present }
}

/// The origin-form target for a path in normal form and a query; `None` for what cannot be one.
pub(super) fn target(path: &str, query: Option<&str>) -> Option<Uri> {
    let text = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    Uri::try_from(text).ok()
}

pub(super) fn serve(exchange: &Exchange<'_>, entry: &Entry, freshness: Freshness, outcome: Outcome) -> Answer {
    (deliver::entry(entry, freshness, &exchange.method, &exchange.headers), outcome)
}
