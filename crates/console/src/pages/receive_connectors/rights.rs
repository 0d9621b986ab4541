//! The tab Rights: every entry that gives or takes a right on a connector, with its conditions; one more, one less, one otherwise.
//!
//! There is no command that changes an entry, as nothing names one: what tells it from others is what it says. So one that is changed
//! goes and comes in one transaction: one revision, and no moment without it.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use gatepost_manage::ClientError;
use gatepost_policy::permission::{Right, Trustee};
use gatepost_policy::role::Role;
use serde_json::{Value, json};

use super::entry::{ENTRIES_MAX, Edited, EntryShown, TERMS, entries, first};
use super::properties::{Head, record};
use super::property::{ANONYMOUS_USERS, RIGHTS, tab};
use super::{AREA, place, text, texts};
use crate::change::{Call, Change};
use crate::confirming::{Asked, BACK, Back, Outcome, make_once_seen};
use crate::fields::Fields;
use crate::layout::{Answer, Page, show_as};
use crate::mistake::{self, Mistake};
use crate::problem::Problem;
use crate::rights::{RightShown, all};
use crate::text::end_of_day;
use crate::visit::{Sent, Visit};

/// The field by which somebody ticks the group, too, without which an entry is of no use.
const WITH_GROUP: &str = "with_group";
/// The field that says which entry a form changes, and that leads to that form.
const EDITED: &str = "edit";
/// What is said where that entry is there no more.
const EDITED_ELSEWHERE: &str =
    "Nothing was changed: the entry is not there any more as you opened it. Look at it above, and begin again.";
/// The fields of the form.
const FIELDS: &mistake::Fields = &[
    ("User", "Account", &["User", "user"]),
    ("ExtendedRights", "Rights", &["ExtendedRights", "extended_rights"]),
    ("Senders", "Senders", &["Senders", "senders"]),
    ("Recipients", "Recipients", &["Recipients", "recipients"]),
    ("Hours", "Hours", &["Hours", "hours"]),
    ("MessagesPerHour", "Messages per hour", &["MessagesPerHour", "messages_per_hour"]),
    ("Expires", "Until", &["Expires", "expires"]),
    ("EntryOwner", "Owner", &["EntryOwner", "owner"]),
    ("Ticket", "Ticket", &["Ticket", "ticket"]),
    ("Comment", "Comment", &["Comment", "comment"]),
];
/// Rights that administrators give; the others are for servers among themselves.
const COMMON: usize = 11;

#[derive(Template)]
#[template(path = "receive_connector_rights.html")]
struct RightsPage {
    page: Page,
    head: Head,
    entries: Vec<EntryShown>,
    more: usize,
    accounts: Vec<String>,
    common: Vec<RightChoice>,
    others: Vec<RightChoice>,
    typed: Fields,
    mistakes: Vec<Mistake>,
    relays_for_anonymous: bool,
    /// Whether those who do not log on may not send at all.
    lacks_group: bool,
    /// The entry that the form changes; none: it adds one.
    edited: Option<Edited>,
}

struct RightChoice {
    right: RightShown,
    is_ticked: bool,
}

impl RightsPage {
    /// What is wrong with a field.
    fn wrong(&self, field: &str) -> Option<String> {
        mistake::wrong(&self.mistakes, field)
    }

    /// Whether one of the rights is ticked that are folded away.
    fn tells_others(&self) -> bool {
        self.others.iter().any(|choice| choice.is_ticked)
    }
}

/// The tab, with what was typed into its form where the server has refused it.
///
/// # Errors
/// What the server says.
pub async fn page(visit: Visit, record: &Value, typed: &Fields, error: Option<&ClientError>) -> Answer {
    show(visit, record, typed, error.map(|error| Mistake::of(error, FIELDS))).await
}

async fn show(visit: Visit, record: &Value, typed: &Fields, wrong: Option<(StatusCode, Vec<Mistake>)>) -> Answer {
    let name = text(&record["Name"]);
    let answer = visit.run("Get-ADPermission", json!({ "Identity": name })).await?;
    let entries = entries(&answer.output);
    let begun = typed.get(EDITED).or(visit.query.get(EDITED)).map(str::to_owned);
    let meant = begun.as_ref().and_then(|key| entries.iter().find(|entry| entry.is_own() && entry.key == *key));
    // Who comes by a link begins with what the entry says.
    let typed = match meant.filter(|_| !typed.has(EDITED)) {
        Some(entry) => entry.to_fields().and(std::iter::once((EDITED.to_owned(), entry.key.clone()))),
        None => typed.clone(),
    };
    let is_gone = begun.is_some() && meant.is_none();
    let gone = || (StatusCode::CONFLICT, vec![Mistake::of_all(EDITED_ELSEWHERE)]);
    let (status, mistakes) = wrong.or_else(|| is_gone.then(gone)).unwrap_or_default();
    let edited = meant.map(Edited::of);
    let choice = |right: RightShown| RightChoice {
        is_ticked: typed.all("ExtendedRights").any(|ticked| ticked == right.name),
        right,
    };
    let mut common: Vec<RightChoice> = all().into_iter().map(choice).collect();
    let others = common.split_off(COMMON);
    let any_recipient = Right::AcceptAnyRecipient.exchange_name();
    let anonymous = Trustee::AnonymousLogon.to_string();
    let relays = |entry: &EntryShown| {
        entry.user == anonymous && !entry.is_denied && entry.rights.iter().any(|right| right.name == any_recipient)
    };
    let page = RightsPage {
        head: Head::of(&visit, record, tab(RIGHTS)),
        lacks_group: !may_submit(&answer.output, &anonymous),
        relays_for_anonymous: entries.iter().any(relays),
        more: entries.len().saturating_sub(ENTRIES_MAX),
        entries: first(entries),
        accounts: Trustee::WELL_KNOWN.iter().map(Trustee::to_string).collect(),
        common,
        others,
        typed,
        edited,
        mistakes,
        page: Page::new(visit, AREA, name),
    };
    show_as(status, &page)
}

/// Whether an account may send at all, by what is in force whatever it sends.
fn may_submit(rows: &[Value], user: &str) -> bool {
    let submit = Right::Submit.exchange_name();
    rows.iter().any(|row| {
        row["User"] == user && row["Deny"] != true && texts(&row["ExtendedRights"]).iter().any(|right| right == submit)
    })
}

/// The calls that give another connector the entries that are no group's.
pub fn calls_of_own_entries(rows: &[Value], connector: &Value) -> Vec<Call> {
    let call = |entry: EntryShown| {
        let mut parameters = entry.parameters(connector);
        for (term, value) in TERMS.into_iter().zip(entry.raw).filter(|(_, value)| !value.is_null()) {
            parameters[term] = value;
        }
        Call::new("Add-ADPermission", parameters)
    };
    entries(rows).into_iter().filter(EntryShown::is_own).map(call).collect()
}

/// The calls that take away every entry of an account that is no group's, each by what tells it from the others. What a group gives is
/// none of them: that group has been taken away before.
pub fn calls_without_entries_of(rows: &[Value], connector: &str, user: &str) -> Vec<Call> {
    let all: Vec<EntryShown> = entries(rows).into_iter().filter(EntryShown::is_own).collect();
    let theirs = all.iter().filter(|entry| !entry.is_denied && entry.user == user);
    theirs.map(|entry| entry.removal(&connector.into(), &all)).collect()
}

/// The entries that give an account rights on a connector and are no group's: which rights, and where the form is that changes them.
pub fn edits_of(rows: &[Value], connector: &str, user: &str) -> Vec<(String, String)> {
    let theirs = entries(rows).into_iter().filter(|entry| entry.is_own() && !entry.is_denied && entry.user == user);
    let edit = |entry: EntryShown| {
        let rights: Vec<&str> = entry.rights.iter().map(|right| right.name.as_str()).collect();
        (rights.join(", "), format!("{}&{EDITED}={}#entry", here(connector), entry.key))
    };
    theirs.map(edit).collect()
}

/// The parameters of Add-ADPermission that a form means, which adds an entry or changes `edited`.
fn added(name: &str, fields: &Fields, edited: Option<&EntryShown>) -> Value {
    let rights: Vec<&str> = fields.all("ExtendedRights").collect();
    let mut parameters = json!({ "Identity": name, "User": fields.text("User"), "ExtendedRights": rights });
    if fields.has("Deny") {
        parameters["Deny"] = true.into();
    }
    for term in TERMS {
        let Some(text) = fields.get(term) else { continue };
        parameters[term] = match term {
            "Senders" | "Recipients" => fields.list(term).into(),
            // A comma belongs to the hours.
            "Hours" => text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().into(),
            "MessagesPerHour" => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
            // A day says less than the moment that it was made of.
            "Expires" => edited.and_then(|entry| entry.expiry_of(text)).unwrap_or_else(|| end_of_day(text).into()),
            _ => text.into(),
        };
    }
    parameters
}

/// Whether what a form adds gives those who do not log on a right that they can make no use of: they may not send at all.
fn is_useless(rows: &[Value], fields: &Fields) -> bool {
    let anonymous = Trustee::AnonymousLogon.to_string();
    let submit = Right::Submit.exchange_name();
    fields.text("User").eq_ignore_ascii_case(&anonymous)
        && !fields.has("Deny")
        && !fields.all("ExtendedRights").any(|right| right.eq_ignore_ascii_case(submit))
        && !may_submit(rows, &anonymous)
}

/// The call that ticks the group of those who do not log on besides those that are ticked.
fn with_anonymous_users(name: &str, record: &Value) -> Call {
    let mut groups = texts(&record["PermissionGroups"]);
    groups.retain(|group| !matches!(group.as_str(), "Custom" | "None"));
    groups.push(ANONYMOUS_USERS.to_owned());
    Call::new("Set-ReceiveConnector", json!({ "Identity": name, "PermissionGroups": groups }))
}

/// `POST /receive-connectors/{name}/rights`: an entry more, or one otherwise.
pub async fn add(Path(name): Path<String>, Sent { visit, fields }: Sent) -> Answer {
    visit.need(Role::TransportAdmin)?;
    let record = record(&visit, &name).await?;
    let name = text(&record["Name"]);
    if fields.has(BACK) {
        return page(visit, &record, &fields, None).await;
    }
    let rows = visit.run("Get-ADPermission", json!({ "Identity": name })).await?.output;
    let (change, asked, done) = match fields.get(EDITED) {
        Some(key) => {
            let all = entries(&rows);
            let Some(entry) = all.iter().find(|entry| entry.is_own() && entry.key == key) else {
                return show(visit, &record, &fields, None).await;
            };
            let wanted = added(&name, &fields, Some(entry));
            let terms = entry.becomes(&wanted);
            if terms.is_empty() {
                return Ok(visit.done(&here(&name), "Nothing was different: the entry says what it said."));
            }
            let change =
                Change(vec![entry.removal(&name.as_str().into(), &all), Call::new("Add-ADPermission", wanted)]);
            let said = "All of it is one step: there is no moment without the entry.".to_owned();
            (change, Asked { terms, said: vec![said], ..asked(&name, "Change an entry of") }, "The entry is changed.")
        }
        None => {
            let is_useless = is_useless(&rows, &fields);
            let mut change = Change::of("Add-ADPermission", added(&name, &fields, None));
            let mut asked = asked(&name, "Add an entry to");
            if is_useless && fields.has(WITH_GROUP) {
                change.0.insert(0, with_anonymous_users(&name, &record));
                asked.said.push("The permission group Anonymous users is ticked in the same step.".to_owned());
            } else if is_useless {
                let said = "By this alone nothing changes: the permission group Anonymous users is not ticked here, so those who do not log on may not send at all.";
                asked.said.push(said.to_owned());
                asked.offer = Some((WITH_GROUP, "Tick Anonymous users in the same step"));
            }
            (change, asked, "The entry is in force.")
        }
    };
    match make_once_seen(&visit, &fields, &change, asked).await {
        Ok(Outcome::Made(_)) => Ok(visit.done(&here(&name), done)),
        Ok(Outcome::Shown(page)) => page,
        Err(error) => page(visit, &record, &fields, Some(&error)).await,
    }
}

/// The tab of a connector.
fn here(name: &str) -> String {
    format!("{}?tab={RIGHTS}", place(name))
}

/// What is asked before an entry comes.
fn asked(name: &str, doing: &str) -> Asked {
    let (title, action) = (format!("{doing} {name}"), format!("{}/rights", place(name)));
    Asked { is_always: true, ..Asked::of(AREA, title, action, "Apply", Back::Form) }
}

/// `POST /receive-connectors/{name}/rights/removal`.
pub async fn remove(Path(name): Path<String>, Sent { visit, fields }: Sent) -> Answer {
    visit.need(Role::TransportAdmin)?;
    let record = record(&visit, &name).await?;
    let name = text(&record["Name"]);
    let (title, action) = (format!("Remove rights on {name}"), format!("{}/rights/removal", place(&name)));
    let parameters = removed(&name, &fields);
    let rights = texts(&parameters["ExtendedRights"]);
    if rights.is_empty() {
        let error = "Tick the rights that are to be removed, or remove all of the entry.";
        return Err(Problem::refused(StatusCode::UNPROCESSABLE_ENTITY, error));
    }
    let asked = Asked {
        is_grave: true,
        is_always: true,
        said: vec![format!("Taken from {}: {}.", fields.text("User"), rights.join(", "))],
        ..Asked::of(AREA, title, action, "Remove", Back::Link(here(&name)))
    };
    let change = Change::of("Remove-ADPermission", parameters);
    match make_once_seen(&visit, &fields, &change, asked).await? {
        Outcome::Made(_) => Ok(visit.done(&here(&name), "The rights are removed.")),
        Outcome::Shown(page) => page,
    }
}

/// The parameters of Remove-ADPermission that a form means: the ticked rights of an entry, or all of them where its button was pressed.
fn removed(name: &str, fields: &Fields) -> Value {
    let rights: Vec<&str> = fields.all(if fields.has("whole") { "all" } else { "right" }).collect();
    let mut parameters = json!({ "Identity": name, "User": fields.text("User"), "ExtendedRights": rights });
    if fields.has("Deny") {
        parameters["Deny"] = true.into();
    }
    if let Ok(Value::Object(narrowing)) = serde_json::from_str(fields.raw("narrowing")) {
        for (term, value) in narrowing.into_iter().filter(|(term, _)| TERMS.contains(&term.as_str())) {
            parameters[term] = value;
        }
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(user: &str, right: &str, group: Value, senders: Value, ticket: Value) -> Value {
        json!({"User": user, "Deny": false, "ExtendedRights": [right], "PermissionGroup": group, "Senders": senders, "Ticket": ticket})
    }

    #[test]
    fn a_right_that_is_of_no_use_without_the_group_is_known() {
        let submit = "ms-Exch-SMTP-Submit";
        let anonymous = "NT AUTHORITY\\ANONYMOUS LOGON";
        let form = "User=nt+authority%5Canonymous+logon&ExtendedRights=ms-Exch-SMTP-Accept-Any-Recipient";
        let group = row(anonymous, submit, json!("AnonymousUsers"), Value::Null, Value::Null);
        let other = row("alice", submit, Value::Null, Value::Null, Value::Null);
        for (rows, more, expected) in [
            (vec![other.clone()], "", true),
            (vec![other.clone(), group], "", false),
            (vec![other.clone()], "&Deny=on", false),
            (vec![other.clone()], "&ExtendedRights=ms-exch-smtp-submit", false),
        ] {
            assert_eq!(is_useless(&rows, &Fields::read(format!("{form}{more}").as_bytes())), expected, "{more}");
        }
        assert!(!is_useless(&[other], &Fields::read(b"User=alice&ExtendedRights=x")));
        let record = json!({"PermissionGroups": ["ExchangeUsers", "Custom"]});
        assert_eq!(
            with_anonymous_users("Relay", &record).line(),
            "Set-ReceiveConnector \"Relay\" -PermissionGroups ExchangeUsers,AnonymousUsers"
        );
    }

    #[test]
    fn the_form_of_an_entry_is_found_by_what_it_says() {
        let rows = [
            row("A", "x", json!("AnonymousUsers"), Value::Null, Value::Null),
            row("A", "x", Value::Null, Value::Null, Value::Null),
            row("A", "y", Value::Null, Value::Null, Value::Null),
            row("B", "y", Value::Null, Value::Null, Value::Null),
        ];
        let edits = edits_of(&rows, "Third floor", "A");
        assert_eq!(edits.iter().map(|(rights, _)| rights.as_str()).collect::<Vec<_>>(), ["x, y"]);
        let key = &entries(&rows)[1].key;
        assert_eq!(edits[0].1, format!("/receive-connectors/Third%20floor?tab=rights&edit={key}#entry"));
    }

    #[test]
    fn a_form_becomes_the_parameters_of_the_command() {
        let form = "User=NT+AUTHORITY%5CANONYMOUS+LOGON&ExtendedRights=a&ExtendedRights=b&Senders=x%40y.example%0D%0Az%40y.example\
            &Hours=Mon%2CTue+08%3A00-18%3A00&MessagesPerHour=10&Expires=2027-01-31T00%3A00%3A00Z&Ticket=&EntryOwner=o%40y.example";
        assert_eq!(
            added("Relay", &Fields::read(form.as_bytes()), None),
            json!({
                "Identity": "Relay", "User": "NT AUTHORITY\\ANONYMOUS LOGON", "ExtendedRights": ["a", "b"],
                "Senders": ["x@y.example", "z@y.example"], "Hours": ["Mon,Tue 08:00-18:00"], "MessagesPerHour": 10,
                "Expires": "2027-01-31T00:00:00Z", "EntryOwner": "o@y.example",
            })
        );
        let form = "User=A&all=a&all=b&whole=1&narrowing=%7B%22Ticket%22%3Anull%2C%22Identity%22%3A%22Other%22%7D";
        let whole = json!({"Identity": "Relay", "User": "A", "ExtendedRights": ["a", "b"], "Ticket": null});
        assert_eq!(removed("Relay", &Fields::read(form.as_bytes())), whole);
        let some = removed("Relay", &Fields::read(b"User=A&all=a&all=b&right=b&Deny=1"));
        assert_eq!(some, json!({"Identity": "Relay", "User": "A", "ExtendedRights": ["b"], "Deny": true}));
    }
}
