//! Stent: a caching reverse proxy for backends that nobody can rewrite.
pub mod admin {
    pub mod settings;
}
pub mod clock;
pub mod config;
pub mod edge {
    pub mod settings;
}
pub mod entry;
pub mod identity;
pub mod key;
pub mod path;
pub mod policy;
pub mod query;
pub mod route;
pub mod store {
    pub mod purge;
    pub mod settings;
}
pub mod tag;
pub mod upstream {
    pub mod settings;
}
