//! The body threads: they flush large bodies before their records are written, so that the committer never waits for
//! 25 MB, and remove those that are not needed any more.
//!
//! Each body is a file of its own, and a flush waits for the disk most of its time. One thread would make each body wait for all
//! before it, while a disk takes several at once.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use gatepost_mail::MessageId;

use crate::promise::CommitError;
use crate::queues::BodyWork;
use crate::shared::Shared;

/// Bodies that are being flushed at once.
const THREADS: usize = 4;

/// Runs until the queue is closed.
fn run(shared: &Shared) {
    loop {
        let work = shared.bodies.wait(THREADS);
        let is_closing = work.is_closing;
        step(shared, work);
        if is_closing {
            return;
        }
    }
}

/// Does everything in `work`. A message whose body is safe on disk goes on to the committer.
pub(crate) fn step(shared: &Shared, work: BodyWork) {
    for id in work.unneeded {
        remove(shared, MessageId(id));
    }
    let mut named = Vec::new();
    for (file, commit) in work.written {
        let (staged, body) = (shared.folders.staged_body(commit.id), shared.folders.body(commit.id));
        shared.count(|c| &c.flushes, 1);
        match file.flush().and_then(|()| shared.disk.rename(&staged, &body)) {
            Ok(()) => named.push(commit),
            Err(error) => {
                fail(shared, &error);
                let _ = shared.disk.remove(&staged);
                commit.promise.keep(Err(CommitError::of(&error)));
            }
        }
    }
    if named.is_empty() {
        return;
    }
    shared.count(|c| &c.flushes, 1);
    match shared.disk.flush_folder(&shared.folders.bodies) {
        Ok(()) => named.into_iter().for_each(|commit| shared.commits.push(commit, None)),
        Err(error) => {
            fail(shared, &error);
            for commit in named {
                remove(shared, commit.id);
                commit.promise.keep(Err(CommitError::of(&error)));
            }
        }
    }
}

fn fail(shared: &Shared, error: &io::Error) {
    shared.count(|c| &c.failures, 1);
    tracing::error!(%error, "the body of a message could not be made safe: refused");
}

fn remove(shared: &Shared, id: MessageId) {
    match shared.disk.remove(&shared.folders.body(id)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%id, %error, "a body file that is not needed any more stays until the next start");
        }
        _ => {}
    }
}

/// The threads, running.
pub(crate) struct Threads(Vec<JoinHandle<()>>);

impl Threads {
    /// Starts them.
    pub fn spawn(shared: &Arc<Shared>) -> io::Result<Threads> {
        let mut threads = Threads(Vec::with_capacity(THREADS));
        for _ in 0..THREADS {
            let of_thread = Arc::clone(shared);
            let started = thread::Builder::new().name("spool-bodies".into()).spawn(move || run(&of_thread));
            match started {
                Ok(thread) => threads.0.push(thread),
                Err(error) => {
                    shared.bodies.close();
                    let _ = threads.join();
                    return Err(error);
                }
            }
        }
        Ok(threads)
    }

    /// Whether all of them run.
    pub fn are_alive(&self) -> bool {
        self.0.iter().all(|thread| !thread.is_finished())
    }

    /// Waits for all of them to end; the queue must be closed. Says whether all ended well.
    pub fn join(self) -> bool {
        let ends: Vec<_> = self.0.into_iter().map(JoinHandle::join).collect();
        ends.iter().all(Result::is_ok)
    }
}
