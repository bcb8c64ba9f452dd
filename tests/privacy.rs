//! Who may see what: generated requests of several people, policies and origins' headers, judged by the functions that
//! serve, against a model that is written down once more and shares no code with them.
//!
//! Nothing is ever given to anybody that the model forbids; and what somebody asks for twice comes from the store the
//! second time wherever the model says that it may. `STENT_CASES` sets how many cases are run.

#[path = "it/authority.rs"]
mod authority;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jsonwebtoken::{EncodingKey, Header, encode};
use proptest::prelude::*;
use serde_json::json;
use stent::clock::{Clock, Now};
use stent::config::Settings;
use stent::entry::Vital;
use stent::facet::Proven;
use stent::facet::certificate::{Authorities, Certificate, Presented, SubjectField};
use stent::key::{self, Scheme};
use stent::policy::admit::{Admit, Answered, Terms, admit};
use stent::policy::directives::RequestDirectives;
use stent::policy::plan::{Asked, BodyPresence, Credentialed, Lookup, Permission, Plan, PrincipalKey, plan};
use stent::policy::reuse::{Reuse, reuse};
use stent::store::purge::Standing;
use stent::token::Tokens;

const CONFIG: &str = "
server: {tls: {listen: 127.0.0.1:8443, certs: [{cert: FOLDER/own.pem, key: FOLDER/own.key}], client_ca: FOLDER/own.pem}}
identity:
  principal: [authorization, cookie.sessionid]
  ignore_cookies: [csrftoken]
  ignore_headers: [x-ward, x-tenant]
  jwt: {keys: {file: tests/it/jwks.json}}
  facets: {tenant: jwt.tenant, role: jwt.role, unit: access.unit, ward: header.x-ward, org: cert.o}
upstreams: {app: {servers: [http://127.0.0.1:8000]}}
policies:
  public: {share: public, ttl: 60s}
  anonymous: {share: anonymous, ttl: 60s}
  principal: {share: principal, ttl: 60s}
  tenant: {share: [tenant], access: token, ttl: 60s}
  role: {share: [tenant, role], ttl: 60s}
  ward: {share: [tenant, ward], access: token, ttl: 60s}
  unit: {share: [unit], access: {ask: /authz/<id>}, ttl: 60s}
  asked: {share: permitted, access: {ask: /authz/<id>}, ttl: 60s}
  self: {share: permitted, access: {ask: self}, ttl: 60s}
  member: {share: permitted, access: token, ttl: 60s}
  org: {share: [org], ttl: 60s}
  both: {share: [tenant, org], ttl: 60s}
routes:
  - {name: public, path: /0/<id>, policy: public}
  - {name: anonymous, path: /1/<id>, policy: anonymous}
  - {name: principal, path: /2/<id>, policy: principal}
  - {name: tenant, path: /3/<id>, policy: tenant}
  - {name: role, path: /4/<id>, policy: role}
  - {name: ward, path: /5/<id>, policy: ward}
  - {name: unit, path: /6/<id>, policy: unit}
  - {name: asked, path: /7/<id>, policy: asked}
  - {name: self, path: /8/<id>, policy: self}
  - {name: member, path: /9/<id>, policy: member}
  - {name: org, path: /10/<id>, policy: org}
  - {name: both, path: /11/<id>, policy: both}
";

/// Four people: two of one tenant with one role, one with another role, one of another tenant.
const PEOPLE: [(&str, &str); 4] = [("a", "doctor"), ("a", "doctor"), ("a", "nurse"), ("b", "doctor")];

/// What a request shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Nothing,
    Ignored,
    Token,
    Expired,
    Forged,
    Session,
    TokenAndSession,
    TwoTokens,
    Stray,
}

/// The certificate of a request's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    None,
    /// Names the person's tenant as its organisation.
    Own,
    Expired,
    /// Names both tenants.
    Both,
}

/// What the origin says of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Private,
    NoStore,
    VaryCookie,
    VaryAuthorization,
    SetCookie,
    VaryAll,
    Public,
    Forbidden,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ask {
    person: usize,
    shown: Shown,
    held: Held,
    ward: usize,
    id: usize,
    said: Said,
}

#[derive(Debug, Clone)]
struct Case {
    policy: usize,
    asks: Vec<Ask>,
    /// Whom the origin lets see which thing.
    permits: [[bool; 2]; 4],
}

fn case() -> impl Strategy<Value = Case> {
    use Shown as S;
    let shown = prop::sample::select(vec![
        S::Token,
        S::Token,
        S::Token,
        S::Session,
        S::Nothing,
        S::Ignored,
        S::Expired,
        S::Forged,
        S::TokenAndSession,
        S::TwoTokens,
        S::Stray,
    ]);
    let said = prop::sample::select(vec![
        Said::Nothing,
        Said::Nothing,
        Said::Nothing,
        Said::Nothing,
        Said::Private,
        Said::NoStore,
        Said::VaryCookie,
        Said::VaryAuthorization,
        Said::SetCookie,
        Said::VaryAll,
        Said::Public,
        Said::Forbidden,
    ]);
    let held = prop::sample::select(vec![Held::None, Held::None, Held::Own, Held::Own, Held::Expired, Held::Both]);
    let ask = (0..4_usize, shown, held, 0..2_usize, 0..2_usize, said);
    let ask = ask.prop_map(|(person, shown, held, ward, id, said)| Ask { person, shown, held, ward, id, said });
    (0..12_usize, prop::collection::vec(ask, 2..8), any::<[[bool; 2]; 4]>()).prop_map(|(policy, asks, permits)| Case {
        policy,
        asks,
        permits,
    })
}

/// The model: short, and by nothing but what was generated.
mod model {
    use super::{Ask, Case, Held, PEOPLE, Said, Shown};

    fn has_token(ask: &Ask) -> bool {
        ask.shown == Shown::Token
    }

    fn has_session(ask: &Ask) -> bool {
        matches!(ask.shown, Shown::Session | Shown::TokenAndSession)
    }

    fn has_credentials(ask: &Ask) -> bool {
        !matches!(ask.shown, Shown::Nothing | Shown::Ignored | Shown::Stray)
    }

    fn is_nobody(ask: &Ask) -> bool {
        !has_credentials(ask) && ask.held == Held::None
    }

    fn is_permitted(case: &Case, ask: &Ask) -> bool {
        has_credentials(ask) && case.permits[ask.person][ask.id]
    }

    /// Whether one may ever be given what was made for the other.
    fn may_share(case: &Case, maker: &Ask, asker: &Ask) -> bool {
        let tenant = |ask: &Ask| PEOPLE[ask.person].0;
        let between =
            |same: bool| same && !matches!(maker.said, Said::Private | Said::VaryCookie | Said::VaryAuthorization);
        let unit = |ask: &Ask| tenant(ask);
        let tokens = has_token(maker) && has_token(asker);
        let organised = maker.held == Held::Own && asker.held == Held::Own && tenant(maker) == tenant(asker);
        match case.policy {
            0 => between(true),
            1 => [maker, asker].iter().all(|ask| is_nobody(ask)) && maker.said != Said::Private,
            2 => has_credentials(asker) && maker.person == asker.person && maker.shown == asker.shown,
            3 => between(tokens && tenant(maker) == tenant(asker)),
            4 => between(tokens && PEOPLE[maker.person] == PEOPLE[asker.person]),
            5 => between(tokens && tenant(maker) == tenant(asker) && maker.ward == asker.ward),
            6 => between(is_permitted(case, asker) && unit(maker) == unit(asker) && has_credentials(maker)),
            7 | 8 => between(is_permitted(case, asker) && has_credentials(maker)),
            9 => between(tokens),
            // The origin sees only the credentials beside: there must be none.
            10 => between(organised && !has_credentials(maker) && !has_credentials(asker)),
            _ => between(tokens && organised),
        }
    }

    /// What nobody may be given again.
    fn is_kept(maker: &Ask) -> bool {
        !matches!(maker.said, Said::NoStore | Said::SetCookie | Said::VaryAll | Said::Forbidden)
    }

    pub fn may_see(case: &Case, maker: &Ask, asker: &Ask) -> bool {
        let strays = maker.shown == Shown::Stray || asker.shown == Shown::Stray;
        maker.id == asker.id && !strays && is_kept(maker) && may_share(case, maker, asker)
    }

    /// Whether the same again must come from the store. What a person may share with others they may have themselves,
    /// unless the origin refused them.
    pub fn must_hit(case: &Case, ask: &Ask) -> bool {
        let refused = !case.permits[ask.person][ask.id] && case.policy >= 2;
        may_see(case, ask, ask) && !refused && !(has_session(ask) && [3, 4, 5, 9, 11].contains(&case.policy))
    }
}

struct World {
    settings: Settings,
    tokens: Tokens,
    secret: PrincipalKey,
    now: Now,
    /// Of each person: one that holds, one that has expired, one that another has signed.
    bearers: [[String; 3]; 4],
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    authority::Authority::new("own").server(&["h"]).write(folder.path(), "own");
    let config = CONFIG.replace("FOLDER", &folder.path().display().to_string());
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
        [signed(person, seconds + 600, known), signed(person, seconds - 1, known), signed(person, seconds + 600, other)]
    });
    let tokens = Tokens::new(settings.tokens.clone().expect("keys"), secret.clone());
    World { settings, tokens, secret, now, bearers }
});

impl World {
    fn headers(&self, ask: &Ask) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, value: String| {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(&value).expect("a value"));
        };
        add("x-ward", ask.ward.to_string());
        // What anybody may write.
        add("x-tenant", "a".to_owned());
        let bearer = |kind: usize| format!("Bearer {}", self.bearers[ask.person][kind]);
        let session = format!("csrftoken=x; sessionid={}", ask.person);
        match ask.shown {
            Shown::Nothing => {}
            Shown::Ignored => add("cookie", "csrftoken=x".to_owned()),
            Shown::Token => add("authorization", bearer(0)),
            Shown::Expired => add("authorization", bearer(1)),
            Shown::Forged => add("authorization", bearer(2)),
            Shown::Session => add("cookie", session),
            Shown::TokenAndSession => {
                add("authorization", bearer(0));
                add("cookie", session);
            }
            Shown::TwoTokens => {
                add("authorization", bearer(0));
                add("authorization", bearer(2));
            }
            Shown::Stray => add("cookie", format!("lang=de; sessionid={}", ask.person)),
        }
        headers
    }

    fn certificate(&self, ask: &Ask) -> Presented {
        let text = |text: &str| (SubjectField::Organization, Some(text.to_owned()));
        let fields = match ask.held {
            Held::None => return Presented::Nothing,
            Held::Own | Held::Expired => vec![text(PEOPLE[ask.person].0)],
            Held::Both => vec![text("a"), text("b")],
        };
        let expires = if ask.held == Held::Expired { self.now.wall } else { self.now.wall + Duration::from_secs(1) };
        let certificate = Certificate { fields, expires, verified_by: Authorities([7; 32]) };
        match certificate.holds(Some(Authorities([7; 32])), self.now.wall) {
            true => Presented::Holding(Arc::new(certificate)),
            false => Presented::Unproven,
        }
    }

    fn said(&self, ask: &Ask) -> (StatusCode, HeaderMap) {
        let (status, line) = match ask.said {
            Said::Nothing => (200, None),
            Said::Private => (200, Some(("cache-control", "private"))),
            Said::NoStore => (200, Some(("cache-control", "no-store"))),
            Said::VaryCookie => (200, Some(("vary", "Cookie"))),
            Said::VaryAuthorization => (200, Some(("vary", "Accept, Authorization"))),
            Said::SetCookie => (200, Some(("set-cookie", "a=b"))),
            Said::VaryAll => (200, Some(("vary", "*"))),
            Said::Public => (200, Some(("cache-control", "public, max-age=5"))),
            Said::Forbidden => (403, None),
        };
        let line = line.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        (StatusCode::from_u16(status).expect("a status"), line.into_iter().collect())
    }
}

/// What is stored: an answer and whose request brought it, or by what answers differ.
enum Kept {
    Answer(Vital, Ask),
    Vary(Vec<HeaderName>),
}

#[derive(Debug, PartialEq, Eq)]
enum Got {
    /// What was made for this one's request.
    Stored(Ask),
    /// From the origin, by the caller's own request.
    Own,
}

/// One request down the line, as `proxy::lookup` takes it, with the origin beside it.
fn serve(case: &Case, ask: &Ask, store: &mut HashMap<Vec<u8>, Kept>) -> Got {
    let world = &*WORLD;
    let route = &world.settings.routes[case.policy];
    let identity = &world.settings.identity;
    let headers = world.headers(ask);
    let path = format!("/{}/{}", case.policy, ask.id);
    let token = identity.token(&headers).and_then(|token| world.tokens.claims(token, world.now.wall));
    let permits = case.permits[ask.person][ask.id];
    let mut proven = Proven { token, certificate: world.certificate(ask), access: None };
    let planned = |proven: &Proven| {
        let asked = Asked {
            method: &Method::GET,
            scheme: Scheme::Http,
            authority: "h",
            host: "h",
            forwarded_host: None,
            path: &path,
            ambiguity: None,
            query: None,
            headers: &headers,
            body: BodyPresence::Absent,
            proven,
            bypass: None,
        };
        plan(&asked, route, identity, &world.secret)
    };
    let mut plan = planned(&proven);
    if let Plan::Ask(question) = &plan {
        assert_eq!(question.path, format!("/authz/{}", ask.id));
        if !permits {
            return Got::Own;
        }
        let unit = json!(PEOPLE[ask.person].0);
        proven.access = Some(Arc::new([("unit".to_owned(), unit)].into_iter().collect()));
        plan = planned(&proven);
    }
    let Plan::Lookup(lookup) = plan else { return Got::Own };
    if let Some(Kept::Answer(vital, maker)) = find(&lookup, &headers, store) {
        let any = RequestDirectives::default();
        let may = lookup.permission == Permission::Given || permits;
        if may && matches!(reuse(vital, Standing::Good, &any, lookup.credentialed, world.now.instant), Reuse::Fresh(_))
        {
            return Got::Stored(*maker);
        }
    }
    // The origin refuses whom it does not let see it, where it is asked with their credentials.
    if permits || case.policy < 2 {
        keep(&lookup, &headers, store, ask, &path, route);
    }
    Got::Own
}

fn find<'s>(lookup: &Lookup, headers: &HeaderMap, store: &'s HashMap<Vec<u8>, Kept>) -> Option<&'s Kept> {
    match store.get(lookup.key.as_slice()) {
        Some(Kept::Vary(names)) => store.get(key::variant(&lookup.key, names, headers).as_slice()),
        found => found,
    }
}

fn keep(
    lookup: &Lookup,
    headers: &HeaderMap,
    store: &mut HashMap<Vec<u8>, Kept>,
    ask: &Ask,
    path: &str,
    route: &stent::route::Route,
) {
    let now = WORLD.now;
    let (status, said) = WORLD.said(ask);
    let (arrived, delay, credentialed) = (now.wall, Duration::ZERO, Credentialed::No);
    let answered = Answered { form_cookies: &[], status, headers: &said, path, credentialed, arrived, delay };
    let Admit::Store(terms) = admit(&answered, &route.caching) else { return };
    let Terms { lifetime, initial_age, openness, vary, .. } = terms;
    let vital = Vital { lifetime, received: now.instant, initial_age, openness };
    let mut own = lookup.key.to_vec();
    if !vary.is_empty() {
        own = key::variant(&lookup.key, &vary, headers).to_vec();
        store.insert(lookup.key.to_vec(), Kept::Vary(vary));
    }
    store.insert(own, Kept::Answer(vital, *ask));
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let mut store = HashMap::new();
    for ask in &case.asks {
        for repeat in [false, true] {
            let before = store.len();
            let got = serve(case, ask, &mut store);
            match got {
                Got::Stored(maker) => {
                    prop_assert!(model::may_see(case, &maker, ask), "{ask:?} was given what {maker:?} had made");
                }
                Got::Own => prop_assert!(
                    !(repeat && model::must_hit(case, ask)),
                    "{ask:?} had to go to the origin twice, with {before} kept"
                ),
            }
        }
    }
    Ok(())
}

fn cases() -> u32 {
    std::env::var("STENT_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_sees_what_the_model_forbids_and_everybody_their_own_again(case in case()) {
        check(&case)?;
    }
}
