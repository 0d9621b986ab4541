//! What an administrator does to messages and queues: suspends and resumes them, sends them another way, takes them out.
//!
//! Takes numbers of messages, changes how they stand in the spool and where their entries are, and hands on what came of it
//! only when that survives a power cut. What is being delivered meanwhile is let alone: it is suspended or removed should
//! the attempt fail (Exchange: PendingSuspend, PendingRemove). Each runs to its end, whatever becomes of who asked.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatepost_mail::{MessageId, Priority, Reply};
use gatepost_spool::disk::Disk;
use gatepost_spool::{CommitError, Outcome};

use crate::blocking;
use crate::categorize::{self, Unrouted};
use crate::clock::now_ms;
use crate::fetch;
use crate::passports;
use crate::queue::{DeliveryQueue, QueueKey, Taken};
use crate::removals::Removal;
use crate::report::{self, Attempt, OnSuccess};
use crate::state::Running;

/// What the sender is told when an administrator removes a message.
const REMOVED: Reply = Reply::new(550, (5, 0, 0), "The message was removed from the queue by an administrator");
/// Names of suspended queues, one on a line, in the data folder.
const SUSPENDED: &str = "suspended-queues";

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// So many messages.
    pub messages: u64,
    /// So many of those are being delivered right now: it happens should that fail.
    pub pending: u64,
    /// These are not in the queue.
    pub unknown: Vec<MessageId>,
    /// Messages that stay, and why.
    pub failed: Vec<(MessageId, String)>,
}

/// Why nobody can promise that it survives a crash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is in effect, but may not survive a crash: {0}")]
pub struct NotSafe(String);

impl From<CommitError> for NotSafe {
    fn from(error: CommitError) -> NotSafe {
        NotSafe(error.to_string())
    }
}

/// What an administrator wants of some messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Hold them back.
    Suspend,
    /// Let them go on, poison too.
    Resume,
    /// Send them by this send connector, or as the settings say again.
    Redirect(Option<Arc<str>>),
    /// Deliver them by this priority, or by their own again.
    Prioritize(Option<Priority>),
    /// Take them out.
    Remove {
        /// Whether their senders are told.
        with_report: bool,
    },
}

impl Wish {
    /// As passports tell of it: a word, and what else is to be said.
    fn told(&self) -> (&'static str, Option<Box<str>>) {
        match self {
            Wish::Suspend => ("suspend", None),
            Wish::Resume => ("resume", None),
            Wish::Redirect(connector) => ("redirect", Some(connector.as_deref().unwrap_or("back").into())),
            Wish::Prioritize(priority) => ("priority", priority.map(|priority| priority.to_string().into())),
            Wish::Remove { with_report } => ("remove", with_report.then(|| "with a report".into())),
        }
    }
}

/// What to try again now.
#[derive(Clone, Debug)]
pub enum Which {
    /// Everything that waits.
    All,
    /// One message.
    Message(MessageId),
    /// Every queue whose next hop has this text in its name, any case.
    NextHop(String),
    /// Every queue of these names ([`QueueKey::name`]).
    Queues(HashSet<String>),
}

/// Does it to these messages; `who` wants it, as `uid 0`.
///
/// # Errors
/// When that may not survive a crash.
pub async fn change(
    running: &Arc<Running>,
    ids: Vec<MessageId>,
    wish: Wish,
    who: Arc<str>,
) -> Result<Changed, NotSafe> {
    let running = running.clone();
    let work = async move {
        let changed = match wish {
            Wish::Remove { with_report } => remove(&running, ids, Removal { with_report, who }).await,
            wish => stand(&running, ids, wish, who).await,
        };
        running.spool.flushed().await?;
        Ok(changed)
    };
    tokio::spawn(work).await.unwrap_or_else(|error| Err(NotSafe(error.to_string())))
}

/// Changes how messages stand, and puts their entries where they belong then.
async fn stand(running: &Arc<Running>, ids: Vec<MessageId>, wish: Wish, who: Arc<str>) -> Changed {
    let (worker, at_work) = (running.clone(), wish.clone());
    let changed = blocking::run(move || {
        let (mut changed, mut wanted) = (Changed::default(), HashSet::new());
        for id in ids {
            let Some(mut standing) = worker.spool.standing(id) else {
                changed.unknown.push(id);
                continue;
            };
            match &at_work {
                Wish::Suspend => standing.suspended = true,
                Wish::Resume => (standing.suspended, standing.poison, standing.crashes) = (false, false, 0),
                Wish::Redirect(connector) => standing.redirect = connector.as_deref().map(Into::into),
                Wish::Prioritize(priority) => standing.priority = *priority,
                Wish::Remove { .. } => {}
            }
            if at_work == Wish::Resume {
                worker.suspects.clear(id);
            }
            worker.spool.set_standing(id, standing);
            let (word, detail) = at_work.told();
            passports::note_administrator(&worker, id, now_ms(), (&who, word, detail), Vec::new());
            changed.messages += 1;
            wanted.insert(id);
        }
        let taken = worker.queues.take_messages(&wanted);
        (changed, wanted, taken)
    });
    let Ok((mut changed, wanted, taken)) = changed.await else { return Changed::default() };
    let mut unrouted = Vec::new();
    for (queue, entry, due_ms) in taken {
        let goes_elsewhere = match &wish {
            Wish::Redirect(_) | Wish::Prioritize(_) => true,
            Wish::Resume => queue.key == QueueKey::Poison,
            Wish::Suspend | Wish::Remove { .. } => false,
        };
        if goes_elsewhere {
            running.queues.done(&queue, entry.id);
            let due_ms = if matches!(wish, Wish::Prioritize(_)) { due_ms.or(Some(0)) } else { Some(0) };
            unrouted.push(Unrouted::of(entry, due_ms));
        } else {
            categorize::put_back(running, &queue, entry, due_ms);
        }
    }
    if !unrouted.is_empty() {
        categorize::route_anew(running.clone(), unrouted.into_iter()).await;
    }
    // What was taken is back in its queue, so whoever holds the others is at work on them.
    changed.pending = running.queues.in_flight().intersection(&wanted).count() as u64;
    changed
}

async fn remove(running: &Arc<Running>, ids: Vec<MessageId>, removal: Removal) -> Changed {
    let mut changed = Changed::default();
    let mut taken: HashMap<MessageId, Vec<Taken>> = HashMap::new();
    let wanted: HashSet<MessageId> = ids.iter().copied().collect();
    for (queue, entry, due_ms) in running.queues.take_messages(&wanted) {
        taken.entry(entry.id).or_default().push((queue, entry, due_ms));
    }
    for id in ids {
        let taken = Holding { running, entries: taken.remove(&id).unwrap_or_default() };
        match take_out(running, id, &removal, taken).await {
            Ok(Some(is_pending)) => {
                changed.messages += 1;
                changed.pending += u64::from(is_pending);
            }
            Ok(None) => changed.unknown.push(id),
            Err(why) => changed.failed.push((id, why)),
        }
    }
    changed
}

/// Ends what waits of one message. Says whether something of it is being delivered right now; `None` if there is no such
/// message.
async fn take_out(
    running: &Arc<Running>,
    id: MessageId,
    removal: &Removal,
    taken: Holding<'_>,
) -> Result<Option<bool>, String> {
    let Ok(message) = fetch::message(&running.spool, id).await else { return Ok(None) };
    let is_pending = |index: &u32| categorize::is_pending(&message.recipients, *index);
    let waiting: Vec<u32> =
        taken.entries.iter().flat_map(|(_, entry, _)| entry.recipients.as_slice()).copied().collect();
    let waiting: Vec<u32> = waiting.into_iter().filter(is_pending).collect();
    let pending = (0u32..).take(message.recipients.len()).filter(is_pending).count();
    let is_in_flight = waiting.len() < pending;
    let with_report = removal.with_report;
    let before = is_in_flight.then(|| running.removals.want(id, removal.clone()));
    if with_report && !waiting.is_empty() {
        let attempt = |index| Attempt { index, reply: REMOVED, remote: None, on_success: OnSuccess::Delivered };
        let attempts: Vec<Attempt> = waiting.iter().copied().map(attempt).collect();
        let reported = report::give_up(running, &message, &attempts).await;
        if let Err(error) = reported {
            // Whoever asked hears that the message stays, so nothing of it goes later.
            if let Some(before) = before {
                running.removals.want_as_before(id, before);
            }
            return Err(format!("the report for message {id} could not be written: {error}"));
        }
    }
    let time_ms = now_ms();
    let outcomes = waiting.into_iter().map(|index| (index, Outcome::Removed { time_ms })).collect();
    let detail = with_report.then(|| "with a report".into());
    passports::settle_by_hand(running, id, outcomes, &removal.who, "remove", detail);
    taken.done();
    tracing::info!(queue_id = id.0, with_report, is_in_flight, verdict = "removed", "removed by an administrator");
    Ok(Some(is_in_flight))
}

/// The attempt on a message is over, and it waits again: if it is to be removed, that is done now.
pub fn remove_if_wanted(running: &Arc<Running>, id: MessageId) {
    let Some(removal) = running.removals.take(id) else { return };
    let running = running.clone();
    tokio::spawn(async move {
        // What was promised and cannot be done now is done after the next attempt.
        if !remove(&running, vec![id], removal.clone()).await.failed.is_empty() {
            running.removals.want(id, removal);
        }
    });
}

/// Entries taken from their queues. Unless it comes to an end with them, they go back where they were.
struct Holding<'a> {
    running: &'a Arc<Running>,
    entries: Vec<Taken>,
}

impl Holding<'_> {
    fn done(mut self) {
        for (queue, entry, _) in self.entries.drain(..) {
            self.running.queues.done(&queue, entry.id);
        }
    }
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        for (queue, entry, due_ms) in self.entries.drain(..) {
            categorize::put_back(self.running, &queue, entry, due_ms);
        }
    }
}

/// Makes waiting recipients due now; says how many entries that were. Of queues it is not noted with each message.
pub async fn retry(running: &Arc<Running>, which: Which, who: Arc<str>) -> usize {
    let running = running.clone();
    let hurry = move || match which {
        Which::All => running.queues.hurry(|_| true, |_| true),
        Which::Message(id) => {
            let entries = running.queues.hurry(|_| true, |entry| entry.id == id);
            if entries > 0 {
                passports::note_administrator(&running, id, now_ms(), (&who, "retry", None), Vec::new());
            }
            entries
        }
        Which::Queues(names) => running.queues.hurry(|queue| names.contains(&queue.key.name()), |_| true),
        Which::NextHop(part) => {
            let part = part.to_lowercase();
            running.queues.hurry(|queue| queue.key.to_string().to_lowercase().contains(&part), |_| true)
        }
    };
    blocking::run(hurry).await.unwrap_or(0)
}

/// Suspends queues, or lets them go on, by their names ([`QueueKey::name`]). Says how many of them that changes.
///
/// # Errors
/// When the disk cannot keep it; nothing has changed then.
pub async fn suspend_queues(running: &Arc<Running>, names: Vec<String>, suspend: bool) -> io::Result<u64> {
    let running = running.clone();
    let work = move || {
        let mut suspended: HashSet<String> = running.queues.suspended().into_iter().collect();
        let change = |name: &String| if suspend { suspended.insert(name.clone()) } else { suspended.remove(name) };
        let count = names.iter().map(change).filter(|is_change| *is_change).count();
        write_suspended(&*running.disk, &running.revision().settings.server.data_dir, &suspended)?;
        running.queues.set_suspended(suspended.into_iter());
        Ok(count as u64)
    };
    blocking::run(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Routes everything anew that waits in these queues and is not held back, due now. Says how many entries that were.
pub async fn resubmit(running: &Arc<Running>, names: HashSet<String>) -> u64 {
    let mut entries = 0;
    for queue in running.queues.all().into_iter().filter(|queue| names.contains(&queue.key.name())) {
        // A task of its own: what was taken from its queue must not be forgotten with a caller who hangs up.
        entries += tokio::spawn(resubmit_queue(running.clone(), queue)).await.unwrap_or(0);
    }
    entries
}

/// The same for one queue.
pub async fn resubmit_queue(running: Arc<Running>, queue: Arc<DeliveryQueue>) -> u64 {
    let taken = running.queues.take_waiting(&queue);
    let entries = taken.len() as u64;
    let unrouted = taken.into_iter().map(|(queue, entry, _)| {
        running.queues.done(&queue, entry.id);
        Unrouted::of(entry, Some(0))
    });
    let unrouted: Vec<Unrouted> = unrouted.collect();
    categorize::route_anew(running.clone(), unrouted.into_iter()).await;
    entries
}

/// The names of the queues that were suspended in former runs.
///
/// # Errors
/// When the disk does not give them out.
pub fn read_suspended(disk: &dyn Disk, data_dir: &Path) -> io::Result<Vec<String>> {
    let file = match disk.open(&path(data_dir)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut bytes = vec![0; usize::try_from(file.bytes()?).unwrap_or(0)];
    gatepost_spool::disk::read_exact_at(&*file, &mut bytes, 0)?;
    Ok(String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect())
}

fn write_suspended(disk: &dyn Disk, data_dir: &Path, names: &HashSet<String>) -> io::Result<()> {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    let text: String = names.iter().flat_map(|name| [*name, "\n"]).collect();
    let (path, new) = (path(data_dir), data_dir.join(format!("{SUSPENDED}.tmp")));
    disk.create_folder(data_dir)?;
    match disk.remove(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(&new)?;
    file.append(&mut [io::IoSlice::new(text.as_bytes())])?;
    file.flush()?;
    disk.rename(&new, &path)?;
    disk.flush_folder(data_dir)
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join(SUSPENDED)
}
