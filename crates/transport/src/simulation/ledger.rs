//! The simulation's own bookkeeping, and the verdict: what was promised, what became of it, what may explain it.
//!
//! Takes what clients were told, what next hops and mailboxes have, what an administrator did and when the world went
//! wrong. Hands on everything that contradicts the promise. Knows nothing of the server's insides.

use std::collections::{BTreeMap, BTreeSet};

use super::scene;

/// How soon after a delivery its outcome is safe, if the disk works: longer than the idle flush of the spool.
const OUTCOME_SAFE_MS: u64 = 5_000;

/// Milliseconds since the simulation began; no clock leaps here.
pub type Time = u64;

/// Everything that is known.
#[derive(Default)]
pub struct Ledger {
    copies: Vec<Copy>,
    /// What a host or a mailbox has got, by the number of the message and the recipient.
    deliveries: BTreeMap<(usize, String), Vec<Delivery>>,
    reports: BTreeMap<String, Report>,
    /// Contents refused by a next hop, for these recipients.
    refused_contents: BTreeSet<(usize, String)>,
    /// When the queue was last looked at.
    looked_ms: Time,
    /// Crashes and stops.
    restarts: Vec<Time>,
    /// When the disk began to fail, and when it worked again.
    disk_trouble: Vec<(Time, Option<Time>)>,
    /// Settings came into force that do not know this mailbox.
    guest_was_unknown: bool,
    /// What happened to everybody.
    events: Vec<(Time, String)>,
    /// What is wrong beyond any message.
    wrong: Vec<Wrong>,
}

/// One message as one client sent it once. When it sends it again, that is another one.
pub struct Copy {
    sender: Option<String>,
    /// Whom it is for in the end, and whether a report is due when that fails.
    pub ends: BTreeMap<String, bool>,
    /// Who of them is to be heard of when they wait for long.
    wants_delay: BTreeSet<String>,
    /// What the client was told.
    pub answer: Answer,
    /// What follows the header section.
    body: String,
    /// When its content was complete on the client's side, by the wall clock of then.
    sent_wall_ms: u64,
    sent_ms: Time,
    /// When each was last seen waiting.
    seen_waiting: BTreeMap<String, Time>,
    /// Waiting at the end.
    held: BTreeSet<String>,
    removed: Option<Removal>,
    /// An administrator holds it back, and was told that this survives.
    is_held_back: bool,
    /// When it was too old, by the wall clock.
    expired_ms: Option<Time>,
    history: Vec<(Time, String)>,
}

#[derive(Clone, Copy)]
struct Removal {
    at_ms: Time,
    with_report: bool,
    /// Nobody can get it any more: it was not on its way, and the removal survives.
    is_certain: bool,
}

/// What a client was told of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It never sent the end of it.
    Unsent,
    /// Nothing, and it sent the end of it.
    Silence,
    /// 250.
    Accepted,
    /// 4xx or 5xx.
    Refused(u16),
}

/// One time that somebody took a message.
#[derive(Clone, Copy, Debug)]
struct Delivery {
    at_ms: Time,
    /// Whether the server was told so.
    is_confirmed: bool,
}

/// A report, by its Message-ID; several reports in one, or a notice.
struct Report {
    /// The first message that it is about.
    about: usize,
    action: String,
    /// Everything that it is about: a message, and recipients of it.
    cases: Vec<(usize, Vec<String>)>,
    is_notice: bool,
    to: String,
    /// When it was first and last seen waiting or delivered.
    seen_wall_ms: u64,
    seen_ms: Time,
    /// When it was too old, by the wall clock.
    expired_ms: Option<Time>,
    is_delivered: bool,
    /// Still in the queue at the end.
    is_held: bool,
}

/// A contradiction.
#[derive(Debug)]
pub struct Wrong {
    /// The message's number.
    pub number: Option<usize>,
    /// What is wrong.
    pub what: String,
}

/// How many of what there were, so that a run that simulates nothing is noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub sent: u64,
    pub accepted: u64,
    pub recipients: u64,
    pub delivered: u64,
    pub twice: u64,
    pub reported: u64,
    pub unreported: u64,
    pub removed: u64,
    pub held: u64,
    pub restarts: u64,
    /// Recipients whose sender was told that they wait.
    pub delayed: u64,
    /// Recipients of whom somebody else than the sender was told.
    pub noticed: u64,
    /// Reports about several messages.
    pub together: u64,
}

/// What a message's text says of itself.
enum Text<'a> {
    /// One of ours.
    Message {
        number: usize,
        body: &'a str,
    },
    Report(String, Report),
    Unknown,
}

impl Ledger {
    /// A client begins to send a message. Hands on its number and its content.
    pub fn begin(&mut self, at_ms: Time, sender: Option<String>, bytes: usize) -> (usize, String) {
        let number = self.copies.len();
        let mut body = format!("Message {number}\r\n.dots\r\n");
        while body.len() < bytes {
            body.push_str(&format!("{number}: line {} of a body that nobody may change.\r\n", body.len()));
        }
        let from = sender.as_deref().unwrap_or("postmaster@sender.example");
        let content = format!(
            "X-Number: {number}\r\nFrom: {from}\r\nMessage-ID: <{number}@client.example>\r\n\
             Subject: number {number}\r\n\r\n{body}"
        );
        self.copies.push(Copy {
            sender,
            ends: BTreeMap::new(),
            wants_delay: BTreeSet::new(),
            answer: Answer::Unsent,
            body,
            sent_wall_ms: 0,
            sent_ms: at_ms,
            seen_waiting: BTreeMap::new(),
            held: BTreeSet::new(),
            removed: None,
            is_held_back: false,
            expired_ms: None,
            history: Vec::new(),
        });
        (number, content)
    }

    /// RCPT was answered with 250.
    pub fn name(&mut self, number: usize, recipient: &str, notify: Option<&str>) {
        let wants_failure = notify.is_none_or(|notify| notify.contains("FAILURE"));
        let wants_delay = notify.is_none_or(|notify| notify.contains("DELAY"));
        let copy = &mut self.copies[number];
        for end in scene::ends(recipient) {
            if wants_delay {
                copy.wants_delay.insert(end.clone());
            }
            *copy.ends.entry(end).or_default() |= wants_failure;
        }
    }

    /// The client sends the end of the content: from here on it may have been accepted.
    pub fn end(&mut self, at_ms: Time, wall_ms: u64, number: usize) {
        let copy = &mut self.copies[number];
        (copy.answer, copy.sent_ms, copy.sent_wall_ms) = (Answer::Silence, at_ms, wall_ms);
        let ends: Vec<_> = copy.ends.keys().cloned().collect();
        copy.history.push((at_ms, format!("sent for {}", ends.join(" "))));
    }

    /// Every message that a client sent.
    pub fn copies(&self) -> &[Copy] {
        &self.copies
    }

    /// Whether it waits for this recipient at the end.
    pub fn is_held(&self, number: usize, end: &str) -> bool {
        self.copies[number].held.contains(end)
    }

    /// Whether a host or a mailbox has got it.
    pub fn is_delivered(&self, number: usize, end: &str) -> bool {
        self.deliveries.contains_key(&(number, end.to_owned()))
    }

    /// Whether an administrator took it out.
    pub fn is_removed(&self, number: usize) -> bool {
        self.copies[number].removed.is_some()
    }

    /// Whether the disk was ever full, or failed.
    pub fn had_disk_trouble(&self) -> bool {
        !self.disk_trouble.is_empty()
    }

    /// The client was told.
    pub fn answer(&mut self, at_ms: Time, number: usize, answer: Answer) {
        self.copies[number].answer = answer;
        self.note(at_ms, number, format!("the client is told: {answer:?}"));
    }

    /// Something happened to a message.
    pub fn note(&mut self, at_ms: Time, number: usize, what: String) {
        if let Some(copy) = self.copies.get_mut(number) {
            copy.history.push((at_ms, what));
        }
    }

    /// The clock on the wall shows this now.
    pub fn look_at_clock(&mut self, at_ms: Time, wall_ms: u64, lifetime_ms: u64) {
        for copy in self.copies.iter_mut().filter(|copy| copy.answer != Answer::Unsent && copy.expired_ms.is_none()) {
            if wall_ms >= copy.sent_wall_ms + lifetime_ms {
                copy.expired_ms = Some(at_ms);
            }
        }
        for report in self.reports.values_mut().filter(|report| report.expired_ms.is_none()) {
            // It was made before it was first seen.
            if wall_ms + lifetime_ms / 6 >= report.seen_wall_ms + lifetime_ms {
                report.expired_ms = Some(at_ms);
            }
        }
    }

    /// A host took a message, or a mailbox has it. Hands on its mark for [`Self::confirm`].
    pub fn deliver(&mut self, at_ms: Time, recipient: &str, content: &str, place: &str) -> Option<(usize, String)> {
        match read(content) {
            Text::Message { number, body } => {
                if self.copies.get(number).is_none_or(|copy| copy.body != body) {
                    self.complain(Some(number), format!("{recipient} got a body that nobody sent: {body:?}"));
                    return None;
                }
                self.note(at_ms, number, format!("{recipient} got it at {place}"));
                // When a mailbox got it is not known.
                if self.copies[number].is_held_back && !scene::is_mailbox(recipient) {
                    self.complain(Some(number), format!("{recipient} got it while it was held back"));
                }
                let key = (number, recipient.to_owned());
                let delivery = Delivery { at_ms, is_confirmed: false };
                self.deliveries.entry(key.clone()).or_default().push(delivery);
                Some(key)
            }
            Text::Report(id, report) => {
                let (number, to) = (report.about, report.to.clone());
                for (number, recipients) in &report.cases {
                    let told = format!("{recipient} is told at {place}: {} {}", report.action, recipients.join(" "));
                    self.note(at_ms, *number, told);
                }
                if to != recipient {
                    self.complain(Some(number), format!("a report for {to} came to {recipient}"));
                }
                // Reports have numbers of their own beyond those of messages: their deliveries are counted likewise.
                let key = (number, format!("{id} {recipient}"));
                self.reports.entry(id).or_insert(report).is_delivered = true;
                self.deliveries.entry(key.clone()).or_default().push(Delivery { at_ms, is_confirmed: false });
                Some(key)
            }
            Text::Unknown => {
                self.complain(None, format!("{recipient} got something that nobody sent: {content:?}"));
                None
            }
        }
    }

    /// The server was told that the last delivery of this mark was taken.
    pub fn confirm(&mut self, mark: &(usize, String)) {
        if let Some(delivery) = self.deliveries.get_mut(mark).and_then(|deliveries| deliveries.last_mut()) {
            delivery.is_confirmed = true;
        }
    }

    /// A next hop refused a content for good.
    pub fn refuse_content(&mut self, at_ms: Time, recipients: &[String], content: &str) {
        if let Text::Message { number, .. } = read(content) {
            self.note(at_ms, number, format!("the next hop refused the content for {}", recipients.join(" ")));
            self.refused_contents.extend(recipients.iter().map(|recipient| (number, recipient.clone())));
        }
    }

    /// The queue was looked at. While messages of a former run are still being read it does not show all: whoever waited
    /// when it was last looked at may still.
    pub fn look(&mut self, at_ms: Time, shows_all: bool) {
        let before_ms = std::mem::replace(&mut self.looked_ms, at_ms);
        if shows_all {
            return;
        }
        for copy in self.copies.iter_mut().filter(|copy| copy.answer != Answer::Unsent) {
            for end in copy.ends.keys() {
                let seen_ms = copy.seen_waiting.get(end).copied().unwrap_or(copy.sent_ms);
                if seen_ms >= before_ms {
                    copy.seen_waiting.insert(end.clone(), at_ms);
                }
            }
        }
    }

    /// The queue listing shows these waiting.
    pub fn see_waiting(&mut self, at_ms: Time, number: usize, recipients: impl Iterator<Item = String>) {
        let Some(copy) = self.copies.get_mut(number) else { return };
        for recipient in recipients {
            copy.seen_waiting.insert(recipient, at_ms);
        }
    }

    /// The queue holds this report.
    pub fn see_report(&mut self, at_ms: Time, wall_ms: u64, content: &str) {
        if let Text::Report(id, report) = read(content) {
            let report = self.reports.entry(id).or_insert(Report { seen_wall_ms: wall_ms, ..report });
            report.seen_ms = at_ms;
        }
    }

    /// At the end: this message is in the queue, and the listing shows these waiting.
    pub fn hold(&mut self, content: &str, recipients: BTreeSet<String>) {
        match read(content) {
            Text::Message { number, .. } if number < self.copies.len() => {
                let copy = &mut self.copies[number];
                if copy.held.is_empty() {
                    copy.held = recipients;
                } else {
                    self.complain(Some(number), "it is in the queue twice".into());
                }
            }
            Text::Report(id, report) => {
                self.reports.entry(id).or_insert(report).is_held = true;
            }
            Text::Message { .. } | Text::Unknown => {
                self.complain(None, format!("the queue holds what nobody sent: {content:?}"));
            }
        }
    }

    /// An administrator holds it back.
    pub fn hold_back(&mut self, at_ms: Time, number: usize) {
        if let Some(copy) = self.copies.get_mut(number) {
            copy.is_held_back = true;
        }
        self.note(at_ms, number, "held back by the administrator".into());
    }

    /// And lets it go again; `None`: whatever is held back.
    pub fn let_go(&mut self, at_ms: Time, number: Option<usize>) {
        for (at, copy) in self.copies.iter_mut().enumerate().filter(|(_, copy)| copy.is_held_back) {
            if number.is_none_or(|number| number == at) {
                copy.is_held_back = false;
                copy.history.push((at_ms, "let go by the administrator".into()));
            }
        }
    }

    /// An administrator took it out of the queue.
    pub fn remove(&mut self, at_ms: Time, number: usize, with_report: bool, is_certain: bool) {
        if let Some(copy) = self.copies.get_mut(number) {
            copy.is_held_back = false;
            // What was on its way at the first time is removed by the second; the others went in silence before.
            let with_report = with_report && copy.removed.is_none_or(|before| before.with_report);
            copy.removed = Some(Removal { at_ms, with_report, is_certain });
        }
        self.note(at_ms, number, format!("removed by the administrator, with a report: {with_report}"));
    }

    /// The server ended in some way.
    pub fn restart(&mut self, at_ms: Time, how: &str) {
        self.restarts.push(at_ms);
        self.note_for_all(at_ms, how.to_owned());
    }

    /// Something happened to everybody.
    pub fn note_for_all(&mut self, at_ms: Time, what: String) {
        self.events.push((at_ms, what));
    }

    /// The disk fails, or works again.
    pub fn disk_fails(&mut self, at_ms: Time, fails: bool) {
        if fails != self.disk_trouble.last().is_some_and(|(_, until)| until.is_none()) {
            self.note_for_all(at_ms, if fails { "the disk fails" } else { "the disk works again" }.to_owned());
        }
        match self.disk_trouble.last_mut() {
            Some((_, until @ None)) if !fails => *until = Some(at_ms),
            Some((_, None)) => {}
            _ if fails => self.disk_trouble.push((at_ms, None)),
            _ => {}
        }
    }

    /// Settings without `guest@ours.example` came into force.
    pub fn guest_is_unknown(&mut self) {
        self.guest_was_unknown = true;
    }

    /// Something contradicts the promise.
    pub fn complain(&mut self, number: Option<usize>, what: String) {
        self.wrong.push(Wrong { number, what });
    }

    /// What happened to a message, line by line.
    pub fn history(&self, number: usize) -> String {
        let Some(copy) = self.copies.get(number) else { return String::new() };
        let mut lines = format!("message {number} from <{}>\n", copy.sender.as_deref().unwrap_or_default());
        if !copy.seen_waiting.is_empty() || copy.expired_ms.is_some() {
            lines.push_str(&format!("last seen waiting: {:?}; too old: {:?} ms\n", copy.seen_waiting, copy.expired_ms));
        }
        let events = self.events.iter().filter(|(at_ms, _)| *at_ms >= copy.sent_ms);
        let events = events.map(|(at_ms, what)| (*at_ms, format!("-- {what} --")));
        let mut history: Vec<(Time, String)> = copy.history.iter().cloned().chain(events).collect();
        history.sort_by_key(|(at_ms, _)| *at_ms);
        for (at_ms, what) in history {
            lines.push_str(&format!("{:>12.3} s  {what}\n", at_ms as f64 / 1000.0));
        }
        lines
    }

    /// Everything that happened, for comparing two runs.
    pub fn everything(&self) -> String {
        (0..self.copies.len()).map(|number| self.history(number)).collect()
    }

    /// Whether a crash between the two times may have made the server forget what it knew at the first.
    fn was_forgotten(&self, from_ms: Time, to_ms: Time) -> bool {
        self.restarts.iter().any(|restart| {
            let is_between = (from_ms..=to_ms).contains(restart);
            is_between && (restart - from_ms <= OUTCOME_SAFE_MS || self.disk_failed_between(from_ms, *restart))
        })
    }

    fn is_restarted_since(&self, at_ms: Time) -> bool {
        self.restarts.iter().any(|restart| *restart >= at_ms)
    }

    fn disk_failed_between(&self, from_ms: Time, to_ms: Time) -> bool {
        let from_ms = from_ms.saturating_sub(OUTCOME_SAFE_MS);
        self.disk_trouble.iter().any(|(began, ended)| *began <= to_ms && ended.is_none_or(|ended| ended >= from_ms))
    }

    /// The verdict. `waited_ms` is how often the queue was looked at; with `is_over` nothing may wait any more.
    pub fn judge(&mut self, at_ms: Time, waited_ms: u64, is_over: bool) -> (Summary, Vec<Wrong>) {
        let mut wrong = std::mem::take(&mut self.wrong);
        let mut summary = Summary { restarts: self.restarts.len() as u64, ..Summary::default() };
        for (number, copy) in self.copies.iter().enumerate() {
            summary.sent += u64::from(copy.answer != Answer::Unsent);
            self.judge_copy(at_ms, waited_ms, is_over, number, copy, &mut summary, &mut wrong);
        }
        self.judge_deliveries(&mut summary, &mut wrong);
        self.judge_reports(waited_ms, &mut summary, &mut wrong);
        (summary, wrong)
    }

    #[allow(clippy::too_many_arguments, reason = "one verdict, of everything that is known")]
    fn judge_copy(
        &self,
        at_ms: Time,
        waited_ms: u64,
        is_over: bool,
        number: usize,
        copy: &Copy,
        summary: &mut Summary,
        wrong: &mut Vec<Wrong>,
    ) {
        let mut complain = |what: String| wrong.push(Wrong { number: Some(number), what });
        let told = self.told(number, false);
        let noticed = self.told(number, true);
        let is_anywhere = |end: &String| {
            self.deliveries.contains_key(&(number, end.clone()))
                || told.contains_key(end)
                || noticed.contains_key(end)
                || copy.held.contains(end)
        };
        let is_there = copy.ends.keys().any(is_anywhere) || copy.removed.is_some();
        let is_owed = match copy.answer {
            Answer::Accepted => true,
            // All or nothing: a peer that heard nothing cannot know.
            Answer::Silence => is_there,
            Answer::Unsent | Answer::Refused(500..) if is_there => {
                return complain(format!("it was never accepted ({:?}), and yet it went its way", copy.answer));
            }
            // What a failing disk made the server refuse may be found after a restart.
            Answer::Refused(_) if is_there => {
                if !self.is_restarted_since(copy.sent_ms) {
                    return complain(format!("it was refused ({:?}), and yet it went its way", copy.answer));
                }
                true
            }
            Answer::Unsent | Answer::Refused(_) => false,
        };
        if !is_owed {
            return;
        }
        summary.accepted += 1;
        for (end, report_is_due) in &copy.ends {
            summary.recipients += 1;
            let delivered = self.deliveries.get(&(number, end.clone())).map_or(&[][..], Vec::as_slice);
            let confirmed = delivered.iter().filter(|delivery| delivery.is_confirmed).map(|delivery| delivery.at_ms);
            let confirmed_ms = confirmed.min();
            let is_told = told.contains_key(end) || (copy.sender.is_none() && noticed.contains_key(end));
            summary.noticed += u64::from(noticed.contains_key(end));
            let is_held = copy.held.contains(end);
            let failure = self.explain_failure(number, copy, end, waited_ms);
            summary.delivered += u64::from(!delivered.is_empty());
            summary.reported += u64::from(is_told);
            summary.held += u64::from(is_held);
            if let Some(confirmed_ms) = confirmed_ms {
                // When a mailbox got it is not known.
                let may_be_forgotten = match scene::is_mailbox(end) {
                    true => self.is_restarted_since(copy.sent_ms) || self.disk_failed_between(copy.sent_ms, at_ms),
                    false => self.was_forgotten(confirmed_ms, at_ms),
                };
                // So may be that it was removed: the report is safe before the removal is.
                let may_be_forgotten = may_be_forgotten
                    || copy
                        .removed
                        .is_some_and(|Removal { at_ms: removed_ms, .. }| self.was_forgotten(removed_ms, at_ms));
                if is_told && !may_be_forgotten {
                    complain(format!("{end} got it for certain, and its sender was told that it failed"));
                }
                if is_held && !may_be_forgotten {
                    complain(format!("{end} got it for certain, and it still waits"));
                }
            }
            if is_held && is_over {
                complain(format!("{end} still waits when everything should have come to its end"));
            }
            if is_told && failure.is_none() {
                complain(format!("{end} failed for no reason"));
            }
            if !delivered.is_empty() || is_told || is_held {
                continue;
            }
            // Where there is no sender, who answers for the host is told; not of what an administrator takes out.
            let owes_report = *report_is_due && (copy.sender.is_some() || copy.removed.is_none());
            match (failure, copy.removed) {
                (_, Some(Removal { with_report: false, .. })) => summary.removed += 1,
                (Some(_), _) if !owes_report => summary.unreported += 1,
                (Some(reason), _) => complain(format!("{end} failed ({reason}), and its sender was not told")),
                (None, _) => complain(format!("{end} vanished: not delivered, not failed, not removed, not waiting")),
            }
        }
    }

    /// Why mail for `end` may have failed; `None` if nothing explains it.
    fn explain_failure(&self, number: usize, copy: &Copy, end: &str, waited_ms: u64) -> Option<&'static str> {
        let last_seen_ms = copy.seen_waiting.get(end).copied().unwrap_or(copy.sent_ms).max(copy.sent_ms);
        let key = (number, end.to_owned());
        let reasons = [
            ("refused", scene::is_refused(end)),
            ("its content was refused", self.refused_contents.contains(&key)),
            ("no mailbox any more", self.guest_was_unknown && end == "guest@ours.example"),
            ("expired", copy.expired_ms.is_some_and(|expired_ms| last_seen_ms + 2 * waited_ms >= expired_ms)),
            ("removed", copy.removed.is_some()),
        ];
        reasons.iter().find(|(_, applies)| *applies).map(|(reason, _)| *reason)
    }

    /// Whom reports of failure name, or notices of it, with how many of them.
    fn told(&self, number: usize, by_notice: bool) -> BTreeMap<String, usize> {
        self.count("failed", number, by_notice)
    }

    fn count(&self, action: &str, number: usize, by_notice: bool) -> BTreeMap<String, usize> {
        let mut told = BTreeMap::new();
        let reports = self.reports.values().filter(|report| report.action == action && report.is_notice == by_notice);
        let cases = reports.flat_map(|report| &report.cases).filter(|(about, _)| *about == number);
        for recipient in cases.flat_map(|(_, recipients)| recipients) {
            *told.entry(recipient.clone()).or_default() += 1;
        }
        told
    }

    fn judge_deliveries(&self, summary: &mut Summary, wrong: &mut Vec<Wrong>) {
        for ((number, recipient), deliveries) in &self.deliveries {
            let copy = &self.copies[*number];
            let is_report = recipient.contains(' ');
            if !is_report && !copy.ends.contains_key(recipient) {
                wrong.push(Wrong { number: Some(*number), what: format!("{recipient} got it and was not meant") });
            }
            for pair in deliveries.windows(2) {
                let [before, after] = pair else { continue };
                summary.twice += 1;
                if before.is_confirmed && !self.was_forgotten(before.at_ms, after.at_ms) {
                    let what = format!("{recipient} got it again without a reason");
                    wrong.push(Wrong { number: Some(*number), what });
                }
            }
            if let Some(Removal { at_ms, is_certain: true, .. }) = copy.removed
                && deliveries.iter().any(|delivery| delivery.at_ms > at_ms)
                && !is_report
                && !scene::is_mailbox(recipient)
            {
                let what = format!("{recipient} got it after the administrator had removed it");
                wrong.push(Wrong { number: Some(*number), what });
            }
        }
    }

    fn judge_reports(&self, waited_ms: u64, summary: &mut Summary, wrong: &mut Vec<Wrong>) {
        for (id, report) in &self.reports {
            summary.together += u64::from(report.cases.len() > 1);
            let mut complain = |what: String| wrong.push(Wrong { number: Some(report.about), what });
            // Nobody is told of a report that could not be delivered: that would go on for ever.
            let may_have_expired = report.expired_ms.is_some_and(|at_ms| report.seen_ms + 2 * waited_ms >= at_ms);
            if !report.is_delivered && !report.is_held && !may_have_expired {
                complain(format!("report {id} for {} vanished", report.to));
            }
            for (number, recipients) in &report.cases {
                self.judge_case(id, report, *number, recipients, wrong);
            }
        }
        for (number, copy) in self.copies.iter().enumerate() {
            let restarts = self.restarts.iter().filter(|restart| **restart >= copy.sent_ms).count();
            for (recipient, count) in self.count("delayed", number, false) {
                summary.delayed += 1;
                if count > 1 {
                    let what = format!("{count} reports that {recipient} waits");
                    wrong.push(Wrong { number: Some(number), what });
                }
            }
            for (recipient, count) in self.told(number, false) {
                if count > 1 + restarts {
                    let what = format!("{count} reports that {recipient} failed, and {restarts} restarts");
                    wrong.push(Wrong { number: Some(number), what });
                }
            }
        }
    }
}

impl Ledger {
    /// What a report says of one message.
    fn judge_case(&self, id: &str, report: &Report, number: usize, recipients: &[String], wrong: &mut Vec<Wrong>) {
        let mut complain = |what: String| wrong.push(Wrong { number: Some(number), what });
        let Some(copy) = self.copies.get(number) else {
            return complain(format!("report {id} is about nothing that was sent"));
        };
        match &copy.sender {
            _ if report.is_notice => {
                if report.to != scene::OWNER {
                    complain(format!("notice {id} is for {}", report.to));
                }
            }
            None => complain(format!("report {id} is about a message without a sender")),
            Some(sender) if *sender != report.to => complain(format!("report {id} is for {}", report.to)),
            Some(_) => {}
        }
        for recipient in recipients {
            let was_got = self.deliveries.contains_key(&(number, recipient.clone()));
            match (&*report.action, copy.ends.get(recipient)) {
                ("failed", Some(false)) => complain(format!("nobody wanted to hear that {recipient} failed")),
                ("failed" | "delayed", None) => complain(format!("report {id} names {recipient}, who was not meant")),
                ("delayed", _) if !copy.wants_delay.contains(recipient) => {
                    complain(format!("nobody wanted to hear that {recipient} waits"));
                }
                ("delivered" | "relayed", Some(_)) if !was_got => {
                    complain(format!("report {id} says that {recipient} got it"));
                }
                _ => {}
            }
        }
    }
}

/// Reads a message with lines that end in CRLF or in LF.
fn read(content: &str) -> Text<'_> {
    let Some((header, body)) = content.split_once("\r\n\r\n") else { return Text::Unknown };
    if !header.contains("From: Mail Delivery System") {
        let number = value(content, "X-Number:").and_then(|number| number.parse().ok());
        return number.map_or(Text::Unknown, |number| Text::Message { number, body });
    }
    let (Some(id), Some(to)) = (value(header, "Message-ID:"), value(header, "To:")) else { return Text::Unknown };
    // What a summary says of each message names it; a report is about the one whose header section it returns.
    let returned = value(content, "X-Number:").and_then(|number| number.parse().ok());
    let statuses = body.split("Content-Type: message/delivery-status\r\n").skip(1);
    let cases: Option<Vec<(usize, Vec<String>)>> = statuses
        .map(|status| {
            let status = status.split("\r\n--").next().unwrap_or_default();
            let named = value(status, "X-Original-Message-ID: <").and_then(|id| id.split('@').next()?.parse().ok());
            let recipients = status.lines().filter_map(|line| line.strip_prefix("Final-Recipient: rfc822; "));
            Some((named.or(returned)?, recipients.map(|recipient| recipient.trim().to_owned()).collect()))
        })
        .collect();
    let Some(cases) = cases.filter(|cases| !cases.is_empty()) else { return Text::Unknown };
    let report = Report {
        about: cases[0].0,
        action: value(content, "Action:").unwrap_or_default().to_owned(),
        cases,
        is_notice: header.contains("Notice of undeliverable mail"),
        to: to.trim_matches(['<', '>']).to_owned(),
        seen_wall_ms: u64::MAX >> 1,
        seen_ms: 0,
        expired_ms: None,
        is_delivered: false,
        is_held: false,
    };
    Text::Report(id.to_owned(), report)
}

/// The value of the first field of that name; one that is long stands on the next line.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(name))?.trim();
    if value.is_empty() { lines.next().map(str::trim) } else { Some(value) }
}

impl Summary {
    /// Adds another history's.
    pub fn add(&mut self, other: &Summary) {
        let Summary {
            sent, accepted, recipients, delivered, twice, reported, unreported, removed, held, restarts, ..
        } = other;
        self.sent += sent;
        self.accepted += accepted;
        self.recipients += recipients;
        self.delivered += delivered;
        self.twice += twice;
        self.reported += reported;
        self.unreported += unreported;
        self.removed += removed;
        self.held += held;
        self.restarts += restarts;
        self.delayed += other.delayed;
        self.noticed += other.noticed;
        self.together += other.together;
    }

    /// A world in which nothing happens would prove nothing.
    pub fn assert_that_everything_happened(&self) {
        let Summary {
            sent, accepted, recipients, delivered, twice, reported, unreported, removed, held, restarts, ..
        } = *self;
        assert!(accepted > 1_000 && sent > accepted + accepted / 20, "{self:?}");
        assert!(delivered > recipients / 4 && reported > recipients / 50 && unreported > 0, "{self:?}");
        assert!(twice > 0 && removed > 0 && held > 0 && restarts > 10, "{self:?}");
        assert!(self.delayed > 0 && self.noticed > 0 && self.together > 0, "{self:?}");
    }
}
