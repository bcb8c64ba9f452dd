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
    Number { default: Option<i64>, min: Option<i64>, max: Option<i64> },
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
