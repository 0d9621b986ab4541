//! Members of distribution groups: Get-, Add-, Remove- and Update-DistributionGroupMember.

use std::collections::HashSet;

use gatepost_mail::Mailbox;
use gatepost_policy::Settings;
use gatepost_policy::directory::{KnownRecipient, RecipientKind};
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, FromPipeline, Kind, Parameter, Signature};

use super::amendment::{Plan, amend};
use super::keys::Lists;
use super::parameter::{DOMAIN_CONTROLLER, FORCE, at, identity, named, needed};
use super::queue::{SERVER, of_this_server};
use super::recipient::{GROUP, GROUPS, RECIPIENT, RESULT_SIZE, address, find, key, listed, of_address, record};
use super::{Answer, CommandError, Entry, Invocation};
use crate::edit::{Edit, Target, Value};
use crate::object::Record;

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry {
        signature: &GET,
        role: Role::View,
        output: Some(&RECIPIENT),
        run: |invocation| Box::pin(std::future::ready(get(invocation))),
    },
    Entry { signature: &ADD, role: Role::RecipientAdmin, output: None, run: |invocation| Box::pin(add(invocation)) },
    Entry {
        signature: &REMOVE,
        role: Role::RecipientAdmin,
        output: None,
        run: |invocation| Box::pin(remove(invocation)),
    },
    Entry {
        signature: &UPDATE,
        role: Role::RecipientAdmin,
        output: None,
        run: |invocation| Box::pin(update(invocation)),
    },
];

const BYPASS: Parameter =
    named("BypassSecurityGroupManagerCheck", Kind::Switch, "Taken and ignored: roles say who changes groups.");

static GET: Signature = Signature {
    name: "Get-DistributionGroupMember",
    aliases: &[],
    synopsis: "Shows the members of a distribution group, as they are declared: groups in it are members, too.",
    parameters: &[needed(identity("Which group: a name or an address.")), RESULT_SIZE, SERVER, DOMAIN_CONTROLLER],
    changes: Changes::Nothing,
    examples: &[
        ("Get-DistributionGroupMember Alerts", "Lists them."),
        (
            "Get-DistributionGroup | ForEach-Object { \"$($_.Name): $((Get-DistributionGroupMember $_).PrimarySmtpAddress -join ', ')\" }",
            "All groups, with their members.",
        ),
    ],
};

fn members(group: &KnownRecipient) -> &[Mailbox] {
    match &group.kind {
        RecipientKind::Group { members } => members,
        RecipientKind::Mailbox(_) | RecipientKind::Contact { .. } => &[],
    }
}

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    of_this_server(invocation)?;
    let settings = &invocation.settings;
    let group = find(settings, Some(&GROUPS), invocation.arguments.text("Identity").unwrap_or_default())?;
    let of_member = |member: &Mailbox| match of_address(settings, member) {
        Some(recipient) => record(&RECIPIENT, recipient),
        None => elsewhere(member),
    };
    listed(invocation, &RECIPIENT, members(group).iter().collect(), |member| of_member(member))
}

/// A member that is nobody here.
fn elsewhere(member: &Mailbox) -> Record {
    let address = member.to_string();
    Record::of(&RECIPIENT)
        .with("PrimarySmtpAddress", address.as_str())
        .with("EmailAddresses", vec![format!("SMTP:{address}")])
        .with("DisplayName", address.as_str())
        .with("Alias", member.local_part())
        .with("RecipientType", "MailContact")
        .with("RecipientTypeDetails", "MailContact")
        .with("ExternalEmailAddress", format!("SMTP:{address}"))
        .with("Name", address.as_str())
        .with("Identity", address.as_str())
}

/// The members of a group as a list that is changed; there may be no group yet.
pub(super) struct Members<'a> {
    /// The settings as they are.
    pub settings: &'a Settings,
    /// The group.
    pub group: Option<&'a KnownRecipient>,
}

impl Lists for Members<'_> {
    fn current(&self, _property: &str) -> Vec<String> {
        self.group.map(members).unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    fn meant(&self, _property: &str, written: &str) -> String {
        as_member(self.settings, written).map_or_else(|_| written.to_lowercase(), |member| key(&member))
    }
}

/// The address by which a member is declared: its own primary one, or what is written where it is nobody here.
fn as_member(settings: &Settings, written: &str) -> Result<Mailbox, CommandError> {
    if let Ok((_, address)) = address("Member", written) {
        return Ok(of_address(settings, &address).map_or(address, |known| known.address.clone()));
    }
    Ok(find(settings, None, written)?.address.clone())
}

/// The same of a list, each once.
///
/// # Errors
/// [`CommandError`] for what is neither an address nor a recipient.
pub(super) fn as_members(settings: &Settings, written: &[String]) -> Result<Vec<String>, CommandError> {
    let mut known = HashSet::new();
    let mut all = Vec::new();
    for text in written {
        let member = as_member(settings, text)?;
        if known.insert(key(&member)) {
            all.push(member.to_string());
        }
    }
    Ok(all)
}

fn target(group: &KnownRecipient) -> Target {
    Target::named(GROUPS.table, group.address.to_string())
}

static ADD: Signature = Signature {
    name: "Add-DistributionGroupMember",
    aliases: &[],
    synopsis: "Puts a member into a distribution group: a recipient here, or any address.",
    parameters: &[
        needed(identity("Which group: a name or an address.")),
        needed(Parameter {
            pipeline: FromPipeline::Object,
            ..at(1, named("Member", Kind::Identity, "Who: a name or an address."))
        }),
        BYPASS,
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Unasked,
    examples: &[
        ("Add-DistributionGroupMember Alerts -Member bob@contoso.com", "One more."),
        (
            "Get-Mailbox *@branch.contoso.com | Add-DistributionGroupMember -Identity Branch",
            "Every mailbox of a domain.",
        ),
    ],
};

async fn add(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    amend(invocation, &GROUP, |settings| {
        let group = find(settings, Some(&GROUPS), arguments.text("Identity").unwrap_or_default())?;
        let member = as_member(settings, arguments.text("Member").unwrap_or_default())?;
        if let Some(known) = place_of(settings, group, &member) {
            let error = format!("the recipient \"{known}\" is already a member of the group \"{}\"", group.address);
            return Err(CommandError::Conflict(error));
        }
        let edit = Edit::Add { target: target(group), key: "members".into(), values: vec![member.to_string().into()] };
        Ok(Plan::new(format!("Adding {member} to the distribution group \"{}\"", group.address), vec![edit]))
    })
    .await
}

/// As which address a member is declared that is meant: by any of its own.
fn place_of<'a>(settings: &Settings, group: &'a KnownRecipient, member: &Mailbox) -> Option<&'a Mailbox> {
    let known = of_address(settings, member);
    let mut own: Vec<String> = known.into_iter().flat_map(|known| known.addresses().map(key)).collect();
    own.push(key(member));
    members(group).iter().find(|declared| own.contains(&key(declared)))
}

static REMOVE: Signature = Signature {
    name: "Remove-DistributionGroupMember",
    aliases: &[],
    synopsis: "Takes a member out of a distribution group.",
    parameters: &[
        needed(identity("Which group: a name or an address.")),
        needed(Parameter {
            pipeline: FromPipeline::Object,
            ..at(1, named("Member", Kind::Identity, "Who: a name or an address."))
        }),
        BYPASS,
        DOMAIN_CONTROLLER,
        FORCE,
    ],
    changes: Changes::Asked,
    examples: &[
        ("Remove-DistributionGroupMember Alerts -Member bob@contoso.com", "Asks first."),
        (
            "Get-DistributionGroup | ForEach-Object { Remove-DistributionGroupMember $_ -Member bob -Confirm:$false -ErrorAction SilentlyContinue }",
            "Out of every group.",
        ),
    ],
};

async fn remove(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    amend(invocation, &GROUP, |settings| {
        let group = find(settings, Some(&GROUPS), arguments.text("Identity").unwrap_or_default())?;
        let member = as_member(settings, arguments.text("Member").unwrap_or_default())?;
        let declared = place_of(settings, group, &member).ok_or_else(|| {
            CommandError::NotFound(format!(
                "the recipient \"{member}\" isn't a member of the group \"{}\"",
                group.address
            ))
        })?;
        let edit =
            Edit::Take { target: target(group), key: "members".into(), values: vec![declared.to_string().into()] };
        Ok(Plan::new(format!("Removing {declared} from the distribution group \"{}\"", group.address), vec![edit]))
    })
    .await
}

static UPDATE: Signature = Signature {
    name: "Update-DistributionGroupMember",
    aliases: &[],
    synopsis: "Replaces all members of a distribution group.",
    parameters: &[
        needed(identity("Which group: a name or an address.")),
        needed(named("Members", Kind::List(&Kind::Identity), "Who gets its mail from now on: names or addresses.")),
        BYPASS,
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Asked,
    examples: &[
        ("Update-DistributionGroupMember Alerts -Members bob@contoso.com,alice@contoso.com", "These two."),
        (
            "Update-DistributionGroupMember Staff -Members (Get-Content staff.txt) -Confirm:$false",
            "Those whose addresses are the lines of a file.",
        ),
    ],
};

async fn update(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    amend(invocation, &GROUP, |settings| {
        let group = find(settings, Some(&GROUPS), arguments.text("Identity").unwrap_or_default())?;
        let written: Vec<String> =
            arguments.texts("Members").unwrap_or_default().into_iter().map(str::to_owned).collect();
        let value = Value::texts(as_members(settings, &written)?);
        let edit = Edit::Set { target: target(group), key: "members".into(), value };
        Ok(Plan::new(format!("Replacing the members of the distribution group \"{}\"", group.address), vec![edit]))
    })
    .await
}
