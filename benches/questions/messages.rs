//! Heads on their way in and out.

use std::time::Duration;

use bytes::Bytes;
use divan::{Bencher, black_box};
use http::{HeaderMap, Method};
use stent::deliver;
use stent::ground::clock::Clock;
use stent::http1::Framing;
use stent::http1::encode::{self, Announce, Fields};
use stent::http1::head::{self, HeadEnd};
use stent::policy::outcome::Outcome;
use stent::policy::reuse::Freshness;

use crate::stage::{ANSWER, PUBLIC, STAGE, read, request};

#[divan::bench]
fn request_end(bencher: Bencher) {
    let bytes = request(PUBLIC);
    bencher.bench(|| HeadEnd::default().find(black_box(&bytes)));
}

#[divan::bench]
fn request_read(bencher: Bencher) {
    let bytes = request(PUBLIC);
    bencher.bench(|| head::request(black_box(&bytes), 100));
}

#[divan::bench]
fn answer_read(bencher: Bencher) {
    let bytes = Bytes::from_static(ANSWER.as_bytes());
    bencher.bench(|| head::response(black_box(&bytes), 100));
}

#[divan::bench]
fn arrival(bencher: Bencher) {
    let (bytes, stage) = (request(PUBLIC), &*STAGE);
    bencher.with_inputs(|| read(&bytes).into_parts().0).bench_refs(|parts| stage.arrival(parts));
}

/// A stored answer is given its age, and whatever each answer carries.
#[divan::bench]
fn delivery(bencher: Bencher) {
    let (entry, now, id) = (STAGE.entry(PUBLIC), Clock::System.now(), STAGE.proxy.ids.next(0));
    let vital = entry.vital();
    let freshness = Freshness::of(vital.age(now.instant), vital.lifetime.fresh_for);
    bencher.bench(|| {
        let mut response = deliver::entry(black_box(&entry), freshness, &Method::GET, &HeaderMap::new());
        deliver::finish(response.headers_mut(), &Outcome::Hit(freshness), id.clone());
        response
    });
}

#[divan::bench]
fn answer_write(bencher: Bencher) {
    let (entry, id) = (STAGE.entry(PUBLIC), STAGE.proxy.ids.next(0));
    let mut headers = HeaderMap::new();
    let freshness = Freshness::of(Duration::ZERO, Duration::from_secs(3600));
    deliver::finish(&mut headers, &Outcome::Hit(freshness), id);
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        let announce = Announce::Body(Framing::Length(1024));
        let fields = Fields { lines: black_box(&entry).lines(), headers: &headers };
        encode::response_head(&mut out, entry.status(), fields, announce, None);
    });
}

#[divan::bench]
fn request_write(bencher: Bencher) {
    let request = read(&request(PUBLIC));
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        out.clear();
        let fields = Fields { lines: [b"", b""], headers: black_box(request.headers()) };
        encode::request_head(&mut out, &Method::GET, request.uri(), fields, Framing::Length(0));
    });
}
