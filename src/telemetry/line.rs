//! One line of the access log: a JSON object, written without allocation and without anything that a request says of itself.
//!
//! What is alike for all requests of a route is made once ([`RouteText`]), and so is the date of all lines of a second
//! ([`Timestamp`]).

use std::time::Duration;

use http::{Method, Version};

use super::event::{Cut, Event, ExchangeEnd};
use super::stamp::{Timestamp, three_digits};
use crate::policy::outcome::{Outcome, Stored};
use crate::policy::reuse::Behind;
use crate::rules::route::Route;
use crate::rules::template::HostTemplate;

/// The fields of a line, in their order.
pub const FIELDS: [&str; 27] = [
    "time",
    "level",
    "id",
    "method",
    "route",
    "path",
    "host",
    "status",
    "outcome",
    "reason",
    "clock_s",
    "stored",
    "not_stored",
    "ttl",
    "total_ms",
    "head_ms",
    "wait_ms",
    "origin_ms",
    "stalled_ms",
    "bytes",
    "cut",
    "protocol",
    "worker",
    "asked_by",
    "asked_host",
    "asked_path",
    "asked_query",
];

/// What stands in each line of a route.
#[derive(Debug)]
pub struct RouteText(Box<[u8]>);

impl RouteText {
    /// Of a route: its name, its template, and its host as configured.
    pub fn new(route: &Route) -> RouteText {
        let mut out = Vec::new();
        text_field(&mut out, "route", route.name.as_bytes());
        text_field(&mut out, "path", route.path.text.as_bytes());
        match &route.host {
            None => {}
            Some(HostTemplate::Exact(host)) => text_field(&mut out, "host", host.as_bytes()),
            Some(HostTemplate::Wildcard { part, suffix }) => {
                let part = part.as_ref().map_or("*".to_owned(), |part| format!("<{part}>"));
                text_field(&mut out, "host", format!("{part}.{suffix}").as_bytes());
            }
        }
        RouteText(out.into())
    }
}

/// How urgent a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Nothing to do.
    Info,
    /// It was slow.
    Warn,
}

/// Writes one.
pub fn write(
    out: &mut Vec<u8>,
    stamp: &mut Timestamp,
    level: Level,
    event: &Event,
    end: &ExchangeEnd,
    route: Option<&RouteText>,
) {
    out.extend_from_slice(b"{\"time\":\"");
    stamp.write(out, end.at);
    out.extend_from_slice(match level {
        Level::Info => b"\",\"level\":\"info\",\"id\":\"".as_slice(),
        Level::Warn => b"\",\"level\":\"warn\",\"id\":\"",
    });
    escape(out, event.id.as_bytes());
    out.push(b'"');
    if let Some(method) = event.method {
        word_field(out, "method", method);
    }
    if let Some(RouteText(text)) = route {
        out.extend_from_slice(text);
    }
    if let Some(status) = event.status {
        number_field(out, "status", status.as_u16());
    }
    word_field(out, "outcome", event.outcome.label());
    if let Some(reason) = event.outcome.reason() {
        word_field(out, "reason", reason);
    }
    if let Some(Behind(seconds)) = event.outcome.clock_behind() {
        number_field(out, "clock_s", seconds);
    }
    match event.outcome {
        Outcome::Fetched { stored: Stored::Yes, .. } => word_field(out, "stored", "yes"),
        Outcome::Fetched { stored: Stored::IfItFits, .. } => word_field(out, "stored", "if-it-fits"),
        Outcome::Fetched { stored: Stored::No(why), .. } => word_field(out, "not_stored", why.as_str()),
        Outcome::Hit(freshness) | Outcome::Stale(freshness, _) => number_field(out, "ttl", freshness.ttl),
        _ => {}
    }
    let total = end.at.saturating_duration_since(event.began);
    time_field(out, "total_ms", total);
    if event.head != total {
        time_field(out, "head_ms", event.head);
    }
    if let Some(wait) = event.spent.wait {
        time_field(out, "wait_ms", wait);
    }
    if let Some(origin) = event.spent.origin {
        time_field(out, "origin_ms", origin);
    }
    if !end.stalled.is_zero() {
        time_field(out, "stalled_ms", end.stalled);
    }
    number_field(out, "bytes", end.bytes);
    match end.cut {
        None => {}
        Some(Cut::Client) => word_field(out, "cut", "client"),
        Some(Cut::Origin) => word_field(out, "cut", "origin"),
    }
    if let Some(version) = event.version {
        word_field(out, "protocol", protocol(version));
    }
    number_field(out, "worker", event.worker);
    if let Some(included) = &event.included {
        out.extend_from_slice(included);
    }
    out.extend_from_slice(b"}\n");
}

/// A method by its standard name. Others are a client's own words, and stay untold.
pub fn method_name(method: &Method) -> &'static str {
    const STANDARD: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
    STANDARD.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

/// Appends a field whose value is anybody's text.
pub fn text_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    key(out, name);
    out.push(b'"');
    escape(out, value);
    out.push(b'"');
}

/// Appends a field whose value is a word of ours.
fn word_field(out: &mut Vec<u8>, name: &str, value: &'static str) {
    key(out, name);
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn number_field(out: &mut Vec<u8>, name: &str, value: impl itoa::Integer) {
    key(out, name);
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Milliseconds with three decimals.
fn time_field(out: &mut Vec<u8>, name: &str, value: Duration) {
    key(out, name);
    write_millis(out, value);
}

/// Milliseconds with three decimals.
pub fn write_millis(out: &mut Vec<u8>, value: Duration) {
    let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
    out.extend_from_slice(itoa::Buffer::new().format(micros / 1000).as_bytes());
    out.push(b'.');
    three_digits(out, (micros % 1000) as u32);
}

fn key(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// RFC 8259 §7. What is not ASCII was never text that we know the encoding of: it is shown as `?`, save for UTF-8.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let is_utf8 = text.is_ascii() || std::str::from_utf8(text).is_ok();
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 | 0x7f => {
                let digits = [byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[digit as usize]);
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&digits);
            }
            0x80.. if !is_utf8 => out.push(b'?'),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use http::{HeaderValue, StatusCode};

    use super::super::event::Spent;
    use super::*;
    use crate::ground::clock::Clock;
    use crate::policy::not_stored::NotStored;
    use crate::policy::outcome::{Collapsed, Forward};
    use crate::policy::reuse::Freshness;
    use crate::rules::route::tests::route;

    fn event(outcome: Outcome) -> Event {
        Event {
            began: Instant::now(),
            route: Some(0),
            worker: 3,
            id: HeaderValue::from_static("abc"),
            method: Some("GET"),
            version: Some(Version::HTTP_11),
            status: Some(StatusCode::OK),
            outcome,
            head: Duration::from_micros(1_234_567),
            spent: Spent::default(),
            included: None,
        }
    }

    fn written(event: &Event, end: &ExchangeEnd, route: &Route) -> String {
        let mut out = Vec::new();
        write(&mut out, &mut Timestamp::new(Clock::System), Level::Info, event, end, Some(&RouteText::new(route)));
        let text = String::from_utf8(out).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).expect("one object");
        let mut fields = FIELDS.iter();
        // Each is listed, and they come in the order of the list.
        let mut named = text.split('"').filter(|word| json.get(word).is_some());
        assert!(named.all(|name| fields.any(|field| *field == name)), "{text}");
        assert!(text.ends_with("}\n") && text.matches('\n').count() == 1, "{text}");
        text[text.find("\"level\"").unwrap()..].trim_end().to_owned()
    }

    #[test]
    fn lines_tell_what_there_is_to_tell() {
        let hit = event(Outcome::Hit(Freshness { age: 3, ttl: 240 }));
        let end = ExchangeEnd { at: hit.began + hit.head, bytes: 1024, stalled: Duration::ZERO, cut: None };
        assert_eq!(
            written(&hit, &end, &route("patient", "/api/patients/<int:id>")),
            "\"level\":\"info\",\"id\":\"abc\",\"method\":\"GET\",\"route\":\"patient\",\"path\":\"/api/patients/<int:id>\",\
             \"status\":200,\"outcome\":\"hit\",\"ttl\":240,\"total_ms\":1234.567,\"bytes\":1024,\"protocol\":\"HTTP/1.1\",\
             \"worker\":3}"
        );
        let stored = Stored::No(NotStored::SetCookie);
        let miss = Outcome::Fetched { forward: Forward::Miss, collapsed: Collapsed::No, status: 200, stored, ttl: 60 };
        let mut miss = event(miss);
        miss.spent = Spent { wait: Some(Duration::from_micros(5)), origin: Some(Duration::from_millis(1200)) };
        let at = miss.began + Duration::from_secs(2);
        let end = ExchangeEnd { at, bytes: 7, stalled: Duration::from_millis(9), cut: Some(Cut::Origin) };
        let host = HostTemplate::Wildcard { part: Some("tenant".to_owned()), suffix: "clinic.example".to_owned() };
        assert_eq!(
            written(&miss, &end, &Route { host: Some(host), ..route("a", "/a") }),
            "\"level\":\"info\",\"id\":\"abc\",\"method\":\"GET\",\"route\":\"a\",\"path\":\"/a\",\
             \"host\":\"<tenant>.clinic.example\",\"status\":200,\"outcome\":\"miss\",\"not_stored\":\"set-cookie\",\
             \"total_ms\":2000.000,\"head_ms\":1234.567,\"wait_ms\":0.005,\"origin_ms\":1200.000,\"stalled_ms\":9.000,\
             \"bytes\":7,\"cut\":\"origin\",\"protocol\":\"HTTP/1.1\",\"worker\":3}"
        );
    }

    #[test]
    fn nobody_ends_a_string() {
        let check = |text: &[u8], want: &str| {
            let mut out = Vec::new();
            escape(&mut out, text);
            assert_eq!(String::from_utf8(out).unwrap(), want);
            assert!(serde_json::from_str::<String>(&format!("\"{want}\"")).is_ok(), "{want}");
        };
        check(b"plain", "plain");
        check(b"a\"b\\c", "a\\\"b\\\\c");
        check(b"\n\x1b\x7f\0", "\\u000a\\u001b\\u007f\\u0000");
        check("ärzte".as_bytes(), "ärzte");
        check(b"\xff\xc3(", "??(");
    }
}
