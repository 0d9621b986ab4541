//! Step 9 of 9 - report: draws the conclusion of an attempt, and tells the sender what cannot be delivered.
//!
//! Takes the replies of one attempt, asks `policy::retry` whether there is another and, through [`tell`], `policy::notify`
//! whether somebody is to be told; a report goes into the spool (back to step 6) *before* the failure that it tells of is
//! settled, so that no crash can lose both (invariant I4).

pub mod tell;
mod original;

use std::sync::Arc;

use gatepost_mail::report::{FailedRecipient, Kind};
use gatepost_mail::{MessageId, Recipient, Reply, ReversePath};
use gatepost_policy::Refusal;
use gatepost_policy::priority;
use gatepost_policy::retry::{self, Failure, Next, Overrides};
use gatepost_spool::{CommitError, Message, Outcome};
use gatepost_tracking::passport::event::ReportKind;

use crate::clock::now_ms;
use crate::counters::{Ending, SendCounting};
use crate::fetch;
use crate::passports::{self, Tried};
use crate::state::{Running, count};
use tell::Told;

/// How long recipients wait whose report could not be written.
const REPORT_OWED_MS: u64 = 60_000;
/// What is said of a group whose members have the message on its way to them.
const EXPANDED: Reply = Reply::new(250, (2, 1, 5), "Handed on to the members of the group");

/// What one attempt brought for one recipient.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Index into the envelope.
    pub index: u32,
    /// The last word.
    pub reply: Reply,
    /// Who said it; `None` if we did.
    pub remote: Option<String>,
    /// What the sender is told if it succeeded and he asked for that.
    pub on_success: OnSuccess,
}

/// What a success of an attempt means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnSuccess {
    /// The message is in a mailbox, here or on the mailbox server.
    Delivered,
    /// A server has it that makes no reports.
    Relayed,
    /// The next hop itself makes reports on success (RFC 3461 section 6.2.7.1); then we do not.
    ReportedByNextHop,
}

/// By which way an attempt was made.
pub struct Way<'a> {
    /// For the log.
    pub next_hop: &'a str,
    /// What the route says of retries.
    pub retry: Overrides,
    /// Where its outcomes are counted.
    pub counted: &'a SendCounting,
    /// What its passport says of it.
    pub tried: &'a Tried,
}

/// A recipient that is still pending, and when it is due again (Unix time in milliseconds).
pub type StillPending = (u32, u64);

/// Records what became of an attempt. Hands on the recipients that are to be tried again, when `retry` of its route says.
pub async fn conclude(
    running: &Arc<Running>,
    message: &Message,
    attempts: Vec<Attempt>,
    way: &Way<'_>,
) -> Vec<StillPending> {
    let Way { next_hop, retry, counted, tried } = way;
    let now = now_ms();
    let settings = running.revision().settings.clone();
    let priority = message.standing.priority.unwrap_or(message.envelope.arrival.priority);
    let schedule = priority::schedule(&settings.transport.queues.priorities, &retry.over(&settings.retry), priority);
    let mut outcomes: Vec<(u32, Outcome)> = Vec::with_capacity(attempts.len());
    let mut still_pending = Vec::new();
    let mut failed: Vec<Attempt> = Vec::new();
    let mut delivered: Vec<&Attempt> = Vec::new();
    let age_ms = now.saturating_sub(message.envelope.arrival.time_ms);
    for attempt in &attempts {
        counted.replied(&attempt.reply, attempt.remote.is_some(), now);
        let reply: Box<str> = attempt.reply.to_string().into();
        let made = message.recipients.get(attempt.index as usize).map_or(0, |state| state.attempts) + 1;
        let verdict = match attempt.reply.code / 100 {
            2 => {
                delivered.push(attempt);
                outcomes.push((attempt.index, Outcome::Delivered { reply, time_ms: now }));
                count(&running.counters.delivered);
                counted.ended(Ending::Delivered, age_ms, now);
                "delivered"
            }
            4 => match retry::next(&schedule, Failure::Transient, made, message.envelope.arrival.time_ms, now) {
                Next::At(next_attempt_ms) => {
                    still_pending.push((attempt.index, next_attempt_ms));
                    outcomes.push((attempt.index, Outcome::Deferred { reply, time_ms: now, next_attempt_ms }));
                    count(&running.counters.deferred);
                    counted.ended(Ending::Deferred, age_ms, now);
                    "deferred"
                }
                Next::Expired => {
                    failed.push(expired(attempt));
                    "expired"
                }
            },
            _ => {
                failed.push(attempt.clone());
                "failed"
            }
        };
        tracing::info!(
            queue_id = message.id.0, recipient = %recipient_text(message, attempt.index), next_hop,
            remote = attempt.remote, reply = %attempt.reply, verdict, "{verdict}"
        );
    }
    if !failed.is_empty() {
        match tell::of_failure(running, message, &failed).await {
            Ok(told @ (Told::Done | Told::Later)) => {
                for attempt in &failed {
                    // Whoever tells of them later settles them.
                    if told == Told::Done {
                        let reply = attempt.reply.to_string().into();
                        outcomes.push((attempt.index, Outcome::Failed { reply, time_ms: now }));
                    }
                    count(&running.counters.failed);
                    let has_expired = attempt.reply.code == Refusal::Expired.reply().code
                        && attempt.reply.status == Refusal::Expired.reply().status;
                    counted.ended(if has_expired { Ending::Expired } else { Ending::Failed }, age_ms, now);
                }
            }
            Ok(Told::NotNow) => {
                still_pending.extend(failed.iter().map(|attempt| (attempt.index, now + REPORT_OWED_MS)));
            }
            Err(error) => {
                // The sender has not been told, so the recipients are not at their end: they come back to this point.
                tracing::error!(queue_id = message.id.0, %error, "a report could not be written; it is tried again");
                still_pending.extend(failed.iter().map(|attempt| (attempt.index, now + REPORT_OWED_MS)));
            }
        }
    }
    if !delivered.is_empty() {
        tell::of_success(running, message, &delivered).await;
    }
    let remote = attempts.iter().find_map(|attempt| attempt.remote.as_deref()).map(Box::from);
    passports::settle(running, message.id, outcomes, Tried { remote, ..(*tried).clone() });
    still_pending
}

/// What a report says, as passports name it.
fn kind_of(kind: Kind) -> ReportKind {
    match kind {
        Kind::Failed => ReportKind::Failed,
        Kind::Delayed => ReportKind::Delayed,
        Kind::Delivered => ReportKind::Delivered,
        Kind::Relayed => ReportKind::Relayed,
        Kind::Expanded => ReportKind::Expanded,
    }
}

/// Gives up recipients whose message has been in the queue for too long.
pub fn expired(attempt: &Attempt) -> Attempt {
    let Reply { code, status, text } = Refusal::Expired.reply();
    let text = format!("{text}; the last answer was: {}", attempt.reply);
    Attempt { reply: Reply { code, status, text: text.into() }, ..attempt.clone() }
}

/// Takes pending recipients out of the queue at an administrator's wish, with a report to the sender.
///
/// # Errors
/// When the report could not be written; nothing is settled then.
pub async fn give_up(running: &Arc<Running>, message: &Message, attempts: &[Attempt]) -> Result<(), CommitError> {
    tell::of_removal(running, message, attempts).await
}

/// Groups of a message that were replaced by their members, whose sender wants to hear of it, and the message.
pub struct Expansion {
    message: Message,
    groups: Vec<Recipient>,
}

impl Expansion {
    /// Reads the message. `None` where there is nothing to tell, or nothing left to tell of.
    pub async fn read(running: &Running, id: MessageId, groups: Vec<Recipient>) -> Option<Expansion> {
        if groups.is_empty() {
            return None;
        }
        match fetch::message(&running.spool, id).await {
            Ok(message) => Some(Expansion { message, groups }),
            Err(error) => {
                tracing::warn!(queue_id = id.0, %error, "a report of an expanded group could not be written");
                None
            }
        }
    }

    /// Reports it. As other news of success, one that is lost to a full disk is no harm to anybody.
    pub async fn tell(&self, running: &Arc<Running>) {
        let Expansion { message, groups } = self;
        let ReversePath::Mailbox(to) = &message.envelope.reverse_path else { return };
        let reply = EXPANDED;
        let told = groups.iter().map(|recipient| FailedRecipient {
            recipient,
            remote_mta: None,
            reply: &reply,
            is_remote: false,
            last_attempt_ms: None,
            retry_until_ms: None,
        });
        tell::of_no_failure(running, message, to, Kind::Expanded, &told.collect::<Vec<_>>()).await;
    }
}

fn recipient_text(message: &Message, index: u32) -> String {
    message.envelope.recipients.get(index as usize).map(|r| r.mailbox.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gatepost_mail::Notify;
    use gatepost_policy::notify::RATION_MS;
    use gatepost_spool::State;
    use gatepost_tracking::passport::event;

    use super::*;
    use crate::queue::{QueueKey, Work};
    use crate::site::{CONTOSO, Site, envelope};

    const CONTENT: &str = "Subject: lunch\r\n\r\nAt noon?\r\n";
    const SUCCESS: Notify = Notify { success: true, failure: false, delay: false, given: true };

    impl Way<'static> {
        fn to_x() -> Way<'static> {
            static COUNTED: std::sync::LazyLock<SendCounting> = std::sync::LazyLock::new(SendCounting::default);
            static TRIED: std::sync::LazyLock<Tried> = std::sync::LazyLock::new(|| {
                let way = event::Way { connector: "Internet".into(), next_hop: "x.example".into() };
                Tried { way, remote: None, over: None, duration: Duration::ZERO }
            });
            Way { next_hop: "x.example", retry: Overrides::default(), counted: &COUNTED, tried: &TRIED }
        }
    }

    fn attempt(index: u32, code: u16) -> Attempt {
        let reply = Reply::new(code, ((code / 100) as u8, 0, 0), "said the next hop");
        Attempt { index, reply, remote: Some("mx.example".into()), on_success: OnSuccess::Relayed }
    }

    /// Contents of the reports in the spool, which holds `message` besides.
    fn reports(site: &Site, message: &Message) -> Vec<String> {
        let spool = &site.running.spool;
        let others = spool.live().into_iter().filter(|id| *id != message.id);
        others
            .map(|id| {
                let report = spool.message(id).expect("it is live");
                assert_eq!(report.envelope.reverse_path, ReversePath::Null);
                assert_eq!(report.envelope.recipients[0].notify, Notify::NEVER);
                let content = report.content.read(0, usize::MAX).expect("it is small");
                String::from_utf8(content.to_vec()).expect("ASCII")
            })
            .collect()
    }

    /// The next hop refuses the first recipient for good.
    async fn refuse(site: &Site, message: &Message) {
        let attempts = vec![attempt(0, 550)];
        let pending = conclude(&site.running, message, attempts, &Way::to_x()).await;
        assert_eq!(pending, []);
    }

    fn states(site: &Site, message: &Message) -> Vec<State> {
        let read = site.running.spool.message(message.id).expect("it is live");
        read.recipients.iter().map(|recipient| recipient.state).collect()
    }

    #[tokio::test]
    async fn an_attempt_ends_as_each_recipient_was_answered() {
        let mut site = Site::new(CONTOSO);
        let recipients = ["a@x.example", "b@x.example", "c@x.example", "d@x.example", "e@x.example"];
        let mut envelope = envelope("bob@contoso.com", &recipients);
        envelope.recipients[2].notify = Notify::NEVER;
        envelope.recipients[4].notify = SUCCESS;
        let id = site.accept(envelope, CONTENT).await;
        let message = site.running.spool.message(id).expect("it is live");
        let attempts = [550, 451, 550, 250, 250];
        let attempts = attempts.into_iter().zip(0u32..).map(|(code, index)| attempt(index, code)).collect();
        let before = now_ms();
        let pending = conclude(&site.running, &message, attempts, &Way::to_x()).await;
        let [(1, due_ms)] = pending[..] else { panic!("{pending:?}") };
        assert!(due_ms >= before + 5 * 60_000, "after message_retry_interval");
        use State::{Delivered, Failed, Pending};
        assert_eq!(states(&site, &message), [Failed, Pending, Failed, Delivered, Delivered]);

        let reports = reports(&site, &message);
        let [failure, success] = &reports[..] else { panic!("{reports:#?}") };
        assert!(failure.contains("Action: failed") && failure.contains("a@x.example"), "{failure}");
        assert!(!failure.contains("c@x.example"), "NOTIFY=NEVER: {failure}");
        assert!(failure.contains("At noon?"), "news of failure brings all of it back: {failure}");
        assert!(success.contains("Action: relayed") && success.contains("e@x.example"), "{success}");
        assert!(!success.contains("At noon?"), "news of success brings the header section back: {success}");
        assert!(success.contains("Subject: lunch"), "{success}");

        let queue = site.worker_requests.try_recv().expect("somebody is to deliver the reports");
        assert_eq!(queue.key, QueueKey::Local);
        assert!(matches!(queue.next(), Work::Entry(_)) && matches!(queue.next(), Work::Entry(_)));
    }

    #[tokio::test]
    async fn nothing_is_reported_to_the_null_reverse_path() {
        let site = Site::new(CONTOSO);
        let mut envelope = envelope("", &["a@x.example", "b@x.example"]);
        envelope.recipients[1].notify = SUCCESS;
        let id = site.accept(envelope, CONTENT).await;
        let message = site.running.spool.message(id).expect("it is live");
        conclude(&site.running, &message, vec![attempt(0, 550), attempt(1, 250)], &Way::to_x()).await;
        assert_eq!(site.running.spool.live(), []);
    }

    #[tokio::test]
    async fn what_has_waited_too_long_fails_and_the_report_says_what_was_answered_last() {
        let site = Site::new(CONTOSO);
        let mut envelope = envelope("bob@contoso.com", &["a@x.example"]);
        envelope.arrival.time_ms -= 3 * 24 * 60 * 60_000;
        let id = site.accept(envelope, CONTENT).await;
        let message = site.running.spool.message(id).expect("it is live");
        assert_eq!(conclude(&site.running, &message, vec![attempt(0, 451)], &Way::to_x()).await, []);
        let reports = reports(&site, &message);
        assert!(reports[0].contains("Status: 4.4.7") && reports[0].contains("said the next hop"), "{reports:#?}");
        assert!(!site.running.spool.is_live(id));
    }

    #[tokio::test]
    async fn one_failure_too_many_is_settled_when_all_of_them_are_told_together() {
        let site = Site::new(&format!("{CONTOSO}\n[reports]\nmax_per_sender_per_hour = 1\n"));
        let mut messages = Vec::new();
        for _ in 0..3 {
            let id = site.accept(envelope("bob@contoso.com", &["a@x.example"]), CONTENT).await;
            let message = site.running.spool.message(id).expect("it is live");
            refuse(&site, &message).await;
            messages.push(message);
        }
        let live = |message: &Message| site.running.spool.is_live(message.id);
        assert_eq!(messages.iter().map(live).collect::<Vec<_>>(), [false, true, true]);
        assert_eq!(states(&site, &messages[1]), [State::Pending], "until its sender has been told");
        assert_eq!(site.running.duties.owed_recipients(), 2);
        let now = now_ms();
        assert!(matches!(site.running.duties.take_due(now), Err(Some(due_ms)) if due_ms <= now + RATION_MS));

        let (addressee, owed) = site.running.duties.take_due(now + RATION_MS).expect("the hour is over");
        tell::summarize(&site.running, addressee, owed).await;
        assert!(!messages.iter().any(live));
        let told = reports(&site, &messages[1]);
        let [single, together] = &told[..] else { panic!("{told:#?}") };
        assert!(single.contains("Subject: Undeliverable: lunch"), "{single}");
        assert!(together.contains("Subject: Undeliverable: 2 messages"), "{together}");
        for message in &messages[1..] {
            assert!(together.contains(&format!("X-Gatepost-Queue-Id: {}\r\n", message.id)), "{together}");
        }
    }

    #[tokio::test]
    async fn a_summary_that_cannot_be_written_is_tried_again_and_settles_nothing() {
        let site = Site::new(&format!("{CONTOSO}\n[reports]\nmax_per_sender_per_hour = 1\n"));
        let mut ids = Vec::new();
        for _ in 0..2 {
            let id = site.accept(envelope("bob@contoso.com", &["a@x.example"]), CONTENT).await;
            let message = site.running.spool.message(id).expect("it is live");
            refuse(&site, &message).await;
            ids.push(id);
        }
        let (addressee, owed) = site.running.duties.take_due(now_ms() + RATION_MS).expect("the hour is over");
        site.running.spool.close();
        tell::summarize(&site.running, addressee, owed).await;
        assert!(site.running.spool.is_live(ids[1]));
        assert_eq!(site.running.duties.owed_recipients(), 1);
        assert!(site.running.duties.take_due(now_ms()).is_err(), "not at once");
    }

    #[tokio::test]
    async fn who_answers_for_a_host_hears_of_what_no_sender_can_be_told() {
        let owned = CONTOSO.replace(
            "remote_ip_ranges = [\"127.0.0.1\"]",
            "remote_ip_ranges = [{ range = \"127.0.0.0/8\", owner = \"net@contoso.com\" }, \
             { range = \"127.0.0.7\", owner = \"it@contoso.com\" }, \"127.0.0.8\"]",
        );
        let mailboxes = "[[mailbox]]\naddress = \"it@contoso.com\"\n[[mailbox]]\naddress = \"net@contoso.com\"\n";
        let everybody = "[[mailbox]]\naddress = \"ops@contoso.com\"\n[notices]\nto = \"ops@contoso.com\"\n";
        for (extra, sender, peer, expected) in [
            ("", "", Some("127.0.0.7"), Some("To: <it@contoso.com>")),
            ("", "", Some("127.0.0.9"), Some("To: <net@contoso.com>")),
            ("", "", Some("127.0.0.8"), None),
            (everybody, "", Some("127.0.0.8"), Some("To: <ops@contoso.com>")),
            (everybody, "", None, None),
            ("[notices]\nenabled = false\n", "", Some("127.0.0.7"), None),
            ("", "bob@contoso.com", Some("127.0.0.7"), Some("To: <bob@contoso.com>")),
        ] {
            let site = Site::new(&format!("{owned}{mailboxes}{extra}"));
            let mut envelope = envelope(sender, &["a@x.example"]);
            envelope.arrival.peer =
                peer.map(|peer| (peer.parse::<std::net::IpAddr>().expect("an address"), 4711).into());
            if peer.is_none() {
                envelope.arrival.connector = "".into();
            }
            let id = site.accept(envelope, CONTENT).await;
            let message = site.running.spool.message(id).expect("it is live");
            refuse(&site, &message).await;
            assert!(!site.running.spool.is_live(id), "{peer:?}");
            let told = reports(&site, &message);
            assert_eq!(told.len(), usize::from(expected.is_some()), "{peer:?}: {told:#?}");
            if let Some(expected) = expected {
                assert!(told[0].contains(expected) && !told[0].contains("At noon?") || !sender.is_empty(), "{told:#?}");
                assert!(told[0].contains("Subject: lunch"), "its header section goes along: {told:#?}");
            }
        }
    }

    #[tokio::test]
    async fn a_report_that_cannot_be_delivered_is_told_to_who_answers_for_the_host_and_that_is_the_end_of_it() {
        let owned = CONTOSO.replace("[\"127.0.0.1\"]", "[{ range = \"127.0.0.1\", owner = \"it@contoso.com\" }]");
        let site = Site::new(&format!("{owned}[[mailbox]]\naddress = \"it@contoso.com\"\n"));
        let mut envelope = envelope("nobody@y.example", &["a@x.example"]);
        envelope.arrival.peer = Some(([127, 0, 0, 1], 4711).into());
        let id = site.accept(envelope, CONTENT).await;
        let message = site.running.spool.message(id).expect("it is live");
        refuse(&site, &message).await;
        let [report] = site.running.spool.live()[..] else { panic!("one report") };
        let report = site.running.spool.message(report).expect("it is live");
        assert_eq!(report.envelope.arrival.answerable, Some(Box::new(crate::site::mailbox("it@contoso.com"))));

        refuse(&site, &report).await;
        let [notice] = site.running.spool.live()[..] else { panic!("one notice") };
        let notice = site.running.spool.message(notice).expect("it is live");
        assert_eq!(notice.envelope.recipients[0].mailbox, crate::site::mailbox("it@contoso.com"));
        let content = notice.content.read(0, usize::MAX).expect("it is small");
        let content = String::from_utf8_lossy(&content);
        assert!(content.contains("a@x.example") && content.contains("Subject: lunch"), "{content}");
        assert!(content.contains("The report to its sender, nobody@y.example"), "{content}");
        assert!(!content.contains("At noon?"), "{content}");

        refuse(&site, &notice).await;
        assert_eq!(site.running.spool.live(), []);
    }

    #[tokio::test]
    async fn a_failure_that_cannot_be_reported_is_not_settled() {
        let site = Site::new(CONTOSO);
        let id = site.accept(envelope("bob@contoso.com", &["a@x.example", "b@x.example"]), CONTENT).await;
        let message = site.running.spool.message(id).expect("it is live");
        // Nothing can be committed any more.
        site.running.spool.close();
        let pending = conclude(&site.running, &message, vec![attempt(0, 550), attempt(1, 250)], &Way::to_x()).await;
        assert!(matches!(pending[..], [(0, _)]), "{pending:?}");
        assert_eq!(states(&site, &message), [State::Pending, State::Delivered]);
    }
}
