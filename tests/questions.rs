//! Random pairs of a request and an answer, made of what origins and clients write and of what they never should, through the
//! parsers and all four questions: nothing panics, and nobody is given what the model forbids.
//!
//! The model is ten lines, knows only what was generated, and shares no code with what it judges. It forbids what is certain
//! to be wrong; what may be kept though nobody would miss it is no matter here. `STENT_PAIRS` sets how many pairs are run.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use stent::asker::facet::Proven;
use stent::asker::principal::PrincipalKey;
use stent::config::Settings;
use stent::entry::head::Vital;
use stent::entry::key;
use stent::entry::purge::Standing;
use stent::fields::authority::Scheme;
use stent::policy::admit::{Admit, admit, is_alike_for_all};
use stent::policy::answered::Answered;
use stent::policy::plan::{Lookup, Plan, plan};
use stent::policy::question::{Asked, BodyPresence};
use stent::policy::rescue::{Rescue, rescue};
use stent::policy::reuse::{Reuse, reuse};

const CONFIG: &str = "
identity: {principal: [authorization, cookie.sessionid], ignore_cookies: [csrftoken]}
upstreams: {app: {servers: [http://127.0.0.1:8000]}}
policies:
  public: {share: public, ttl: 60s}
  anonymous: {share: anonymous, strip_cookies: [lang]}
  principal: {share: principal, ttl: 60s, stale_if_error: 60s}
routes:
  - {name: origin, path: /0, policy: origin}
  - {name: stripping, path: /1, policy: origin, strip_cookies: [lang]}
  - {name: letter, path: /2, policy: rfc9111}
  - {name: public, path: /3, policy: public}
  - {name: anonymous, path: /4, policy: anonymous}
  - {name: principal, path: /5, policy: principal}
";

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    stent::config::parse("test.yaml", CONFIG, &|_| None).unwrap_or_else(|report| panic!("{report}")).settings
});

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    Origin,
    Stripping,
    Letter,
    Public,
    Anonymous,
    Principal,
}

const POLICIES: [Policy; 6] =
    [Policy::Origin, Policy::Stripping, Policy::Letter, Policy::Public, Policy::Anonymous, Policy::Principal];

/// What a request shows, as it was generated.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    authorization: Option<&'static str>,
    /// One that is not ignored.
    cookie: Option<&'static str>,
}

/// What is certain of an answer, as it was generated.
#[derive(Debug, Clone, Default)]
struct Certain {
    /// Nobody may be given it again.
    never: bool,
    private: bool,
    /// Somewhere in it is a word that opens it to requests with credentials.
    opens: bool,
    opens_authorization: bool,
    sets: Option<&'static str>,
    withholds_cookies: bool,
    withholds_secret: bool,
    varies_by_cookie: bool,
}

/// Who may be given what was made for another.
fn may_see(policy: Policy, maker: &Shown, asker: &Shown, said: &Certain) -> bool {
    let letter = policy == Policy::Letter;
    let has = |who: &Shown| who.authorization.is_some() || who.cookie.is_some() && !letter;
    let strips = matches!(policy, Policy::Stripping | Policy::Anonymous) && said.sets == Some("lang=de");
    let withholds = matches!(policy, Policy::Origin | Policy::Stripping) && said.withholds_cookies;
    let cookies = said.sets.is_none() || letter || strips || withholds;
    let varies = said.varies_by_cookie && (policy == Policy::Public || maker.cookie != asker.cookie);
    let shared = match policy {
        // `must-revalidate` opens what `Authorization` alone asked for, to those who show nothing else.
        Policy::Origin | Policy::Stripping | Policy::Letter => {
            let cookies = !letter && (maker.cookie.is_some() || asker.cookie.is_some());
            said.opens || said.opens_authorization && !cookies || !has(maker) && !has(asker)
        }
        Policy::Public => true,
        Policy::Anonymous => !has(maker) && !has(asker),
        Policy::Principal => has(maker) && maker == asker,
    };
    shared && cookies && !said.never && !varies && (policy == Policy::Principal || !said.private)
}

/// A small generator: the same pairs on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % sides
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.roll(choices.len())]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.roll(n) == 0
    }

    /// Anything that a field may hold.
    fn noise(&mut self) -> Vec<u8> {
        const BYTES: &[u8] = b"aZ09-_=\",;:\\ \t()<>@*+.?/#%&'|~`^!$\x80\xff";
        (0..self.roll(24)).map(|_| self.of(BYTES)).collect()
    }
}

const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "60",
    "\"60\"",
    "-1",
    "1.5",
    "",
    "x",
    "\"",
    "2147483648",
    "99999999999999999999999",
    "60 ",
    " 60",
    "6_0",
    "+60",
    "60;a=1",
];
const DATES: [&str; 14] = [
    "Sun, 09 Sep 2001 01:46:40 GMT",
    "Sun, 09 Sep 2001 01:47:40 GMT",
    "Sunday, 09-Sep-01 01:46:00 GMT",
    "Sunday, 09-Sep-60 01:46:00 GMT",
    "Sun Sep  9 01:46:40 2001",
    "sun, 09 sep 2001 01:46:00 gmt",
    "Sun, 09 Sep 2001 01:46:40 PST",
    "Fri, 31 Dec 9999 23:59:60 GMT",
    "Mon, 01 Jan 0001 00:00:00 GMT",
    "Sun, 99 Sep 2001 99:99:99 GMT",
    "0",
    "-1",
    "",
    "Sunday, 09-Sep-0",
];
const STATUSES: [u16; 16] = [200, 200, 200, 200, 203, 204, 206, 299, 301, 302, 304, 404, 429, 500, 599, 999];

/// Directives that mean what they say wherever they stand, and how they are written.
const DIRECTIVES: [&str; 16] = [
    "max-age=60",
    "max-age=600",
    "no-store",
    "private",
    "no-cache",
    "public",
    "s-maxage=60",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "stale-while-revalidate=60",
    "stale-if-error=60",
    "private=\"x-secret\"",
    "no-cache=\"set-cookie\"",
    "private=\"x-secret, set-cookie\"",
    "unheard-of=1",
];

struct Request {
    shown: Shown,
    headers: HeaderMap,
}

fn request(dice: &mut Dice) -> Request {
    let authorization = dice.of(&[None, None, None, Some("Bearer a"), Some("Bearer b")]);
    let cookie = dice.of(&[None, None, None, Some("sessionid=a"), Some("sessionid=b"), Some("lang=de")]);
    let mut headers = HeaderMap::new();
    let mut add = |name: &'static str, value: &[u8]| {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    };
    authorization.iter().for_each(|value| add("authorization", value.as_bytes()));
    cookie.iter().for_each(|value| add("cookie", value.as_bytes()));
    if dice.one_in(4) {
        add("cookie", b"csrftoken=x");
    }
    if dice.one_in(4) {
        let name = dice.of(&["max-age", "max-stale", "min-fresh", "no-cache", "no-store", "only-if-cached", "x"]);
        add("cache-control", format!("{name}={}", dice.of(&NUMBERS)).as_bytes());
        add("cache-control", &dice.noise());
    }
    if dice.one_in(8) {
        add("pragma", dice.of(&[&b"no-cache"[..], b"No-Cache, x", b"x"]));
    }
    Request { shown: Shown { authorization, cookie }, headers }
}

struct Response {
    status: StatusCode,
    headers: HeaderMap,
    certain: Certain,
}

fn response(dice: &mut Dice, policy: Policy) -> Response {
    let mut certain = Certain::default();
    let mut headers = HeaderMap::new();
    let mut add = |name: &'static str, value: &[u8]| {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    };
    add("x-secret", b"one person's");
    let as_origin = matches!(policy, Policy::Origin | Policy::Stripping | Policy::Letter);
    let targeted = dice.one_in(4);
    let mut heeded: Vec<&str> = Vec::new();
    let mut written: Vec<Vec<u8>> = Vec::new();
    // Where the origin alone decides, a targeted field may outweigh what stands here.
    for _ in 0..dice.roll(4) {
        let directive = dice.of(&DIRECTIVES);
        written.push(directive.as_bytes().to_vec());
        if !(targeted && as_origin) {
            heeded.push(directive);
        }
    }
    // Rubbish stands behind: an open quote before them would hide them, in what is not kept at all then.
    if dice.one_in(3) {
        let name = dice.of(&["max-age", "s-maxage", "no-cache", "private", "public", "stale-if-error", "ext"]);
        written.push(format!("{name}{}{}", dice.of(&["=", " =", "= ", ""]), dice.of(&NUMBERS)).into_bytes());
    }
    if dice.one_in(4) {
        written.push(dice.noise());
    }
    let text = written.join(&b", "[..]);
    if !text.is_empty() {
        add("cache-control", &text);
    }
    let mut spoken = text.to_ascii_lowercase();
    if targeted {
        let name = dice.of(&["cdn-cache-control", "cdn-cache-control", "surrogate-control"]);
        let mut directives: Vec<&str> = (0..1 + dice.roll(3)).map(|_| dice.of(&DIRECTIVES)).collect();
        // Of two members with one name, a dictionary has the last.
        directives.sort_unstable();
        directives.dedup_by_key(|directive| directive.split('=').next());
        let mut text = directives.join(", ").into_bytes();
        match dice.one_in(3) {
            // Perhaps not heeded at all, and then `Cache-Control` is.
            true => text.extend(dice.noise()),
            false => heeded.extend(&directives),
        }
        spoken.extend(text.to_ascii_lowercase());
        add(name, &text);
    }
    let has = |word: &str| heeded.contains(&word);
    let lifted = as_origin && spoken.windows(15).any(|part| part == b"must-understand");
    certain.never = has("no-store") && !lifted;
    certain.private = has("private");
    certain.withholds_secret = has("private=\"x-secret\"") || has("private=\"x-secret, set-cookie\"");
    let says = |word: &[u8]| spoken.windows(word.len()).any(|part| part == word);
    certain.opens = says(b"public") || says(b"s-maxage");
    certain.opens_authorization = says(b"must-revalidate");
    certain.withholds_cookies = says(b"set-cookie");
    if dice.one_in(4) {
        let cookie = dice.of(&["lang=de", "sid=1", "lang", "=x"]);
        certain.sets = Some(cookie);
        add("set-cookie", cookie.as_bytes());
    }
    if dice.one_in(5) {
        let vary = dice.of(&["*", "Accept, *", "Cookie", "accept , COOKIE", "Accept-Encoding", ",,"]);
        certain.never |= vary.contains('*');
        certain.varies_by_cookie = vary.eq_ignore_ascii_case("cookie") || vary.ends_with("COOKIE");
        add("vary", vary.as_bytes());
    }
    for name in ["date", "expires", "last-modified"] {
        if dice.one_in(2) {
            add(name, dice.of(&DATES).as_bytes());
        }
        if dice.one_in(16) {
            add(name, &dice.noise());
        }
    }
    if dice.one_in(3) {
        add("age", dice.of(&NUMBERS).as_bytes());
    }
    if dice.one_in(8) {
        add("age", &dice.noise());
    }
    if dice.one_in(2) {
        add("etag", b"\"a\"");
    }
    if dice.one_in(8) {
        add("pragma", b"no-cache");
    }
    let status = StatusCode::from_u16(dice.of(&STATUSES)).expect("a status");
    certain.never |= matches!(status.as_u16(), 206 | 304 | 429);
    Response { status, headers, certain }
}

/// What is stored: an answer as others would get it, and whose request brought it.
enum Kept {
    Answer { vital: Box<Vital>, fields: HeaderMap, maker: Shown, certain: Certain },
    Vary(Vec<HeaderName>),
}

#[derive(Default)]
struct Seen {
    kept: u64,
    given: u64,
    given_to_others: u64,
}

/// Two requests, one after the other, each with what the origin would answer.
fn pair(dice: &mut Dice, seen: &mut Seen) {
    let index = dice.roll(POLICIES.len());
    let policy = POLICIES[index];
    let path = format!("/{index}");
    let route = SETTINGS.routes.iter().find(|route| route.path.text == path).expect("a route for each policy");
    let begin = Instant::now();
    let mut store: HashMap<Vec<u8>, Kept> = HashMap::new();
    for second in [false, true] {
        let request = request(dice);
        let proven = Proven::default();
        let asked = Asked {
            method: &Method::GET,
            scheme: Scheme::Http,
            authority: "h",
            host: "h",
            forwarded_host: None,
            path: &path,
            ambiguity: None,
            query: None,
            headers: &request.headers,
            body: BodyPresence::Absent,
            proven: &proven,
            bypass: None,
        };
        let Plan::Lookup(lookup) = plan(&asked, route, &SETTINGS.identity, &PrincipalKey([7; 32])) else { continue };
        let now = begin + Duration::from_secs(dice.of(&[0, 0, 30, 61, 100, 700]));
        let standing = if dice.one_in(8) { Standing::Soft } else { Standing::Good };
        if second && let Some(Kept::Answer { vital, fields, maker, certain }) = find(&lookup, &request.headers, &store)
        {
            let reused = reuse(vital, standing, &lookup.directives, lookup.credentialed, now);
            let rescued = rescue(vital, standing, lookup.directives.stale_if_error, now) != Rescue::Fail
                && !matches!(reused, Reuse::Unusable(_));
            if rescued || matches!(reused, Reuse::Fresh(_) | Reuse::StaleWhileRevalidate(_)) {
                seen.given += 1;
                seen.given_to_others += u64::from(*maker != request.shown);
                let told = || format!("{policy:?}: {:?} was given what {maker:?} had made: {fields:?}", request.shown);
                assert!(may_see(policy, maker, &request.shown, certain), "{}", told());
                assert!(!(certain.withholds_secret && fields.contains_key("x-secret")), "{}", told());
                assert!(policy == Policy::Letter || !fields.contains_key("set-cookie"), "{}", told());
            }
            assert_eq!(reuse(vital, Standing::Dead, &lookup.directives, lookup.credentialed, now), PURGED);
            assert_eq!(rescue(vital, Standing::Dead, lookup.directives.stale_if_error, now), Rescue::Fail);
            continue;
        }
        let Response { status, headers, certain } = response(dice, policy);
        let answered = Answered {
            form_cookies: &[],
            status,
            headers: &headers,
            path: &path,
            credentialed: lookup.credentialed,
            arrived: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000),
            delay: Duration::from_millis(dice.of(&[0, 1, 2500])),
        };
        let _ = is_alike_for_all(&answered, &route.caching);
        let Admit::Store(terms) = admit(&answered, &route.caching) else { continue };
        seen.kept += 1;
        let mut fields = headers.clone();
        terms.withheld.iter().for_each(|name| drop(fields.remove(name)));
        let received = begin;
        let stent::policy::admit::Terms { lifetime, initial_age, openness, clock, .. } = terms;
        let vital = Vital { lifetime, received, initial_age, openness, clock };
        let mut own = lookup.key.to_vec();
        if !terms.vary.is_empty() {
            own = key::variant(&lookup.key, &terms.vary, &request.headers).to_vec();
            store.insert(lookup.key.to_vec(), Kept::Vary(terms.vary));
        }
        store.insert(own, Kept::Answer { vital: Box::new(vital), fields, maker: request.shown, certain });
    }
}

const PURGED: Reuse = Reuse::Unusable(stent::policy::reuse::UnusableReason::Purged);

fn find<'s>(lookup: &Lookup, headers: &HeaderMap, store: &'s HashMap<Vec<u8>, Kept>) -> Option<&'s Kept> {
    match store.get(lookup.key.as_slice()) {
        Some(Kept::Vary(names)) => store.get(key::variant(&lookup.key, names, headers).as_slice()),
        found => found,
    }
}

#[test]
fn whatever_is_said_nobody_is_given_what_the_model_forbids() {
    let pairs: u64 = std::env::var("STENT_PAIRS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let run = |thread: u64| {
        let mut seen = Seen::default();
        for number in (thread..pairs).step_by(threads as usize) {
            // Each pair has a seed of its own, so that one which fails is found again.
            let mut dice = Dice((number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            for _ in 0..4 {
                dice.roll(2);
            }
            pair(&mut dice, &mut seen);
        }
        seen
    };
    let seen = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("no pair fails")).fold(Seen::default(), |all, one| Seen {
            kept: all.kept + one.kept,
            given: all.given + one.given,
            given_to_others: all.given_to_others + one.given_to_others,
        })
    });
    // It would say nothing if nothing were ever kept or shared.
    assert!(seen.kept > pairs / 20 && seen.given > pairs / 200 && seen.given_to_others > pairs / 2000);
}
