//! What changes from one configuration to another, and which of it lets more people see an answer, or see it for longer.
//!
//! Routes are compared by what they do with the requests that they take, not by their names: each pair of an old and a new
//! route that some request may meet is compared. Whether one may is decided from the sets of requests that routes take; where
//! several earlier routes only together leave nothing to a pair, it is compared all the same. So what is wrong here errs
//! towards saying that something widens.

use serde::Serialize;

use super::treatment::{self, In};
use super::{Change, surroundings};
use crate::config::Settings;
use crate::rules::route::Route;
use crate::rules::route::shape::Shape;

/// All that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// Whether any of it lets more people see an answer, or see it for longer.
    pub widens: bool,
    /// Every change; those that widen first.
    pub changes: Vec<Change>,
}

/// Compares two configurations.
pub fn diff(old: &Settings, new: &Settings) -> Diff {
    let mut changes = routes(old, new);
    changes.extend(surroundings::compare(old, new));
    let mut changes = together(changes);
    // Stable: otherwise as the routes are written.
    changes.sort_by_key(|change| change.widens.is_none());
    Diff { widens: changes.iter().any(|change| change.widens.is_some()), changes }
}

/// Routes with what they take, in order.
type Shaped<'a> = Vec<(&'a Route, Shape)>;

fn routes(old: &Settings, new: &Settings) -> Vec<Change> {
    let (before, after) = (shaped(&old.routes), shaped(&new.routes));
    let mut changes = names(&before, &after);
    for (at, (route, shape)) in after.iter().enumerate() {
        for (earlier, (former, its)) in before.iter().enumerate() {
            let Some(both) = shape.and(its) else { continue };
            if is_taken(&both, &after[..at]) || is_taken(&both, &before[..earlier]) {
                continue;
            }
            let differences = treatment::compare(In { settings: old, route: former }, In { settings: new, route });
            let moved = match former.name == route.name {
                true => String::new(),
                false => format!("what `{}` took: ", former.name),
            };
            changes.extend(
                differences
                    .into_iter()
                    .map(|change| Change { change: format!("{moved}{}", change.change), ..change }.about(&route.name)),
            );
        }
        if !is_taken(shape, &before) && !is_taken(shape, &after[..at]) {
            changes.push(treatment::begins(route, &new.identity).about(&route.name));
        }
    }
    changes
}

fn shaped(routes: &[Route]) -> Shaped<'_> {
    routes.iter().map(|route| (route, Shape::of(route))).collect()
}

/// Whether one of these takes all of it.
fn is_taken(shape: &Shape, routes: &[(&Route, Shape)]) -> bool {
    routes.iter().any(|(_, earlier)| earlier.covers(shape))
}

/// Routes that come, go, or take other requests under the same name.
fn names(before: &Shaped<'_>, after: &Shaped<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    for (route, shape) in after {
        match before.iter().find(|(former, _)| former.name == route.name) {
            None => changes.push(Change::plain(format!("the route is new: {}", route.path.text)).about(&route.name)),
            Some((former, its)) if its != shape => {
                let change = format!("takes other requests: {} → {}", conditions(former), conditions(route));
                changes.push(Change::plain(change).about(&route.name));
            }
            Some(_) => {}
        }
    }
    for (former, its) in before {
        if !after.iter().any(|(route, _)| former.name == route.name) {
            let answered = is_taken(its, after);
            let rest = if answered { "others take its requests" } else { "some of its requests are answered 404 now" };
            changes.push(Change::plain(format!("the route is gone; {rest}")).about(&former.name));
        }
    }
    changes
}

fn conditions(route: &Route) -> String {
    let methods = route.methods.iter().map(ToString::to_string);
    let headers = route.headers.iter().map(|(name, value)| match value {
        Some(value) => format!("with {name}: {value}"),
        None => format!("with {name}"),
    });
    let host = route.host.iter().map(|host| format!("on {host}"));
    methods.chain([route.path.text.clone()]).chain(host).chain(headers).collect::<Vec<_>>().join(" ")
}

/// The same change of several routes is told once.
fn together(changes: Vec<Change>) -> Vec<Change> {
    let mut told: Vec<Change> = Vec::new();
    for change in changes {
        match told.iter_mut().find(|known| known.change == change.change && known.widens == change.widens) {
            Some(known) => {
                let new = change.about.into_iter().filter(|about| !known.about.contains(about)).collect::<Vec<_>>();
                known.about.extend(new);
            }
            None => told.push(change),
        }
    }
    told
}
