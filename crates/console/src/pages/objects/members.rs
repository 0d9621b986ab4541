//! The members of a group: shown, added, removed.

use gatepost_manage::command;
use serde_json::{Value, json};

use super::{Area, show_one};
use crate::layout::Answer;
use crate::problem::Problem;
use crate::text::counted;
use crate::visit::{Sent, Visit};

/// More are counted, not shown.
const SHOWN_MAX: usize = 500;

/// The members of one group.
pub struct Members {
    /// What each is called, and what it is.
    pub rows: Vec<(String, String)>,
    /// How many more there are.
    pub more: usize,
    /// Whether this visitor may change them.
    pub may_change: bool,
}

impl Members {
    /// Of an object; none: such objects have no members.
    pub async fn of(area: &Area, visit: &Visit, identity: &str) -> Result<Option<Members>, Problem> {
        let command = |verb: &str| command::find(&format!("{verb}-{}Member", area.noun));
        let Some(entry) = command("Get") else { return Ok(None) };
        let records = visit.run(entry.signature.name, json!({ "Identity": identity })).await?.output;
        let text = |record: &Value, names: &[&str]| {
            names.iter().find_map(|name| record[*name].as_str()).unwrap_or_default().to_owned()
        };
        let row = |record: &Value| {
            (text(record, &["PrimarySmtpAddress", "Identity", "Name"]), text(record, &["RecipientType"]))
        };
        Ok(Some(Members {
            rows: records.iter().take(SHOWN_MAX).map(row).collect(),
            more: records.len().saturating_sub(SHOWN_MAX),
            may_change: command("Add").is_some_and(|entry| visit.may(entry.role)),
        }))
    }
}

/// Adds and removes members.
pub async fn change(area: &'static Area, identity: String, Sent { visit, fields }: Sent) -> Answer {
    let (verb, members) = match fields.get("remove") {
        Some(member) => ("Remove", vec![member.to_owned()]),
        None => ("Add", fields.list("add")),
    };
    if members.is_empty()
        && let Some(entry) = command::find(&format!("{verb}-{}Member", area.noun))
    {
        visit.need(entry.role)?;
    }
    for member in &members {
        let parameters = json!({ "Identity": identity, "Member": member });
        if let Err(error) = visit.run(&format!("{verb}-{}Member", area.noun), parameters).await {
            return show_one(area, visit, identity, None, Some(error.into())).await;
        }
    }
    let done = if verb == "Add" { "added" } else { "removed" };
    let said = format!("{} {done}.", counted(members.len() as u64, "member was", "members were"));
    Ok(visit.done(&area.path_of(&identity), &said))
}
