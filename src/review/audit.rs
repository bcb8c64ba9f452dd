//! One configuration, described for a security officer: who shares what, for how long, and who may do what.

use serde::Serialize;

use super::lifetimes;
use crate::asker::identity::Identity;
use crate::config::admin::{AdminSettings, TokenScope};
use crate::config::units::show_duration;
use crate::config::{ConfigProblem, Settings};
use crate::edge::settings::ServerSettings;
use crate::policy::sharing::{self, Sharing, parts};
use crate::rules::caching::{Caching, ClientNoCache, Credentials, Expired};
use crate::rules::path::refused::{LOOPBACK_WORD, summed_up};
use crate::rules::route::{AccessLog, Route};
use crate::store::settings::CacheMode;
use crate::telemetry::settings::AccessLines;

/// A configuration, described.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Whether anything is kept at all.
    pub mode: String,
    /// What makes up a principal.
    pub principal: Vec<String>,
    /// Cookies that mean nothing.
    pub ignored_cookies: Vec<String>,
    /// Headers of requests that say nothing of who asks, beside known ones.
    pub ignored_headers: Vec<String>,
    /// Parameters of URLs that are credentials, beside known ones.
    pub url_credentials: Vec<String>,
    /// Fields of answers that hand out credentials, beside known ones.
    pub secret_fields: Vec<String>,
    /// Those that say which server has a session, beside well-known ones.
    pub affinity_cookies: Vec<String>,
    /// Whose word on clients, hosts and schemes is believed.
    pub trusted_proxies: Vec<String>,
    /// What never reaches an origin.
    pub refused: Vec<String>,
    /// Where clients are served.
    pub listen: Vec<String>,
    /// Whether certificates of clients are verified, and by whom.
    pub certificates: String,
    /// Where answers are kept.
    pub stored_in: String,
    /// Routes that keep answers, in order.
    pub kept: Vec<KeptRoute>,
    /// Routes that keep nothing, in order.
    pub passed: Vec<String>,
    /// Who may purge a URL by the method `PURGE`, by route.
    pub purge_method: Vec<String>,
    /// Who may call the admin, and for what.
    pub admin: AdminTold,
    /// What logs and metrics hold.
    pub logs: Vec<String>,
    /// What should be looked at.
    pub warnings: Vec<String>,
}

/// A route that keeps answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeptRoute {
    /// Its name.
    pub name: String,
    /// Its path template.
    pub path: String,
    /// Where it is written.
    pub file: String,
    /// The line there, 1-based.
    pub line: u32,
    /// Its policy's name.
    pub policy: String,
    /// Among whom answers are shared.
    pub among: String,
    /// By what proof.
    pub proof: String,
    /// The oldest age in seconds at which an answer is delivered; `None`: as the origin allows.
    pub oldest_seconds: Option<u64>,
    /// The same for who asks for stale answers (`max-stale`).
    pub oldest_if_asked_seconds: Option<u64>,
    /// What clients and caches behind are told.
    pub downstream: String,
    /// What else its policy and its route say, where they say it: `touch`, `settle`, `override`.
    pub besides: Vec<String>,
}

/// The admin listener.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AdminTold {
    /// Where it listens, if there is one.
    pub listen: Option<String>,
    /// Who may read status, metrics and explanations.
    pub may_read: Vec<String>,
    /// Who may purge.
    pub may_purge: Vec<String>,
    /// Who may let it read its configuration again.
    pub may_reload: Vec<String>,
    /// Who may switch a route to pass.
    pub may_bypass: Vec<String>,
}

/// Describes a configuration.
pub fn audit(settings: &Settings, warnings: &[ConfigProblem]) -> Audit {
    let (kept, passed): (Vec<&Route>, Vec<&Route>) =
        settings.routes.iter().partition(|route| route.caching != Caching::Pass);
    let warned = warnings.iter().map(|problem| match &problem.hint {
        Some(hint) => format!("line {}: {}; {hint}", problem.line, problem.message),
        None => format!("line {}: {}", problem.line, problem.message),
    });
    Audit {
        mode: match settings.cache.mode {
            CacheMode::Serve => "routes keep answers as they say".to_owned(),
            CacheMode::Bypass => "bypass: nothing is kept, whatever routes say".to_owned(),
        },
        principal: parts(&settings.identity),
        ignored_cookies: settings.identity.ignore_cookies.clone(),
        ignored_headers: settings.identity.ignore_headers.clone(),
        url_credentials: settings.identity.url_credentials.clone(),
        secret_fields: settings.identity.secret_fields.clone(),
        affinity_cookies: settings.identity.affinity_cookies.clone(),
        trusted_proxies: settings.server.trusted_proxies.iter().map(ToString::to_string).collect(),
        refused: summed_up(settings.server.refuse.texts()).into_iter().map(str::to_owned).collect(),
        listen: listen(&settings.server),
        certificates: certificates(&settings.server),
        stored_in: "the memory of this process, which ends with it".to_owned(),
        kept: kept.into_iter().map(|route| describe(route, &settings.identity)).collect(),
        passed: passed.into_iter().map(passed_route).collect(),
        purge_method: settings.routes.iter().filter(|route| !route.purge_from.is_empty()).map(purgers).collect(),
        admin: admin(settings.admin.as_ref()),
        logs: logs(settings),
        warnings: warned.chain(observations(settings)).collect(),
    }
}

fn listen(server: &ServerSettings) -> Vec<String> {
    let plain = server.listen.iter().map(ToString::to_string);
    plain.chain(server.tls.iter().flat_map(|tls| &tls.listen).map(|address| format!("{address} under TLS"))).collect()
}

fn certificates(server: &ServerSettings) -> String {
    match server.tls.as_ref().and_then(|tls| tls.terms.roots()) {
        None => "are asked for no certificate".to_owned(),
        Some([_]) => "who show a certificate must have it from the one authority of `client_ca`".to_owned(),
        Some(roots) => {
            format!("who show a certificate must have it from one of the {} authorities of `client_ca`", roots.len())
        }
    }
}

fn logs(settings: &Settings) -> Vec<String> {
    let access = match &settings.log.access {
        AccessLines::Off => "no access log is written; slow requests go to standard error".to_owned(),
        AccessLines::Stdout => "the access log goes to standard output".to_owned(),
        AccessLines::Stderr => "the access log goes to standard error".to_owned(),
        AccessLines::File(path) => format!("the access log goes to {}", path.display()),
    };
    let told = "its lines: names and path templates of routes, what became of requests and why, times, ids of requests";
    let included: Vec<&str> = settings.log.include.iter().map(|included| included.as_str()).collect();
    let besides = match included.as_slice() {
        [] => "; nothing that a request says of itself".to_owned(),
        names => format!("; and of each request: {}", names.join(", ")),
    };
    let silent = settings.routes.iter().filter(|route| route.access_log == AccessLog::Silent);
    let silent: Vec<&str> = silent.map(|route| route.name.as_str()).collect();
    let mut logs = vec![access, format!("{told}{besides}")];
    if !silent.is_empty() {
        logs.push(format!("they tell nothing of the routes {}", silent.join(", ")));
    }
    // Of those that are slow even where the others are written nowhere.
    let besides = match &settings.log.access {
        AccessLines::Off | AccessLines::Stderr if !settings.log.include.is_empty() => {
            "standard error, beside those lines"
        }
        _ => "standard error",
    };
    logs.push(format!("{besides}: {MESSAGES}"));
    logs.push(METRICS.to_owned());
    logs
}

const MESSAGES: &str =
    "addresses that are listened on, and who purged, reloaded or bypassed a route; never a tag, a URL or a token";
const METRICS: &str =
    "metrics: the names of routes and upstreams from the configuration, never a path, a parameter or a person";

fn describe(route: &Route, identity: &Identity) -> KeptRoute {
    let as_said = || "as the origin says".to_owned();
    let (among, proof, oldest, ceiling, downstream) = match &route.caching {
        Caching::Named(policy) => {
            let Sharing { among, proof, .. } = Sharing::of(&policy.share, identity);
            let proof = [proof].into_iter().chain(sharing::access(policy)).collect::<Vec<_>>().join("; ");
            let downstream = match (policy.share.is_sensitive(), policy.types.is_empty()) {
                (true, _) => "private, no-cache".to_owned(),
                (false, true) => as_said(),
                (false, false) => "public, max-age as its `types` say".to_owned(),
            };
            (among, proof, lifetimes::oldest(policy), policy.ceiling, downstream)
        }
        Caching::Http(http) => {
            let counted = match http.credentials {
                Credentials::AuthorizationAndCookies => "Authorization and cookies are",
                Credentials::AuthorizationOnly => "Authorization is",
            };
            let among = "everybody; with credentials only what the origin opened".to_owned();
            (among, format!("by the origin's own word (RFC 9111 §3.5); {counted} a credential"), None, None, as_said())
        }
        Caching::Pass => (String::new(), String::new(), None, None, as_said()),
    };
    KeptRoute {
        name: route.name.clone(),
        path: route.path.text.clone(),
        file: route.file.to_string(),
        line: route.line,
        policy: route.policy_name.clone(),
        among,
        proof,
        oldest_seconds: oldest.map(|time| time.as_secs()),
        oldest_if_asked_seconds: ceiling.map(|time| time.as_secs()),
        downstream,
        besides: besides(route),
    }
}

fn passed_route(route: &Route) -> String {
    let settle = route.settle.map(|time| format!(", settle {}", show_duration(time)));
    format!("{} ({}{})", route.name, route.path.text, settle.unwrap_or_default())
}

fn besides(route: &Route) -> Vec<String> {
    let named = match &route.caching {
        Caching::Named(policy) => Some(policy),
        Caching::Http(_) | Caching::Pass => None,
    };
    let touch = named.and_then(|policy| policy.touch).map(|time| {
        let time = show_duration(time);
        format!(
            "touch {time}: a request goes to the origin if that has not heard of its principal for so long, so its session stays alive"
        )
    });
    let settle = route.settle.map(|time| {
        let time = show_duration(time);
        format!("settle {time}: what a write touched is purged once more after that time")
    });
    let overridden = named.is_some_and(|policy| policy.expired == Expired::Overridden);
    let expired = overridden.then(|| {
        "override: answers are shared although the origin says that they are over (Pragma, Expires, max-age=0)"
            .to_owned()
    });
    let ignores = named.is_some_and(|policy| policy.client_no_cache == ClientNoCache::Ignored);
    let reloads = ignores.then(|| {
        "client_no_cache ignore: who reloads a page gets what is stored while it is fresh; only a purge makes it new".to_owned()
    });
    touch.into_iter().chain(settle).chain(expired).chain(reloads).collect()
}

fn purgers(route: &Route) -> String {
    let from: Vec<String> = route.purge_from.iter().map(ToString::to_string).collect();
    format!("{} from {}", route.name, from.join(", "))
}

fn admin(admin: Option<&AdminSettings>) -> AdminTold {
    let Some(admin) = admin else {
        return AdminTold::default();
    };
    let holders = |scope: TokenScope| -> Vec<String> {
        if admin.tokens.is_empty() {
            return vec!["whoever is on this machine, without a token".to_owned()];
        }
        let holders = admin.tokens.iter().filter(|token| token.may.contains(&scope));
        holders.map(|token| format!("the token {}", token.name)).collect()
    };
    AdminTold {
        listen: Some(admin.listen.to_string()),
        may_read: holders(TokenScope::Read),
        may_purge: holders(TokenScope::Purge),
        may_reload: holders(TokenScope::Reload),
        may_bypass: holders(TokenScope::Bypass),
    }
}

/// What is allowed, and worth a second look.
fn observations(settings: &Settings) -> Vec<String> {
    let mut found = Vec::new();
    for route in &settings.routes {
        if let Caching::Named(policy) = &route.caching
            && policy.share.is_sensitive()
            && policy.ceiling.is_none()
        {
            found.push(format!("{} has no `ceiling`: a client may ask for answers of any age (max-stale)", route.name));
        }
    }
    let keeps_by_principal = settings.routes.iter().any(|route| route.caching.is_sensitive());
    let ends = |route: &Route| route.purges.contains(&crate::rules::tag_template::PurgeTemplate::Principal);
    if keeps_by_principal && !settings.routes.iter().any(ends) {
        found.push("no route says `purges: [principal]`: signing out does not end what is kept".to_owned());
    }
    if settings.admin.as_ref().is_some_and(|admin| admin.tokens.is_empty()) {
        found.push("the admin has no `tokens`: every program on this machine may purge".to_owned());
    }
    if settings.server.limits.min_rate == 0 {
        found.push(
            "`limits.min_rate` is off: clients that send or take next to nothing are cut off by no rate, and hold their connections \
             to the origin; write 1KiB"
                .to_owned(),
        );
    }
    let pages = settings.server.refuse.missing();
    if let Some(first) = pages.first() {
        let pages = match &pages[1..] {
            [] => format!("{first} is"),
            [second] => format!("{first} and {second} are"),
            [second, rest @ ..] => format!("{first}, {second} and {} more are", rest.len()),
        };
        found.push(format!(
            "{pages} shown by some origins to their own machine alone, and behind Stent everybody may be that machine: write server: {{refuse: [{LOOPBACK_WORD}]}}"
        ));
    }
    found
}
