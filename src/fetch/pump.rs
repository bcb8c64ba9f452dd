//! The body of a fill, from the origin into its spool, and into the store once it is whole.
//!
//! It belongs to no client. While it may be stored it goes on even if nobody reads it, until its flight's deadline; what
//! cannot be stored, or has come so far, ends at once when the last reader goes. The entry is stored before the end of its
//! body is handed out, so whoever has read all of it finds it stored.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::header;
use http_body::Frame;
use http_body_util::BodyExt;

use super::backoff::Ended;
use super::fill::{Cache, Errand, land_failure, remember_uncacheable};
use super::flight::{Filling, Flight, Flights, Landing, TagsKnown, Takeoff};
use super::spool::{PATIENCE, Passed, Spool};
use crate::body::{Body, BodyError};
use crate::entry::{Entry, Head, Slot};
use crate::failure::{Failure, FailureKind};
use crate::outcome::Stored;
use crate::policy::admit::NotStored;
use crate::store::purge::Birth;

/// Reads the body to its end, however long it is.
pub(super) async fn pump(
    cache: &Arc<Cache>,
    takeoff: &Takeoff,
    errand: &Errand,
    filling: Filling,
    body: Body,
) -> Ended {
    if let Stored::No(_) = filling.stored {
        // Those who wait may have it, nobody later.
        cache.flights.leave(&takeoff.flight);
    }
    let pump = Pump { cache, takeoff, errand, filling, body, unwanted: None, crowd: Crowd::Gathering };
    pump.run().await
}

struct Pump<'a> {
    cache: &'a Arc<Cache>,
    takeoff: &'a Takeoff,
    errand: &'a Errand,
    filling: Filling,
    body: Body,
    /// Ends when nobody wants the body any more; made when the origin is waited for.
    unwanted: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    crowd: Crowd,
}

/// Whether all who may read a window have begun to.
#[derive(PartialEq, Eq)]
enum Crowd {
    Gathering,
    Complete,
}

/// A piece of the body.
enum Piece {
    Data(Bytes),
    /// With the end behind it.
    Last(Bytes),
    Broken,
    Unwanted,
}

impl Pump<'_> {
    async fn run(mut self) -> Ended {
        loop {
            match self.next().await {
                Piece::Data(data) => {
                    self.announce();
                    if self.put(data).await == Passed::Unread {
                        return self.abandon();
                    }
                }
                Piece::Last(data) => return self.finish(data).await,
                Piece::Broken => return self.break_off(),
                Piece::Unwanted => return self.abandon(),
            }
        }
    }

    /// The next piece. Whoever waits is told of the head when the body is not here at once: what is whole by then is stored
    /// before anybody hears of it.
    async fn next(&mut self) -> Piece {
        loop {
            if http_body::Body::is_end_stream(&self.body) {
                return Piece::Last(Bytes::new());
            }
            let frame = match poll_once(&mut self.body).await {
                Some(frame) => frame,
                None => {
                    self.announce();
                    let unwanted = self.unwanted.take().unwrap_or_else(|| self.until_unwanted());
                    let unwanted = self.unwanted.insert(unwanted);
                    tokio::select! {
                        biased;
                        frame = self.body.frame() => frame,
                        () = unwanted => return Piece::Unwanted,
                    }
                }
            };
            match frame.map(|frame| frame.map(Frame::into_data)) {
                None => return Piece::Last(Bytes::new()),
                Some(Err(_)) => return Piece::Broken,
                Some(Ok(Err(_))) => continue,
                Some(Ok(Ok(data))) if http_body::Body::is_end_stream(&self.body) => return Piece::Last(data),
                Some(Ok(Ok(data))) => return Piece::Data(data),
            }
        }
    }

    fn until_unwanted(&self) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let flight = self.takeoff.flight.clone();
        let keeps_until = if self.is_storable() { Some(flight.deadline) } else { None };
        Box::pin(until_unwanted(self.cache.flights.clone(), flight, self.filling.spool.clone(), keeps_until))
    }

    /// Keeps a chunk, or passes it on where there is no room to keep all.
    async fn put(&mut self, chunk: Bytes) -> Passed {
        let mut chunk = chunk;
        if self.filling.spool.is_kept() {
            match self.filling.spool.keep(chunk) {
                Ok(()) => return Passed::On,
                Err((back, why)) => {
                    chunk = back;
                    self.give_up(why.into());
                }
            }
        }
        if self.crowd == Crowd::Gathering {
            // A window does not wait for those who have not begun to read: they were told, and no others come.
            let _ = tokio::time::timeout(PATIENCE, self.takeoff.flight.taken()).await;
            self.crowd = Crowd::Complete;
        }
        self.filling.spool.pass_on(chunk).await
    }

    /// It will not be stored.
    fn give_up(&mut self, why: NotStored) {
        if self.is_storable() {
            self.filling.stored = Stored::No(why);
            if why != NotStored::FillMemory {
                remember_uncacheable(self.cache, self.takeoff);
            }
            self.cache.flights.leave(&self.takeoff.flight);
            self.unwanted = None;
        }
    }

    async fn finish(mut self, last: Bytes) -> Ended {
        match self.store(&last) {
            Ok(whole) => {
                self.filling.stored = Stored::Yes;
                self.cache.flights.leave(&self.takeoff.flight);
                self.filling.spool.finish_with(whole);
                self.announce();
                Ended::Kept
            }
            Err(why) => {
                self.give_up(why);
                self.announce();
                if !last.is_empty() && self.put(last).await == Passed::Unread {
                    return self.abandon();
                }
                self.filling.spool.finish();
                Ended::NotKept
            }
        }
    }

    /// Puts a whole answer into the store, under its variant's key.
    fn store(&self, last: &Bytes) -> Result<Bytes, NotStored> {
        if let Stored::No(why) = self.filling.stored {
            return Err(why);
        }
        let whole = self.filling.spool.whole(last).ok_or(NotStored::TooLarge)?;
        let entry = packed(self.errand, &self.filling, &whole)?;
        self.cache.memory.put(self.filling.variant.clone(), Slot::Entry(entry));
        Ok(whole)
    }

    /// Nothing of it is stored, and whoever reads sees that it broke off. For whoever has not begun to it is a failure, as
    /// long as nothing of the body has come.
    fn break_off(self) -> Ended {
        self.cache.flights.leave(&self.takeoff.flight);
        if self.filling.spool.is_empty() {
            land_failure(self.cache, self.takeoff, self.errand, Failure::sent(FailureKind::Reset));
        }
        self.filling.spool.fail();
        Ended::Failed
    }

    /// Nobody is left.
    fn abandon(self) -> Ended {
        self.cache.flights.leave(&self.takeoff.flight);
        self.filling.spool.fail();
        if self.is_storable() { Ended::Failed } else { Ended::NotKept }
    }

    fn announce(&self) {
        if self.takeoff.flight.is_waiting() {
            self.takeoff.flight.land(Landing::Filling(self.filling.clone()));
        }
    }

    fn is_storable(&self) -> bool {
        !matches!(self.filling.stored, Stored::No(_))
    }
}

/// A frame if one is there without waiting.
async fn poll_once(body: &mut Body) -> Option<Option<Result<Frame<Bytes>, BodyError>>> {
    std::future::poll_fn(|cx| {
        Poll::Ready(match http_body::Body::poll_frame(Pin::new(&mut *body), cx) {
            Poll::Ready(frame) => Some(frame),
            Poll::Pending => None,
        })
    })
    .await
}

/// Waits until nobody reads what a flight brings and nobody can any more; not before a time until which it goes on anyway.
async fn until_unwanted(flights: Arc<Flights>, flight: Arc<Flight>, spool: Arc<Spool>, goes_on_until: Option<Instant>) {
    if let Some(until) = goes_on_until {
        tokio::time::sleep_until(until.into()).await;
    }
    loop {
        flight.taken().await;
        spool.unread().await;
        if flights.desert(&flight, &spool) {
            return;
        }
    }
}

/// The answer as it is stored: with the tags that its body gives.
fn packed(errand: &Errand, filling: &Filling, body: &Bytes) -> Result<Entry, NotStored> {
    let head = &filling.head;
    if filling.tags == TagsKnown::All {
        return Ok(Entry::new(head, body.clone()));
    }
    if head.headers.contains_key(header::CONTENT_ENCODING) {
        return Err(NotStored::TagUnknown);
    }
    let mut tags = head.tags.clone();
    let json = serde_json::from_slice(body).map_err(|_| NotStored::TagUnknown)?;
    errand.place.add_templates(&errand.route, Some(&json), &mut tags).map_err(|_| NotStored::TagUnknown)?;
    if tags.overflowed() {
        return Err(NotStored::TooManyTags);
    }
    let birth = Birth::new(head.birth.born, head.birth.validated);
    let (headers, replaced, validators) = (head.headers.clone(), head.replaced.clone(), head.validators.clone());
    let (status, vital) = (head.status, head.vital);
    Ok(Entry::new(&Head { status, headers, replaced, validators, vital, birth, tags }, body.clone()))
}
