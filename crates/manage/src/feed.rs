//! The answer to whoever listens: server-sent events (HTML Standard, section 9.2) for as long as somebody sends them.
//!
//! Takes pieces of text through a channel, hands on an answer that ends when the channel does; the channel is closed when the
//! listener has gone.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use hyper::body::{Bytes, Frame};
use tokio::sync::mpsc;

/// The answer that consists of what comes.
pub fn feed(pieces: mpsc::Receiver<Bytes>) -> Response {
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::new(Feed(pieces))).into_response()
}

/// A body that grows as long as somebody sends.
struct Feed(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Feed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
