//! What templates ask of JSON, picked out of it while it comes.
//!
//! No tree is built: a tree takes fifty times the length of its text. What is held is what was asked for, within [`MAX_TAGS`] values
//! of [`MAX_TAG_BYTES`] for each path, one token of at most `MAX_TOKEN` bytes, and a frame for each of at most `MAX_DEPTH` levels. It
//! takes the text in pieces as they arrive, so that no worker is held for the length of a whole body.
//!
//! Text that is not JSON tells nothing, and a name that stands twice in one object tells nothing either: readers differ in which of the two they take.

use smallvec::SmallVec;

use super::tag_template::Unknown;
use crate::entry::tag::{MAX_TAG_BYTES, MAX_TAGS};

/// The deepest nesting that is read.
const MAX_DEPTH: usize = 128;

/// The longest name or value that is looked at, in bytes, as written: each byte of a tag may be written in six.
const MAX_TOKEN: usize = 8 * MAX_TAG_BYTES;

/// The values of some fields of one JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picked(Vec<Field>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    path: Vec<String>,
    found: Result<Vec<String>, Unknown>,
}

impl Picked {
    /// The values that a dotted path finds, through arrays. `null` is no value; a field that is not there is unknown.
    pub fn values(&self, path: &[String]) -> Result<Vec<String>, Unknown> {
        self.0.iter().find(|field| field.path == path).map_or(Err(Unknown), |field| field.found.clone())
    }

    fn note(&mut self, field: usize, value: Result<String, Unknown>) {
        let Ok(found) = &mut self.0[field].found else { return };
        match value {
            Ok(value) if found.len() < MAX_TAGS && value.len() <= MAX_TAG_BYTES => found.push(value),
            _ => self.0[field].found = Err(Unknown),
        }
    }
}

/// Picks some fields out of a whole text; `None`: it is not JSON.
pub fn pick<'p>(text: &[u8], paths: impl Iterator<Item = &'p Vec<String>>) -> Option<Picked> {
    let mut picker = Picker::new(paths);
    picker.read(text);
    picker.finish()
}

/// Reads one JSON text.
#[derive(Debug)]
pub struct Picker {
    picked: Picked,
    /// The arrays and objects that are open.
    open: Vec<Frame>,
    /// What the value that comes next is asked by.
    asked: Asked,
    state: State,
    /// The name or value that is being read, if somebody asks for it.
    token: Vec<u8>,
}

/// Who asks for a value: the index of a path and how many of its names lie behind.
type Asked = SmallVec<[(usize, usize); 4]>;

#[derive(Debug)]
struct Frame {
    kind: Kind,
    asked: Asked,
    /// Which of `asked` were met.
    met: SmallVec<[bool; 4]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Array,
    Object,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value.
    Value,
    /// A value or the end of its array.
    FirstItem,
    /// A name or the end of its object.
    FirstName,
    Name,
    Colon,
    /// A comma or an end.
    After,
    Text(Text, Escape),
    Number(Number),
    /// The rest of a word.
    Word(&'static [u8]),
    /// It is not JSON.
    Wrong,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Name,
    Value,
}

/// How far an escape has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Begun,
    /// Hexadecimal digits that are yet to come.
    Digits(u8),
}

/// How far a number has come (RFC 8259 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Whole,
    Point,
    Fraction,
    Exponent,
    Sign,
    Power,
}

impl Picker {
    /// Nothing is read yet.
    pub fn new<'p>(paths: impl Iterator<Item = &'p Vec<String>>) -> Picker {
        let mut picked = Picked(Vec::new());
        for path in paths {
            if picked.0.iter().all(|field| field.path != *path) {
                picked.0.push(Field { path: path.clone(), found: Ok(Vec::new()) });
            }
        }
        let asked = (0..picked.0.len()).map(|field| (field, 0)).collect();
        Picker { picked, open: Vec::new(), asked, state: State::Value, token: Vec::new() }
    }

    /// The next piece of the text.
    pub fn read(&mut self, piece: &[u8]) {
        let mut at = 0;
        while at < piece.len() {
            at += match self.state {
                State::Wrong => return,
                State::Text(text, escape) => self.text(text, escape, &piece[at..]),
                State::Number(so_far) => self.number(so_far, piece[at]),
                _ => {
                    self.byte(piece[at]);
                    1
                }
            };
        }
    }

    /// The text is over.
    pub fn finish(mut self) -> Option<Picked> {
        if let State::Number(so_far) = self.state {
            self.end_number(so_far);
        }
        (self.state == State::After && self.open.is_empty()).then_some(self.picked)
    }

    fn byte(&mut self, byte: u8) {
        if let State::Word(rest) = self.state {
            return self.word(rest, byte);
        }
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return;
        }
        match (self.state, byte) {
            (State::FirstItem, b']') => self.close(Kind::Array),
            (State::Value | State::FirstItem, _) => self.begin(byte),
            (State::FirstName, b'}') => self.close(Kind::Object),
            (State::FirstName | State::Name, b'"') => self.begin_text(Text::Name),
            (State::Colon, b':') => self.state = State::Value,
            (State::After, b',') => self.comma(),
            (State::After, b']') => self.close(Kind::Array),
            (State::After, b'}') => self.close(Kind::Object),
            _ => self.state = State::Wrong,
        }
    }

    fn begin(&mut self, byte: u8) {
        self.token.clear();
        match byte {
            b'{' => self.open(Kind::Object),
            b'[' => self.open(Kind::Array),
            b'"' => self.begin_text(Text::Value),
            b't' => self.begin_word(b"true"),
            b'f' => self.begin_word(b"false"),
            b'n' => self.begin_word(b"null"),
            b'-' => self.begin_number(Number::Minus, byte),
            b'0' => self.begin_number(Number::Zero, byte),
            b'1'..=b'9' => self.begin_number(Number::Whole, byte),
            _ => self.state = State::Wrong,
        }
    }

    fn open(&mut self, kind: Kind) {
        if self.open.len() == MAX_DEPTH {
            self.state = State::Wrong;
            return;
        }
        let mut asked = std::mem::take(&mut self.asked);
        if kind == Kind::Object {
            let Picked(fields) = &mut self.picked;
            asked.retain(|(field, depth)| {
                let goes_on = *depth < fields[*field].path.len();
                if !goes_on {
                    fields[*field].found = Err(Unknown);
                }
                goes_on && fields[*field].found.is_ok()
            });
        }
        self.state = match kind {
            Kind::Array => State::FirstItem,
            Kind::Object => State::FirstName,
        };
        self.asked = if kind == Kind::Array { asked.clone() } else { Asked::new() };
        let met = SmallVec::from_elem(false, asked.len());
        self.open.push(Frame { kind, asked, met });
    }

    fn close(&mut self, kind: Kind) {
        match self.open.pop() {
            Some(frame) if frame.kind == kind => {
                if kind == Kind::Object {
                    let missing = frame.asked.iter().zip(frame.met).filter(|(_, met)| !met);
                    missing.for_each(|((field, _), _)| self.picked.note(*field, Err(Unknown)));
                }
                self.state = State::After;
            }
            _ => self.state = State::Wrong,
        }
    }

    fn comma(&mut self) {
        self.state = match self.open.last() {
            Some(Frame { kind: Kind::Object, .. }) => State::Name,
            Some(Frame { kind: Kind::Array, asked, .. }) => {
                self.asked.clone_from(asked);
                State::Value
            }
            None => State::Wrong,
        };
    }

    fn begin_text(&mut self, text: Text) {
        self.token.clear();
        self.keep(text, b"\"");
        self.state = State::Text(text, Escape::None);
    }

    /// Goes on in a name or a text; how many bytes of it.
    fn text(&mut self, text: Text, escape: Escape, piece: &[u8]) -> usize {
        let byte = piece[0];
        let next = match escape {
            Escape::None => {
                let plain = piece.iter().position(|&b| b == b'"' || b == b'\\' || b < b' ').unwrap_or(piece.len());
                if plain > 0 {
                    self.keep(text, &piece[..plain]);
                    return plain;
                }
                match byte {
                    b'"' => {
                        self.end_text(text);
                        return 1;
                    }
                    b'\\' => Some(Escape::Begun),
                    _ => None,
                }
            }
            Escape::Begun => match byte {
                b'u' => Some(Escape::Digits(4)),
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(Escape::None),
                _ => None,
            },
            Escape::Digits(left) if byte.is_ascii_hexdigit() => {
                Some(if left == 1 { Escape::None } else { Escape::Digits(left - 1) })
            }
            Escape::Digits(_) => None,
        };
        self.keep(text, &piece[..1]);
        self.state = next.map_or(State::Wrong, |escape| State::Text(text, escape));
        1
    }

    /// What nobody asks for is not kept, nor what is too long to be asked for; of that it is seen that it was.
    fn keep(&mut self, text: Text, bytes: &[u8]) {
        let is_asked = match text {
            Text::Name => self.open.last().is_some_and(|frame| !frame.asked.is_empty()),
            Text::Value => !self.asked.is_empty(),
        };
        if is_asked {
            let room = (MAX_TOKEN + 1).saturating_sub(self.token.len());
            self.token.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn end_text(&mut self, text: Text) {
        self.keep(text, b"\"");
        match text {
            Text::Name => self.end_name(),
            Text::Value => {
                let value = self.token_as::<String>();
                self.end_scalar(value.map(Some));
            }
        }
    }

    fn end_name(&mut self) {
        self.state = State::Colon;
        self.asked.clear();
        let name = self.token_as::<String>();
        let Some(frame) = self.open.last_mut().filter(|frame| !frame.asked.is_empty()) else { return };
        for (&(field, depth), met) in frame.asked.iter().zip(&mut frame.met) {
            let is_it = match &name {
                Ok(name) => self.picked.0[field].path.get(depth) == Some(name),
                // Whether it is asked for cannot be told.
                Err(Unknown) => {
                    self.picked.note(field, Err(Unknown));
                    continue;
                }
            };
            if is_it && std::mem::replace(met, true) {
                self.picked.note(field, Err(Unknown));
            } else if is_it {
                self.asked.push((field, depth + 1));
            }
        }
    }

    fn begin_word(&mut self, word: &'static [u8]) {
        self.keep(Text::Value, word);
        self.state = State::Word(&word[1..]);
    }

    fn word(&mut self, rest: &'static [u8], byte: u8) {
        match rest.split_first() {
            Some((wanted, rest)) if *wanted == byte => self.state = State::Word(rest),
            _ => self.state = State::Wrong,
        }
        if self.state == State::Word(b"") {
            let value = match &*self.token {
                b"null" => None,
                word => Some(String::from_utf8_lossy(word).into_owned()),
            };
            self.end_scalar(Ok(value));
        }
    }

    fn begin_number(&mut self, so_far: Number, byte: u8) {
        self.keep(Text::Value, &[byte]);
        self.state = State::Number(so_far);
    }

    /// Goes on in a number; the byte behind it is not its own.
    fn number(&mut self, so_far: Number, byte: u8) -> usize {
        let Some(next) = so_far.then(byte) else {
            self.end_number(so_far);
            return 0;
        };
        self.keep(Text::Value, &[byte]);
        self.state = State::Number(next);
        1
    }

    fn end_number(&mut self, so_far: Number) {
        if !matches!(so_far, Number::Zero | Number::Whole | Number::Fraction | Number::Power) {
            self.state = State::Wrong;
            return;
        }
        let value = if self.asked.is_empty() { Err(Unknown) } else { self.token_as::<serde_json::Number>() };
        self.end_scalar(value.map(|number| Some(number.to_string())));
    }

    /// A value that is neither an array nor an object; `None` is `null`.
    fn end_scalar(&mut self, value: Result<Option<String>, Unknown>) {
        self.state = State::After;
        for (field, depth) in std::mem::take(&mut self.asked) {
            let is_here = depth == self.picked.0[field].path.len();
            match &value {
                Ok(None) if is_here => {}
                Ok(Some(value)) if is_here => self.picked.note(field, Ok(value.clone())),
                _ => self.picked.note(field, Err(Unknown)),
            }
        }
    }

    fn token_as<T: serde::de::DeserializeOwned>(&self) -> Result<T, Unknown> {
        match self.token.len() <= MAX_TOKEN {
            true => serde_json::from_slice(&self.token).map_err(|_| Unknown),
            false => Err(Unknown),
        }
    }
}

impl Number {
    /// With one more byte; `None`: it ends before that.
    fn then(self, byte: u8) -> Option<Number> {
        use Number::{Exponent, Fraction, Minus, Point, Power, Sign, Whole, Zero};
        match (self, byte) {
            (Minus, b'0') => Some(Zero),
            (Minus, b'1'..=b'9') | (Whole, b'0'..=b'9') => Some(Whole),
            (Zero | Whole, b'.') => Some(Point),
            (Point | Fraction, b'0'..=b'9') => Some(Fraction),
            (Zero | Whole | Fraction, b'e' | b'E') => Some(Exponent),
            (Exponent, b'+' | b'-') => Some(Sign),
            (Exponent | Sign | Power, b'0'..=b'9') => Some(Power),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
