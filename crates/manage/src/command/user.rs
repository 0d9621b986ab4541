//! Users, who may log on by SMTP: Get-, New-, Set- and Remove-User.
//!
//! A user is two things in two places: a `[[user]]` table in the document, changed like all settings, and a password's hash
//! in the secrets, which are no part of the settings, of revisions and of transactions.

use std::collections::HashSet;
use std::sync::Arc;

use gatepost_policy::Settings;
use gatepost_policy::password::{self, Opens, Weakness};
use gatepost_policy::role::Role;
use gatepost_policy::settings::User;
use gatepost_shell::command::{Changes, FromPipeline, Kind, Parameter, Signature};
use gatepost_shell::value::View;
use serde_json::Value as Json;

use super::amendment::{Plan, amend};
use super::by_name::{find, search};
use super::form::{Asked, Form, Section, field, like, shown_by, usually, when};
use super::keys::{self, Change, Lists};
use super::parameter::{DOMAIN_CONTROLLER, FORCE, also, at, identity, joined, named, needed};
use super::recipient::{FILTER, RESULT_SIZE, listed};
use super::{Answer, CommandError, Entry, Invocation};
use crate::access::ChangeError;
use crate::credentials::{PasswordHash, Secrets};
use crate::edit::{Edit, Key, Target, Value};
use crate::object::PropertyKind::{Bool, Choice, Identity, List, Text};
use crate::object::{Record, Shape, Usual, property};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry {
        signature: &GET,
        role: Role::View,
        output: Some(&SHAPE),
        run: |invocation| Box::pin(std::future::ready(get(invocation))),
    },
    Entry {
        signature: &NEW,
        role: Role::RecipientAdmin,
        output: Some(&SHAPE),
        run: |invocation| Box::pin(new(invocation)),
    },
    Entry { signature: &SET, role: Role::RecipientAdmin, output: None, run: |invocation| Box::pin(set(invocation)) },
    Entry {
        signature: &REMOVE,
        role: Role::RecipientAdmin,
        output: None,
        run: |invocation| Box::pin(remove(invocation)),
    },
];

const WHAT: &str = "user";
const TABLE: &str = "user";
const PLACES: &[&str] = &["None", "Credentials", "Settings"];

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.Management.User",
    table: &["Name", "Addresses", "Groups", "PasswordPlace"],
    identity: "Identity",
};

static SHAPE: Shape = Shape {
    name: "User",
    view: &VIEW,
    properties: &[
        property("SamAccountName", "sam_account_name", Text, Usual::Null),
        property("Addresses", "addresses", List(&Text), Usual::Texts(&[])),
        property("Groups", "groups", List(&Text), Usual::Texts(&[])),
        property("PasswordPlace", "password_place", Choice(PLACES), Usual::Text("Credentials")),
        property("WeakPassword", "weak_password", Bool, Usual::Bool(false)),
        property("Name", "name", Text, Usual::Null),
        property("Identity", "identity", Identity, Usual::Null),
    ],
};

fn name(user: &Arc<User>) -> String {
    user.name.to_string()
}

static GET: Signature = Signature {
    name: "Get-User",
    aliases: &[],
    synopsis: "Shows who may log on by SMTP, and write as whom.",
    parameters: &[
        identity("Which: a name, an address of one, or a name with wildcards; all without it."),
        FILTER,
        RESULT_SIZE,
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Get-User", "Lists them."),
        ("Get-User | Where-Object { $_.PasswordPlace -eq 'None' }", "Shows those who cannot log on as yet."),
        (
            "Get-User | Where-Object WeakPassword",
            "Shows those whose password somebody allowed although it is easy to guess.",
        ),
    ],
};

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let settings = &invocation.settings;
    let found = match invocation.arguments.get("Identity").and_then(Json::as_str) {
        Some(identity) if identity.contains('@') && !identity.contains(['*', '?']) => {
            vec![of_identity(settings, identity)?]
        }
        identity => search(settings.users.iter(), name, identity, WHAT)?,
    };
    let hashes = Hashes::of(&invocation.amender.reloader().accounts().secrets());
    listed(invocation, &SHAPE, found, |user| record(&hashes, user))
}

/// Who has a hash in the secrets, and whose is of a weak password; in lower case.
struct Hashes {
    known: HashSet<String>,
    weak: HashSet<String>,
}

impl Hashes {
    fn of(secrets: &Secrets) -> Hashes {
        Hashes {
            known: secrets.users().map(|(name, _)| name.to_lowercase()).collect(),
            weak: secrets.weak_users().map(str::to_lowercase).collect(),
        }
    }
}

fn record(hashes: &Hashes, user: &User) -> Record {
    let texts = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>();
    let name = user.name.to_lowercase();
    let place = match (&user.password, hashes.known.contains(&name)) {
        (_, true) => "Credentials",
        (Some(_), false) => "Settings",
        (None, false) => "None",
    };
    Record::of(&SHAPE)
        .with("SamAccountName", &*user.name)
        .with("Addresses", texts(&mut user.addresses.iter().map(ToString::to_string)))
        .with("Groups", texts(&mut user.groups.iter().map(ToString::to_string)))
        .with("PasswordPlace", place)
        .with("WeakPassword", hashes.weak.contains(&name))
        .with("Name", &*user.name)
        .with("Identity", &*user.name)
}

/// The user of this name, or of this address.
fn of_identity<'a>(settings: &'a Settings, identity: &str) -> Result<&'a Arc<User>, CommandError> {
    match settings.find_user(identity.trim()) {
        Some(user) => Ok(user),
        None => find(settings.users.iter(), name, identity, WHAT),
    }
}

/// Takes a password that breaks the rules.
pub(super) const ALLOW_WEAK: Parameter = named(
    "AllowWeakPassword",
    Kind::Switch,
    "Takes a password that is easy to guess, for a device that has room for no other. It is recorded, and Get-User shows it.",
);

/// Properties that can be given, now or later.
const SETTABLE: [Parameter; 5] = [
    also(
        &["EmailAddresses", "WindowsEmailAddress"],
        named("Addresses", Kind::MultiValued(&Kind::Text), "The addresses that the user may write as."),
    ),
    also(
        &["MemberOf"],
        named("Groups", Kind::MultiValued(&Kind::Text), "Groups of users: rights can be given to them as to a user."),
    ),
    named(
        "Password",
        Kind::Secret,
        "What the user proves itself by: at least 12 characters, or 8 of three kinds. A user without one cannot log on.",
    ),
    ALLOW_WEAK,
    DOMAIN_CONTROLLER,
];

/// The dialog of a user.
pub static FORM: Form = Form {
    noun: "User",
    sections: &[Section {
        key: "general",
        title: "User",
        about: "",
        is_advanced: false,
        fields: &[
            when(Asked::New, like("svc-scan", field("Name", "User name"))),
            shown_by("PasswordPlace", usually("none", field("Password", "Password"))),
            field("AllowWeakPassword", "Allow a weak password"),
            like("scan@contoso.com", field("Addresses", "May write as")),
            like("Applications", field("Groups", "Groups")),
        ],
    }],
    for_scripts: &[],
    besides: &[("Name", "User name"), ("WeakPassword", "Weak password")],
    told: &[("PasswordPlace", password_place)],
    badges: &[("WeakPassword", true, "weak password")],
    is_confirmed: false,
};

/// Whether there is a password, for people: never which.
fn password_place(record: &Json) -> String {
    let said = match record["PasswordPlace"].as_str() {
        Some("None") => "none",
        Some("Settings") => "set, in the settings document",
        _ => "set",
    };
    said.to_owned()
}

static NEW_PARAMETERS: [Parameter; 6] = joined(
    [needed(at(
        0,
        Parameter {
            pipeline: FromPipeline::Property,
            ..also(&["SamAccountName"], named("Name", Kind::Text, "What it logs on with: 1 to 64 characters."))
        },
    ))],
    SETTABLE,
);
static SET_PARAMETERS: [Parameter; 6] = joined([needed(identity("Which: a name, or an address of one."))], SETTABLE);

static NEW: Signature = Signature {
    name: "New-User",
    aliases: &[],
    synopsis: "Makes a user, who may log on by SMTP and write as some addresses.",
    parameters: &NEW_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        (
            "New-User svc-scan -Addresses scan@contoso.com -Password (Read-Host -AsSecureString \"Password\")",
            "Asks for the password.",
        ),
        (
            "New-User svc-crm -Addresses crm@contoso.com -Groups Applications -Password (ConvertTo-SecureString $text -AsPlainText -Force)",
            "With a password that a script has, and in a group that may have rights.",
        ),
    ],
};

async fn new(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let wanted = arguments.text("Name").unwrap_or_default().to_owned();
    let password = Password::begin(invocation, &wanted, Unsaid::Cleared).await?;
    let answer = amend(invocation, &SHAPE, |settings| {
        let texts = |name| keys::list(name, arguments.get(name).unwrap_or(&Json::Null), &Own(None));
        let edit = insert(settings, &wanted, &texts("Addresses")?, &texts("Groups")?)?;
        Ok(Plan::new(format!("Creating the user \"{wanted}\""), vec![edit]))
    })
    .await;
    let mut answer = Password::end(password, invocation, answer).await?;
    if !invocation.is_what_if {
        let settings = invocation.settings_now().await?;
        let hashes = Hashes::of(&invocation.amender.reloader().accounts().secrets());
        answer.output.push(record(&hashes, find(settings.users.iter(), name, &wanted, WHAT)?));
    }
    Ok(answer)
}

/// What makes a user.
///
/// # Errors
/// [`CommandError::Conflict`]: there is one of that name.
pub fn insert(settings: &Settings, name: &str, addresses: &[String], groups: &[String]) -> Result<Edit, CommandError> {
    if is_known(settings, name) {
        let error = format!("the user \"{name}\" already exists: choose another name, or change that one by Set-User");
        return Err(CommandError::Conflict(error));
    }
    let mut keys: Vec<Key> = vec![("name".into(), name.into()), ("addresses".into(), Value::texts(addresses))];
    if !groups.is_empty() {
        keys.push(("groups".into(), Value::texts(groups)));
    }
    Ok(Edit::Insert { table: TABLE.into(), keys, entries: Vec::new() })
}

fn is_known(settings: &Settings, name: &str) -> bool {
    settings.users.iter().any(|user| user.name.to_lowercase() == name.to_lowercase())
}

static SET: Signature = Signature {
    name: "Set-User",
    aliases: &[],
    synopsis: "Changes a user: the password, addresses, groups; what is not named stays as it is.",
    parameters: &SET_PARAMETERS,
    changes: Changes::Unasked,
    examples: &[
        ("Set-User svc-scan -Password (Read-Host -AsSecureString \"New password\")", "Another password, from now on."),
        ("Set-User svc-scan -Addresses @{Add=\"copier@contoso.com\"}", "Another address to write as."),
    ],
};

async fn set(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let wanted = arguments.text("Identity").unwrap_or_default();
    let known = name(of_identity(&invocation.settings, wanted)?);
    let password = Password::begin(invocation, &known, Unsaid::Nothing).await?;
    let answer = amend(invocation, &SHAPE, |settings| {
        let user = of_identity(settings, wanted)?;
        let mut changes: Vec<Change> = Vec::new();
        for (parameter, key) in [("Addresses", "addresses"), ("Groups", "groups")] {
            if let Some(given) = arguments.get(parameter) {
                let list = keys::list(parameter, given, &Own(Some(user)))?;
                // Who has none is said to have none.
                let is_said = !list.is_empty() || parameter == "Addresses";
                changes.push((key, is_said.then(|| Value::texts(list))));
            }
        }
        if arguments.get("Password").is_some() {
            // One that stands in the settings would come back with the next reload of the secrets.
            changes.push(("password", None));
        }
        let edits = keys::of_set(&Target::named(TABLE, name(user)), changes);
        Ok(Plan::new(format!("Setting the user \"{}\"", user.name), edits))
    })
    .await;
    Password::end(password, invocation, answer).await
}

/// The lists of a user, who may not be there yet.
struct Own<'a>(Option<&'a User>);

impl Lists for Own<'_> {
    fn current(&self, property: &str) -> Vec<String> {
        let Some(user) = self.0 else { return Vec::new() };
        match property {
            "Groups" => user.groups.iter().map(ToString::to_string).collect(),
            _ => user.addresses.iter().map(ToString::to_string).collect(),
        }
    }
}

static REMOVE: Signature = Signature {
    name: "Remove-User",
    aliases: &[],
    synopsis: "Removes a user, and the password.",
    parameters: &[needed(identity("Which: a name, or an address of one.")), DOMAIN_CONTROLLER, FORCE],
    changes: Changes::Asked,
    examples: &[
        ("Remove-User svc-scan", "Asks first."),
        ("Get-User old-* | Remove-User -Confirm:$false", "All whose names begin so, without asking."),
    ],
};

async fn remove(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    // Once it is in force, `amend` forgets the password as well.
    amend(invocation, &SHAPE, |settings| {
        let user = of_identity(settings, invocation.arguments.text("Identity").unwrap_or_default())?;
        let target = Target::named(TABLE, name(user));
        Ok(Plan::new(format!("Removing the user \"{}\"", user.name), vec![Edit::Remove(target)]))
    })
    .await
}

/// What becomes of the password of a user of whom no password is said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unsaid {
    /// It stays.
    Nothing,
    /// It is forgotten: what an earlier user of that name left is nobody's.
    Cleared,
}

/// What the secrets keep of a user's password.
struct Kept {
    hash: PasswordHash,
    is_weak: bool,
}

/// A user's password on its way into the secrets.
pub struct Password {
    name: String,
    /// Whether it is in the secrets, and what was there before.
    before: Option<Option<Kept>>,
    /// What is wrong with it, where that was allowed.
    weakness: Option<Weakness>,
    /// What becomes of it, for those who only ask.
    what_if: Option<&'static str>,
}

impl Password {
    /// Reads the parameter `Password`, and puts the hash into the secrets, so that it is in force with the settings.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn begin(
        invocation: &Invocation<'_>,
        name: &str,
        unsaid: Unsaid,
    ) -> Result<Option<Password>, CommandError> {
        let given = invocation.arguments.get("Password");
        if given.is_none() && unsaid == Unsaid::Nothing {
            return Ok(None);
        }
        if given.is_some() && invocation.transaction.is_some() {
            let error = "Password: a password is no part of the settings, and so of no transaction: set it before or after \
                         the transaction";
            return Err(CommandError::Wrong(error.to_owned()));
        }
        let is_new = unsaid == Unsaid::Cleared;
        // Of one that is removed in the same transaction, by hand, or when the power was cut. Nothing takes it away here.
        let is_left_over = || invocation.amender.reloader().accounts().secrets().has(name);
        if is_new && invocation.transaction.is_some() && !is_known(&invocation.settings, name) && is_left_over() {
            let error = format!(
                "an earlier user called \"{name}\" has left a password, which would be the new one's: make this one by \
                 a command of its own, outside a transaction"
            );
            return Err(CommandError::Conflict(error));
        }
        // Whom a password is not to be taken from: `insert` says so later.
        let is_idle = invocation.is_what_if
            || invocation.transaction.is_some()
            || (is_new && is_known(&invocation.settings, name));
        let given_text = given.and_then(Json::as_str);
        let weakness = given_text.and_then(|password| password::decide(Opens::Mail, name, password).err());
        if let Some(weakness) = weakness.filter(|_| !invocation.arguments.is_set(ALLOW_WEAK.name)) {
            let error = format!(
                "Password: the password of a user {weakness}. -{} takes this one all the same, and is recorded",
                ALLOW_WEAK.name
            );
            return Err(CommandError::Wrong(error));
        }
        let kept = match given_text.map(str::to_owned) {
            None => None,
            Some(password) => {
                let hash = tokio::task::spawn_blocking(move || PasswordHash::of(&password)).await;
                let hash = hash.map_err(|_| unexpected())?;
                let hash = hash.map_err(|error| CommandError::Wrong(format!("Password: {error}")))?;
                Some(Kept { hash, is_weak: weakness.is_some() })
            }
        };
        let before = match is_idle {
            true => None,
            false => Some(exchange(invocation, name, kept).await?),
        };
        let what_if = given.map(|given| match given {
            Json::Null => "The password would be forgotten.",
            _ => "The password would be another one.",
        });
        Ok(Some(Password { name: name.to_owned(), before, weakness, what_if }))
    }

    /// Puts the password in force, or takes it back: as `answer` says of the settings.
    ///
    /// # Errors
    /// That of `answer`, or that the password cannot be put in force.
    pub async fn end(
        password: Option<Password>,
        invocation: &Invocation<'_>,
        answer: Result<Answer, CommandError>,
    ) -> Result<Answer, CommandError> {
        let Some(Password { name, before, weakness, what_if }) = password else { return answer };
        let answer = answer.map(|answer| with_warning(answer, &name, weakness));
        let Some(before) = before else { return answer.map(|answer| with_line(answer, what_if)) };
        let answer = match answer {
            // The settings are the same: nobody has looked at the secrets.
            Ok(answer) if answer.revision.is_none() => {
                let renewed = invocation.amender.reloader().renew(&invocation.actor.name).await;
                renewed.map(|()| answer).map_err(|error| CommandError::Conflict(error.to_string()))
            }
            answer => answer,
        };
        if answer.is_err() {
            exchange(invocation, &name, before).await?;
        }
        answer
    }
}

/// Who allows a weak password is told what is wrong with it.
fn with_warning(mut answer: Answer, name: &str, weakness: Option<Weakness>) -> Answer {
    let said = |weakness| format!("the password of the user \"{name}\" is easy to guess: a good one {weakness}");
    answer.warnings.extend(weakness.map(said));
    answer
}

/// What would change, with a line more.
pub fn with_line(answer: Answer, line: Option<&str>) -> Answer {
    let (Some(told), Some(line)) = (&answer.what_if, line) else { return answer };
    let told = told.strip_suffix("Nothing would change.").map_or_else(|| format!("{told}\n"), str::to_owned);
    Answer { what_if: Some(told + line), ..answer }
}

/// Puts what is kept of a password into the secrets, or takes it from there; hands back what was there.
async fn exchange(invocation: &Invocation<'_>, name: &str, kept: Option<Kept>) -> Result<Option<Kept>, CommandError> {
    let name = name.to_owned();
    let edit = move |secrets: &mut Secrets| {
        let before = secrets.hash(&name).map(|hash| Kept { hash, is_weak: secrets.is_weak(&name) });
        match kept {
            Some(Kept { hash, is_weak }) => {
                secrets.set(&name, hash);
                if is_weak {
                    secrets.note_weak(&name);
                }
            }
            None => {
                secrets.remove(&name);
            }
        }
        Ok::<_, std::convert::Infallible>(before)
    };
    let changed = invocation.amender.reloader().accounts().change(edit).await;
    changed.map_err(|error: ChangeError<std::convert::Infallible>| CommandError::Failed(error.to_string()))
}

fn unexpected() -> CommandError {
    CommandError::Failed("that failed unexpectedly; the log has the cause".to_owned())
}
