//! Send connectors: Get-, New-, Set- and Remove-SendConnector (fact sheet section 4.4).

mod form;
mod plan;
mod password;
mod parameters;
mod shape;

use std::sync::Arc;

use gatepost_policy::Settings;
use gatepost_policy::role::Role;
use gatepost_policy::send_connector::SendConnector;
use gatepost_shell::command::{Changes, Signature};
use serde_json::Value as Json;

use super::amendment::{Plan, amend};
use super::by_name::{find, search};
use super::parameter::{DOMAIN_CONTROLLER, FORCE, identity, needed};
use super::{Answer, CommandError, Entry, Invocation, server, waiting};
use crate::edit::{Edit, Target};
use crate::object::Record;
use crate::smart_host_passwords::kept_for;
pub use form::FORM;
use password::Password;
use shape::SHAPE;

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
];

const WHAT: &str = "send connector";

fn name(connector: &Arc<SendConnector>) -> String {
    connector.name.to_string()
}

static GET: Signature = Signature {
    name: "Get-SendConnector",
    aliases: &[],
    synopsis: "Shows send connectors: by which way mail leaves, for which domains, under which rules.",
    parameters: &[identity("Which: a name, or a name with wildcards; all without it."), DOMAIN_CONTROLLER],
    changes: Changes::Nothing,
    examples: &[
        ("Get-SendConnector", "Lists all of them."),
        (
            "Get-SendConnector | Format-List Name,AddressSpaces,SmartHosts,RequireTLS",
            "Shows where mail goes, and whether in TLS.",
        ),
    ],
};

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let settings = &invocation.settings;
    let found = search(settings.send_connectors.iter(), name, invocation.arguments.text("Identity"), WHAT)?;
    Ok(Answer::listing(invocation, &found, |connector| record(settings, connector)))
}

fn record(settings: &Settings, connector: &SendConnector) -> Record {
    shape::record(&server::short_name(&settings.server.name), connector)
}

static NEW: Signature = Signature {
    name: "New-SendConnector",
    aliases: &[],
    synopsis: "Makes a send connector: a way out for mail to some domains, by the DNS or by smart hosts.",
    parameters: &parameters::NEW,
    changes: Changes::Unasked,
    examples: &[
        (
            "New-SendConnector -Name Internet -AddressSpaces \"SMTP:*;1\" -Usage Internet",
            "Everything that has no closer way leaves by the DNS.",
        ),
        (
            "New-SendConnector Provider -AddressSpaces * -SmartHosts smtp.example.net -Port 587 -SmartHostAuthMechanism BasicAuthRequireTLS -AuthenticationCredential (Get-Credential)",
            "Everything leaves by a provider, which wants a name and a password.",
        ),
        (
            "New-SendConnector Partner -AddressSpaces fabrikam.com -SmartHosts 10.2.0.25 -RequireTLS $true -WhatIf",
            "Only shows whether that can be.",
        ),
    ],
};

async fn new(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let wanted = arguments.text("Name").unwrap_or_default();
    let password = Password::begin(invocation, None).await?;
    let answer = amend(invocation, &SHAPE, |settings| {
        if settings.send_connector(wanted).is_some() {
            let error = format!(
                "the send connector \"{wanted}\" already exists: choose another name, or change it by Set-SendConnector"
            );
            return Err(CommandError::Conflict(error));
        }
        let keys = plan::keys_of_new(settings, arguments, &password)?;
        let insert = Edit::Insert { table: plan::TABLE.into(), keys, entries: Vec::new() };
        Ok(Plan::new(format!("Creating the send connector \"{wanted}\""), vec![insert]))
    })
    .await;
    let mut answer = password.end(invocation, answer).await?;
    if !invocation.is_what_if {
        let settings = invocation.settings_now().await?;
        answer.output.push(record(&settings, find(settings.send_connectors.iter(), name, wanted, WHAT)?));
    }
    Ok(answer)
}

static SET: Signature = Signature {
    name: "Set-SendConnector",
    aliases: &[],
    synopsis: "Changes a send connector; what is not named stays as it is.",
    parameters: &parameters::SET,
    changes: Changes::Unasked,
    examples: &[
        (
            "Set-SendConnector Internet -SmartHosts @{Add=\"[10.0.0.26]\"} -ProtocolLoggingLevel Verbose",
            "One smart host more, and transcripts.",
        ),
        ("Get-SendConnector | Set-SendConnector -MaxMessageSize 25MB", "Smaller messages by all of them."),
        ("Set-SendConnector Internet -SmartHosts $null -DNSRoutingEnabled $true", "By the DNS instead of smart hosts."),
    ],
};

async fn set(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let arguments = &invocation.arguments;
    let wanted = arguments.text("Identity").unwrap_or_default();
    let connector = find(invocation.settings.send_connectors.iter(), name, wanted, WHAT)?;
    let is_disabled = connector.enabled && arguments.get("Enabled") == Some(&Json::Bool(false));
    let waiting = is_disabled.then(|| waiting::for_connector(invocation, connector)).flatten();
    let password = Password::begin(invocation, Some(connector)).await?;
    let answer = amend(invocation, &SHAPE, |settings| {
        let connector = find(settings.send_connectors.iter(), name, wanted, WHAT)?;
        let edits = plan::edits_of_set(settings, connector, arguments, &password)?;
        Ok(Plan::new(format!("Setting the send connector \"{}\"", connector.name), edits))
    })
    .await;
    let answer = password.end(invocation, answer).await?;
    Ok(answer.with_notes(waiting.into_iter().collect()))
}

static REMOVE: Signature = Signature {
    name: "Remove-SendConnector",
    aliases: &[],
    synopsis: "Removes a send connector. Mail that waits for it takes another way, or waits until there is one.",
    parameters: &[needed(identity("Which: a name.")), DOMAIN_CONTROLLER, FORCE],
    changes: Changes::Asked,
    examples: &[
        ("Remove-SendConnector Partner", "Asks first."),
        (
            "Get-SendConnector | Where-Object { -not $_.Enabled } | Remove-SendConnector -Confirm:$false",
            "Removes those that are not in use, without asking.",
        ),
    ],
};

async fn remove(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let wanted = invocation.arguments.text("Identity").unwrap_or_default();
    let connector = find(invocation.settings.send_connectors.iter(), name, wanted, WHAT)?;
    let notes = [waiting::for_connector(invocation, connector), kept_password(invocation, connector)];
    let answer = amend(invocation, &SHAPE, |settings| {
        let connector = find(settings.send_connectors.iter(), name, wanted, WHAT)?;
        let target = Target::named(plan::TABLE, &*connector.name);
        Ok(Plan::new(format!("Removing the send connector \"{}\"", connector.name), vec![Edit::Remove(target)]))
    })
    .await;
    let answer = Password::Cleared.end(invocation, answer).await?;
    Ok(answer.with_notes(notes.into_iter().flatten().collect()))
}

/// What is said of the password of a connector that goes.
fn kept_password(invocation: &Invocation<'_>, connector: &SendConnector) -> Option<String> {
    let file = kept_for(connector, &invocation.settings.server.data_dir)?;
    Some(format!(
        "Its password stays in {}: revisions of the settings that are kept name that file, and it goes with the last of them.",
        file.display()
    ))
}
