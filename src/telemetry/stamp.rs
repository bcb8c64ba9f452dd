//! The date and time of lines, made once a second.

use std::time::{Duration, Instant, UNIX_EPOCH};

use crate::ground::clock::{Clock, Now};

/// What is written of a moment.
#[derive(Debug)]
pub struct Timestamp {
    clock: Clock,
    /// When the second that `text` names began.
    began: Instant,
    /// `2026-11-21T14:15:03`.
    text: [u8; 19],
}

impl Timestamp {
    /// By this clock.
    pub fn new(clock: Clock) -> Timestamp {
        let now = clock.now();
        let mut stamp = Timestamp { clock, began: now.instant, text: [0; 19] };
        stamp.set(now, now.instant);
        stamp
    }

    /// Writes a moment with its milliseconds, in UTC (RFC 3339).
    pub fn write(&mut self, out: &mut Vec<u8>, at: Instant) {
        let passed = match at.checked_duration_since(self.began) {
            Some(passed) if passed < Duration::from_secs(1) => passed,
            _ => {
                self.set(self.clock.now(), at);
                at.saturating_duration_since(self.began)
            }
        };
        out.extend_from_slice(&self.text);
        out.push(b'.');
        three_digits(out, passed.subsec_millis());
        out.push(b'Z');
    }

    /// The clock on the wall is read anew each second: it may have been put right.
    fn set(&mut self, now: Now, at: Instant) {
        let wall = now.wall - now.instant.saturating_duration_since(at);
        let since = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        self.text = second(since.as_secs());
        self.began = at.checked_sub(Duration::from_nanos(u64::from(since.subsec_nanos()))).unwrap_or(at);
    }
}

/// Seconds since 1970 as RFC 3339 writes them, in UTC.
pub fn date(since: u64) -> String {
    let text: String = second(since).iter().map(|&digit| char::from(digit)).collect();
    text + "Z"
}

/// The same, without the zone.
fn second(since: u64) -> [u8; 19] {
    // Howard Hinnant, chrono-Compatible Low-Level Date Algorithms, `civil_from_days`.
    let days = since / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let of_day = since % 86_400;
    let mut text = *b"0000-00-00T00:00:00";
    let parts = [
        (3, year),
        (2, year / 10),
        (1, year / 100),
        (0, year / 1000),
        (6, month),
        (5, month / 10),
        (9, day),
        (8, day / 10),
    ];
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let times = [(12, hour), (11, hour / 10), (15, minute), (14, minute / 10), (18, second), (17, second / 10)];
    for (place, number) in parts.into_iter().chain(times) {
        text[place] = b'0' + (number % 10) as u8;
    }
    text
}

/// With leading zeros.
pub fn three_digits(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&[100, 10, 1].map(|place| b'0' + (number / place % 10) as u8));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_dates() {
        let check = |since: u64, want: &str| {
            let text = second(since);
            assert_eq!(std::str::from_utf8(&text).unwrap(), want);
            let time = UNIX_EPOCH + Duration::from_secs(since);
            assert_eq!(&httpdate::fmt_http_date(time)[17..25], &want[11..], "the same clock");
        };
        check(0, "1970-01-01T00:00:00");
        check(951_782_399, "2000-02-28T23:59:59");
        check(951_782_400, "2000-02-29T00:00:00");
        check(1_709_251_199, "2024-02-29T23:59:59");
        check(1_795_270_503, "2026-11-21T14:15:03");
        check(4_102_444_800, "2100-01-01T00:00:00");
        check(4_107_542_400, "2100-03-01T00:00:00");
    }

    #[test]
    fn a_stamp_follows_the_clock() {
        let manual = crate::ground::clock::ManualClock::start();
        let clock = Clock::Manual(manual.clone());
        let mut stamp = Timestamp::new(clock.clone());
        let mut shown = |at: Instant| {
            let mut out = Vec::new();
            stamp.write(&mut out, at);
            millis_of_day(&out)
        };
        let first = shown(clock.instant());
        for (step, passed) in [(1, 1), (999, 1000), (10_500, 11_500)] {
            manual.advance(Duration::from_millis(step));
            let off = (shown(clock.instant()) - first).rem_euclid(86_400_000).abs_diff(passed);
            assert!(off <= 1, "{passed}: off by {off}");
        }
    }

    /// Milliseconds of the day.
    fn millis_of_day(text: &[u8]) -> i64 {
        let number = |range: std::ops::Range<usize>| std::str::from_utf8(&text[range]).unwrap().parse::<i64>().unwrap();
        ((number(11..13) * 60 + number(14..16)) * 60 + number(17..19)) * 1000 + number(20..23)
    }
}
