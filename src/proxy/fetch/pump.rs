//! The body of a fill, from the origin into its spool.
//!
//! It belongs to no client. While it may be stored it goes on even if nobody reads it, until its flight's deadline; what
//! cannot be stored, or has come so far, ends at once when the last reader goes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;

use crate::body::spool::{PATIENCE, Passed, Spool};
use crate::body::{Body, BodyError};
use crate::coherence::fill::Fill;
use crate::coherence::flight::{Flight, Flights};
use crate::store::memory::Memory;

/// Reads the body to its end, however long it is.
pub(super) async fn pump(fill: Fill<Memory>, body: Body) {
    Pump { fill, body, unwanted: None, crowd: Crowd::Gathering }.run().await;
}

struct Pump {
    fill: Fill<Memory>,
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

impl Pump {
    async fn run(mut self) {
        loop {
            match self.next().await {
                Piece::Data(data) => {
                    self.fill.announce();
                    if self.put(data).await == Passed::Unread {
                        return self.abandon();
                    }
                }
                Piece::Last(data) => return self.finish(data).await,
                Piece::Broken => {
                    let now = self.now();
                    return self.fill.break_off(now);
                }
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
                    self.fill.announce();
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
        let flight = self.fill.flight().clone();
        let keeps_until = if self.fill.is_storable() { Some(flight.deadline) } else { None };
        let (flights, spool) = (self.fill.cache().flights.clone(), self.fill.filling().spool.clone());
        Box::pin(until_unwanted(flights, flight, spool, keeps_until))
    }

    /// Keeps a chunk, or passes it on where there is no room to keep all.
    async fn put(&mut self, chunk: Bytes) -> Passed {
        let (was_storable, now) = (self.fill.is_storable(), self.now());
        let Err(chunk) = self.fill.keep(chunk, now) else { return Passed::On };
        if was_storable {
            // It ends with its readers from now on.
            self.unwanted = None;
        }
        if self.crowd == Crowd::Gathering {
            // A window does not wait for those who have not begun to read: they were told, and no others come.
            let _ = tokio::time::timeout(PATIENCE, self.fill.flight().taken()).await;
            self.crowd = Crowd::Complete;
        }
        self.fill.filling().spool.pass_on(chunk).await
    }

    async fn finish(mut self, last: Bytes) {
        let now = self.now();
        match self.fill.complete(&last, now) {
            None => return,
            Some(fill) => self.fill = fill,
        }
        if !last.is_empty() && self.put(last).await == Passed::Unread {
            return self.abandon();
        }
        let now = self.now();
        self.fill.finish(now);
    }

    fn abandon(self) {
        let now = self.now();
        self.fill.abandon(now);
    }

    fn now(&self) -> Instant {
        self.fill.cache().clock.instant()
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
