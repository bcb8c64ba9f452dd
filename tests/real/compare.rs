//! The same script against two origins that began alike, one asked directly and one through Stent: every answer is the same,
//! but for the differences listed here.
//!
//! Two origins, so that writes may be part of the script: each gets the same ones in the same order. Every row is asked twice,
//! so that what a miss brings and what a hit brings are both compared, and so that a stored answer which a write should have
//! purged is seen as a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use crate::client::{Answer, Connection, Request, Sent};
use crate::process::{Example, Origin, Stent};

/// All that may differ in a header, and why.
const DIFFERENCES: &[(&str, May, &str)] = &[
    ("via", May::BeAdded, "RFC 9110 §7.6.3: every proxy signs"),
    ("cache-status", May::BeAdded, "RFC 9211: what the cache had to do with it"),
    ("x-request-id", May::BeAdded, "one request can be followed through the logs of both"),
    ("age", May::BeAdded, "RFC 9111 §5.1: what came by way of the store says how old it is"),
    ("surrogate-key", May::BeRemoved, "names by which the cache is purged are not for clients"),
    ("connection", May::BeAnything, "RFC 9110 §7.6.1: about one hop"),
    ("keep-alive", May::BeAnything, "about one hop"),
    ("transfer-encoding", May::BeAnything, "about one hop: what is stored has a length, what streams is chunked"),
    ("content-length", May::BeTheBodys, "what came in chunks has a length once it is stored"),
    ("date", May::DependOnTheClock, "the two are not asked in the same second"),
    ("expires", May::DependOnTheClock, "Django computes it from the time of the request"),
    (
        "cache-control",
        May::BeThePolicys,
        "private records are revalidated by everybody behind us; `types:` says its own lifetime",
    ),
    ("set-cookie", May::BeRandom, "tokens and session ids are drawn for each answer, and expire by the clock"),
    (
        "etag",
        May::BeTheBodys,
        "a page with a drawn token in it has another tag each time; a compressed one has a weak tag; what is kept for one person has a tag that is bound to them",
    ),
    ("content-encoding", May::BeTheBodys, "a cached fetch carries no Accept-Encoding, so the store has it plain"),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum May {
    BeAdded,
    BeRemoved,
    BeAnything,
    BeTheBodys,
    DependOnTheClock,
    BeThePolicys,
    BeRandom,
}

/// What Stent does with the answers to a row, and so what it may do to them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kept {
    /// Not at all.
    Not,
    /// Not at all, on a route that keeps answers for one person: downstream it is as private as those.
    NotPrivate,
    /// For the one who asked.
    Own,
    /// For all, as the origin said.
    All,
    /// For all, downstream for as long as `types:` says.
    Listed(&'static str),
}

/// Who asks: a header, or somebody who signed in and has a session.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    Nobody,
    Header(&'static str, &'static str),
    Session(&'static str),
}

/// A row of the script.
#[derive(Clone, Debug)]
pub struct Row {
    pub method: &'static str,
    pub target: &'static str,
    pub who: Who,
    pub headers: Vec<(&'static str, String)>,
    pub body: Sent,
    /// The statuses of the first and the second answer.
    pub status: [u16; 2],
    pub kept: Kept,
}

pub fn row(method: &'static str, target: &'static str, who: Who, status: u16, kept: Kept) -> Row {
    Row { method, target, who, headers: Vec::new(), body: Sent::Nothing, status: [status; 2], kept }
}

impl Row {
    pub fn with(mut self, name: &'static str, value: &str) -> Row {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn json(self, text: &str) -> Row {
        Row { body: Sent::Whole(text.into()), ..self }.with("Content-Type", "application/json")
    }

    pub fn sending(self, body: Sent) -> Row {
        Row { body, ..self }
    }

    /// The second time it is answered with another status.
    pub fn then(mut self, status: u16) -> Row {
        self.status[1] = status;
        self
    }
}

/// An origin that is asked directly and one that is asked through Stent.
pub struct Pair {
    pub direct: Side,
    pub stent: Side,
    _stent: Stent,
    _origins: [Origin; 2],
}

/// One of the two, and who has signed in there.
pub struct Side {
    connection: Connection,
    sessions: BTreeMap<&'static str, String>,
}

impl Pair {
    pub fn of(example: Example) -> Pair {
        let origins = [Origin::start(example), Origin::start(example)].map(Origin::ready);
        let stent = Stent::before(&origins[1]);
        let side = |address| Side { connection: Connection::open(address), sessions: BTreeMap::new() };
        Pair { direct: side(origins[0].address), stent: side(stent.address), _stent: stent, _origins: origins }
    }

    pub fn both(&mut self) -> [&mut Side; 2] {
        [&mut self.direct, &mut self.stent]
    }

    /// Asks both twice and compares.
    pub fn check(&mut self, row: &Row) {
        for (time, status) in row.status.into_iter().enumerate() {
            let what = format!("{} {} by {:?}, time {}", row.method, row.target, row.who, time + 1);
            let [mut direct, stent] = self.both().map(|side| side.ask(row));
            assert_eq!(direct.status, status, "{what}: the origin itself: {}", direct.text());
            if direct.status >= 500 {
                // Uvicorn closes without a word after an error of the service; Stent has to cope with that for its clients.
                self.direct.connection.end();
            }
            if row.method == "HEAD" && stent.is_hit() {
                // From the store it is the head that a GET has (RFC 9110 §9.3.2); Django leaves a field out.
                direct = self.direct.ask(&Row { method: "GET", ..row.clone() });
                direct.body.clear();
            }
            same(&direct, &stent, row.kept, &what);
            let may_hit = !matches!(row.kept, Kept::Not | Kept::NotPrivate);
            let hit = stent.is_hit();
            // The first time it may be there already, from an earlier row.
            assert!(hit == may_hit || (time == 0 && may_hit), "{what}: {}", stent.header("cache-status"));
        }
    }
}

impl Side {
    pub fn ask(&mut self, row: &Row) -> Answer {
        let mut request = Request::new(row.method, row.target).sending(row.body.clone());
        match row.who {
            Who::Nobody => {}
            Who::Header(name, value) => request = request.with(name, value),
            Who::Session(user) => request = request.with("Cookie", &self.sessions[user]),
        }
        for (name, value) in &row.headers {
            request = request.with(name, value);
        }
        self.send(&request)
    }

    pub fn send(&mut self, request: &Request) -> Answer {
        self.connection.ask(request)
    }

    /// From now on this user's rows carry these cookies.
    pub fn remember(&mut self, user: &'static str, cookies: String) {
        self.sessions.insert(user, cookies);
    }

    pub fn cookies(&self, user: &str) -> &str {
        &self.sessions[user]
    }
}

/// Fails unless the answer through Stent is the direct one, but for [`DIFFERENCES`].
pub fn same(direct: &Answer, stent: &Answer, kept: Kept, what: &str) {
    assert_eq!(stent.status, direct.status, "{what}: {}", stent.text());
    let (plain, through) = (content(direct), content(stent));
    let drawn = DRAWN.iter().any(|before| String::from_utf8_lossy(&plain).contains(before));
    if plain != through {
        // Megabytes are no help to anybody.
        let shown = |body: &[u8]| String::from_utf8_lossy(&body[..body.len().min(2000)]).into_owned();
        panic!("{what}: the body was\n{}\nand is\n{}", shown(&plain), shown(&through));
    }
    let names: BTreeSet<&str> = direct.headers.iter().chain(&stent.headers).map(|(name, _)| name.as_str()).collect();
    for name in names {
        let [before, after] = [direct, stent].map(|answer| values(answer, name));
        let complain =
            || -> ! { panic!("{what}: {name} was {before:?} and is {after:?}, {}", stent.header("cache-status")) };
        let may = DIFFERENCES.iter().find(|(header, ..)| *header == name).map(|(_, may, _)| *may);
        let fine = match may {
            None => before == after,
            Some(May::BeAdded) => before.is_empty() && after.len() == 1,
            Some(May::BeRemoved) => after.is_empty(),
            Some(May::BeAnything) => true,
            Some(May::DependOnTheClock) => before.len() == after.len(),
            Some(May::BeThePolicys) => match kept {
                Kept::Own | Kept::NotPrivate if before.iter().any(|value| value.contains("no-store")) => {
                    after == ["private, no-cache, no-store"]
                }
                Kept::Own | Kept::NotPrivate => after == ["private, no-cache"],
                Kept::Listed(says) => after == [says],
                Kept::Not | Kept::All => before == after,
            },
            Some(May::BeRandom) => before.iter().map(|set| masked(set)).eq(after.iter().map(|set| masked(set))),
            Some(May::BeTheBodys) => match name {
                "etag" => {
                    let strong = |tags: &[&str]| -> Vec<String> {
                        tags.iter().map(|tag| tag.trim_start_matches("W/").to_owned()).collect()
                    };
                    let weakened = direct.has("content-encoding") && strong(&before) == strong(&after);
                    let bound = matches!(kept, Kept::Own | Kept::NotPrivate)
                        && after.iter().filter_map(|tag| unbound(tag)).eq(before.iter().map(|tag| (*tag).to_owned()));
                    before == after || bound || weakened || (drawn && before.len() == after.len())
                }
                "content-encoding" => before == after || (kept != Kept::Not && after.is_empty()),
                _ if before.is_empty() || direct.has("content-encoding") => after == [stent.body.len().to_string()],
                _ => before == after,
            },
        };
        if !fine {
            complain();
        }
    }
    assert!(stent.has("age") || !stent.is_hit(), "{what}: a hit without its age");
    assert!(stent.header("via") == "1.1 stent" && stent.header("x-request-id").len() == 16, "{what}: {stent:?}");
}

/// A tag without what binds it to its principal: `"v1;s=0123456789ab"`.
fn unbound(tag: &str) -> Option<String> {
    let (before, binding) = tag.strip_suffix('"')?.rsplit_once(";s=")?;
    let is_one = binding.len() == 12 && binding.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| format!("{before}\""))
}

/// A 304 says no more than that the client's copy stands. A cache adds the fields which the whole answer would have had
/// (RFC 9110 §15.4.5), where Django and FastAPI keep a few; none may say anything else than the whole one does.
pub fn same_not_modified(direct: &Answer, stent: &Answer, whole: &Answer, what: &str) {
    assert_eq!((direct.status, stent.status), (304, 304), "{what}");
    assert!(stent.body.is_empty() && !stent.has("content-type"), "{what}: {stent:?}");
    let mine = ["cache-status", "x-request-id", "age", "date"];
    for (name, value) in stent.headers.iter().filter(|(name, _)| !mine.contains(&name.as_str())) {
        assert_eq!(value, whole.header(name), "{what}: {name}");
    }
    // What it says of the copy, the client knows (RFC 9110 §15.4.5).
    let passing = ["connection", "content-language", "date", "surrogate-key", "server"];
    for (name, _) in direct.headers.iter().filter(|(name, _)| !passing.contains(&name.as_str())) {
        assert!(stent.has(name), "{what}: the origin's 304 has {name}");
    }
}

fn values<'a>(answer: &'a Answer, name: &str) -> Vec<&'a str> {
    answer.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
}

/// The body, decompressed, with drawn tokens blanked out.
fn content(answer: &Answer) -> Vec<u8> {
    let plain = match answer.header("content-encoding") {
        "gzip" if !answer.body.is_empty() => decompressed(&answer.body),
        _ => answer.body.clone(),
    };
    if !answer.header("content-type").starts_with("text/html") {
        return plain;
    }
    let page = String::from_utf8_lossy(&plain);
    DRAWN.iter().fold(page.into_owned(), |page, before| blank(&page, before, "\"")).into_bytes()
}

/// What stands in a page before a token that is drawn for it: in its forms, and in the browsable API's script.
const DRAWN: [&str; 2] = ["name=\"csrfmiddlewaretoken\" value=\"", "\"csrfToken\": \""];

/// A cookie without what is drawn and without when it ends; an ending in the past stays, for it takes the cookie away.
fn masked(set_cookie: &str) -> String {
    let mut text = set_cookie.to_owned();
    for drawn in ["csrftoken=", "sessionid="] {
        if !text.starts_with(&format!("{drawn}\"\"")) {
            text = blank(&text, drawn, ";");
        }
    }
    match text.contains("Max-Age=0") {
        true => text,
        false => blank(&text, "expires=", ";"),
    }
}

/// Blanks what stands between the two wherever it does.
fn blank(text: &str, before: &str, after: &str) -> String {
    let mut pieces = text.split(before);
    let mut out = pieces.next().unwrap_or("").to_owned();
    for piece in pieces {
        out.push_str(before);
        out.push_str(&piece[piece.find(after).unwrap_or(piece.len())..]);
    }
    out
}

/// What gzip made small.
pub fn decompressed(body: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("gzip");
    let mut stdin = gzip.stdin.take().expect("piped");
    // Both ends at once: a pipe holds only so much.
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(body).expect("gzip reads"));
        let output = gzip.wait_with_output().expect("gzip ends");
        assert!(output.status.success(), "not gzip");
        output.stdout
    })
}
