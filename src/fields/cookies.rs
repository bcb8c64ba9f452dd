//! The cookies of a request (RFC 6265 §4.2).

use http::HeaderValue;

/// One pair of a `Cookie` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie<'a> {
    /// The name; the whole pair when it has no `=` or is not text, so that it is nobody's known cookie.
    pub name: &'a str,
    /// The pair as it was sent.
    pub pair: &'a [u8],
}

impl<'a> Cookie<'a> {
    /// What stands behind the `=`; none where there is no `=`.
    pub fn value(&self) -> Option<&'a [u8]> {
        let equals = self.pair.iter().position(|&b| b == b'=')?;
        Some(self.pair[equals + 1..].trim_ascii())
    }
}

/// The pairs of a `Cookie` field (RFC 6265 §4.2.1).
pub fn cookies(field: &HeaderValue) -> impl Iterator<Item = Cookie<'_>> {
    field.as_bytes().split(|&b| b == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()).map(|pair| {
        let name = pair.split(|&b| b == b'=').next().filter(|name| name.len() < pair.len());
        let name = name.and_then(|name| std::str::from_utf8(name).ok()).map_or("\0", str::trim);
        Cookie { name, pair }
    })
}
