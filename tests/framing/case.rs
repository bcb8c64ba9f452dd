//! One case: the bytes that a client sends, and what may become of them. Where the RFCs leave a choice, each choice is one
//! [`Want`], and one of them must come true as a whole.

/// The field without which nothing goes.
pub const HOST: &str = "Host: h\r\n";

/// A request that nobody made: it stands where only a misreading finds it.
pub const EVIL: &str = "GET /evil HTTP/1.1\r\nHost: h\r\n\r\n";

/// What a client sends and what may come of it.
pub struct Case {
    pub name: String,
    /// What decides it.
    pub section: &'static str,
    pub bytes: Vec<u8>,
    /// What the client does when all is sent.
    pub end: End,
    /// One of these.
    pub wants: Vec<Want>,
    /// Fields that must not reach the origin.
    pub without: Vec<&'static str>,
    /// Lines that must reach it.
    pub with: Vec<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It waits.
    Waits,
    /// It closes its side.
    HalfClose,
}

/// One thing that may come of a case.
#[derive(Debug)]
pub struct Want {
    /// Final answers in order; each has one of these statuses.
    pub statuses: Vec<Vec<u16>>,
    pub after: After,
    /// What reached the origin whole, in order: method, target, body.
    pub requests: Vec<(String, String, String)>,
    pub begun: Begun,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// The next request on it is answered.
    Open,
    Closed,
    Either,
}

/// Whether a request that was not let through may have reached the origin in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// Its body broke off on the way.
    Perhaps,
    Never,
}

/// A case with exact bytes: each character up to U+00FF is one byte.
pub fn case(name: impl Into<String>, section: &'static str, text: impl AsRef<str>) -> Case {
    Case {
        name: name.into(),
        section,
        bytes: exact(text.as_ref()),
        end: End::Waits,
        wants: Vec::new(),
        without: Vec::new(),
        with: Vec::new(),
    }
}

/// `GET /one` with these lines after `Host`.
pub fn get(name: impl Into<String>, section: &'static str, lines: &str) -> Case {
    case(name, section, format!("GET /one HTTP/1.1\r\n{HOST}{lines}\r\n"))
}

/// `POST /one` with these lines after `Host`, and what follows its head.
pub fn post(name: impl Into<String>, section: &'static str, lines: &str, body: &str) -> Case {
    case(name, section, format!("POST /one HTTP/1.1\r\n{HOST}{lines}\r\n{body}"))
}

/// Each character up to U+00FF is one byte, others are UTF-8.
pub fn exact(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        match u8::try_from(u32::from(character)) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

impl Case {
    /// Refused with one of these; nothing of it is forwarded, and the connection closes.
    pub fn refused(self, statuses: &[u16]) -> Case {
        self.wanting(&[statuses], After::Closed, &[])
    }

    /// Refused in its body, whose beginning may be on its way already.
    pub fn broken_off(self, statuses: &[u16]) -> Case {
        let mut case = self.refused(statuses);
        case.last_want().begun = Begun::Perhaps;
        case
    }

    /// The connection closes without a word.
    pub fn closed(self) -> Case {
        let mut case = self.wanting(&[], After::Closed, &[]);
        case.last_want().begun = Begun::Perhaps;
        case
    }

    /// Reaches the origin as this one request and is answered; the connection goes on.
    pub fn passed(self, method: &str, target: &str, body: &str) -> Case {
        self.wanting(&[&[200]], After::Open, &[(method, target, body)])
    }

    /// As [`Case::passed`], on a connection that may close.
    pub fn passed_once(self, method: &str, target: &str, body: &str) -> Case {
        self.wanting(&[&[200]], After::Either, &[(method, target, body)])
    }

    /// As [`Case::passed`], on a connection that must close.
    pub fn passed_last(self, method: &str, target: &str, body: &str) -> Case {
        self.wanting(&[&[200]], After::Closed, &[(method, target, body)])
    }

    /// These reach the origin in this order, and the connection goes on.
    pub fn all(self, requests: &[(&str, &str, &str)]) -> Case {
        let statuses = vec![&[200][..]; requests.len()];
        self.wanting(&statuses, After::Open, requests)
    }

    /// One thing that may come of it.
    pub fn wanting(mut self, statuses: &[&[u16]], after: After, requests: &[(&str, &str, &str)]) -> Case {
        let statuses = statuses.iter().map(|some| some.to_vec()).collect();
        let owned = |&(method, target, body): &(&str, &str, &str)| (method.into(), target.into(), body.into());
        let requests = requests.iter().map(owned).collect();
        self.wants.push(Want { statuses, after, requests, begun: Begun::Never });
        self
    }

    /// The client closes its side when all is sent.
    pub fn half_closed(mut self) -> Case {
        self.end = End::HalfClose;
        self
    }

    /// The origin must not see this field.
    pub fn without(mut self, name: &'static str) -> Case {
        self.without.push(name);
        self
    }

    /// The origin must see this line, its name in lower case.
    pub fn with(mut self, line: &'static str) -> Case {
        self.with.push(line);
        self
    }

    fn last_want(&mut self) -> &mut Want {
        self.wants.last_mut().expect("there is one")
    }
}
