//! Pages that post themselves: how SAML, OpenID Connect's `form_post` and payment pages carry one person's assertion on.
//!
//! Nothing in their heads tells them from any other page, so it is looked for in the body before it is stored.

use http::HeaderMap;

use super::types::media_type;

/// How much of a page is looked at, in bytes: such pages are short.
const LOOKED_AT: usize = 64 << 10;

/// Whether a page has a form that is posted by its own script.
pub fn is_self_posting(headers: &HeaderMap, body: &[u8]) -> bool {
    if !media_type(headers).contains("html") || headers.contains_key(http::header::CONTENT_ENCODING) {
        return false;
    }
    let text = body[..body.len().min(LOOKED_AT)].to_ascii_lowercase();
    let has = |wanted: &[u8]| memchr::memmem::find(&text, wanted).is_some();
    has(b"<form") && has(b"post") && has(b".submit(")
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, header};

    #[test]
    fn a_form_that_its_page_submits() {
        let check = |media: &'static str, body: &str, want: bool| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media))]);
            assert_eq!(is_self_posting(&headers, body.as_bytes()), want, "{media} {body}");
        };
        let saml =
            "<body onload=\"document.forms[0].submit()\"><FORM method=\"POST\" action=a><input name=SAMLResponse>";
        check("text/html; charset=utf-8", saml, true);
        check("application/xhtml+xml", saml, true);
        check("text/plain", saml, false);
        check("text/html", "<form method=post><button>", false);
        check("text/html", "<script>x.submit()</script>", false);
    }
}
