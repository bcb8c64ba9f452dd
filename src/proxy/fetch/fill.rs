//! One flight, from take-off to landing: ask the origin and hear its head; what is then made of the body is its pump's.
//!
//! It runs as a task of its own. Nobody's hanging up touches it; a panic or a lost task lands it as failed.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, Uri};
use tokio::sync::oneshot;

use crate::body::Body;
use crate::body::ending::Ending;
use crate::body::spool::SpoolReader;
use crate::coherence::errand::{Arrived, Asks};
use crate::coherence::fetch::{Fetch, Heard};
use crate::ground::failure::Failure;
use crate::ground::worker::WorkerId;
use crate::proxy::fetch::between::between;
use crate::proxy::fetch::pump::pump;
use crate::store::memory::Memory;
use crate::upstream::exchange::Exchanged;
use crate::upstream::outgoing::{Interim, Outgoing};
use crate::upstream::{Asker, Upstream};

/// The way that a fetch takes.
#[derive(Debug)]
pub struct Trip {
    /// The service to ask, and the worker whose connections it uses.
    pub upstream: Arc<Upstream>,
    /// See above.
    pub worker: WorkerId,
    /// What to ask for.
    pub target: Uri,
    /// For whom it is asked first.
    pub asker: Asker,
    /// Where the leader's client hears of interim answers (RFC 9110 §15.2); nobody who follows does.
    pub interim: Option<Interim>,
    /// The leader's own hand: an answer that is nobody else's goes there.
    pub own: Option<oneshot::Sender<OwnFetch>>,
    /// Who heeds what an answer says of its asker's session, before anybody is told of it.
    pub heed: Heed,
}

/// Called with the head of every answer.
#[derive(Clone)]
pub struct Heed(pub Arc<OnHead>);

/// Takes the head of an answer.
pub type OnHead = dyn Fn(&http::response::Parts) + Send + Sync;

impl std::fmt::Debug for Heed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Heed")
    }
}

/// What only the leader gets.
#[derive(Debug)]
pub enum OwnFetch {
    /// An answer that is nobody else's, the fields that it was asked for with, and the status that the origin sent.
    Answer(Box<Exchanged>, HeaderMap, StatusCode),
    /// A reader from the beginning, made before the first byte: a window never moves on without it; and the fields that are
    /// nobody else's.
    Reader(SpoolReader, HeaderMap),
}

/// Flies. The landing tells what came of it.
pub async fn fly(mut fetch: Fetch<Memory>, mut trip: Trip) {
    let cache = fetch.cache().clone();
    loop {
        let mut exchanged = match send(&mut fetch, &trip).await {
            Ok(exchanged) => exchanged,
            Err(failure) => return fetch.failed(failure, cache.clock.instant()),
        };
        (trip.heed.0)(&exchanged.head);
        match fetch.answered(arrived(&mut exchanged), cache.clock.now()) {
            Heard::Over => return,
            Heard::Again(again) => fetch = again,
            Heard::Private(mut private) => {
                exchanged.head.headers = std::mem::take(&mut private.headers);
                let status = exchanged.head.status;
                if let Some(stored) = private.confirmed.take() {
                    let body = stored.body().clone();
                    exchanged.head.status = stored.status();
                    exchanged.ending = Ending::Length(body.len() as u64);
                    exchanged.body = Body::full(body);
                }
                if let Some(own) = trip.own {
                    // The leader may have gone; then nobody wants it.
                    let sent = std::mem::take(&mut private.sent);
                    let _ = own.send(OwnFetch::Answer(Box::new(exchanged), sent, status));
                }
                return private.handed_on(cache.clock.instant());
            }
            Heard::Fill(mut fill) => {
                if let Some((own, reader)) = trip.own.take().zip(fill.filling().spool.reader()) {
                    let _ = own.send(OwnFetch::Reader(reader, fill.take_withheld()));
                }
                let body = between(fill.beside(), exchanged.body);
                return pump(fill, body).await;
            }
        }
    }
}

async fn send(fetch: &mut Fetch<Memory>, trip: &Trip) -> Result<Exchanged, Failure> {
    let method = match fetch.asks() {
        Asks::Whole | Asks::Span(_) => Method::GET,
        Asks::Head => Method::HEAD,
    };
    let mut outgoing = Outgoing {
        method,
        interim: trip.interim.clone(),
        asker: trip.asker,
        ..Outgoing::get(trip.target.clone(), fetch.ask())
    };
    trip.upstream.send_by(fetch.flight().deadline, trip.worker, &mut outgoing).await
}

/// The head, less the body. Its fields come back where the answer is handed on as it is.
fn arrived(exchanged: &mut Exchanged) -> Arrived {
    let Exchanged { head, ending, delay, .. } = exchanged;
    Arrived { status: head.status, headers: std::mem::take(&mut head.headers), ending: *ending, delay: *delay }
}
