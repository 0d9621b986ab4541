//! What the guide shows is true: every piece of a settings document in it passes `gatepost check`.

use std::fs;
use std::path::Path;

use gatepost_testkit::installation::{Installation, text_of};

use crate::site::PROGRAM;

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
