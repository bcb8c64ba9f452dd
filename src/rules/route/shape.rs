//! Which requests a route takes, as a set: two routes' sets can be intersected and compared.
//!
//! Both are exact but for one thing: a header field that must have two values at once is taken to be possible, since it may
//! come twice.

use std::collections::BTreeSet;

use http::{HeaderName, Method};

use crate::rules::route::{PURGE, Route};
use crate::rules::template::{HostTemplate, PartKind, PathTemplate, Segment};

/// The requests that a route would take if it were the only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub(super) host: Host,
    pub(super) segments: Vec<SegmentKind>,
    rest: bool,
    /// `None`: all of them.
    methods: Option<BTreeSet<String>>,
    headers: BTreeSet<(String, Option<String>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Host {
    Any,
    Exact(String),
    /// One label and this.
    Below(String),
}

/// One segment; what a part is called does not matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SegmentKind {
    Literal(String),
    Part(PartKind),
}

impl Shape {
    /// That of a route.
    pub fn of(route: &Route) -> Shape {
        Shape {
            host: Host::of(route.host.as_ref()),
            methods: methods(route),
            headers: route.headers.iter().map(header).collect(),
            ..Shape::of_path(&route.path)
        }
    }

    /// That of a path alone.
    pub fn of_path(path: &PathTemplate) -> Shape {
        let segments = path.segments.iter().map(|segment| match segment {
            Segment::Literal(text) => SegmentKind::Literal(text.clone()),
            Segment::Part(kind, _) => SegmentKind::Part(*kind),
        });
        Shape {
            host: Host::Any,
            segments: segments.collect(),
            rest: path.rest,
            methods: None,
            headers: BTreeSet::new(),
        }
    }

    /// That of a host alone.
    pub fn of_host(host: Option<&HostTemplate>) -> Shape {
        Shape { host: Host::of(host), segments: Vec::new(), rest: true, methods: None, headers: BTreeSet::new() }
    }

    /// The requests that both take; `None` if there are none.
    pub fn and(&self, other: &Shape) -> Option<Shape> {
        let (longer, shorter) = if self.segments.len() >= other.segments.len() { (self, other) } else { (other, self) };
        if longer.segments.len() > shorter.segments.len() && !shorter.rest {
            return None;
        }
        let both = longer.segments.iter().zip(&shorter.segments).map(|(one, two)| one.and(two));
        let mut segments = both.collect::<Option<Vec<SegmentKind>>>()?;
        segments.extend_from_slice(&longer.segments[shorter.segments.len()..]);
        let methods = match (&self.methods, &other.methods) {
            (None, methods) | (methods, None) => methods.clone(),
            (Some(one), Some(two)) => Some(one & two).filter(|both| !both.is_empty()).map(Some)?,
        };
        Some(Shape {
            host: self.host.and(&other.host)?,
            segments,
            rest: longer.rest && (shorter.rest || longer.segments.len() > shorter.segments.len()),
            methods,
            headers: &self.headers | &other.headers,
        })
    }

    /// Whether it takes every request that `other` takes.
    pub fn covers(&self, other: &Shape) -> bool {
        let headers = self.headers.iter().all(|(name, value)| {
            let same = |(its, wanted): &(String, Option<String>)| its == name && (value.is_none() || value == wanted);
            other.headers.iter().any(same)
        });
        let bare = |shape: &Shape| Shape { headers: BTreeSet::new(), ..shape.clone() };
        headers && bare(self).and(&bare(other)).is_some_and(|both| both == bare(other))
    }
}

impl Host {
    fn of(host: Option<&HostTemplate>) -> Host {
        match host {
            None => Host::Any,
            Some(HostTemplate::Exact(host)) => Host::Exact(host.clone()),
            Some(HostTemplate::Wildcard { suffix, .. }) => Host::Below(suffix.clone()),
        }
    }

    fn and(&self, other: &Host) -> Option<Host> {
        match (self, other) {
            (Host::Any, host) | (host, Host::Any) => Some(host.clone()),
            (Host::Exact(one), Host::Exact(two)) | (Host::Below(one), Host::Below(two)) => {
                (one == two).then(|| self.clone())
            }
            (Host::Exact(host), Host::Below(suffix)) | (Host::Below(suffix), Host::Exact(host)) => {
                let (label, rest) = host.split_once('.')?;
                (!label.is_empty() && rest == suffix).then(|| Host::Exact(host.clone()))
            }
        }
    }
}

impl SegmentKind {
    fn and(&self, other: &SegmentKind) -> Option<SegmentKind> {
        match (self, other) {
            (SegmentKind::Literal(one), SegmentKind::Literal(two)) => (one == two).then(|| self.clone()),
            (SegmentKind::Literal(text), SegmentKind::Part(kind))
            | (SegmentKind::Part(kind), SegmentKind::Literal(text)) => {
                kind.takes(text).then(|| SegmentKind::Literal(text.clone()))
            }
            (SegmentKind::Part(one), SegmentKind::Part(two)) => narrower(*one, *two).map(SegmentKind::Part),
        }
    }
}

/// The segments that both kinds take are a kind again.
pub(super) fn narrower(one: PartKind, two: PartKind) -> Option<PartKind> {
    match (one, two) {
        (PartKind::Text, kind) | (kind, PartKind::Text) | (PartKind::Slug, kind) | (kind, PartKind::Slug) => Some(kind),
        (PartKind::Int, PartKind::Int) => Some(PartKind::Int),
        (PartKind::Uuid, PartKind::Uuid) => Some(PartKind::Uuid),
        // A UUID has dashes.
        (PartKind::Int, PartKind::Uuid) | (PartKind::Uuid, PartKind::Int) => None,
    }
}

/// Who lists GET means HEAD too, and the purging of what GET gets.
fn methods(route: &Route) -> Option<BTreeSet<String>> {
    let listed = route.methods.iter().map(ToString::to_string);
    let gets = route.methods.contains(&Method::GET);
    let head = gets.then(|| "HEAD".to_owned());
    let purge = (gets && !route.purge_from.is_empty()).then(|| PURGE.to_owned());
    (!route.methods.is_empty()).then(|| listed.chain(head).chain(purge).collect())
}

fn header((name, value): &(HeaderName, Option<String>)) -> (String, Option<String>) {
    (name.to_string(), value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::route::tests::route;

    fn shape(path: &str) -> Shape {
        Shape::of(&route("r", path))
    }

    #[test]
    fn what_two_paths_have_in_common() {
        let check = |one: &str, two: &str, want: Option<&str>| {
            let both = shape(one).and(&shape(two));
            assert_eq!(both, want.map(shape), "{one} and {two}");
            assert_eq!(shape(two).and(&shape(one)), both, "{two} and {one}");
        };
        check("/**", "/a/<id>", Some("/a/<id>"));
        check("/a/**", "/a", Some("/a"));
        check("/a/**", "/a/b/**", Some("/a/b/**"));
        check("/a/**", "/<x>/b", Some("/a/b"));
        check("/a/**", "/<x>/**", Some("/a/**"));
        check("/a/<int:x>", "/a/<x>", Some("/a/<int:x>"));
        check("/a/<int:x>", "/a/7", Some("/a/7"));
        check("/a/<int:x>", "/a/b", None);
        check("/a/<int:x>", "/a/<uuid:x>", None);
        check("/a", "/b", None);
        check("/a", "/a/b", None);
        check("/a/b/**", "/a", None);
        check("/a/<x>", "/<x>/b", Some("/a/b"));
    }

    #[test]
    fn methods_and_headers() {
        let with = |methods: &[Method], headers: &[(&'static str, Option<&str>)]| {
            let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.map(str::to_owned)));
            Shape::of(&Route { methods: methods.to_vec(), headers: headers.collect(), ..route("r", "/a") })
        };
        let all = with(&[], &[]);
        let get = with(&[Method::GET], &[]);
        assert!(all.covers(&get) && !get.covers(&all) && get.covers(&with(&[Method::HEAD], &[])));
        assert_eq!(get.and(&with(&[Method::POST], &[])), None);
        assert_eq!(get.and(&all), Some(get.clone()));
        let mobile = with(&[], &[("x-client", Some("mobile"))]);
        let any = with(&[], &[("x-client", None)]);
        assert!(all.covers(&mobile) && any.covers(&mobile) && !mobile.covers(&any) && !mobile.covers(&all));
        let both = mobile.and(&get).expect("they have some in common");
        assert!(mobile.covers(&both) && get.covers(&both));
    }
}
