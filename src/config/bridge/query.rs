//! `query:` of a route: which parameters are keyed, and how.

use crate::config::message::{ConfigProblem, MessageKind};
use crate::config::node::{Node, NodeKind};
use crate::config::reader::NodeReader;
use crate::rules::query::{OtherQuery, QueryOrder, QueryRule, QueryRules};

pub(super) fn query(reader: &mut NodeReader, node: &Node) -> Option<QueryRules> {
    let mut rules = QueryRules { rules: Vec::new(), other: OtherQuery::Pass, order: QueryOrder::AsSent };
    let (mut other, mut unlisted) = (None, OtherQuery::Pass);
    for (key, value) in reader.map(node)? {
        // A parameter may be called so, but no rule is called `true`.
        if key.text == "sort"
            && matches!(&value.kind, NodeKind::Scalar(scalar) if ["true", "false"].contains(&scalar.text.as_str()))
        {
            rules.order = if reader.boolean(value)? { QueryOrder::Sorted } else { QueryOrder::AsSent };
            unlisted = OtherQuery::Any;
            continue;
        }
        if key.text == "other" {
            let words = [("any", OtherQuery::Any), ("drop", OtherQuery::Drop), ("pass", OtherQuery::Pass)];
            other = other.or(reader.choice(value, &words));
            continue;
        }
        let stem = key.text.strip_suffix('*').unwrap_or(&key.text);
        if stem.is_empty() || stem.contains(['*', '&', '=', '#', '?']) {
            let message = format!("`{}` cannot be the name of a parameter", key.text);
            let hint = "write a name; a `*` may stand at its end only: utm_*; for all the others there is `other:`";
            reader.push(ConfigProblem::error(MessageKind::Value, key.place, &value.path, message).hint(hint));
            continue;
        }
        let Some(rule) = rule(reader, value) else { continue };
        rules.rules.push((key.text.clone(), rule));
    }
    // Whoever says of parameters only how they are ordered means all of them.
    let unlisted = if rules.rules.is_empty() { unlisted } else { OtherQuery::Pass };
    rules.other = other.unwrap_or(unlisted);
    Some(rules)
}

fn rule(reader: &mut NodeReader, node: &Node) -> Option<QueryRule> {
    if !matches!(node.kind, NodeKind::Map(_)) {
        let example = "any, drop or pass; for a number, {default: 1, min: 1, max: 100}";
        return reader.parsed(node, "a rule", example, |text| match text {
            "any" => Ok(QueryRule::Any),
            "drop" => Ok(QueryRule::Drop),
            "pass" => Ok(QueryRule::Pass),
            _ => Err((format!("`{text}` is not a rule for a parameter"), format!("write {example}"))),
        });
    }
    let table = reader.table(node, &["default", "min", "max"], &[])?;
    let before = reader.errors();
    let mut number = |key: &str| table.get(key).and_then(|node| integer(reader, node));
    let (default, min, max) = (number("default"), number("min"), number("max"));
    if reader.errors() != before {
        return None;
    }
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        let message = format!("`min` ({min}) is greater than `max` ({max})");
        reader.error(MessageKind::Contradiction, node, message, "swap them");
    } else if let Some(default) = default
        && (min.is_some_and(|min| default < min) || max.is_some_and(|max| default > max))
    {
        let message = format!("the default of {default} is outside of `min` and `max`");
        reader.error(MessageKind::Contradiction, node, message, "write a default between them");
    }
    Some(QueryRule::Number { default, min, max })
}

fn integer(reader: &mut NodeReader, node: &Node) -> Option<i64> {
    reader.parsed(node, "a number", "a whole number", |text| {
        text.parse().map_err(|_| (format!("`{text}` is not a whole number"), "write a number like 20".to_owned()))
    })
}
