//! The clinic's pages: home, signing in, reports, an image.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::visitor::{Visitor, session};
use super::{answer, text};

/// The page that takes longest.
pub(super) const SLOW: &str = "/reports/slow";

const WARD: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 80" role="img" aria-label="Ward">
<rect width="120" height="80" rx="6" fill="#e8f1f2"/>
<rect x="14" y="44" width="62" height="14" rx="3" fill="#1b6f7a"/>
<rect x="14" y="34" width="20" height="10" rx="3" fill="#ffffff"/>
<path d="M92 22v24M80 34h24" stroke="#d1495b" stroke-width="8"/>
</svg>
"##;

/// Answers a GET.
pub(super) fn get(path: &str, visitor: &Visitor) -> Response<Full<Bytes>> {
    match path {
        "" => home(visitor),
        "/login" => page("Sign in", "<form method=post><input name=user value=ada> <button>Sign in</button></form>"),
        "/reports/monthly" => page("Monthly report", "<p>Admissions 412, discharges 398, mean stay 3.2 days.</p>"),
        SLOW => page("Yearly report", &occupancy()),
        "/images/ward.svg" => answer(StatusCode::OK, "image/svg+xml", WARD),
        _ => text(StatusCode::NOT_FOUND, "there is nothing here\n"),
    }
}

/// Begins a session, as the form asks for.
pub(super) fn sign_in(body: &[u8]) -> Response<Full<Bytes>> {
    let form = String::from_utf8_lossy(body);
    let user = form.split('&').find_map(|pair| pair.strip_prefix("user="));
    let Some(cookie) = user.and_then(session).and_then(|cookie| HeaderValue::from_str(&cookie).ok()) else {
        return text(StatusCode::BAD_REQUEST, "send user=NAME, letters only\n");
    };
    let mut response = text(StatusCode::SEE_OTHER, "signed in\n");
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/"));
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

fn home(visitor: &Visitor) -> Response<Full<Bytes>> {
    let who = visitor.user.as_deref().unwrap_or("visitor");
    let links = "<p><a href=/login>Sign in</a> · <a href=/reports/monthly>Monthly report</a> \
        · <a href=/reports/slow>Yearly report, slow</a></p><p><img src=/images/ward.svg width=240 alt=Ward></p>";
    let mut response = page(&format!("Welcome, {who}"), links);
    // As frameworks with sessions say it.
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Cookie"));
    response
}

fn occupancy() -> String {
    let rows = (1..=12).map(|month| format!("<tr><td>{month}<td>{} %", 70 + month * 5 % 23));
    format!("<table><tr><th>Month<th>Occupancy{}</table>", rows.collect::<String>())
}

fn page(title: &str, content: &str) -> Response<Full<Bytes>> {
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>\
         <body style=\"font:16px system-ui;margin:3em\"><h1>{title}</h1>{content}\n"
    );
    answer(StatusCode::OK, "text/html; charset=utf-8", html)
}
