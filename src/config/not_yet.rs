//! What to do without the parts of the vocabulary that this version does not have.

/// The hint for a key that is not available yet, given its path.
pub(super) fn hint(path: &str) -> &'static str {
    let last = path.rsplit('.').next().unwrap_or(path);
    match (path, last) {
        ("include", _) => "remove it and write everything in one file",
        ("server.tls.hsts" | "server.tls.preload", _) => "remove it: the application says `Strict-Transport-Security`",
        ("server.tls.early_hints", _) => "remove it: hints of the application are handed on",
        ("cache.redis", _) => "remove it: answers are kept in memory only",
        ("cache.mode", _) => "write `mode: serve` or `mode: bypass`",
        ("cache.pools", _) | (_, "pool") => "remove it: all routes share `cache.memory`",
        _ if path.starts_with("identity.") => "write facets: {NAME: jwt.sub} or {NAME: cert.cn}, and share: [NAME]",
        _ if path.starts_with("upstreams.") && path.contains("servers") => {
            "write http://host:port, or let a TLS proxy stand in between"
        }
        _ if path.starts_with("tests[") => {
            "remove it, or ask with {jwt: {sub: a}}, {cert: {o: a}}, {authorization: a}, {cookie.NAME: a} or {header.NAME: a}"
        }
        (_, "limits") => "remove it and limit rates in the application or in a proxy in front",
        (_, "signed_in") => "write `signed_in: pass`, or remove it",
        (_, "cdn") => "remove it: downstream caches get the origin's own headers",
        (_, "compress") => "remove it or write `compress: false`: bodies are delivered as the origin encodes them",
        _ if path.contains(".websocket.") || path.ends_with(".websocket") => {
            "write `websocket: true`: connections are not limited"
        }
        (_, "images" | "project") => "remove it: bodies are delivered as the origin sends them",
        (_, "health" | "breaker") => "remove it: an attempt that fails is tried again as `retries` says",
        (_, "device") => "remove it, or key the header itself: `vary: {headers: [...]}`",
        (_, "preflight") => "remove it: the origin answers preflights",
        (_, "slo") => "remove it: objectives are not watched",
        (_, "warm") => "remove it: the first request after a lifetime fetches the answer",
        _ => "remove it",
    }
}
