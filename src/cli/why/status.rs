//! A `Cache-Status` line (RFC 9211) in words, by itself: nothing is read but the line.

use serde_json::{Value, json};

use super::Explanation;
use crate::cli::page::time;
use crate::fields::structured::{Bare, Item, items};
use crate::policy::outcome::meaning::{About, meaning};

/// What of ours the line holds, in words. `None`: it is no such line. `Err`: it is one, and nothing of ours is in it.
pub(super) fn explain(written: &str) -> Option<Result<Vec<Explanation>, String>> {
    let named = written.split_once(':').filter(|(name, _)| name.trim().eq_ignore_ascii_case("cache-status"));
    let line = named.map_or(written, |(_, value)| value).trim();
    let whole = || named.is_some() || line.contains(';');
    let Some(members) = items(line.as_bytes()) else {
        return whole().then(|| Err("that is no Cache-Status line (RFC 9211): `stent; hit; ttl=30` is one".to_owned()));
    };
    let (ours, others): (Vec<Item>, Vec<Item>) = members.into_iter().partition(|member| cache(member) == "stent");
    if ours.is_empty() {
        let names: Vec<&str> = others.iter().map(cache).collect();
        return whole().then(|| Err(format!("nothing in that line is from Stent; it is from: {}", names.join(", "))));
    }
    Some(Ok(ours.iter().map(|member| told(member, &others)).collect()))
}

fn told(member: &Item, others: &[Item]) -> Explanation {
    let said = Said::read(member);
    let mut told = super::explain(&said.line());
    told.headline.clone_from(&member.text);
    match (said.outcome, said.detail) {
        ("refused", _) => {
            "refused: Stent answered by itself; neither the store nor the origin was asked".clone_into(&mut told.what)
        }
        ("", Some(detail)) => told.why.push(format!("detail `{detail}`: not known to this version")),
        _ => {}
    }
    told.time = member.parameters.iter().map(|(name, value)| parameter(name, value)).collect();
    told.time.extend(others.iter().map(|other| format!("beside it, from another cache: {}", other.text)));
    told
}

/// Which cache a member is from: a token or a string (RFC 9211 §2).
fn cache(member: &Item) -> &str {
    match &member.bare {
        Bare::Token(name) | Bare::String(name) => name,
        Bare::Integer(_) | Bare::Boolean(_) | Bare::Other => "(no name)",
    }
}

/// The same in the words of the access log.
#[derive(Default)]
struct Said<'a> {
    outcome: &'static str,
    reason: Option<&'a str>,
    not_stored: Option<&'a str>,
    detail: Option<&'a str>,
    /// By how many seconds the origin's clock is behind.
    clock_s: Option<u64>,
}

impl<'a> Said<'a> {
    fn read(member: &'a Item) -> Said<'a> {
        let text = |name| match member.parameter(name) {
            Some(Bare::Token(text) | Bare::String(text)) => Some(text.as_str()),
            _ => None,
        };
        let is = |name| member.parameter(name) == Some(&Bare::Boolean(true));
        let (fwd, detail) = (text("fwd"), text("detail"));
        let (detail, clock_s) = match detail.and_then(|detail| detail.strip_prefix("origin-clock ")) {
            Some(seconds) => (Some("origin-clock"), seconds.parse().ok()),
            None => (detail, None),
        };
        let means = |about| detail.is_some_and(|detail| meaning(about, detail).is_some());
        let said = |outcome, reason| Said { outcome, reason, not_stored: None, detail, clock_s };
        let missed = fwd.filter(|fwd| matches!(*fwd, "vary-miss" | "partial"));
        let fetched = if is("collapsed") { "collapsed" } else { "miss" };
        if let Some(failed) = detail.and_then(|detail| detail.strip_prefix("stale-if-error ")) {
            return said("stale", Some(failed));
        }
        match (fwd, member.parameter("fwd-status")) {
            (None, _) if is("hit") => match detail {
                None => said("hit", None),
                Some("stale-while-revalidate") => said("stale", detail),
                Some(_) => said("", None),
            },
            (None, _) => match detail {
                Some("purged") => said("purged", None),
                Some(_) if means(About::Refused) => said("refused", detail),
                _ => said("", None),
            },
            (Some("method"), _) if detail.is_none() => said("pass", fwd),
            (Some(_), None) if means(About::Failed) => said("failed", detail),
            (Some("bypass" | "method"), _) if detail.is_none() || means(About::Passed) => said("pass", detail),
            // Of a fetched answer that is not kept the detail would say why.
            (Some(_), Some(_)) if means(About::NotUsed) && !is("stored") => said("revalidated", detail),
            (Some(_), _) if means(About::NotUsed) => said(fetched, detail),
            // Of an answer that went through the cache it is said why it is not kept; of one that was passed, why it was.
            (Some(_), _) if means(About::NotKept) => Said { not_stored: detail, ..said(fetched, missed) },
            (Some(_), _) if means(About::Passed) => said("pass", detail),
            (Some(_), _) if matches!(detail, None | Some("stored-if-it-fits")) => said(fetched, missed),
            (Some(_), _) => said("", None),
        }
    }

    fn line(&self) -> Value {
        json!({"outcome": self.outcome, "reason": self.reason, "not_stored": self.not_stored, "clock_s": self.clock_s})
    }
}

/// One parameter in words.
fn parameter(name: &str, value: &Bare) -> String {
    let written = match value {
        Bare::Boolean(true) => name.to_owned(),
        Bare::Boolean(false) => format!("{name}=?0"),
        Bare::Integer(number) => format!("{name}={number}"),
        Bare::Token(text) => format!("{name}={text}"),
        Bare::String(text) => format!("{name}={text:?}"),
        Bare::Other => format!("{name}=…"),
    };
    let words = match (name, value) {
        ("hit", Bare::Boolean(true)) => "it came from the store, without asking the origin (RFC 9211 §2.1)".to_owned(),
        ("fwd", Bare::Token(why)) => match forwarded(why) {
            Some(words) => format!("{words} (RFC 9211 §2.2)"),
            None => "went to the origin, for a reason that is not known to this version".to_owned(),
        },
        ("fwd-status", Bare::Integer(_)) => "the status that the origin answered with (RFC 9211 §2.3)".to_owned(),
        ("ttl", Bare::Integer(left @ 0..)) => format!("fresh for {} more (RFC 9211 §2.4)", time(left.unsigned_abs())),
        ("ttl", Bare::Integer(over)) => {
            format!("over its lifetime since {} (RFC 9211 §2.4)", time(over.unsigned_abs()))
        }
        ("stored", Bare::Boolean(true)) => "the origin's answer is kept (RFC 9211 §2.5)".to_owned(),
        ("collapsed", Bare::Boolean(true)) => "it shared the fetch of another request (RFC 9211 §2.6)".to_owned(),
        ("key", _) => "what it is kept by (RFC 9211 §2.7)".to_owned(),
        ("detail", Bare::Token(detail)) if detail == "stored-if-it-fits" => {
            "its length was not known yet: it is kept unless it is longer than `max_object`".to_owned()
        }
        ("detail", _) => "the reason, by its name (RFC 9211 §2.8)".to_owned(),
        _ => "not known to this version".to_owned(),
    };
    format!("{written}: {words}")
}

/// RFC 9211 §2.2.
fn forwarded(why: &str) -> Option<&'static str> {
    Some(match why {
        "bypass" => "went to the origin: it was not to be looked up",
        "method" => "went to the origin: its method is not answered from the store",
        "uri-miss" => "went to the origin: nothing was stored for it",
        "vary-miss" => "went to the origin: what is stored was made for other request headers",
        "miss" => "went to the origin: nothing stored could be used",
        "request" => "went to the origin: the request wanted it so",
        "stale" => "went to the origin: what is stored was stale",
        "partial" => "went to the origin: only a part is stored",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::outcome::meaning::{FAILED, Meaning, NOT_KEPT, NOT_USED, PASSED, PATHS, REFUSED};

    #[test]
    fn every_reason_is_told_where_it_is_given() {
        let check = |table: &[Meaning], before: &str, outcome: &str| {
            for meaning in table {
                let line = format!("{before}; detail={}", meaning.reason);
                let told = explain(&line).expect("such a line").expect("of ours").remove(0);
                assert!(told.what.starts_with(outcome), "{line}: {}", told.what);
                assert!(told.why.iter().any(|why| why.ends_with(meaning.when)), "{line}: {:?}", told.why);
            }
        };
        check(&PASSED, "stent; fwd=bypass; fwd-status=200", "pass: ");
        check(&NOT_USED, "stent; fwd=stale; fwd-status=304", "revalidated: ");
        check(&NOT_USED, "stent; fwd=miss; fwd-status=200; stored", "miss: ");
        check(&NOT_USED, "stent; fwd=request; fwd-status=200; collapsed; stored", "collapsed: ");
        check(&NOT_KEPT, "stent; fwd=uri-miss; fwd-status=200", "miss: ");
        check(&FAILED, "stent; fwd=uri-miss", "failed: ");
        check(&PATHS, "stent", "refused: ");
        check(&REFUSED, "stent", "refused: ");
    }

    #[test]
    fn an_id_is_no_line() {
        for id in ["9f86d081884c7d65", "a-b_c.d", "550e8400-e29b-41d4-a716-446655440000", "", "two words"] {
            assert!(explain(id).is_none(), "{id}");
        }
    }
}
