//! What was generated, as it is written on the wire; and the configuration.

use std::fmt::Write;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};
use stent::asker::facet::certificate::{Authorities, Certificate, Presented, SubjectField};
use stent::asker::principal::PrincipalKey;
use stent::asker::token::Tokens;
use stent::config::Settings;
use stent::ground::clock::{Clock, Now};

use crate::asked::{Answer, Ask, Case, Charts, Field, Held, Life, Mark, PEOPLE, Policy, Shown, Status, Url, Verdict};
use crate::authority;
use crate::model;

const CONFIG: &str = "
server: {tls: {listen: 127.0.0.1:8443, certs: [{cert: FOLDER/own.pem, key: FOLDER/own.key}], client_ca: FOLDER/own.pem}}
identity:
  principal: [authorization, cookie.sessionid]
  ignore_cookies: [csrftoken]
  ignore_headers: [x-shop]
  secret_fields: [x-visit]
  url_credentials: [visit_key]
  jwt: {keys: {file: tests/it/jwks.json}}
  facets: {tenant: jwt.tenant, role: jwt.role, unit: access.unit, ward: header.x-ward, org: cert.o}
upstreams: {app: {servers: [http://127.0.0.1:8000]}}
policies:
  public: {share: public, ttl: 60s}
  habit: {share: public, ttl: 60s, override: true}
  themed: {share: public, ttl: 60s, vary: {headers: [x-theme]}}
  anonymous: {share: anonymous, ttl: 60s}
  principal: {share: principal, ttl: 60s}
  tenant: {share: [tenant], access: token, ttl: 60s}
  role: {share: [tenant, role], ttl: 60s}
  ward: {share: [tenant, ward], access: token, ttl: 60s}
  unit: {share: [unit], access: {ask: /authz/<id>}, ttl: 60s}
  asked: {share: permitted, access: {ask: /authz/<id>}, ttl: 60s}
  strict: {share: permitted, access: {ask: /authz/<id>, yes: 204}, ttl: 60s}
  told: {share: permitted, access: {ask: /authz/<id>, yes: {json: allowed}}, ttl: 60s}
  same: {share: permitted, access: {ask: self}, ttl: 60s}
  kept: {share: permitted, access: {ask: self, for: 30s}, ttl: 60s}
  member: {share: permitted, access: token, ttl: 60s}
  org: {share: [org], ttl: 60s}
  both: {share: [tenant, org], ttl: 60s}
routes:
";

pub struct World {
    pub settings: Settings,
    pub tokens: Tokens,
    pub secret: PrincipalKey,
    pub now: Now,
    /// Of each person: one that holds, one that has expired, one that another has signed.
    bearers: [[String; 3]; 4],
}

pub static WORLD: LazyLock<World> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    authority::Authority::new("own").server(&["h"]).write(folder.path(), "own");
    let mut config = CONFIG.replace("FOLDER", &folder.path().display().to_string());
    for policy in Policy::ALL {
        let name = format!("{policy:?}").to_lowercase();
        writeln!(config, "  - {{name: {name}, path: /{name}/<id>, policy: {name}}}").expect("a string takes all");
    }
    let settings =
        stent::config::parse("test.yaml", &config, &|_| None).unwrap_or_else(|report| panic!("{report}")).settings;
    let secret = PrincipalKey([7; 32]);
    let now = Clock::System.now();
    let seconds = now.wall.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let signed = |person: usize, exp: u64, key: &[u8]| {
        let (tenant, role) = PEOPLE[person];
        let claims = json!({"exp": exp, "tenant": tenant, "role": role, "sub": person});
        encode(&Header::default(), &claims, &EncodingKey::from_secret(key)).expect("a token")
    };
    let (known, other) = (b"0123456789abcdef0123456789abcdef", b"fedcba9876543210fedcba9876543210");
    let bearers = std::array::from_fn(|person| {
        [
            signed(person, seconds + 6000, known),
            signed(person, seconds - 1, known),
            signed(person, seconds + 600, other),
        ]
    });
    let tokens = Tokens::new(settings.tokens.clone().expect("keys"), secret.clone());
    World { settings, tokens, secret, now, bearers }
});

impl Ask {
    pub fn authorization(&self) -> Vec<String> {
        let bearer = |kind: usize| format!("Bearer {}", WORLD.bearers[self.person][kind]);
        match self.shown {
            Shown::Token | Shown::TokenAndSession | Shown::TokenAndDeletedSession => vec![bearer(0)],
            Shown::Expired => vec![bearer(1)],
            Shown::Forged => vec![bearer(2)],
            Shown::TwoTokens => vec![bearer(0), bearer(2)],
            Shown::NullToken => vec!["Bearer null".to_owned()],
            Shown::Signed => vec![format!("AWS4-HMAC-SHA256 Credential={}", self.person)],
            Shown::Nothing | Shown::Ignored | Shown::Session | Shown::Stray | Shown::DeletedSession => Vec::new(),
        }
    }

    pub fn cookie(&self) -> Option<String> {
        match self.shown {
            Shown::Ignored => Some("csrftoken=x".to_owned()),
            Shown::Session | Shown::TokenAndSession => Some(format!("csrftoken=x; sessionid={}", self.person)),
            Shown::Stray => Some(format!("lang=de; sessionid={}", self.person)),
            Shown::DeletedSession | Shown::TokenAndDeletedSession => Some("sessionid=deleted".to_owned()),
            _ => None,
        }
    }

    /// What stands behind the thing's path, and the query.
    pub fn url_text(&self) -> (String, Option<String>) {
        let person = self.person;
        match self.url {
            Url::Plain => (String::new(), None),
            Url::Page => (String::new(), Some("page=2".to_owned())),
            Url::Version => (";v=1".to_owned(), None),
            Url::PathSession => (format!(";jsessionid={person}"), None),
            Url::Cookieless => (format!(";x(S({person}))"), Some(format!("PHPSESSID={person}"))),
            Url::QueryToken => (String::new(), Some(format!("page=2&access_token={person}"))),
            Url::OwnParameter => (String::new(), Some(format!("visit_key={person}"))),
        }
    }

    pub fn headers(&self, condition: Option<&HeaderValue>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, value: &str| {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        };
        self.authorization().iter().for_each(|value| add("authorization", value));
        self.cookie().iter().for_each(|value| add("cookie", value));
        self.ward.iter().for_each(|ward| add("x-ward", &ward.to_string()));
        if self.script {
            add("x-requested-with", "XMLHttpRequest");
        }
        match self.field {
            Field::None => {}
            Field::Harmless => add("sec-fetch-mode", "cors"),
            Field::Ignored => add("x-shop", "1"),
            Field::Dark => add("x-theme", "dark"),
            Field::Light => add("x-theme", "light"),
            Field::User => add("x-user", &self.person.to_string()),
            Field::Tenant => add("x-tenant", "a"),
            Field::Role => add("x-active-role", "nurse"),
            Field::Prefer => add("prefer", "return=minimal"),
            Field::ApiKey => add("x-api-key", &self.person.to_string()),
            Field::Signature => add("signature-input", "sig1=()"),
        }
        if let Some(tag) = condition {
            headers.insert(header::IF_NONE_MATCH, tag.clone());
        }
        headers
    }

    pub fn certificate(&self) -> Presented {
        let text = |text: &str| (SubjectField::Organization, Some(text.to_owned()));
        let fields = match self.held {
            Held::None => return Presented::Nothing,
            Held::Own | Held::Expired => vec![text(PEOPLE[self.person].0)],
            Held::Both => vec![text("a"), text("b")],
        };
        let now = WORLD.now.wall;
        let expires = if self.held == Held::Expired { now } else { now + Duration::from_secs(1) };
        let certificate = Certificate { fields, expires, verified_by: Authorities([7; 32]) };
        match certificate.holds(Some(Authorities([7; 32])), now) {
            true => Presented::Holding(Arc::new(certificate)),
            false => Presented::Unproven,
        }
    }
}

impl Case {
    /// The validator of what is asked for. It is made of the thing, and not of who sees it.
    pub fn tag(&self, ask: &Ask) -> Option<HeaderValue> {
        let text = format!("\"v{}\"", ask.id);
        (self.charts != Charts::Bare).then(|| HeaderValue::from_str(&text).expect("a tag"))
    }

    /// What the origin answers a request.
    pub fn answer(&self, ask: &Ask) -> (StatusCode, HeaderMap) {
        let Answer { life, mark, .. } = ask.answer;
        let mut headers = HeaderMap::new();
        let mut add = |name: HeaderName, value: &'static str| {
            headers.append(name, HeaderValue::from_static(value));
        };
        let status = model::status(self, ask);
        let code = match status {
            Status::Chart | Status::LoginPage | Status::SaysNo => 200,
            Status::Unauthorized => 401,
            Status::Forbidden => 403,
            Status::NotFound => 404,
            Status::TooMany => 429,
            Status::SignIn => 302,
            Status::Moved | Status::MovedToQuery => 301,
            Status::Ill => 503,
        };
        match status {
            Status::Chart if self.charts != Charts::Html => add(header::CONTENT_TYPE, "application/json"),
            Status::SaysNo => add(header::CONTENT_TYPE, "application/json"),
            Status::SignIn | Status::MovedToQuery => add(header::LOCATION, "/login?next=/chart"),
            Status::Moved => add(header::LOCATION, "/elsewhere"),
            _ => add(header::CONTENT_TYPE, "text/html; charset=utf-8"),
        }
        match life {
            Life::Nothing => {}
            Life::MaxAge => add(header::CACHE_CONTROL, "max-age=60"),
            Life::Public => add(header::CACHE_CONTROL, "public, max-age=60"),
            Life::MustRevalidate => add(header::CACHE_CONTROL, "max-age=60, must-revalidate"),
            Life::Zero => add(header::CACHE_CONTROL, "max-age=0"),
            Life::Private => add(header::CACHE_CONTROL, "private"),
            Life::NoStore => add(header::CACHE_CONTROL, "no-store"),
        }
        let secret = |name: &'static str| HeaderName::from_static(name);
        match mark {
            Mark::None => {}
            Mark::VaryCookie => add(header::VARY, "Cookie"),
            Mark::VaryAuthorization => add(header::VARY, "Accept, Authorization"),
            Mark::VaryAll => add(header::VARY, "*"),
            Mark::VaryTheme => add(header::VARY, "X-Theme"),
            Mark::SetCookie => add(header::SET_COOKIE, "a=b"),
            Mark::AuthToken => add(secret("x-auth-token"), "t"),
            Mark::Authorization => add(header::AUTHORIZATION, "Bearer t"),
            Mark::AuthenticationInfo => add(secret("authentication-info"), "nextnonce=\"n\""),
            Mark::OwnSecret => add(secret("x-visit"), "v"),
            Mark::PrivateToken => {
                add(secret("x-auth-token"), "t");
                add(header::CACHE_CONTROL, "private=\"x-auth-token\"");
            }
            Mark::Pragma => add(header::PRAGMA, "no-cache"),
            Mark::Expires => add(header::EXPIRES, "Thu, 01 Jan 1970 00:00:00 GMT"),
            Mark::RetryAfter => add(header::RETRY_AFTER, "5"),
            Mark::Refresh => add(secret("refresh"), "5"),
        }
        if let Some(tag) = self.tag(ask).filter(|_| status == Status::Chart) {
            headers.insert(header::ETAG, tag);
        }
        (StatusCode::from_u16(code).expect("a status"), headers)
    }

    /// What it answers the question whether somebody may see a thing.
    pub fn verdict(&self, ask: &Ask) -> (StatusCode, HeaderMap, Option<Value>) {
        let permits = self.permits[ask.person][ask.id];
        let json = ("application/json", Some(json!({"allowed": permits, "unit": PEOPLE[ask.person].0})));
        let (code, (media, body)) = match if permits { self.yes } else { self.no } {
            Verdict::Empty => (204, ("", None)),
            Verdict::Json => (200, json),
            Verdict::Text => (200, ("text/plain", None)),
            Verdict::Unauthorized => (401, ("text/plain", None)),
            Verdict::SignIn => (302, ("text/plain", None)),
            Verdict::LoginPage => (200, ("text/html", None)),
            Verdict::SaysNo => (200, ("application/json", Some(json!({"result": false})))),
        };
        let media = Some(media).filter(|media| !media.is_empty());
        let headers = media.map(|media| (header::CONTENT_TYPE, HeaderValue::from_static(media))).into_iter().collect();
        (StatusCode::from_u16(code).expect("a status"), headers, body)
    }
}
