//! What an origin's success says of who may have what is stored: a page to sign in at is no yes, and a 304 that anybody gets is
//! none either.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::coupling::detail;
use crate::scenario::{Asking, Gate, Origin, OriginBody, Reply, Seen, Stent, answer, eventually};

const LOGIN: &str = "<form>sign in</form>";

/// `/charts/<id>` by this `access`, shared in this way.
fn charts(share: &str, access: &str) -> String {
    format!(
        "identity: {{principal: [cookie.sessionid], facets: {{tenant: access.tenant}}}}\n\
         policies: {{chart: {{share: {share}, access: {access}, ttl: 1h}}}}\n\
         routes:\n  - {{name: chart, path: /charts/<id>, policy: chart}}\n  - {{name: rest, path: /**}}\n"
    )
}

fn chart(stent: &Stent, who: &str) -> Asking {
    stent.client().get("/charts/7").cookie(&format!("sessionid={who}"))
}

fn session(seen: &Seen) -> &str {
    seen.header("cookie").and_then(|cookie| cookie.strip_prefix("sessionid=")).unwrap_or("")
}

type Sessions = Arc<Mutex<HashSet<String>>>;

/// An origin that answers whoever has no session of `alive` with its page to sign in at, by 200.
struct FormLogin {
    alive: Sessions,
    origin: Origin,
}

/// How charts and the page look, beside their bodies.
#[derive(Clone, Copy)]
struct Looks {
    chart: &'static str,
    chart_tag: Option<&'static str>,
    login_tag: Option<&'static str>,
    /// Whether a question that is asked at a path of its own says so by 204 or by JSON.
    authz: &'static str,
}

impl FormLogin {
    async fn open(looks: Looks) -> FormLogin {
        let alive = Sessions::default();
        alive.lock().unwrap().extend(["alice".to_owned(), "bob".to_owned()]);
        let sessions = alive.clone();
        let origin = Origin::start(move |seen: Seen| {
            let known = sessions.lock().unwrap().contains(session(&seen));
            async move { page(&seen, known, looks) }
        })
        .await;
        FormLogin { alive, origin }
    }

    fn end(&self, session: &str) {
        self.alive.lock().unwrap().remove(session);
    }
}

fn page(seen: &Seen, known: bool, looks: Looks) -> hyper::Response<OriginBody> {
    let with_tag = |media: &str, tag: Option<&str>, body: &str| {
        let fields: Vec<_> = [("content-type", media)].into_iter().chain(tag.map(|tag| ("etag", tag))).collect();
        match tag.is_some() && seen.header("if-none-match") == tag {
            true => answer(304, &fields[1..], ""),
            false => answer(200, &fields, body.to_owned()),
        }
    };
    match (known, seen.path().starts_with("/authz")) {
        (false, _) => with_tag("text/html; charset=utf-8", looks.login_tag, LOGIN),
        (true, true) if looks.authz == "204" => answer(204, &[], ""),
        (true, true) => with_tag("application/json", None, looks.authz),
        (true, false) => with_tag(looks.chart, looks.chart_tag, "chart of patient 7"),
    }
}

#[tokio::test]
async fn a_page_to_sign_in_at_lets_nobody_have_a_chart() {
    for (share, access) in [
        ("permitted", "{ask: /authz/<id>}"),
        ("permitted", "{ask: /authz/<id>, for: 10m}"),
        ("[tenant]", "{ask: /authz/<id>, for: 10m}"),
        ("permitted", "{ask: self}"),
        ("permitted", "{ask: self, for: 10m}"),
    ] {
        for media in ["text/plain", "text/html", "application/json"] {
            for chart_tag in [None, Some("\"c1\"")] {
                for login_tag in [None, Some("\"l1\"")] {
                    for stranger_first in [true, false] {
                        let authz = r#"{"tenant": "a"}"#;
                        let clinic = FormLogin::open(Looks { chart: media, chart_tag, login_tag, authz }).await;
                        let stent = Stent::start(clinic.origin.address, &charts(share, access));
                        let cell = format!(
                            "{share} {access} {media} {chart_tag:?} {login_tag:?} stranger first: {stranger_first}"
                        );
                        let order: &[&str] = match stranger_first {
                            true => &["eve", "alice", "eve", "alice", "bob", "eve", "bob", "alice"],
                            false => &["alice", "eve", "alice", "alice", "eve", "bob", "bob", "alice", "eve"],
                        };
                        for who in order {
                            let reply = chart(&stent, who).send().await;
                            let want = if *who == "eve" { LOGIN } else { "chart of patient 7" };
                            assert_eq!((reply.status, reply.text().as_str()), (200, want), "{cell}: {who}");
                        }
                        // It is worth something, too: what is clearly no page to sign in at is shared.
                        let last = [chart(&stent, "alice").send().await, chart(&stent, "alice").send().await];
                        let stays = !stranger_first || access.contains("authz");
                        let known = access.contains("authz") || chart_tag.is_some();
                        if access.contains("for") && media == "text/plain" && stays && known {
                            assert!(last[1].is_hit(), "{cell}: {}", last[1].cache());
                        }
                        // A session that ends while a yes is kept for it shows nobody a page to sign in at but its owner.
                        clinic.end("bob");
                        stent.clock.advance(Duration::from_secs(11 * 60));
                        assert_eq!(chart(&stent, "bob").send().await.text(), LOGIN, "{cell}");
                        assert_eq!(chart(&stent, "alice").send().await.text(), "chart of patient 7", "{cell}");
                        assert_eq!(chart(&stent, "bob").send().await.text(), LOGIN, "{cell}");
                    }
                }
            }
        }
    }
}

/// Many say to strangers in JSON, by a 200, that they are to sign in. By `ask: self` the answer is the yes, so it is one to this
/// very version and to none that takes its place.
#[tokio::test]
async fn a_success_that_says_to_sign_in_in_the_charts_own_form_is_no_yes_to_the_chart() {
    for media in ["application/json", "text/plain", "application/xml", "image/png"] {
        for (chart_tag, no_tag) in [
            (None, None),
            (Some(("etag", "\"c\"")), Some(("etag", "\"n\""))),
            (Some(("last-modified", MODIFIED)), None),
            (Some(("etag", "\"c\"")), None),
            (None, Some(("etag", "\"n\""))),
        ] {
            let origin = Origin::start(move |seen: Seen| async move {
                let (tag, body) = match session(&seen) {
                    "alice" | "bob" => (chart_tag, "chart of patient 7"),
                    _ => (no_tag, r#"{"result": false}"#),
                };
                let fields: Vec<_> = [("content-type", media)].into_iter().chain(tag).collect();
                let says = |name: &str| {
                    tag.is_some_and(|(own, value)| own == name && seen.header("if-none-match") == Some(value))
                };
                if says("etag") { answer(304, &fields[1..], "") } else { answer(200, &fields, body) }
            })
            .await;
            for access in ["{ask: self}", "{ask: self, for: 10m}"] {
                for order in [["eve", "alice", "eve", "bob", "eve"], ["alice", "eve", "alice", "eve", "alice"]] {
                    let stent = Stent::start(origin.address, &charts("permitted", access));
                    for who in order {
                        for _ in 0..2 {
                            let reply = chart(&stent, who).send().await;
                            let want = if who == "eve" { r#"{"result": false}"# } else { "chart of patient 7" };
                            assert_eq!(
                                reply.text(),
                                want,
                                "{who} {media} {chart_tag:?} {no_tag:?} {access} {order:?}: {}",
                                reply.cache()
                            );
                        }
                    }
                    let hers = [chart(&stent, "alice").send().await, chart(&stent, "alice").send().await];
                    let keeps = chart_tag.is_some() && access.contains("for");
                    assert!(
                        !keeps || hers[1].is_hit(),
                        "{media} {chart_tag:?} {no_tag:?} {access}: {}",
                        hers[1].cache()
                    );
                }
            }
        }
    }
}

/// What is stale is fetched by whoever comes first, and that may be somebody who is not let in any more.
#[tokio::test]
async fn a_page_to_sign_in_at_takes_no_charts_place() {
    for (share, access) in [("[tenant]", "{ask: /authz/<id>, for: 10h}"), ("permitted", "{ask: /authz/<id>, for: 10h}")]
    {
        for (media, tag) in [("text/plain", None), ("text/plain", Some("\"c1\"")), ("text/html", Some("\"c1\""))] {
            for stale in [false, true] {
                let looks = Looks { chart: media, chart_tag: tag, login_tag: None, authz: r#"{"tenant": "a"}"# };
                let clinic = FormLogin::open(looks).await;
                let stent = Stent::start(clinic.origin.address, &charts(share, access));
                let cell = format!("{share} {media} {tag:?} stale: {stale}");
                for who in ["alice", "bob"] {
                    assert_eq!(chart(&stent, who).send().await.text(), "chart of patient 7", "{cell}");
                }
                // Bob's session ends; his yes is still kept, and he makes the origin be asked.
                clinic.end("bob");
                if stale {
                    stent.clock.advance(Duration::from_secs(2 * 3600));
                }
                let bobs = chart(&stent, "bob").header("cache-control", "no-cache").send().await;
                assert_eq!((bobs.text().as_str(), bobs.is_hit()), (LOGIN, false), "{cell}: {}", bobs.cache());
                let hers = chart(&stent, "alice").send().await;
                assert_eq!(hers.text(), "chart of patient 7", "{cell}");
                // What is fresh stays; what is stale ended, so that an origin may change its mind.
                assert_eq!(hers.is_hit(), !stale, "{cell}: {}", hers.cache());
                assert!(chart(&stent, "alice").send().await.is_hit(), "{cell}");
            }
        }
    }
}

/// The page that one who waits is told of is not the one that somebody else was shown.
#[tokio::test]
async fn who_waits_for_a_chart_is_given_no_page_to_sign_in_at() {
    let (gate, waits) = (Gate::default(), Arc::new(AtomicBool::new(false)));
    let (gated, waiting) = (gate.clone(), waits.clone());
    let origin = Origin::start(move |seen: Seen| {
        let (gate, waits) = (gated.clone(), waiting.load(Ordering::SeqCst));
        async move {
            if seen.path().starts_with("/authz") {
                return answer(200, &[("content-type", "application/json")], r#"{"tenant": "a"}"#);
            }
            if waits {
                gate.pass().await;
            }
            match session(&seen) {
                "alice" => answer(200, &[("content-type", "text/plain"), ("etag", "\"c1\"")], "chart"),
                _ => answer(200, &[("content-type", "text/html")], LOGIN),
            }
        }
    })
    .await;
    for share in ["[tenant]", "permitted"] {
        waits.store(false, Ordering::SeqCst);
        let stent = Stent::start(origin.address, &charts(share, "{ask: /authz/<id>, for: 10h}"));
        assert_eq!(chart(&stent, "alice").send().await.text(), "chart");
        chart(&stent, "dead").send().await;
        stent.clock.advance(Duration::from_secs(2 * 3600));
        waits.store(true, Ordering::SeqCst);
        let before = origin.count("/charts/7");
        let dead = tokio::spawn(chart(&stent, "dead").send());
        crate::scenario::eventually(|| origin.count("/charts/7") == before + 1).await;
        let alice = tokio::spawn(chart(&stent, "alice").send());
        crate::scenario::eventually(|| stent.cache().flights.waiting() == 2).await;
        gate.open(100);
        assert_eq!(dead.await.unwrap().text(), LOGIN, "{share}");
        assert_eq!(alice.await.unwrap().text(), "chart", "{share}");
        gate.close();
    }
}

/// What a question is answered with, and whether that is a yes.
#[tokio::test]
async fn only_what_is_said_to_be_a_yes_is_one() {
    const JSON: &str = "application/json";
    let cases: [(&str, u16, &str, &str, bool); 26] = [
        ("", 204, "", "", true),
        ("", 200, JSON, r#"{"tenant": "a"}"#, true),
        ("", 200, "text/plain", "ok", true),
        ("", 200, "text/html", "<form>", false),
        ("", 200, "application/xhtml+xml", "<form>", false),
        ("", 200, "", "<form>", false),
        ("", 200, JSON, r#"{"result": false}"#, false),
        ("", 200, JSON, r#"{"result": {"allow": false, "tenant": "a"}}"#, false),
        ("", 200, JSON, r#"{"allowed": null}"#, false),
        ("", 200, JSON, "false", false),
        ("", 200, JSON, "<form>", false),
        ("", 302, "text/plain", "", false),
        ("", 401, JSON, "{}", false),
        ("", 403, JSON, r#"{"result": true}"#, false),
        ("yes: 204", 204, "", "", true),
        ("yes: 204", 200, JSON, r#"{"tenant": "a"}"#, false),
        ("yes: 204", 202, "text/plain", "", false),
        ("yes: 200", 200, "text/html", "<p>yes", true),
        ("yes: 200", 204, "", "", false),
        ("yes: {json: allowed}", 200, JSON, r#"{"allowed": true, "tenant": "a"}"#, true),
        ("yes: {json: allowed}", 200, JSON, r#"{"allowed": false}"#, false),
        ("yes: {json: allowed}", 200, JSON, r#"{"allowed": "true"}"#, false),
        ("yes: {json: allowed}", 200, JSON, r#"{"result": true}"#, false),
        ("yes: {json: allowed}", 204, "", "", false),
        ("yes: {json: result.allow}", 200, JSON, r#"{"result": {"allow": true}, "tenant": "a"}"#, true),
        ("yes: {json: allowed}", 403, JSON, r#"{"allowed": true}"#, false),
    ];
    for (yes, status, media, body, want) in cases {
        for keep in ["", ", for: 10m"] {
            let origin = Origin::start(move |seen: Seen| async move {
                let is_alice = session(&seen) == "alice";
                match seen.path() {
                    "/authz/7" if !is_alice => {
                        let fields = [("content-type", media)];
                        answer(status, if media.is_empty() { &[] } else { &fields }, body)
                    }
                    // Hers is a yes under each of the policies.
                    "/authz/7" if yes == "yes: 204" => answer(204, &[], ""),
                    "/authz/7" => {
                        let said = r#"{"allowed": true, "result": {"allow": true}, "tenant": "a"}"#;
                        answer(200, &[("content-type", JSON)], said)
                    }
                    _ if is_alice => answer(200, &[("content-type", "text/plain")], "chart"),
                    _ => answer(200, &[("content-type", "text/html")], LOGIN),
                }
            })
            .await;
            let comma = if yes.is_empty() { "" } else { ", " };
            let access = format!("{{ask: /authz/<id>{comma}{yes}{keep}}}");
            let stent = Stent::start(origin.address, &charts("permitted", &access));
            chart(&stent, "alice").send().await;
            assert!(chart(&stent, "alice").send().await.is_hit(), "{access}");
            for _ in 0..2 {
                let his = chart(&stent, "bob").send().await;
                let cell = format!("{access} {status} {media} {body}: {}", his.cache());
                assert_eq!(his.is_hit(), want, "{cell}");
                assert_eq!(his.text().contains("chart"), want, "{cell}");
                if !want && status < 300 {
                    assert_eq!((detail(&his), his.text().as_str()), ("access-denied", LOGIN), "{cell}");
                }
                let head = stent.client().ask("HEAD", "/charts/7").cookie("sessionid=bob").send().await;
                assert_eq!(head.is_hit(), want, "HEAD {cell}");
                let part = chart(&stent, "bob").header("range", "bytes=0-3").send().await;
                assert_eq!(part.text().contains("char"), want, "range {cell}");
            }
            assert!(chart(&stent, "alice").send().await.is_hit(), "{access}: hers is still there");
        }
    }
}

/// An origin with a filter in front of it that answers conditions before anybody looks at who asks.
#[derive(Clone, Default)]
struct Hasty {
    /// Whether the filter is there.
    hasty: Arc<AtomicBool>,
    ill: Arc<AtomicBool>,
    probes: Arc<AtomicUsize>,
    conditions: Arc<AtomicUsize>,
}

const MODIFIED: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

impl Hasty {
    async fn open(&self, validators: &'static [(&'static str, &'static str)], refusal: u16) -> Origin {
        let hasty = self.clone();
        Origin::start(move |seen: Seen| {
            let hasty = hasty.clone();
            async move { hasty.answer(&seen, validators, refusal) }
        })
        .await
    }

    fn answer(&self, seen: &Seen, validators: &[(&str, &str)], refusal: u16) -> hyper::Response<OriginBody> {
        let is_asked = seen.header("if-none-match").is_some() || seen.header("if-modified-since").is_some();
        let by_tag = seen.header("if-none-match") == Some("\"v1\"");
        let by_date = seen.header("if-none-match").is_none() && seen.header("if-modified-since") == Some(MODIFIED);
        let nobody = seen.header("cookie").is_none();
        self.conditions.fetch_add(usize::from(is_asked && !nobody), Ordering::SeqCst);
        if is_asked && nobody {
            self.probes.fetch_add(1, Ordering::SeqCst);
            if self.ill.load(Ordering::SeqCst) {
                return answer(503, &[], "ill");
            }
        }
        let allowed = ["alice", "bob", "carol"].contains(&session(seen));
        if (by_tag || by_date) && (allowed || self.hasty.load(Ordering::SeqCst)) {
            return answer(304, validators, "");
        }
        if !allowed {
            let fields: &[_] =
                if refusal == 302 { &[("location", "/sign-in")] } else { &[("content-type", "text/html")] };
            return answer(refusal, fields, LOGIN);
        }
        let fields: Vec<_> = [("content-type", "text/plain")].iter().chain(validators).copied().collect();
        answer(200, &fields, "chart of patient 7")
    }

    fn probes(&self) -> usize {
        self.probes.load(Ordering::SeqCst)
    }

    fn conditions(&self) -> usize {
        self.conditions.load(Ordering::SeqCst)
    }
}

const VALIDATORS: [&[(&str, &str)]; 3] =
    [&[("etag", "\"v1\"")], &[("last-modified", MODIFIED)], &[("etag", "\"v1\""), ("last-modified", MODIFIED)]];

fn is_chart(reply: &Reply) -> bool {
    reply.status == 200 && reply.text() == "chart of patient 7"
}

#[tokio::test]
async fn a_304_that_anybody_gets_lets_nobody_have_a_chart() {
    for validators in VALIDATORS {
        for refusal in [401, 403, 302, 404, 200] {
            for keep in ["", ", for: 10m"] {
                let hasty = Hasty::default();
                hasty.hasty.store(true, Ordering::SeqCst);
                let origin = hasty.open(validators, refusal).await;
                let yaml = charts("permitted", &format!("{{ask: self{keep}}}"));
                let stent = Stent::start(origin.address, &yaml);
                let cell = format!("{validators:?} {refusal} {keep}");
                assert!(is_chart(&chart(&stent, "alice").send().await), "{cell}");
                for _ in 0..3 {
                    let eve = chart(&stent, "eve").send().await;
                    assert_eq!((eve.status, eve.text().as_str()), (refusal, LOGIN), "{cell}: {}", eve.cache());
                    let head = stent.client().ask("HEAD", "/charts/7").cookie("sessionid=eve").send().await;
                    assert_eq!((head.status, head.header("etag")), (refusal, ""), "{cell}: {}", head.cache());
                    let part = chart(&stent, "eve").header("range", "bytes=0-4").send().await;
                    assert!(!part.text().contains("chart"), "{cell}: {}", part.cache());
                    assert!(is_chart(&chart(&stent, "bob").send().await), "{cell}");
                    assert!(is_chart(&chart(&stent, "alice").send().await), "{cell}");
                }
                // It was found out once, and the origin is asked for the whole from then on.
                assert_eq!((hasty.probes(), hasty.conditions()), (1, 0), "{cell}");
                // A reload forgets it; so it is found out again, whatever the origin is now.
                stent.reload(origin.address, &yaml.replace("ttl: 1h", "ttl: 2h"));
                assert!(is_chart(&chart(&stent, "alice").send().await), "{cell}");
                assert_eq!(chart(&stent, "eve").send().await.status, refusal, "{cell}");
                chart(&stent, "eve").send().await;
                assert_eq!((hasty.probes(), hasty.conditions()), (2, 0), "{cell}");
                hasty.hasty.store(false, Ordering::SeqCst);
                stent.reload(origin.address, &yaml);
                for who in ["alice", "alice", "bob", "bob", "carol"] {
                    assert!(is_chart(&chart(&stent, who).send().await), "{cell}");
                }
                let tells = refusal != 404 && refusal != 200;
                assert_eq!(hasty.probes() == 3, tells, "{cell}");
                assert_eq!(hasty.conditions() > 0, tells, "{cell}: a 304 counts again");
            }
        }
    }
}

#[tokio::test]
async fn a_304_of_an_origin_that_looks_at_who_asks_is_a_yes() {
    for validators in VALIDATORS {
        for refusal in [401, 403, 302, 404, 200] {
            let careful = Hasty::default();
            let origin = careful.open(validators, refusal).await;
            let stent = Stent::start(origin.address, &charts("permitted", "{ask: self, for: 10m}"));
            let cell = format!("{validators:?} {refusal}");
            chart(&stent, "alice").send().await;
            assert!(chart(&stent, "alice").send().await.is_hit(), "{cell}");
            // The first is asked for as a whole: only what it brings proves that what is stored was not out of date.
            let bob = chart(&stent, "bob").send().await;
            assert!(is_chart(&bob) && bob.cache().contains("fwd-status=200"), "{cell}: {}", bob.cache());
            assert!(chart(&stent, "bob").send().await.is_hit(), "{cell}");
            let tells = refusal != 404 && refusal != 200;
            let carol = chart(&stent, "carol").send().await;
            let status = if tells { "fwd-status=304" } else { "fwd-status=200" };
            assert!(is_chart(&carol) && carol.cache().contains(status), "{cell}: {}", carol.cache());
            for _ in 0..20 {
                assert_eq!(chart(&stent, "eve").send().await.status, refusal, "{cell}");
            }
            assert_eq!(careful.probes(), if tells { 1 } else { 8 }, "{cell}: it is not tried for ever");
            // Nobody was told of it with anybody's credentials.
            let asked = origin.seen();
            let probe = asked.iter().find(|seen| !seen.headers.contains_key("cookie")).expect("it was found out");
            assert_eq!(probe.header("authorization"), None, "{cell}");
        }
    }
}

#[tokio::test]
async fn many_who_ask_first_are_each_judged_by_what_is_found_out() {
    for hasty in [true, false] {
        let filter = Hasty::default();
        filter.hasty.store(hasty, Ordering::SeqCst);
        let origin = filter.open(VALIDATORS[0], 403).await;
        let stent = Stent::start(origin.address, &charts("permitted", "{ask: self, for: 10m}"));
        chart(&stent, "alice").send().await;
        let crowd = ["eve", "bob", "mallory", "bob", "eve", "alice", "trudy", "bob"];
        let asking: Vec<_> = crowd.iter().map(|who| (who, tokio::spawn(chart(&stent, who).send()))).collect();
        for (who, one) in asking {
            let reply = one.await.unwrap();
            let may = ["alice", "bob"].contains(who);
            assert_eq!(
                (is_chart(&reply), reply.status == 403),
                (may, !may),
                "{who}, hasty: {hasty}: {}",
                reply.cache()
            );
        }
        let found = filter.probes();
        assert!((1..=crowd.len()).contains(&found), "{found}");
        assert!(!hasty || filter.conditions() == 0);
        for who in ["eve", "mallory"] {
            assert_eq!(chart(&stent, who).send().await.status, 403, "{who}");
        }
        assert!(!hasty || filter.probes() == found, "and is known from then on");
    }
}

#[tokio::test]
async fn an_origin_that_is_ill_when_it_is_to_be_found_out_says_nothing() {
    let hasty = Hasty::default();
    hasty.hasty.store(true, Ordering::SeqCst);
    let origin = hasty.open(VALIDATORS[0], 403).await;
    let stent = Stent::start(origin.address, &charts("permitted", "{ask: self, for: 10m}"));
    chart(&stent, "alice").send().await;
    hasty.ill.store(true, Ordering::SeqCst);
    for number in 1..=3 {
        assert_eq!(chart(&stent, "eve").send().await.status, 403);
        assert_eq!((hasty.probes(), hasty.conditions()), (number, 0), "asked for the whole, and found out anew");
    }
    hasty.ill.store(false, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(chart(&stent, "eve").send().await.status, 403);
    }
    assert_eq!((hasty.probes(), hasty.conditions()), (4, 0));
    assert!(is_chart(&chart(&stent, "bob").send().await));
}

/// Every filter's 304 counts for nothing, whatever was found out when what is stored was out of date, and about whichever view.
#[tokio::test]
async fn what_was_refused_for_an_old_version_proves_nothing_of_the_next() {
    let version = Arc::new(AtomicUsize::new(1));
    let origin = Origin::start({
        let version = version.clone();
        move |seen: Seen| {
            let number = version.load(Ordering::SeqCst);
            async move {
                let tag = format!("\"v{number}\"");
                // A filter in front of some views.
                if !seen.path().contains("summary") && seen.header("if-none-match") == Some(tag.as_str()) {
                    return answer(304, &[("etag", &tag)], "");
                }
                match ["alice", "bob", "carol"].contains(&session(&seen)) {
                    true => answer(200, &[("content-type", "text/plain"), ("etag", &tag)], "chart of patient 7"),
                    false => answer(403, &[("content-type", "text/plain")], "no"),
                }
            }
        }
    })
    .await;
    let stent = Stent::start(
        origin.address,
        &charts("permitted", "{ask: self, for: 10m}").replace("/charts/<id>", "/charts/**"),
    );
    let get = |path: &str, who: &str| stent.client().get(path).cookie(&format!("sessionid={who}"));
    // A view that looks first says nothing of another behind the same route.
    for who in ["alice", "bob", "carol"] {
        assert!(is_chart(&get("/charts/summary/7", who).send().await), "{who}");
    }
    assert!(is_chart(&get("/charts/7", "alice").send().await));
    // The record changes; whoever asks now is refused, and so is nobody.
    version.store(2, Ordering::SeqCst);
    assert_eq!(get("/charts/7", "eve").send().await.status, 403);
    assert!(is_chart(&get("/charts/7", "alice").send().await));
    assert!(is_chart(&get("/charts/7", "bob").send().await));
    for _ in 0..3 {
        assert_eq!(get("/charts/7", "eve").send().await.status, 403);
    }
    assert!(is_chart(&get("/charts/9", "alice").send().await));
    for (path, who) in [("/charts/7", "mallory"), ("/charts/9", "mallory"), ("/charts/summary/7", "mallory")] {
        assert_eq!(get(path, who).send().await.status, 403, "{path}");
    }
}

/// What answers HEAD may not look at who asks: it lets nobody have what GET shows.
#[tokio::test]
async fn an_answer_to_head_is_no_yes() {
    for tag in ["\"v1\"", "\"v2\""] {
        let origin = Origin::start(move |seen: Seen| async move {
            let may = session(&seen) == "alice";
            match (seen.method.as_str(), may) {
                ("HEAD", _) => answer(200, &[("content-type", "text/plain"), ("etag", "\"v1\"")], ""),
                (_, true) => answer(200, &[("content-type", "text/plain"), ("etag", tag)], "chart of patient 7"),
                (_, false) => answer(403, &[("content-type", "text/plain")], "no"),
            }
        })
        .await;
        let stent = Stent::start(origin.address, &charts("permitted", "{ask: self, for: 10m}"));
        assert!(is_chart(&chart(&stent, "alice").send().await));
        for _ in 0..3 {
            stent.client().ask("HEAD", "/charts/7").cookie("sessionid=eve").send().await;
            let eve = chart(&stent, "eve").send().await;
            assert_eq!(eve.status, 403, "{tag}: {}", eve.cache());
        }
    }
}

/// The session ended while its yes is kept: what the origin says to them now takes nobody's chart away.
#[tokio::test]
async fn a_yes_that_is_kept_fetches_nothing_for_others() {
    for share in ["permitted", "[tenant]"] {
        let alive = Arc::new(AtomicBool::new(true));
        let is_alive = alive.clone();
        let origin = Origin::start(move |seen: Seen| {
            let known = session(&seen) != "alice" || is_alive.load(Ordering::SeqCst);
            async move {
                match (known, seen.path()) {
                    (false, _) => answer(200, &[("content-type", "text/html")], LOGIN),
                    (_, "/authz") => answer(200, &[("content-type", "application/json")], r#"{"tenant": "north"}"#),
                    _ => answer(200, &[("content-type", "text/html")], "chart of patient 7"),
                }
            }
        })
        .await;
        let yaml = charts(share, "{ask: /authz, for: 1h}").replace("ttl: 1h", "ttl: 1m");
        let stent = Stent::start(origin.address, &yaml);
        for who in ["alice", "bob"] {
            assert!(is_chart(&chart(&stent, who).send().await), "{who}");
        }
        assert!(chart(&stent, "alice").send().await.is_hit());
        alive.store(false, Ordering::SeqCst);
        stent.clock.advance(Duration::from_secs(90));
        assert_eq!(chart(&stent, "alice").send().await.text(), LOGIN);
        let bob = chart(&stent, "bob").send().await;
        assert!(is_chart(&bob), "{share}: {}", bob.cache());
        assert_eq!(chart(&stent, "alice").send().await.text(), LOGIN, "{share}: her yes has ended");
    }
}

/// Whoever is refused has no yes any more.
#[tokio::test]
async fn ones_own_refusal_ends_ones_own_yes() {
    for status in [403, 404, 410, 302] {
        for keep in ["{ask: self, for: 1h}", "{ask: /authz, for: 1h}"] {
            let refused = Arc::new(AtomicBool::new(false));
            let is_refused = refused.clone();
            let origin = Origin::start(move |seen: Seen| {
                let known = session(&seen) != "alice" || !is_refused.load(Ordering::SeqCst);
                async move {
                    match known {
                        false => answer(status, &[("location", "/sign-in")], "no"),
                        true => {
                            answer(200, &[("content-type", "text/plain"), ("etag", "\"v1\"")], "chart of patient 7")
                        }
                    }
                }
            })
            .await;
            let yaml = charts("permitted", keep).replace("ttl: 1h", "ttl: 1m");
            let stent = Stent::start(origin.address, &yaml);
            assert!(is_chart(&chart(&stent, "alice").send().await));
            assert!(is_chart(&chart(&stent, "bob").send().await));
            assert!(chart(&stent, "alice").send().await.is_hit(), "{keep}");
            refused.store(true, Ordering::SeqCst);
            stent.clock.advance(Duration::from_secs(90));
            assert_eq!(chart(&stent, "alice").send().await.status, status, "{keep}");
            // Somebody else makes it fresh again.
            assert!(is_chart(&chart(&stent, "bob").send().await));
            let alice = chart(&stent, "alice").send().await;
            assert_eq!(alice.status, status, "{keep}: {}", alice.cache());
        }
    }
}

/// A yes that was asked for before a no came, and comes after it.
#[tokio::test]
async fn an_older_yes_that_comes_after_a_no_is_not_kept() {
    for keep in ["{ask: self, for: 1h}", "{ask: /authz, for: 1h}"] {
        let (gate, asked) = (Gate::default(), Arc::<AtomicUsize>::default());
        let (held, number) = (gate.clone(), asked.clone());
        let decides = if keep.contains("self") { "/charts/7" } else { "/authz" };
        let origin = Origin::start(move |seen: Seen| {
            let is_alices = session(&seen) == "alice" && seen.path() == decides;
            let (held, number) = (held.clone(), is_alices.then(|| number.fetch_add(1, Ordering::SeqCst)));
            async move {
                if number == Some(0) {
                    held.pass().await;
                }
                match number {
                    Some(1..) => answer(403, &[], "no"),
                    _ => answer(200, &[("content-type", "text/plain"), ("etag", "\"v1\"")], "chart of patient 7"),
                }
            }
        })
        .await;
        let stent = Stent::start(origin.address, &charts("permitted", keep));
        assert!(is_chart(&chart(&stent, "bob").send().await));
        let older = tokio::spawn(chart(&stent, "alice").send());
        eventually(|| asked.load(Ordering::SeqCst) == 1).await;
        // Nobody who asks for the same overtakes her first request; HEAD does.
        let newer = stent.client().ask("HEAD", "/charts/7").cookie("sessionid=alice").send().await;
        assert_eq!(newer.status, 403, "{keep}: {}", newer.cache());
        gate.open(1);
        older.await.unwrap();
        let alice = chart(&stent, "alice").send().await;
        assert_eq!(alice.status, 403, "{keep}: {}", alice.cache());
    }
}

/// A gateway that wants something to be shown, then a cache of answers that judges conditions, and the application last.
#[tokio::test]
async fn a_304_for_whoever_shows_anything_lets_nobody_have_a_chart() {
    for (field, name) in [("cookie", "cookie.sessionid"), ("authorization", "authorization")] {
        for keep in ["", ", for: 10m"] {
            let origin = Origin::start(move |seen: Seen| async move {
                let shown = seen.header(field).map(str::to_owned);
                let Some(shown) = shown else { return answer(401, &[], "who?") };
                if seen.header("if-none-match") == Some("\"v1\"") {
                    return answer(304, &[("etag", "\"v1\"")], "");
                }
                match ["alice", "bob", "carol"].iter().any(|known| shown.ends_with(known)) {
                    true => answer(200, &[("etag", "\"v1\""), ("content-type", "text/plain")], "chart of patient 7"),
                    false => answer(401, &[], "nobody that is known"),
                }
            })
            .await;
            let yaml = charts("permitted", &format!("{{ask: self{keep}}}"));
            let yaml = yaml.replace("principal: [cookie.sessionid]", &format!("principal: [{name}]"));
            let stent = Stent::start(origin.address, &yaml);
            let ask = |who: &str| {
                let shown = if field == "cookie" { format!("sessionid={who}") } else { format!("Bearer {who}") };
                stent.client().get("/charts/7").header(field, &shown)
            };
            for who in ["alice", "bob", "carol", "bob"] {
                assert!(is_chart(&ask(who).send().await), "{field}{keep} {who}");
            }
            for who in ["eve", "mallory", "eve"] {
                let reply = ask(who).send().await;
                assert_eq!((reply.status, reply.text().as_str()), (401, "nobody that is known"), "{field}{keep}");
            }
        }
    }
}
