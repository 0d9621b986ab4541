//! The page that shows what a change would do before it is made, and asks: one for all that is made, changed, removed or put back.
//!
//! Takes changes and what is to be said of them, hands on that page, or what became of the change. Whoever applies one sends the mark of
//! what they were shown: where it would do anything else by then, nothing is done, and it is shown again.

use askama::Template;
use axum::http::StatusCode;
use gatepost_manage::ClientError;
use gatepost_manage::resource::CommandAnswer;

use crate::change::{Change, Preview, is_late};
use crate::fields::Fields;
use crate::layout::{Answer, Page, show_as};
use crate::problem::HAS_CHANGED;
use crate::rights::RightShown;
use crate::visit::{PROOF_FIELD, Visit};

/// The field by which somebody applies what they were shown: it says what that was.
pub const CONFIRMED: &str = "confirmed";
/// The button that leads back to the form.
pub const BACK: &str = "back";

/// What somebody is asked before a change is made.
pub struct Asked {
    /// The navigation's entry that it belongs to.
    pub area: &'static str,
    /// What is to be said besides.
    pub said: Vec<String>,
    /// The heading.
    pub title: String,
    /// Where the form goes.
    pub action: String,
    /// What the button says.
    pub apply: String,
    /// Whether it takes something away that does not come back by itself.
    pub is_grave: bool,
    /// Whether it is asked even where nobody feels anything of it.
    pub is_always: bool,
    /// Whether it is to be said, too, that all mail goes as it did.
    pub leads_mail: bool,
    /// How to leave it.
    pub back: Back,
    /// What was filled in, by what people call it.
    pub facts: Vec<(String, String)>,
    /// What of an entry was so, and becomes so.
    pub terms: Vec<Term>,
    /// Rights that are to be looked at one by one.
    pub rights: Vec<RightShown>,
    /// Another way to do it: the field that chooses it, and what its button says.
    pub offer: Option<(&'static str, &'static str)>,
    /// What was written of why, where that is asked.
    pub why: Option<String>,
}

/// Something that is so, and would be otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What.
    pub what: &'static str,
    /// As it is.
    pub before: String,
    /// As it would be.
    pub after: String,
    /// What that is, in a word: `narrower`.
    pub verdict: &'static str,
}

impl Asked {
    /// A question about a change that can be taken back.
    pub fn of(area: &'static str, title: String, action: String, apply: impl Into<String>, back: Back) -> Asked {
        Asked {
            area,
            said: Vec::new(),
            title,
            action,
            apply: apply.into(),
            is_grave: false,
            is_always: false,
            leads_mail: false,
            back,
            facts: Vec::new(),
            terms: Vec::new(),
            rights: Vec::new(),
            offer: None,
            why: None,
        }
    }
}

/// How a change is left unmade.
pub enum Back {
    /// To the form, with all that was typed.
    Form,
    /// To another page.
    Link(String),
}

#[derive(Template)]
#[template(path = "confirm.html")]
struct Confirm {
    page: Page,
    asked: Asked,
    /// None: it cannot be done.
    preview: Option<Preview>,
    carried: Vec<(String, String)>,
    /// Why nothing was done, or can be.
    problems: Vec<String>,
}

/// What became of a change.
pub enum Outcome {
    /// It was made.
    Made(CommandAnswer),
    /// It is shown first.
    Shown(Answer),
}

/// Makes a change whose preview was confirmed, or that nobody feels anything of; else shows what it would do. `asked` says what goes
/// with the preview.
///
/// # Errors
/// What the server refuses.
pub async fn make_once_seen(
    visit: &Visit,
    fields: &Fields,
    change: &Change,
    asked: Asked,
) -> Result<Outcome, ClientError> {
    let mut preview = change.look(visit).await?;
    if is_seen(fields, &preview) || !(asked.is_always || preview.is_felt()) {
        match change.make_as_shown(visit, &preview).await {
            Err(late) if is_late(&late) => preview = change.look(visit).await?,
            made => return made.map(Outcome::Made),
        }
    }
    Ok(Outcome::Shown(confirm(visit.clone(), fields, preview, asked)))
}

/// Whether this is what was shown to whoever sends these fields.
pub fn is_seen(fields: &Fields, preview: &Preview) -> bool {
    fields.get(CONFIRMED) == Some(&preview.mark)
}

/// Shows what a change would do, and asks.
///
/// # Errors
/// Only a bug of ours.
pub fn confirm(visit: Visit, fields: &Fields, mut preview: Preview, asked: Asked) -> Answer {
    if asked.leads_mail {
        preview.rerouted.get_or_insert_default();
    }
    let (status, problems) = match fields.has(CONFIRMED) {
        true => (StatusCode::CONFLICT, vec![HAS_CHANGED.to_owned()]),
        false => (StatusCode::OK, Vec::new()),
    };
    ask(visit, fields, asked, Some(preview), (status, problems))
}

/// The page itself: of something that cannot be done there is no preview, and `problems` say why.
///
/// # Errors
/// Only a bug of ours.
pub fn ask(
    visit: Visit,
    fields: &Fields,
    asked: Asked,
    preview: Option<Preview>,
    (status, problems): (StatusCode, Vec<String>),
) -> Answer {
    let page = Page::new(visit, asked.area, asked.title.clone());
    show_as(status, &Confirm { page, preview, carried: carried(fields), problems, asked })
}

/// What the page carries on of the form that led to it.
pub fn carried(fields: &Fields) -> Vec<(String, String)> {
    let own = [PROOF_FIELD, CONFIRMED, BACK, "why"];
    let carried = fields.pairs().filter(|(name, _)| !own.contains(name));
    carried.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_carries_on_what_was_typed_and_nothing_of_its_own() {
        let fields = Fields::read(b"proof=p&confirmed=m&back=1&why=x&Name=Out&group=a&group=b");
        let expected = [("Name", "Out"), ("group", "a"), ("group", "b")];
        assert_eq!(carried(&fields), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_change_is_applied_by_whoever_was_shown_it_alone() {
        let preview = Preview { mark: "m".to_owned(), ..Preview::default() };
        for (form, expected) in [("confirmed=m", true), ("confirmed=n", false), ("confirmed=", false), ("", false)] {
            assert_eq!(is_seen(&Fields::read(form.as_bytes()), &preview), expected, "{form}");
        }
    }

    #[test]
    fn what_nobody_feels_anything_of_need_not_be_seen() {
        let rerouted = |lines: &[&str]| Preview {
            rerouted: Some(lines.iter().map(|line| (*line).to_owned()).collect()),
            ..Preview::default()
        };
        for (preview, is_felt, tells_exposure) in
            [(Preview::default(), false, true), (rerouted(&[]), false, false), (rerouted(&["by Out"]), true, false)]
        {
            assert_eq!((preview.is_felt(), preview.tells_exposure()), (is_felt, tells_exposure), "{preview:?}");
        }
    }
}
