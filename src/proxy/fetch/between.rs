//! What comes from the origin, between what of the same answer is stored.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};

use crate::body::{Body, BodyError};
use crate::coherence::extent::Beside;

/// The body with what is put before and behind it.
pub(super) fn between(beside: &Beside, body: Body) -> Body {
    let (ahead, behind) = (beside.ahead.clone(), beside.behind.clone());
    match ahead.is_empty() && behind.is_empty() {
        true => body,
        false => Body::stream(Between { ahead, body, behind }),
    }
}

struct Between {
    ahead: Bytes,
    body: Body,
    behind: Bytes,
}

impl HttpBody for Between {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.ahead)))));
        }
        if !this.body.is_end_stream()
            && let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(cx))
        {
            return Poll::Ready(Some(frame));
        }
        let behind = std::mem::take(&mut this.behind);
        Poll::Ready((!behind.is_empty()).then(|| Ok(Frame::data(behind))))
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.body.is_end_stream() && self.behind.is_empty()
    }
}
