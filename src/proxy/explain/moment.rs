//! The moment that a question is about, where that is not the present.
//!
//! What is stored, and what the purge log says of it, is as it is now; ages, lifetimes and tokens are judged at the moment.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::asker::facet::Proven;
use crate::ground::clock::Now;
use crate::proxy::current::Proxy;
use crate::proxy::exchange::Exchange;
use crate::rules::caching::Caching;
use crate::telemetry::stamp;

/// When a request is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    pub now: Now,
    moment: Moment,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Present,
    Other,
}

impl When {
    /// The present, or the moment that is written: `2026-11-21T14:00:00Z`, `+10m`, `-5m`.
    pub(super) fn read(written: Option<&str>, now: Now) -> Result<When, &'static str> {
        let Some(written) = written else { return Ok(When { now, moment: Moment::Present }) };
        let shifted = match written.split_at_checked(1) {
            Some(("+", time)) => later(now, duration(time).ok_or(NO_MOMENT)?),
            Some(("-", time)) => earlier(now, duration(time).ok_or(NO_MOMENT)?),
            _ => {
                let wall = date(written).ok_or(NO_MOMENT)?;
                match wall.duration_since(now.wall) {
                    Ok(ahead) => later(now, ahead),
                    Err(passed) => earlier(now, passed.duration()),
                }
            }
        };
        Ok(When { now: shifted.ok_or(TOO_FAR)?, moment: Moment::Other })
    }

    /// What it is called.
    pub(super) fn word(self) -> &'static str {
        match self.moment {
            Moment::Present => "now",
            Moment::Other => "then",
        }
    }

    /// As it is told, where it is not the present.
    pub(super) fn told(self) -> Option<String> {
        let since = self.now.wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        (self.moment == Moment::Other).then(|| stamp::date(since.as_secs()))
    }
}

impl Proxy {
    /// What is known of whoever asks. For another moment than the present a token is judged anew and not remembered: it may
    /// not hold yet.
    pub(super) fn proven_at(&self, exchange: &Exchange<'_>, when: When) -> Proven {
        let proven = self.proven(exchange);
        match (&exchange.route.caching, &self.tokens) {
            (Caching::Named(policy), Some(tokens)) if when.moment == Moment::Other && policy.relies_on_token() => {
                let token = self.identity.token(&exchange.headers);
                Proven { token: token.and_then(|token| tokens.claims_at(token, when.now.wall)), ..proven }
            }
            _ => proven,
        }
    }
}

const NO_MOMENT: &str = "the moment is written as 2026-11-21T14:00:00Z, or as +10m or -5m from now";
const TOO_FAR: &str = "the moment is too far away";

/// Beyond, nothing is stored, and clocks may not count so far.
const FARTHEST: Duration = Duration::from_secs(100 * 366 * 86_400);

fn later(now: Now, by: Duration) -> Option<Now> {
    let by = (by <= FARTHEST).then_some(by)?;
    Some(Now { instant: now.instant.checked_add(by)?, wall: now.wall.checked_add(by)? })
}

fn earlier(now: Now, by: Duration) -> Option<Now> {
    let by = (by <= FARTHEST).then_some(by)?;
    Some(Now { instant: now.instant.checked_sub(by)?, wall: now.wall.checked_sub(by)? })
}

/// `90s`, `10m`, `2h`, `1d`.
fn duration(text: &str) -> Option<Duration> {
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(digits(count)?.checked_mul(seconds)?))
}

/// RFC 3339 §5.6; fractions of a second are cut off.
fn date(text: &str) -> Option<SystemTime> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, zone) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.')?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    digits(fraction)?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let zone = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => 0,
        (sign, offset) => {
            let [hours, minutes] = numbers(offset, ':', [2, 2])?;
            let seconds = (hours < 24 && minutes < 60).then(|| (hours * 60 + minutes) * 60)?;
            match sign {
                "+" => seconds,
                "-" => -seconds,
                _ => return None,
            }
        }
    };
    // 60 is a leap second, which clocks do not count.
    let fits = (1970..=9999).contains(&year) && (1..=12).contains(&month) && hour < 24 && minute < 60 && second <= 60;
    let last = match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !fits || day < 1 || day > last {
        return None;
    }
    // Howard Hinnant, chrono-Compatible Low-Level Date Algorithms, `days_from_civil`.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year / 400, year % 400);
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + (153 * month + 2) / 5 + day - 1 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second - zone;
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// Numbers of so many digits.
fn numbers<const N: usize>(text: &str, between: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let mut pieces = text.split(between);
    let mut numbers = [0; N];
    for (number, length) in numbers.iter_mut().zip(lengths) {
        let piece = pieces.next().filter(|piece| piece.len() == length)?;
        *number = i64::try_from(digits(piece)?).ok()?;
    }
    pieces.next().is_none().then_some(numbers)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::clock::Clock;

    #[test]
    fn dates_as_rfc_3339_writes_them() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2000-03-01T00:00:00Z", 951_868_800),
            ("2026-11-21T14:00:00Z", 1_795_269_600),
            ("2026-11-21t14:00:00.999z", 1_795_269_600),
            ("2026-11-21T15:30:00+01:30", 1_795_269_600),
            ("2026-11-20T23:00:00-15:00", 1_795_269_600),
        ] {
            assert_eq!(date(text), Some(UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
        }
        let back = |seconds: u64| date(&stamp::date(seconds)) == Some(UNIX_EPOCH + Duration::from_secs(seconds));
        assert!((0..200_000).all(|n| back(n * 1_000_003)), "what is told can be asked");
    }

    #[test]
    fn what_is_no_moment() {
        let now = Clock::System.now();
        for text in [
            "",
            "+",
            "-",
            "10m",
            "+10",
            "+m",
            "+1w",
            "++1m",
            "+1.5h",
            "+-1m",
            "+1\u{e4}",
            "\u{e4}1m",
            "now",
            "2026-11-21",
            "2026-11-21T14:00Z",
            "2026-11-21T14:00:00",
            "2026-11-21 14:00:00Z",
            "2026-11-21T14:00:00ZZ",
            "2026-11-21T14:00:00.Z",
            "2026-11-21T14:00:00+0100",
            "2026-11-21T24:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "+026-11-21T14:00:00Z",
            "1969-12-31T23:59:59Z",
        ] {
            assert_eq!(When::read(Some(text), now).err(), Some(NO_MOMENT), "{text}");
        }
        for text in ["+99999d", "-99999d", "9999-12-31T23:59:59Z"] {
            assert_eq!(When::read(Some(text), now).err(), Some(TOO_FAR), "{text}");
        }
        assert_eq!(When::read(Some("+99999999999999999999d"), now).err(), Some(NO_MOMENT));
    }

    #[test]
    fn both_clocks_move() {
        let now = Clock::System.now();
        let tomorrow = When::read(Some("+1d"), now).expect("a moment").now;
        assert_eq!((tomorrow.instant - now.instant, tomorrow.wall), (DAY, now.wall + DAY));
        let yesterday = When::read(Some("-24h"), now).expect("a moment").now;
        assert_eq!((now.instant - yesterday.instant, yesterday.wall), (DAY, now.wall - DAY));
        let present = When::read(None, now).expect("a moment");
        assert_eq!((present.now, present.told()), (now, None));
    }

    const DAY: Duration = Duration::from_secs(86_400);
}
