//! Answers without an end of their own, which end when whoever listens may no longer: a session is over, a token was removed, a role
//! was taken away.
//!
//! Takes a body and the question whether it may go on, hands on a body that asks it now and then.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::Frame;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often it is asked.
const PAUSE: Duration = Duration::from_secs(5);

struct Watched<F> {
    body: Body,
    may_go_on: F,
    asked: Interval,
}

/// `body`, for as long as `may_go_on` says so.
pub fn watched(body: Body, may_go_on: impl Fn() -> bool + Send + Unpin + 'static) -> Body {
    watched_each(PAUSE, body, may_go_on)
}

fn watched_each(pause: Duration, body: Body, may_go_on: impl Fn() -> bool + Send + Unpin + 'static) -> Body {
    let mut asked = interval(pause);
    asked.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Body::new(Watched { body, may_go_on, asked })
}

impl<F: Fn() -> bool + Unpin> HttpBody for Watched<F> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        while self.asked.poll_tick(cx).is_ready() {
            if !(self.may_go_on)() {
                return Poll::Ready(None);
            }
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;

    use super::*;

    /// Never says anything, and never ends.
    struct Silence;

    impl HttpBody for Silence {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn whoever_may_no_longer_listen_hears_the_end() {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let may_go_on = move || count.fetch_add(1, Ordering::SeqCst) < 3;
        let mut body = watched_each(Duration::from_millis(1), Body::new(Silence), may_go_on);
        assert!(body.frame().await.is_none());
        assert_eq!(asked.load(Ordering::SeqCst), 4, "it is asked again and again");
    }
}
