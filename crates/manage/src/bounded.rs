//! A connection with its end in sight, and its place among few.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Sleep;

/// One connection: reading fails once its lifetime is over, and that closes it. Its place is free when it is dropped.
pub struct Bounded<S> {
    /// What it runs over.
    pub stream: S,
    end: Pin<Box<Sleep>>,
    /// Ends it before that, once the other half is dropped.
    pushed_out: Option<oneshot::Receiver<()>>,
    is_pushed_out: bool,
    _place: OwnedSemaphorePermit,
}

impl<S> Bounded<S> {
    /// Lives so long, in this place.
    pub fn new(stream: S, lifetime: Duration, place: OwnedSemaphorePermit) -> Bounded<S> {
        Bounded {
            stream,
            end: Box::pin(tokio::time::sleep(lifetime)),
            pushed_out: None,
            is_pushed_out: false,
            _place: place,
        }
    }

    /// Ends when the other half of `pushed_out` is dropped, too.
    pub fn until(self, pushed_out: oneshot::Receiver<()>) -> Bounded<S> {
        Bounded { pushed_out: Some(pushed_out), ..self }
    }

    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        if let Some(pushed_out) = &mut self.pushed_out
            && Pin::new(pushed_out).poll(context).is_ready()
        {
            // It must not be asked again once it has answered.
            self.pushed_out = None;
            self.is_pushed_out = true;
        }
        self.is_pushed_out || self.end.as_mut().poll(context).is_ready()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
