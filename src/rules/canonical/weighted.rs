//! Lists of names with weights: `Accept-Encoding` (RFC 9110 §12.5.3) and `Accept-Language` (§12.5.4).
//!
//! Names are alike in any case, `q=1` is what stands for itself, zeros at a weight's end say nothing, and the order says
//! nothing of members of different weight. Of those of one weight it may: recipients take it for priority.

use smallvec::SmallVec;

use crate::entry::key::KeyBuf;

/// A list's members in the client's order.
pub(super) type Members<'a> = SmallVec<[WeightedMember<'a>; 16]>;

/// A name and its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WeightedMember<'a> {
    pub name: &'a [u8],
    /// In thousandths (§12.4.2).
    pub weight: u16,
}

/// More members than anybody means are left as they are.
const MAX_MEMBERS: usize = 32;

/// Whether a list is one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Readable {
    Yes,
    No,
}

/// Writes a list in canonical form: the heaviest first, those of one weight in the client's order.
pub(super) fn write(out: &mut KeyBuf, list: &[u8]) -> Readable {
    let list: KeyBuf = list.iter().map(u8::to_ascii_lowercase).collect();
    let Some(mut members) = members(&list) else { return Readable::No };
    // Those of one weight stay in their order, which says something to many origins (RFC 9110 §12.5.4).
    members.sort_by_key(|member| std::cmp::Reverse(member.weight));
    let mut seen = Members::new();
    members.retain(|member| {
        let is_new = !seen.contains(member);
        seen.push(*member);
        is_new
    });
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b", ");
        }
        out.extend_from_slice(member.name);
        write_weight(out, member.weight);
    }
    Readable::Yes
}

fn write_weight(out: &mut KeyBuf, weight: u16) {
    if weight == 1000 {
        return;
    }
    out.extend_from_slice(b";q=0");
    let digits = [weight / 100, weight / 10 % 10, weight % 10].map(|digit| b'0' + digit as u8);
    let said = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    if said > 0 {
        out.push(b'.');
        out.extend_from_slice(&digits[..said]);
    }
}

/// Reads a list; `None`: it is none, or has too many members.
pub(super) fn members(list: &[u8]) -> Option<Members<'_>> {
    let mut members = Members::new();
    // RFC 9110 §5.6.1.2: empty ones are ignored.
    for member in list.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty()) {
        let mut parts = member.splitn(2, |b| *b == b';');
        let name = parts.next()?.trim_ascii_end();
        let weight = parts.next().map_or(Some(1000), |parameter| weight(parameter.trim_ascii()))?;
        let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
        if name.is_empty() || !name.iter().all(is_name) || members.len() == MAX_MEMBERS {
            return None;
        }
        members.push(WeightedMember { name, weight });
    }
    Some(members)
}

/// `q=0.5`, in thousandths.
pub(super) fn weight(parameter: &[u8]) -> Option<u16> {
    let [b'q' | b'Q', b'=', whole @ (b'0' | b'1'), fraction @ ..] = parameter else { return None };
    let digits = match fraction {
        [] => &[],
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    let mut weight = u16::from(whole - b'0') * 1000;
    for (digit, worth) in digits.iter().zip([100, 10, 1]) {
        weight += u16::from(digit.is_ascii_digit().then(|| digit - b'0')?) * worth;
    }
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_mean_the_same_are_written_alike() {
        let check = |list: &str, want: Option<&str>| {
            let mut out = KeyBuf::new();
            let readable = write(&mut out, list.as_bytes());
            let got = (readable == Readable::Yes).then(|| String::from_utf8(out.to_vec()).unwrap());
            assert_eq!(got.as_deref(), want, "{list}");
        };
        check("", Some(""));
        check("gzip", Some("gzip"));
        check("GZip , br", Some("gzip, br"));
        check("br,gzip", Some("br, gzip"));
        check("gzip;q=1, br;q=1.000, zstd;q=1.", Some("gzip, br, zstd"));
        check("en;q=0.50, no ; Q=0.500,de;q=0.5", Some("en;q=0.5, no;q=0.5, de;q=0.5"));
        check("en;q=0.8, no", Some("no, en;q=0.8"));
        check("*;q=0, identity;q=0.001", Some("identity;q=0.001, *;q=0"));
        check("a;q=0.000, b;q=0., c;q=0", Some("a;q=0, b;q=0, c;q=0"));
        check(",a,, b ,", Some("a, b"));
        check("a, A, a;q=0.1", Some("a, a;q=0.1"));
        check("b, a, b", Some("b, a"));
        check("fr, en", Some("fr, en"));
        check("a;q=0.05", Some("a;q=0.05"));
        for unclear in [
            "a;q",
            "a;q=",
            "a;q=2",
            "a;q=1.001",
            "a;q=0.1234",
            "a;q=.5",
            "a;q =0.5",
            "a;x=1",
            "a;q=0.5;x=1",
            "a b",
            ";q=1",
        ] {
            check(unclear, None);
        }
        check(&"a,".repeat(32), Some("a"));
        check(&"a,".repeat(33), None);
    }
}
