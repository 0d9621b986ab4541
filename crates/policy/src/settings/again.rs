//! Reads a document of which most was read before: elements of lists of tables whose text has not changed are not read
//! again.
//!
//! Takes the document, what was read before and which sections are the same; hands on what [`parse`](super::parse) would,
//! or nothing where that is not certain or there is an error to tell. A large document is mostly recipients or connectors,
//! and a command changes one of them.
//!
//! What an element says by itself is kept. What elements say about each other is checked again in every document, by the
//! same functions. An element is read again where reading it says more than the element does:
//!
//! | element | is read again |
//! |---|---|
//! | of any list | where anything is to be said of it |
//! | one that names a user or a group of users | where any `[[user]]` changed |
//! | a receive connector with a default domain | where any `[[accepted_domain]]` changed |
//! | a send connector with another that stands in for it | always: that one may be disabled meanwhile |
//! | an accepted domain with a mailbox server of its own | always: that is another table |
//! | each | where our name changed, since it is the default of others |

use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use super::document::read;
use super::known::{Elements, Known};
use super::reader::{Collector, PROBLEMS_MAX};
use super::{DOCUMENT_BYTES_MAX, Defaults, Settings, User};
use crate::accepted_domain::AcceptedDomain;
use crate::access_entry::Trustee;
use crate::directory::{KnownRecipient, RecipientKind};
use crate::receive_connector::{AcceptedRisk, Binding, ReceiveConnector, RemoteRange};
use crate::send_connector::SendConnector;

/// A section of the document that stood in the one before: whole lines that hold one element of a list of tables with all
/// that belongs to it, and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Of which list.
    pub list: KeptList,
    /// Where it stood, in bytes.
    pub old: Range<usize>,
    /// Where it begins now.
    pub start: usize,
}

/// A list of tables that can be long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeptList {
    /// `[[accepted_domain]]`.
    AcceptedDomains,
    /// `[[user]]`.
    Users,
    /// `[[mailbox]]`.
    Mailboxes,
    /// `[[contact]]`.
    Contacts,
    /// `[[distribution_group]]`.
    Groups,
    /// `[[receive_connector]]`.
    ReceiveConnectors,
    /// `[[send_connector]]`.
    SendConnectors,
}

impl KeptList {
    /// All of them.
    pub const ALL: [KeptList; 7] = [
        KeptList::AcceptedDomains,
        KeptList::Users,
        KeptList::Mailboxes,
        KeptList::Contacts,
        KeptList::Groups,
        KeptList::ReceiveConnectors,
        KeptList::SendConnectors,
    ];

    const fn header(self) -> &'static str {
        match self {
            KeptList::AcceptedDomains => "[[accepted_domain]]\n",
            KeptList::Users => "[[user]]\n",
            KeptList::Mailboxes => "[[mailbox]]\n",
            KeptList::Contacts => "[[contact]]\n",
            KeptList::Groups => "[[distribution_group]]\n",
            KeptList::ReceiveConnectors => "[[receive_connector]]\n",
            KeptList::SendConnectors => "[[send_connector]]\n",
        }
    }

    /// What its tables are called.
    pub fn table(self) -> &'static str {
        self.header().trim_matches(['[', ']', '\n'])
    }

    /// The list whose tables are called so.
    pub fn of(table: &str) -> Option<KeptList> {
        KeptList::ALL.into_iter().find(|list| list.table() == table)
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
    let mut sections = sections(text, before, before_text, kept)?;
    let (shortened, less_shortened);
    shortened = shorten(text, &sections)?;
    let mut root = DeTable::parse(&shortened).ok()?;
    let (users, domains) = (before.users.len(), before.accepted_domains.len());
    let are_users_alike = are_all_kept(root.get_ref(), KeptList::Users, users, kept);
    let are_domains_alike = are_all_kept(root.get_ref(), KeptList::AcceptedDomains, domains, kept);
    let count = sections.len();
    sections.retain(|section| {
        (are_users_alike || !section.element.names_accounts()) && (are_domains_alike || !section.element.names_domain())
    });
    if sections.len() < count {
        less_shortened = shorten(text, &sections)?;
        root = DeTable::parse(&less_shortened).ok()?;
    }
    let mut known = Known::default();
    sections.iter().for_each(|section| section.tell(&mut known));
    let mut collector = Collector::new(text);
    let mut settings = read(&mut collector, root.get_ref(), true, defaults, &mut known);
    let (problems, failed) = collector.finish();
    if failed || !known.is_used_up() || before.server.name != settings.server.name {
        return None;
    }
    settings.warnings = problems;
    Some(settings)
}

/// An element that needs not be read again.
struct Section<'b> {
    list: KeptList,
    element: Element<'b>,
    shift: Shift,
    /// Where it stands.
    range: Range<usize>,
}

/// What was read of it.
enum Element<'b> {
    AcceptedDomain(&'b AcceptedDomain),
    User(&'b Arc<User>),
    Recipient(&'b Arc<KnownRecipient>, &'b Range<usize>),
    ReceiveConnector(&'b Arc<ReceiveConnector>),
    SendConnector(&'b Arc<SendConnector>),
}

/// The sections that are kept, but for those that are to be read again whatever else changed.
fn sections<'b>(text: &str, before: &'b Settings, before_text: &str, kept: &[Kept]) -> Option<Vec<Section<'b>>> {
    let lists = Lists::of(before);
    let mut sections = Vec::with_capacity(kept.len());
    let mut end = 0;
    for Kept { list, old, start } in kept {
        let range = *start..*start + old.len();
        let is_ascending = range.start >= end;
        end = range.end;
        let written = text.get(range.clone())?;
        if !is_ascending || written != before_text.get(old.clone())? {
            return None;
        }
        let element = lists.only_one(*list, old)?;
        let warnings = &before.warnings;
        let next = warnings.partition_point(|warning| warning.span.start < old.start);
        let is_warned = warnings.get(next).is_some_and(|warning| warning.span.start < old.end);
        // A list can be written as one value, too.
        let is_headed = first_statement(written).starts_with("[[") && written.len() > list.header().len();
        let is_apart = is_line_start(text, range.start) && is_line_start(text, range.end);
        if !is_warned && is_headed && is_apart && !element.is_always_read(before) {
            sections.push(Section { list: *list, element, shift: Shift { from: old.start, to: range.start }, range });
        }
    }
    Some(sections)
}

/// Whether a line begins there, or the document ends.
fn is_line_start(text: &str, at: usize) -> bool {
    at == 0 || at == text.len() || text.as_bytes().get(at - 1) == Some(&b'\n')
}

/// The text behind comments and blank lines.
fn first_statement(text: &str) -> &str {
    let mut rest = text.trim_start();
    while rest.starts_with('#') {
        rest = rest.split_once('\n').map_or("", |(_, rest)| rest.trim_start());
    }
    rest
}

/// What was read before, list by list.
struct Lists<'b> {
    settings: &'b Settings,
    recipients: &'b [Arc<KnownRecipient>],
    spans: &'b [Range<usize>],
    /// Where contacts begin among the recipients, and where groups do.
    contacts: usize,
    groups: usize,
}

impl<'b> Lists<'b> {
    fn of(settings: &'b Settings) -> Lists<'b> {
        let (recipients, spans) = (settings.directory.recipients(), settings.directory.spans());
        let contacts = recipients.partition_point(|recipient| matches!(recipient.kind, RecipientKind::Mailbox(_)));
        let groups = recipients.partition_point(|recipient| !matches!(recipient.kind, RecipientKind::Group { .. }));
        Lists { settings, recipients, spans, contacts, groups }
    }

    /// The element of a list that stood there, if it is the only one.
    fn only_one(&self, list: KeptList, old: &Range<usize>) -> Option<Element<'b>> {
        let settings = self.settings;
        let recipient = |within: Range<usize>| {
            let place = within.start + only_one(&self.spans[within], old, |span| span.start)?;
            Some(Element::Recipient(&self.recipients[place], &self.spans[place]))
        };
        Some(match list {
            KeptList::AcceptedDomains => {
                let all = &settings.accepted_domains;
                Element::AcceptedDomain(&all[only_one(all, old, |accepted| accepted.span.start)?])
            }
            KeptList::Users => {
                let all = &settings.users;
                Element::User(&all[only_one(all, old, |user| user.span.start)?])
            }
            KeptList::Mailboxes => recipient(0..self.contacts)?,
            KeptList::Contacts => recipient(self.contacts..self.groups)?,
            KeptList::Groups => recipient(self.groups..self.spans.len())?,
            KeptList::ReceiveConnectors => {
                let all = &settings.receive_connectors;
                Element::ReceiveConnector(&all[only_one(all, old, |connector| connector.span.start)?])
            }
            KeptList::SendConnectors => {
                let all = &settings.send_connectors;
                Element::SendConnector(&all[only_one(all, old, |connector| connector.span.start)?])
            }
        })
    }
}

/// The place of the only one of `all`, ascending by `start`, that stood there.
fn only_one<T>(all: &[T], old: &Range<usize>, start: impl Fn(&T) -> usize) -> Option<usize> {
    let first = all.partition_point(|element| start(element) < old.start);
    let is_inside = |place: usize| all.get(place).is_some_and(|element| start(element) < old.end);
    (is_inside(first) && !is_inside(first + 1)).then_some(first)
}

impl Element<'_> {
    /// Whether another table is to be read with it, or a word about another one has to stand in the middle of it.
    fn is_always_read(&self, before: &Settings) -> bool {
        match self {
            Element::SendConnector(connector) => connector.fallback_connector.is_some(),
            Element::AcceptedDomain(accepted) => before.mailbox_delivery.differs_for(accepted),
            _ => false,
        }
    }

    /// Whether what it means hangs on users and their groups.
    fn names_accounts(&self) -> bool {
        let is_account = |trustee: &Trustee| matches!(trustee, Trustee::User(_) | Trustee::Group(_));
        match self {
            Element::Recipient(recipient, _) => {
                recipient.send_as.iter().chain(&recipient.send_on_behalf).any(is_account)
            }
            Element::ReceiveConnector(connector) => connector.entries.iter().any(|entry| is_account(&entry.trustee)),
            _ => false,
        }
    }

    /// Whether it is right only where some domain is accepted.
    fn names_domain(&self) -> bool {
        matches!(self, Element::ReceiveConnector(connector) if connector.default_domain.is_some())
    }
}

/// Whether the document has the same elements of a list as before, which were `count`, read again or not.
fn are_all_kept(root: &DeTable<'_>, list: KeptList, count: usize, kept: &[Kept]) -> bool {
    let same = kept.iter().filter(|section| section.list == list).count();
    let all = root.get(list.table()).and_then(|value| value.get_ref().as_array()).map_or(0, |all| all.len());
    same == count && all == count
}

/// The document with blanks for what is known, so that all places stay true, and each element in its order.
fn shorten(text: &str, sections: &[Section<'_>]) -> Option<String> {
    let mut bytes = text.as_bytes().to_vec();
    for Section { list, range, .. } in sections {
        let section = bytes.get_mut(range.clone())?;
        section.fill(b' ');
        let header = list.header().as_bytes();
        section.get_mut(..header.len())?.copy_from_slice(header);
        *section.last_mut()? = b'\n';
    }
    String::from_utf8(bytes).ok()
}

impl Section<'_> {
    /// Says it to whoever comes to its header.
    fn tell(&self, known: &mut Known) {
        let Section { element, shift, range, list } = self;
        let header = range.start;
        match element {
            Element::AcceptedDomain(accepted) => {
                let mut accepted = AcceptedDomain::clone(accepted);
                shift.apply(&mut accepted.span);
                known.accepted_domains.push(header, accepted);
            }
            Element::User(user) => known.users.push(header, shift.element(user, moved_user)),
            Element::Recipient(recipient, span) => {
                let mut span = Range::clone(span);
                shift.apply(&mut span);
                let recipients: &mut Elements<_> = match list {
                    KeptList::Contacts => &mut known.contacts,
                    KeptList::Groups => &mut known.groups,
                    _ => &mut known.mailboxes,
                };
                recipients.push(header, (Arc::clone(recipient), span));
            }
            Element::ReceiveConnector(connector) => {
                known.receive_connectors.push(header, shift.element(connector, moved_receive_connector));
            }
            Element::SendConnector(connector) => {
                known.send_connectors.push(header, shift.element(connector, moved_send_connector));
            }
        }
    }
}

/// Where a section stood and where it stands.
struct Shift {
    from: usize,
    to: usize,
}

impl Shift {
    fn apply(&self, span: &mut Range<usize>) {
        // Whatever stands nowhere stays there.
        if span.start >= self.from {
            *span = span.start - self.from + self.to..span.end - self.from + self.to;
        }
    }

    /// The same element where it stands now.
    fn element<T: Clone>(&self, element: &Arc<T>, moved: fn(&mut T, &Shift)) -> Arc<T> {
        let mut element = element.clone();
        if self.from != self.to {
            moved(Arc::make_mut(&mut element), self);
        }
        element
    }
}

fn moved_user(user: &mut User, shift: &Shift) {
    shift.apply(&mut user.span);
}

fn moved_receive_connector(connector: &mut ReceiveConnector, shift: &Shift) {
    shift.apply(&mut connector.span);
    connector.bindings.iter_mut().for_each(|Binding { span, .. }| shift.apply(span));
    connector.remote_ip_ranges.iter_mut().for_each(|RemoteRange { span, .. }| shift.apply(span));
    connector.entries.iter_mut().for_each(|entry| shift.apply(&mut entry.span));
    if let Some(AcceptedRisk { span, .. }) = connector.accept_risk.as_deref_mut() {
        shift.apply(span);
    }
}

fn moved_send_connector(connector: &mut SendConnector, shift: &Shift) {
    shift.apply(&mut connector.span);
    connector.entries.iter_mut().for_each(|entry| shift.apply(&mut entry.span));
}

#[cfg(test)]
mod tests;
