//! Tokens for programs: Get-, New- and Remove-ApiToken. Not of Exchange.

use gatepost_policy::note::instant;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, Kind, Signature};
use gatepost_shell::value::View;

use super::administrator::{ROLES, ROLES_PARAMETER, done, looking, office};
use super::argument::unix_ms;
use super::by_name::search;
use super::parameter::{FORCE, also, identity, named, needed};
use super::{Answer, CommandError, Entry, Invocation};
use crate::object::PropertyKind::{Flags, Identity, List, Text, Time};
use crate::object::{Record, Shape, Usual, property};
use crate::resource::{NewTokenRequest, TokenShown};

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
    Entry {
        signature: &REMOVE,
        role: Role::SecurityOfficer,
        output: None,
        run: |invocation| Box::pin(remove(invocation)),
    },
];

static VIEW: View = View {
    type_name: "Gatepost.ApiToken",
    table: &["Identity", "Roles", "Expires", "LastUsed", "Note"],
    identity: "Identity",
};

/// A token, without its secret.
static SHAPE: Shape = Shape {
    name: "ApiToken",
    view: &VIEW,
    properties: &[
        property("Identity", "identity", Identity, Usual::Null),
        property("Note", "note", Text, Usual::Text("")),
        property("Roles", "roles", Flags(ROLES), Usual::Texts(&[])),
        property("Commands", "commands", List(&Text), Usual::Texts(&[])),
        property("Expires", "expires", Time, Usual::Null),
        property("LastUsed", "last_used", Time, Usual::Null),
        property("CreatedBy", "created_by", Text, Usual::Null),
        property("WhenCreated", "when_created", Time, Usual::Null),
    ],
};

fn record(token: &TokenShown) -> Record {
    Record::of(&SHAPE)
        .with("Identity", token.id.as_str())
        .with("Note", token.note.as_str())
        .with("Roles", token.roles.clone())
        .with("Commands", token.commands.clone())
        .with("Expires", token.expires_ms.map(instant))
        .with("LastUsed", token.last_used_ms.map(instant))
        .with("CreatedBy", token.created_by.as_str())
        .with("WhenCreated", instant(token.created_ms))
}

static GET: Signature = Signature {
    name: "Get-ApiToken",
    aliases: &[],
    synopsis: "Shows the tokens of programs, without their secrets.",
    parameters: &[identity("Which: its id, or one with wildcards; all without it.")],
    changes: Changes::Nothing,
    examples: &[
        ("Get-ApiToken", "Lists all of them, with the last use of each."),
        ("Get-ApiToken | Where-Object { -not $_.LastUsed } | Remove-ApiToken", "Removes those that nobody ever used."),
    ],
};

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let all = looking(invocation).tokens();
    let id = |token: &TokenShown| token.id.clone();
    let found = search(all.iter(), id, invocation.arguments.text("Identity"), "token")?;
    Ok(Answer::of(found.into_iter().map(record).collect()))
}

static NEW: Signature = Signature {
    name: "New-ApiToken",
    aliases: &[],
    synopsis: "Makes a token for a program, and shows it once, in the line behind its record.",
    parameters: &[
        needed(ROLES_PARAMETER),
        also(
            &["Cmdlets"],
            named(
                "Commands",
                Kind::List(&Kind::Text),
                "Which commands it is for, * stands for anything; all that its roles allow without it.",
            ),
        ),
        named("Expires", Kind::Time, "When it ends; without it, never."),
        named("Note", Kind::Text, "What it is for."),
    ],
    changes: Changes::Unasked,
    examples: &[
        ("New-ApiToken -Roles View -Note monitoring", "One that sees settings, queues and numbers."),
        (
            "New-ApiToken -Roles TransportAdmin -Commands *-ReceiveConnector -Expires (Get-Date).AddDays(90) -Note deploy",
            "One for receive connectors alone, for 90 days.",
        ),
    ],
};

async fn new(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let texts = |name: &str| arguments.texts(name).unwrap_or_default().into_iter().map(str::to_owned).collect();
    let request = NewTokenRequest {
        roles: texts("Roles"),
        commands: texts("Commands"),
        note: arguments.text("Note").unwrap_or_default().to_owned(),
        expires_ms: unix_ms(arguments, "Expires")?,
    };
    let made = office(invocation)?.add_token(request).await?;
    let answer = done(invocation, format!("Making a token: {}", made.token.roles.join(", ")));
    if invocation.is_what_if {
        return Ok(answer);
    }
    // Shown, and in no record that a script would write into a file.
    Ok(Answer { output: vec![record(&made.token)], lines: vec![made.secret], ..answer })
}

static REMOVE: Signature = Signature {
    name: "Remove-ApiToken",
    aliases: &[],
    synopsis: "Removes a token, which is good for nothing from then on.",
    parameters: &[needed(identity("Which: its id.")), FORCE],
    changes: Changes::Asked,
    examples: &[
        ("Remove-ApiToken 4f2a91c0", "Asks first."),
        (
            "Get-ApiToken | Where-Object { $_.Note -like 'deploy*' } | Remove-ApiToken -Confirm:$false",
            "Removes some, and does not ask.",
        ),
    ],
};

async fn remove(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let id = invocation.arguments.text("Identity").unwrap_or_default();
    office(invocation)?.remove_token(id).await?;
    Ok(done(invocation, format!("Removing the token {id}")))
}
