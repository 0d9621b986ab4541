//! This server, as scripts look for servers before they loop over them: Get-ExchangeServer.

use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, Kind, Signature};
use gatepost_shell::convert::wildcard;
use gatepost_shell::value::View;

use super::parameter::{DOMAIN_CONTROLLER, identity, named};
use super::{Answer, CommandError, Entry, Invocation, server};
use crate::object::PropertyKind::{Bool, Flags, Identity, Text};
use crate::object::{Record, Shape, Usual, property};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[Entry {
    signature: &GET,
    role: Role::View,
    output: Some(&SHAPE),
    run: |invocation| Box::pin(std::future::ready(get(invocation))),
}];

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.Management.ExchangeServer",
    table: &["Name", "ServerRole", "AdminDisplayVersion"],
    identity: "Name",
};

/// Exchange of today has one role that takes mail and keeps it, and calls it by the first word; scripts of its first years ask
/// for the others.
const ROLES: &[&str] = &["Mailbox", "HubTransport", "FrontendTransport"];

/// The version of Exchange whose commands are spoken here: scripts go other ways for servers before 15.
const SPOKEN_VERSION: &str = "Version 15.2";

static SHAPE: Shape = Shape {
    name: "ExchangeServer",
    view: &VIEW,
    properties: &[
        property("Name", "name", Text, Usual::Null),
        property("Fqdn", "fqdn", Text, Usual::Null),
        property("ServerRole", "server_role", Flags(ROLES), Usual::Texts(ROLES)),
        property("IsHubTransportServer", "is_hub_transport_server", Bool, Usual::Bool(true)),
        property("IsFrontendTransportServer", "is_frontend_transport_server", Bool, Usual::Bool(true)),
        property("IsMailboxServer", "is_mailbox_server", Bool, Usual::Bool(true)),
        property("IsEdgeServer", "is_edge_server", Bool, Usual::Bool(false)),
        property("AdminDisplayVersion", "admin_display_version", Text, Usual::Null),
        property("Identity", "identity", Identity, Usual::Null),
    ],
};

static GET: Signature = Signature {
    name: "Get-ExchangeServer",
    aliases: &[],
    synopsis: "Shows this server, as scripts expect that loop over servers: each server knows itself alone.",
    parameters: &[
        identity("Which: the short or the whole name, or a name with wildcards."),
        named("Status", Kind::Switch, "Taken, and of no consequence: all is shown."),
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Get-ExchangeServer", "Shows its name, what it does, its version."),
        (
            "Get-ExchangeServer | ForEach-Object { Get-ReceiveConnector -Server $_.Name }",
            "Goes on in scripts for many servers.",
        ),
    ],
};

/// Whether the identity that was given is this server, or none was.
///
/// # Errors
/// [`CommandError::NotFound`] for the name of another one; a name with wildcards that fits nothing is no error.
pub fn is_meant(invocation: &Invocation<'_>) -> Result<bool, CommandError> {
    let own = &invocation.settings.server.name;
    let Some(wanted) = invocation.arguments.text("Identity") else { return Ok(true) };
    if wanted.contains(['*', '?']) {
        let fits = |name: &str| wildcard::matches(wanted.trim(), name, false);
        return Ok(fits(&server::short_name(own)) || fits(own.as_str()));
    }
    match server::is_this(own, wanted) {
        true => Ok(true),
        false => Err(CommandError::NotFound(server::another(own, wanted))),
    }
}

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    if !is_meant(invocation)? {
        return Ok(Answer::default());
    }
    let own = &invocation.settings.server.name;
    let short = server::short_name(own);
    let record = Record::of(&SHAPE)
        .with("Name", short.as_str())
        .with("Fqdn", own.as_str())
        .with("AdminDisplayVersion", format!("{SPOKEN_VERSION} (Gatepost {})", env!("CARGO_PKG_VERSION")))
        .with("Identity", short.as_str());
    Ok(Answer::of(vec![record]))
}
