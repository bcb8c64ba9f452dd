//! By which fields the answers of a route were seen to differ, beyond what its policy names.
//!
//! A fetch sends what is keyed and nothing else. Where an answer turns out to differ by something that its client had sent, it is
//! not that client's, and has to be asked for with it: once, since from then on the route's fetches send it and its answers are
//! kept by it. Otherwise each page of an application that speaks several languages would be asked for twice. Languages are what
//! most applications differ by, so that they are sent until a few answers of the route have said nothing of them.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use http::{HeaderMap, HeaderName, header};

use super::{Exchange, Proxy};
use crate::coherence::flight::Landing;
use crate::entry::key::Key;
use crate::policy::plan::{KEYED_WHERE_SENT, Lookup};
use crate::policy::vary;
use crate::rules::caching::{Caching, NamedPolicy};
use crate::rules::canonical;

/// What is known of one route, until the next reload.
#[derive(Debug)]
pub struct Selecting {
    names: RwLock<Arc<[HeaderName]>>,
    /// Answers yet to come that may tell whether languages matter; none once that is settled.
    unsettled: AtomicU8,
}

/// So many answers that say nothing of languages settle that they make no difference.
const SETTLES: u8 = 8;

impl Default for Selecting {
    fn default() -> Selecting {
        Selecting { names: RwLock::new([header::ACCEPT_LANGUAGE].into()), unsettled: AtomicU8::new(SETTLES) }
    }
}

/// The most that are remembered of a route: each multiplies what is kept of it.
const MOST: usize = 4;

impl Selecting {
    /// The fields.
    pub fn names(&self) -> Arc<[HeaderName]> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What an answer says that it differs by.
    fn heed(&self, vary: &[HeaderName]) {
        if self.unsettled.load(Ordering::Relaxed) == 0 {
            return;
        }
        let says_so = vary.contains(&header::ACCEPT_LANGUAGE);
        let settled = |left: u8| if says_so { Some(0) } else { left.checked_sub(1) };
        let left = self.unsettled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, settled);
        if left == Ok(1) && !says_so {
            let mut known = self.names.write().unwrap_or_else(PoisonError::into_inner);
            *known = known.iter().filter(|name| **name != header::ACCEPT_LANGUAGE).cloned().collect();
        }
    }

    fn add(&self, names: impl Iterator<Item = HeaderName>) {
        let mut known = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = known.to_vec();
        for name in names {
            if all.len() < MOST && !all.contains(&name) {
                all.push(name);
            }
        }
        *known = all.into();
    }
}

impl Proxy {
    /// What a fetch of something that is not there sends, and keeps its answer by, beside what is known of the very URL.
    pub(super) fn selecting(&self, exchange: &Exchange<'_>) -> Arc<[HeaderName]> {
        match &exchange.route.caching {
            // By what a client did not send, nothing is told apart.
            Caching::Named(policy) => {
                let names = self.selecting[exchange.index].names();
                let is_of_use = |name: &&HeaderName| {
                    exchange.headers.contains_key(*name)
                        && !policy.vary.contains(name)
                        && !exchange.route.serves.reduces(name)
                };
                match names.iter().all(|name| is_of_use(&name)) {
                    true => names,
                    false => names.iter().filter(is_of_use).cloned().collect(),
                }
            }
            Caching::Http(_) | Caching::Pass => Arc::default(),
        }
    }

    /// Heeds what an answer to one of a route's fetches says that it differs by.
    pub(super) fn heed_vary(&self, exchange: &Exchange<'_>, answer: &HeaderMap) {
        if let Ok(names) = vary::names(answer) {
            self.selecting[exchange.index].heed(&names);
        }
    }

    /// Learns from an answer that is kept, and is not its leader's.
    pub(super) fn learn_selecting(&self, exchange: &Exchange<'_>, lookup: &Lookup, landed: &Landing) {
        let Landing::Filling(filling) = landed else { return };
        self.heed_vary(exchange, &filling.head.headers);
        let own = self.variant(exchange, lookup, &filling.vary);
        if !filling.vary.is_empty() && Key::from(own.as_slice()) != filling.variant {
            self.learn_names(exchange, filling.vary.iter().filter(|name| self.sent(exchange, name).is_some()));
        }
    }

    /// Learns from an answer that is nobody else's, and not its leader's either: it differs by what the fetch left out.
    pub(super) fn learn_left_out(&self, exchange: &Exchange<'_>, sent: &HeaderMap, names: &[HeaderName]) {
        let serves = &exchange.route.serves;
        let left_out = names
            .iter()
            .filter(|name| canonical::field(&exchange.headers, name, serves) != canonical::field(sent, name, serves))
            .filter(|name| self.sent(exchange, name).is_some());
        self.learn_names(exchange, left_out);
    }

    fn learn_names<'n>(&self, exchange: &Exchange<'_>, names: impl Iterator<Item = &'n HeaderName>) {
        let Caching::Named(NamedPolicy { vary, .. }) = &exchange.route.caching else { return };
        // Whoever is asking is told by the policy's share, and not by a name in an answer.
        let tells_who = |name: &HeaderName| {
            [header::COOKIE, header::AUTHORIZATION].contains(name) || self.identity.headers.contains(name)
        };
        let is_keyed = |name: &HeaderName| vary.contains(name) || KEYED_WHERE_SENT.contains(name);
        let names = names.filter(|name| !tells_who(name) && !is_keyed(name) && !exchange.route.serves.reduces(name));
        self.selecting[exchange.index].add(names.cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_once_and_not_too_many() {
        let selecting = Selecting::default();
        selecting.heed(&[header::ACCEPT_LANGUAGE]);
        let named = |names: &[&'static str]| selecting.add(names.iter().map(|name| HeaderName::from_static(name)));
        named(&["accept-language", "x-a"]);
        named(&["x-a", "x-b", "accept-language", "x-c", "x-d"]);
        assert_eq!(&*selecting.names(), ["accept-language", "x-a", "x-b", "x-c"]);
    }

    #[test]
    fn languages_are_sent_until_they_seem_to_make_no_difference() {
        let selecting = Selecting::default();
        for _ in 1..SETTLES {
            selecting.heed(&[header::ACCEPT_ENCODING]);
            assert_eq!(&*selecting.names(), ["accept-language"]);
        }
        selecting.heed(&[]);
        assert!(selecting.names().is_empty());
        selecting.heed(&[]);
        selecting.add([header::ACCEPT_LANGUAGE].into_iter());
        assert_eq!(&*selecting.names(), ["accept-language"], "they do make one");
        selecting.heed(&[]);
        assert_eq!(&*selecting.names(), ["accept-language"]);
    }
}
