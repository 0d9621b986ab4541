//! Making, changing and removing an object: by the commands of its noun, with the exposure shown before it changes.

use askama::Template;
use axum::http::StatusCode;
use gatepost_manage::resource::CommandAnswer;
use serde_json::{Map, Value, json};

use super::control::{Control, controls, point_at, read};
use super::{Area, One, parted, show_one, told};
use crate::change::mark;
use crate::exposure::Exposure;
use crate::fields::Fields;
use crate::layout::{Answer, Page, show, show_as};
use crate::problem::Problem;
use crate::shell_line::command_line;
use crate::visit::{PROOF_FIELD, Sent, Visit};

/// The field by which a form says what was shown to whoever sends it.
const MARK: &str = "mark";

#[derive(Template)]
#[template(path = "object_confirm.html")]
struct Confirm {
    page: Page,
    action: String,
    back: String,
    button: String,
    exposure: Exposure,
    warnings: Vec<String>,
    what_if: Option<String>,
    line: String,
    mark: String,
    /// What was typed, which is carried on.
    kept: Vec<(String, String)>,
    /// What is typed once more, since it is never shown.
    secrets: Vec<&'static str>,
    /// Whether there is anything to confirm.
    can_apply: bool,
    problem: Option<String>,
}

/// What a form comes to.
struct Wish<'a> {
    area: &'static Area,
    command: &'static str,
    parameters: Map<String, Value>,
    controls: &'a [Control],
    fields: &'a Fields,
    action: String,
    back: String,
}

impl Wish<'_> {
    /// The parameters that may be shown.
    fn shown(&self) -> Map<String, Value> {
        let is_secret = |name: &str| self.controls.iter().any(|control| control.name == name && control.is_secret());
        self.parameters
            .iter()
            .filter(|(name, _)| !is_secret(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The same for the shell, which asks for what is not shown.
    fn line(&self) -> String {
        let mut line = command_line(self.command, &self.shown());
        for name in self.secrets() {
            line.push_str(&format!(" -{name} (Read-Host -AsSecureString \"{name}\")"));
        }
        line
    }

    fn secrets(&self) -> Vec<&'static str> {
        let given =
            self.controls.iter().filter(|control| control.is_secret() && self.parameters.contains_key(control.name));
        given.map(|control| control.name).collect()
    }

    /// Stands for the change and what it opens.
    fn mark(&self, looked: &CommandAnswer) -> String {
        mark(self.line(), &looked.exposure)
    }

    /// Does it, unless it changes exposure and nobody has seen that yet: then the page that shows it.
    async fn come_true(&self, visit: &Visit) -> Result<Done, Problem> {
        let looked = visit.what_if(self.command, self.parameters.clone().into()).await?;
        let mark = self.mark(&looked);
        if looked.exposure.is_empty() || self.fields.get(MARK) == Some(&mark) {
            return Ok(Done::Made(visit.run(self.command, self.parameters.clone().into()).await?));
        }
        Ok(Done::Asked(Box::new(self.confirm(visit, looked, mark))))
    }

    fn confirm(&self, visit: &Visit, looked: CommandAnswer, mark: String) -> Confirm {
        let is_kept = |name: &str| {
            let is_secret =
                |control: &Control| control.is_secret() && (name == control.name || name == control.was_name());
            name != PROOF_FIELD && name != MARK && !self.controls.iter().any(is_secret)
        };
        let title = format!("Confirm: {}", self.area.one);
        Confirm {
            page: Page::new(visit.clone(), self.area.navigation, title),
            action: self.action.clone(),
            back: self.back.clone(),
            button: "Apply".to_owned(),
            exposure: Exposure::of(&looked.exposure),
            warnings: looked.warnings,
            what_if: None,
            line: self.line(),
            mark,
            kept: self
                .fields
                .pairs()
                .filter(|(name, _)| is_kept(name))
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            secrets: self.secrets(),
            can_apply: true,
            problem: None,
        }
    }
}

/// What became of a form.
enum Done {
    /// It was done.
    Made(CommandAnswer),
    /// It is shown first.
    Asked(Box<Confirm>),
}

/// What was done, with what is legal but probably not meant.
fn said(done: &str, answer: &CommandAnswer) -> String {
    answer.warnings.iter().fold(done.to_owned(), |said, warning| format!("{said} {warning}"))
}

/// The form that makes an object.
pub async fn ask_new(area: &'static Area, visit: Visit) -> Answer {
    let entry = area.command("New").ok_or_else(|| none(area))?;
    show_new(area, visit, controls(entry, None), None)
}

fn none(area: &Area) -> Problem {
    Problem::refused(StatusCode::NOT_FOUND, format!("no command makes a {}", area.one))
}

fn show_new(area: &'static Area, visit: Visit, controls: Vec<Control>, problem: Option<Problem>) -> Answer {
    let (_, shape) = area.listing()?;
    let (status, problem) = told(problem);
    let (first, rest) = parted(area, shape, controls);
    let form = One {
        action: format!("{}/new", area.path),
        page: Page::new(visit, area.navigation, format!("New {}", area.one)),
        area,
        problem,
        first,
        rest,
        facts: Vec::new(),
        members: None,
        may_remove: false,
        is_new: true,
    };
    show_as(status, &form)
}

/// Makes an object.
pub async fn make(area: &'static Area, Sent { visit, fields }: Sent) -> Answer {
    let entry = area.command("New").ok_or_else(|| none(area))?;
    let mut controls = controls(entry, None);
    let parameters = read(&mut controls, &fields);
    let wish = Wish {
        area,
        command: entry.signature.name,
        parameters,
        controls: &controls,
        fields: &fields,
        action: format!("{}/new", area.path),
        back: area.path.to_owned(),
    };
    match wish.come_true(&visit).await {
        Ok(Done::Made(answer)) => {
            let made = answer.output.first().and_then(|record| record["Identity"].as_str());
            let path = made.map_or_else(|| area.path.to_owned(), |identity| area.path_of(identity));
            Ok(visit.done(&path, &said(&format!("The {} was made.", area.one), &answer)))
        }
        Ok(Done::Asked(confirm)) => show(&*confirm),
        Err(problem) => {
            let controls = with_problem(controls, &problem);
            show_new(area, visit, controls, Some(problem))
        }
    }
}

/// The form with the error beside its field; what is secret is typed anew.
fn with_problem(mut controls: Vec<Control>, problem: &Problem) -> Vec<Control> {
    if let Problem::Refused { error, .. } = problem {
        point_at(&mut controls, error);
    }
    controls.iter_mut().filter(|control| control.is_secret()).for_each(|control| control.value.clear());
    controls
}

/// Changes an object.
pub async fn set(area: &'static Area, identity: String, Sent { visit, fields }: Sent) -> Answer {
    let entry = area.command("Set").ok_or_else(|| none(area))?;
    let mut controls = controls(entry, None);
    let mut parameters = read(&mut controls, &fields);
    if parameters.is_empty() {
        visit.need(entry.role)?;
        return Ok(visit.done(&area.path_of(&identity), "Nothing was changed in the form: all is as it was."));
    }
    parameters.insert("Identity".to_owned(), identity.as_str().into());
    let renamed = parameters.get("Name").and_then(Value::as_str).unwrap_or(&identity).to_owned();
    let wish = Wish {
        area,
        command: entry.signature.name,
        parameters,
        controls: &controls,
        fields: &fields,
        action: area.path_of(&identity),
        back: area.path_of(&identity),
    };
    match wish.come_true(&visit).await {
        Ok(Done::Made(answer)) => {
            // Under its new name, where it has one and that is what it is found by.
            let path = match area.find(&visit, &identity).await {
                Ok(_) => area.path_of(&identity),
                Err(_) if area.find(&visit, &renamed).await.is_ok() => area.path_of(&renamed),
                Err(_) => area.path.to_owned(),
            };
            Ok(visit.done(&path, &said("Saved.", &answer)))
        }
        Ok(Done::Asked(confirm)) => show(&*confirm),
        Err(problem) => {
            let controls = with_problem(controls, &problem);
            show_one(area, visit, identity, Some(controls), Some(problem)).await
        }
    }
}

/// What removing an object does, before it is done.
pub async fn ask_remove(area: &'static Area, visit: Visit, identity: String) -> Answer {
    show_removal(area, visit, identity, None).await
}

async fn show_removal(area: &'static Area, visit: Visit, identity: String, problem: Option<Problem>) -> Answer {
    let entry = area.command("Remove").ok_or_else(|| none(area))?;
    area.find(&visit, &identity).await?;
    let parameters = json!({ "Identity": identity });
    let was_tried = problem.is_some();
    let (looked, can_apply, problem) = match visit.what_if(entry.signature.name, parameters.clone()).await {
        Ok(looked) => (looked, true, problem),
        Err(error) => (CommandAnswer::default(), false, problem.or(Some(error.into()))),
    };
    let (status, problem) = told(problem);
    // That it cannot be removed is what this page has to say, where nobody has tried.
    let status = if was_tried { status } else { StatusCode::OK };
    let mark = mark_of_removal(&looked);
    let confirm = Confirm {
        page: Page::new(visit, area.navigation, format!("Remove {identity}")),
        action: format!("{}/remove", area.path_of(&identity)),
        back: area.path_of(&identity),
        button: format!("Remove the {}", area.one),
        exposure: Exposure::of(&looked.exposure),
        warnings: looked.warnings,
        what_if: looked.what_if,
        line: command_line(entry.signature.name, parameters.as_object().expect("written above")),
        mark,
        kept: Vec::new(),
        secrets: Vec::new(),
        can_apply,
        problem: problem.map(|(problem, _)| problem),
    };
    show_as(status, &confirm)
}

/// Stands for what is shown before an object is removed.
fn mark_of_removal(looked: &CommandAnswer) -> String {
    mark((&looked.what_if, &looked.warnings), &looked.exposure)
}

/// Removes an object, unless that would do by now what nobody was shown.
pub async fn remove(area: &'static Area, identity: String, Sent { visit, fields }: Sent) -> Answer {
    let entry = area.command("Remove").ok_or_else(|| none(area))?;
    let parameters = json!({ "Identity": identity });
    let removed = match visit.what_if(entry.signature.name, parameters.clone()).await {
        Ok(looked) if fields.get(MARK) != Some(&mark_of_removal(&looked)) => {
            return show_removal(area, visit, identity, Some(Problem::has_changed())).await;
        }
        Ok(_) => visit.run(entry.signature.name, parameters).await,
        Err(error) => Err(error),
    };
    match removed {
        Ok(answer) => Ok(visit.done(area.path, &said(&format!("The {} {identity} was removed.", area.one), &answer))),
        Err(error) => show_removal(area, visit, identity, Some(error.into())).await,
    }
}
