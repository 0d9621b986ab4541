//! Distribution groups: Get-, New-, Set- and Remove-DistributionGroup (fact sheet section 4.2). Their members are in
//! `distribution_group_member`.

use gatepost_policy::Settings;
use gatepost_policy::directory::KnownRecipient;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, Kind, Parameter, Signature};

use super::distribution_group_member::{Members, as_members};
use super::form::{Asked, Field, Form, Section, field, like, usually, when};
use super::keys::{self, Change};
use super::mailbox::{BESIDES, NAMES, OF_NEW, OF_SET, SENDERS, SHARED};
use super::parameter::{DOMAIN_CONTROLLER, FORCE, identity, joined, named, needed};
use super::recipient::{GROUP, GROUPS, list, listing_parameters, new, remove, set};
use super::{Arguments, CommandError, Entry};
use crate::edit::Value;

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry {
        signature: &GET,
        role: Role::View,
        output: Some(&GROUP),
        run: |invocation| Box::pin(std::future::ready(list(invocation, Some(&GROUPS), &GROUP, |_| true))),
    },
    Entry {
        signature: &NEW,
        role: Role::RecipientAdmin,
        output: Some(&GROUP),
        run: |invocation| Box::pin(new(invocation, &GROUPS, members, |_, _| Ok(Vec::new()))),
    },
    Entry {
        signature: &SET,
        role: Role::RecipientAdmin,
        output: None,
        run: |invocation| Box::pin(set(invocation, &GROUPS, members)),
    },
    Entry {
        signature: &REMOVE,
        role: Role::RecipientAdmin,
        output: None,
        run: |invocation| Box::pin(remove(invocation, &GROUPS)),
    },
];

static GET: Signature = Signature {
    name: "Get-DistributionGroup",
    aliases: &[],
    synopsis: "Shows distribution groups: addresses whose mail goes to all their members.",
    parameters: &listing_parameters("Which: a name, an address, or one of these with wildcards; all without it."),
    changes: Changes::Nothing,
    examples: &[
        ("Get-DistributionGroup", "Lists them."),
        (
            "Get-DistributionGroup | Where-Object { -not $_.RequireSenderAuthenticationEnabled }",
            "Shows those that strangers may write to.",
        ),
    ],
};

const OWN: [Parameter; 5] = [
    named("BypassSecurityGroupManagerCheck", Kind::Switch, "Taken and ignored: roles say who changes groups."),
    named("Members", Kind::MultiValued(&Kind::Identity), "Who gets its mail: recipients here, or any addresses."),
    named("ManagedBy", Kind::MultiValued(&Kind::Text), "Taken and ignored: roles say who changes groups."),
    named("ReportToManagerEnabled", Kind::Bool, "$false alone: reports go to the sender."),
    named("ReportToOriginatorEnabled", Kind::Bool, "$true alone: reports go to the sender."),
];

/// The dialog of a distribution group. Its members are added and removed beside it, once it is there.
pub static FORM: Form = Form {
    noun: "DistributionGroup",
    sections: &[
        Section { key: "general", title: "Distribution group", about: "", is_advanced: false, fields: &NAMES },
        Section {
            key: "members",
            title: "Members",
            about: "Until it has members, it is nobody's address.",
            is_advanced: false,
            fields: &[when(Asked::New, like("bob@contoso.com", field("Members", "Members")))],
        },
        Section { key: "senders", title: "Senders", about: "", is_advanced: false, fields: &GROUP_SENDERS },
    ],
    for_scripts: &[
        "Name",
        "DisplayName",
        "EmailAddresses",
        "Members",
        "BypassSecurityGroupManagerCheck",
        "ManagedBy",
        "ReportToManagerEnabled",
        "ReportToOriginatorEnabled",
        "Type",
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

/// A new group takes no mail of strangers (fact sheet section 4.2).
const GROUP_SENDERS: [Field; 3] = {
    let [logged_on, send_as, on_behalf] = SENDERS;
    [usually("true", logged_on), send_as, on_behalf]
};

static NEW_PARAMETERS: [Parameter; 27] = joined(
    joined::<3, 6, 9>(
        OF_NEW,
        joined::<5, 1, 6>(OWN, [named("Type", Kind::Text, "Taken and ignored: groups of mail have no rights.")]),
    ),
    SHARED,
);
static SET_PARAMETERS: [Parameter; 25] = joined(joined::<2, 5, 7>(OF_SET, OWN), SHARED);

/// Who gets its mail. A new group without members is one that says so.
fn members(
    settings: &Settings,
    arguments: &Arguments,
    group: Option<&KnownRecipient>,
) -> Result<Vec<Change>, CommandError> {
    let listed = match (arguments.get("Members"), group) {
        (None, Some(_)) => return Ok(Vec::new()),
        (None, None) => Vec::new(),
        (Some(given), _) => {
            let members = Members { settings, group };
            as_members(settings, &keys::list("Members", given, &members)?)?
        }
    };
    Ok(vec![("members", Some(Value::texts(listed)))])
}

static NEW: Signature = Signature {
    name: "New-DistributionGroup",
    aliases: &[],
    synopsis: "Makes a distribution group. Until it has members, it is nobody's address.",
    parameters: &NEW_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        (
            "New-DistributionGroup -Name Alerts -Members bob@contoso.com,oncall@provider.example",
            "alerts at the default domain, with two members.",
        ),
        (
            "New-DistributionGroup \"Scanner Users\" -PrimarySmtpAddress scan-users@contoso.com -RequireSenderAuthenticationEnabled $false",
            "One that strangers may write to, as soon as it has members.",
        ),
    ],
};

static SET: Signature = Signature {
    name: "Set-DistributionGroup",
    aliases: &[],
    synopsis: "Changes a distribution group; what is not named stays as it is.",
    parameters: &SET_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        ("Set-DistributionGroup Alerts -RequireSenderAuthenticationEnabled $false", "Strangers may write to it."),
        ("Set-DistributionGroup Alerts -EmailAddresses @{Add=\"alarm@contoso.com\"}", "Another address."),
    ],
};

static REMOVE: Signature = Signature {
    name: "Remove-DistributionGroup",
    aliases: &[],
    synopsis: "Removes a distribution group, from other groups, too. Its members stay.",
    parameters: &[
        needed(identity("Which: a name or an address.")),
        named("BypassSecurityGroupManagerCheck", Kind::Switch, "Taken and ignored: roles say who changes groups."),
        DOMAIN_CONTROLLER,
        FORCE,
    ],
    changes: Changes::Asked,
    examples: &[
        ("Remove-DistributionGroup Alerts", "Asks first."),
        ("Remove-DistributionGroup Alerts -Confirm:$false", "Does not ask."),
    ],
};
