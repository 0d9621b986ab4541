//! Receive connectors: Get-, New-, Set- and Remove-ReceiveConnector (fact sheet sections 1.1 to 1.9), and what becomes of
//! them: Get-ReceiveConnectorStatistics.

mod statistics;
mod plan;
mod parameters;
mod identity;
mod shape;

use std::sync::Arc;

use gatepost_policy::receive_connector::ReceiveConnector;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, FromPipeline, Kind, Parameter, Signature};

use super::amendment::{Plan, amend};
use super::parameter::{DOMAIN_CONTROLLER, FORCE, at, identity as which, named, needed};
use super::{Answer, CommandError, Entry, Invocation, server};
use crate::edit::{Edit, Target};
use crate::in_parts::{RECORDS_LEAST, in_parts};

pub use identity::{find, search};
pub use shape::{SHAPE, identity, span};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry { signature: &GET, role: Role::View, output: Some(&SHAPE), run: |invocation| Box::pin(get(invocation)) },
    Entry {
        signature: &NEW,
        role: Role::TransportAdmin,
        output: Some(&SHAPE),
        run: |invocation| Box::pin(new(invocation)),
    },
    Entry { signature: &SET, role: Role::TransportAdmin, output: None, run: |invocation| Box::pin(set(invocation)) },
    Entry {
        signature: &REMOVE,
        role: Role::TransportAdmin,
        output: None,
        run: |invocation| Box::pin(remove(invocation)),
    },
    Entry {
        signature: &statistics::GET,
        role: Role::View,
        output: Some(&statistics::SHAPE),
        run: |invocation| Box::pin(statistics::get(invocation)),
    },
];

static GET: Signature = Signature {
    name: "Get-ReceiveConnector",
    aliases: &[],
    synopsis: "Shows receive connectors: who is heard, where, under which rules.",
    parameters: &[
        Parameter {
            pipeline: FromPipeline::Object,
            ..at(
                0,
                named(
                    "Identity",
                    Kind::Identity,
                    "Which: a name, SERVER\\Name, or a name with wildcards; all without it.",
                ),
            )
        },
        named("Server", Kind::Identity, "Only those of this server, by its short or its whole name."),
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Get-ReceiveConnector", "Lists all of them."),
        ("Get-ReceiveConnector \"MX1\\Relay\" | Format-List", "Shows everything of one."),
        (
            "Get-ReceiveConnector | Where-Object { $_.PermissionGroups -like '*AnonymousUsers*' } | Format-List Identity,Bindings,RemoteIPRanges",
            "Shows where anonymous senders are heard.",
        ),
    ],
};

async fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let settings = &invocation.settings;
    let own = &settings.server.name;
    if let Some(name) = invocation.arguments.text("Server").filter(|name| !server::is_this(own, name)) {
        return Err(CommandError::NotFound(server::another(own, name)));
    }
    let found: Vec<Arc<ReceiveConnector>> = match invocation.arguments.get("Identity") {
        None => settings.receive_connectors.clone(),
        Some(identity) => search(settings, identity.as_str().unwrap_or_default())?.into_iter().cloned().collect(),
    };
    let (ages, own) = (invocation.ages().await?, own.clone());
    let listed = move || {
        let record =
            |connector: &Arc<ReceiveConnector>| shape::record(&own, connector, ages.of(plan::TABLE, &connector.name));
        let parts = in_parts(&found, RECORDS_LEAST, |part| part.iter().map(record).collect::<Vec<_>>());
        parts.into_iter().flatten().collect()
    };
    let failed = |_| CommandError::Failed("listing failed unexpectedly; the log has the cause".to_owned());
    Ok(Answer::of(tokio::task::spawn_blocking(listed).await.map_err(failed)?))
}

static NEW: Signature = Signature {
    name: "New-ReceiveConnector",
    aliases: &[],
    synopsis: "Makes a receive connector.",
    parameters: &parameters::NEW,
    changes: Changes::Unasked,
    examples: &[
        (
            "New-ReceiveConnector -Name Relay -Usage Custom -Bindings 0.0.0.0:25 -RemoteIPRanges 192.168.2.55,192.168.2.56",
            "A connector for two hosts, which nobody may use until groups or rights are given.",
        ),
        (
            "New-ReceiveConnector -Name Relay -Custom -Bindings 0.0.0.0:25 -RemoteIPRanges 10.1.0.0/24 -PermissionGroups ExchangeServers -AuthMechanism ExternalAuthoritative",
            "One whose hosts are trusted with everything that servers may do, relaying among it.",
        ),
    ],
};

async fn new(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let name = arguments.text("Name").unwrap_or_default();
    let mut answer = amend(invocation, &SHAPE, |settings| {
        let own = &settings.server.name;
        if let Some(other) = arguments.text("Server").filter(|name| !server::is_this(own, name)) {
            return Err(CommandError::NotFound(server::another(own, other)));
        }
        if settings.receive_connectors.iter().any(|known| known.name.to_lowercase() == name.to_lowercase()) {
            let error = format!("the receive connector \"{}\" already exists: choose another name, or change it by Set-ReceiveConnector", identity(own, name));
            return Err(CommandError::Conflict(error));
        }
        let insert =
            Edit::Insert { table: plan::TABLE.into(), keys: plan::keys_of_new(arguments)?, entries: Vec::new() };
        let title = format!("Creating the receive connector \"{}\"", identity(own, name));
        Ok(Plan { warnings: plan::idle_warnings(arguments), ..Plan::new(title, vec![insert]) })
    })
    .await?;
    if !invocation.is_what_if {
        let settings = invocation.settings_now().await?;
        let age = invocation.ages().await?.of(plan::TABLE, name);
        answer.output.push(shape::record(&settings.server.name, find(&settings, name)?, age));
    }
    Ok(answer)
}

static SET: Signature = Signature {
    name: "Set-ReceiveConnector",
    aliases: &[],
    synopsis: "Changes a receive connector; what is not named stays as it is.",
    parameters: &parameters::SET,
    changes: Changes::Unasked,
    examples: &[
        (
            "Set-ReceiveConnector \"MX1\\Relay\" -RemoteIPRanges @{Add=\"10.0.0.5\",\"10.0.1.0/24\"; Remove=\"10.0.0.9\"}",
            "Changes some of the ranges. A plain list would replace all of them.",
        ),
        (
            "Set-ReceiveConnector Relay -PermissionGroups ExchangeServers -AuthMechanism ExternalAuthoritative -WhatIf",
            "Shows who would gain which rights, and changes nothing.",
        ),
        (
            "Set-ReceiveConnector Relay -Banner \"220 relay.contoso.com ESMTP\" -MaxMessageSize 50MB",
            "Another greeting, and larger messages.",
        ),
    ],
};

async fn set(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    amend(invocation, &SHAPE, |settings| {
        let connector = find(settings, arguments.text("Identity").unwrap_or_default())?;
        let edits = plan::edits_of_set(connector, arguments)?;
        let title = format!("Setting the receive connector \"{}\"", identity(&settings.server.name, &connector.name));
        Ok(Plan { warnings: plan::idle_warnings(arguments), ..Plan::new(title, edits) })
    })
    .await
}

static REMOVE: Signature = Signature {
    name: "Remove-ReceiveConnector",
    aliases: &[],
    synopsis: "Removes a receive connector with its rights. Whom it heard falls to the next wider one.",
    parameters: &[needed(which("Which: a name or SERVER\\Name.")), DOMAIN_CONTROLLER, FORCE],
    changes: Changes::Asked,
    examples: &[
        ("Remove-ReceiveConnector Relay", "Asks first."),
        ("Remove-ReceiveConnector \"MX1\\Relay\" -Confirm:$false", "Does not ask."),
    ],
};

async fn remove(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    amend(invocation, &SHAPE, |settings| {
        let connector = find(settings, invocation.arguments.text("Identity").unwrap_or_default())?;
        let title = format!("Removing the receive connector \"{}\"", identity(&settings.server.name, &connector.name));
        Ok(Plan::new(title, vec![Edit::Remove(Target::named(plan::TABLE, &*connector.name))]))
    })
    .await
}
