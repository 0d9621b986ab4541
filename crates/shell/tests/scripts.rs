//! Scripts and what they print, as data: `tests/scripts/*.txt`. A case is a title after `###`, a script, a line `-->`, and
//! what comes out: output and host text as it is, of an error its first line after `! `, other streams with their prefix.
//!
//! Lines before the script that begin with `<` are typed at prompts, `file NAME: text` lies in a folder (`\n` for line ends).

mod made;

use std::fmt::Write;
use std::rc::Rc;

use gatepost_shell::limits::Limits;
use gatepost_shell::session::{Output, Session};
use gatepost_shell::source::Source;
use made::{MadeCommands, MadeWorld};

struct Case<'a> {
    title: &'a str,
    world: MadeWorld,
    script: String,
    expected: String,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases = Vec::new();
    for part in text.split("\n### ").skip(1) {
        let (title, rest) = part.split_once('\n').expect("a case has lines");
        let (script, expected) = rest.split_once("-->\n").unwrap_or_else(|| panic!("{title}: no line -->"));
        let mut world = MadeWorld::default();
        let mut lines = Vec::new();
        for line in script.lines() {
            if let (Some(typed), true) = (line.strip_prefix("< "), lines.is_empty()) {
                world.typed.push_back(typed.to_owned());
            } else if let (Some(file), true) = (line.strip_prefix("file "), lines.is_empty()) {
                let (name, text) = file.split_once(": ").expect("a file has a name and text");
                let path = made::absolute(name);
                world.files.borrow_mut().insert(path, text.replace("\\n", "\n").into_bytes());
            } else {
                lines.push(line);
            }
        }
        cases.push(Case { title, world, script: lines.join("\n"), expected: expected.trim_end().to_owned() });
    }
    cases
}

fn played(case: Case<'_>) -> String {
    let written = Rc::clone(&case.world.written);
    let mut session = Session::new(Box::new(case.world), Rc::new(MadeCommands), Limits::default());
    let outcome = session.run(Source::new("command line", case.script), Output::Screen);
    let mut text = written.borrow().clone();
    if outcome.exit_code != 0 {
        let _ = writeln!(text, "[exit {}]", outcome.exit_code);
    }
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

fn play(file: &str, text: &str) {
    let text = format!("\n{text}");
    let mut failures = String::new();
    let mut count = 0;
    for case in cases(&text) {
        count += 1;
        let (title, script, expected) = (case.title, case.script.clone(), case.expected.clone());
        let got = played(case);
        if got != expected {
            let _ = writeln!(failures, "=== {file}: {title}\n{script}\n--- expected\n{expected}\n--- got\n{got}\n");
        }
    }
    assert!(count > 0, "{file} has no cases");
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn the_language_does_what_the_original_does() {
    play("language.txt", include_str!("scripts/language.txt"));
}

#[test]
fn commands_are_bound_as_in_the_original() {
    play("binding.txt", include_str!("scripts/binding.txt"));
}

#[test]
fn errors_end_what_they_should() {
    play("errors.txt", include_str!("scripts/errors.txt"));
}

#[test]
fn the_commands_of_the_language_do_what_the_originals_do() {
    play("stock.txt", include_str!("scripts/stock.txt"));
}

#[test]
fn scripts_as_administrators_write_them_run() {
    play("idioms.txt", include_str!("scripts/idioms.txt"));
}
