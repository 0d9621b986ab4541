//! Reads `[[mailbox]]`, `[[contact]]` and `[[distribution_group]]`, and checks what recipients say about each other and
//! about the domains that they are in (fact sheet sections 4.1 and 4.2).

use std::ops::Range;
use std::sync::Arc;

use gatepost_mail::Mailbox;
use toml::de::{DeTable, DeValue};

use super::access_entries::trustee;
use super::check::unique;
use super::known::{self, Elements};
use super::reader::{Collector, Fields, Wrong, shown};
use super::receive_connectors::Surroundings;
use super::values;
use crate::accepted_domain::{AcceptedDomain, AcceptedDomains, DomainKind};
use crate::access_entry::Trustee;
use crate::directory::{Directory, FOLDER_BYTES_MAX, KnownRecipient, LocalMailbox, RECIPIENTS_MAX, RecipientKind};

/// Longest display name, in characters (Exchange's bound for DisplayName).
const DISPLAY_NAME_CHARS_MAX: usize = 256;

/// Exchange's properties of recipients that have no effect here yet.
const PLANNED: &[&str] = &[
    "accept_messages_only_from",
    "deliver_to_mailbox_and_forward",
    "forwarding_address",
    "forwarding_smtp_address",
    "max_receive_size",
    "max_send_size",
    "moderated_by",
    "moderation_enabled",
    "name",
    "recipient_limits",
    "reject_messages_from",
    "report_to_manager_enabled",
    "report_to_originator_enabled",
];

/// A recipient with the places of what it names.
pub(super) struct Declared {
    recipient: Arc<KnownRecipient>,
    places: Places,
}

/// Where a recipient stands. What was read before is known by its address alone: where there is more to say, all of the
/// document is read.
pub(super) struct Places {
    pub address: Range<usize>,
    /// In the order of its aliases.
    aliases: Vec<Range<usize>>,
    /// In the order of a group's members; that of a contact's external address.
    targets: Vec<Range<usize>>,
}

impl Places {
    /// Those of aliases, and of members or of an external address; for more than are known, that of the address.
    fn of<'a>(&'a self, known: &'a [Range<usize>]) -> impl Iterator<Item = &'a Range<usize>> {
        known.iter().chain(std::iter::repeat(&self.address))
    }
}

/// The tables of one kind of recipients, and what is known of them.
pub(super) type Tables<'d, 't, 'k> = (Vec<(&'d DeTable<'t>, Range<usize>)>, &'k mut Elements<known::Recipient>);

/// Reads all recipients: mailboxes, contacts, groups. The second value says whether each could be read whole.
pub(super) fn read<'t>(
    collector: &mut Collector<'t>,
    [mailboxes, contacts, groups]: [Tables<'_, 't, '_>; 3],
    surroundings: &Surroundings<'_>,
) -> (Vec<Declared>, bool) {
    let tables = mailboxes.0.len() + contacts.0.len() + groups.0.len();
    let mut declared = Vec::with_capacity(tables);
    let mut sound = true;
    for (header, (tables, known)) in
        [("[[mailbox]]", mailboxes), ("[[contact]]", contacts), ("[[distribution_group]]", groups)]
    {
        for (table, span) in tables {
            if let Some((recipient, address)) = known.take((table, &span)) {
                let places = Places { address, aliases: Vec::new(), targets: Vec::new() };
                declared.push(Declared { recipient, places });
                continue;
            }
            let mut fields = Fields::new(collector, header, table, span);
            let read = read_one(&mut fields, header, surroundings);
            sound &= read.is_some() && !KEYS.iter().any(|key| fields.is_bad(key));
            fields.finish(PLANNED);
            declared.extend(read);
        }
    }
    (declared, sound)
}

/// What others than the recipient itself refer to.
const KEYS: [&str; 4] = ["address", "aliases", "external_address", "members"];

fn read_one(
    fields: &mut Fields<'_, '_, '_>,
    header: &'static str,
    surroundings: &Surroundings<'_>,
) -> Option<Declared> {
    let address = fields.required("address", "write address = \"bob@contoso.com\"", values::mailbox);
    let (kind, targets) = match header {
        "[[contact]]" => {
            let external = fields.required(
                "external_address",
                "write where its mail goes: external_address = \"bob@example.net\"",
                values::mailbox,
            );
            let span = fields.span_of("external_address");
            (external.map(|external_address| RecipientKind::Contact { external_address }), vec![span])
        }
        "[[distribution_group]]" => {
            let members = fields.list("members", |value, _| values::mailbox(value));
            match &members {
                None => fields.lacks("members", "write who gets its mail: members = [\"bob@contoso.com\"]"),
                Some(members) if members.is_empty() && !fields.is_bad("members") => {
                    let group = address.as_ref().map_or_else(|| "this group".to_owned(), ToString::to_string);
                    fields.warning_at(
                        "members",
                        format!("`members`: {group} has no members, so it is nobody's address: mail to it is refused"),
                        "write who gets its mail: members = [\"bob@contoso.com\"]",
                    );
                }
                Some(_) => {}
            }
            let members = members.unwrap_or_default();
            let (members, spans) = members.into_iter().unzip();
            (Some(RecipientKind::Group { members }), spans)
        }
        _ => (address.as_ref().and_then(|address| mailbox_of(fields, address)), Vec::new()),
    };
    if header == "[[mailbox]]" {
        fields.refuse(
            "catch_all",
            "`catch_all`: a domain says who gets the mail of its unknown recipients",
            "write catch_all_recipient = \"bob@contoso.com\" in its [[accepted_domain]]",
        );
    }
    for key in ["email_addresses", "proxy_addresses"] {
        let message = format!("`{key}`: other addresses are written as `aliases`");
        fields.refuse(key, message, "write aliases = [\"robert@contoso.com\"]");
    }
    let display_name = fields.optional("display_name", display_name);
    let aliases = fields.list("aliases", |value, _| values::mailbox(value)).unwrap_or_default();
    // Exchange's default: groups are closed to senders outside, others are open.
    let is_group = header == "[[distribution_group]]";
    let require_sender_authentication =
        fields.optional("require_sender_authentication", values::boolean).unwrap_or(is_group);
    let mut users = |key| {
        let users = fields.list(key, |value, _| user(value, surroundings)).unwrap_or_default();
        users.into_iter().map(|(user, _)| user).collect()
    };
    let (send_as, send_on_behalf) = (users("send_as"), users("grant_send_on_behalf_to"));
    let span = fields.span_of("address");
    let (aliases, alias_spans) = aliases.into_iter().unzip();
    let recipient = KnownRecipient {
        display_name,
        aliases,
        require_sender_authentication,
        send_as,
        send_on_behalf,
        ..KnownRecipient::new(address?, kind?)
    };
    let places = Places { address: span, aliases: alias_spans, targets };
    Some(Declared { recipient: Arc::new(recipient), places })
}

fn mailbox_of(fields: &mut Fields<'_, '_, '_>, address: &Mailbox) -> Option<RecipientKind> {
    let mailbox = LocalMailbox::new(address.clone());
    if mailbox.is_none() {
        fields.error_at(
            "address",
            "`address`: the address is too long for the name of a folder",
            format!("keep it below {FOLDER_BYTES_MAX} bytes"),
        );
    }
    mailbox.map(|mailbox| RecipientKind::Mailbox(Arc::new(mailbox)))
}

fn display_name(value: &DeValue<'_>) -> Result<Box<str>, Wrong> {
    let text = values::string(value)?;
    let fits = !text.is_empty() && text.chars().nth(DISPLAY_NAME_CHARS_MAX).is_none();
    if fits && text.trim() == text && !text.contains(char::is_control) {
        return Ok(text.into());
    }
    Err(Wrong::new(
        format!("`{}` is no display name", shown(text)),
        format!(
            "write 1 to {DISPLAY_NAME_CHARS_MAX} characters, without control characters and without spaces at the ends"
        ),
    ))
}

/// A user or a group of users.
fn user(value: &DeValue<'_>, surroundings: &Surroundings<'_>) -> Result<Trustee, Wrong> {
    let name = values::string(value)?;
    if Trustee::parse_well_known(name).is_some() {
        return Err(Wrong::new(
            format!("`{}` is no user: it logs on with no name", shown(name)),
            "write the names of users; to let others write as anybody, grant ms-Exch-SMTP-Accept-Any-Sender",
        ));
    }
    trustee(name, &surroundings.accounts, |_| {
        "write the `name` of a [[user]], not an address, or a group that a user names in `groups`".to_owned()
    })
}

/// What can be said of the recipients by themselves; `domains` is `None` where not all of them could be read.
pub(super) fn check(
    collector: &mut Collector<'_>,
    directory: &Directory,
    places: &[Places],
    domains: Option<&AcceptedDomains>,
) {
    let declared = || directory.recipients().iter().zip(places);
    // Which they are takes a while, and nearly always there are none.
    if directory.may_have_twins() {
        let addresses = declared().flat_map(|(recipient, places)| addresses(recipient, places));
        let keys = addresses.map(|(address, span)| (address.key(), span.clone()));
        unique(collector, "recipients with the address", keys);
    }
    let Some(domains) = domains else { return };
    for (recipient, places) in declared() {
        for (address, span) in addresses(recipient, places) {
            let domain = address.domain();
            match domains.find(domain).map(|accepted| accepted.kind) {
                Some(DomainKind::Authoritative | DomainKind::InternalRelay) => {}
                Some(DomainKind::ExternalRelay) => collector.error(
                    span.clone(),
                    format!("{domain} is an ExternalRelay domain: all its mail is passed on"),
                    "make the domain Authoritative or InternalRelay, or remove the recipient",
                ),
                None => collector.error(
                    span.clone(),
                    format!("{domain} is no accepted domain, so nothing would reach {address}"),
                    format!("declare [[accepted_domain]] with name = \"{domain}\""),
                ),
            }
        }
    }
}

/// Each address with its place; the primary one first.
fn addresses<'a>(
    recipient: &'a KnownRecipient,
    places: &'a Places,
) -> impl Iterator<Item = (&'a Mailbox, &'a Range<usize>)> {
    recipient.addresses().zip(std::iter::once(&places.address).chain(places.of(&places.aliases)))
}

/// What can be said only of all of them together: members that nobody has, groups that lead nowhere or to too many, and
/// groups that are open to the world around somebody who is not.
pub(super) fn check_ways(
    collector: &mut Collector<'_>,
    places: &[Places],
    directory: &Directory,
    domains: &AcceptedDomains,
) {
    for (found, places) in directory.iter().zip(places) {
        let recipient = &found.recipient;
        let (key, targets) = match &recipient.kind {
            RecipientKind::Mailbox(_) => continue,
            RecipientKind::Contact { external_address } => ("external_address", std::slice::from_ref(external_address)),
            // It is nobody's address, and was warned of.
            RecipientKind::Group { members } if members.is_empty() => continue,
            RecipientKind::Group { members } => ("members", &members[..]),
        };
        let mut is_whole = true;
        for (target, span) in targets.iter().zip(places.of(&places.targets)) {
            let is_known = directory.find(target).is_some() || directory.is_postmaster(target, domains);
            if !is_known && domains.is_authoritative(target.domain()) {
                is_whole = false;
                collector.error(
                    span.clone(),
                    format!("`{key}`: {target} is nobody, and all recipients of {} are declared here", target.domain()),
                    "declare it in [[mailbox]], [[contact]] or [[distribution_group]], or correct the address",
                );
            }
        }
        if !found.leads_somewhere() && is_whole {
            collector.error(
                places.address.clone(),
                format!("{} leads only to itself: its mail would go round and vanish", recipient.address),
                format!("write an address in its `{key}` that leads to a mailbox or out"),
            );
        }
        if let Some(closed) = found.closed_by()
            && !recipient.require_sender_authentication
        {
            collector.warning(
                places.address.clone(),
                format!(
                    "senders outside may write to {}, but not to {} behind it: they are refused",
                    recipient.address, closed.address
                ),
                format!(
                    "set require_sender_authentication = false for {}, or true for {}",
                    closed.address, recipient.address
                ),
            );
        }
    }
}

/// Groups whose mail would be too many messages.
pub(super) fn check_sizes(collector: &mut Collector<'_>, directory: &Directory) {
    for found in directory.too_large() {
        collector.error(
            found.span(),
            format!("{} has more than {RECIPIENTS_MAX} recipients with all its members", found.recipient.address),
            "divide it into several groups",
        );
    }
}

/// Catch-all recipients are mailboxes here, in domains whose recipients are all here.
pub(super) fn check_catch_all(
    collector: &mut Collector<'_>,
    accepted: &[AcceptedDomain],
    spans: &[Range<usize>],
    directory: &Directory,
) {
    for (AcceptedDomain { catch_all_recipient, .. }, span) in accepted.iter().zip(spans) {
        let Some(address) = catch_all_recipient else { continue };
        if directory.find(address).is_none_or(|recipient| recipient.mailbox().is_none()) {
            collector.error(
                span.clone(),
                format!("`catch_all_recipient`: {address} is no mailbox here"),
                "write an address of [[mailbox]]",
            );
        }
    }
}

impl Declared {
    /// The recipient, and where it stands.
    pub(super) fn into_parts(self) -> (Arc<KnownRecipient>, Places) {
        (self.recipient, self.places)
    }
}
