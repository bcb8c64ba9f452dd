//! What Chromium sends through Stent as `stent init --django` sets it up: two people's working day, one after the other, in the
//! Django admin and on Django REST's pages.
//!
//! Heads are Chromium's, word by word, and so is what it keeps for itself: files for as long as it was told, and of other answers
//! the validators. Every answer's `Cache-Status` is counted. `STENT_BINARY` names another build of Stent to run the same through;
//! then nothing is asserted, and the table is there to be compared.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use crate::client::{Answer, Connection, Request, Sent};
use crate::compare::decompressed;
use crate::django::form_token;
use crate::process::{Example, Origin, Stent};

#[test]
fn a_working_day_in_the_admin_and_on_the_pages_of_the_api() {
    let origin = Origin::start(Example::Django).ready();
    let other = std::env::var_os("STENT_BINARY").map(PathBuf::from);
    let binary = other.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_stent")));
    let stent = Stent::of(&binary, &starter(&binary, origin.address), origin.address);
    let mut tally = Tally::default();
    for person in ["first", "second"] {
        let mut browser = Browser::new(person, stent.address, &mut tally);
        let again = day(&mut browser);
        let list = browser.list.expect("she has looked at it").text();
        let seen = if list.contains("latex") { "shows what she has changed" } else { "is out of date" };
        println!("{person}: the list after her write {seen}");
        if other.is_none() {
            assert!(list.contains("latex"), "{list}");
            again.iter().for_each(|answer| assert_eq!(outcome(answer), "hit", "{}", answer.header("cache-status")));
        }
    }
    println!("{tally}");
    if other.is_some() {
        return;
    }
    let counted = |what: &str, outcome: &str| tally.0.get(&(what.to_owned(), outcome.to_owned())).copied().unwrap_or(0);
    assert!(!tally.0.keys().any(|(_, outcome)| outcome.contains("unknown-header")), "{tally}");
    let files = |person: &str| -> usize {
        let own = tally.0.iter().filter(|((what, _), _)| *what == format!("{person}: files"));
        own.map(|(_, count)| count).sum()
    };
    assert!(files("second") > 10, "{tally}");
    assert_eq!(
        counted("second: files", "hit"),
        files("second"),
        "what one browser fetched is there for the next\n{tally}"
    );
}

/// What `stent init` writes, on free ports.
fn starter(binary: &std::path::Path, origin: SocketAddr) -> String {
    let output = Command::new(binary).args(["init", "--django", &format!("http://{origin}"), "--output", "-"]).output();
    let text = String::from_utf8(output.expect("it runs").stdout).expect("text");
    text.replace("listen: 127.0.0.1:8080", "listen: 127.0.0.1:0")
        .replace("listen: 127.0.0.1:9090", "listen: 127.0.0.1:0")
}

/// Signs in, looks around, changes a record, looks again, and leaves. Answers to reads of the API that nothing came between.
fn day(browser: &mut Browser<'_>) -> Vec<Answer> {
    let form = browser.open("/admin/");
    assert!(form.text().contains("csrfmiddlewaretoken"), "the form to sign in");
    browser.ask(Kind::Image, Request::get("/favicon.ico"));
    let token = form_token(&form.text());
    let signed_in = browser.submit(
        "/admin/login/?next=/admin/",
        &format!("csrfmiddlewaretoken={token}&username=alice&password=alice-pass&next=%2Fadmin%2F"),
    );
    assert!(signed_in.text().contains("Site administration"), "{}", signed_in.text());

    browser.open("/admin/clinic/patient/");
    browser.open("/admin/clinic/patient/?ward__exact=surgery");
    let record = browser.open("/admin/clinic/patient/7/change/");
    let ward = if record.text().contains("oncology") { "surgery" } else { "oncology" };
    let filled = format!(
        "csrfmiddlewaretoken={}&name=Awa+Keita&birth_date=1990-05-01&ward={ward}&allergies=none&_save=Save",
        form_token(&record.text())
    );
    let saved = browser.submit("/admin/clinic/patient/7/change/", &filled);
    assert!(saved.text().contains("was changed successfully"), "{}", saved.text());
    let record = browser.open("/admin/clinic/patient/7/change/");
    assert!(record.text().contains(ward), "she sees what she has saved");
    browser.open("/admin/clinic/encounter/add/");
    let found = browser.ask(
        Kind::Ajax,
        Request::get("/admin/autocomplete/?term=Awa&app_label=clinic&model_name=encounter&field_name=patient"),
    );
    assert_eq!(found.status, 200);

    for page in ["/api/patients/", "/api/patients/7/", "/api/patients/?page=2", "/api/patients/7/"] {
        assert!(browser.open(page).text().contains("Django REST framework"), "{page}");
    }
    let mut again = Vec::new();
    let reads = ["/api/patients/", "/api/patients/7/", "/api/me/", "/api/patients/7/encounters/"];
    let mut read = |browser: &mut Browser<'_>| {
        for path in reads {
            let first = browser.ask(Kind::Ajax, Request::get(path));
            assert_eq!(first.status, 200, "{path}: {}", first.text());
            for _ in 0..3 {
                again.push(browser.ask(Kind::Ajax, Request::get(path)));
            }
        }
    };
    read(browser);
    browser.has_written = true;
    let change = Request::new("PATCH", "/api/patients/7/").json(r#"{"allergies":"latex"}"#);
    assert_eq!(browser.ask(Kind::Ajax, change).status, 200);
    let after = browser.ask(Kind::Ajax, Request::get("/api/patients/7/"));
    assert_eq!(after.json()["allergies"], "latex", "she sees what she has changed");
    browser.list = Some(browser.ask(Kind::Ajax, Request::get("/api/patients/")));
    read(browser);

    let token = form_token(&browser.open("/admin/").text());
    browser.submit("/admin/logout/", &format!("csrfmiddlewaretoken={token}"));
    assert_eq!(
        browser.ask(Kind::Ajax, Request::get("/api/me/")).status,
        401,
        "what was kept for the session went with it"
    );
    again
}

/// How an answer came about, by person and kind of request.
#[derive(Default)]
struct Tally(BTreeMap<(String, String), usize>);

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sum = |begin: &str| -> usize {
            self.0.iter().filter(|((_, outcome), _)| outcome.starts_with(begin)).map(|(_, count)| count).sum()
        };
        writeln!(f, "{} requests, {} hits, {} passes", sum(""), sum("hit"), sum("pass"))?;
        for ((what, outcome), count) in &self.0 {
            writeln!(f, "  {what:<27} {count:>4}  {outcome}")?;
        }
        Ok(())
    }
}

/// What the last cache of `Cache-Status` did, and why.
fn outcome(answer: &Answer) -> String {
    let status = answer.header("cache-status").rsplit(", stent").next().unwrap_or("");
    let parameter = |name: &str| {
        let found = status.split("; ").find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        found.unwrap_or("").trim_matches('"').to_owned()
    };
    let (forward, detail) = (parameter("fwd"), parameter("detail"));
    match forward.as_str() {
        "" => "hit".to_owned(),
        // It came while the same fetch was being put away, and the origin was not asked.
        _ if status.contains("; collapsed") => "hit".to_owned(),
        "bypass" => format!("pass: {detail}"),
        "method" => "pass: method".to_owned(),
        _ if status.contains("; stored") || detail == "stored-if-it-fits" => "miss, kept".to_owned(),
        _ => format!("miss, not kept: {detail}"),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Page,
    Form,
    Style,
    Script,
    Image,
    Ajax,
}

impl Kind {
    fn accept(self) -> &'static str {
        match self {
            Kind::Page | Kind::Form => {
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7"
            }
            Kind::Style => "text/css,*/*;q=0.1",
            Kind::Script => "*/*",
            Kind::Image => "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
            Kind::Ajax => "application/json, text/javascript, */*; q=0.01",
        }
    }

    /// `Sec-Fetch-Mode` and `Sec-Fetch-Dest`.
    fn metadata(self) -> (&'static str, &'static str) {
        match self {
            Kind::Page | Kind::Form => ("navigate", "document"),
            Kind::Style => ("no-cors", "style"),
            Kind::Script => ("no-cors", "script"),
            Kind::Image => ("no-cors", "image"),
            Kind::Ajax => ("cors", "empty"),
        }
    }

    fn of_file(path: &str) -> Kind {
        match path.split('?').next().unwrap_or(path).rsplit('.').next() {
            Some("css") => Kind::Style,
            Some("svg" | "png" | "ico" | "gif") => Kind::Image,
            _ => Kind::Script,
        }
    }

    fn told(self) -> &'static str {
        match self {
            Kind::Page => "pages",
            Kind::Form => "forms",
            Kind::Ajax => "api",
            Kind::Style | Kind::Script | Kind::Image => "files",
        }
    }
}

/// What a browser keeps of an answer for itself.
enum Own {
    /// It does not ask again.
    Fresh,
    /// It asks whether that still stands.
    Tagged(String, Answer),
}

struct Browser<'t> {
    person: &'static str,
    connection: Connection,
    cookies: BTreeMap<String, String>,
    own: BTreeMap<String, Own>,
    /// The page that is open.
    page: Option<String>,
    /// She has changed a record through the API.
    has_written: bool,
    /// The list that she saw after that.
    list: Option<Answer>,
    tally: &'t mut Tally,
}

impl Browser<'_> {
    fn new<'t>(person: &'static str, address: SocketAddr, tally: &'t mut Tally) -> Browser<'t> {
        let connection = Connection::open(address);
        let (cookies, own) = (BTreeMap::new(), BTreeMap::new());
        Browser { person, connection, cookies, own, page: None, has_written: false, list: None, tally }
    }

    /// A page with all that it loads.
    fn open(&mut self, path: &str) -> Answer {
        let answer = self.ask(Kind::Page, Request::get(path));
        self.arrive(path, answer)
    }

    fn submit(&mut self, path: &str, filled: &str) -> Answer {
        let answer = self.ask(Kind::Form, Request::new("POST", path).form(filled));
        self.arrive(path, answer)
    }

    fn arrive(&mut self, path: &str, mut answer: Answer) -> Answer {
        let mut path = path.to_owned();
        while answer.status == 302 {
            path = answer.header("location").to_owned();
            answer = self.ask(Kind::Page, Request::get(&path));
        }
        self.page = Some(path);
        for file in files(&answer.text()) {
            self.ask(Kind::of_file(&file), Request::get(&file));
        }
        answer
    }

    fn ask(&mut self, kind: Kind, request: Request) -> Answer {
        let reading = matches!(request.body, Sent::Nothing);
        let key = format!("{:?} {}", kind.accept(), request.target);
        let kept = self.own.get(&key).filter(|_| reading);
        if let Some(Own::Fresh) = kept {
            return Answer { status: 200, headers: Vec::new(), body: Vec::new() };
        }
        let mut sent = self.dressed(kind, request);
        if let Some(Own::Tagged(tag, _)) = kept {
            sent = sent.with("If-None-Match", tag);
        }
        let mut answer = self.connection.ask(&sent);
        let what = match kind {
            Kind::Script if sent.target == "/admin/jsi18n/" => "pages",
            Kind::Image if sent.target == "/favicon.ico" => "pages",
            Kind::Ajax if self.has_written => "api, after a write",
            _ => kind.told(),
        };
        *self.tally.0.entry((format!("{}: {what}", self.person), outcome(&answer))).or_default() += 1;
        self.take_cookies(&answer);
        if answer.header("content-encoding") == "gzip" {
            answer.body = decompressed(&answer.body);
        }
        if answer.status == 304 {
            let Some(Own::Tagged(_, whole)) = self.own.get(&key) else { panic!("{}: 304", sent.target) };
            return Answer { headers: answer.headers, ..whole.clone() };
        }
        let control = answer.header("cache-control");
        if answer.status == 200 && reading && !control.contains("no-store") {
            if control.contains("max-age=") && !control.contains("max-age=0") {
                self.own.insert(key, Own::Fresh);
            } else if answer.has("etag") {
                self.own.insert(key, Own::Tagged(answer.header("etag").to_owned(), answer.clone()));
            }
        }
        answer
    }

    /// With all that Chromium adds.
    fn dressed(&self, kind: Kind, request: Request) -> Request {
        let (mode, destination) = kind.metadata();
        let site = if self.page.is_some() { "same-origin" } else { "none" };
        let mut request = Request { headers: Vec::new(), ..request.clone() }
            .with("Connection", "keep-alive")
            .with("sec-ch-ua-platform", "\"Linux\"")
            .with(
                "User-Agent",
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
            )
            .with("sec-ch-ua", "\"Chromium\";v=\"142\", \"Not_A Brand\";v=\"99\"")
            .with("sec-ch-ua-mobile", "?0")
            .with("Accept", kind.accept())
            .with("Sec-Fetch-Site", site)
            .with("Sec-Fetch-Mode", mode)
            .with("Sec-Fetch-Dest", destination)
            .with("Accept-Encoding", "gzip, deflate, br, zstd")
            .with("Accept-Language", "en-GB,en-US;q=0.9,en;q=0.8")
            .also(request.headers);
        if matches!(kind, Kind::Page | Kind::Form) {
            request = request.with("Upgrade-Insecure-Requests", "1").with("Sec-Fetch-User", "?1");
        }
        if kind == Kind::Form {
            request = request.with("Cache-Control", "max-age=0");
        }
        if kind == Kind::Form || request.method == "PATCH" {
            request = request.with("Origin", "http://localhost");
        }
        if let Some(page) = &self.page {
            request = request.with("Referer", &format!("http://localhost{page}"));
        }
        if kind == Kind::Ajax {
            request = request.with("X-Requested-With", "XMLHttpRequest");
            if let Some(token) = self.cookies.get("csrftoken") {
                request = request.with("X-CSRFToken", token);
            }
        }
        let cookies: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if cookies.is_empty() { request } else { request.with("Cookie", &cookies.join("; ")) }
    }

    fn take_cookies(&mut self, answer: &Answer) {
        for (_, line) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) = line.split(';').next().and_then(|pair| pair.split_once('=')).expect("a pair");
            if line.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

impl Request {
    fn also(mut self, headers: Vec<(String, String)>) -> Request {
        self.headers.extend(headers);
        self
    }
}

/// What a page loads: its `href` and `src` that are files.
fn files(page: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for attribute in ["href=\"", "src=\""] {
        for rest in page.split(attribute).skip(1) {
            let path = rest.split('"').next().unwrap_or("");
            let is_file = path.starts_with("/static/") || path == "/admin/jsi18n/";
            if is_file && !found.iter().any(|known| known == path) {
                found.push(path.to_owned());
            }
        }
    }
    found
}

#[test]
fn what_is_counted_is_what_cache_status_says() {
    for (status, want) in [
        ("stent; hit; ttl=60", "hit"),
        ("stent; fwd=uri-miss; fwd-status=200; stored; collapsed; ttl=60", "hit"),
        ("stent; fwd=uri-miss; fwd-status=200; stored; ttl=60", "miss, kept"),
        ("stent; fwd=uri-miss; fwd-status=200; detail=set-cookie", "miss, not kept: set-cookie"),
        ("stent; fwd=bypass; detail=no-policy; fwd-status=200", "pass: no-policy"),
        ("stent; fwd=method; fwd-status=200", "pass: method"),
    ] {
        let headers = vec![("cache-status".to_owned(), status.to_owned())];
        assert_eq!(outcome(&Answer { status: 200, headers, body: Vec::new() }), want);
    }
}
