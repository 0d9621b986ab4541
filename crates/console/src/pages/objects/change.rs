//! Making, changing and removing an object: by the commands of its noun, with what it opens and which mail it leads another way shown
//! before it changes.

use axum::http::StatusCode;
use gatepost_manage::ClientError;
use serde_json::{Value, json};

use super::control::{Control, Dialog, read};
use super::trouble::Trouble;
use super::{Area, One, said, sections, show_one, tabs};
use crate::change::Change;
use crate::confirming::{Asked, BACK, Back, Outcome, ask, confirm, make_once_seen};
use crate::fields::Fields;
use crate::layout::{Answer, Page, show_as};
use crate::problem::Problem;
use crate::visit::{Sent, Visit};

/// What a form comes to.
struct Wish<'a> {
    area: &'static Area,
    dialog: Dialog,
    change: Change,
    controls: &'a [Control],
    fields: &'a Fields,
    action: String,
    is_new: bool,
}

impl Wish<'_> {
    /// Does it, unless it changes what has to be seen before and nobody has seen that yet: then the page that shows it.
    async fn come_true(&self, visit: &Visit) -> Result<Outcome, ClientError> {
        make_once_seen(visit, &self.carried(&visit.proof), &self.change, self.asked()).await
    }

    /// The fields as the page carries them on: passwords only so that nobody can read them there.
    fn carried(&self, proof: &str) -> Fields {
        let secrets = || self.controls.iter().filter(|control| control.is_secret());
        let hidden: Vec<String> =
            secrets().flat_map(|control| [control.password_name(), control.sealed_name()]).collect();
        let hidden: Vec<&str> = hidden.iter().map(String::as_str).collect();
        let typed = secrets().filter(|control| control.has_password());
        self.fields.without(&hidden).and(typed.map(|control| (control.sealed_name(), control.sealed(proof))))
    }

    fn asked(&self) -> Asked {
        let one = self.area.one;
        let said = self.controls.iter().filter(|control| self.is_said(control));
        let title = match self.is_new {
            true => format!("New {one}: look before it is made"),
            false => format!("Change of the {one}: look before it is made"),
        };
        let apply = if self.is_new { format!("Make the {one}") } else { "Apply".to_owned() };
        Asked {
            facts: said.map(|control| (control.label.to_owned(), control.said())).collect(),
            is_always: self.is_new && self.dialog.form.is_confirmed,
            leads_mail: self.dialog.form.is_confirmed,
            ..Asked::of(self.area.navigation, title, self.action.clone(), apply, Back::Form)
        }
    }

    /// Whether a field says something else than is usual, or than it was.
    fn is_said(&self, control: &Control) -> bool {
        self.change.0.iter().any(|call| call.parameters.contains_key(control.name)) || control.is_changed()
    }
}

/// The form that makes an object.
pub async fn ask_new(area: &'static Area, visit: Visit) -> Answer {
    let dialog = area.dialog("New").ok_or_else(|| none(area))?;
    visit.need(dialog.entry.role)?;
    show_new(area, visit, dialog, dialog.controls(None), None)
}

fn none(area: &Area) -> Problem {
    Problem::refused(StatusCode::NOT_FOUND, format!("No command makes a {}.", area.one))
}

fn show_new(
    area: &'static Area,
    visit: Visit,
    dialog: Dialog,
    controls: Vec<Control>,
    trouble: Option<Trouble>,
) -> Answer {
    let form = One {
        action: format!("{}/new", area.path),
        page: Page::new(visit, area.navigation, format!("New {}", area.one)),
        warnings: Vec::new(),
        area,
        tabs: Vec::new(),
        tab: "",
        sections: sections(dialog.form, controls),
        facts: Vec::new(),
        members: None,
        may_remove: false,
        is_new: true,
        trouble,
    };
    show_as(form.trouble.as_ref().map_or(StatusCode::OK, |trouble| trouble.status), &form)
}

/// Makes an object.
pub async fn make(area: &'static Area, Sent { visit, fields }: Sent) -> Answer {
    let dialog = area.dialog("New").ok_or_else(|| none(area))?;
    let mut controls = dialog.controls(None);
    let parameters = read(&mut controls, &fields, &visit.proof, true);
    if fields.has(BACK) {
        visit.need(dialog.entry.role)?;
        return show_new(area, visit, dialog, controls, None);
    }
    let action = format!("{}/new", area.path);
    let change = Change::of(dialog.entry.signature.name, parameters.into());
    let wish = Wish { area, dialog, change, controls: &controls, fields: &fields, action, is_new: true };
    match wish.come_true(&visit).await {
        Ok(Outcome::Made(answer)) => {
            let made = answer.output.first().and_then(|record| record["Identity"].as_str());
            let path = made.map_or_else(|| area.path.to_owned(), |identity| area.path_of(identity));
            Ok(visit.done(&path, &said(&format!("The {} was made.", area.one), &answer)))
        }
        Ok(Outcome::Shown(page)) => page,
        Err(error) => {
            let trouble = Trouble::of(Some(dialog.form), &mut controls, error)?;
            show_new(area, visit, dialog, controls, Some(trouble))
        }
    }
}

/// Changes an object.
pub async fn set(area: &'static Area, identity: String, Sent { visit, fields }: Sent) -> Answer {
    let dialog = area.dialog("Set").ok_or_else(|| none(area))?;
    let mut controls = dialog.controls(None);
    // A form has the fields of one tab: the others are not empty, but not there.
    let tab = tabs(dialog.form, &controls, fields.text("tab")).into_iter().find(|tab| tab.is_this).map(|tab| tab.key);
    controls.retain(|control| tab.is_none_or(|tab| control.section == tab));
    let place = area.path_of(&identity);
    let on_tab = |path: &str| tab.map_or_else(|| path.to_owned(), |tab| format!("{path}?tab={tab}"));
    let mut parameters = read(&mut controls, &fields, &visit.proof, false);
    if fields.has(BACK) {
        visit.need(dialog.entry.role)?;
        return show_one(area, visit, identity, Some(controls), None).await;
    }
    if parameters.is_empty() {
        visit.need(dialog.entry.role)?;
        return Ok(visit.done(&on_tab(&place), "Nothing was changed in the form: all is as it was."));
    }
    if controls.iter().any(|control| control.form == "credential" && control.is_changed()) {
        visit.need(dialog.entry.role)?;
        let record = area.find(&visit, &identity).await?;
        if let Some(control) = controls.iter_mut().find(|control| control.lacks_password(&record)) {
            control.problem =
                Some("Type the password, too: the one that is kept is that of the user name before.".to_owned());
            let trouble = Trouble::at(StatusCode::UNPROCESSABLE_ENTITY, control);
            return show_one(area, visit, identity, Some(controls), Some(trouble)).await;
        }
    }
    parameters.insert("Identity".to_owned(), identity.as_str().into());
    let renamed = parameters.get("Name").and_then(Value::as_str).unwrap_or(&identity).to_owned();
    let change = Change::of(dialog.entry.signature.name, parameters.into());
    let wish = Wish { area, dialog, change, controls: &controls, fields: &fields, action: place, is_new: false };
    match wish.come_true(&visit).await {
        Ok(Outcome::Made(answer)) => {
            // Under its new name, where it has one and that is what it is found by.
            let path = match area.find(&visit, &identity).await {
                Ok(_) => on_tab(&area.path_of(&identity)),
                Err(_) if area.find(&visit, &renamed).await.is_ok() => on_tab(&area.path_of(&renamed)),
                Err(_) => area.path.to_owned(),
            };
            Ok(visit.done(&path, &said("Saved.", &answer)))
        }
        Ok(Outcome::Shown(page)) => page,
        Err(error) => {
            let trouble = Trouble::of(Some(dialog.form), &mut controls, error)?;
            show_one(area, visit, identity, Some(controls), Some(trouble)).await
        }
    }
}

/// What removing an object does, before it is done.
pub async fn ask_remove(area: &'static Area, visit: Visit, identity: String) -> Answer {
    let (change, asked) = removal(area, &visit, &identity).await?;
    let fields = Fields::default();
    match change.look(&visit).await {
        Ok(preview) => confirm(visit, &fields, preview, asked),
        // That it cannot be removed is what this page has to say.
        Err(error) => {
            let (_, problems) = told(area, error)?;
            ask(visit, &fields, asked, None, (StatusCode::OK, problems))
        }
    }
}

/// The status and the sentences of a refusal, in the words of the dialog.
fn told(area: &Area, error: ClientError) -> Result<(StatusCode, Vec<String>), Problem> {
    let Trouble { status, said, .. } = Trouble::of(area.form(), &mut [], error)?;
    Ok((status, said))
}

async fn removal(area: &'static Area, visit: &Visit, identity: &str) -> Result<(Change, Asked), Problem> {
    let entry = area.command("Remove").ok_or_else(|| none(area))?;
    area.find(visit, identity).await?;
    let (title, action) = (format!("Remove {identity}"), format!("{}/remove", area.path_of(identity)));
    let (apply, back) = (format!("Remove the {}", area.one), Back::Link(area.path_of(identity)));
    let asked = Asked {
        is_grave: true,
        is_always: true,
        leads_mail: area.is_confirmed(),
        ..Asked::of(area.navigation, title, action, apply, back)
    };
    Ok((Change::of(entry.signature.name, json!({ "Identity": identity })), asked))
}

/// Removes an object, unless that would do by now what nobody was shown.
pub async fn remove(area: &'static Area, identity: String, Sent { visit, fields }: Sent) -> Answer {
    let (change, asked) = removal(area, &visit, &identity).await?;
    match make_once_seen(&visit, &fields, &change, asked).await {
        Ok(Outcome::Made(answer)) => {
            Ok(visit.done(area.path, &said(&format!("The {} {identity} was removed.", area.one), &answer)))
        }
        Ok(Outcome::Shown(page)) => page,
        Err(error) => {
            let refused = told(area, error)?;
            let (_, asked) = removal(area, &visit, &identity).await?;
            ask(visit, &fields, asked, None, refused)
        }
    }
}
