//! What is said of each way of sharing: to people, on every page that speaks of it, and to the comparison of two
//! configurations. A new way of sharing has its one arm here.

use super::Share;
use crate::identity::Identity;

/// A way of sharing, described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sharing {
    /// Among whom an answer is shared.
    pub among: String,
    /// By what it is proven that somebody is one of them.
    pub proof: String,
    /// How it compares with the others.
    pub breadth: Breadth,
}

/// How a way of sharing compares with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breadth {
    /// All others are narrower.
    Widest,
    /// Each other one lets requests share that this one keeps apart or passes.
    Own,
}

impl Sharing {
    /// Describes it for those whom `identity` tells apart.
    pub fn of(share: &Share, identity: &Identity) -> Sharing {
        match share {
            Share::Public => Sharing {
                among: "everybody".to_owned(),
                proof: "no proof is asked for; credentials are neither keyed nor sent".to_owned(),
                breadth: Breadth::Widest,
            },
            Share::Anonymous => Sharing {
                among: "everybody who shows no credentials".to_owned(),
                proof: "whoever shows some is passed".to_owned(),
                breadth: Breadth::Own,
            },
            Share::Principal => Sharing {
                among: "one principal".to_owned(),
                proof: format!("proven by showing exactly the same {}", parts(identity).join(" and ")),
                breadth: Breadth::Own,
            },
        }
    }
}

/// The parts of a principal, as they are written in the configuration.
pub fn parts(identity: &Identity) -> Vec<String> {
    let authorization = identity.authorization.then(|| "authorization".to_owned());
    let cookies = identity.cookies.iter().map(|name| format!("cookie.{name}"));
    let headers = identity.headers.iter().map(|name| format!("header.{name}"));
    authorization.into_iter().chain(cookies).chain(headers).collect()
}

/// Whether everybody who may have an answer under `new` might have had it under `old`.
pub fn is_within(new: &Share, old: &Share, identity: &Identity) -> bool {
    new == old || Sharing::of(old, identity).breadth == Breadth::Widest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_everybody_has_can_be_narrowed() {
        let identity = Identity { authorization: true, ..Identity::default() };
        let all = [Share::Public, Share::Anonymous, Share::Principal];
        for old in all {
            for new in all {
                let want = new == old || old == Share::Public;
                assert_eq!(is_within(&new, &old, &identity), want, "{old:?} to {new:?}");
            }
        }
        assert_eq!(Sharing::of(&Share::Principal, &identity).proof, "proven by showing exactly the same authorization");
    }
}
