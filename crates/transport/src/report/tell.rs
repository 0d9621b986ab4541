//! Whom to tell, and in how many messages: reports to senders, notices to whoever answers for a host, copies to the
//! postmaster.
//!
//! Takes attempts that ended, asks `policy::notify` who hears of them, and writes that into the spool. What would be one
//! report too many for somebody stays owed here, its recipients pending in the spool but in no queue, until the
//! summary of all that is owed is in the spool: a crash before that leaves them pending, and they come back to this point.

use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::report::{FailedRecipient, Kind, Original, Report, Summary, Undelivered, Whose};
use gatepost_mail::{Arrival, AuthAs, BodyType, Envelope, Mailbox, MessageId, Notify, Recipient, ReversePath};
use gatepost_policy::notify::{self, Turn};
use gatepost_policy::resolve;
use gatepost_spool::{CommitError, Message, Outcome, Staged};
use gatepost_tracking::passport::event::ReportKind;

use super::original::original;
use super::{Attempt, OnSuccess, REPORT_OWED_MS};
use crate::categorize;
use crate::clock::now_ms;
use crate::duties::{Addressee, Owed, Settle};
use crate::passports::{self, Own, Tried};
use crate::state::{Running, count};

/// What has become of the duty to tell somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is done, or nobody is to be told: the recipients may be settled.
    Done,
    /// It will be, together with others. Whoever does that settles the recipients.
    Later,
    /// There was no room to remember it: the recipients come back to this point.
    NotNow,
}

/// Writes summaries when they are due, until the server stops.
pub async fn run(running: Arc<Running>) {
    let mut stop = running.stop.subscribe();
    loop {
        let now = now_ms();
        let wait_ms = match running.duties.take_due(now) {
            Ok((addressee, owed)) => {
                summarize(&running, addressee, owed).await;
                continue;
            }
            // The clock may be set forward meanwhile.
            Err(Some(due_ms)) => due_ms.saturating_sub(now).clamp(1, 60_000),
            Err(None) => u64::MAX,
        };
        tokio::select! {
            biased;
            _ = stop.changed() => return,
            () = running.duties.changed() => {}
            () = tokio::time::sleep(Duration::from_millis(wait_ms.min(3_600_000))) => {}
        }
    }
}

/// Writes one, and settles what it tells of.
pub async fn summarize(running: &Arc<Running>, addressee: Addressee, mut owed: Owed) {
    let (whose, to) = match &addressee {
        Addressee::Owner(to) => (Whose::Owner, to),
        Addressee::Sender(to) | Addressee::Waiting(to) => (Whose::Sender, to),
    };
    match write_summary(running, whose, to, &owed.cases).await {
        Ok(()) => {
            for (id, outcomes) in owed.settles {
                passports::settle(running, id, outcomes, Tried::by_nobody());
            }
        }
        Err(error) => {
            tracing::error!(%error, recipient = %to, "a summary of reports could not be written; it is tried again");
            owed.due_ms = now_ms() + REPORT_OWED_MS;
            running.duties.put_back(addressee, owed);
        }
    }
}

/// Tells of recipients that failed: their sender, or whoever answers for the host where no sender can be told.
///
/// # Errors
/// When it could not be written; nobody has been told then.
pub async fn of_failure(running: &Arc<Running>, message: &Message, failed: &[Attempt]) -> Result<Told, CommitError> {
    let envelope = &message.envelope;
    let now = now_ms();
    let revision = running.revision();
    let settings = &revision.settings;
    let wanted = |attempt: &&Attempt| {
        let recipient = envelope.recipients.get(attempt.index as usize);
        recipient.is_some_and(|recipient| recipient.notify.failure || is_ours(envelope))
    };
    let told: Vec<FailedRecipient<'_>> =
        failed.iter().filter(wanted).filter_map(|attempt| as_told(envelope, attempt, now)).collect();
    if told.is_empty() {
        return Ok(Told::Done);
    }
    let outcomes = || {
        let outcome = |attempt: &Attempt| {
            (attempt.index, Outcome::Failed { reply: attempt.reply.to_string().into(), time_ms: now })
        };
        (message.id, failed.iter().map(outcome).collect::<Vec<_>>())
    };
    if let ReversePath::Mailbox(to) = &envelope.reverse_path {
        if !notify::may_go(notify::Kind::Failed, to, &settings.domains, &settings.remote_domains) {
            return Ok(Told::Done);
        }
        let addressee = Addressee::Sender(to.clone());
        return match running.duties.turn(addressee.clone(), settings.reports.sender_reports_per_hour, now) {
            Turn::Now => report(running, message, to, Kind::Failed, &told).await.map(|()| Told::Done),
            Turn::Together(due_ms) => {
                let case = case(message, &told).await;
                Ok(owe(running, addressee, due_ms, case, outcomes()))
            }
        };
    }
    let answerable = match is_ours(envelope) {
        true => envelope.arrival.answerable.as_deref(),
        false => notify::answerable(&settings.reports, &settings.receive_connectors, &envelope.arrival),
    };
    let Some(owner) = answerable else { return Ok(Told::Done) };
    let addressee = Addressee::Owner(owner.clone());
    let case = case(message, &told).await;
    match running.duties.turn(addressee.clone(), settings.reports.notices_per_hour, now) {
        Turn::Now => write_summary(running, Whose::Owner, owner, &[case]).await.map(|()| Told::Done),
        Turn::Together(due_ms) => Ok(owe(running, addressee, due_ms, case, outcomes())),
    }
}

/// Whether we made the message ourselves: a report, a notice.
fn is_ours(envelope: &Envelope) -> bool {
    envelope.arrival.peer.is_none() && envelope.arrival.connector.is_empty()
}

fn as_told<'a>(envelope: &'a Envelope, attempt: &'a Attempt, now_ms: u64) -> Option<FailedRecipient<'a>> {
    Some(FailedRecipient {
        recipient: envelope.recipients.get(attempt.index as usize)?,
        remote_mta: attempt.remote.as_deref(),
        reply: &attempt.reply,
        is_remote: attempt.remote.is_some(),
        last_attempt_ms: Some(now_ms),
        retry_until_ms: None,
    })
}

/// What a summary tells of a message: of a report that could not be delivered, what the report told.
async fn case(message: &Message, told: &[FailedRecipient<'_>]) -> Undelivered {
    let content = original(message, is_ours(&message.envelope)).await;
    let sender = told.first().map(|told| &told.recipient.mailbox);
    let read = sender.filter(|_| is_ours(&message.envelope)).and_then(|to| Undelivered::read_report(&content, to));
    read.unwrap_or_else(|| Undelivered::new(message.id, &message.envelope, &content, told))
}

fn owe(running: &Running, addressee: Addressee, due_ms: u64, case: Undelivered, settle: Settle) -> Told {
    // Many are kept; their header sections would be too much.
    let case = Undelivered { header: Vec::new(), ..case };
    tracing::info!(queue_id = settle.0.0, ?addressee, "many failures: this one is reported together with others");
    if running.duties.owe(addressee, due_ms, case, settle) { Told::Later } else { Told::NotNow }
}

/// Tells the sender at once of recipients that an administrator takes out: he asked for it.
///
/// # Errors
/// When it could not be written; nobody has been told then.
pub async fn of_removal(running: &Arc<Running>, message: &Message, removed: &[Attempt]) -> Result<(), CommitError> {
    let ReversePath::Mailbox(to) = &message.envelope.reverse_path else { return Ok(()) };
    let now = now_ms();
    let told = removed.iter().filter_map(|attempt| as_told(&message.envelope, attempt, now));
    let told: Vec<FailedRecipient<'_>> = told.filter(|told| told.recipient.notify.failure).collect();
    if told.is_empty() { Ok(()) } else { report(running, message, to, Kind::Failed, &told).await }
}

/// Success is reported only where the sender asked for it; one that is lost to a full disk is no harm to anybody.
pub async fn of_success(running: &Arc<Running>, message: &Message, delivered: &[&Attempt]) {
    let ReversePath::Mailbox(to) = &message.envelope.reverse_path else { return };
    let now = now_ms();
    for (kind, meaning) in [(Kind::Delivered, OnSuccess::Delivered), (Kind::Relayed, OnSuccess::Relayed)] {
        let told: Vec<FailedRecipient<'_>> = delivered
            .iter()
            .filter(|attempt| attempt.on_success == meaning)
            .filter_map(|attempt| as_told(&message.envelope, attempt, now))
            .filter(|told| told.recipient.notify.success)
            .collect();
        of_no_failure(running, message, to, kind, &told).await;
    }
}

/// Tells of something that is no failure: nobody is harmed where it cannot be written.
pub async fn of_no_failure(
    running: &Arc<Running>,
    message: &Message,
    to: &Mailbox,
    kind: Kind,
    told: &[FailedRecipient<'_>],
) {
    if told.is_empty() {
        return;
    }
    if let Err(error) = report(running, message, to, kind, told).await {
        tracing::warn!(queue_id = message.id.0, %error, ?kind, "a report could not be written");
    }
}

/// Writes one report to the sender.
async fn report(
    running: &Arc<Running>,
    message: &Message,
    to: &Mailbox,
    kind: Kind,
    told: &[FailedRecipient<'_>],
) -> Result<(), CommitError> {
    let revision = running.revision();
    let settings = &revision.settings;
    let side = settings.reports.side(to, &settings.domains);
    let due_kind = match kind {
        Kind::Failed => notify::Kind::Failed,
        Kind::Delayed => notify::Kind::Delayed,
        Kind::Delivered | Kind::Relayed | Kind::Expanded => notify::Kind::Delivered,
    };
    if !notify::may_go(due_kind, to, &settings.domains, &settings.remote_domains) {
        return Ok(());
    }
    let is_whole = notify::returns_original(due_kind, message.envelope.ret, message.content.len(), side);
    let original = original(message, is_whole).await;
    let staged = running.spool.stage();
    let now = now_ms();
    let report_id = report_id(&staged, now);
    let postmaster = settings.postmaster();
    let report = Report {
        kind,
        reporting_mta: side.reporting_authority.as_ref().unwrap_or(&settings.server.name).as_str(),
        postmaster: &postmaster,
        to,
        envelope: &message.envelope,
        id: message.id,
        report_id: &report_id,
        time_ms: now,
        recipients: told,
        original: if is_whole { Original::Full(&original) } else { Original::Headers(&original) },
        with_diagnostics: notify::may_name_inside(to, &settings.domains, &settings.remote_domains),
    };
    let content = report.write();
    // News that is no failure harms nobody where it gets lost.
    let arrival = Some(&message.envelope.arrival).filter(|_| kind == Kind::Failed);
    let answerable = arrival
        .and_then(|arrival| notify::answerable(&settings.reports, &settings.receive_connectors, arrival))
        .cloned()
        .map(Box::new);
    let about = [message.id];
    let (about, kind_of_report) = (&about[..], super::kind_of(kind));
    let letter =
        Letter { to, content: &content, smtputf8: report.needs_smtputf8(), answerable, about, kind: kind_of_report };
    let id = post(running, staged, letter, now).await?;
    tracing::info!(queue_id = id.0, about = message.id.0, recipient = %to, ?kind, verdict = "reported", "reported");
    let wants_copy =
        kind == Kind::Failed && told.iter().any(|told| settings.reports.wants_copy(told.reply.status_or_default()));
    if wants_copy && *to != postmaster {
        let smtputf8 = report.needs_smtputf8();
        let letter =
            Letter { to: &postmaster, content: &content, smtputf8, answerable: None, about, kind: kind_of_report };
        if let Err(error) = post(running, running.spool.stage(), letter, now).await {
            tracing::warn!(queue_id = message.id.0, %error, "the copy of a report could not be written");
        }
    }
    Ok(())
}

async fn write_summary(
    running: &Arc<Running>,
    whose: Whose,
    to: &Mailbox,
    cases: &[Undelivered],
) -> Result<(), CommitError> {
    let revision = running.revision();
    let settings = &revision.settings;
    let side = settings.reports.side(to, &settings.domains);
    let staged = running.spool.stage();
    let now = now_ms();
    let summary = Summary {
        whose,
        reporting_mta: side.reporting_authority.as_ref().unwrap_or(&settings.server.name).as_str(),
        postmaster: &settings.postmaster(),
        to,
        report_id: &report_id(&staged, now),
        time_ms: now,
        cases,
    };
    let content = summary.write();
    // Nobody hears of a notice that cannot be delivered.
    let about: Vec<MessageId> = cases.iter().map(|case| case.id).collect();
    let kind = match whose {
        Whose::Owner => ReportKind::Notice,
        Whose::Sender => ReportKind::Failed,
    };
    let smtputf8 = summary.needs_smtputf8();
    let letter = Letter { to, content: &content, smtputf8, answerable: None, about: &about, kind };
    let id = post(running, staged, letter, now).await?;
    tracing::info!(queue_id = id.0, messages = cases.len(), recipient = %to, ?whose, verdict = "reported", "reported");
    Ok(())
}

fn report_id(staged: &Staged, now_ms: u64) -> String {
    format!("{}.{now_ms}.{:08x}", staged.id(), getrandom::u32().unwrap_or(0))
}

/// A message of ours.
struct Letter<'a> {
    to: &'a Mailbox,
    content: &'a [u8],
    smtputf8: bool,
    answerable: Option<Box<Mailbox>>,
    /// The messages that it is about, and what it says of them.
    about: &'a [MessageId],
    kind: ReportKind,
}

/// Puts a message of ours into the spool and its queues, from the null reverse-path.
async fn post(
    running: &Arc<Running>,
    mut staged: Staged,
    letter: Letter<'_>,
    now_ms: u64,
) -> Result<MessageId, CommitError> {
    let Letter { to, content, smtputf8, answerable, about, kind } = letter;
    staged.write(content)?;
    let revision = running.revision();
    // The addressee may be an alias, a contact or a group here.
    let whom = vec![Recipient { notify: Notify::NEVER, ..Recipient::new(to.clone()) }];
    let recipients = resolve::resolve(&revision.settings, whom).recipients;
    let recipients_need_utf8 = recipients.iter().any(|recipient| recipient.mailbox.needs_smtputf8());
    let envelope = Envelope {
        reverse_path: ReversePath::Null,
        recipients,
        body: if content.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
        smtputf8: smtputf8 || recipients_need_utf8,
        ret: None,
        envid: None,
        // It is our own word.
        arrival: Arrival { time_ms: now_ms, auth_as: AuthAs::Internal, answerable, ..Arrival::default() },
    };
    let id = staged.id();
    let plan = categorize::plan(running, &revision, &envelope, content.len() as u64);
    passports::commit_own(running, staged, envelope, Own { about, kind, to, content }).await?;
    categorize::enqueue(running, id, now_ms, plan, None);
    count(&running.counters.reports);
    Ok(id)
}
