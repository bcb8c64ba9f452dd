//! `${NAME}` and `${NAME:-default}` inside values, from the environment or whatever the caller gives; `$${` is a plain `${`.
//!
//! Done on the tree and not on the text, so a variable's value can neither add keys nor move a position.

use std::collections::BTreeSet;

use crate::config::message::{ConfigProblem, MessageKind};
use crate::config::node::{Node, NodeKind, Scalar};

/// Where variables come from.
pub(super) type Vars<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Fills in every value below `node`. What cannot be filled in is reported and becomes broken.
pub(super) fn fill(node: &mut Node, vars: Vars<'_>, problems: &mut Vec<ConfigProblem>) {
    let broken = match &mut node.kind {
        NodeKind::Broken => None,
        NodeKind::List(items) => {
            items.iter_mut().for_each(|item| fill(item, vars, problems));
            None
        }
        NodeKind::Map(entries) => {
            entries.iter_mut().for_each(|(_, value)| fill(value, vars, problems));
            None
        }
        NodeKind::Scalar(scalar) => fill_scalar(scalar, vars).err(),
    };
    if let Some((message, hint)) = broken {
        problems.push(ConfigProblem::error(MessageKind::Value, node.place, &node.path, message).hint(hint));
        node.kind = NodeKind::Broken;
    }
}

fn fill_scalar(scalar: &mut Scalar, vars: Vars<'_>) -> Result<(), (String, String)> {
    if !scalar.text.contains("${") {
        return Ok(());
    }
    let filled = filled(&scalar.text, vars)?;
    scalar.written = Some(std::mem::replace(&mut scalar.text, filled));
    Ok(())
}

/// `text` with its variables; otherwise a message and a hint.
fn filled(text: &str, vars: Vars<'_>) -> Result<String, (String, String)> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let before = &rest[..start];
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        out.push_str(before);
        let inside = &rest[start + 2..];
        let Some(end) = inside.find('}') else {
            return Err((
                "`${` is never closed".to_owned(),
                "write ${NAME} or ${NAME:-default}; a plain `${` is written `$${`".to_owned(),
            ));
        };
        let (name, default) = match inside[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inside[..end], None),
        };
        if !is_name(name) {
            let message = format!("`{name}` is not the name of a variable");
            return Err((message, "write ${NAME} or ${NAME:-default}; a plain `${` is written `$${`".to_owned()));
        }
        // As in a shell, `:-` also stands in for a variable that is set to nothing.
        match (vars(name), default) {
            (Some(value), Some(default)) if value.is_empty() => out.push_str(default),
            (Some(value), _) => out.push_str(&value),
            (None, Some(default)) => out.push_str(default),
            (None, None) => {
                let hint = format!("set {name} in the environment, or write ${{{name}:-default}}");
                return Err((format!("the variable {name} is not set"), hint));
            }
        }
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Shorter values are no secrets, and could be part of any word.
const SHORTEST_HIDDEN: usize = 6;

/// Puts `${NAME}` for what the variables in `text` hold into messages: a secret may stand in the wrong variable.
pub(super) fn hide(text: &str, vars: Vars<'_>, problems: &mut [ConfigProblem]) {
    let names = text.split("${").skip(1).filter_map(|rest| rest.split(['}', ':']).next()).filter(|name| is_name(name));
    let names: BTreeSet<&str> = names.collect();
    for name in names {
        let Some(value) = vars(name).filter(|value| value.len() >= SHORTEST_HIDDEN) else { continue };
        let shown = format!("${{{name}}}");
        for problem in problems.iter_mut() {
            for said in [Some(&mut problem.message), problem.hint.as_mut()].into_iter().flatten() {
                if said.contains(&value) {
                    *said = said.replace(&value, &shown);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(name: &str) -> Option<String> {
        match name {
            "PORT" => Some("8080".to_owned()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("${PORT}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_filled_in() {
        let check = |text: &str, wanted: &str| assert_eq!(filled(text, &vars).as_deref(), Ok(wanted), "{text}");
        check("127.0.0.1:${PORT}", "127.0.0.1:8080");
        check("${PORT}${PORT}", "80808080");
        check("${PORT:-9}", "8080");
        check("${NONE:-9}", "9");
        check("${NONE:-}", "");
        check("${EMPTY:-9}", "9");
        check("${EMPTY}", "");
        check("$${PORT}", "${PORT}");
        check("a$${PORT}b${PORT}", "a${PORT}b8080");
        // A variable's value is not looked at again.
        check("${DOLLAR}", "${PORT}");
    }

    #[test]
    fn what_cannot_be_filled_in_says_which() {
        let check = |text: &str, wanted: &str| {
            let (message, _) = filled(text, &vars).expect_err(text);
            assert!(message.contains(wanted), "{text}: {message}");
        };
        check("${NONE}", "variable NONE is not set");
        check("${", "never closed");
        check("${NO NE}", "`NO NE` is not the name");
        check("${}", "`` is not the name");
    }
}
