//! What each reason means, and what can be done about it: for those who ask why. The tables of the reference say the same, and a test
//! compares them.

/// A reason in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// Its one spelling.
    pub reason: &'static str,
    /// When it is given.
    pub when: &'static str,
    /// What to do if that is not wanted; empty where nothing is to be done.
    pub advice: &'static str,
}

/// What a reason is given for. The same word may be given for several things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A request was passed.
    Passed,
    /// What is stored was not used as it is.
    NotUsed,
    /// An answer was not kept.
    NotKept,
    /// The origin gave no answer.
    Failed,
    /// A request was refused, by its path or otherwise.
    Refused,
}

/// What a reason means.
pub fn meaning(about: About, reason: &str) -> Option<Meaning> {
    let tables: &[&[Meaning]] = match about {
        About::Passed => &[&PASSED],
        About::NotUsed => &[&NOT_USED],
        About::NotKept => &[&NOT_KEPT],
        About::Failed => &[&FAILED],
        About::Refused => &[&PATHS, &REFUSED],
    };
    tables.iter().copied().flatten().find(|meaning| meaning.reason == reason).copied()
}

const fn is(reason: &'static str, when: &'static str, advice: &'static str) -> Meaning {
    Meaning { reason, when, advice }
}

/// Why a request is passed.
pub const PASSED: [Meaning; 32] = [
    is("no-policy", "the route has no policy", "give the route a `policy`, if its answers may be kept"),
    is("cache-bypassed", "`cache.mode: bypass`", "write `cache: {mode: serve}`"),
    is(
        "operator-bypass",
        "an operator switched the route to pass for a while: `stent bypass`",
        "end it with `stent bypass --off`",
    ),
    is(
        "signed-in-connection",
        "NTLM or Negotiate was seen on the client's connection, which is somebody's from then on",
        "let the application sign in by a form or a token, if answers are to be kept",
    ),
    is("method", "it is neither GET nor HEAD", ""),
    is("request-body", "a GET brings a body", "let the client send a GET without a body"),
    is("upgrade", "it asks for another protocol", ""),
    is("request-no-store", "the client says `no-store`", "the client decides; browsers say so in private windows"),
    is("precondition", "`If-Match` or `If-Unmodified-Since`: the origin's to judge", ""),
    is(
        "range",
        "a part of something that is not stored",
        "what may be stored, says how long it is and is no longer than `max_object` comes from the store",
    ),
    is(
        "unknown-cookie",
        "a cookie that is neither part of the principal nor ignored, nor for affinity",
        "list the cookie in `identity.principal` if it says who asks, in `identity.ignore_cookies` if no answer depends on it, in `identity.affinity_cookies` if it only says which server has a session",
    ),
    is(
        "unknown-header",
        "a header that may say who asks, or narrow what they are to see, and is neither keyed nor ignored",
        "`stent explain` names the header: list it in the policy's `vary: {headers: […]}` if answers depend on it, in `identity.ignore_headers` if none does",
    ),
    is(
        "url-credential",
        "a credential in the path or the query: a session, a ticket, a signature",
        "let the application sign in by a cookie or `Authorization`; a request with a credential in its URL is always passed, and the credential is logged nowhere",
    ),
    is(
        "signed-request",
        "its client has signed it (Digest, AWS, HTTP signatures): it is forwarded byte for byte",
        "let the client show a token or a cookie instead, if its answers are to be kept",
    ),
    is(
        "unkeyed-authorization",
        "`Authorization` that is no part of the principal",
        "add `authorization` to `identity.principal`",
    ),
    is(
        "signed-in",
        "credentials, on a route for those who have none",
        "use `share: principal`, if answers for those who are signed in may be kept for each of them",
    ),
    is(
        "no-principal",
        "none of the principal's credentials, on a route that keeps answers by them",
        "use `share: anonymous` on a route of its own for what nobody has to sign in for",
    ),
    is(
        "ambiguous-path",
        "the path can be read in two ways, and the route says `ambiguous_path: pass`",
        "let the client send the path in its plain form",
    ),
    is(
        "no-valid-token",
        "no token, or one that is forged, has expired or was signed by a key that is not known, on a route that relies on one",
        "let the client show a token that holds; see `identity.jwt`",
    ),
    is(
        "credentials-beside-token",
        "other credentials of the principal beside the token: the origin might believe those",
        "let the client show its token alone",
    ),
    is(
        "credentials-beside-certificate",
        "other credentials of the principal beside the certificate: the origin sees only those, and its answer may be another's",
        "share by something that the origin sees too, like a claim of a token (`jwt.x`), or write `share: principal`",
    ),
    is(
        "facet-without-value",
        "something that answers are shared by is not proven, or there twice",
        "see the policy's `share` and `identity.facets`",
    ),
    is("access-denied", "the origin was asked and did not say yes; what it said is the answer", ""),
    is(
        "unlisted-query-parameter",
        "a parameter that `query` does not list, or lists as `pass`",
        "list it in the route's `query`: `any` if answers depend on it, `drop` if not",
    ),
    is("query-not-a-number", "a listed number that is none, or is there twice", "let the client send one number"),
    is("too-many-query-parameters", "more than 128", "let the client send fewer"),
    is(
        "remembered-uncacheable",
        "an answer here could not be kept; for two minutes, after a 5xx for two seconds, nobody waits for another one, unless one comes that can be",
        "look for the request that met it first: its `not_stored` says why",
    ),
    is(
        "credentials",
        "under `origin`: credentials, and the origin did not open what is stored",
        "use a policy with `share: principal`, or let the origin say `public`",
    ),
    is(
        "not-fresh",
        "under `origin` and `rfc9111`: it waited for another's fetch, and the origin wants to be asked each time",
        "let the origin give a lifetime, or use a policy of your own",
    ),
    is("not-shared", "it waited for another's fetch, and the answer was that other's alone, such as a refusal", ""),
    is("head-not-stored", "HEAD, and nothing is stored that answers it", ""),
    is(
        "asked-again-too-often",
        "what it waited for was not for it, four times",
        "look for purges in quick succession, or a `Vary` with too many values",
    ),
];

/// Why what is stored was not used as it is.
pub const NOT_USED: [Meaning; 10] = [
    is("stale", "its lifetime is over", "a longer `ttl`, or `stale_while_revalidate`, lets fewer wait"),
    is(
        "origin-clock",
        "its `Date` alone makes it stale: the origin's clock is behind, or a cache in between does not say `Age`",
        "set the origin's clock, or give the policy a `ttl`, which counts from the arrival",
    ),
    is(
        "s-maxage",
        "its lifetime is over, and `s-maxage` closes the window that `stale-while-revalidate` opens (RFC 9111 §5.2.2.10)",
        "let the origin say `max-age` in place of `s-maxage`, or say both in `CDN-Cache-Control`, or use a policy of your own with `ttl` and `stale_while_revalidate`",
    ),
    is("soft-purged", "purged softly", ""),
    is("request-no-cache", "the client says `no-cache`", "the client decides; browsers say so on a reload"),
    is("request-age", "the client wants it younger or fresher", ""),
    is("ceiling", "older than the policy's `ceiling`", ""),
    is("purged", "purged since its fetch began", ""),
    is(
        "access",
        "with `access: {ask: self}`: the origin has to be asked whether this client may have it",
        "a longer `for` lets the origin's yes be kept",
    ),
    is(
        "touch",
        "the origin has not heard of this principal for the policy's `touch`: its session is kept alive",
        "a longer `touch` lets fewer requests through; it must be shorter than the session's idle time",
    ),
];

/// Why an answer is not kept.
pub const NOT_KEPT: [Meaning; 28] = [
    is("no-store", "the origin says so", "the origin decides"),
    is(
        "private",
        "the origin says so, and others would share it",
        "use `share: principal`, or let the origin say otherwise",
    ),
    is(
        "set-cookie",
        "it sets a cookie",
        "let the origin set cookies on routes of their own, or name those that mean nothing in `strip_cookies`; one that protects forms belongs into `identity.form_cookies`",
    ),
    is(
        "secret-field",
        "it hands out a credential in another field, such as `X-Auth-Token`",
        "let the origin hand out credentials on routes of their own, without a policy",
    ),
    is(
        "retry-later",
        "the origin sends `Retry-After` or `Refresh`: the answer is to be replaced soon",
        "let the origin send neither with answers that may be kept",
    ),
    is(
        "says-expired",
        "others would share it, and the origin says that it is out of date on arrival: `Pragma: no-cache`, `Expires` that is past, `max-age=0`, `s-maxage=0`",
        "let the origin leave it out, or write `override: true` in the policy if the origin says so of everything by habit",
    ),
    is(
        "redirect-with-query",
        "a permanent redirect (301, 308) whose target has a query, parameters, a fragment or a user, and no lifetime from the origin: they may be one person's",
        "let the origin give a lifetime, if the redirect is the same for everybody",
    ),
    is(
        "self-posting",
        "an HTML page whose script posts its form (SAML, OpenID Connect), and no lifetime from the origin",
        "give pages that sign in a route of their own, without a policy",
    ),
    is(
        "unlike-stored",
        "unlike what is stored for several people: another media type, or no validator where there was one",
        "look whether the origin answers 200 with a page to sign in at, where it should refuse",
    ),
    is(
        "refused-since",
        "it was asked for before the origin refused what is stored, and came after that",
        "nothing: the next one is asked for anew",
    ),
    is(
        "validator-strength",
        "a 304 named the tag of what is stored as a weak one where that is strong, or the other way round: it is served, and the next one is fetched whole",
        "let the origin send the same `ETag` with 200 and 304",
    ),
    is(
        "vary-all",
        "`Vary: *`, one that cannot be read, or one by what is another for each client, such as `X-Forwarded-For`",
        "let the origin name the headers that matter",
    ),
    is(
        "too-many-vary-names",
        "its `Vary` names more headers than `cache.vary`",
        "raise `cache.vary`, or let the origin name only the headers by which its answers differ",
    ),
    is(
        "vary-on-credential",
        "`Vary` names a credential that is not keyed",
        "use `share: anonymous` or `share: principal`, which say who shares",
    ),
    is(
        "credentials",
        "under `origin`: the request had credentials, and the origin did not open the answer",
        "use a policy with `share: principal`, or let the origin say `public`",
    ),
    is("no-lifetime", "no lifetime is given, or none and no validator", "give the policy a `ttl`"),
    is(
        "status",
        "a status that needs a lifetime from the origin and has none, or that may not be kept; or an error about the request itself, which may be its sender's alone",
        "",
    ),
    is("unlisted-type", "`types` does not list it", "list its media type in the policy's `types`"),
    is("partial", "it is a part", ""),
    is("event-stream", "it is an endless stream of events", ""),
    is("too-large", "longer than `max_object`", "raise `cache.max_object`"),
    is(
        "too-many-tags",
        "more than `cache.tags`, those of its URL and the wider ones of each included",
        "raise `cache.tags`, or let the origin name fewer tags",
    ),
    is(
        "tag-unknown",
        "a tag's value is not in the answer",
        "look at the route's `tags`: the answer must be uncompressed JSON with that field",
    ),
    is(
        "incomplete",
        "neither a length nor chunks: a cut could not be told from the end",
        "let the origin send a `Content-Length` or chunks",
    ),
    is("trailers", "it ends in trailers", ""),
    is(
        "fill-memory",
        "other answers on their way held all the memory that they may take; the next one may be kept",
        "raise `cache.memory`, if that happens often",
    ),
    is(
        "store-full",
        "the store is full, and nobody asked for it before: what is asked for once leaves what others ask for where it is",
        "raise `cache.memory`, if most of what is asked for is asked for again",
    ),
    is("head", "it answers HEAD, and is not what is stored", ""),
];

/// What failed at the origin.
pub const FAILED: [Meaning; 13] = [
    is("connect-failed", "nobody listens at the address", "look whether the origin runs, and at `servers`"),
    is(
        "name-lookup",
        "the name in `servers` has no address, or the system's resolver gave none within `connect_timeout`",
        "look at the name, and whether the resolver answers (`getent hosts NAME`); a literal address needs no resolver",
    ),
    is(
        "reset",
        "the connection ended before an answer",
        "look into the origin's log; `pool.idle_timeout` must be below its own keep-alive",
    ),
    is(
        "protocol-error",
        "what came is no HTTP; behind `stale-if-error`, also a status 500, 502, 503 or 504",
        "look into the origin's log",
    ),
    is(
        "answer-coding",
        "the answer is in a transfer coding other than `chunked`, which nobody asked for",
        "let the origin send a length or chunks; compression is a content coding",
    ),
    is(
        "answer-head-too-long",
        "the head of the answer has more bytes or more fields than the upstream's `limits`",
        "raise `header_bytes` or `headers` in the upstream's `limits`, if such heads are meant",
    ),
    is(
        "timeout",
        "`timeout` or `deadline` passed",
        "look why the origin was slow; raise `timeout` only for what is honestly that slow",
    ),
    is(
        "busy",
        "no connection became free in time",
        "raise `pool.max` if the origin can take more at once, or look why it is slow",
    ),
    is(
        "streams-taken",
        "all places for event streams and WebSockets are taken",
        "raise `pool.streams` if the origin can take more, or look who keeps so many open",
    ),
    is("client-body", "the client's body ended early or stalled", "the client's network, most likely"),
    is(
        "slow-client",
        "the client's body came more slowly than `limits.min_rate`, or nearly nothing of it came for 2 s while others waited for the connection",
        "the client's network, most likely; raise `pool.max` if others wait often",
    ),
    is("body-too-large", "longer than the route's `body`", "raise `body` on the route, if such uploads are meant"),
    is("internal", "a mistake of ours", "please report it with this line"),
];

/// Why a path is ambiguous.
pub const PATHS: [Meaning; 7] = [
    is("encoded-slash", "`%2F`", PLAIN_PATH),
    is("backslash", "`\\` or `%5C`", PLAIN_PATH),
    is("encoded-control-character", "`%00`", PLAIN_PATH),
    is("empty-segment", "`//`", PLAIN_PATH),
    is("dot-segment-parameter", "`/..;x/`", PLAIN_PATH),
    is("broken-percent-encoding", "`%` without two digits", PLAIN_PATH),
    is("not-ascii", "bytes that a URI may not contain", PLAIN_PATH),
];

const PLAIN_PATH: &str = "let the client send a plain path; for names that must hold such, `ambiguous_path: pass`";

/// Errors of the proxy's own, besides the failures.
pub const REFUSED: [Meaning; 18] = [
    is(
        "refused-path",
        "`server.refuse` takes the path: it is for the origin's own machine alone, or for nobody",
        "ask the origin itself, without Stent; take the path off `server.refuse` if everybody may see it",
    ),
    is("no-route", "no route takes it", "end `routes` with {name: rest, path: /**}, if the rest is to be passed"),
    is("ambiguous-path", "the path can be read in two ways", PLAIN_PATH),
    is(
        "a-pattern",
        "`PURGE` of a URL with a star in it, which is no pattern; a star itself is `%2A`",
        "name the URL, or ?* for any query; purge by prefix or by tag at the admin",
    ),
    is(
        "purge-not-allowed",
        "`PURGE`, on a route that takes it from elsewhere",
        "list it in the route's `purge: {from: […]}`, if it may",
    ),
    is(
        "signed-in-connection",
        "NTLM or Negotiate through a proxy, which shares its connections between people",
        "let the application sign in by a form or a token, or let clients connect to Stent directly",
    ),
    is("only-if-cached", "the client wants it from the store only", ""),
    is("host", HOST, "the client or a proxy in front sends a broken head"),
    is("host-mismatch", HOST, "the client or a proxy in front sends a broken head"),
    is(
        "framing",
        "a body whose length is not clear: `Content-Length` beside `Transfer-Encoding`, and the like",
        "an attack, or a broken client",
    ),
    is(
        "syntax",
        "a line of the head ends in LF alone, goes on in the next, or has whitespace before its colon",
        "an attack, or a broken client",
    ),
    is("transfer-coding", "a coding other than `chunked`", "let the client send a length or chunks"),
    is("expectation", "other than `100-continue`", ""),
    is("target", "CONNECT, or no path on this host", "it was meant for a forward proxy"),
    is(
        "head-too-long",
        "a head of more than `header_bytes` or `headers`",
        "raise `server.limits`, if such heads are meant",
    ),
    is("version", "a protocol that is neither HTTP/1.1 nor 1.0", ""),
    is("loop", "it has come by several times", "look at `servers`: an upstream leads back here"),
    is("max-forwards", "OPTIONS or TRACE that may go no further", ""),
];

const HOST: &str = "not exactly one valid `Host`, or not that of the target";
