//! The passports of messages: what is noted when, and that of an accepted message none is lost.
//!
//! Whoever settles, settles through here. And the spool forgets nothing that is not safe with tracking:
//! What is noted of a message lies in memory for a moment. So the spool's log is kept until what it says is on the tracking
//! disk, too, and is read again after a crash, or when there was no room for events. Takes marks of the log, hands down how
//! far all is recorded; never holds up a session.
//!
//! Why nothing is passed over. A mark is taken, then everything that was noted is made safe, then the mark is handed down.
//! Outcomes are noted before they are settled, so those that stand before the mark had been noted. A message is noted
//! after its commit, so in between it is counted as a [`HandOver`](crate::recording::HandOver): the mark waits until all those have been noted that were
//! on their way when it was taken.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gatepost_mail::encoded_word::decoded;
use gatepost_mail::header::Scanner;
use gatepost_mail::{AuthAs, Envelope, Mailbox, MessageId, Reply};
use gatepost_policy::Refusal;
use gatepost_spool::{CommitError, Mark, Outcome as SpoolOutcome, RecipientState, Spool, Staged, State, Told};
use gatepost_tracking::Tracking;
use gatepost_tracking::decision::bounded;
use gatepost_tracking::passport::event::{
    self, Event, Facts, Outcome, Part, ReportKind, ReportOn, Step, Verdict, Way, What,
};
use gatepost_tracking::passport::{Synced, read_label, write_label};

use crate::blocking;
use crate::clock::now_ms;
use crate::recording::HandOver;
use crate::state::Running;

/// How long passports gather before they are flushed: a flush takes the disk from the spool.
const GATHER: Duration = Duration::from_secs(5);
/// How soon they are flushed all the same when the log keeps a segment for nothing else: at ten thousand messages a second
/// five seconds of it are 200 MB.
const HURRY: Duration = Duration::from_millis(100);
/// How long until it is looked again at those that are still on the way, or at a disk that fails.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// After so many passports read from the log those are written before more are read.
const READ_AT_ONCE: usize = 1_024;

/// Reads what former runs left unrecorded, then sees to it for as long as the server runs that the spool may forget.
pub async fn run(running: Arc<Running>, former: (Mark, Mark)) {
    let mut keeper = Keeper { running, recorded: former.0, waiting: None };
    if former.0 < former.1 && !keeper.read_again(former.1).await {
        tracing::warn!("passports of messages of the last run may be incomplete: its log cannot be read whole");
    }
    let mut stop = keeper.running.stop.subscribe();
    loop {
        let pause = async {
            let recording = &keeper.running.recording;
            match keeper.waiting {
                Some((_, period)) if recording.is_over(period) => tokio::time::sleep(LOOK_AGAIN).await,
                Some(_) => keeper.pause(LOOK_AGAIN).await,
                None => {
                    recording.news().await;
                    keeper.pause(GATHER).await;
                }
            }
        };
        tokio::select! {
            biased;
            () = pause => {}
            _ = stop.changed() => return,
        }
        keeper.look().await;
    }
}

/// The same once, at the end of the server: nobody notes anything any more.
pub fn finish(running: &Running) {
    let mark = running.spool.mark();
    let recording = &running.recording;
    let is_whole = !running.recovering.load(Ordering::Relaxed)
        && [0, 1].iter().all(|period| recording.is_over(*period))
        && !recording.take_missed();
    if is_whole && running.tracking.passports.sync() == Synced::Whole {
        running.spool.recorded_up_to(mark);
    }
}

struct Keeper {
    running: Arc<Running>,
    recorded: Mark,
    /// A mark that was taken, and the period that has to be over before it counts.
    waiting: Option<(Mark, usize)>,
}

impl Keeper {
    /// Waits for so long, or until the spool wants the space of what it keeps for us.
    async fn pause(&self, most: Duration) {
        let end = tokio::time::Instant::now() + most;
        while tokio::time::Instant::now() < end {
            tokio::time::sleep(HURRY).await;
            if self.running.spool.awaits_recording() {
                return;
            }
        }
    }

    async fn look(&mut self) {
        let recording = &self.running.recording;
        let (mark, period) = match self.waiting.take() {
            Some(waiting) => waiting,
            None => {
                let mark = self.running.spool.mark();
                if mark <= self.recorded {
                    return;
                }
                (mark, recording.end_period())
            }
        };
        if !recording.is_over(period) {
            self.waiting = Some((mark, period));
            return;
        }
        let synced = if recording.take_missed() { Synced::Incomplete } else { self.sync().await };
        match synced {
            Synced::Whole => self.recorded_up_to(mark),
            Synced::Incomplete => {
                if !self.read_again(mark).await {
                    tracing::warn!("passports of messages may be incomplete: there was no room for them for too long");
                }
            }
            // The log waits, and so do we.
            Synced::Failed => self.waiting = Some((mark, period)),
        }
    }

    /// The log has to be read again before long.
    fn miss(&mut self, mark: Mark) {
        self.running.recording.miss();
        self.waiting = Some((mark, self.running.recording.end_period()));
    }

    async fn sync(&self) -> Synced {
        let running = self.running.clone();
        blocking::run(move || running.tracking.passports.sync()).await.unwrap_or(Synced::Failed)
    }

    fn recorded_up_to(&mut self, mark: Mark) {
        self.recorded = mark;
        self.running.spool.recorded_up_to(mark);
    }

    /// Notes once more what the log says up to `mark`. Says whether all of it was there.
    async fn read_again(&mut self, mark: Mark) -> bool {
        let running = self.running.clone();
        let from = self.recorded;
        let read = move || {
            let is_whole = read_again(&running.spool, &running.tracking, from, mark);
            (is_whole, running.tracking.passports.sync())
        };
        match blocking::run(read).await {
            Ok((Ok(is_whole), Synced::Whole)) => {
                self.recorded_up_to(mark);
                is_whole
            }
            // Nothing is forgotten meanwhile: the next look reads it again.
            Ok((Ok(_), _)) => {
                self.miss(mark);
                true
            }
            Ok((Err(error), _)) => {
                tracing::error!(%error, "the spool's log cannot be read for passports now: tried again");
                self.miss(mark);
                true
            }
            Err(error) => {
                tracing::error!(%error, "reading the spool's log for passports failed by a fault of ours");
                false
            }
        }
    }
}

/// How something was tried.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The way that the recipients go.
    pub way: Way,
    /// The name of the server that was asked.
    pub remote: Option<Box<str>>,
    /// The connection to it.
    pub over: Option<Box<Over>>,
    /// How long it took.
    pub duration: Duration,
}

/// A connection that something was sent over.
#[derive(Clone, Debug)]
pub struct Over {
    /// The address of the next hop; `None` for a socket of this machine.
    pub address: Option<SocketAddr>,
    /// Protocol and cipher suite, inside TLS.
    pub tls: Option<event::Tls>,
}

/// Settles what an attempt came to, and lets the passport say so first: this order keeps passports whole.
pub fn settle(running: &Running, id: MessageId, outcomes: Vec<(u32, SpoolOutcome)>, tried: Tried) {
    for (time_ms, outcomes) in recorded(&outcomes) {
        let Tried { way, remote, over, duration } = tried.clone();
        let (address, tls) = over.map_or((None, None), |over| (over.address, over.tls));
        let duration_ms = milliseconds(duration);
        let attempt = event::Attempt { way, remote, address, tls, duration_ms, outcomes, is_recovered: false };
        note_step(running, id, time_ms, What::Attempt(Box::new(attempt)));
    }
    settle_noted(running, id, outcomes);
}

/// An attempt on a message for which there was no connection: nothing is settled, its queue waits as a whole until then.
pub fn note_no_connection(running: &Running, id: MessageId, recipients: &[u32], why: (&Reply, u64), tried: Tried) {
    let (reply, until_ms) = why;
    let reply: Box<str> = bounded(&reply.to_string());
    let deferred = |recipient: &u32| Outcome {
        recipient: *recipient,
        verdict: Verdict::Deferred { until_ms },
        reply: reply.clone(),
    };
    let attempt = event::Attempt {
        way: tried.way,
        remote: None,
        address: None,
        tls: None,
        duration_ms: milliseconds(tried.duration),
        outcomes: recipients.iter().map(deferred).collect(),
        is_recovered: false,
    };
    note_step(running, id, now_ms(), What::Attempt(Box::new(attempt)));
}

/// Settles what an administrator ended: `who` as `uid 0`, `action` as a word.
pub fn settle_by_hand(
    running: &Running,
    id: MessageId,
    outcomes: Vec<(u32, SpoolOutcome)>,
    who: &str,
    action: &str,
    detail: Option<Box<str>>,
) {
    let mut ended = recorded(&outcomes);
    let (time_ms, ended) = ended.pop().unwrap_or_else(|| (now_ms(), Vec::new()));
    note_administrator(running, id, time_ms, (who, action, detail), ended);
    settle_noted(running, id, outcomes);
}

/// An administrator did something with a message: `who` as `uid 0`, a word for what, and what else is to be said.
pub fn note_administrator(
    running: &Running,
    id: MessageId,
    time_ms: u64,
    (who, action, detail): (&str, &str, Option<Box<str>>),
    outcomes: Vec<Outcome>,
) {
    let (who, action) = (who.into(), action.into());
    note_step(running, id, time_ms, What::Administrator { who, action, detail, outcomes });
}

/// Why a message whose record is damaged is held.
pub const DAMAGED: &str = "it is damaged on the disk and set aside";

/// A message is held: `reason` says why.
pub fn note_held(running: &Running, id: MessageId, reason: &str) {
    note_step(running, id, now_ms(), What::Held { reason: bounded(reason) });
}

/// A step of a message.
pub fn note_step(running: &Running, id: MessageId, time_ms: u64, what: What) {
    running.tracking.note(Event::Step { queue_id: id.0, step: Step { time_ms, what } });
}

fn settle_noted(running: &Running, id: MessageId, outcomes: Vec<(u32, SpoolOutcome)>) {
    if outcomes.is_empty() {
        return;
    }
    if running.spool.settle(id, outcomes) {
        running.tracking.note(Event::Ended { queue_id: id.0 });
    }
    running.recording.tell_news();
}

/// Outcomes as passports have them, by their times: of one attempt there is one.
fn recorded(outcomes: &[(u32, SpoolOutcome)]) -> Vec<(u64, Vec<Outcome>)> {
    let mut by_time: Vec<(u64, Vec<Outcome>)> = Vec::with_capacity(1);
    for (recipient, outcome) in outcomes {
        let (verdict, reply, time_ms) = match outcome {
            SpoolOutcome::Delivered { reply, time_ms } => (Verdict::Delivered, reply.clone(), *time_ms),
            SpoolOutcome::Deferred { reply, time_ms, next_attempt_ms } => {
                (Verdict::Deferred { until_ms: *next_attempt_ms }, reply.clone(), *time_ms)
            }
            SpoolOutcome::Failed { reply, time_ms } if has_expired(reply) => {
                (Verdict::Expired, reply.clone(), *time_ms)
            }
            SpoolOutcome::Failed { reply, time_ms } => (Verdict::Failed, reply.clone(), *time_ms),
            SpoolOutcome::Removed { time_ms } => (Verdict::Removed, Box::default(), *time_ms),
            SpoolOutcome::DelayTold => continue,
        };
        let outcome = Outcome { recipient: *recipient, verdict, reply };
        match by_time.last_mut() {
            Some((last_ms, outcomes)) if *last_ms == time_ms => outcomes.push(outcome),
            _ => by_time.push((time_ms, vec![outcome])),
        }
    }
    by_time
}

/// Whether a recipient was given up because it waited for too long: its last reply is ours then.
fn has_expired(reply: &str) -> bool {
    let expired = Refusal::Expired.reply();
    expired.status.is_some_and(|status| reply.starts_with(&format!("{} {status} ", expired.code)))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Tried {
    /// Nobody was asked.
    pub fn by_nobody() -> Tried {
        let way = Way { connector: "".into(), next_hop: "".into() };
        Tried { way, remote: None, over: None, duration: Duration::ZERO }
    }
}

/// A message of our own, as passports tell of it.
#[derive(Clone, Copy, Debug)]
pub struct Own<'a> {
    /// The messages that it reports on; none where it is no report.
    pub about: &'a [MessageId],
    /// What it says of them.
    pub kind: ReportKind,
    /// Whom it goes to.
    pub to: &'a Mailbox,
    /// What was staged.
    pub content: &'a [u8],
}

/// Commits a message of our own, and notes it in its own passport and in those of the messages that it reports on.
///
/// # Errors
/// As [`Staged::commit`].
pub async fn commit_own(
    running: &Arc<Running>,
    mut staged: Staged,
    envelope: Envelope,
    own: Own<'_>,
) -> Result<(), CommitError> {
    let id = staged.id();
    let mut scanner = Scanner::new(u64::MAX, "");
    scanner.push(own.content);
    let header = scanner.finish();
    let facts = Facts {
        message_id: header.message_id.as_deref().map(bounded).unwrap_or_default(),
        subject: header.subject.as_deref().map(|subject| bounded(&decoded(subject))),
        report: own.about.first().map(|about| ReportOn { about: about.0, kind: own.kind }),
        ..Facts::default()
    };
    staged.set_label(write_label(&facts));
    let mut facts = with_envelope(facts, &envelope);
    facts.size = staged.len();
    let (hand_over, time_ms) = (HandOver::begin(&running.recording), facts.time_ms);
    let committed = staged.commit(envelope, Vec::new()).await;
    if committed.is_ok() {
        running.tracking.note(Event::Received { queue_id: id.0, facts: Box::new(facts) });
        for about in own.about {
            let what = What::Report { queue_id: id.0, kind: own.kind, to: bounded(&own.to.to_string()) };
            note_step(running, *about, time_ms, what);
        }
    }
    hand_over.noted();
    committed.map(|_| ())
}

/// Notes what the log says between two marks. Blocks.
///
/// # Errors
/// When the disk cannot be read.
pub fn read_again(spool: &Spool, tracking: &Tracking, from: Mark, to: Mark) -> std::io::Result<bool> {
    let mut open: BTreeMap<u64, Part> = BTreeMap::new();
    let mut noted = 0;
    let mut note = |part: Part| {
        tracking.note(Event::Recovered(Box::new(part)));
        noted += 1;
        if noted % READ_AT_ONCE == 0 {
            tracking.passports.flush();
        }
    };
    let is_whole = spool.history(from, to, |told| tell(&mut open, told).into_iter().for_each(&mut note))?;
    open.into_values().for_each(note);
    Ok(is_whole)
}

/// Adds what the log says to what is open; hands on what has ended. An end is handed on even where the log says no more of
/// it: its message may stand before the first mark, and how it ended was in nobody's memory but that of the last run.
fn tell(open: &mut BTreeMap<u64, Part>, told: Told<'_>) -> Option<Part> {
    match told {
        Told::Accepted { id, envelope, bytes, label, recipients } => {
            let part = part_of(open, id);
            part.facts = Some(Box::new(facts(&envelope, bytes, label)));
            recipients.iter().for_each(|(index, state)| add_outcome(part, *index, state));
        }
        Told::Changed { id, recipient, state } => add_outcome(part_of(open, id), recipient, &state),
        Told::Ended { id, recipients } => {
            let mut part = open.remove(&id.0).unwrap_or_else(|| recovered(id));
            recipients.iter().for_each(|(index, state)| add_outcome(&mut part, *index, state));
            part.is_last = true;
            return Some(part);
        }
        Told::Refused { id } => drop(open.remove(&id.0)),
    }
    None
}

fn recovered(id: MessageId) -> Part {
    Part { queue_id: id.0, is_recovered: true, ..Part::default() }
}

fn part_of(open: &mut BTreeMap<u64, Part>, id: MessageId) -> &mut Part {
    open.entry(id.0).or_insert_with(|| recovered(id))
}

/// How the message came, of its envelope and the label that was put on it.
fn facts(envelope: &Envelope, size: u64, label: Option<&[u8]>) -> Facts {
    Facts { size, ..with_envelope(label.and_then(read_label).unwrap_or_default(), envelope) }
}

/// Adds what the envelope says.
pub fn with_envelope(facts: Facts, envelope: &Envelope) -> Facts {
    let arrival = &envelope.arrival;
    Facts {
        time_ms: arrival.time_ms,
        sender: envelope.reverse_path.mailbox().map(|sender| sender.to_string().into()).unwrap_or_default(),
        recipients: envelope.recipients.iter().map(|recipient| recipient.mailbox.to_string().into()).collect(),
        peer: arrival.peer,
        connector: (&*arrival.connector).into(),
        principal: arrival.principal.clone(),
        is_internal: arrival.auth_as == AuthAs::Internal,
        ..facts
    }
}

fn add_outcome(part: &mut Part, recipient: u32, state: &RecipientState) {
    let verdict = match state.state {
        State::Pending if state.attempts == 0 => return,
        State::Pending => Verdict::Deferred { until_ms: state.next_attempt_ms },
        State::Delivered => Verdict::Delivered,
        State::Failed => Verdict::Failed,
        State::Removed => Verdict::Removed,
    };
    let reply = state.last_reply.clone().unwrap_or_default();
    let outcome = Outcome { recipient, verdict, reply };
    let time_ms = state.last_attempt_ms;
    if let Some(Step { time_ms: last_ms, what: What::Attempt(attempt) }) = part.steps.last_mut()
        && *last_ms == time_ms
    {
        attempt.outcomes.push(outcome);
        return;
    }
    let way = Way { connector: "".into(), next_hop: "".into() };
    let attempt = event::Attempt {
        way,
        remote: None,
        address: None,
        tls: None,
        duration_ms: 0,
        outcomes: vec![outcome],
        is_recovered: true,
    };
    part.steps.push(Step { time_ms, what: What::Attempt(Box::new(attempt)) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_handed_on_though_the_log_says_no_more_of_it_behind_the_mark() {
        let mut open = BTreeMap::new();
        let part = tell(&mut open, Told::Ended { id: MessageId(7), recipients: Vec::new() }).expect("it ended");
        assert_eq!(part, Part { queue_id: 7, is_last: true, is_recovered: true, ..Part::default() });
        assert!(tell(&mut open, Told::Refused { id: MessageId(8) }).is_none());
        assert!(open.is_empty());
    }
}
