//! Which earlier route takes everything that a later one takes, found without comparing each with each.
//!
//! Routes are filed by host and, segment by segment, by path: a later route is compared only with those whose host and path
//! take all of its own. Methods and headers are compared on these few.

use std::collections::HashMap;

use crate::rules::route::shape::{Host, SegmentKind, Shape, narrower};
use crate::rules::template::PartKind;

/// Routes in the order of their file.
#[derive(Debug, Default)]
pub struct Covering {
    shapes: Vec<Shape>,
    hosts: HashMap<Host, Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: HashMap<String, Node>,
    parts: Vec<(PartKind, Node)>,
    /// Those whose path ends here, `/**` or not.
    here: Vec<usize>,
}

impl Covering {
    /// The first of the routes so far that takes all that this one takes.
    pub fn of(&self, later: &Shape) -> Option<usize> {
        let mut found = Vec::new();
        for host in wider(&later.host) {
            if let Some(node) = self.hosts.get(&host) {
                node.walk(&later.segments, &mut found);
            }
        }
        found.sort_unstable();
        found.into_iter().find(|index| self.shapes[*index].covers(later))
    }

    /// Files the next route.
    pub fn push(&mut self, shape: Shape) {
        let mut node = self.hosts.entry(shape.host.clone()).or_default();
        for segment in &shape.segments {
            node = node.child(segment);
        }
        node.here.push(self.shapes.len());
        self.shapes.push(shape);
    }
}

/// The hosts that take all that this one takes.
fn wider(host: &Host) -> Vec<Host> {
    let below = match host {
        Host::Exact(name) => name.split_once('.').map(|(_, suffix)| Host::Below(suffix.to_owned())),
        Host::Any | Host::Below(_) => None,
    };
    let own = (*host != Host::Any).then(|| host.clone());
    [Host::Any].into_iter().chain(own).chain(below).collect()
}

impl Node {
    fn child(&mut self, segment: &SegmentKind) -> &mut Node {
        match segment {
            SegmentKind::Literal(text) => self.literals.entry(text.clone()).or_default(),
            SegmentKind::Part(kind) => {
                let at = self.parts.iter().position(|(other, _)| other == kind).unwrap_or_else(|| {
                    self.parts.push((*kind, Node::default()));
                    self.parts.len() - 1
                });
                &mut self.parts[at].1
            }
        }
    }

    /// Whoever ends above the end of `segments` covers them only with `/**`, which the comparison finds out.
    fn walk(&self, segments: &[SegmentKind], found: &mut Vec<usize>) {
        found.extend(&self.here);
        let Some((first, rest)) = segments.split_first() else { return };
        if let SegmentKind::Literal(text) = first
            && let Some(child) = self.literals.get(text)
        {
            child.walk(rest, found);
        }
        for (kind, child) in &self.parts {
            let takes = match first {
                SegmentKind::Literal(text) => kind.takes(text),
                SegmentKind::Part(narrow) => narrower(*kind, *narrow) == Some(*narrow),
            };
            if takes {
                child.walk(rest, found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::route::Route;
    use crate::rules::route::tests::route;
    use crate::rules::template::HostTemplate;

    /// As it would be found by comparing with each.
    #[test]
    fn it_finds_what_comparing_with_each_finds() {
        let paths = [
            "/",
            "/a",
            "/a/",
            "/a/b",
            "/a/7",
            "/a/<x>",
            "/a/<int:x>",
            "/a/<slug:x>",
            "/a/<uuid:x>",
            "/a/<x>/b",
            "/a/<x>/**",
            "/a/**",
            "/<x>/b",
            "/<x>/**",
            "/<int:x>",
            "/b/**",
            "/**",
            "/a/b/c",
            "/<x>/<y>/c",
            "/a/01234567-89ab-cdef-0123-456789abcdef",
        ];
        let below = |suffix: &str| Some(HostTemplate::Wildcard { part: None, suffix: suffix.into() });
        let exact = |host: &str| Some(HostTemplate::Exact(host.into()));
        let hosts = [None, exact("c.d.example"), exact("d.example"), below("d.example"), below("example")];
        let mut all = Vec::new();
        for path in paths {
            all.extend(hosts.iter().map(|host| Shape::of(&Route { host: host.clone(), ..route("r", path) })));
        }
        let mut covered = 0;
        // From several orders: each is earlier than each in one of them.
        for turn in 0..all.len() {
            let (mut filed, mut before) = (Covering::default(), Vec::<Shape>::new());
            for shape in all[turn..].iter().chain(&all[..turn]).rev().step_by(1 + turn % 3) {
                let want = before.iter().position(|earlier| earlier.covers(shape));
                assert_eq!(filed.of(shape), want, "{shape:?}");
                covered += usize::from(want.is_some());
                before.push(shape.clone());
                filed.push(shape.clone());
            }
        }
        assert!(covered > 100, "{covered}");
    }

    #[test]
    fn siblings_are_not_compared() {
        let mut filed = Covering::default();
        (0..5000).for_each(|i| filed.push(Shape::of(&route("r", &format!("/api/v{i}/<id>")))));
        let mut met = Vec::new();
        let later = Shape::of(&route("r", "/api/v4321/<id>"));
        filed.hosts[&Host::Any].walk(&later.segments, &mut met);
        assert_eq!(met, [4321]);
    }
}
