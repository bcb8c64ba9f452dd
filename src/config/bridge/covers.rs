//! A route that can never match because an earlier one takes all its requests.
//!
//! Compared pairwise: the earlier route takes every host, path, method and header that the later one takes. A later
//! route that only several earlier ones together leave nothing to is not found.

use http::HeaderName;

use crate::config::node::Node;
use crate::config::problem::{Kind, Problem};
use crate::config::reader::Reader;
use crate::config::source::Place;
use crate::route::{HostTemplate, PartKind, PathTemplate, Route, Segment};

/// The routes above the one at hand.
#[derive(Default)]
pub(super) struct Earlier {
    routes: Vec<(Route, Place)>,
}

impl Earlier {
    /// Reports `route` if nothing is left for it; then remembers it.
    pub(super) fn check(&mut self, reader: &mut Reader, node: &Node, route: &Route) {
        // The value of `path` is what people look at.
        let at = node.get("path").unwrap_or(node);
        if let Some((earlier, place)) = self.routes.iter().find(|(earlier, _)| covers(earlier, route)) {
            let (name, line) = (&earlier.name, earlier.line);
            let message =
                format!("the route `{}` can never match: `{name}` in line {line} takes all its requests", route.name);
            let hint = format!("move it above `{name}`, or remove one of the two");
            let problem = Problem::error(Kind::Contradiction, at.place, &at.path, message);
            reader.push(problem.hint(hint).related(*place, format!("`{name}` takes {}", earlier.path.text)));
        }
        self.routes.push((route.clone(), at.place));
    }
}

/// Whether `earlier` takes every request that `later` takes.
fn covers(earlier: &Route, later: &Route) -> bool {
    host_covers(earlier.host.as_ref(), later.host.as_ref())
        && path_covers(&earlier.path, &later.path)
        && methods_cover(earlier, later)
        && headers_cover(&earlier.headers, &later.headers)
}

fn host_covers(earlier: Option<&HostTemplate>, later: Option<&HostTemplate>) -> bool {
    match (earlier, later) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(HostTemplate::Exact(earlier)), Some(HostTemplate::Exact(later))) => earlier == later,
        (Some(HostTemplate::Exact(_)), Some(HostTemplate::Wildcard { .. })) => false,
        (Some(HostTemplate::Wildcard { suffix, .. }), Some(HostTemplate::Exact(later))) => {
            later.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == suffix)
        }
        (Some(HostTemplate::Wildcard { suffix, .. }), Some(HostTemplate::Wildcard { suffix: later, .. })) => {
            suffix == later
        }
    }
}

fn path_covers(earlier: &PathTemplate, later: &PathTemplate) -> bool {
    let enough = if earlier.rest {
        later.segments.len() >= earlier.segments.len()
    } else {
        !later.rest && later.segments.len() == earlier.segments.len()
    };
    enough && earlier.segments.iter().zip(&later.segments).all(|(earlier, later)| segment_covers(earlier, later))
}

fn segment_covers(earlier: &Segment, later: &Segment) -> bool {
    match (earlier, later) {
        (Segment::Part(kind, _), Segment::Literal(text)) => takes(*kind, text),
        (Segment::Part(earlier, _), Segment::Part(later, _)) => {
            earlier == later || *earlier == PartKind::Text || *earlier == PartKind::Slug && *later != PartKind::Text
        }
        (Segment::Literal(earlier), Segment::Literal(later)) => earlier == later,
        (Segment::Literal(_), Segment::Part(..)) => false,
    }
}

fn takes(kind: PartKind, text: &str) -> bool {
    match kind {
        PartKind::Text => true,
        PartKind::Int => text.bytes().all(|byte| byte.is_ascii_digit()),
        PartKind::Slug => text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)),
        PartKind::Uuid => {
            let groups: Vec<&str> = text.split('-').collect();
            groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
                && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
        }
    }
}

fn methods_cover(earlier: &Route, later: &Route) -> bool {
    earlier.methods.is_empty()
        || !later.methods.is_empty() && later.methods.iter().all(|method| earlier.methods.contains(method))
}

fn headers_cover(earlier: &[(HeaderName, Option<String>)], later: &[(HeaderName, Option<String>)]) -> bool {
    earlier
        .iter()
        .all(|(name, value)| later.iter().any(|(other, wanted)| name == other && (value.is_none() || value == wanted)))
}

#[cfg(test)]
mod tests {
    use super::super::templates;
    use super::*;

    #[test]
    fn paths() {
        let check = |earlier: &str, later: &str, wanted: bool| {
            let template = |text: &str| templates::path(text).expect("the table holds valid paths");
            assert_eq!(path_covers(&template(earlier), &template(later)), wanted, "{earlier} before {later}");
        };
        check("/**", "/", true);
        check("/**", "/a/<id>/**", true);
        check("/a/**", "/a", true);
        check("/a/**", "/a/b", true);
        check("/a/**", "/ab", false);
        check("/a/<x>", "/a/b", true);
        check("/a/<x>", "/a/<int:x>", true);
        check("/a/<int:x>", "/a/<x>", false);
        check("/a/<int:x>", "/a/7", true);
        check("/a/<int:x>", "/a/b", false);
        check("/a/<slug:x>", "/a/<uuid:x>", true);
        check("/a/<slug:x>", "/a/<int:x>", true);
        check("/a/<uuid:x>", "/a/<slug:x>", false);
        check("/a/<uuid:x>", "/a/01234567-89ab-cdef-0123-456789abcdef", true);
        check("/a/<x>", "/a/<x>/b", false);
        check("/a/<x>", "/a/<x>/**", false);
        check("/a/<x>/**", "/a/**", false);
        check("/a/", "/a", true);
        check("/a", "/**", false);
    }

    #[test]
    fn hosts() {
        let check = |earlier: &str, later: &str, wanted: bool| {
            let template =
                |text: &str| (!text.is_empty()).then(|| templates::host(text).expect("the table holds valid hosts"));
            assert_eq!(
                host_covers(template(earlier).as_ref(), template(later).as_ref()),
                wanted,
                "{earlier} before {later}"
            );
        };
        check("", "a.example", true);
        check("a.example", "", false);
        check("a.example", "A.example", true);
        check("*.a.example", "b.a.example", true);
        check("*.a.example", "c.b.a.example", false);
        check("*.a.example", "a.example", false);
        check("<tenant>.a.example", "*.a.example", true);
        check("b.a.example", "*.a.example", false);
    }
}
