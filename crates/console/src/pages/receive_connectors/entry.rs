//! The entries of a connector: rows of Get-ADPermission as people read them, what tells one from another, and what changes where one
//! says something else.
//!
//! Takes rows and parameters, hands on calls of commands and words. Knows no page.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::{Map, Value, json};

use super::{instant_ms, text, texts};
use crate::change::Call;
use crate::confirming::Term;
use crate::fields::Fields;
use crate::rights::meaning_of;
use crate::text::{day, end_of_day, moment};

/// What binds an entry or says whose it is: parameters of Add-ADPermission, and properties of what Get-ADPermission yields.
pub const TERMS: [&str; 8] =
    ["Senders", "Recipients", "Hours", "MessagesPerHour", "Expires", "EntryOwner", "Ticket", "Comment"];
/// What people call them, and what holds without one.
const SAID: [(&str, &str); 8] = [
    ("Senders", "any"),
    ("Recipients", "any"),
    ("Hours", "all"),
    ("Messages per hour", "any number"),
    ("Until", "for good"),
    ("Owner", "nobody"),
    ("Ticket", "none"),
    ("Comment", "none"),
];
/// The first so many of them bind an entry; the others say whose it is.
const BINDING: usize = 5;
/// Where the moment stands at which an entry ends.
const EXPIRES: usize = 4;
/// More entries are counted, not shown.
pub const ENTRIES_MAX: usize = 60;

/// One entry: rows of Get-ADPermission that differ in their right alone.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryShown {
    /// Its place on the page.
    pub id: usize,
    /// Whose it is.
    pub user: String,
    /// Whether it takes away.
    pub is_denied: bool,
    /// The permission group that gives it; empty: somebody has written it by itself.
    pub group: String,
    /// What it gives or takes.
    pub rights: Vec<RightOfEntry>,
    /// Under which terms, in words.
    pub terms: Vec<(&'static str, String)>,
    /// The record's own values of [`TERMS`].
    pub raw: Vec<Value>,
    /// What a form that removes it carries.
    pub narrowing: String,
    /// Stands for all that it says.
    pub key: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct RightOfEntry {
    /// As Exchange spells it.
    pub name: String,
    /// Half a sentence.
    pub meaning: &'static str,
}

/// An entry that a form changes.
pub struct Edited {
    /// What the form carries.
    pub key: String,
    /// Whose it is.
    pub user: String,
    /// When exactly it ends, where a day does not say that.
    pub ends: Option<String>,
}

impl Edited {
    /// Of an entry.
    pub fn of(entry: &EntryShown) -> Edited {
        let ends_ms = instant_ms(&entry.raw[EXPIRES]);
        let is_of_day = |ends_ms: u64| end_of_day(&last_day(ends_ms)) == entry.raw[EXPIRES];
        Edited {
            key: entry.key.clone(),
            user: entry.user.clone(),
            ends: ends_ms.filter(|ends_ms| !is_of_day(*ends_ms)).map(moment),
        }
    }
}

/// The last day on which something is so that ends then.
fn last_day(ends_ms: u64) -> String {
    day(ends_ms.saturating_sub(1))
}

impl EntryShown {
    /// Whether somebody has written it by itself, so that it can be changed by itself.
    pub fn is_own(&self) -> bool {
        self.group.is_empty()
    }

    /// What says which entry is meant, and what it gives or takes.
    pub fn parameters(&self, connector: &Value) -> Value {
        let rights: Vec<&str> = self.rights.iter().map(|right| right.name.as_str()).collect();
        let mut parameters = json!({ "Identity": connector, "User": self.user, "ExtendedRights": rights });
        if self.is_denied {
            parameters["Deny"] = true.into();
        }
        parameters
    }

    /// The call that takes it away, and no other of `all`.
    pub fn removal(&self, connector: &Value, all: &[EntryShown]) -> Call {
        let mut parameters = self.parameters(connector);
        narrowing(self, all).into_iter().for_each(|(term, value)| parameters[term] = value);
        Call::new("Remove-ADPermission", parameters)
    }

    /// The fields of a form that says what it says.
    pub fn to_fields(&self) -> Fields {
        let rights = self.rights.iter().map(|right| ("ExtendedRights".to_owned(), right.name.clone()));
        let terms = TERMS.into_iter().zip(&self.raw).enumerate().filter(|(_, (_, value))| !value.is_null());
        let terms = terms.map(|(place, (term, value))| (term.to_owned(), self.typed(place, value)));
        let deny = self.is_denied.then(|| ("Deny".to_owned(), "on".to_owned()));
        let user = std::iter::once(("User".to_owned(), self.user.clone()));
        Fields::default().and(user.chain(deny).chain(rights).chain(terms))
    }

    /// A term as it is typed.
    fn typed(&self, place: usize, value: &Value) -> String {
        match value {
            Value::Array(_) => texts(value).join("\n"),
            value if place == EXPIRES => instant_ms(value).map_or_else(|| text(value), last_day),
            Value::Number(number) => number.to_string(),
            value => text(value),
        }
    }

    /// The moment at which it ends, where a form says the very day that it was given.
    pub fn expiry_of(&self, typed: &str) -> Option<Value> {
        let own = &self.raw[EXPIRES];
        (!own.is_null() && self.typed(EXPIRES, own) == typed).then(|| own.clone())
    }

    /// What of it would be otherwise in the entry that Add-ADPermission makes of these parameters.
    pub fn becomes(&self, wanted: &Value) -> Vec<Term> {
        let rights = |value: &Value| texts(value).into_iter().collect::<BTreeSet<_>>();
        let in_line = |rights: &BTreeSet<String>| rights.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let own = self.parameters(&Value::Null);
        let is_denied = wanted["Deny"] == true;
        let is_same_user = text(&wanted["User"]).eq_ignore_ascii_case(&self.user);
        let is_like = is_same_user && is_denied == self.is_denied;
        // A denial for fewer is wider for the others: that is not told in a word.
        let tells = is_like && !is_denied;
        let mut terms = Vec::new();
        let mut note = |what, before: String, after: String, verdict| {
            if before != after {
                terms.push(Term { what, before, after, verdict: if tells { verdict } else { "" } });
            }
        };
        if !is_same_user {
            note("Account", self.user.clone(), text(&wanted["User"]), "");
        }
        let kind = |is_denied: bool| if is_denied { "denies" } else { "allows" }.to_owned();
        note("It", kind(self.is_denied), kind(is_denied), "");
        let given = (&own["ExtendedRights"], &wanted["ExtendedRights"]);
        note("Rights", in_line(&rights(given.0)), in_line(&rights(given.1)), verdict_of_lists(given.0, given.1));
        for (place, (term, (what, without))) in TERMS.into_iter().zip(SAID).enumerate() {
            let (before, after) = (&self.raw[place], &wanted[term]);
            let said = |value: &Value| if value.is_null() { without.to_owned() } else { in_words(place, value) };
            note(what, said(before), said(after), if place < BINDING { verdict(before, after) } else { "" });
        }
        terms
    }
}

/// What becomes of those whom an entry is for, where a term of it says something else.
fn verdict(before: &Value, after: &Value) -> &'static str {
    let order = match (before, after) {
        (Value::Null, Value::Null) => return "",
        (Value::Null, _) => return "narrower",
        (_, Value::Null) => return "wider",
        (Value::Array(_), Value::Array(_)) => return verdict_of_lists(before, after),
        (Value::Number(before), Value::Number(after)) => after.as_i64().cmp(&before.as_i64()),
        _ => instant_ms(after).cmp(&instant_ms(before)),
    };
    match order {
        std::cmp::Ordering::Less => "narrower",
        std::cmp::Ordering::Equal => "",
        std::cmp::Ordering::Greater => "wider",
    }
}

fn verdict_of_lists(before: &Value, after: &Value) -> &'static str {
    let [before, after] =
        [before, after].map(|list| texts(list).into_iter().map(|text| text.to_lowercase()).collect::<BTreeSet<_>>());
    match (after.is_subset(&before), before.is_subset(&after)) {
        (true, false) => "narrower",
        (false, true) => "wider",
        _ => "",
    }
}

/// A term for a person.
fn in_words(place: usize, value: &Value) -> String {
    match value {
        Value::Array(_) => texts(value).join(", "),
        value if place == EXPIRES => instant_ms(value).map_or_else(|| text(value), moment),
        Value::Number(number) => number.to_string(),
        value => text(value),
    }
}

/// The entries that rows of Get-ADPermission are about.
pub fn entries(rows: &[Value]) -> Vec<EntryShown> {
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
                key: String::new(),
            }),
        }
    }
    entries.iter_mut().for_each(|entry| entry.key = key(entry));
    entries
}

/// Stands for all that an entry says; two that say the same are the same.
fn key(entry: &EntryShown) -> String {
    let mut hasher = DefaultHasher::new();
    let rights: Vec<&str> = entry.rights.iter().map(|right| right.name.as_str()).collect();
    (&entry.user, entry.is_denied, &entry.group, rights).hash(&mut hasher);
    entry.raw.iter().for_each(|value| value.to_string().hash(&mut hasher));
    format!("{:016x}", hasher.finish())
}

/// The first entries, as they are shown: each told from all the others, those that are not shown included.
pub fn first(mut entries: Vec<EntryShown>) -> Vec<EntryShown> {
    let shown = entries.iter().take(ENTRIES_MAX);
    let narrowed: Vec<String> = shown.map(|entry| Value::from(narrowing(entry, &entries)).to_string()).collect();
    entries.truncate(ENTRIES_MAX);
    for (entry, narrowing) in entries.iter_mut().zip(narrowed) {
        entry.narrowing = narrowing;
    }
    entries
}

fn terms(raw: &[Value]) -> Vec<(&'static str, String)> {
    let said = SAID.into_iter().zip(raw).enumerate().filter(|(_, (_, value))| !value.is_null());
    said.map(|(place, ((what, _), value))| (what, in_words(place, value))).collect()
}

/// What tells an entry from others that give or take the same rights to or from the same account.
fn narrowing(entry: &EntryShown, all: &[EntryShown]) -> Map<String, Value> {
    let is_alike = |other: &&EntryShown| {
        *other != entry
            && (&other.user, other.is_denied) == (&entry.user, entry.is_denied)
            && other.rights.iter().any(|right| entry.rights.contains(right))
    };
    let alike: Vec<&EntryShown> = all.iter().filter(is_alike).collect();
    let mut narrowing = Map::new();
    if !entry.is_own() || alike.is_empty() {
        return narrowing;
    }
    for (place, term) in TERMS.iter().enumerate() {
        let is_needed = !entry.raw[place].is_null() || alike.iter().any(|other| !other.raw[place].is_null());
        if is_needed {
            narrowing.insert((*term).to_owned(), entry.raw[place].clone());
        }
    }
    if narrowing.is_empty() && alike.iter().any(|other| !other.is_own()) {
        // What is said of terms is never said of what a group gives.
        narrowing.insert(TERMS[0].to_owned(), Value::Null);
    }
    narrowing
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
        assert_eq!(entries[1].terms, [("Senders", "a@x.example".to_owned()), ("Ticket", "CHG-1".to_owned())]);
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
    fn what_a_group_gives_stays_when_an_entry_of_its_own_goes() {
        let submit = "ms-Exch-SMTP-Submit";
        let own = row("A", submit, Value::Null, Value::Null, Value::Null);
        let all = entries(&[row("A", submit, json!("AnonymousUsers"), Value::Null, Value::Null), own]);
        assert_eq!(
            all[1].removal(&json!("Relay"), &all).parameters,
            *json!({"Identity": "Relay", "User": "A", "ExtendedRights": [submit], "Senders": null})
                .as_object()
                .unwrap()
        );
    }

    fn entry(terms: Value) -> EntryShown {
        let mut row = json!({"User": "A", "Deny": false, "ExtendedRights": ["x"]});
        terms.as_object().expect("an object").iter().for_each(|(term, value)| row[term] = value.clone());
        entries(&[row]).remove(0)
    }

    #[test]
    fn a_form_begins_with_what_the_entry_says_and_a_day_that_stays_is_the_same_moment() {
        let ends = "2027-01-31T10:00:00Z";
        let entry = entry(json!({
            "Senders": ["a@x.example", "b@x.example"], "MessagesPerHour": 10, "Expires": ends, "Comment": "for a, b",
        }));
        let fields = entry.to_fields();
        assert_eq!(
            (fields.text("User"), fields.raw("Senders"), fields.text("MessagesPerHour"), fields.text("Comment")),
            ("A", "a@x.example\nb@x.example", "10", "for a, b")
        );
        assert!(!fields.has("Deny") && !fields.has("Hours") && fields.text("ExtendedRights") == "x");
        assert_eq!(entry.expiry_of(fields.text("Expires")), Some(json!(ends)));
        assert_eq!(entry.expiry_of("2027-02-01"), None);
        assert!(Edited::of(&entry).ends.is_some());
        // One that ends with its day needs no more words.
        let day = end_of_day("2027-01-31");
        let whole = self::entry(json!({ "Expires": day }));
        assert_eq!((whole.to_fields().text("Expires"), Edited::of(&whole).ends), ("2027-01-31", None));
    }

    #[test]
    fn what_becomes_of_an_entry_is_told_term_by_term() {
        let two = json!(["a@x.example", "b@x.example"]);
        for (before, after, expected) in [
            (json!({}), json!({}), vec![]),
            (json!({}), json!({"Senders": two}), vec![("Senders", "any", "narrower")]),
            (json!({"Senders": two}), json!({}), vec![("Senders", "a@x.example, b@x.example", "wider")]),
            (
                json!({"Senders": two}),
                json!({"Senders": ["B@x.example"]}),
                vec![("Senders", "a@x.example, b@x.example", "narrower")],
            ),
            (
                json!({"Senders": two}),
                json!({"Senders": ["c@x.example"]}),
                vec![("Senders", "a@x.example, b@x.example", "")],
            ),
            (
                json!({"MessagesPerHour": 10, "Comment": "old"}),
                json!({"MessagesPerHour": 20, "Comment": "new"}),
                vec![("Messages per hour", "10", "wider"), ("Comment", "old", "")],
            ),
            (
                json!({"Expires": "2027-01-31T00:00:00Z"}),
                json!({"Expires": "2026-01-31T00:00:00Z"}),
                vec![("Until", "", "narrower")],
            ),
            (json!({}), json!({"ExtendedRights": ["x", "y"]}), vec![("Rights", "x", "wider")]),
            // Who is denied less may more: no word for that.
            (json!({"Deny": true}), json!({"Deny": true, "Senders": two}), vec![("Senders", "any", "")]),
            (json!({}), json!({"Deny": true, "Senders": two}), vec![("It", "allows", ""), ("Senders", "any", "")]),
        ] {
            let entry = entry(before.clone());
            let mut wanted = json!({"User": "a", "ExtendedRights": ["x"]});
            after.as_object().expect("an object").iter().for_each(|(term, value)| wanted[term] = value.clone());
            let told = entry.becomes(&wanted);
            let told: Vec<(&str, &str, &str)> = told
                .iter()
                .map(|term| (term.what, if term.what == "Until" { "" } else { term.before.as_str() }, term.verdict))
                .collect();
            assert_eq!(told, expected, "{before} {after}");
        }
    }
}
