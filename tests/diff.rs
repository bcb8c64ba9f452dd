//! Changes of a configuration, and whether they let more people see an answer, or see it for longer.

#[path = "it/authority.rs"]
mod authority;

use self::authority::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;
use stent::config::{Settings, parse};
use stent::review::diff::{Diff, diff};
use stent::rules::caching::{Caching, Share};
use stent::rules::route::router::{Router, Target};

const BASE: &str = "\
server: {listen: 127.0.0.1:8080, trusted_proxies: [10.1.0.0/16]}
admin: {listen: 127.0.0.1:9090, tokens: {app: {token: 0123456789abcdef0123, may: [purge]}}}
cache: {mode: serve, max_object: 1MiB}
log: {access: {file: a.log}, include: [path]}
identity: {principal: [authorization, cookie.sessionid, header.x-api-key], ignore_cookies: [csrftoken, _ga*], jwt: {keys: {file: tests/it/jwks.json}, issuer: us, leeway: 5s}, facets: {tenant: jwt.tenant, role: jwt.role}}
upstreams: {app: {servers: [http://127.0.0.1:8000]}, other: {servers: [http://127.0.0.1:8001]}}
policies:
  record: {share: principal, ttl: 5m, stale_while_revalidate: 30s, stale_if_error: 0s, ceiling: 15m, vary: {headers: [x-client]}}
  page: {share: anonymous, ttl: 10m}
  shop: {share: public, ttl: 1h, stale_while_revalidate: 0s, stale_if_error: 0s}
  team: {share: [tenant, role], access: token, ttl: 5m}
  chart: {share: permitted, access: {ask: /authz/<id>, for: 60s}, ttl: 5m}
  room: {share: [tenant, ward], ttl: 5m}
  static: {share: public, types: {text/css: 1h, image/*: 7d, fingerprinted: 365d}}
routes:
  - {name: patient, path: /patients/<int:id>, upstream: app, policy: record, tags: [patient:<id>], purges: [patients]}
  - {name: patients, path: /patients, upstream: app, policy: record, query: {page: any, size: {max: 100}, q: pass, utm_*: drop}}
  - {name: stats, path: /stats, upstream: app, policy: team, tags: ['stats:<tenant>']}
  - {name: chart, path: /charts/<id>, upstream: app, policy: chart}
  - {name: pages, path: /charts/<id>/of/<other>, upstream: app, policy: chart}
  - {name: rooms, path: /wards/<ward>/<room>, upstream: app, policy: room}
  - {name: leaflets, path: /notes/<note>/<part>, upstream: app, policy: page, tags: [leaflet:<note>]}
  - {name: silent, path: /silent, upstream: app, log: false}
  - {name: home, path: /, methods: [GET], upstream: app, policy: page}
  - {name: catalogue, path: /catalogue/**, upstream: app, policy: shop}
  - {name: static, path: /static/**, upstream: app, policy: static}
  - {name: news, path: /news/**, upstream: app, policy: origin}
  - {name: documents, path: /documents/**, upstream: app}
";

const REST: &str = "  - {name: rest, path: /**, upstream: app}\n";

fn settings(text: &str) -> Settings {
    match parse("proxy.yaml", text, &|_| None) {
        Ok(loaded) => loaded.settings,
        Err(report) => panic!("{report}\n{text}"),
    }
}

/// The base with replacements, each of which must be found.
fn changed(base: &str, replacements: &[(&str, &str)]) -> String {
    replacements.iter().fold(base.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "`{from}` is not there:\n{text}");
        text.replace(from, to)
    })
}

fn told(diff: &Diff) -> String {
    let line = |change: &stent::review::Change| {
        let widens = change.widens.as_ref().map_or(String::new(), |why| format!(" WIDENS: {why}"));
        format!("{}: {}{widens}\n", change.about.join(", "), change.change)
    };
    diff.changes.iter().map(line).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Widens,
    Not,
}
use Verdict::{Not, Widens};

/// Each change, whether it widens, and whether it does when it is taken back.
const PAIRS: &[(&str, &str, Verdict, Verdict)] = &[
    // Who shares.
    ("page: {share: anonymous, ttl: 10m}", "page: {share: public, ttl: 10m}", Widens, Not),
    ("page: {share: anonymous, ttl: 10m}", "page: {share: principal, ttl: 10m}", Widens, Widens),
    ("shop: {share: public,", "shop: {share: principal,", Not, Widens),
    (", policy: page}", "}", Not, Widens),
    (", policy: page}", ", policy: origin}", Widens, Widens),
    ("policy: origin}", "policy: rfc9111}", Widens, Not),
    ("policy: origin}", "policy: shop}", Widens, Widens),
    ("shop: {share: public,", "shop: {share: [tenant],", Widens, Widens),
    ("[tenant, role]", "[tenant]", Widens, Not),
    ("share: [tenant, role], access: token", "share: permitted, access: token", Widens, Widens),
    ("share: [tenant, role], access: token", "share: [tenant, role]", Widens, Not),
    ("for: 60s", "for: 61s", Widens, Not),
    ("ask: /authz/<id>", "ask: /may/<id>", Widens, Widens),
    ("for: 60s", "for: 60s, yes: 204", Widens, Widens),
    ("for: 60s", "for: 60s, yes: {json: allowed}", Widens, Widens),
    ("shop: {share: public,", "shop: {share: public, override: true,", Widens, Not),
    ("ask: /authz/<id>", "ask: self", Widens, Widens),
    ("tenant: jwt.tenant", "tenant: jwt.group", Widens, Widens),
    ("issuer: us", "issuer: [us, them]", Widens, Not),
    (", issuer: us", "", Widens, Not),
    ("leeway: 5s", "leeway: 6s", Widens, Not),
    ("page: {share: anonymous, ttl: 10m}", "page: {share: anonymous, ttl: 10m, strip_cookies: [lang]}", Widens, Not),
    ("policy: origin}", "policy: origin, strip_cookies: [lang]}", Widens, Not),
    // For how long.
    ("ttl: 5m,", "ttl: 6m,", Widens, Not),
    ("ttl: 5m, stale_while_revalidate: 30s,", "ttl: 4m, stale_while_revalidate: 40s,", Not, Widens),
    ("ttl: 5m, ", "", Widens, Widens),
    ("stale_if_error: 0s, ceiling", "stale_if_error: 1h, ceiling", Widens, Not),
    ("ceiling: 15m, ", "", Widens, Not),
    ("ceiling: 15m, ", "ceiling: 20m, ", Widens, Not),
    ("page: {share: anonymous, ttl: 10m}", "page: {share: anonymous, ttl: 10m, stale_if_error: 1h}", Widens, Widens),
    ("text/css: 1h", "text/css: 2h", Widens, Not),
    ("text/css: 1h, ", "", Not, Widens),
    ("text/css: 1h, ", "text/css: 1h, image/png: 1h, ", Not, Widens),
    ("types: {text/css: 1h, image/*: 7d, fingerprinted: 365d}", "ttl: 1h", Widens, Widens),
    // Keys.
    (", vary: {headers: [x-client]}", "", Widens, Not),
    (", vary: {headers: [x-client]}", ", vary: {headers: [x-client], language: [en, no]}", Not, Widens),
    ("headers: [x-client]", "headers: [x-client, accept-language]", Not, Widens),
    ("page: any, ", "page: drop, ", Widens, Not),
    ("q: pass, ", "q: any, ", Widens, Not),
    ("q: pass, ", "q: drop, ", Widens, Not),
    ("size: {max: 100}", "size: {max: 50}", Widens, Not),
    ("size: {max: 100}", "size: any", Widens, Widens),
    ("utm_*: drop}", "utm_source: any, utm_*: drop}", Not, Widens),
    ("utm_*: drop}", "utm_*: drop, other: any}", Widens, Not),
    // Who is asking, and who is believed.
    ("_ga*]", "_ga*], ignore_headers: [x-build]", Widens, Not),
    ("_ga*]", "_ga*], url_credentials: [visit_key]", Not, Widens),
    ("_ga*]", "_ga*], secret_fields: [x-visit-*]", Not, Widens),
    ("cookie.sessionid, ", "", Widens, Widens),
    (", header.x-api-key]", "]", Widens, Widens),
    ("[csrftoken, _ga*]", "[csrftoken, _ga*, theme]", Widens, Not),
    ("[csrftoken, _ga*]", "[csrftoken, _ga*, _ga_x]", Not, Not),
    ("_ga*]", "_ga*], affinity_cookies: [lb-clinic]", Widens, Not),
    ("_ga*]", "_ga*], affinity_cookies: [_ga_x]", Widens, Not),
    ("_ga*]", "_ga*], affinity_cookies: [SERVERID]", Not, Not),
    ("8001]}}", "8001, http://127.0.0.1:8002], sticky: cookie.sessionid}}", Not, Not),
    ("8001]}}", "8001], sticky: cookie.sessionid}}", Not, Not),
    ("8001]}}", "8001], paths: {case: ignored, suffixes: [.json]}}}", Not, Widens),
    ("[10.1.0.0/16]", "[10.1.0.0/16, 10.2.0.0/16]", Widens, Not),
    ("[10.1.0.0/16]", "[10.1.2.0/24]", Not, Widens),
    ("[10.1.0.0/16]", "[10.1.0.0/16], refuse: [loopback-pages, /internal]", Not, Widens),
    ("listen: 127.0.0.1:8080", "listen: 0.0.0.0:8080", Widens, Not),
    ("listen: 127.0.0.1:8080", "listen: 127.0.0.1:8081", Not, Not),
    ("listen: 127.0.0.1:9090", "listen: 0.0.0.0:9090", Widens, Not),
    ("may: [purge]", "may: [purge, read]", Widens, Not),
    (", tokens: {app: {token: 0123456789abcdef0123, may: [purge]}}", "", Widens, Not),
    ("mode: serve", "mode: bypass", Not, Widens),
    // Not reads.
    ("tags: [patient:<id>], purges: [patients]", "tags: [patient:<id>]", Not, Not),
    ("0123456789abcdef0123", "abcdef01234567890123", Not, Not),
    ("127.0.0.1:8000", "127.0.0.1:8002", Not, Not),
    ("path: /documents/**, upstream: app", "path: /documents/**, upstream: other", Not, Not),
    ("path: /documents/**, upstream: app", "path: /documents/**, upstream: app, body: 1MiB", Not, Not),
    // What ends what is kept, and what keeps a session alive.
    ("path: /documents/**, upstream: app}", "path: /documents/**, upstream: app, settle: 5s}", Not, Widens),
    ("record: {share: principal,", "record: {share: principal, touch: 5m,", Not, Not),
    ("record: {share: principal,", "record: {share: principal, client_no_cache: ignore,", Widens, Not),
    ("path: /documents/**, upstream: app}", "path: /documents/**, upstream: app, purges: [principal]}", Not, Widens),
    ("path: /documents/**, upstream: app}", "path: /documents/**, upstream: app, read_only: true}", Widens, Not),
    // The same words, and something else is meant by them.
    ("/charts/<id>/of/<other>", "/charts/<other>/of/<id>", Widens, Widens),
    ("/wards/<ward>/<room>", "/wards/<room>/<ward>", Widens, Widens),
    ("/notes/<note>/<part>", "/notes/<part>/<note>", Widens, Widens),
    ("/charts/<id>/of/<other>", "/charts/<chart>/of/<other>", Not, Widens),
    // Who reads and who is answered besides.
    ("path: /documents/**, upstream: app}", "path: /documents/**, upstream: app, ambiguous_path: pass}", Widens, Not),
    ("upstream: app, log: false}", "upstream: app}", Widens, Not),
    ("access: {file: a.log}", "access: {file: b.log}", Widens, Widens),
    ("access: {file: a.log}", "access: off", Widens, Widens),
    ("admin: {listen: 127.0.0.1:9090, tokens: {app: {token: 0123456789abcdef0123, may: [purge]}}}\n", "", Not, Not),
    (
        "tokens: {app: {token: 0123456789abcdef0123, may: [purge]}}",
        "tokens: {app: {token: 0123456789abcdef0123, may: [read]}}",
        Widens,
        Not,
    ),
    ("max_object: 1MiB", "max_object: 2MiB", Widens, Not),
    ("max_object: 1MiB", "max_object: 1MiB, tags: 2600", Widens, Not),
    ("max_object: 1MiB", "max_object: 1MiB, vary: 17", Widens, Not),
    ("max_object: 1MiB", "max_object: 1MiB, tag_headers: [X-Site-Tags]", Not, Widens),
    ("size: {max: 100}", "size: {default: 20, max: 100}", Widens, Not),
    // Which requests a route takes.
    ("name: documents, path: /documents/**", "name: documents, path: /documents/<id>", Not, Not),
    ("name: catalogue, path: /catalogue/**", "name: catalogue, path: /catalogue/<id>", Not, Widens),
    ("name: static, path: /static/**", "name: files, path: /static/**", Not, Not),
    ("name: home, path: /, methods: [GET]", "name: home, path: /", Widens, Not),
    ("name: catalogue, path: /catalogue/**", "name: catalogue, host: shop.example, path: /catalogue/**", Not, Widens),
    // An earlier route takes requests of a later one.
    ("routes:\n", "routes:\n  - {name: css, path: /static/<file>, upstream: app, policy: shop}\n", Widens, Widens),
    ("routes:\n", "routes:\n  - {name: css, path: /static/<file>, upstream: app}\n", Not, Widens),
    ("routes:\n", "routes:\n  - {name: mobile, path: /patients, headers: {x-app: a}, upstream: app}\n", Not, Widens),
    (
        "  - {name: documents, path: /documents/**, upstream: app}\n",
        "  - {name: notes, path: /documents/<int:id>, upstream: app, policy: record}\n  - {name: documents, path: /documents/**, upstream: app}\n",
        Widens,
        Not,
    ),
];

#[test]
fn every_pair_has_its_verdict() {
    assert!(PAIRS.len() >= 25);
    let base = changed(BASE, &[]) + REST;
    let mut wrong = String::new();
    for (from, to, there, back) in PAIRS {
        let other = changed(&base, &[(from, to)]);
        let (old, new) = (settings(&base), settings(&other));
        let mut check = |old: &Settings, new: &Settings, want: Verdict, which: &str| {
            let told_all = diff(old, new);
            if told_all.changes.is_empty() || told_all.widens != (want == Widens) {
                wrong.push_str(&format!("{from} → {to} ({which}), not {want:?}:\n{}\n", told(&told_all)));
            }
        };
        check(&old, &new, *there, "there");
        check(&new, &old, *back, "back");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn nothing_changes_when_nothing_does() {
    let routes = [
        "  - {name: mobile, path: /app/**, headers: {x-client: mobile}, upstream: app, policy: page}\n",
        "  - {name: a, path: /app/<id>/x, upstream: app, policy: shop}\n",
        "  - {name: b, path: /app/7/<y>, methods: [GET, POST], upstream: other, policy: page}\n",
        "  - {name: tenant, host: <tenant>.clinic.example, path: /**, upstream: other, policy: static}\n",
    ];
    let text = format!("{BASE}{}{REST}", routes.concat());
    let told_all = diff(&settings(&text), &settings(&text));
    assert_eq!(told(&told_all), "");
    let renamed = text.replace("<part>", "<piece>");
    assert_eq!(told(&diff(&settings(&text), &settings(&renamed))), "");
    let spread = text.replace("routes:\n", "\n# A comment moves all lines.\n\nroutes:\n");
    assert_eq!(told(&diff(&settings(&text), &settings(&spread))), "");
}

#[test]
fn without_a_last_route_what_nobody_took_begins_to_be_answered() {
    let base = settings(BASE);
    let with = |route: &str| settings(&format!("{BASE}  - {route}\n"));
    for route in ["{name: rest, path: /**, upstream: app}", "{name: x, path: /x/<id>, upstream: app, policy: shop}"] {
        let new = with(route);
        let told_all = diff(&base, &new);
        assert!(told_all.widens && told(&told_all).contains("nobody was answered here"), "{}", told(&told_all));
        let back = diff(&new, &base);
        assert!(!back.widens && told(&back).contains("404"), "{}", told(&back));
    }
}

#[test]
fn an_admin_that_begins_to_listen_is_read_by_whom_it_says() {
    let without = settings(
        &BASE.lines().filter(|line| !line.starts_with("admin:")).map(|line| format!("{line}\n")).collect::<String>(),
    );
    for (may, want) in [("[purge]", false), ("[purge, read]", true)] {
        let new = settings(&changed(BASE, &[("may: [purge]", &format!("may: {may}"))]));
        assert_eq!(diff(&without, &new).widens, want, "{may}");
    }
    let open = changed(BASE, &[(", tokens: {app: {token: 0123456789abcdef0123, may: [purge]}}", "")]);
    assert!(diff(&without, &settings(&open)).widens);
    assert!(!diff(&settings(&open), &without).widens);
}

#[test]
fn one_change_of_many_routes_is_told_once() {
    let new = changed(BASE, &[("ttl: 5m,", "ttl: 6m,")]);
    let told_all = diff(&settings(BASE), &settings(&new));
    assert_eq!(told_all.changes.len(), 1, "{}", told(&told_all));
    assert_eq!(told_all.changes[0].about, ["patient", "patients"]);
}

#[test]
fn routes_that_change_places_are_compared_by_what_they_take() {
    let one = "  - {name: one, path: /app/<id>, upstream: app, policy: shop}\n";
    let two = "  - {name: two, path: /app/<int:id>/, upstream: app, policy: page}\n";
    let three = "  - {name: three, path: /app/x, upstream: app, policy: page}\n";
    let first = settings(&format!("{BASE}{two}{one}{REST}"));
    let second = settings(&format!("{BASE}{two}{three}{one}{REST}"));
    let told_all = diff(&first, &second);
    // What everybody shared is now for those without credentials only: narrower, and shorter.
    assert!(!told_all.widens || told(&told_all).contains("the origin's own time"), "{}", told(&told_all));
    assert!(told(&told_all).contains("what `one` took: `share` public → anonymous"), "{}", told(&told_all));
    let back = diff(&second, &first);
    assert!(told(&back).contains("what `three` took: `share` anonymous → public WIDENS"), "{}", told(&back));
    assert!(back.widens);
}

#[test]
fn no_secret_of_a_token_is_told() {
    let new = changed(BASE, &[("0123456789abcdef0123", "abcdef01234567890123"), ("[purge]", "[read]")]);
    let told_all = diff(&settings(BASE), &settings(&new));
    let json = serde_json::to_string(&told_all).expect("plain data");
    assert!(!json.contains("0123456789") && json.contains("another secret"), "{json}");
}

const PATHS: [&str; 10] =
    ["/**", "/a", "/a/**", "/a/<x>", "/a/<int:x>", "/a/7", "/<x>/b", "/<slug:x>/**", "/a/<x>/b", "/b"];
const CONDITIONS: [&str; 6] = [
    "",
    ", methods: [GET]",
    ", methods: [POST]",
    ", headers: {x-app: m}",
    ", headers: {x-app: n}",
    ", host: a.example",
];
const POLICIES: [&str; 5] = ["", ", policy: page", ", policy: shop", ", policy: record", ", policy: origin"];

/// Routes from which none can be told apart by name: `(path, condition, policy)`.
fn some_routes() -> impl Strategy<Value = Vec<(usize, usize, usize)>> {
    proptest::collection::vec((0..PATHS.len(), 0..CONDITIONS.len(), 0..POLICIES.len()), 1..6)
}

/// `None`: one of the routes can never match, which is refused.
fn configured(routes: &[(usize, usize, usize)]) -> Option<Settings> {
    let head = &BASE[..BASE.find("routes:").expect("there are routes")];
    let lines = routes.iter().enumerate().map(|(at, (path, condition, policy))| {
        let (path, condition, policy) = (PATHS[*path], CONDITIONS[*condition], POLICIES[*policy]);
        format!("  - {{name: r{at}, path: {path}, upstream: app{condition}{policy}}}\n")
    });
    let text = format!("{head}routes:\n{}", lines.collect::<String>());
    parse("proxy.yaml", &text, &|_| None).ok().map(|loaded| loaded.settings)
}

/// Who shares what a request gets; `None`: no route takes it.
fn shared(router: &Router, method: &Method, host: &str, path: &str, headers: &HeaderMap) -> Option<Caching> {
    router.find(Target { host, path, method, headers }).map(|(_, route)| route.caching.clone())
}

/// A short model of its own: whether a request may be seen by more people than before.
fn may_be_seen_by_more(old: Option<Caching>, new: Option<Caching>) -> bool {
    match (old, new) {
        (old, new) if old == new => false,
        (_, None) | (Some(_), Some(Caching::Pass)) => false,
        (Some(Caching::Named(old)), Some(Caching::Named(new))) if old.share == Share::Public => {
            // Narrower, and shorter as the policies of the base are.
            new.share == Share::Public
        }
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_routes_do_to_each_other_no_widening_is_missed(before in some_routes(), after in some_routes()) {
        let (Some(old), Some(new)) = (configured(&before), configured(&after)) else { return Ok(()) };
        let told_all = diff(&old, &new);
        let (old, new) = (Router::new(old.routes), Router::new(new.routes));
        let with = |value| -> HeaderMap {
            [(HeaderName::from_static("x-app"), HeaderValue::from_static(value))].into_iter().collect()
        };
        for path in ["/", "/a", "/a/7", "/a/x", "/a/7/b", "/b", "/x/b", "/a/b", "/~/b", "/7/x/y"] {
            for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT] {
                for (host, headers) in [("b.example", HeaderMap::new()), ("a.example", with("m")), ("b.example", with("n"))] {
                    let old = shared(&old, &method, host, path, &headers);
                    let new = shared(&new, &method, host, path, &headers);
                    prop_assert!(old == new || !told_all.changes.is_empty(), "{method} {host}{path}: nothing was seen");
                    let more = may_be_seen_by_more(old, new);
                    prop_assert!(told_all.widens || !more, "{method} {host}{path}\n{}", told(&told_all));
                }
            }
        }
    }
}

#[test]
fn whose_certificates_are_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let [one, other] = ["one", "other"].map(Authority::new);
    one.server(&["a"]).write(folder.path(), "own");
    one.server(&["a"]).write(folder.path(), "next");
    for (name, text) in [("one", one.pem()), ("both", one.pem() + &other.pem()), ("other", other.pem())] {
        std::fs::write(at(name), text).expect("written");
    }
    let tls = |listen: &str, own: &str, ca: &str| {
        let certs = format!("[{{cert: {}, key: {}}}]", at(&format!("{own}.pem")), at(&format!("{own}.key")));
        let ca = if ca.is_empty() { String::new() } else { format!(", client_ca: {}", at(ca)) };
        format!(", tls: {{listen: \"{listen}\", certs: {certs}{ca}}}")
    };
    let with =
        |tls: &str| settings(&changed(BASE, &[("trusted_proxies: [10.1.0.0/16]", &format!("timing: false{tls}"))]));
    let base = tls("127.0.0.1:8443", "own", "one");
    for (tls, there, back) in [
        (tls("127.0.0.1:8443", "own", "both"), Widens, Not),
        (tls("127.0.0.1:8443", "own", "other"), Widens, Widens),
        (tls("127.0.0.1:8443", "own", ""), Not, Not),
        (tls("127.0.0.1:8443", "next", "one"), Not, Not),
        (tls("0.0.0.0:8443", "own", "one"), Widens, Not),
        (String::new(), Not, Not),
    ] {
        for (old, new, wanted) in [(&base, &tls, there), (&tls, &base, back)] {
            let found = diff(&with(old), &with(new));
            let verdict = if found.widens { Widens } else { Not };
            assert!(verdict == wanted && !found.changes.is_empty(), "{old} to {new}:\n{}", told(&found));
        }
    }
}
