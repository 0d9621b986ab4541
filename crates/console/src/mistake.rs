//! What is wrong with what was filled in, each mistake at its field.
//!
//! Takes what a server refuses, which speaks of parameters, and the fields of a page; hands on what to show, in the page's words.

use axum::http::StatusCode;
use gatepost_manage::ClientError;
use gatepost_manage::resource::Refused;

use crate::wording::quoted;

/// The fields of a page: what each is called, and the parameters and keys that its value becomes.
pub type Fields = [(&'static str, &'static str, &'static [&'static str])];

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The field; none where it is about all of it.
    pub field: Option<&'static str>,
    /// What it is, and what to write instead.
    pub said: String,
}

impl Mistake {
    /// One at a field.
    pub fn at(field: &'static str, said: impl Into<String>) -> Mistake {
        Mistake { field: Some(field), said: said.into() }
    }

    /// One of no field.
    pub fn of_all(said: impl Into<String>) -> Mistake {
        Mistake { field: None, said: said.into() }
    }

    /// What its field is called among these.
    pub fn label(&self, fields: &Fields) -> &'static str {
        fields.iter().find(|(field, ..)| Some(*field) == self.field).map_or("", |(_, label, _)| label)
    }

    /// What a server says no with to somebody who has filled in these.
    pub fn of(error: &ClientError, fields: &Fields) -> (StatusCode, Vec<Mistake>) {
        let (status, said) = refusal(error);
        match error {
            ClientError::Refused { status: 400..=499, refused } if status != StatusCode::FORBIDDEN => {
                (status, of_refused(refused, fields))
            }
            _ => (status, vec![Mistake::of_all(said)]),
        }
    }
}

/// What is wrong with one of the fields.
pub fn wrong(mistakes: &[Mistake], field: &str) -> Option<String> {
    let said = mistakes.iter().filter(|mistake| mistake.field == Some(field));
    let said: Vec<&str> = said.map(|mistake| mistake.said.as_str()).collect();
    (!said.is_empty()).then(|| said.join(" "))
}

/// What a server says no with, as it says it.
pub fn refusal(error: &ClientError) -> (StatusCode, String) {
    let status = match error {
        ClientError::Refused { status: 403, .. } => StatusCode::FORBIDDEN,
        ClientError::Refused { status, .. } if *status < 500 => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error.to_string())
}

fn of_refused(refused: &Refused, fields: &Fields) -> Vec<Mistake> {
    let mut mistakes: Vec<Mistake> = refused
        .problems
        .iter()
        .map(|problem| {
            let remedy = if problem.remedy.is_empty() { String::new() } else { format!(": {}", problem.remedy) };
            located(fields, problem.about.as_deref(), &format!("{}{remedy}", problem.message))
        })
        .collect();
    if mistakes.is_empty() {
        mistakes.push(located(fields, None, &refused.error));
    }
    // Several entries carry the same note.
    let mut told: Vec<Mistake> = Vec::new();
    mistakes.retain(|mistake| {
        let is_new = !told.contains(mistake);
        told.push(mistake.clone());
        is_new
    });
    mistakes
}

/// A text of a server at the field that it is about: by its place, or else by the parameter that it begins with.
fn located(fields: &Fields, about: Option<&str>, text: &str) -> Mistake {
    // Of several commands it says which it was: nobody has typed any.
    let text = match text.rfind(" (command ") {
        Some(end) if text.ends_with("; nothing was changed)") => &text[..end],
        _ => text,
    };
    let plain = text.replacen('`', "", 2);
    let begins_with = |text: &str, name: &str| text.strip_prefix(name).is_some_and(|rest| rest.starts_with(": "));
    for (field, _, names) in fields {
        if let Some(name) = names.iter().find(|name| begins_with(text, name)) {
            return Mistake::at(field, quoted(&text[name.len() + 2..]));
        }
        if let Some(name) = names.iter().find(|name| begins_with(&plain, name)) {
            return Mistake::at(field, quoted(&plain[name.len() + 2..]));
        }
    }
    let field = fields.iter().find(|(_, _, names)| about.is_some_and(|about| names.contains(&about)));
    Mistake { field: field.map(|(field, ..)| *field), said: quoted(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &Fields = &[
        ("senders", "Senders", &["Senders", "senders"]),
        ("owner", "Owner", &["EntryOwner", "owner"]),
        ("until", "Until", &["Expires", "expires"]),
    ];

    fn refused(error: &str, problems: serde_json::Value) -> Refused {
        serde_json::from_value(serde_json::json!({ "error": error, "problems": problems })).expect("a refusal")
    }

    #[test]
    fn what_a_server_refuses_stands_at_its_field_in_the_words_of_the_page() {
        let problem = |about: Option<&str>, message: &str, remedy: &str| serde_json::json!({"line": 1, "column": 1, "message": message, "remedy": remedy, "about": about});
        let none = serde_json::json!([]);
        for (refused, expected) in [
            (
                refused("EntryOwner: `not an address` is no address: write anna@contoso.com", none.clone()),
                vec![Mistake::at("owner", "“not an address” is no address: write anna@contoso.com")],
            ),
            (
                refused("x", serde_json::json!([problem(None, "`senders`: `a b` is no pattern", "write a@b.example")])),
                vec![Mistake::at("senders", "“a b” is no pattern: write a@b.example")],
            ),
            (
                refused(
                    "x",
                    serde_json::json!([
                        problem(Some("Expires"), "that day is over", "write a later one"),
                        problem(Some("Expires"), "that day is over", "write a later one"),
                        problem(None, "something else", ""),
                    ]),
                ),
                vec![Mistake::at("until", "that day is over: write a later one"), Mistake::of_all("something else")],
            ),
            (
                refused("EntryOwner: no address (command 2 of 2, Add-ADPermission; nothing was changed)", none.clone()),
                vec![Mistake::at("owner", "no address")],
            ),
            (refused("it is busy", none), vec![Mistake::of_all("it is busy")]),
        ] {
            assert_eq!(of_refused(&refused, FIELDS), expected);
        }
        assert_eq!(Mistake::at("owner", "").label(FIELDS), "Owner");
        assert_eq!(Mistake::of_all("").label(FIELDS), "");
    }
}
