//! Part one of a report: words for a person. What happened stands in the first line; then, for each recipient, why, what
//! to do, and what the server there said; then, as Exchange writes it, what an administrator wants to know.

use std::borrow::Cow;

use super::explain::{advise, explain};
use super::multipart::Part;
use super::status_part::named_by_sender;
use super::text::{Text, cut, readable, remote_name, reply_text};
use super::{FailedRecipient, Kind, Report, original};
use crate::field::token;
use crate::trace::date;

/// How much of a subject the first line repeats, in bytes.
const TITLE_BYTES_MAX: usize = 120;

/// The part. `subject` is the original's.
pub fn part(report: &Report<'_>, subject: Option<&str>) -> Part<'static> {
    let mut text = Text::default();
    text.paragraph("", &opening(report, subject));
    for failed in report.recipients {
        text.blank();
        text.paragraph("", &failed.recipient.mailbox.to_string());
        if let Some(named) = named_by_sender(failed.recipient) {
            text.paragraph("  ", &format!("You wrote to: {named}"));
        }
        describe(report, failed, &mut text);
    }
    text.blank();
    let has_others = report.envelope.recipients.len() > report.recipients.len();
    if has_others && matches!(report.kind, Kind::Failed | Kind::Delayed) {
        text.paragraph("", "Your message had other recipients as well. This report says nothing about them.");
    }
    text.paragraph(
        "",
        match original::is_returned_whole(report.original) {
            false => "The header section of your message is attached, the message itself is not.",
            true => "Your message is attached.",
        },
    );
    diagnose(report, &mut text);
    text.into_part("What happened")
}

fn opening(report: &Report<'_>, subject: Option<&str>) -> String {
    let title = subject.map(|subject| cut(&readable(subject), TITLE_BYTES_MAX)).filter(|title| !title.is_empty());
    let what = title.map_or_else(|| "Your message".to_owned(), |title| format!("Your message \"{title}\""));
    let whom = match report.recipients {
        [one] => named_by_sender(one.recipient).unwrap_or_else(|| one.recipient.mailbox.to_string()),
        several => format!("{} recipients", several.len()),
    };
    match report.kind {
        Kind::Failed => format!("{what} could not be delivered to {whom}."),
        Kind::Delayed => format!(
            "{what} has not been delivered to {whom} yet. This is only to let you know: the server goes on \
             trying, and you need not send it again."
        ),
        Kind::Delivered => format!("{what} has been delivered to {whom}."),
        Kind::Relayed => format!(
            "{what} has been handed on for {whom}, to a server that does not report deliveries. You may hear \
             nothing further."
        ),
        Kind::Expanded => format!("{what} has been handed on to the members of a group: {whom}."),
    }
}

/// What happened with one recipient, in words.
fn describe(report: &Report<'_>, failed: &FailedRecipient<'_>, text: &mut Text) {
    let speaker: Cow<'_, str> = match (failed.is_remote, failed.remote_mta) {
        (false, _) => "This server".into(),
        (true, None) => "The server there".into(),
        (true, Some(remote_mta)) => format!("The server {}", remote_name(remote_mta)).into(),
    };
    if matches!(report.kind, Kind::Failed | Kind::Delayed) {
        let (status, code) = (failed.reply.status_or_default(), failed.reply.code);
        text.paragraph("  ", &format!("Why: {}", explain(status, code)));
        match (report.kind, failed.retry_until_ms) {
            (Kind::Delayed, None) => text.paragraph("  ", "What to do: Nothing. The server goes on trying."),
            (Kind::Delayed, Some(until_ms)) => {
                let until = date(until_ms);
                text.paragraph("  ", &format!("What to do: Nothing. The server goes on trying until {until}."));
            }
            _ => text.paragraph("  ", &format!("What to do: {}", advise(status, code))),
        }
    }
    if report.kind == Kind::Delayed {
        // Nobody asked again just now.
        return text.paragraph("  ", &format!("What was answered last: {}", reply_text(&failed.reply.to_string())));
    }
    text.paragraph("  ", &format!("{speaker} said: {}", reply_text(&failed.reply.to_string())));
}

/// Exchange's section for administrators (fact sheet section 4.10).
fn diagnose(report: &Report<'_>, text: &mut Text) {
    text.blank();
    text.paragraph("", "Diagnostic information for administrators:");
    text.blank();
    text.paragraph("", &format!("Generating server: {}", token(report.reporting_mta)));
    text.paragraph("", &format!("Queue id: {}", report.id));
    let received = date(report.envelope.arrival.time_ms);
    match report.envelope.peer_ip().filter(|_| report.with_diagnostics) {
        Some(peer) => text.paragraph("", &format!("Received: {received} from {peer}")),
        None => text.paragraph("", &format!("Received: {received}")),
    }
    for failed in report.recipients {
        text.blank();
        text.paragraph("", &failed.recipient.mailbox.to_string());
        if let Some(remote_mta) = failed.remote_mta {
            text.paragraph("", &format!("Remote server: {}", remote_name(remote_mta)));
        }
        text.paragraph("", &format!("#{} ##", reply_text(&failed.reply.to_string())));
    }
}
