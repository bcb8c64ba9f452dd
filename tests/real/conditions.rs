//! Reports of the Django clinic, which by a mistake of its own answers 304 to whoever shows the right `ETag`, before it looks at
//! who asks. That a copy still stands is no word on who may have it.

use crate::client::{Answer, Request};
use crate::process::{Example, Origin, Stent};

const REPORT: &str = "/reports/7/";

/// What is in it, and nobody but alice and bob may see.
const FINDINGS: &str = "The findings are confidential.";

const ACCESS: [&str; 2] = ["{ask: self}", "{ask: self, for: 60s}"];

/// A clinic with Stent in front, which asks it about everybody.
fn clinic(access: &str) -> (Origin, Stent) {
    let origin = Origin::start(Example::Django).ready();
    let configuration = format!(
        "server: {{listen: \"${{STENT_LISTEN}}\", refuse: [loopback-pages]}}\n\
         admin: {{listen: \"${{STENT_ADMIN}}\"}}\n\
         identity: {{principal: [authorization, cookie.sessionid]}}\n\
         upstreams: {{clinic: {{servers: [\"http://${{ORIGIN}}\"]}}}}\n\
         policies: {{report: {{share: permitted, access: {access}, ttl: 1h}}}}\n\
         routes:\n\
         \x20 - {{name: report, path: /reports/<int:id>, policy: report}}\n\
         \x20 - {{name: rest, path: /**}}\n"
    );
    let stent = Stent::by(&configuration, origin.address);
    (origin, stent)
}

fn ask(stent: &Stent, user: &str) -> Answer {
    stent.ask(&Request::get(REPORT).with("Authorization", &format!("Token token-{user}")))
}

fn gets(stent: &Stent, user: &str, access: &str) -> Answer {
    let answer = ask(stent, user);
    let told = answer.header("cache-status").to_owned();
    assert!(answer.status == 200 && answer.text().contains(FINDINGS), "{user}, {access}: {told}: {}", answer.text());
    answer
}

/// The mistake that these tests are about: were it mended, they would show nothing.
#[test]
fn the_clinic_says_304_to_anybody() {
    let origin = Origin::start(Example::Django).ready();
    let plain = Request::get(REPORT);
    assert_eq!(plain.ask(origin.address).status, 401);
    let hers = plain.clone().with("Authorization", "Token token-alice").ask(origin.address);
    assert_eq!((hers.status, hers.text().contains(FINDINGS)), (200, true));
    assert_eq!(plain.with("If-None-Match", hers.header("etag")).ask(origin.address).status, 304);
}

#[test]
fn who_may_see_a_report_gets_it_each_time() {
    for access in ACCESS {
        let (origin, stent) = clinic(access);
        let first = gets(&stent, "alice", access);
        for user in ["alice", "bob", "alice", "bob"] {
            assert_eq!(gets(&stent, user, access).body, first.body, "{user}, {access}");
        }
        let again = gets(&stent, "alice", access);
        assert!(!access.contains("for") || again.is_hit(), "{access}: {}", again.header("cache-status"));
        assert!(origin.count(REPORT) >= 2, "both were asked about");
    }
}

#[test]
fn a_stranger_never_gets_a_report_that_still_stands() {
    for access in ACCESS {
        let (_origin, stent) = clinic(access);
        let first = gets(&stent, "alice", access);
        let made_up = Request::get(REPORT).with("Cookie", "sessionid=0123456789abcdef0123456789abcdef");
        let strangers = [
            ("nobody", Request::get(REPORT)),
            ("one who makes up a token", Request::get(REPORT).with("Authorization", "Token token-mallory")),
            ("one who makes up a session", made_up),
            ("one who may not see it", Request::get(REPORT).with("Authorization", "Token token-carol")),
        ];
        for (who, plain) in strangers {
            let condition = plain.clone().with("If-None-Match", first.header("etag"));
            let part = plain.clone().with("Range", "bytes=0-");
            for request in [&plain, &plain, &condition, &part, &plain] {
                let answer = stent.ask(request);
                let told = answer.header("cache-status");
                assert!(!answer.text().contains(FINDINGS), "{who}, {access}, {request:?}: {told}: {}", answer.text());
            }
            assert_eq!(gets(&stent, "alice", access).body, first.body, "after {who}");
        }
    }
}
