//! Times and sizes as people write them. A bare number is refused: whoever reads it has to guess the unit.

use std::time::Duration;

/// Longer times are mistakes, and shorter ones cannot overflow when they are added to a clock.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// `300ms`, `30s`, `5m`, `1h`, `365d`; otherwise what is wrong and what to write.
pub(super) fn duration(text: &str) -> Result<Duration, (String, String)> {
    let (number, unit) = split(text);
    let forms = "write a whole number and a unit: 300ms, 30s, 5m, 1h or 7d".to_owned();
    let Ok(count) = number.parse::<u64>() else {
        return Err((format!("`{text}` is not a time"), compound(text).unwrap_or(forms)));
    };
    let millis_each: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" if count == 0 => return Err((format!("`{text}` has no unit"), "write 0s".to_owned())),
        "" => return Err((format!("`{text}` has no unit"), in_some_unit(count))),
        _ => {
            let meant = match unit.trim().to_ascii_lowercase().as_str() {
                "millis" | "msec" | "milliseconds" => Some("ms"),
                "s" | "sec" | "secs" | "second" | "seconds" => Some("s"),
                "min" | "mins" | "minute" | "minutes" => Some("m"),
                "h" | "hr" | "hrs" | "hour" | "hours" => Some("h"),
                "d" | "day" | "days" => Some("d"),
                _ => None,
            };
            let weeks =
                matches!(unit.trim(), "w" | "week" | "weeks").then(|| format!("write {}d", count.saturating_mul(7)));
            let hint =
                meant.map(|unit| format!("write {count}{unit}")).or(weeks).or_else(|| compound(text)).unwrap_or(forms);
            return Err((format!("`{text}` is not a time"), hint));
        }
    };
    match count.checked_mul(millis_each).map(Duration::from_millis) {
        Some(duration) if duration <= LONGEST => Ok(duration),
        _ => Err((format!("`{text}` is longer than ten years"), "write 3650d at most".to_owned())),
    }
}

/// `512B`, `10KiB`, `8MiB`, `1GiB`, `5MB`; otherwise what is wrong and what to write.
pub(super) fn size(text: &str) -> Result<u64, (String, String)> {
    let (number, unit) = split(text);
    let forms = "write a whole number and a unit: 32KiB, 8MiB or 1GiB".to_owned();
    let Ok(count) = number.parse::<u64>() else {
        return Err((format!("`{text}` is not a size"), forms));
    };
    let bytes_each: u64 = match unit {
        "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "" => return Err((format!("`{text}` has no unit"), format!("write {}", binary(count)))),
        _ => {
            let meant = match unit.trim().to_ascii_lowercase().as_str() {
                "b" | "byte" | "bytes" => Some("B"),
                "k" | "kb" | "kib" => Some("KiB"),
                "m" | "mb" | "mib" => Some("MiB"),
                "g" | "gb" | "gib" => Some("GiB"),
                _ => None,
            };
            return Err((
                format!("`{text}` is not a size"),
                meant.map_or(forms, |unit| format!("write {count}{unit}")),
            ));
        }
    };
    let bytes = count.checked_mul(bytes_each).filter(|bytes| *bytes <= 1 << 50);
    bytes.ok_or_else(|| (format!("`{text}` is more than a pebibyte"), "write a smaller size".to_owned()))
}

/// As it would be written.
pub(crate) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let whole = units.into_iter().find(|(each, _)| millis > 0 && millis.is_multiple_of(*each));
    whole.map_or_else(
        || if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") },
        |(each, unit)| format!("{}{unit}", millis / each),
    )
}

/// As it would be written.
pub(crate) fn show_size(bytes: u64) -> String {
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let whole = units.into_iter().find(|(each, _)| bytes > 0 && bytes.is_multiple_of(*each));
    whole.map_or_else(|| format!("{bytes}B"), |(each, unit)| format!("{}{unit}", bytes / each))
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// A bare number is mostly meant as seconds.
fn in_some_unit(count: u64) -> String {
    let larger = [(86_400, "d"), (3_600, "h"), (60, "m")].into_iter().find(|(each, _)| count.is_multiple_of(*each));
    larger.map_or_else(
        || format!("write {count}s or {count}ms"),
        |(each, unit)| format!("write {count}s or {}{unit}", count / each),
    )
}

/// A bare size of a few units is mostly meant in MiB, a large one in bytes.
fn binary(count: u64) -> String {
    if count < 1024 { format!("{count}MiB") } else { show_size(count) }
}

/// `1h30m` and `1.5h` in one unit.
fn compound(text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    if let Some((whole, rest)) = text.split_once('.') {
        let (digits, unit) = split(rest);
        let one = duration(&format!("1{unit}")).ok()?;
        let tenths = one.checked_mul(digits.parse().ok()?)? / 10u32.checked_pow(u32::try_from(digits.len()).ok()?)?;
        total = one.checked_mul(whole.parse().ok()?)?.checked_add(tenths)?;
    } else {
        let mut rest = text;
        while !rest.is_empty() {
            let (number, tail) = split(rest);
            let unit = &tail[..tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len())];
            if unit.is_empty() || number.is_empty() || unit.len() == tail.len() && total.is_zero() {
                return None;
            }
            total = total.checked_add(duration(&format!("{number}{unit}")).ok()?)?;
            rest = &tail[unit.len()..];
        }
    }
    Some(format!("write {}", show_duration(total)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, millis: u64| assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        check("300ms", 300);
        check("0s", 0);
        check("30s", 30_000);
        check("5m", 300_000);
        check("1h", 3_600_000);
        check("365d", 31_536_000_000);
        check("3650d", 315_360_000_000);
    }

    #[test]
    fn what_is_not_a_duration_gets_the_right_form() {
        let check = |text: &str, message: &str, hint: &str| {
            let (said, told) = duration(text).expect_err(text);
            assert!(said.contains(message) && told.contains(hint), "{text}: {said}: {told}");
        };
        check("300", "no unit", "write 300s or 5m");
        check("7", "no unit", "write 7s or 7ms");
        check("3600", "no unit", "write 3600s or 1h");
        check("0", "no unit", "write 0s");
        check("5min", "not a time", "write 5m");
        check("5 minutes", "not a time", "write 5m");
        check("2w", "not a time", "write 14d");
        check("1.5h", "not a time", "write 90m");
        check("1h30m", "not a time", "write 90m");
        check("-5s", "not a time", "300ms");
        check("", "not a time", "300ms");
        check("soon", "not a time", "300ms");
        check("99999999999999999999s", "not a time", "300ms");
        check("18446744073709551615d", "ten years", "3650d");
        check("3651d", "ten years", "3650d");
        check("1ÄÖ", "not a time", "300ms");
    }

    #[test]
    fn sizes() {
        let check = |text: &str, bytes: u64| assert_eq!(size(text), Ok(bytes), "{text}");
        check("512B", 512);
        check("10KiB", 10 << 10);
        check("8MiB", 8 << 20);
        check("1GiB", 1 << 30);
        check("5MB", 5_000_000);
    }

    #[test]
    fn what_is_not_a_size_gets_the_right_form() {
        let check = |text: &str, message: &str, hint: &str| {
            let (said, told) = size(text).expect_err(text);
            assert!(said.contains(message) && told.contains(hint), "{text}: {said}: {told}");
        };
        check("8", "no unit", "write 8MiB");
        check("8388608", "no unit", "write 8MiB");
        check("1500", "no unit", "write 1500B");
        check("8M", "not a size", "write 8MiB");
        check("8mb", "not a size", "write 8MiB");
        check("64k", "not a size", "write 64KiB");
        check("large", "not a size", "32KiB");
        check("99999999999GiB", "pebibyte", "smaller");
    }

    #[test]
    fn shown_as_written() {
        for text in ["300ms", "0s", "90s", "5m", "1h", "7d", "25h"] {
            assert_eq!(duration(text).map(show_duration).as_deref(), Ok(text));
        }
        for text in ["512B", "10KiB", "8MiB", "3GiB", "1500B"] {
            assert_eq!(size(text).map(show_size).as_deref(), Ok(text));
        }
    }
}
