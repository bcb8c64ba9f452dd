//! `types:`, lifetimes by media type; and names that carry a hash of what they name.

use std::time::Duration;

use http::{HeaderMap, header};

use super::not_stored::NotStored;
use crate::policy::answered::{Answered, Downstream, Fingerprinted};
use crate::rules::caching::{NamedPolicy, TypePattern};

/// The lifetime and the downstream header that `types:` and `ttl` give.
pub(super) fn listed(
    answered: &Answered<'_>,
    policy: &NamedPolicy,
) -> Result<(Option<Duration>, Downstream), NotStored> {
    if policy.types.is_empty() {
        return Ok((policy.ttl, Downstream::AsOrigin));
    }
    let media = media_type(answered.headers);
    let matching = |fingerprinted: Fingerprinted| {
        policy.types.iter().find(|(pattern, _)| match pattern {
            TypePattern::Fingerprinted => fingerprinted == Fingerprinted::Yes && is_fingerprinted(answered.path),
            TypePattern::Exact(exact) => fingerprinted == Fingerprinted::No && *exact == media,
            TypePattern::Family(family) => {
                let of = media.split_once('/').map(|(family, _)| family);
                fingerprinted == Fingerprinted::No && of == Some(family)
            }
        })
    };
    let listed = matching(Fingerprinted::No).ok_or(NotStored::Type)?;
    let (max_age, fingerprinted) = match matching(Fingerprinted::Yes) {
        Some((_, ttl)) => (*ttl, Fingerprinted::Yes),
        None => (listed.1, Fingerprinted::No),
    };
    Ok((Some(max_age), Downstream::Public { max_age, fingerprinted }))
}

/// The media type in lower case, without parameters; empty when there is none.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// `app.3f2a9c1b.js`, `app-3f2a9c1bd0.css`: a piece of at least eight hexadecimal digits, one of them a decimal digit.
fn is_fingerprinted(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or("");
    let mut pieces: Vec<&str> = file.split(['.', '-', '_']).collect();
    // The extension is none of them.
    pieces.pop();
    pieces.iter().skip(1).any(|piece| {
        piece.len() >= 8 && piece.bytes().all(|b| b.is_ascii_hexdigit()) && piece.bytes().any(|b| b.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::admit::tests::named;
    use crate::rules::caching::Share;
    use http::{HeaderValue, StatusCode};
    use std::time::SystemTime;

    #[test]
    fn types_give_lifetimes() {
        let mut policy = named(Share::Public);
        policy.types = vec![
            (TypePattern::Family("image".into()), Duration::from_secs(7)),
            (TypePattern::Exact("text/javascript".into()), Duration::from_secs(1)),
            (TypePattern::Fingerprinted, Duration::from_secs(365)),
        ];
        let ttl = |media: &'static str| {
            let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(media))].into_iter().collect();
            let answered = Answered {
                form_cookies: &[],
                status: StatusCode::OK,
                headers: &headers,
                path: "/static/app.3f2a9c1b.js",
                credentialed: crate::entry::head::Credentialed::No,
                arrived: SystemTime::UNIX_EPOCH,
                delay: Duration::ZERO,
            };
            listed(&answered, &policy).map(|(ttl, _)| ttl.map(|ttl| ttl.as_secs()))
        };
        assert_eq!(ttl("Text/JavaScript; charset=utf-8"), Ok(Some(365)));
        assert_eq!(ttl("text/html"), Err(NotStored::Type));
        assert!(is_fingerprinted("/a/app-0123abcd.css"));
        assert!(
            !is_fingerprinted("/a/app.css") && !is_fingerprinted("/a/deadbeef.png") && !is_fingerprinted("/facade.x.y")
        );
    }
}
