//! Why a dialog was not done, in the dialog's words and at its fields: each mistake once.
//!
//! Takes what the server refuses, which speaks of parameters and of the settings document; hands on what stands above the
//! form, and puts the rest beside the fields that it is about.

use axum::http::StatusCode;
use gatepost_manage::ClientError;
use gatepost_manage::command::form::Form;
use gatepost_manage::resource::{Refused, SettingsProblem};

use super::control::Control;
use crate::problem::Problem;
use crate::wording::{ended, in_words, is_of_the_document};

/// What stands above a form that comes back.
#[derive(Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Of the answer.
    pub status: StatusCode,
    /// What is wrong, where no field is the place for it.
    pub said: Vec<String>,
    /// The fields that something is wrong with: where they stand on the page, and what people call them.
    pub fields: Vec<(String, &'static str)>,
}

impl Trouble {
    /// Sorts what a server refuses: what is about one of `controls` stands beside it from now on. What is secret is typed anew.
    ///
    /// # Errors
    /// What is no refusal, and what the visitor may not do.
    pub fn of(form: Option<&Form>, controls: &mut [Control], error: ClientError) -> Result<Trouble, Problem> {
        let (status, refused) = match error {
            ClientError::Refused { status, refused } if status != 403 && status < 500 => (status, refused),
            other => return Err(other.into()),
        };
        let mut trouble = Trouble {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY),
            said: Vec::new(),
            fields: Vec::new(),
        };
        for Mistake { about, message, remedy } in mistakes(*refused, status, controls) {
            let named = controls.iter().position(|control| is_named(&message, control));
            let by_key = about.and_then(|about| controls.iter().position(|control| control.is_about(&about)));
            // What is lacking stands nowhere: the line that the server points at is that of something else.
            let is_beside = by_key.is_some_and(|place| named.is_some() && !is_named(&message, &controls[place]));
            let place = if is_beside { named } else { by_key.or(named) };
            let mut said = in_words(form, &message, place.map(|place| controls[place].name));
            if let Some(remedy) = remedy.filter(|remedy| !is_of_the_document(remedy)) {
                said = format!("{} {}", said.trim_end_matches('.').to_owned() + ".", in_words(form, &remedy, None));
            }
            match place {
                Some(place) => {
                    let control = &mut controls[place];
                    let before = control.problem.take().map(|before| ended(before) + " ").unwrap_or_default();
                    control.problem = Some(before + &said);
                    let field = control.place_of_problem();
                    if !trouble.fields.contains(&field) {
                        trouble.fields.push(field);
                    }
                }
                None => trouble.said.push(said),
            }
        }
        Ok(trouble)
    }

    /// What stands at a field already.
    pub fn at(status: StatusCode, control: &Control) -> Trouble {
        Trouble { status, said: Vec::new(), fields: vec![control.place_of_problem()] }
    }

    /// One sentence of the console's own.
    pub fn new(status: StatusCode, said: impl Into<String>) -> Trouble {
        Trouble { status, said: vec![said.into()], fields: Vec::new() }
    }
}

struct Mistake {
    about: Option<String>,
    message: String,
    remedy: Option<String>,
}

fn mistakes(refused: Refused, status: u16, controls: &[Control]) -> Vec<Mistake> {
    if !refused.problems.is_empty() {
        let of = |SettingsProblem { message, remedy, about, .. }: SettingsProblem| Mistake {
            about,
            message,
            remedy: Some(remedy).filter(|remedy| !remedy.is_empty()),
        };
        return refused.problems.into_iter().map(of).collect();
    }
    // What is there already has the name that was given.
    let name =
        controls.iter().find(|control| control.is_mandatory && status == 409).map(|control| control.name.to_owned());
    vec![Mistake { about: name, message: refused.error, remedy: None }]
}

/// Whether a text speaks of a field: exactly as it is spelt, since `name` and `port` are words of their own.
fn is_named(text: &str, control: &Control) -> bool {
    text.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| control.is_about(word))
}

#[cfg(test)]
mod tests {
    use gatepost_manage::command;

    use super::super::control::Dialog;
    use super::*;

    fn controls() -> Vec<Control> {
        let form = command::form_of("SendConnector").expect("a form");
        let shape = command::find("Get-SendConnector").and_then(|entry| entry.output).expect("a shape");
        Dialog { form, entry: command::find("New-SendConnector").expect("a command"), shape }.controls(None)
    }

    fn problem(about: Option<&str>, message: &str, remedy: &str) -> SettingsProblem {
        let (message, remedy) = (message.to_owned(), remedy.to_owned());
        SettingsProblem { line: 3, column: 1, message, remedy, about: about.map(str::to_owned), related: None }
    }

    /// What stands above the form, and what at which field.
    #[track_caller]
    fn check(refused: Refused, status: u16, above: &[&str], at: &[(&str, &str)]) {
        let mut controls = controls();
        let error = ClientError::Refused { status, refused: Box::new(refused) };
        let trouble = Trouble::of(command::form_of("SendConnector"), &mut controls, error).expect("a refusal");
        assert_eq!(trouble.said, above);
        let told = controls.iter().filter_map(|control| Some((control.name, control.problem.as_deref()?)));
        assert_eq!(told.collect::<Vec<_>>(), at);
        assert_eq!(trouble.fields.len(), at.len());
    }

    #[test]
    fn what_is_wrong_with_a_password_stands_at_the_password() {
        for (error, place) in [
            (
                "AuthenticationCredential: the user name is missing: give it",
                ("f-AuthenticationCredential", "Log on as"),
            ),
            ("AuthenticationCredential: the password is missing: give it", ("p-AuthenticationCredential", "Password")),
        ] {
            let refused = Box::new(Refused::new(error));
            let error = ClientError::Refused { status: 400, refused };
            let trouble = Trouble::of(command::form_of("SendConnector"), &mut controls(), error).expect("a refusal");
            assert_eq!(trouble.fields, [(place.0.to_owned(), place.1)]);
        }
    }

    #[test]
    fn each_mistake_stands_once_at_the_field_that_it_is_about_in_the_words_of_the_dialog() {
        let of_settings = |problems: Vec<SettingsProblem>| Refused { problems, ..Refused::new("all of it") };
        check(
            of_settings(vec![problem(
                Some("DNSRoutingEnabled"),
                "`DNSRoutingEnabled` cannot be true where SmartHosts are given",
                "write DNSRoutingEnabled = false to use the smart hosts",
            )]),
            422,
            &[],
            &[(
                "DNSRoutingEnabled",
                "\u{201c}Route mail\u{201d} cannot be true where \u{201c}Smart hosts\u{201d} are given",
            )],
        );
        check(
            of_settings(vec![
                problem(None, "`AddressSpaces` is missing", "write which domains"),
                problem(None, "the disk is full", ""),
            ]),
            422,
            &["The disk is full"],
            &[("AddressSpaces", "\u{201c}Address spaces\u{201d} is missing. Write which domains")],
        );
        check(
            of_settings(vec![problem(None, "`Port` is odd", ""), problem(None, "`Port` is taken", "")]),
            422,
            &[],
            &[("Port", "\u{201c}Port\u{201d} is odd. \u{201c}Port\u{201d} is taken")],
        );
        // What is lacking is told at its own field, whatever line the server points at.
        check(
            of_settings(vec![problem(
                Some("Name"),
                "no mail would ever take this connector: it has no AddressSpaces, and no other names it as FallbackConnector",
                "write which domains it leads to: AddressSpaces = [\"SMTP:*;1\"] for all",
            )]),
            422,
            &[],
            &[(
                "AddressSpaces",
                "No mail would ever take this connector: it has no \u{201c}Address spaces\u{201d}, and no other names it as \
                 \u{201c}Send connector that stands in\u{201d}",
            )],
        );
        check(
            Refused::new("FallbackConnector: the send connector 'Nope' couldn't be found."),
            404,
            &[],
            &[("FallbackConnector", "The send connector 'Nope' couldn't be found.")],
        );
        check(
            Refused::new("New-SendConnector needs the parameter Name: What it is called."),
            400,
            &[],
            &[("Name", "This is needed. What it is called.")],
        );
        check(
            Refused::new("the parameter Port: write a whole number, without quotes"),
            400,
            &[],
            &[("Port", "Write a whole number, without quotes")],
        );
        check(
            Refused::new("the send connector \"Out\" already exists: choose another name"),
            409,
            &[],
            &[("Name", "The send connector \"Out\" already exists: choose another name")],
        );
    }
}
