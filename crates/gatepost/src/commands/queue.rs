//! `gatepost queue`: the messages that wait, seen and steered through the running server.

mod queues;
mod change;

use std::io::{self, Write};

use gatepost_manage::resource::{
    Message, MessageAction, MessageDetail, QUEUE_LIMIT_MAX, QueueAction, QueueListing, QueueQuery, QueuesRequest,
    Recipient, RecipientState, Retried, RetryRequest,
};

use super::{client, wait_for, write_json};
use crate::cli::{QueueCommand, QueueListArguments, Retry, RetryArguments, Target};
use crate::clock::now_ms;
use crate::failure::Failure;
use crate::terminal::{Table, ago, ahead, count, harmless, moment, size};

/// Lists, shows, and does what is asked to messages and queues.
pub fn queue(out: &mut dyn Write, target: &Target, command: QueueCommand) -> Result<(), Failure> {
    match command {
        QueueCommand::List(arguments) => list(out, target, arguments),
        QueueCommand::Show { id, json } => show(out, target, id, json),
        QueueCommand::Status(arguments) => queues::status(out, target, arguments),
        QueueCommand::Retry(arguments) => retry(out, target, &arguments),
        QueueCommand::Suspend(arguments) => queues::hold(out, target, arguments, true),
        QueueCommand::Resume(arguments) => queues::hold(out, target, arguments, false),
        QueueCommand::Remove { which, no_report, how } => {
            change::change(out, target, which, &MessageAction::Remove { report: !no_report }, &how)
        }
        QueueCommand::Redirect { which, way, how } => {
            let action = way.to.map_or(MessageAction::RedirectBack, MessageAction::Redirect);
            change::change(out, target, which, &action, &how)
        }
        QueueCommand::Priority { which, to, how } => {
            change::change(out, target, which, &MessageAction::Prioritize(to), &how)
        }
        QueueCommand::Export { id } => Ok(out.write_all(&wait_for(client(target)?.export(id))?)?),
    }
}

fn list(out: &mut dyn Write, target: &Target, arguments: QueueListArguments) -> Result<(), Failure> {
    let QueueListArguments { next_hop, sender, recipient, filter, sort, offset, limit, json } = arguments;
    let is_filtered = next_hop.is_some() || sender.is_some() || recipient.is_some() || filter.is_some();
    let client = client(target)?;
    let mut listing = QueueListing { total: 0, messages: Vec::new(), recovering: false };
    // One answer holds so many at most; more are fetched in turn.
    loop {
        let missing = limit.saturating_sub(listing.messages.len());
        let query = QueueQuery {
            next_hop: next_hop.clone(),
            sender: sender.clone(),
            recipient: recipient.clone(),
            filter: filter.clone(),
            sort: sort.clone(),
            offset: Some(offset.saturating_add(listing.messages.len())),
            limit: Some(missing.min(QUEUE_LIMIT_MAX)),
        };
        let page = wait_for(client.queue(&query))?;
        (listing.total, listing.recovering) = (page.total, page.recovering);
        let is_last = page.messages.len() < missing.min(QUEUE_LIMIT_MAX);
        listing.messages.extend(page.messages);
        if is_last || listing.messages.len() >= limit {
            break;
        }
    }
    if json {
        return write_json(out, &listing);
    }
    if listing.total == 0 && is_filtered {
        writeln!(out, "No message that waits matches.")?;
    } else {
        write_listing(out, &listing, now_ms())?;
    }
    if listing.recovering {
        writeln!(out, "{STILL_READ}")?;
    }
    Ok(())
}

const STILL_READ: &str =
    "The queue of the last run is still being read and may hold more: `gatepost status` says how much is left.";

fn write_listing(out: &mut dyn Write, listing: &QueueListing, now: u64) -> io::Result<()> {
    if listing.total == 0 {
        return writeln!(out, "No message waits.");
    }
    let mut table =
        Table::new(&["ID", "STATUS", "ARRIVED", "SIZE", "SENDER", "RECIPIENT", "NEXT HOP", "NEXT TRY", "LAST ERROR"]);
    for message in &listing.messages {
        write_row(&mut table, message, now);
    }
    table.write(out)?;
    let shown = listing.messages.len() as u64;
    if shown < listing.total {
        writeln!(out, "{shown} of {} shown.", count(listing.total, "message", "messages"))
    } else {
        writeln!(out, "{}.", count(listing.total, "message", "messages"))
    }
}

/// One line for each message, with the recipient that is tried next.
fn write_row(table: &mut Table, message: &Message, now: u64) {
    let mut pending: Vec<_> = message.recipients.iter().filter(|r| r.state == RecipientState::Pending).collect();
    pending.sort_by_key(|recipient| recipient.next_attempt_ms.unwrap_or(0));
    let first: Option<&Recipient> = pending.first().copied().or(message.recipients.first());
    let recipient = match (first, pending.len()) {
        (None, _) => "-".to_owned(),
        (Some(first), 0 | 1) => first.address.clone(),
        (Some(first), waiting) => format!("{} +{}", first.address, waiting - 1),
    };
    table.row(&[
        &message.id.to_string(),
        &message.status,
        &ago(message.arrival_ms, now),
        &size(message.size_bytes),
        &message.reverse_path,
        &recipient,
        first.and_then(|first| first.next_hop.as_deref()).unwrap_or("-"),
        &first.map_or("-".to_owned(), |first| next_try(first, now)),
        first.map_or("-", last_error),
    ]);
}

fn show(out: &mut dyn Write, target: &Target, id: u64, json: bool) -> Result<(), Failure> {
    let detail = wait_for(client(target)?.message(id))?;
    if json {
        return write_json(out, &detail);
    }
    Ok(write_detail(out, &detail, now_ms())?)
}

fn write_detail(out: &mut dyn Write, detail: &MessageDetail, now: u64) -> io::Result<()> {
    let message = &detail.message;
    writeln!(out, "message {}", message.id)?;
    let mut facts = Table::plain();
    facts.row(&["  arrived", &format!("{} ({})", moment(message.arrival_ms), ago(message.arrival_ms, now))]);
    facts.row(&["  status", &standing(message)]);
    facts.row(&["  expires", &format!("{} ({})", moment(message.expires_ms), ahead(message.expires_ms, now))]);
    facts.row(&["  sender", &message.reverse_path]);
    facts.row(&["  size", &format!("{} ({} bytes)", size(message.size_bytes), message.size_bytes)]);
    match message.peer {
        Some(peer) => {
            facts.row(&["  came from", &format!("{peer} through {}, as {}", message.connector, message.principal)]);
        }
        None => facts.row(&["  came from", "this server"]),
    }
    facts.write(out)?;
    writeln!(out)?;
    let mut table = Table::new(&["RECIPIENT", "STATE", "NEXT HOP", "ATTEMPTS", "NEXT TRY", "LAST ERROR"]);
    for recipient in &message.recipients {
        table.row(&[
            &recipient.address,
            state(recipient.state),
            recipient.next_hop.as_deref().unwrap_or("-"),
            &recipient.attempts.to_string(),
            &next_try(recipient, now),
            last_error(recipient),
        ]);
    }
    table.write(out)?;
    writeln!(out)?;
    for line in detail.header.lines() {
        // A header field may be folded by tabs; every other control character is made visible.
        writeln!(out, "{}", line.split('\t').map(harmless).collect::<Vec<_>>().join("\t"))?;
    }
    Ok(())
}

/// What it is doing, and what was done to it.
fn standing(message: &Message) -> String {
    let mut text = message.status.clone();
    if message.poison {
        let crashes = count(u64::from(message.crashes), "time", "times");
        text += &format!(", poison: the server ended uncleanly {crashes} while it worked on it");
    }
    if let Some(connector) = &message.redirect {
        text += &format!(", redirected to {connector}");
    }
    if !matches!(message.priority.as_str(), "" | "Normal") {
        text += &format!(", priority {}", message.priority);
    }
    if !message.queues.is_empty() {
        text += &format!(", in {}", message.queues.join(" and "));
    }
    text
}

fn retry(out: &mut dyn Write, target: &Target, arguments: &RetryArguments) -> Result<(), Failure> {
    let client = client(target)?;
    let retried: Retried = match arguments.which() {
        Retry::Message(id) => wait_for(client.retry_message(id))?,
        Retry::All => wait_for(client.retry(&RetryRequest::All))?,
        Retry::NextHop(next_hop) => wait_for(client.retry(&RetryRequest::NextHop(next_hop)))?,
        Retry::Queues(queues, filter) => {
            let action = if arguments.resubmit { QueueAction::Resubmit } else { QueueAction::Retry };
            let changed = wait_for(client.change_queues(&QueuesRequest { action, queues, filter }))?;
            Retried { entries: changed.entries }
        }
    };
    if arguments.json {
        return write_json(out, &retried);
    }
    match retried.entries {
        0 => writeln!(out, "Nothing waits for a later try.")?,
        entries => writeln!(out, "Trying again now: {}.", count(entries, "delivery", "deliveries"))?,
    }
    Ok(())
}

fn next_try(recipient: &Recipient, now: u64) -> String {
    // Without a way out it waits for other settings, not for a moment; the moment is that of its expiry.
    let is_unreachable = recipient.next_hop.as_deref() == Some("unreachable");
    match (recipient.state, recipient.next_attempt_ms) {
        (RecipientState::Pending, _) if is_unreachable => "-".to_owned(),
        (RecipientState::Pending, Some(next)) => ahead(next, now),
        (RecipientState::Pending, None) => "now".to_owned(),
        _ => "-".to_owned(),
    }
}

/// What keeps the recipient waiting: its queue has no connection, or else the last answer of the next hop. What ended
/// the others is shown as well.
fn last_error(recipient: &Recipient) -> &str {
    recipient.next_hop_error.as_deref().or(recipient.last_reply.as_deref()).unwrap_or("-")
}

fn state(state: RecipientState) -> &'static str {
    match state {
        RecipientState::Pending => "waiting",
        RecipientState::Delivered => "delivered",
        RecipientState::Failed => "failed",
        RecipientState::Removed => "removed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let recipient = |address: &str, state, next_attempt_ms| Recipient {
            address: address.into(),
            state,
            next_hop: Some("[127.0.0.1]:2600".into()),
            attempts: 1,
            last_reply: Some("451 4.7.1 later\x1b[2J".into()),
            next_attempt_ms,
            next_hop_error: None,
        };
        Message {
            status: "Retry".into(),
            priority: "High".into(),
            expires_ms: 7_261_000,
            queues: vec!["mail.contoso.com\\3".into()],
            poison: false,
            crashes: 0,
            redirect: None,
            subject: None,
            internet_message_id: None,
            id: 4711,
            arrival_ms: 1_000,
            size_bytes: 4096,
            reverse_path: "<scanner@contoso.com>".into(),
            connector: "Relay".into(),
            peer: None,
            principal: String::new(),
            recipients: vec![
                recipient("done@x.net", RecipientState::Delivered, None),
                recipient("late@x.net", RecipientState::Pending, Some(600_000)),
                recipient("soon@x.net", RecipientState::Pending, Some(300_000)),
            ],
        }
    }

    fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).expect("a Vec takes all");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_listing_shows_the_recipient_that_is_tried_next() {
        let listing = QueueListing { total: 2, messages: vec![message()], recovering: false };
        assert_eq!(
            written(|out| write_listing(out, &listing, 61_000)),
            "ID    STATUS  ARRIVED  SIZE  SENDER                 RECIPIENT      NEXT HOP          NEXT TRY   LAST ERROR\n\
             4711  Retry   1m ago   4 KB  <scanner@contoso.com>  soon@x.net +1  [127.0.0.1]:2600  in 3m 59s  451 4.7.1 later\\u{1b}[2J\n\
             1 of 2 messages shown.\n"
        );
        let nothing = QueueListing { total: 0, messages: Vec::new(), recovering: false };
        assert_eq!(written(|out| write_listing(out, &nothing, 0)), "No message waits.\n");
    }

    #[test]
    fn a_message_is_shown_with_its_recipients_and_a_harmless_header() {
        let header = "Subject: a\x1b]0;b\x07\r\n\tfolded\r\n".to_owned();
        let shown = written(|out| write_detail(out, &MessageDetail { message: message(), header }, 61_000));
        assert!(shown.contains("came from"), "{shown}");
        assert!(shown.contains("status     Retry, priority High, in mail.contoso.com\\3"), "{shown}");
        assert!(shown.contains("done@x.net  delivered  [127.0.0.1]:2600  1         -          451"), "{shown}");
        assert!(shown.ends_with("\nSubject: a\\u{1b}]0;b\\u{7}\n\tfolded\n"), "{shown}");
    }
}
