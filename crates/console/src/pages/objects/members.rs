//! The members of a group: shown, added, removed.

use std::collections::HashSet;

use axum::http::StatusCode;
use gatepost_manage::command;
use gatepost_manage::resource::CommandRequest;
use serde_json::{Map, Value, json};

use super::trouble::Trouble;
use super::{Area, said, show_one};
use crate::change::Change;
use crate::fields::Fields;
use crate::layout::Answer;
use crate::problem::Problem;
use crate::text::counted;
use crate::visit::{Sent, Visit};

/// More are counted, not shown.
const SHOWN_MAX: usize = 500;
/// More are not added at once: each is compared with all that are there.
const ADDED_MAX: usize = 1_000;

/// The members of one group.
pub struct Members {
    /// What each is called, and what it is.
    pub rows: Vec<(String, String)>,
    /// How many more there are.
    pub more: u64,
    /// Whether this visitor may change them.
    pub may_change: bool,
}

impl Members {
    /// Of an object; none: such objects have no members.
    pub async fn of(area: &Area, visit: &Visit, identity: &str) -> Result<Option<Members>, Problem> {
        let command = |verb: &str| command::find(&format!("{verb}-{}Member", area.noun));
        let Some(entry) = command("Get") else { return Ok(None) };
        let parameters = Map::from_iter([("Identity".to_owned(), identity.into())]);
        let request = CommandRequest { parameters, limit: Some(SHOWN_MAX), ..CommandRequest::default() };
        let answer = visit.client.command(entry.signature.name, &request).await?;
        let records = answer.output;
        let text = |record: &Value, names: &[&str]| {
            names.iter().find_map(|name| record[*name].as_str()).unwrap_or_default().to_owned()
        };
        let row = |record: &Value| {
            (text(record, &["PrimarySmtpAddress", "Identity", "Name"]), text(record, &["RecipientType"]))
        };
        Ok(Some(Members {
            rows: records.iter().map(row).collect(),
            more: answer.total.unwrap_or_default().saturating_sub(records.len() as u64),
            may_change: command("Add").is_some_and(|entry| visit.may(entry.role)),
        }))
    }
}

/// Adds and removes members.
pub async fn change(area: &'static Area, identity: String, Sent { visit, fields }: Sent) -> Answer {
    let (change, count, done) = changed(&fields);
    let none = || Problem::refused(StatusCode::NOT_FOUND, format!("A {} has no members.", area.one));
    let entry = area.command("Set").ok_or_else(none)?;
    if !(1..=ADDED_MAX).contains(&count) {
        visit.need(entry.role)?;
        let error = format!("Nothing was changed: give one address or more on the lines, and {ADDED_MAX} at most.");
        let trouble = Trouble::new(StatusCode::UNPROCESSABLE_ENTITY, error);
        return show_one(area, visit, identity, None, Some(trouble)).await;
    }
    let change = Change::of(entry.signature.name, json!({ "Identity": identity, "Members": change }));
    match change.make(&visit).await {
        Ok(answer) => {
            let done = format!("{} {done}.", counted(count as u64, "member was", "members were"));
            Ok(visit.done(&area.path_of(&identity), &said(&done, &answer)))
        }
        Err(error) => {
            let trouble = Trouble::of(None, &mut [], error)?;
            show_one(area, visit, identity, None, Some(trouble)).await
        }
    }
}

/// What a form adds or takes away, how much that is, and what is said of it: one change, so that it is made as a whole or not.
fn changed(fields: &Fields) -> (Value, usize, &'static str) {
    match fields.get("remove") {
        Some(member) => (json!({ "Remove": [member] }), 1, "removed"),
        None => {
            let mut members = fields.list("add");
            let mut known = HashSet::new();
            members.retain(|member| known.insert(member.to_lowercase()));
            (json!({ "Add": members }), members.len(), "added")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_one_change_of_the_list() {
        let of = |form: &str| changed(&Fields::read(form.as_bytes()));
        let added = json!({ "Add": ["a@x.example", "b@x.example"] });
        assert_eq!(of("add=a%40x.example%0D%0Ab%40x.example%0D%0AA%40x.example"), (added, 2, "added"));
        assert_eq!(of("remove=a%40x.example"), (json!({ "Remove": ["a@x.example"] }), 1, "removed"));
        assert_eq!(of("add=+").1, 0);
    }
}
