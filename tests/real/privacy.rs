//! Nobody sees another's data, in whatever order they ask and however they say who they are; and each one's own is kept.

use serde_json::Value;

use crate::client::{Answer, Request};
use crate::django::form_token;
use crate::process::{Example, Origin, Stent};

/// Somebody who asks: the headers they send, and as whom the origin knows them.
#[derive(Clone, Debug)]
pub struct Asker {
    pub headers: Vec<(&'static str, String)>,
    is: Option<&'static str>,
}

impl Asker {
    fn ask(&self, stent: &Stent, target: &str) -> Answer {
        let all = self.headers.iter();
        stent.ask(&all.fold(Request::get(target), |request, (name, value)| request.with(name, value)))
    }
}

fn nobody() -> Asker {
    Asker { headers: Vec::new(), is: None }
}

fn token(user: &'static str) -> Asker {
    Asker { headers: vec![("Authorization", format!("Token token-{user}"))], is: Some(user) }
}

fn bearer(token: &str, is: &'static str) -> Asker {
    Asker { headers: vec![("Authorization", format!("Bearer {token}"))], is: Some(is) }
}

pub fn session(stent: &Stent, user: &'static str) -> Asker {
    let cookie = format!("sessionid={}", sign_in(stent, user)[0]);
    Asker { headers: vec![("Cookie", cookie)], is: Some(user) }
}

/// One who shows a session and a token; Django looks at the token first.
fn both(session: &Asker, token: &Asker) -> Asker {
    Asker { headers: [token.headers.clone(), session.headers.clone()].concat(), is: token.is }
}

/// Signs in through Stent as a browser does; the session and the token for forms.
fn sign_in(stent: &Stent, user: &str) -> [String; 2] {
    let form = stent.ask(&Request::get("/login/"));
    let csrf = form.cookie("csrftoken").expect("the form sets its cookie");
    let filled = format!("username={user}&password={user}-pass&csrfmiddlewaretoken={}", form_token(&form.text()));
    let post = Request::new("POST", "/login/").with("Cookie", &format!("csrftoken={csrf}")).form(&filled);
    let welcome = stent.ask(&post);
    assert_eq!(welcome.status, 302, "{}", welcome.text());
    ["sessionid", "csrftoken"].map(|name| welcome.cookie(name).expect("it is set"))
}

/// Every order of the askers.
fn orders(askers: &[Asker]) -> Vec<Vec<Asker>> {
    if askers.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for first in 0..askers.len() {
        let mut rest = askers.to_vec();
        let head = rest.remove(first);
        all.extend(orders(&rest).into_iter().map(|tail| [vec![head.clone()], tail].concat()));
    }
    all
}

/// Asks in every order, from an empty cache each time: everybody once, then everybody again.
fn in_every_order(origin: &Origin, stent: &Stent, target: &str, askers: &[Asker], seen: impl Fn(&Value) -> String) {
    let known = askers.iter().filter(|asker| asker.is.is_some()).count();
    for order in orders(askers) {
        stent.purge(&["patient:*", "patients", "dashboard", "whoami"]);
        let before = origin.count(target);
        for again in [false, true] {
            for asker in &order {
                let answer = asker.ask(stent, target);
                let how = answer.header("cache-status").to_owned();
                let Some(is) = asker.is else {
                    assert_eq!(answer.status, 401, "{target} for nobody, {how}: {}", answer.text());
                    continue;
                };
                assert_eq!(answer.status, 200, "{target} for {asker:?}, {how}: {}", answer.text());
                assert_eq!(seen(&answer.json()), is, "{target} for {asker:?} in {order:?}, {how}");
                assert_eq!(answer.is_hit(), again, "{target} for {asker:?} in {order:?}, {how}");
            }
        }
        // Everybody's first, and nobody's both: there is nothing of nobody's to keep.
        let asked = origin.count(target) - before;
        assert_eq!(asked as usize, known + 2 * (order.len() - known), "{target} in {order:?}");
    }
}

fn seen_by(json: &Value) -> String {
    json["seen_by"].as_str().unwrap_or("nobody it says").to_owned()
}

#[test]
fn three_people_and_nobody_in_every_order() {
    let origin = Origin::start(Example::Django).ready();
    let stent = Stent::before(&origin);
    let target = "/api/patients/7/";
    let people = ["alice", "bob", "carol"];
    let tokens = people.map(token);
    let sessions = people.map(|user| session(&stent, user));
    let doubles: Vec<Asker> = sessions.iter().zip(&tokens).map(|(session, token)| both(session, token)).collect();
    for three in [&tokens[..], &sessions[..], &doubles[..]] {
        in_every_order(&origin, &stent, target, &[three, &[nobody()]].concat(), seen_by);
    }
    // The same person in three ways, and one person's session with another's token.
    let alice = [sessions[0].clone(), tokens[0].clone(), doubles[0].clone(), both(&sessions[0], &tokens[1])];
    in_every_order(&origin, &stent, target, &alice, seen_by);
    let mixed = [sessions[0].clone(), tokens[1].clone(), both(&sessions[2], &tokens[1]), nobody()];
    in_every_order(&origin, &stent, target, &mixed, seen_by);
}

#[test]
fn everything_that_is_personal_is_kept_apart() {
    let origin = Origin::start(Example::Django).ready();
    let stent = Stent::before(&origin);
    let people = ["alice", "bob", "carol"];
    let sessions = people.map(|user| session(&stent, user));
    let targets = ["/api/patients/", "/api/patients/7/encounters/", "/api/encounters/7/", "/api/me/", "/notes/"];
    for target in targets {
        for again in [false, true] {
            for asker in &sessions {
                let answer = asker.ask(&stent, target);
                let text = answer.text();
                let others = people.iter().filter(|name| Some(**name) != asker.is);
                assert!(text.contains(asker.is.unwrap_or_default()), "{target} for {asker:?}: {text}");
                others.for_each(|other| assert!(!text.contains(other), "{target} for {asker:?}: {text}"));
                assert_eq!(answer.is_hit(), again, "{target} for {asker:?}: {}", answer.header("cache-status"));
            }
            // Whoever comes with nothing, or with what is worth nothing, gets nobody's.
            for asker in [nobody(), Asker { headers: vec![("Cookie", "sessionid=made-up".into())], is: None }] {
                let text = asker.ask(&stent, target).text();
                people.iter().for_each(|name| assert!(!text.contains(name), "{target} for {asker:?}: {text}"));
            }
        }
        assert!(origin.count(target) >= 3, "{target}");
    }
}

#[test]
fn the_welcome_page_is_for_those_who_are_not_signed_in() {
    let origin = Origin::start(Example::Django).ready();
    let stent = Stent::before(&origin);
    let with_csrf = Request::get("/").with("Cookie", "csrftoken=0123456789abcdef");
    let first = stent.ask(&with_csrf);
    assert!(!first.is_hit() && first.text().contains("<h1>Welcome</h1>"));
    assert!(stent.ask(&with_csrf).is_hit(), "this cookie means nothing to a page");
    let anonymous = stent.ask(&Request::get("/"));
    assert!(anonymous.is_hit() && anonymous.body == first.body);

    let alice = session(&stent, "alice");
    for _ in 0..2 {
        let hers = alice.ask(&stent, "/");
        assert!(!hers.is_hit() && hers.text().contains("<h1>Welcome, alice</h1>"), "{}", hers.text());
        let anonymous = stent.ask(&Request::get("/"));
        assert!(anonymous.is_hit() && anonymous.body == first.body);
    }
    assert_eq!(origin.count("/"), 1 + 2);
}

#[test]
fn signing_out_ends_what_was_kept() {
    let origin = Origin::start(Example::Django).ready();
    let stent = Stent::before(&origin);
    let [session, csrf] = sign_in(&stent, "alice");
    let cookies = format!("sessionid={session}; csrftoken={csrf}");
    let ask = Request::get("/api/patients/7/").with("Cookie", &cookies);
    let bobs = Request::get("/api/patients/7/").with("Authorization", "Token token-bob");
    stent.ask(&bobs);
    stent.ask(&ask);
    assert!(stent.ask(&ask).is_hit());
    let form = stent.ask(&Request::get("/dashboard/").with("Cookie", &cookies));
    let token = form_token(&form.text());
    let leave = Request::new("POST", "/logout/").with("Cookie", &cookies).form(&format!("csrfmiddlewaretoken={token}"));
    assert_eq!(stent.ask(&leave).status, 302);
    let after = stent.ask(&ask);
    assert_eq!(after.status, 401, "{}: {}", after.header("cache-status"), after.text());
    assert!(stent.ask(&bobs).is_hit(), "others keep theirs");
}

/// What a route does not list is neither dropped nor keyed: such a request goes to the origin, each time.
#[test]
fn an_unlisted_query_parameter_shares_nothing() {
    let origin = Origin::start(Example::Django).ready();
    let stent = Stent::before(&origin);
    let alice = token("alice");
    alice.ask(&stent, "/api/patients/?page=1");
    assert!(alice.ask(&stent, "/api/patients/?page=1").is_hit());
    let before = origin.count("/api/patients/");
    for target in ["/api/patients/?page=1&who=bob", "/api/patients/?who=bob&page=1", "/api/patients/?page=1&who=bob"] {
        let answer = alice.ask(&stent, target);
        assert_eq!(
            answer.header("cache-status"),
            "stent; fwd=bypass; detail=unlisted-query-parameter; fwd-status=200",
            "{target}"
        );
    }
    assert_eq!(origin.count("/api/patients/") - before, 3);
    assert!(alice.ask(&stent, "/api/patients/?page=1").is_hit());
    // Where a route lists none, each is keyed.
    let texts = ["/?to=a", "/?to=b"].map(|target| stent.ask(&Request::get(target)).is_hit());
    assert_eq!(texts, [false, false]);
}

#[test]
fn tenants_in_every_order() {
    let origin = Origin::start(Example::FastApi).ready();
    let stent = Stent::before(&origin);
    let person = |json: &Value| format!("{}.{}", json["tenant"].as_str().unwrap_or(""), seen_by(json));
    let askers = ["a.doctor1", "a.nurse1", "b.doctor1"].map(|token| bearer(token, token)).into_iter().chain([nobody()]);
    let askers: Vec<Asker> = askers.collect();
    in_every_order(&origin, &stent, "/patients/7", &askers, person);
    in_every_order(&origin, &stent, "/patients", &askers, person);
    let clinics = [("a.doctor1", "a 20"), ("a.nurse1", "a 20"), ("b.doctor1", "b 12"), ("b.nurse1", "b 12")];
    let clinics = clinics.map(|(token, is)| bearer(token, is));
    // The origin says `max-age=60` here and forgets to say `private`.
    in_every_order(&origin, &stent, "/dashboard/stats", &clinics, |json| {
        format!("{} {}", json["tenant"].as_str().unwrap_or(""), json["patients"])
    });
}
