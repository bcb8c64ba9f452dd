//! `Vary` (RFC 9110 §12.5.5): by which fields of a request the answers at one URL differ.
//!
//! What cannot be read counts as `*`: it selects nothing that could be found again.

use http::{HeaderMap, HeaderName};

use crate::policy::not_stored::NotStored;

/// The fields that all lines of `Vary` together name, sorted, each once, less those that are part of every key; an answer
/// with `*` among them is never stored, since no later request would match (RFC 9111 §4.1).
pub fn names(headers: &HeaderMap) -> Result<Vec<HeaderName>, NotStored> {
    let mut names = Vec::new();
    for line in headers.get_all(http::header::VARY) {
        let text = line.to_str().map_err(|_| NotStored::VaryAll)?;
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name == "*" {
                return Err(NotStored::VaryAll);
            }
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| NotStored::VaryAll)?;
            match name.as_str() {
                // Part of every key.
                "host" | "x-forwarded-host" | "x-forwarded-proto" => {}
                // Another for every client, or for every request: nobody's to share.
                "x-forwarded-for" | "forwarded" | "via" | "x-request-id" => return Err(NotStored::VaryAll),
                _ => names.push(name),
            }
        }
    }
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn in_all_its_forms() {
        let check = |lines: &[&'static [u8]], want: Result<&str, NotStored>| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(http::header::VARY, HeaderValue::from_bytes(line).unwrap());
            }
            let got = names(&headers).map(|names| names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(" "));
            assert_eq!(got, want.map(str::to_owned), "{headers:?}");
        };
        check(&[], Ok(""));
        check(&[b"Accept"], Ok("accept")); // RFC 9110 §5.1: names in any case
        check(&[b"accept-language,Accept-Encoding"], Ok("accept-encoding accept-language"));
        check(&[b"A", b"C , b"], Ok("a b c")); // §5.3: several lines are one list
        check(&[b" \t, a ,, b\t,"], Ok("a b")); // §5.6.1.2: empty members, spaces and tabs
        check(&[b""], Ok(""));
        check(&[b"a, A", b"a"], Ok("a"));
        check(&[b"Host, x-forwarded-proto"], Ok(""));
        for all in [&b"*"[..], b" * ", b"a, *", b"*, a", b",*,", b"* ,a"] {
            check(&[all], Err(NotStored::VaryAll)); // RFC 9111 §4.1
            check(&[b"a", all], Err(NotStored::VaryAll));
            check(&[all, b"a"], Err(NotStored::VaryAll));
        }
        for unclear in [&b"a b"[..], b"a;b", b"\"a\"", b"a\xff", b"a: b", b"**", b"*a", b"(a)"] {
            // `*a` and `**` are tokens, and so names that no client sends.
            let want = match unclear {
                b"**" => Ok("**"),
                b"*a" => Ok("*a"),
                _ => Err(NotStored::VaryAll),
            };
            check(&[unclear], want);
        }
        check(&[b"X-Forwarded-For"], Err(NotStored::VaryAll));
    }
}
