//! Bodies of requests that come in time or not at all: whoever has proven nothing must not hold a connection open by
//! sending a byte now and then, for connections are few.
//!
//! Takes a body, hands on one that breaks off.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::Sleep;

/// A body with an end of patience.
struct InTime {
    body: Body,
    late: Pin<Box<Sleep>>,
}

/// `body`, as far as it comes within `limit`.
pub fn in_time(body: Body, limit: Duration) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(InTime { body, late: Box::pin(tokio::time::sleep(limit)) })
}

impl HttpBody for InTime {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(self.late.as_mut().poll(cx));
        Poll::Ready(Some(Err(Error::new("the body did not come in time"))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    /// Sends a byte each time it is asked, and never ends.
    struct Trickle(Pin<Box<Sleep>>);

    impl HttpBody for Trickle {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            ready!(self.0.as_mut().poll(cx));
            self.0 = Box::pin(tokio::time::sleep(Duration::from_millis(1)));
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
        }
    }

    #[tokio::test]
    async fn a_body_that_trickles_breaks_off_and_one_that_is_there_is_whole() {
        let limit = Duration::from_millis(50);
        let whole = in_time(Body::from("whole"), limit);
        assert_eq!(to_bytes(whole, 100).await.expect("there"), "whole");
        let slow = in_time(Body::new(Trickle(Box::pin(tokio::time::sleep(Duration::ZERO)))), limit);
        let error = to_bytes(slow, usize::MAX).await.expect_err("it never ends");
        assert!(error.to_string().contains("in time"), "{error}");
    }
}
