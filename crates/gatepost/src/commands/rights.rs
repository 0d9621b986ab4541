//! The part of an explanation that tells the rights of a principal: who gives each and who takes it, on which line, under
//! which condition, and whose entry it is.
//!
//! Takes origins and a holder, hands on text or what JSON shows.

use std::io::Write;
use std::num::NonZeroU32;

use gatepost_policy::condition::Condition;
use gatepost_policy::explain::{Effect, Holder, Origin, Part, RightOrigin};
use gatepost_policy::note::{Note, instant};
use gatepost_policy::permission::{Right, Source};
use serde::Serialize;

use crate::failure::Failure;
use crate::terminal::{Table, count, harmless};
use gatepost_manage::explanation::part_name;

/// A principal and its rights, for programs.
#[derive(Serialize)]
pub(super) struct Holding {
    principal: String,
    rights: Vec<Held>,
}

#[derive(Serialize)]
struct Held {
    right: &'static str,
    held: bool,
    allowed_by: Vec<Entry>,
    denied_by: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    /// None: an entry of its own.
    group: Option<&'static str>,
    trustee: String,
    line: usize,
    /// `counts`, `expired` or `unmet`.
    effect: &'static str,
    /// The part of its condition that is not met: `senders`, `recipients` or `hours`.
    unmet: Option<&'static str>,
    /// What it is good for; whether that is used up is not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    messages_per_hour: Option<NonZeroU32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<Noted>,
}

/// What stands beside an entry or a range.
#[derive(Serialize)]
struct Noted {
    owner: Option<String>,
    ticket: Option<String>,
    comment: Option<String>,
    expires: Option<String>,
}

impl From<&Note> for Noted {
    fn from(note: &Note) -> Noted {
        Noted {
            owner: note.owner.as_ref().map(ToString::to_string),
            ticket: note.ticket.as_deref().map(str::to_owned),
            comment: note.comment.as_deref().map(str::to_owned),
            expires: note.expires_ms.map(instant),
        }
    }
}

impl Holding {
    /// What `holder` holds, with the entries that speak of each right.
    pub(super) fn of(lines: &Lines, origins: &[RightOrigin<'_>], holder: &Holder) -> Holding {
        let entries = |origins: &[Origin<'_>]| origins.iter().map(|origin| Entry::of(lines, origin)).collect();
        let held = |origin: &RightOrigin<'_>| Held {
            right: origin.right.exchange_name(),
            held: holder.rights.contains(origin.right),
            allowed_by: entries(&origin.allowed_by),
            denied_by: entries(&origin.denied_by),
        };
        Holding { principal: holder.principal.to_string(), rights: origins.iter().map(held).collect() }
    }
}

impl Entry {
    fn of(lines: &Lines, Origin { entry, effect }: &Origin<'_>) -> Entry {
        Entry {
            group: match entry.source {
                Source::Group(group) => Some(group.exchange_name()),
                Source::Extra => None,
            },
            trustee: entry.trustee.to_string(),
            line: lines.line(entry.span.start),
            effect: match effect {
                Effect::Counts => "counts",
                Effect::Expired(_) => "expired",
                Effect::Unmet(_) => "unmet",
            },
            unmet: match effect {
                Effect::Unmet(part) => Some(part_name(*part)),
                Effect::Counts | Effect::Expired(_) => None,
            },
            messages_per_hour: entry.condition.as_ref().and_then(|condition| condition.messages_per_hour),
            note: entry.note.as_deref().map(Noted::from),
        }
    }
}

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

/// Where the lines of the document end: many places are looked up, and counting anew each time would take long.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Lines {
        Lines(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// The line of a place in the document, from 1.
    pub(super) fn line(&self, at: usize) -> usize {
        1 + self.0.partition_point(|end| *end < at)
    }
}
