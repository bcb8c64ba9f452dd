//! Which requests a route takes: host, path template, methods and headers; the first route of the file that matches wins.
//!
//! [`Router`] is built once at load. Its cost grows with the depth of a path, not with the number of routes: literal
//! segments are hashed, and hosts are looked up by name. Methods and headers are asked last, on the few candidates left.
//! Pure: no I/O, no clock.

pub mod shape;

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};
use ipnet::IpNet;

use crate::path::RequestPath;
use crate::policy::Caching;
use crate::query::QueryRules;
use crate::tag::{PurgeTemplate, TagPiece, TagSource, TagTemplate};

/// One entry of `routes:`, validated, with its policy resolved and its overrides applied.
#[derive(Debug, Clone)]
pub struct Route {
    /// The name that logs, metrics and purges use.
    pub name: String,
    /// The configuration file that it is written in.
    pub file: Arc<str>,
    /// The line of that file on which the route begins; 1-based.
    pub line: u32,
    /// Which hosts it takes; `None` takes all.
    pub host: Option<HostTemplate>,
    /// Which paths it takes.
    pub path: PathTemplate,
    /// Which methods it takes; empty takes all.
    pub methods: Vec<Method>,
    /// Headers that must be there, with this value if one is given.
    pub headers: Vec<(HeaderName, Option<String>)>,
    /// Index into the upstreams of the settings.
    pub upstream: usize,
    /// The policy's name, as written.
    pub policy_name: String,
    /// How answers are kept and who may have them.
    pub caching: Caching,
    /// What an answer is tagged with, and what a write through this route purges.
    pub tags: Vec<TagTemplate>,
    /// What a write through this route purges besides.
    pub purges: Vec<PurgeTemplate>,
    /// Which query parameters are keyed, and how.
    pub query: QueryRules,
    /// Who may purge a URL of this route by the method `PURGE`; empty sends that method to the origin.
    pub purge_from: Vec<IpNet>,
    /// Its unsafe methods change nothing, so they purge nothing.
    pub read_only: bool,
    /// Which other protocols its clients may ask for.
    pub upgrades: Upgrades,
    /// The longest request body in bytes; `None` leaves it to the server's limit.
    pub body_limit: Option<u64>,
    /// What happens to a path that can be read in two ways.
    pub ambiguous_path: AmbiguousPath,
    /// Whether its exchanges are written to the access log.
    pub access_log: AccessLog,
    /// Changes when anything does that decides keys, tags or partitions; part of every key, so that an entry
    /// which was made under other rules is a miss (purge rule 15).
    pub fingerprint: u64,
}

/// Which protocols a route lets its clients change to (RFC 9110 §7.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upgrades {
    /// None: the wish is dropped and the request passed.
    #[default]
    Never,
    /// WebSocket (RFC 6455), if the origin grants it.
    WebSocket,
}

/// The method that purges a URL, on routes that let somebody use it.
pub const PURGE: &str = "PURGE";

/// What a route does with a path that has an encoded slash or NUL, an empty segment or a backslash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AmbiguousPath {
    /// Answer 400.
    #[default]
    Refuse,
    /// Forward it as it came, uncached.
    Pass,
}

/// Whether a route's exchanges are written to the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AccessLog {
    /// They are, if there is one.
    #[default]
    Written,
    /// They are not, not even the slow ones.
    Silent,
}

/// `clinic.example`, `*.clinic.example` or `<tenant>.clinic.example`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostTemplate {
    /// This host, in lower case, without a port.
    Exact(String),
    /// One label in front of `suffix` (`clinic.example`), captured when it has a name.
    Wildcard {
        /// The name of the label in front, if it is captured.
        part: Option<String>,
        /// What follows it, without the dot.
        suffix: String,
    },
}

impl std::fmt::Display for HostTemplate {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HostTemplate::Exact(host) => f.write_str(host),
            HostTemplate::Wildcard { part: Some(part), suffix } => write!(f, "<{part}>.{suffix}"),
            HostTemplate::Wildcard { part: None, suffix } => write!(f, "*.{suffix}"),
        }
    }
}

/// One segment of a path template.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Exactly this text, after normalisation.
    Literal(String),
    /// One segment of this kind, captured under this name.
    Part(PartKind, String),
}

/// What a named part of a path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// `<id>`: any one segment that is not empty.
    Text,
    /// `<int:id>`: decimal digits.
    Int,
    /// `<uuid:id>`: 8-4-4-4-12 hexadecimal digits.
    Uuid,
    /// `<slug:id>`: ASCII letters, digits, `-` and `_`.
    Slug,
}

/// A path template; a trailing slash is optional.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathTemplate {
    /// As written, which is also how logs and metrics name it.
    pub text: String,
    /// The segments in order.
    pub segments: Vec<Segment>,
    /// Ends in `/**`: any further segments, or none.
    pub rest: bool,
}

impl PathTemplate {
    /// Whether this template takes a path in normal form.
    pub fn takes(&self, path: &str) -> bool {
        let mut segments = RequestPath::segments(path);
        let fits = self.segments.iter().all(|segment| {
            segments.next().is_some_and(|text| match segment {
                Segment::Literal(literal) => literal == text,
                Segment::Part(kind, _) => kind.takes(text),
            })
        });
        fits && (self.rest || segments.next().is_none())
    }
}

impl PartKind {
    fn takes(self, segment: &str) -> bool {
        match self {
            PartKind::Text => !segment.is_empty(),
            PartKind::Int => !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit()),
            PartKind::Uuid => is_uuid(segment),
            PartKind::Slug => {
                !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            }
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// The routes of a configuration, ready to be asked.
#[derive(Debug, Default)]
pub struct Router {
    routes: Vec<Arc<Route>>,
    exact_hosts: HashMap<String, Trie>,
    wildcard_hosts: HashMap<String, Trie>,
    any_host: Trie,
}

/// What a router is asked with.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Lower case, without a port.
    pub host: &'a str,
    /// In normal form.
    pub path: &'a str,
    /// The request's method.
    pub method: &'a Method,
    /// The request's headers.
    pub headers: &'a HeaderMap,
}

impl Router {
    /// Builds the tables; the order of `routes` is the order of precedence.
    pub fn new(routes: Vec<Route>) -> Router {
        let mut router = Router { routes: routes.into_iter().map(Arc::new).collect(), ..Router::default() };
        for (index, route) in router.routes.iter().enumerate() {
            let trie = match &route.host {
                None => &mut router.any_host,
                Some(HostTemplate::Exact(host)) => router.exact_hosts.entry(host.clone()).or_default(),
                Some(HostTemplate::Wildcard { suffix, .. }) => router.wildcard_hosts.entry(suffix.clone()).or_default(),
            };
            trie.insert(&route.path, index);
        }
        router
    }

    /// All routes, in order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The first route that takes this request, and its index.
    pub fn find(&self, target: Target<'_>) -> Option<(usize, &Arc<Route>)> {
        let mut search = Search { routes: &self.routes, target, best: usize::MAX };
        let inner = target.path.strip_prefix('/').unwrap_or(target.path);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let rest = (!inner.is_empty()).then_some(inner);
        if let Some(trie) = self.exact_hosts.get(target.host) {
            search.walk(trie, 0, rest);
        }
        if !self.wildcard_hosts.is_empty()
            && let Some((_, suffix)) = target.host.split_once('.')
            && let Some(trie) = self.wildcard_hosts.get(suffix)
        {
            search.walk(trie, 0, rest);
        }
        search.walk(&self.any_host, 0, rest);
        self.routes.get(search.best).map(|route| (search.best, route))
    }
}

impl Route {
    /// The value of a named part for a host and a path that this route took.
    pub fn part<'p>(&self, name: &str, host: &'p str, path: &'p str) -> Option<&'p str> {
        if let Some(HostTemplate::Wildcard { part: Some(part), .. }) = &self.host
            && part == name
        {
            return host.split('.').next();
        }
        let mut segments = RequestPath::segments(path);
        self.path.segments.iter().find_map(|segment| {
            let value = segments.next()?;
            matches!(segment, Segment::Part(_, part) if part == name).then_some(value)
        })
    }

    /// Whether a hole of its tags or purges takes its value from such a source.
    pub fn uses_in_tags(&self, is: impl Fn(&TagSource) -> bool) -> bool {
        let purges = self.purges.iter().filter_map(|purge| match purge {
            PurgeTemplate::Tag(template) => Some(template),
            PurgeTemplate::Principal => None,
        });
        let mut pieces = self.tags.iter().chain(purges).flat_map(|template| &template.pieces);
        pieces.any(|piece| matches!(piece, TagPiece::Value(source) if is(source)))
    }

    fn takes(&self, method: &Method, headers: &HeaderMap) -> bool {
        let method_fits = self.methods.is_empty()
            || self.methods.contains(method)
            // Who lists GET means HEAD too: it is the same question (RFC 9110 §9.3.2).
            || (method == Method::HEAD && self.methods.contains(&Method::GET))
            // What is purged is what GET would get.
            || (!self.purge_from.is_empty() && method.as_str() == PURGE && self.methods.contains(&Method::GET));
        method_fits
            && self.headers.iter().all(|(name, want)| match want {
                None => headers.contains_key(name),
                Some(want) => headers.get_all(name).iter().any(|value| value.as_bytes() == want.as_bytes()),
            })
    }
}

/// Path templates by segment, in one arena.
#[derive(Debug)]
struct Trie {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    literals: HashMap<Box<str>, usize, foldhash::fast::RandomState>,
    parts: Vec<(PartKind, usize)>,
    /// Routes whose template ends here, and those whose `/**` begins here; ascending.
    ends: Vec<usize>,
    rests: Vec<usize>,
    /// The first route at or below this node: a branch that cannot win is not walked.
    least: usize,
}

impl Default for Trie {
    fn default() -> Trie {
        Trie { nodes: vec![Node::new(usize::MAX)] }
    }
}

impl Node {
    fn new(least: usize) -> Node {
        Node { literals: HashMap::default(), parts: Vec::new(), ends: Vec::new(), rests: Vec::new(), least }
    }
}

impl Trie {
    fn insert(&mut self, path: &PathTemplate, route: usize) {
        let mut at = 0;
        for segment in &path.segments {
            self.nodes[at].least = self.nodes[at].least.min(route);
            at = self.child(at, segment, route);
        }
        let node = &mut self.nodes[at];
        node.least = node.least.min(route);
        if path.rest { node.rests.push(route) } else { node.ends.push(route) }
    }

    fn child(&mut self, at: usize, segment: &Segment, route: usize) -> usize {
        let next = self.nodes.len();
        let node = &mut self.nodes[at];
        let child = match segment {
            Segment::Literal(text) => *node.literals.entry(text.as_str().into()).or_insert(next),
            Segment::Part(kind, _) => match node.parts.iter().find(|(k, _)| k == kind) {
                Some(&(_, child)) => child,
                None => {
                    node.parts.push((*kind, next));
                    next
                }
            },
        };
        if child == next {
            self.nodes.push(Node::new(route));
        }
        child
    }
}

struct Search<'a> {
    routes: &'a [Arc<Route>],
    target: Target<'a>,
    best: usize,
}

impl Search<'_> {
    fn walk(&mut self, trie: &Trie, at: usize, rest: Option<&str>) {
        let node = &trie.nodes[at];
        if node.least >= self.best {
            return;
        }
        self.offer(&node.rests);
        let Some(rest) = rest else { return self.offer(&node.ends) };
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        if let Some(&child) = node.literals.get(segment) {
            self.walk(trie, child, rest);
        }
        for &(kind, child) in &node.parts {
            if kind.takes(segment) {
                self.walk(trie, child, rest);
            }
        }
    }

    fn offer(&mut self, candidates: &[usize]) {
        let found = candidates
            .iter()
            .take_while(|&&route| route < self.best)
            .find(|&&route| self.routes[route].takes(self.target.method, self.target.headers));
        if let Some(&route) = found {
            self.best = route;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A route for tests: matches by path only, passes.
    pub(crate) fn route(name: &str, path: &str) -> Route {
        let rest = path.strip_suffix("/**");
        let segment = |text: &str| match text.strip_prefix('<').and_then(|text| text.strip_suffix('>')) {
            None => Segment::Literal(text.to_owned()),
            Some(part) => match part.split_once(':') {
                Some(("int", name)) => Segment::Part(PartKind::Int, name.to_owned()),
                Some(("uuid", name)) => Segment::Part(PartKind::Uuid, name.to_owned()),
                _ => Segment::Part(PartKind::Text, part.to_owned()),
            },
        };
        let segments = RequestPath::segments(rest.unwrap_or(path)).map(segment).collect();
        Route {
            name: name.to_owned(),
            file: Arc::from("proxy.yaml"),
            line: 1,
            host: None,
            path: PathTemplate { text: path.to_owned(), segments, rest: rest.is_some() },
            methods: Vec::new(),
            headers: Vec::new(),
            upstream: 0,
            policy_name: "pass".to_owned(),
            caching: Caching::Pass,
            tags: Vec::new(),
            purges: Vec::new(),
            query: QueryRules::default(),
            purge_from: Vec::new(),
            read_only: false,
            upgrades: Upgrades::Never,
            body_limit: None,
            ambiguous_path: AmbiguousPath::Refuse,
            access_log: AccessLog::Written,
            fingerprint: 0,
        }
    }

    fn found<'r>(router: &'r Router, method: &str, host: &str, path: &str) -> &'r str {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let target = Target { host, path, method: &method, headers: &HeaderMap::new() };
        router.find(target).map_or("none", |(_, route)| &route.name)
    }

    #[test]
    fn the_first_route_that_fits_wins() {
        let router = Router::new(vec![
            Route { methods: vec![Method::POST], ..route("create", "/patients") },
            route("search", "/patients/search"),
            route("patient", "/patients/<int:id>"),
            route("chart", "/patients/<int:id>/chart/**"),
            route("any", "/patients/<id>"),
            Route { host: Some(HostTemplate::Exact("a.example".into())), ..route("host a", "/**") },
            Route {
                host: Some(HostTemplate::Wildcard { part: Some("tenant".into()), suffix: "example".into() }),
                ..route("tenant", "/t/<uuid:id>")
            },
            route("rest", "/**"),
        ]);
        let check = |method, host, path, want| {
            assert_eq!(found(&router, method, host, path), want, "{method} {host} {path}");
        };
        check("POST", "x", "/patients", "create");
        check("GET", "x", "/patients", "rest");
        check("GET", "x", "/patients/search", "search");
        check("GET", "x", "/patients/7", "patient");
        check("GET", "x", "/patients/7/", "patient");
        check("GET", "x", "/patients/x7", "any");
        check("GET", "x", "/patients/7/chart", "chart");
        check("GET", "x", "/patients/7/chart/a/b", "chart");
        check("GET", "x", "/patients/7/other", "rest");
        check("GET", "a.example", "/", "host a");
        check("GET", "a.example", "/patients/7", "patient");
        check("GET", "b.example", "/t/123e4567-e89b-12d3-a456-426614174000", "tenant");
        check("GET", "b.c.example", "/t/123e4567-e89b-12d3-a456-426614174000", "rest");
        check("GET", "b.example", "/t/123", "rest");
        check("GET", "x", "/", "rest");
    }

    #[test]
    fn head_goes_where_get_goes_and_headers_count() {
        let mut needs = Route { methods: vec![Method::GET], ..route("api", "/a") };
        needs.headers = vec![(HeaderName::from_static("x-api"), Some("1".to_owned()))];
        let router = Router::new(vec![needs, route("rest", "/**")]);
        let mut headers = HeaderMap::new();
        let find = |method: &Method, headers: &HeaderMap| {
            let target = Target { host: "x", path: "/a", method, headers };
            router.find(target).map(|(index, _)| index)
        };
        assert_eq!(find(&Method::GET, &headers), Some(1));
        headers.insert("x-api", http::HeaderValue::from_static("1"));
        assert_eq!(find(&Method::GET, &headers), Some(0));
        assert_eq!(find(&Method::HEAD, &headers), Some(0));
        assert_eq!(find(&Method::POST, &headers), Some(1));
    }

    #[test]
    fn named_parts_are_captured() {
        let mut route = route("r", "/a/<x>/b/<int:y>/**");
        route.host = Some(HostTemplate::Wildcard { part: Some("tenant".into()), suffix: "example".into() });
        let part = |name| route.part(name, "t1.example", "/a/one/b/2/more");
        assert_eq!((part("x"), part("y"), part("tenant"), part("z")), (Some("one"), Some("2"), Some("t1"), None));
    }

    #[test]
    fn many_routes_do_not_slow_the_search() {
        // Not a clock: the number of nodes walked is what must not grow, and it is bounded by the path's depth.
        let routes = (0..5000).map(|i| route(&format!("r{i}"), &format!("/api/v{i}/<id>"))).collect();
        let router = Router::new(routes);
        assert_eq!(found(&router, "GET", "x", "/api/v4321/7"), "r4321");
        assert_eq!(router.any_host.nodes[0].literals.len(), 1, "siblings share their parents");
    }
}
