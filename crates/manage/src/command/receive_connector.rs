//! Receive connectors: Get-, New-, Set- and Remove-ReceiveConnector (fact sheet sections 1.1 to 1.9).

mod identity;
mod shape;

use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, FromPipeline, Kind, Parameter, Signature};

use super::parameter::{DOMAIN_CONTROLLER, at, named};
use super::{Answer, CommandError, Entry, Invocation, server};

use identity::search;
pub use shape::SHAPE;

/// The commands of this noun.
pub static ENTRIES: &[Entry] =
    &[Entry { signature: &GET, role: Role::View, output: Some(&SHAPE), run: |invocation| Box::pin(get(invocation)) }];

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
    let found = match invocation.arguments.get("Identity") {
        None => settings.receive_connectors.iter().collect(),
        Some(identity) => search(settings, identity.as_str().unwrap_or_default())?,
    };
    Ok(Answer::of(found.into_iter().map(|connector| shape::record(own, connector)).collect()))
}
