//! What next hops have said of recipients lately, what they are being asked now, and how much they may be asked.
//!
//! Takes questions about recipients and the verdicts that workers find; hands verdicts to everybody who waits for one.
//! Asks nobody itself. Everything here has a bound: what is remembered, who waits, who works, how often a next hop is
//! asked.

mod turns;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gatepost_mail::Mailbox;
use gatepost_policy::route::NextHop;
use gatepost_policy::verification::Verdict;
use gatepost_tracking::source_of;
use tokio::sync::{Notify, watch};

use self::turns::Turns;

/// How long a question may wait for its answer: well below the five minutes that a client waits for the reply to RCPT
/// (RFC 5321 section 4.5.3.2.3).
pub const ANSWER_MAX: Duration = Duration::from_secs(30);
/// The longest wait for one address of the next hop to be connected to, and for each of its replies.
pub const REPLY_MAX: Duration = Duration::from_secs(10);
/// A recipient that was there is likely to stay.
const ACCEPTED_LASTS: Duration = Duration::from_secs(24 * 60 * 60);
/// One that was not may be made at any moment, and its first message should not be refused for long.
const REFUSED_LASTS: Duration = Duration::from_secs(5 * 60);
/// A next hop that said "later" is not asked the same at once.
const NO_ANSWER_LASTS: Duration = Duration::from_secs(30);
/// A next hop that cannot be reached, or falls silent, is left alone so long; nobody waits for it meanwhile.
const SILENCE_LASTS: Duration = Duration::from_secs(15);
/// At most so many verdicts of a kind are remembered: a flood of unknown recipients does not push out known ones.
const REMEMBERED_MAX: usize = 50_000;
/// Questions to one next hop that wait for a worker.
const WAITING_MAX: usize = 100;
/// Those of one source: a next hop that holds replies about unknown recipients back is soon busy with one stranger's, and
/// others would find no room to wait.
const WAITING_OF_SOURCE_MAX: usize = 4;
/// Connections to one next hop that ask. They are none of delivery's, which must not wait for us.
const WORKERS_PER_HOP_MAX: usize = 8;
/// Connections that ask, in all.
const WORKERS_MAX: usize = 64;
/// Next hops that are being asked, or were lately.
const HOPS_MAX: usize = 1_000;
/// A next hop is asked so often a second at most, when many want to know for long.
const QUESTIONS_PER_SECOND: u32 = 50;
/// So long may it be asked faster.
const BURST: Duration = Duration::from_secs(2);

/// Who is asked: a way out and where it leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// Name of the send connector.
    pub connector: Arc<str>,
    /// Where to connect.
    pub next_hop: NextHop,
}

/// What becomes of a question.
pub enum Asked {
    /// The verdict, without asking.
    Known(Verdict),
    /// It will come here. Where the sender goes away without one, there is none.
    Awaited(watch::Receiver<Option<Verdict>>),
    /// The same, and the caller is to start a worker that begins with [`Verdicts::begin_work`].
    NeedsWorker(watch::Receiver<Option<Verdict>>),
}

/// A question that a worker is to ask.
#[derive(Debug)]
pub struct Question {
    /// About whom.
    pub recipient: Mailbox,
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
    key: u64,
    answer: watch::Sender<Option<Verdict>>,
}

/// Everything that is known and asked.
#[derive(Default)]
pub struct Verdicts {
    inner: Mutex<Inner>,
    /// Recipients are kept as numbers: strangers choose them. The numbers are of this process alone, so nobody can choose
    /// a recipient that is taken for another.
    numbers: RandomState,
}

#[derive(Default)]
struct Inner {
    accepted: Memory,
    others: Memory,
    asked: HashMap<u64, watch::Receiver<Option<Verdict>>>,
    hops: HashMap<Hop, Line>,
    workers: usize,
}

/// What waits for one next hop.
#[derive(Default)]
struct Line {
    questions: Turns<Question>,
    workers: usize,
    /// Those of the workers that are at a question. The others wait for one, or are about to look for one.
    busy: usize,
    more: Arc<Notify>,
    /// Until when the questions so far have used up its patience.
    paid_until: Option<Instant>,
    /// Until when it is left alone.
    silent_until: Option<Instant>,
}

impl Verdicts {
    /// Looks up, or notes as a question of `peer`, whether `hop` takes mail for `recipient`.
    pub fn ask(&self, hop: &Hop, recipient: &Mailbox, peer: IpAddr, now: Instant) -> Asked {
        let key = self.numbers.hash_one((hop, recipient.local_part_key(), recipient.domain()));
        let inner = &mut *self.lock();
        if let Some(verdict) = inner.accepted.find(key, now).or_else(|| inner.others.find(key, now)) {
            return Asked::Known(verdict);
        }
        // A worker that broke down leaves a question behind that nobody will answer.
        if let Some(awaited) = inner.asked.get(&key).filter(|awaited| awaited.has_changed().is_ok()) {
            return Asked::Awaited(awaited.clone());
        }
        if inner.hops.len() >= HOPS_MAX && !inner.hops.contains_key(hop) {
            inner.hops.retain(|_, line| line.is_needed(now));
            if inner.hops.len() >= HOPS_MAX {
                return Asked::Known(Verdict::NoAnswer);
            }
        }
        let line = inner.hops.entry(hop.clone()).or_default();
        let needs_worker = line.questions.len() >= line.workers - line.busy;
        let may_have_worker = line.workers < WORKERS_PER_HOP_MAX && inner.workers < WORKERS_MAX;
        let nobody_will_ask = line.workers == 0 && !may_have_worker;
        let source = source_of(peer);
        // Where a worker is free, or may begin, a question does not wait.
        let waits = needs_worker && !may_have_worker;
        let too_many_wait =
            line.questions.len() >= WAITING_MAX || waits && line.questions.len_of(source) >= WAITING_OF_SOURCE_MAX;
        if nobody_will_ask || too_many_wait || line.is_silent(now) || !line.pay(now) {
            return Asked::Known(Verdict::NoAnswer);
        }
        let (answer, awaited) = watch::channel(None);
        let question = Question { recipient: recipient.clone(), deadline: now + ANSWER_MAX, key, answer };
        line.questions.push(source, question);
        inner.asked.insert(key, awaited.clone());
        if needs_worker && may_have_worker {
            line.workers += 1;
            inner.workers += 1;
            return Asked::NeedsWorker(awaited);
        }
        line.more.notify_one();
        Asked::Awaited(awaited)
    }

    /// Everything that was said is forgotten: the administrator has changed something.
    pub fn forget(&self) {
        let inner = &mut *self.lock();
        inner.accepted = Memory::default();
        inner.others = Memory::default();
        for line in inner.hops.values_mut() {
            line.silent_until = None;
        }
    }

    /// The worker that [`Asked::NeedsWorker`] wants.
    pub fn begin_work(self: &Arc<Self>, hop: Hop) -> Worker {
        Worker { verdicts: self.clone(), hop, is_busy: false, has_retired: false }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn answer(&mut self, question: &Question, verdict: Verdict, now: Instant) {
        self.asked.remove(&question.key);
        let (memory, lasts) = match verdict {
            Verdict::Accepted => (&mut self.accepted, ACCEPTED_LASTS),
            Verdict::Refused => (&mut self.others, REFUSED_LASTS),
            Verdict::NoAnswer => (&mut self.others, NO_ANSWER_LASTS),
        };
        memory.note(question.key, verdict, now + lasts);
        question.answer.send_replace(Some(verdict));
    }

    fn worker_ended(&mut self, hop: &Hop) {
        self.workers = self.workers.saturating_sub(1);
        let Some(line) = self.hops.get_mut(hop) else { return };
        line.workers = line.workers.saturating_sub(1);
        if line.workers == 0 {
            // Their senders go, which tells whoever waits.
            for question in std::mem::take(&mut line.questions).into_all() {
                self.asked.remove(&question.key);
            }
        }
    }
}

impl Line {
    /// Notes whether one of the workers is at a question, if that has changed.
    fn set_busy(&mut self, was_busy: &mut bool, is_busy: bool) {
        match (std::mem::replace(was_busy, is_busy), is_busy) {
            (false, true) => self.busy += 1,
            (true, false) => self.busy -= 1,
            (false, false) | (true, true) => {}
        }
    }

    fn is_silent(&self, now: Instant) -> bool {
        self.silent_until.is_some_and(|until| until > now)
    }

    /// Whether one more question is not too many for the next hop; counts it.
    fn pay(&mut self, now: Instant) -> bool {
        let until = self.paid_until.unwrap_or(now).max(now) + Duration::from_secs(1) / QUESTIONS_PER_SECOND;
        let may = until <= now + BURST;
        if may {
            self.paid_until = Some(until);
        }
        may
    }

    fn is_needed(&self, now: Instant) -> bool {
        self.workers > 0 || self.is_silent(now) || self.paid_until.is_some_and(|until| until > now)
    }
}

/// One that asks a next hop. Dropping it takes it off the counts; when it was the last one, whoever still waits is told
/// that there is no answer.
pub struct Worker {
    verdicts: Arc<Verdicts>,
    /// Who is asked.
    pub hop: Hop,
    is_busy: bool,
    has_retired: bool,
}

impl Worker {
    /// The next question that somebody waits for. Sources have turns.
    pub fn next(&mut self, now: Instant) -> Option<Question> {
        let inner = &mut *self.verdicts.lock();
        let line = inner.hops.get_mut(&self.hop)?;
        line.set_busy(&mut self.is_busy, false);
        loop {
            let line = inner.hops.get_mut(&self.hop)?;
            let question = line.questions.pop()?;
            if question.deadline > now {
                line.set_busy(&mut self.is_busy, true);
                return Some(question);
            }
            inner.answer(&question, Verdict::NoAnswer, now);
        }
    }

    /// Waits until there may be a question.
    pub async fn wait(&self) {
        let more = {
            let inner = &mut *self.verdicts.lock();
            let Some(line) = inner.hops.get_mut(&self.hop) else { return };
            // One that came meanwhile was counted on us, and nobody tells of it again.
            if !line.questions.is_empty() {
                return;
            }
            line.more.clone()
        };
        more.notified().await;
    }

    /// Ends the work, unless there is a question: whether it has ended. Looking and ending are one step, so that no
    /// question comes in between.
    pub fn retire(&mut self) -> bool {
        let inner = &mut *self.verdicts.lock();
        let line = inner.hops.get_mut(&self.hop);
        if line.is_some_and(|line| !line.questions.is_empty()) {
            return false;
        }
        inner.worker_ended(&self.hop);
        self.has_retired = true;
        true
    }

    /// Tells everybody who waits for it, and is there for the next question. Both are one step: whoever hears the answer may
    /// ask the next question at once, and no other worker is to be begun for that.
    pub fn answer(&mut self, question: &Question, verdict: Verdict, now: Instant) {
        let inner = &mut *self.verdicts.lock();
        inner.answer(question, verdict, now);
        if let Some(line) = inner.hops.get_mut(&self.hop) {
            line.set_busy(&mut self.is_busy, false);
        }
    }

    /// The same, but it has something else to do before it comes for the next question.
    pub fn answer_only(&self, question: &Question, verdict: Verdict, now: Instant) {
        self.verdicts.lock().answer(question, verdict, now);
    }

    /// The deadline of a question that was begun at `asked_at` came before its answer: whether that was silence. Where a
    /// question has waited long for its turn, the next hop had no time to answer, and is no worse for that: one that holds
    /// replies about unknown recipients back would else be lost to all others whenever a stranger asks about many.
    pub fn ran_out(&mut self, question: &Question, asked_at: Instant, now: Instant) -> bool {
        self.answer(question, Verdict::NoAnswer, now);
        now.saturating_duration_since(asked_at) >= REPLY_MAX
    }

    /// The next hop does not answer at all: whoever waits for it is told so, and it is left alone for a while.
    pub fn found_silent(&self, now: Instant) {
        let inner = &mut *self.verdicts.lock();
        let Some(line) = inner.hops.get_mut(&self.hop) else { return };
        line.silent_until = Some(now + SILENCE_LASTS);
        for question in std::mem::take(&mut line.questions).into_all() {
            inner.answer(&question, Verdict::NoAnswer, now);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if !self.has_retired {
            let inner = &mut *self.verdicts.lock();
            if let Some(line) = inner.hops.get_mut(&self.hop) {
                line.set_busy(&mut self.is_busy, false);
            }
            inner.worker_ended(&self.hop);
        }
    }
}

/// Verdicts by number, in two generations: what is asked for stays, what is not makes room.
#[derive(Default)]
struct Memory {
    young: HashMap<u64, (Verdict, Instant)>,
    old: HashMap<u64, (Verdict, Instant)>,
}

impl Memory {
    fn find(&mut self, key: u64, now: Instant) -> Option<Verdict> {
        let (verdict, until) = match self.young.get(&key) {
            Some(found) => *found,
            None => {
                let (verdict, until) = self.old.remove(&key)?;
                self.note(key, verdict, until);
                (verdict, until)
            }
        };
        (until > now).then_some(verdict)
    }

    fn note(&mut self, key: u64, verdict: Verdict, until: Instant) {
        if self.young.len() >= REMEMBERED_MAX / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, (verdict, until));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use gatepost_mail::Domain;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 2, 55));

    fn hop(name: &str) -> Hop {
        let domain = Domain::parse("next.example").expect("a domain");
        Hop { connector: name.into(), next_hop: NextHop::Domain(domain) }
    }

    fn user(n: usize) -> Mailbox {
        Mailbox::parse(&format!("user{n}@relay.example")).expect("an address")
    }

    fn known(asked: Asked) -> Option<Verdict> {
        match asked {
            Asked::Known(verdict) => Some(verdict),
            Asked::Awaited(_) | Asked::NeedsWorker(_) => None,
        }
    }

    /// Asks, and answers as the one worker would.
    fn say(verdicts: &Arc<Verdicts>, hop: &Hop, recipient: &Mailbox, verdict: Verdict, now: Instant) {
        let Asked::NeedsWorker(awaited) = verdicts.ask(hop, recipient, PEER, now) else {
            panic!("somebody works already")
        };
        let mut worker = verdicts.begin_work(hop.clone());
        let question = worker.next(now).expect("the question");
        assert_eq!(question.recipient, *recipient);
        worker.answer(&question, verdict, now);
        assert_eq!(*awaited.borrow(), Some(verdict));
        assert!(worker.retire());
    }

    #[test]
    fn a_yes_lasts_longer_than_a_no_and_a_no_longer_than_no_answer() {
        for (verdict, lasts) in [
            (Verdict::Accepted, ACCEPTED_LASTS),
            (Verdict::Refused, REFUSED_LASTS),
            (Verdict::NoAnswer, NO_ANSWER_LASTS),
        ] {
            let (verdicts, hop, now) = (Arc::<Verdicts>::default(), hop("Inside"), Instant::now());
            say(&verdicts, &hop, &user(1), verdict, now);
            let at = |after: Duration| known(verdicts.ask(&hop, &user(1), PEER, now + after));
            assert_eq!(at(lasts - Duration::from_millis(1)), Some(verdict));
            assert_eq!(at(lasts), None, "{verdict:?} is asked again");
        }
    }

    #[test]
    fn a_verdict_is_one_of_this_way_out_and_of_this_recipient() {
        let (verdicts, inside, now) = (Arc::<Verdicts>::default(), hop("Inside"), Instant::now());
        say(&verdicts, &inside, &user(1), Verdict::Accepted, now);
        assert_eq!(known(verdicts.ask(&hop("Other"), &user(1), PEER, now)), None);
        assert_eq!(known(verdicts.ask(&inside, &user(2), PEER, now)), None);
        let shouted = Mailbox::parse("USER1@Relay.Example").expect("an address");
        assert_eq!(known(verdicts.ask(&inside, &shouted, PEER, now)), Some(Verdict::Accepted));
        verdicts.forget();
        assert_eq!(known(verdicts.ask(&inside, &user(1), PEER, now)), None);
    }

    #[test]
    fn a_flood_of_unknown_recipients_has_a_bound_and_pushes_out_no_known_one() {
        let now = Instant::now();
        let mut inner = Inner::default();
        let note = |inner: &mut Inner, key: u64, verdict| {
            let (answer, _awaited) = watch::channel(None);
            inner.answer(&Question { recipient: user(0), deadline: now, key, answer }, verdict, now);
        };
        note(&mut inner, 1, Verdict::Accepted);
        for key in 2..4 * REMEMBERED_MAX as u64 {
            note(&mut inner, key, Verdict::Refused);
            // What is asked for stays.
            assert_eq!(inner.others.find(2, now), Some(Verdict::Refused));
        }
        assert_eq!(inner.accepted.find(1, now), Some(Verdict::Accepted));
        assert!(inner.others.young.len() + inner.others.old.len() <= REMEMBERED_MAX);
        assert_eq!(inner.others.find(3, now), None);
    }

    #[test]
    fn a_next_hop_is_asked_so_often_a_second_and_no_more() {
        let (mut line, now) = (Line::default(), Instant::now());
        let burst = QUESTIONS_PER_SECOND * u32::try_from(BURST.as_secs()).expect("few seconds");
        let paid = |line: &mut Line, at: Duration| (0..1_000).filter(|_| line.pay(now + at)).count();
        assert_eq!(paid(&mut line, Duration::ZERO), burst as usize);
        assert_eq!(paid(&mut line, Duration::from_secs(1)), QUESTIONS_PER_SECOND as usize);
        assert_eq!(paid(&mut line, Duration::from_millis(1_020)), 1);
    }

    #[test]
    fn a_silent_next_hop_is_left_alone_and_whoever_waits_for_it_is_told() {
        let (verdicts, hop, now) = (Arc::<Verdicts>::default(), hop("Inside"), Instant::now());
        let Asked::NeedsWorker(first) = verdicts.ask(&hop, &user(1), PEER, now) else { panic!("nobody works yet") };
        let Asked::NeedsWorker(second) = verdicts.ask(&hop, &user(2), PEER, now) else {
            panic!("one works at one question")
        };
        let mut worker = verdicts.begin_work(hop.clone());
        let question = worker.next(now).expect("the first question");
        worker.answer(&question, Verdict::NoAnswer, now);
        worker.found_silent(now);
        for awaited in [first, second] {
            assert_eq!(*awaited.borrow(), Some(Verdict::NoAnswer));
        }
        assert_eq!(known(verdicts.ask(&hop, &user(3), PEER, now)), Some(Verdict::NoAnswer));
        let later = now + SILENCE_LASTS;
        assert_eq!(known(verdicts.ask(&hop, &user(3), PEER, later)), None);
    }

    #[test]
    fn a_question_that_waited_for_its_turn_makes_no_next_hop_silent() {
        let (verdicts, hop, now) = (Arc::<Verdicts>::default(), hop("Inside"), Instant::now());
        let Asked::NeedsWorker(awaited) = verdicts.ask(&hop, &user(1), PEER, now) else { panic!("nobody works yet") };
        let mut worker = verdicts.begin_work(hop.clone());
        let question = worker.next(now + ANSWER_MAX - Duration::from_secs(1)).expect("a second is left");
        assert!(!worker.ran_out(&question, now + ANSWER_MAX - Duration::from_secs(1), now + ANSWER_MAX));
        assert_eq!(*awaited.borrow(), Some(Verdict::NoAnswer));
        assert_eq!(known(verdicts.ask(&hop, &user(2), PEER, now + ANSWER_MAX)), None, "it is asked further");
        assert!(worker.ran_out(&question, now, now + ANSWER_MAX));
    }

    #[test]
    fn a_worker_that_breaks_down_leaves_nobody_waiting() {
        let (verdicts, hop, now) = (Arc::<Verdicts>::default(), hop("Inside"), Instant::now());
        let Asked::NeedsWorker(awaited) = verdicts.ask(&hop, &user(1), PEER, now) else { panic!("nobody works yet") };
        let mut worker = verdicts.begin_work(hop.clone());
        // It had begun with the question, or not.
        let begun = worker.next(now);
        drop((begun, worker));
        assert!(awaited.has_changed().is_err());
        assert!(matches!(verdicts.ask(&hop, &user(1), PEER, now), Asked::NeedsWorker(_)));
        let worker = verdicts.begin_work(hop.clone());
        drop(worker);
        assert!(matches!(verdicts.ask(&hop, &user(1), PEER, now), Asked::NeedsWorker(_)));
    }

    #[test]
    fn a_worker_that_has_just_answered_gets_the_next_question_and_no_other_is_begun() {
        let (verdicts, hop, now) = (Arc::<Verdicts>::default(), hop("Inside"), Instant::now());
        let ask = |n| verdicts.ask(&hop, &user(n), PEER, now);
        let Asked::NeedsWorker(_first) = ask(1) else { panic!("nobody works yet") };
        let mut worker = verdicts.begin_work(hop.clone());
        let question = worker.next(now).expect("the first question");
        worker.answer(&question, Verdict::Accepted, now);
        // It has not come back yet.
        let Asked::Awaited(_second) = ask(2) else { panic!("one works already") };
        let question = worker.next(now).expect("the second question");
        assert_eq!(question.recipient, user(2));
        // While it says goodbye to a connection, nobody waits for it.
        worker.answer_only(&question, Verdict::Accepted, now);
        let Asked::NeedsWorker(_third) = ask(3) else { panic!("the worker is busy") };
        let other = verdicts.begin_work(hop.clone());
        let Asked::NeedsWorker(_fourth) = ask(4) else { panic!("the other has one question to ask") };
        drop(verdicts.begin_work(hop.clone()));
        drop((other, worker));
        assert!(matches!(ask(5), Asked::NeedsWorker(_)), "nobody works any more");
    }

    #[test]
    fn one_source_leaves_others_room_to_wait_and_does_not_hold_up_their_turn() {
        for (stranger, same_source, other) in [
            ("192.168.2.1", "::ffff:192.168.2.1", "192.168.2.2"),
            ("2001:db8:0:1::1", "2001:db8:0:1:ffff::2", "2001:db8:0:2::1"),
        ] {
            let [stranger, same_source, other] =
                [stranger, same_source, other].map(|ip| ip.parse::<IpAddr>().expect("an address"));
            let (verdicts, hop, now) = (Arc::<Verdicts>::default(), hop("Inside"), Instant::now());
            let mut awaited = Vec::new();
            let mut ask = |n: usize, peer| match verdicts.ask(&hop, &user(n), peer, now) {
                Asked::Known(verdict) => Err(verdict),
                Asked::Awaited(answer) | Asked::NeedsWorker(answer) => {
                    awaited.push(answer);
                    Ok(())
                }
            };
            let mut workers = Vec::new();
            for n in 0..WORKERS_PER_HOP_MAX {
                assert_eq!(ask(n, stranger), Ok(()), "a worker may begin");
                let mut worker = verdicts.begin_work(hop.clone());
                worker.next(now).expect("its question");
                workers.push(worker);
            }
            let waiting: Vec<_> = (100..200).filter(|n| ask(*n, stranger).is_ok()).collect();
            assert_eq!(waiting, [100, 101, 102, 103]);
            assert_eq!(ask(200, same_source), Err(Verdict::NoAnswer), "{same_source} is the same source");
            assert_eq!(ask(300, other), Ok(()), "{other} finds room");
            let asked: Vec<_> =
                workers[..3].iter_mut().map(|worker| worker.next(now).expect("a question").recipient).collect();
            assert_eq!(asked, [user(100), user(300), user(101)], "sources have turns");
            assert_eq!(ask(201, same_source), Ok(()), "it may wait again");
        }
    }

    #[test]
    fn workers_and_next_hops_have_bounds() {
        let (verdicts, now) = (Arc::<Verdicts>::default(), Instant::now());
        let mut workers = 0;
        for connector in 0..2 * HOPS_MAX {
            let hop = hop(&connector.to_string());
            // Nobody works where there is no room, so nobody waits either.
            match verdicts.ask(&hop, &user(1), PEER, now) {
                Asked::NeedsWorker(_) => workers += 1,
                Asked::Known(verdict) => assert_eq!(verdict, Verdict::NoAnswer),
                Asked::Awaited(_) => panic!("nobody would answer"),
            }
        }
        assert_eq!(workers, WORKERS_MAX);
        assert!(verdicts.lock().hops.len() <= HOPS_MAX);
    }

    #[test]
    fn nobody_waits_longer_than_the_answer_may_take() {
        let (verdicts, hop, now) = (Arc::<Verdicts>::default(), hop("Inside"), Instant::now());
        let Asked::NeedsWorker(awaited) = verdicts.ask(&hop, &user(1), PEER, now) else { panic!("nobody works yet") };
        let mut worker = verdicts.begin_work(hop);
        assert!(worker.next(now + ANSWER_MAX).is_none());
        assert_eq!(*awaited.borrow(), Some(Verdict::NoAnswer));
    }
}
