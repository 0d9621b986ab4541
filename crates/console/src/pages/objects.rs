//! Pages of what the registry has commands for: a list, and for each object its properties, forms to make, change and remove it.
//!
//! Knows no kind of object: what there is to fill in, under which heading and name, the form of its noun says, what is shown the shape
//! of Get-. What a change opens or closes, and which mail goes another way by it, is shown and confirmed first.

mod change;
mod members;
mod trouble;
mod control;

use askama::Template;
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use gatepost_manage::command::form::{Field, Form};
use gatepost_manage::command::{self, Entry};
use gatepost_manage::object::{PropertyKind, Shape};
use gatepost_manage::resource::{CommandAnswer, CommandRequest};
use serde_json::{Map, Value, json};

use self::control::{Control, Dialog};
use self::members::Members;
use self::trouble::Trouble;
use crate::fields::path_part;
use crate::forms;
use crate::layout::{Answer, Page, show_as};
use crate::paging::{Pager, ROWS, offset};
use crate::problem::Problem;
use crate::text::size;
use crate::visit::{Console, Visit};

/// A dialog with more fields than this has tabs.
const FIELDS_OF_A_PAGE: usize = 12;

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
    /// The columns of the list; none: those of the shell's table.
    columns: &'static [&'static str],
}

static AREAS: [Area; 8] = [
    Area {
        path: "/send-connectors",
        navigation: "/send-connectors",
        title: "Send connectors",
        one: "send connector",
        noun: "SendConnector",
        guide: "routing",
        columns: &["Name", "AddressSpaces", "SmartHosts", "SmartHostAuthMechanism", "Enabled"],
    },
    Area {
        path: "/accepted-domains",
        navigation: "/accepted-domains",
        title: "Accepted domains",
        one: "accepted domain",
        noun: "AcceptedDomain",
        guide: "recipients",
        columns: &["Name", "DomainType", "Default"],
    },
    Area {
        path: "/remote-domains",
        navigation: "/remote-domains",
        title: "Remote domains",
        one: "remote domain",
        noun: "RemoteDomain",
        guide: "reports",
        columns: &["Name", "NDREnabled", "DeliveryReportEnabled"],
    },
    Area {
        path: "/recipients/mailboxes",
        navigation: "/recipients",
        title: "Mailboxes",
        one: "mailbox",
        noun: "Mailbox",
        guide: "recipients",
        columns: &["Name", "PrimarySmtpAddress"],
    },
    Area {
        path: "/recipients/contacts",
        navigation: "/recipients",
        title: "Mail contacts",
        one: "mail contact",
        noun: "MailContact",
        guide: "recipients",
        columns: &["Name", "PrimarySmtpAddress", "ExternalEmailAddress"],
    },
    Area {
        path: "/recipients/groups",
        navigation: "/recipients",
        title: "Distribution groups",
        one: "distribution group",
        noun: "DistributionGroup",
        guide: "recipients",
        columns: &["Name", "PrimarySmtpAddress", "RequireSenderAuthenticationEnabled"],
    },
    Area {
        path: "/users",
        navigation: "/users",
        title: "Users",
        one: "user",
        noun: "User",
        guide: "first-steps",
        columns: &["Name", "Addresses", "Groups", "PasswordPlace"],
    },
    Area {
        path: "/certificates",
        navigation: "/certificates",
        title: "Certificates",
        one: "certificate",
        noun: "ExchangeCertificate",
        guide: "run-as-a-service",
        columns: &[],
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
pub fn forms() -> impl Iterator<Item = forms::Form> {
    let of_area = |area: &'static Area| {
        let form = move |part: &str, command: String| {
            command::find(&command).map(|_| forms::Form::running(format!("{}{part}", area.path), &command))
        };
        let forms = [
            form("/new", format!("New-{}", area.noun)).map(forms::Form::whole_page),
            form("/of/{identity}", format!("Set-{}", area.noun)),
            form("/of/{identity}/remove", format!("Remove-{}", area.noun)).map(forms::Form::whole_page),
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
        let none =
            || Problem::refused(StatusCode::NOT_FOUND, format!("This server has no commands for {}s.", self.one));
        entry.and_then(|entry| Some((entry, entry.output?))).ok_or_else(none)
    }

    /// Whether this visitor may do that to such objects.
    fn may(&self, visit: &Visit, verb: &str) -> bool {
        self.command(verb).is_some_and(|entry| visit.may(entry.role))
    }

    /// The dialog by which such objects are made or changed.
    fn dialog(&self, verb: &str) -> Option<Dialog> {
        let (_, shape) = self.listing().ok()?;
        Some(Dialog { form: self.form()?, entry: self.command(verb)?, shape })
    }

    /// How a person fills one in; none: nobody makes or changes such objects.
    fn form(&self) -> Option<&'static Form> {
        command::form_of(self.noun)
    }

    /// Whether a new one is looked at once more before it is made.
    fn is_confirmed(&self) -> bool {
        self.form().is_some_and(|form| form.is_confirmed)
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
        let none = || Problem::refused(StatusCode::NOT_FOUND, format!("There is no {} {identity}.", self.one));
        match answer.output.into_iter().next() {
            Some(Value::Object(record)) => Ok(record),
            _ => Err(none()),
        }
    }
}

/// What was done, with what is legal but probably not meant, each on a line of its own: see [`with_warnings`].
fn said(done: &str, answer: &CommandAnswer) -> String {
    let done = std::iter::once(done).chain(answer.notes.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
    answer.warnings.iter().fold(done, |said, warning| format!("{said}\n{warning}"))
}

/// A page apart from what [`said`] has warned of behind what was done.
fn with_warnings(mut page: Page) -> (Page, Vec<String>) {
    let said = page.done.take().unwrap_or_default();
    let mut lines = said.lines().map(str::to_owned);
    page.done = lines.next();
    let warnings = lines.collect();
    (page, warnings)
}

#[derive(Template)]
#[template(path = "objects.html")]
struct List {
    page: Page,
    /// Of what was done just now.
    warnings: Vec<String>,
    area: &'static Area,
    headings: Vec<String>,
    rows: Vec<Row>,
    pager: Pager,
    search: String,
    may_make: bool,
    problem: Option<String>,
}

struct Row {
    href: String,
    cells: Vec<String>,
    /// What deserves to be seen beside its name.
    badges: Vec<&'static str>,
}

async fn list(area: &'static Area, visit: Visit) -> Answer {
    let (entry, shape) = area.listing()?;
    let search = visit.query.text("q").to_owned();
    let mut parameters = Map::new();
    if !search.is_empty() {
        let pattern = if search.contains(['*', '?']) { search.clone() } else { format!("*{search}*") };
        parameters.insert("Identity".to_owned(), pattern.into());
    }
    let (offset, limit) = (Some(offset(&visit.query)), Some(ROWS));
    let request = CommandRequest { parameters, lean: true, offset, limit, ..CommandRequest::default() };
    let (records, total, problem) = match visit.client.command(entry.signature.name, &request).await {
        Ok(answer) => (answer.output, answer.total.unwrap_or_default(), None),
        Err(error) => match Problem::from(error) {
            Problem::Refused { status: StatusCode::NOT_FOUND, .. } if !search.is_empty() => (Vec::new(), 0, None),
            Problem::Refused { status, error, .. } if status.is_client_error() && !search.is_empty() => {
                (Vec::new(), 0, Some(error))
            }
            other => return Err(other),
        },
    };
    let columns = area.columns(shape);
    let form = area.form();
    let rows = records.iter().map(|record| {
        let identity = record["Identity"].as_str().or(record["Name"].as_str()).unwrap_or_default();
        Row {
            href: area.path_of(identity),
            cells: columns.iter().map(|column| shown(shape, form, column, record)).collect(),
            badges: form.map(|form| form.badges_of(record)).unwrap_or_default(),
        }
    });
    let rows: Vec<Row> = rows.collect();
    let pager = Pager::of(&visit.query, rows.len(), total);
    let may_make = area.may(&visit, "New");
    let (page, warnings) = with_warnings(Page::new(visit, area.navigation, area.title));
    let list = List {
        area,
        headings: columns.iter().map(|column| label(form, column)).collect(),
        pager,
        rows,
        search,
        may_make,
        problem,
        page,
        warnings,
    };
    show_as(if list.problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK }, &list)
}

impl Area {
    /// The columns of the list, the name first: it leads to the object.
    fn columns(&self, shape: &'static Shape) -> Vec<&'static str> {
        if !self.columns.is_empty() {
            return self.columns.to_vec();
        }
        let mut columns = shape.view.table.to_vec();
        if columns.is_empty() {
            columns = shape.properties.iter().take(5).map(|property| property.name).collect();
        }
        let leads = columns.iter().position(|name| *name == "Name" || *name == shape.view.identity).unwrap_or(0);
        columns[..=leads].rotate_right(1);
        columns
    }
}

/// What people call a property: as the form says, or its name as words.
fn label(form: Option<&Form>, name: &str) -> String {
    form.and_then(|form| form.label_of(name)).map_or_else(|| words(name), str::to_owned)
}

/// `NotAfter` is `Not after`.
fn words(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut words = String::with_capacity(name.len() + 4);
    for (place, letter) in letters.iter().enumerate() {
        let begins = place > 0 && letter.is_uppercase() && !letters[place - 1].is_uppercase();
        let is_alone = letters.get(place + 1).is_none_or(|next| next.is_lowercase());
        if begins {
            words.push(' ');
        }
        match begins && is_alone {
            true => words.extend(letter.to_lowercase()),
            false => words.push(*letter),
        }
    }
    words
}

/// A property of a record that leaves out what is as usual, for a person: in the words of the form, where it has any.
fn shown(shape: &Shape, form: Option<&Form>, name: &str, record: &Value) -> String {
    let Some(property) = shape.properties.iter().find(|property| property.name == name) else { return String::new() };
    let usual = property.usual.to_json();
    let value = record.get(name).unwrap_or(&usual);
    let said = match value {
        Value::Bool(truth) => truth.to_string(),
        value => value.as_str().unwrap_or_default().to_owned(),
    };
    let meant = form.map(|form| form.in_words(name, &said)).filter(|words| *words != said).map(str::to_owned);
    let told = form.and_then(|form| form.told_of(name, record));
    told.or(meant).unwrap_or_else(|| in_words(property.kind, value))
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
    /// Of what was done just now.
    warnings: Vec<String>,
    area: &'static Area,
    action: String,
    trouble: Option<Trouble>,
    tabs: Vec<Tab>,
    tab: &'static str,
    sections: Vec<Shown>,
    facts: Vec<Facts>,
    members: Option<Members>,
    may_remove: bool,
    is_new: bool,
}

/// One tab of a dialog.
struct Tab {
    key: &'static str,
    title: &'static str,
    is_this: bool,
}

/// Fields under one heading.
struct Shown {
    title: &'static str,
    about: &'static str,
    /// Whether it is folded away: most never need it, and nothing in it is filled in.
    is_folded: bool,
    controls: Vec<Control>,
}

/// What an object says, under one heading.
struct Facts {
    title: &'static str,
    rows: Vec<(String, String)>,
}

/// The fields under their headings.
fn sections(form: &Form, controls: Vec<Control>) -> Vec<Shown> {
    let mut controls = controls;
    let sections = form.sections.iter().map(|section| {
        let (own, others) = std::mem::take(&mut controls).into_iter().partition(|one| one.section == section.key);
        controls = others;
        let own: Vec<Control> = own;
        let is_touched = own.iter().any(|control| control.is_changed() || control.problem.is_some());
        Shown {
            title: section.title,
            about: section.about,
            is_folded: section.is_advanced && !is_touched,
            controls: own,
        }
    });
    sections.filter(|section| !section.controls.is_empty()).collect()
}

/// The tabs of a dialog that is too long for one page, and the one that is wanted; none: it is not too long.
fn tabs(form: &Form, controls: &[Control], wanted: &str) -> Vec<Tab> {
    if controls.len() <= FIELDS_OF_A_PAGE {
        return Vec::new();
    }
    let has_fields = |key: &str| controls.iter().any(|control| control.section == key);
    let mut tabs: Vec<Tab> = form
        .sections
        .iter()
        .filter(|section| has_fields(section.key))
        .map(|section| Tab { key: section.key, title: section.title, is_this: section.key == wanted })
        .collect();
    if let Some(first) = tabs.first_mut().filter(|_| !form.sections.iter().any(|section| section.key == wanted)) {
        first.is_this = true;
    }
    tabs
}

async fn one(area: &'static Area, visit: Visit, identity: String) -> Answer {
    show_one(area, visit, identity, None, None).await
}

/// An object with the form that changes it; `typed` is what was filled in before.
async fn show_one(
    area: &'static Area,
    visit: Visit,
    identity: String,
    typed: Option<Vec<Control>>,
    trouble: Option<Trouble>,
) -> Answer {
    let record = area.find(&visit, &identity).await?;
    let (_, shape) = area.listing()?;
    let dialog = area.dialog("Set").filter(|_| area.may(&visit, "Set"));
    let all = dialog.map(|dialog| dialog.controls(Some(&record))).unwrap_or_default();
    let form = area.form();
    let typed_on = typed.as_ref().and_then(|typed| typed.first()).map(|control| control.section);
    let wanted = typed_on.unwrap_or(visit.query.text("tab")).to_owned();
    let tabs = form.map(|form| tabs(form, &all, &wanted)).unwrap_or_default();
    let tab = tabs.iter().find(|tab| tab.is_this).map_or("", |tab| tab.key);
    let controls = typed.unwrap_or(all).into_iter().filter(|control| tab.is_empty() || control.section == tab);
    let mut sections = form.map(|form| sections(form, controls.collect())).unwrap_or_default();
    if !tab.is_empty() {
        sections.iter_mut().for_each(|section| section.is_folded = false);
    }
    let record = Value::Object(record);
    let facts = match form {
        Some(form) => facts_of(form, shape, &record, dialog.is_some()),
        None => vec![Facts {
            title: "Properties",
            rows: rows(shape, None, shape.properties.iter().map(|one| (one.name, words(one.name))), &record),
        }],
    };
    let members = Members::of(area, &visit, &identity).await?;
    let may_remove = area.may(&visit, "Remove");
    let action = area.path_of(&identity);
    let (page, warnings) = with_warnings(Page::new(visit, area.navigation, identity));
    let one = One {
        area,
        action,
        sections,
        tabs,
        tab,
        facts: facts.into_iter().filter(|facts| !facts.rows.is_empty()).collect(),
        members,
        may_remove,
        is_new: false,
        page,
        warnings,
        trouble,
    };
    show_as(one.trouble.as_ref().map_or(StatusCode::OK, |trouble| trouble.status), &one)
}

/// What is said of an object besides what its fields say: to those who cannot change them, everything.
fn facts_of(form: &'static Form, shape: &'static Shape, record: &Value, has_fields: bool) -> Vec<Facts> {
    let mut facts = Vec::new();
    if !has_fields {
        for section in form.sections {
            let of_field = |field: &Field| (field.property, field.label.to_owned());
            let said = rows(shape, Some(form), section.fields.iter().map(of_field), record).into_iter();
            let mut known: Vec<(String, String)> = Vec::new();
            for row in said.filter(|(label, _)| label != "Members") {
                if !known.contains(&row) {
                    known.push(row);
                }
            }
            facts.push(Facts { title: section.title, rows: known });
        }
    }
    // The heading of the page says its name.
    let besides = form.besides.iter().filter(|(name, _)| !["Name", "DomainName"].contains(name));
    let besides = besides.map(|(name, label)| (*name, (*label).to_owned()));
    facts.push(Facts { title: "Besides", rows: rows(shape, Some(form), besides, record) });
    facts
}

fn rows(
    shape: &'static Shape,
    form: Option<&Form>,
    properties: impl Iterator<Item = (&'static str, String)>,
    record: &Value,
) -> Vec<(String, String)> {
    let rows = properties.map(|(name, label)| (label, shown(shape, form, name, record)));
    rows.filter(|(_, value)| !value.is_empty()).collect()
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
            for column in area.columns(shape) {
                assert!(shape.properties.iter().any(|property| property.name == column), "{} {column}", area.noun);
            }
            for verb in ["New", "Set"] {
                let Some(entry) = area.command(verb) else { continue };
                let dialog = area.dialog(verb).unwrap_or_else(|| panic!("{} has no form", area.noun));
                let controls = dialog.controls(None);
                for parameter in entry.signature.parameters.iter().filter(|parameter| parameter.is_mandatory) {
                    let is_there = controls.iter().any(|control| control.name == parameter.name);
                    assert!(is_there || parameter.name == "Identity", "{verb}-{} -{}", area.noun, parameter.name);
                }
                let all = sections(dialog.form, controls.clone());
                assert_eq!(all.iter().map(|section| section.controls.len()).sum::<usize>(), controls.len());
            }
        }
        assert!(listed >= 8, "only {listed} kinds of objects have commands");
    }

    #[test]
    fn a_long_dialog_has_tabs_and_opens_at_the_one_that_is_wanted() {
        let area = AREAS.iter().find(|area| area.noun == "SendConnector").expect("an area");
        let dialog = area.dialog("Set").expect("a dialog");
        let this = |wanted: &str| {
            let tabs = tabs(dialog.form, &dialog.controls(None), wanted);
            let this: Vec<_> = tabs.iter().filter(|tab| tab.is_this).map(|tab| tab.key).collect();
            (tabs.len(), this)
        };
        assert_eq!(this("security"), (6, vec!["security"]));
        assert_eq!(this("no such tab"), (6, vec!["general"]));
        let mailbox =
            AREAS.iter().find(|area| area.noun == "Mailbox").and_then(|area| area.dialog("Set")).expect("a dialog");
        assert!(tabs(mailbox.form, &mailbox.controls(None), "").is_empty());
    }

    #[test]
    fn names_of_properties_become_words() {
        for (name, expected) in [
            ("NotAfter", "Not after"),
            ("DNSRoutingEnabled", "DNSRouting enabled"),
            ("Services", "Services"),
            ("HasPrivateKey", "Has private key"),
        ] {
            assert_eq!(words(name), expected);
        }
        let form = command::form_of("SendConnector");
        assert_eq!(label(form, "AddressSpaces"), "Address spaces");
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
