//! Bodies that break off or come byte by byte.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::time::{Sleep, sleep};

use super::exchange::InFlight;

/// The connection is to be closed in the midst of this body.
#[derive(Debug)]
pub(super) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sandbox was told to break off here")
    }
}

impl std::error::Error for BrokenOff {}

/// A body of which the first half is sent before the connection is closed.
pub(super) struct Truncated {
    half: Bytes,
    flushed: bool,
    _in_flight: InFlight,
}

impl Truncated {
    pub(super) fn new(body: &str, in_flight: InFlight) -> Self {
        let half = Bytes::copy_from_slice(&body.as_bytes()[..body.len() / 2]);
        Self {
            half,
            flushed: false,
            _in_flight: in_flight,
        }
    }
}

impl Body for Truncated {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if !self.half.is_empty() {
            let half = std::mem::take(&mut self.half);
            return Poll::Ready(Some(Ok(Frame::data(half))));
        }
        if !self.flushed {
            // While a body is pending the server sends what it has; an error at once would swallow it.
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(BrokenOff)))
    }
}

/// A body that is sent byte by byte with pauses.
pub(super) struct Trickled {
    rest: Bytes,
    pause: Duration,
    pausing: Option<Pin<Box<Sleep>>>,
    in_flight: Option<InFlight>,
}

impl Trickled {
    pub(super) fn new(body: String, pause: Duration, in_flight: InFlight) -> Self {
        Self {
            rest: body.into(),
            pause,
            pausing: None,
            in_flight: Some(in_flight),
        }
    }
}

impl Body for Trickled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pausing) = &mut self.pausing {
            ready!(pausing.as_mut().poll(cx));
        }
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let byte = self.rest.split_to(1);
        if self.rest.is_empty()
            && let Some(in_flight) = self.in_flight.take()
        {
            in_flight.answered();
        }
        let pause = self.pause;
        self.pausing = Some(Box::pin(sleep(pause)));
        Poll::Ready(Some(Ok(Frame::data(byte))))
    }
}
