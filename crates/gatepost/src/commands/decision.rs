//! `gatepost explain ID`: what happened, as the running server recorded it, and why, recomputed under the settings of that
//! moment and under those in force now.
//!
//! Takes the id of a reply, hands on text or JSON. Recomputes with the functions that decide (invariant I12), and says where
//! that differs from what happened: how many connections were open, which rates were used up or what stood in the header
//! is not recorded.

use std::io::Write;

use gatepost_manage::ClientError;
use gatepost_manage::decision::{Certificate, Decision, DecisionDetail, Outcome};
use gatepost_manage::recomputed::{Answers, name_of};
use gatepost_tracking::DecisionId;

use super::explain::write_grounds;
use super::{client, wait_for, write_json};
use crate::cli::Target;
use crate::clock::now_ms;
use crate::failure::Failure;
use crate::terminal::{Table, ago, harmless, moment, size};

/// Explains the decision whose id `text` is, or holds.
pub fn explain(out: &mut dyn Write, target: &Target, text: &str, json: bool) -> Result<(), Failure> {
    let Some(id) = DecisionId::find_in(text) else {
        return Err(Failure::of(format!(
            "there is no id of a decision in `{}`: it has 12 hexadecimal digits, as in `550 5.7.1 Unable to relay [1f3a9c04b27e]`; \
             to ask without traffic, use --from, --sender and --recipient",
            harmless(text)
        )));
    };
    let detail = fetch(target, id)?;
    let answers = Answers::of(&detail, now_ms());
    if json {
        return write_json(out, &answers.explained(detail));
    }
    let DecisionDetail { decision, in_force, .. } = &detail;
    let Answers { then, now } = answers;
    write_recorded(out, decision, in_force.is_none())?;
    match then {
        None => writeln!(out, "\nThe settings of that moment are kept no more: what is recorded is above.")?,
        Some(Err(failure)) => writeln!(out, "\nThe settings of that moment cannot be asked: {}", said(&failure))?,
        Some(Ok(answer)) => {
            let difference = answer.difference(decision);
            let comparison = difference.unwrap_or_else(|| "they decide the same".to_owned());
            writeln!(out, "\nAsked again, the settings of that moment: {}", harmless(&comparison))?;
            write_grounds(out, &answer.document, &answer.question(decision), &answer.explanation)?;
        }
    }
    match now {
        Some(Ok(answer)) => writeln!(out, "\nToday, {}.", harmless(&answer.today(decision, in_force.is_some())))?,
        Some(Err(failure)) => writeln!(out, "\nThe settings in force cannot be asked: {}", said(&failure))?,
        None => {}
    }
    Ok(out.flush()?)
}

/// The record, or how far back records go.
fn fetch(target: &Target, id: DecisionId) -> Result<DecisionDetail, Failure> {
    let client = client(target)?;
    wait_for(async {
        match client.decision(id).await {
            Err(ClientError::Refused { status: 404, refused }) => {
                let tracking = client.status().await?.tracking;
                let since = |oldest: Option<u64>| oldest.map_or("none are kept".to_owned(), moment);
                Ok(Err(Failure::of(format!(
                    "{}\nRecords of accepted messages go back to: {}; of refusals: {}.",
                    refused.error.split("; `gatepost status`").next().unwrap_or_default(),
                    since(tracking.messages.oldest_ms),
                    since(tracking.refusals.oldest_ms),
                ))))
            }
            Err(error) => Err(error),
            Ok(detail) => Ok(Ok(detail)),
        }
    })?
}

fn write_recorded(out: &mut dyn Write, decision: &Decision, is_in_force: bool) -> Result<(), Failure> {
    let now = now_ms();
    let force = match is_in_force {
        true => "in force".to_owned(),
        false => format!(
            "no longer in force: revisions/{}.toml in the data folder, whose lines are named",
            decision.revision
        ),
    };
    let mut title = format!("{} to {}", decision.peer.ip(), decision.local);
    if let Some(sender) = &decision.sender {
        title += &format!(", {sender}");
    }
    let recipient = decision.refused_recipient.as_ref().or(decision.recipients.first());
    if let Some(recipient) = recipient {
        title += &format!(" for <{recipient}>");
    }
    writeln!(out, "{}", harmless(&title))?;
    let verdict = match (decision.verdict, &decision.reason) {
        (Outcome::Accepted, _) => format!("accepted, queue id {}", decision.queue_id.unwrap_or_default()),
        (Outcome::Refused, reason) => {
            format!(
                "refused at {}: {}",
                name_of(decision.command),
                reason.as_deref().unwrap_or("no reason was recorded")
            )
        }
        (Outcome::Abandoned, _) => {
            format!("given up by the peer, or cut off, after {}: no message came of it", name_of(decision.command))
        }
    };
    writeln!(out, "{}\n\nRecorded", harmless(&verdict))?;
    let mut table = Table::plain();
    table.row(&["  decision", &decision.id]);
    table.row(&["  when", &format!("{} ({})", moment(decision.time_ms), ago(decision.time_ms, now))]);
    if let (Some(count), Some(until_ms)) = (decision.count, decision.until_ms) {
        let text = format!(
            "the first of {count} refusals of this source, counted together until {}; the others may have had other reasons",
            moment(until_ms)
        );
        table.row(&["  stands for", &text]);
    }
    table.row(&["  peer", &decision.peer.to_string()]);
    if let Some(hello) = &decision.hello {
        table.row(&["  called itself", &harmless(hello)]);
    }
    if !decision.principal.is_empty() {
        table.row(&["  principal", &harmless(&decision.principal)]);
    }
    if let Some(user) = decision.user.as_ref().filter(|user| **user != decision.principal) {
        table.row(&["  logged on as", &format!("{} (tried)", harmless(user))]);
    }
    if let Some(connector) = &decision.connector {
        table.row(&["  connector", &harmless(connector)]);
    }
    let tls = match (&decision.tls_version, &decision.tls_cipher) {
        (Some(version), cipher) => format!("{version} {}", cipher.as_deref().unwrap_or_default()),
        (None, _) => "no".to_owned(),
    };
    table.row(&["  TLS", tls.trim_end()]);
    if let Some(bytes) = decision.size_bytes {
        table.row(&["  size", &size(bytes)]);
    }
    if let Some(certificate) = &decision.certificate {
        table.row(&["  certificate", &harmless(&certificate_text(certificate))]);
    }
    if let Some(header_sender) = &decision.header_sender {
        table.row(&["  header's sender", &harmless(header_sender)]);
    }
    if !decision.header_senders.is_empty() {
        table.row(&["  header names", &harmless(&decision.header_senders.join(", "))]);
    }
    if decision.recipient_count > 0 {
        let mut shown = decision.recipients.join(", ");
        let more = (decision.recipient_count as usize).saturating_sub(decision.recipients.len());
        if more > 0 {
            shown += &format!(" and {more} more");
        }
        table.row(&["  accepted for", &harmless(&shown)]);
    }
    if decision.verdict == Outcome::Refused {
        let reply = decision.reply.as_deref().unwrap_or("(closed without a word)");
        table.row(&["  reply", &harmless(reply)]);
    }
    table.row(&["  settings", &format!("revision {}, {force}", decision.revision)]);
    Ok(table.write(out)?)
}

/// A certificate in one line.
fn certificate_text(certificate: &Certificate) -> String {
    let name = certificate.name.as_deref().unwrap_or("(names that cannot be read)");
    let fault = certificate.fault.as_ref().map_or(String::new(), |fault| format!(", {fault}"));
    format!("{name}, thumbprint {}{fault}", certificate.thumbprint)
}

/// A failure in one line, where it is not the end.
fn said(failure: &str) -> String {
    harmless(failure.lines().last().unwrap_or_default().trim_start_matches("error: "))
}
