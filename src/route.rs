//! Which requests a route takes: host, path template, methods and headers; the first route of the file that matches wins.
//!
//! [`Router`] is built once at load. Its cost grows with the depth of a path, not with the number of routes: literal
//! segments are hashed, and hosts are looked up by name. Methods and headers are asked last, on the few candidates left.
//! Pure: no I/O, no clock.

use std::collections::HashMap;
use std::ops::Range;

use http::{HeaderMap, HeaderName, Method};
use smallvec::SmallVec;

use crate::path::RequestPath;
use crate::policy::Caching;
use crate::query::QueryRules;
use crate::tag::{PurgeTemplate, TagTemplate};

/// One entry of `routes:`, validated, with its policy resolved and its overrides applied.
#[derive(Debug, Clone)]
pub struct Route {
    /// The name that logs, metrics and purges use.
    pub name: String,
    /// The line of the configuration file on which the route begins; 1-based.
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
    /// Its unsafe methods change nothing, so they purge nothing.
    pub read_only: bool,
    /// The longest request body in bytes; `None` leaves it to the server's limit.
    pub body_limit: Option<u64>,
    /// What happens to a path that can be read in two ways.
    pub ambiguous_path: AmbiguousPath,
    /// Changes when anything does that decides keys, tags or partitions; part of every key, so that an entry
    /// which was made under other rules is a miss (COHERENCE rule 15).
    pub fingerprint: u64,
}

/// What a route does with a path that has an encoded slash or NUL, an empty segment or a backslash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AmbiguousPath {
    /// Answer 400.
    #[default]
    Refuse,
    /// Forward it as it came, uncached.
    Pass,
}

/// `clinic.example`, `*.clinic.example` or `<tenant>.clinic.example`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostTemplate {
    /// This host, in lower case, without a port.
    Exact(String),
    /// One label in front of `suffix` (`clinic.example`), captured when it has a name.
    Wildcard { part: Option<String>, suffix: String },
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
