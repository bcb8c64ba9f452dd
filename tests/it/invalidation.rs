//! What a write through a route makes invalid, read to the letter and widely (RFC 9111 §4.4, RFC 9875).

use crate::scenario::{Origin, Stent, answer};

const BOTH: &str = "
policies: {p: {share: public, ttl: 60s}}
routes:
  - {name: wide, host: wide.example, path: /**, policy: p}
  - {name: letter, path: /**, policy: rfc9111}
";

/// Keeps every GET for a minute, in the groups that its query lists; answers all else by what the request says.
async fn obedient() -> Origin {
    Origin::start(|seen| async move {
        if ["GET", "HEAD"].contains(&seen.method.as_str()) {
            let groups = seen.target.split_once('?').map_or("", |(_, query)| query);
            let groups = groups.replace("%22", "\"").replace("%20", " ").replace("%5C", "\\");
            return answer(200, &[("cache-control", "max-age=60"), ("cache-groups", &groups)], "x");
        }
        let status = seen.header("x-status").unwrap_or("200").parse().unwrap();
        let said = |name| seen.header(name).unwrap_or("");
        let fields = [
            ("location", said("x-location")),
            ("content-location", said("x-content-location")),
            ("cache-group-invalidation", said("x-groups")),
        ];
        let fields: Vec<_> = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        answer(status, &fields, "")
    })
    .await
}

struct Stage {
    _origin: Origin,
    stent: Stent,
}

impl Stage {
    async fn open() -> Stage {
        let origin = obedient().await;
        Stage { stent: Stent::start(origin.address, BOTH), _origin: origin }
    }

    async fn keep(&self, host: &str, target: &str) {
        for _ in 0..2 {
            self.stent.client().get(target).header("host", host).send().await;
        }
        assert!(self.is_kept(host, target).await, "{host}{target}");
    }

    async fn is_kept(&self, host: &str, target: &str) -> bool {
        let asking = self.stent.client().get(target).header("host", host).header("cache-control", "only-if-cached");
        asking.send().await.status == 200
    }

    async fn write(&self, method: &str, host: &str, target: &str, fields: &[(&str, &str)]) {
        let asking = self.stent.client().ask(method, target).header("host", host);
        fields.iter().fold(asking, |asking, (name, value)| asking.header(name, value)).send().await;
    }
}

#[tokio::test]
async fn by_method_and_status() {
    let stage = Stage::open().await;
    for (method, status, letter, wide) in [
        ("POST", "200", true, true),
        ("PUT", "204", true, true),
        ("DELETE", "302", true, true),
        // It contradicts what its client had seen: that is asked about.
        ("PATCH", "404", false, true),
        ("PATCH", "409", false, true),
        ("PUT", "412", false, true),
        ("PATCH", "403", false, false),
        ("POST", "500", false, true),
        ("PUT", "503", false, true),
        ("FOO", "200", true, true), // any method that is not known to be safe
        ("MKCOL", "201", true, true),
        ("OPTIONS", "200", false, false),
        ("QUERY", "200", false, false),
        ("PROPFIND", "207", false, false),
        ("REPORT", "200", false, false),
        ("SEARCH", "200", false, false),
    ] {
        for (host, gone) in [("letter.example", letter), ("wide.example", wide)] {
            stage.keep(host, "/a").await;
            stage.keep(host, "/b").await;
            stage.write(method, host, "/a", &[("x-status", status)]).await;
            assert_eq!(!stage.is_kept(host, "/a").await, gone, "{method} {status} on {host}");
            assert!(stage.is_kept(host, "/b").await, "{method} {status} on {host}");
        }
    }
}

#[tokio::test]
async fn where_an_answer_points() {
    let stage = Stage::open().await;
    for field in ["x-location", "x-content-location"] {
        for (reference, letter, wide) in [
            ("/b", true, true),
            ("b", true, true),
            ("http://HOST/b", true, true),
            ("http://HOST:80/b?q=1#f", true, true),
            ("//HOST/b", true, true),
            ("https://HOST/b", false, true),
            ("http://HOST:8080/b", false, true),
            ("http://other.example/b", false, false),
            ("http://HOST.other.example/b", false, false),
        ] {
            for (host, gone) in [("letter.example", letter), ("wide.example", wide)] {
                stage.keep(host, "/b").await;
                let reference = reference.replace("HOST", host);
                stage.write("POST", host, "/a", &[("x-status", "201"), (field, &reference)]).await;
                assert_eq!(!stage.is_kept(host, "/b").await, gone, "{field}: {reference} on {host}");
            }
        }
    }
}

/// RFC 9875 §2.1, §3: of one origin, by a write that succeeded, if the fields are lists of strings.
#[tokio::test]
async fn groups() {
    let stage = Stage::open().await;
    let host = "letter.example";
    for (kept, method, from, status, named, gone) in [
        ("/a?%22g%22", "POST", host, "200", "\"g\"", true),
        ("/a?%22f%22,%20%22g%22;x", "POST", host, "303", "\"f%\", \"g\";y=1", true),
        ("/a?%22a%5C%22b%22", "POST", host, "200", "\"a\\\"b\"", true),
        ("/a?%22g%22", "POST", host, "200", "\"G\"", false), // case counts
        ("/a?%22g%22", "POST", host, "200", "\"h\"", false),
        ("/a?%22g%22", "POST", host, "200", "g", false), // a token: the field is nothing
        ("/a?%22g%22", "POST", host, "200", "\"g\", h", false),
        ("/a?%22g%22,%20h", "POST", host, "200", "\"g\"", false),
        ("/a?%22g%22", "POST", host, "500", "\"g\"", false),
        ("/a?%22g%22", "OPTIONS", host, "200", "\"g\"", false), // §3: ignored after safe methods
        ("/a?%22g%22", "QUERY", host, "200", "\"g\"", false),
        ("/a?%22g%22", "POST", "other.example", "200", "\"g\"", false),
        ("/a?%22g%22", "POST", "letter.example:8080", "200", "\"g\"", false),
        ("/a?%22g%22", "POST", "letter.example:80", "200", "\"g\"", true),
    ] {
        stage.keep(host, kept).await;
        stage.write(method, from, "/elsewhere", &[("x-status", status), ("x-groups", named)]).await;
        assert_eq!(!stage.is_kept(host, kept).await, gone, "{kept} by {method} {status} {named} from {from}");
    }
}

/// RFC 9875 §2 and §3: so many must be taken.
#[tokio::test]
async fn many_groups() {
    let stage = Stage::open().await;
    let group = |number: usize| format!("{number:02}:{}", "x".repeat(29));
    let all: Vec<String> = (0..32).map(|number| format!("\"{}\"", group(number))).collect();
    let target = format!("/a?{}", all.join(",").replace('"', "%22"));
    for number in 0..32 {
        stage.keep("letter.example", &target).await;
        stage.write("POST", "letter.example", "/b", &[("x-groups", &format!("\"{}\"", group(number)))]).await;
        assert!(!stage.is_kept("letter.example", &target).await, "{number}");
    }
    let last = format!("/a?%22{}%22", group(31));
    stage.keep("letter.example", &last).await;
    stage.write("POST", "letter.example", "/b", &[("x-groups", &all.join(", "))]).await;
    assert!(!stage.is_kept("letter.example", &last).await);
}

/// A redirect to the page to sign in at is a refusal, and no other 3xx is.
#[tokio::test]
async fn who_is_sent_to_sign_in_was_refused() {
    let origin = obedient().await;
    let stent = Stent::start_with(origin.address, ", sign_in: /accounts/login/", BOTH);
    let stage = Stage { stent, _origin: origin };
    for (status, to, refused) in [
        ("302", "/accounts/login/?next=/a", true),
        ("303", "/accounts/login/", true),
        ("307", "http://HOST/accounts/login/", true),
        ("301", "accounts/login/#x", true),
        ("302", "/accounts/login", false),
        ("302", "/accounts/login/done", false),
        ("302", "/b2", false),
        ("302", "http://other.example/accounts/login/", false),
        ("302", "", false),
        ("200", "/accounts/login/", false),
        ("201", "/accounts/login/", false),
    ] {
        for host in ["letter.example", "wide.example"] {
            stage.keep(host, "/a").await;
            let to = to.replace("HOST", host);
            stage.write("POST", host, "/a", &[("x-status", status), ("x-location", &to)]).await;
            assert_eq!(stage.is_kept(host, "/a").await, refused, "{status} {to} on {host}");
        }
    }
    // To sign in is no refusal, even where that page is shown once more.
    stage.keep("wide.example", "/accounts/login/").await;
    let again = [("x-status", "302"), ("x-location", "/accounts/login/?error=1")];
    stage.write("POST", "wide.example", "/accounts/login/", &again).await;
    assert!(!stage.is_kept("wide.example", "/accounts/login/").await);
}

/// A sign-out leads to the page to sign in at, too: by a link, by a form, or by an answer that takes the cookie away.
#[tokio::test]
async fn a_sign_out_is_no_refusal() {
    let origin = Origin::start(|seen| async move {
        match seen.target.as_str() {
            "/mine" => answer(200, &[("cache-control", "max-age=60")], "x"),
            "/drop" => answer(302, &[("location", "/accounts/login/"), ("set-cookie", "sessionid=; Max-Age=0")], ""),
            _ => answer(302, &[("location", "/accounts/login/")], ""),
        }
    })
    .await;
    let yaml = "
identity: {principal: [cookie.sessionid]}
policies: {p: {share: principal, ttl: 60s}}
routes:
  - {name: mine, path: /mine, policy: p, tags: [mine]}
  - {name: out, path: /out, purges: [principal]}
  - {name: drop, path: /drop, purges: [mine]}
  - {name: other, path: /other, purges: [mine]}
";
    let stent = Stent::start_with(origin.address, ", sign_in: /accounts/login/", yaml);
    let ask =
        |method: &'static str, path: &'static str| stent.client().ask(method, path).header("cookie", "sessionid=alice");
    let is_kept = async |path| ask("GET", path).header("cache-control", "only-if-cached").send().await.status == 200;
    for (method, path, kept) in
        [("GET", "/out", false), ("POST", "/out", false), ("POST", "/drop", false), ("POST", "/other", true)]
    {
        ask("GET", "/mine").send().await;
        assert!(is_kept("/mine").await, "{method} {path}");
        ask(method, path).send().await;
        assert_eq!(is_kept("/mine").await, kept, "{method} {path}");
    }
}
