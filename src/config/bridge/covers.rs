//! A route that can never match because an earlier one takes all its requests.
//!
//! The earlier route takes every host, path, method and header that the later one takes. A later
//! route that only several earlier ones together leave nothing to is not found.

use crate::config::message::{ConfigProblem, MessageKind};
use crate::config::node::Node;
use crate::config::reader::NodeReader;
use crate::config::source::SourcePlace;
use crate::rules::route::Route;
use crate::rules::route::covering::Covering;
use crate::rules::route::shape::Shape;

/// The routes above the one at hand.
#[derive(Default)]
pub(super) struct Earlier {
    routes: Vec<(Told, SourcePlace)>,
    shapes: Covering,
}

/// What a message says of a route.
struct Told {
    name: String,
    line: u32,
    path: String,
}

impl Earlier {
    /// Reports `route` if nothing is left for it; then remembers it.
    pub(super) fn check(&mut self, reader: &mut NodeReader, node: &Node, route: &Route) {
        // The value of `path` is what people look at.
        let at = node.get("path").unwrap_or(node);
        let shape = Shape::of(route);
        if let Some((earlier, place)) = self.shapes.of(&shape).and_then(|index| self.routes.get(index)) {
            let (name, line) = (&earlier.name, earlier.line);
            let message =
                format!("the route `{}` can never match: `{name}` in line {line} takes all its requests", route.name);
            let hint = format!("move it above `{name}`, or remove one of the two");
            let problem = ConfigProblem::error(MessageKind::Contradiction, at.place, &at.path, message);
            reader.push(problem.hint(hint).related(*place, format!("`{name}` takes {}", earlier.path)));
        }
        let told = Told { name: route.name.clone(), line: route.line, path: route.path.text.clone() };
        self.routes.push((told, at.place));
        self.shapes.push(shape);
    }
}

#[cfg(test)]
mod tests {
    use super::super::templates;
    use super::*;

    #[test]
    fn paths() {
        let check = |earlier: &str, later: &str, wanted: bool| {
            let template = |text: &str| templates::path(text).expect("the table holds valid paths");
            let shape = |text: &str| Shape::of_path(&template(text));
            assert_eq!(shape(earlier).covers(&shape(later)), wanted, "{earlier} before {later}");
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
            let shape = |text: &str| Shape::of_host(template(text).as_ref());
            assert_eq!(shape(earlier).covers(&shape(later)), wanted, "{earlier} before {later}");
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
