//! What is asked for and by whom: the routes in two versions of a configuration, resources, people, and what a request of
//! theirs is looked up by.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use stent::asker::facet::Proven;
use stent::asker::identity::Identity;
use stent::asker::principal::PrincipalKey;
use stent::coherence::errand::{Asks, Conditions, Errand, StandingIn};
use stent::coherence::extent::Extent;
use stent::coherence::find::Spot;
use stent::coherence::tags::{RequestPlace, principal_parts};
use stent::entry::key::{Key, Partition};
use stent::fields::authority::Scheme;
use stent::policy::plan::{Lookup, Plan, plan};
use stent::policy::question::{Asked, BodyPresence};
use stent::rules::caching::Caching;
use stent::rules::route::Route;

use crate::oracle::Asker;

const CONFIG: &str = "
identity: {principal: [authorization]}
upstreams: {app: {servers: [http://127.0.0.1:8000]}}
policies:
  all: {share: public, ttl: 60s, stale_while_revalidate: 30s, stale_if_error: 300s, ceiling: 150s}
  own: {share: principal, ttl: 60s, stale_while_revalidate: 30s, stale_if_error: 300s, ceiling: 150s}
  asked: {share: permitted, access: {ask: self}, ttl: 60s, stale_if_error: 300s, ceiling: 150s}
routes:
  - {name: public, path: /public/<id>, policy: all, tags: [TAGS]}
  - {name: body, path: /body/<id>, policy: all, tags: ['body:<answer.id>']}
  - {name: own, path: /own/<id>, policy: own, tags: [TAGS]}
  - {name: asked, path: /asked/<id>, policy: asked, tags: [TAGS]}
  - {name: http, path: /http/<id>, policy: origin, tags: [TAGS]}
";

/// The longest body that is stored.
pub const MAX_OBJECT: u64 = 500;

/// How answers of a route are kept: the order of the routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For everybody, whatever they show.
    Public,
    /// The same, with a tag that its body names.
    Body,
    /// For the same principal.
    Own,
    /// For whom the origin lets see it, asked on every request.
    Asked,
    /// As the origin says.
    Http,
}

pub const KINDS: [Kind; 5] = [Kind::Public, Kind::Body, Kind::Own, Kind::Asked, Kind::Http];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resource {
    pub kind: Kind,
    pub id: usize,
}

impl Resource {
    pub fn path(self) -> String {
        format!("/{}/{}", self.kind.name(), self.id)
    }
}

impl Kind {
    pub fn name(self) -> &'static str {
        ["public", "body", "own", "asked", "http"][self as usize]
    }
}

pub type Person = &'static str;
pub const PEOPLE: [Person; 2] = ["anna", "bert"];
pub const LANGUAGES: [&str; 2] = ["de", "fr"];

/// The rules that are in force, the first or those after a reload: then there is one tag more.
pub type Rules = usize;

/// The proxy's configuration.
pub struct Clinic {
    identity: Identity,
    secret: PrincipalKey,
    routes: [Vec<Arc<Route>>; 2],
}

impl Clinic {
    pub fn new() -> Clinic {
        let settings = |tags| {
            let text = CONFIG.replace("TAGS", tags);
            stent::config::parse("clinic.yaml", &text, &|_| None).unwrap_or_else(|report| panic!("{report}")).settings
        };
        let (before, after) = (settings("'thing:<id>'"), settings("'thing:<id>', wide"));
        let routes = |routes: Vec<Route>| routes.into_iter().map(Arc::new).collect();
        let identity = before.identity.clone();
        Clinic { identity, secret: PrincipalKey([7; 32]), routes: [routes(before.routes), routes(after.routes)] }
    }

    pub fn route(&self, rules: Rules, kind: Kind) -> &Arc<Route> {
        &self.routes[rules][kind as usize]
    }

    /// The tags that the rules give an answer by what it is, told once more.
    pub fn tags(rules: Rules, resource: Resource) -> Vec<String> {
        match (resource.kind, rules) {
            (Kind::Body, _) => vec![format!("body:{}", resource.id)],
            (_, 0) => vec![format!("thing:{}", resource.id)],
            _ => vec![format!("thing:{}", resource.id), "wide".to_owned()],
        }
    }

    /// The first question.
    pub fn plan(&self, method: &Method, rules: Rules, resource: Resource, headers: &HeaderMap) -> Option<Lookup> {
        let asked = Asked {
            method,
            scheme: Scheme::Http,
            authority: HOST,
            host: HOST,
            forwarded_host: None,
            path: &resource.path(),
            ambiguity: None,
            query: None,
            headers,
            body: BodyPresence::Absent,
            proven: &Proven::default(),
            bypass: None,
        };
        match plan(&asked, self.route(rules, resource.kind), &self.identity, &self.secret) {
            Plan::Lookup(lookup) => Some(lookup),
            _ => None,
        }
    }

    /// What a flight is to bring, as the proxy would have it.
    pub fn errand(&self, asker: &Asker, asks: Asks, asked: &HeaderMap, lookup: &Lookup, spot: &Spot<'_>) -> Errand {
        let (route, resource) = (self.route(asker.rules, asker.resource.kind), asker.resource);
        let principal = match lookup.partition {
            Partition::Principal(_) => principal_parts(asked, &self.identity, &self.secret),
            _ => Vec::new(),
        };
        Errand {
            asks,
            extent: Extent::WHOLE,
            route: route.clone(),
            primary: Key::from(lookup.key.as_slice()),
            spot: Key::from(spot.key()),
            headers: sent(route, asked, spot.vary()),
            credentialed: lookup.credentialed,
            max_object: MAX_OBJECT,
            place: RequestPlace {
                plain: None,
                scheme: Scheme::Http,
                authority: HOST.to_owned(),
                forwarded_host: None,
                path: resource.path(),
                query: String::new(),
                principal,
                facets: Vec::new(),
            },
            base: None,
            standing_in: StandingIn::Allowed,
            owners: stent::entry::owner::Owners::default(),
            conditions: Conditions::Sent,
            form_cookies: Vec::new(),
            selecting: Arc::default(),
            binding: None,
        }
    }

    /// The digest by which all of one principal is purged.
    pub fn principal(&self, person: Person) -> [u8; 32] {
        principal_parts(&headers(Some(person), None, false), &self.identity, &self.secret)[0]
    }
}

const HOST: &str = "clinic.example";

/// What is not in the key is not sent.
fn sent(route: &Route, asked: &HeaderMap, vary: &[HeaderName]) -> HeaderMap {
    let Caching::Named(policy) = &route.caching else { return asked.clone() };
    let credentials = policy.share.is_sensitive().then_some(header::AUTHORIZATION);
    let names = vary.iter().cloned().chain(credentials);
    names.filter_map(|name| Some((name.clone(), asked.get(name)?.clone()))).collect()
}

/// What somebody's request shows.
pub fn headers(who: Option<Person>, language: Option<&'static str>, no_cache: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(who) = who {
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static(who));
    }
    if let Some(language) = language {
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(language));
    }
    if no_cache {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    headers
}

/// Whose request it is, by what it shows.
pub fn who(headers: &HeaderMap) -> Option<Person> {
    PEOPLE.into_iter().find(|person| headers.get(header::AUTHORIZATION).is_some_and(|shown| shown == person))
}

pub fn language(headers: &HeaderMap) -> Option<&'static str> {
    LANGUAGES.into_iter().find(|language| headers.get(header::ACCEPT_LANGUAGE).is_some_and(|shown| shown == language))
}
