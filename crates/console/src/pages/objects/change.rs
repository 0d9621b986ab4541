//! Making, changing and removing an object: by the commands of its noun, with what it opens and which mail it leads another way shown
//! before it changes.

use askama::Template;
use axum::http::StatusCode;
use gatepost_manage::ClientError;
use gatepost_manage::resource::CommandAnswer;
use serde_json::{Map, Value, json};

use super::control::{Control, Dialog, read};
use super::trouble::{Trouble, warning_in_words};
use super::{Area, One, sections, show_one, tabs};
use crate::change::mark;
use crate::exposure::Exposure;
use crate::fields::Fields;
use crate::layout::{Answer, Page, show, show_as};
use crate::problem::Problem;
use crate::shell_line::command_line;
use crate::visit::{PROOF_FIELD, Sent, Visit};

/// The field by which a form says what was shown to whoever sends it.
const MARK: &str = "mark";
/// The button that leads from what is shown back to the form.
const BACK: &str = "back";

#[derive(Template)]
#[template(path = "object_confirm.html")]
struct Confirm {
    page: Page,
    action: String,
    back: Back,
    button: String,
    /// What was filled in, by what people call it.
    said: Vec<(&'static str, String)>,
    /// Mail that takes another way; none: such objects lead no mail anywhere.
    rerouted: Option<Vec<String>>,
    exposure: Exposure,
    warnings: Vec<String>,
    what_if: Option<String>,
    shell: Line,
    mark: String,
    /// What was typed, which is carried on.
    kept: Vec<(String, String)>,
    /// Whether it takes something away.
    is_grave: bool,
    /// Whether there is anything to confirm.
    can_apply: bool,
    /// Why it was not done, or cannot be.
    problems: Vec<String>,
}

/// How one goes back.
enum Back {
    /// To the form, with all that was typed.
    Form,
    /// To a page.
    Link(String),
}

/// The same in the shell.
struct Line {
    lines: Vec<String>,
}

impl Line {
    /// As it goes to the clipboard.
    fn all_lines(&self) -> String {
        self.lines.join("\n")
    }
}

/// What a form comes to.
struct Wish<'a> {
    area: &'static Area,
    dialog: Dialog,
    parameters: Map<String, Value>,
    controls: &'a [Control],
    fields: &'a Fields,
    action: String,
    is_new: bool,
}

impl Wish<'_> {
    fn command(&self) -> &'static str {
        self.dialog.entry.signature.name
    }

    /// The same for the shell, which asks for what is not shown.
    fn line(&self) -> String {
        let is_secret = |name: &str| self.controls.iter().any(|control| control.name == name && control.is_secret());
        let shown = self.parameters.iter().filter(|(name, _)| !is_secret(name));
        let mut line =
            command_line(self.command(), &shown.map(|(name, value)| (name.clone(), value.clone())).collect());
        for control in self.controls.iter().filter(|control| self.parameters.contains_key(control.name)) {
            match control.form {
                "secret" => line.push_str(&format!(" -{0} (Read-Host -AsSecureString \"{0}\")", control.name)),
                "credential" => {
                    let name =
                        command_line("", &Map::from_iter([("Identity".to_owned(), control.value.as_str().into())]));
                    line.push_str(&format!(" -{} (Get-Credential {})", control.name, name.trim()));
                }
                _ => {}
            }
        }
        line
    }

    /// Stands for the change and what it opens and leads another way.
    fn mark(&self, looked: &CommandAnswer) -> String {
        mark((self.line(), &looked.rerouted), &looked.exposure, looked.exposure_total)
    }

    /// Does it, unless it changes what has to be seen before and nobody has seen that yet: then the page that shows it.
    async fn come_true(&self, visit: &Visit) -> Result<Done, ClientError> {
        let looked = visit.what_if(self.command(), self.parameters.clone().into()).await?;
        let mark = self.mark(&looked);
        let is_plain = looked.exposure.is_empty() && looked.rerouted.is_empty();
        let needs_a_look = !is_plain || (self.is_new && self.dialog.form.is_confirmed);
        if !needs_a_look || self.fields.get(MARK) == Some(&mark) {
            return Ok(Done::Made(visit.run(self.command(), self.parameters.clone().into()).await?));
        }
        Ok(Done::Asked(Box::new(self.confirm(visit, looked, mark))))
    }

    fn confirm(&self, visit: &Visit, looked: CommandAnswer, mark: String) -> Confirm {
        let is_kept = |name: &str| {
            let is_secret = |control: &Control| {
                control.is_secret() && [control.password_name(), control.sealed_name()].iter().any(|own| own == name)
            };
            ![PROOF_FIELD, MARK, BACK].contains(&name) && !self.controls.iter().any(is_secret)
        };
        let kept = self.fields.pairs().filter(|(name, _)| is_kept(name));
        let mut kept: Vec<(String, String)> = kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let secrets = self.controls.iter().filter(|control| control.has_password());
        kept.extend(secrets.map(|control| (control.sealed_name(), control.sealed(&visit.proof))));
        let said = self.controls.iter().filter(|control| self.is_said(control));
        let title = match self.is_new {
            true => format!("New {}: look before it is made", self.area.one),
            false => format!("Change of the {}: look before it is made", self.area.one),
        };
        Confirm {
            page: Page::new(visit.clone(), self.area.navigation, title),
            action: self.action.clone(),
            back: Back::Form,
            button: if self.is_new { format!("Make the {}", self.area.one) } else { "Apply".to_owned() },
            said: said.map(|control| (control.label, control.said())).collect(),
            warnings: warnings(self.area, &looked),
            rerouted: self.dialog.form.is_confirmed.then_some(looked.rerouted),
            exposure: Exposure::of(&looked.exposure, looked.exposure_total),
            what_if: None,
            shell: Line { lines: vec![self.line()] },
            mark,
            kept,
            is_grave: false,
            can_apply: true,
            problems: Vec::new(),
        }
    }

    /// Whether a field says something else than is usual, or than it was.
    fn is_said(&self, control: &Control) -> bool {
        self.parameters.contains_key(control.name) || control.is_changed()
    }
}

/// What became of a form.
enum Done {
    /// It was done.
    Made(CommandAnswer),
    /// It is shown first.
    Asked(Box<Confirm>),
}

/// What was done, with what is legal but probably not meant, each on a line of its own: see [`super::with_warnings`].
fn said(area: &Area, done: &str, answer: &CommandAnswer) -> String {
    warnings(area, answer).iter().fold(done.to_owned(), |said, warning| format!("{said}\n{warning}"))
}

fn warnings(area: &Area, answer: &CommandAnswer) -> Vec<String> {
    answer.warnings.iter().map(|warning| warning_in_words(area.form(), warning)).collect()
}

/// The form that makes an object.
pub async fn ask_new(area: &'static Area, visit: Visit) -> Answer {
    let dialog = area.dialog("New").ok_or_else(|| none(area))?;
    visit.need(dialog.entry.role)?;
    show_new(area, visit, dialog, dialog.controls(None), None)
}

fn none(area: &Area) -> Problem {
    Problem::refused(StatusCode::NOT_FOUND, format!("no command makes a {}", area.one))
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
    let wish = Wish { area, dialog, parameters, controls: &controls, fields: &fields, action, is_new: true };
    match wish.come_true(&visit).await {
        Ok(Done::Made(answer)) => {
            let made = answer.output.first().and_then(|record| record["Identity"].as_str());
            let path = made.map_or_else(|| area.path.to_owned(), |identity| area.path_of(identity));
            Ok(visit.done(&path, &said(area, &format!("The {} was made.", area.one), &answer)))
        }
        Ok(Done::Asked(confirm)) => show(&*confirm),
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
    let wish = Wish { area, dialog, parameters, controls: &controls, fields: &fields, action: place, is_new: false };
    match wish.come_true(&visit).await {
        Ok(Done::Made(answer)) => {
            // Under its new name, where it has one and that is what it is found by.
            let path = match area.find(&visit, &identity).await {
                Ok(_) => on_tab(&area.path_of(&identity)),
                Err(_) if area.find(&visit, &renamed).await.is_ok() => on_tab(&area.path_of(&renamed)),
                Err(_) => area.path.to_owned(),
            };
            Ok(visit.done(&path, &said(area, "Saved.", &answer)))
        }
        Ok(Done::Asked(confirm)) => show(&*confirm),
        Err(error) => {
            let trouble = Trouble::of(Some(dialog.form), &mut controls, error)?;
            show_one(area, visit, identity, Some(controls), Some(trouble)).await
        }
    }
}

/// What removing an object does, before it is done.
pub async fn ask_remove(area: &'static Area, visit: Visit, identity: String) -> Answer {
    show_removal(area, visit, identity, None).await
}

/// The status and the sentences of a refusal, in the words of the dialog.
fn told(area: &Area, error: ClientError) -> Result<(StatusCode, Vec<String>), Problem> {
    match Trouble::of(area.form(), &mut [], error) {
        Ok(trouble) => Ok((trouble.status, trouble.said)),
        Err(problem) => said_of(problem),
    }
}

fn said_of(problem: Problem) -> Result<(StatusCode, Vec<String>), Problem> {
    match problem {
        Problem::Refused { status, error, .. } => Ok((status, vec![error])),
        other => Err(other),
    }
}

/// `problem` is why it was not done, where somebody has tried.
async fn show_removal(
    area: &'static Area,
    visit: Visit,
    identity: String,
    problem: Option<(StatusCode, Vec<String>)>,
) -> Answer {
    let entry = area.command("Remove").ok_or_else(|| none(area))?;
    area.find(&visit, &identity).await?;
    let parameters = json!({ "Identity": identity });
    let was_tried = problem.is_some();
    let (looked, can_apply, problem) = match visit.what_if(entry.signature.name, parameters.clone()).await {
        Ok(looked) => (looked, true, problem),
        Err(error) => {
            let why = match problem {
                Some(problem) => problem,
                None => told(area, error)?,
            };
            (CommandAnswer::default(), false, Some(why))
        }
    };
    let (status, problems) = problem.unwrap_or((StatusCode::OK, Vec::new()));
    // That it cannot be removed is what this page has to say, where nobody has tried.
    let status = if was_tried { status } else { StatusCode::OK };
    let mark = mark_of_removal(&looked);
    let leads_mail = area.is_confirmed();
    let confirm = Confirm {
        page: Page::new(visit, area.navigation, format!("Remove {identity}")),
        action: format!("{}/remove", area.path_of(&identity)),
        back: Back::Link(area.path_of(&identity)),
        button: format!("Remove the {}", area.one),
        said: Vec::new(),
        warnings: warnings(area, &looked),
        rerouted: leads_mail.then_some(looked.rerouted),
        exposure: Exposure::of(&looked.exposure, looked.exposure_total),
        what_if: looked
            .what_if
            .as_deref()
            .and_then(|text| text.lines().next()?.strip_prefix("What if: ").map(str::to_owned)),
        shell: Line { lines: vec![command_line(entry.signature.name, parameters.as_object().expect("written above"))] },
        mark,
        kept: Vec::new(),
        is_grave: true,
        can_apply,
        problems,
    };
    show_as(status, &confirm)
}

/// Stands for what is shown before an object is removed.
fn mark_of_removal(looked: &CommandAnswer) -> String {
    mark((&looked.what_if, &looked.warnings), &looked.exposure, looked.exposure_total)
}

/// Removes an object, unless that would do by now what nobody was shown.
pub async fn remove(area: &'static Area, identity: String, Sent { visit, fields }: Sent) -> Answer {
    let entry = area.command("Remove").ok_or_else(|| none(area))?;
    let parameters = json!({ "Identity": identity });
    let removed = match visit.what_if(entry.signature.name, parameters.clone()).await {
        Ok(looked) if fields.get(MARK) != Some(&mark_of_removal(&looked)) => {
            let changed = said_of(Problem::has_changed())?;
            return show_removal(area, visit, identity, Some(changed)).await;
        }
        Ok(_) => visit.run(entry.signature.name, parameters).await,
        Err(error) => Err(error),
    };
    match removed {
        Ok(answer) => {
            Ok(visit.done(area.path, &said(area, &format!("The {} {identity} was removed.", area.one), &answer)))
        }
        Err(error) => {
            let why = told(area, error)?;
            show_removal(area, visit, identity, Some(why)).await
        }
    }
}
