//! All steps in a row, from the bytes of a request to the bytes of its answer's head and its line in the access log.

use divan::{Bencher, black_box};
use futures_util::FutureExt;
use stent::http1::Framing;
use stent::http1::encode::{self, Announce};

use crate::stage::{OWN, PUBLIC, STAGE, read, request};

#[divan::bench(args = [PUBLIC, OWN])]
fn hit(bencher: Bencher, target: &str) {
    let (stage, bytes) = (&*STAGE, request(target));
    let mut out = Vec::with_capacity(4096);
    let mut answer = || {
        let answer = stage.proxy.handle(&stage.client, read(black_box(&bytes)));
        // A hit waits for nothing.
        let response = answer.now_or_never().expect("a hit");
        out.clear();
        let announce = Announce::Body(Framing::Length(1024));
        encode::response_head(&mut out, response.status(), response.headers(), announce, None);
        response
    };
    let status = answer().headers()["cache-status"].clone();
    assert!(status.as_bytes().starts_with(b"stent; hit"), "{status:?}");
    bencher.bench_local(|| drop(answer()));
}
