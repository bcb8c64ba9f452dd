//! Who may see what: generated requests of several people, policies and origins' answers, judged by the functions that
//! serve, against a model that is written down once more and shares no code with them.
//!
//! Nothing is ever given to anybody that the model forbids; and what somebody asks for twice comes from the store the
//! second time wherever the model says that it may. `STENT_CASES` sets how many cases are run. With the feature `mutants`
//! single rules are switched off, and a case must show it.

#[path = "privacy/asked.rs"]
mod asked;
#[path = "it/authority.rs"]
mod authority;
#[path = "privacy/model.rs"]
mod model;
#[path = "privacy/world.rs"]
mod world;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use serde_json::Value;
use stent::asker::facet::Proven;
use stent::coherence::errand::Conditions;
use stent::entry::head::{Validators, Vital};
use stent::entry::key;
use stent::entry::key::Partition;
use stent::entry::purge::Standing;
use stent::fields::authority::Scheme;
use stent::fields::directives::RequestDirectives;
#[cfg(feature = "mutants")]
use stent::ground::mutants::{Rule, switch_off};
use stent::policy::admit::{Admit, Terms, admit};
use stent::policy::answered::Answered;
use stent::policy::bound::Binding;
use stent::policy::plan::{Lookup, Permission, Plan, plan};
use stent::policy::question::{Asked, BodyPresence};
use stent::policy::reuse::{Reuse, reuse};
use stent::policy::validate::{Condition, condition};
use stent::policy::yes::{Likeness, likeness, version};
use stent::proxy::probes::{Probe, ToNobody, View};
use stent::rules::caching::{Access, Caching, Yes};
use stent::rules::route::Route;

use asked::{Ask, Case, Policy, case};
use world::WORLD;

/// What is stored: an answer and whose request brought it, or by what answers differ.
enum Kept {
    Answer(Box<Stored>),
    Vary(Vec<HeaderName>),
}

#[derive(Clone)]
struct Stored {
    vital: Vital,
    headers: HeaderMap,
    maker: Ask,
}

/// What a request comes to.
enum Got {
    /// What was made for this one's request.
    Stored(Stored),
    /// From the origin, by the caller's own request.
    Own(HeaderMap),
}

/// One history: what is stored, which yes is kept, and what the browser has.
struct Line<'c> {
    case: &'c Case,
    store: HashMap<Vec<u8>, Kept>,
    /// By who asks for what: about which kind of answer.
    yes: HashSet<(Vec<u8>, u64)>,
    probe: Probe,
    /// The last request was asked for as a whole, to find out whether a 304 may count.
    finds_out: Cell<bool>,
    /// What it was shown last, by what it asked for: the tag, and for whose request that was made.
    browser: HashMap<Page, (HeaderValue, Ask)>,
}

/// What a browser asks for: which thing, by which URL, and whether a script asks.
type Page = (usize, (String, Option<String>), bool);

fn page(ask: &Ask) -> Page {
    (ask.id, ask.url_text(), ask.script)
}

/// How often something came from the store, and how often that had been made for another person.
static HITS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

impl Line<'_> {
    fn new(case: &Case) -> Line<'_> {
        let (store, yes, browser) = Default::default();
        Line { case, store, yes, probe: Probe::default(), finds_out: Cell::new(false), browser }
    }

    /// One request down the line, as `proxy::lookup` takes it, with the origin beside it.
    fn serve(&mut self, ask: &Ask) -> Got {
        let (world, case) = (&*WORLD, self.case);
        let route = &world.settings.routes[case.policy as usize];
        let identity = &world.settings.identity;
        let shown_before = self.browser.get(&page(ask)).map(|(tag, _)| tag).filter(|_| ask.conditional);
        let headers = ask.headers(shown_before);
        let (rest, query) = ask.url_text();
        let path = format!("{}/{}{rest}", route_path(case.policy), ask.id);
        let token = identity.token(&headers).and_then(|token| world.tokens.claims(token, world.now.wall));
        let mut proven = Proven { token, certificate: ask.certificate(), access: None };
        let planned = |proven: &Proven| {
            let asked = Asked {
                method: &Method::GET,
                scheme: Scheme::Http,
                authority: "h",
                host: "h",
                forwarded_host: None,
                path: &path,
                ambiguity: None,
                query: query.as_deref(),
                headers: &headers,
                body: BodyPresence::Absent,
                proven,
                bypass: None,
            };
            plan(&asked, route, identity, &world.secret)
        };
        let (status, said) = case.answer(ask);
        let own = |said: &HeaderMap| Got::Own(said.clone());
        let mut plan = planned(&proven);
        if let Plan::Ask(question) = &plan {
            assert_eq!(question.path, format!("/authz/{}{rest}", ask.id));
            let (status, headers, json) = case.verdict(ask);
            let is_yes = status.is_success()
                && question.yes.by_head(status, &headers, Likeness::Alike)
                && question.yes.by_body(&headers, json.as_ref());
            if !is_yes {
                return own(&said);
            }
            let facts = match json {
                Some(Value::Object(facts)) => facts,
                _ => serde_json::Map::new(),
            };
            proven.access = Some(Arc::new(facts));
            plan = planned(&proven);
        }
        let Plan::Lookup(lookup) = plan else { return own(&said) };
        let (spot, stored) = self.find(&lookup, &headers);
        let asking = self.asking(&lookup, &spot, stored.as_ref());
        let any = RequestDirectives::default();
        if let Some(stored) = &stored {
            match reuse(&stored.vital, Standing::Good, &any, lookup.credentialed, world.now.instant) {
                Reuse::Fresh(_) if asking.is_none() => return Got::Stored(stored.clone()),
                // It is passed.
                Reuse::Unusable(_) => return own(&said),
                _ => {}
            }
        }
        let Some(digest) = asking else {
            let kept = self.keep(&lookup, &headers, (status, said), ask, route, stored.as_ref());
            return Got::Own(kept.unwrap_or_else(|own| own));
        };
        // The very request asks the origin, on the condition that it is not what is stored.
        if let Some(stored) = stored.as_ref().filter(|stored| self.is_confirmed(ask, &stored.headers)) {
            self.permit(digest, &stored.headers);
            return Got::Stored(stored.clone());
        }
        let yes = match &route.caching {
            Caching::Named(policy) => match &policy.access {
                Some(Access::Ask { yes, .. }) => yes.clone(),
                _ => Yes::Usual,
            },
            _ => Yes::Usual,
        };
        let like = stored.as_ref().map_or(Likeness::Alike, |stored| likeness(&stored.headers, &said));
        let is_yes = status.is_success() && yes.by_head(status, &said, like);
        let kept = self.keep(&lookup, &headers, (status, said), ask, route, stored.as_ref());
        // What is its asker's alone says nothing of what is stored.
        if let Some(own) = kept.as_ref().ok().filter(|_| is_yes) {
            self.permit(digest, own);
        }
        Got::Own(kept.unwrap_or_else(|own| own))
    }

    /// Under which digest the origin is still to say whether this one may have what is stored, if it is.
    fn asking(&self, lookup: &Lookup, spot: &[u8], stored: Option<&Stored>) -> Option<Vec<u8>> {
        let Permission::ByOwnAnswer { digest, keep } = &lookup.permission else { return None };
        let digest = [digest, spot].concat();
        let is_kept =
            |stored: &Stored| version(&stored.headers).is_some_and(|about| self.yes.contains(&(digest.clone(), about)));
        let may = !keep.is_zero() && stored.is_some_and(is_kept);
        (!may).then_some(digest)
    }

    fn permit(&mut self, digest: Vec<u8>, answer: &HeaderMap) {
        let about = version(answer);
        self.yes.extend(about.map(|about| (digest, about)));
    }

    /// Whether the origin says 304, being asked on a condition.
    fn is_confirmed(&self, ask: &Ask, stored: &HeaderMap) -> bool {
        let case = self.case;
        let Some(tag) = stored.get(header::ETAG) else { return false };
        let is_present = Some(tag) == case.tag(ask).as_ref() && !tag.is_empty();
        let is_there = model::status(case, ask) == asked::Status::Chart;
        let view = View::of(&[1; 32]);
        let known = self.probe.conditions(view);
        if known.is_none() {
            self.finds_out.set(true);
            let confirms = case.early_304 && is_present;
            self.probe.heard(view, if confirms { ToNobody::Confirmed } else { ToNobody::Refused });
            // The whole is asked for.
            if is_there && is_present {
                self.probe.proved(view);
            }
        }
        known == Some(Conditions::Sent) && is_present && (case.early_304 || is_there)
    }

    fn find(&self, lookup: &Lookup, headers: &HeaderMap) -> (Vec<u8>, Option<Stored>) {
        let mut spot = lookup.key.to_vec();
        if let Some(Kept::Vary(names)) = self.store.get(&spot) {
            spot = key::variant(&lookup.key, names, headers).to_vec();
        }
        match self.store.get(&spot) {
            Some(Kept::Answer(stored)) => (spot, Some(Stored::clone(stored))),
            _ => (spot, None),
        }
    }

    /// Keeps an answer; what its asker is told. `Err`: it is not kept.
    fn keep(
        &mut self,
        lookup: &Lookup,
        headers: &HeaderMap,
        (status, said): (StatusCode, HeaderMap),
        ask: &Ask,
        route: &Route,
        base: Option<&Stored>,
    ) -> Result<HeaderMap, HeaderMap> {
        let now = WORLD.now;
        let (arrived, delay, credentialed) = (now.wall, Duration::ZERO, lookup.credentialed);
        let answered = Answered { form_cookies: &[], status, headers: &said, path: "/", credentialed, arrived, delay };
        let Admit::Store(terms) = admit(&answered, &route.caching) else { return Err(said) };
        let between = matches!(&route.caching, Caching::Named(policy) if policy.share.is_between_people());
        if between && base.is_some_and(|base| likeness(&base.headers, &said) == Likeness::Unlike) {
            return Err(said);
        }
        let Terms { lifetime, initial_age, openness, clock, vary, withheld, .. } = terms;
        let mut shown = said;
        withheld.iter().for_each(|name| drop(shown.remove(name)));
        if let Partition::Principal(digest) = &lookup.partition {
            Binding::of(digest).bind(&mut shown);
        }
        let vital = Vital { lifetime, received: now.instant, initial_age, openness, clock };
        let mut own = lookup.key.to_vec();
        if !vary.is_empty() {
            own = key::variant(&lookup.key, &vary, headers).to_vec();
            self.store.insert(lookup.key.to_vec(), Kept::Vary(vary));
        }
        self.store.insert(own, Kept::Answer(Box::new(Stored { vital, headers: shown.clone(), maker: *ask })));
        Ok(shown)
    }

    /// What was stored is delivered: it says nothing that is another's, and a 304 speaks of what the browser has.
    fn check_given(&self, ask: &Ask, stored: &Stored, repeat: bool) -> Result<(), TestCaseError> {
        let (case, maker) = (self.case, &stored.maker);
        prop_assert!(model::may_see(case, maker, ask), "{ask:?} was given what {maker:?} had made");
        let secret = model::SECRETS.into_iter().find(|name| stored.headers.contains_key(*name));
        prop_assert!(secret.is_none() || case.policy == Policy::Rfc9111, "{ask:?} was given {maker:?}'s {secret:?}");
        HITS[1].fetch_add(1, Ordering::Relaxed);
        HITS[2].fetch_add(u64::from(maker.person != ask.person), Ordering::Relaxed);
        let Some((tag, shown)) = self.browser.get(&page(ask)).filter(|_| ask.conditional) else { return Ok(()) };
        if case.policy == Policy::Principal {
            let validators = Validators::of(&stored.headers);
            let is_confirmed = condition(&ask.headers(Some(tag)), &validators) == Condition::NotModified;
            let is_own = model::may_see(case, shown, ask);
            prop_assert!(!is_confirmed || is_own, "{ask:?} is told that what {shown:?} had made is theirs");
            prop_assert!(is_confirmed || !repeat || !validators.any(), "{ask:?} is sent what they have");
        }
        Ok(())
    }
}

fn route_path(policy: Policy) -> String {
    format!("/{policy:?}").to_lowercase()
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let mut line = Line::new(case);
    for (at, ask) in case.asks.iter().enumerate() {
        for repeat in [false, true] {
            HITS[0].fetch_add(1, Ordering::Relaxed);
            line.finds_out.set(false);
            let got = line.serve(ask);
            let (headers, maker) = match &got {
                Got::Stored(stored) => {
                    line.check_given(ask, stored, repeat)?;
                    (&stored.headers, stored.maker)
                }
                Got::Own(headers) => {
                    let repeat = repeat && !line.finds_out.get();
                    let (must, kept) = (repeat && model::must_hit(case, &case.asks[..at], ask), line.store.len());
                    prop_assert!(!must, "{ask:?} had to go to the origin twice, with {kept} kept");
                    (headers, *ask)
                }
            };
            match headers.get(header::ETAG) {
                Some(tag) => line.browser.insert(page(ask), (tag.clone(), maker)),
                None => line.browser.remove(&page(ask)),
            };
        }
    }
    Ok(())
}

fn run(cases: u32) -> Result<(), TestError<Case>> {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    TestRunner::new(config).run(&case(), |case| check(&case))
}

#[test]
fn nobody_sees_what_the_model_forbids_and_everybody_their_own_again() {
    let cases = std::env::var("STENT_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let began = Instant::now();
    match run(cases) {
        Err(TestError::Fail(why, case)) => panic!("{why}\n{case:?}"),
        outcome => outcome.expect("it runs"),
    }
    let [asked, hits, anothers] = [0, 1, 2].map(|at| HITS[at].load(Ordering::Relaxed));
    println!(
        "{cases} cases, {asked} requests: {hits} from the store, {anothers} made for another; {:?}",
        began.elapsed()
    );

    #[cfg(feature = "mutants")]
    RULES.iter().for_each(|rule| shows(*rule));
}

#[cfg(feature = "mutants")]
const RULES: [Rule; 18] = [
    Rule::SetCookie,
    Rule::RefusalKept,
    Rule::SecretField,
    Rule::SaysExpired,
    Rule::RetryLater,
    Rule::QueryRedirect,
    Rule::UnknownHeader,
    Rule::CredentialField,
    Rule::RequestedWith,
    Rule::UrlCredential,
    Rule::Signed,
    Rule::EmptyCredential,
    Rule::HtmlYes,
    Rule::JsonNo,
    Rule::YesKind,
    Rule::Probe,
    Rule::PrincipalTags,
    Rule::OpensCookies,
];

/// Without a rule, one of so many cases is broken.
#[cfg(feature = "mutants")]
fn shows(rule: Rule) {
    const MANY: u32 = 1_000_000;
    let (began, before) = (Instant::now(), HITS[0].load(Ordering::Relaxed));
    switch_off(Some(rule));
    let broken = run(MANY);
    switch_off(None);
    let Err(TestError::Fail(why, case)) = broken else { panic!("{MANY} cases do not show that {rule:?} is off") };
    let requests = HITS[0].load(Ordering::Relaxed) - before;
    println!("without {rule:?}: broken after {requests} requests, {:?}: {why} {:?}", began.elapsed(), case.policy);
}
