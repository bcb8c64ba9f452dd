//! The origin: what it has, what it says of it, and a record of every answer. Each answer carries the number of its record,
//! in its body and in a field; so whoever gets it shows where it is from.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use stent::body::ending::Ending;
use stent::coherence::errand::Arrived;
use stent::ground::clock::Now;

use crate::chance::Chance;
use crate::clinic::{Kind, Person, Resource, language, who};
use crate::oracle::Moment;

/// What it says of an answer beside its lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Nothing,
    Public,
    Private,
    NoStore,
    NoCache,
    SetCookie,
    /// A cookie, and that this field is one person's.
    PrivateCookie,
    /// That it depends on who asks.
    VariesByWho,
    /// More tags than an answer may have.
    ManyTags,
    /// A refusal, or a redirect to sign in.
    Refused(u16),
    /// 200: the page to sign in at, which has no validator.
    LoginPage,
    Ill,
}

/// What it answered, once.
#[derive(Debug)]
pub struct Record {
    pub number: usize,
    pub resource: Resource,
    /// As its request showed.
    pub who: Option<Person>,
    pub language: Option<&'static str>,
    /// The request that waits for it with a hand of its own, if one does.
    pub asked_by: Option<usize>,
    /// What was stored, and was asked about.
    pub base: Option<Copy>,
    /// When its request left.
    pub left: Moment,
    /// When it answered.
    pub answered: Moment,
    pub answered_at: Instant,
    pub status: u16,
    pub said: Said,
    pub varies: bool,
    pub etag: String,
    /// Those that its fields name.
    pub tags: Vec<String>,
    pub body: Bytes,
}

/// What is stored, by the records whose body it has and who spoke of it last.
pub type Copy = (usize, usize);

/// How long the origin's own lifetimes are.
pub const MAX_AGE: Duration = Duration::from_secs(40);

/// A request that has left for it.
#[derive(Debug)]
pub struct Left {
    /// By HEAD.
    pub head: bool,
    pub resource: Resource,
    pub asked_by: Option<usize>,
    pub base: Option<Copy>,
    pub headers: HeaderMap,
    pub left: Moment,
    pub left_at: Instant,
}

/// An answer on its way.
pub struct Answer {
    pub number: usize,
    pub arrived: Arrived,
    /// The pieces of its body, the last one first; without the end where it breaks off.
    pub pieces: Vec<Bytes>,
    pub whole: bool,
}

pub struct Origin {
    pub records: Vec<Record>,
    /// By resource, as far as there are any: how often it was changed.
    versions: [[usize; 2]; 5],
    /// Whether its answers differ by language.
    varies: [[bool; 2]; 5],
    /// Whether its last answer about it was a 5xx: one seldom comes alone.
    ill: [[bool; 2]; 5],
    /// Whom it does not let see what is asked about.
    pub shut_out: [bool; 2],
    many_tags: HeaderValue,
}

impl Origin {
    pub fn new(many_tags: HeaderValue) -> Origin {
        let (versions, varies, ill, shut_out) = Default::default();
        Origin { records: Vec::new(), versions, varies, ill, shut_out, many_tags }
    }

    pub fn change(&mut self, resource: Resource) {
        self.versions[resource.kind as usize][resource.id] += 1;
    }

    pub fn toggle_varies(&mut self, resource: Resource) {
        self.varies[resource.kind as usize][resource.id] ^= true;
    }

    pub fn answer(&mut self, request: Left, answered: Moment, now: Now, chance: &mut Chance) -> Answer {
        let Left { head, resource, asked_by, base, ref headers, left, left_at } = request;
        let (number, who, language) = (self.records.len(), who(headers), language(headers));
        let varies = self.varies[resource.kind as usize][resource.id];
        let shut_out = resource.kind == Kind::Asked && who.is_none_or(|who| self.shut_out[usize::from(who == "bert")]);
        let ill = &mut self.ill[resource.kind as usize][resource.id];
        let said = match () {
            () if *ill && chance.one_in(2) => Said::Ill,
            () if shut_out => refused(chance),
            () => said(resource.kind, chance),
        };
        *ill = said == Said::Ill;
        let etag = self.etag(resource, who, language.filter(|_| varies));
        let known = headers.get(header::IF_NONE_MATCH).is_some_and(|shown| shown.as_bytes() == etag.as_bytes());
        let status = match said {
            Said::Refused(status) => status,
            Said::LoginPage => 200,
            Said::Ill => 503,
            _ if known => 304,
            _ => 200,
        };
        let tags = tags(said, chance);
        let mut fields = self.fields(said, varies, &tags, now);
        if said != Said::LoginPage {
            set(&mut fields, header::ETAG, &etag);
        }
        if matches!(said, Said::Refused(_)) && resource.kind == Kind::Asked {
            // Whatever it says of that: between people it is nobody's.
            fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=40"));
        }
        set(&mut fields, X_RECORD, &number.to_string());
        let has_body = status != 304 && !head;
        let body = if has_body { body(resource, number, chance) } else { Bytes::new() };
        let ending = if chance.one_in(3) { Ending::Marked } else { Ending::Length(body.len() as u64) };
        let whole = !has_body || !chance.one_in(8);
        let status_code = StatusCode::from_u16(status).expect("one of those above");
        let arrived = Arrived { status: status_code, headers: fields, ending, delay: now.instant - left_at };
        let pieces = pieces(&body, ending, whole, chance);
        let answered_at = now.instant;
        self.records.push(Record {
            number,
            resource,
            who,
            language,
            asked_by,
            base,
            left,
            answered,
            answered_at,
            status,
            said,
            varies,
            etag,
            tags,
            body,
        });
        Answer { number, arrived, pieces, whole }
    }

    /// The first language is what it answers with where none is asked for.
    fn etag(&self, resource: Resource, who: Option<Person>, language: Option<&str>) -> String {
        let version = self.versions[resource.kind as usize][resource.id];
        let language = language.filter(|language| *language != "de").unwrap_or("");
        let who = who.filter(|_| matches!(resource.kind, Kind::Own | Kind::Http)).unwrap_or("");
        format!("\"{}-{}-{version}{language}{who}\"", resource.kind.name(), resource.id)
    }

    fn fields(&self, said: Said, varies: bool, tags: &[String], now: Now) -> HeaderMap {
        let mut fields = HeaderMap::with_capacity(10);
        let lifetime = match said {
            Said::Public => "public, max-age=40, stale-while-revalidate=20, stale-if-error=200",
            Said::Private => "private, max-age=40",
            Said::NoStore => "no-store",
            Said::NoCache => "no-cache",
            Said::PrivateCookie => "public, max-age=40, private=\"set-cookie\"",
            Said::Refused(_) | Said::Ill => "",
            Said::Nothing | Said::LoginPage | Said::SetCookie | Said::VariesByWho | Said::ManyTags => {
                "max-age=40, stale-if-error=200"
            }
        };
        if !lifetime.is_empty() {
            fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(lifetime));
        }
        if matches!(said, Said::SetCookie | Said::PrivateCookie) {
            fields.insert(header::SET_COOKIE, HeaderValue::from_static("session=1"));
        }
        if varies {
            fields.append(header::VARY, HeaderValue::from_static("Accept-Language"));
        }
        if said == Said::VariesByWho {
            fields.append(header::VARY, HeaderValue::from_static("Authorization"));
        }
        match (said, tags.first()) {
            (Said::ManyTags, _) => drop(fields.insert(SURROGATE_KEY, self.many_tags.clone())),
            (_, Some(tag)) => set(&mut fields, SURROGATE_KEY, tag),
            _ => {}
        }
        set(&mut fields, header::DATE, &httpdate::fmt_http_date(now.wall));
        let media = if said == Said::LoginPage { "text/html" } else { "application/json" };
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        fields
    }
}

fn said(kind: Kind, chance: &mut Chance) -> Said {
    match chance.below(25) {
        0 => Said::Private,
        1 => Said::NoStore,
        2 => Said::NoCache,
        3 => Said::SetCookie,
        7 if chance.one_in(2) => Said::PrivateCookie,
        8 if chance.one_in(2) => Said::VariesByWho,
        4 if chance.one_in(4) => Said::ManyTags,
        5 | 24 => refused(chance),
        6 | 7 => Said::Ill,
        8..=16 if kind == Kind::Http => Said::Public,
        _ => Said::Nothing,
    }
}

fn refused(chance: &mut Chance) -> Said {
    let statuses = [401, 403, 404, 302, 429];
    if chance.one_in(4) { Said::LoginPage } else { Said::Refused(statuses[chance.below(statuses.len())]) }
}

/// The last of them is what is purged by.
pub const MANY_TAGS: usize = 300;

pub fn many_tags() -> HeaderValue {
    let tags: Vec<String> = (0..MANY_TAGS).map(|number| format!("m{number}")).collect();
    HeaderValue::from_str(&tags.join(" ")).expect("digits and letters")
}

fn tags(said: Said, chance: &mut Chance) -> Vec<String> {
    match (said, chance.below(6)) {
        (Said::ManyTags, _) => vec![format!("m{}", MANY_TAGS - 1)],
        (_, number @ 0..2) => vec![format!("extra:{number}")],
        _ => Vec::new(),
    }
}

fn body(resource: Resource, number: usize, chance: &mut Chance) -> Bytes {
    let length = if chance.one_in(10) { 600 } else { 1 + chance.below(60) };
    Bytes::from(format!("{{\"n\":{number},\"id\":\"{}\",\"pad\":\"{:x<length$}\"}}", resource.id, ""))
}

fn pieces(body: &Bytes, ending: Ending, whole: bool, chance: &mut Chance) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut rest = body.clone();
    while !rest.is_empty() && pieces.len() < 3 {
        let length = if pieces.len() == 2 { rest.len() } else { 1 + chance.below(rest.len()) };
        pieces.push(rest.split_to(length));
    }
    pieces.extend((!rest.is_empty()).then_some(rest));
    if !whole {
        pieces.truncate(chance.below(pieces.len().max(1)));
    } else if ending == Ending::Marked {
        pieces.push(Bytes::new());
    }
    pieces.reverse();
    pieces
}

/// Which record a body is of.
pub fn number_in(body: &[u8]) -> Option<usize> {
    let digits = body.strip_prefix(b"{\"n\":")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// Which record a head is of, by its lines.
pub fn number_in_lines(lines: &[u8]) -> Option<usize> {
    let at = lines.windows(X_RECORD_LINE.len()).position(|window| window == X_RECORD_LINE)? + X_RECORD_LINE.len();
    let end = at + lines[at..].iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&lines[at..end]).ok()?.parse().ok()
}

pub const X_RECORD: HeaderName = HeaderName::from_static("x-record");
const X_RECORD_LINE: &[u8] = b"x-record: ";
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

fn set(fields: &mut HeaderMap, name: HeaderName, value: &str) {
    fields.insert(name, HeaderValue::from_str(value).expect("letters and digits"));
}
