//! Heads on their way out. Fields about framing and the connection are written here alone, from what is really sent.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri, Version};

use super::{Framing, Persistence};
use crate::entry::stored::write_line;

/// How an answer's length is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// As the body is framed.
    Body(Framing),
    /// There is no body, and its length stays as the fields have it: answers to HEAD, 304.
    AsSaid,
    /// There is no body, and so long would it be: answers to HEAD.
    Head(u64),
    /// There is no body and cannot be one: 1xx, 204.
    Nothing,
}

/// The fields of a head.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    /// Those that are there as lines, as they are sent.
    pub lines: [&'a [u8]; 2],
    /// The others.
    pub headers: &'a HeaderMap,
}

/// Writes an answer's head for a client of HTTP/1.1, or of 1.0 where `connection` says so.
pub fn response_head(
    out: &mut Vec<u8>,
    status: StatusCode,
    fields: Fields<'_>,
    announce: Announce,
    connection: Option<&'static str>,
) {
    let Fields { lines, headers } = fields;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("").as_bytes());
    out.extend_from_slice(b"\r\n");
    lines.iter().for_each(|lines| out.extend_from_slice(lines));
    // What was stored has its date.
    let mut dated = status.is_informational() || lines != [b"", b""];
    for (name, value) in headers {
        if name == header::CONTENT_LENGTH && announce != Announce::AsSaid || is_of_the_hop(name) {
            continue;
        }
        dated |= name == header::DATE;
        write_line(out, name, value);
    }
    if !dated {
        date(out);
    }
    match announce {
        Announce::Body(framing) => framing_field(out, framing),
        Announce::Head(length) => framing_field(out, Framing::Length(length)),
        Announce::AsSaid | Announce::Nothing => {}
    }
    if let Some(connection) = connection {
        out.extend_from_slice(b"connection: ");
        out.extend_from_slice(connection.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes a request's head, `Host` first (RFC 9110 §7.2).
pub fn request_head(out: &mut Vec<u8>, method: &Method, target: &Uri, fields: Fields<'_>, framing: Framing) {
    let Fields { lines, headers } = fields;
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    let target = target.path_and_query().map_or("/", |target| target.as_str());
    // An absolute target may do without a path (RFC 9112 §3.2.1).
    if target.starts_with('?') {
        out.push(b'/');
    }
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    headers.get(header::HOST).iter().for_each(|host| write_line(out, &header::HOST, host));
    for (name, value) in headers {
        let elsewhere = [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name);
        if !elsewhere {
            write_line(out, name, value);
        }
    }
    lines.iter().for_each(|lines| out.extend_from_slice(lines));
    let expects_body = [Method::POST, Method::PUT, Method::PATCH].contains(method);
    // RFC 9110 §8.6: a length of zero is said where a body would be usual.
    if framing != Framing::Length(0) || expects_body {
        framing_field(out, framing);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes fields, each with its line's end.
pub fn field_lines<'h>(out: &mut Vec<u8>, fields: impl IntoIterator<Item = (&'h HeaderName, &'h HeaderValue)>) {
    fields.into_iter().for_each(|(name, value)| write_line(out, name, value));
}

/// What a client is told of the connection after an answer; 1.1 keeps it open without a word (RFC 9112 §9.3).
pub fn connection(persistence: Persistence, version: Version) -> Option<&'static str> {
    match persistence {
        Persistence::Close => Some("close"),
        Persistence::Keep if version < Version::HTTP_11 => Some("keep-alive"),
        Persistence::Keep => None,
    }
}

fn is_of_the_hop(name: &HeaderName) -> bool {
    name == header::TRANSFER_ENCODING || name == header::CONNECTION
}

fn framing_field(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Framing::Close => {}
    }
}

/// RFC 9110 §6.6.1: an answer without a date is given one where it passes.
fn date(out: &mut Vec<u8>) {
    thread_local! {
        static DATE: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
    }
    let seconds = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs());
    DATE.with_borrow_mut(|(second, text)| {
        if *second != seconds {
            *second = seconds;
            *text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        }
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(b"\r\n");
    });
}
