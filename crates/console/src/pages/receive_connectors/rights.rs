//! The tab Rights: every entry that gives or takes a right on a connector, with its conditions; one more, one less.

use askama::Template;
use axum::extract::Path;
use axum::http::StatusCode;
use gatepost_manage::ClientError;
use gatepost_policy::permission::{Right, Trustee};
use gatepost_policy::role::Role;
use serde_json::{Map, Value, json};

use super::properties::{Asked, Back, CONFIRMED, Head, confirm, confirmed, record, refusal};
use super::property::{ANONYMOUS_USERS, RIGHTS, tab};
use super::{AREA, instant_ms, place, text, texts};
use crate::change::{Call, Change};
use crate::fields::Fields;
use crate::layout::{Answer, Page, show_as};
use crate::problem::Problem;
use crate::rights::{RightShown, all, meaning_of};
use crate::text::{end_of_day, moment};
use crate::visit::{Sent, Visit};

/// What binds an entry or says whose it is: parameters of Add-ADPermission, and properties of what Get-ADPermission yields.
const TERMS: [&str; 8] =
    ["Senders", "Recipients", "Hours", "MessagesPerHour", "Expires", "EntryOwner", "Ticket", "Comment"];
/// The field by which somebody ticks the group, too, without which an entry is of no use.
const WITH_GROUP: &str = "with_group";
/// More entries are counted, not shown.
const ENTRIES_MAX: usize = 60;
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
    problem: Option<String>,
    relays_for_anonymous: bool,
    /// Whether those who do not log on may not send at all.
    lacks_group: bool,
}

/// One entry: rows of Get-ADPermission that differ in their right alone.
#[derive(Clone, Debug, PartialEq)]
struct EntryShown {
    id: usize,
    user: String,
    is_denied: bool,
    group: String,
    rights: Vec<RightOfEntry>,
    terms: Vec<(&'static str, String)>,
    /// The record's own values of [`TERMS`].
    raw: Vec<Value>,
    /// What a form that removes it carries.
    narrowing: String,
}

#[derive(Clone, Debug, PartialEq)]
struct RightOfEntry {
    name: String,
    meaning: &'static str,
}

struct RightChoice {
    right: RightShown,
    is_ticked: bool,
}

/// The tab, with what was typed into its form where the server has refused it.
///
/// # Errors
/// What the server says.
pub async fn page(visit: Visit, record: &Value, typed: &Fields, error: Option<&ClientError>) -> Answer {
    let name = text(&record["Name"]);
    let answer = visit.run("Get-ADPermission", json!({ "Identity": name })).await?;
    let entries = entries(&answer.output);
    let (status, problem) = error.map_or((StatusCode::OK, None), |error| {
        let (status, problem) = refusal(error);
        (status, Some(problem))
    });
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
        typed: typed.clone(),
        problem,
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

fn entries(rows: &[Value]) -> Vec<EntryShown> {
    let mut entries: Vec<EntryShown> = Vec::new();
    for row in rows {
        let raw: Vec<Value> = TERMS.iter().map(|term| row[*term].clone()).collect();
        let (user, is_denied, group) = (text(&row["User"]), row["Deny"] == true, text(&row["PermissionGroup"]));
        let rights = texts(&row["ExtendedRights"]);
        let rights = rights.into_iter().map(|name| RightOfEntry { meaning: meaning_of(&name), name });
        match entries.last_mut() {
            Some(last) if (&last.user, last.is_denied, &last.group, &last.raw) == (&user, is_denied, &group, &raw) => {
                last.rights.extend(rights);
            }
            _ => entries.push(EntryShown {
                id: entries.len(),
                terms: terms(&raw),
                rights: rights.collect(),
                user,
                is_denied,
                group,
                raw,
                narrowing: String::new(),
            }),
        }
    }
    entries
}

/// The first entries, as they are shown: each told from all the others, those that are not shown included.
fn first(mut entries: Vec<EntryShown>) -> Vec<EntryShown> {
    let shown = entries.iter().take(ENTRIES_MAX);
    let narrowed: Vec<String> = shown.map(|entry| narrowing(entry, &entries).to_string()).collect();
    entries.truncate(ENTRIES_MAX);
    for (entry, narrowing) in entries.iter_mut().zip(narrowed) {
        entry.narrowing = narrowing;
    }
    entries
}

fn terms(raw: &[Value]) -> Vec<(&'static str, String)> {
    const SAID: [&str; 8] =
        ["senders", "recipients", "hours", "messages per hour", "until", "owner", "ticket", "comment"];
    let said = SAID.into_iter().zip(raw).filter(|(_, value)| !value.is_null());
    said.map(|(what, value)| match value {
        Value::Array(_) => (what, texts(value).join(", ")),
        value if what == "until" => (what, instant_ms(value).map_or_else(|| text(value), moment)),
        Value::Number(number) => (what, number.to_string()),
        value => (what, text(value)),
    })
    .collect()
}

/// The calls that give another connector the entries that are no group's.
pub fn calls_of_own_entries(rows: &[Value], connector: &Value) -> Vec<Call> {
    let call = |entry: EntryShown| {
        let rights: Vec<&str> = entry.rights.iter().map(|right| right.name.as_str()).collect();
        let mut parameters = json!({ "Identity": connector, "User": entry.user, "ExtendedRights": rights });
        if entry.is_denied {
            parameters["Deny"] = true.into();
        }
        for (term, value) in TERMS.into_iter().zip(entry.raw).filter(|(_, value)| !value.is_null()) {
            parameters[term] = value;
        }
        Call::new("Add-ADPermission", parameters)
    };
    entries(rows).into_iter().filter(|entry| entry.group.is_empty()).map(call).collect()
}

/// The calls that take away every entry of an account that is no group's, each by what tells it from the others.
pub fn calls_without_entries_of(rows: &[Value], connector: &str, user: &str) -> Vec<Call> {
    let all = entries(rows);
    let own = all.iter().filter(|entry| entry.group.is_empty() && !entry.is_denied && entry.user == user);
    let call = |entry: &EntryShown| {
        let rights: Vec<&str> = entry.rights.iter().map(|right| right.name.as_str()).collect();
        let mut parameters = json!({ "Identity": connector, "User": entry.user, "ExtendedRights": rights });
        if let Value::Object(narrowing) = narrowing(entry, &all) {
            narrowing.into_iter().for_each(|(term, value)| parameters[term] = value);
        }
        Call::new("Remove-ADPermission", parameters)
    };
    own.map(call).collect()
}

/// What tells an entry from others that give or take the same rights to or from the same account.
fn narrowing(entry: &EntryShown, all: &[EntryShown]) -> Value {
    let is_alike = |other: &&EntryShown| {
        *other != entry
            && (&other.user, other.is_denied) == (&entry.user, entry.is_denied)
            && other.rights.iter().any(|right| entry.rights.contains(right))
    };
    let alike: Vec<&EntryShown> = all.iter().filter(is_alike).collect();
    let mut narrowing = Map::new();
    if entry.group.is_empty() && !alike.is_empty() {
        for (place, term) in TERMS.iter().enumerate() {
            let is_needed = !entry.raw[place].is_null() || alike.iter().any(|other| !other.raw[place].is_null());
            if is_needed {
                narrowing.insert((*term).to_owned(), entry.raw[place].clone());
            }
        }
    }
    narrowing.into()
}

/// The parameters of Add-ADPermission that a form means.
fn added(name: &str, fields: &Fields) -> Value {
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
            "Expires" => end_of_day(text).into(),
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

/// `POST /receive-connectors/{name}/rights`.
pub async fn add(Path(name): Path<String>, Sent { visit, fields }: Sent) -> Answer {
    visit.need(Role::TransportAdmin)?;
    let record = record(&visit, &name).await?;
    let name = text(&record["Name"]);
    if fields.has("back") {
        return page(visit, &record, &fields, None).await;
    }
    let rows = visit.run("Get-ADPermission", json!({ "Identity": name })).await?.output;
    let is_useless = is_useless(&rows, &fields);
    let mut change = Change::of("Add-ADPermission", added(&name, &fields));
    if is_useless && fields.has(WITH_GROUP) {
        change.0.insert(0, with_anonymous_users(&name, &record));
    }
    let preview = match change.look(&visit).await {
        Ok(preview) => preview,
        Err(error) => return page(visit, &record, &fields, Some(&error)).await,
    };
    if fields.get(CONFIRMED) != Some(&preview.mark) {
        let (title, action) = (format!("Add an entry to {name}"), format!("{}/rights", place(&name)));
        let mut asked = Asked::of(AREA, title, action, "Apply", Back::Form);
        if is_useless && fields.has(WITH_GROUP) {
            asked.said.push("The permission group Anonymous users is ticked in the same step.".to_owned());
        } else if is_useless {
            let said = "By this alone nothing changes: the permission group Anonymous users is not ticked here, so those who do not log on may not send at all.";
            asked.said.push(said.to_owned());
            asked.offer = Some((WITH_GROUP, "Tick Anonymous users in the same step"));
        }
        return confirm(visit, &fields, preview, asked);
    }
    match change.make(&visit).await {
        Ok(_) => Ok(visit.done(&format!("{}?tab={RIGHTS}", place(&name)), "The entry is in force.")),
        Err(error) => page(visit, &record, &fields, Some(&error)).await,
    }
}

/// `POST /receive-connectors/{name}/rights/removal`.
pub async fn remove(Path(name): Path<String>, Sent { visit, fields }: Sent) -> Answer {
    visit.need(Role::TransportAdmin)?;
    let record = record(&visit, &name).await?;
    let name = text(&record["Name"]);
    let here = format!("{}?tab={RIGHTS}", place(&name));
    let (title, action) = (format!("Remove rights on {name}"), format!("{}/rights/removal", place(&name)));
    let parameters = removed(&name, &fields);
    let rights = texts(&parameters["ExtendedRights"]);
    if rights.is_empty() {
        let error = "Tick the rights that are to be removed, or remove all of the entry.";
        return Err(Problem::refused(StatusCode::UNPROCESSABLE_ENTITY, error));
    }
    let said = vec![format!("Taken from {}: {}.", fields.text("User"), rights.join(", "))];
    let asked = Asked { is_grave: true, said, ..Asked::of(AREA, title, action, "Remove", Back::Link(here.clone())) };
    let change = Change::of("Remove-ADPermission", parameters);
    confirmed(visit, &fields, &change, asked, true, |visit| visit.done(&here, "The rights are removed.")).await
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
    fn rows_that_differ_in_their_right_alone_are_one_entry() {
        let any = "ms-Exch-SMTP-Accept-Any-Recipient";
        let rows = [
            row("A", "ms-Exch-SMTP-Submit", json!("AnonymousUsers"), Value::Null, Value::Null),
            row("A", any, Value::Null, json!(["a@x.example"]), json!("CHG-1")),
            row("A", "ms-Exch-SMTP-Accept-Any-Sender", Value::Null, json!(["a@x.example"]), json!("CHG-1")),
            row("A", any, Value::Null, Value::Null, Value::Null),
            row("B", any, Value::Null, Value::Null, Value::Null),
        ];
        let entries = first(entries(&rows));
        let shown: Vec<(usize, &str, &str)> =
            entries.iter().map(|entry| (entry.rights.len(), entry.group.as_str(), entry.narrowing.as_str())).collect();
        assert_eq!(
            shown,
            [
                (1, "AnonymousUsers", "{}"),
                (2, "", r#"{"Senders":["a@x.example"],"Ticket":"CHG-1"}"#),
                // What the other one has and this one has not tells them apart, too.
                (1, "", r#"{"Senders":null,"Ticket":null}"#),
                (1, "", "{}"),
            ]
        );
        assert_eq!(entries[1].terms, [("senders", "a@x.example".to_owned()), ("ticket", "CHG-1".to_owned())]);
    }

    #[test]
    fn an_entry_is_told_from_those_that_are_not_shown_too() {
        let entry =
            |ticket: usize| row("A", "ms-Exch-SMTP-Submit", Value::Null, Value::Null, json!(ticket.to_string()));
        let mut rows: Vec<Value> = (0..ENTRIES_MAX)
            .map(|number| row(&number.to_string(), "a", Value::Null, Value::Null, Value::Null))
            .collect();
        rows[0] = entry(1);
        rows.push(entry(2));
        let shown = first(entries(&rows));
        assert_eq!((shown.len(), shown[0].narrowing.as_str()), (ENTRIES_MAX, r#"{"Ticket":"1"}"#));
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
    fn a_form_becomes_the_parameters_of_the_command() {
        let form = "User=NT+AUTHORITY%5CANONYMOUS+LOGON&ExtendedRights=a&ExtendedRights=b&Senders=x%40y.example%0D%0Az%40y.example\
            &Hours=Mon%2CTue+08%3A00-18%3A00&MessagesPerHour=10&Expires=2027-01-31T00%3A00%3A00Z&Ticket=&EntryOwner=o%40y.example";
        assert_eq!(
            added("Relay", &Fields::read(form.as_bytes())),
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
