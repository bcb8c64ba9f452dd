//! `Accept-Encoding`, reduced to those of a route's codings that the client takes (RFC 9110 §12.5.3).

use crate::entry::key::KeyBuf;
use crate::rules::canonical::weighted::{WeightedMember, members};

/// Writes the codings in the route's order; `identity` where there are none. Whoever says nothing is sent no coding: the
/// RFC would let them have any, and most of them could not read it.
pub(super) fn write_accepted(out: &mut KeyBuf, served: &[String], wanted: Option<&[u8]>) {
    let wanted = wanted.and_then(members).unwrap_or_default();
    let accepted = served.iter().filter(|coding| weight(coding, &wanted).is_some_and(|weight| weight > 0));
    for (index, coding) in accepted.enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(coding.as_bytes());
    }
    match (weight("identity", &wanted), out.is_empty()) {
        (Some(0), true) => out.extend_from_slice(b"identity;q=0"),
        (Some(0), false) => out.extend_from_slice(b", identity;q=0"),
        (_, true) => out.extend_from_slice(b"identity"),
        (_, false) => {}
    }
}

/// The weight that a coding is given, by its name or by `*`. The older names of two are the same codings (§8.4.1).
fn weight(coding: &str, wanted: &[WeightedMember<'_>]) -> Option<u16> {
    let is = |member: &&WeightedMember<'_>| {
        let name = match member.name {
            [b'x' | b'X', b'-', rest @ ..] => rest,
            name => name,
        };
        name.eq_ignore_ascii_case(coding.as_bytes())
    };
    let any = || wanted.iter().find(|member| member.name == b"*");
    wanted.iter().find(is).or_else(any).map(|member| member.weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codings_that_both_have() {
        let check = |wanted: Option<&str>, want: &str| {
            let served = ["br", "gzip"].map(str::to_owned);
            let mut out = KeyBuf::new();
            write_accepted(&mut out, &served, wanted.map(str::as_bytes));
            assert_eq!(String::from_utf8(out.to_vec()).unwrap(), want, "{wanted:?}");
        };
        check(None, "identity");
        check(Some(""), "identity"); // RFC 9110 §12.5.3: an empty list wants no coding
        check(Some("gzip, deflate, br, zstd"), "br, gzip");
        check(Some("GZIP;q=0.1"), "gzip");
        check(Some("x-gzip"), "gzip"); // §8.4.1.3
        check(Some("deflate"), "identity");
        check(Some("br;q=0, gzip"), "gzip"); // §12.4.2
        check(Some("*"), "br, gzip");
        check(Some("*, br;q=0"), "gzip");
        check(Some("*;q=0"), "identity;q=0");
        check(Some("gzip, *;q=0"), "gzip, identity;q=0");
        check(Some("gzip, identity;q=0"), "gzip, identity;q=0");
        check(Some("identity;q=0, *"), "br, gzip, identity;q=0");
        check(Some("gzip, identity;q=0.5"), "gzip");
        check(Some("gzip;;"), "identity");
    }
}
