//! Which query parameters belong to a key, and in which form: listed ones by their rule, the others as the route says.
//!
//! What is keyed is what is sent: the canonical query is sorted by name and is the one that a cached fetch carries.

/// The `query:` of a route. Without it every parameter is keyed, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryRules {
    /// Rules by name, in the order of the file; a name may end in `*`.
    pub rules: Vec<(String, QueryRule)>,
    /// What happens to a parameter that no rule names.
    pub other: OtherQuery,
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
    /// Writes the canonical query, without `?`, to `out`: what is keyed and what a cached fetch sends.
    /// Nothing is written when nothing of the query remains.
    pub fn canonical(&self, raw: Option<&str>, out: &mut String) -> Result<(), QueryPass> {
        let raw = raw.unwrap_or("");
        if self.rules.is_empty() && self.other == OtherQuery::Any && !raw.contains(['&', '%']) {
            out.push_str(raw);
            return Ok(());
        }
        let mut kept: Vec<String> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (index, token) in raw.split('&').filter(|token| !token.is_empty()).enumerate() {
            if index >= MAX_PARAMETERS {
                return Err(QueryPass::TooMany);
            }
            let token = normal(token);
            let (name, value) = token.split_once('=').unwrap_or((&token, ""));
            match self.rule(name) {
                None => match self.other {
                    OtherQuery::Any => kept.push(token),
                    OtherQuery::Drop => {}
                    OtherQuery::Pass => return Err(QueryPass::Parameter),
                },
                Some((_, QueryRule::Any)) => kept.push(token),
                Some((_, QueryRule::Drop)) => {}
                Some((_, QueryRule::Pass)) => return Err(QueryPass::Parameter),
                Some((rule, QueryRule::Number { min, max, .. })) => {
                    if seen.contains(&rule) {
                        return Err(QueryPass::NotANumber);
                    }
                    seen.push(rule);
                    let number: i64 = value.parse().map_err(|_| QueryPass::NotANumber)?;
                    let number = number.max(min.unwrap_or(i64::MIN)).min(max.unwrap_or(i64::MAX));
                    kept.push(format!("{name}={number}"));
                }
            }
        }
        for (name, rule) in &self.rules {
            if let QueryRule::Number { default: Some(default), .. } = rule
                && !seen.contains(&name.as_str())
            {
                kept.push(format!("{name}={default}"));
            }
        }
        kept.sort_by(|a, b| name_of(a).cmp(name_of(b)));
        for (index, token) in kept.iter().enumerate() {
            if index > 0 {
                out.push('&');
            }
            out.push_str(token);
        }
        Ok(())
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
        self.rules.iter().find(|(pattern, _)| crate::identity::glob(pattern, name)).map(|(p, r)| (p.as_str(), r))
    }
}

/// All values of a parameter, decoded, for tags: origins differ in which of several they take.
pub fn parameters(query: &str, name: &str) -> Vec<String> {
    let pairs = query.split('&').filter_map(|token| token.split_once('='));
    let own = pairs.filter(|(key, value)| *crate::tag::decode(key) == *name && !value.is_empty());
    own.map(|(_, value)| crate::tag::decode(&value.replace('+', " ")).into_owned()).collect()
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
        }
    }

    fn check(rules: &QueryRules, raw: &str, want: Result<&str, QueryPass>) {
        let mut out = String::new();
        let got = rules.canonical(Some(raw), &mut out).map(|()| out.as_str());
        assert_eq!(got, want, "{raw}");
    }

    #[test]
    fn without_rules_every_parameter_is_keyed_and_sorted() {
        let all = QueryRules::default();
        check(&all, "", Ok(""));
        check(&all, "a=1", Ok("a=1"));
        check(&all, "b=2&a=1&b=1", Ok("a=1&b=2&b=1"));
        check(&all, "%61=%2f%7E", Ok("a=%2F~"));
        check(&all, "a=%zz&a", Ok("a=%zz&a"));
        check(&all, &"a&".repeat(MAX_PARAMETERS + 1), Err(QueryPass::TooMany));
    }

    #[test]
    fn listed_parameters_follow_their_rules() {
        check(&listed(), "", Ok("size=20"));
        check(&listed(), "size=9999&page=2", Ok("page=2&size=100"));
        check(&listed(), "size=-5", Ok("size=1"));
        check(&listed(), "size=007", Ok("size=7"));
        check(&listed(), "utm_source=x", Ok("size=20"));
        check(&listed(), "size=abc", Err(QueryPass::NotANumber));
        check(&listed(), "size=1&size=2", Err(QueryPass::NotANumber));
        check(&listed(), "debug=1", Err(QueryPass::Parameter));
        check(&listed(), "other=1", Err(QueryPass::Parameter));
        check(&listed(), "p%61ge=1", Ok("page=1&size=20"));
    }
}
