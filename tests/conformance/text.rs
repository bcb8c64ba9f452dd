//! What a case writes in braces: moments relative to now, since staleness is made by the origin's dates and not by waiting.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Fills in `{now}`, `{now-60}`, `{now+60 rfc850}`, `{now asctime}` and `{path}`; other braces stay.
pub fn fill(text: &str, path: &str) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        let word = rest[1..].split('}').next().unwrap_or("");
        match meaning(word, path) {
            Some(text) => {
                filled.push_str(&text);
                rest = &rest[word.len() + 2..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled + rest
}

fn meaning(word: &str, path: &str) -> Option<String> {
    if word == "path" {
        return Some(path.to_owned());
    }
    let (moment, form) = word.split_once(' ').unwrap_or((word, "imf"));
    let offset = moment.strip_prefix("now")?;
    let offset: i64 = if offset.is_empty() { 0 } else { offset.parse().expect("a number of seconds") };
    let now = SystemTime::now();
    let seconds = Duration::from_secs(offset.unsigned_abs());
    let at = if offset < 0 { now.checked_sub(seconds).unwrap_or(UNIX_EPOCH) } else { now + seconds };
    Some(date(at, form))
}

/// The three forms of RFC 9110 §5.6.7.
fn date(at: SystemTime, form: &str) -> String {
    let imf = httpdate::fmt_http_date(at);
    // `Sun, 06 Nov 1994 08:49:37 GMT`
    let words: Vec<&str> = imf.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let [weekday, day, month, year, time, _] = words[..] else { panic!("{imf}") };
    match form {
        "imf" => imf,
        "lower" => imf.to_ascii_lowercase(),
        "zone" => imf.replace("GMT", "CET"),
        "rfc850" => {
            let long = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
            let long = long.into_iter().find(|long| long.starts_with(weekday)).expect("a weekday");
            format!("{long}, {day}-{month}-{} {time} GMT", &year[2..])
        }
        "asctime" => format!("{weekday} {month} {:>2} {time} {year}", day.trim_start_matches('0')),
        _ => panic!("a date in the form {form} is not understood"),
    }
}

#[test]
fn dates_have_three_forms() {
    let at = UNIX_EPOCH + Duration::from_secs(784_111_777);
    assert_eq!(date(at, "imf"), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(date(at, "rfc850"), "Sunday, 06-Nov-94 08:49:37 GMT");
    assert_eq!(date(at, "asctime"), "Sun Nov  6 08:49:37 1994");
}
