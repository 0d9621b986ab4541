//! Rights on connectors: Get-, Add- and Remove-ADPermission (fact sheet sections 2.1, 2.2 and 9.9).

mod plan;
mod ace;
mod account;

use gatepost_policy::Settings;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, FromPipeline, Kind, Parameter, Signature};
use gatepost_shell::value::View;
use serde_json::Value as Json;

use super::amendment::{Plan, amend};
use super::parameter::{DOMAIN_CONTROLLER, FORCE, also, at, identity, named, needed};
use super::{Answer, Arguments, CommandError, Entry, Invocation};
use crate::object::PropertyKind::{Bool, Identity, Int, List, Text, Time};
use crate::object::{Property, Record, Shape, Usual, property};

use ace::{Ace, Holder, Origin};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry { signature: &GET, role: Role::View, output: Some(&SHAPE), run: |invocation| Box::pin(get(invocation)) },
    Entry {
        signature: &ADD,
        role: Role::TransportAdmin,
        output: Some(&SHAPE),
        run: |invocation| Box::pin(add(invocation)),
    },
    Entry {
        signature: &REMOVE,
        role: Role::TransportAdmin,
        output: None,
        run: |invocation| Box::pin(remove(invocation)),
    },
];

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Management.RecipientTasks.ADAcePresentationObject",
    table: &["Identity", "User", "Deny", "Inherited"],
    identity: "Identity",
};

/// One right of one account on one connector.
static SHAPE: Shape = Shape { name: "ADPermission", view: &VIEW, properties: PROPERTIES };

const PROPERTIES: &[Property] = &[
    property("Identity", "identity", Identity, Usual::Null),
    property("User", "user", Text, Usual::Null),
    property("Deny", "deny", Bool, Usual::Bool(false)),
    property("Inherited", "inherited", Bool, Usual::Bool(false)),
    property("IsInherited", "is_inherited", Bool, Usual::Bool(false)),
    property("AccessRights", "access_rights", List(&Text), Usual::Texts(&["ExtendedRight"])),
    property("ExtendedRights", "extended_rights", List(&Text), Usual::Texts(&[])),
    property("InheritanceType", "inheritance_type", Text, Usual::Text("All")),
    property("ChildObjectTypes", "child_object_types", List(&Text), Usual::Null),
    property("InheritedObjectType", "inherited_object_type", Text, Usual::Null),
    property("Properties", "properties", List(&Text), Usual::Null),
    property("IsValid", "is_valid", Bool, Usual::Bool(true)),
    property("PermissionGroup", "permission_group", Text, Usual::Null),
    property("Senders", "senders", List(&Text), Usual::Null),
    property("Recipients", "recipients", List(&Text), Usual::Null),
    property("Hours", "hours", List(&Text), Usual::Null),
    property("MessagesPerHour", "messages_per_hour", Int, Usual::Null),
    property("Expires", "expires", Time, Usual::Null),
    property("EntryOwner", "owner", Text, Usual::Null),
    property("Ticket", "ticket", Text, Usual::Null),
    property("Comment", "comment", Text, Usual::Null),
];

/// Whether an entry says what the parameters about its conditions and its note say, where they are given: null stands for an
/// entry without.
fn is_meant(ace: &Ace<'_>, arguments: &Arguments) -> bool {
    let Some(row) = records("", ace).pop() else { return false };
    plan::CONDITIONS.iter().all(|(name, _)| {
        let Some(wanted) = arguments.get(name) else { return true };
        let own = row.properties().find(|(property, _)| property.name == *name).map(|(_, value)| value);
        match (own, wanted, *name) {
            (Some(own), wanted, "Expires") => instant_of(&own) == instant_of(wanted),
            (Some(own), wanted, _) => *own == *wanted,
            (None, ..) => false,
        }
    })
}

/// A point in time as it is written: with whatever offset, it is the same one.
fn instant_of(value: &Json) -> Option<jiff::Timestamp> {
    value.as_str()?.parse().ok()
}

/// The rows of an entry: one for each right.
fn records(identity: &str, ace: &Ace<'_>) -> Vec<Record> {
    let condition = ace.condition;
    let patterns = |patterns: Option<&gatepost_policy::condition::Patterns>| -> Json {
        patterns.map_or(Json::Null, |patterns| patterns.texts().iter().map(|text| Json::from(&**text)).collect())
    };
    let note = ace.note;
    let is_inherited = ace.origin == Origin::Default;
    let row = |right: &&'static str| {
        Record::of(&SHAPE)
            .with("Identity", identity)
            .with("User", ace.trustee.to_string())
            .with("Deny", ace.is_denied)
            .with("Inherited", is_inherited)
            .with("IsInherited", is_inherited)
            .with("ExtendedRights", vec![*right])
            .with(
                "PermissionGroup",
                match ace.origin {
                    Origin::Group(group) => Some(group.exchange_name()),
                    Origin::Default | Origin::Extra(_) => None,
                },
            )
            .with("Senders", patterns(condition.and_then(|condition| condition.senders.as_ref())))
            .with("Recipients", patterns(condition.and_then(|condition| condition.recipients.as_ref())))
            .with(
                "Hours",
                match condition.and_then(|condition| condition.hours.as_ref()) {
                    Some(hours) => hours.texts().map(Json::from).collect(),
                    None => Json::Null,
                },
            )
            .with(
                "MessagesPerHour",
                condition.and_then(|condition| condition.messages_per_hour).map(|count| count.get()),
            )
            .with("Expires", note.and_then(|note| note.expires_ms).map(gatepost_policy::note::instant))
            .with("EntryOwner", note.and_then(|note| note.owner.as_ref()).map(ToString::to_string))
            .with("Ticket", note.and_then(|note| note.ticket.as_deref()))
            .with("Comment", note.and_then(|note| note.comment.as_deref()))
    };
    ace.rights.iter().map(row).collect()
}

static GET: Signature = Signature {
    name: "Get-ADPermission",
    aliases: &[],
    synopsis: "Shows who holds which right on a receive or send connector: one row for each right.",
    parameters: &[
        needed(identity("Which connector: a name or SERVER\\Name.")),
        named("User", Kind::Text, "Only the rights of this account."),
        named("Owner", Kind::Switch, "Refused: nothing here has an owner as directory objects have."),
        named(
            "AsText",
            Kind::Switch,
            "Lines as `NT AUTHORITY\\ANONYMOUS LOGON {ms-Exch-SMTP-Submit}` instead of objects. Not of Exchange.",
        ),
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        (
            "Get-ReceiveConnector | Get-ADPermission | Where-Object { $_.User -like '*anonymous*' -and $_.ExtendedRights -like 'ms-Exch-SMTP-Accept-Any-Recipient' } | Format-Table Identity,User,ExtendedRights",
            "Lists where anonymous senders may relay.",
        ),
        (
            "Get-ADPermission \"CRM Application\" -User \"NT AUTHORITY\\ANONYMOUS LOGON\"",
            "Shows what anonymous senders may do.",
        ),
    ],
};

async fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let (settings, arguments) = (&invocation.settings, &invocation.arguments);
    refuse_owner(arguments)?;
    let user = arguments.text("User").map(|user| account::find(settings, user)).transpose()?;
    let mut answer = Answer::default();
    let holders = Holder::search(settings, arguments.text("Identity").unwrap_or_default())?;
    for holder in holders {
        let identity = holder.identity(settings);
        let aces = holder.aces();
        for ace in aces.iter().filter(|ace| user.as_ref().is_none_or(|user| user == ace.trustee)) {
            match arguments.is_set("AsText") {
                false => answer.output.extend(records(&identity, ace)),
                true => answer.lines.extend(ace.rights.iter().map(|right| {
                    let deny = if ace.is_denied { " (denied)" } else { "" };
                    format!("{} {{{right}}}{deny}", ace.trustee)
                })),
            }
        }
    }
    Ok(answer)
}

fn refuse_owner(arguments: &Arguments) -> Result<(), CommandError> {
    match arguments.get("Owner") {
        None => Ok(()),
        Some(_) => Err(CommandError::Wrong(
            "Owner is about directory objects, and nothing here has such an owner; -EntryOwner of Add-ADPermission notes \
             whom to ask about an entry"
                .to_owned(),
        )),
    }
}

const USER: Parameter = needed(Parameter {
    pipeline: FromPipeline::Property,
    ..at(
        1,
        named(
            "User",
            Kind::Text,
            "Whom: NT AUTHORITY\\ANONYMOUS LOGON and the other well-known names, a user, an address of one, a group of users.",
        ),
    )
});
const EXTENDED_RIGHTS: Parameter = Parameter {
    pipeline: FromPipeline::Property,
    ..named("ExtendedRights", Kind::List(&Kind::Text), "Which rights: ms-Exch-SMTP-Accept-Any-Recipient makes a relay.")
};
const ACCESS_RIGHTS: Parameter =
    named("AccessRights", Kind::List(&Kind::Text), "ExtendedRight alone: the others are about directory objects.");
const DENY: Parameter = Parameter {
    pipeline: FromPipeline::Property,
    ..named("Deny", Kind::Switch, "The entry takes away, whoever else gives.")
};
const INHERITANCE_TYPE: Parameter =
    named("InheritanceType", Kind::Text, "Taken and ignored: nothing is below a connector.");
const CHILD_OBJECT_TYPES: Parameter =
    named("ChildObjectTypes", Kind::List(&Kind::Text), "Taken and ignored: nothing is below a connector.");
const INHERITED_OBJECT_TYPE: Parameter =
    named("InheritedObjectType", Kind::Text, "Taken and ignored: nothing is below a connector.");
const PROPERTIES_PARAMETER: Parameter =
    named("Properties", Kind::List(&Kind::Text), "Taken and ignored: it is about directory objects.");
const INSTANCE: Parameter = named("Instance", Kind::Any, "Refused: write -User and -ExtendedRights.");

static ADD: Signature = Signature {
    name: "Add-ADPermission",
    aliases: &[],
    synopsis: "Gives an account rights on a connector, if wanted for certain senders, recipients, hours, or until a day.",
    parameters: &[
        needed(identity("Which connector: a name or SERVER\\Name.")),
        USER,
        EXTENDED_RIGHTS,
        ACCESS_RIGHTS,
        DENY,
        INHERITANCE_TYPE,
        CHILD_OBJECT_TYPES,
        INHERITED_OBJECT_TYPE,
        PROPERTIES_PARAMETER,
        INSTANCE,
        named("Owner", Kind::Text, "Refused: nothing here has an owner as directory objects have."),
        named(
            "Senders",
            Kind::List(&Kind::Text),
            "Only for these senders: scan@contoso.com, *.contoso.com. Not of Exchange.",
        ),
        named("Recipients", Kind::List(&Kind::Text), "Only for these recipients. Not of Exchange."),
        named(
            "Hours",
            Kind::List(&Kind::Text),
            "Only at these hours: \"Mon-Fri 08:00-18:00 Europe/Berlin\". Not of Exchange.",
        ),
        named("MessagesPerHour", Kind::Int, "Only for so many messages of one source in 60 minutes. Not of Exchange."),
        also(&["Until"], named("Expires", Kind::Time, "Only until then. Not of Exchange.")),
        named("EntryOwner", Kind::Text, "The address of whom to ask about it. Not of Exchange."),
        named("Ticket", Kind::Text, "The ticket that it is made for. Not of Exchange."),
        named("Comment", Kind::Text, "For people. Not of Exchange."),
        DOMAIN_CONTROLLER,
        FORCE,
    ],
    changes: Changes::Unasked,
    examples: &[
        (
            "Get-ReceiveConnector \"CRM Application\" | Add-ADPermission -User \"NT AUTHORITY\\ANONYMOUS LOGON\" -ExtendedRights \"ms-Exch-SMTP-Accept-Any-Recipient\"",
            "Lets the hosts of that connector send to anyone, and nothing else.",
        ),
        (
            "Add-ADPermission Scanners -User \"NT AUTHORITY\\ANONYMOUS LOGON\" -ExtendedRights ms-Exch-SMTP-Accept-Any-Recipient -Senders scan@contoso.com -Recipients *@partner.example -Expires 2027-01-31 -Ticket CHG-1187",
            "The same for one sender, to one domain, until a day.",
        ),
    ],
};

async fn add(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let mut added = None;
    let mut answer = amend(invocation, &SHAPE, |settings| {
        let (plan, rights) = plan::of_add(settings, arguments)?;
        added = Some(rights);
        Ok(plan)
    })
    .await?;
    if !invocation.is_what_if {
        let settings = invocation.settings_now().await?;
        answer.output = rows_of(&settings, arguments, &added.unwrap_or_default())?;
    }
    Ok(answer)
}

/// The rows of what was just added.
fn rows_of(settings: &Settings, arguments: &Arguments, rights: &[&'static str]) -> Result<Vec<Record>, CommandError> {
    let holder = Holder::find(settings, arguments.text("Identity").unwrap_or_default())?;
    let identity = holder.identity(settings);
    let user = account::find(settings, arguments.text("User").unwrap_or_default())?;
    let is_denied = arguments.is_set("Deny");
    let mut rows = Vec::new();
    for ace in holder.aces() {
        if matches!(ace.origin, Origin::Extra(_)) && *ace.trustee == user && ace.is_denied == is_denied {
            let of_it = records(&identity, &ace).into_iter().zip(&ace.rights);
            rows.extend(of_it.filter(|(_, right)| rights.contains(right)).map(|(row, _)| row));
        }
    }
    Ok(rows)
}

static REMOVE: Signature = Signature {
    name: "Remove-ADPermission",
    aliases: &[],
    synopsis: "Takes rights on a connector away from an account, also those that a permission group gave.",
    parameters: &[
        needed(identity("Which connector: a name or SERVER\\Name.")),
        USER,
        EXTENDED_RIGHTS,
        ACCESS_RIGHTS,
        DENY,
        INHERITANCE_TYPE,
        CHILD_OBJECT_TYPES,
        INHERITED_OBJECT_TYPE,
        PROPERTIES_PARAMETER,
        INSTANCE,
        named(
            "Senders",
            Kind::List(&Kind::Text),
            "Only of the entry for these senders; $null: of those for any. Not of Exchange.",
        ),
        named("Recipients", Kind::List(&Kind::Text), "Only of the entry for these recipients. Not of Exchange."),
        named("Hours", Kind::List(&Kind::Text), "Only of the entry for these hours. Not of Exchange."),
        named("MessagesPerHour", Kind::Int, "Only of the entry for so many messages. Not of Exchange."),
        named("Expires", Kind::Time, "Only of the entry that ends then. Not of Exchange."),
        named("EntryOwner", Kind::Text, "Only of entries with this owner. Not of Exchange."),
        named("Ticket", Kind::Text, "Only of entries with this ticket. Not of Exchange."),
        named("Comment", Kind::Text, "Only of entries with this comment. Not of Exchange."),
        DOMAIN_CONTROLLER,
        FORCE,
    ],
    changes: Changes::Asked,
    examples: &[
        (
            "Get-ReceiveConnector \"CRM Application\" | Remove-ADPermission -User \"NT AUTHORITY\\ANONYMOUS LOGON\" -ExtendedRights \"ms-Exch-SMTP-Accept-Any-Recipient\" -Confirm:$false",
            "Ends the relaying of that connector's hosts.",
        ),
        (
            "Get-ReceiveConnector \"Default*\" | Remove-ADPermission -User \"NT AUTHORITY\\ANONYMOUS LOGON\" -ExtendedRights ms-Exch-SMTP-Accept-Authoritative-Domain-Sender",
            "Strangers may not use your own domains as senders any more.",
        ),
        (
            "Remove-ADPermission Scanners -User \"NT AUTHORITY\\ANONYMOUS LOGON\" -ExtendedRights ms-Exch-SMTP-Accept-Any-Recipient -Ticket CHG-1187",
            "Ends what one ticket has opened, and leaves the other entries.",
        ),
    ],
};

async fn remove(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    amend(invocation, &SHAPE, |settings| plan::of_remove(settings, &invocation.arguments)).await
}

/// The title of a change.
fn title(doing: &str, identity: &str, user: &str, rights: &[&'static str]) -> String {
    format!("{doing} \"{}\" for \"{user}\" on \"{identity}\"", rights.join(", "))
}

/// A plan that says what was there already.
fn with_warnings(plan: Plan, warnings: Vec<String>) -> Plan {
    Plan { warnings, ..plan }
}

#[cfg(test)]
mod tests {
    use gatepost_policy::settings::{Defaults, parse};
    use serde_json::json;

    use super::*;

    const DOCUMENT: &str = r#"
[server]
name = "mx1.contoso.com"
[[receive_connector]]
name = "Relay"
bindings = ["0.0.0.0:25"]
remote_ip_ranges = ["10.0.0.0/24"]
permission_groups = ["AnonymousUsers"]
[[receive_connector.permission]]
user = "NT AUTHORITY\\ANONYMOUS LOGON"
extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]
senders = ["a@contoso.com"]
ticket = "CHG-1"
expires = "2999-01-01T00:00:00+01:00"
[[receive_connector.permission]]
user = "NT AUTHORITY\\ANONYMOUS LOGON"
extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]
ticket = "CHG-2"
[[receive_connector.permission]]
user = "NT AUTHORITY\\ANONYMOUS LOGON"
extended_rights = ["ms-Exch-SMTP-Accept-Any-Recipient"]
"#;

    #[test]
    fn one_entry_is_told_from_others_that_give_the_same() {
        let settings = parse(DOCUMENT, &Defaults { host_name: "x".to_owned(), data_dir: "x".into() }).expect("sound");
        let holder = Holder::find(&settings, "Relay").expect("there");
        for (terms, expected) in [
            (json!({}), &["AnonymousUsers", "CHG-1", "CHG-2", ""][..]),
            (json!({"Ticket": "CHG-2"}), &["CHG-2"]),
            (json!({"Senders": ["a@contoso.com"]}), &["CHG-1"]),
            (json!({"Senders": null}), &["AnonymousUsers", "CHG-2", ""]),
            (json!({"Senders": null, "Ticket": null}), &["AnonymousUsers", ""]),
            (json!({"Expires": "2998-12-31T23:00:00Z"}), &["CHG-1"]),
            (json!({"Ticket": "CHG-3"}), &[]),
        ] {
            let mut parameters = terms.as_object().cloned().expect("an object");
            parameters.insert("Identity".to_owned(), json!("Relay"));
            parameters.insert("User".to_owned(), json!("NT AUTHORITY\\ANONYMOUS LOGON"));
            let arguments = Arguments::read(&REMOVE, parameters).expect("whole");
            let meant = holder.aces().into_iter().filter(|ace| is_meant(ace, &arguments)).map(|ace| match ace.origin {
                Origin::Group(group) => group.exchange_name().to_owned(),
                _ => ace.note.and_then(|note| note.ticket.as_deref()).unwrap_or_default().to_owned(),
            });
            assert_eq!(meant.collect::<Vec<_>>(), expected, "{terms}");
        }
    }
}
