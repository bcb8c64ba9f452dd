//! What must be found out about whoever asks before anything stored is used for them: whether their token holds, and what
//! the origin says when it is asked with their own credentials.
//!
//! What a yes is, [`crate::policy::yes`] says. A status that is no success is a refusal and handed to the client as it is; after a
//! success that is no yes the request is passed; no answer at all is a failure. In none of these cases is anything served that is
//! stored.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value};

use super::sent::{copy, set};
use crate::asker::facet::certificate::Presented;
use crate::asker::facet::{Claims, FacetSource, KnownFacets, Proven, Worth};
use crate::body::Body;
use crate::coherence::errand::Asks;
use crate::coherence::find::Spot;
use crate::coherence::flight::Landing;
use crate::coherence::tags::{RequestPlace, facets, principal_parts};
use crate::edge::incoming::Hearsay;
use crate::entry::purge::{Birth, Stamp};
use crate::entry::stored::Entry;
use crate::ground::failure::{Failure, FailureKind};
use crate::ground::found::json_bytes;
use crate::hop::trust::Trust;
use crate::policy::outcome::RequestSent;
use crate::policy::pass::PassReason;
use crate::policy::plan::{Lookup, Permission};
use crate::policy::question::Question;
use crate::policy::types::media_type;
use crate::policy::yes::{Likeness, likeness, version};
use crate::proxy::current::Proxy;
use crate::proxy::exchange::{Answer, Exchange, ToOrigin, target};
use crate::rules::caching::{Access, Caching, NamedPolicy};
use crate::rules::tag_template::TagSource;
use crate::store::permission;
use crate::upstream::exchange::Exchanged;
use crate::upstream::outgoing::Outgoing;

/// A question that is still open: under which digest a yes is kept, and until when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    pub digest: [u8; 32],
    until: Option<Instant>,
}

/// What the origin says when it is asked.
pub(super) enum AccessVerdict {
    /// Yes, and this besides.
    Yes(Arc<Map<String, Value>>),
    /// No, by a status that says so; or it did not answer. This is the client's answer.
    Refusal(Answer),
    /// A success that is no yes.
    NoYes,
}

/// The longest answer that is read for what it says.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// What it says besides is not kept where it would take more than this: it is asked for nothing then.
const MAX_FACTS_BYTES: usize = 1 << 20;

impl Proxy {
    /// What is known of whoever asks, where the route's policy wants to know it.
    pub(super) fn proven(&self, exchange: &Exchange<'_>) -> Proven {
        let token = match &exchange.route.caching {
            Caching::Named(policy) if policy.relies_on_token() => self.token(exchange),
            _ => None,
        };
        Proven { token, certificate: self.certificate(exchange), access: None }
    }

    /// The token of a request, if it has one that holds.
    fn token(&self, exchange: &Exchange<'_>) -> Option<Arc<Claims>> {
        let token = self.identity.token(&exchange.headers)?;
        self.tokens.as_ref()?.claims(token, self.cache.clock.now().wall)
    }

    /// What the certificate of a connection says about whoever sends a request on it.
    fn certificate(&self, exchange: &Exchange<'_>) -> Presented {
        let Some(certificate) = &exchange.client.peer.certificate else { return Presented::Nothing };
        // It speaks for others, and the certificate for it.
        if exchange.arrival.trust == Trust::Proxy {
            return Presented::Nothing;
        }
        let for_itself = exchange.arrival.hearsay == Hearsay::None;
        match for_itself && certificate.holds(self.authorities, self.cache.clock.now().wall) {
            true => Presented::Holding(certificate.clone()),
            false => Presented::Unproven,
        }
    }

    /// The facets that the route's tags use, for one exchange.
    pub(super) fn tag_facets(&self, exchange: &Exchange<'_>, worth: Worth) -> Vec<(String, Vec<String>)> {
        let (route, proven) = (exchange.route, &exchange.proven);
        let by_claim =
            |source: &TagSource| matches!(source, TagSource::Facet(f) if matches!(f.source, FacetSource::Jwt(_)));
        // A policy that does not rely on the token has not looked at it.
        let token = match proven.token.is_none() && route.uses_in_tags(by_claim) {
            true => self.token(exchange),
            false => proven.token.clone(),
        };
        // The origin does as the credentials say that it sees: a purge by the certificate might be too narrow.
        let certificate = match worth == Worth::Proven && self.identity.shows_credentials(&exchange.headers) {
            true => Presented::Unproven,
            false => self.certificate(exchange),
        };
        let looked = Proven { token, certificate, access: proven.access.clone() };
        let part = |name: &str| route.part(name, exchange.arrival.host_name(), &exchange.path.text);
        facets(route, &KnownFacets { headers: &exchange.headers, proven: &looked, part: &part }, worth)
    }

    /// The origin's yes to a question and what it says besides. Whatever else it says ends a yes that was kept.
    pub(super) fn ask<'a>(&'a self, exchange: &'a Exchange<'_>, question: &'a Question) -> ToOrigin<'a, AccessVerdict> {
        Box::pin(async move {
            let now = self.cache.clock.instant();
            let left = (self.cache.log.stamp(), self.cache.flights.draw());
            let denied = RequestSent::Past(PassReason::Denied);
            let Some(mut outgoing) = self.question(exchange, question) else {
                return AccessVerdict::Refusal(exchange.failure(Failure::before(FailureKind::Internal), denied));
            };
            let upstream = &self.upstreams[exchange.route.upstream];
            let answer = match upstream.send(exchange.client.worker, &mut outgoing).await {
                Ok(answer) => answer,
                Err(failure) => return AccessVerdict::Refusal(exchange.failure(failure, denied)),
            };
            self.heed_answer(&exchange.headers, &answer.head);
            if !answer.head.status.is_success() {
                if is_refusal(answer.head.status) {
                    self.forbid(&question.digest);
                }
                return AccessVerdict::Refusal(self.refusal(exchange, answer));
            }
            let (status, headers) = (answer.head.status, answer.head.headers.clone());
            let json = json(answer, upstream.settings.deadline).await;
            let is_yes = question.yes.by_head(status, &headers, Likeness::Alike)
                && question.yes.by_body(&headers, json.as_ref());
            if !is_yes {
                self.forbid(&question.digest);
                return AccessVerdict::NoYes;
            }
            let facts = Arc::new(match json {
                Some(Value::Object(facts)) if json_bytes(&facts) <= MAX_FACTS_BYTES => facts,
                _ => Map::new(),
            });
            let asking = Asking::new(question.digest, question.keep, now);
            self.permit(exchange, &question.path, asking, left, (facts.clone(), None));
            AccessVerdict::Yes(facts)
        })
    }

    /// A yes to a question that is kept.
    pub(super) fn kept(&self, question: &Question, now: Instant) -> Option<Arc<Map<String, Value>>> {
        self.permissions.get(&question.digest, None, now, &self.cache.log)
    }

    /// Whether a request's own answer is still to say if the client may have what is stored. A yes to one variant is none to
    /// another, and a yes that came with another version of the answer is none to this one. Where nothing is stored, there is nothing
    /// that a yes could have been about.
    pub(super) fn asking(&self, spot: &Spot<'_>, stored: Option<&Entry>, now: Instant) -> Option<Asking> {
        let Permission::ByOwnAnswer { keep, .. } = spot.permission() else { return None };
        let digest = self.permission_digest(spot)?;
        let asking = Asking::new(digest, *keep, now);
        if asking.until.is_none() {
            return Some(asking);
        }
        let about = stored.and_then(|entry| version(&entry.fields()));
        let kept = about.and_then(|about| self.permissions.get(&digest, Some(about), now, &self.cache.log));
        if kept.is_some() { None } else { Some(asking) }
    }

    /// Under which a yes to one's own request is kept, where the policy has one.
    pub(super) fn permission_digest(&self, spot: &Spot<'_>) -> Option<[u8; 32]> {
        let Permission::ByOwnAnswer { digest, .. } = spot.permission() else { return None };
        Some(self.digest_of_variant(digest, spot.vary(), spot.key()))
    }

    fn digest_of_variant(&self, digest: &[u8; 32], vary: &[HeaderName], key: &[u8]) -> [u8; 32] {
        match vary {
            [] => *digest,
            _ => *blake3::Hasher::new_keyed(&self.secret.0).update(digest).update(key).finalize().as_bytes(),
        }
    }

    /// The same, for the variant that an answer of one's own turned out to be.
    pub(super) fn permission_digest_of(&self, lookup: &Lookup, landed: &Landing) -> Option<[u8; 32]> {
        match (&lookup.permission, landed) {
            (Permission::ByOwnAnswer { digest, .. }, Landing::Filling(filling)) => {
                Some(self.digest_of_variant(digest, &filling.vary, &filling.variant))
            }
            _ => None,
        }
    }

    /// Whether an answer that a caller got is a yes to their having what is stored that may be kept, and about which version of it.
    pub(super) fn own_yes(&self, exchange: &Exchange<'_>, base: Option<&Entry>, landed: &Landing) -> Option<u64> {
        let Caching::Named(NamedPolicy { access: Some(Access::Ask { yes, .. }), .. }) = &exchange.route.caching else {
            return None;
        };
        // What answers HEAD is often another thing than what answers GET.
        if exchange.asks() == Asks::Head {
            return None;
        }
        match landed {
            // A 304 of an origin that looks at who asks first: see [`super::probe`].
            Landing::Revalidated(entry) => version(&entry.fields()),
            Landing::Filling(filling) if filling.status.is_success() => {
                let (head, fields) = (&filling.head, base.map(Entry::fields));
                let like = fields.map_or(Likeness::Alike, |stored| likeness(&stored, &head.headers));
                yes.by_head(head.status, &head.headers, like).then(|| version(&head.headers))?
            }
            _ => None,
        }
    }

    /// The origin has said no: a yes that is kept ends, and one that is on its way is not kept.
    pub(super) fn forbid(&self, digest: &[u8; 32]) {
        self.cache.refused.mark(digest, self.cache.flights.draw());
        self.permissions.end(digest);
    }

    /// Keeps a yes about `path`, if the policy lets it be kept. Where the log stood before the question left, and the question's serial
    /// number.
    pub(super) fn permit(
        &self,
        exchange: &Exchange<'_>,
        path: &str,
        asking: Asking,
        (born, serial): (Stamp, u64),
        (facts, about): (Arc<Map<String, Value>>, Option<u64>),
    ) {
        let Some(until) = asking.until else { return };
        let route = exchange.route;
        let principal = principal_parts(&exchange.headers, &self.identity, &self.secret);
        let asked_for = RequestPlace { path: path.to_owned(), plain: None, principal, ..exchange.place("") };
        let mut tags = asked_for.carried(route);
        // Those that cannot be told without the answer are not told.
        exchange.place("").known_tags(route).iter().for_each(|tag| tags.carry(tag));
        let permission = permission::KeptPermission { facts, about, until, birth: Birth::new(born, born), tags };
        let digest = asking.digest;
        self.permissions.keep(digest, permission, || self.cache.refused.since(&digest, serial));
    }

    /// What the origin is asked, and with what.
    pub(super) fn question_headers(&self, exchange: &Exchange<'_>, policy: &NamedPolicy) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        self.copy_caller(&exchange.headers, policy, &mut headers);
        // As the page would be: what narrows the one narrows the other.
        policy.narrowing().for_each(|name| copy(&exchange.headers, name, &mut headers));
        set(&mut headers, header::HOST, exchange.arrival.authority.as_bytes());
        exchange.arrival.tell_origin(&mut headers, &exchange.client.peer, self.told_by(exchange));
        headers
    }

    fn question(&self, exchange: &Exchange<'_>, question: &Question) -> Option<Outgoing> {
        let Caching::Named(policy) = &exchange.route.caching else { return None };
        let headers = self.question_headers(exchange, policy);
        let target = target(&question.path, None)?;
        Some(Outgoing { asker: self.asker(exchange), ..Outgoing::get(target, headers) })
    }

    fn refusal(&self, exchange: &Exchange<'_>, refusal: Exchanged) -> Answer {
        let (mut response, outcome) = self.end_pass(exchange, Ok(refusal), PassReason::Denied);
        if exchange.method == Method::HEAD {
            *response.body_mut() = Body::Empty;
        }
        (response, outcome)
    }
}

impl Asking {
    /// The same, under the digest of what the answer turned out to be.
    pub(super) fn under(self, digest: [u8; 32]) -> Asking {
        Asking { digest, ..self }
    }

    fn new(digest: [u8; 32], keep: Duration, now: Instant) -> Asking {
        // From before the question leaves: the yes is no younger than that.
        let until = if keep.is_zero() { None } else { now.checked_add(keep) };
        Asking { digest, until }
    }
}

/// Whether a status says that somebody may not have what is there, or not any more.
pub(super) fn is_refusal(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403 | 404 | 410) || status.is_redirection() && status != StatusCode::NOT_MODIFIED
}

/// The JSON of an answer, if that is what it says it is, and no longer than is read.
async fn json(exchanged: Exchanged, deadline: Duration) -> Option<Value> {
    let is_json = media_type(&exchanged.head.headers).ends_with("json");
    // Read to its end in any case, so that the connection can be used again.
    let read = Limited::new(exchanged.body, MAX_ANSWER_BYTES).collect();
    match tokio::time::timeout(deadline, read).await {
        Ok(Ok(body)) if is_json => serde_json::from_slice(&body.to_bytes()).ok(),
        _ => None,
    }
}
