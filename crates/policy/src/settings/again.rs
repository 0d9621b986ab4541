//! Reads a document of which most was read before: receive connectors whose text has not changed are not read again.
//!
//! Takes the document, what was read before and which sections are the same; hands on what [`parse`](super::parse) would,
//! or nothing where that is not certain or there is an error to tell. A large document is mostly connectors, and a command
//! changes one of them.

use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use super::document::read;
use super::reader::{Collector, PROBLEMS_MAX};
use super::{DOCUMENT_BYTES_MAX, Defaults, Settings, User};
use crate::accepted_domain::AcceptedDomain;
use crate::receive_connector::{AcceptedRisk, Binding, ReceiveConnector, RemoteRange};

const HEADER: &str = "[[receive_connector]]\n";

/// A section of the document that stood in the one before: whole lines that hold one `[[receive_connector]]` with all that
/// belongs to it, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where it stood, in bytes.
    pub old: Range<usize>,
    /// Where it begins now.
    pub start: usize,
}

impl Kept {
    fn place(&self) -> Range<usize> {
        self.start..self.start + self.old.len()
    }
}

/// Reads `text` as [`parse`](super::parse) does, where `kept`, ascending, is as in `before_text`, which `before` was read
/// from with the same defaults. `None`: read all of it.
pub fn parse_again(
    text: &str,
    defaults: &Defaults,
    before: &Settings,
    before_text: &str,
    kept: &[Kept],
) -> Option<Settings> {
    // Beyond that many, warnings are not known one by one.
    if text.len() > DOCUMENT_BYTES_MAX || before.warnings.len() >= PROBLEMS_MAX {
        return None;
    }
    let known = known(text, before, before_text, kept)?;
    let shortened = shortened(text, &known)?;
    let root = DeTable::parse(&shortened).ok()?;
    let mut collector = Collector::new(text);
    let mut unused = known.iter().peekable();
    let mut settings = read(&mut collector, root.get_ref(), true, defaults, &mut |header| {
        let known = unused.next_if(|known| known.range.start == header)?;
        Some(moved(known.connector, known.from, known.range.start))
    });
    let (problems, failed) = collector.finish();
    if failed || unused.next().is_some() || !surroundings_are_alike(before, &settings) {
        return None;
    }
    settings.warnings = problems;
    Some(settings)
}

/// A connector that needs not be read again.
struct Known<'b> {
    connector: &'b Arc<ReceiveConnector>,
    /// Where its section stood.
    from: usize,
    /// Where it stands.
    range: Range<usize>,
}

/// The connectors of the sections that are kept, but for those that something is to be said of.
fn known<'b>(text: &str, before: &'b Settings, before_text: &str, kept: &[Kept]) -> Option<Vec<Known<'b>>> {
    let connectors = &before.receive_connectors;
    let mut known = Vec::with_capacity(kept.len());
    let mut end = 0;
    for section in kept {
        let new = section.place();
        let is_ascending = new.start >= end;
        end = new.end;
        if !is_ascending || text.get(new.clone())? != before_text.get(section.old.clone())? {
            return None;
        }
        let first = connectors.partition_point(|connector| connector.span.start < section.old.start);
        let is_inside = |place: usize| {
            connectors
                .get(place)
                .is_some_and(|connector: &Arc<ReceiveConnector>| section.old.contains(&connector.span.start))
        };
        if !is_inside(first) || is_inside(first + 1) {
            return None;
        }
        let warnings = &before.warnings;
        let next = warnings.partition_point(|warning| warning.span.start < section.old.start);
        let is_warned = warnings.get(next).is_some_and(|warning| warning.span.start < section.old.end);
        if !is_warned && new.len() > HEADER.len() {
            known.push(Known { connector: &connectors[first], from: section.old.start, range: new });
        }
    }
    Some(known)
}

/// The document with blanks for what is known, so that all places stay true, and each connector in its order.
fn shortened(text: &str, known: &[Known<'_>]) -> Option<String> {
    let mut shortened = String::with_capacity(text.len());
    for known in known {
        shortened.push_str(text.get(shortened.len()..known.range.start)?);
        if !(shortened.is_empty() || shortened.ends_with('\n')) {
            return None;
        }
        shortened.push_str(HEADER);
        let blank = known.range.len() - HEADER.len() - 1;
        shortened.extend(std::iter::repeat_n(' ', blank));
        shortened.push('\n');
    }
    shortened.push_str(text.get(shortened.len()..)?);
    Some(shortened)
}

/// The connector where its section stands now.
fn moved(connector: &Arc<ReceiveConnector>, from: usize, to: usize) -> Arc<ReceiveConnector> {
    if from == to {
        return connector.clone();
    }
    // Whatever stands nowhere stays there.
    let shift = |span: &mut Range<usize>| {
        if span.start >= from {
            *span = span.start - from + to..span.end - from + to;
        }
    };
    let mut moved = ReceiveConnector::clone(connector);
    shift(&mut moved.span);
    moved.bindings.iter_mut().for_each(|Binding { span, .. }| shift(span));
    moved.remote_ip_ranges.iter_mut().for_each(|RemoteRange { span, .. }| shift(span));
    moved.entries.iter_mut().for_each(|entry| shift(&mut entry.span));
    if let Some(AcceptedRisk { span, .. }) = moved.accept_risk.as_deref_mut() {
        shift(span);
    }
    Arc::new(moved)
}

/// Whether all that connectors refer to is the same.
fn surroundings_are_alike(before: &Settings, after: &Settings) -> bool {
    let is_same_domain = |(one, other): (&AcceptedDomain, &AcceptedDomain)| {
        (&one.domain, one.with_subdomains, one.kind, one.is_default)
            == (&other.domain, other.with_subdomains, other.kind, other.is_default)
    };
    let is_same_user =
        |(one, other): (&Arc<User>, &Arc<User>)| (&one.name, &one.groups) == (&other.name, &other.groups);
    before.server.name == after.server.name
        && before.accepted_domains.len() == after.accepted_domains.len()
        && before.accepted_domains.iter().zip(&after.accepted_domains).all(is_same_domain)
        && before.users.len() == after.users.len()
        && before.users.iter().zip(&after.users).all(is_same_user)
}
