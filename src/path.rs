//! Request paths after RFC 3986 §6.2.2 normalisation, and whether they can be read in two ways.

/// A path in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath {}
