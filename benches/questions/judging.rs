//! The four questions.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use divan::{Bencher, black_box};
use http::StatusCode;
use stent::entry::head::Credentialed;
use stent::entry::purge::Standing;
use stent::fields::directives::RequestDirectives;
use stent::ground::clock::{Clock, Now};
use stent::http1::head;
use stent::policy::admit::{Admit, admit};
use stent::policy::answered::Answered;
use stent::policy::plan::{Plan, plan};
use stent::policy::rescue::{Rescue, rescue};
use stent::policy::reuse::{Reuse, reuse};
use stent::rules::caching::{Caching, Credentials};

use crate::stage::{ANSWER, OWN, PUBLIC, STAGE};

/// The first: with the query made canonical, the key, and the principal's digest where there is one.
#[divan::bench(args = [PUBLIC, OWN])]
fn plan_of(bencher: Bencher, target: &str) {
    let (stage, ready) = (&*STAGE, STAGE.ready(target));
    let (path, route) = (ready.path(), ready.route(&stage.proxy.router));
    let asked = ready.asked(&path);
    let judge = || plan(black_box(&asked), route, &stage.proxy.identity, &stage.proxy.secret);
    assert!(matches!(judge(), Plan::Lookup(_)));
    bencher.bench(judge);
}

#[divan::bench]
fn reuse_of_fresh(bencher: Bencher) {
    let (entry, now, said) = (STAGE.entry(PUBLIC), Clock::System.now(), RequestDirectives::default());
    let judge = || reuse(&black_box(&entry).vital(), Standing::Good, &said, Credentialed::No, now.instant);
    assert!(matches!(judge(), Reuse::Fresh(_)));
    bencher.bench(judge);
}

#[divan::bench(args = ["named", "origin"])]
fn admit_by(bencher: Bencher, policy: &str) {
    let caching = match policy {
        "named" => STAGE.ready(PUBLIC).route(&STAGE.proxy.router).caching.clone(),
        _ => Caching::as_origin(Credentials::AuthorizationAndCookies),
    };
    let head = head::response(&Bytes::from_static(ANSWER.as_bytes()), 100).expect("an answer");
    let answered = Answered {
        form_cookies: &[],
        status: StatusCode::OK,
        headers: &head.headers,
        path: "/doctors/4711",
        credentialed: Credentialed::No,
        arrived: SystemTime::now(),
        delay: Duration::from_millis(5),
    };
    let judge = || admit(black_box(&answered), &caching);
    assert!(matches!(judge(), Admit::Store(_)));
    bencher.bench(judge);
}

/// An answer whose lifetime is over for an hour.
#[divan::bench]
fn rescue_of_stale(bencher: Bencher) {
    let (entry, now) = (STAGE.entry(PUBLIC), Clock::System.now());
    let later = Now { instant: now.instant + Duration::from_secs(7200), wall: now.wall };
    let judge = || rescue(&black_box(&entry).vital(), Standing::Good, None, later.instant);
    assert!(matches!(judge(), Rescue::ServeStale(_)));
    bencher.bench(judge);
}
