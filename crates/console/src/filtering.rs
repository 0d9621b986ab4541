//! Filters over properties by Exchange's names and operators, as lists take them: typed, or put together from the words of
//! the queue viewer.

use gatepost_manage::filter::Property;

use crate::fields::Fields;
use crate::paging::asked;

/// What the queue viewer calls each comparison, and its name in forms.
const COMPARISONS: [(&str, &str); 9] = [
    ("equals", "Equals"),
    ("differs", "Does Not Equal"),
    ("contains", "Contains"),
    ("greater", "Greater Than"),
    ("at-least", "Greater Than Or Equals"),
    ("less", "Less Than"),
    ("at-most", "Less Than Or Equals"),
    ("present", "Is Present"),
    ("absent", "Is Not Present"),
];

/// The form above a list.
pub struct FilterForm {
    /// The filter as it stands.
    pub text: String,
    /// What is wrong with it.
    pub problem: Option<String>,
    /// An example.
    pub example: &'static str,
    /// What can be asked.
    pub properties: Vec<&'static str>,
    /// What else the list is asked, which stays so.
    pub kept: Vec<(&'static str, String)>,
}

impl FilterForm {
    /// The form of a list; fields of the query named in `kept` stay as they are.
    pub fn of(query: &Fields, known: &[Property], example: &'static str, kept: &[&'static str]) -> FilterForm {
        FilterForm {
            text: query.text("filter").to_owned(),
            problem: None,
            example,
            properties: known.iter().map(|property| property.name).collect(),
            kept: kept.iter().filter_map(|name| Some((*name, query.get(name)?.to_owned()))).collect(),
        }
    }

    /// The comparisons to choose from.
    pub fn operators(&self) -> &'static [(&'static str, &'static str)] {
        &COMPARISONS
    }
}

/// The query of the list with the condition that was added to its filter, if one was.
pub fn added(query: &Fields) -> Option<String> {
    query.get("add")?;
    let rest = asked(query).without(&["add", "property", "operator", "value", "page"]);
    let Some(condition) = condition(query) else { return Some(rest.to_query()) };
    let filter = match query.get("filter") {
        Some(filter) => format!("{filter} -and {condition}"),
        None => condition,
    };
    Some(rest.with("filter", &filter))
}

fn condition(query: &Fields) -> Option<String> {
    let (property, value) = (query.get("property")?, query.text("value"));
    let quoted = |value: &str| format!("'{}'", value.replace('\'', "''"));
    let (operator, operand) = match query.text("operator") {
        "present" => ("-ne", "$null".to_owned()),
        "absent" => ("-eq", "$null".to_owned()),
        // A condition without a value would mean everything, or nothing.
        _ if value.is_empty() => return None,
        "contains" => ("-like", quoted(&format!("*{value}*"))),
        "differs" => ("-ne", quoted(value)),
        "greater" => ("-gt", quoted(value)),
        "at-least" => ("-ge", quoted(value)),
        "less" => ("-lt", quoted(value)),
        "at-most" => ("-le", quoted(value)),
        _ => ("-eq", quoted(value)),
    };
    Some(format!("{property} {operator} {operand}"))
}

#[cfg(test)]
mod tests {
    use gatepost_manage::filter::{Filter, Properties};
    use gatepost_manage::properties::QueueRow;

    use super::*;

    #[test]
    fn what_is_put_together_is_a_filter() {
        for (query, expected) in [
            ("add=1&property=Status&operator=equals&value=Retry", "Status -eq 'Retry'"),
            (
                "add=1&filter=MessageCount+-gt+5&property=NextHopDomain&operator=contains&value=o'x",
                "MessageCount -gt 5 -and NextHopDomain -like '*o''x*'",
            ),
            ("add=1&property=MessageCount&operator=at-least&value=100", "MessageCount -ge '100'"),
            ("add=1&property=LastError&operator=present", "LastError -ne $null"),
            ("add=1&property=LastError&operator=absent&value=x", "LastError -eq $null"),
        ] {
            let query = added(&Fields::read(query.as_bytes())).expect("a condition was added");
            let filter = Fields::read(query.as_bytes());
            assert_eq!(filter.text("filter"), expected);
            Filter::parse_over(expected, QueueRow::ALL).expect("a filter");
        }
        assert_eq!(added(&Fields::read(b"filter=x&property=Status&operator=equals&value=y")), None);
        assert_eq!(
            added(&Fields::read(b"add=1&filter=x&property=Status&operator=equals&value=")).as_deref(),
            Some("filter=x")
        );
    }
}
