//! Step 9 of 9 - report: draws the conclusion of an attempt, and tells the sender what cannot be delivered.
//!
//! Takes the replies of one attempt, asks `policy::retry` whether there is another and `policy::notify` whether somebody
//! is to be told; a report goes into the spool (back to step 6) *before* the failure that it tells of is settled, so
//! that no crash can lose both (invariant I4).

use std::sync::Arc;

use gatepost_mail::header_firewall::{HeaderFirewall, infallible};
use gatepost_mail::report::{FailedRecipient, Kind, Original, Report};
use gatepost_mail::{
    Arrival, AuthAs, BodyType, Envelope, Mailbox, MessageId, Notify, Recipient, Reply, Return, ReversePath, header,
};
use gatepost_policy::retry::{self, Failure, Next, Overrides};
use gatepost_policy::{Refusal, header_firewall, notify, resolve};
use gatepost_spool::{CommitError, Message, Outcome};

use crate::categorize;
use crate::clock::now_ms;
use crate::counters::{Ending, SendCounting};
use crate::fetch;
use crate::state::{Running, count};

/// The whole original goes back with a report up to this size, in bytes; of larger ones the header section.
const ORIGINAL_BYTES_MAX: u64 = 1 << 20;
/// Of the header section of the original, at most this much goes back, in bytes.
const HEADER_BYTES_MAX: usize = 64 << 10;
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
    /// Whether the next hop itself makes reports on success (RFC 3461 section 6.2.7.1); then we do not.
    pub remote_reports: bool,
}

/// By which way an attempt was made.
pub struct Way<'a> {
    /// For the log.
    pub next_hop: &'a str,
    /// What the route says of retries.
    pub retry: Overrides,
    /// Where its outcomes are counted.
    pub counted: &'a SendCounting,
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
    let Way { next_hop, retry, counted } = way;
    let now = now_ms();
    let schedule = retry.over(&running.revision().settings.retry);
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
        match report(running, message, Kind::Failed, notify::Kind::Failed, &failed).await {
            Ok(()) => {
                for attempt in &failed {
                    let reply = attempt.reply.to_string().into();
                    outcomes.push((attempt.index, Outcome::Failed { reply, time_ms: now }));
                    count(&running.counters.failed);
                    let has_expired = attempt.reply.code == Refusal::Expired.reply().code
                        && attempt.reply.status == Refusal::Expired.reply().status;
                    counted.ended(if has_expired { Ending::Expired } else { Ending::Failed }, age_ms, now);
                }
            }
            Err(error) => {
                // The sender has not been told, so the recipients are not at their end: they come back to this point.
                tracing::error!(queue_id = message.id.0, %error, "a report could not be written; it is tried again");
                still_pending.extend(failed.iter().map(|attempt| (attempt.index, now + REPORT_OWED_MS)));
            }
        }
    }
    if !delivered.is_empty() {
        tell_of_success(running, message, &delivered).await;
    }
    running.spool.settle(message.id, outcomes);
    still_pending
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
    report(running, message, Kind::Failed, notify::Kind::Failed, attempts).await
}

/// Success is reported only where the sender asked for it; one that is lost to a full disk is no harm to anybody.
async fn tell_of_success(running: &Arc<Running>, message: &Message, delivered: &[&Attempt]) {
    for (kind, is_local) in [(Kind::Delivered, true), (Kind::Relayed, false)] {
        let told: Vec<Attempt> = delivered
            .iter()
            .filter(|attempt| attempt.remote.is_none() == is_local && !attempt.remote_reports)
            .map(|attempt| (*attempt).clone())
            .collect();
        if let Err(error) = report(running, message, kind, notify::Kind::Delivered, &told).await {
            tracing::warn!(queue_id = message.id.0, %error, "a report of success could not be written");
        }
    }
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
        let (now, reply) = (now_ms(), EXPANDED);
        let told = groups.iter().map(|recipient| FailedRecipient {
            recipient,
            remote_mta: None,
            reply: &reply,
            is_remote: false,
            last_attempt_ms: None,
            retry_until_ms: None,
        });
        if let Err(error) = send(running, message, to, Kind::Expanded, &told.collect::<Vec<_>>(), now).await {
            tracing::warn!(queue_id = message.id.0, %error, "a report of an expanded group could not be written");
        }
    }
}

/// Writes one report about those of `attempts` that a report is due for.
async fn report(
    running: &Arc<Running>,
    message: &Message,
    kind: Kind,
    due_kind: notify::Kind,
    attempts: &[Attempt],
) -> Result<(), CommitError> {
    let envelope = &message.envelope;
    let ReversePath::Mailbox(to) = &envelope.reverse_path else { return Ok(()) };
    let now = now_ms();
    let told: Vec<FailedRecipient<'_>> = attempts
        .iter()
        .filter_map(|attempt| {
            let recipient = envelope.recipients.get(attempt.index as usize)?;
            notify::due(due_kind, &envelope.reverse_path, recipient.notify).then_some(FailedRecipient {
                recipient,
                remote_mta: attempt.remote.as_deref(),
                reply: &attempt.reply,
                is_remote: attempt.remote.is_some(),
                last_attempt_ms: Some(now),
                retry_until_ms: None,
            })
        })
        .collect();
    send(running, message, to, kind, &told, now).await
}

/// The same for recipients that need not stand in the envelope.
async fn send(
    running: &Arc<Running>,
    message: &Message,
    to: &Mailbox,
    kind: Kind,
    told: &[FailedRecipient<'_>],
    now: u64,
) -> Result<(), CommitError> {
    if told.is_empty() {
        return Ok(());
    }
    let revision = running.revision();
    let settings = &revision.settings;
    let original = original(message, kind).await;
    let staged = running.spool.stage();
    let report_id = format!("{}.{now}.{:08x}", staged.id(), getrandom::u32().unwrap_or(0));
    let report = Report {
        kind,
        reporting_mta: settings.server.name.as_str(),
        postmaster: &settings.postmaster(),
        to,
        envelope: &message.envelope,
        id: message.id,
        report_id: &report_id,
        time_ms: now,
        recipients: told,
        original: match &original {
            (true, bytes) => Original::Full(bytes),
            (false, bytes) => Original::Headers(bytes),
        },
        with_diagnostics: true,
    };
    commit(running, staged, &report, to, now).await
}

async fn commit(
    running: &Arc<Running>,
    mut staged: gatepost_spool::Staged,
    report: &Report<'_>,
    to: &Mailbox,
    now: u64,
) -> Result<(), CommitError> {
    let content = report.write();
    staged.write(&content)?;
    let revision = running.revision();
    // The sender may be an alias, a contact or a group here.
    let whom = vec![Recipient { notify: Notify::NEVER, ..Recipient::new(to.clone()) }];
    let recipients = resolve::resolve(&revision.settings, whom).recipients;
    let recipients_need_utf8 = recipients.iter().any(|recipient| recipient.mailbox.needs_smtputf8());
    let envelope = Envelope {
        reverse_path: ReversePath::Null,
        recipients,
        body: if !content.is_ascii() { BodyType::EightBitMime } else { BodyType::SevenBit },
        smtputf8: report.needs_smtputf8() || recipients_need_utf8,
        ret: None,
        envid: None,
        // A report is our own word.
        arrival: Arrival {
            time_ms: now,
            peer: None,
            connector: "".into(),
            principal: "".into(),
            auth_as: AuthAs::Internal,
            ..Arrival::default()
        },
    };
    let id = staged.id();
    let plan = categorize::plan(running, &revision, &envelope, content.len() as u64);
    staged.commit(envelope, Vec::new()).await?;
    categorize::enqueue(running, id, now, plan, None);
    count(&running.counters.reports);
    tracing::info!(queue_id = id.0, about = report.id.0, recipient = %to, kind = ?report.kind, verdict = "reported", "reported");
    Ok(())
}

/// What goes back of the original: all of it (true) or its header section. All of it only with news of failure, and not
/// where the sender asked for less (RFC 3461 section 4.3). How it came through our organization is nobody's business
/// outside (fact sheet section 2.9).
async fn original(message: &Message, kind: Kind) -> (bool, Vec<u8>) {
    let is_wanted = kind == Kind::Failed && message.envelope.ret != Some(Return::Headers);
    let is_whole = is_wanted && message.content.len() <= ORIGINAL_BYTES_MAX;
    let mut bytes = Vec::new();
    let bytes_max = if is_whole { message.content.len() } else { HEADER_BYTES_MAX as u64 };
    while (bytes.len() as u64) < bytes_max {
        let missing = usize::try_from(bytes_max - bytes.len() as u64).unwrap_or(HEADER_BYTES_MAX);
        match fetch::piece(&message.content, bytes.len() as u64, missing).await {
            Ok(piece) if piece.as_ref().is_empty() => break,
            Ok(piece) => bytes.extend_from_slice(piece.as_ref()),
            Err(error) => {
                // A report without its original is better than none.
                tracing::warn!(queue_id = message.id.0, %error, "the original of a report cannot be read");
                break;
            }
        }
    }
    if !is_whole {
        let length = header::section_len(&bytes).unwrap_or(bytes.len());
        bytes.truncate(length);
    }
    let mut kept = Vec::with_capacity(bytes.len());
    let mut firewall = HeaderFirewall::new(header_firewall::RETURNED);
    let mut keep = infallible(|slice| kept.extend_from_slice(slice));
    let Ok(()) = firewall.push(&bytes, &mut keep);
    let Ok(()) = firewall.finish(keep);
    (is_whole, kept)
}

fn recipient_text(message: &Message, index: u32) -> String {
    message.envelope.recipients.get(index as usize).map(|r| r.mailbox.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use gatepost_spool::State;

    use super::*;
    use crate::queue::{QueueKey, Work};
    use crate::site::{CONTOSO, Site, envelope};

    const CONTENT: &str = "Subject: lunch\r\n\r\nAt noon?\r\n";
    const SUCCESS: Notify = Notify { success: true, failure: false, delay: false, given: true };

    impl Way<'static> {
        fn to_x() -> Way<'static> {
            static COUNTED: std::sync::LazyLock<SendCounting> = std::sync::LazyLock::new(SendCounting::default);
            Way { next_hop: "x.example", retry: Overrides::default(), counted: &COUNTED }
        }
    }

    fn attempt(index: u32, code: u16) -> Attempt {
        let reply = Reply::new(code, ((code / 100) as u8, 0, 0), "said the next hop");
        Attempt { index, reply, remote: Some("mx.example".into()), remote_reports: false }
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
