//! Structured fields (RFC 9651), parsed to the letter: a field that is not one, in whatever of its lines, is as if it were
//! not there (§4.2). Only what our fields need is kept of values; the rest is checked and forgotten.

use http::{HeaderMap, HeaderValue};

/// A bare item (§3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bare {
    /// §3.3.1.
    Integer(i64),
    /// §3.3.3, without its quotes and escapes.
    String(String),
    /// §3.3.4.
    Token(String),
    /// §3.3.6.
    Boolean(bool),
    /// A decimal, bytes, a date or a display string: fields that we read have none.
    Other,
}

/// A member of a list or dictionary; its parameters are checked and forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Member {
    /// §3.3.
    Item(Bare),
    /// §3.1.1.
    InnerList,
}

/// An item with its parameters (§3.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its value.
    pub bare: Bare,
    /// In the order in which they are written.
    pub parameters: Vec<(String, Bare)>,
    /// As it is written, with its parameters.
    pub text: String,
}

impl Item {
    /// The value of a parameter; of one that is repeated the last counts.
    pub fn parameter(&self, key: &str) -> Option<&Bare> {
        self.parameters.iter().rfind(|(known, _)| known == key).map(|(_, value)| value)
    }
}

/// A list of items with their parameters, without an inner list; `None` if it is none.
pub fn items(written: &[u8]) -> Option<Vec<Item>> {
    let mut parser = Parser::new(written);
    let mut items = Vec::new();
    while parser.begins_member(items.is_empty())? {
        let begin = parser.at;
        let (bare, parameters) = (parser.bare()?, parser.parameters()?);
        items.push(Item { bare, parameters, text: text(&written[begin..parser.at])? });
    }
    Some(items)
}

/// A list (§3.1) over all lines of a field; `None` if it is none. Absent is empty.
pub fn list(headers: &HeaderMap, name: &str) -> Option<Vec<Member>> {
    let text = joined(headers, name);
    let mut parser = Parser::new(&text);
    let mut members = Vec::new();
    while parser.begins_member(members.is_empty())? {
        members.push(parser.member()?);
    }
    Some(members)
}

/// A list of strings and nothing else; `None` if it is none.
pub fn strings(headers: &HeaderMap, name: &str) -> Option<Vec<String>> {
    let string = |member| match member {
        Member::Item(Bare::String(string)) => Some(string),
        Member::Item(_) | Member::InnerList => None,
    };
    list(headers, name)?.into_iter().map(string).collect()
}

/// A dictionary (§3.2) over all lines of a field; `None` if it is none. Of a key that is repeated the last value counts.
pub fn dictionary(headers: &HeaderMap, name: &str) -> Option<Vec<(String, Member)>> {
    let text = joined(headers, name);
    let mut parser = Parser::new(&text);
    let mut members: Vec<(String, Member)> = Vec::new();
    while parser.begins_member(members.is_empty())? {
        let key = parser.key()?;
        let member = match parser.take(b'=') {
            true => parser.member()?,
            false => {
                parser.parameters()?;
                Member::Item(Bare::Boolean(true))
            }
        };
        // §1: this many must be taken, and whoever writes more would keep us searching.
        let is_full = members.len() >= MAX_MEMBERS;
        match members.iter_mut().find(|(known, _)| *known == key) {
            Some((_, value)) => *value = member,
            None if is_full => return None,
            None => members.push((key, member)),
        }
    }
    Some(members)
}

const MAX_MEMBERS: usize = 1024;

/// §4.2: lines are one list.
fn joined(headers: &HeaderMap, name: &str) -> Vec<u8> {
    let lines: Vec<&[u8]> = headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
    lines.join(&b", "[..])
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a [u8]) -> Parser<'a> {
        let mut parser = Parser { text, at: 0 };
        parser.skip(b" ");
        parser
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn skip(&mut self, bytes: &[u8]) {
        self.take_while(|byte| bytes.contains(&byte));
    }

    fn take_while(&mut self, is_wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.text[self.at..];
        let length = rest.iter().position(|&byte| !is_wanted(byte)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// Whether another member follows; `None` where something else does. A comma must have one behind it.
    fn begins_member(&mut self, first: bool) -> Option<bool> {
        if first {
            return Some(self.peek().is_some());
        }
        let before = self.at;
        self.skip(b" \t");
        match self.next() {
            // Spaces at the end are nothing (§4.2, step 6); a tab is.
            None => self.text[before..].iter().all(|&byte| byte == b' ').then_some(false),
            Some(b',') => {
                self.skip(b" \t");
                self.peek().map(|_| true)
            }
            Some(_) => None,
        }
    }

    fn member(&mut self) -> Option<Member> {
        if !self.take(b'(') {
            let item = self.bare()?;
            self.parameters()?;
            return Some(Member::Item(item));
        }
        loop {
            self.skip(b" ");
            if self.take(b')') {
                self.parameters()?;
                return Some(Member::InnerList);
            }
            self.bare()?;
            self.parameters()?;
            if !matches!(self.peek()?, b' ' | b')') {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<Vec<(String, Bare)>> {
        let mut parameters = Vec::new();
        while self.take(b';') {
            self.skip(b" ");
            let key = self.key()?;
            let value = if self.take(b'=') { self.bare()? } else { Bare::Boolean(true) };
            parameters.push((key, value));
        }
        Some(parameters)
    }

    fn key(&mut self) -> Option<String> {
        self.peek().filter(|byte| byte.is_ascii_lowercase() || *byte == b'*')?;
        let is_key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-.*".contains(&b);
        text(self.take_while(is_key))
    }

    fn bare(&mut self) -> Option<Bare> {
        match self.peek()? {
            b'"' => self.string().map(Bare::String),
            b'-' | b'0'..=b'9' => self.number(),
            b'A'..=b'Z' | b'a'..=b'z' | b'*' => {
                let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&b);
                text(self.take_while(is_token)).map(Bare::Token)
            }
            b'?' => {
                self.at += 1;
                match self.next()? {
                    b'0' => Some(Bare::Boolean(false)),
                    b'1' => Some(Bare::Boolean(true)),
                    _ => None,
                }
            }
            b':' => {
                self.at += 1;
                self.take_while(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b));
                self.take(b':').then_some(Bare::Other)
            }
            b'@' => {
                self.at += 1;
                matches!(self.number()?, Bare::Integer(_)).then_some(Bare::Other)
            }
            b'%' => self.display(),
            _ => None,
        }
    }

    fn string(&mut self) -> Option<String> {
        self.at += 1;
        let mut string = String::new();
        loop {
            match self.next()? {
                b'"' => return Some(string),
                b'\\' => string.push(self.next().filter(|byte| b"\"\\".contains(byte))?.into()),
                byte @ b' '..=b'~' => string.push(byte.into()),
                _ => return None,
            }
        }
    }

    fn number(&mut self) -> Option<Bare> {
        let sign = if self.take(b'-') { -1 } else { 1 };
        let whole = self.take_while(|byte| byte.is_ascii_digit());
        if self.take(b'.') {
            let part = self.take_while(|byte| byte.is_ascii_digit());
            return ((1..=12).contains(&whole.len()) && (1..=3).contains(&part.len())).then_some(Bare::Other);
        }
        let number = text(whole).filter(|digits| (1..=15).contains(&digits.len()))?;
        Some(Bare::Integer(sign * number.parse::<i64>().ok()?))
    }

    /// §3.3.8: `%"…"`, with its bytes outside of ASCII percent-encoded in lower case.
    fn display(&mut self) -> Option<Bare> {
        self.at += 1;
        let mut bytes = Vec::new();
        if !self.take(b'"') {
            return None;
        }
        loop {
            match self.next()? {
                b'"' => return std::str::from_utf8(&bytes).ok().map(|_| Bare::Other),
                b'%' => {
                    let hex = self.text.get(self.at..self.at + 2)?;
                    if !hex.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                        return None;
                    }
                    bytes.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
                    self.at += 2;
                }
                byte @ b' '..=b'~' => bytes.push(byte),
                _ => return None,
            }
        }
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x", HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn lists_of_strings() {
        let check = |lines: &[&str], want: Option<&[&str]>| {
            let want = want.map(|want| want.iter().map(|&one| one.to_owned()).collect::<Vec<_>>());
            assert_eq!(strings(&of(lines), "x"), want, "{lines:?}");
        };
        check(&[], Some(&[]));
        check(&[""], Some(&[]));
        check(&["\"a\""], Some(&["a"]));
        check(&["  \"a\" ,\t\"b, c\"  "], Some(&["a", "b, c"]));
        check(&["\"a\"", "\"b\""], Some(&["a", "b"]));
        check(&["\"a\\\"b\\\\c\""], Some(&["a\"b\\c"]));
        check(&["\"a\";x;y=1;z=\"q\", \"b\""], Some(&["a", "b"]));
        check(&["\"\""], Some(&[""]));
        for broken in [
            "a",                   // a token
            "1",                   // an integer
            "(\"a\")",             // an inner list
            "\"a\" \"b\"",         // no comma
            "\"a\",",              // nothing behind it
            ",\"a\"",              // nothing in front of it
            "\"a\",,\"b\"",        // nothing between
            "\"a",                 // open
            "\"a\\b\"",            // §4.2.5: no such escape
            "\"a\tb\"",            // not printable
            "\"ä\"",               // not ASCII
            "\"a\";",              // a parameter without a key
            "\"a\";X=1",           // keys are in lower case
            "\"a\"; x = 1",        // no spaces there
            "'a'",                 // other quotes
            "\"a\", \"b\", token", // one wrong member
            "\"a\"\t",             // a tab at the end
        ] {
            check(&[broken], None);
            check(&["\"good\"", broken], None);
        }
    }

    #[test]
    fn items_keep_their_parameters() {
        let told = items(br#"  cdn; hit; ttl=-3 ,stent;detail="a b";detail=c  "#).unwrap();
        let texts: Vec<&str> = told.iter().map(|item| item.text.as_str()).collect();
        assert_eq!(texts, ["cdn; hit; ttl=-3", r#"stent;detail="a b";detail=c"#]);
        assert_eq!(told[0].parameter("hit"), Some(&Bare::Boolean(true)));
        assert_eq!(told[0].parameter("ttl"), Some(&Bare::Integer(-3)));
        assert_eq!(told[1].parameter("detail"), Some(&Bare::Token("c".into())), "the last");
        assert_eq!(told[1].parameter("ttl"), None);
        for broken in ["a;", "a; B", "(a)", "a b", "a,", "a; b=", "a; b=\"c"] {
            assert_eq!(items(broken.as_bytes()), None, "{broken}");
        }
    }

    #[test]
    fn items_of_every_kind() {
        use Bare::*;
        let check = |line: &str, want: Option<Bare>| {
            let want = want.map(|bare| vec![Member::Item(bare)]);
            assert_eq!(list(&of(&[line]), "x"), want, "{line}");
        };
        check("42", Some(Integer(42)));
        check("-0042", Some(Integer(-42)));
        check("999999999999999", Some(Integer(999_999_999_999_999)));
        check("1000000000000000", None); // §3.3.1: fifteen digits
        check("-", None);
        check("+1", None);
        check("1.5", Some(Other));
        check("1.", None);
        check("1.1234", None);
        check("tok*/en:1", Some(Token("tok*/en:1".into())));
        check("*", Some(Token("*".into())));
        check("?1", Some(Boolean(true)));
        check("?0;a", Some(Boolean(false)));
        check("?2", None);
        check(":YQ==:", Some(Other));
        check(":YQ==", None);
        check("@1659578233", Some(Other));
        check("@1.5", None);
        check("%\"f%c3%bc\"", Some(Other));
        check("%\"f%C3%bc\"", None);
        check("%\"f%ff\"", None);
        assert_eq!(list(&of(&["(a  b;c \"d\");e, ()"]), "x"), Some(vec![Member::InnerList; 2]));
        assert_eq!(list(&of(&["(a\"b\")"]), "x"), None);
        assert_eq!(list(&of(&["(a"]), "x"), None);
    }
    #[test]
    fn dictionaries() {
        let read = |lines: &[&str]| dictionary(&of(lines), "x");
        let item = |key: &str, bare| (key.to_owned(), Member::Item(bare));
        assert_eq!(
            read(&["max-age=60, must-revalidate", "private=?0"]),
            Some(vec![
                item("max-age", Bare::Integer(60)),
                item("must-revalidate", Bare::Boolean(true)),
                item("private", Bare::Boolean(false))
            ])
        );
        assert_eq!(read(&["a=1, b, a=2"]), Some(vec![item("a", Bare::Integer(2)), item("b", Bare::Boolean(true))]));
        assert_eq!(read(&["a;x=1, b=(1 2)"]).map(|read| read.len()), Some(2));
        assert_eq!(read(&[]), Some(vec![]));
        for broken in ["A=1", "a=", "a =1", "a= 1", "a,", "1", "a=1 b=2", "max-age=60;"] {
            assert_eq!(read(&[broken]), None, "{broken}");
        }
    }
}
