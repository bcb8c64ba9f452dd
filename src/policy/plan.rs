//! The first question: the request is in hand; may it be answered from the store, and under which key?

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::pass::PassReason;
use super::who::{Caller, Gate};
use crate::asker::identity::{CookieRole, Identity, Shown};
use crate::asker::principal::PrincipalKey;
use crate::entry::head::Credentialed;
use crate::entry::key::{self, KeyBuf, Partition, Primary};
use crate::fields::cookies::{Cookie, cookies};
use crate::fields::credential::{is_credential, is_empty_authorization, is_empty_value, is_signature, signs_request};
use crate::fields::directives::RequestDirectives;
use crate::fields::harmless::is_harmless;
use crate::fields::url::holds_credential;
use crate::ground::mutants::{Rule, is_off};
use crate::policy::question::{Asked, BodyPresence, Question};
use crate::rules::caching::{AsOrigin, Caching, ClientNoCache, Credentials, NamedPolicy, Share};
use crate::rules::canonical;
use crate::rules::path::Ambiguity;
use crate::rules::query::QueryPass;
use crate::rules::route::{AmbiguousPath, Route};

/// Fields that are keyed under operators' policies, and sent, where a request has them: by the one scripts of a page tell that they
/// ask, by the other browsers tell for whose page (Fetch §3.2). Origins answer by them, and many do not say so by `Vary`.
pub static KEYED_WHERE_SENT: [HeaderName; 2] = [HeaderName::from_static("x-requested-with"), header::ORIGIN];

/// The answer to the first question.
#[derive(Debug)]
// A plan lives on the stack for one request, and most are lookups: a box would cost every hit an allocation.
#[allow(clippy::large_enum_variant)]
pub enum Plan {
    /// Look it up under this key.
    Lookup(Lookup),
    /// Ask the origin this first, and plan again with its answer in [`crate::asker::facet::Proven::access`].
    Ask(Question),
    /// Forward it as it is, store nothing.
    Pass(PassReason),
    /// Answer it with an error.
    Refuse(Ambiguity),
}

/// What to look up, and how the client limits what it takes.
#[derive(Debug)]
pub struct Lookup {
    /// The primary key.
    pub key: KeyBuf,
    /// Who may share the answer.
    pub partition: Partition,
    /// The query that is keyed, without `?`: what a fetch sends. One that is empty is another than none.
    pub query: Option<String>,
    /// The client's own directives.
    pub directives: RequestDirectives,
    /// The request shows credentials that are no part of the key: only answers that the origin opened explicitly
    /// will do (RFC 9111 §3.5). Under named policies always [`Credentialed::No`].
    pub credentialed: Credentialed,
    /// Whether what is stored may be used for it.
    pub permission: Permission,
}

/// Whether what is stored may be used for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Given,
    /// Once the origin has answered this very request with the caller's own credentials.
    ByOwnAnswer {
        /// Under which digest of who asks for what a yes is kept.
        digest: [u8; 32],
        /// For how long.
        keep: Duration,
    },
}

/// Answers the first question.
pub fn plan(asked: &Asked<'_>, route: &Route, identity: &Identity, secret: &PrincipalKey) -> Plan {
    match (asked.ambiguity, route.ambiguous_path) {
        (Some(ambiguity), AmbiguousPath::Refuse) => Plan::Refuse(ambiguity),
        (Some(_), AmbiguousPath::Pass) => Plan::Pass(PassReason::AmbiguousPath),
        (None, _) => judge(asked, route, identity, secret).unwrap_or_else(Plan::Pass),
    }
}

fn judge(asked: &Asked<'_>, route: &Route, identity: &Identity, secret: &PrincipalKey) -> Result<Plan, PassReason> {
    if let Some(reason) = asked.bypass {
        return Err(reason);
    }
    if route.caching == Caching::Pass {
        return Err(PassReason::NoPolicy);
    }
    if asked.method != Method::GET && asked.method != Method::HEAD {
        return Err(PassReason::Method);
    }
    if asked.body == BodyPresence::Present {
        return Err(PassReason::Body);
    }
    let seen = Seen::of(asked, route, identity)?;
    let who = Caller { asked, route, identity, secret, shown: &seen.shown };
    let mut gate = Gate::Open;
    let (partition, credentialed) = match &route.caching {
        Caching::Pass => return Err(PassReason::NoPolicy),
        Caching::Http(AsOrigin { credentials, .. }) => {
            let vouched = identity.trusted_headers().any(|name| asked.headers.contains_key(name))
                || asked.proven.certificate.is_shown();
            (Partition::Public, credentialed(*credentials, &seen.shown, vouched))
        }
        Caching::Named(policy) => {
            if seen.shown.other_cookie {
                return Err(PassReason::Cookie);
            }
            gate = who.gate(policy)?;
            if let Gate::Ask(question) = gate {
                query(asked, route)?;
                return Ok(Plan::Ask(question));
            }
            (who.partition(&policy.share)?, Credentialed::No)
        }
    };
    let ignores = matches!(&route.caching, Caching::Named(policy) if policy.client_no_cache == ClientNoCache::Ignored);
    let directives = if ignores { seen.directives.content() } else { seen.directives };
    let query = query(asked, route)?;
    let mut key = KeyBuf::new();
    Primary {
        fingerprint: route.fingerprint,
        partition,
        scheme: asked.scheme,
        authority: asked.authority,
        forwarded_host: asked.forwarded_host,
        path: asked.path,
        query: query.as_deref(),
    }
    .write(&mut key);
    write_fields(&mut key, asked.headers, route);
    if seen.shown.form {
        form_cookies(&route.caching, identity, asked.headers).for_each(|cookie| {
            key.push(b';');
            key.extend_from_slice(cookie.pair);
            key.push(0);
        });
    }
    let permission = match gate {
        Gate::OwnAnswer { keep } => Permission::ByOwnAnswer { digest: who.digest(&key), keep },
        Gate::Open | Gate::Ask(_) => Permission::Given,
    };
    Ok(Plan::Lookup(Lookup { key, partition, query, directives, credentialed, permission }))
}

/// The cookies of a request that protect forms and are keyed and sent, as pairs. They are where an answer is one principal's, to whom
/// it costs nothing; and where it is for people who are not known, unless the operator ignores them: then these share what has no
/// form. What is shared otherwise does not depend on them.
pub fn form_cookies<'h>(
    caching: &Caching,
    identity: &Identity,
    headers: &'h HeaderMap,
) -> impl Iterator<Item = Cookie<'h>> {
    let keys = move |name: &str| {
        let Caching::Named(policy) = caching else { return false };
        identity.cookie(name) == CookieRole::Form
            && match policy.share {
                Share::Principal => true,
                Share::Anonymous => !identity.ignores_cookie(name),
                Share::Public | Share::Facets(_) | Share::Permitted => false,
            }
    };
    headers.get_all(header::COOKIE).into_iter().flat_map(cookies).filter(move |cookie| keys(cookie.name))
}

/// Adds the fields that are keyed whatever the origin says, as they are sent.
fn write_fields(key: &mut KeyBuf, headers: &HeaderMap, route: &Route) {
    let write = |key: &mut KeyBuf, name: &HeaderName| {
        let value = canonical::field(headers, name, &route.serves);
        key::write_field(key, name, value.as_deref());
    };
    match &route.caching {
        Caching::Named(policy) => {
            policy.vary.iter().for_each(|name| write(key, name));
            if policy.keys_accept() {
                canonical::key_accept(key, headers);
            }
            KEYED_WHERE_SENT
                .iter()
                .filter(|name| headers.contains_key(*name) && !is_off(Rule::RequestedWith))
                .for_each(|name| write(key, name));
            // No primary key is the beginning of another: what is put behind one makes the keys of its variants and flights.
            key.push(0);
        }
        Caching::Http(_) => route.serves.fields().for_each(|name| write(key, &name)),
        Caching::Pass => {}
    }
}

/// What one walk over the headers finds.
#[derive(Default)]
struct Seen {
    shown: Shown,
    directives: RequestDirectives,
}

impl Seen {
    fn of(asked: &Asked<'_>, route: &Route, identity: &Identity) -> Result<Seen, PassReason> {
        let headers = asked.headers;
        let mut seen = Seen::default();
        let (mut cache_control, mut pragma) = (false, false);
        let by_the_letter = is_by_the_letter(route);
        for (name, value) in headers {
            match name.as_str() {
                "cookie" => identity.see_cookies(value, &mut seen.shown),
                "authorization" if by_the_letter => seen.shown.authorization = true,
                "authorization" if signs_request(value) && !is_off(Rule::Signed) => return Err(PassReason::Signed),
                "authorization" => seen.shown.authorization |= !is_empty_authorization(value),
                "cache-control" => {
                    cache_control = true;
                    seen.directives.read(value);
                }
                "pragma" => pragma |= says_no_cache(value),
                "if-match" | "if-unmodified-since" => return Err(PassReason::Precondition),
                "upgrade" => return Err(PassReason::Upgrade),
                _ if by_the_letter || is_harmless(name) => {}
                _ => seen.see_field(name, route, identity)?,
            }
        }
        let holds = |own| holds_credential(asked.path, asked.query, own) && !is_off(Rule::UrlCredential);
        if !by_the_letter && holds(&identity.url_credentials) {
            return Err(PassReason::UrlCredential);
        }
        if seen.shown.authorization {
            let listed = identity.authorization;
            (seen.shown.principal, seen.shown.other) = (seen.shown.principal | listed, seen.shown.other | !listed);
        }
        let shows = |name| headers.get_all(name).iter().any(|value| !is_empty_value(value.as_bytes()));
        seen.shown.header = identity.headers.iter().any(shows);
        seen.shown.principal |= seen.shown.header;
        // RFC 9111 §5.4: `Pragma` speaks only where `Cache-Control` is silent.
        seen.directives.no_cache |= pragma && !cache_control;
        match seen.directives.no_store {
            true => Err(PassReason::NoStore),
            false => Ok(seen),
        }
    }

    /// A field that may say who asks, or narrow what they are to see. An operator's policy keys and sends what it names; what it
    /// does not name would be left out, and everybody would be given the whole.
    fn see_field(&mut self, name: &HeaderName, route: &Route, identity: &Identity) -> Result<(), PassReason> {
        if is_signature(name.as_str()) && !is_off(Rule::Signed) {
            return Err(PassReason::Signed);
        }
        if identity.ignores(name) {
            return Ok(());
        }
        match &route.caching {
            Caching::Named(policy) => match is_named(name, policy, identity) || is_off(Rule::UnknownHeader) {
                true => Ok(()),
                false => Err(PassReason::Header),
            },
            Caching::Http(_) => {
                self.shown.field |= is_credential(name) && !is_off(Rule::CredentialField);
                Ok(())
            }
            Caching::Pass => Ok(()),
        }
    }
}

/// The fields for which an operator's policy has no place, and which may say who asks or narrow what they are to see.
pub fn unplaced<'h>(headers: &'h HeaderMap, route: &Route, identity: &Identity) -> Vec<&'h HeaderName> {
    let Caching::Named(policy) = &route.caching else { return Vec::new() };
    let unknown = headers.keys().filter(|name| !is_harmless(name) && !identity.ignores(name));
    unknown.filter(|name| !is_named(name, policy, identity)).collect()
}

/// `rfc9111` knows no credentials but `Authorization`, and keys a URL whatever stands in it.
fn is_by_the_letter(route: &Route) -> bool {
    matches!(&route.caching, Caching::Http(http) if http.credentials == Credentials::AuthorizationOnly)
}

/// Whether the configuration has a place for a field: it is keyed, or it makes out the principal. What a
/// trusted proxy says of somebody means nothing to what is everybody's.
fn is_named(name: &HeaderName, policy: &NamedPolicy, identity: &Identity) -> bool {
    let keyed =
        policy.vary.contains(name) || policy.share.facets().iter().any(|facet| facet.source.header() == Some(name));
    keyed
        || identity.headers.contains(name)
        || !policy.share.is_sensitive() && identity.trusted_headers().any(|trusted| trusted == name)
}

/// RFC 9111 §5.4: a list, of which no other member means anything.
fn says_no_cache(pragma: &HeaderValue) -> bool {
    pragma.as_bytes().split(|&b| b == b',').any(|member| member.trim_ascii().eq_ignore_ascii_case(b"no-cache"))
}

/// `vouched`: a trusted proxy or a certificate says who asks, or what of them.
fn credentialed(credentials: Credentials, shown: &Shown, vouched: bool) -> Credentialed {
    let otherwise = match credentials {
        Credentials::AuthorizationAndCookies => shown.cookie || shown.header || shown.field || vouched,
        Credentials::AuthorizationOnly => false,
    };
    match (otherwise, shown.authorization) {
        (true, _) => Credentialed::Otherwise,
        (false, true) => Credentialed::Authorization,
        (false, false) => Credentialed::No,
    }
}

fn query(asked: &Asked<'_>, route: &Route) -> Result<Option<String>, PassReason> {
    route.query.canonical(asked.query).map_err(|pass| match pass {
        QueryPass::Parameter => PassReason::QueryParameter,
        QueryPass::NotANumber => PassReason::QueryNumber,
        QueryPass::TooMany => PassReason::QueryLength,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asker::facet::Facet;
    use crate::asker::facet::Proven;
    use crate::fields::authority::Scheme;
    use crate::rules::route::tests::route;
    use http::{HeaderName, HeaderValue};

    const IDENTITY: fn() -> Identity = || Identity {
        authorization: true,
        cookies: vec!["sessionid".into()],
        headers: Vec::new(),
        ignore_cookies: vec!["csrftoken".into(), "_ga".into()],
        ..Identity::default()
    };

    fn named(share: Share) -> Caching {
        let vary = vec![HeaderName::from_static("x-tenant")];
        Caching::Named(NamedPolicy { ttl: None, vary, ..crate::policy::admit::tests::named(share) })
    }

    fn asked(caching: Caching, method: &str, query: Option<&str>, lines: &[(&'static str, &'static str)]) -> Plan {
        asked_by(&Proven::default(), caching, method, query, lines)
    }

    fn asked_by(
        proven: &Proven,
        caching: Caching,
        method: &str,
        query: Option<&str>,
        lines: &[(&'static str, &'static str)],
    ) -> Plan {
        let headers = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect::<HeaderMap>();
        let mut route = route("r", "/**");
        route.caching = caching;
        let asked = Asked {
            method: &Method::from_bytes(method.as_bytes()).unwrap(),
            scheme: Scheme::Http,
            authority: "h",
            host: "h",
            forwarded_host: None,
            path: "/a",
            query,
            headers: &headers,
            body: BodyPresence::Absent,
            ambiguity: None,
            proven,
            bypass: None,
        };
        plan(&asked, &route, &IDENTITY(), &PrincipalKey([7; 32]))
    }

    fn passes(plan: Plan) -> Option<PassReason> {
        match plan {
            Plan::Pass(reason) => Some(reason),
            Plan::Lookup(_) => None,
            other @ (Plan::Ask(_) | Plan::Refuse(_)) => panic!("{other:?}"),
        }
    }

    fn key(caching: Caching, query: Option<&str>, lines: &[(&'static str, &'static str)]) -> KeyBuf {
        match asked(caching, "GET", query, lines) {
            Plan::Lookup(lookup) => lookup.key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_may_look_up() {
        use PassReason as P;
        let session = ("cookie", "sessionid=a; csrftoken=x");
        let stray = ("cookie", "sessionid=a; lang=de");
        let bearer = ("authorization", "Bearer a");
        for (share, lines, want) in [
            (Share::Public, &[][..], None),
            (Share::Public, &[session, bearer], None),
            (Share::Public, &[stray], Some(P::Cookie)),
            (Share::Anonymous, &[], None),
            (Share::Anonymous, &[("cookie", "csrftoken=x")], None),
            (Share::Anonymous, &[session], Some(P::SignedIn)),
            (Share::Anonymous, &[bearer], Some(P::SignedIn)),
            (Share::Anonymous, &[("cookie", "lang=de")], Some(P::Cookie)),
            (Share::Principal, &[], Some(P::NoPrincipal)),
            (Share::Principal, &[("cookie", "csrftoken=x")], Some(P::NoPrincipal)),
            (Share::Principal, &[session], None),
            (Share::Principal, &[bearer], None),
            (Share::Principal, &[stray], Some(P::Cookie)),
        ] {
            let text = format!("{share} {lines:?}");
            assert_eq!(passes(asked(named(share), "GET", None, lines)), want, "{text}");
        }
        assert_eq!(passes(asked(Caching::Pass, "GET", None, &[])), Some(P::NoPolicy));
        assert_eq!(passes(asked(named(Share::Public), "POST", None, &[])), Some(P::Method));
        let no_store = [("cache-control", "no-store")];
        assert_eq!(passes(asked(named(Share::Public), "GET", None, &no_store)), Some(P::NoStore));
        assert_eq!(passes(asked(named(Share::Public), "GET", None, &[("if-match", "\"a\"")])), Some(P::Precondition));
    }

    #[test]
    fn what_differs_never_shares_a_key() {
        let principal = || named(Share::Principal);
        let a = ("cookie", "sessionid=a");
        let keys = [
            key(principal(), None, &[a]),
            key(principal(), None, &[("cookie", "sessionid=b")]),
            key(principal(), None, &[("authorization", "Bearer a")]),
            key(principal(), None, &[a, ("authorization", "Bearer a")]),
            key(principal(), Some("x=1"), &[a]),
            key(principal(), None, &[a, ("accept", "text/html")]),
            key(principal(), None, &[a, ("x-tenant", "1")]),
            key(principal(), None, &[a, ("x-tenant", "")]),
            key(named(Share::Public), None, &[]),
            key(named(Share::Anonymous), None, &[]),
        ];
        for (i, one) in keys.iter().enumerate() {
            keys[i + 1..].iter().for_each(|other| assert_ne!(one, other));
        }
        let ignored = [("cookie", "_ga=1; sessionid=a; _ga=2"), ("user-agent", "x")];
        let form = |cookies| key(principal(), None, &[("cookie", cookies)]);
        assert_ne!(form("sessionid=a; csrftoken=1"), form("sessionid=a; csrftoken=2"));
        assert_ne!(form("sessionid=a"), form("sessionid=a; csrftoken=2"));
        assert_eq!(key(principal(), None, &[a]), key(principal(), None, &ignored));
        assert!(!keys[0].windows(9).any(|part| part == b"sessionid"), "no credential is kept in a key");
    }

    #[test]
    fn no_primary_key_is_the_beginning_of_another() {
        let accept = |value| key(named(Share::Public), None, &[("accept", value)]);
        for (one, other) in [("application/json", "application/json,*/*;q=0.5"), ("text/html", "text/html,*/*")] {
            assert!(!accept(other).starts_with(&accept(one)), "{one} {other}");
        }
        // What is made up has one key, behind which it is a variant.
        assert_eq!(accept("a/b;x=y"), accept("a/b;x=yV"));
        assert!(!accept("text/html").starts_with(&accept("a/b")) && accept("*/*") != accept("a/b"));
        let query = |query| key(Caching::as_origin(Credentials::AuthorizationOnly), Some(query), &[]);
        assert!(!query("a=1V").starts_with(&query("a=1")));
    }

    #[test]
    fn built_in_policies_tell_who_shows_credentials() {
        let credentialed = |credentials, lines: &[(&'static str, &'static str)]| match asked(
            Caching::as_origin(credentials),
            "GET",
            None,
            lines,
        ) {
            Plan::Lookup(lookup) => lookup.credentialed,
            other => panic!("{other:?}"),
        };
        use Credentials::{AuthorizationAndCookies as Origin, AuthorizationOnly as Letter};
        assert_eq!(credentialed(Origin, &[("cookie", "csrftoken=x")]), Credentialed::No);
        assert_eq!(credentialed(Origin, &[("cookie", "any=x")]), Credentialed::Otherwise);
        assert_eq!(credentialed(Origin, &[("authorization", "x")]), Credentialed::Authorization);
        let both = [("cookie", "any=x"), ("authorization", "x")];
        assert_eq!(credentialed(Origin, &both), Credentialed::Otherwise);
        assert_eq!(credentialed(Letter, &both), Credentialed::Authorization);
        assert_eq!(credentialed(Letter, &[("cookie", "any=x")]), Credentialed::No);
        assert_eq!(credentialed(Letter, &[("authorization", "x")]), Credentialed::Authorization);
    }

    #[test]
    fn a_certificate_is_a_credential_that_the_origin_does_not_see() {
        use crate::asker::facet::FacetSource;
        use crate::asker::facet::certificate::{Authorities, Certificate, Presented, SubjectField};
        use std::sync::Arc;
        use std::time::SystemTime;
        let of = |organization: &str| {
            let fields = vec![(SubjectField::Organization, Some(organization.to_owned()))];
            let expires = SystemTime::UNIX_EPOCH;
            let certificate = Certificate { fields, expires, verified_by: Authorities([0; 32]) };
            Proven { certificate: Presented::Holding(Arc::new(certificate)), ..Proven::default() }
        };
        let unproven = Proven { certificate: Presented::Unproven, ..Proven::default() };
        let plan = |proven: &Proven, caching, lines: &[_]| asked_by(proven, caching, "GET", None, lines);
        let credentialed = |credentials, proven: &Proven| match plan(proven, Caching::as_origin(credentials), &[]) {
            Plan::Lookup(lookup) => lookup.credentialed,
            other => panic!("{other:?}"),
        };
        let by = |name: &str, source| Facet { name: name.to_owned(), source };
        let organization = by("o", FacetSource::Cert(SubjectField::Organization));
        let shared = || named(Share::Facets([organization.clone()].into()));
        let beside = || {
            let trusted = by("t", FacetSource::Trusted(HeaderName::from_static("x-t")));
            named(Share::Facets([organization.clone(), trusted].into()))
        };
        let key = |proven: &Proven| match plan(proven, shared(), &[]) {
            Plan::Lookup(lookup) => lookup.key,
            other => panic!("{other:?}"),
        };
        for proven in [&of("a"), &unproven] {
            assert_eq!(credentialed(Credentials::AuthorizationAndCookies, proven), Credentialed::Otherwise);
            assert_eq!(credentialed(Credentials::AuthorizationOnly, proven), Credentialed::No);
            assert_eq!(passes(plan(proven, named(Share::Public), &[])), None);
            assert_eq!(passes(plan(proven, named(Share::Anonymous), &[])), Some(PassReason::SignedIn));
            assert_eq!(passes(plan(proven, named(Share::Principal), &[])), Some(PassReason::NoPrincipal));
            assert_eq!(passes(plan(proven, named(Share::Principal), &[("authorization", "a")])), None);
        }
        assert_eq!(key(&of("a")), key(&of("a")));
        assert_ne!(key(&of("a")), key(&of("b")));
        for (proven, lines, want) in [
            (&Proven::default(), &[][..], PassReason::NoFacet),
            (&unproven, &[], PassReason::NoFacet),
            (&of(""), &[], PassReason::NoFacet),
            (&of("a"), &[("cookie", "sessionid=a")], PassReason::BesideCertificate),
            (&of("a"), &[("authorization", "a")], PassReason::BesideCertificate),
            (&of("a"), &[("cookie", "lang=de")], PassReason::Cookie),
        ] {
            assert_eq!(passes(plan(proven, shared(), lines)), Some(want), "{proven:?} {lines:?}");
        }
        // What the origin sees too says whose its answer is.
        assert_eq!(passes(plan(&of("a"), beside(), &[("x-t", "a"), ("cookie", "sessionid=a")])), None);
    }
}
