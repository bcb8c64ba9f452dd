//! One GET of a client is one request to the origin at most: counted there, behind the middleware that such applications run
//! (sessions, CSRF, languages, GZip, CORS, conditions), under their own configurations and under the plain `origin` policy.
//!
//! Whatever an answer turns out to be, kept or not, nobody asks for it a second time: one-time links are used up by that, and
//! audits doubled. `STENT_EXCHANGES` sets how many exchanges are run (1 000 for each pair of application and configuration).

use std::collections::BTreeMap;

use crate::client::{Connection, Request};
use crate::process::{Example, Origin, Stent};

const PLAIN: &str = "server: {listen: \"127.0.0.1:0\"}\nadmin: {listen: \"127.0.0.1:0\"}\n\
    identity: {principal: [authorization, cookie.sessionid]}\n\
    upstreams: {app: {servers: [\"http://${ORIGIN}\"]}}\n\
    routes: [{name: all, path: /**, policy: origin}]\n";

#[test]
fn a_get_reaches_django_once() {
    let targets = [
        "/",
        "/login/",
        "/login/?next=/notes/",
        "/notes/",
        "/dashboard/",
        "/admin/",
        "/admin/login/",
        "/api/patients/",
        "/api/patients/7/",
        "/api/patients/8/?format=json",
        "/api/patients/7/encounters/",
        "/api/encounters/?page=2",
        "/api/me/",
        "/static-like/style.css",
        "/static/admin/css/base.css",
        "/media/xray.png",
        "/boom/",
        "/nothing/",
        "/api/patients/99999/",
        "/slow/?ms=1",
        "/reports/7/",
    ];
    let askers = |stent: &Stent| {
        let session = |user| crate::privacy::session(stent, user).headers[0].1.clone();
        vec![
            vec![],
            vec![("Authorization", "Token token-alice".to_owned())],
            vec![("Authorization", "Token token-bob".to_owned())],
            vec![("Authorization", "Token nobody".to_owned())],
            vec![("Cookie", session("alice"))],
            vec![("Cookie", format!("csrftoken=abc; {}", session("bob")))],
            vec![("Cookie", "csrftoken=0123456789abcdef0123456789abcdef".to_owned())],
        ]
    };
    let writes = ["/api/patients/7/", "/dashboard/"];
    exchanges(Example::Django, &targets, &writes, &askers);
}

#[test]
fn a_get_reaches_fastapi_once() {
    let targets = [
        "/patients",
        "/patients?limit=9999",
        "/patients?skip=1&limit=2",
        "/patients/7",
        "/patients/8",
        "/patients/99999",
        "/dashboard/stats",
        "/whoami",
        "/public/info",
        "/documents/big?mb=0",
        "/events?n=1",
        "/slow?ms=1",
        "/boom",
        "/nothing",
        "/openapi.json",
    ];
    let askers = |_: &Stent| {
        vec![
            vec![],
            vec![("Authorization", "Bearer timbuktu.doctor1".to_owned())],
            vec![("Authorization", "Bearer a.nurse1".to_owned())],
            vec![("Authorization", "Bearer b.nurse1".to_owned()), ("Cookie", "theme=dark".to_owned())],
        ]
    };
    exchanges(Example::FastApi, &targets, &["/patients/7"], &askers);
}

type Fields = Vec<(&'static str, String)>;

fn exchanges(example: Example, targets: &[&str], writes: &[&str], askers: &dyn Fn(&Stent) -> Vec<Fields>) {
    let many = std::env::var("STENT_EXCHANGES").ok().and_then(|many| many.parse().ok()).unwrap_or(1_000);
    for own in [true, false] {
        let origin = Origin::start(example).ready();
        let stent = if own { Stent::before(&origin) } else { Stent::by(PLAIN, origin.address) };
        let askers = askers(&stent);
        let mut dice = Dice(20_261_201);
        let mut client = Connection::open(stent.address);
        let (mut told, mut last) = (BTreeMap::<String, u64>::new(), counted(&origin));
        let mut etags = BTreeMap::<&str, String>::new();
        for number in 1..=many {
            let target = *dice.one_of(targets);
            let mut request = Request::get(target);
            for (name, value) in dice.one_of(&askers) {
                request = request.with(name, value);
            }
            request = dice.dress(request, etags.get(target));
            if dice.below(20) == 0 {
                let write = *dice.one_of(writes);
                let method = *dice.one_of(&["PATCH", "POST", "OPTIONS"]);
                request = Request { method: method.to_owned(), target: write.to_owned(), ..request }.json("{}");
            }
            let path = request.target.split('?').next().unwrap_or_default().to_owned();
            let answer = client.ask(&request);
            let status = answer.header("cache-status");
            // Who asked for a part of something leaves the rest of it on its way, and the next one may join that.
            *told.entry(path).or_default() += u64::from(status.contains("; fwd=") && !status.contains("; collapsed"));
            if answer.has("etag") {
                etags.insert(target, answer.header("etag").to_owned());
            }
            let now = counted(&origin);
            let asked: BTreeMap<String, u64> = now
                .iter()
                .map(|(path, count)| (path.clone(), count - last.get(path).unwrap_or(&0)))
                .filter(|(_, count)| *count > 0)
                .collect();
            told.retain(|_, count| *count > 0);
            assert_eq!(
                asked, told,
                "asked at the origin, and forwarded as Cache-Status says; up to number {number} {request:?} {status} {own} {:?}",
                answer.headers
            );
            (told, last) = (BTreeMap::new(), now);
        }
    }
}

fn counted(origin: &Origin) -> BTreeMap<String, u64> {
    serde_json::from_value(origin.counts()).expect("counts are numbers by path")
}

/// splitmix64: the same exchanges in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed >> 33) as usize) % limit
    }

    fn one_of<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }

    /// What browsers, their scripts and other clients add.
    fn dress(&mut self, mut request: Request, etag: Option<&String>) -> Request {
        let fields = [
            ("Accept-Encoding", "gzip, deflate, br"),
            ("Accept-Encoding", "identity"),
            ("Accept-Language", "fr, en"),
            ("Accept-Language", "de;q=0.5"),
            ("Origin", "https://app.keney.example"),
            ("Origin", "https://stranger.example"),
            ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
            ("Accept", "application/json"),
            ("Cache-Control", "no-cache"),
            ("Cache-Control", "max-age=0"),
            ("Range", "bytes=0-9"),
            ("X-Requested-With", "XMLHttpRequest"),
            ("Sec-Fetch-Mode", "navigate"),
        ];
        for _ in 0..self.below(4) {
            let (name, value) = *self.one_of(&fields);
            if !request.headers.iter().any(|(there, _)| there == name) {
                request = request.with(name, value);
            }
        }
        match etag {
            Some(etag) if self.below(4) == 0 => request.with("If-None-Match", etag),
            _ => request,
        }
    }
}
