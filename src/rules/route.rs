//! Which requests a route takes (host, path template, methods and headers), and what it says of them.
//!
//! Pure: no I/O, no clock.

pub mod covering;
pub mod router;
pub mod shape;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method};
use ipnet::IpNet;

use crate::fields::method::is_safe;
use crate::fields::targeted::Targeted;
use crate::rules::caching::Caching;
use crate::rules::canonical::Serves;
use crate::rules::path::RequestPath;
use crate::rules::path::aliases::Aliases;
use crate::rules::query::QueryRules;
use crate::rules::tag_template::{PurgeTemplate, TagSource, TagTemplate};
use crate::rules::template::{HostTemplate, PathTemplate, Segment};

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
    /// A number of the upstream's name: the same in every configuration, wherever it stands there.
    pub upstream_mark: usize,
    /// The policy's name, as written.
    pub policy_name: String,
    /// How answers are kept and who may have them.
    pub caching: Caching,
    /// What the origin is known to serve: requests are reduced to it.
    pub serves: Serves,
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
    /// For how long after a write its origin may still answer as before it: what is fetched meanwhile is purged again.
    pub settle: Option<Duration>,
    /// Which other protocols its clients may ask for.
    pub upgrades: Upgrades,
    /// The longest request body in bytes; `None` leaves it to the server's limit.
    pub body_limit: Option<u64>,
    /// What happens to a path that can be read in two ways.
    pub ambiguous_path: AmbiguousPath,
    /// Whether its exchanges are written to the access log.
    pub access_log: AccessLog,
    /// Whether what its origin says to caches like this one alone goes on to clients.
    pub targeted: Targeted,
    /// The fields by which its origin names tags, beside those that are known.
    pub tag_fields: Arc<[HeaderName]>,
    /// By which names its origin knows one path.
    pub aliases: Arc<Aliases>,
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

impl Route {
    /// Whether a request of this method changes nothing here (RFC 9110 §9.2.1).
    pub fn only_reads(&self, method: &Method) -> bool {
        self.read_only || is_safe(method)
    }

    /// Whether its `purges` hold for requests that only read, too: what is passed may act, whatever its method (a sign-out by
    /// a link). Where answers are kept, reading is what they are kept for.
    pub fn purges_by_reading(&self) -> bool {
        !self.purges.is_empty() && self.caching == Caching::Pass
    }

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
        self.tag_sources().any(is)
    }

    /// Where its tags and its purges take their values from.
    pub fn tag_sources(&self) -> impl Iterator<Item = &TagSource> {
        let purges = self.purges.iter().filter_map(|purge| match purge {
            PurgeTemplate::Tag(template) => Some(template),
            PurgeTemplate::Principal => None,
        });
        self.tags.iter().chain(purges).flat_map(TagTemplate::sources)
    }

    /// Whether it takes requests of this method with these headers.
    pub fn takes(&self, method: &Method, headers: &HeaderMap) -> bool {
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::rules::template::PartKind;

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
            upstream_mark: 0,
            policy_name: "pass".to_owned(),
            caching: Caching::Pass,
            serves: Serves::default(),
            tags: Vec::new(),
            purges: Vec::new(),
            query: QueryRules::default(),
            purge_from: Vec::new(),
            read_only: false,
            settle: None,
            upgrades: Upgrades::Never,
            body_limit: None,
            ambiguous_path: AmbiguousPath::Refuse,
            access_log: AccessLog::Written,
            targeted: Targeted::default(),
            tag_fields: Arc::default(),
            aliases: Arc::default(),
            fingerprint: 0,
        }
    }

    #[test]
    fn named_parts_are_captured() {
        let mut route = route("r", "/a/<x>/b/<int:y>/**");
        route.host = Some(HostTemplate::Wildcard { part: Some("tenant".into()), suffix: "example".into() });
        let part = |name| route.part(name, "t1.example", "/a/one/b/2/more");
        assert_eq!((part("x"), part("y"), part("tenant"), part("z")), (Some("one"), Some("2"), Some("t1"), None));
    }
}
