//! Mail contacts: Get-, New-, Set- and Remove-MailContact (fact sheet section 4.2): addresses here whose mail goes elsewhere.

use gatepost_policy::Settings;
use gatepost_policy::directory::KnownRecipient;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, FromPipeline, Kind, Parameter, Signature};

use super::form::{Field, Form, Section, field, like};
use super::keys::Change;
use super::mailbox::{BESIDES, NAMES, OF_NEW, OF_SET, SENDERS, SHARED};
use super::parameter::{DOMAIN_CONTROLLER, FORCE, identity, joined, named, needed};
use super::recipient::{CONTACT, CONTACTS, address, list, listing_parameters, new, remove, set};
use super::{Arguments, CommandError, Entry};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry {
        signature: &GET,
        role: Role::View,
        output: Some(&CONTACT),
        run: |invocation| Box::pin(std::future::ready(list(invocation, Some(&CONTACTS), &CONTACT, |_| true))),
    },
    Entry {
        signature: &NEW,
        role: Role::RecipientAdmin,
        output: Some(&CONTACT),
        run: |invocation| Box::pin(new(invocation, &CONTACTS, external, |_, _| Ok(Vec::new()))),
    },
    Entry {
        signature: &SET,
        role: Role::RecipientAdmin,
        output: None,
        run: |invocation| Box::pin(set(invocation, &CONTACTS, external)),
    },
    Entry {
        signature: &REMOVE,
        role: Role::RecipientAdmin,
        output: None,
        run: |invocation| Box::pin(remove(invocation, &CONTACTS)),
    },
];

static GET: Signature = Signature {
    name: "Get-MailContact",
    aliases: &["Get-Contact"],
    synopsis: "Shows mail contacts: addresses here whose mail goes elsewhere.",
    parameters: &listing_parameters("Which: a name, an address, or one of these with wildcards; all without it."),
    changes: Changes::Nothing,
    examples: &[
        ("Get-MailContact", "Lists them."),
        (
            "Get-MailContact -Filter \"ExternalEmailAddress -like '*@fabrikam.com'\"",
            "Those whose mail goes to a domain.",
        ),
    ],
};

const EXTERNAL: Parameter = Parameter {
    pipeline: FromPipeline::Property,
    ..named("ExternalEmailAddress", Kind::Text, "The address elsewhere that gets its mail.")
};

/// The dialog of a mail contact.
pub static FORM: Form = Form {
    noun: "MailContact",
    sections: &[
        Section { key: "general", title: "Mail contact", about: "", is_advanced: false, fields: &CONTACT_NAMES },
        Section { key: "senders", title: "Senders", about: "", is_advanced: false, fields: &SENDERS },
    ],
    for_scripts: &[
        "Name",
        "DisplayName",
        "EmailAddresses",
        "OrganizationalUnit",
        "EmailAddressPolicyEnabled",
        "ForwardingAddress",
        "ForwardingSmtpAddress",
        "DeliverToMailboxAndForward",
        "MaxSendSize",
        "MaxReceiveSize",
        "RecipientLimits",
        "AcceptMessagesOnlyFrom",
        "RejectMessagesFrom",
        "ModerationEnabled",
        "ModeratedBy",
    ],
    besides: BESIDES,
    told: &[],
    badges: &[],
    is_confirmed: false,
};

const CONTACT_NAMES: [Field; 6] = {
    let [name, display_name, address, alias, all] = NAMES;
    let external = like("ann@fabrikam.com", field("ExternalEmailAddress", "Its mail goes to"));
    [name, display_name, external, address, alias, all]
};

static NEW_PARAMETERS: [Parameter; 22] = joined(joined::<3, 1, 4>(OF_NEW, [needed(EXTERNAL)]), SHARED);
static SET_PARAMETERS: [Parameter; 21] = joined(joined::<2, 1, 3>(OF_SET, [EXTERNAL]), SHARED);

/// Where its mail goes.
fn external(
    _settings: &Settings,
    arguments: &Arguments,
    _contact: Option<&KnownRecipient>,
) -> Result<Vec<Change>, CommandError> {
    let Some(written) = arguments.get("ExternalEmailAddress") else { return Ok(Vec::new()) };
    let (_, address) = address("ExternalEmailAddress", written.as_str().unwrap_or_default())?;
    Ok(vec![("external_address", Some(address.to_string().into()))])
}

static NEW: Signature = Signature {
    name: "New-MailContact",
    aliases: &[],
    synopsis: "Makes a mail contact: an address here whose mail goes elsewhere.",
    parameters: &NEW_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        (
            "New-MailContact -Name \"Ann Lee\" -ExternalEmailAddress ann@fabrikam.com -PrimarySmtpAddress ann.lee@contoso.com",
            "Mail to ann.lee@contoso.com goes to ann@fabrikam.com.",
        ),
        (
            "New-MailContact -Name Support -ExternalEmailAddress support@provider.example",
            "Support at the default domain.",
        ),
    ],
};

static SET: Signature = Signature {
    name: "Set-MailContact",
    aliases: &[],
    synopsis: "Changes a mail contact; what is not named stays as it is.",
    parameters: &SET_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        ("Set-MailContact \"Ann Lee\" -ExternalEmailAddress ann@tailspin.example", "Her mail goes to another place."),
        ("Set-MailContact support -RequireSenderAuthenticationEnabled $true", "Strangers cannot write to it."),
    ],
};

static REMOVE: Signature = Signature {
    name: "Remove-MailContact",
    aliases: &[],
    synopsis: "Removes a mail contact, from groups, too.",
    parameters: &[needed(identity("Which: a name or an address.")), DOMAIN_CONTROLLER, FORCE],
    changes: Changes::Asked,
    examples: &[
        ("Remove-MailContact \"Ann Lee\"", "Asks first."),
        ("Get-MailContact | Remove-MailContact -Confirm:$false", "All of them, without asking."),
    ],
};
