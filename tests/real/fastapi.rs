//! The FastAPI service through Stent is the FastAPI service.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::client::{Answer, Connection, Request, Sent};
use crate::compare::{Kept, Pair, Who, row, same, same_not_modified};
use crate::process::{Example, Origin, Stent};

const A: Who = Who::Header("Authorization", "Bearer a.doctor1");
const A_NURSE: Who = Who::Header("Authorization", "Bearer a.nurse1");
const B: Who = Who::Header("Authorization", "Bearer b.doctor1");
const STRANGER: Who = Who::Header("Authorization", "Bearer c.doctor1");

#[test]
fn reading() {
    let mut pair = Pair::of(Example::FastApi);
    let rows = [
        // FastAPI knows no HEAD; while nothing is stored that is its own to say.
        row("HEAD", "/patients/7", A, 405, Kept::NotPrivate),
        row("HEAD", "/whoami", A, 405, Kept::NotPrivate),
        row("HEAD", "/public/info", Who::Nobody, 405, Kept::Not),
        row("HEAD", "/documents/big", A, 405, Kept::Not),
        row("HEAD", "/events", Who::Nobody, 405, Kept::Not),
        row("HEAD", "/nowhere", Who::Nobody, 404, Kept::Not),
        row("GET", "/patients/7", A, 200, Kept::Own),
        row("GET", "/patients/7", A_NURSE, 200, Kept::Own),
        row("GET", "/patients/7", B, 200, Kept::Own),
        row("GET", "/patients/7", Who::Nobody, 401, Kept::NotPrivate),
        row("GET", "/patients/7", STRANGER, 401, Kept::NotPrivate),
        row("GET", "/patients/7", A, 200, Kept::NotPrivate).with("Cookie", "theme=dark"),
        row("GET", "/patients/7", A, 200, Kept::Own).with("Accept-Encoding", "gzip"),
        row("GET", "/patients/15", B, 404, Kept::NotPrivate),
        row("GET", "/patients/seven", A, 422, Kept::Not),
        row("GET", "/whoami/", A, 307, Kept::NotPrivate),
        row("GET", "/patients", A, 200, Kept::Own),
        row("GET", "/patients?skip=5&limit=5", B, 200, Kept::Own),
        row("GET", "/patients?limit=many", A, 422, Kept::NotPrivate),
        row("GET", "/patients?colour=red", A, 200, Kept::NotPrivate),
        row("GET", "/dashboard/stats", A, 200, Kept::Own),
        row("GET", "/dashboard/stats", B, 200, Kept::Own),
        row("GET", "/dashboard/stats", Who::Nobody, 401, Kept::NotPrivate),
        row("GET", "/whoami", A_NURSE, 200, Kept::Own),
        row("GET", "/public/info", Who::Nobody, 200, Kept::All),
        row("GET", "/public/info", A, 200, Kept::All),
        row("GET", "/slow?ms=1", Who::Nobody, 200, Kept::All),
        row("GET", "/slow?ms=long", Who::Nobody, 422, Kept::Not),
        row("GET", "/openapi.json", Who::Nobody, 200, Kept::Not),
        row("GET", "/nowhere", Who::Nobody, 404, Kept::Not),
        row("GET", "/boom", Who::Nobody, 500, Kept::Not),
        row("OPTIONS", "/patients/7", A, 405, Kept::NotPrivate),
    ];
    rows.iter().for_each(|row| pair.check(row));
}

#[test]
fn writing() {
    let mut pair = Pair::of(Example::FastApi);
    let item = |who| row("GET", "/patients/7", who, 200, Kept::Own);
    let list = row("GET", "/patients", A, 200, Kept::Own);
    let stats = row("GET", "/dashboard/stats", A, 200, Kept::Own);
    let whole = r#"{"name":"Awa Cisse","email":"awa@a.example"}"#;
    let rows = [
        item(A),
        item(B),
        list.clone(),
        stats.clone(),
        row("PATCH", "/patients/7", A, 200, Kept::NotPrivate).json(r#"{"name":"Awa"}"#),
        item(A),
        item(B),
        list.clone(),
        stats.clone(),
        row("PUT", "/patients/7", A_NURSE, 200, Kept::NotPrivate).json(whole),
        item(A),
        list.clone(),
        stats.clone(),
        row("PUT", "/patients/7", A, 422, Kept::NotPrivate).json(r#"{"name":"Awa"}"#),
        row("PATCH", "/patients/7", Who::Nobody, 401, Kept::NotPrivate).json(r#"{"name":"Awa"}"#),
        item(A),
        row("POST", "/patients", A, 201, Kept::NotPrivate).json(whole),
        row("GET", "/patients/22", A, 200, Kept::Own),
        list.clone(),
        stats.clone(),
        row("DELETE", "/patients/7", A, 204, Kept::NotPrivate).then(404),
        row("GET", "/patients/7", A, 404, Kept::NotPrivate),
        item(B),
        list,
        stats.clone(),
        row("POST", "/documents", A, 201, Kept::Not).sending(Sent::Whole(b"a letter".to_vec())),
        stats,
    ];
    rows.iter().for_each(|row| pair.check(row));
}

#[test]
fn large_bodies() {
    let mut pair = Pair::of(Example::FastApi);
    let body: Vec<u8> = (0..8 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    for sent in [Sent::Whole(body.clone()), Sent::Chunked(body.clone()), Sent::Expecting(body)] {
        let row = row("POST", "/documents", A, 201, Kept::Not).sending(sent);
        pair.check(&row);
        let answer = pair.stent.ask(&row).json();
        assert_eq!((&answer["bytes"], &answer["sha256"]), (&(8 << 20).into(), &digest.as_str().into()));
    }
    // Longer than what the cache keeps of anything.
    let download = row("GET", "/documents/big?mb=20", A, 200, Kept::Not);
    pair.check(&download);
    assert_eq!(pair.stent.ask(&download).body.len(), 20 << 20);
}

/// Before it is sent, where the client waits to be asked for it.
#[test]
fn an_upload_that_is_too_long_is_refused() {
    let origin = Origin::start(Example::FastApi).ready();
    let stent = Stent::before(&origin);
    let length = (11 << 20).to_string();
    let upload = Request::new("POST", "/documents")
        .with("Authorization", "Bearer a.doctor1")
        .with("Content-Length", &length)
        .with("Expect", "100-continue");
    let refused = stent.ask(&upload);
    assert_eq!((refused.status, refused.header("content-type")), (413, "application/problem+json"));
    assert_eq!(origin.count("/documents"), 0);
}

/// What is keyed is what is sent, so the origin is asked with the query in its canonical form, and answers that.
#[test]
fn a_query_is_asked_for_in_its_canonical_form() {
    let mut pair = Pair::of(Example::FastApi);
    let ask = row("GET", "/patients?limit=9999", A, 200, Kept::Own);
    let [direct, stent] = pair.both().map(|side| side.ask(&ask));
    assert_eq!((direct.status, stent.status, &stent.json()["limit"]), (422, 200, &100.into()));
    let least = pair.stent.ask(&row("GET", "/patients?skip=0&limit=100", A, 200, Kept::Own));
    assert!(least.is_hit() && least.body == stent.body, "both are one entry: {}", least.header("cache-status"));
    let redirect = row("GET", "/patients/", A, 307, Kept::NotPrivate);
    let [direct, stent] = pair.both().map(|side| side.ask(&redirect));
    assert_eq!(direct.header("location"), "http://localhost/patients");
    assert_eq!(stent.header("location"), "http://localhost/patients?limit=50&skip=0");
}

/// A HEAD asks for the head that a GET would have (RFC 9110 §9.3.2), and that is known here once a GET was stored. So it is
/// answered, where the origin itself would say that it has no HEAD.
#[test]
fn head_of_what_is_stored() {
    let mut pair = Pair::of(Example::FastApi);
    let get = pair.stent.ask(&row("GET", "/patients/7", A, 200, Kept::Own));
    let head = row("HEAD", "/patients/7", A, 200, Kept::Own);
    let [direct, stent] = pair.both().map(|side| side.ask(&head));
    assert_eq!((direct.status, stent.status, stent.body.len()), (405, 200, 0));
    assert!(stent.is_hit());
    for name in ["content-length", "content-type", "etag", "cache-control", "server"] {
        assert_eq!(stent.header(name), get.header(name), "{name}");
    }
    // Only for the one it is stored for.
    let other = pair.stent.ask(&row("HEAD", "/patients/7", B, 405, Kept::NotPrivate));
    assert_eq!(other.status, 405);
}

#[test]
fn a_copy_that_still_stands_is_not_sent_again() {
    let mut pair = Pair::of(Example::FastApi);
    let ask = Request::get("/patients/7").with("Authorization", "Bearer a.doctor1");
    let [direct, stent] = pair.both().map(|side| side.send(&ask));
    same(&direct, &stent, Kept::Own, "the whole");
    // Each with the tag that it gave: through Stent it is the principal's own.
    let again = |whole: &Answer| ask.clone().with("If-None-Match", whole.header("etag"));
    let [bare, through] = pair.both();
    let (direct, confirmed) = (bare.send(&again(&direct)), through.send(&again(&stent)));
    same_not_modified(&direct, &confirmed, &stent, "the same");
    assert!(confirmed.is_hit());
    let other = ask.with("If-None-Match", "\"another\"");
    let [direct, stent] = pair.both().map(|side| side.send(&other));
    same(&direct, &stent, Kept::Own, "another");
    assert_eq!(stent.status, 200);
}

#[test]
fn what_reaches_the_origin() {
    let mut pair = Pair::of(Example::FastApi);
    let request = Request::get("/_echo/a%20b/%C3%A9?z=1&a=%41&z=2")
        .with("User-Agent", "reader/1")
        .with("X-Forwarded-For", "203.0.113.9")
        .with("X-Custom", "one")
        .with("X-Custom", "two")
        .with("Cookie", "theme=dark");
    let [direct, stent] = pair.both().map(|side| side.send(&request).json());
    // A proxy says who asked and that it was there, and does not repeat what strangers say about that.
    let ours = ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"];
    let strip = |mut echo: serde_json::Value| {
        let headers = echo["headers"].as_object_mut().expect("an object");
        ours.iter().for_each(|name| drop(headers.remove(*name)));
        echo
    };
    assert_eq!(stent["headers"]["x-forwarded-for"], "127.0.0.1");
    assert_eq!(strip(direct), strip(stent));
}

/// Each event when it happens: were they gathered on the way, all would come at the end together.
#[test]
fn events_come_as_they_happen() {
    let origin = Origin::start(Example::FastApi).ready();
    let stent = Stent::before(&origin);
    let mut connection = Connection::open(stent.address);
    let asked = Instant::now();
    connection.send(&Request::get("/events?n=4&gap_ms=300").with("Accept", "text/event-stream"));
    let mut incoming = connection.begin("GET");
    assert_eq!(incoming.status, 200);
    let head = asked.elapsed();
    let mut arrived = Vec::new();
    let mut text = String::new();
    while let Some(piece) = incoming.piece() {
        arrived.push(asked.elapsed());
        text.push_str(std::str::from_utf8(&piece).expect("text"));
    }
    let want: String = (1..=4).map(|n| format!("id: {n}\ndata: {{\"event\": {n}, \"of\": 4}}\n\n")).collect();
    assert_eq!(text, want);
    assert_eq!(arrived.len(), 4, "an event a piece: {arrived:?}");
    // The last is sent 900 ms after the first.
    let apart = arrived[3] - arrived[0].max(head);
    assert!(apart > Duration::from_millis(450), "they were gathered: {head:?}, {arrived:?}");
}
