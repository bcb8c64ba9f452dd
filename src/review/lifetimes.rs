//! For how long an answer may be seen if nobody purges it.

use std::time::Duration;

use super::Change;
use crate::config::show_duration;
use crate::rules::caching::{NamedPolicy, TypePattern};

/// The oldest age at which an answer may be delivered to who does not ask for stale ones; `None`: not bounded here.
pub(super) fn oldest(policy: &NamedPolicy) -> Option<Duration> {
    let fresh = match longest_type(policy) {
        Some(longest) => Some(longest),
        None => policy.ttl,
    };
    let said = sum(fresh, policy.stale_while_revalidate, policy.stale_if_error);
    match (said, policy.ceiling) {
        (Some(said), Some(ceiling)) => Some(said.min(ceiling)),
        (said, ceiling) => said.or(ceiling),
    }
}

fn sum(fresh: Option<Duration>, behind: Option<Duration>, failed: Option<Duration>) -> Option<Duration> {
    Some(fresh?.saturating_add(behind?.max(failed?)))
}

fn longest_type(policy: &NamedPolicy) -> Option<Duration> {
    policy.types.iter().map(|(_, time)| *time).max()
}

fn shortest_type(policy: &NamedPolicy) -> Option<Duration> {
    policy.types.iter().map(|(_, time)| *time).min()
}

/// The age that any answer may reach, whatever the origin says.
fn at_least(policy: &NamedPolicy) -> Duration {
    let windows = policy.stale_while_revalidate.max(policy.stale_if_error).unwrap_or_default();
    let fresh = shortest_type(policy).or(policy.ttl).unwrap_or_default();
    fresh.saturating_add(windows).min(policy.ceiling.unwrap_or(Duration::MAX))
}

/// What changes in lifetimes, stale windows, the ceiling and types.
pub(super) fn compare(old: &NamedPolicy, new: &NamedPolicy) -> Vec<Change> {
    let times = [
        ("ttl", old.ttl, new.ttl),
        ("stale_while_revalidate", old.stale_while_revalidate, new.stale_while_revalidate),
        ("stale_if_error", old.stale_if_error, new.stale_if_error),
    ];
    let bounded = oldest(new).is_some_and(|new| new <= at_least(old));
    let mut changes = Vec::new();
    for (key, old, new) in times.into_iter().filter(|(_, old, new)| old != new) {
        let change = format!("`{key}` {} → {}", shown(old), shown(new));
        let shorter = matches!((old, new), (Some(old), Some(new)) if new < old);
        changes.push(match (shorter || bounded, old.is_some() && new.is_some()) {
            (true, _) => Change::plain(change),
            (false, true) => Change::widens(change, "answers may be seen for longer"),
            (false, false) => {
                Change::widens(change, "the origin's own time is not known here: it may be seen for longer")
            }
        });
    }
    if old.ceiling != new.ceiling {
        let change = format!("`ceiling` {} → {}", ceiling(old.ceiling), ceiling(new.ceiling));
        let lower = new.ceiling.is_some_and(|new| old.ceiling.is_none_or(|old| new < old));
        changes.push(match lower {
            true => Change::plain(change),
            // Up to here even who asks for stale answers gets them (`max-stale`).
            false => Change::widens(change, "answers may be seen for longer by those who ask for stale ones"),
        });
    }
    changes.extend(types(old, new));
    changes
}

fn types(old: &NamedPolicy, new: &NamedPolicy) -> Vec<Change> {
    match (old.types.is_empty(), new.types.is_empty()) {
        _ if old.types == new.types => return Vec::new(),
        (true, _) => {
            let why = "clients and caches behind are told to keep what the origin may have forbidden them";
            return vec![Change::widens("only listed `types` are kept now", why)];
        }
        (false, true) => return vec![Change::widens("`types` is gone", "answers of every type are kept now")],
        (false, false) => {}
    }
    let all = old.types.iter().chain(&new.types).map(|(pattern, _)| pattern);
    let mut patterns: Vec<&TypePattern> = Vec::new();
    all.for_each(|pattern| {
        if !patterns.contains(&pattern) {
            patterns.push(pattern)
        }
    });
    let mut changes = Vec::new();
    for pattern in patterns {
        // A fingerprinted file without a time of its own has that of its type, which may be any.
        let (before, after) = (time(old, pattern, shortest_type), time(new, pattern, longest_type));
        let listed = |policy: &NamedPolicy| policy.types.iter().any(|(listed, _)| listed == pattern);
        let name = format!("`types` {}", name(pattern));
        match (before, after) {
            (None, Some(after)) => {
                let change = format!("{name}: {} now", show_duration(after));
                changes.push(Change::widens(change, "answers of this type were passed"));
            }
            (Some(_), None) => changes.push(Change::plain(format!("{name} is passed now"))),
            (Some(before), Some(after)) if before != after || listed(old) != listed(new) => {
                let change = format!("{name}: {} → {}", show_duration(before), show_duration(after));
                changes.push(match after <= before {
                    true => Change::plain(change),
                    false => {
                        Change::widens(change, "answers may be seen for longer, and so in browsers and caches behind")
                    }
                });
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    changes
}

/// The time of what a pattern names.
fn time(
    policy: &NamedPolicy,
    pattern: &TypePattern,
    of_its_type: fn(&NamedPolicy) -> Option<Duration>,
) -> Option<Duration> {
    let matching = |(listed, _): &&(TypePattern, Duration)| match (pattern, listed) {
        (TypePattern::Exact(media), TypePattern::Family(family)) => {
            media.split_once('/').is_some_and(|(of, _)| of == family)
        }
        (pattern, listed) => pattern == listed,
    };
    let own = policy.types.iter().find(matching).map(|(_, time)| *time);
    match pattern {
        TypePattern::Fingerprinted => own.or_else(|| of_its_type(policy)),
        TypePattern::Exact(_) | TypePattern::Family(_) => own,
    }
}

fn name(pattern: &TypePattern) -> String {
    match pattern {
        TypePattern::Exact(media) => media.clone(),
        TypePattern::Family(family) => format!("{family}/*"),
        TypePattern::Fingerprinted => "fingerprinted".to_owned(),
    }
}

fn shown(time: Option<Duration>) -> String {
    time.map_or("the origin's".to_owned(), show_duration)
}

fn ceiling(time: Option<Duration>) -> String {
    time.map_or("none".to_owned(), show_duration)
}
