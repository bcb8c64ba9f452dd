//! Who is let see what others see: by what a token proves, by what a trusted proxy says, by the origin's own word.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use crate::scenario::{Client, Counter, Gate, Origin, Seen, Stent, answer, eventually};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const OTHER: &[u8] = b"fedcba9876543210fedcba9876543210";

const TEAM: &str = "
identity:
  principal: [authorization, cookie.sessionid]
  jwt: {keys: {file: tests/it/jwks.json}}
  facets: {tenant: jwt.tenant, role: jwt.role}
policies: {team: {share: [tenant, role], access: token, ttl: 300s}}
routes:
  - {name: stats, path: /stats/**, policy: team, tags: ['stats:<tenant>'], purges: ['stats:<tenant>']}
";

fn in_seconds(seconds: u64) -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_secs() + seconds
}

fn signed(claims: &Value, secret: &[u8]) -> String {
    encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// A token of this tenant and role; `sub` tells people apart.
fn token(tenant: &str, role: &str, sub: &str) -> String {
    signed(&json!({"exp": in_seconds(60), "tenant": tenant, "role": role, "sub": sub}), SECRET)
}

/// Answers with the number of the request, and 401 to those who are not among the known.
async fn guarded(known: &Arc<Mutex<HashSet<String>>>) -> Origin {
    let (known, counter) = (known.clone(), Counter::default());
    Origin::start(move |seen: Seen| {
        let bearer = seen.header("authorization").and_then(|text| text.strip_prefix("Bearer ")).unwrap_or("");
        let welcome = known.lock().unwrap().contains(bearer);
        let number = counter.next(seen.path());
        async move {
            match welcome {
                true => answer(200, &[], format!("secret #{number}")),
                false => answer(401, &[("www-authenticate", "Bearer")], "who are you?"),
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_team_shares_by_what_its_tokens_prove() {
    let (ann, ben) = (token("a", "doctor", "ann"), token("a", "doctor", "ben"));
    let (nurse, other) = (token("a", "nurse", "nic"), token("b", "doctor", "bob"));
    let known = [&ann, &ben, &nurse, &other].map(String::clone);
    let known = Arc::new(Mutex::new(HashSet::from(known)));
    let origin = guarded(&known).await;
    let stent = Stent::start(origin.address, TEAM);
    let client = stent.client();
    let first = client.get("/stats/1").bearer(&ann).send().await;
    assert_eq!((first.text().as_str(), first.header("cache-control")), ("secret #1", "private, no-cache"));
    assert_eq!(origin.last("/stats/1").header("authorization"), Some(format!("Bearer {ann}").as_str()));
    let shared = client.get("/stats/1").bearer(&ben).send().await;
    assert!(shared.is_hit(), "{}", shared.cache());
    assert_eq!((shared.text().as_str(), shared.header("cache-control")), ("secret #1", "private, no-cache"));
    assert_eq!(client.get("/stats/1").bearer(&nurse).send().await.text(), "secret #2", "another role");
    assert_eq!(client.get("/stats/1").bearer(&other).send().await.text(), "secret #3", "another tenant");
    assert!(client.get("/stats/1").bearer(&other).send().await.is_hit());

    // Purged by the tenant's name, and only theirs.
    stent.purge(json!({"tags": ["stats:b"]})).await;
    assert!(client.get("/stats/1").bearer(&ann).send().await.is_hit());
    assert!(!client.get("/stats/1").bearer(&other).send().await.is_hit());
    // A write purges its own tenant's, as far as its token says.
    client.get("/stats/2").bearer(&ann).send().await;
    client.ask("POST", "/stats/3").bearer(&ann).send().await;
    assert!(!client.get("/stats/2").bearer(&ann).send().await.is_hit());
    assert!(client.get("/stats/1").bearer(&other).send().await.is_hit());
    client.ask("POST", "/stats/3").send().await;
    assert!(client.get("/stats/1").bearer(&other).send().await.is_hit(), "a refused write purges nothing");

    let beside = client.get("/stats/1").bearer(&ann).cookie("sessionid=x").send().await;
    assert_eq!(beside.cache(), "stent; fwd=bypass; detail=credentials-beside-token; fwd-status=200");
    let nobody = client.get("/stats/1").send().await;
    assert_eq!((nobody.status, nobody.cache()), (401, "stent; fwd=bypass; detail=no-valid-token; fwd-status=401"));
}

#[tokio::test]
async fn an_expired_token_is_refused_from_the_next_request_on() {
    let ann = token("a", "doctor", "ann");
    let known = Arc::new(Mutex::new(HashSet::from([ann.clone()])));
    let origin = guarded(&known).await;
    let stent = Stent::start(origin.address, TEAM);
    let client = stent.client();
    client.get("/stats/1").bearer(&ann).send().await;
    assert!(client.get("/stats/1").bearer(&ann).send().await.is_hit());
    stent.clock.advance(Duration::from_secs(61));
    known.lock().unwrap().clear();
    for _ in 0..3 {
        let late = client.get("/stats/1").bearer(&ann).send().await;
        assert_eq!((late.status, late.text().as_str()), (401, "who are you?"));
    }
}

#[tokio::test]
async fn a_key_that_a_reload_takes_away_proves_nothing_any_more() {
    let ann = token("a", "doctor", "ann");
    let origin = guarded(&Arc::new(Mutex::new(HashSet::from([ann.clone()])))).await;
    let stent = Stent::start(origin.address, TEAM);
    let client = stent.client();
    client.get("/stats/1").bearer(&ann).send().await;
    assert!(client.get("/stats/1").bearer(&ann).send().await.is_hit());
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("jwks.json");
    let key = r#"{"keys": [{"kty": "oct", "alg": "HS256", "k": "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA"}]}"#;
    std::fs::write(&other, key).unwrap();
    assert!(stent.reload(origin.address, &TEAM.replace("tests/it/jwks.json", other.to_str().unwrap())).is_empty());
    let late = client.get("/stats/1").bearer(&ann).send().await;
    assert_eq!(late.cache(), "stent; fwd=bypass; detail=no-valid-token; fwd-status=200");
}

/// A forgery: the same claims in other hands, other claims under the same signature, no signature, and so on.
fn forged(number: usize, good: &str) -> String {
    let claims = json!({"exp": in_seconds(600), "tenant": "a", "role": "doctor", "sub": format!("eve{number}")});
    let parts: Vec<&str> = good.split('.').collect();
    let flipped = |text: &str, at: usize| {
        let at = at % text.len();
        let other = if &text[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &text[..at], &text[at + 1..])
    };
    let mut header = Header::new(Algorithm::HS256);
    match number % 6 {
        0 => signed(&claims, OTHER),
        1 => format!("{}.{}.{}", parts[0], signed(&claims, SECRET).split('.').nth(1).unwrap(), parts[2]),
        2 => format!("{}.{}.{}", parts[0], parts[1], flipped(&parts[2][..parts[2].len() - 1], number)),
        // {"alg":"none"}
        3 => format!("eyJhbGciOiJub25lIn0.{}.", parts[1]),
        4 => {
            header.alg = Algorithm::HS512;
            encode(&header, &claims, &EncodingKey::from_secret(SECRET)).unwrap()
        }
        _ => format!("{}.{}.{}", flipped(parts[0], number), parts[1], parts[2]),
    }
}

/// `STENT_FORGERIES` sets how many are tried.
#[tokio::test]
async fn a_forged_token_or_tenant_gets_no_cached_byte() {
    let tries = std::env::var("STENT_FORGERIES").ok().and_then(|text| text.parse().ok()).unwrap_or(600);
    let ann = token("a", "doctor", "ann");
    let origin = guarded(&Arc::new(Mutex::new(HashSet::from([ann.clone()])))).await;
    let stent = Stent::start(origin.address, TEAM);
    let client = stent.client();
    client.get("/stats/1").bearer(&ann).send().await;
    assert!(client.get("/stats/1").bearer(&ann).send().await.is_hit());
    for number in 0..tries {
        let asking = client.get("/stats/1").header("x-tenant", "a").header("tenant", "a").header("role", "doctor");
        let reply = match number % 7 {
            0 => asking.send().await,
            1 => asking.bearer(&forged(number, &ann)).bearer(&ann).send().await,
            _ => asking.bearer(&forged(number, &ann)).send().await,
        };
        assert!(!reply.text().contains("secret") && !reply.is_hit(), "try {number}: {}", reply.cache());
        assert_eq!(reply.status, 401);
    }
    assert!(client.get("/stats/1").bearer(&ann).send().await.is_hit());
}

const TRUSTED: &str = "
identity: {facets: {tenant: trusted.x-tenant, ward: header.x-ward}}
policies: {team: {share: [tenant, ward], ttl: 300s}}
routes: [{name: all, path: /**, policy: team}]
";

#[tokio::test]
async fn a_trusted_header_is_believed_of_trusted_proxies_only() {
    let counter = Counter::default();
    let origin = Origin::start(move |seen| {
        let number = counter.next(seen.path());
        async move {
            let show = |name| seen.header(name).unwrap_or("-").to_owned();
            answer(200, &[], format!("{} {} {} #{number}", show("x-tenant"), show("x_tenant"), show("x-ward")))
        }
    })
    .await;
    let start = |trusted: &str| {
        let server = format!("server: {{listen: 127.0.0.1:0, trusted_proxies: [{trusted}]}}{TRUSTED}");
        Stent::start(origin.address, &server)
    };
    let stent = start("127.0.0.1");
    let ask = |path: &str, tenant: &str| stent.client().get(path).header("x-tenant", tenant).header("x-ward", "w");
    assert_eq!(ask("/1", "a").send().await.text(), "a - w #1");
    assert!(ask("/1", "a").send().await.is_hit());
    assert_eq!(ask("/1", "b").send().await.text(), "b - w #2");
    assert_eq!(
        ask("/1", "a").header("x_tenant", "b").send().await.text(),
        "a - w #1",
        "the other spelling is nobody's"
    );
    assert!(!ask("/1", "a").header("x-tenant", "b").send().await.is_hit(), "two who speak");
    let claimed = stent.client().get("/1").header("x-tenant", "a").header("x-ward", "v").send().await;
    assert!(!claimed.is_hit(), "another ward");

    let stent = start("10.0.0.0/8");
    for _ in 0..2 {
        let stranger = stent.client().get("/2").header("x-tenant", "a").header("x_tenant", "a").header("x-ward", "w");
        let reply = stranger.send().await;
        assert!(reply.text().starts_with("- - w #"), "{}", reply.text());
        assert_eq!(reply.cache(), "stent; fwd=bypass; detail=facet-without-value; fwd-status=200");
    }
}

/// Who may see what, as the origin knows it: `/authz/<id>` and the thing itself answer by the caller's own credentials.
#[derive(Clone, Default)]
struct Clinic {
    may: Arc<Mutex<HashSet<(String, String)>>>,
    ill: Arc<AtomicBool>,
    counter: Counter,
}

impl Clinic {
    fn allow(&self, who: &str, id: &str) {
        self.may.lock().unwrap().insert((format!("Bearer {who}"), id.to_owned()));
    }

    fn revoke(&self, who: &str, id: &str) {
        self.may.lock().unwrap().remove(&(format!("Bearer {who}"), id.to_owned()));
    }

    async fn open(&self) -> Origin {
        let clinic = self.clone();
        Origin::start(move |seen: Seen| {
            let clinic = clinic.clone();
            async move {
                let number = clinic.counter.next(seen.path());
                let id = seen.path().trim_end_matches('/').rsplit('/').next().unwrap_or("").to_owned();
                let who = seen.header("authorization").unwrap_or("").to_owned();
                let allowed = clinic.may.lock().unwrap().contains(&(who.clone(), id));
                if clinic.ill.load(Ordering::SeqCst) {
                    return answer(500, &[], "ill");
                }
                if !allowed {
                    return answer(403, &[("cache-control", "max-age=600")], "not yours");
                }
                if seen.path().starts_with("/authz") {
                    let tenant = if who == "Bearer bob" { "b" } else { "a" };
                    return answer(200, &[("content-type", "application/json")], json!({"tenant": tenant}).to_string());
                }
                if seen.header("if-none-match") == Some("\"v1\"") {
                    return answer(304, &[("etag", "\"v1\"")], "");
                }
                answer(200, &[("content-type", "text/plain"), ("etag", "\"v1\"")], format!("chart #{number}"))
            }
        })
        .await
    }
}

fn permitted(access: &str) -> String {
    format!(
        "identity: {{principal: [authorization], facets: {{tenant: access.tenant}}}}\n\
         policies:\n  chart: {{share: permitted, access: {access}, ttl: 1h, stale_if_error: 1h}}\n\
         routes:\n  - {{name: chart, path: /charts/<id>, policy: chart, tags: ['chart:<id>']}}\n\
         \x20 - {{name: out, path: /logout, purges: [principal]}}\n  - {{name: rest, path: /**}}\n"
    )
}

#[tokio::test]
async fn the_origin_is_asked_with_the_callers_own_credentials() {
    let clinic = Clinic::default();
    let origin = clinic.open().await;
    let stent = Stent::start(origin.address, &permitted("{ask: /authz/<id>, for: 60s}"));
    let client = stent.client();
    ["ann", "ben"].iter().for_each(|who| clinic.allow(who, "7"));
    assert_eq!(client.get("/charts/7").bearer("ann").send().await.text(), "chart #1");
    let asked = origin.last("/authz/7");
    assert_eq!((asked.header("authorization"), asked.method.as_str()), (Some("Bearer ann"), "GET"));
    let ben = client.get("/charts/7").bearer("ben").send().await;
    assert!(ben.is_hit() && ben.text() == "chart #1" && ben.header("cache-control") == "private, no-cache");
    assert_eq!(origin.last("/authz/7").header("authorization"), Some("Bearer ben"));
    for _ in 0..3 {
        assert!(client.get("/charts/7").bearer("ben").send().await.is_hit());
    }
    assert_eq!(origin.count("/authz/7"), 2, "a yes is kept");

    let eve = client.get("/charts/7").bearer("eve").send().await;
    assert_eq!(
        (eve.status, eve.text().as_str(), eve.cache()),
        (403, "not yours", "stent; fwd=bypass; detail=access-denied; fwd-status=403")
    );
    assert_eq!(eve.header("cache-control"), "private, no-cache");
    let head = client.ask("HEAD", "/charts/7").bearer("eve").send().await;
    assert_eq!((head.status, head.text().as_str()), (403, ""));
    let nobody = client.get("/charts/7").send().await;
    assert_eq!((nobody.status, nobody.cache()), (403, "stent; fwd=bypass; detail=no-principal; fwd-status=403"));
    // A no is not kept: who is let in is let in at once.
    clinic.allow("eve", "7");
    assert!(client.get("/charts/7").bearer("eve").send().await.is_hit());

    clinic.revoke("ben", "7");
    assert!(client.get("/charts/7").bearer("ben").send().await.is_hit(), "within `for`");
    stent.clock.advance(Duration::from_secs(61));
    assert_eq!(client.get("/charts/7").bearer("ben").send().await.status, 403);
    assert!(client.get("/charts/7").bearer("ann").send().await.is_hit());
}

#[tokio::test]
async fn explain_asks_nobody_and_says_that_the_line_would() {
    let clinic = Clinic::default();
    let origin = clinic.open().await;
    let stent = Stent::start(origin.address, &permitted("{ask: /authz/<id>, for: 60s}"));
    clinic.allow("ann", "7");
    let explain = async || {
        let headers = [("authorization", "Bearer ann")];
        let question = json!({"method": "GET", "url": "http://clinic.example/charts/7", "headers": headers});
        let admin = Client { address: stent.admin };
        let reply = admin.ask("POST", "/api/v1/explain").body(question.to_string()).send().await;
        assert!(!reply.text().contains("Bearer ann"), "{}", reply.text());
        serde_json::from_slice::<Value>(&reply.body).unwrap()
    };
    let told = explain().await;
    assert_eq!((&told["decision"]["way"], &told["origin"]["request"]), (&json!("ask"), &json!("GET /authz/7")));
    assert!(origin.seen().is_empty());
    stent.client().get("/charts/7").bearer("ann").send().await;
    let told = explain().await;
    assert_eq!(told["decision"]["way"], json!("lookup"), "a yes is kept");
    assert!(told["decision"]["cache_status"].as_str().unwrap().starts_with("stent; hit"), "{told}");
    assert_eq!(told["tags"], json!(["chart:7"]));
}

#[tokio::test]
async fn explain_judges_a_token_at_the_moment_that_is_asked_about_and_lets_nobody_in_by_it() {
    let claims =
        json!({"nbf": in_seconds(3600), "exp": in_seconds(7200), "tenant": "a", "role": "doctor", "sub": "ann"});
    let early = signed(&claims, SECRET);
    let origin = guarded(&Arc::new(Mutex::new(HashSet::from([early.clone()])))).await;
    let stent = Stent::start(origin.address, TEAM);
    for (at, way) in [(None, "pass"), (Some("+90m"), "lookup"), (Some("+3h"), "pass"), (None, "pass")] {
        let headers = [("authorization", format!("Bearer {early}"))];
        let question = json!({"method": "GET", "url": "http://clinic.example/stats/1", "headers": headers, "at": at});
        let reply =
            Client { address: stent.admin }.ask("POST", "/api/v1/explain").body(question.to_string()).send().await;
        let told: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(told["decision"]["way"], way, "{at:?}: {told:#}");
        let now = stent.client().get("/stats/1").bearer(&early).send().await;
        assert!(now.cache().starts_with("stent; fwd=bypass; detail=no-valid-token"), "{at:?}: {}", now.cache());
    }
}

#[tokio::test]
async fn a_kept_yes_ends_with_a_purge() {
    let clinic = Clinic::default();
    let origin = clinic.open().await;
    let stent = Stent::start(origin.address, &permitted("{ask: /authz/<id>, for: 1h}"));
    let client = stent.client();
    ["ann", "ben"].iter().for_each(|who| clinic.allow(who, "7"));
    for who in ["ann", "ben", "ann", "ben"] {
        client.get("/charts/7").bearer(who).send().await;
    }
    assert_eq!(origin.count("/authz/7"), 2);
    // Whoever signs out has shown what they are called, and nothing is kept for them any more.
    clinic.allow("ann", "logout");
    clinic.revoke("ann", "7");
    assert_eq!(client.ask("POST", "/logout").bearer("ann").send().await.status, 200);
    assert_eq!(client.get("/charts/7").bearer("ann").send().await.status, 403);
    assert!(client.get("/charts/7").bearer("ben").send().await.is_hit(), "others keep theirs");
    clinic.revoke("ben", "7");
    stent.purge(json!({"tags": ["chart:7"]})).await;
    assert_eq!(client.get("/charts/7").bearer("ben").send().await.status, 403);
}

#[tokio::test]
async fn an_origin_that_is_ill_lets_nobody_pass() {
    for access in ["{ask: /authz/<id>}", "{ask: self}"] {
        let clinic = Clinic::default();
        let origin = clinic.open().await;
        let stent = Stent::start(origin.address, &permitted(access));
        clinic.allow("ann", "7");
        for _ in 0..2 {
            assert_eq!(stent.client().get("/charts/7").bearer("ann").send().await.status, 200, "{access}");
        }
        clinic.ill.store(true, Ordering::SeqCst);
        let ill = stent.client().get("/charts/7").bearer("ann").send().await;
        assert_eq!((ill.status, ill.text().as_str()), (500, "ill"), "{access}: {}", ill.cache());
        let client = stent.client();
        drop(origin);
        let gone = client.get("/charts/7").bearer("ann").send().await;
        assert!(gone.status >= 500 && !gone.text().contains("chart"), "{access}: {} {}", gone.status, gone.text());
    }
}

#[tokio::test]
async fn a_conditional_request_of_ones_own_asks_too() {
    let clinic = Clinic::default();
    let origin = clinic.open().await;
    let stent = Stent::start(origin.address, &permitted("{ask: self, for: 60s}"));
    let client = stent.client();
    ["ann", "ben", "cas"].iter().for_each(|who| clinic.allow(who, "7"));
    assert_eq!(client.get("/charts/7").bearer("ann").send().await.text(), "chart #1");
    assert!(client.get("/charts/7").bearer("ann").send().await.is_hit(), "her own answer was the yes");
    // For the first who asks is found out whether the origin looks at who asks first: it is asked as nobody and as an impostor.
    let cas = client.get("/charts/7").bearer("cas").send().await;
    assert_eq!(
        (cas.text().as_str(), cas.cache()),
        ("chart #4", "stent; fwd=request; fwd-status=200; stored; ttl=3600; detail=access")
    );
    let ben = client.get("/charts/7").bearer("ben").send().await;
    assert_eq!(
        (ben.text().as_str(), ben.cache()),
        ("chart #4", "stent; fwd=request; fwd-status=304; ttl=3600; detail=access")
    );
    let asked = origin.last("/charts/7");
    assert_eq!((asked.header("authorization"), asked.header("if-none-match")), (Some("Bearer ben"), Some("\"v1\"")));
    assert!(client.get("/charts/7").bearer("ben").send().await.is_hit());
    let eve = client.get("/charts/7").bearer("eve").send().await;
    assert_eq!((eve.status, eve.text().as_str()), (403, "not yours"));
    assert!(client.get("/charts/7").bearer("ben").send().await.is_hit(), "a refusal of one is none of another");
    clinic.revoke("ben", "7");
    stent.clock.advance(Duration::from_secs(61));
    assert_eq!(client.get("/charts/7").bearer("ben").send().await.status, 403);
    let head = client.ask("HEAD", "/charts/7").bearer("ben").send().await;
    assert_eq!(head.status, 403);
    let part = client.get("/charts/7").bearer("ben").header("range", "bytes=0-1").send().await;
    assert_eq!(part.status, 403);
}

#[tokio::test]
async fn nobody_follows_what_another_is_still_being_asked_for() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |seen| {
        let gate = held.clone();
        async move {
            gate.pass().await;
            match seen.header("authorization") {
                Some("Bearer ann") => answer(200, &[], "chart"),
                _ => answer(403, &[], "not yours"),
            }
        }
    })
    .await;
    let stent = Stent::start(origin.address, &permitted("{ask: self}"));
    let (ann, eve) = (stent.client().get("/charts/7").bearer("ann"), stent.client().get("/charts/7").bearer("eve"));
    let ann = tokio::spawn(ann.send());
    gate.arrived(1).await;
    let eve = tokio::spawn(eve.send());
    gate.arrived(2).await;
    gate.open(100);
    assert_eq!(ann.await.unwrap().text(), "chart");
    assert_eq!(eve.await.unwrap().status, 403);
}

#[tokio::test]
async fn one_members_refusal_is_not_the_teams() {
    let gate = Gate::default();
    let held = gate.clone();
    let (ann, eve) = (token("a", "doctor", "ann"), token("a", "doctor", "eve"));
    let hers = format!("Bearer {eve}");
    let origin = Origin::start(move |seen| {
        let (gate, refused) = (held.clone(), seen.header("authorization") == Some(hers.as_str()));
        async move {
            gate.pass().await;
            match refused {
                true => answer(403, &[("cache-control", "max-age=600"), ("set-cookie", "a=b")], "not yours"),
                false => answer(200, &[], "stats"),
            }
        }
    })
    .await;
    let stent = Stent::start(origin.address, TEAM);
    let (client, other) = (stent.client(), stent.client());
    let leader = tokio::spawn(client.get("/stats/1").bearer(&eve).send());
    gate.arrived(1).await;
    let follower = tokio::spawn(other.get("/stats/1").bearer(&ann).send());
    eventually(|| stent.cache().flights.waiting() == 2).await;
    gate.open(100);
    assert_eq!(leader.await.unwrap().status, 403);
    assert_eq!(follower.await.unwrap().text(), "stats");
    client.get("/stats/1").bearer(&ann).send().await;
    assert!(client.get("/stats/1").bearer(&ann).send().await.is_hit(), "nor a reason to keep nothing");
}

#[tokio::test]
async fn the_origins_own_word_is_a_facet() {
    let clinic = Clinic::default();
    let origin = clinic.open().await;
    let yaml = permitted("{ask: /authz/<id>, for: 60s}").replace("share: permitted", "share: [tenant]");
    let stent = Stent::start(origin.address, &yaml);
    let client = stent.client();
    ["ann", "ben", "bob"].iter().for_each(|who| clinic.allow(who, "7"));
    assert_eq!(client.get("/charts/7").bearer("ann").send().await.text(), "chart #1");
    assert!(client.get("/charts/7").bearer("ben").send().await.is_hit(), "of the same tenant");
    assert_eq!(client.get("/charts/7").bearer("bob").send().await.text(), "chart #2", "of another");
    assert_eq!(client.get("/charts/7").bearer("eve").send().await.status, 403);
}

#[tokio::test]
async fn the_origin_narrows_what_is_shared() {
    for (headers, kept) in [
        (&[("cache-control", "private")][..], false),
        (&[("cache-control", "no-store")], false),
        (&[("vary", "Authorization")], false),
        (&[("vary", "Cookie")], false),
        (&[("set-cookie", "a=b")], false),
        (&[("vary", "Accept")], true),
    ] {
        let origin = Origin::start(move |_| async move { answer(200, headers, "x") }).await;
        let stent = Stent::start(origin.address, TEAM);
        let (ann, ben) = (token("a", "doctor", "ann"), token("a", "doctor", "ben"));
        stent.client().get("/stats/1").bearer(&ann).send().await;
        assert_eq!(stent.client().get("/stats/1").bearer(&ben).send().await.is_hit(), kept, "{headers:?}");
    }
}

/// Every field by which one origin or another is told that it was asked something else, and those that tell of a client.
const TELLTALES: [&str; 37] = [
    "script-name",
    "path-info",
    "x-script-name",
    "x-scheme",
    "front-end-https",
    "x-original-method",
    "x-original-path",
    "x-http-host-override",
    "x-originating-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-original-uri",
    "x-original-host",
    "x-host",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-url-scheme",
    "x-forwarded-host",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-server",
    "x-forwarded-scheme",
    "x-forwarded-ssl",
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-envoy-external-address",
    "x-request-id",
];

#[tokio::test]
async fn nobody_tells_the_origin_that_it_was_asked_something_else() {
    let origin = Origin::start(|_| async move { answer(200, &[("cache-control", "max-age=60")], "x") }).await;
    let stent = Stent::start(
        origin.address,
        "identity: {principal: [authorization]}\n\
         policies: {own: {share: principal, ttl: 60s}, all: {share: public, ttl: 60s}, \
         asked: {share: permitted, access: {ask: /authz}, ttl: 60s}}\n\
         routes:\n  - {name: own, path: /own, policy: own}\n  - {name: all, path: /all, policy: all}\n\
         \x20 - {name: asked, path: /asked, policy: asked}\n  - {name: origin, path: /origin, policy: origin}\n\
         \x20 - {name: rest, path: /**}\n",
    );
    for name in TELLTALES {
        for spelling in [name.to_owned(), name.replace('-', "_"), name.to_ascii_uppercase()] {
            for path in ["/own", "/all", "/asked", "/origin", "/rest"] {
                let asking = stent.client().get(path).header(&spelling, "evil").bearer("a");
                assert_eq!(asking.header("cache-control", "no-cache").send().await.status, 200);
            }
            stent.client().ask("POST", "/rest").header(&spelling, "evil").send().await;
        }
    }
    let seen = origin.seen();
    assert!(seen.len() >= TELLTALES.len() * 3 * 7, "{}", seen.len());
    assert_eq!(seen.iter().filter(|one| one.path() == "/authz").count(), TELLTALES.len() * 3);
    for one in seen {
        let evil = one.headers.iter().find(|(_, value)| value.as_bytes().windows(4).any(|part| part == b"evil"));
        // A write may name the method that its client means: it purges what both methods' routes name.
        let names = ["x-http-method-override", "x-http-method", "x-method-override"];
        let meant = one.method == "POST" && evil.is_some_and(|(name, _)| names.contains(&name.as_str()));
        assert!(evil.is_none() || meant, "{} {}: {evil:?}", one.method, one.target);
    }
}
