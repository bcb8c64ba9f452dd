//! Cookies that protect forms against forgery: each is drawn for one browser, and the pages with forms hold what goes with it.
//!
//! Such a cookie says nothing of who asks, but a page that was made for one browser's is of no use to another: a fetch that
//! leaves it out brings a page with another token, and a new cookie that breaks the forms which are open in other tabs.

use crate::fields::glob::glob;

/// Whether a cookie of this name is a known one.
pub fn is_known(name: &str) -> bool {
    let bare = name.strip_prefix("__Host-").or_else(|| name.strip_prefix("__Secure-")).unwrap_or(name);
    KNOWN.iter().any(|pattern| glob(pattern, bare))
}

/// As patterns; a name may end in `*`.
const KNOWN: [&str; 15] = [
    "csrftoken",                   // Django
    "XSRF-TOKEN",                  // Laravel, Spring, Angular
    "__RequestVerificationToken*", // ASP.NET
    ".AspNetCore.Antiforgery.*",
    "csrfToken",  // CakePHP
    "csrf_token", // Flask and others
    "csrf-token",
    "_csrf", // Express, Yii
    "_csrf_token",
    "csrf",
    "CSRF-TOKEN",
    "csrf_cookie_name", // CodeIgniter
    "fastapi-csrf-token",
    "csrftoken_*",
    "x-csrf-token",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_by_name() {
        for name in ["csrftoken", "__Host-csrftoken", "XSRF-TOKEN", "__RequestVerificationToken_L2E1", "_csrf"] {
            assert!(is_known(name), "{name}");
        }
        for name in ["sessionid", "token", "csrf_session", "xsrf"] {
            assert!(!is_known(name), "{name}");
        }
    }
}
