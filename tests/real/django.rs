//! The Django clinic through Stent is the Django clinic.

use crate::client::{Answer, Request, Sent};
use crate::compare::{Kept, Pair, Side, Who, row, same, same_not_modified};
use crate::process::{Example, Origin, Stent};

const ALICE: Who = Who::Header("Authorization", "Token token-alice");
const BOB: Who = Who::Header("Authorization", "Token token-bob");
const STRANGER: Who = Who::Header("Authorization", "Token token-mallory");
const CSS: Kept = Kept::Listed("public, max-age=86400");
const PNG: Kept = Kept::Listed("public, max-age=604800");

#[test]
fn reading_the_api() {
    let mut pair = Pair::of(Example::Django);
    let rows = [
        // HEAD first, while nothing is stored: it is the origin's to answer.
        row("HEAD", "/api/patients/7/", ALICE, 200, Kept::NotPrivate),
        // A part likewise; Django sends the whole.
        row("GET", "/api/patients/7/", ALICE, 200, Kept::Own),
        row("HEAD", "/api/patients/7/", ALICE, 200, Kept::Own),
        row("GET", "/api/patients/7/", BOB, 200, Kept::Own),
        row("GET", "/api/patients/7/", Who::Nobody, 401, Kept::NotPrivate),
        row("GET", "/api/patients/7/", STRANGER, 401, Kept::NotPrivate),
        row("GET", "/api/patients/7/", ALICE, 200, Kept::Own).with("Accept", "application/json"),
        // The browsable API draws a token for whoever looks, so it is kept for nobody.
        row("GET", "/api/patients/7/", ALICE, 200, Kept::NotPrivate).with("Accept", "text/html,*/*;q=0.8"),
        row("GET", "/api/patients/7/", ALICE, 200, Kept::NotPrivate).with("Cookie", "theme=dark"),
        row("GET", "/api/patients/7/", ALICE, 200, Kept::Own)
            .with("Cookie", "csrftoken=0123456789abcdefghijABCDEFGHIJ01"),
        // What she is to be told once: whoever shows that is passed.
        row("GET", "/api/patients/7/", ALICE, 200, Kept::NotPrivate)
            .with("Cookie", "csrftoken=0123456789abcdefghijABCDEFGHIJ01; messages=x"),
        row("GET", "/api/patients/999/", ALICE, 404, Kept::NotPrivate),
        row("GET", "/api/patients/7", ALICE, 301, Kept::Own),
        row("GET", "/api/patients/", ALICE, 200, Kept::Own),
        row("GET", "/api/patients/?page=2", ALICE, 200, Kept::Own),
        row("GET", "/api/patients/?page_size=5&page=2", ALICE, 200, Kept::Own),
        row("GET", "/api/patients/?page=99", ALICE, 404, Kept::NotPrivate),
        row("GET", "/api/patients/?page=2&colour=red", ALICE, 200, Kept::NotPrivate),
        row("GET", "/api/patients/?page_size=many", ALICE, 200, Kept::NotPrivate),
        row("GET", "/api/patients/7/encounters/", ALICE, 200, Kept::Own),
        row("GET", "/api/encounters/7/", BOB, 200, Kept::Own),
        row("GET", "/api/encounters/", BOB, 200, Kept::Own),
        row("GET", "/api/me/", ALICE, 200, Kept::Own),
        row("OPTIONS", "/api/patients/7/", ALICE, 200, Kept::NotPrivate),
        row("DELETE", "/api/me/", ALICE, 405, Kept::NotPrivate),
    ];
    rows.iter().for_each(|row| pair.check(row));
}

#[test]
fn writing() {
    let mut pair = Pair::of(Example::Django);
    let item = |who, status, kept| row("GET", "/api/patients/7/", who, status, kept);
    let list = row("GET", "/api/patients/?page_size=100", ALICE, 200, Kept::Own);
    let encounters = row("GET", "/api/patients/3/encounters/", ALICE, 200, Kept::Own);
    let whole = r#"{"name":"Awa Cisse","birth_date":"1990-05-01","ward":"surgery","allergies":""}"#;
    let visit = r#"{"patient_id":3,"date":"2026-01-02","reason":"fever","note":"n"}"#;
    let rows = [
        item(ALICE, 200, Kept::Own),
        item(BOB, 200, Kept::Own),
        list.clone(),
        row("PATCH", "/api/patients/7/", BOB, 200, Kept::NotPrivate).json(r#"{"ward":"maternity"}"#),
        item(ALICE, 200, Kept::Own),
        item(BOB, 200, Kept::Own),
        list.clone(),
        row("PUT", "/api/patients/7/", BOB, 200, Kept::NotPrivate).json(whole),
        item(ALICE, 200, Kept::Own),
        list.clone(),
        row("PUT", "/api/patients/7/", BOB, 400, Kept::NotPrivate).json(r#"{"ward":"maternity"}"#),
        row("PATCH", "/api/patients/7/", BOB, 400, Kept::NotPrivate).json("{"),
        row("PATCH", "/api/patients/7/", Who::Nobody, 401, Kept::NotPrivate).json(r#"{"ward":"maternity"}"#),
        item(ALICE, 200, Kept::Own),
        row("POST", "/api/patients/", ALICE, 201, Kept::NotPrivate).json(whole),
        list.clone(),
        row("GET", "/api/patients/21/", ALICE, 200, Kept::Own),
        encounters.clone(),
        row("POST", "/api/encounters/", ALICE, 201, Kept::NotPrivate).json(visit),
        encounters.clone(),
        row("PATCH", "/api/encounters/41/", BOB, 200, Kept::NotPrivate).json(r#"{"patient_id":4}"#),
        encounters,
        row("GET", "/api/patients/4/encounters/", ALICE, 200, Kept::Own),
        row("DELETE", "/api/patients/7/", BOB, 204, Kept::NotPrivate).then(404),
        item(ALICE, 404, Kept::NotPrivate),
        list,
    ];
    rows.iter().for_each(|row| pair.check(row));
}

#[test]
fn pages_pictures_and_the_rest() {
    let mut pair = Pair::of(Example::Django);
    let mebibytes: Vec<u8> = (0..8 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let rows = [
        row("HEAD", "/", Who::Nobody, 200, Kept::Not),
        row("GET", "/", Who::Nobody, 200, Kept::All),
        row("HEAD", "/", Who::Nobody, 200, Kept::All),
        row("GET", "/", Who::Header("Cookie", "csrftoken=0123456789abcdefghijABCDEFGHIJ01"), 200, Kept::All),
        row("GET", "/", Who::Nobody, 200, Kept::All).with("Accept-Encoding", "gzip"),
        row("GET", "/?utm=1", Who::Nobody, 200, Kept::All),
        row("POST", "/", Who::Nobody, 403, Kept::Not),
        row("GET", "/notes/", Who::Nobody, 200, Kept::NotPrivate),
        row("GET", "/dashboard/", Who::Nobody, 302, Kept::Not),
        row("GET", "/static-like/style.css", Who::Nobody, 200, CSS),
        row("HEAD", "/static-like/style.css", Who::Nobody, 200, CSS),
        row("GET", "/static-like/style.css", Who::Nobody, 200, CSS).with("Accept-Encoding", "gzip"),
        row("GET", "/media/logo.png", Who::Nobody, 200, PNG),
        row("GET", "/media/none.png", Who::Nobody, 404, Kept::Not),
        row("GET", "/nowhere", Who::Nobody, 404, Kept::Not),
        row("GET", "/boom/", Who::Nobody, 500, Kept::Not),
        row("POST", "/boom/", Who::Nobody, 403, Kept::Not),
        row("GET", "/slow/?ms=1", Who::Nobody, 200, Kept::All),
        row("GET", "/slow/?ms=1&x=1", Who::Nobody, 200, Kept::Not),
        row("GET", "/stream/?n=50", Who::Nobody, 200, Kept::Not),
        row("GET", "/stream/?n=50", Who::Nobody, 200, Kept::Not).with("Accept-Encoding", "gzip"),
        row("GET", "/login/", Who::Nobody, 200, Kept::Not),
        row("HEAD", "/login/", Who::Nobody, 200, Kept::Not),
        row("GET", "/login/?next=/notes/", Who::Nobody, 200, Kept::Not).with("Accept-Encoding", "gzip"),
        row("GET", "/upload/", Who::Nobody, 405, Kept::Not),
        row("POST", "/upload/", Who::Nobody, 200, Kept::Not).sending(Sent::Whole(mebibytes.clone())),
        row("POST", "/upload/", Who::Nobody, 200, Kept::Not).sending(Sent::Chunked(mebibytes.clone())),
        row("POST", "/upload/", Who::Nobody, 200, Kept::Not).sending(Sent::Expecting(mebibytes)),
        row("POST", "/upload/", Who::Nobody, 200, Kept::Not).sending(Sent::Whole(Vec::new())),
        row("POST", "/upload/", Who::Nobody, 200, Kept::Not).sending(Sent::Chunked(Vec::new())),
    ];
    rows.iter().for_each(|row| pair.check(row));
}

#[test]
fn what_reaches_the_origin() {
    let mut pair = Pair::of(Example::Django);
    let request = Request::new("PUT", "/_echo/a%20b/%C3%A9?z=1&a=%41&z=2")
        .with("User-Agent", "reader/1")
        .with("Accept-Language", "fr")
        .with("X-Forwarded-For", "203.0.113.9")
        .with("Cookie", "sessionid=none; theme=dark")
        .json("{}");
    let [direct, stent] = pair.both().map(|side| side.send(&request).json());
    // A proxy says who asked and that it was there, and does not repeat what strangers say about that.
    let ours = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"];
    let strip = |mut echo: serde_json::Value| {
        let headers = echo["headers"].as_object_mut().expect("an object");
        ours.iter().for_each(|name| drop(headers.remove(*name)));
        echo
    };
    assert_eq!(stent["headers"]["x-forwarded-for"], "127.0.0.1");
    assert_eq!(stent["headers"]["via"], "1.1 stent");
    assert_eq!(strip(direct), strip(stent));
}

#[test]
fn a_copy_that_still_stands_is_not_sent_again() {
    let mut pair = Pair::of(Example::Django);
    let token = ("Authorization", "Token token-alice");
    for (target, who, validator, condition, kept) in [
        ("/api/patients/7/", Some(token), "etag", "If-None-Match", Kept::Own),
        ("/", None, "etag", "If-None-Match", Kept::All),
        ("/static-like/style.css", None, "etag", "If-None-Match", CSS),
        ("/media/logo.png", None, "last-modified", "If-Modified-Since", PNG),
    ] {
        let ask = || who.iter().fold(Request::get(target), |request, (name, value)| request.with(name, value));
        let [direct, stent] = pair.both().map(|side| side.send(&ask()));
        same(&direct, &stent, kept, target);
        // Each with the validator that it gave: through Stent a tag may be bound to its principal.
        let again = |whole: &Answer| ask().with(condition, whole.header(validator));
        let [bare, through] = pair.both();
        let (direct, confirmed) = (bare.send(&again(&direct)), through.send(&again(&stent)));
        same_not_modified(&direct, &confirmed, &stent, target);
        assert!(confirmed.is_hit(), "{target}: {}", confirmed.header("cache-status"));
        let other = ask().with("If-None-Match", "\"another\"");
        let [direct, stent] = pair.both().map(|side| side.send(&other));
        same(&direct, &stent, kept, target);
        assert_eq!(stent.status, 200, "{target}");
    }
}

/// Django knows no ranges; of what is stored, or fetched to be, a part is given (RFC 9110 §14.2), and it is that part.
#[test]
fn a_part_of_what_is_stored() {
    let origin = Origin::start(Example::Django).ready();
    let stent = Stent::before(&origin);
    let ask = Request::get("/api/patients/7/").with("Authorization", "Token token-alice");
    let whole = stent.ask(&ask);
    let part = stent.ask(&ask.clone().with("Range", "bytes=1-9"));
    assert_eq!((part.status, part.body.as_slice()), (206, &whole.body[1..10]));
    assert_eq!(part.header("content-range"), format!("bytes 1-9/{}", whole.body.len()));
    let beyond = stent.ask(&ask.clone().with("Range", "bytes=99999-"));
    assert_eq!((beyond.status, beyond.body.len()), (416, 0));
    let other = Request::get("/api/patients/7/").with("Authorization", "Token token-bob");
    let first = stent.ask(&other.clone().with("Range", "bytes=1-9"));
    assert!(!first.is_hit(), "what is stored for alice is not there for bob: {}", first.header("cache-status"));
    let whole = stent.ask(&other);
    assert!(whole.is_hit(), "the whole was fetched: {}", whole.header("cache-status"));
    assert_eq!((first.status, first.body.as_slice()), (206, &whole.body[1..10]));
}

/// As a browser does it: the form, its token, the session, the way out.
#[test]
fn signing_in_and_out() {
    let mut pair = Pair::of(Example::Django);
    let forms = pair.both().map(|side| side.send(&Request::get("/login/")));
    same(&forms[0], &forms[1], Kept::Not, "the form");

    let wrong = pair.both().map(|side| post_login(side, "alice", "bob-pass"));
    same(&wrong[0], &wrong[1], Kept::Not, "a wrong password");
    assert_eq!(wrong[0].status, 200);

    for user in ["alice", "bob"] {
        let welcome = pair.both().map(|side| post_login(side, user, &format!("{user}-pass")));
        same(&welcome[0], &welcome[1], Kept::Not, "signing in");
        assert_eq!((welcome[1].status, welcome[1].header("location")), (302, "/dashboard/"));
        for (side, welcome) in pair.both().into_iter().zip(&welcome) {
            let [session, csrf] = ["sessionid", "csrftoken"].map(|name| welcome.cookie(name).expect("it is set"));
            side.remember(user, format!("sessionid={session}; csrftoken={csrf}"));
        }
    }
    let (alice, bob) = (Who::Session("alice"), Who::Session("bob"));
    let rows = [
        row("GET", "/", alice, 200, Kept::Not),
        row("GET", "/", bob, 200, Kept::Not),
        row("GET", "/", Who::Nobody, 200, Kept::All),
        row("GET", "/dashboard/", alice, 200, Kept::Not),
        row("GET", "/dashboard/", bob, 200, Kept::Not).with("Accept-Encoding", "gzip"),
        row("GET", "/static-like/style.css", alice, 200, CSS),
        row("GET", "/notes/", alice, 200, Kept::Own),
        row("GET", "/notes/", bob, 200, Kept::Own),
        row("GET", "/api/me/", alice, 200, Kept::Own),
        row("GET", "/api/patients/7/", alice, 200, Kept::Own),
        row("GET", "/api/patients/7/", bob, 200, Kept::Own),
        // Without the token a session may not write.
        row("PATCH", "/api/patients/7/", alice, 403, Kept::NotPrivate).json(r#"{"ward":"surgery"}"#),
    ];
    rows.iter().for_each(|row| pair.check(row));

    let left = pair.both().map(|side| {
        let form = side.send(&Request::get("/dashboard/").with("Cookie", side.cookies("alice")));
        let token = form_token(&form.text());
        let cookies = side.cookies("alice").to_owned();
        side.send(
            &Request::new("POST", "/logout/").with("Cookie", &cookies).form(&format!("csrfmiddlewaretoken={token}")),
        )
    });
    same(&left[0], &left[1], Kept::Not, "signing out");
    assert_eq!((left[1].status, left[1].header("location")), (302, "/"));
    let rows = [
        // What was kept for that session went with it.
        row("GET", "/api/patients/7/", alice, 401, Kept::NotPrivate),
        row("GET", "/api/me/", alice, 401, Kept::NotPrivate),
        row("GET", "/dashboard/", alice, 302, Kept::Not),
        row("GET", "/api/patients/7/", bob, 200, Kept::Own),
    ];
    rows.iter().for_each(|row| pair.check(row));
}

fn post_login(side: &mut Side, user: &str, password: &str) -> crate::client::Answer {
    let form = side.send(&Request::get("/login/"));
    let csrf = form.cookie("csrftoken").expect("the form sets its cookie");
    let token = form_token(&form.text());
    let filled = format!("username={user}&password={password}&csrfmiddlewaretoken={token}&next=");
    side.send(&Request::new("POST", "/login/").with("Cookie", &format!("csrftoken={csrf}")).form(&filled))
}

/// The hidden field of a form.
pub fn form_token(page: &str) -> String {
    let field = page.split("name=\"csrfmiddlewaretoken\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    field.unwrap_or_else(|| panic!("a form without a token: {page}")).to_owned()
}
