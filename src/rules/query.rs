//! Which query parameters belong to a key, and in which form: listed ones by their rule, the others as the route says.
//!
//! What is keyed is what is sent. Without rules that is what the client sent, byte for byte: order may mean something to an origin
//! (`/img?resize=100&blur=5`), and signed links do not survive a rewriting.

use std::borrow::Cow;

/// The `query:` of a route. Without it the query is keyed as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryRules {
    /// Rules by name, in the order of the file; a name may end in `*`.
    pub rules: Vec<(String, QueryRule)>,
    /// What happens to a parameter that no rule names.
    pub other: OtherQuery,
    /// In which order parameters are keyed and sent.
    pub order: QueryOrder,
}

/// In which order parameters are keyed and sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum QueryOrder {
    /// As they came.
    #[default]
    AsSent,
    /// By their names, those of one name as they came: the operator says that their order means nothing.
    Sorted,
}

/// What to do with one listed parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryRule {
    /// Keyed as it is.
    Any,
    /// Neither keyed nor sent.
    Drop,
    /// A request that has it is passed.
    Pass,
    /// A number, keyed after clamping; `default` when it is missing. Anything that is not a number passes.
    Number {
        /// Taken when the parameter is missing.
        default: Option<i64>,
        /// Smaller ones become this.
        min: Option<i64>,
        /// Larger ones become this.
        max: Option<i64>,
    },
}

/// What to do with a parameter that is not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OtherQuery {
    /// Keyed as it is; what a route without `query:` does.
    #[default]
    Any,
    /// Neither keyed nor sent.
    Drop,
    /// The request is passed; the default once `query:` is written.
    Pass,
}

/// Why a query makes its request a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryPass {
    /// A parameter that the route does not list, or lists as `pass`.
    Parameter,
    /// A listed number that is not a number, or is given twice.
    NotANumber,
    /// More than [`MAX_PARAMETERS`].
    TooMany,
}

/// The most parameters that a keyed query may have.
pub const MAX_PARAMETERS: usize = 128;

impl QueryRules {
    /// Whether a query is keyed and sent byte for byte.
    fn is_as_sent(&self) -> bool {
        self.rules.is_empty() && self.other == OtherQuery::Any && self.order == QueryOrder::AsSent
    }

    /// Whether all parameters are keyed as they are, in whatever order: a URL that is named by a client is then the one that is keyed.
    pub fn keeps_parameters(&self) -> bool {
        self.rules.is_empty() && self.other == OtherQuery::Any
    }

    /// The query, without `?`, that is keyed and that a cached fetch sends; `None`: there is none, which is not the same as an
    /// empty one. What the rules name is put into their form; the rest stays as it came, in its order.
    pub fn canonical(&self, raw: Option<&str>) -> Result<Option<String>, QueryPass> {
        if self.is_as_sent() {
            return Ok(raw.map(str::to_owned));
        }
        let mut kept: Vec<Cow<'_, str>> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (index, token) in raw.iter().flat_map(|raw| raw.split('&')).enumerate() {
            if index >= MAX_PARAMETERS {
                return Err(QueryPass::TooMany);
            }
            let normal = normal(token);
            let (name, value) = normal.split_once('=').unwrap_or((&normal, ""));
            let as_it_came = || Cow::Borrowed(token);
            match self.rule(name) {
                _ if token.is_empty() => kept.push(as_it_came()),
                None => match self.other {
                    OtherQuery::Any => kept.push(as_it_came()),
                    OtherQuery::Drop => {}
                    OtherQuery::Pass => return Err(QueryPass::Parameter),
                },
                Some((_, QueryRule::Any)) => kept.push(as_it_came()),
                Some((_, QueryRule::Drop)) => {}
                Some((_, QueryRule::Pass)) => return Err(QueryPass::Parameter),
                Some((rule, QueryRule::Number { min, max, .. })) => {
                    if seen.contains(&rule) {
                        return Err(QueryPass::NotANumber);
                    }
                    seen.push(rule);
                    let number: i64 = value.parse().map_err(|_| QueryPass::NotANumber)?;
                    let number = number.max(min.unwrap_or(i64::MIN)).min(max.unwrap_or(i64::MAX));
                    kept.push(Cow::Owned(format!("{name}={number}")));
                }
            }
        }
        for (name, rule) in &self.rules {
            if let QueryRule::Number { default: Some(default), .. } = rule
                && !seen.contains(&name.as_str())
            {
                kept.retain(|token| !token.is_empty());
                kept.push(Cow::Owned(format!("{name}={default}")));
            }
        }
        let kept = (!kept.is_empty()).then(|| kept.join("&"));
        Ok(match self.order {
            QueryOrder::AsSent => kept,
            QueryOrder::Sorted => kept.map(|query| sorted(&query)),
        })
    }

    /// What happens to a parameter of this name, listed or not.
    pub fn rule_of(&self, name: &str) -> QueryRule {
        match (self.rule(name), self.other) {
            (Some((_, rule)), _) => rule.clone(),
            (None, OtherQuery::Any) => QueryRule::Any,
            (None, OtherQuery::Drop) => QueryRule::Drop,
            (None, OtherQuery::Pass) => QueryRule::Pass,
        }
    }

    fn rule(&self, name: &str) -> Option<(&str, &QueryRule)> {
        self.rules.iter().find(|(pattern, _)| crate::fields::glob::glob(pattern, name)).map(|(p, r)| (p.as_str(), r))
    }
}

/// A query with its parameters in normal form and sorted by name, those of one name as they came. By this a purge knows it: whoever
/// purges a URL means it however its parameters are ordered.
pub fn sorted(query: &str) -> String {
    let mut tokens: Vec<String> = query.split('&').filter(|token| !token.is_empty()).map(normal).collect();
    tokens.sort_by(|a, b| name_of(a).cmp(name_of(b)));
    tokens.join("&")
}

/// The same for tags of URLs, where clients differ in what they encode: all that needs no meaning is. Two queries that become
/// one cost a hit.
pub fn named(query: &str) -> String {
    let mut encoded = String::with_capacity(query.len());
    for byte in query.bytes() {
        match byte {
            b'+' => encoded.push_str("%20"),
            b'&' | b'=' | b'%' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte as char),
            _ if byte.is_ascii_alphanumeric() => encoded.push(byte as char),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    sorted(&encoded)
}

/// All values of a parameter, decoded, for tags: origins differ in which of several they take.
pub fn parameters(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|token| token.split_once('='));
    let own = pairs.filter(|(key, value)| *crate::fields::percent::decode(key) == *name && !value.is_empty());
    own.map(|(_, value)| crate::fields::percent::decode(&value.replace('+', " ")).into_owned()).collect()
}

fn name_of(token: &str) -> &str {
    token.split_once('=').map_or(token, |(name, _)| name)
}

/// RFC 3986 §6.2.2.1 and §6.2.2.2 for one parameter; broken escapes stay as they are.
fn normal(token: &str) -> String {
    let mut out = String::with_capacity(token.len());
    let mut rest = token;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let hex = rest.get(at + 1..at + 3).filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
        match hex.and_then(|h| u8::from_str_radix(h, 16).ok()) {
            Some(b) if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~') => {
                out.push(b as char);
                rest = &rest[at + 3..];
            }
            Some(b) => {
                out.push_str(&format!("%{b:02X}"));
                rest = &rest[at + 3..];
            }
            None => {
                out.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> QueryRules {
        QueryRules {
            rules: vec![
                ("page".into(), QueryRule::Any),
                ("size".into(), QueryRule::Number { default: Some(20), min: Some(1), max: Some(100) }),
                ("utm_*".into(), QueryRule::Drop),
                ("debug".into(), QueryRule::Pass),
            ],
            other: OtherQuery::Pass,
            order: QueryOrder::AsSent,
        }
    }

    fn check(rules: &QueryRules, raw: &str, want: Result<&str, QueryPass>) {
        let got = rules.canonical(Some(raw));
        assert_eq!(got.as_ref().map(|query| query.as_deref().unwrap_or("(none)")), want.as_ref().copied(), "{raw}");
    }

    #[test]
    fn without_rules_a_query_stays_as_it_is() {
        let all = QueryRules::default();
        for raw in ["", "a=1", "b=2&a=1&b=1", "%61=%2f%7E", "a=%zz&a", "a[][x]=1&a[][y]=2&a[][x]=3", "&&", "?"] {
            check(&all, raw, Ok(raw));
        }
        assert_eq!(all.canonical(None), Ok(None), "none is not an empty one");
    }

    #[test]
    fn what_is_said_to_be_sorted_is() {
        let sorted = QueryRules { order: QueryOrder::Sorted, ..QueryRules::default() };
        check(&sorted, "b=2&a=1&b=1", Ok("a=1&b=2&b=1"));
        check(&sorted, "%61=%2f%7E", Ok("a=%2F~"));
        check(&sorted, "a=%zz&&a", Ok("a=%zz&a"));
        check(&sorted, &"a&".repeat(MAX_PARAMETERS + 1), Err(QueryPass::TooMany));
    }

    #[test]
    fn a_purge_finds_a_query_whatever_its_client_encoded() {
        for (one, other) in
            [("q=*", "q=%2a"), ("a[]=1", "a%5B%5D=1"), ("q=a+b", "q=a%20b"), ("q=ü", "q=%C3%BC"), ("b&a", "a&b")]
        {
            assert_eq!(named(one), named(other));
        }
        for (one, other) in [("a=b%26c", "a=b&c"), ("a%3Db", "a=b"), ("q=%2B", "q=+"), ("q=%25", "q=%")] {
            assert_ne!(named(one), named(other));
        }
    }

    #[test]
    fn listed_parameters_follow_their_rules() {
        check(&listed(), "", Ok("size=20"));
        check(&listed(), "size=9999&page=2", Ok("size=100&page=2"));
        check(&listed(), "size=-5", Ok("size=1"));
        check(&listed(), "size=007", Ok("size=7"));
        check(&listed(), "utm_source=x", Ok("size=20"));
        check(&listed(), "size=abc", Err(QueryPass::NotANumber));
        check(&listed(), "size=1&size=2", Err(QueryPass::NotANumber));
        check(&listed(), "debug=1", Err(QueryPass::Parameter));
        check(&listed(), "other=1", Err(QueryPass::Parameter));
        check(&listed(), "p%61ge=%31", Ok("p%61ge=%31&size=20"));
        let drops = QueryRules { other: OtherQuery::Drop, ..QueryRules::default() };
        check(&drops, "a=1", Ok("(none)"));
        check(&drops, "", Ok(""));
        let any = QueryRules { rules: vec![("utm_*".into(), QueryRule::Drop)], ..QueryRules::default() };
        check(&any, "b=%7e&utm_x=1&a=1&&b", Ok("b=%7e&a=1&&b"));
    }
}
