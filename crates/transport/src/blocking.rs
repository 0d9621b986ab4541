//! Work that may wait for the disk or takes long, kept off the threads that drive sockets.

use tokio::task::JoinHandle;

/// Borrows a thread from the runtime's pool for `work`. A simulation has one thread, so that the same seed gives the same
/// order.
pub fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(test)]
    if crate::simulated::world().is_some() {
        return tokio::spawn(async move { work() });
    }
    tokio::task::spawn_blocking(work)
}
