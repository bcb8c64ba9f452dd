//! What is said of each way of sharing: to people, on every page that speaks of it, and to the comparison of two
//! configurations. A new way of sharing has its one arm here.

use crate::asker::facet::{Facet, Worth};
use crate::asker::identity::Identity;
use crate::rules::caching::{Access, Ask, NamedPolicy, Share, Yes};

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
            Share::Facets(facets) => Sharing {
                among: format!("those with the same {}", names(facets.iter())),
                proof: proof_of(facets),
                breadth: Breadth::Own,
            },
            Share::Permitted => Sharing {
                among: "everybody who is let pass".to_owned(),
                proof: "found out on every request".to_owned(),
                breadth: Breadth::Own,
            },
        }
    }
}

/// What must hold on every request besides; as a sentence's end.
pub fn access(policy: &NamedPolicy) -> Option<String> {
    Some(match policy.access.as_ref()? {
        Access::Token => "with a verified token that has not expired, on every request".to_owned(),
        Access::Ask { about, keep, yes } => {
            let what = match about {
                Ask::Path(path) => format!("to {path}"),
                Ask::Same => "to a conditional request for the same".to_owned(),
            };
            let kept = if keep.is_zero() { String::new() } else { format!(", kept for {}s", keep.as_secs_f64()) };
            let yes = said(about, yes);
            format!("with the origin's yes{yes} {what}, asked with the caller's own credentials{kept}")
        }
    })
}

/// What a yes is; as a part of a sentence.
fn said(about: &Ask, yes: &Yes) -> String {
    match (about, yes) {
        // That a 304 is one goes without saying.
        (Ask::Same, Yes::Usual) => String::new(),
        (Ask::Path(_), Yes::Usual) => " (any success that is not HTML)".to_owned(),
        (_, Yes::Status(status)) => format!(" (a {status})"),
        (_, Yes::Field(name)) => format!(" (`{name}: true` in its JSON)"),
    }
}

fn names<'a>(facets: impl Iterator<Item = &'a Facet>) -> String {
    facets.map(|facet| facet.name.as_str()).collect::<Vec<_>>().join(" and ")
}

fn proof_of(facets: &[Facet]) -> String {
    let of = |worth: Worth| {
        let some = facets.iter().filter(move |facet| facet.source.worth() == worth);
        some.map(|facet| facet.source.to_string()).collect::<Vec<_>>().join(" and ")
    };
    let (proven, claimed) = (of(Worth::Proven), of(Worth::Claimed));
    let claimed = if claimed.is_empty() { claimed } else { format!("; {claimed} merely claimed beside") };
    format!("proven by {proven}{claimed}")
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
    // Who has all of more facets has all of fewer.
    let finer = match (new, old) {
        (Share::Facets(new), Share::Facets(old)) => old.iter().all(|facet| new.contains(facet)),
        _ => false,
    };
    // What was everybody's was made without credentials: no one person's answer reached another.
    let narrower = Sharing::of(old, identity).breadth == Breadth::Widest && !new.is_between_people();
    new == old || finer || narrower
}

/// Whether whatever holds under `new` held under `old`.
pub fn is_access_within(new: Option<&Access>, old: Option<&Access>) -> bool {
    match (new, old) {
        (_, None) | (Some(Access::Token), Some(Access::Token)) => true,
        (Some(Access::Ask { about, keep, yes }), Some(Access::Ask { about: same, keep: longest, yes: before })) => {
            about == same && keep <= longest && yes == before
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asker::facet::FacetSource;
    use std::sync::Arc;

    #[test]
    fn only_what_everybody_has_can_be_narrowed() {
        let identity = Identity { authorization: true, ..Identity::default() };
        let facet = |name: &str| Facet { name: name.to_owned(), source: FacetSource::Jwt(name.to_owned()) };
        let one = Share::Facets(Arc::new([facet("tenant")]));
        let two = Share::Facets(Arc::new([facet("role"), facet("tenant")]));
        let all = [Share::Public, Share::Anonymous, Share::Principal, Share::Permitted, one.clone(), two.clone()];
        for old in &all {
            for new in &all {
                let want =
                    new == old || (*old == Share::Public && !new.is_between_people()) || (*new == two && *old == one);
                assert_eq!(is_within(new, old, &identity), want, "{old} to {new}");
            }
        }
        let ask =
            |seconds| Access::Ask { about: Ask::Same, keep: std::time::Duration::from_secs(seconds), yes: Yes::Usual };
        for (new, old, want) in [
            (None, None, true),
            (Some(&Access::Token), None, true),
            (None, Some(&Access::Token), false),
            (Some(&ask(1)), Some(&ask(2)), true),
            (Some(&ask(2)), Some(&ask(1)), false),
            (Some(&ask(1)), Some(&Access::Token), false),
        ] {
            assert_eq!(is_access_within(new, old), want, "{old:?} to {new:?}");
        }
        assert_eq!(Sharing::of(&Share::Principal, &identity).proof, "proven by showing exactly the same authorization");
    }
}
