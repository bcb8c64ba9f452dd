//! Whether the origin's answer lets somebody have what is stored, and whether an answer is like what is stored.
//!
//! Legacy backends rarely refuse by a status: a form login answers 200 with the page to sign in at, a policy engine 200 with
//! `{"result": false}`. What is taken for a yes in error shows one person's record to another, so what is not clearly a yes is
//! none.

use http::{HeaderMap, StatusCode, header};
use serde_json::Value;

use super::types::media_type;
use crate::entry::head::Validators;
use crate::ground::mutants::{Rule, is_off};
use crate::rules::caching::Yes;

impl Yes {
    /// Whether an answer may be a yes, by its head alone; `like`: it has the validator of what is stored, so that it is the very
    /// same.
    pub fn by_head(&self, status: StatusCode, headers: &HeaderMap, like: Likeness) -> bool {
        let is_html = is_html(headers) && !is_off(Rule::HtmlYes);
        match self {
            Yes::Status(wanted) => status.as_u16() == *wanted,
            Yes::Field(_) => status.is_success(),
            Yes::Usual => {
                status.is_success() && (status == StatusCode::NO_CONTENT || !is_html || like == Likeness::Same)
            }
        }
    }

    /// Whether the body agrees: `json` is what it holds, if it is JSON that could be read.
    pub fn by_body(&self, headers: &HeaderMap, json: Option<&Value>) -> bool {
        let claims_json = media_type(headers).ends_with("json");
        match self {
            Yes::Status(_) => true,
            Yes::Field(path) => json.and_then(|json| at(json, path)) == Some(&Value::Bool(true)),
            Yes::Usual if claims_json => json.is_some_and(|json| !says_no(json) || is_off(Rule::JsonNo)),
            Yes::Usual => !is_marked_up(headers) && !json.is_some_and(says_no),
        }
    }
}

/// How an answer compares with what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// It has its validator: it is the very same.
    Same,
    /// It may be a newer one of its kind.
    Alike,
    /// Another media type, or no validator where there was one: perhaps a page that stands in the way.
    Unlike,
}

/// Compares an answer with what is stored.
pub fn likeness(stored: &HeaderMap, answer: &HeaderMap) -> Likeness {
    let (before, after) = (Validators::of(stored), Validators::of(answer));
    if before.any() && !after.any() || media_type(stored) != media_type(answer) {
        return Likeness::Unlike;
    }
    let same_tag = before.etag.is_some() && before.etag == after.etag;
    if same_tag { Likeness::Same } else { Likeness::Alike }
}

/// What a kept yes is about: this very version of an answer, by its media type and its validators. Whoever was shown a page to
/// sign in at under this URL, or JSON that says as much, is not let see the record that takes its place. `None`: without a
/// validator one version cannot be told from another, and a yes is about its own answer alone.
pub fn version(fields: &HeaderMap) -> Option<u64> {
    if is_off(Rule::YesKind) {
        return Some(0);
    }
    if !Validators::of(fields).any() {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(media_type(fields).as_bytes());
    for name in [header::ETAG, header::LAST_MODIFIED] {
        hasher.update(&[0]);
        hasher.update(fields.get(name).map_or(&[], |value| value.as_bytes()));
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    Some(u64::from_le_bytes(first))
}

/// A page or an envelope in a form that is not read here: a success may be in it, and a refusal as well.
fn is_marked_up(headers: &HeaderMap) -> bool {
    let media = media_type(headers);
    ["/xml", "xml", "javascript"].iter().any(|ending| media.ends_with(ending))
}

fn is_html(headers: &HeaderMap) -> bool {
    matches!(media_type(headers).as_str(), "text/html" | "application/xhtml+xml" | "")
        && headers.get(header::CONTENT_LENGTH).is_none_or(|length| length != "0")
}

/// A field of JSON; dots look further in.
fn at<'v>(json: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(json, |value, name| value.get(name))
}

/// Whether JSON says no: by one of the usual names, at its top or further in, by a status or an error, or by saying nothing at all, as a
/// policy engine does for what it has no rule for.
fn says_no(json: &Value) -> bool {
    match json {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => is_no(text),
        Value::Array(items) => items.is_empty() || items.iter().any(says_no_within),
        Value::Object(fields) => fields.is_empty() || says_no_within(json),
    }
}

fn says_no_within(json: &Value) -> bool {
    let Value::Object(fields) = json else { return false };
    fields.iter().any(|(name, value)| {
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
        match name.as_str() {
            name if ALLOWS.contains(&name) => says_no(value),
            name if DENIES.contains(&name) => !is_nothing(value),
            "status" | "statuscode" | "code" => value.as_u64().is_some_and(|status| (400..600).contains(&status)),
            // HL7 FHIR: what went wrong.
            "resourcetype" => value == "OperationOutcome",
            name if WITHIN.contains(&name) => says_no_within(value),
            _ => false,
        }
    })
}

/// A text that stands for false.
fn is_no(text: &str) -> bool {
    let text = text.trim();
    [
        "",
        "0",
        "false",
        "no",
        "deny",
        "denied",
        "forbidden",
        "unauthorized",
        "unauthenticated",
        "error",
        "fail",
        "failed",
    ]
    .iter()
    .any(|no| text.eq_ignore_ascii_case(no))
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => {
            text.is_empty() || text.eq_ignore_ascii_case("false") || text.eq_ignore_ascii_case("none")
        }
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) => false,
    }
}

/// Names whose value says yes, without case and without what stands between their words.
const ALLOWS: [&str; 25] = [
    "result",
    "allow",
    "allowed",
    "isallowed",
    "permit",
    "permitted",
    "granted",
    "access",
    "hasaccess",
    "canaccess",
    "authorized",
    "authorised",
    "isauthorized",
    "authenticated",
    "isauthenticated",
    "loggedin",
    "isloggedin",
    "signedin",
    "active",
    "valid",
    "isvalid",
    "ok",
    "success",
    "decision",
    "authn",
];

/// Names whose value says no, unless it is nothing.
const DENIES: [&str; 11] = [
    "deny",
    "denied",
    "forbidden",
    "error",
    "errors",
    "errorcode",
    "errormessage",
    "exception",
    "unauthorized",
    "unauthenticated",
    "loginrequired",
];

/// Where answers wrap what they say.
const WITHIN: [&str; 6] = ["data", "response", "body", "payload", "authorization", "verdict"];

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn what_is_a_yes() {
        let check = |yes: &Yes, status: u16, media: &'static str, body: &str, want: bool| {
            let headers = headers(&[("content-type", media)]);
            let json = serde_json::from_str(body).ok();
            let status = StatusCode::from_u16(status).unwrap();
            let got = yes.by_head(status, &headers, Likeness::Alike) && yes.by_body(&headers, json.as_ref());
            assert_eq!(got, want, "{yes:?} {status} {media} {body}");
        };
        let usual = Yes::Usual;
        check(&usual, 204, "", "", true);
        for yes in [
            "true",
            "{\"tenant\": \"a\"}",
            "{\"id\": 7, \"error\": null, \"errors\": [], \"code\": 200, \"status\": \"ok\"}",
            "{\"result\": {\"allow\": true}}",
            "{\"active\": 1}",
            "[{\"id\": 7}]",
        ] {
            check(&usual, 200, "application/json", yes, true);
        }
        // A policy engine has no rule for it; or an envelope says no.
        for no in [
            "{}",
            "{\"result\": {}}",
            "[]",
            "0",
            "\"false\"",
            "{\"error\": \"unauthenticated\"}",
            "{\"errors\": [{\"message\": \"sign in\"}], \"data\": {}}",
            "{\"allow\": \"false\"}",
            "{\"deny\": true}",
            "{\"status\": 401}",
            "{\"loggedIn\": false}",
            "{\"is_authenticated\": false}",
            "{\"result\": {\"allow\": 0}}",
            "{\"response\": {\"allowed\": false}}",
            "{\"resourceType\": \"OperationOutcome\", \"issue\": [{\"severity\": \"error\"}]}",
        ] {
            check(&usual, 200, "application/json", no, false);
        }
        check(&usual, 200, "text/plain", "false", false);
        for media in ["application/xml", "application/soap+xml", "application/vnd.wap.xhtml+xml", "text/javascript"] {
            check(&usual, 200, media, "<login/>", false);
        }
        check(&usual, 200, "text/plain", "ok", true);
        check(&usual, 200, "text/html; charset=utf-8", "<form>", false);
        check(&usual, 200, "", "<form>", false);
        check(&usual, 302, "text/plain", "", false);
        check(&usual, 401, "application/json", "{}", false);
        for no in [
            "{\"result\": false}",
            "{\"result\": {\"allow\": false}}",
            "{\"allowed\": false}",
            "false",
            "null",
            "{\"active\": false}",
            "{\"result\": null}",
            "broken",
            "",
        ] {
            check(&usual, 200, "application/json", no, false);
        }
        check(&Yes::Status(204), 200, "application/json", "{}", false);
        check(&Yes::Status(204), 204, "", "", true);
        check(&Yes::Status(200), 200, "text/html", "", true);
        let field = Yes::Field("result.allow".to_owned());
        check(&field, 200, "application/json", "{\"result\": {\"allow\": true}}", true);
        check(&field, 200, "application/json", "{\"result\": {\"allow\": \"true\"}}", false);
        check(&field, 200, "application/json", "{}", false);
        check(&field, 403, "application/json", "{\"result\": {\"allow\": true}}", false);
    }

    #[test]
    fn what_is_like_what_is_stored() {
        let html = ("content-type", "text/html");
        let (v7, v8) = (("etag", "\"v7\""), ("etag", "\"v8\""));
        for (stored, answer, want) in [
            (&[html, v7][..], &[html, v7][..], Likeness::Same),
            (&[html, v7], &[html, v8], Likeness::Alike),
            (&[html, v7], &[html], Likeness::Unlike),
            (&[html], &[html, v7], Likeness::Alike),
            (&[html], &[html], Likeness::Alike),
            (&[("content-type", "application/json"), v7], &[html, v7], Likeness::Unlike),
        ] {
            assert_eq!(likeness(&headers(stored), &headers(answer)), want, "{stored:?} {answer:?}");
        }
        let version = |lines: &[(&'static str, &'static str)]| super::version(&headers(lines));
        let json = ("content-type", "application/json");
        let dated = ("last-modified", "Sun, 09 Sep 2001 01:46:40 GMT");
        for media in [html, json] {
            assert!(version(&[media, v7]).is_some() && version(&[media, dated]).is_some());
            assert_eq!(version(&[media, v7]), version(&[media, v7]));
            assert_ne!(version(&[media, v7]), version(&[media, v8]));
            assert_ne!(version(&[media, v7]), version(&[media, v7, dated]));
            assert_eq!(version(&[media]), None, "nothing tells it from another");
        }
        assert_ne!(version(&[html, v7]), version(&[json, v7]));
    }
}
