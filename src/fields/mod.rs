//! HTTP values that judge nothing: dates, structured fields, directives, ranges, cookies, authorities, percent-encoding.
//!
//! And names of fields, by what they may say of somebody: requests' that say nothing of who asks, requests' that are credentials,
//! answers' that hand credentials out; and the places of a URL where credentials stand.
//!
//! Pure: tables and how they are read.

pub mod authority;
pub mod cookies;
pub mod credential;
pub mod date;
pub mod directives;
pub mod glob;
pub mod harmless;
pub mod method;
pub mod percent;
pub mod portion;
pub mod range;
pub mod secret;
pub mod structured;
pub mod targeted;
pub mod url;

/// The words of a name: `x-auth-token` has three.
fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(['-', '_', '.'])
}
