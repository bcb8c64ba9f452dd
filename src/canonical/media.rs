//! `Accept` (RFC 9110 §12.5.1) and `Accept-Charset` (§12.5.2): names in lower case and no optional whitespace, in the client's
//! order. Values of parameters stay as they are: whether their case says something is each parameter's own affair (§5.6.6).

use crate::key::KeyBuf;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Name,
    Value,
    Quotes,
    /// After a backslash in quotes.
    Escape,
}

/// Writes all lines as one list.
pub(super) fn write<'a>(out: &mut KeyBuf, lines: impl Iterator<Item = &'a [u8]>) {
    let start = out.len();
    let separate = |out: &mut KeyBuf| {
        // RFC 9110 §5.6.1.2: empty members are none.
        if out.len() > start && out.last() != Some(&b',') {
            out.push(b',');
        }
    };
    for line in lines {
        separate(out);
        let mut within = Within::Name;
        for &byte in line {
            match (within, byte) {
                (Within::Escape, _) => within = Within::Quotes,
                (Within::Quotes, b'\\') => within = Within::Escape,
                (Within::Quotes, b'"') => within = Within::Value,
                (Within::Quotes, _) => {}
                (_, b' ' | b'\t') => continue,
                (_, b',') => {
                    within = Within::Name;
                    separate(out);
                    continue;
                }
                (_, b'"') => within = Within::Quotes,
                (_, b';') => within = Within::Name,
                (_, b'=') => within = Within::Value,
                (Within::Name, _) => {
                    out.push(byte.to_ascii_lowercase());
                    continue;
                }
                (Within::Value, _) => {}
            }
            out.push(byte);
        }
    }
    if out.len() > start && out.last() == Some(&b',') {
        out.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_mean_the_same_are_written_alike() {
        let check = |lines: &[&str], want: &str| {
            let mut out = KeyBuf::new();
            write(&mut out, lines.iter().map(|line| line.as_bytes()));
            assert_eq!(String::from_utf8(out.to_vec()).unwrap(), want, "{lines:?}");
        };
        check(&["*/*"], "*/*");
        check(&["Text/HTML , application/json; Q=0.5"], "text/html,application/json;q=0.5");
        check(&["a/b", "c/d"], "a/b,c/d");
        check(&["b/b, a/a"], "b/b,a/a"); // some origins take the first that they have
        check(&[",a/b,, c/d ,"], "a/b,c/d");
        check(&["a/b; Version=R4, C/D"], "a/b;version=R4,c/d");
        check(&["a/b; x=\"A, b\" ; Y=z"], "a/b;x=\"A, b\";y=z");
        check(&["a/b;x=\"A\\\" , B\", C/D"], "a/b;x=\"A\\\" , B\",c/d");
        check(&["a/b;x=\"A\\\\\" , B/B"], "a/b;x=\"A\\\\\",b/b");
        check(&["a/b;x=\"open", "C/D"], "a/b;x=\"open,c/d");
        check(&[""], "");
        check(&["UTF-8, ISO-8859-1;q=0.7"], "utf-8,iso-8859-1;q=0.7");
    }
}
