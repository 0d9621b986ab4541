//! Administrators: Get-, New-, Set- and Remove-Administrator. Not of Exchange, whose administrators are the directory's.
//!
//! They are no settings: what is done is done at once, and no transaction holds it.

use gatepost_policy::note::instant;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, Kind, Parameter, Signature};
use gatepost_shell::value::View;

use super::by_name::search;
use super::parameter::{FORCE, at, identity, named, needed};
use super::{Answer, Arguments, CommandError, Entry, Invocation};
use crate::administration::Office;
use crate::object::PropertyKind::{Bool, Flags, Identity, Text, Time};
use crate::object::{Record, Shape, Usual, property};
use crate::resource::{AdministratorRequest, AdministratorShown, CurrentSecrets, NewAdministratorRequest};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry {
        signature: &GET,
        role: Role::SecurityOfficer,
        output: Some(&SHAPE),
        run: |invocation| Box::pin(std::future::ready(get(invocation))),
    },
    Entry {
        signature: &NEW,
        role: Role::SecurityOfficer,
        output: Some(&SHAPE),
        run: |invocation| Box::pin(new(invocation)),
    },
    // Their own password and codes are everybody's own business; the rest is asked for where it is done.
    Entry { signature: &SET, role: Role::View, output: None, run: |invocation| Box::pin(set(invocation)) },
    Entry {
        signature: &REMOVE,
        role: Role::SecurityOfficer,
        output: None,
        run: |invocation| Box::pin(remove(invocation)),
    },
];

/// Every role.
pub(super) const ROLES: &[&str] = &[
    Role::View.name(),
    Role::HelpDesk.name(),
    Role::QueueOperator.name(),
    Role::RecipientAdmin.name(),
    Role::TransportAdmin.name(),
    Role::SecurityOfficer.name(),
];
/// What an administrator or a token may do.
pub(super) const ROLES_PARAMETER: Parameter = named(
    "Roles",
    Kind::Flags(ROLES),
    "What they may do: View, HelpDesk, QueueOperator, RecipientAdmin, TransportAdmin, SecurityOfficer.",
);
const PASSWORD: Parameter = named(
    "Password",
    Kind::Secret,
    "At least 12 characters, as a secret: Read-Host -AsSecureString, or ConvertTo-SecureString.",
);

static VIEW: View =
    View { type_name: "Gatepost.Administrator", table: &["Name", "TotpEnabled", "Roles"], identity: "Identity" };

static SHAPE: Shape = Shape {
    name: "Administrator",
    view: &VIEW,
    properties: &[
        property("Name", "name", Text, Usual::Null),
        property("Roles", "roles", Flags(ROLES), Usual::Texts(&[])),
        property("TotpEnabled", "totp_enabled", Bool, Usual::Bool(false)),
        property("TotpSince", "totp_since", Time, Usual::Null),
        property("WhenCreated", "when_created", Time, Usual::Null),
        property("Identity", "identity", Identity, Usual::Null),
    ],
};

fn record(administrator: &AdministratorShown) -> Record {
    Record::of(&SHAPE)
        .with("Name", administrator.name.as_str())
        .with("Roles", administrator.roles.clone())
        .with("TotpEnabled", administrator.totp)
        .with("TotpSince", administrator.totp_since_ms.map(instant))
        .with("WhenCreated", instant(administrator.created_ms))
        .with("Identity", administrator.name.as_str())
}

/// Where a command asks, unless it is part of a transaction.
///
/// # Errors
/// [`CommandError::Wrong`], within a transaction: what was done could not be undone with it.
pub(super) fn office<'a>(invocation: &'a Invocation<'_>) -> Result<Office<'a>, CommandError> {
    if invocation.transaction.is_some() {
        let error =
            "administrators and tokens are no settings, so no transaction holds them: complete it or undo it first";
        return Err(CommandError::Wrong(error.to_owned()));
    }
    Ok(looking(invocation))
}

/// The same for who only looks.
pub(super) fn looking<'a>(invocation: &'a Invocation<'_>) -> Office<'a> {
    Office {
        control: invocation.control,
        access: invocation.access,
        actor: invocation.actor,
        is_what_if: invocation.is_what_if,
    }
}

/// What is said of a change: nothing, unless it was only asked what would be done.
pub(super) fn done(invocation: &Invocation<'_>, title: String) -> Answer {
    Answer { what_if: invocation.is_what_if.then(|| format!("What if: {title}.")), ..Answer::default() }
}

fn roles(arguments: &Arguments) -> Option<Vec<String>> {
    Some(arguments.texts("Roles")?.into_iter().map(str::to_owned).collect())
}

static GET: Signature = Signature {
    name: "Get-Administrator",
    aliases: &[],
    synopsis: "Shows who may administer by name and password.",
    parameters: &[identity("Which: a name, or one with wildcards; all without it.")],
    changes: Changes::Nothing,
    examples: &[
        ("Get-Administrator", "Lists all of them."),
        ("Get-Administrator | Where-Object { -not $_.TotpEnabled }", "Shows who needs a password alone."),
    ],
};

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let all = looking(invocation).administrators();
    let name = |known: &AdministratorShown| known.name.clone();
    let found = search(all.iter(), name, invocation.arguments.text("Identity"), "administrator")?;
    Ok(Answer::of(found.into_iter().map(record).collect()))
}

static NEW: Signature = Signature {
    name: "New-Administrator",
    aliases: &[],
    synopsis: "Adds somebody who may administer by name and password.",
    parameters: &[
        needed(at(0, named("Name", Kind::Text, "The name to log on with."))),
        needed(PASSWORD),
        needed(ROLES_PARAMETER),
    ],
    changes: Changes::Unasked,
    examples: &[
        (
            "New-Administrator carol -Roles TransportAdmin -Password (Read-Host -AsSecureString \"Password\")",
            "Asks for the password; it does not show.",
        ),
        (
            "New-Administrator oscar -Roles SecurityOfficer,HelpDesk -Password $secret",
            "Says who may administer, and opens no gate.",
        ),
    ],
};

async fn new(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let text = |name: &str| arguments.text(name).unwrap_or_default().to_owned();
    let request = NewAdministratorRequest {
        name: text("Name"),
        password: text("Password"),
        roles: roles(arguments).unwrap_or_default(),
    };
    let made = office(invocation)?.add(request).await?;
    let answer = done(invocation, format!("Adding the administrator \"{}\": {}", made.name, made.roles.join(", ")));
    let output = if invocation.is_what_if { Vec::new() } else { vec![record(&made)] };
    Ok(Answer { output, ..answer })
}

static SET: Signature = Signature {
    name: "Set-Administrator",
    aliases: &[],
    synopsis: "Changes an administrator; their own password and codes they may change themselves.",
    parameters: &[
        needed(identity("Which: the name.")),
        ROLES_PARAMETER,
        PASSWORD,
        named(
            "TotpEnabled",
            Kind::Bool,
            "$false: the password is enough. $true: makes a secret for an authenticator app and shows it once; its first code, \
             by -TotpCode within 10 minutes, puts it in force.",
        ),
        named("TotpCode", Kind::Text, "The first code of that secret, in quotes: codes are asked for from now on."),
        named(
            "CurrentPassword",
            Kind::Secret,
            "The password until now, as a secret: needed where you change your own password or codes.",
        ),
        named("CurrentCode", Kind::Secret, "The code of your app, likewise, where one is asked for."),
    ],
    changes: Changes::Unasked,
    examples: &[
        ("Set-Administrator carol -Roles QueueOperator", "Other roles, from the next request on."),
        ("Set-Administrator carol -TotpEnabled $true", "Shows once what the authenticator app takes."),
        (
            "Set-Administrator carol -TotpCode '052133'",
            "Codes are asked for: the app has shown that it has the secret.",
        ),
    ],
};

async fn set(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let name = arguments.text("Identity").unwrap_or_default();
    let totp = arguments.get("TotpEnabled").and_then(serde_json::Value::as_bool);
    let secret = |name: &str| arguments.text(name).map(str::to_owned);
    let current = secret("CurrentPassword").map(|password| CurrentSecrets { password, code: secret("CurrentCode") });
    let request = AdministratorRequest {
        password: secret("Password"),
        roles: roles(arguments),
        totp,
        totp_code: secret("TotpCode"),
        current,
    };
    let made = office(invocation)?.set(name, request).await?;
    let answer = done(invocation, format!("Setting the administrator \"{}\"", made.name));
    // Shown, and in no record that a script would write into a file.
    Ok(Answer { lines: made.totp_uri.into_iter().collect(), ..answer })
}

static REMOVE: Signature = Signature {
    name: "Remove-Administrator",
    aliases: &[],
    synopsis: "Removes an administrator, whose sessions end.",
    parameters: &[needed(identity("Which: the name.")), FORCE],
    changes: Changes::Asked,
    examples: &[
        ("Remove-Administrator carol", "Asks first."),
        ("Remove-Administrator carol -Confirm:$false", "Does not ask."),
    ],
};

async fn remove(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let name = invocation.arguments.text("Identity").unwrap_or_default();
    office(invocation)?.remove(name).await?;
    Ok(done(invocation, format!("Removing the administrator \"{name}\"")))
}
