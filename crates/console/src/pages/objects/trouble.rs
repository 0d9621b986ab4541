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

/// What stands above a form that comes back.
#[derive(Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Of the answer.
    pub status: StatusCode,
    /// What is wrong, where no field is the place for it.
    pub said: Vec<String>,
    /// The fields that something is wrong with: by the parameter's name, and what people call them.
    pub fields: Vec<(&'static str, &'static str)>,
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
            let named = || controls.iter().position(|control| is_named(&message, control.name));
            let by_key = about.and_then(|about| controls.iter().position(|control| control.is_about(&about)));
            let place = by_key.or_else(named);
            let mut said = in_words(form, &message, place.map(|place| controls[place].name));
            if let Some(remedy) = remedy.filter(|remedy| !is_of_the_document(remedy)) {
                said = format!("{} {}", said.trim_end_matches('.').to_owned() + ".", in_words(form, &remedy, None));
            }
            match place {
                Some(place) => {
                    let control = &mut controls[place];
                    let before = control.problem.take().map(|before| ended(before) + " ").unwrap_or_default();
                    control.problem = Some(before + &said);
                    let field = (control.name, control.label);
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
        Trouble { status, said: Vec::new(), fields: vec![(control.name, control.label)] }
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

/// Whether a text speaks of a parameter: exactly as it is spelt, since `name` and `port` are words of their own.
fn is_named(text: &str, name: &str) -> bool {
    text.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|word| word == name)
}

/// Whether a remedy is what to write into the settings document, which nobody has in front of them here.
fn is_of_the_document(remedy: &str) -> bool {
    remedy.contains(" = ") || remedy.contains("[[")
}

/// A warning in the words of the dialog, without what to write into the settings document.
pub fn warning_in_words(form: Option<&Form>, warning: &str) -> String {
    let ends: Vec<usize> = warning.match_indices(": ").map(|(end, _)| end).collect();
    let behind = |place: usize| &warning[ends[place] + 2..ends.get(place + 1).copied().unwrap_or(warning.len())];
    let place = (0..ends.len()).find(|place| is_of_the_document(behind(*place)));
    // A line of the document alone shows what is meant by the words before it.
    let place = place.map(|place| if is_line_of_the_document(behind(place)) { place.saturating_sub(1) } else { place });
    let end = place.map_or(warning.len(), |place| ends[place]);
    ended(in_words(form, &warning[..end], None))
}

/// Whether a text is no more than a line of the settings document.
fn is_line_of_the_document(text: &str) -> bool {
    let is_key = |key: &str| key.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    text.starts_with("[[") || text.split_once(" = ").is_some_and(|(key, _)| is_key(key))
}

/// A sentence with its end.
fn ended(said: String) -> String {
    if said.ends_with(['.', '!', '?']) { said } else { said + "." }
}

/// A text with what people call things in the place of parameters. What stands at its field need not name it.
fn in_words(form: Option<&Form>, text: &str, at: Option<&str>) -> String {
    let mut text = text.to_owned();
    if let Some(at) = at {
        // `New-SendConnector needs the parameter Name: ...`, `the parameter Port: ...`, `` `Port`: ... ``, `Port: ...`.
        let ends = [format!("the parameter {at}: "), format!("`{at}`: "), format!("{at}: ")];
        let end = ends.iter().find_map(|end| text.find(end.as_str()).map(|start| (start, start + end.len())));
        if let Some((start, end)) = end.filter(|(start, _)| *start == 0 || text[..*start].ends_with("needs ")) {
            let lacks = start > 0;
            text = text.split_off(end);
            if lacks {
                text = format!("This is needed. {text}");
            }
        }
    }
    let mut words = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_alphanumeric()) {
        let end =
            rest[start..].find(|letter: char| !letter.is_ascii_alphanumeric()).map_or(rest.len(), |end| start + end);
        let word = &rest[start..end];
        let label = form.filter(|_| word.contains(char::is_uppercase)).and_then(|form| form.label_of(word));
        // One word that is also a word of its own stays as it is, unless it is marked as a parameter.
        let is_marked = rest[..start].ends_with('`') && rest[end..].starts_with('`');
        let is_certain = is_marked || word.chars().skip(1).any(char::is_uppercase);
        words.push_str(&rest[..start]);
        match label.filter(|_| is_certain) {
            Some(label) if is_marked => words.push_str(label),
            Some(label) => {
                // `-Port` is how the shell says it.
                let is_of_shell =
                    words.strip_suffix('-').is_some_and(|before| !before.ends_with(char::is_alphanumeric));
                if is_of_shell {
                    words.pop();
                }
                words.push('\u{201c}');
                words.push_str(label);
                words.push('\u{201d}');
            }
            None => words.push_str(word),
        }
        rest = &rest[end..];
    }
    words.push_str(rest);
    capitalized(&quoted(&words))
}

/// Backquotes as quotes.
fn quoted(text: &str) -> String {
    let mut is_open = false;
    let quote = |letter: char| {
        if letter != '`' {
            return letter;
        }
        is_open = !is_open;
        if is_open { '\u{201c}' } else { '\u{201d}' }
    };
    text.chars().map(quote).collect()
}

/// A sentence with its capital, unless it begins with a value, as an address: that stands as it was typed.
fn capitalized(text: &str) -> String {
    let first = text.split(' ').next().unwrap_or_default().trim_end_matches([',', ';', ':', '.']);
    if !first.chars().all(|letter| letter.is_alphabetic() || ['-', '\''].contains(&letter)) {
        return text.to_owned();
    }
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
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
    fn a_warning_says_what_is_odd_and_not_what_to_write_into_the_document() {
        let form = command::form_of("SendConnector");
        for (warning, expected) in [
            (
                "no send connector leads to a.example: declare [[send_connector]] with AddressSpaces = [\"a.example\"]",
                "No send connector leads to a.example.",
            ),
            (
                "`BasicAuth` says it in clear: write RequireTLS, or nothing",
                "\u{201c}BasicAuth\u{201d} says it in clear: write \u{201c}Require TLS\u{201d}, or nothing.",
            ),
            ("a mailbox: it stays.", "A mailbox: it stays."),
            (
                "`members`: a group with no members is nobody's address: mail to it is refused: write who gets its mail: \
                 members = [\"bob@contoso.com\"]",
                "\u{201c}members\u{201d}: a group with no members is nobody's address: mail to it is refused.",
            ),
            ("nobody@contoso.com is nobody", "nobody@contoso.com is nobody."),
            ("write less. -RequireTLS takes it", "Write less. \u{201c}Require TLS\u{201d} takes it."),
        ] {
            assert_eq!(warning_in_words(form, warning), expected);
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
