//! From `proxy.yaml` to validated settings: what was written, what is needed, and one bridge between.

use crate::admin::settings::AdminSettings;
use crate::edge::settings::ServerSettings;
use crate::identity::Identity;
use crate::route::Route;
use crate::store::settings::CacheSettings;
use crate::upstream::settings::UpstreamSettings;

/// Everything the process needs, validated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Listeners for clients.
    pub server: ServerSettings,
    /// The admin listener, if there is one.
    pub admin: Option<AdminSettings>,
    /// The store.
    pub cache: CacheSettings,
    /// Who is asking.
    pub identity: Identity,
    /// Services, by index.
    pub upstreams: Vec<UpstreamSettings>,
    /// Routes in the order of the file.
    pub routes: Vec<Route>,
}
