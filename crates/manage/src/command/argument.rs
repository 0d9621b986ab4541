//! The parameters of one call, read from JSON by the kinds of a signature.
//!
//! Takes what a caller wrote, hands on values in one form for each kind, or what is wrong with the nearest name. What a
//! text means (a size, a range, an identity) is read by the command, with the settings document's own readers.

use gatepost_shell::command::{Kind, Parameter, Signature};
use serde_json::{Map, Value as Json};

use super::error::CommandError;
use gatepost_policy::settings::nearest;

/// Most elements of one list.
const ELEMENTS_MAX: usize = 200_000;

/// The parameters that were given.
#[derive(Debug)]
pub struct Arguments {
    given: Vec<(&'static Parameter, Json)>,
}

impl Arguments {
    /// Reads what was given for `signature`.
    ///
    /// # Errors
    /// [`CommandError::Wrong`] for the first parameter that is unknown, given twice, of another kind, or missing.
    pub fn read(signature: &'static Signature, written: Map<String, Json>) -> Result<Arguments, CommandError> {
        let mut given: Vec<(&'static Parameter, Json)> = Vec::with_capacity(written.len());
        for (name, value) in written {
            let parameter = parameter(signature, &name)?;
            if given.iter().any(|(known, _)| std::ptr::eq(*known, parameter)) {
                return Err(CommandError::Wrong(format!("the parameter {} is given twice", parameter.name)));
            }
            let value = of_kind(parameter.kind, value)
                .map_err(|wrong| CommandError::Wrong(format!("the parameter {}: {wrong}", parameter.name)))?;
            given.push((parameter, value));
        }
        let is_given = |wanted: &Parameter| given.iter().any(|(parameter, _)| std::ptr::eq(*parameter, wanted));
        if let Some(missing) = signature.parameters.iter().find(|wanted| wanted.is_mandatory && !is_given(wanted)) {
            let error = format!("{} needs the parameter {}: {}", signature.name, missing.name, missing.help);
            return Err(CommandError::Wrong(error));
        }
        Ok(Arguments { given })
    }

    /// The value of a parameter that was given; null where it was given without a value.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.given.iter().find(|(parameter, _)| parameter.name == name).map(|(_, value)| value)
    }

    /// Every parameter that was given, in the order of the signature's names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Parameter, &Json)> {
        self.given.iter().map(|(parameter, value)| (*parameter, value))
    }

    /// The text of a parameter that was given and is not null.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Json::as_str)
    }

    /// Whether a switch was given, or a truth is true.
    pub fn is_set(&self, name: &str) -> bool {
        self.get(name) == Some(&Json::Bool(true))
    }

    /// The number of a parameter that was given; `unlimited` and null are none.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(Json::as_u64)
    }

    /// The texts of a list that was given.
    pub fn texts(&self, name: &str) -> Option<Vec<&str>> {
        let list = self.get(name)?.as_array()?;
        Some(list.iter().filter_map(Json::as_str).collect())
    }
}

/// A parameter that is a point in time, in milliseconds since 1970 UTC.
///
/// # Errors
/// [`CommandError::Wrong`], where it is none.
pub fn unix_ms(arguments: &Arguments, name: &str) -> Result<Option<u64>, CommandError> {
    let Some(text) = arguments.text(name) else { return Ok(None) };
    let time = text.trim().parse::<jiff::Timestamp>().ok();
    let time = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
    let text: String = text.chars().take(80).collect();
    let error = || format!("{name}: `{}` is no point in time: 2027-01-31T09:30:00Z", text.escape_debug());
    time.map(Some).ok_or_else(|| CommandError::Wrong(error()))
}

/// The parameter of this name, of an alias, or the only one whose name begins so.
fn parameter(signature: &'static Signature, name: &str) -> Result<&'static Parameter, CommandError> {
    let all = signature.parameters;
    let names = |parameter: &'static Parameter| [parameter.name].into_iter().chain(parameter.aliases.iter().copied());
    let is_called = |parameter: &&'static Parameter| names(parameter).any(|known| known.eq_ignore_ascii_case(name));
    if let Some(found) = all.iter().find(is_called) {
        return Ok(found);
    }
    let known = all.iter().flat_map(names);
    let remedy = match nearest(name, known.clone()) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("the parameters are {}", known.collect::<Vec<_>>().join(", ")),
    };
    let name: String = name.chars().take(80).collect();
    Err(CommandError::Wrong(format!("{} has no parameter `{}`: {remedy}", signature.name, name.escape_debug())))
}

/// The value in the one form of its kind, or what is wrong.
fn of_kind(kind: Kind, value: Json) -> Result<Json, String> {
    if value.is_null() {
        return Ok(value);
    }
    match (kind, value) {
        (Kind::Switch | Kind::Bool, value @ Json::Bool(_)) => Ok(value),
        (Kind::Switch | Kind::Bool, _) => Err("write true or false, without quotes".to_owned()),
        (Kind::Text | Kind::Identity | Kind::Time | Kind::Span | Kind::Size, value @ Json::String(_)) => Ok(value),
        (Kind::Size, value @ Json::Number(_)) if value.is_u64() => Ok(value),
        // A name that is a number, as 25 in `-Name 25`.
        (Kind::Text | Kind::Identity, Json::Number(number)) => Ok(number.to_string().into()),
        (Kind::Text | Kind::Identity, _) => Err("write a text".to_owned()),
        (Kind::Time, _) => Err("write a point in time as text: \"2027-01-31T00:00:00Z\"".to_owned()),
        (Kind::Span, _) => Err("write a length of time as text: \"00:05:00\"".to_owned()),
        (Kind::Size, _) => Err("write a size: \"35MB\", or a number of bytes".to_owned()),
        (Kind::Int | Kind::UnlimitedInt, value @ Json::Number(_)) if value.is_i64() || value.is_u64() => Ok(value),
        (Kind::UnlimitedInt, Json::String(text)) if text.trim().eq_ignore_ascii_case("unlimited") => {
            Ok("unlimited".into())
        }
        (Kind::Int, _) => Err("write a whole number, without quotes".to_owned()),
        (Kind::UnlimitedInt, _) => Err("write a whole number without quotes, or \"unlimited\"".to_owned()),
        (Kind::OneOf(choices), Json::String(text)) => Ok(spelt(choices, text.trim())?.into()),
        (Kind::OneOf(choices), _) => Err(format!("write one of {}", choices.join(", "))),
        (Kind::Flags(choices), value) => flags(choices, value),
        (Kind::List(of) | Kind::Rest(of), Json::Array(values)) => list(*of, values),
        (Kind::List(of) | Kind::Rest(of), value) => list(*of, vec![value]),
        (Kind::MultiValued(of), Json::Object(table)) => change(*of, table),
        (Kind::MultiValued(of), Json::Array(values)) => list(*of, values),
        (Kind::MultiValued(of), value) => list(*of, vec![value]),
        (Kind::Secret, value @ Json::String(_)) => Ok(value),
        (Kind::Secret, _) => Err("write a text, which is kept secret".to_owned()),
        (Kind::Credential, Json::Object(table)) => credential(table),
        (Kind::Credential, _) => Err(CREDENTIAL.to_owned()),
        (Kind::Table, value @ Json::Object(_)) | (Kind::Any | Kind::Ignored, value) => Ok(value),
        (Kind::Table, _) => Err("write an object".to_owned()),
        (Kind::Block, _) => Err("a script block runs where the shell runs: the server takes none".to_owned()),
    }
}

fn list(of: Kind, values: Vec<Json>) -> Result<Json, String> {
    if values.len() > ELEMENTS_MAX {
        return Err(format!("the list has {} elements: write at most {ELEMENTS_MAX}", values.len()));
    }
    let elements = values.into_iter().map(|value| match value {
        Json::Null => Err("an element of the list is null: leave it out".to_owned()),
        value => of_kind(of, value),
    });
    elements.collect::<Result<Vec<_>, _>>().map(Json::Array)
}

/// `{"Add": [...], "Remove": [...]}`, each a list.
fn change(of: Kind, table: Map<String, Json>) -> Result<Json, String> {
    let mut change = Map::new();
    for (name, value) in table {
        let name = ["Add", "Remove"].into_iter().find(|known| known.eq_ignore_ascii_case(&name));
        let name = name.ok_or("write a list, or @{Add = ...; Remove = ...}")?;
        let values = match value {
            Json::Array(values) => values,
            Json::Null => Vec::new(),
            value => vec![value],
        };
        change.insert(name.to_owned(), list(of, values)?);
    }
    Ok(change.into())
}

const CREDENTIAL: &str = "write an object with the texts UserName and Password, and nothing else";

/// A name with a secret, its keys in any case.
fn credential(table: Map<String, Json>) -> Result<Json, String> {
    let mut credential = Map::new();
    for (name, value) in table {
        let name = ["UserName", "Password"].into_iter().find(|known| known.eq_ignore_ascii_case(&name));
        let (name, true) = (name.ok_or(CREDENTIAL)?, value.is_string()) else { return Err(CREDENTIAL.to_owned()) };
        credential.insert(name.to_owned(), value);
    }
    if credential.len() == 2 { Ok(credential.into()) } else { Err(CREDENTIAL.to_owned()) }
}

/// A list of some of `choices`, from a list of texts or from one text with commas between.
fn flags(choices: &'static [&'static str], value: Json) -> Result<Json, String> {
    let texts = match value {
        Json::Array(values) => values,
        value => vec![value],
    };
    let mut flags: Vec<Json> = Vec::new();
    for text in &texts {
        let text = text.as_str().ok_or_else(|| format!("write some of {}", choices.join(", ")))?;
        for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let name = Json::from(spelt(choices, name)?);
            if !flags.contains(&name) {
                flags.push(name);
            }
        }
    }
    Ok(flags.into())
}

/// The choice of this name in any case, or the only one that begins so.
fn spelt(choices: &'static [&'static str], text: &str) -> Result<&'static str, String> {
    if let Some(choice) = choices.iter().find(|choice| choice.eq_ignore_ascii_case(text)) {
        return Ok(choice);
    }
    let begins = |choice: &&&'static str| {
        !text.is_empty() && choice.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
    };
    let mut beginning = choices.iter().filter(begins);
    if let (Some(choice), None) = (beginning.next(), beginning.next()) {
        return Ok(choice);
    }
    let text: String = text.chars().take(80).collect();
    let remedy = match nearest(&text, choices.iter().copied()) {
        Some(meant) => format!("did you mean {meant}?"),
        None => format!("write one of {}", choices.join(", ")),
    };
    Err(format!("there is no `{}`: {remedy}", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use gatepost_shell::command::Changes;
    use serde_json::json;

    use super::super::parameter::{also, named, needed};
    use super::*;

    static SIGNATURE: Signature = Signature {
        name: "Set-Thing",
        aliases: &[],
        synopsis: "Changes a thing.",
        parameters: &[
            needed(named("Identity", Kind::Identity, "Which.")),
            named("Enabled", Kind::Bool, "x"),
            also(&["Groups"], named("PermissionGroups", Kind::Flags(&["None", "AnonymousUsers", "Partners"]), "x")),
            named("TransportRole", Kind::OneOf(&["FrontendTransport", "HubTransport"]), "x"),
            named("Max", Kind::UnlimitedInt, "x"),
            named("Size", Kind::Size, "x"),
            named("Ranges", Kind::MultiValued(&Kind::Text), "x"),
            named("Rights", Kind::List(&Kind::Text), "x"),
            named("Key", Kind::Secret, "x"),
            named("Logon", Kind::Credential, "x"),
        ],
        changes: Changes::Unasked,
        examples: &[],
    };

    fn read(written: Json) -> Result<Arguments, String> {
        let Json::Object(written) = written else { panic!("an object") };
        Arguments::read(&SIGNATURE, written).map_err(|error| error.to_string())
    }

    #[test]
    fn values_come_in_the_one_form_of_their_kind() {
        for (name, written, expected) in [
            ("Enabled", json!(false), json!(false)),
            ("enabled", json!(null), json!(null)),
            ("GROUPS", json!("anonymoususers, Partners"), json!(["AnonymousUsers", "Partners"])),
            ("PermissionGroups", json!(["Partners", "partners"]), json!(["Partners"])),
            ("TransportRole", json!("Frontend"), json!("FrontendTransport")),
            ("Max", json!("Unlimited"), json!("unlimited")),
            ("Max", json!(7), json!(7)),
            ("Size", json!("35MB"), json!("35MB")),
            ("Size", json!(1024), json!(1024)),
            ("Ranges", json!("10.0.0.1"), json!(["10.0.0.1"])),
            (
                "Ranges",
                json!({"add": "10.0.0.1", "Remove": ["a", "b"]}),
                json!({"Add": ["10.0.0.1"], "Remove": ["a", "b"]}),
            ),
            ("Rights", json!(["a"]), json!(["a"])),
            ("Key", json!("s"), json!("s")),
            ("Logon", json!({"username": "a", "Password": "s"}), json!({"UserName": "a", "Password": "s"})),
        ] {
            let arguments =
                read(json!({"Identity": 25, name: written})).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(arguments.text("Identity"), Some("25"));
            let found = arguments.iter().find(|(parameter, _)| parameter.name != "Identity").expect("given");
            assert_eq!(found.1, &expected, "{name} {written}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_write() {
        for (written, said) in [
            (json!({}), "Set-Thing needs the parameter Identity: Which."),
            (json!({"Identity": "x", "Enabld": true}), "Set-Thing has no parameter `Enabld`: did you mean Enabled?"),
            (json!({"Identity": "x", "identity": "y"}), "the parameter Identity is given twice"),
            (json!({"Identity": "x", "Enabled": "true"}), "the parameter Enabled: write true or false, without quotes"),
            (json!({"Identity": "x", "Groups": "AnonymousUser"}), ""),
            (
                json!({"Identity": "x", "Groups": "Annonymous"}),
                "the parameter PermissionGroups: there is no `Annonymous`: write one of None, AnonymousUsers, Partners",
            ),
            (
                json!({"Identity": "x", "Max": -1.5}),
                "the parameter Max: write a whole number without quotes, or \"unlimited\"",
            ),
            (
                json!({"Identity": "x", "Ranges": {"Plus": 1}}),
                "the parameter Ranges: write a list, or @{Add = ...; Remove = ...}",
            ),
            (
                json!({"Identity": "x", "Ranges": [null]}),
                "the parameter Ranges: an element of the list is null: leave it out",
            ),
            (json!({"Identity": "x", "Key": 1}), "the parameter Key: write a text, which is kept secret"),
            (
                json!({"Identity": "x", "Logon": {"UserName": "a", "Password": 1}}),
                "the parameter Logon: write an object with the texts UserName and Password, and nothing else",
            ),
            (
                json!({"Identity": "x", "Logon": {"UserName": "a"}}),
                "the parameter Logon: write an object with the texts UserName and Password, and nothing else",
            ),
        ] {
            match read(written.clone()) {
                Err(error) => assert_eq!(error, said, "{written}"),
                Ok(_) => assert_eq!("", said, "{written}"),
            }
        }
    }
}
