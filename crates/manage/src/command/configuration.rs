//! The history of the settings and changes that belong together: revisions and transactions.

use gatepost_policy::note::instant;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, FromPipeline, Kind, Parameter, Signature};
use gatepost_shell::value::View;

use super::amendment::answer;
use super::parameter::{DOMAIN_CONTROLLER, FORCE, also, at, named, needed};
use super::{Answer, CommandError, Entry, Invocation, Within, receive_connector};
use crate::amend::Mode;
use crate::clock::now_ms;
use crate::history::{Origin, Revision};
use crate::line_difference::without_hashes;
use crate::object::PropertyKind::{Bool, Int, List, Text, Time};
use crate::object::{Record, Shape, Usual, property};
use crate::transaction::TransactionId;

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry { signature: &GET, role: Role::View, output: Some(&REVISION), run: |invocation| Box::pin(get(invocation)) },
    Entry {
        signature: &COMPARE,
        role: Role::View,
        output: Some(&DIFFERENCE),
        run: |invocation| Box::pin(compare(invocation)),
    },
    Entry {
        signature: &RESTORE,
        role: Role::TransportAdmin,
        output: None,
        run: |invocation| Box::pin(restore(invocation)),
    },
    Entry {
        signature: &START,
        role: Role::RecipientAdmin,
        output: Some(&TRANSACTION),
        run: |invocation| Box::pin(start(invocation)),
    },
    Entry {
        signature: &COMPLETE,
        role: Role::RecipientAdmin,
        output: None,
        run: |invocation| Box::pin(complete(invocation)),
    },
    Entry { signature: &UNDO, role: Role::RecipientAdmin, output: None, run: |invocation| Box::pin(undo(invocation)) },
];

/// Revisions that one answer lists, where the caller does not say.
const LISTED: usize = 100;
/// Revisions that one answer lists at most.
const LISTED_MAX: u64 = 10_000;

static REVISION_VIEW: View = View {
    type_name: "Gatepost.ConfigurationRevision",
    table: &["Revision", "Time", "Who", "Why"],
    identity: "Revision",
};

/// One revision of the settings.
static REVISION: Shape = Shape {
    name: "ConfigurationRevision",
    view: &REVISION_VIEW,
    properties: &[
        property("Revision", "revision", Int, Usual::Null),
        property("Time", "time", Time, Usual::Null),
        property("Who", "who", Text, Usual::Null),
        property("From", "from", Text, Usual::Null),
        property("Why", "why", Text, Usual::Null),
        property("What", "what", Text, Usual::Null),
        property("Origin", "origin", Text, Usual::Text("Amended")),
        property("InForce", "in_force", Bool, Usual::Bool(false)),
        property("Document", "document", Text, Usual::Null),
    ],
};

static GET: Signature = Signature {
    name: "Get-ConfigurationRevision",
    aliases: &[],
    synopsis: "Lists the revisions of the settings, the newest first: who changed them, when, from where, why.",
    parameters: &[
        Parameter {
            pipeline: FromPipeline::Property,
            ..also(&["Identity"], at(0, named("Revision", Kind::Int, "Only this one, with its document.")))
        },
        named("ResultSize", Kind::UnlimitedInt, "So many at most; 100 without it."),
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Get-ConfigurationRevision -ResultSize 10", "The last ten changes."),
        ("(Get-ConfigurationRevision 41).Document", "The whole document as it was."),
    ],
};

async fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let in_force = invocation.control.status().revision;
    let reloader = invocation.amender.reloader().clone();
    let (number, wanted) = (arguments.number("Revision"), arguments.get("ResultSize").cloned());
    if number.is_none() && arguments.get("Revision").is_some() {
        return Err(no_revision());
    }
    let read = move || -> Result<Vec<Record>, CommandError> {
        let history = reloader.history();
        if let Some(number) = number {
            let known = history.find(number, now_ms()).ok_or_else(no_revision)?;
            let text = history.text(number).map_err(|error| CommandError::Failed(error.to_string()))?;
            let text =
                text.map(|text| text.lines().map(without_hashes).map(|line| format!("{line}\n")).collect::<String>());
            return Ok(vec![record(known, in_force).with("Document", text)]);
        }
        let limit = match wanted.as_ref().map(serde_json::Value::as_u64) {
            None => LISTED,
            Some(limit) => usize::try_from(limit.unwrap_or(LISTED_MAX).min(LISTED_MAX)).unwrap_or(LISTED),
        };
        let newest = history.revisions(now_ms()).rev();
        Ok(newest.take(limit).map(|known| record(known, in_force)).collect())
    };
    let failed = |_| CommandError::Failed("reading the history failed unexpectedly; the log has the cause".to_owned());
    Ok(Answer::of(tokio::task::spawn_blocking(read).await.map_err(failed)??))
}

fn no_revision() -> CommandError {
    CommandError::NotFound("there is no such revision: Get-ConfigurationRevision lists those that are kept".to_owned())
}

fn record(revision: &Revision, in_force: u64) -> Record {
    Record::of(&REVISION)
        .with("Revision", revision.number)
        .with("Time", instant(revision.at_ms))
        .with("Who", revision.author.who.as_str())
        .with("From", revision.author.from.as_str())
        .with("Why", revision.reason())
        .with("What", revision.deed())
        .with("Origin", origin(revision.origin))
        .with("InForce", revision.number == in_force)
}

fn origin(origin: Origin) -> String {
    match origin {
        Origin::First => "First".to_owned(),
        Origin::Amended => "Amended".to_owned(),
        Origin::ByHand => "ByHand".to_owned(),
        Origin::Restored { number } => format!("Restored {number}"),
    }
}

static DIFFERENCE_VIEW: View =
    View { type_name: "Gatepost.ConfigurationDifference", table: &[], identity: "Difference" };

/// What two revisions have in common and what not.
static DIFFERENCE: Shape = Shape {
    name: "ConfigurationDifference",
    view: &DIFFERENCE_VIEW,
    properties: &[
        property("ReferenceRevision", "reference_revision", Int, Usual::Null),
        property("DifferenceRevision", "difference_revision", Int, Usual::Null),
        property("Difference", "difference", Text, Usual::Text("")),
        property("Exposure", "exposure", List(&Text), Usual::Texts(&[])),
    ],
};

static COMPARE: Signature = Signature {
    name: "Compare-Configuration",
    aliases: &[],
    synopsis: "Shows in which lines two revisions of the settings differ, and who gains or loses which right by that.",
    parameters: &[
        needed(also(&["Old"], at(0, named("ReferenceRevision", Kind::Int, "The older one.")))),
        also(&["New"], at(1, named("DifferenceRevision", Kind::Int, "The newer one; what is in force without it."))),
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Compare-Configuration 40", "What has changed since revision 40."),
        ("(Compare-Configuration 40 41).Exposure", "Who gained or lost what by revision 41."),
    ],
};

async fn compare(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let old = arguments.number("ReferenceRevision").ok_or_else(no_revision)?;
    let found = invocation.amender.compare(old, arguments.number("DifferenceRevision")).await?;
    let exposure: Vec<String> = found.changes.iter().map(super::amendment::told).collect();
    let record = Record::of(&DIFFERENCE)
        .with("ReferenceRevision", found.old)
        .with("DifferenceRevision", found.new)
        .with("Difference", found.difference)
        .with("Exposure", exposure);
    Ok(Answer::of(vec![record]))
}

static RESTORE: Signature = Signature {
    name: "Restore-ConfigurationRevision",
    aliases: &[],
    synopsis: "Puts the settings of an earlier revision in force again, as a new revision. Passwords stay as they are.",
    parameters: &[
        needed(Parameter {
            pipeline: FromPipeline::Property,
            ..also(&["Identity"], at(0, named("Revision", Kind::Int, "Which.")))
        }),
        named("Reason", Kind::Text, "Why, for the history."),
        FORCE,
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Asked,
    examples: &[
        ("Restore-ConfigurationRevision 40 -WhatIf", "Shows who would gain or lose which right."),
        ("Restore-ConfigurationRevision 40 -Reason \"CHG-1187 was a mistake\" -Confirm:$false", "Goes back."),
    ],
};

async fn restore(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let number = invocation.arguments.number("Revision").ok_or_else(no_revision)?;
    let why = invocation.arguments.text("Reason").or(invocation.reason.as_deref());
    let mode = invocation.mode()?;
    let amended = invocation.amender.restore(invocation.actor, why, &mode, number, invocation.base).await?;
    let title = format!("Restoring revision {number} of the settings");
    Ok(answer(invocation, &title, Vec::new(), amended, &receive_connector::SHAPE))
}

static TRANSACTION_VIEW: View =
    View { type_name: "Gatepost.Transaction", table: &["Transaction"], identity: "Transaction" };

/// Changes that are gathered.
static TRANSACTION: Shape = Shape {
    name: "Transaction",
    view: &TRANSACTION_VIEW,
    properties: &[property("Transaction", "transaction", Text, Usual::Null)],
};

static START: Signature = Signature {
    name: "Start-Transaction",
    aliases: &[],
    synopsis: "From now on changes of settings are gathered, and become one revision by Complete-Transaction, or nothing.",
    parameters: &[named("Reason", Kind::Text, "Why, for the history.")],
    changes: Changes::Unasked,
    examples: &[
        ("Start-Transaction -Reason \"CHG-1187\"", "What comes next is not in force yet."),
        (
            "Start-Transaction; Import-Csv new.csv | ForEach-Object { Set-ReceiveConnector $_.Name -RemoteIPRanges @{Add=$_.IP} -ErrorAction Stop }; Complete-Transaction",
            "All lines of a table, or none.",
        ),
    ],
};

async fn start(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    if let Some(Within::Transaction(open)) = &invocation.transaction {
        let error = format!("the transaction {open} is open: complete it by Complete-Transaction, or Undo-Transaction");
        return Err(CommandError::Conflict(error));
    }
    let why = invocation.arguments.text("Reason").or(invocation.reason.as_deref());
    if invocation.is_what_if {
        return Ok(Answer { what_if: Some("What if: Starting a transaction.".to_owned()), ..Answer::default() });
    }
    let id = invocation.amender.begin(invocation.actor, why).await?;
    Ok(Answer::of(vec![Record::of(&TRANSACTION).with("Transaction", id.to_string())]))
}

static COMPLETE: Signature = Signature {
    name: "Complete-Transaction",
    aliases: &[],
    synopsis: "Puts the gathered changes in force as one revision.",
    parameters: &[named("Transaction", Kind::Text, "Which; the open one of this shell without it.")],
    changes: Changes::Unasked,
    examples: &[
        ("Complete-Transaction -WhatIf", "Shows what all of them together would open and close."),
        ("Complete-Transaction", "Puts them in force."),
    ],
};

fn open_transaction(invocation: &Invocation<'_>) -> Result<TransactionId, CommandError> {
    let named = invocation.arguments.text("Transaction").map(TransactionId::named);
    let open = || match &invocation.transaction {
        Some(Within::Transaction(id)) => Some(id.clone()),
        _ => None,
    };
    named
        .or_else(open)
        .ok_or_else(|| CommandError::Wrong("no transaction is open: Start-Transaction begins one".to_owned()))
}

async fn complete(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let id = open_transaction(invocation)?;
    let mode = if invocation.is_what_if { Mode::WhatIf } else { Mode::Apply };
    let amended = invocation.amender.complete(invocation.actor, &id, &mode).await?;
    Ok(answer(invocation, "Completing the transaction", Vec::new(), amended, &receive_connector::SHAPE))
}

static UNDO: Signature = Signature {
    name: "Undo-Transaction",
    aliases: &[],
    synopsis: "Forgets the gathered changes.",
    parameters: &[named("Transaction", Kind::Text, "Which; the open one of this shell without it.")],
    changes: Changes::Unasked,
    examples: &[
        ("Undo-Transaction", "Nothing of it was ever in force."),
        (
            "try { .\\changes.ps1; Complete-Transaction } catch { Undo-Transaction; throw }",
            "A script, whole or not at all.",
        ),
    ],
};

async fn undo(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let id = open_transaction(invocation)?;
    if invocation.is_what_if {
        return Ok(Answer { what_if: Some("What if: Undoing the transaction.".to_owned()), ..Answer::default() });
    }
    invocation.amender.undo(invocation.actor, &id).await?;
    Ok(Answer::default())
}
