//! What differs between the two built-in policies that do as the origin says; and nothing else does. the table in docs/guides/sharing.md says the
//! same, and a test compares them.

/// One thing that they read differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Difference {
    /// What.
    pub about: &'static str,
    /// Under `origin`.
    pub origin: &'static str,
    /// Under `rfc9111`.
    pub rfc9111: &'static str,
}

/// All of them.
pub const DIFFERENCES: [Difference; 6] = [
    Difference {
        about: "a cookie that is neither ignored nor for affinity",
        origin: "a credential, like `Authorization`",
        rfc9111: "a field as any other",
    },
    Difference {
        about: "a header of `identity.principal`, or of a `trusted.x` facet",
        origin: "a credential, like `Authorization`",
        rfc9111: "a field as any other",
    },
    Difference {
        about: "a client's certificate",
        origin: "a credential, like `Authorization`",
        rfc9111: "the connection's, and none of the answer's",
    },
    Difference {
        about: "`Set-Cookie`",
        origin: "not kept, unless all cookies are named in `strip_cookies`, or the origin says `private=\"set-cookie\"` or \
                 `no-cache=\"set-cookie\"`",
        rfc9111: "kept, and given to everybody",
    },
    Difference {
        about: "`Vary: Cookie`, and a cookie is shown",
        origin: "not kept",
        rfc9111: "a variant for each value",
    },
    Difference {
        about: "an error about the request itself: 400, 405, 406, 408, 411 to 417, 421, 422, 425, 426",
        origin: "not kept",
        rfc9111: "kept, with a lifetime from the origin",
    },
];
