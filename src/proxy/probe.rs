//! Whether an origin looks at who asks before it looks at a condition.
//!
//! Filters in front of an application (Django's `@condition` outside a token check, output caches) answer 304 to whoever shows the
//! right tag. To a browser that does no harm, since it has the answer; to us a 304 would be the yes that lets a stranger see it. So
//! before a 304 counts, the same is asked once without credentials: an origin that says 304 to nobody says nothing by it. One that
//! refuses nobody, and whose answer then turns out to be what is stored, looks at who asks first. And since some look no further than
//! whether a credential is there before they judge a condition, the same is asked with worthless ones too: both must be refused.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use super::{Exchange, Proxy, ToOrigin, target};
use crate::coherence::errand::Conditions;
use crate::coherence::find::Spot;
use crate::coherence::flight::Landing;
use crate::entry::stored::Entry;
use crate::fields::cookies::cookies;
use crate::ground::mutants::{Rule, is_off};
use crate::policy::plan::Lookup;
use crate::policy::validate;
use crate::policy::yes::version;
use crate::rules::caching::Caching;
use crate::upstream::Outgoing;

/// What is known of the origins, by views; until the next reload. A fixed table: two views that share a place are found out about
/// more often, never less.
#[derive(Debug, Default)]
pub struct Probes(OnceLock<Box<[Probe]>>);

/// What is known of one view: which it is in the upper bits, and the state in the lowest eight.
#[derive(Debug, Default)]
pub struct Probe(AtomicU64);

/// Which view, by 56 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View(u64);

/// What the origin said when it was asked without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToNobody {
    /// It confirmed what is stored.
    Confirmed,
    /// It sent them away by a status that says so.
    Refused,
    /// Nothing that tells what it would do for somebody: it may be ill, or guarded by something that answers in its place.
    Unclear,
}

const PLACES: usize = 4096;
const STATE: u64 = 0xff;
/// From zero to this: how often it was found out in vain. After that the whole is asked for, and nothing more is tried.
const MAX_TRIES: u64 = 8;
const JUDGES_FIRST: u64 = 0x10;
const SAYS_304_TO_NOBODY: u64 = 0x11;
/// Besides: somebody is finding out.
const ASKED: u64 = 0x80;

impl View {
    /// By the first bits of a digest.
    pub fn of(digest: &[u8; 32]) -> View {
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        View(u64::from_le_bytes(first) & !STATE)
    }
}

impl ToNobody {
    /// What a status says. A page in place of an answer may be anybody's.
    pub fn of(status: StatusCode) -> ToNobody {
        match status.as_u16() {
            304 => ToNobody::Confirmed,
            401 | 403 | 301 | 302 | 303 | 307 | 308 => ToNobody::Refused,
            _ => ToNobody::Unclear,
        }
    }
}

impl Probes {
    fn of(&self, view: View) -> &Probe {
        let places = self.0.get_or_init(|| (0..PLACES).map(|_| Probe::default()).collect());
        &places[(view.0 >> 8) as usize % PLACES]
    }
}

/// Somebody is finding out about a view; ends with it.
#[derive(Debug)]
pub struct Inquiry<'a> {
    probe: &'a Probe,
    view: View,
}

impl Drop for Inquiry<'_> {
    fn drop(&mut self) {
        let _ = self.probe.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            (word & !STATE == self.view.0 && word & ASKED != 0).then_some(word & !ASKED)
        });
    }
}

fn state_in(word: u64, view: View) -> u64 {
    if word & !STATE == view.0 { word & STATE & !ASKED } else { 0 }
}

impl Probe {
    /// Begins to find out about a view; `None` while somebody does.
    pub fn inquire(&self, view: View) -> Option<Inquiry<'_>> {
        let begun = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let is_asked = word & !STATE == view.0 && word & ASKED != 0;
            (!is_asked).then(|| view.0 | state_in(word, view) | ASKED)
        });
        begun.is_ok().then_some(Inquiry { probe: self, view })
    }

    /// Whether the view's 304 may count; `None` while that is not known and may be found out.
    pub fn conditions(&self, view: View) -> Option<Conditions> {
        if is_off(Rule::Probe) {
            return Some(Conditions::Sent);
        }
        match self.state(view) {
            JUDGES_FIRST => Some(Conditions::Sent),
            SAYS_304_TO_NOBODY | MAX_TRIES.. => Some(Conditions::Withheld),
            _ => None,
        }
    }

    /// Learns from what the origin says to nobody, on the condition that it is not what is stored. That somebody is refused says
    /// little by itself: what is stored may be out of date, so that nobody would get a 304 for it. See [`Probe::proved`].
    pub fn heard(&self, view: View, said: ToNobody) {
        let state = self.state(view);
        match said {
            ToNobody::Confirmed => self.0.store(view.0 | SAYS_304_TO_NOBODY, Ordering::Relaxed),
            ToNobody::Refused | ToNobody::Unclear if state < MAX_TRIES => {
                self.0.store(view.0 | (state + 1), Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// Nobody was refused, and right after that what is stored turned out to be the origin's present answer: it looks at who asks
    /// first. What was once found to be unsafe stays so.
    pub fn proved(&self, view: View) {
        if self.state(view) < MAX_TRIES {
            self.0.store(view.0 | JUDGES_FIRST, Ordering::Relaxed);
        }
    }

    fn state(&self, view: View) -> u64 {
        state_in(self.0.load(Ordering::Relaxed), view)
    }
}

/// How a flight asks the origin about what is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asks {
    pub conditions: Conditions,
    /// Nobody was refused just now: what this brings may prove something.
    proves: Option<View>,
}

impl Asks {
    /// On our conditions.
    pub(super) const ON_CONDITIONS: Asks = Asks { conditions: Conditions::Sent, proves: None };
    const WHOLE: Asks = Asks { conditions: Conditions::Withheld, proves: None };
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
    ) -> ToOrigin<'a, Asks> {
        Box::pin(async move {
            let view = self.view(exchange);
            let probe = self.probes.of(view);
            if let Some(conditions) = probe.conditions(view) {
                return Asks { conditions, proves: None };
            }
            let Some(_inquiry) = probe.inquire(view) else { return Asks::WHOLE };
            let validators = base.said_validators();
            let Some(target) = target(&exchange.path.text, lookup.query.as_deref()) else {
                return Asks::WHOLE;
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
            Asks { proves: (said == ToNobody::Refused).then_some(view), ..Asks::WHOLE }
        })
    }

    /// The same by what is known already.
    pub(super) fn known_conditions(&self, exchange: &Exchange<'_>) -> Asks {
        let view = self.view(exchange);
        let known = self.probes.of(view).conditions(view);
        known.map_or(Asks::WHOLE, |conditions| Asks { conditions, proves: None })
    }

    async fn ask_nobody(&self, exchange: &Exchange<'_>, target: Uri, headers: HeaderMap) -> ToNobody {
        let upstream = &self.upstreams[exchange.route.upstream];
        match upstream.send(exchange.client.worker, &mut Outgoing::get(target, headers)).await {
            Ok(answer) => ToNobody::of(answer.head.status),
            Err(_) => ToNobody::Unclear,
        }
    }

    /// Learns from what the one who found out was given.
    pub(super) fn learn(&self, asks: &Asks, base: Option<&Entry>, landed: &Landing) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: View = View(7 << 8);

    #[test]
    fn what_was_found_unsafe_once_stays_so() {
        let probe = Probe::default();
        assert_eq!(probe.conditions(VIEW), None);
        probe.heard(VIEW, ToNobody::Refused);
        assert_eq!(probe.conditions(VIEW), None, "what is stored may have been out of date");
        probe.proved(VIEW);
        assert_eq!(probe.conditions(VIEW), Some(Conditions::Sent));
        assert_eq!(probe.conditions(View(8 << 8)), None, "of another view nothing is known");
        probe.heard(VIEW, ToNobody::Confirmed);
        probe.proved(VIEW);
        assert_eq!(probe.conditions(VIEW), Some(Conditions::Withheld));
    }

    #[test]
    fn one_at_a_time_finds_out() {
        let probe = Probe::default();
        let first = probe.inquire(VIEW);
        assert!(first.is_some() && probe.inquire(VIEW).is_none());
        assert_eq!(probe.conditions(VIEW), None, "nothing is known yet");
        drop(first);
        let second = probe.inquire(VIEW);
        assert!(second.is_some(), "whoever began may have hung up");
        // Another view takes the place; who ends then ends nobody else's.
        let other = probe.inquire(View(8 << 8));
        drop(second);
        assert!(other.is_some() && probe.inquire(View(8 << 8)).is_none());
    }

    #[test]
    fn what_cannot_be_found_out_is_not_tried_for_ever() {
        let probe = Probe::default();
        for _ in 0..MAX_TRIES {
            assert_eq!(probe.conditions(VIEW), None);
            probe.heard(VIEW, ToNobody::Unclear);
        }
        assert_eq!(probe.conditions(VIEW), Some(Conditions::Withheld));
        probe.heard(VIEW, ToNobody::Refused);
        probe.proved(VIEW);
        assert_eq!(probe.conditions(VIEW), Some(Conditions::Withheld));
    }

    #[test]
    fn only_a_refusal_is_one() {
        for (status, said) in [
            (304, ToNobody::Confirmed),
            (401, ToNobody::Refused),
            (302, ToNobody::Refused),
            (200, ToNobody::Unclear),
            (400, ToNobody::Unclear),
            (404, ToNobody::Unclear),
            (412, ToNobody::Unclear),
            (429, ToNobody::Unclear),
            (503, ToNobody::Unclear),
        ] {
            assert_eq!(ToNobody::of(StatusCode::from_u16(status).unwrap()), said, "{status}");
        }
    }
}
