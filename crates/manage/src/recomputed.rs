//! What was decided, asked again: of the settings of that moment, and of those in force now.
//!
//! Takes a record and documents, hands on explanations, and where they differ from what happened: how many connections were
//! open, which rates were used up or what stood in the header is not recorded. Recomputes with the functions that decide
//! (invariant I12).

use gatepost_mail::header_senders::{HeaderSenders, SenderField};
use gatepost_mail::{ForwardPath, Mailbox, Reading, ReversePath};
use gatepost_policy::certificate::PeerCertificate;
use gatepost_policy::explain::{self as policy, Command, Explanation, Obstacle, Question};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decision::{Certificate, Decision, DecisionDetail, RevisionDocument, Stage};
use crate::document::Document;
use crate::explained::{Explained, Lines};

/// Recorded addresses were whole, and as long as any connector takes.
const AS_ACCEPTED: Reading<'_> = Reading { default_domain: None, long_addresses: true };

/// `GET /decisions/{id}/explanation`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DecisionExplained {
    /// What was recorded.
    pub decision: Decision,
    /// None: the settings of that moment are kept no more, or cannot be read any more.
    pub recomputed: Option<Recomputed>,
    /// Under the settings in force now, at this moment.
    pub now: Option<Recomputed>,
    /// What the settings in force would make of it, as the end of a sentence that begins with "Today,".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub today: Option<String>,
}

/// What some settings make of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Recomputed {
    /// The id of the document.
    pub revision: String,
    /// Whether they decide as it was decided.
    pub same: bool,
    /// Where it differs: what the settings alone would do, and what they do not know.
    pub difference: Option<String>,
    /// What they make of it.
    pub explanation: Explained,
}

/// Both answers about one record; `None` where no document is kept, a sentence where it cannot be asked.
pub struct Answers {
    /// Of the settings of that moment.
    pub then: Option<Result<Answer, String>>,
    /// Of those in force.
    pub now: Option<Result<Answer, String>>,
}

impl Answers {
    /// Asks both.
    pub fn of(detail: &DecisionDetail, now_ms: u64) -> Answers {
        let DecisionDetail { decision, document, in_force } = detail;
        let then = document.as_ref().map(|kept| Answer::of(decision, kept, decision.time_ms));
        // Expiry alone can make a difference under the same settings.
        let current = in_force.as_ref().or(document.as_ref().filter(|kept| kept.revision == decision.revision));
        let now = current.map(|kept| Answer::of(decision, kept, now_ms));
        Answers { then, now }
    }

    /// The same as values.
    pub fn explained(self, detail: DecisionDetail) -> DecisionExplained {
        let (decision, is_other) = (detail.decision, detail.in_force.is_some());
        let recomputed = |answer: Option<Result<Answer, String>>| Some(answer?.ok()?.recomputed(&decision));
        let today = self.now.as_ref().and_then(|now| now.as_ref().ok()).map(|now| now.today(&decision, is_other));
        let (then, now) = (recomputed(self.then), recomputed(self.now));
        DecisionExplained { decision, recomputed: then, now, today }
    }
}

/// One question asked under one document.
pub struct Answer {
    /// The document.
    pub document: Document,
    asked: Asked,
    now_ms: u64,
    /// What it makes of it, up to the command that was recorded.
    pub explanation: Explanation,
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

impl Answer {
    /// Asks one document about what was recorded, at a moment.
    ///
    /// # Errors
    /// A sentence: this program does not understand the document, or an address was too long to be recorded whole.
    pub fn of(decision: &Decision, kept: &RevisionDocument, now_ms: u64) -> Result<Answer, String> {
        let name = format!("revision {}", kept.revision);
        let document =
            Document::recall(&name, kept.text.clone(), &kept.host_name).map_err(|error| error.to_string())?;
        let unreadable = |text: &str| format!("the recorded address `{}` is cut short", text.escape_debug());
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
        let Some(mut chosen) = answers.next() else { return Err("no recipient was recorded".to_owned()) };
        if chosen.2.is_none() {
            chosen = answers.find(|(_, _, refusal)| refusal.is_some()).unwrap_or(chosen);
        }
        let (asked, explanation, refusal) = chosen;
        Ok(Answer { document, asked, now_ms, explanation, refusal })
    }

    /// What it was asked.
    pub fn question<'a>(&'a self, decision: &'a Decision) -> Question<'a> {
        question(decision, &self.asked, self.now_ms)
    }

    /// The same as values.
    pub fn recomputed(&self, decision: &Decision) -> Recomputed {
        let difference = self.difference(decision);
        Recomputed {
            revision: self.document.path.display().to_string().split_off("revision ".len()),
            same: difference.is_none(),
            difference,
            explanation: Explained::of(
                &self.document.settings,
                &self.document.text,
                &self.question(decision),
                &self.explanation,
            ),
        }
    }

    /// Where these settings differ from what happened; `None` if they decide the same.
    pub fn difference(&self, decision: &Decision) -> Option<String> {
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

    /// What these settings would make of it today, as the end of a sentence; `is_other`: not those of that moment.
    pub fn today(&self, decision: &Decision, is_other: bool) -> String {
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
        "HeaderTooLarge" | "TooManyHops" | "HeaderUnreadable" | "AutomaticReplyDisabled" => {
            "the header section, which is not recorded".to_owned()
        }
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

/// What a stage is called.
pub const fn name_of(stage: Stage) -> &'static str {
    match stage {
        Stage::Connect => "connect",
        Stage::Auth => "AUTH",
        Stage::Mail => "MAIL",
        Stage::Rcpt => "RCPT",
        Stage::Content => "the content",
    }
}

/// A number and what is counted.
fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
