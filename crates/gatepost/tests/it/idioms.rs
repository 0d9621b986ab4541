//! What administrators run: each file in `idioms/` is one script as articles, forums and ten years of practice have them,
//! played by `gatepost shell` against a running server; the effect is seen by a second script and by mail over sockets.
//!
//! A page begins with a title, `# Like this`, and has sections, each of them optional but the script:
//! - `=== given`: connectors beside those of [`BASE`], one a line: `NAME | RANGES | KIND`, with a kind of [`KINDS`]; from the
//!   first line on that begins with `[`: a piece of the settings document;
//! - `=== file NAME`: a file beside the script;
//! - `=== before`: mail that is sent before the script runs;
//! - `=== input`: what is typed at its questions;
//! - `=== script`, `=== output`: what is run, and what it prints, errors included. Without `=== output` nothing is printed;
//! - `=== then`, `=== shows`: a second script in the same folder, and what it prints;
//! - `=== mail`: what is sent afterwards, and the reply that decides it.
//!
//! In what is printed, blank lines do not count, blanks in a row count as one, `*` stands for any characters within a
//! line and a line `...` for any number of lines. `{smtp}`, `{second}` and `{tls}` are ports, everywhere.
//!
//! Mail is `SOURCE FROM -> TO : REPLY`, where REPLY is how the refusal begins, or 250; `FROM -> TO 200KB` sends that much;
//! `SOURCE:second` connects to that port; `SOURCE greeting : TEXT` reads the greeting alone.
//!
//! One of them alone: `GATEPOST_IDIOM=ranges-append-one cargo test -p gatepost --test it idioms`.

use std::net::IpAddr;
use std::path::Path;

use gatepost_testkit::client::{Client, Reply};
use gatepost_testkit::sink::Sink;

use crate::site::{Site, message, to_sink};

/// What the shell does not manage yet, and why. An idiom that passes has to leave this list.
const NOT_YET: &[(&str, &str)] = &[];

/// The server of all idioms: one that faces the Internet, as 2013 and later set it up.
const BASE: &str = r#"
[server]
name = "mx1.here.example"
data_dir = "data"

[[accepted_domain]]
name = "here.example"

[[mailbox]]
address = "bob@here.example"

[[mailbox]]
address = "alice@here.example"

[[user]]
name = "svc-crm"
addresses = ["crm@here.example"]
password = "$argon2id$v=19$m=64,t=1,p=1$Z2F0ZXBvc3QtaXQtc2FsdA$O7qB4H3kG1QDMvcbi9tuOv4Jn5LAsX/1NuaGiGQ6YGU"

[[receive_connector]]
name = "Default Frontend MX1"
bindings = ["0.0.0.0:{smtp}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
auth_mechanism = ["Tls", "BasicAuth", "BasicAuthRequireTLS"]
permission_groups = ["AnonymousUsers", "ExchangeServers", "ExchangeLegacyServers"]
protocol_logging_level = "Verbose"

[[receive_connector]]
name = "Client Frontend MX1"
bindings = ["0.0.0.0:{tls}"]
remote_ip_ranges = ["0.0.0.0-255.255.255.255"]
auth_mechanism = ["Tls", "BasicAuth", "BasicAuthRequireTLS"]
permission_groups = ["ExchangeUsers"]
"#;

/// The kinds of connectors that `=== given` names.
const KINDS: &[(&str, &str)] = &[
    ("anonymous", "permission_groups = [\"AnonymousUsers\"]\n"),
    (
        "relay",
        "permission_groups = [\"AnonymousUsers\"]\n[[receive_connector.permission]]\n\
         user = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\nextended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\n",
    ),
    ("secured", "permission_groups = [\"ExchangeServers\"]\nauth_mechanism = [\"ExternalAuthoritative\"]\n"),
];

/// Which idioms a test plays, by the word that their names begin with. The tests run side by side, each with one server.
const AREAS: [&[&str]; 5] = [
    &["create", "copy", "move", "rename"],
    &["ranges", "export", "compare"],
    &["remove", "harden", "rights", "explain", "history", "transaction", "whatif", "list"],
    &["menu", "errors", "spelling", "boilerplate", "language", "mail", "tracking", "transport"],
    &["send", "domains", "recipients", "groups", "users"],
];

#[test]
fn idioms_that_create_and_copy_connectors() {
    play(AREAS[0]);
}

#[test]
fn idioms_of_ranges_and_their_files() {
    play(AREAS[1]);
}

#[test]
fn idioms_of_rights_removal_hardening_and_lists() {
    play(AREAS[2]);
}

#[test]
fn idioms_of_the_language_and_its_habits() {
    play(AREAS[3]);
}

#[test]
fn idioms_of_ways_out_domains_and_recipients() {
    play(AREAS[4]);
}

#[test]
fn every_idiom_is_played_once_and_there_are_enough() {
    let pages = pages();
    for page in &pages {
        let areas = AREAS.iter().filter(|words| page.is_of(words)).count();
        assert_eq!(areas, 1, "{}: its first word has to be in one of the areas", page.name);
    }
    assert!(pages.len() >= 60, "{}", pages.len());
    for (name, reason) in NOT_YET {
        assert!(pages.iter().any(|page| page.name == *name), "{name} ({reason}) is no idiom");
    }
}

/// Plays the idioms whose names begin with one of these words, one after the other on one server.
fn play(words: &[&str]) {
    let wanted = std::env::var("GATEPOST_IDIOM").unwrap_or_default();
    let pages: Vec<Page> =
        pages().into_iter().filter(|page| page.is_of(words) && page.name.contains(&wanted)).collect();
    if pages.is_empty() {
        return;
    }
    let sink = Sink::start();
    let stage = Stage { site: Site::start(&[BASE, &to_the_sink(&sink)]), sink };
    let mut problems = Vec::new();
    let mut relayed = 0;
    for page in &pages {
        let not_yet = NOT_YET.iter().find(|(name, _)| *name == page.name);
        match (stage.play(page, &mut relayed), not_yet) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                problems.push(format!("{}: passes, and is on the list of those that do not", page.name))
            }
            (Err(_), Some(_)) => {}
            (Err(problem), None) => problems.push(format!("{}: {}\n{problem}", page.name, page.title)),
        }
    }
    assert!(
        problems.is_empty(),
        "{} of {} idioms fail:\n\n{}",
        problems.len(),
        pages.len(),
        problems.join("\n\n----------------\n")
    );
    // What was taken for elsewhere has left, too.
    stage.sink.wait_for(relayed);
}

fn to_the_sink(sink: &Sink) -> String {
    to_sink(&sink.smart_host()).replace("\"Internet\"", "\"To Sink\"")
}

/// One file of `idioms/`.
struct Page {
    name: String,
    title: String,
    sections: Vec<(String, String)>,
}

/// All idioms, by name.
fn pages() -> Vec<Page> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/idioms");
    let files = std::fs::read_dir(folder).expect("the folder of idioms").flatten().map(|entry| entry.path());
    let mut pages: Vec<Page> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "txt"))
        .map(|file| {
            let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Page::parse(name, &std::fs::read_to_string(&file).expect("an idiom is text"))
        })
        .collect();
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    pages
}

impl Page {
    fn parse(name: String, text: &str) -> Page {
        let mut parts = text.split("\n=== ");
        let title = parts.next().and_then(|head| head.strip_prefix("# "));
        let title = title.unwrap_or_else(|| panic!("{name}: the first line is `# title`")).trim().to_owned();
        let mut sections = Vec::new();
        for part in parts {
            let (heading, body) = part.split_once('\n').unwrap_or((part, ""));
            let known = ["given", "before", "input", "script", "output", "then", "shows", "mail"];
            assert!(
                known.contains(&heading) || heading.starts_with("file "),
                "{name}: no section is named {heading:?}"
            );
            sections.push((heading.to_owned(), body.to_owned()));
        }
        assert!(sections.iter().any(|(heading, _)| heading == "script"), "{name}: no script");
        Page { name, title, sections }
    }

    fn is_of(&self, words: &[&str]) -> bool {
        words.contains(&self.name.split('-').next().unwrap_or_default())
    }

    fn section(&self, heading: &str) -> Option<&str> {
        self.sections.iter().find(|(name, _)| name == heading).map(|(_, body)| body.as_str())
    }

    fn lines(&self, heading: &str) -> impl Iterator<Item = &str> {
        self.section(heading).unwrap_or_default().lines().filter(|line| !line.trim().is_empty())
    }

    /// The settings document that the script meets.
    fn settings(&self) -> String {
        let mut settings = String::from(BASE);
        let given = self.section("given").unwrap_or_default();
        let (lines, piece) = match given.find("\n[").map(|at| at + 1).or(given.starts_with('[').then_some(0)) {
            Some(at) => given.split_at(at),
            None => (given, ""),
        };
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            let [name, ranges, kind] = parts[..] else { panic!("{}: not `NAME | RANGES | KIND`: {line}", self.name) };
            let ranges: Vec<String> = ranges.split(',').map(|range| format!("{:?}", range.trim())).collect();
            let kind = KINDS.iter().find(|(name, _)| *name == kind);
            let (_, keys) = kind.unwrap_or_else(|| panic!("{}: no such kind: {line}", self.name));
            settings += &format!(
                "\n[[receive_connector]]\nname = {name:?}\nbindings = [\"0.0.0.0:{{smtp}}\"]\nremote_ip_ranges = [{}]\n{keys}",
                ranges.join(", ")
            );
        }
        settings + "\n" + piece
    }
}

/// The server, and the next hop of everything that may leave.
struct Stage {
    site: Site,
    sink: Sink,
}

impl Stage {
    fn play(&self, page: &Page, relayed: &mut usize) -> Result<(), String> {
        self.site.write_settings(&[&page.settings(), &to_the_sink(&self.sink)]);
        self.site.installation.output(&["reload"]);
        let folder = self.site.installation.folder().join("idioms").join(&page.name);
        std::fs::create_dir_all(&folder).expect("a folder for the script");
        for (heading, body) in &page.sections {
            if let Some(name) = heading.strip_prefix("file ") {
                std::fs::write(folder.join(name), self.filled(body)).expect("a file beside the script");
            }
        }
        let input = page.section("input").unwrap_or_default();
        let runs = [("script", "output", input), ("then", "shows", "")];
        let problems: Vec<String> = std::iter::empty()
            .chain(page.lines("before").filter_map(|line| self.send(line, relayed).err()))
            .chain(runs.into_iter().filter_map(|(script, output, input)| {
                let script = page.section(script)?;
                let printed = self.run(&folder, script, input);
                difference(&self.filled(page.section(output).unwrap_or_default()), &printed)
            }))
            .collect();
        let mailed = page.lines("mail").filter_map(|line| self.send(line, relayed).err());
        let problems: Vec<String> = problems.into_iter().chain(mailed).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    /// The text with its ports.
    fn filled(&self, text: &str) -> String {
        ["smtp", "second", "tls"].iter().fold(text.to_owned(), |text, name| {
            text.replace(&format!("{{{name}}}"), &self.site.port(name).port().to_string())
        })
    }

    /// What a script prints, errors among it, where they come.
    fn run(&self, folder: &Path, script: &str, input: &str) -> String {
        std::fs::write(folder.join("script.ps1"), self.filled(script)).expect("the script");
        self.site.shell_in(folder, &["./script.ps1"], input)
    }

    /// Sends what a line of `=== mail` says; an error tells what was answered instead.
    fn send(&self, line: &str, relayed: &mut usize) -> Result<(), String> {
        let (what, expected) = line.split_once(" : ").unwrap_or_else(|| panic!("no reply is expected by: {line}"));
        let words: Vec<&str> = what.split_whitespace().collect();
        let (source, port) = words[0].split_once(':').unwrap_or((words[0], "smtp"));
        let source: IpAddr = source.parse().unwrap_or_else(|_| panic!("{source} is no address: {line}"));
        let mut client =
            Client::try_connect_from(source, self.site.port(port)).map_err(|error| format!("{line}\n  {error}"))?;
        let greeting = client.try_reply().map_err(|error| format!("{line}\n  no greeting: {error}"))?;
        let reply = match words[1..] {
            ["greeting"] => greeting,
            [sender, "->", recipient] => submit(&mut client, sender, recipient, 0),
            [sender, "->", recipient, size] => submit(&mut client, sender, recipient, kilobytes(size)),
            _ => panic!("neither `FROM -> TO` nor `greeting`: {line}"),
        };
        if what.contains("@elsewhere.example") && reply.code() == 250 {
            *relayed += 1;
        }
        let reply = reply.to_string();
        if fits(&format!("{expected}*"), &reply) { Ok(()) } else { Err(format!("{line}\n  was answered: {reply}")) }
    }
}

fn kilobytes(size: &str) -> usize {
    size.strip_suffix("KB").and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{size} is not like 200KB"))
}

/// One message; the first reply that refuses it, or the last one.
fn submit(client: &mut Client, sender: &str, recipient: &str, size_kilobytes: usize) -> Reply {
    let content = message(
        "idiom",
        &"0123456789012345678901234567890123456789012345678901234567890\r\n".repeat(size_kilobytes * 16),
    );
    let content = content.replace("From: app@contoso.com", &format!("From: {sender}"));
    let steps = [
        format!("MAIL FROM:<{sender}>\r\n"),
        format!("RCPT TO:<{recipient}>\r\n"),
        "DATA\r\n".to_owned(),
        format!("{content}.\r\n"),
    ];
    let mut reply = client.command("EHLO host.here.example");
    for step in steps {
        if reply.code() >= 400 {
            break;
        }
        client.send(&step);
        reply = client.reply();
    }
    reply
}

/// How what was printed differs from what was expected; `None` where it does not.
fn difference(expected: &str, printed: &str) -> Option<String> {
    let lines = |text: &str| -> Vec<String> {
        let squeezed = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        squeezed.filter(|line| !line.is_empty()).collect()
    };
    let (wanted, got) = (lines(expected), lines(printed));
    let indented = |text: &str| text.lines().map(|line| format!("    {line}\n")).collect::<String>();
    (!lines_fit(&wanted, &got))
        .then(|| format!("  expected:\n{}  printed:\n{}", indented(expected.trim_end()), indented(printed.trim_end())))
}

fn lines_fit(wanted: &[String], got: &[String]) -> bool {
    match wanted {
        [] => got.is_empty(),
        [any, rest @ ..] if any == "..." => (0..=got.len()).any(|skipped| lines_fit(rest, &got[skipped..])),
        [line, rest @ ..] => got.first().is_some_and(|first| fits(line, first)) && lines_fit(rest, &got[1..]),
    }
}

/// Whether a text fits a pattern in which `*` stands for any characters.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[test]
fn what_is_printed_is_compared_by_lines_and_wildcards() {
    for (expected, printed, fit) in [
        ("a b\n", "a   b\n\n", true),
        ("a*c\n", "a c\n", true),
        ("a*b*c", "axc", false),
        ("*b", "ab", true),
        ("...\nx", "1\n2\nx", true),
        ("x\n...", "x", true),
        ("", "x", false),
        ("x", "", false),
        ("x\ny", "x", false),
        ("ab*b", "ab", false),
    ] {
        assert_eq!(difference(expected, printed).is_none(), fit, "{expected:?} and {printed:?}");
    }
}
