//! By which fields the answers of a route were seen to differ, beyond what its policy names.
//!
//! A fetch sends what is keyed and nothing else. Where an answer turns out to differ by something that its client had sent, it is
//! not that client's, and has to be asked for with it: once, since from then on the route's fetches send it and its answers are
//! kept by it. Otherwise each page of an application that speaks several languages would be asked for twice. Languages are what
//! most applications differ by, so that they are sent until a few answers of the route have said nothing of them.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, header};

use crate::coherence::flight::Landing;
use crate::entry::key::Key;
use crate::policy::plan::{KEYED_WHERE_SENT, Lookup};
use crate::policy::vary;
use crate::proxy::current::Proxy;
use crate::proxy::exchange::Exchange;
use crate::rules::caching::{Caching, NamedPolicy};
use crate::rules::canonical;

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
