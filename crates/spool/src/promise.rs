//! The two ends of a commit: the future that a session waits for, and the promise that the committer keeps.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use gatepost_mail::MessageId;

use crate::disk;

/// Why a message was not taken. The peer gets a 4xx and tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// No room on the disk: bytes, inodes or quota (`452 4.3.1`).
    #[error("the disk of the spool is full")]
    Full,
    /// A write or a flush failed (`452 4.3.1` as well).
    #[error("the disk of the spool failed: {0}")]
    Io(io::ErrorKind),
    /// The envelope or the trace fields are larger than a record may be (`552 5.3.4`).
    #[error("the envelope is larger than a record of the spool may be")]
    TooLarge,
    /// The spool is closed: the server is stopping (`421 4.3.2`).
    #[error("the spool is closed")]
    Closed,
}

impl CommitError {
    pub(crate) fn of(error: &io::Error) -> CommitError {
        if disk::is_full(error) { CommitError::Full } else { CommitError::Io(error.kind()) }
    }
}

/// What a commit comes to: `Ok` once the message survives power loss. Dropping it does not undo the commit. As
/// `Commit<()>` it is about everything that was settled before.
#[derive(Debug)]
#[must_use = "the message is safe only once this future has returned Ok"]
pub struct Commit<T = MessageId>(Arc<Mutex<Answer<T>>>);

#[derive(Debug)]
struct Answer<T> {
    result: Option<Result<T, CommitError>>,
    waker: Option<Waker>,
}

/// The committer's end. Dropped without having been kept it says that the spool is closed.
#[derive(Debug)]
pub(crate) struct Promise<T: Copy = MessageId>(Arc<Mutex<Answer<T>>>);

pub(crate) fn promise<T: Copy>() -> (Promise<T>, Commit<T>) {
    let answer = Arc::new(Mutex::new(Answer { result: None, waker: None }));
    (Promise(Arc::clone(&answer)), Commit(answer))
}

impl<T: Copy> Promise<T> {
    pub(crate) fn keep(self, result: Result<T, CommitError>) {
        answer(&self.0, result);
    }
}

impl<T: Copy> Drop for Promise<T> {
    fn drop(&mut self) {
        answer(&self.0, Err(CommitError::Closed));
    }
}

/// The first answer stands; waking happens outside of the lock.
fn answer<T>(to: &Mutex<Answer<T>>, result: Result<T, CommitError>) {
    let waker = {
        let mut answer = lock(to);
        if answer.result.is_some() {
            return;
        }
        answer.result = Some(result);
        answer.waker.take()
    };
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<T: Copy> Commit<T> {
    /// Blocks this thread until the result is there.
    pub fn wait(self) -> Result<T, CommitError> {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut commit = pin!(self);
        loop {
            match commit.as_mut().poll(&mut context) {
                Poll::Ready(result) => return result,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl<T: Copy> Future for Commit<T> {
    type Output = Result<T, CommitError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut answer = lock(&self.0);
        if let Some(result) = answer.result {
            return Poll::Ready(result);
        }
        match &mut answer.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }
}

fn lock<T>(answer: &Mutex<Answer<T>>) -> MutexGuard<'_, Answer<T>> {
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_that_nobody_keeps_says_closed() {
        let (promise, commit) = promise::<MessageId>();
        drop(promise);
        assert_eq!(commit.wait(), Err(CommitError::Closed));
    }

    #[test]
    fn a_waiting_thread_is_woken_by_the_answer() {
        let (promise, commit) = promise();
        let waiting = thread::spawn(move || commit.wait());
        promise.keep(Ok(MessageId(5)));
        assert_eq!(waiting.join().expect("it does not panic"), Ok(MessageId(5)));
    }
}
