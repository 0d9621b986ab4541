//! The fields of a dialog, as they follow from the form of a noun and the signature of a command.
//!
//! A form that changes an object carries what each field said at first: only what differs is sent, so that two who change
//! different things at the same time do not undo each other. The fields of a new object say what is usual; only what differs
//! from that is sent.

use std::path::Path;

use gatepost_manage::command::form::{Field, Form, Section, choices, help};
use gatepost_manage::command::{Entry, Kind};
use gatepost_manage::object::Shape;
use serde_json::{Map, Value, json};

use crate::fields::Fields;
use crate::sealed;

/// One field.
#[derive(Clone, Debug)]
pub struct Control {
    /// The parameter's name.
    pub name: &'static str,
    /// What people call it.
    pub label: &'static str,
    /// The section that it stands in.
    pub section: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// How it is filled in: `text`, `number`, `lines`, `choice`, `boxes`, `truth`, `secret`, `credential`.
    pub form: &'static str,
    /// How values are written.
    pub hint: &'static str,
    /// What holds where it is left empty.
    pub usual: String,
    /// How a value looks.
    pub example: &'static str,
    /// What stands in it; of a credential the name.
    pub value: String,
    /// What stood in it at first.
    pub was: String,
    /// What there is to choose from.
    pub choices: Vec<Choice>,
    /// Whether it has to be filled in.
    pub is_mandatory: bool,
    /// What is wrong with it.
    pub problem: Option<String>,
    password: String,
    field: &'static Field,
    kind: Kind,
}

/// One of several values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// As the command takes it.
    pub value: &'static str,
    /// As people read it.
    pub words: &'static str,
    /// Whether it is chosen.
    pub is_chosen: bool,
}

/// What a command about an object is made of: its form, and what its records say.
#[derive(Clone, Copy)]
pub struct Dialog {
    /// The fields of its noun.
    pub form: &'static Form,
    /// The command.
    pub entry: &'static Entry,
    /// What its objects look like.
    pub shape: &'static Shape,
}

impl Dialog {
    /// The fields; `record` is the object that the command changes.
    pub fn controls(&self, record: Option<&Map<String, Value>>) -> Vec<Control> {
        self.form
            .fields(self.entry.signature)
            .filter_map(|(section, field)| self.control(section, field, record))
            .collect()
    }

    fn control(
        &self,
        section: &'static Section,
        field: &'static Field,
        record: Option<&Map<String, Value>>,
    ) -> Option<Control> {
        let mut parameters = self.entry.signature.parameters.iter();
        let parameter = parameters.find(|parameter| parameter.name == field.parameter)?;
        let (form, hint) = form(parameter.kind, field)?;
        let usual = field.usual(self.shape);
        let was = match record {
            Some(record) => record.get(field.property).map(|value| text(parameter.kind, value)).unwrap_or_default(),
            // What can be left empty is left empty.
            None if matches!(form, "truth" | "choice") && choices(parameter.kind).contains(&usual.as_str()) => {
                usual.clone()
            }
            None => String::new(),
        };
        let words = |value: &&'static str| {
            let known = field.choices.iter().find(|(known, _)| known == value);
            Choice { value, words: known.map_or(*value, |(_, words)| words), is_chosen: false }
        };
        // What has no words is what no choice means.
        let is_offered =
            |value: &&&'static str| field.choices.is_empty() || field.choices.iter().any(|(known, _)| known == *value);
        let offered: Vec<Choice> = choices(parameter.kind).iter().filter(is_offered).map(words).collect();
        let mut control = Control {
            name: parameter.name,
            label: field.label,
            section: section.key,
            help: help(parameter),
            form,
            hint,
            usual,
            example: field.example,
            value: was.clone(),
            was,
            choices: offered,
            is_mandatory: parameter.is_mandatory,
            problem: None,
            password: String::new(),
            field,
            kind: parameter.kind,
        };
        control.choose();
        Some(control)
    }
}

/// How values of a kind are filled in; none: not by a person.
fn form(kind: Kind, field: &Field) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        Kind::Bool if !field.choices.is_empty() => ("choice", ""),
        Kind::Switch | Kind::Bool => ("truth", ""),
        Kind::Text | Kind::Identity | Kind::Any => ("text", ""),
        Kind::OneOf(_) => ("choice", ""),
        Kind::Flags(_) => ("boxes", ""),
        Kind::Int => ("number", ""),
        Kind::UnlimitedInt => ("text", ""),
        Kind::Size => ("text", ""),
        Kind::Span => ("text", "As hh:mm:ss."),
        Kind::Time => ("text", "As 2027-01-31T00:00:00Z."),
        Kind::List(Kind::OneOf(_)) | Kind::MultiValued(Kind::OneOf(_)) => ("boxes", ""),
        Kind::List(_) | Kind::MultiValued(_) | Kind::Rest(_) => ("lines", "One on each line."),
        Kind::Secret => ("secret", ""),
        Kind::Credential => ("credential", ""),
        Kind::Block | Kind::Table | Kind::Ignored => return None,
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
        for choice in &mut self.choices {
            choice.is_chosen = values.contains(&choice.value.to_lowercase());
        }
    }

    /// The field of a form that carries what it said at first.
    pub fn was_name(&self) -> String {
        format!("was-{}", self.name)
    }

    /// The field that carries a password that was typed on a page before.
    pub fn sealed_name(&self) -> String {
        format!("{}-sealed", self.name)
    }

    /// The password as a page may carry it.
    pub fn sealed(&self, proof: &str) -> String {
        if self.has_password() { sealed::seal(&self.password, &self.purpose(proof)) } else { String::new() }
    }

    fn purpose(&self, proof: &str) -> String {
        format!("{proof} {}", self.name)
    }

    /// The field that a password is typed into.
    pub fn password_name(&self) -> String {
        if self.form == "credential" { format!("{}-password", self.name) } else { self.name.to_owned() }
    }

    /// Whether it has a password, which is never shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.form, "secret" | "credential")
    }

    /// Whether there is a password already, which stays where no other is typed: as the property says that stands for it.
    pub fn has_one(&self) -> bool {
        self.is_secret() && !matches!(self.was.as_str(), "" | "None")
    }

    /// Whether a password was typed.
    pub fn has_password(&self) -> bool {
        !self.password.is_empty()
    }

    /// Whether it says what this property or parameter is.
    pub fn is_about(&self, name: &str) -> bool {
        self.name == name || self.field.property == name
    }

    /// Whether what is wrong with it is the password beside the name, as it says itself.
    pub fn is_problem_of_password(&self) -> bool {
        self.form == "credential" && self.problem.as_ref().is_some_and(|problem| problem.contains("password"))
    }

    /// Where on the page that stands which is wrong, and what people call it.
    pub fn place_of_problem(&self) -> (String, &'static str) {
        match self.is_problem_of_password() {
            true => (format!("p-{}", self.name), "Password"),
            false => (format!("f-{}", self.name), self.label),
        }
    }

    /// Whether nothing is chosen, which a choice then has to offer.
    pub fn is_unsaid(&self) -> bool {
        self.choices.iter().all(|choice| !choice.is_chosen)
    }

    /// What is said below it: what holds where it stays empty.
    pub fn usual_said(&self) -> String {
        match self.form {
            "text" | "number" | "lines" if !self.usual.is_empty() => format!("Empty: {}.", self.usual),
            _ => String::new(),
        }
    }

    /// What stands in it, for a person; nothing where it says no more than is usual.
    pub fn said(&self) -> String {
        match self.form {
            "secret" => if self.has_password() { "(typed, not shown)" } else { "" }.to_owned(),
            "credential" if self.has_password() => format!("{}, with the password that was typed", self.value),
            "truth" => if self.value == "true" { "Yes" } else { "No" }.to_owned(),
            "choice" | "boxes" => {
                let chosen = self.choices.iter().filter(|choice| choice.is_chosen).map(|choice| choice.words);
                chosen.collect::<Vec<_>>().join(", ")
            }
            _ => self.value.lines().collect::<Vec<_>>().join(", "),
        }
    }

    /// Takes what was typed.
    fn fill(&mut self, fields: &Fields, proof: &str) {
        self.was = fields.raw(&self.was_name()).to_owned();
        if self.is_secret() {
            self.password = fields.raw(&self.password_name()).to_owned();
            if self.password.is_empty() {
                let carried = sealed::open(fields.raw(&self.sealed_name()), &self.purpose(proof));
                self.password = carried.unwrap_or_default();
            }
        }
        self.value = match self.form {
            "boxes" => fields.all(self.name).collect::<Vec<_>>().join("\n"),
            "truth" => if fields.has(self.name) { "true" } else { "false" }.to_owned(),
            "secret" => String::new(),
            "lines" => {
                let lines = fields.raw(self.name).lines().map(str::trim).filter(|line| !line.is_empty());
                lines.collect::<Vec<_>>().join("\n")
            }
            _ => fields.text(self.name).to_owned(),
        };
        self.choose();
    }

    /// Whether it says something else than at first.
    pub fn is_changed(&self) -> bool {
        match self.form {
            // What is not typed stays as it is.
            "secret" => self.has_password(),
            "credential" => self.has_password() || self.value != self.was,
            "boxes" => {
                let was: Vec<String> = self.was.lines().map(str::to_lowercase).collect();
                self.choices.iter().any(|choice| choice.is_chosen != was.contains(&choice.value.to_lowercase()))
            }
            "choice" if self.value.is_empty() => false,
            "truth" => (self.value == "true") != (self.was == "true"),
            _ => self.value.trim() != self.was.trim(),
        }
    }

    /// Whether it is the name of somebody else than in `record`, without a password, where the one that is kept was typed for
    /// the other. One that is kept elsewhere may be of both.
    pub fn lacks_password(&self, record: &Map<String, Value>) -> bool {
        let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
        let before = text(self.field.property);
        let file = Path::new(text("AuthenticationPasswordFile"));
        let is_typed = file.parent().and_then(Path::file_name).is_some_and(|folder| folder == "passwords");
        let is_another = !before.is_empty() && !self.value.is_empty() && self.value != before;
        self.form == "credential" && is_another && is_typed && !self.has_password()
    }

    /// The value as the registry takes it; nothing clears it.
    fn json(&self) -> Value {
        let value = self.value.as_str();
        match self.kind {
            Kind::Switch | Kind::Bool => (value == "true").into(),
            Kind::Flags(_) | Kind::List(_) | Kind::MultiValued(_) | Kind::Rest(_) => {
                value.lines().map(Value::from).collect::<Vec<_>>().into()
            }
            Kind::Secret => self.password.as_str().into(),
            Kind::Credential => json!({ "UserName": value, "Password": self.password }),
            _ if value.is_empty() => Value::Null,
            // What is no number is told by the command.
            Kind::Int | Kind::UnlimitedInt => value.parse::<i64>().map_or_else(|_| value.into(), Value::from),
            _ => value.into(),
        }
    }
}

/// Fills a form in with what was typed in the session of `proof`, and hands on the parameters that follow. `is_new` is whether they
/// make an object.
pub fn read(controls: &mut [Control], fields: &Fields, proof: &str, is_new: bool) -> Map<String, Value> {
    let mut parameters = Map::new();
    for control in controls.iter_mut() {
        control.fill(fields, proof);
    }
    let is_typed = |name: &str| controls.iter().any(|control| control.name == name && !control.value.is_empty());
    let is_elsewhere = ["AuthenticationPasswordFile", "AuthenticationPasswordEnv"].into_iter().any(is_typed);
    for control in controls.iter() {
        if !control.is_changed() {
            continue;
        }
        // A name alone, where the password is known already or lies elsewhere.
        if control.form == "credential" && !control.has_password() && (!is_new || is_elsewhere) {
            let name = Some(control.value.as_str()).filter(|name| !name.is_empty());
            parameters.insert(control.field.property.to_owned(), name.into());
            continue;
        }
        parameters.insert(control.name.to_owned(), control.json());
    }
    parameters
}

#[cfg(test)]
mod tests {
    use gatepost_manage::command;

    use super::*;

    fn dialog(name: &str) -> Dialog {
        let noun = name.split_once('-').expect("Verb-Noun").1;
        Dialog {
            form: command::form_of(noun).expect("a form"),
            entry: command::find(name).expect("a command"),
            shape: command::find(&format!("Get-{noun}")).and_then(|entry| entry.output).expect("a shape"),
        }
    }

    fn find<'a>(controls: &'a [Control], name: &str) -> &'a Control {
        controls.iter().find(|one| one.name == name).expect("asked")
    }

    #[test]
    fn only_what_differs_from_what_the_form_said_at_first_is_sent() {
        let record = json!({"Name": "Out", "MaxMessageSize": 37_748_736, "SmartHosts": ["a.test", "b.test"],
            "Enabled": true, "Comment": null, "ErrorPolicies": ["Default"], "DNSRoutingEnabled": false,
            "AuthenticationUser": "us"});
        let mut controls = dialog("Set-SendConnector").controls(record.as_object());
        let size = find(&controls, "MaxMessageSize");
        assert_eq!((size.value.as_str(), size.form), ("36MB", "text"));
        assert_eq!(find(&controls, "AuthenticationCredential").value, "us");
        assert!(!find(&controls, "ErrorPolicies").choices.iter().any(|choice| choice.is_chosen));
        let typed = b"was-MaxMessageSize=36MB&MaxMessageSize=50MB&was-Enabled=true&Enabled=true\
            &was-SmartHosts=a.test%0Ab.test&SmartHosts=a.test%0D%0A+%0D%0Ac.test&was-DNSRoutingEnabled=false&DNSRoutingEnabled=false\
            &was-ErrorPolicies=Default&was-Comment=x&Comment=&was-Name=Out&Name=Out\
            &was-AuthenticationCredential=us&AuthenticationCredential=us&AuthenticationCredential-password=";
        let parameters = read(&mut controls, &Fields::read(typed), "", false);
        assert_eq!(
            Value::from(parameters),
            json!({"MaxMessageSize": "50MB", "SmartHosts": ["a.test", "c.test"], "Comment": null})
        );
    }

    #[test]
    fn a_new_object_is_asked_for_what_differs_from_what_is_usual() {
        let mut controls = dialog("New-SendConnector").controls(None);
        assert!(find(&controls, "Enabled").value == "true" && find(&controls, "Usage").value == "Custom");
        assert_eq!(find(&controls, "Port").usual_said(), "Empty: 25.");
        let typed = b"Name=Out&was-Enabled=true&Enabled=true&was-Usage=Custom&Usage=Custom&AddressSpaces=*\
            &SmartHosts=a.test&was-DNSRoutingEnabled=true&DNSRoutingEnabled=true&was-SmartHostAuthMechanism=None\
            &SmartHostAuthMechanism=BasicAuth&AuthenticationCredential=us&AuthenticationCredential-password=+x";
        let parameters = read(&mut controls, &Fields::read(typed), "", true);
        assert_eq!(
            Value::from(parameters),
            json!({"Name": "Out", "AddressSpaces": ["*"], "SmartHosts": ["a.test"], "SmartHostAuthMechanism": "BasicAuth",
                "AuthenticationCredential": {"UserName": "us", "Password": " x"}})
        );
        assert_eq!(find(&controls, "AuthenticationCredential").said(), "us, with the password that was typed");
    }

    #[test]
    fn a_name_without_a_password_is_a_name_where_the_password_is_known_or_elsewhere() {
        for (command, typed, expected) in [
            ("Set-SendConnector", "was-AuthenticationCredential=a", json!({"AuthenticationUser": "us"})),
            (
                "New-SendConnector",
                "AuthenticationPasswordFile=/x",
                json!({"AuthenticationUser": "us", "AuthenticationPasswordFile": "/x"}),
            ),
            ("New-SendConnector", "", json!({"AuthenticationCredential": {"UserName": "us", "Password": ""}})),
        ] {
            let mut controls = dialog(command).controls(None);
            let names = ["AuthenticationCredential", "AuthenticationPasswordFile"];
            controls.retain(|control| names.contains(&control.name));
            let typed = format!("AuthenticationCredential=us&{typed}");
            let parameters = read(&mut controls, &Fields::read(typed.as_bytes()), "", command.starts_with("New"));
            assert_eq!(Value::from(parameters), expected, "{command} {typed}");
        }
    }

    #[test]
    fn another_name_needs_its_own_password_unless_that_is_kept_elsewhere() {
        for (file, typed, expected) in [
            ("/data/passwords/k3", "AuthenticationCredential=them", true),
            ("/data/passwords/k3", "AuthenticationCredential=us", false),
            ("/data/passwords/k3", "AuthenticationCredential=", false),
            ("/data/passwords/k3", "AuthenticationCredential=them&AuthenticationCredential-password=x", false),
            ("/etc/provider", "AuthenticationCredential=them", false),
            ("", "AuthenticationCredential=them", false),
        ] {
            let record = json!({"AuthenticationUser": "us", "AuthenticationPasswordFile": file});
            let record = record.as_object().expect("written above");
            let mut controls = dialog("Set-SendConnector").controls(None);
            read(&mut controls, &Fields::read(typed.as_bytes()), "", false);
            let lacks = find(&controls, "AuthenticationCredential").lacks_password(record);
            assert_eq!(lacks, expected, "{file} {typed}");
        }
    }

    #[test]
    fn a_size_is_written_as_exactly_as_it_is() {
        for (bytes, expected) in [(37_748_736, "36MB"), (1_500, "1500"), (2_048, "2KB"), (0, "0"), (1 << 31, "2GB")] {
            assert_eq!(exact_size(bytes), expected);
        }
    }
}
