//! The properties of one connector, tab by tab, with Exchange's names; and what else is done to a whole connector.
//!
//! What would change who may do what is shown before it is applied, with the command that does the same.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use gatepost_manage::ClientError;
use gatepost_policy::role::Role;
use serde_json::{Value, json};

use super::property::{
    EXCHANGE_SERVERS, EXTERNALLY_SECURED, Input, Property, RIGHTS, TABS, Tab, at_first, changes, filled_in, shown, tab,
    was_name,
};
use super::ranges::{FIELDS as FIELDS_OF_RANGES, RANGES_MAX, Ranges};
use super::{AREA, instant_ms, place, text};
use crate::change::Change;
use crate::confirming::{Asked, BACK, Back, Outcome, make_once_seen};
use crate::fields::{Fields, path_part};
use crate::layout::{Answer, Page, show_as};
use crate::mistake::refusal;
use crate::problem::Problem;
use crate::rights::externally_secured;
use crate::text::moment;
use crate::visit::{Sent, Visit};

/// The record of the connector of this name.
///
/// # Errors
/// There is none.
pub async fn record(visit: &Visit, name: &str) -> Result<Value, Problem> {
    let mut answer = visit.run("Get-ReceiveConnector", json!({ "Identity": name })).await?;
    match (answer.output.pop(), answer.output.is_empty()) {
        (Some(record), true) => Ok(record),
        _ => Err(Problem::refused(StatusCode::NOT_FOUND, format!("There is no receive connector “{name}”."))),
    }
}

/// The tab of a connector that the query names; every one but that of rights.
///
/// # Errors
/// Only a bug of ours.
pub fn page(visit: Visit, record: &Value) -> Answer {
    let tab = tab(visit.query.text("tab"));
    form(visit, record, tab, None, Told::default())
}

/// Whether the tab of rights is asked for.
pub fn is_of_rights(visit: &Visit) -> bool {
    tab(visit.query.text("tab")).key == RIGHTS
}

#[derive(Template)]
#[template(path = "receive_connector.html")]
struct Properties {
    page: Page,
    head: Head,
    sections: Vec<SectionShown>,
    problem: Option<String>,
    /// What was done besides what was asked.
    said: Option<&'static str>,
    groups_place: Option<String>,
    custom: bool,
}

/// What stands above every tab.
pub struct Head {
    pub name: String,
    pub place: String,
    pub tab: &'static str,
    pub tabs: Vec<TabShown>,
    pub is_enabled: bool,
    pub may_change: bool,
    pub changed: Option<String>,
    /// Where the wizard begins with what this one has.
    pub copy: String,
}

/// One tab to choose.
pub struct TabShown {
    pub key: &'static str,
    pub name: &'static str,
    pub is_this: bool,
}

impl Head {
    /// Of a connector's record.
    pub fn of(visit: &Visit, record: &Value, tab: &'static Tab) -> Head {
        let name = text(&record["Name"]);
        Head {
            place: place(&name),
            copy: format!("{AREA}/new?copy={}", path_part(&name)),
            name,
            tab: tab.key,
            tabs: TABS
                .iter()
                .map(|one| TabShown { key: one.key, name: one.name, is_this: one.key == tab.key })
                .collect(),
            is_enabled: record["Enabled"] == true,
            may_change: visit.may_send("/receive-connectors/{name}"),
            changed: instant_ms(&record["WhenChanged"]).map(moment),
        }
    }
}

/// The property that is a list of ranges, and the field that says that a form has them one by one.
const RANGES: &str = "RemoteIPRanges";
const RANGES_LISTED: &str = "ranges";
/// A longer list is no form any more: the page would be too large.
const LINES_BYTES_MAX: usize = 48 * 1024;

struct SectionShown {
    title: &'static str,
    fields: Vec<FieldShown>,
}

struct FieldShown {
    name: &'static str,
    label: &'static str,
    hint: &'static str,
    /// `text`, `truth`, `choice`, `lines`, `ranges`, `many` or `flags`.
    kind: &'static str,
    value: String,
    was_name: String,
    /// What it said at first.
    was: String,
    choices: Vec<ChoiceShown>,
    problem: Option<String>,
}

struct ChoiceShown {
    value: &'static str,
    label: &'static str,
    is_chosen: bool,
}

fn field(property: &'static Property, value: String, was: String, problem: Option<&str>) -> FieldShown {
    let is_chosen = |choice: &str| value.lines().any(|chosen| chosen == choice);
    let (kind, choices) = match property.input {
        Input::Truth => ("truth", Vec::new()),
        Input::Lines if property.name == RANGES && value.lines().count() <= RANGES_MAX => ("ranges", Vec::new()),
        Input::Lines if value.len() > LINES_BYTES_MAX => ("many", Vec::new()),
        Input::Lines => ("lines", Vec::new()),
        Input::Choice(choices) => {
            let shown = |value: &&'static str| ChoiceShown { value, label: value, is_chosen: is_chosen(value) };
            ("choice", choices.iter().map(shown).collect())
        }
        Input::Flags(flags) => {
            let shown = |(value, label): &(&'static str, &'static str)| ChoiceShown {
                value,
                label,
                is_chosen: is_chosen(value),
            };
            ("flags", flags.iter().map(shown).collect())
        }
        Input::Text | Input::Number | Input::Unlimited | Input::Size | Input::Span => ("text", Vec::new()),
    };
    FieldShown {
        name: property.name,
        label: property.label,
        hint: property.hint,
        kind,
        value,
        was_name: was_name(property),
        was,
        choices,
        problem: problem.map(str::to_owned),
    }
}

impl FieldShown {
    fn ranges(&self) -> Vec<&str> {
        self.value.lines().collect()
    }
}

/// What is said about what somebody has filled in.
#[derive(Default)]
struct Told {
    problem: Option<(StatusCode, String)>,
    said: Option<&'static str>,
}

impl Told {
    fn of(error: &ClientError) -> Told {
        Told { problem: Some(refusal(error)), said: None }
    }
}

/// A form whose list of ranges stands in it line by line, as the property has it; and what became of what was added or crossed out.
fn with_ranges(fields: Fields) -> (Fields, Told) {
    if !fields.has(RANGES_LISTED) {
        return (fields, Told::default());
    }
    let mut ranges = Ranges::read(&fields);
    let told = match ranges.take_in(&fields) {
        Ok(said) => Told { said, problem: None },
        Err(problem) => Told { said: None, problem: Some((StatusCode::UNPROCESSABLE_ENTITY, problem)) },
    };
    let rest = fields.without(FIELDS_OF_RANGES).with(RANGES, &ranges.to_lines());
    (Fields::read(rest.as_bytes()), told)
}

/// A tab as the record has it, or as somebody has filled it in, with what is to be said of that.
fn form(visit: Visit, record: &Value, tab: &'static Tab, typed: Option<&Fields>, told: Told) -> Answer {
    let Told { problem, said } = told;
    let (status, problem) = problem.map_or((StatusCode::OK, None), |(status, problem)| (status, Some(problem)));
    // Parameters stand in what the server says by their names: the longest is meant where one is part of another.
    let blamed = problem.as_deref().and_then(|problem| {
        let named = tab.properties().filter(|property| problem.contains(property.name));
        named.max_by_key(|property| property.name.len()).map(|property| property.name)
    });
    let section = |section: &'static super::property::Section| SectionShown {
        title: section.title,
        fields: section
            .properties
            .iter()
            .map(|property| {
                let value = typed.map_or_else(|| shown(property, record), |fields| filled_in(property, fields));
                let was = at_first(property, record, typed);
                field(property, value, was, problem.as_deref().filter(|_| blamed == Some(property.name)))
            })
            .collect(),
    };
    let groups = super::texts(&record["PermissionGroups"]);
    let wants_trust = typed.is_some_and(|fields| fields.all("AuthMechanism").any(|flag| flag == EXTERNALLY_SECURED));
    let lacks_group = wants_trust && problem.is_some() && !groups.iter().any(|group| group == EXCHANGE_SERVERS);
    let head = Head::of(&visit, record, tab);
    let groups_place = lacks_group.then(|| format!("{}?tab=groups", head.place));
    let page = Properties {
        page: Page::new(visit, AREA, head.name.clone()),
        sections: tab.sections.iter().map(section).collect(),
        problem,
        said,
        groups_place,
        custom: tab.key == "groups" && groups.iter().any(|group| group == "Custom"),
        head,
    };
    show_as(status, &page)
}

/// `POST /receive-connectors/{name}`: what a tab was filled in with.
pub async fn apply(Path(name): Path<String>, Sent { visit, fields }: Sent) -> Answer {
    visit.need(Role::TransportAdmin)?;
    let record = record(&visit, &name).await?;
    let tab = tab(fields.text("tab"));
    let is_edited = fields.has("add") || fields.has("remove");
    let is_listed = fields.has(RANGES_LISTED);
    let (fields, mut told) = with_ranges(fields);
    if is_listed && !is_edited && !fields.has(RANGES) {
        let problem = Ranges::default().problem().unwrap_or_default();
        told.problem = told.problem.or(Some((StatusCode::UNPROCESSABLE_ENTITY, problem)));
    }
    if fields.has(BACK) || is_edited || told.problem.is_some() {
        return form(visit, &record, tab, Some(&fields), told);
    }
    let mut parameters = changes(tab.properties(), &record, &fields);
    let own_name = text(&record["Name"]);
    let here = format!("{}?tab={}", place(&own_name), tab.key);
    if parameters.is_empty() {
        return Ok(visit.done(&here, "Nothing was different."));
    }
    let trusts = parameters.get("AuthMechanism").and_then(Value::as_array);
    let trusts = trusts.is_some_and(|flags| flags.iter().any(|flag| flag == EXTERNALLY_SECURED));
    let was_trusting = super::texts(&record["AuthMechanism"]).iter().any(|flag| flag == EXTERNALLY_SECURED);
    let new_name = parameters.get("Name").and_then(Value::as_str).unwrap_or(&own_name).to_owned();
    parameters.insert("Identity".to_owned(), own_name.as_str().into());
    let change = Change::of("Set-ReceiveConnector", parameters.into());
    let rights = if trusts && !was_trusting { externally_secured() } else { Vec::new() };
    let asked = Asked {
        is_always: !rights.is_empty(),
        rights,
        ..Asked::of(AREA, format!("Apply to {own_name}"), place(&own_name), "Apply", Back::Form)
    };
    match make_once_seen(&visit, &fields, &change, asked).await {
        Ok(Outcome::Made(_)) => {
            Ok(visit.done(&format!("{}?tab={}", place(&new_name), tab.key), "The changes are in force."))
        }
        Ok(Outcome::Shown(page)) => page,
        Err(error) => form(visit, &record, tab, Some(&fields), Told::of(&error)),
    }
}

/// `POST /receive-connectors/{name}/enabled`.
pub async fn enable(Path(name): Path<String>, Sent { visit, fields }: Sent) -> Answer {
    visit.need(Role::TransportAdmin)?;
    let record = record(&visit, &name).await?;
    let name = text(&record["Name"]);
    let wanted = fields.get("to") == Some("true");
    let change = Change::of("Set-ReceiveConnector", json!({ "Identity": name, "Enabled": wanted }));
    let verb = if wanted { "Enable" } else { "Disable" };
    let (title, action) = (format!("{verb} {name}"), format!("{}/enabled", place(&name)));
    let asked = Asked::of(AREA, title, action, verb, Back::Link(place(&name)));
    let said = if wanted { "The connector is enabled." } else { "The connector is disabled." };
    match make_once_seen(&visit, &fields, &change, asked).await? {
        Outcome::Made(_) => Ok(visit.done(&place(&name), said)),
        Outcome::Shown(page) => page,
    }
}

/// `POST /receive-connectors/{name}/removal`.
pub async fn remove(Path(name): Path<String>, Sent { visit, fields }: Sent) -> Answer {
    visit.need(Role::TransportAdmin)?;
    let record = record(&visit, &name).await?;
    let name = text(&record["Name"]);
    let change = Change::of("Remove-ReceiveConnector", json!({ "Identity": name }));
    let (title, action) = (format!("Remove {name}"), format!("{}/removal", place(&name)));
    let asked =
        Asked { is_grave: true, is_always: true, ..Asked::of(AREA, title, action, "Remove", Back::Link(place(&name))) };
    match make_once_seen(&visit, &fields, &change, asked).await? {
        Outcome::Made(_) => Ok(visit.done(AREA, &format!("The receive connector {name} is removed."))),
        Outcome::Shown(page) => page,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_of_a_form_become_the_lines_of_their_property() {
        for (form, lines, is_said) in [
            ("ranges=1&range=10.0.0.1&range=10.0.0.2&remove=10.0.0.1", "10.0.0.2", false),
            ("ranges=1&range=0.0.0.0-255.255.255.255&new_address=10.0.0.1&add=1", "10.0.0.1", true),
            ("ranges=1&range=10.0.0.1&remove=10.0.0.1", "", false),
            // A list that is too long for that comes as it was typed.
            ("RemoteIPRanges=10.0.0.1%0A10.0.0.2", "10.0.0.1\n10.0.0.2", false),
        ] {
            let (fields, told) = with_ranges(Fields::read(form.as_bytes()));
            assert_eq!((fields.text(RANGES), told.said.is_some()), (lines, is_said), "{form}");
            assert!(!fields.has("range") && !fields.has("new_address") && told.problem.is_none(), "{form}");
        }
        let (fields, told) = with_ranges(Fields::read(b"ranges=1&range=10.0.0.1&new_address=printer&Fqdn=a.example"));
        assert!(told.problem.is_some_and(|(_, problem)| problem.contains("printer")));
        assert_eq!((fields.text(RANGES), fields.text("Fqdn")), ("10.0.0.1", "a.example"));
    }
}
