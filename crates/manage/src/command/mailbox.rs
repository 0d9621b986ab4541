//! Mailboxes: Get-, New-, Set- and Remove-Mailbox (fact sheet section 4.2). What they share with other recipients is in
//! `recipient`.

use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, FromPipeline, Kind, Parameter, Signature};

use super::form::{Asked, Field, Form, Section, field, like, when};
use super::parameter::{DOMAIN_CONTROLLER, FORCE, at, identity, joined, named, needed};
use super::recipient::{MAILBOX, MAILBOXES, list, listing_parameters, remove, set};
use super::{Answer, CommandError, Entry, Invocation, recipient, user};
use crate::edit::Edit;

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry {
        signature: &GET,
        role: Role::View,
        output: Some(&MAILBOX),
        run: |invocation| Box::pin(std::future::ready(list(invocation, Some(&MAILBOXES), &MAILBOX, |_| true))),
    },
    Entry {
        signature: &NEW,
        role: Role::RecipientAdmin,
        output: Some(&MAILBOX),
        run: |invocation| Box::pin(new(invocation)),
    },
    Entry {
        signature: &SET,
        role: Role::RecipientAdmin,
        output: None,
        run: |invocation| Box::pin(set(invocation, &MAILBOXES, |_, _, _| Ok(Vec::new()))),
    },
    Entry {
        signature: &REMOVE,
        role: Role::RecipientAdmin,
        output: None,
        run: |invocation| Box::pin(remove(invocation, &MAILBOXES)),
    },
];

static GET: Signature = Signature {
    name: "Get-Mailbox",
    aliases: &[],
    synopsis: "Shows mailboxes: whose mail is kept here, and under which addresses.",
    parameters: &listing_parameters("Which: a name, an address, or one of these with wildcards; all without it."),
    changes: Changes::Nothing,
    examples: &[
        ("Get-Mailbox bob@contoso.com | Format-List", "Shows everything of one."),
        (
            "Get-Mailbox -ResultSize Unlimited | Select-Object Name,PrimarySmtpAddress,@{n='Addresses';e={$_.EmailAddresses -join ';'}} | Export-Csv mailboxes.csv -NoTypeInformation",
            "All of them with all their addresses, as a table.",
        ),
    ],
};

/// What every recipient can be given, now or later.
pub(super) const SHARED: [Parameter; 18] = [
    Parameter {
        pipeline: FromPipeline::Property,
        ..named("DisplayName", Kind::Text, "How people see it: the name beside the address.")
    },
    Parameter {
        pipeline: FromPipeline::Property,
        ..named(
            "PrimarySmtpAddress",
            Kind::Text,
            "The address that is shown. One that was there before stays as another one.",
        )
    },
    named(
        "EmailAddresses",
        Kind::MultiValued(&Kind::Text),
        "All its addresses, SMTP: in capitals before the primary one.",
    ),
    named("RequireSenderAuthenticationEnabled", Kind::Bool, "Whether only those may write to it who have logged on."),
    named(
        "GrantSendOnBehalfTo",
        Kind::MultiValued(&Kind::Identity),
        "Users and groups of users who may write on its behalf: the Sender field names them.",
    ),
    named("SendAs", Kind::MultiValued(&Kind::Identity), "Users and groups of users who may write as it."),
    named("EmailAddressPolicyEnabled", Kind::Bool, "$false alone: addresses are what is written."),
    named("ForwardingAddress", Kind::Text, "Not supported yet: the refusal says so."),
    named("ForwardingSmtpAddress", Kind::Text, "Not supported yet: the refusal says so."),
    named("DeliverToMailboxAndForward", Kind::Bool, "Not supported yet: the refusal says so."),
    named("MaxSendSize", Kind::Size, "unlimited alone: connectors have limits of size."),
    named("MaxReceiveSize", Kind::Size, "unlimited alone: connectors have limits of size."),
    named("RecipientLimits", Kind::UnlimitedInt, "unlimited alone: connectors limit recipients."),
    named("AcceptMessagesOnlyFrom", Kind::MultiValued(&Kind::Text), "Not supported yet: the refusal says so."),
    named("RejectMessagesFrom", Kind::MultiValued(&Kind::Text), "Not supported yet: the refusal says so."),
    named("ModerationEnabled", Kind::Bool, "$false alone: nobody is asked before delivery."),
    named("ModeratedBy", Kind::MultiValued(&Kind::Text), "Empty alone: nobody is asked before delivery."),
    DOMAIN_CONTROLLER,
];

/// What every new recipient can be given.
pub(super) const OF_NEW: [Parameter; 3] = [
    needed(at(
        0,
        Parameter {
            pipeline: FromPipeline::Property,
            ..named("Name", Kind::Text, "What people call it; the address is made of it where no other is given.")
        },
    )),
    Parameter {
        pipeline: FromPipeline::Property,
        ..named("Alias", Kind::Text, "What stands before the @ at the default domain, where no address is given.")
    },
    named("OrganizationalUnit", Kind::Text, "Taken and ignored: there is no directory apart from the server."),
];

/// What every recipient that is there takes.
pub(super) const OF_SET: [Parameter; 2] =
    [needed(identity("Which: a name or an address.")), named("Name", Kind::Text, "The same as -DisplayName.")];

const OWN_OF_NEW: [Parameter; 8] = [
    named("UserPrincipalName", Kind::Text, "The primary address, where no other is given."),
    named(
        "SamAccountName",
        Kind::Text,
        "What the user logs on with; the alias, or the name without spaces, where it is empty.",
    ),
    named("Password", Kind::Secret, "Makes a user, too, who logs on with it and may write as the mailbox."),
    user::ALLOW_WEAK,
    named("FirstName", Kind::Text, "Taken and ignored: -DisplayName says how people see it."),
    named("LastName", Kind::Text, "Taken and ignored: -DisplayName says how people see it."),
    named("Database", Kind::Text, "Taken and ignored: each mailbox is a Maildir, or on a mailbox server."),
    named("Shared", Kind::Switch, "Taken and ignored: a mailbox without a user is one."),
];

/// Names and addresses of a recipient: the same for all of them.
pub(super) const NAMES: [Field; 5] = [
    when(Asked::New, like("Bob Miller", field("Name", "Name"))),
    when(Asked::Set, field("DisplayName", "Name")),
    like("bob@contoso.com", field("PrimarySmtpAddress", "Address")),
    when(Asked::New, like("bob", field("Alias", "Alias"))),
    when(Asked::Set, like("b.miller@contoso.com", field("EmailAddresses", "All addresses"))),
];

/// Who may write to a recipient and as it: the same for all of them.
pub(super) const SENDERS: [Field; 3] = [
    field("RequireSenderAuthenticationEnabled", "Only from senders who have logged on"),
    like("alice", field("SendAs", "May write as it")),
    like("alice", field("GrantSendOnBehalfTo", "May write on its behalf")),
];

/// What people call what they cannot change.
pub(super) const BESIDES: &[(&str, &str)] = &[("Alias", "Alias"), ("Name", "Name"), ("RecipientType", "Kind")];

/// The dialog of a mailbox.
pub static FORM: Form = Form {
    noun: "Mailbox",
    sections: &[
        Section { key: "general", title: "Mailbox", about: "", is_advanced: false, fields: &NAMES },
        Section {
            key: "user",
            title: "User",
            about: "With a password a user is made, too, who logs on and writes as the mailbox.",
            is_advanced: false,
            fields: &[
                when(Asked::New, like("bob", field("SamAccountName", "User name"))),
                when(Asked::New, field("Password", "Password")),
                when(Asked::New, field("AllowWeakPassword", "Allow a weak password")),
            ],
        },
        Section { key: "senders", title: "Senders", about: "", is_advanced: false, fields: &SENDERS },
    ],
    for_scripts: &[
        "Name",
        "DisplayName",
        "EmailAddresses",
        "UserPrincipalName",
        "FirstName",
        "LastName",
        "Database",
        "Shared",
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

static NEW_PARAMETERS: [Parameter; 29] = joined(joined::<3, 8, 11>(OF_NEW, OWN_OF_NEW), SHARED);
static SET_PARAMETERS: [Parameter; 20] = joined(OF_SET, SHARED);

static NEW: Signature = Signature {
    name: "New-Mailbox",
    aliases: &[],
    synopsis: "Makes a mailbox, and if a password is given, the user who logs on for it.",
    parameters: &NEW_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        (
            "New-Mailbox -Name \"Bob Miller\" -PrimarySmtpAddress bob@contoso.com",
            "A mailbox, which nobody logs on for.",
        ),
        (
            "New-Mailbox -Name Scanner -Password (Read-Host -AsSecureString \"Password\")",
            "scanner at the default domain, and a user of that name who may write as it.",
        ),
        (
            "Import-Csv people.csv | ForEach-Object { New-Mailbox -Name $_.Name -PrimarySmtpAddress $_.Address }",
            "One for each line of a table.",
        ),
    ],
};

async fn new(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let account = ["SamAccountName", "Alias", "Name"].iter().find_map(|name| arguments.text(name)).unwrap_or_default();
    let name: String = account.chars().filter(|c| !c.is_whitespace()).collect();
    let password = user::Password::begin(invocation, &name, user::Unsaid::Nothing).await?;
    let is_with_user = password.is_some();
    let more = |settings: &gatepost_policy::Settings, primary: &gatepost_mail::Mailbox| {
        let user = is_with_user.then(|| user::insert(settings, &name, &[primary.to_string()], &[]));
        Ok::<Vec<Edit>, CommandError>(user.transpose()?.into_iter().collect())
    };
    let answer = recipient::new(invocation, &MAILBOXES, |_, _, _| Ok(Vec::new()), more).await;
    user::Password::end(password, invocation, answer).await
}

static SET: Signature = Signature {
    name: "Set-Mailbox",
    aliases: &[],
    synopsis: "Changes a mailbox; what is not named stays as it is.",
    parameters: &SET_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        (
            "Set-Mailbox bob -EmailAddresses @{Add=\"b.miller@contoso.com\"; Remove=\"bobby@contoso.com\"}",
            "Changes some of the addresses. A plain list would replace all of them.",
        ),
        ("Set-Mailbox scanner@contoso.com -GrantSendOnBehalfTo alice", "Alice may write on its behalf."),
    ],
};

static REMOVE: Signature = Signature {
    name: "Remove-Mailbox",
    aliases: &[],
    synopsis: "Removes a mailbox from the settings and from groups. What is in its folder stays on the disk.",
    parameters: &[needed(identity("Which: a name or an address.")), DOMAIN_CONTROLLER, FORCE],
    changes: Changes::Asked,
    examples: &[
        ("Remove-Mailbox bob@contoso.com", "Asks first."),
        ("Get-Mailbox *@old.example | Remove-Mailbox -Confirm:$false", "All of a domain, without asking."),
    ],
};
