//! Pages of what the registry has commands for: a list, and for each object its properties, forms to make, change and remove it.
//!
//! Knows no kind of object: what there is to fill in follows from the signature of New- and Set-, what is shown from the
//! shape of Get-. Where a change opens or closes anything, that is shown and confirmed first.

mod change;
mod control;
mod members;

use std::collections::BTreeMap;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use gatepost_manage::command::{self, Entry};
use gatepost_manage::object::{PropertyKind, Shape};
use gatepost_manage::resource::CommandRequest;
use serde_json::{Map, Value, json};

use self::control::Control;
use self::members::Members;
use crate::fields::path_part;
use crate::forms::Form;
use crate::layout::{Answer, Page, show_as};
use crate::paging::{Pager, ROWS, offset};
use crate::problem::Problem;
use crate::text::size;
use crate::visit::{Console, Visit};

/// One kind of object.
pub struct Area {
    /// Where its pages are.
    path: &'static str,
    /// The entry of the navigation that it belongs to.
    navigation: &'static str,
    /// What many are called.
    title: &'static str,
    /// What one is called.
    one: &'static str,
    /// As commands say it.
    noun: &'static str,
    /// The chapter of the guide.
    guide: &'static str,
    /// What is asked first, besides what has to be there.
    first: &'static [&'static str],
}

static AREAS: [Area; 8] = [
    Area {
        path: "/send-connectors",
        navigation: "/send-connectors",
        title: "Send connectors",
        one: "send connector",
        noun: "SendConnector",
        guide: "routing",
        first: &["AddressSpaces", "SmartHosts", "Enabled", "RequireTLS", "SmartHostAuthMechanism", "Comment"],
    },
    Area {
        path: "/accepted-domains",
        navigation: "/accepted-domains",
        title: "Accepted domains",
        one: "accepted domain",
        noun: "AcceptedDomain",
        guide: "recipients",
        first: &["DomainName", "DomainType", "MatchSubDomains"],
    },
    Area {
        path: "/remote-domains",
        navigation: "/remote-domains",
        title: "Remote domains",
        one: "remote domain",
        noun: "RemoteDomain",
        guide: "reports",
        first: &["DomainName"],
    },
    Area {
        path: "/recipients/mailboxes",
        navigation: "/recipients",
        title: "Mailboxes",
        one: "mailbox",
        noun: "Mailbox",
        guide: "recipients",
        first: &["PrimarySmtpAddress", "DisplayName", "EmailAddresses"],
    },
    Area {
        path: "/recipients/contacts",
        navigation: "/recipients",
        title: "Mail contacts",
        one: "mail contact",
        noun: "MailContact",
        guide: "recipients",
        first: &["ExternalEmailAddress", "DisplayName", "EmailAddresses"],
    },
    Area {
        path: "/recipients/groups",
        navigation: "/recipients",
        title: "Distribution groups",
        one: "distribution group",
        noun: "DistributionGroup",
        guide: "recipients",
        first: &["PrimarySmtpAddress", "DisplayName", "Members", "RequireSenderAuthenticationEnabled"],
    },
    Area {
        path: "/users",
        navigation: "/users",
        title: "Users",
        one: "user",
        noun: "User",
        guide: "first-steps",
        first: &["Addresses", "Groups", "Password"],
    },
    Area {
        path: "/certificates",
        navigation: "/certificates",
        title: "Certificates",
        one: "certificate",
        noun: "ExchangeCertificate",
        guide: "run-as-a-service",
        first: &[],
    },
];

/// The routes.
pub fn routes() -> Router<Console> {
    let mut router = Router::new().route("/recipients", get(recipients));
    for area in &AREAS {
        let at = |part: &str| format!("{}{part}", area.path);
        router = router
            .route(area.path, get(move |visit: Visit| list(area, visit)))
            .route(
                &at("/new"),
                get(move |visit| change::ask_new(area, visit)).post(move |sent| change::make(area, sent)),
            )
            .route(
                &at("/of/{identity}"),
                get(move |visit, Path(identity)| one(area, visit, identity))
                    .post(move |Path(identity), sent| change::set(area, identity, sent)),
            )
            .route(
                &at("/of/{identity}/remove"),
                get(move |visit, Path(identity)| change::ask_remove(area, visit, identity))
                    .post(move |Path(identity), sent| change::remove(area, identity, sent)),
            )
            .route(
                &at("/of/{identity}/members"),
                axum::routing::post(move |Path(identity), sent| members::change(area, identity, sent)),
            );
    }
    router
}

/// What the forms of these pages need.
pub fn forms() -> impl Iterator<Item = Form> {
    let of_area = |area: &'static Area| {
        let form = move |part: &str, command: String| {
            command::find(&command).map(|_| Form::running(format!("{}{part}", area.path), &command))
        };
        let forms = [
            form("/new", format!("New-{}", area.noun)).map(Form::whole_page),
            form("/of/{identity}", format!("Set-{}", area.noun)),
            form("/of/{identity}/remove", format!("Remove-{}", area.noun)).map(Form::whole_page),
            form("/of/{identity}/members", format!("Add-{}Member", area.noun)),
        ];
        forms.into_iter().flatten()
    };
    AREAS.iter().flat_map(of_area)
}

/// The first kind of recipients stands for all of them.
async fn recipients(visit: Visit) -> Answer {
    let first = AREAS.iter().find(|area| area.navigation == "/recipients");
    list(first.expect("mailboxes stand in the table"), visit).await
}

impl Area {
    /// The command that does this to such objects.
    fn command(&self, verb: &str) -> Option<&'static Entry> {
        command::find(&format!("{verb}-{}", self.noun))
    }

    /// The command that lists them, with what it yields.
    fn listing(&self) -> Result<(&'static Entry, &'static Shape), Problem> {
        let entry = self.command("Get").filter(|entry| entry.output.is_some());
        let none = || Problem::refused(StatusCode::NOT_FOUND, format!("this server has no commands for {}s", self.one));
        entry.and_then(|entry| Some((entry, entry.output?))).ok_or_else(none)
    }

    /// Whether this visitor may do that to such objects.
    fn may(&self, visit: &Visit, verb: &str) -> bool {
        self.command(verb).is_some_and(|entry| visit.may(entry.role))
    }

    /// The pages beside this one, where several kinds share an entry of the navigation.
    fn beside(&self) -> Vec<&'static Area> {
        let beside: Vec<&Area> = AREAS.iter().filter(|area| area.navigation == self.navigation).collect();
        if beside.len() > 1 { beside } else { Vec::new() }
    }

    /// The address of an object.
    fn path_of(&self, identity: &str) -> String {
        format!("{}/of/{}", self.path, path_part(identity))
    }

    /// The object of this identity.
    async fn find(&self, visit: &Visit, identity: &str) -> Result<Map<String, Value>, Problem> {
        let (entry, _) = self.listing()?;
        let answer = visit.run(entry.signature.name, json!({ "Identity": identity })).await?;
        let none = || Problem::refused(StatusCode::NOT_FOUND, format!("there is no {} {identity}", self.one));
        match answer.output.into_iter().next() {
            Some(Value::Object(record)) => Ok(record),
            _ => Err(none()),
        }
    }
}

#[derive(Template)]
#[template(path = "objects.html")]
struct List {
    page: Page,
    area: &'static Area,
    headings: Vec<&'static str>,
    rows: Vec<Row>,
    pager: Pager,
    search: String,
    may_make: bool,
    problem: Option<String>,
}

struct Row {
    href: String,
    cells: Vec<String>,
}

async fn list(area: &'static Area, visit: Visit) -> Answer {
    let (entry, shape) = area.listing()?;
    let search = visit.query.text("q").to_owned();
    let mut parameters = Map::new();
    if !search.is_empty() {
        let pattern = if search.contains(['*', '?']) { search.clone() } else { format!("*{search}*") };
        parameters.insert("Identity".to_owned(), pattern.into());
    }
    // As many as there are: a page of them is shown.
    if entry.signature.parameters.iter().any(|parameter| parameter.name == "ResultSize") {
        parameters.insert("ResultSize".to_owned(), "unlimited".into());
    }
    let request = CommandRequest { parameters, lean: true, ..CommandRequest::default() };
    let (records, problem) = match visit.client.command(entry.signature.name, &request).await {
        Ok(answer) => (answer.output, None),
        Err(error) => match Problem::from(error) {
            Problem::Refused { status: StatusCode::NOT_FOUND, .. } if !search.is_empty() => (Vec::new(), None),
            Problem::Refused { status, error, .. } if status.is_client_error() && !search.is_empty() => {
                (Vec::new(), Some(error))
            }
            other => return Err(other),
        },
    };
    let columns = columns(shape);
    let page = &records[offset(&visit.query).min(records.len())..];
    let rows = page.iter().take(ROWS).map(|record| {
        let identity = record["Identity"].as_str().or(record["Name"].as_str()).unwrap_or_default();
        Row { href: area.path_of(identity), cells: columns.iter().map(|column| shown(shape, column, record)).collect() }
    });
    let rows: Vec<Row> = rows.collect();
    let list = List {
        area,
        headings: columns.clone(),
        pager: Pager::of(&visit.query, rows.len(), records.len() as u64),
        rows,
        search,
        may_make: area.may(&visit, "New"),
        problem,
        page: Page::new(visit, area.navigation, area.title),
    };
    show_as(if list.problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK }, &list)
}

/// The properties that the shell shows in a table, the name first: it leads to the object.
fn columns(shape: &'static Shape) -> Vec<&'static str> {
    let mut columns = shape.view.table.to_vec();
    if columns.is_empty() {
        columns = shape.properties.iter().take(5).map(|property| property.name).collect();
    }
    let leads = columns.iter().position(|name| *name == "Name" || *name == shape.view.identity).unwrap_or(0);
    columns[..=leads].rotate_right(1);
    columns
}

/// A property of a record that leaves out what is as usual, for a person.
fn shown(shape: &Shape, name: &str, record: &Value) -> String {
    let Some(property) = shape.properties.iter().find(|property| property.name == name) else { return String::new() };
    let usual = property.usual.to_json();
    in_words(property.kind, record.get(name).unwrap_or(&usual))
}

fn in_words(kind: PropertyKind, value: &Value) -> String {
    match (kind, value) {
        (_, Value::Null) => String::new(),
        (_, Value::Bool(true)) => "Yes".to_owned(),
        (_, Value::Bool(false)) => "No".to_owned(),
        (PropertyKind::Size, Value::Number(bytes)) => bytes.as_u64().map_or_else(|| bytes.to_string(), size),
        (PropertyKind::Unlimited(of), value @ Value::Number(_)) => in_words(*of, value),
        (PropertyKind::List(of), Value::Array(values)) => {
            values.iter().map(|value| in_words(*of, value)).collect::<Vec<_>>().join(", ")
        }
        (_, Value::Array(values)) => {
            values.iter().map(|value| in_words(PropertyKind::Any, value)).collect::<Vec<_>>().join(", ")
        }
        (_, Value::String(text)) => text.clone(),
        (_, other) => other.to_string(),
    }
}

#[derive(Template)]
#[template(path = "object.html")]
struct One {
    page: Page,
    area: &'static Area,
    action: String,
    problem: Option<(String, Vec<String>)>,
    first: Vec<Control>,
    rest: Vec<Control>,
    facts: Vec<(&'static str, String)>,
    members: Option<Members>,
    may_remove: bool,
    is_new: bool,
}

async fn one(area: &'static Area, visit: Visit, identity: String) -> Answer {
    show_one(area, visit, identity, None, None).await
}

/// An object with the form that changes it; `typed` is what was filled in before, and why that was not done.
async fn show_one(
    area: &'static Area,
    visit: Visit,
    identity: String,
    typed: Option<Vec<Control>>,
    problem: Option<Problem>,
) -> Answer {
    let record = area.find(&visit, &identity).await?;
    let (_, shape) = area.listing()?;
    let may_change = area.may(&visit, "Set");
    let controls = match (typed, area.command("Set")) {
        (Some(controls), _) => controls,
        (None, Some(entry)) if may_change => control::controls(entry, Some(&record)),
        _ => Vec::new(),
    };
    let record = Value::Object(record);
    let facts = shape.properties.iter().map(|property| (property.name, shown(shape, property.name, &record)));
    let (status, problem) = told(problem);
    let (first, rest) = parted(area, shape, controls);
    let one = One {
        area,
        action: area.path_of(&identity),
        problem,
        first,
        rest,
        facts: facts.filter(|(_, value)| !value.is_empty()).collect(),
        members: Members::of(area, &visit, &identity).await?,
        may_remove: area.may(&visit, "Remove"),
        is_new: false,
        page: Page::new(visit, area.navigation, identity),
    };
    show_as(status, &one)
}

/// The status and the words of what went wrong.
fn told(problem: Option<Problem>) -> (StatusCode, Option<(String, Vec<String>)>) {
    match problem {
        Some(Problem::Refused { status, error, details }) => (status, Some((error, details))),
        _ => (StatusCode::OK, None),
    }
}

/// What is asked first, and the rest.
fn parted(area: &Area, shape: &Shape, controls: Vec<Control>) -> (Vec<Control>, Vec<Control>) {
    let place: BTreeMap<&str, usize> = area.first.iter().enumerate().map(|(place, name)| (*name, place)).collect();
    let is_first = |control: &Control| {
        control.is_mandatory || place.contains_key(control.name) || shape.view.table.contains(&control.name)
    };
    let (mut first, mut rest): (Vec<Control>, Vec<Control>) = controls.into_iter().partition(is_first);
    if first.is_empty() {
        std::mem::swap(&mut first, &mut rest);
    }
    first.sort_by_key(|control| match place.get(control.name) {
        _ if control.is_mandatory => (0, 0),
        Some(place) => (1, *place),
        None => (2, 0),
    });
    (first, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_area_whose_commands_are_there_has_a_list_and_a_form_for_each_of_its_parameters() {
        let mut listed = 0;
        for area in &AREAS {
            let Ok((_, shape)) = area.listing() else { continue };
            listed += 1;
            assert!(!columns(shape).is_empty(), "{}", area.noun);
            for verb in ["New", "Set"] {
                let Some(entry) = area.command(verb) else { continue };
                let controls = control::controls(entry, None);
                for parameter in entry.signature.parameters.iter().filter(|parameter| parameter.is_mandatory) {
                    let is_there = controls.iter().any(|control| control.name == parameter.name);
                    assert!(is_there || parameter.name == "Identity", "{verb}-{} -{}", area.noun, parameter.name);
                }
            }
        }
        assert!(listed >= 3, "only {listed} kinds of objects have commands");
    }

    #[test]
    fn values_are_for_people() {
        for (kind, value, expected) in [
            (PropertyKind::Bool, json!(true), "Yes"),
            (PropertyKind::Unlimited(&PropertyKind::Size), json!(10_485_760), "10\u{a0}MB"),
            (PropertyKind::Unlimited(&PropertyKind::Size), json!("unlimited"), "unlimited"),
            (PropertyKind::List(&PropertyKind::Text), json!(["a", "b"]), "a, b"),
            (PropertyKind::Text, json!(null), ""),
        ] {
            assert_eq!(in_words(kind, &value), expected);
        }
    }
}
