//! Requests that go where their session is: which server they go to, the value of a cookie says.
//!
//! Whichever server has given a client the value is where requests with it go, for as long as that is remembered: a bounded
//! number of values, the latest. What is not remembered goes by a hash of the value and of each server's address, the highest
//! of which wins (rendezvous hashing): all processes choose alike, and a server that joins takes over only what is its own
//! from then on. Values are kept as digests, since they may be somebody's credential.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use http::uri::Authority;
use http::{HeaderMap, header};

use crate::fields::cookies::cookies;

/// Where the values of one upstream's cookie lead.
#[derive(Debug)]
pub(super) struct Sticky {
    cookie: String,
    given: Mutex<Given>,
}

/// How many values are remembered at least; at most twice as many.
const REMEMBERED: usize = 50_000;

type Digest = [u8; 16];

/// Which server gave which value. What is asked for or given moves to `recent`; once that is full, `before` is forgotten.
#[derive(Debug, Default)]
struct Given {
    recent: HashMap<Digest, usize>,
    before: HashMap<Digest, usize>,
}

impl Sticky {
    /// By the cookie of this name.
    pub(super) fn new(cookie: String) -> Sticky {
        Sticky { cookie, given: Mutex::default() }
    }

    /// Which of the servers a request that is sent with these fields goes to, `avoid` excepted; none without the cookie.
    pub(super) fn server(&self, sent: &HeaderMap, servers: &[Authority], avoid: Option<usize>) -> Option<usize> {
        let mut all = sent.get_all(header::COOKIE).iter().flat_map(cookies);
        let value = all.find(|cookie| cookie.name == self.cookie)?.value().filter(|value| !value.is_empty())?;
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner).server(&digest(value));
        given.filter(|&server| avoid != Some(server) && server < servers.len()).or_else(|| {
            let open = (0..servers.len()).filter(|&server| avoid != Some(server));
            open.max_by_key(|&server| weight(value, &servers[server]))
        })
    }

    /// A server has answered with these fields.
    pub(super) fn answered(&self, server: usize, answered: &HeaderMap) {
        for line in answered.get_all(header::SET_COOKIE) {
            let cookie = cookies(line).next().filter(|cookie| cookie.name == self.cookie);
            if let Some(value) = cookie.and_then(|cookie| cookie.value()).filter(|value| !value.is_empty()) {
                self.given.lock().unwrap_or_else(PoisonError::into_inner).keep(digest(value), server);
            }
        }
    }
}

impl Given {
    fn server(&mut self, digest: &Digest) -> Option<usize> {
        if let Some(server) = self.recent.get(digest) {
            return Some(*server);
        }
        let server = self.before.remove(digest)?;
        self.keep(*digest, server);
        Some(server)
    }

    fn keep(&mut self, digest: Digest, server: usize) {
        if self.recent.len() >= REMEMBERED {
            self.before = std::mem::take(&mut self.recent);
        }
        self.recent.insert(digest, server);
    }
}

fn digest(value: &[u8]) -> Digest {
    let mut first = [0; 16];
    first.copy_from_slice(&blake3::hash(value).as_bytes()[..16]);
    first
}

fn weight(value: &[u8], server: &Authority) -> Digest {
    // An address has no NUL in it, so the two cannot run into each other.
    let mut hasher = blake3::Hasher::new();
    hasher.update(server.as_str().as_bytes()).update(b"\0").update(value);
    let mut first = [0; 16];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    first
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn servers(many: usize) -> Vec<Authority> {
        (0..many).map(|number| format!("10.0.0.{number}:80").parse().unwrap()).collect()
    }

    fn fields(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    fn sent(value: &str) -> HeaderMap {
        fields(header::COOKIE, &format!("a=b; SID={value}; c=d"))
    }

    #[test]
    fn one_more_server_moves_only_what_goes_to_it() {
        let sticky = Sticky::new("SID".into());
        let (before, after) = (servers(4), servers(5));
        let mut moved = 0;
        for number in 0..1000 {
            let request = sent(&format!("session-{number}"));
            let old = sticky.server(&request, &before, None).unwrap();
            let new = sticky.server(&request, &after, None).unwrap();
            assert!(new == old || new == 4, "{number}: {old} → {new}");
            moved += usize::from(new == 4);
        }
        assert!((120..300).contains(&moved), "{moved} of 1000, and a fifth is 200");
    }

    #[test]
    fn whoever_is_avoided_is_not_asked_and_the_others_choice_stands() {
        let (sticky, servers) = (Sticky::new("SID".into()), servers(3));
        for number in 0..100 {
            let request = sent(&number.to_string());
            let first = sticky.server(&request, &servers, None).unwrap();
            assert_ne!(sticky.server(&request, &servers, Some(first)), Some(first));
            assert_eq!(sticky.server(&request, &servers, Some((first + 1) % 3)), Some(first));
        }
    }

    #[test]
    fn without_the_cookie_it_chooses_nothing() {
        let (sticky, servers) = (Sticky::new("SID".into()), servers(3));
        for line in ["", "sid=a", "SID", "SID=", "XSID=a"] {
            assert_eq!(sticky.server(&fields(header::COOKIE, line), &servers, None), None, "{line}");
        }
        assert_eq!(sticky.server(&HeaderMap::new(), &servers, None), None);
    }

    #[test]
    fn what_a_server_gave_leads_to_it() {
        let (sticky, servers) = (Sticky::new("SID".into()), servers(3));
        for number in 0..30 {
            let (value, server) = (format!("s{number}"), number % 3);
            sticky.answered(server, &fields(header::SET_COOKIE, &format!("SID={value}; Path=/; HttpOnly")));
            assert_eq!(sticky.server(&sent(&value), &servers, None), Some(server));
            assert_ne!(sticky.server(&sent(&value), &servers, Some(server)), Some(server));
        }
        // Another cookie's value is none of its own.
        let by_hash = sticky.server(&sent("x"), &servers, None).unwrap();
        sticky.answered((by_hash + 1) % 3, &fields(header::SET_COOKIE, "OTHER=x; SID=x"));
        assert_eq!(sticky.server(&sent("x"), &servers, None), Some(by_hash));
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_what_is_used_stays() {
        let mut given = Given::default();
        let number = |number: usize| digest(&number.to_le_bytes());
        given.keep(number(usize::MAX), 7);
        for one in 0..5 * REMEMBERED {
            given.keep(number(one), 1);
            assert_eq!(given.server(&number(usize::MAX)), Some(7));
            assert!(given.recent.len() + given.before.len() <= 2 * REMEMBERED);
        }
        assert_eq!(given.server(&number(0)), None);
        assert_eq!(given.server(&number(5 * REMEMBERED - 1)), Some(1));
    }
}
