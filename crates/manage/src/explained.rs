//! An explanation as values that serialize: what `gatepost explain --json` prints, the API answers and the console shows.
//!
//! Takes what `policy::explain` says of a question and the document that it was asked of, whose lines it names. Never decides
//! anything.

use std::num::NonZeroU32;

use gatepost_policy::Settings;
use gatepost_policy::authentication::{SaslMechanism, auth_offered, starttls_offered};
use gatepost_policy::directory::{FoundBy, RecipientKind};
use gatepost_policy::explain::{
    self, Addressee, Candidate, Change, Dialogue, Effect, Explanation, Fate, Fix, Holder, Origin, Question, RightOrigin,
};
use gatepost_policy::note::{Note, instant};
use gatepost_policy::peer_certificate::{Identified, Unidentified};
use gatepost_policy::permission::{Rights, Source};
use gatepost_policy::public_address::is_public;
use gatepost_policy::receive_connector::ReceiveConnector;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::explanation::{advice, command, part_name, reason, reply};
use crate::resource::ExposureChange;

/// What is taken for granted where nothing else is said.
pub const ASSUMPTION: &str = "the password is right, no other connection is open, no rate is used up, the header is small and names no other sender";

/// What would become of a message, and why.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// The file that was asked; none where it was the running server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Whether it would be accepted.
    pub accepted: bool,
    /// Where the peer comes from.
    #[serde(default)]
    pub peer: String,
    /// Whether that is an address of the Internet.
    #[serde(default)]
    pub public: bool,
    /// Where it connects to.
    pub local: String,
    /// The instant that was asked about, where that is not now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What is known of the recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<ExplainedRecipient>,
    /// Every receive connector, with what became of it.
    pub connectors: Vec<ExplainedConnector>,
    /// Whether the content would come inside TLS.
    pub inside_tls: bool,
    /// How the connector stands to TLS; none where none hears the peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<String>,
    /// How it stands to AUTH.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<String>,
    /// What came of the certificate, where one is presented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Who the peer is, one after the other, with the rights of each.
    pub principals: Vec<ExplainedHolder>,
    /// What the peer says and reads.
    pub dialogue: Vec<ExplainedStep>,
    /// Why it is refused.
    pub reason: Option<String>,
    /// Who is asked at RCPT whether it takes the recipient; its answer is taken for yes.
    pub next_hop_asked: Option<String>,
    /// The first right whose absence is the reason.
    pub missing_right: Option<String>,
    /// What would let it pass, the smallest first.
    pub changes: Vec<ExplainedChange>,
    /// What is taken for granted.
    pub assumption: String,
}

/// A receive connector, and why it hears the peer or does not.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedConnector {
    /// Its name.
    pub name: String,
    /// Where it stands in the document.
    pub line: usize,
    /// `won`, `less_specific`, `expired`, `range_elsewhere`, `wildcard_only`, `other_binding` or `disabled`.
    pub fate: String,
    /// The range that holds the peer.
    pub range: Option<String>,
}

/// A command, and what the peer reads.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedStep {
    /// What it is called.
    pub command: String,
    /// Whether the peer goes on.
    pub accepted: bool,
    /// None: the greeting, or a connection that is closed without a word.
    pub reply: Option<String>,
    /// How long the reply is held back.
    pub held_back_ms: u64,
}

/// Something to do.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedChange {
    /// In words.
    pub change: String,
    /// Which kind of change: `grant` and `new_connector` give rights, `add_range` lets a connector hear the peer; others
    /// have other names.
    #[serde(default)]
    pub kind: String,
    /// Whether the peer changes, not the settings.
    #[serde(default)]
    pub for_the_peer: bool,
    /// The connector that changes, or that a new one is like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<String>,
    /// Who is given rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trustee: Option<String>,
    /// Which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rights: Vec<String>,
    /// Who gains or loses what by it; empty: nothing else opens.
    pub opens: Vec<ExposureChange>,
}

/// A principal and its rights.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedHolder {
    /// Who.
    pub principal: String,
    /// Every right that an entry speaks of.
    pub rights: Vec<ExplainedRight>,
}

/// One right, and where it comes from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedRight {
    /// By Exchange's name.
    pub right: String,
    /// Whether the principal has it.
    pub held: bool,
    /// What gives it.
    pub allowed_by: Vec<ExplainedEntry>,
    /// What takes it away.
    pub denied_by: Vec<ExplainedEntry>,
}

/// An entry that speaks of a right.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedEntry {
    /// None: an entry of its own.
    pub group: Option<String>,
    /// Of whom it speaks.
    pub trustee: String,
    /// Where it stands in the document.
    pub line: usize,
    /// `counts`, `expired` or `unmet`.
    pub effect: String,
    /// The part of its condition that is not met: `senders`, `recipients` or `hours`.
    pub unmet: Option<String>,
    /// What it is good for; whether that is used up is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages_per_hour: Option<NonZeroU32>,
    /// Whose it is, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<ExplainedNote>,
}

/// What stands beside an entry or a range.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedNote {
    /// Whom to ask.
    pub owner: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// For people.
    pub comment: Option<String>,
    /// Until when it counts.
    pub expires: Option<String>,
}

/// What a recipient is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedRecipient {
    /// The primary address.
    pub address: String,
    /// `mailbox`, `contact` or `group`.
    pub kind: String,
    /// Why it is the recipient: `address`, `alias`, `postmaster` or `catch_all`.
    pub by: String,
    /// How many recipients mail to it has at its end.
    pub recipients: usize,
    /// The recipient that senders outside may not write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<String>,
}

impl Explained {
    /// What `explanation` says of `question`, asked of `settings`, which were read from `text`.
    pub fn of(settings: &Settings, text: &str, question: &Question<'_>, explanation: &Explanation) -> Explained {
        let (dialogue, lines) = (&explanation.dialogue, Lines::of(text));
        let connector = dialogue.connector.as_deref();
        let holder =
            |holder: &Holder| ExplainedHolder::of(&lines, &origins(settings, question, dialogue, holder), holder);
        Explained {
            file: None,
            accepted: explanation.is_accepted(),
            peer: question.peer.to_string(),
            public: is_public(question.peer),
            local: question.local.to_string(),
            at: None,
            recipient: explanation.addressee.as_ref().map(ExplainedRecipient::from),
            connectors: explanation.candidates.iter().map(|found| ExplainedConnector::of(&lines, found)).collect(),
            inside_tls: dialogue.inside_tls,
            tls: connector.map(|connector| tls_text(connector, dialogue.inside_tls).to_owned()),
            auth: connector.map(|connector| auth_text(connector, dialogue.inside_tls)),
            certificate: dialogue.identified.as_ref().map(certificate_text),
            principals: dialogue.holders.iter().map(holder).collect(),
            dialogue: dialogue
                .steps
                .iter()
                .map(|step| ExplainedStep {
                    command: command(step.command).to_owned(),
                    accepted: step.outcome.is_ok(),
                    reply: reply(explanation, step),
                    held_back_ms: u64::try_from(step.held_back.as_millis()).unwrap_or(u64::MAX),
                })
                .collect(),
            reason: reason(explanation),
            next_hop_asked: dialogue.asked.as_ref().map(|asked| asked.next_hop.to_string()),
            missing_right: explanation.missing.map(|right| right.exchange_name().to_owned()),
            changes: explanation.fixes.iter().map(|fix| ExplainedChange::of(&lines, question, fix)).collect(),
            assumption: ASSUMPTION.to_owned(),
        }
    }
}

impl ExplainedConnector {
    fn of(lines: &Lines, candidate: &Candidate) -> ExplainedConnector {
        let (fate, range) = match &candidate.fate {
            Fate::Won(range) => ("won", Some(range.to_string())),
            Fate::LessSpecific(range) => ("less_specific", Some(range.to_string())),
            Fate::Expired(range) => ("expired", Some(range.to_string())),
            Fate::RangeElsewhere => ("range_elsewhere", None),
            Fate::WildcardOnly => ("wildcard_only", None),
            Fate::OtherBinding => ("other_binding", None),
            Fate::Disabled => ("disabled", None),
        };
        let line = lines.line(candidate.connector.span.start);
        ExplainedConnector { name: candidate.connector.name.to_string(), line, fate: fate.to_owned(), range }
    }
}

impl ExplainedChange {
    fn of(lines: &Lines, question: &Question<'_>, fix: &Fix) -> ExplainedChange {
        let named = |rights: &Rights| rights.iter().map(|right| right.exchange_name().to_owned()).collect();
        let (kind, connector, trustee, rights) = match &fix.change {
            Change::Authenticate { .. } => ("authenticate", None, None, Vec::new()),
            Change::StartTls => ("start_tls", None, None, Vec::new()),
            Change::PresentCertificate(_) => ("present_certificate", None, None, Vec::new()),
            Change::SendAs(_) => ("send_as", None, None, Vec::new()),
            Change::ClearHeader => ("clear_header", None, None, Vec::new()),
            Change::AddUser(_) => ("add_user", None, None, Vec::new()),
            Change::OfferAuthentication { connector } => ("offer_authentication", Some(connector), None, Vec::new()),
            Change::OfferTls { connector } => ("offer_tls", Some(connector), None, Vec::new()),
            Change::RenewEntry { connector, trustee, .. } => {
                ("renew_entry", Some(connector), Some(trustee), Vec::new())
            }
            Change::RenewRange { connector, .. } => ("renew_range", Some(connector), None, Vec::new()),
            Change::WidenCondition { connector, trustee, .. } => {
                ("widen_condition", Some(connector), Some(trustee), Vec::new())
            }
            Change::AddRange { connector } => ("add_range", Some(connector), None, Vec::new()),
            Change::NewConnector { like, trustee, rights } => {
                ("new_connector", Some(like), Some(trustee), named(rights))
            }
            Change::Grant { connector, trustee, rights } => ("grant", Some(connector), Some(trustee), named(rights)),
            Change::GrantSendAs { .. } => ("grant_send_as", None, None, Vec::new()),
            Change::AddMailbox(_) => ("add_mailbox", None, None, Vec::new()),
            Change::OpenRecipients(_) => ("open_recipients", None, None, Vec::new()),
            Change::TakeReservedDomains { connector } => ("take_reserved_domains", Some(connector), None, Vec::new()),
            Change::RaiseSizeLimit { connector, .. } => ("raise_size_limit", Some(connector), None, Vec::new()),
        };
        ExplainedChange {
            change: advice(question, |at| lines.line(at), &fix.change),
            kind: kind.to_owned(),
            for_the_peer: fix.change.is_for_the_peer(),
            connector: connector.map(ToString::to_string),
            trustee: trustee.map(ToString::to_string),
            rights,
            opens: fix.opens.iter().map(ExposureChange::from).collect(),
        }
    }
}

impl ExplainedHolder {
    /// What `holder` holds, with the entries that speak of each right.
    fn of(lines: &Lines, origins: &[RightOrigin<'_>], holder: &Holder) -> ExplainedHolder {
        let entries = |origins: &[Origin<'_>]| origins.iter().map(|origin| ExplainedEntry::of(lines, origin)).collect();
        let held = |origin: &RightOrigin<'_>| ExplainedRight {
            right: origin.right.exchange_name().to_owned(),
            held: holder.rights.contains(origin.right),
            allowed_by: entries(&origin.allowed_by),
            denied_by: entries(&origin.denied_by),
        };
        ExplainedHolder { principal: holder.principal.to_string(), rights: origins.iter().map(held).collect() }
    }
}

impl ExplainedEntry {
    fn of(lines: &Lines, Origin { entry, effect }: &Origin<'_>) -> ExplainedEntry {
        ExplainedEntry {
            group: match entry.source {
                Source::Group(group) => Some(group.exchange_name().to_owned()),
                Source::Extra => None,
            },
            trustee: entry.trustee.to_string(),
            line: lines.line(entry.span.start),
            effect: match effect {
                Effect::Counts => "counts",
                Effect::Expired(_) => "expired",
                Effect::Unmet(_) => "unmet",
            }
            .to_owned(),
            unmet: match effect {
                Effect::Unmet(part) => Some(part_name(*part).to_owned()),
                Effect::Counts | Effect::Expired(_) => None,
            },
            messages_per_hour: entry.condition.as_ref().and_then(|condition| condition.messages_per_hour),
            note: entry.note.as_deref().map(ExplainedNote::from),
        }
    }
}

impl From<&Note> for ExplainedNote {
    fn from(note: &Note) -> ExplainedNote {
        ExplainedNote {
            owner: note.owner.as_ref().map(ToString::to_string),
            ticket: note.ticket.as_deref().map(str::to_owned),
            comment: note.comment.as_deref().map(str::to_owned),
            expires: note.expires_ms.map(instant),
        }
    }
}

impl From<&Addressee> for ExplainedRecipient {
    fn from(addressee: &Addressee) -> ExplainedRecipient {
        ExplainedRecipient {
            address: addressee.recipient.address.to_string(),
            kind: match addressee.recipient.kind {
                RecipientKind::Mailbox(_) => "mailbox",
                RecipientKind::Contact { .. } => "contact",
                RecipientKind::Group { .. } => "group",
            }
            .to_owned(),
            by: match addressee.by {
                FoundBy::Address => "address",
                FoundBy::Alias => "alias",
                FoundBy::Postmaster => "postmaster",
                FoundBy::CatchAll => "catch_all",
            }
            .to_owned(),
            recipients: addressee.end_count,
            closed_by: addressee.closed_by.as_ref().map(ToString::to_string),
        }
    }
}

/// Where the rights of one principal come from.
pub fn origins<'a>(
    settings: &Settings,
    question: &Question<'_>,
    dialogue: &'a Dialogue,
    holder: &Holder,
) -> Vec<RightOrigin<'a>> {
    let connector = dialogue.connector.as_deref();
    let of = |connector| explain::origins(settings, question, connector, &holder.principal);
    connector.map(of).unwrap_or_default()
}

/// Whom the certificate makes of the peer, and why, or why nobody.
pub fn certificate_text(identified: &Result<Identified, Unidentified>) -> String {
    match identified {
        Ok(Identified { principal, reason }) => format!("makes it {principal}, by {reason}"),
        Err(reason) => format!("identifies nobody: {reason}"),
    }
}

/// How a connector stands to TLS.
pub fn tls_text(connector: &ReceiveConnector, inside_tls: bool) -> &'static str {
    match (connector.implicit_tls, inside_tls, starttls_offered(connector, false)) {
        (true, ..) => "from the first byte",
        (false, true, _) => "started",
        (false, false, true) => "not started; STARTTLS is offered",
        (false, false, false) => "not offered",
    }
}

/// How it stands to AUTH.
pub fn auth_text(connector: &ReceiveConnector, inside_tls: bool) -> String {
    let names = |inside_tls| {
        let name = |mechanism: &SaslMechanism| match mechanism {
            SaslMechanism::Login => "LOGIN",
            SaslMechanism::Plain => "PLAIN",
        };
        auth_offered(connector, inside_tls).iter().map(name).collect::<Vec<_>>().join(", ")
    };
    match (names(inside_tls), names(true)) {
        (now, _) if !now.is_empty() => format!("{now} are offered"),
        (_, later) if !later.is_empty() => format!("{later} are offered inside TLS only"),
        _ => "not offered".to_owned(),
    }
}

/// Where the lines of a document end: many places are looked up, and counting anew each time would take long.
pub struct Lines(Vec<usize>);

impl Lines {
    /// Those of `text`.
    pub fn of(text: &str) -> Lines {
        Lines(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// The line of a place in the document, from 1.
    pub fn line(&self, at: usize) -> usize {
        1 + self.0.partition_point(|end| *end < at)
    }
}
