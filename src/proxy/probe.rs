//! Whether an origin looks at who asks before it looks at a condition.
//!
//! Filters in front of an application (Django's `@condition` outside a token check, output caches) answer 304 to whoever shows the
//! right tag. To a browser that does no harm, since it has the answer; to us a 304 would be the yes that lets a stranger see it. So
//! before a 304 counts, the same is asked once without credentials: an origin that says 304 to nobody says nothing by it. One that
//! refuses nobody, and whose answer then turns out to be what is stored, looks at who asks first. And since some look no further than
//! whether a credential is there before they judge a condition, the same is asked with worthless ones too: both must be refused.

use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use crate::coherence::errand::Conditions;
use crate::coherence::find::Spot;
use crate::coherence::flight::Landing;
use crate::entry::stored::Entry;
use crate::fields::cookies::cookies;
use crate::policy::plan::Lookup;
use crate::policy::validate;
use crate::policy::yes::version;
use crate::proxy::current::Proxy;
use crate::proxy::exchange::{Exchange, ToOrigin, target};
use crate::proxy::probes::{ToNobody, View};
use crate::rules::caching::Caching;
use crate::upstream::outgoing::Outgoing;

/// How a flight asks the origin about what is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct ProbeRequest {
    pub conditions: Conditions,
    /// Nobody was refused just now: what this brings may prove something.
    proves: Option<View>,
}

impl ProbeRequest {
    /// On our conditions.
    pub(super) const ON_CONDITIONS: ProbeRequest = ProbeRequest { conditions: Conditions::Sent, proves: None };
    const WHOLE: ProbeRequest = ProbeRequest { conditions: Conditions::Withheld, proves: None };
}

impl Proxy {
    /// Whether the origin's 304 may count as its yes to somebody. Where that is not known it is found out; until it is, the whole is
    /// asked for.
    pub(super) fn conditions<'a>(
        &'a self,
        exchange: &'a Exchange<'_>,
        lookup: &'a Lookup,
        spot: &'a Spot<'_>,
        base: &'a Entry,
    ) -> ToOrigin<'a, ProbeRequest> {
        Box::pin(async move {
            let view = self.view(exchange);
            let probe = self.probes.of(view);
            if let Some(conditions) = probe.conditions(view) {
                return ProbeRequest { conditions, proves: None };
            }
            let Some(_inquiry) = probe.inquire(view) else { return ProbeRequest::WHOLE };
            let validators = base.said_validators();
            let Some(target) = target(&exchange.path.text, lookup.query.as_deref()) else {
                return ProbeRequest::WHOLE;
            };
            let mut headers = self.fetch_headers(exchange, spot.vary().iter());
            let worthless = self.worthless_credentials(&headers);
            self.take_credentials_off(exchange, &mut headers);
            validate::add_conditions(&mut headers, &validators);
            let mut said = self.ask_nobody(exchange, target.clone(), headers.clone()).await;
            if said == ToNobody::Refused {
                headers.extend(worthless);
                said = self.ask_nobody(exchange, target, headers).await;
            }
            probe.heard(view, said);
            ProbeRequest { proves: (said == ToNobody::Refused).then_some(view), ..ProbeRequest::WHOLE }
        })
    }

    /// The same by what is known already.
    pub(super) fn known_conditions(&self, exchange: &Exchange<'_>) -> ProbeRequest {
        let view = self.view(exchange);
        let known = self.probes.of(view).conditions(view);
        known.map_or(ProbeRequest::WHOLE, |conditions| ProbeRequest { conditions, proves: None })
    }

    async fn ask_nobody(&self, exchange: &Exchange<'_>, target: Uri, headers: HeaderMap) -> ToNobody {
        let upstream = &self.upstreams[exchange.route.upstream];
        match upstream.send(exchange.client.worker, &mut Outgoing::get(target, headers)).await {
            Ok(answer) => ToNobody::of(answer.head.status),
            Err(_) => ToNobody::Unclear,
        }
    }

    /// Learns from what the one who found out was given.
    pub(super) fn learn(&self, asks: &ProbeRequest, base: Option<&Entry>, landed: &Landing) {
        if let (Some(view), Some(base), Landing::Filling(filling)) = (asks.proves, base, landed) {
            let stored = version(&base.fields());
            if filling.head.status == StatusCode::OK && stored.is_some() && stored == version(&filling.head.headers) {
                self.probes.of(view).proved(view);
            }
        }
    }

    /// A route of one pattern leads to one view of the application; one that takes all below it, to any number.
    fn view(&self, exchange: &Exchange<'_>) -> View {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret.0);
        hasher.update(&exchange.index.to_le_bytes());
        if exchange.route.path.rest {
            hasher.update(exchange.path.text.as_bytes());
        }
        View::of(hasher.finalize().as_bytes())
    }

    /// The credentials of a fetch as somebody would show them who has made them up: of the same form, and nobody's.
    fn worthless_credentials(&self, headers: &HeaderMap) -> HeaderMap {
        let mut worthless = HeaderMap::new();
        for name in self.identity.headers.iter().chain([&header::AUTHORIZATION, &header::COOKIE]) {
            for value in headers.get_all(name) {
                let made_up = match *name {
                    // The scheme stays.
                    header::AUTHORIZATION => self.made_up(value.as_bytes(), b' '),
                    header::COOKIE => {
                        let pairs = cookies(value).map(|cookie| self.made_up(cookie.pair, b'='));
                        pairs.collect::<Vec<_>>().join(&b"; "[..])
                    }
                    _ => self.made_up(value.as_bytes(), 0),
                };
                worthless.extend(HeaderValue::from_bytes(&made_up).ok().map(|value| (name.clone(), value)));
            }
        }
        worthless
    }

    /// Puts another letter for each letter, and another digit for each digit, behind the first `mark` if there is one.
    fn made_up(&self, text: &[u8], mark: u8) -> Vec<u8> {
        let begin = text.iter().position(|byte| *byte == mark).map_or(0, |at| at + 1);
        let mut chance = blake3::Hasher::new_keyed(&self.secret.0).update(text).finalize_xof();
        let other = |byte: u8, first: u8, many: u8, chance: u8| first + (byte - first + 1 + chance % (many - 1)) % many;
        let mut made_up = text.to_vec();
        for byte in &mut made_up[begin..] {
            let mut drawn = [0];
            chance.fill(&mut drawn);
            *byte = match *byte {
                b'0'..=b'9' => other(*byte, b'0', 10, drawn[0]),
                b'a'..=b'z' => other(*byte, b'a', 26, drawn[0]),
                b'A'..=b'Z' => other(*byte, b'A', 26, drawn[0]),
                as_is => as_is,
            };
        }
        made_up
    }

    fn take_credentials_off(&self, exchange: &Exchange<'_>, headers: &mut HeaderMap) {
        let facets = match &exchange.route.caching {
            Caching::Named(policy) => policy.share.facets(),
            _ => &[],
        };
        let named = facets.iter().filter_map(|facet| facet.source.header()).chain(&self.identity.headers);
        named.chain([&header::AUTHORIZATION, &header::COOKIE]).for_each(|name| drop(headers.remove(name)));
    }
}
