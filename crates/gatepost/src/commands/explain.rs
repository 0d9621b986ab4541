//! `gatepost explain`: why a message would be refused or accepted, asked of the settings without traffic.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use gatepost_mail::address::AddressError;
use gatepost_mail::header_senders::{HeaderSenders, SenderField};
use gatepost_mail::{Domain, ForwardPath, Reading, ReversePath};
use gatepost_manage::document::Document;
use gatepost_manage::explained::{ASSUMPTION, Explained, Lines, auth_text, certificate_text, origins, tls_text};
use gatepost_manage::explanation::{advice, command, reason, reply};
use gatepost_manage::exposure_text::{WILL, listeners_text, sentences};
use gatepost_manage::resource::ExposureChange;
use gatepost_policy::certificate::PeerCertificate;
use gatepost_policy::explain::{self, Asked, Candidate, Explanation, Fate, Fix, Question};
use gatepost_policy::note::instant;
use gatepost_policy::settings::parse_size;
use gatepost_policy::{Refusal, Settings};

use super::rights::{noted, write_rights};
use super::{addressee, write_json};
use crate::cli::ExplainArguments;
use crate::clock::now_ms;
use crate::failure::Failure;
use crate::terminal::{Table, count, duration, harmless};

/// Longer lists are cut for people; JSON has everything.
const CONNECTORS_SHOWN_MAX: usize = 20;
const CHANGES_SHOWN_MAX: usize = 4;

/// Answers the question.
pub fn explain(out: &mut dyn Write, config: &Path, arguments: &ExplainArguments) -> Result<(), Failure> {
    let (Some(from), Some(sender), Some(recipient)) = (arguments.from, &arguments.sender, &arguments.recipient) else {
        return Err(Failure::of("name a decision by its id, or a question by --from, --sender and --recipient"));
    };
    let document = Document::read(config)?;
    let settings = &document.settings;
    let local = match arguments.local {
        Some(local) => local,
        None => only_binding(&settings.selector.bindings(), from)?,
    };
    let now_ms = match &arguments.at {
        Some(text) => instant_of(text)?,
        None => now_ms(),
    };
    let connector = settings.select(local, from, now_ms);
    let reading = connector.map_or_else(Reading::default, |connector| Reading {
        default_domain: connector.default_domain.as_ref(),
        long_addresses: connector.long_addresses_enabled,
    });
    let sender = if sender.is_empty() { "<>" } else { sender };
    let reverse_path = whole(sender, ReversePath::parse_prefix_in(sender, reading))?;
    let forward_path = whole(recipient, ForwardPath::parse_prefix_in(recipient, reading))?;
    let size = match &arguments.size {
        Some(text) => Some(parse_size(text).ok_or_else(|| Failure::of(format!("`{text}` is no size: write 5MB")))?),
        None => None,
    };
    let fields = [(SenderField::From, &arguments.header_from), (SenderField::Sender, &arguments.header_sender)];
    let header = fields.iter().any(|(_, text)| text.is_some()).then(|| header(&fields));
    let certificate = match &arguments.certificate {
        Some(name) => Some(certificate(settings, name)?),
        None => None,
    };
    let question = Question {
        peer: from,
        local,
        user: arguments.user.as_deref(),
        tls: arguments.tls || certificate.is_some(),
        certificate: certificate.as_ref(),
        reverse_path: &reverse_path,
        forward_path: &forward_path,
        size,
        header: header.as_ref(),
        now_ms,
    };
    let explanation = explain::explain(settings, &question);
    if arguments.json {
        let at = arguments.at.as_ref().map(|_| instant(now_ms));
        let explained = Explained::of(settings, &document.text, &question, &explanation);
        write_json(out, &Explained { file: Some(document.path.display().to_string()), at, ..explained })?;
    } else {
        write_text(out, &document, &question, &explanation, arguments.at.is_some())?;
    }
    out.flush()?;
    if explanation.is_accepted() { Ok(()) } else { Err(Failure::Failed(String::new())) }
}

/// The certificate that is meant: that of a trusted server, else a sound one for a domain.
fn certificate(settings: &Settings, name: &str) -> Result<PeerCertificate, Failure> {
    let server = settings.trusted_servers.iter().find(|server| server.name.eq_ignore_ascii_case(name));
    match (server, Domain::parse(name)) {
        (Some(server), _) => Ok(PeerCertificate::of_server(server)),
        (None, Ok(domain)) => Ok(PeerCertificate::of_domain(domain)),
        (None, Err(_)) => {
            Err(Failure::of(format!("`{}` is neither a [[trusted_server]] nor a domain", harmless(name))))
        }
    }
}

/// An instant as RFC 3339 writes it, in milliseconds since 1970 UTC.
pub fn instant_of(text: &str) -> Result<u64, Failure> {
    let instant = text.parse::<jiff::Timestamp>().ok().and_then(|instant| u64::try_from(instant.as_millisecond()).ok());
    let remedy = "write one with its offset, such as 2027-01-31T09:30:00+01:00";
    instant.ok_or_else(|| Failure::of(format!("`{}` is no instant: {remedy}", harmless(text))))
}

/// Whom a header with these fields names.
fn header(fields: &[(SenderField, &Option<String>)]) -> HeaderSenders {
    let mut senders = HeaderSenders::default();
    for (field, text) in fields {
        if let Some(text) = text {
            senders.read(*field, text.as_bytes());
        }
    }
    senders
}

fn whole<T>(text: &str, parsed: Result<(T, &str), AddressError>) -> Result<T, Failure> {
    match parsed {
        Ok((path, "")) => Ok(path),
        _ => Err(Failure::of(format!("`{}` is no mail address", harmless(text)))),
    }
}

/// The local address that is meant where none was named.
fn only_binding(bindings: &[SocketAddr], peer: IpAddr) -> Result<SocketAddr, Failure> {
    let peer = peer.to_canonical();
    let of_family: Vec<&SocketAddr> = bindings.iter().filter(|binding| binding.is_ipv4() == peer.is_ipv4()).collect();
    match of_family[..] {
        [only] => Ok(*only),
        [] => Err(Failure::of("no enabled receive connector is bound to an address of that family")),
        _ => {
            let names: Vec<String> = of_family.iter().map(ToString::to_string).collect();
            Err(Failure::of(format!("say where the peer connects to, by --local: {}", names.join(", "))))
        }
    }
}

fn write_text(
    out: &mut dyn Write,
    document: &Document,
    question: &Question<'_>,
    explanation: &Explanation,
    is_timely: bool,
) -> Result<(), Failure> {
    let dialogue = &explanation.dialogue;
    let mut what =
        format!("{} to {}, {} for {}", question.peer, question.local, question.reverse_path, question.forward_path);
    for (field, named) in question.header.iter().flat_map(|header| header.fields()) {
        what += &format!(", {field}: {}", named.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    }
    let verdict = match (reason(explanation), dialogue.steps.last()) {
        (Some(reason), Some(step)) => format!("refused at {}: {reason}", command(step.command)),
        _ if dialogue.asked.is_some() => "accepted, if the next hop takes the recipient".to_owned(),
        _ => "accepted".to_owned(),
    };
    writeln!(out, "{}\n{}", harmless(&what), harmless(&verdict))?;
    if is_timely {
        writeln!(out, "at {}", instant(question.now_ms))?;
    }
    write_grounds(out, document, question, explanation)
}

/// Connectors, rights, dialogue and what would change it.
pub(super) fn write_grounds(
    out: &mut dyn Write,
    document: &Document,
    question: &Question<'_>,
    explanation: &Explanation,
) -> Result<(), Failure> {
    let (dialogue, lines) = (&explanation.dialogue, Lines::of(&document.text));
    if let Some(addressee) = &explanation.addressee {
        writeln!(out, "\nRecipient\n  {}", harmless(&addressee::text(addressee)))?;
    }
    writeln!(out, "\nConnectors")?;
    write_connectors(out, &lines, &explanation.candidates)?;
    if let Some(connector) = &dialogue.connector {
        writeln!(out, "\nEncryption and logon on {}", harmless(&connector.name))?;
        let mut table = Table::plain();
        table.row(&["  TLS", tls_text(connector, dialogue.inside_tls)]);
        table.row(&["  AUTH", &auth_text(connector, dialogue.inside_tls)]);
        if let Some(identified) = &dialogue.identified {
            table.row(&["  certificate", &harmless(&certificate_text(identified))]);
        }
        table.write(out)?;
        for holder in &dialogue.holders {
            write_rights(out, &lines, &origins(&document.settings, question, dialogue, holder), holder)?;
        }
    }
    writeln!(out, "\nDialogue")?;
    let mut table = Table::plain();
    for step in &dialogue.steps {
        let held_back = match u64::try_from(step.held_back.as_millis()) {
            Ok(ms) if ms > 0 => format!("held back {}", duration(ms)),
            _ => String::new(),
        };
        let reply = reply(explanation, step).unwrap_or_else(|| match step.outcome {
            Ok(()) => "220 (the greeting)".to_owned(),
            Err(_) => "(closed without a word)".to_owned(),
        });
        table.row(&[&format!("  {}", command(step.command)), &reply, &held_back]);
    }
    table.write(out)?;
    if let Some(Asked { next_hop, unanswered }) = &dialogue.asked {
        let unanswered = match unanswered {
            Ok(()) => "the recipient is accepted all the same".to_owned(),
            Err(refusal) => format!("`{}`", refusal.reply()),
        };
        let refused = Refusal::RecipientRefusedByNextHop.reply();
        writeln!(out, "\nNot known without traffic: at RCPT {next_hop} is asked whether it takes the recipient.")?;
        writeln!(out, "  If it says no:       `{refused}`\n  If it does not say:  {unanswered}")?;
    }
    if let Some(right) = explanation.missing {
        writeln!(out, "\nMissing: {right}")?;
    }
    for (place, fix) in explanation.fixes.iter().enumerate() {
        let title = match place {
            0 => "Smallest change",
            _ => "Or, if the peer cannot do that",
        };
        writeln!(out, "\n{title}: {}", harmless(&advice(question, |at| lines.line(at), &fix.change)))?;
        write_opens(out, fix)?;
    }
    if !explanation.is_accepted() && explanation.fixes.is_empty() {
        writeln!(out, "\nNo single change is offered that would let it pass.")?;
    }
    writeln!(out, "\nAssumed: {ASSUMPTION}.")?;
    Ok(())
}

fn write_connectors(out: &mut dyn Write, lines: &Lines, candidates: &[Candidate]) -> Result<(), Failure> {
    let mut table = Table::plain();
    // Who hears the peer comes first, then who nearly would.
    let rank = |candidate: &&Candidate| match candidate.fate {
        Fate::Won(_) => 0,
        Fate::LessSpecific(_) => 1,
        Fate::Expired(_) => 2,
        Fate::RangeElsewhere => 3,
        Fate::Disabled => 4,
        Fate::WildcardOnly | Fate::OtherBinding => 5,
    };
    let mut sorted: Vec<&Candidate> = candidates.iter().collect();
    sorted.sort_by_key(rank);
    for candidate in sorted.iter().take(CONNECTORS_SHOWN_MAX) {
        let why = match &candidate.fate {
            Fate::Won(range) => {
                let note = noted(range.note.as_deref());
                format!("hears it: {range} is the smallest range that holds the address{note}")
            }
            Fate::LessSpecific(range) => format!("lost: its range {range} is less specific"),
            Fate::Expired(range) => format!("lost: its range {range} no longer counts{}", noted(range.note.as_deref())),
            Fate::RangeElsewhere => "lost: no range of it holds the address".to_owned(),
            Fate::WildcardOnly => "lost: another connector is bound to this very address".to_owned(),
            Fate::OtherBinding => {
                let bindings: Vec<SocketAddr> =
                    candidate.connector.bindings.iter().map(|binding| binding.address).collect();
                format!("lost: it is bound to {}", listeners_text(&bindings))
            }
            Fate::Disabled => "lost: it is disabled".to_owned(),
        };
        let connector = &candidate.connector;
        table.row(&[&format!("  {}", connector.name), &why, &format!("line {}", lines.line(connector.span.start))]);
    }
    table.write(out)?;
    if let Some(more) = candidates.len().checked_sub(CONNECTORS_SHOWN_MAX).filter(|more| *more > 0) {
        writeln!(out, "  and {}: --json shows all", count(more as u64, "more", "more"))?;
    }
    Ok(())
}

fn write_opens(out: &mut dyn Write, fix: &Fix) -> Result<(), Failure> {
    if fix.opens.is_empty() {
        writeln!(out, "  opens nothing else")?;
    }
    for change in fix.opens.iter().take(CHANGES_SHOWN_MAX) {
        for line in sentences(&ExposureChange::from(change), WILL) {
            writeln!(out, "  {}", harmless(&line))?;
        }
    }
    if let Some(more) = fix.opens.len().checked_sub(CHANGES_SHOWN_MAX).filter(|more| *more > 0) {
        writeln!(out, "  and {}: --json shows all", count(more as u64, "more change", "more changes"))?;
    }
    Ok(())
}
