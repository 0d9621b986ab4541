//! Recipients of every kind: Get-Recipient, and what the commands of mailboxes, contacts and groups share (fact sheet
//! section 4.2).

mod change;
mod addresses;
mod listing;
mod shape;

use std::sync::Arc;

use gatepost_mail::Mailbox;
use gatepost_policy::Settings;
use gatepost_policy::directory::{KnownRecipient, RecipientKind};
use gatepost_policy::role::Role;
use gatepost_policy::settings::nearest;
use gatepost_shell::command::{Changes, Kind, Parameter, Signature};
use gatepost_shell::convert::wildcard;
use serde_json::Value as Json;

use super::parameter::{DOMAIN_CONTROLLER, identity, named};
use super::queue::{SERVER, of_this_server};
use super::{Answer, CommandError, Entry, Invocation};
use crate::object::{Record, Shape};

pub use addresses::{address, key};
pub use change::{new, remove, set};
pub use listing::{FILTER, RESULT_SIZE, listed};
pub use shape::{CONTACT, GROUP, MAILBOX, RECIPIENT};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[Entry {
    signature: &GET,
    role: Role::View,
    output: Some(&RECIPIENT),
    run: |invocation| Box::pin(std::future::ready(get(invocation))),
}];

/// One sort of recipients, as a command is about it.
pub struct Sort {
    /// In the settings document.
    pub table: &'static str,
    /// For errors.
    pub what: &'static str,
    /// RecipientType and RecipientTypeDetails.
    pub kind: &'static str,
    /// What its records are made of.
    pub shape: &'static Shape,
}

/// `[[mailbox]]`.
pub static MAILBOXES: Sort = Sort { table: "mailbox", what: "mailbox", kind: "UserMailbox", shape: &MAILBOX };
/// `[[contact]]`.
pub static CONTACTS: Sort = Sort { table: "contact", what: "mail contact", kind: "MailContact", shape: &CONTACT };
/// `[[distribution_group]]`.
pub static GROUPS: Sort = Sort {
    table: "distribution_group",
    what: "distribution group",
    kind: "MailUniversalDistributionGroup",
    shape: &GROUP,
};

/// What a recipient is.
pub fn sort(recipient: &KnownRecipient) -> &'static Sort {
    match recipient.kind {
        RecipientKind::Mailbox(_) => &MAILBOXES,
        RecipientKind::Contact { .. } => &CONTACTS,
        RecipientKind::Group { .. } => &GROUPS,
    }
}

/// How Exchange calls it: as people see it, or by what stands before the `@`.
pub fn name(recipient: &KnownRecipient) -> &str {
    recipient.display_name.as_deref().unwrap_or_else(|| recipient.address.local_part())
}

/// The recipients of a sort, or of all.
pub fn all<'a>(
    settings: &'a Settings,
    wanted: Option<&'static Sort>,
) -> impl Iterator<Item = &'a Arc<KnownRecipient>> + use<'a> {
    let is_wanted =
        move |recipient: &&Arc<KnownRecipient>| wanted.is_none_or(|wanted| sort(recipient).table == wanted.table);
    settings.directory.recipients().iter().filter(is_wanted)
}

/// Those that an identity means: one of its addresses, its name, what stands before the `@`, or wildcards over these.
///
/// # Errors
/// [`CommandError`] for an empty identity and for one that nobody has; wildcards that match nothing are no error.
pub fn search<'a>(
    settings: &'a Settings,
    wanted: Option<&'static Sort>,
    identity: &str,
) -> Result<Vec<&'a Arc<KnownRecipient>>, CommandError> {
    let what = wanted.map_or("recipient", |wanted| wanted.what);
    let written = identity.trim();
    if written.is_empty() {
        // A script whose variable is empty must not mean all of them.
        let error = format!("the identity is empty: write the name or an address of a {what}");
        return Err(CommandError::Wrong(error));
    }
    let plain = written.get(..5).filter(|start| start.eq_ignore_ascii_case("smtp:")).map_or(written, |_| &written[5..]);
    if let Ok(address) = Mailbox::parse(plain) {
        let found = of_address(settings, &address)
            .filter(|found| wanted.is_none_or(|wanted| sort(found).table == wanted.table));
        if let Some(found) = found {
            return Ok(vec![found]);
        }
    }
    let lower = written.to_lowercase();
    let is_called_so = |recipient: &&Arc<KnownRecipient>| {
        name(recipient).to_lowercase() == lower || recipient.address.local_part().to_lowercase() == lower
    };
    let found: Vec<_> = all(settings, wanted).filter(is_called_so).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    if written.contains(['*', '?']) {
        let fits = |text: &str| wildcard::matches(written, text, false);
        let is_meant = |recipient: &&Arc<KnownRecipient>| {
            fits(name(recipient))
                || fits(recipient.address.local_part())
                || recipient.addresses().any(|address| fits(&address.to_string()))
        };
        return Ok(all(settings, wanted).filter(is_meant).collect());
    }
    let addresses: Vec<String> = all(settings, wanted).map(|recipient| recipient.address.to_string()).collect();
    let names: Vec<&str> = all(settings, wanted).map(|recipient| name(recipient)).collect();
    let near = nearest(written, addresses.iter().map(String::as_str).chain(names.iter().copied()));
    let hint = near.map_or_else(|| ".".to_owned(), |near| format!("; did you mean '{near}'?"));
    let written: String = written.chars().take(80).collect();
    Err(CommandError::NotFound(format!(
        "The operation couldn't be performed because the {what} '{}' couldn't be found{hint}",
        written.escape_debug()
    )))
}

/// The recipient that has this address.
pub fn of_address<'a>(settings: &'a Settings, address: &Mailbox) -> Option<&'a Arc<KnownRecipient>> {
    // A group that nobody is in has no mail, and is not looked up by those who bring it.
    let key = addresses::key(address);
    let is_it = |recipient: &&Arc<KnownRecipient>| recipient.addresses().any(|known| addresses::key(known) == key);
    settings.directory.find(address).or_else(|| {
        let empty = |recipient: &&Arc<KnownRecipient>| {
            matches!(&recipient.kind, RecipientKind::Group { members } if members.is_empty())
        };
        settings.directory.recipients().iter().filter(empty).find(is_it)
    })
}

/// The one that an identity means.
///
/// # Errors
/// [`CommandError`], as for [`search`], and where it means several.
pub fn find<'a>(
    settings: &'a Settings,
    wanted: Option<&'static Sort>,
    identity: &str,
) -> Result<&'a Arc<KnownRecipient>, CommandError> {
    let mut found = search(settings, wanted, identity)?;
    let is_pattern =
        |one: &KnownRecipient| identity.contains(['*', '?']) && !name(one).eq_ignore_ascii_case(identity.trim());
    match (found.pop(), found.is_empty()) {
        (Some(one), true) if !is_pattern(one) => Ok(one),
        (one, _) => {
            let identity: String = identity.chars().take(80).collect();
            let count = found.len() + usize::from(one.is_some());
            let what = wanted.map_or("recipient", |wanted| wanted.what);
            let error = format!(
                "'{}' doesn't name one {what}, but fits {count}: write an address of the one that you mean",
                identity.escape_debug()
            );
            Err(CommandError::Wrong(error))
        }
    }
}

/// A recipient as `shape` shows it.
pub fn record(shape: &'static Shape, recipient: &KnownRecipient) -> Record {
    let users = |users: &[gatepost_policy::access_entry::Trustee]| -> Json {
        users.iter().map(|user| Json::from(user.to_string())).collect()
    };
    let address = recipient.address.to_string();
    let kind = sort(recipient).kind;
    let record = Record::of(shape)
        .with("PrimarySmtpAddress", address.as_str())
        .with("EmailAddresses", addresses::Addresses::of(recipient).to_texts())
        .with("DisplayName", name(recipient))
        .with("Alias", recipient.address.local_part())
        .with("RequireSenderAuthenticationEnabled", recipient.require_sender_authentication)
        .with("GrantSendOnBehalfTo", users(&recipient.send_on_behalf))
        .with("SendAs", users(&recipient.send_as))
        .with("RecipientType", kind)
        .with("RecipientTypeDetails", kind);
    let record = match &recipient.kind {
        RecipientKind::Contact { external_address }
            if !std::ptr::eq(shape, &MAILBOX) && !std::ptr::eq(shape, &GROUP) =>
        {
            record.with("ExternalEmailAddress", format!("SMTP:{external_address}"))
        }
        RecipientKind::Group { members } if std::ptr::eq(shape, &GROUP) => {
            record.with("Members", members.iter().map(ToString::to_string).collect::<Vec<_>>())
        }
        _ => record,
    };
    record.with("Name", name(recipient)).with("Identity", address)
}

/// The parameters of a Get-.
pub const fn listing_parameters(which: &'static str) -> [Parameter; 5] {
    [identity(which), FILTER, RESULT_SIZE, SERVER, DOMAIN_CONTROLLER]
}

const KINDS: &[&str] = &["UserMailbox", "MailContact", "MailUniversalDistributionGroup"];

static GET: Signature = Signature {
    name: "Get-Recipient",
    aliases: &[],
    synopsis: "Shows recipients of every kind: mailboxes, contacts, distribution groups.",
    parameters: &[
        identity("Which: a name, an address, or one of these with wildcards; all without it."),
        named("RecipientType", Kind::Flags(KINDS), "Only those of these kinds."),
        named("RecipientTypeDetails", Kind::Flags(KINDS), "The same: there are no finer kinds here."),
        FILTER,
        RESULT_SIZE,
        SERVER,
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Get-Recipient -ResultSize Unlimited | Group-Object RecipientType", "Counts recipients by kind."),
        ("Get-Recipient sales@contoso.com | Format-List Name,RecipientType,EmailAddresses", "Whose address this is."),
        ("Get-Recipient -RecipientTypeDetails MailContact -Filter \"DisplayName -like 'A*'\"", "Some of the contacts."),
    ],
};

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let given = ["RecipientType", "RecipientTypeDetails"].map(|name| invocation.arguments.texts(name));
    let is_wanted = |recipient: &KnownRecipient| {
        given.iter().flatten().all(|kinds| kinds.is_empty() || kinds.contains(&sort(recipient).kind))
    };
    list(invocation, None, &RECIPIENT, is_wanted)
}

/// What a Get- answers.
///
/// # Errors
/// [`CommandError`].
pub fn list(
    invocation: &Invocation<'_>,
    wanted: Option<&'static Sort>,
    shape: &'static Shape,
    is_wanted: impl Fn(&KnownRecipient) -> bool,
) -> Result<Answer, CommandError> {
    of_this_server(invocation)?;
    let settings = &invocation.settings;
    let found = match invocation.arguments.get("Identity") {
        None => all(settings, wanted).collect(),
        Some(identity) => search(settings, wanted, identity.as_str().unwrap_or_default())?,
    };
    let found: Vec<&Arc<KnownRecipient>> = found.into_iter().filter(|recipient| is_wanted(recipient)).collect();
    listed(invocation, shape, found, |recipient| record(shape, recipient))
}
