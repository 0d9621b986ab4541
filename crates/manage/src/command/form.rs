//! How a person fills in the parameters of a noun's commands: under which heading, by which name, in which order, with which
//! words for which value. What a parameter is for stays in its signature, so that Get-Help and the console say the same.
//!
//! Data, made beside the parameters of each noun; the API's listing of commands and the console's dialogs are made of it. Knows
//! no page.

use gatepost_shell::command::{Kind, Parameter, Signature};
use serde_json::Value as Json;

use crate::object::{Property, Shape};

/// What is asked of a person who makes or changes an object of a noun.
#[derive(Debug)]
pub struct Form {
    /// As commands say it.
    pub noun: &'static str,
    /// In the order in which a person thinks of them.
    pub sections: &'static [Section],
    /// Parameters that no person is asked for: of which this server takes one value alone, or that say in another way what a
    /// field says.
    pub for_scripts: &'static [&'static str],
    /// Properties that no field says, with what people call them.
    pub besides: &'static [(&'static str, &'static str)],
    /// Properties that are told to people otherwise than by their value alone, and how: of a whole record, which may leave out what is
    /// as usual.
    pub told: &'static [(&'static str, Told)],
    /// What deserves to be seen in a list: a property, what it is then, and a word for it.
    pub badges: &'static [(&'static str, bool, &'static str)],
    /// Whether a new object is shown with all that it changes before it is made, even where it opens nothing.
    pub is_confirmed: bool,
}

/// Makes of a record what people are told of one of its properties.
pub type Told = fn(&Json) -> String;

/// Fields under one heading: a tab of the properties.
#[derive(Debug)]
pub struct Section {
    /// In addresses.
    pub key: &'static str,
    /// The heading.
    pub title: &'static str,
    /// A sentence below it; none where the heading says all.
    pub about: &'static str,
    /// Whether most never need it.
    pub is_advanced: bool,
    /// Its fields.
    pub fields: &'static [Field],
}

/// How one parameter is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Which.
    pub parameter: &'static str,
    /// What a person calls it.
    pub label: &'static str,
    /// The property that says what it is now, where that is called otherwise.
    pub property: &'static str,
    /// What holds where it is left empty, for a person; empty: what the shape says is usual, or nothing.
    pub usual: &'static str,
    /// How a value looks.
    pub example: &'static str,
    /// Values and what they mean.
    pub choices: &'static [(&'static str, &'static str)],
    /// When it is asked.
    pub asked: Asked,
}

/// When a field is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// When an object is made and when it is changed.
    Always,
    /// When it is made.
    New,
    /// When it is changed.
    Set,
}

/// A field of this name.
pub const fn field(parameter: &'static str, label: &'static str) -> Field {
    Field { parameter, label, property: parameter, usual: "", example: "", choices: &[], asked: Asked::Always }
}

/// The same with what holds where it is left empty.
pub const fn usually(usual: &'static str, field: Field) -> Field {
    Field { usual, ..field }
}

/// The same with a value as an example.
pub const fn like(example: &'static str, field: Field) -> Field {
    Field { example, ..field }
}

/// The same with words for its values.
pub const fn among(choices: &'static [(&'static str, &'static str)], field: Field) -> Field {
    Field { choices, ..field }
}

/// The same where another property says what it is now.
pub const fn shown_by(property: &'static str, field: Field) -> Field {
    Field { property, ..field }
}

/// The same, asked only then.
pub const fn when(asked: Asked, field: Field) -> Field {
    Field { asked, ..field }
}

impl Form {
    /// The fields that are asked for a command of the noun, each with the section that it stands in.
    pub fn fields(&self, signature: &Signature) -> impl Iterator<Item = (&'static Section, &'static Field)> {
        let (sections, is_new) = (self.sections, signature.name.starts_with("New-"));
        let is_asked = move |field: &&'static Field| match field.asked {
            Asked::Always => true,
            Asked::New => is_new,
            Asked::Set => !is_new,
        };
        sections
            .iter()
            .flat_map(move |section| section.fields.iter().filter(is_asked).map(move |field| (section, field)))
    }

    /// What people call a property.
    pub fn label_of(&self, property: &str) -> Option<&'static str> {
        let fields = self.sections.iter().flat_map(|section| section.fields);
        let mut labels = fields.map(|field| (field.property, field.label)).chain(self.besides.iter().copied());
        labels.find(|(name, _)| *name == property).map(|(_, label)| label)
    }

    /// What people are told of a property in the place of its value, where that is not the value itself.
    pub fn told_of(&self, property: &str, record: &Json) -> Option<String> {
        self.told.iter().find(|(name, _)| *name == property).map(|(_, told)| told(record))
    }

    /// What a value of a property means, in a word or two.
    pub fn in_words<'a>(&self, property: &str, value: &'a str) -> &'a str {
        let mut fields = self.sections.iter().flat_map(|section| section.fields);
        fields.find(|field| field.property == property).map_or(value, |field| field.in_words(value))
    }

    /// The badges of an object.
    pub fn badges_of(&self, record: &Json) -> Vec<&'static str> {
        let is_so = |name: &str, wanted: bool| record[name].as_bool() == Some(wanted);
        self.badges.iter().filter(|(name, wanted, _)| is_so(name, *wanted)).map(|(.., word)| *word).collect()
    }
}

impl Field {
    /// What holds where nothing is said, for a person.
    pub fn usual(&self, shape: &Shape) -> String {
        if !self.usual.is_empty() {
            return self.usual.to_owned();
        }
        let property = shape.properties.iter().find(|property| property.name == self.property);
        match property.map(|Property { usual, .. }| usual.to_json()) {
            Some(Json::Bool(truth)) => truth.to_string(),
            Some(Json::Number(number)) => number.to_string(),
            Some(Json::String(text)) => text,
            _ => String::new(),
        }
    }

    /// What a value means, in a word or two.
    pub fn in_words<'a>(&self, value: &'a str) -> &'a str {
        let known = self.choices.iter().find(|(known, _)| known.eq_ignore_ascii_case(value));
        known.map_or(value, |(_, words)| words)
    }
}

/// What a parameter is for, without what only those need to know who come from Exchange.
pub fn help(parameter: &Parameter) -> &'static str {
    parameter.help.trim_end_matches("Not of Exchange.").trim_end()
}

/// The values that a parameter takes, where they are few.
pub fn choices(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Bool => &["true", "false"],
        Kind::OneOf(choices) | Kind::Flags(choices) => choices,
        Kind::List(of) | Kind::MultiValued(of) => choices(*of),
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::super::{FORMS, find};
    use super::*;

    /// What every command has, and no person is asked.
    const COMMON: [&str; 4] = ["Identity", "DomainController", "Force", "Server"];

    #[test]
    fn every_parameter_is_asked_for_once_or_said_to_be_for_scripts() {
        for form in FORMS {
            for verb in ["New", "Set"] {
                let entry = find(&format!("{verb}-{}", form.noun)).expect("a command");
                let asked: Vec<&str> = form.fields(entry.signature).map(|(_, field)| field.parameter).collect();
                for parameter in entry.signature.parameters {
                    let name = parameter.name;
                    let times = asked.iter().filter(|asked| **asked == name).count();
                    let is_left_out = COMMON.contains(&name) || form.for_scripts.contains(&name);
                    let what = format!("{verb}-{} -{name}", form.noun);
                    assert!(times == 1 || (times == 0 && is_left_out), "{what} is asked {times} times");
                    assert!(times == 1 || !parameter.is_mandatory || name == "Identity", "{what} is not asked");
                }
            }
        }
    }

    #[test]
    fn what_is_said_to_people_is_not_written_for_the_shell() {
        for (form, verb) in FORMS.iter().flat_map(|form| [(form, "New"), (form, "Set")]) {
            let entry = find(&format!("{verb}-{}", form.noun)).expect("a command");
            for (_, field) in form.fields(entry.signature) {
                let mut parameters = entry.signature.parameters.iter();
                let what = format!("{} -{}", entry.signature.name, field.parameter);
                let Some(parameter) = parameters.find(|parameter| parameter.name == field.parameter) else {
                    panic!("there is no {what}");
                };
                // The one between the name and the domain of an address is everybody's.
                let help = help(parameter).replace("the @ ", "");
                let is_option = |word: &str| word.starts_with('-') && word[1..].starts_with(char::is_uppercase);
                let is_of_shell = help.contains(['$', '@', '`']) || help.split(' ').any(is_option);
                assert!(!is_of_shell, "{what}: {help}");
                for (value, _) in field.choices {
                    assert!(choices(parameter.kind).contains(value), "{what}: {value}");
                }
            }
        }
    }

    #[test]
    fn every_field_shows_a_property_that_there_is() {
        for form in FORMS {
            let shape = find(&format!("Get-{}", form.noun)).and_then(|entry| entry.output).expect("a shape");
            let fields = form.sections.iter().flat_map(|section| section.fields);
            let shown = fields.filter(|field| matches!(field.asked, Asked::Always | Asked::Set));
            for name in shown.map(|field| field.property).chain(form.besides.iter().map(|(name, _)| *name)) {
                let is_known = shape.properties.iter().any(|property| property.name == name);
                // A password is never shown, nor whether one that is typed may be weak.
                assert!(is_known || ["Password", "AllowWeakPassword"].contains(&name), "{} has no {name}", form.noun);
            }
            let told = form.told.iter().map(|(name, _)| *name).chain(form.badges.iter().map(|(name, ..)| *name));
            for name in told {
                assert!(shape.properties.iter().any(|property| property.name == name), "{} has no {name}", form.noun);
            }
        }
    }
}
