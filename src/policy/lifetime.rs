//! How old an answer is when it arrives, and how long it lives by its dates (RFC 9111 §4.2).

use std::time::Duration;

use http::header;

use super::said::Said;
use super::status;
use crate::entry::head::{Credentialed, OriginClock};
use crate::fields::date;
use crate::fields::directives::{MAX_DELTA, seconds};
use crate::policy::answered::Answered;
use crate::policy::said::dated;

/// RFC 9111 §4.2.3, `corrected_initial_age`. What cannot be read is as if it were not there; no age is more than 2^31 s.
pub fn initial_age(answered: &Answered<'_>) -> Duration {
    let apparent =
        dated(answered.headers, answered.arrived).and_then(|date| answered.arrived.duration_since(date).ok());
    // Dates have whole seconds: less than one of apparent age is none.
    let apparent = Duration::from_secs(apparent.unwrap_or_default().as_secs());
    apparent.max(received_age(answered) + answered.delay).min(MAX_DELTA)
}

/// Whether by its `Date` alone an answer is older than it can be: seconds are rounded, and clocks differ a little.
pub fn origin_clock(answered: &Answered<'_>) -> OriginClock {
    let explained = received_age(answered) + answered.delay + CLOCKS_DIFFER;
    if initial_age(answered) > explained { OriginClock::Behind } else { OriginClock::Right }
}

/// By how much clocks that are kept may differ, with the rounding of a date.
const CLOCKS_DIFFER: Duration = Duration::from_secs(2);

/// The age that other caches say it had (§5.1); of several, the first counts.
pub fn received_age(answered: &Answered<'_>) -> Duration {
    let age = answered.headers.get(header::AGE).and_then(|value| value.as_bytes().split(|&b| b == b',').next());
    age.and_then(|text| seconds(text.trim_ascii())).unwrap_or_default().min(MAX_DELTA)
}

/// RFC 9111 §4.2.2: a tenth of the time for which the answer had not changed, a day at most. Only for statuses that allow
/// it, or what is `public`; and nothing is guessed about what was made for somebody's credentials.
pub fn guessed(answered: &Answered<'_>, said: &Said) -> Option<Duration> {
    // What is said aside may outweigh a `no-store` for others: then nothing is guessed that it does not open itself.
    let may_be = said.directives.public || (status::is_heuristically_cacheable(answered.status) && !said.aside);
    if !may_be || answered.credentialed != Credentialed::No {
        return None;
    }
    let modified = date::of(answered.headers, &header::LAST_MODIFIED, answered.arrived)?;
    let date = dated(answered.headers, answered.arrived).unwrap_or(answered.arrived);
    let unchanged = date.duration_since(modified).ok()?;
    Some((unchanged / 10).min(LONGEST_GUESS))
}

const LONGEST_GUESS: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::said::by_expires;
    use http::HeaderMap;
    use http::{HeaderName, HeaderValue, StatusCode};
    use std::time::SystemTime;

    /// `Sun, 09 Sep 2001 01:46:40 GMT`.
    const ARRIVED: Duration = Duration::from_secs(1_000_000_000);

    fn with<T>(status: u16, lines: &[(&'static str, &str)], delay: u64, ask: impl FnOnce(&Answered<'_>) -> T) -> T {
        let lines = lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap()));
        let headers: HeaderMap = lines.collect();
        ask(&Answered {
            form_cookies: &[],
            status: StatusCode::from_u16(status).unwrap(),
            headers: &headers,
            path: "/",
            credentialed: Credentialed::No,
            arrived: SystemTime::UNIX_EPOCH + ARRIVED,
            delay: Duration::from_secs(delay),
        })
    }

    #[test]
    fn rfc9111_4_2_3_age() {
        const AT: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
        const TEN_BEFORE: &str = "Sun, 09 Sep 2001 01:46:30 GMT";
        const AHEAD: &str = "Sun, 09 Sep 2001 02:46:30 GMT";
        for (lines, delay, want) in [
            (&[][..], 0, 0),
            (&[], 3, 3), // response_delay
            (&[("date", AT)], 3, 3),
            (&[("date", TEN_BEFORE)], 0, 10), // apparent_age
            (&[("date", TEN_BEFORE)], 3, 10),
            (&[("date", TEN_BEFORE)], 30, 30),
            (&[("date", TEN_BEFORE), ("age", "30")], 3, 33),
            (&[("date", TEN_BEFORE), ("age", "5")], 3, 10),
            (&[("date", AHEAD), ("age", "5")], 0, 5),
            (&[("date", "0"), ("age", "5")], 0, 5),
            (&[("date", TEN_BEFORE), ("date", TEN_BEFORE)], 0, 0), // not one date
            (&[("age", "30")], 0, 30),
            (&[("age", " 30 ")], 0, 30),
            (&[("age", "007")], 0, 7),
            (&[("age", "30, 60")], 0, 30), // §5.1
            (&[("age", "30"), ("age", "60")], 0, 30),
            (&[("age", "x, 60")], 0, 0),
            (&[("age", ",60")], 0, 0),
            (&[("age", "-30")], 0, 0),
            (&[("age", "+30")], 0, 0),
            (&[("age", "30.5")], 0, 0),
            (&[("age", "3e1")], 0, 0),
            (&[("age", "\"30\"")], 0, 0),
            (&[("age", "30 s")], 0, 0),
            (&[("age", "")], 0, 0),
            (&[("age", "2147483648")], 0, 1 << 31),
            (&[("age", "2147483647")], 9, 1 << 31),
            (&[("age", "99999999999999999999999999")], 9, 1 << 31), // §1.2.2
            (&[("date", "Mon, 01 Jan 0001 00:00:00 GMT")], 0, 1 << 31),
        ] {
            let age = with(200, lines, delay, initial_age);
            assert_eq!(age.as_secs(), want, "{lines:?} after {delay} s");
        }
    }

    #[test]
    fn a_clock_is_behind_where_nothing_else_explains_the_age() {
        const HOUR_BEFORE: (&str, &str) = ("date", "Sun, 09 Sep 2001 00:46:40 GMT");
        for (lines, delay, want) in [
            (&[][..], 9, OriginClock::Right),
            (&[HOUR_BEFORE], 0, OriginClock::Behind),
            (&[HOUR_BEFORE, ("age", "60")], 0, OriginClock::Behind),
            (&[HOUR_BEFORE, ("age", "3599")], 0, OriginClock::Right), // a cache kept it for so long
            (&[HOUR_BEFORE], 3600, OriginClock::Right),               // it took so long
            (&[("date", "Sun, 09 Sep 2001 01:46:38 GMT")], 0, OriginClock::Right),
            (&[("date", "Sun, 09 Sep 2001 01:46:37 GMT")], 0, OriginClock::Behind),
            (&[("date", "Sun, 09 Sep 2001 02:46:40 GMT")], 0, OriginClock::Right), // ahead: it makes nothing stale
            (&[("date", "yesterday")], 0, OriginClock::Right),
        ] {
            assert_eq!(with(200, lines, delay, origin_clock), want, "{lines:?} after {delay} s");
        }
    }

    #[test]
    fn rfc9111_5_3_expires() {
        const IN_A_MINUTE: &str = "Sun, 09 Sep 2001 01:47:40 GMT";
        for (lines, want) in [
            (&[][..], None),
            (&[("expires", IN_A_MINUTE)], Some(60)),
            (&[("expires", "Sunday, 09-Sep-01 01:47:40 GMT")], Some(60)),
            (&[("expires", "sun sep  9 01:47:40 2001")], Some(60)),
            (&[("expires", IN_A_MINUTE), ("date", "Sun, 09 Sep 2001 01:46:30 GMT")], Some(70)),
            (&[("expires", IN_A_MINUTE), ("date", "Sun, 09 Sep 2001 02:46:30 GMT")], Some(0)),
            (&[("expires", IN_A_MINUTE), ("date", "yesterday")], Some(60)),
            (&[("expires", IN_A_MINUTE), ("expires", IN_A_MINUTE)], Some(0)), // §4.2.1
            (&[("expires", "Sun, 09 Sep 2001 01:46:40 GMT")], Some(0)),
            (&[("expires", "Sun, 09 Sep 2001 01:45:40 GMT")], Some(0)),
            (&[("expires", "0")], Some(0)),
            (&[("expires", "-1")], Some(0)),
            (&[("expires", "")], Some(0)),
            (&[("expires", "Sun, 09 Sep 2001 01:47:40 PST")], Some(0)), // §4.2
            (&[("expires", "Fri, 31 Dec 9999 23:59:59 GMT")], Some(1 << 31)),
        ] {
            let lifetime = with(200, lines, 0, |answered| by_expires(answered.headers, answered.arrived));
            assert_eq!(lifetime.map(|time| time.as_secs()), want, "{lines:?}");
        }
    }

    #[test]
    fn rfc9111_4_2_2_a_guess() {
        const HOUR_AGO: (&str, &str) = ("last-modified", "Sun, 09 Sep 2001 00:46:40 GMT");
        let guess = |status, lines: &[(&'static str, &str)], credentialed| {
            with(status, lines, 0, |answered| {
                let answered = Answered { form_cookies: &[], credentialed, ..*answered };
                guessed(&answered, &Said::by_precedence(answered.headers, answered.arrived))
            })
        };
        for (status, lines, want) in [
            (200, &[HOUR_AGO][..], Some(360)),
            (404, &[HOUR_AGO], Some(360)),
            (201, &[HOUR_AGO], None), // RFC 9110 §15.1
            (302, &[HOUR_AGO], None),
            (500, &[HOUR_AGO], None),
            (201, &[HOUR_AGO, ("cache-control", "public")], Some(360)),
            (200, &[HOUR_AGO, ("date", "Sun, 09 Sep 2001 00:56:40 GMT")], Some(60)),
            (200, &[], None),
            (200, &[("last-modified", "yesterday")], None),
            (200, &[("last-modified", "Sun, 09 Sep 2001 02:46:40 GMT")], None),
            (200, &[("last-modified", "Sun, 09 Sep 1990 02:46:40 GMT")], Some(86_400)),
        ] {
            let got = guess(status, lines, Credentialed::No).map(|time| time.as_secs());
            assert_eq!(got, want, "{status} {lines:?}");
        }
        assert_eq!(guess(200, &[HOUR_AGO, ("cache-control", "public")], Credentialed::Authorization), None);
    }
}
