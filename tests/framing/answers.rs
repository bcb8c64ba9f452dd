//! Answers that two parties could read differently: the client gets 502 or a body that is visibly cut, nothing is kept, the
//! connection is not used again, and the next request gets its own answer (RFC 9112 §4 to §7 and §9, RFC 9110 §15).

use crate::answering::{Answering, Connection, Script, Then};
use crate::case::exact;
use crate::scenario::Stent;
use crate::wire::{Answer, Got, MarkerFault, Wire};

/// One way to answer.
struct Case {
    name: &'static str,
    section: &'static str,
    bytes: Vec<u8>,
    then: Then,
    connection: Connection,
    method: &'static str,
    wants: Vec<Want>,
}

/// What the client may get of it.
#[derive(Debug, PartialEq, Eq)]
enum Want {
    /// 502, or 504 where nothing comes.
    Refused,
    /// A body without its end, or an end before anything of it.
    Cut,
    /// This status and body.
    Passed(u16, &'static str),
}

fn case(name: &'static str, section: &'static str, text: &str) -> Case {
    let (then, connection) = (Then::Stays, Connection::Spoilt);
    Case { name, section, bytes: exact(text), then, connection, method: "GET", wants: Vec::new() }
}

impl Case {
    fn refused(mut self) -> Case {
        self.wants.push(Want::Refused);
        self
    }

    fn cut(mut self) -> Case {
        self.wants.push(Want::Cut);
        self
    }

    fn passed(mut self, status: u16, body: &'static str) -> Case {
        self.wants.push(Want::Passed(status, body));
        self
    }

    fn then(mut self, then: Then) -> Case {
        self.then = then;
        self
    }

    /// Nothing is wrong with it: the connection may go on.
    fn clean(mut self) -> Case {
        self.connection = Connection::Clean;
        self
    }

    fn to(mut self, method: &'static str) -> Case {
        self.method = method;
        self
    }

    fn judge(&self, answer: &Answer) -> Result<(), String> {
        if !self.wants.iter().any(|want| is(answer, want)) {
            return Err(format!("the client got {answer:?}, not one of {:?}", self.wants));
        }
        let merged = ["content-length", "transfer-encoding", "set-cookie"];
        match answer.trailers.iter().find(|line| merged.iter().any(|name| line.starts_with(name))) {
            Some(trailer) => Err(format!("the client got the trailer {trailer:?}")),
            None => Ok(()),
        }
    }
}

const POISON: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nPOISON";

fn cases() -> Vec<Case> {
    let length = "9112 §6.3";
    let coding = "9112 §6.1";
    let chunk = "9112 §7.1";
    let line = "9112 §4";
    let fields = "9112 §5";
    let status = "9110 §15";
    let interim = "9110 §15.2";
    let reuse = "9112 §9.2";
    let ends = "9112 §8";
    let head =
        |name, section, lines: &str, body: &str| case(name, section, &format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}"));
    let lengths = |name, lines: &str| head(name, length, lines, "hello").refused();
    let codings = |name, lines: &str| head(name, coding, lines, "5\r\nhello\r\n0\r\n\r\n").refused();
    let chunks = |name, body: &str| head(name, chunk, "Transfer-Encoding: chunked\r\n", body).cut().refused();
    let first = |name, text: &str| case(name, line, &format!("{text}\r\nContent-Length: 5\r\n\r\nhello")).refused();
    let field = |name, lines: &str| head(name, fields, &format!("Content-Length: 5\r\n{lines}"), "hello").refused();
    let mut cases = vec![
        head("a length", length, "Content-Length: 5\r\n", "hello").passed(200, "hello").clean(),
        head("a length of nothing", length, "Content-Length: 0\r\n", "").passed(200, "").clean(),
        head("chunks", chunk, "Transfer-Encoding: chunked\r\n", "2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n")
            .passed(200, "hello")
            .clean(),
        head("trailers", chunk, "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n")
            .passed(200, "hello")
            .clean(),
        head("until the end", length, "", "hello").then(Then::Closes).passed(200, "hello"),
        case("HTTP/1.0 until the end", length, "HTTP/1.0 200 OK\r\n\r\nhello").then(Then::Closes).passed(200, "hello"),
        case("HTTP/1.0 with a length", "9112 §9.3", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .passed(200, "hello"),
        case(
            "HTTP/1.0 that is kept alive",
            "9112 §9.3",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        )
        .passed(200, "hello")
        .clean(),
        head("Connection: close", "9112 §9.6", "Connection: close\r\nContent-Length: 5\r\n", "hello")
            .passed(200, "hello"),
        lengths("two different lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        lengths("two equal lengths", "Content-Length: 5\r\nContent-Length: 5\r\n").passed(200, "hello"),
        lengths("a list of equal lengths", "Content-Length: 5, 5\r\n").passed(200, "hello"),
        lengths("a list of different lengths", "Content-Length: 5, 6\r\n"),
        lengths("a negative length", "Content-Length: -5\r\n"),
        lengths("a plus sign", "Content-Length: +5\r\n"),
        lengths("no number", "Content-Length: five\r\n"),
        lengths("an empty length", "Content-Length:\r\n"),
        lengths("a hexadecimal length", "Content-Length: 0x5\r\n"),
        lengths("a space in a length", "Content-Length: 0 5\r\n"),
        lengths("2^64 + 5", "Content-Length: 18446744073709551621\r\n"),
        codings("a length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        codings("chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        codings("gzip", "Transfer-Encoding: gzip\r\n").then(Then::Closes),
        codings("gzip, then chunked", "Transfer-Encoding: gzip, chunked\r\n"),
        codings("chunked, then gzip", "Transfer-Encoding: chunked, gzip\r\n").then(Then::Closes),
        codings("identity", "Transfer-Encoding: identity\r\n").then(Then::Closes),
        codings("chunked twice", "Transfer-Encoding: chunked, chunked\r\n"),
        codings("two lines of chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        codings("xchunked", "Transfer-Encoding: xchunked\r\n").then(Then::Closes),
        codings("a vertical tab and chunked", "Transfer-Encoding: \x0bchunked\r\n").then(Then::Closes),
        codings("an empty coding", "Transfer-Encoding:\r\n").then(Then::Closes),
        case(
            "chunked in HTTP/1.0",
            coding,
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        )
        .then(Then::Closes)
        .refused(),
        chunks("a size that is no number", "x\r\nhello\r\n0\r\n\r\n"),
        chunks("a size with a 0x prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        chunks("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        chunks("no size", "\r\nhello\r\n0\r\n\r\n"),
        chunks("a space before a size", " 5\r\nhello\r\n0\r\n\r\n"),
        chunks("a size of seventeen digits", "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        chunks("a bare LF behind a size", "5\nhello\r\n0\r\n\r\n"),
        chunks("a bare CR behind a size", "5\rhello\r\n0\r\n\r\n"),
        chunks("a bare LF in an extension", "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        chunks("nothing behind a chunk", "5\r\nhello0\r\n\r\n"),
        chunks("a chunk longer than its size", "4\r\nhello\r\n0\r\n\r\n"),
        chunks("a chunk shorter than its size", "6\r\nhello\r\n0\r\n\r\n"),
        chunks("an answer in the trailers", &format!("5\r\nhello\r\n0\r\n{POISON}")).passed(200, "hello"),
        chunks("a bare LF at the end", &format!("5\r\nhello\r\n0\r\n\n{POISON}")),
        chunks("a trailer without a colon", "5\r\nhello\r\n0\r\nX-Sum\r\n\r\n"),
        chunks("a folded trailer", "5\r\nhello\r\n0\r\nX-Sum: 7\r\n 8\r\n\r\n"),
        chunks("cut before the first chunk", "").then(Then::Closes),
        chunks("cut in a chunk", "5\r\nhel").then(Then::Closes),
        chunks("cut before the last chunk", "5\r\nhello\r\n").then(Then::Closes),
        chunks("cut before the trailers", "5\r\nhello\r\n0\r\n").then(Then::Closes),
        chunks("silent in a chunk", "5\r\nhel").then(Then::Stalls),
        head(
            "a length in the trailers",
            chunk,
            "Transfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n",
        )
        .passed(200, "hello")
        .cut()
        .clean(),
        head(
            "a cookie in the trailers",
            "9110 §6.5.1",
            "Transfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\nSet-Cookie: a=b\r\n\r\n",
        )
        .passed(200, "hello")
        .cut()
        .clean(),
        head("cut at the start of a body", ends, "Content-Length: 5\r\n", "").then(Then::Closes).cut().refused(),
        head("cut in a body", ends, "Content-Length: 5\r\n", "hel").then(Then::Closes).cut().refused(),
        head("silent in a body", ends, "Content-Length: 5\r\n", "hel").then(Then::Stalls).cut().refused(),
        case("no answer", ends, "").then(Then::Closes).refused(),
        case("silent", ends, "").then(Then::Stalls).refused(),
        case("cut in the status line", ends, "HTTP/1.1 20").then(Then::Closes).refused(),
        case("silent in the status line", ends, "HTTP/1.1 20").then(Then::Stalls).refused(),
        case("cut in a field", ends, "HTTP/1.1 200 OK\r\nContent-Le").then(Then::Closes).refused(),
        case("cut before the end of a head", ends, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n")
            .then(Then::Closes)
            .refused(),
    ];
    cases.extend([
        first("no reason", "HTTP/1.1 200 ").passed(200, "hello").clean(),
        first("no reason and no space", "HTTP/1.1 200").passed(200, "hello").clean(),
        first("a reason in 8 bits", "HTTP/1.1 200 Tr\u{e8}s bien").passed(200, "hello").clean(),
        first("a status that nobody knows", "HTTP/1.1 299 Fine").passed(299, "hello").clean(),
        first("a status beyond 599", "HTTP/1.1 600 Odd").passed(600, "hello").clean(),
        first("999", "HTTP/1.1 999 Denied").passed(999, "hello").clean(),
        first("a status of two digits", "HTTP/1.1 99 Odd"),
        first("a status of four digits", "HTTP/1.1 2000 OK"),
        first("a status with a leading zero", "HTTP/1.1 0200 OK"),
        first("000", "HTTP/1.1 000 Odd"),
        first("a negative status", "HTTP/1.1 -20 OK"),
        first("a status in letters", "HTTP/1.1 abc OK"),
        first("a space in a status", "HTTP/1.1 2 0 OK"),
        first("two spaces before the status", "HTTP/1.1  200 OK"),
        first("a tab before the status", "HTTP/1.1\t200 OK"),
        first("a status and a reason in one word", "HTTP/1.1 200OK"),
        first("no status", "HTTP/1.1"),
        first("no version", "200 OK"),
        first("HTTP/2.0", "HTTP/2.0 200 OK"),
        first("HTTP/0.9", "HTTP/0.9 200 OK"),
        first("HTTP/1.2", "HTTP/1.2 200 OK").passed(200, "hello"),
        first("a version in lower case", "http/1.1 200 OK"),
        first("another protocol", "ICY 200 OK"),
        first("a request", "GET /evil HTTP/1.1"),
        first("a space before the status line", " HTTP/1.1 200 OK"),
        first("a NUL in the reason", "HTTP/1.1 200 O\0K"),
        first("a bare CR in the reason", "HTTP/1.1 200 O\rK"),
        case("no status line", line, "Content-Length: 5\r\n\r\nhello").refused(),
        case("a body and nothing else", line, "hello\r\n\r\n").then(Then::Closes).refused(),
        case("an empty line first", line, &format!("\r\n{POISON}")).refused().passed(200, "POISON").clean(),
        field("a NUL in a value", "X-A: b\0c\r\n"),
        field("a bare CR in a value", "X-A: b\rc\r\n"),
        field("a bare CR before a field", "X-A: b\rSet-Cookie: a=b\r\n"),
        field("a NUL in a name", "X\0A: b\r\n"),
        field("a space in a name", "X A: b\r\n"),
        field("a parenthesis in a name", "X(A: b\r\n"),
        field("8 bits in a name", "X\u{e9}: b\r\n"),
        field("a field without a name", ": b\r\n"),
        field("a field without a colon", "X-A\r\n"),
        field("a space before the colon", "X-A : b\r\n").passed(200, "hello").clean(),
        field("a space before the colon of a coding", "Transfer-Encoding : chunked\r\n"),
        field("a folded field", "X-A: b\r\n c\r\n").passed(200, "hello").clean(),
        field("a folded length", "X-A: b\r\n Content-Length: 9\r\n").passed(200, "hello").clean(),
        field("a control character in a value", "X-A: b\x01c\r\n").passed(200, "hello").clean(),
        field("8 bits in a value", "X-A: \u{e9}\r\n").passed(200, "hello").clean(),
        field("bare LFs", "X-A: b\nX-B: c\n").passed(200, "hello").clean(),
        field("a field of 2 MiB", &format!("X-A: {}\r\n", "b".repeat(2 << 20))),
        field("two thousand fields", &"X-A: b\r\n".repeat(2000)).passed(200, "hello").clean(),
        case("a space before the first field", fields, "HTTP/1.1 200 OK\r\n Content-Length: 5\r\n\r\nhello").refused(),
        case("fields without end", fields, "HTTP/1.1 200 OK\r\n").then(Then::Repeats("X-A: b\r\n")).refused(),
        case("a field without end", fields, "HTTP/1.1 200 OK\r\nX-A: ").then(Then::Repeats("bbbbbbbb")).refused(),
        case("a status line without end", line, "HTTP/1.1 200 ").then(Then::Repeats("OOOOOOOO")).refused(),
        case("100 first", interim, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .passed(200, "hello")
            .clean(),
        case(
            "hints first",
            interim,
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        )
        .passed(200, "hello")
        .clean(),
        case(
            "hints with a body",
            interim,
            "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\n",
        )
        .refused(),
        case("hints without end", interim, "").then(Then::Repeats("HTTP/1.1 103 Early Hints\r\n\r\n")).refused(),
        case(
            "another protocol that nobody asked for",
            status,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nhello",
        )
        .refused(),
        case("204 with a body", length, &format!("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello{POISON}"))
            .refused()
            .passed(204, ""),
        case(
            "204 with chunks",
            coding,
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        )
        .refused()
        .passed(204, ""),
        case(
            "304 with a body",
            length,
            &format!("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\nhello{POISON}"),
        )
        .refused()
        .passed(304, ""),
        head("HEAD with a body", length, "Content-Length: 5\r\n", "hello").to("HEAD").refused().passed(200, ""),
        head("HEAD with chunks", length, "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")
            .to("HEAD")
            .refused()
            .passed(200, ""),
        head("HEAD", length, "Content-Length: 5\r\n", "").to("HEAD").passed(200, "").clean(),
        head("HEAD with an answer behind it", reuse, "Content-Length: 5\r\n", POISON)
            .to("HEAD")
            .refused()
            .passed(200, ""),
        head("bytes behind a body", reuse, "Content-Length: 5\r\n", "hello!").passed(200, "hello").refused(),
        head("an empty line behind a body", reuse, "Content-Length: 5\r\n", "hello\r\n").passed(200, "hello").refused(),
        head("an answer behind a body", reuse, "Content-Length: 5\r\n", &format!("hello{POISON}"))
            .passed(200, "hello")
            .refused(),
        head("an answer behind no body", reuse, "Content-Length: 0\r\n", POISON).passed(200, "").refused(),
        head(
            "an answer behind chunks",
            reuse,
            "Transfer-Encoding: chunked\r\n",
            &format!("5\r\nhello\r\n0\r\n\r\n{POISON}"),
        )
        .passed(200, "hello")
        .cut()
        .refused(),
        case("an answer behind a 304", reuse, &format!("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n{POISON}"))
            .passed(304, "")
            .refused(),
        case("half an answer behind an answer", reuse, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 2")
            .passed(200, "hello")
            .refused(),
    ]);
    cases
}

/// Where a request goes: passed as it is, or by a policy that would keep the answer.
const CONFIG: &str = "
server: {listen: 127.0.0.1:0, workers: 1}
policies: {kept: {share: public, ttl: 60s}}
routes: [{name: kept, path: /kept/**, policy: kept}, {name: all, path: /**}]
";

struct Stage {
    origin: Answering,
    stent: Stent,
}

impl Stage {
    async fn start() -> Stage {
        let origin = Answering::start().await;
        let stent = Stent::start_with(origin.address, ", retries: 0, timeout: 300ms, deadline: 5s", CONFIG);
        Stage { origin, stent }
    }

    async fn run(&self, number: usize, case: &Case) -> Vec<String> {
        let mut wrong = Vec::new();
        for way in ["passed", "kept"] {
            let pieces: &[usize] = if case.then == Then::Stalls { &[usize::MAX] } else { &[usize::MAX, 1] };
            for &piece in pieces {
                let piece = if piece == 1 && case.bytes.len() > 4000 { 1000 } else { piece };
                let target = format!("/{way}/{number}-{piece}");
                if let Err(fault) = self.run_once(case, &target, piece).await {
                    let shown: String = String::from_utf8_lossy(&case.bytes).chars().take(300).collect();
                    wrong.push(format!("{} ({}; {target}): {fault}\n  of {shown:?}", case.name, case.section));
                }
            }
        }
        wrong
    }

    async fn run_once(&self, case: &Case, target: &str, piece: usize) -> Result<(), String> {
        self.origin.answers(Script { bytes: case.bytes.clone(), piece, then: case.then, connection: case.connection });
        self.ask(case, target).await?;
        if case.wants.iter().any(|want| matches!(want, Want::Passed(..))) {
            return Ok(());
        }
        // What was refused or cut is not kept: whoever asks again is not answered from it.
        let asked = self.origin.asked();
        self.ask(case, target).await?;
        if self.origin.asked() == asked { Err("it was kept".to_owned()) } else { Ok(()) }
    }

    async fn ask(&self, case: &Case, target: &str) -> Result<(), String> {
        let mut wire = Wire::connect(self.stent.address).await;
        wire.send(format!("{} {target} HTTP/1.1\r\nHost: h\r\n\r\n", case.method).as_bytes()).await;
        let got = match case.method {
            "HEAD" => wire.answer_to_head().await,
            _ => wire.answer().await,
        };
        self.origin.sent().await?;
        let answer = match got {
            Got::Answer(answer) => Some(answer),
            Got::End if case.wants.contains(&Want::Cut) => None,
            got => return Err(format!("the client got {got:?}")),
        };
        if let Some(answer) = &answer {
            case.judge(answer)?;
        }
        let is_cut = answer.is_none_or(|answer| answer.is_cut);
        let same = if is_cut { wire.is_over().await } else { next(&mut wire, "same").await };
        same.map_err(|fault| format!("on the same connection: {fault}"))?;
        let mut other = Wire::connect(self.stent.address).await;
        next(&mut other, "other").await.map_err(|fault| format!("on another connection: {fault}"))?;
        match self.origin.reused() {
            reused if reused.is_empty() => Ok(()),
            reused => Err(format!("the connection to the origin was used again: {reused:?}")),
        }
    }
}

fn is(answer: &Answer, want: &Want) -> bool {
    match want {
        Want::Refused => !answer.is_cut && [502, 504].contains(&answer.status),
        Want::Cut => answer.is_cut,
        Want::Passed(status, body) => !answer.is_cut && answer.status == *status && answer.body == body.as_bytes(),
    }
}

/// A marker, on a connection that may have been closed.
async fn next(wire: &mut Wire, name: &str) -> Result<(), String> {
    match wire.marker(name).await {
        Ok(()) => Ok(()),
        Err(MarkerFault::Closed) if name == "same" => Ok(()),
        Err(fault) => Err(format!("{fault:?}")),
    }
}

#[tokio::test]
async fn answers() {
    let stage = Stage::start().await;
    let (mut wrong, cases) = (Vec::new(), cases());
    for (number, case) in cases.iter().enumerate() {
        wrong.extend(stage.run(number, case).await);
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n\n{}", wrong.len(), cases.len(), wrong.join("\n\n"));
}
