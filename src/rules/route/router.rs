//! Which route takes a request: the first of the file that matches.
//!
//! [`Router`] is built once at load. Its cost grows with the depth of a path, not with the number of routes: literal
//! segments are hashed, and hosts are looked up by name. Methods and headers are asked last, on the few candidates left.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, Method};

use crate::rules::route::Route;
use crate::rules::template::{HostTemplate, PartKind, PathTemplate, Segment};

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
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::rules::route::tests::route;

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
    fn many_routes_do_not_slow_the_search() {
        // Not a clock: the number of nodes walked is what must not grow, and it is bounded by the path's depth.
        let routes = (0..5000).map(|i| route(&format!("r{i}"), &format!("/api/v{i}/<id>"))).collect();
        let router = Router::new(routes);
        assert_eq!(found(&router, "GET", "x", "/api/v4321/7"), "r4321");
        assert_eq!(router.any_host.nodes[0].literals.len(), 1, "siblings share their parents");
    }
}
