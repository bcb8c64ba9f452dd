//! What an origin says about keeping its answer, out of all the fields that may say so.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, StatusCode, header};

use super::status;
use crate::fields::directives::{MAX_DELTA, ResponseDirectives};
use crate::fields::{date, targeted};

/// What an origin says about keeping its answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// Its directives.
    pub directives: ResponseDirectives,
    /// The lifetime that it gives (RFC 9111 §4.2.1): `s-maxage`, else `max-age`, else `Expires`.
    pub lifetime: Option<Duration>,
    /// It says so to caches like us alone (RFC 9213).
    pub aside: bool,
}

impl Said {
    /// By the field that outweighs the others, and by no other (RFC 9213 §2.2): for policies that do as the origin says.
    pub fn by_precedence(headers: &HeaderMap, arrived: SystemTime) -> Said {
        targeted::said(headers).next().map_or_else(|| Said::to_all(headers, arrived), Said::to_us)
    }

    /// By all of them, and of each thing the stricter: for policies of the operator's, which a field may narrow.
    pub fn by_all(headers: &HeaderMap, arrived: SystemTime) -> Said {
        targeted::said(headers).map(Said::to_us).fold(Said::to_all(headers, arrived), Said::and)
    }

    /// By `Cache-Control` and `Expires`.
    pub(super) fn to_all(headers: &HeaderMap, arrived: SystemTime) -> Said {
        let directives = ResponseDirectives::of(headers);
        let lifetime = directives.lifetime().or_else(|| by_expires(headers, arrived));
        Said { directives, lifetime, aside: false }
    }

    pub(super) fn to_us(directives: ResponseDirectives) -> Said {
        Said { lifetime: directives.lifetime(), directives, aside: true }
    }

    pub(super) fn and(mut self, other: Said) -> Said {
        let (own, others) = (&mut self.directives, other.directives);
        own.no_store |= others.no_store;
        own.must_understand |= others.must_understand;
        own.no_cache.join(others.no_cache);
        own.private.join(others.private);
        own.public &= others.public;
        own.must_revalidate |= others.must_revalidate;
        own.opens &= others.opens;
        own.opens_authorization &= others.opens_authorization;
        own.max_age = shorter(own.max_age, others.max_age);
        own.s_maxage = shorter(own.s_maxage, others.s_maxage);
        own.stale_while_revalidate = shorter(own.stale_while_revalidate, others.stale_while_revalidate);
        own.stale_if_error = shorter(own.stale_if_error, others.stale_if_error);
        self.lifetime = shorter(self.lifetime, other.lifetime);
        self
    }

    /// RFC 9111 §5.2.2.5, and §5.2.2.3: beside `must-understand`, `no-store` is for caches that do not know the status.
    pub fn forbids_storing(&self, status: StatusCode) -> bool {
        match self.directives.must_understand {
            true => !status::is_understood(status),
            false => self.directives.no_store,
        }
    }

    /// RFC 9111 §5.2.2.4: the whole answer is asked about each time.
    pub fn is_no_cache(&self) -> bool {
        self.directives.no_cache.whole
    }

    /// RFC 9111 §5.2.2.7: the whole answer is one person's.
    pub fn is_private(&self) -> bool {
        self.directives.private.whole
    }

    /// RFC 9111 §4.2.4: it must not be served stale.
    pub fn forbids_staleness(&self) -> bool {
        self.directives.must_revalidate || self.directives.s_maxage.is_some() || self.is_no_cache()
    }

    /// The fields that are for nobody but whoever caused the fetch (RFC 9111 §5.2.2.4, §5.2.2.7).
    pub fn withheld(&self) -> impl Iterator<Item = &HeaderName> {
        self.directives.no_cache.fields.iter().chain(&self.directives.private.fields)
    }
}

pub(super) fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    [one, other].into_iter().flatten().min()
}

/// RFC 9111 §5.3: what `Expires` gives. Unreadable or repeated it is in the past.
pub fn by_expires(headers: &HeaderMap, arrived: SystemTime) -> Option<Duration> {
    if !headers.contains_key(header::EXPIRES) {
        return None;
    }
    let date = dated(headers, arrived).unwrap_or(arrived);
    let expires = date::of(headers, &header::EXPIRES, arrived);
    let lifetime = expires.and_then(|expires| expires.duration_since(date).ok());
    Some(lifetime.unwrap_or_default().min(MAX_DELTA))
}

pub(super) fn dated(headers: &HeaderMap, arrived: SystemTime) -> Option<SystemTime> {
    date::of(headers, &header::DATE, arrived)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const ARRIVED: SystemTime = SystemTime::UNIX_EPOCH;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        lines.collect()
    }

    #[test]
    fn rfc9213_2_2_the_first_valid_field_decides_alone() {
        let cc = ("cache-control", "max-age=1, must-revalidate");
        let expires = ("expires", "Thu, 01 Jan 1970 00:00:07 GMT");
        for (lines, lifetime, revalidate) in [
            (&[cc][..], Some(1), true),
            (&[expires], Some(7), false),
            (&[cc, expires], Some(1), true), // RFC 9111 §5.3
            (&[("cache-control", "s-maxage=3, max-age=9"), expires], Some(3), false),
            (&[cc, ("cdn-cache-control", "max-age=60")], Some(60), false),
            (&[cc, expires, ("cdn-cache-control", "public")], None, false),
            (&[cc, ("cdn-cache-control", "")], Some(1), true),
            (&[cc, ("cdn-cache-control", "max-age=60;")], Some(1), true),
            (&[cc, ("surrogate-control", "max-age=60")], Some(60), false),
            (&[cc, ("surrogate-control", "content=\"ESI/1.0\"")], Some(1), true),
            (&[cc, ("surrogate-control", "max-age=60"), ("cdn-cache-control", "max-age=5")], Some(5), false),
            (&[cc, ("surrogate-control", "max-age=60"), ("cdn-cache-control", "oops,")], Some(60), false),
        ] {
            let said = Said::by_precedence(&headers(lines), ARRIVED);
            let got = (said.lifetime.map(|time| time.as_secs()), said.directives.must_revalidate);
            assert_eq!(got, (lifetime, revalidate), "{lines:?}");
        }
    }

    #[test]
    fn under_a_policy_of_the_operators_every_field_may_narrow_and_none_widens() {
        let check = |control: &'static str, cdn: &'static str, want: (bool, bool, bool, Option<u64>)| {
            let said = Said::by_all(&headers(&[("cache-control", control), ("cdn-cache-control", cdn)]), ARRIVED);
            let lifetime = said.lifetime.map(|time| time.as_secs());
            let got = (said.directives.no_store, said.is_private(), said.is_no_cache(), lifetime);
            assert_eq!(got, want, "{control} and {cdn}");
        };
        check("no-store", "max-age=60", (true, false, false, Some(60)));
        check("max-age=60", "no-store", (true, false, false, Some(60)));
        check("private", "public", (false, true, false, None));
        check("max-age=60", "private, no-cache", (false, true, true, Some(60)));
        check("max-age=60", "max-age=5", (false, false, false, Some(5)));
        check("max-age=5", "max-age=60", (false, false, false, Some(5)));
        check("max-age=60", "broken,", (false, false, false, Some(60)));
    }

    #[test]
    fn rfc9111_5_2_2_3_must_understand() {
        let forbids = |control: &'static str, status: u16| {
            let said = Said::by_precedence(&headers(&[("cache-control", control)]), ARRIVED);
            said.forbids_storing(StatusCode::from_u16(status).unwrap())
        };
        for (control, status, want) in [
            ("no-store", 200, true),
            ("must-understand", 200, false),
            ("must-understand", 299, true),
            ("must-understand, no-store", 200, false),
            ("no-store, must-understand", 404, false),
            ("must-understand, no-store", 299, true),
            ("must-understand=x, no-store", 200, true),
            ("must-understand=x", 200, true),
        ] {
            assert_eq!(forbids(control, status), want, "{control} {status}");
        }
    }
}
