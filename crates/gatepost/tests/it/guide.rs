//! What the guide shows is true: every piece of a settings document in it passes `gatepost check`, and the pages about the shell
//! and about automation are played against a running server.

use std::fs;
use std::path::Path;
use std::process::Command;

use gatepost_testkit::installation::{Installation, text_of};

use crate::site::{PROGRAM, Site};

/// What the pieces leave to the rest of the document.
const REST: &str = r#"
[server]
name = "mail.contoso.com"
data_dir = "data"

[[accepted_domain]]
name = "contoso.com"

[[mailbox]]
address = "bob@contoso.com"

[[user]]
name = "alice"
addresses = ["alice@contoso.com"]
groups = ["Scanners"]

[[send_connector]]
name = "To the Internet"
address_spaces = ["SMTP:*;1"]
dns_routing_enabled = true
"#;

/// What an entry alone stands below.
const ABOVE_AN_ENTRY: &str = r#"
[[receive_connector]]
name = "Relay"
bindings = ["0.0.0.0:25"]
remote_ip_ranges = ["192.168.3.7"]
auth_mechanism = ["Tls", "BasicAuth"]
permission_groups = ["AnonymousUsers", "ExchangeUsers"]
"#;

/// The pieces marked as TOML, with the line at which each begins.
fn pieces(page: &str) -> Vec<(usize, String)> {
    let mut pieces = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line == "```toml" {
            let piece = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            pieces.push((number + 2, piece.collect::<Vec<_>>().join("\n")));
        }
    }
    pieces
}

#[test]
fn every_piece_of_a_document_in_the_guide_passes_the_check() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages: Vec<_> = fs::read_dir(root.join("docs/guide")).expect("the guide").flatten().collect();
    pages.sort_by_key(|page| page.file_name());
    let pages = pages.into_iter().map(|page| page.path()).chain([root.join("README.md")]);
    // Beside the pages lie their pictures.
    let pages = pages.filter(|page| page.extension().is_some_and(|kind| kind == "md"));
    let mut checked = 0;
    for page in pages {
        let text = fs::read_to_string(&page).expect("a readable page");
        for (line, piece) in pieces(&text) {
            // A piece that names the server is a document of its own.
            let rest = if piece.contains("[server]") { "" } else { REST };
            let is_entry = piece.trim_start().starts_with("[[receive_connector.permission]]");
            let above = if is_entry { ABOVE_AN_ENTRY } else { "" };
            let installation = Installation::new(PROGRAM, &format!("{rest}{above}\n{piece}\n"));
            let run = installation.run(&["check"]);
            let told = text_of(&run);
            let name = page.file_name().unwrap_or_default().to_string_lossy();
            // The document is right where only the files that it names are missing on this machine.
            let errors: Vec<&str> = told.lines().filter(|line| line.starts_with("error: ")).collect();
            let is_missing = |what: &str| match errors[..] {
                [error] => error.starts_with(&format!("error: cannot read the {what} /etc/gatepost/")),
                _ => false,
            };
            let is_right = run.status.success() || is_missing("certificate") || is_missing("trusted root");
            assert!(is_right, "{name}, line {line}:\n{told}");
            checked += 1;
        }
    }
    assert!(checked > 10, "the pieces are found");
}

/// The server that the played pages speak to.
const SHELL_SERVER: &str = r#"
[server]
name = "mail.contoso.com"
data_dir = "data"

[[accepted_domain]]
name = "contoso.com"

[[receive_connector]]
name = "Default"
bindings = ["0.0.0.0:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
permission_groups = ["AnonymousUsers"]
"#;

/// A piece of a page in a language that it names, with the line at which it begins.
struct Piece<'a> {
    line: usize,
    language: &'a str,
    text: String,
}

fn marked_pieces(page: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut lines = page.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            pieces.push(Piece { line: number + 2, language, text: text.join("\n") });
        }
    }
    pieces
}

/// Whether lines are as the page has them: blank ones do not count, blanks in a row count as one, `*` at the end of a line
/// is the rest of it.
fn is_like(printed: &str, expected: &str) -> bool {
    let lines = |text: &str| -> Vec<String> {
        let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        words.filter(|line| !line.is_empty()).collect()
    };
    let (printed, expected) = (lines(printed), lines(expected));
    printed.len() == expected.len()
        && printed.iter().zip(&expected).all(|(line, pattern)| match pattern.strip_suffix('*') {
            Some(beginning) => line.starts_with(beginning),
            None => line == pattern,
        })
}

#[test]
fn the_page_about_the_shell_is_what_happens() {
    play("shell.md", 8);
}

#[test]
fn the_page_about_automation_is_what_happens() {
    play("automation.md", 6);
}

/// Runs the pieces of a page in order, in one folder, and compares what they print with the text behind each.
#[track_caller]
fn play(name: &str, pieces_at_least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/guide").join(name)).expect("the page");
    let site = Site::start(&[SHELL_SERVER]);
    // Nobody listens on port 25 here, and the folder for temporary files is everybody's.
    let smtp = site.smtp().port().to_string();
    let here = |text: &str| {
        text.replace("0.0.0.0:25", &format!("0.0.0.0:{smtp}")).replace("-Port 25", &format!("-Port {smtp}"))
    };
    let folder = site.installation.folder();
    let temporary = folder.join("tmp");
    fs::create_dir(&temporary).expect("a folder");
    let program_folder = Path::new(PROGRAM).parent().expect("a folder").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let pieces = marked_pieces(&page);
    let mut played = 0;
    for (at, piece) in pieces.iter().enumerate() {
        let arguments = match piece.language {
            "powershell" => [PROGRAM, "shell", "-c"].as_slice(),
            "sh" => &["sh", "-ec"],
            _ => continue,
        };
        let run = Command::new(arguments[0])
            .args(&arguments[1..])
            .arg(here(&piece.text))
            .current_dir(folder)
            .env("GATEPOST_CONFIG", site.installation.settings_file())
            .env("PATH", format!("{program_folder}:{path}"))
            .env("TMPDIR", &temporary)
            .stdin(std::process::Stdio::null())
            .output()
            .expect("run it");
        let (printed, told) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        assert!(run.status.success(), "line {}:\n{printed}{told}", piece.line);
        // Warnings about what else the settings lack do not belong to the page.
        let is_error = |line: &str| !line.is_empty() && !line.starts_with("WARNING:");
        assert!(!told.lines().any(is_error), "line {}:\n{told}", piece.line);
        if let Some(Piece { language: "text", text: expected, .. }) = pieces.get(at + 1) {
            assert!(
                is_like(&printed, &here(expected)),
                "line {}:\n{printed}\nbut the page has\n{expected}",
                piece.line
            );
        }
        played += 1;
    }
    assert!(played >= pieces_at_least, "the pieces are found");
}
