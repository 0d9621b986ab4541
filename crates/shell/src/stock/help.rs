//! Get-Help, Get-Command and aliases: what the session knows, from the data that describes it.

use std::fmt::Write;
use std::rc::Rc;

use crate::command::{Call, Changes, FromPipeline, Kind, Parameter, Signature};
use crate::context::{Context, Known, KnownKind, Stage, StockCommand};
use crate::convert::{self, wildcard};
use crate::fault::{Category, Fault, Severity};
use crate::format::Page;
use crate::value::{Object, Value, View};

use super::parameter::{ANY, SIGNATURE, TEXTS, at, named, needed, piped, switch};

static COMMAND: View = View {
    type_name: "System.Management.Automation.CmdletInfo",
    table: &["CommandType", "Name", "Version", "Source"],
    identity: "Name",
};
static ALIAS: View = View {
    type_name: "System.Management.Automation.AliasInfo",
    table: &["CommandType", "Name", "Definition"],
    identity: "Name",
};
static HELP: View = View { type_name: "HelpInfoShort", table: &["Name", "Category", "Synopsis"], identity: "Name" };

fn shown(known: &Known) -> Value {
    let (kind, definition) = match &known.kind {
        KnownKind::Command(_) => ("Cmdlet", String::new()),
        KnownKind::Function(block) => ("Function", block.source.slice(block.span).to_owned()),
        KnownKind::Alias(target) => ("Alias", target.clone()),
    };
    let parameters = match &known.kind {
        KnownKind::Command(signature) => {
            Value::table(signature.parameters.iter().map(|one| (Value::text(one.name), Value::text(one.help))))
        }
        _ => Value::table([]),
    };
    let properties = vec![
        ("CommandType".into(), Value::text(kind)),
        ("Name".into(), Value::text(&known.name)),
        ("Version".into(), Value::text("")),
        ("Source".into(), Value::text("")),
        ("ModuleName".into(), Value::text("")),
        ("Definition".into(), Value::text(definition)),
        ("Parameters".into(), parameters),
    ];
    let view = if kind == "Alias" { &ALIAS } else { &COMMAND };
    Value::Object(Rc::new(Object::new(view, properties)))
}

fn not_found(name: &str) -> Fault {
    let mut fault = Fault::new(
        Category::CommandNotFound,
        format!(
            "The term '{name}' is not recognized as the name of a cmdlet, function, script file, or operable program. \
             Check the spelling of the name, or if a path was included, verify that the path is correct and try again."
        ),
    )
    .with_severity(Severity::Continuing);
    fault.exception = "System.Management.Automation.CommandNotFoundException";
    fault.target = Some(name.to_owned());
    fault
}

/// Get-Command.
pub(super) const GET_COMMAND: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Command",
        synopsis: "Tells of commands, functions and aliases.",
        parameters: &[
            piped(at(0, "Name", TEXTS, "Names and wildcards; all commands without.")),
            named("Noun", TEXTS, "Of these nouns."),
            named("Verb", TEXTS, "Of these verbs."),
            named("CommandType", TEXTS, "Cmdlet, Function or Alias."),
            named("Module", TEXTS, "Taken, and of no consequence."),
            named("ParameterName", TEXTS, "With parameters of these names."),
            named("TotalCount", Kind::Int, "Only so many."),
            switch("All", "Taken, and of no consequence."),
            switch("ListImported", "Taken, and of no consequence."),
            switch("Syntax", "How they are written."),
        ],
        examples: &[("Get-Command *-ReceiveConnector", "The commands for receive connectors.")],
        ..SIGNATURE
    },
    make: || Box::new(GetCommand),
};

struct GetCommand;

impl Stage for GetCommand {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let texts = |name: &str| -> Vec<String> {
            convert::elements(call.argument(name).unwrap_or(&Value::Null)).iter().map(convert::text).collect()
        };
        let (names, nouns, verbs, kinds) = (texts("Name"), texts("Noun"), texts("Verb"), texts("CommandType"));
        let mut found: Vec<Known> = Vec::new();
        let patterns: Vec<&String> = names.iter().filter(|name| wildcard::is_pattern(name)).collect();
        for name in names.iter().filter(|name| !wildcard::is_pattern(name)) {
            match context.known_command(name) {
                Some(known) => found.push(known),
                None => context.error(not_found(name))?,
            }
        }
        if names.is_empty() || !patterns.is_empty() {
            let fits = |patterns: &[String], text: &str| {
                patterns.is_empty() || patterns.iter().any(|pattern| wildcard::matches(pattern, text, false))
            };
            found.extend(context.known_commands().into_iter().filter(|known| {
                let (verb, noun) = known.name.split_once('-').unwrap_or((&known.name, ""));
                let is_alias = matches!(known.kind, KnownKind::Alias(_));
                (names.is_empty() && !is_alias
                    || patterns.iter().any(|pattern| wildcard::matches(pattern, &known.name, false)))
                    && fits(&nouns, noun)
                    && fits(&verbs, verb)
            }));
        }
        let most = match call.argument("TotalCount") {
            Some(count) => usize::try_from(convert::integer(count)?).unwrap_or(0),
            None => usize::MAX,
        };
        let wanted_parameters = texts("ParameterName");
        for known in found.into_iter().take(most) {
            let kind = match &known.kind {
                KnownKind::Command(_) => "Cmdlet",
                KnownKind::Function(_) => "Function",
                KnownKind::Alias(_) => "Alias",
            };
            if !kinds.is_empty()
                && !kinds.iter().any(|wanted| wanted.eq_ignore_ascii_case(kind) || wanted.eq_ignore_ascii_case("All"))
            {
                continue;
            }
            if let (false, KnownKind::Command(signature)) = (wanted_parameters.is_empty(), &known.kind)
                && !signature
                    .parameters
                    .iter()
                    .any(|one| wanted_parameters.iter().any(|pattern| wildcard::matches(pattern, one.name, false)))
            {
                continue;
            }
            match (&known.kind, call.is_set("Syntax")) {
                (KnownKind::Command(signature), true) => context.value(Value::text(syntax(signature)))?,
                _ => context.value(shown(&known))?,
            }
        }
        Ok(())
    }
}

/// How a command is written: parameters that may be left out in brackets.
fn syntax(signature: &Signature) -> String {
    let mut parameters: Vec<&Parameter> = signature.parameters.iter().collect();
    parameters.sort_by_key(|one| (one.position.is_none(), one.position, !one.is_mandatory));
    let mut text = signature.name.to_owned();
    for one in parameters {
        let name = if one.position.is_some() { format!("[-{}]", one.name) } else { format!("-{}", one.name) };
        let whole = match one.kind {
            Kind::Switch => name,
            kind => format!("{name} <{}>", kind_name(&kind)),
        };
        let _ = write!(text, " {}", if one.is_mandatory { whole } else { format!("[{whole}]") });
    }
    if signature.changes != Changes::Nothing {
        text += " [-WhatIf] [-Confirm]";
    }
    text + " [<CommonParameters>]"
}

/// A syntax line in lines of so many columns, folded between parameters.
fn folded(line: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut last = String::new();
    for (at, part) in line.split(" [").enumerate() {
        let part = if at == 0 { part.to_owned() } else { format!("[{part}") };
        if !last.is_empty() && last.chars().count() + 1 + part.chars().count() > columns {
            lines.push(std::mem::replace(&mut last, format!("    {part}")));
        } else {
            if !last.is_empty() {
                last.push(' ');
            }
            last += &part;
        }
    }
    lines.push(last);
    lines
}

fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Switch => "switch".to_owned(),
        Kind::Bool => "$true|$false".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::OneOf(names) => names.join("|"),
        Kind::Flags(names) => names.join(","),
        Kind::Int => "number".to_owned(),
        Kind::UnlimitedInt => "number|unlimited".to_owned(),
        Kind::Size => "size".to_owned(),
        Kind::Span => "time span".to_owned(),
        Kind::Time => "time".to_owned(),
        Kind::Identity => "identity".to_owned(),
        Kind::Secret => "secret".to_owned(),
        Kind::Credential => "credential".to_owned(),
        Kind::Block => "script block".to_owned(),
        Kind::Table => "hashtable".to_owned(),
        Kind::Any | Kind::Ignored => "object".to_owned(),
        Kind::List(inner) | Kind::Rest(inner) => format!("{}[]", kind_name(inner)),
        Kind::MultiValued(inner) => format!("{}[]|@{{Add=...;Remove=...}}", kind_name(inner)),
    }
}

/// Get-Help.
pub(super) const GET_HELP: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Help",
        synopsis: "Tells what a command does, which parameters it has, and shows examples.",
        parameters: &[
            piped(at(0, "Name", Kind::Text, "A command, or a wildcard.")),
            switch("Full", "With all that is known of the parameters."),
            switch("Detailed", "With the parameters."),
            switch("Examples", "The examples alone."),
            named("Parameter", TEXTS, "These parameters alone."),
            named("Category", TEXTS, "Taken, and of no consequence."),
            switch("Online", "Taken, and of no consequence."),
            switch("ShowWindow", "Taken, and of no consequence."),
        ],
        examples: &[("Get-Help Set-ReceiveConnector -Examples", "Examples of one command.")],
        ..SIGNATURE
    },
    make: || Box::new(GetHelp),
};

struct GetHelp;

impl Stage for GetHelp {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let Some(name) = call.argument("Name").map(convert::text).filter(|name| !name.is_empty()) else {
            return context.value(Value::text(
                "Get-Help NAME tells of one command, Get-Help *-ReceiveConnector of those that fit,\n\
                 Get-Command lists all of them. Get-Help NAME -Examples shows how they are used.",
            ));
        };
        let mut known = context.known_command(&name);
        // What an alias leads to; a few steps only, in case one leads to itself.
        for _ in 0..8 {
            let Some(Known { kind: KnownKind::Alias(target), .. }) = &known else { break };
            known = context.known_command(&target.clone());
        }
        match known {
            Some(Known { kind: KnownKind::Command(signature), .. }) => {
                let columns = context.world().width();
                context.value(Page::Lines(page(signature, call, columns)).value())
            }
            Some(Known { name, kind: KnownKind::Function(block) }) => {
                let parameters: Vec<String> =
                    block.parameters.iter().map(|parameter| format!("[-{}]", parameter.name)).collect();
                let lines = vec![
                    "NAME".to_owned(),
                    format!("    {name}"),
                    String::new(),
                    "SYNTAX".to_owned(),
                    format!("    {name} {}", parameters.join(" ")),
                ];
                context.value(Page::Lines(lines).value())
            }
            _ => {
                let pattern = if wildcard::is_pattern(&name) { name.clone() } else { format!("*{name}*") };
                let mut is_found = false;
                for known in context.known_commands() {
                    let KnownKind::Command(signature) = known.kind else { continue };
                    if wildcard::matches(&pattern, signature.name, false) {
                        is_found = true;
                        let properties = vec![
                            ("Name".into(), Value::text(signature.name)),
                            ("Category".into(), Value::text("Cmdlet")),
                            ("Synopsis".into(), Value::text(signature.synopsis)),
                        ];
                        context.value(Value::Object(Rc::new(Object::new(&HELP, properties))))?;
                    }
                }
                if is_found {
                    return Ok(());
                }
                let names = context.known_commands();
                let near = convert::nearest(&name, names.iter().map(|known| known.name.as_str()));
                let near = near.map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
                Err(Fault::new(
                    Category::ObjectNotFound,
                    format!("Get-Help could not find {name} in a help file in this session.{near}"),
                )
                .with_severity(Severity::Continuing))
            }
        }
    }
}

fn page(signature: &Signature, call: &Call<'_>, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut section = |title: &str, body: Vec<String>| {
        lines.push(title.to_owned());
        lines.extend(body.into_iter().map(|line| if line.is_empty() { line } else { format!("    {line}") }));
        lines.push(String::new());
    };
    let wanted = call.argument("Parameter").map(convert::elements).unwrap_or_default();
    if !wanted.is_empty() {
        let chosen = signature
            .parameters
            .iter()
            .filter(|one| wanted.iter().any(|pattern| wildcard::matches(&convert::text(pattern), one.name, false)));
        section("PARAMETERS", chosen.flat_map(described).collect());
        return lines;
    }
    section("NAME", vec![signature.name.to_owned()]);
    if !call.is_set("Examples") {
        section("SYNOPSIS", vec![signature.synopsis.to_owned()]);
        section("SYNTAX", folded(&syntax(signature), columns.saturating_sub(4)));
        if !signature.aliases.is_empty() {
            section("ALIASES", vec![signature.aliases.join(", ")]);
        }
        let parameters = signature.parameters.iter().flat_map(|one| {
            if call.is_set("Full") || call.is_set("Detailed") {
                described(one)
            } else {
                vec![format!("-{:<36} {}", one.name, one.help)]
            }
        });
        section("PARAMETERS", parameters.collect());
    }
    let examples =
        signature.examples.iter().flat_map(|(line, does)| [format!("PS> {line}"), (*does).to_owned(), String::new()]);
    let examples: Vec<String> = examples.collect();
    if !examples.is_empty() {
        section("EXAMPLES", examples);
    }
    lines
}

fn described(one: &Parameter) -> Vec<String> {
    let pipeline = match one.pipeline {
        FromPipeline::No => "no",
        FromPipeline::Object => "the object, or its property of that name",
        FromPipeline::Property => "the object's property of that name",
    };
    let mut lines = vec![
        format!("-{} <{}>", one.name, kind_name(&one.kind)),
        format!("    {}", one.help),
        format!("    Required? {}", one.is_mandatory),
        format!("    Position? {}", one.position.map_or_else(|| "named".to_owned(), |at| at.to_string())),
        format!("    Pipeline? {pipeline}"),
    ];
    if !one.aliases.is_empty() {
        lines.push(format!("    Aliases? {}", one.aliases.join(", ")));
    }
    lines.push(String::new());
    lines
}

/// Get-Alias.
pub(super) const GET_ALIAS: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Alias",
        synopsis: "Tells of aliases.",
        parameters: &[
            at(0, "Name", TEXTS, "Names and wildcards; all without."),
            named("Definition", TEXTS, "Those that lead to these commands."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(GetAlias),
};

struct GetAlias;

impl Stage for GetAlias {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let fits = |key: &str, text: &str| match call.argument(key) {
            Some(patterns) => convert::elements(patterns)
                .iter()
                .any(|pattern| wildcard::matches(&convert::text(pattern), text, false)),
            None => true,
        };
        let mut is_found = false;
        for known in context.known_commands() {
            let KnownKind::Alias(target) = &known.kind else { continue };
            if fits("Name", &known.name) && fits("Definition", target) {
                is_found = true;
                context.value(shown(&known))?;
            }
        }
        match call.argument("Name").map(convert::text) {
            Some(name) if !is_found && !wildcard::is_pattern(&name) => {
                let mut fault = Fault::new(
                    Category::ObjectNotFound,
                    format!(
                        "This command cannot find a matching alias because an alias with the name '{name}' does not exist."
                    ),
                );
                fault.target = Some(name);
                context.error(fault.with_severity(Severity::Continuing))
            }
            _ => Ok(()),
        }
    }
}

const NAME: Parameter = needed(at(0, "Name", Kind::Text, "The alias."));
const VALUE: Parameter = needed(at(1, "Value", Kind::Text, "The command that it leads to."));
const SCOPE: Parameter = named("Scope", ANY, "Taken, and of no consequence.");
const OPTION: Parameter = named("Option", ANY, "Taken, and of no consequence.");
const DESCRIPTION: Parameter = named("Description", ANY, "Taken, and of no consequence.");
const FORCE: Parameter = switch("Force", "Taken, and of no consequence.");
const PASS_THRU: Parameter = switch("PassThru", "Taken, and of no consequence.");

/// Set-Alias.
pub(super) const SET_ALIAS: StockCommand = StockCommand {
    signature: &Signature {
        name: "Set-Alias",
        synopsis: "Makes another name for a command.",
        parameters: &[NAME, VALUE, SCOPE, OPTION, DESCRIPTION, FORCE, PASS_THRU],
        ..SIGNATURE
    },
    make: || Box::new(SetAlias),
};

/// New-Alias.
pub(super) const NEW_ALIAS: StockCommand = StockCommand {
    signature: &Signature {
        name: "New-Alias",
        synopsis: "Makes another name for a command.",
        parameters: &[NAME, VALUE, SCOPE, OPTION, DESCRIPTION, FORCE, PASS_THRU],
        ..SIGNATURE
    },
    make: || Box::new(SetAlias),
};

struct SetAlias;

impl Stage for SetAlias {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let text = |name: &str| call.argument(name).map(convert::text).unwrap_or_default();
        context.set_alias(&text("Name"), &text("Value"));
        Ok(())
    }
}
