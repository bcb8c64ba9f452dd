//! `stent check`: everything wrong with a file in one run, and the file's own tests, offline.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::ConfigArgs;
use crate::asker::facet::certificate::{Authorities, Certificate, Presented};
use crate::asker::facet::{Claims, KnownFacets, Proven, Worth};
use crate::asker::identity::TokenSource;
use crate::asker::principal::PrincipalKey;
use crate::cli::memory_limit;
use crate::coherence::tags::{RequestPlace, facets};
use crate::config::message::{ConfigProblem, MessageKind, Severity};
use crate::config::selftest::{self, Credential, TestOutcome, TestRequest, TestVerdict};
use crate::config::{Loaded, Report};
use crate::fields::authority::Scheme;
use crate::ground::clock::wall;
use crate::ground::{descriptors, terminal};
use crate::policy::plan::{Plan, plan};
use crate::policy::question::{Asked, BodyPresence};
use crate::rules::caching::Caching;
use crate::rules::path::RequestPath;
use crate::rules::route::router::{Router, Target};

#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

pub(super) fn check(args: &CheckArgs) -> ExitCode {
    let path = &args.config.config;
    let (report, loaded) = match crate::config::load(path, &|name| std::env::var(name).ok()) {
        Ok(loaded) => {
            let mut problems = loaded.warnings.clone();
            problems.extend(too_few_descriptors(&loaded));
            problems.extend(too_little_memory(&loaded));
            problems.extend(run_tests(&loaded));
            (loaded.report(problems), Some(loaded))
        }
        Err(report) => (report, None),
    };
    let errors = report.errors().count();
    if args.json {
        terminal::say(serde_json::to_string(&report).unwrap_or_default());
    } else {
        print(&report, loaded.as_ref(), errors, &path.display().to_string());
    }
    if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// As the start says it, by what a process may have here.
fn too_few_descriptors(loaded: &Loaded) -> Option<ConfigProblem> {
    let settings = &loaded.settings;
    let to_origins = settings.upstreams.iter().map(|upstream| upstream.max_connections).sum();
    let said = descriptors::too_few(descriptors::limit(), settings.server.limits.connections, to_origins)?;
    Some(ConfigProblem {
        severity: Severity::Warning,
        kind: MessageKind::Contradiction,
        line: 0,
        column: 0,
        length: 0,
        path: "server.limits.connections".to_owned(),
        message: format!("{said}, if it runs with the limits that hold here"),
        hint: None,
        related: None,
    })
}

fn too_little_memory(loaded: &Loaded) -> Option<ConfigProblem> {
    let settings = &loaded.settings;
    let (store, connections) = (&settings.cache, settings.server.limits.connections);
    let said = memory_limit::too_little(memory_limit::limit(), store.memory, store.max_object, connections)?;
    Some(ConfigProblem {
        severity: Severity::Warning,
        kind: MessageKind::Contradiction,
        line: 0,
        column: 0,
        length: 0,
        path: "cache.memory".to_owned(),
        message: format!("{said}, if it runs with the limits that hold here"),
        hint: None,
        related: None,
    })
}

fn print(report: &Report, loaded: Option<&Loaded>, errors: usize, file: &str) {
    terminal::complain_text(&report.render(terminal::stderr_has_colour()));
    match loaded {
        Some(loaded) if errors == 0 => {
            let (routes, tests) = (loaded.settings.routes.len(), loaded.tests.len());
            terminal::say(format_args!("{file}: fine; {routes} routes, {tests} tests passed"));
        }
        _ => terminal::complain(format_args!("{file}: {errors} error{}", if errors == 1 { "" } else { "s" })),
    }
}

fn run_tests(loaded: &Loaded) -> Vec<ConfigProblem> {
    let router = Router::new(loaded.settings.routes.clone());
    selftest::run(&loaded.tests, &|ask| judge(ask, loaded, &router))
}

/// What a request would get, by the functions that serve.
fn judge(ask: &TestRequest, loaded: &Loaded, router: &Router) -> TestVerdict {
    let headers = headers(ask);
    let proven = proven(ask);
    let (path, query) = ask.target.split_once('?').map_or((ask.target.as_str(), None), |(p, q)| (p, Some(q)));
    let path = RequestPath::new(path);
    let authority = ask.host.clone().unwrap_or_else(|| "localhost".to_owned()).to_ascii_lowercase();
    let host = crate::fields::authority::without_port(&authority);
    let found = match loaded.settings.server.refuse.takes(&path) {
        true => None,
        false => router.find(Target { host, path: &path.text, method: &ask.method, headers: &headers }),
    };
    let nothing = TestVerdict {
        route: None,
        policy: None,
        share: None,
        outcome: TestOutcome::Refuse,
        tags: Vec::new(),
        purges: Vec::new(),
        ttl: None,
        query: Vec::new(),
    };
    let Some((_, route)) = found else { return nothing };
    let asked = Asked {
        method: &ask.method,
        scheme: Scheme::Http,
        authority: &authority,
        host,
        forwarded_host: None,
        path: &path.text,
        ambiguity: path.ambiguity,
        query,
        headers: &headers,
        body: BodyPresence::Absent,
        proven: &proven,
        bypass: None,
    };
    let (outcome, keyed) = match plan(&asked, route, &loaded.settings.identity, &PrincipalKey([0; 32])) {
        Plan::Lookup(lookup) => (TestOutcome::Lookup, lookup.query.unwrap_or_default()),
        Plan::Pass(_) | Plan::Ask(_) => (TestOutcome::Pass, query.unwrap_or("").to_owned()),
        Plan::Refuse(_) => (TestOutcome::Refuse, String::new()),
    };
    let only_reads = route.only_reads(&ask.method);
    let purges_by_reading = only_reads && route.purges_by_reading();
    let part = |name: &str| route.part(name, host, &path.text);
    let known = KnownFacets { headers: &headers, proven: &proven, part: &part };
    let place = RequestPlace {
        scheme: asked.scheme,
        authority: authority.clone(),
        forwarded_host: None,
        path: path.text.clone().into_owned(),
        plain: route.aliases.plain(&path.text),
        query: keyed.clone(),
        principal: Vec::new(),
        facets: facets(route, &known, if only_reads && !purges_by_reading { Worth::Claimed } else { Worth::Proven }),
    };
    let purges = match (only_reads, purges_by_reading) {
        (false, _) => place.purges_told(route),
        (true, true) => place.purges_by_reading_told(route),
        (true, false) => Vec::new(),
    };
    let named = match &route.caching {
        Caching::Named(policy) => Some(policy),
        _ => None,
    };
    TestVerdict {
        route: Some(route.name.clone()),
        policy: Some(route.policy_name.clone()),
        share: named.map(|policy| policy.share.to_string()),
        outcome,
        tags: place.known_tags(route),
        purges,
        ttl: named.and_then(|policy| policy.ttl),
        query: pairs(&keyed),
    }
}

/// What the test says of whoever asks: a token with these claims holds, and the origin says yes.
fn proven(ask: &TestRequest) -> Proven {
    let mut proven = Proven { access: Some(Arc::default()), ..Proven::default() };
    for credential in &ask.credentials {
        match credential {
            Credential::Token(_, claims) => {
                let expires = wall() + Duration::from_secs(60);
                proven.token = Some(Arc::new(Claims { expires, values: claims.clone() }));
            }
            Credential::Certificate(fields) => {
                let expires = wall() + Duration::from_secs(60);
                let fields = fields.iter().map(|(field, value)| (*field, Some(value.clone()))).collect();
                let certificate = Certificate { fields, expires, verified_by: Authorities([0; 32]) };
                proven.certificate = Presented::Holding(Arc::new(certificate));
            }
            Credential::Access(said) => proven.access = Some(Arc::new(said.clone())),
            Credential::Authorization(_) | Credential::Cookie(..) | Credential::Header(..) => {}
        }
    }
    proven
}

fn headers(ask: &TestRequest) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut cookies = Vec::new();
    let mut add = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.append(name, value);
        }
    };
    for credential in &ask.credentials {
        match credential {
            Credential::Authorization(value) => add(header::AUTHORIZATION, value),
            Credential::Header(name, value) => add(name.clone(), value),
            Credential::Cookie(name, value) => cookies.push(format!("{name}={value}")),
            Credential::Token(TokenSource::Authorization, _) => add(header::AUTHORIZATION, "Bearer a.b.c"),
            Credential::Token(TokenSource::Header(name), _) => add(name.clone(), "a.b.c"),
            Credential::Token(TokenSource::Cookie(name), _) => cookies.push(format!("{name}=a.b.c")),
            Credential::Certificate(_) | Credential::Access(_) => {}
        }
    }
    if !cookies.is_empty() {
        add(header::COOKIE, &cookies.join("; "));
    }
    headers
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let tokens = query.split('&').filter(|token| !token.is_empty());
    tokens
        .map(|token| token.split_once('=').unwrap_or((token, "")))
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect()
}
