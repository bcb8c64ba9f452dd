//! Names of parts of a request as explanations tell them.

pub(super) fn query_names(query: &str) -> Vec<String> {
    let tokens = query.split('&').filter(|token| !token.is_empty());
    unique(tokens.map(|token| crate::fields::percent::decode(token.split('=').next().unwrap_or(token)).into_owned()))
}

pub(super) fn cookie_name(name: &str) -> String {
    if name == "\0" { "(one that cannot be read)".to_owned() } else { name.to_owned() }
}

pub(super) fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}
