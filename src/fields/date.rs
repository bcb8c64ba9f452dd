//! HTTP dates (RFC 9110 §5.6.7) as a cache reads them (RFC 9111 §4.2): in all three forms, in any case, and strictly.
//!
//! What is not exactly one of the forms is no date. That the weekday fits is not asked for.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::fields::date;
use crate::ground::clock::wall;

/// The date of a field that may be there once; repeated or unreadable it is none.
pub fn of(headers: &HeaderMap, name: &HeaderName, now: SystemTime) -> Option<SystemTime> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    if lines.next().is_some() { None } else { read(first, now) }
}

/// Reads a date. `now` decides the century of a year with two digits.
pub fn read(value: &HeaderValue, now: SystemTime) -> Option<SystemTime> {
    let text = value.as_bytes().trim_ascii();
    imf_fixdate(text).or_else(|| rfc850(text, now)).or_else(|| asctime(text)).and_then(Moment::time)
}

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment in the words of a calendar, in UTC.
struct Moment {
    year: i64,
    /// From 1.
    month: i64,
    day: i64,
    /// Of the day.
    second: i64,
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
fn imf_fixdate(text: &[u8]) -> Option<Moment> {
    if text.len() != 29 || !is_day(&text[..3]) || &text[3..5] != b", " || text[7] != b' ' || text[11] != b' ' {
        return None;
    }
    let (year, second) = (digits(&text[12..16])?, clock(&text[16..25])?);
    is_gmt(&text[25..]).then_some(Moment { year, month: month(&text[8..11])?, day: digits(&text[5..7])?, second })
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`.
fn rfc850(text: &[u8], now: SystemTime) -> Option<Moment> {
    let comma = text.iter().position(|&b| b == b',')?;
    let (day, text) = text.split_at(comma);
    if !DAYS.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(day)) || text.len() != 24 || text[1] != b' ' {
        return None;
    }
    let text = &text[2..];
    if text[2] != b'-' || text[6] != b'-' || !is_gmt(&text[18..]) {
        return None;
    }
    let of = |year: i64| {
        Some(Moment { year, month: month(&text[3..6])?, day: digits(&text[..2])?, second: clock(&text[9..18])? })
    };
    let last_two = digits(&text[7..9])?;
    // "appears to be more than 50 years in the future": the latest such year that does not.
    let latest = now.checked_add(FIFTY_YEARS)?;
    let centuries = (0..).map(|century| 9900 + last_two - 100 * century).take(100);
    centuries
        .into_iter()
        .find_map(|year| of(year).filter(|_| of(year).and_then(Moment::time).is_some_and(|time| time <= latest)))
}

/// `Sun Nov  6 08:49:37 1994`.
fn asctime(text: &[u8]) -> Option<Moment> {
    if text.len() != 24 || !is_day(&text[..3]) || text[3] != b' ' || text[7] != b' ' || text[19] != b' ' {
        return None;
    }
    let day = if text[8] == b' ' { digits(&text[9..10])? } else { digits(&text[8..10])? };
    Some(Moment { year: digits(&text[20..])?, month: month(&text[4..7])?, day, second: clock(&text[10..19])? })
}

/// Of the Gregorian calendar.
const FIFTY_YEARS: Duration = Duration::from_secs(50 * 31_556_952);

fn is_day(text: &[u8]) -> bool {
    DAYS.iter().any(|name| name.as_bytes()[..3].eq_ignore_ascii_case(text))
}

/// A date in any other zone is invalid (RFC 9111 §4.2).
fn is_gmt(text: &[u8]) -> bool {
    text.eq_ignore_ascii_case(b" GMT")
}

fn month(text: &[u8]) -> Option<i64> {
    let index = MONTHS.iter().position(|name| name.as_bytes().eq_ignore_ascii_case(text))?;
    i64::try_from(index).ok().map(|index| index + 1)
}

/// ` 08:49:37`, in seconds. A leap second is the nearest moment before it (RFC 9111 §4.2).
fn clock(text: &[u8]) -> Option<i64> {
    if text[0] != b' ' || text[3] != b':' || text[6] != b':' {
        return None;
    }
    let (hour, minute, second) = (digits(&text[1..3])?, digits(&text[4..6])?, digits(&text[7..9])?);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second.min(59))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, &b| b.is_ascii_digit().then(|| number * 10 + i64::from(b - b'0')))
}

impl Moment {
    fn time(self) -> Option<SystemTime> {
        let Moment { year, month, day, second } = self;
        if day < 1 || day > days_of(year, month) {
            return None;
        }
        // Years begin in March, so that a leap day is their last; 400 of them have 146097 days.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
        let of_era = year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1;
        // From 0000-03-01 to 1970-01-01.
        let seconds = (era * 146_097 + of_era - 719_468) * 86_400 + second;
        let distance = Duration::from_secs(seconds.unsigned_abs());
        match seconds < 0 {
            true => SystemTime::UNIX_EPOCH.checked_sub(distance),
            false => SystemTime::UNIX_EPOCH.checked_add(distance),
        }
    }
}

fn days_of(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A field that holds a date, once.
pub(crate) fn dated(headers: &HeaderMap, name: HeaderName) -> Option<(HeaderValue, SystemTime)> {
    /// Decides the century of years with two digits, fifty years off: it may be as old as this process.
    static ABOUT_NOW: OnceLock<SystemTime> = OnceLock::new();
    let value = single(headers, name)?;
    Some((value.clone(), date::read(value, *ABOUT_NOW.get_or_init(wall))?))
}

pub(crate) fn single(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000)
    }

    fn at(text: &str, now: SystemTime) -> Option<i64> {
        let time = read(&HeaderValue::from_bytes(text.as_bytes()).unwrap(), now)?;
        Some(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => after.as_secs() as i64,
            Err(before) => -(before.duration().as_secs() as i64),
        })
    }

    #[test]
    fn rfc9110_5_6_7_all_three_forms() {
        for (text, want) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Sun Nov 06 08:49:37 1994", Some(784_111_777)),
            ("Mon, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)), // another weekday
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", Some(-1)),
            ("Mon, 01 Jan 0001 00:00:00 GMT", Some(-62_135_596_800)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
            ("Thu, 29 Feb 1900 00:00:00 GMT", None),
            ("Mon, 31 Apr 2001 00:00:00 GMT", None),
            ("Mon, 00 Apr 2001 00:00:00 GMT", None),
            ("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_799)), // a leap second
            ("Sat, 31 Dec 2016 23:59:61 GMT", None),
            ("Sat, 31 Dec 2016 24:00:00 GMT", None),
            ("Sat, 31 Dec 2016 23:60:00 GMT", None),
            ("", None),
            ("0", None),
            ("-1", None),
            ("784111777", None),
            ("1994-11-06T08:49:37Z", None),
            ("Sun, 6 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 94 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49 GMT", None),
            ("Sun, 06 Nov 1994 8:49:37 GMT ", None),
            ("Sun,  06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Foo 1994 08:49:37 GMT", None),
            ("Foo, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT x", None),
            ("Sun, 06-Nov-94 08:49:37 GMT", None), // a short name in the long form
            ("Sunday, 06-Nov-1994 08:49:37 GMT", None),
            ("Sun Nov 6 08:49:37 1994", None),
            ("Sün, 06 Nov 1994 08:49:37 GMT", None),
        ] {
            assert_eq!(at(text, now()), want, "{text}");
        }
    }

    #[test]
    fn rfc9111_4_2_in_any_case_and_in_gmt_only() {
        for (text, reads) in [
            ("sun, 06 nov 1994 08:49:37 gmt", true),
            ("SUN, 06 NOV 1994 08:49:37 GMT", true),
            ("sUNDAY, 06-nOV-94 08:49:37 gmt", true),
            ("sun nov  6 08:49:37 1994", true),
            ("Sun, 06 Nov 1994 08:49:37 UTC", false),
            ("Sun, 06 Nov 1994 08:49:37 EST", false),
            ("Sun, 06 Nov 1994 08:49:37 +0000", false),
            ("Sunday, 06-Nov-94 08:49:37 PST", false),
        ] {
            assert_eq!(at(text, now()), reads.then_some(784_111_777), "{text}");
        }
    }

    #[test]
    fn rfc9110_5_6_7_two_digits_are_a_year_at_most_fifty_ahead() {
        let year = |text: &str, now| at(text, now).map(|seconds| 1970 + seconds / 31_556_952);
        for (text, want) in [
            ("Saturday, 06-Jun-26 08:49:37 GMT", 2026),
            ("Saturday, 06-Jun-76 08:49:37 GMT", 2076),
            ("Saturday, 06-Jun-77 08:49:37 GMT", 1977),
            ("Saturday, 06-Jun-70 08:49:37 GMT", 2070),
            ("Saturday, 06-Jun-00 08:49:37 GMT", 2000),
        ] {
            assert_eq!(year(text, now()), Some(want), "{text}");
        }
        let later = now() + Duration::from_secs(73 * 31_556_952);
        assert_eq!(year("Saturday, 06-Jun-05 08:49:37 GMT", later), Some(2105), "seen in 2099");
    }

    #[test]
    fn every_day_is_read_as_it_is_written() {
        for day in (0..3000 * 365).step_by(13) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400 + day % 86_400);
            let text = httpdate::fmt_http_date(time);
            assert_eq!(read(&HeaderValue::from_str(&text).unwrap(), now()), Some(time), "{text}");
        }
    }

    #[test]
    fn a_date_that_is_there_twice_is_none() {
        let mut headers = HeaderMap::new();
        let date = HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT");
        headers.append(http::header::DATE, date.clone());
        assert!(of(&headers, &http::header::DATE, now()).is_some());
        headers.append(http::header::DATE, date);
        assert_eq!(of(&headers, &http::header::DATE, now()), None);
    }
}
