//! Tomcat with a login form. To whoever is not signed in it answers 200 with that form, at the URL that was asked for; and a
//! session may stand in the URL. Neither may show a stranger what a nurse may see.

use std::sync::Arc;

use crate::catalina::Tomcat;
use crate::client::{Answer, Request};
use crate::process::Stent;

/// Files behind the login, the same for all who may see them, each with an `ETag`.
const LETTERS: [&str; 2] = ["/letters/7.json", "/letters/7.html"];

/// What is in both, and nobody else may see.
const FINDINGS: &str = "The findings are confidential.";

/// A policy for letters, and how long a yes is kept by it.
#[derive(Clone, Copy, Debug)]
struct Policy {
    yaml: &'static str,
    yes: Yes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Yes {
    /// Everybody is asked about every time.
    Asked,
    /// Whoever was let in may come again for a while.
    Kept,
}

const OWN: Policy = Policy { yaml: "{share: principal, ttl: 1h}", yes: Yes::Kept };

/// Who asks for a letter is let in by what Tomcat answers to the same request.
const BY_THEIR_OWN_ANSWER: [Policy; 2] = [
    Policy { yaml: "{share: permitted, access: {ask: self}, ttl: 1h}", yes: Yes::Asked },
    Policy { yaml: "{share: permitted, access: {ask: self, for: 60s}, ttl: 1h}", yes: Yes::Kept },
];

/// Who asks for a letter is let in by what Tomcat answers to another request.
const BY_A_QUESTION: [Policy; 2] = [
    Policy { yaml: "{share: permitted, access: {ask: /authz/<id>}, ttl: 1h}", yes: Yes::Asked },
    Policy { yaml: "{share: permitted, access: {ask: /authz/<id>, for: 60s}, ttl: 1h}", yes: Yes::Kept },
];

struct Ward {
    tomcat: Arc<Tomcat>,
    stent: Stent,
}

impl Ward {
    fn with(policy: &str) -> Ward {
        let tomcat = Tomcat::shared();
        let configuration = format!(
            "server: {{listen: \"${{STENT_LISTEN}}\", refuse: [loopback-pages]}}\n\
             admin: {{listen: \"${{STENT_ADMIN}}\"}}\n\
             identity: {{principal: [cookie.JSESSIONID]}}\n\
             upstreams: {{tomcat: {{servers: [\"http://${{ORIGIN}}\"]}}}}\n\
             policies: {{letter: {policy}}}\n\
             routes:\n\
             \x20 - {{name: letters, path: /letters/<id>, policy: letter}}\n\
             \x20 - {{name: summaries, path: /summaries/<id>, policy: letter}}\n\
             \x20 - {{name: charts, path: /charts/<id>, policy: letter}}\n\
             \x20 - {{name: sign out, path: /logout, purges: [principal]}}\n\
             \x20 - {{name: rest, path: /**}}\n"
        );
        let stent = Stent::by(&configuration, tomcat.address);
        Ward { tomcat, stent }
    }

    fn ask(&self, target: &str, session: &str) -> Answer {
        self.stent.ask(&Request::get(target).with("Cookie", session))
    }

    /// Fails unless this session gets the letter, whole.
    fn gets(&self, target: &str, session: &str, why: &str) -> Answer {
        let answer = self.ask(target, session);
        let told = answer.header("cache-status").to_owned();
        assert!(answer.status == 200 && answer.text().contains(FINDINGS), "{why}: {told}: {}", answer.text());
        answer
    }

    /// Fails if one of these requests is answered with the letter, or told that a copy of it still stands.
    fn gets_none(&self, target: &str, cookie: Option<&str>, etag: &str, why: &str) {
        let plain = cookie.iter().fold(Request::get(target), |request, cookie| request.with("Cookie", cookie));
        let head = Request { method: "HEAD".to_owned(), ..plain.clone() };
        let (condition, part) = (plain.clone().with("If-None-Match", etag), plain.clone().with("Range", "bytes=0-"));
        // The second time by what the first one left behind.
        for request in [&plain, &plain, &condition, &part, &head, &plain] {
            let answer = self.stent.ask(request);
            let told = answer.header("cache-status").to_owned();
            assert!(!answer.text().contains(FINDINGS), "{why}: {request:?}: {told}: {}", answer.text());
            let told_of = answer.status == 304 || !etag.is_empty() && answer.header("etag") == etag;
            assert!(!told_of, "{why}: {request:?}: {told}: {answer:?}");
        }
    }
}

/// Everybody who may not see a letter, each with why.
fn strangers(tomcat: &Tomcat) -> Vec<(Option<String>, &'static str)> {
    let gone = tomcat.sign_in("bob");
    tomcat.end(&gone);
    vec![
        (None, "nobody"),
        (Some("JSESSIONID=0123456789ABCDEF0123456789ABCDEF".to_owned()), "one who makes up a session"),
        (Some(tomcat.hesitate()), "one who was shown the form"),
        (Some(gone), "one who has signed out"),
        (Some(tomcat.sign_in("carol")), "one who is no nurse"),
    ]
}

fn no_stranger_gets_a_letter(policy: Policy) {
    no_stranger_gets(&LETTERS, policy);
}

fn no_stranger_gets(letters: &[&str], policy: Policy) {
    let ward = Ward::with(policy.yaml);
    let (alice, bob) = (ward.tomcat.sign_in("alice"), ward.tomcat.sign_in("bob"));
    for letter in letters {
        let what = |who: &str| format!("{who}, {letter}, {policy:?}");
        let first = ward.gets(letter, &alice, &what("alice"));
        for (cookie, who) in strangers(&ward.tomcat) {
            ward.gets_none(letter, cookie.as_deref(), first.header("etag"), &what(who));
            let again = ward.gets(letter, &alice, &what(&format!("alice after {who}")));
            assert_eq!(again.body, first.body);
        }
        assert_eq!(ward.gets(letter, &bob, &what("bob")).body, first.body);
        ward.gets(letter, &alice, &what("alice in the end"));
    }
}

#[test]
fn no_stranger_gets_a_letter_that_is_kept_for_each() {
    no_stranger_gets_a_letter(OWN);
}

#[test]
fn no_stranger_is_let_in_by_their_own_answer() {
    BY_THEIR_OWN_ANSWER.into_iter().for_each(no_stranger_gets_a_letter);
}

/// Asked whether something is newer than a date, Tomcat answers a stranger 304: its form is older than that.
#[test]
fn no_stranger_is_let_in_by_the_age_of_the_form() {
    let ward = Ward::with(OWN.yaml);
    let session = ward.tomcat.sign_in("alice");
    let summary = ward.gets("/summaries/7", &session, "alice");
    let since = Request::get("/summaries/7").with("If-Modified-Since", summary.header("last-modified"));
    assert_eq!(since.ask(ward.tomcat.address).status, 304, "without it this would show nothing");
    for policy in BY_THEIR_OWN_ANSWER.into_iter().chain([OWN]) {
        no_stranger_gets(&["/summaries/7"], policy);
    }
}

/// That the letters are kept at all: without that the others would show nothing.
#[test]
fn nurses_share_what_is_kept() {
    for policy in BY_THEIR_OWN_ANSWER.into_iter().chain(BY_A_QUESTION) {
        let ward = Ward::with(policy.yaml);
        let (alice, bob) = (ward.tomcat.sign_in("alice"), ward.tomcat.sign_in("bob"));
        ward.gets("/letters/7.json", &alice, "alice");
        let again = ward.gets("/letters/7.json", &alice, "alice again");
        ward.gets("/letters/7.json", &bob, "bob");
        assert!(policy.yes == Yes::Asked || again.is_hit(), "{policy:?}: {}", again.header("cache-status"));
    }
}

/// The form that a session gets once it is over is that session's answer, and nobody else's.
#[test]
fn a_dead_sessions_form_replaces_no_letter() {
    BY_THEIR_OWN_ANSWER.into_iter().chain([OWN]).for_each(a_form_replaces_no_letter);
}

fn a_form_replaces_no_letter(policy: Policy) {
    let ward = Ward::with(policy.yaml);
    let [alice, elsewhere] = [0, 1].map(|_| ward.tomcat.sign_in("alice"));
    for letter in LETTERS {
        let what = |who: &str| format!("{who}, {letter}, {policy:?}");
        let first = ward.gets(letter, &alice, &what("alice"));
        // She signs out on another machine, and its browser asks once more.
        let dead = ward.tomcat.sign_in("alice");
        if policy.yes == Yes::Asked {
            ward.gets(letter, &dead, &what("alice on another machine"));
        }
        ward.tomcat.end(&dead);
        for _ in 0..2 {
            let form = ward.ask(letter, &dead);
            assert!(!form.text().contains(FINDINGS), "{}: {}", what("signed out"), form.header("cache-status"));
            assert_eq!(ward.gets(letter, &alice, &what("alice, after that")).body, first.body);
        }
        ward.gets(letter, &elsewhere, &what("alice on a third machine"));
    }
}

/// What names whoever is signed in is for that one alone, also when it is kept; signing out ends it.
#[test]
fn a_chart_is_each_nurses_own() {
    let ward = Ward::with(OWN.yaml);
    let [alice, bob] = ["alice", "bob"].map(|user| (user, ward.tomcat.sign_in(user)));
    for again in [false, true] {
        for (user, session) in [&alice, &bob] {
            let chart = ward.ask("/charts/7", session);
            assert!(chart.text().contains(&format!("seen by {user}")), "{}", chart.text());
            assert_eq!(chart.is_hit(), again, "{user}: {}", chart.header("cache-status"));
        }
    }
    let out = ward.stent.ask(&Request::new("POST", "/logout").with("Cookie", &alice.1));
    assert_eq!((out.status, out.text().as_str()), (200, "signed out\n"));
    assert!(!ward.ask("/charts/7", &alice.1).text().contains("seen by"), "she has signed out");
    assert!(ward.ask("/charts/7", &bob.1).is_hit(), "he has not");
}

/// What Tomcat answers 200 to whoever is not signed in is its form, and no yes.
#[test]
fn no_stranger_is_let_in_by_the_form() {
    BY_A_QUESTION.into_iter().for_each(no_stranger_gets_a_letter);
}

#[test]
fn a_dead_sessions_form_lets_nobody_in() {
    BY_A_QUESTION.into_iter().for_each(a_form_replaces_no_letter);
}

/// Tomcat takes a session from the URL where there is no cookie. Whoever has such a URL is signed in by it, until it ends.
#[test]
fn what_is_asked_for_with_a_session_in_the_url_is_kept_for_nobody() {
    let policies = BY_THEIR_OWN_ANSWER.into_iter().chain(BY_A_QUESTION).chain([OWN]);
    policies.for_each(|policy| a_session_in_the_url_keeps_nothing(policy.yaml));
}

/// Nor on pages for all: such a URL shows no header by which somebody could be told to be signed in.
#[test]
fn what_is_asked_for_with_a_session_in_the_url_is_kept_for_nobody_on_open_pages() {
    ["{share: anonymous, ttl: 1h}", "{share: public, ttl: 1h}"]
        .into_iter()
        .for_each(a_session_in_the_url_keeps_nothing);
}

fn a_session_in_the_url_keeps_nothing(policy: &str) {
    let ward = Ward::with(policy);
    let shows = |answer: &Answer| [FINDINGS, "seen by"].iter().any(|text| answer.text().contains(text));
    for page in ["/letters/7.json", "/letters/7.html", "/charts/7"] {
        let session = ward.tomcat.sign_in("alice");
        let id = session.strip_prefix("JSESSIONID=").expect("its cookie");
        let target = format!("{page};jsessionid={id}");
        for cookie in [None, None, Some(&session), Some(&session), None] {
            let request = cookie.iter().fold(Request::get(&target), |request, cookie| request.with("Cookie", cookie));
            let answer = ward.stent.ask(&request);
            assert!(!answer.is_hit(), "{page}, {policy}, {cookie:?}: {}", answer.header("cache-status"));
        }
        ward.tomcat.end(&session);
        for stranger in [&target, page] {
            let after = ward.stent.ask(&Request::get(stranger));
            assert!(!shows(&after), "{stranger}, {policy}, signed out: {}", after.header("cache-status"));
        }
    }
}
