//! Names of fields, by what they may say of somebody: requests' that say nothing of who asks, requests' that are credentials,
//! answers' that hand credentials out; and the places of a URL where credentials stand.
//!
//! Pure: tables and how they are read.

pub mod credential;
pub mod harmless;
pub mod secret;
pub mod url;

/// The words of a name: `x-auth-token` has three.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(['-', '_', '.'])
}
