//! What comes with the command line: completion by shells, and manual pages.

use std::fs;
use std::process::Command;

use gatepost_testkit::installation::{Installation, text_of};

use crate::site::PROGRAM;

#[test]
fn bash_completes_commands_and_options_and_other_shells_get_their_scripts() {
    let installation = Installation::empty(PROGRAM);
    let script = installation.folder().join("completion.bash");
    fs::write(&script, installation.output(&["completion", "bash"])).expect("ours");
    for (words, place, expected) in [
        ("gatepost que", 1, &["queue"][..]),
        ("gatepost queue re", 2, &["retry", "resume", "remove", "redirect"]),
        ("gatepost token add --no", 3, &["--note"]),
        ("gatepost --server-c", 1, &["--server-certificate"]),
    ] {
        let bash = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={place}; cur=${{COMP_WORDS[$COMP_CWORD]}}; \
             _gatepost gatepost \"$cur\" \"${{COMP_WORDS[$COMP_CWORD-1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &bash]).output().expect("run bash");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut offered: Vec<&str> = text.split_whitespace().collect();
        let mut expected = expected.to_vec();
        offered.sort_unstable();
        expected.sort_unstable();
        assert_eq!(offered, expected, "{words}: {}", text_of(&output));
    }
    assert!(installation.output(&["completion", "zsh"]).starts_with("#compdef gatepost"));
    assert!(installation.output(&["completion", "fish"]).contains("complete -c gatepost"));
}

#[test]
fn every_command_has_a_manual_page() {
    let installation = Installation::empty(PROGRAM);
    let folder = installation.folder().join("man");
    fs::create_dir(&folder).expect("ours");
    let named = folder.display().to_string();
    installation.output(&["man", &named]);
    let mut pages: Vec<String> = fs::read_dir(&folder)
        .expect("ours")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    pages.sort_unstable();
    for command in ["gatepost", "gatepost-serve", "gatepost-shell", "gatepost-queue-suspend", "gatepost-token-add"] {
        assert!(pages.contains(&format!("{command}.1")), "{command}: {pages:?}");
    }
    for page in &pages {
        let text = fs::read_to_string(folder.join(page)).expect("text");
        let name = page.strip_suffix(".1").expect("of section 1");
        assert!(text.contains(&format!(".TH {name} 1")), "{page}: {text}");
        assert!(text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"), "{page}: {text}");
    }
    let nowhere = installation.run(&["man", "/no/such/folder"]);
    assert!(text_of(&nowhere).contains("cannot write manual pages into /no/such/folder"), "{}", text_of(&nowhere));
}
