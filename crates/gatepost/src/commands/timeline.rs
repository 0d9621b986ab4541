//! What was recorded, as text: one timeline for each message, a few lines for everything else.
//!
//! Takes entries of the running server, writes them for people. Whatever came from outside is made harmless.

use std::io::{self, Write};
use std::net::SocketAddr;

use gatepost_manage::decision::{Decision, Outcome, Stage};
use gatepost_manage::trace::{
    Received, TraceEntry, TraceVerdict, TracedConnection, TracedMessage, TracedOutbound, TracedOutcome, TracedStep,
    TracedWhat, UNREACHABLE,
};

use crate::terminal::{count, harmless, moment, size};

/// Writes one entry.
pub(super) fn write_entry(out: &mut dyn Write, entry: &TraceEntry) -> io::Result<()> {
    match entry {
        TraceEntry::Message(message) => write_message(out, message),
        TraceEntry::Refusal(refusal) => write_refusal(out, refusal),
        TraceEntry::Connection(connection) => write_connection(out, connection),
        TraceEntry::Outbound(outbound) => write_outbound(out, outbound),
        TraceEntry::Settings { time_ms, revision, document, who } => {
            let (time, who) = (moment(*time_ms), harmless(who));
            writeln!(
                out,
                "{time}  settings  revision {revision} in force by {who}, document {document}; `gatepost revisions diff {revision}` and `gatepost acts` say more"
            )
        }
        TraceEntry::Pressure { time_ms, resource, level } => {
            writeln!(out, "{}  pressure  {} is {}", moment(*time_ms), harmless(resource), harmless(level))
        }
    }
}

/// How a message stands as a whole, in a word.
fn standing(message: &TracedMessage) -> String {
    let mut words: Vec<&str> =
        message.recipients.iter().map(|recipient| recipient.verdict.map_or("ended", TraceVerdict::word)).collect();
    words.sort_unstable();
    words.dedup();
    match &words[..] {
        [] => "recipients unknown".to_owned(),
        [one] => (*one).to_owned(),
        several => several.join(", "),
    }
}

fn write_message(out: &mut dyn Write, message: &TracedMessage) -> io::Result<()> {
    write!(out, "Message {}: {}", message.queue_id, standing(message))?;
    match &message.received {
        Some(received) => {
            writeln!(out)?;
            let to: Vec<String> = message.recipients.iter().map(|recipient| harmless(&recipient.address)).collect();
            writeln!(out, "  from        {}", in_brackets(&received.sender))?;
            writeln!(out, "  to          {}", shortened(&to))?;
            if let Some(subject) = &received.subject {
                writeln!(out, "  subject     {}", harmless(subject))?;
            }
            // What was read from the spool again after a crash has none.
            if !received.message_id.is_empty() {
                writeln!(out, "  message id  {}", harmless(&received.message_id))?;
            }
            write_received(out, message.time_ms, received)?;
        }
        None => writeln!(out, "; how it came is kept no more")?,
    }
    write_steps(out, message, &message.steps)?;
    if !message.ended {
        writeln!(out, "  waits: `gatepost queue show {}` says for what", message.queue_id)?;
    }
    Ok(())
}

/// Some of what was done with a message.
pub(super) fn write_steps<'a>(
    out: &mut dyn Write,
    message: &TracedMessage,
    steps: impl IntoIterator<Item = &'a TracedStep>,
) -> io::Result<()> {
    steps.into_iter().try_for_each(|step| write_step(out, step, message.recipients.len()))
}

fn shortened(addresses: &[String]) -> String {
    const SHOWN: usize = 5;
    match addresses.len() {
        0..=SHOWN => addresses.join(", "),
        more => format!("{}, and {} more", addresses[..SHOWN].join(", "), more - SHOWN),
    }
}

fn in_brackets(sender: &str) -> String {
    if sender.is_empty() { "<>".to_owned() } else { harmless(sender) }
}

fn tls(version: Option<&String>, cipher: Option<&String>) -> String {
    match (version, cipher) {
        (Some(version), Some(cipher)) => format!(", {} {}", harmless(version), harmless(cipher)),
        (Some(version), None) => format!(", {}", harmless(version)),
        (None, _) => ", no TLS".to_owned(),
    }
}

fn write_received(out: &mut dyn Write, time_ms: u64, received: &Received) -> io::Result<()> {
    write!(out, "  {}  received  ", moment(time_ms))?;
    match (&received.peer, received.report_on) {
        (Some(peer), _) => {
            write!(out, "from {}", peer.ip())?;
            if let Some(hello) = &received.hello {
                write!(out, " ({})", harmless(hello))?;
            }
            write!(out, " by {}, {}", harmless(&received.connector), size(received.size_bytes))?;
            write!(out, "{}", tls(received.tls_version.as_ref(), received.tls_cipher.as_ref()))?;
            match &received.decision {
                Some(id) => writeln!(out, " [{id}]"),
                None => writeln!(out),
            }
        }
        (None, Some(about)) => {
            let kind = received.report_kind.as_deref().unwrap_or("report");
            writeln!(out, "written here: report ({kind}) on message {about}, {}", size(received.size_bytes))
        }
        (None, None) => writeln!(out, "written here, {}", size(received.size_bytes)),
    }
}

fn write_step(out: &mut dyn Write, step: &TracedStep, recipients: usize) -> io::Result<()> {
    let time = moment(step.time_ms);
    match &step.what {
        TracedWhat::Resolved { named } => {
            let named: Vec<String> = named.iter().map(|address| harmless(address)).collect();
            writeln!(
                out,
                "  {time}  resolved  {} into {}",
                shortened(&named),
                count(recipients as u64, "recipient", "recipients")
            )
        }
        TracedWhat::Routed { recipients, connector, next_hop } if connector.is_empty() && next_hop == UNREACHABLE => {
            let to: Vec<String> = recipients.iter().map(|address| harmless(address)).collect();
            writeln!(out, "  {time}  no route  for {}: {UNREACHABLE}", shortened(&to))
        }
        TracedWhat::Routed { recipients, connector, next_hop } => {
            let to: Vec<String> = recipients.iter().map(|address| harmless(address)).collect();
            let by = if connector.is_empty() { String::new() } else { format!(" by {}", harmless(connector)) };
            writeln!(out, "  {time}  routed    {} to {}{by}", shortened(&to), harmless(next_hop))
        }
        TracedWhat::Attempt {
            next_hop,
            remote,
            address,
            tls_version,
            tls_cipher,
            tls_proof,
            duration_ms,
            outcomes,
            recovered,
            ..
        } => {
            // Whoever never greeted us is known by address alone.
            let host = remote.as_deref().unwrap_or(if address.is_some() { "" } else { next_hop });
            let at = place(host, *address);
            let secured =
                if address.is_some() { tls(tls_version.as_ref(), tls_cipher.as_ref()) } else { String::new() };
            let proof = tls_proof.as_deref().map_or(String::new(), |proof| format!(" ({})", harmless(proof)));
            let how = match (recovered, at.is_empty()) {
                (false, false) => format!(" at {at} in {}{secured}{proof}", milliseconds(*duration_ms)),
                (false, true) => at,
                // The spool's log says neither who answered nor how long it took.
                (true, false) => format!(" at {at} (recovered from the spool's log)"),
                (true, true) => " (recovered from the spool's log)".to_owned(),
            };
            outcomes.iter().try_for_each(|outcome| write_outcome(out, &time, outcome, &how))
        }
        TracedWhat::NoConnection { next_hop, remote, address, reason, count: times, until_ms, .. } => {
            let host = remote.as_deref().unwrap_or(if address.is_some() { "" } else { next_hop });
            writeln!(out, "  {time}  no connection to {}", place(host, *address))?;
            let times = match times {
                1 => String::new(),
                times => format!("; {times} times until {}", moment(*until_ms)),
            };
            writeln!(out, "      {}{times}", harmless(reason))
        }
        TracedWhat::Report { queue_id, report, to } => {
            writeln!(out, "  {time}  report    ({report}) to {}: message {queue_id}", in_brackets(to))
        }
        TracedWhat::Administrator { who, action, detail, outcomes } => {
            let before = if matches!(&**action, "redirect" | "priority") { " to" } else { "," };
            let detail = detail.as_deref().map_or(String::new(), |detail| format!("{before} {}", harmless(detail)));
            writeln!(out, "  {time}  {:<9} by {}{detail}", harmless(action), harmless(who))?;
            outcomes.iter().try_for_each(|outcome| write_outcome(out, &time, outcome, " here"))
        }
        TracedWhat::Held { reason } => writeln!(out, "  {time}  held      {}", harmless(reason)),
    }
}

/// A host by its name and address; by the address alone where that is its name.
fn place(host: &str, address: Option<SocketAddr>) -> String {
    match address {
        Some(address) if host.is_empty() || host.trim_matches(['[', ']']) == address.ip().to_string() => {
            format!("[{}]:{}", address.ip(), address.port())
        }
        Some(address) => format!("{} [{}]:{}", harmless(host), address.ip(), address.port()),
        None => harmless(host),
    }
}

fn write_outcome(out: &mut dyn Write, time: &str, outcome: &TracedOutcome, how: &str) -> io::Result<()> {
    let verdict = outcome.verdict.map_or("ended", TraceVerdict::word);
    writeln!(out, "  {time}  {verdict:<9} {}{how}", harmless(&outcome.recipient))?;
    let until = outcome.until_ms.map_or(String::new(), |until_ms| format!("; next try {}", moment(until_ms)));
    let reply = harmless(&outcome.reply);
    if reply.is_empty() && until.is_empty() { Ok(()) } else { writeln!(out, "      {reply}{until}") }
}

fn milliseconds(ms: u64) -> String {
    format!("{ms} ms")
}

fn write_refusal(out: &mut dyn Write, refusal: &Decision) -> io::Result<()> {
    let stage = match refusal.command {
        Stage::Connect => "connect",
        Stage::Auth => "AUTH",
        Stage::Mail => "MAIL",
        Stage::Rcpt => "RCPT",
        Stage::Content => "content",
    };
    let ended = match refusal.verdict {
        Outcome::Refused => "Refused",
        Outcome::Abandoned => "Given up",
        Outcome::Accepted => "Accepted",
    };
    writeln!(out, "{ended} at {stage}: [{}]", refusal.id)?;
    if let Some(sender) = &refusal.sender {
        writeln!(out, "  from        {}", harmless(sender))?;
    }
    let recipients: Vec<String> =
        refusal.recipients.iter().chain(&refusal.refused_recipient).map(|recipient| harmless(recipient)).collect();
    if !recipients.is_empty() {
        writeln!(out, "  to          {}", shortened(&recipients))?;
    }
    let hello = refusal.hello.as_deref().map_or(String::new(), |hello| format!(" ({})", harmless(hello)));
    let by = refusal.connector.as_deref().map_or("no connector".to_owned(), harmless);
    writeln!(out, "  {}  peer      {}{hello} by {by}", moment(refusal.time_ms), refusal.peer.ip())?;
    if let Some(reply) = &refusal.reply {
        writeln!(out, "  {}  refused   {}", moment(refusal.time_ms), harmless(reply))?;
    }
    if let Some(reason) = &refusal.reason {
        writeln!(
            out,
            "      because {}; `gatepost explain {}` says what would let it pass",
            harmless(reason),
            refusal.id
        )?;
    }
    if let Some(times) = refusal.count {
        writeln!(out, "      {times} times in all, until {}", moment(refusal.until_ms.unwrap_or(refusal.time_ms)))?;
    }
    Ok(())
}

fn write_connection(out: &mut dyn Write, connection: &TracedConnection) -> io::Result<()> {
    writeln!(
        out,
        "{}  connection from {}{} by {}: {}, {}, {}{}; {}",
        moment(connection.time_ms),
        connection.peer,
        connection.hello.as_deref().map_or(String::new(), |hello| format!(" ({})", harmless(hello))),
        harmless(&connection.connector),
        count(u64::from(connection.messages), "message", "messages"),
        count(u64::from(connection.refusals), "refusal", "refusals"),
        milliseconds(connection.duration_ms),
        tls(connection.tls_version.as_ref(), None),
        harmless(&connection.end)
    )
}

fn write_outbound(out: &mut dyn Write, outbound: &TracedOutbound) -> io::Result<()> {
    let remote = outbound.remote.as_deref().map_or_else(|| harmless(&outbound.next_hop), harmless);
    let address = outbound.address.map_or(String::new(), |address| format!(" [{}]:{}", address.ip(), address.port()));
    writeln!(
        out,
        "{}  connection to {remote}{address} by {}: {}, {}{}; {}",
        moment(outbound.time_ms),
        harmless(&outbound.connector),
        count(u64::from(outbound.messages), "message", "messages"),
        milliseconds(outbound.duration_ms),
        tls(outbound.tls_version.as_ref(), None),
        harmless(&outbound.end)
    )
}
