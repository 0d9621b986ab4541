//! `gatepost explain ID`: what happened, as the running server recorded it, and why, recomputed under the settings of that
//! moment and under those in force now.
//!
//! Takes the id of a reply, hands on text or JSON. Recomputes with the functions that decide (invariant I12), and says where
//! that differs from what happened: how many connections were open, which rates were used up or what stood in the header
//! is not recorded.

use std::io::Write;

use gatepost_mail::header_senders::{HeaderSenders, SenderField};
use gatepost_mail::{ForwardPath, Mailbox, Reading, ReversePath};
use gatepost_manage::ClientError;
use gatepost_manage::decision::{Certificate, Decision, DecisionDetail, Outcome, RevisionDocument, Stage};
use gatepost_manage::document::Document;
use gatepost_policy::certificate::PeerCertificate;
use gatepost_policy::explain::{self as policy, Command, Explanation, Obstacle, Question};
use gatepost_tracking::DecisionId;
use serde::Serialize;

use super::explain::{Report, report, write_grounds};
use super::rights::Lines;
use super::{client, wait_for, write_json};
use crate::cli::Target;
use crate::clock::now_ms;
use crate::failure::Failure;
use crate::terminal::{Table, ago, count, harmless, moment, size};

/// Recorded addresses were whole, and as long as any connector takes.
const AS_ACCEPTED: Reading<'_> = Reading { default_domain: None, long_addresses: true };

/// What `--json` prints.
#[derive(Serialize)]
struct Explained<'a> {
    decision: &'a Decision,
    /// None: the settings of that moment are kept no more, or cannot be read any more.
    recomputed: Option<Recomputed>,
    /// Under the settings in force now, at this moment.
    now: Option<Recomputed>,
}

#[derive(Serialize)]
struct Recomputed {
    revision: String,
    same: bool,
    /// Where it differs: what the settings alone would do, and what they do not know.
    difference: Option<String>,
    explanation: Report,
}

/// One question asked under one document.
struct Answer {
    document: Document,
    asked: Asked,
    now_ms: u64,
    explanation: Explanation,
    /// The refusal up to the recorded command: at which, its name, its words.
    refusal: Option<(Stage, String, String)>,
}

/// Addresses that the question borrows.
struct Asked {
    reverse_path: ReversePath,
    forward_path: ForwardPath,
    header: Option<HeaderSenders>,
    certificate: Option<PeerCertificate>,
}

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
    let DecisionDetail { decision, document, in_force } = &detail;
    let then = document.as_ref().map(|kept| ask(decision, kept, decision.time_ms));
    let now = in_force.as_ref().or(document.as_ref().filter(|kept| kept.revision == decision.revision));
    let now = match (in_force, document) {
        // Expiry alone can make a difference under the same settings.
        (Some(_), _) | (None, Some(_)) => now.map(|kept| ask(decision, kept, now_ms())),
        (None, None) => None,
    };
    if json {
        let recomputed = |answer: Option<Result<Answer, Failure>>| Some(answer?.ok()?.recomputed(decision));
        return write_json(out, &Explained { decision, recomputed: recomputed(then), now: recomputed(now) });
    }
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

/// Asks one document about what was recorded, at a moment.
fn ask(decision: &Decision, kept: &RevisionDocument, now_ms: u64) -> Result<Answer, Failure> {
    let name = format!("revision {}", kept.revision);
    let document = Document::recall(&name, kept.text.clone(), &kept.host_name)?;
    let unreadable = |text: &str| Failure::of(format!("the recorded address `{}` is cut short", harmless(text)));
    let reverse_path = match decision.sender.as_deref() {
        Some(text) => match ReversePath::parse_prefix_in(text, AS_ACCEPTED) {
            Ok((path, "")) => path,
            _ => return Err(unreadable(text)),
        },
        None => ReversePath::Null,
    };
    let recipients: Vec<&str> = match &decision.refused_recipient {
        Some(refused) => vec![refused],
        None => decision.recipients.iter().map(String::as_str).collect(),
    };
    let mut asked = Vec::new();
    for text in recipients {
        match ForwardPath::parse_prefix_in(text, AS_ACCEPTED) {
            Ok((path, "")) => asked.push(path),
            _ => return Err(unreadable(text)),
        }
    }
    let nobody_is_named = asked.is_empty();
    if nobody_is_named {
        // No recipient was named: the one that always passes stands for it, and is not shown.
        asked.push(ForwardPath::Postmaster);
    }
    // Of several recipients, one who is refused today or was refused then is worth more words than one who is not.
    let mut answers = asked.into_iter().map(|forward_path| {
        let certificate = decision.certificate.as_ref().and_then(Certificate::to_policy);
        let asked =
            Asked { reverse_path: reverse_path.clone(), forward_path, header: header_of(decision), certificate };
        let mut explanation = policy::explain(&document.settings, &question(decision, &asked, now_ms));
        explanation.dialogue.steps.retain(|step| stage(step.command) <= decision.command);
        explanation.addressee = explanation.addressee.filter(|_| !nobody_is_named);
        let refusal = refusal_of(&explanation);
        (asked, explanation, refusal)
    });
    let Some(mut chosen) = answers.next() else { return Err(Failure::of("no recipient was recorded")) };
    if chosen.2.is_none() {
        chosen = answers.find(|(_, _, refusal)| refusal.is_some()).unwrap_or(chosen);
    }
    let (asked, explanation, refusal) = chosen;
    Ok(Answer { document, asked, now_ms, explanation, refusal })
}

/// What is recorded of the header: everybody whom it names, or the address that it was refused for, and in the reason its
/// field.
fn header_of(decision: &Decision) -> Option<HeaderSenders> {
    let recorded = decision.header_senders.iter().filter_map(|recorded| {
        let (field, address) = recorded.split_once(' ')?;
        Some((SenderField::parse(field.as_bytes())?, Mailbox::parse(address).ok()?))
    });
    let recorded = HeaderSenders::of(recorded);
    if !recorded.mailboxes().is_empty() {
        return Some(recorded);
    }
    let mailbox = Mailbox::parse(decision.header_sender.as_deref()?).ok()?;
    let reason = decision.reason.as_deref().unwrap_or_default();
    let is_named = |field: &SenderField| reason.contains(&format!(" the {field} field"));
    // Every field needs the same rights, so it does not matter much where an older reason has other words.
    let field = SenderField::ALL.into_iter().find(is_named).unwrap_or(SenderField::From);
    Some(HeaderSenders::naming(field, mailbox))
}

fn question<'a>(decision: &'a Decision, asked: &'a Asked, now_ms: u64) -> Question<'a> {
    Question {
        peer: decision.peer.ip(),
        local: decision.local,
        user: decision.user.as_deref(),
        tls: decision.tls_version.is_some(),
        certificate: asked.certificate.as_ref(),
        reverse_path: &asked.reverse_path,
        forward_path: &asked.forward_path,
        size: decision.size_bytes,
        header: asked.header.as_ref(),
        now_ms,
    }
}

fn refusal_of(explanation: &Explanation) -> Option<(Stage, String, String)> {
    let step = explanation.dialogue.steps.iter().find(|step| step.outcome.is_err())?;
    let obstacle = step.outcome.err()?;
    let name = match obstacle {
        Obstacle::Refused(refusal) => refusal.name().to_owned(),
        other => format!("{other:?}"),
    };
    Some((stage(step.command), name, obstacle.to_string()))
}

const fn stage(command: Command) -> Stage {
    match command {
        Command::Connect => Stage::Connect,
        Command::StartTls | Command::Auth => Stage::Auth,
        Command::Mail => Stage::Mail,
        Command::Rcpt => Stage::Rcpt,
        Command::Content => Stage::Content,
    }
}

const fn name_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Connect => "connect",
        Stage::Auth => "AUTH",
        Stage::Mail => "MAIL",
        Stage::Rcpt => "RCPT",
        Stage::Content => "the content",
    }
}

impl Answer {
    fn question<'a>(&'a self, decision: &'a Decision) -> Question<'a> {
        question(decision, &self.asked, self.now_ms)
    }

    fn recomputed(&self, decision: &Decision) -> Recomputed {
        let difference = self.difference(decision);
        Recomputed {
            revision: self.document.path.display().to_string().split_off("revision ".len()),
            same: difference.is_none(),
            difference,
            explanation: report(&self.document, &self.question(decision), &self.explanation),
        }
    }

    /// Where these settings differ from what happened; `None` if they decide the same.
    fn difference(&self, decision: &Decision) -> Option<String> {
        match (&self.refusal, &decision.name) {
            (Some(refusal), Some(recorded)) if is_same(refusal, recorded, decision.command) => None,
            (None, None) => None,
            (None, Some(recorded)) => {
                let unknown = self.quota(decision, recorded).unwrap_or_else(|| unknown(recorded, decision));
                Some(format!("they let it pass. What refused it: {unknown}"))
            }
            (Some((at, _, words)), _) => Some(format!(
                "they refuse it at {}: {words}. That connection had begun before something expired or came into force, or \
                 conditions were met then that are not recorded",
                name_of(*at)
            )),
        }
    }

    /// Which quota a refusal of this name was for; `None` where it was for none, or these settings have none.
    fn quota(&self, decision: &Decision, name: &str) -> Option<String> {
        if name != "QuotaExceeded" {
            return None;
        }
        let dialogue = &self.explanation.dialogue;
        let (connector, holder) = dialogue.connector.as_deref().zip(dialogue.last_holder())?;
        let question = self.question(decision);
        let lines = Lines::of(&self.document.text);
        let quotas = policy::quotas(&self.document.settings, &question, connector, &holder.principal).into_iter();
        let quotas: Vec<String> = quotas
            .filter_map(|entry| {
                let messages = entry.condition.as_ref()?.messages_per_hour?;
                let line = lines.line(entry.span.start);
                let messages = count(messages.get().into(), "message", "messages");
                Some(format!("that of {messages} an hour of the entry for {} (line {line})", entry.trustee))
            })
            .collect();
        let quotas = quotas.join(", or ");
        (!quotas.is_empty()).then(|| format!("a quota that was used up at that moment, {quotas}"))
    }

    fn today(&self, decision: &Decision, is_other: bool) -> String {
        let settings = if is_other { "under the settings in force now" } else { "under the same settings" };
        let change = match (&self.refusal, &decision.name) {
            (Some(refusal), Some(recorded)) if is_same(refusal, recorded, decision.command) => {
                "it would be refused for the same reason".to_owned()
            }
            (Some((at, _, words)), Some(_)) => format!("it would be refused at {}: {words}", name_of(*at)),
            (Some((at, _, words)), None) => {
                format!("it would not pass any more: refused at {}: {words}", name_of(*at))
            }
            (None, Some(recorded)) => {
                let settings = settings.trim_start_matches("under ");
                let unless = self.quota(decision, recorded).map_or("", |_| ", unless that quota is used up again");
                return format!("{settings} would let it pass{unless}");
            }
            (None, None) => "it would pass as it did".to_owned(),
        };
        format!("{settings}, {change}")
    }
}

/// Whether a refusal is the one that was recorded. A peer that declares the size hears at MAIL what another hears at the end.
fn is_same((at, name, _): &(Stage, String, String), recorded: &str, command: Stage) -> bool {
    name == recorded && (*at == command || name == "MessageTooLarge")
}

/// What the settings alone do not know about a refusal of this name.
fn unknown(name: &str, decision: &Decision) -> String {
    match name {
        "TooManyConnections" | "TooManyConnectionsFromSource" => {
            "how many connections were open at that moment".to_owned()
        }
        "AuthenticationFailed" => "the password was wrong".to_owned(),
        "SourceExpired" => "the range of this source expired while the connection was open".to_owned(),
        "IdentityExpired" => "the [[trusted_server]] of this peer expired while the connection was open".to_owned(),
        "QuotaExceeded" => "a quota that was used up at that moment".to_owned(),
        "MessageRateExceeded" => "a rate that was used up at that moment".to_owned(),
        "HeaderTooLarge" | "TooManyHops" | "HeaderUnreadable" => "the header section, which is not recorded".to_owned(),
        "TooManyRecipients" => {
            format!("{} before it", count(decision.recipient_count.into(), "recipient", "recipients"))
        }
        "InsufficientResources" => {
            let reason = decision.reason.as_deref().unwrap_or_default();
            format!("{reason} at that moment; `gatepost status` shows how much there is now")
        }
        "RecipientRefusedByNextHop" => "the next hop, which was asked about the recipient".to_owned(),
        "RecipientNotVerified" => "the next hop could not be asked about the recipient".to_owned(),
        "AuthenticationBusy" => "too many passwords waited to be checked at that moment".to_owned(),
        "NotStored" => "the disk did not take the content; the log says why".to_owned(),
        _ if decision.header_sender.is_some() => {
            format!("the sender {} in the header", decision.header_sender.as_deref().unwrap_or_default())
        }
        _ => "something that settings alone do not decide: the header, a rate, or what \
              came into force while the connection was open"
            .to_owned(),
    }
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
fn said(failure: &Failure) -> String {
    match failure {
        Failure::Failed(text) | Failure::Usage(text) | Failure::Settings(text) | Failure::NotRunning(text) => {
            text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
        Failure::Damaged | Failure::NotSo | Failure::OutputClosed => String::new(),
    }
}
