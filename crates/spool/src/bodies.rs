//! The body thread: flushes large bodies before their records are written, so that the committer never waits for
//! 25 MB, and removes those that are not needed any more.

use std::io;
use std::sync::Arc;

use gatepost_mail::MessageId;

use crate::promise::CommitError;
use crate::queues::BodyWork;
use crate::shared::Shared;

/// Runs until the queue is closed.
pub(crate) fn run(shared: &Shared) {
    loop {
        let work = shared.bodies.wait();
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

/// Starts the thread.
pub(crate) fn spawn(shared: Arc<Shared>) -> io::Result<std::thread::JoinHandle<()>> {
    std::thread::Builder::new().name("spool-bodies".into()).spawn(move || run(&shared))
}
