//! The spool without threads of its own: a simulation takes their steps, so that the same seed gives the same order.
//!
//! Takes a step when the simulation says so, tells it by a bell that there is something to do. For simulations only.

use std::path::Path;
use std::sync::Arc;

use crate::bodies;
use crate::committer::Committer;
use crate::disk::{Disk, Lock};
use crate::opening::OpenError;
use crate::queues::Work;
use crate::recover::Recovering;
use crate::shared::{Options, Shared};
use crate::spool::{Opened, Spool};

/// The threads of one spool, as steps.
#[derive(Debug)]
pub struct ByHand {
    shared: Arc<Shared>,
    committer: Committer,
    _lock: Arc<Lock>,
}

/// Opens the spool in `dir` as [`Spool::start_on`] does: the messages of former runs are still to be released. `bell` is
/// rung whenever there may be something to do.
///
/// # Errors
/// As [`Spool::open`].
pub fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: Options,
    bell: impl Fn() + Clone + Send + Sync + 'static,
) -> Result<(Spool, ByHand, Recovering), OpenError> {
    let Opened { shared, committer, lock, recovering } = Opened::new(disk, dir, options)?;
    shared.commits.bell.hang(bell.clone());
    shared.bodies.bell.hang(bell);
    let spool = Spool::without_threads(Arc::clone(&shared));
    Ok((spool, ByHand { shared, committer, _lock: lock }, recovering))
}

impl ByHand {
    /// Does everything that waits, bodies first. With time (`is_idle`) it is flushed, whatever it is.
    pub fn step(&mut self, is_idle: bool) {
        bodies::step(&self.shared, self.shared.bodies.take());
        let work = self.shared.commits.take();
        self.committer.step(work, is_idle);
        bodies::step(&self.shared, self.shared.bodies.take());
    }

    /// Whether there is something to do with time, although nothing came.
    pub fn has_more_to_do(&self) -> bool {
        self.committer.has_more_to_do()
    }

    /// Refuses what comes from now on, and does what came before.
    pub fn close(mut self) {
        self.shared.bodies.close();
        bodies::step(&self.shared, self.shared.bodies.take());
        self.shared.commits.close();
        let work = self.shared.commits.take();
        self.committer.step(work, true);
        while self.committer.has_backlog() {
            self.committer.step(Work::default(), true);
        }
        bodies::step(&self.shared, self.shared.bodies.take());
    }
}
