//! The part of an explanation that tells the rights of a principal: who gives each and who takes it, on which line, under
//! which condition, and whose entry it is.
//!
//! Takes origins and a holder, hands on text.

use std::io::Write;

use gatepost_manage::explained::Lines;
use gatepost_policy::condition::Condition;
use gatepost_policy::explain::{Effect, Holder, Origin, Part, RightOrigin};
use gatepost_policy::note::{Note, instant};
use gatepost_policy::permission::{Right, Source};

use crate::failure::Failure;
use crate::terminal::{Table, count, harmless};

/// The rights of one principal and where they come from.
pub(super) fn write_rights(
    out: &mut dyn Write,
    lines: &Lines,
    origins: &[RightOrigin<'_>],
    holder: &Holder,
) -> Result<(), Failure> {
    writeln!(out, "\nRights of {}", harmless(&holder.principal.to_string()))?;
    if origins.is_empty() {
        writeln!(out, "  none: no group and no entry gives any")?;
    }
    let mut table = Table::plain();
    for origin in origins {
        let is_held = holder.rights.contains(origin.right);
        let counts = |origin: &&Origin<'_>| origin.effect == Effect::Counts;
        let is_denied = origin.denied_by.iter().any(|origin| counts(&origin));
        let (verb, entries): (_, Vec<&Origin<'_>>) = match (is_held, is_denied) {
            (true, _) => ("has", origin.allowed_by.iter().filter(counts).collect()),
            (false, true) => ("denied", origin.denied_by.iter().filter(counts).collect()),
            (false, false) => ("not now", origin.allowed_by.iter().collect()),
        };
        // A group is an entry for each kind of server in it; they stand in one line.
        let mut places: Vec<String> = entries.iter().map(|origin| place(lines, origin)).collect();
        places.dedup();
        let idle = if is_held && origin.right == Right::BypassAntiSpam { " (nothing to bypass yet)" } else { "" };
        let by = format!("by {}{idle}", places.join(" and "));
        table.row(&[&format!("  {verb}"), origin.right.exchange_name(), &by]);
    }
    Ok(table.write(out)?)
}

fn place(lines: &Lines, origin: &Origin<'_>) -> String {
    let entry = origin.entry;
    let line = lines.line(entry.span.start);
    let place = match entry.source {
        Source::Group(group) => format!("the group {}, line {line}", group.exchange_name()),
        Source::Extra => format!("the entry for {}, line {line}", entry.trustee),
    };
    let condition = match (&entry.condition, origin.effect) {
        (_, Effect::Expired(_)) => " (expired)".to_owned(),
        (Some(condition), Effect::Unmet(part)) => format!(" (not met: {})", part_text(condition, part)),
        (Some(condition), Effect::Counts) => match condition.messages_per_hour {
            Some(messages) => {
                let messages = count(messages.get().into(), "message", "messages");
                format!(" (condition met; a quota of {messages} an hour is not looked at here)")
            }
            None => " (condition met)".to_owned(),
        },
        (None, _) => String::new(),
    };
    format!("{place}{condition}{}", noted(entry.note.as_deref()))
}

fn part_text(condition: &Condition, part: Part) -> String {
    match part {
        Part::Senders => condition.senders.as_ref().map_or(String::new(), |senders| format!("senders {senders}")),
        Part::Recipients => {
            condition.recipients.as_ref().map_or(String::new(), |recipients| format!("recipients {recipients}"))
        }
        Part::Hours => condition.hours.as_ref().map_or(String::new(), |hours| format!("hours {hours}")),
    }
}

/// Whose it is and until when, in brackets.
pub(super) fn noted(note: Option<&Note>) -> String {
    let Some(note) = note else { return String::new() };
    let mut words = Vec::new();
    words.extend(note.owner.as_ref().map(|owner| format!("owner {owner}")));
    words.extend(note.ticket.as_ref().map(|ticket| format!("ticket {ticket}")));
    words.extend(note.comment.as_ref().map(|comment| format!("\"{comment}\"")));
    words.extend(note.expires_ms.map(|expires_ms| format!("until {}", instant(expires_ms))));
    if words.is_empty() { String::new() } else { format!(" [{}]", words.join(", ")) }
}
