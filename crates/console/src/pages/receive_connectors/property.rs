//! The properties of a receive connector as a form has them: which stand on which tab, how they are shown, and what of a
//! form that comes back is a change.
//!
//! Takes the connector's record and the form's fields, hands on parameters of Set-ReceiveConnector. Checks nothing: what is wrong, the
//! server says. The form carries what each property said at first: only what differs is a change, so that two who change different things at
//! the same time do not undo each other.

use gatepost_policy::settings::parse_size;
use serde_json::{Map, Value};

use crate::fields::Fields;

mod tabs;

pub use tabs::{ANONYMOUS_USERS, EXCHANGE_SERVERS, EXTERNALLY_SECURED, RIGHTS, TABS};

/// What a property is filled in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A line of text; empty is none.
    Text,
    /// A whole number.
    Number,
    /// A whole number, or `unlimited`.
    Unlimited,
    /// `36 MB`.
    Size,
    /// `00:10:00`.
    Span,
    /// A box.
    Truth,
    /// One of these.
    Choice(&'static [&'static str]),
    /// Texts, one each line.
    Lines,
    /// Boxes: the value and what it says.
    Flags(&'static [(&'static str, &'static str)]),
}

/// One property.
#[derive(Debug)]
pub struct Property {
    /// As Exchange spells it, which is also the parameter's name.
    pub name: &'static str,
    /// What stands beside the input.
    pub label: &'static str,
    /// What it is for.
    pub hint: &'static str,
    /// How it is filled in.
    pub input: Input,
}

/// Properties that stand together.
#[derive(Debug)]
pub struct Section {
    /// What they have in common.
    pub title: &'static str,
    /// They.
    pub properties: &'static [Property],
}

/// One tab of the properties.
#[derive(Debug)]
pub struct Tab {
    /// In the address.
    pub key: &'static str,
    /// What it says.
    pub name: &'static str,
    /// What stands on it.
    pub sections: &'static [Section],
}

impl Tab {
    /// The properties of all sections.
    pub fn properties(&self) -> impl Iterator<Item = &'static Property> {
        self.sections.iter().flat_map(|section| section.properties)
    }
}

/// The tab of this key; the first where there is none.
pub fn tab(key: &str) -> &'static Tab {
    TABS.iter().find(|tab| tab.key == key).unwrap_or(&TABS[0])
}

/// The value of a record's property, as its input shows it.
pub fn shown(property: &Property, record: &Value) -> String {
    let value = &record[property.name];
    match (property.input, value) {
        (_, Value::Null) => String::new(),
        (Input::Size, Value::Number(bytes)) => bytes.as_u64().map(size).unwrap_or_default(),
        (Input::Flags(flags), Value::Array(values)) => {
            let ticked = flags.iter().filter(|(flag, _)| values.iter().any(|value| value == flag));
            ticked.map(|(flag, _)| *flag).collect::<Vec<_>>().join("\n")
        }
        (_, Value::Array(values)) => values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n"),
        (_, Value::String(text)) => text.clone(),
        (_, other) => other.to_string(),
    }
}

/// The value that a form has, in the same form.
pub fn filled_in(property: &Property, fields: &Fields) -> String {
    match property.input {
        Input::Truth => fields.has(property.name).to_string(),
        Input::Flags(flags) => {
            let ticked = flags.iter().filter(|(flag, _)| fields.all(property.name).any(|value| value == *flag));
            ticked.map(|(flag, _)| *flag).collect::<Vec<_>>().join("\n")
        }
        Input::Lines => fields.list(property.name).join("\n"),
        Input::Size => {
            let text = fields.text(property.name);
            parse_size(text).map_or_else(|| text.to_owned(), size)
        }
        _ => fields.text(property.name).to_owned(),
    }
}

/// The field of a form that carries what a property said at first.
pub fn was_name(property: &Property) -> String {
    format!("was-{}", property.name)
}

/// What a property said when the form was made; what the record says where no form has carried it.
pub fn at_first(property: &Property, record: &Value, fields: Option<&Fields>) -> String {
    let name = was_name(property);
    let carried = fields.filter(|fields| fields.has(&name)).map(|fields| fields.raw(&name).to_owned());
    carried.unwrap_or_else(|| shown(property, record))
}

/// The parameters that somebody has changed in the form: none where it says what it said at first.
pub fn changes<'a>(
    properties: impl Iterator<Item = &'a Property>,
    record: &Value,
    fields: &Fields,
) -> Map<String, Value> {
    // A form may leave out what is too long for a page. Boxes that are not ticked are not sent.
    let is_told =
        |property: &&Property| matches!(property.input, Input::Truth | Input::Flags(_)) || fields.has(property.name);
    let changed = properties.filter(is_told).filter_map(|property| {
        let text = filled_in(property, fields);
        (text != at_first(property, record, Some(fields)))
            .then(|| (property.name.to_owned(), parameter(property, &text)))
    });
    changed.collect()
}

/// A value as the registry takes it. What is none of its kind goes as text, and the server says what is wrong with it.
fn parameter(property: &Property, text: &str) -> Value {
    match property.input {
        Input::Truth => (text == "true").into(),
        Input::Lines => text.lines().collect::<Vec<_>>().into(),
        Input::Flags(_) if text.is_empty() && property.name != "Repair" => vec!["None"].into(),
        Input::Flags(_) => text.lines().collect::<Vec<_>>().into(),
        Input::Number | Input::Unlimited => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
        Input::Size => text.replace(' ', "").into(),
        _ if text.is_empty() => Value::Null,
        _ => text.into(),
    }
}

/// A size as people write it, nothing of it lost: `36 MB`, `100 KB`, `1000001`.
pub fn size(bytes: u64) -> String {
    for (unit, name) in [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            return format!("{} {name}", bytes / unit);
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use gatepost_manage::command;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_property_is_a_parameter_and_stands_once() {
        let set = command::find("Set-ReceiveConnector").expect("there").signature;
        let shape = command::find("Get-ReceiveConnector").and_then(|entry| entry.output).expect("there");
        let mut seen = HashSet::new();
        for property in TABS.iter().flat_map(Tab::properties) {
            assert!(seen.insert(property.name), "{} stands twice", property.name);
            assert!(set.parameters.iter().any(|parameter| parameter.name == property.name), "{}", property.name);
            assert!(shape.properties.iter().any(|known| known.name == property.name), "{}", property.name);
        }
        // What can be set and has an effect stands somewhere.
        let idle = |help: &str| ["alone", "Taken", "Which:", "Does not ask"].iter().any(|word| help.contains(word));
        for parameter in set.parameters.iter().filter(|parameter| !idle(parameter.help)) {
            assert!(seen.contains(parameter.name), "{} stands nowhere", parameter.name);
        }
    }

    fn record() -> Value {
        json!({
            "Name": "Relay", "Enabled": true, "Comment": "", "ProtocolLoggingLevel": "None", "Fqdn": "mx1.contoso.com",
            "Banner": null, "DefaultDomain": null, "MaxMessageSize": 37_748_736, "PermissionGroups": ["AnonymousUsers", "Custom"],
            "RemoteIPRanges": ["10.0.0.1", "10.0.0.2"], "MessageRateLimit": "unlimited", "MaxHopCount": 60,
            "AuthMechanism": ["Tls"],
        })
    }

    fn changed(names: &[&str], form: &str) -> Value {
        let properties = TABS.iter().flat_map(Tab::properties).filter(|property| names.contains(&property.name));
        changes(properties, &record(), &Fields::read(form.as_bytes())).into()
    }

    #[test]
    fn only_what_differs_is_a_change() {
        for (names, form, expected) in [
            (
                &["Name", "Enabled", "Banner", "MaxMessageSize"][..],
                "Name=Relay&Enabled=on&MaxMessageSize=36+MB",
                json!({}),
            ),
            (&["MaxMessageSize"], "MaxMessageSize=37748736", json!({})),
            (&["MaxMessageSize"], "MaxMessageSize=50mb", json!({"MaxMessageSize": "50MB"})),
            (&["MaxMessageSize"], "MaxMessageSize=1000001", json!({"MaxMessageSize": "1000001"})),
            (&["MaxMessageSize"], "MaxMessageSize=huge", json!({"MaxMessageSize": "huge"})),
            (&["Enabled", "Banner"], "Banner=220+hello", json!({"Enabled": false, "Banner": "220 hello"})),
            (&["Fqdn"], "Fqdn=", json!({"Fqdn": null})),
            (&["RemoteIPRanges"], "RemoteIPRanges=10.0.0.1%0D%0A+10.0.0.2+", json!({})),
            (&["RemoteIPRanges"], "RemoteIPRanges=10.0.0.1", json!({"RemoteIPRanges": ["10.0.0.1"]})),
            (&["MessageRateLimit", "MaxHopCount"], "MessageRateLimit=unlimited&MaxHopCount=60", json!({})),
            (
                &["MessageRateLimit", "MaxHopCount"],
                "MessageRateLimit=5&MaxHopCount=x",
                json!({"MessageRateLimit": 5, "MaxHopCount": "x"}),
            ),
            // Custom is no box: it is read back, and never written.
            (&["PermissionGroups"], "PermissionGroups=AnonymousUsers", json!({})),
            (
                &["PermissionGroups"],
                "PermissionGroups=ExchangeServers&PermissionGroups=AnonymousUsers",
                json!({"PermissionGroups": ["AnonymousUsers", "ExchangeServers"]}),
            ),
            (&["PermissionGroups"], "", json!({"PermissionGroups": ["None"]})),
            (
                &["AuthMechanism"],
                "AuthMechanism=Tls&AuthMechanism=ExternalAuthoritative",
                json!({"AuthMechanism": ["Tls", "ExternalAuthoritative"]}),
            ),
        ] {
            assert_eq!(changed(names, form), expected, "{form}");
        }
    }

    #[test]
    fn what_somebody_else_has_changed_meanwhile_stays() {
        let names = &["Comment", "Enabled", "MaxHopCount", "MaxMessageSize", "PermissionGroups", "RemoteIPRanges"];
        // What the record says is newer than this form: a hop more, a group more, a range more, another size; and it is enabled.
        let form = "was-Comment=&Comment=scanners&was-Enabled=false&was-MaxHopCount=59&MaxHopCount=59\
            &was-MaxMessageSize=35+MB&MaxMessageSize=35MB&was-PermissionGroups=&was-RemoteIPRanges=10.0.0.1\
            &RemoteIPRanges=10.0.0.1%0D%0A";
        assert_eq!(changed(names, form), json!({"Comment": "scanners"}));
        // What was typed is a change even where it says by now what the record says.
        let form =
            "was-MaxHopCount=59&MaxHopCount=60&was-RemoteIPRanges=10.0.0.1%0D%0A10.0.0.2&RemoteIPRanges=10.0.0.2";
        let expected = json!({"MaxHopCount": 60, "RemoteIPRanges": ["10.0.0.2"]});
        assert_eq!(changed(&["MaxHopCount", "RemoteIPRanges"], form), expected);
    }

    #[test]
    fn a_size_is_written_so_that_nothing_of_it_is_lost() {
        for (bytes, expected) in
            [(37_748_736, "36 MB"), (65_536, "64 KB"), (1_000_001, "1000001"), (1 << 31, "2 GB"), (0, "0")]
        {
            assert_eq!(size(bytes), expected);
        }
    }
}
