//! The one bridge from what was written to what is needed.
//!
//! Every section is read even when another is broken, and each mistake is told once: what cannot be known because of an
//! earlier mistake (the parts of a path that cannot be read, a policy that uses something not available yet) is not
//! reported again where it is used.

use std::path::Path;

use crate::config::Settings;
use crate::config::message::ConfigProblem;
use crate::config::node::Node;
use crate::config::reader::NodeReader;
use crate::config::selftest::SelfTest;

mod admin;
mod covers;
mod headers;
mod identity;
mod jwt;
mod log;
mod paths;
mod patient;
mod policies;
mod query;
mod routes;
mod secrets;
mod server;
mod session_cookies;
mod share;
mod tags;
mod templates;
mod tests;
mod tls;
mod upstreams;
mod values;
mod vary;

const KNOWN: [&str; 9] = ["server", "admin", "log", "cache", "identity", "upstreams", "policies", "routes", "tests"];
const NOT_YET: [&str; 2] = ["include", "limits"];

/// Settings and self tests, worth something only if no problem is an error. Secrets are read relative to the file's folder.
pub(super) fn cross(root: &Node, file: &Path) -> (Option<(Settings, Vec<SelfTest>)>, Vec<ConfigProblem>) {
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut reader = NodeReader::default();
    reader.file = file.to_owned();
    let Some(table) = reader.table(root, &KNOWN, &NOT_YET) else { return (None, reader.into_problems()) };
    let server = server::server(&mut reader, table.get("server"), folder);
    let admin = admin::admin(&mut reader, table.get("admin"), folder);
    admin::check_listeners(&mut reader, root, &server, admin.as_ref());
    let log = log::log(&mut reader, table.get("log"), folder);
    let cache = server::cache(&mut reader, table.get("cache"));
    let before = reader.errors();
    let certificates = tls::certificates(root, &server);
    let who = identity::identity(&mut reader, table.get("identity"), &server, certificates, folder);
    let identity_is_sound = reader.errors() == before && !reader.is_meant(root, "identity");
    let upstreams = upstreams::upstreams(&mut reader, root, &who.identity);
    let around = share::Surroundings { who: &who, identity_is_sound };
    let policies = policies::policies(&mut reader, root, &around);
    let scope = routes::RouteScope { around, upstreams: &upstreams, policies: policies.as_deref(), cache: &cache };
    let routes = routes::routes(&mut reader, root, &scope);
    let names = tests::TestNames {
        routes: routes.iter().map(|route| route.name.as_str()).collect(),
        policies: policies.iter().flatten().map(|policy| policy.name).chain(policies::BUILT_IN).collect(),
        trusted: who.identity.trusted_headers().cloned().collect(),
        token: who.identity.token.clone(),
    };
    let tests = table.get("tests").map(|node| tests::read(&mut reader, node, &names)).unwrap_or_default();
    let upstreams = upstreams.settings;
    paths::check(&mut reader, root, &who.identity, &upstreams, &routes);
    let identity::ConfiguredIdentity { identity, tokens, .. } = who;
    let settings = Settings { server, admin, log, cache, identity, tokens, upstreams, routes };
    (Some((settings, tests)), reader.into_problems())
}
