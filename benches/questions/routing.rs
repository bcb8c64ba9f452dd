//! The way from a target to its route.

use divan::{Bencher, black_box};
use http::{HeaderMap, Method};
use stent::rules::path::RequestPath;
use stent::rules::route::router::{Router, Target};

use crate::stage::routes;

#[divan::bench]
fn path() {
    black_box(RequestPath::new(black_box("/doctors/4711")));
}

/// The last of so many routes.
#[divan::bench(args = [1, 10, 1000])]
fn route(bencher: Bencher, count: usize) {
    let router = Router::new(routes(count));
    let headers = HeaderMap::new();
    let target = Target { host: "clinic.example", path: "/doctors/4711", method: &Method::GET, headers: &headers };
    assert_eq!(router.find(target).map(|(index, _)| index), Some(count - 1));
    bencher.bench(|| router.find(black_box(target)));
}
