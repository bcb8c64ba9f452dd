//! All steps in a row, from the bytes of a request to the bytes of its answer's head and its line in the access log.

use divan::{Bencher, black_box};
use stent::body::Body;
use stent::edge::connection::Reply;
use stent::http1::Framing;
use stent::http1::encode::{self, Announce, Fields};

use crate::stage::{OWN, PUBLIC, STAGE, read, request};

#[divan::bench(args = [PUBLIC, OWN])]
fn hit(bencher: Bencher, target: &str) {
    let (stage, bytes) = (&*STAGE, request(target));
    let mut out = Vec::with_capacity(4096);
    bencher.bench_local(|| {
        let Reply::Now(response) = stage.proxy.handle(&stage.client, read(black_box(&bytes))) else {
            panic!("a hit waits for nothing");
        };
        let Body::Stored(entry, _) = response.body() else {
            panic!("a hit has a stored body");
        };
        out.clear();
        let fields = Fields { lines: entry.lines(), headers: response.headers() };
        encode::response_head(&mut out, response.status(), fields, Announce::Body(Framing::Length(1024)), None);
    });
}
