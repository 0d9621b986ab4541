//! The service, as scripts look for it under Exchange's names before they begin: Get-Service.

use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, FromPipeline, Kind, Parameter, Signature};
use gatepost_shell::convert::wildcard;
use gatepost_shell::value::View;

use super::parameter::{also, at, named};
use super::{Answer, CommandError, Entry, Invocation};
use crate::object::PropertyKind::{Choice, Identity, Text};
use crate::object::{Record, Shape, Usual, property};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[Entry {
    signature: &GET,
    role: Role::View,
    output: Some(&SHAPE),
    run: |invocation| Box::pin(std::future::ready(get(invocation))),
}];

static VIEW: View = View {
    type_name: "System.ServiceProcess.ServiceController",
    table: &["Status", "Name", "DisplayName"],
    identity: "Name",
};

/// The one service, by its own name and by those of the services of Exchange whose work it does.
const NAMES: &[(&str, &str)] = &[
    ("gatepost", "Gatepost"),
    ("MSExchangeFrontEndTransport", "Microsoft Exchange Frontend Transport (Gatepost)"),
    ("MSExchangeTransport", "Microsoft Exchange Transport (Gatepost)"),
];

const STATES: &[&str] = &["Running", "Stopped"];

static SHAPE: Shape = Shape {
    name: "Service",
    view: &VIEW,
    properties: &[
        property("Name", "name", Text, Usual::Null),
        property("DisplayName", "display_name", Text, Usual::Null),
        property("ServiceName", "service_name", Text, Usual::Null),
        property("Status", "status", Choice(STATES), Usual::Text("Running")),
        property("StartType", "start_type", Text, Usual::Text("Automatic")),
        property("MachineName", "machine_name", Text, Usual::Text(".")),
        property("Identity", "identity", Identity, Usual::Null),
    ],
};

static GET: Signature = Signature {
    name: "Get-Service",
    aliases: &["gsv"],
    synopsis: "Says that the service runs, under the names that scripts of Exchange ask for: it answers, so it does. \
               Get-ServerComponentState says whether it takes mail. Other services of a machine are not known here.",
    parameters: &[
        also(
            &["ServiceName"],
            Parameter {
                pipeline: FromPipeline::Object,
                ..at(0, named("Name", Kind::List(&Kind::Text), "Which: names, or patterns with wildcards."))
            },
        ),
        named("DisplayName", Kind::List(&Kind::Text), "Which, by what they are called for people."),
        also(
            &["Cn"],
            named("ComputerName", Kind::List(&Kind::Text), "Taken and ignored: each server knows itself alone."),
        ),
    ],
    changes: Changes::Nothing,
    examples: &[
        ("Get-Service MSExchangeTransport", "Says that it runs."),
        ("if ((Get-Service MSExchangeTransport).Status -ne 'Running') { exit 2 }", "As scripts begin."),
    ],
};

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let names = invocation.arguments.texts("Name");
    let titles = invocation.arguments.texts("DisplayName");
    for name in names.iter().flatten() {
        let is_known = NAMES.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if !is_known && !name.contains(['*', '?']) {
            let name: String = name.chars().take(80).collect();
            return Err(CommandError::NotFound(format!(
                "Cannot find any service with service name '{}': only Gatepost's own is known here, also as {}.",
                name.escape_debug(),
                NAMES[1..].iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and ")
            )));
        }
    }
    let fits = |wanted: &Option<Vec<&str>>, own: &str| {
        wanted.as_ref().is_none_or(|wanted| wanted.iter().any(|pattern| wildcard::matches(pattern, own, false)))
    };
    let meant = NAMES.iter().filter(|(name, title)| fits(&names, name) && fits(&titles, title));
    let record = |(name, title): &(&str, &str)| {
        Record::of(&SHAPE)
            .with("Name", *name)
            .with("DisplayName", *title)
            .with("ServiceName", *name)
            .with("Identity", *name)
    };
    Ok(Answer::of(meant.map(record).collect()))
}
