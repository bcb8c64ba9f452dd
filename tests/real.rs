//! Stent as it is started by hand, in front of the two example origins as they are started by hand: a Django clinic and a
//! FastAPI service of many tenants; and before a Tomcat, whose ways to sign in are its own.
//!
//! Nothing is scripted here and no clock is ours: what these tests show is that a backend which nobody can rewrite gives its
//! users the same answers as before, keeps them apart, and is asked less. `tests/setup` prepares the Python and the Java they need.

#[path = "real/browser.rs"]
mod browser;
#[path = "real/catalina.rs"]
mod catalina;
#[path = "real/client.rs"]
mod client;
#[path = "real/command.rs"]
mod command;
#[path = "real/compare.rs"]
mod compare;
#[path = "real/conditions.rs"]
mod conditions;
#[path = "real/crowd.rs"]
mod crowd;
#[path = "real/django.rs"]
mod django;
#[path = "real/fastapi.rs"]
mod fastapi;
#[path = "real/once.rs"]
mod once;
#[path = "real/privacy.rs"]
mod privacy;
#[path = "real/process.rs"]
mod process;
#[path = "real/stopping.rs"]
mod stopping;
#[path = "real/tomcat.rs"]
mod tomcat;
#[path = "real/writes.rs"]
mod writes;
