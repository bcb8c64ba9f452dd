//! Credentials that stand in a URL: sessions of servers that do without cookies, signed links, tickets, one-time codes.
//!
//! Whoever has such a URL is let in, so it is passed, keyed nowhere and written down nowhere.

use std::borrow::Cow;

use crate::fields::glob::glob;
use crate::fields::percent::decode;

/// Whether a path or a query holds a credential: by a known name, or by one of the operator's `names` (in lower case; a `*` may
/// end a name).
pub fn holds_credential(path: &str, query: Option<&str>, names: &[String]) -> bool {
    path_holds(path, names) || query.is_some_and(|query| query_holds(query, names))
}

/// A path as it may be written down: what stands behind a credential's name is left out.
pub fn path_told<'p>(path: &'p str, names: &[String]) -> Cow<'p, str> {
    if !path_holds(path, names) {
        return Cow::Borrowed(path);
    }
    let told = path.split('/').map(|segment| match is_cookieless(segment) {
        true => "(*)".to_owned(),
        false => {
            let mut pieces = split_parameters(segment);
            let first = pieces.next().unwrap_or_default().to_owned();
            pieces.fold(first, |told, piece| told + ";" + &parameter_told(piece, names))
        }
    });
    Cow::Owned(told.collect::<Vec<_>>().join("/"))
}

/// A query as it may be written down.
pub fn query_told<'q>(query: &'q str, names: &[String]) -> Cow<'q, str> {
    // A `code` alone may be one that signs in, too.
    if !query_holds(query, names) && !query.split('&').any(|piece| name_of(piece) == "code") {
        return Cow::Borrowed(query);
    }
    // Between `;` too, as some servers have it; the separators stay.
    let pieces = query.split_inclusive(['&', ';']).map(|piece| match piece.strip_suffix(['&', ';']) {
        Some(parameter) => parameter_told(parameter, names) + &piece[parameter.len()..],
        None => parameter_told(piece, names),
    });
    Cow::Owned(pieces.collect())
}

/// The names of the credentials that a path and a query hold, as they stand there.
pub fn credentials_in(path: &str, query: Option<&str>, names: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for segment in path.split('/') {
        if is_cookieless(segment) {
            found.push("(S(…))".to_owned());
        } else {
            let parameters = split_parameters(segment).skip(1).map(name_of);
            found.extend(parameters.filter(|name| is_credential(name, names)).map(str::to_owned));
        }
    }
    let query = query.unwrap_or("");
    let parameters = query.split(['&', ';']).map(|piece| crate::fields::percent::decode(name_of(piece)).into_owned());
    found.extend(parameters.filter(|name| is_credential(name, names)));
    if is_code_of_a_sign_in(query) {
        found.push("code".to_owned());
    }
    found
}

/// A path without the credentials in it: what such a request is about, as others name it.
pub fn path_without(path: &str, names: &[String]) -> Option<String> {
    if !path_holds(path, names) {
        return None;
    }
    let segments = path.split('/').filter(|segment| !is_cookieless(segment)).map(|segment| {
        let pieces = split_parameters(segment).enumerate();
        let kept = pieces.filter(|(at, piece)| *at == 0 || !names_credential(piece, names));
        kept.map(|(_, piece)| piece).collect::<Vec<_>>().join(";")
    });
    Some(segments.collect::<Vec<_>>().join("/"))
}

/// Whether a parameter of this name holds a credential.
pub fn is_credential(name: &str, names: &[String]) -> bool {
    let name = name.trim();
    NAMED.iter().any(|known| is_spelled(known, name))
        || (has_ending(name) || is_bracketed(name)) && !is_of_a_list(name)
        || !names.is_empty() && names.iter().any(|own| glob(own, &name.to_ascii_lowercase()))
}

fn ends_with(name: &str, ending: &str) -> bool {
    let tail = name.len().checked_sub(ending.len()).and_then(|at| name.get(at..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(ending))
}

/// Whether it is this name, whatever stands between its words.
fn is_spelled(known: &str, name: &str) -> bool {
    let bare = |byte: &u8| !matches!(byte, b'_' | b'-' | b'.');
    let (mut known, mut name) = (known.bytes().filter(bare), name.bytes().filter(bare));
    loop {
        match (known.next(), name.next()) {
            (None, None) => return true,
            (Some(a), Some(b)) if a.eq_ignore_ascii_case(&b) => {}
            _ => return false,
        }
    }
}

/// `user[token]`, `token[]`: some frameworks nest what forms send.
fn is_bracketed(name: &str) -> bool {
    let mut parts = name.split(['[', ']']).filter(|part| !part.is_empty());
    name.ends_with(']') && parts.any(|part| NAMED.iter().any(|known| is_spelled(known, part)) || has_ending(part))
}

fn has_ending(name: &str) -> bool {
    ENDINGS.iter().any(|ending| ends_with(name, ending))
}

fn is_of_a_list(name: &str) -> bool {
    PAGING.iter().any(|known| is_spelled(known, name))
}

fn path_holds(path: &str, names: &[String]) -> bool {
    if memchr::memchr3(b';', b'(', b'%', path.as_bytes()).is_none() {
        return false;
    }
    path.split('/').any(|segment| {
        is_cookieless(segment) || split_parameters(segment).skip(1).any(|piece| names_credential(piece, names))
    })
}

fn query_holds(query: &str, names: &[String]) -> bool {
    query.split(['&', ';']).any(|piece| names_credential(piece, names)) || is_code_of_a_sign_in(query)
}

/// RFC 6749 §4.1.2: the answer of an authorization server. A `code` alone may be any code.
fn is_code_of_a_sign_in(query: &str) -> bool {
    let has = |wanted: &str| query.split('&').any(|piece| name_of(piece) == wanted);
    has("code") && has("state")
}

/// `(S(…))` of ASP.NET, which may hold several: `(A(…)F(…))`. However it is written: what stands in a log was not put in normal
/// form.
pub fn is_cookieless(segment: &str) -> bool {
    match decode(segment).as_bytes() {
        [b'(', kind, b'(', ..] => b"SAFX".contains(&kind.to_ascii_uppercase()),
        _ => false,
    }
}

/// The parameters of a segment (RFC 3986 §3.3); some servers read `%3B` as their beginning too.
fn split_parameters(segment: &str) -> impl Iterator<Item = &str> {
    segment.split(';').flat_map(|piece| piece.split("%3B")).flat_map(|piece| piece.split("%3b"))
}

fn name_of(piece: &str) -> &str {
    piece.split('=').next().unwrap_or(piece)
}

fn names_credential(piece: &str, names: &[String]) -> bool {
    is_credential(&decode(name_of(piece)), names)
}

fn parameter_told(piece: &str, names: &[String]) -> String {
    match names_credential(piece, names) || matches!(name_of(piece), "code" | "state") {
        true => format!("{}=*", name_of(piece)),
        false => piece.to_owned(),
    }
}

/// Names of parameters, in lower case, that none of [`ENDINGS`] has; what stands between their words means nothing.
const NAMED: [&str; 66] = [
    "access_key",
    "api-key",
    "artifact",
    "assertion",
    "auth",
    "auth_code",
    "auth_key",
    "authorization",
    "authorization_code",
    "awsaccesskeyid",
    "bearer",
    "cfid",
    "client_assertion",
    "credential",
    "device_code",
    "googleaccessid",
    "hdnea",
    "hdnts",
    "hmac",
    "id_token_hint",
    "invitation",
    "invite",
    "jsession",
    "jsessionidsso",
    "jwt",
    "key-pair-id",
    "launch",
    "login_hint_token",
    "magic",
    "magic_link",
    "nonce",
    "oauth_nonce",
    "oauth_verifier",
    "one_time_code",
    "oscsid",
    "otp",
    "passcode",
    "passwd",
    "password",
    "phpsessid",
    "pin",
    "private_key",
    "pwd",
    "s_id",
    "samlart",
    "samlrequest",
    "samlresponse",
    "secret_key",
    "sessid",
    "session",
    "session_id",
    "sessionkey",
    "sesskey",
    "sig",
    "signed",
    "sso",
    "subscription-key",
    "tgt",
    "token_id",
    "uidb64",
    "verification_code",
    "wresult",
    "x-amz-credential",
    "x-goog-credential",
    "x_api_key",
    "zoomtoken",
];

/// Ends of such names, in lower case.
const ENDINGS: [&str; 10] =
    ["token", "signature", "sessionid", "jsessionid", "sessid", "secret", "ticket", "password", "hmac", "api_key"];

/// Names that say where a list goes on, and let nobody in.
const PAGING: [&str; 16] = [
    "page_token",
    "next_page_token",
    "next_token",
    "next_continuation_token",
    "continuation_token",
    "pagination_token",
    "paging_token",
    "paging_state_token",
    "cursor_token",
    "sync_token",
    "next_sync_token",
    "scroll_token",
    "skip_token",
    "$skiptoken",
    "resumption_token",
    "delta_token",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_urls() {
        let own = ["visit_*".to_owned()];
        let check = |path: &str, query: &str, want: bool| {
            let query = Some(query).filter(|query| !query.is_empty());
            assert_eq!(holds_credential(path, query, &own), want, "{path}?{query:?}");
        };
        for path in [
            "/api/patients/7;jsessionid=A1",
            "/api/patients/7;JSESSIONID=A1",
            "/a;v=1;sid=2/b",
            "/(S(A1))/orders.aspx",
            "/(A(x)F(y))/orders.aspx",
            "/app/(s(lit3py55t21z5v55vlm25s55))/x",
            "/a%3Bjsessionid=A1",
        ] {
            check(path, "", true);
        }
        for path in ["/api/patients/7", "/a;v=1", "/f(x)", "/(draft)/a", "/%28a%29"] {
            check(path, "", false);
        }
        for query in [
            "PHPSESSID=A1",
            "ticket=ST-1",
            "access_token=x&a=1",
            "a=1&X-Amz-Signature=1",
            "sig=a",
            "token=a",
            "reset_token=a",
            "api%5Fkey=a",
            "id_token=a",
            "SAMLResponse=a",
            "code=a&state=b",
            "Signature=a&Key-Pair-Id=b",
            "visit_id=7",
            "X-Goog-Signature=1",
            "oauth_signature=a",
            "a=1;sid=2",
            "id_token_hint=a",
            "client_assertion=a",
            "session-id=a",
            "session_key=a",
            "x-api-key=a",
            "private_key=a",
            "auth_code=a",
            "jsessionidsso=a",
            "token[]=a",
            "user[token]=a",
            "user%5Bpassword%5D=a",
            "page_access_token=a",
            "next_reset_token=a",
            "pin=1",
            "nonce=a",
            "launch=a",
        ] {
            check("/a", query, true);
        }
        for query in [
            "page_token=a",
            "nextPageToken=a",
            "code=A00",
            "q=token",
            "page=2",
            "key=value",
            "tokens=3",
            "state=open",
            "continuationToken=x",
            "signature_date=2",
            "next_page_token=a",
            "sync-token=a",
            "$skiptoken=a",
            "filter[status]=open",
            "ids[]=7",
        ] {
            check("/a", query, false);
        }
    }

    #[test]
    fn what_is_told_of_them() {
        assert_eq!(path_told("/a;jsessionid=A1/b;v=1", &[]), "/a;jsessionid=*/b;v=1");
        assert_eq!(path_told("/(S(A1))/b", &[]), "/(*)/b");
        assert_eq!(path_told("/a;jsession%69d=A1/b", &[]), "/a;jsession%69d=*/b");
        assert_eq!(path_told("/(%53(A1))/%28f%28x%29%29/b", &[]), "/(*)/(*)/b");
        assert_eq!(path_told("/a/b;v=1", &[]), "/a/b;v=1");
        assert_eq!(query_told("a=1&access_token=x", &[]), "a=1&access_token=*");
        assert_eq!(query_told("a=1;sid=x;b=2&c=3", &[]), "a=1;sid=*;b=2&c=3");
        assert_eq!(query_told("a=1", &[]), "a=1");
        assert_eq!(query_told("a=1&code=x", &[]), "a=1&code=*");
        assert_eq!(query_told("a=1;sid=2&b=3", &[]), "a=1;sid=*&b=3");
        assert_eq!(query_told("code=x&state=y&a=", &[]), "code=*&state=*&a=");
        let names = credentials_in("/(S(A1))/a;jsessionid=B2", Some("a=1&access%5Ftoken=C3;sid=2"), &[]);
        assert_eq!(names, ["(S(…))", "jsessionid", "access_token", "sid"]);
        assert_eq!(credentials_in("/a", Some("code=x&state=y"), &[]), ["code"]);
        assert!(credentials_in("/a;v=1", Some("a=1"), &[]).is_empty());
        assert_eq!(path_without("/p/7;jsessionid=A1", &[]).as_deref(), Some("/p/7"));
        assert_eq!(path_without("/(S(A1))/p/7;v=1", &[]).as_deref(), Some("/p/7;v=1"));
        assert_eq!(path_without("/p/7%3Bjsession%69d=A1;v=1", &[]).as_deref(), Some("/p/7;v=1"));
        assert_eq!(path_without("/p/7", &[]), None);
    }
}
