//! The fields of a form, as they follow from the parameters of a command.
//!
//! A form that changes an object carries what each field said at first: only what differs is sent, so that two who change
//! different things at the same time do not undo each other.

use gatepost_manage::command::{Entry, Kind};
use serde_json::{Map, Value};

use crate::fields::Fields;

/// Parameters that are for the shell, not for a form.
const NOT_ASKED: [&str; 8] =
    ["Identity", "DomainController", "Force", "Confirm", "WhatIf", "Server", "ResultSize", "IgnoreDefaultScope"];

/// One field.
#[derive(Clone, Debug)]
pub struct Control {
    /// The parameter's name.
    pub name: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// How it is filled in: `text`, `number`, `lines`, `choice`, `boxes`, `truth`, `switch`, `secret`.
    pub form: &'static str,
    /// How values are written.
    pub hint: &'static str,
    /// What stands in it.
    pub value: String,
    /// What stood in it at first.
    pub was: String,
    /// What there is to choose from, and whether it is chosen.
    pub choices: Vec<(&'static str, bool)>,
    /// Whether it has to be filled in.
    pub is_mandatory: bool,
    /// What is wrong with it.
    pub problem: Option<String>,
    kind: Kind,
}

/// The fields of a command; `record` is the object that it changes.
pub fn controls(entry: &Entry, record: Option<&Map<String, Value>>) -> Vec<Control> {
    let parameters = entry.signature.parameters.iter().filter(|parameter| !NOT_ASKED.contains(&parameter.name));
    let controls = parameters.filter_map(|parameter| {
        let (form, hint, choices) = form(parameter.kind)?;
        let was = record.and_then(|record| record.get(parameter.name)).map(|value| text(parameter.kind, value));
        let was = was.unwrap_or_default();
        let mut control = Control {
            name: parameter.name,
            help: parameter.help,
            form,
            hint,
            value: was.clone(),
            was,
            choices: choices.iter().map(|choice| (*choice, false)).collect(),
            is_mandatory: parameter.is_mandatory,
            problem: None,
            kind: parameter.kind,
        };
        control.choose();
        Some(control)
    });
    controls.collect()
}

/// How values of a kind are filled in; none: not by a form.
fn form(kind: Kind) -> Option<(&'static str, &'static str, &'static [&'static str])> {
    Some(match kind {
        Kind::Switch => ("switch", "", &[]),
        Kind::Bool => ("truth", "", &["true", "false"]),
        Kind::Text | Kind::Identity | Kind::Any => ("text", "", &[]),
        Kind::OneOf(choices) => ("choice", "", choices),
        Kind::Flags(choices) => ("boxes", "", choices),
        Kind::Int => ("number", "A whole number", &[]),
        Kind::UnlimitedInt => ("text", "A whole number, or unlimited", &[]),
        Kind::Size => ("text", "As 35MB, or unlimited", &[]),
        Kind::Span => ("text", "As 00:10:00", &[]),
        Kind::Time => ("text", "As 2027-01-31T00:00:00Z", &[]),
        Kind::List(Kind::OneOf(choices)) | Kind::MultiValued(Kind::OneOf(choices)) => ("boxes", "", choices),
        Kind::List(_) | Kind::MultiValued(_) | Kind::Rest(_) => ("lines", "One on each line", &[]),
        Kind::Secret => ("secret", "", &[]),
        Kind::Credential | Kind::Block | Kind::Table | Kind::Ignored => return None,
    })
}

/// A value as it is written.
fn text(kind: Kind, value: &Value) -> String {
    match (kind, value) {
        (_, Value::Null) => String::new(),
        (Kind::Size, Value::Number(bytes)) => bytes.as_u64().map_or_else(|| bytes.to_string(), exact_size),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Array(values)) => values.iter().map(|value| text(Kind::Any, value)).collect::<Vec<_>>().join("\n"),
        (_, other) => other.to_string(),
    }
}

/// A size in the largest unit that says it exactly.
fn exact_size(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")] {
        if bytes > 0 && bytes.is_multiple_of(unit) {
            return format!("{}{name}", bytes / unit);
        }
    }
    bytes.to_string()
}

impl Control {
    /// Ticks what the value says.
    fn choose(&mut self) {
        let values: Vec<String> = self.value.lines().map(str::to_lowercase).collect();
        for (choice, is_chosen) in &mut self.choices {
            *is_chosen = values.contains(&choice.to_lowercase());
        }
    }

    /// The field of a form that carries what it said at first.
    pub fn was_name(&self) -> String {
        format!("was-{}", self.name)
    }

    /// Whether its value is never shown.
    pub fn is_secret(&self) -> bool {
        self.form == "secret"
    }

    /// Takes what was typed.
    fn fill(&mut self, fields: &Fields) {
        self.was = fields.raw(&self.was_name()).to_owned();
        self.value = match self.form {
            "boxes" => fields.all(self.name).collect::<Vec<_>>().join("\n"),
            "switch" => if fields.has(self.name) { "true" } else { "" }.to_owned(),
            "secret" => fields.raw(self.name).to_owned(),
            "lines" => {
                let lines = fields.raw(self.name).lines().map(str::trim).filter(|line| !line.is_empty());
                lines.collect::<Vec<_>>().join("\n")
            }
            _ => fields.text(self.name).to_owned(),
        };
        self.choose();
    }

    fn is_changed(&self) -> bool {
        match self.form {
            // What is not typed stays as it is.
            "secret" | "switch" => !self.value.is_empty(),
            "boxes" => {
                let sorted = |text: &str| {
                    let mut values: Vec<String> = text.lines().map(str::to_lowercase).collect();
                    values.sort();
                    values
                };
                sorted(&self.value) != sorted(&self.was)
            }
            "truth" => !self.value.is_empty() && self.value != self.was,
            _ => self.value.trim() != self.was.trim(),
        }
    }

    /// The value as the registry takes it; nothing clears it.
    fn json(&self) -> Value {
        let value = self.value.as_str();
        match self.kind {
            Kind::Switch | Kind::Bool => (value == "true").into(),
            Kind::Flags(_) | Kind::List(_) | Kind::MultiValued(_) | Kind::Rest(_) => {
                value.lines().map(Value::from).collect::<Vec<_>>().into()
            }
            _ if value.is_empty() => Value::Null,
            // What is no number is told by the command.
            Kind::Int | Kind::UnlimitedInt => value.parse::<i64>().map_or_else(|_| value.into(), Value::from),
            _ => value.into(),
        }
    }
}

/// Fills a form in with what was typed, and hands on the parameters that follow.
pub fn read(controls: &mut [Control], fields: &Fields) -> Map<String, Value> {
    let mut parameters = Map::new();
    for control in controls {
        control.fill(fields);
        if control.is_changed() {
            parameters.insert(control.name.to_owned(), control.json());
        }
    }
    parameters
}

/// Puts an error beside the field that it is about, where it names one.
pub fn point_at(controls: &mut [Control], error: &str) {
    let is_named = |name: &str| {
        let mut words = error.split(|letter: char| !letter.is_ascii_alphanumeric());
        words.any(|word| word.eq_ignore_ascii_case(name))
    };
    if let Some(control) = controls.iter_mut().find(|control| is_named(control.name)) {
        control.problem = Some(error.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use gatepost_manage::command;
    use serde_json::json;

    use super::*;

    fn form_of(name: &str, record: Value) -> Vec<Control> {
        controls(command::find(name).expect("a command"), record.as_object())
    }

    #[test]
    fn only_what_differs_from_what_the_form_said_at_first_is_sent() {
        let record = json!({"Name": "Relay", "MaxMessageSize": 37_748_736, "RemoteIPRanges": ["10.0.0.1", "10.0.0.2"],
            "Enabled": true, "Comment": null, "PermissionGroups": ["AnonymousUsers"]});
        let mut controls = form_of("Set-ReceiveConnector", record);
        let find =
            |controls: &[Control], name: &str| controls.iter().find(|one| one.name == name).expect("asked").clone();
        let size = find(&controls, "MaxMessageSize");
        assert_eq!((size.value.as_str(), size.form), ("36MB", "text"));
        let groups = find(&controls, "PermissionGroups");
        assert!(
            groups.choices.contains(&("AnonymousUsers", true)) && groups.choices.contains(&("ExchangeUsers", false))
        );
        let typed = b"was-MaxMessageSize=36MB&MaxMessageSize=50MB&was-Enabled=true&Enabled=true\
            &was-RemoteIPRanges=10.0.0.1%0A10.0.0.2&RemoteIPRanges=10.0.0.1%0D%0A+%0D%0A10.0.0.3\
            &was-PermissionGroups=AnonymousUsers&was-Comment=x&Comment=&was-Name=Relay&Name=Relay";
        let parameters = read(&mut controls, &Fields::read(typed));
        assert_eq!(
            Value::from(parameters),
            json!({"MaxMessageSize": "50MB", "RemoteIPRanges": ["10.0.0.1", "10.0.0.3"], "PermissionGroups": [],
                "Comment": null})
        );
    }

    #[test]
    fn an_error_stands_at_the_field_that_it_names() {
        let mut controls = form_of("Set-ReceiveConnector", json!({}));
        point_at(&mut controls, "the parameter MaxMessageSize: `x` is no size");
        let told: Vec<_> =
            controls.iter().filter(|control| control.problem.is_some()).map(|control| control.name).collect();
        assert_eq!(told, ["MaxMessageSize"]);
    }

    #[test]
    fn a_size_is_written_as_exactly_as_it_is() {
        for (bytes, expected) in [(37_748_736, "36MB"), (1_500, "1500"), (2_048, "2KB"), (0, "0"), (1 << 31, "2GB")] {
            assert_eq!(exact_size(bytes), expected);
        }
    }
}
