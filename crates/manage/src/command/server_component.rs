//! Whether this server takes mail, as monitoring scripts ask Exchange: Get-ServerComponentState, Test-ServiceHealth.

use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, Kind, Signature};
use gatepost_shell::value::View;

use super::exchange_server::is_meant;
use super::parameter::{DOMAIN_CONTROLLER, also, identity, named};
use super::{Answer, CommandError, Entry, Invocation, server};
use crate::object::PropertyKind::{Bool, Choice, Identity, List, Text};
use crate::object::{Record, Shape, Usual, property};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[
    Entry {
        signature: &GET,
        role: Role::View,
        output: Some(&COMPONENT),
        run: |invocation| Box::pin(std::future::ready(get(invocation))),
    },
    Entry {
        signature: &TEST,
        role: Role::View,
        output: Some(&HEALTH),
        run: |invocation| Box::pin(std::future::ready(test(invocation))),
    },
];

static COMPONENT_VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.Management.ServerComponentState",
    table: &["Server", "Component", "State"],
    identity: "Component",
};

/// Those of Exchange's components that are here: one service is all of them.
const COMPONENTS: &[&str] = &["ServerWideOffline", "FrontendTransport", "HubTransport"];
const STATES: &[&str] = &["Active", "Inactive"];

static COMPONENT: Shape = Shape {
    name: "ServerComponentState",
    view: &COMPONENT_VIEW,
    properties: &[
        property("Server", "server", Text, Usual::Null),
        property("Component", "component", Choice(COMPONENTS), Usual::Null),
        property("State", "state", Choice(STATES), Usual::Text("Active")),
        property("Obstacles", "obstacles", List(&Text), Usual::Texts(&[])),
        property("Identity", "identity", Identity, Usual::Null),
    ],
};

static GET: Signature = Signature {
    name: "Get-ServerComponentState",
    aliases: &[],
    synopsis: "Says whether this server takes mail now, and if not, why.",
    parameters: &[
        identity("Which server: the short or the whole name of this one."),
        named("Component", Kind::OneOf(COMPONENTS), "Only this one: all have the same state here."),
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Get-ServerComponentState MX1", "Says whether it takes mail."),
        (
            "Get-ServerComponentState MX1 -Component HubTransport | Where-Object { $_.State -ne 'Active' } | Format-List",
            "Says why not.",
        ),
    ],
};

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    if !is_meant(invocation)? {
        return Ok(Answer::default());
    }
    let health = invocation.control.health();
    let why: Vec<String> = health.faults.into_iter().chain(health.obstacles).collect();
    let state = if why.is_empty() { "Active" } else { "Inactive" };
    let server = server::short_name(&invocation.settings.server.name);
    let wanted = invocation.arguments.text("Component");
    let components = COMPONENTS.iter().filter(|component| wanted.is_none_or(|wanted| wanted == **component));
    let record = |component: &&str| {
        Record::of(&COMPONENT)
            .with("Server", server.as_str())
            .with("Component", *component)
            .with("State", state)
            .with("Obstacles", why.clone())
            .with("Identity", *component)
    };
    Ok(Answer::of(components.map(record).collect()))
}

static HEALTH_VIEW: View = View {
    type_name: "Microsoft.Exchange.Management.SystemConfigurationTasks.ServiceHealth",
    table: &["Role", "RequiredServicesRunning", "ServicesRunning", "ServicesNotRunning"],
    identity: "Role",
};

static HEALTH: Shape = Shape {
    name: "ServiceHealth",
    view: &HEALTH_VIEW,
    properties: &[
        property("Role", "role", Text, Usual::Null),
        property("RequiredServicesRunning", "required_services_running", Bool, Usual::Bool(true)),
        property("ServicesRunning", "services_running", List(&Text), Usual::Texts(&["gatepost"])),
        property("ServicesNotRunning", "services_not_running", List(&Text), Usual::Texts(&[])),
    ],
};

static TEST: Signature = Signature {
    name: "Test-ServiceHealth",
    aliases: &[],
    synopsis: "Says whether the one service runs: it answers, so it does. Get-ServerComponentState says whether it takes mail.",
    parameters: &[
        also(&["Server"], identity("Which server: the short or the whole name of this one.")),
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Test-ServiceHealth", "Says whether it runs."),
        ("(Test-ServiceHealth).RequiredServicesRunning -contains $false", "As monitoring scripts ask."),
    ],
};

fn test(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    match is_meant(invocation)? {
        true => Ok(Answer::of(vec![Record::of(&HEALTH).with("Role", "Hub Transport Server Role")])),
        false => Ok(Answer::default()),
    }
}
