//! `gatepost shell` as people and programs run it: at a terminal, for a text, a file, a pipe.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use gatepost_testkit::installation::Installation;
use gatepost_testkit::wait;

use crate::site::{CONTOSO, PROGRAM, Site};

const CONNECTORS: &str = r#"
[[receive_connector]]
name = "Relay"
bindings = ["127.0.0.2:{smtp}"]
remote_ip_ranges = ["10.0.0.0/24"]
permission_groups = ["AnonymousUsers"]

[[receive_connector]]
name = "Plant Floor"
bindings = ["127.0.0.2:{smtp}"]
remote_ip_ranges = ["10.1.0.0/24"]
permission_groups = ["AnonymousUsers"]
"#;

/// A terminal with the shell in it. What is typed is typed behind a prompt.
struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    shown: Arc<Mutex<Vec<u8>>>,
    /// How much of what was shown has been looked at.
    seen: usize,
}

impl Terminal {
    fn open(installation: &Installation, environment: &[(&str, &str)]) -> Terminal {
        // `script` gives it a terminal of its own, from which Ctrl-C is a signal.
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command"])
            .arg(format!("stty rows 40 cols 120; exec {PROGRAM} shell"))
            .arg("/dev/null")
            .current_dir(installation.folder())
            .env("GATEPOST_CONFIG", installation.settings_file())
            .env("TERM", "xterm")
            .env("XDG_STATE_HOME", installation.folder().join("state"))
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("run the shell at a terminal");
        let keyboard = child.stdin.take().expect("a pipe");
        let mut screen = child.stdout.take().expect("a pipe");
        let shown = Arc::new(Mutex::new(Vec::new()));
        let filled = shown.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut bytes) {
                filled.lock().expect("nobody panics").extend_from_slice(&bytes[..length]);
            }
        });
        let mut terminal = Terminal { child, keyboard, shown, seen: 0 };
        terminal.wait_for("PS> ");
        terminal
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the shell reads");
    }

    /// Types a line and waits until it has been run.
    fn enter(&mut self, line: &str) -> String {
        self.press(&format!("{line}\r"));
        self.wait_for("\nPS> ")
    }

    /// What is shown up to the first `text`, without what steers the terminal; what comes later is looked at later.
    fn wait_for(&mut self, text: &str) -> String {
        let before = self.seen;
        let found = wait::within(wait::PATIENCE, || {
            let screen = plain(&self.shown.lock().expect("nobody panics"));
            let end = screen[before..].find(text)? + before + text.len();
            Some((screen[before..end].to_owned(), end))
        });
        let Some((found, end)) = found else {
            panic!("waited in vain for {text:?}; shown:\n{}", plain(&self.shown.lock().expect("nobody panics")));
        };
        self.seen = end;
        found
    }

    fn raw(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("nobody panics")).into_owned()
    }

    /// The exit code, after the session was left.
    fn code(mut self) -> Option<i32> {
        let ended = wait::until("the end of the session", || self.child.try_wait().expect("wait"));
        ended.code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Already gone, where the session was left.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Without control sequences; a line ends in one newline, and what was drawn over stays.
fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut plain = String::new();
    let mut rest = text.as_ref();
    while let Some(at) = rest.find('\x1b') {
        plain.push_str(&rest[..at]);
        let sequence = rest[at + 1..].trim_start_matches('[');
        let end =
            sequence.find(|character: char| character.is_ascii_alphabetic()).map_or(sequence.len(), |end| end + 1);
        rest = &sequence[end..];
    }
    plain.push_str(rest);
    plain.replace('\r', "")
}

fn run(installation: &Installation, arguments: &[&str], input: &str) -> Output {
    let mut words = vec!["shell"];
    words.extend(arguments);
    installation.run_with_input(&words, input)
}

#[test]
fn at_a_terminal_commands_parameters_and_names_are_completed() {
    let site = Site::start(&[CONTOSO, CONNECTORS]);
    let mut terminal = Terminal::open(&site.installation, &[]);
    terminal.press("get-rece\t");
    terminal.wait_for("Get-ReceiveConnector");
    terminal.press(" -Ident\t");
    terminal.wait_for("Get-ReceiveConnector -Identity");
    terminal.press(" pl\t");
    terminal.wait_for("Get-ReceiveConnector -Identity 'Plant Floor'");
    terminal.press(" | % { $_.Name + '!' }\r");
    terminal.wait_for("\nPlant Floor!\n");
    terminal.wait_for("PS> ");
    // Several fit: they are listed.
    terminal.press("Get-ReceiveConnector \t\t");
    terminal.wait_for("'Plant Floor'");
    terminal.wait_for("Relay");
}

#[test]
fn at_a_terminal_members_are_completed() {
    let site = Site::start(&[CONTOSO, CONNECTORS]);
    let mut terminal = Terminal::open(&site.installation, &[]);
    // Of what a variable holds, and of what the commands before hand on.
    terminal.enter("$c = Get-ReceiveConnector 'Plant Floor'");
    terminal.press("$c.RemoteI\t");
    terminal.wait_for("$c.RemoteIPRanges");
    terminal.press("[0].LowerB\t.ToString() + '<'\r");
    terminal.wait_for("<\n");
    terminal.wait_for("PS> ");
    terminal.press("Get-ReceiveConnector | Where-Object { $_.PermissionG\t");
    terminal.wait_for("{ $_.PermissionGroups");
}

#[test]
fn at_a_terminal_lines_are_continued_and_remembered_for_their_owner_alone() {
    let installation = Installation::new(PROGRAM, CONTOSO);
    let mut terminal = Terminal::open(&installation, &[]);
    // An open brace waits for more.
    terminal.press("if ($true) {\r");
    terminal.press("'several ' +\r");
    terminal.press("'lines' }\r");
    terminal.wait_for("\nseveral lines\n");
    terminal.wait_for("PS> ");
    assert!(terminal.enter("$x = 20 + 1").ends_with("PS> "));
    assert!(terminal.enter("$x * 2").contains("\n42\n"), "variables stay from line to line");
    terminal.enter("'a Password' | Out-Null");
    terminal.press("exit 5\r");
    assert_eq!(terminal.code(), Some(5));

    let history = installation.folder().join("state/gatepost/shell-history");
    let mode = std::fs::metadata(&history).expect("the history").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let remembered = std::fs::read_to_string(&history).expect("text");
    assert!(remembered.contains("$x * 2") && !remembered.contains("Password"), "{remembered}");

    let mut terminal = Terminal::open(&installation, &[]);
    // The newest is `exit 5`, then `$x * 2`, then the assignment.
    terminal.press("\x1b[A\x1b[A\x1b[A");
    terminal.wait_for("$x = 20 + 1");
    terminal.press("; $x\r");
    terminal.wait_for("\n21\n");
    terminal.press("\x04");
    assert_eq!(terminal.code(), Some(0), "Ctrl-D ends the session");
}

#[test]
fn ctrl_c_ends_what_runs_and_the_session_goes_on() {
    let installation = Installation::new(PROGRAM, CONTOSO);
    let mut terminal = Terminal::open(&installation, &[]);
    for line in
        ["while ($true) { }", "for (;;) { $x = 1..1000 }", "function f { f }; while (1) { try { f } catch { } }"]
    {
        terminal.press(&format!("'begins'; {line}\r"));
        terminal.wait_for("\nbegins\n");
        terminal.press("\x03");
        terminal.wait_for("Ctrl-C");
        terminal.wait_for("PS> ");
    }
    terminal.press("'half a line");
    terminal.wait_for("half a line");
    terminal.press("\x03");
    terminal.wait_for("\nPS> ");
    terminal.press("1 + 1\r");
    terminal.wait_for("\n2\n");
}

#[test]
fn errors_are_red_at_a_terminal_unless_colours_are_not_wanted() {
    let installation = Installation::new(PROGRAM, CONTOSO);
    let mut terminal = Terminal::open(&installation, &[]);
    terminal.enter("throw 'oops'");
    terminal.enter("$x -foo 3");
    assert!(terminal.raw().contains("\x1b[91moops"), "{}", terminal.raw());
    assert!(terminal.raw().contains("\x1b[91m-foo is no operator"), "{}", terminal.raw());
    let mut terminal = Terminal::open(&installation, &[("NO_COLOR", "1")]);
    let shown = terminal.enter("$x -foo 3");
    assert!(shown.contains("-foo is no operator\nAt line:1 char:4\n+ $x -foo 3\n+    ~~~~\n"), "{shown}");
    assert!(!terminal.raw().contains("\x1b[91m"));
    // What comes from elsewhere cannot steer the terminal.
    assert!(terminal.enter("\"$([char]27)[31mred\"").contains("\n\\u{1b}[31mred\n"));
}

#[test]
fn the_exit_code_tells_how_a_text_a_file_and_a_pipe_ended() {
    let installation = Installation::new(PROGRAM, CONTOSO);
    let file = |name: &str, text: &str| std::fs::write(installation.folder().join(name), text).expect("write");
    file("add.ps1", "param([int]$a, $b = 'x')\n\"$a$b\"; exit $a\n");
    file("broken.ps1", "'never run'\nif ($x) {\n  class Foo { }\n}\n$y == 3\n");
    file("unknown.ps1", "Get-NoSuchThing\n'goes on'\n");
    for (arguments, input, code, expected) in [
        (&["-c", "1 + 1"][..], "", 0, "2\n"),
        (&["-c", "exit 7"], "", 7, ""),
        (&["-c", "exit 300"], "", 255, ""),
        (&["-c", "throw 'x'; 'not this'"], "", 1, ""),
        (&["-c", "Get-NoSuchThing"], "", 1, ""),
        (&["-c", "if ("], "", 2, ""),
        (&["-c", "\"$args\"", "-x", "a b"], "", 0, "-x a b\n"),
        (&["add.ps1", "3"], "", 3, "3x\n"),
        (&["add.ps1", "-b", "y", "-a", "4"], "", 4, "4y\n"),
        (&["broken.ps1"], "", 2, ""),
        (&["unknown.ps1"], "", 0, "goes on\n"),
        (&["missing.ps1"], "", 1, ""),
        (&["--jsn"], "", 2, ""),
        (&["-"], "'from '+\n'a pipe'; exit 9", 9, "from a pipe\n"),
        (&[], "\u{feff}'with a mark'", 0, "with a mark\n"),
        (&["-", "a"], "\"$($args[0])!\"", 0, "a!\n"),
    ] {
        let output = run(&installation, arguments, input);
        let told = (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned());
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(told, (Some(code), expected.to_owned()), "{arguments:?} {errors}");
    }
    let output = run(&installation, &["broken.ps1"], "");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    for expected in ["At broken.ps1:3 char:3", "At broken.ps1:5 char:4", "`==` is no operator here; write -eq"] {
        assert!(errors.contains(expected), "{expected}:\n{errors}");
    }
}

#[test]
fn questions_are_asked_at_a_terminal_or_answered_from_standard_input() {
    let installation = Installation::new(PROGRAM, CONTOSO);
    let mut terminal = Terminal::open(&installation, &[]);
    terminal.press("$name = Read-Host 'Who'; \"hello $name\"\r");
    terminal.wait_for("\nWho: ");
    terminal.press("Jane Doe\r");
    terminal.wait_for("\nhello Jane Doe\n");
    terminal.wait_for("PS> ");
    // What is secret does not appear, neither where it is typed nor in the history.
    terminal.press("$secret = Read-Host 'Code' -AsSecureString; 'asked'\r");
    terminal.wait_for("\nCode: ");
    terminal.press("hunter2\r");
    terminal.wait_for("\nasked\n");
    assert!(!terminal.raw().contains("hunter2"), "{}", terminal.raw());
    // Ctrl-C at a question ends the script.
    terminal.wait_for("PS> ");
    terminal.press("Read-Host 'More'; 'not this'\r");
    terminal.wait_for("\nMore: ");
    terminal.press("\x03");
    terminal.wait_for("\nPS> ");
    assert!(!terminal.raw().contains("\nnot this"), "{}", terminal.raw());

    let script = "$a = Read-Host 'First'; $b = Read-Host 'Second'; \"$a-$b\"";
    let output = run(&installation, &["-c", script], "one\r\ntwo");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "First: Second: one-two\n");
    // Where the script itself comes from standard input, and where nobody wants to be asked, it is an error.
    for (arguments, input) in [(&["-"][..], script), (&["--non-interactive", "-c", script], "one\ntwo\n")] {
        let output = run(&installation, arguments, input);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("nobody can be asked"), "{told}");
    }
}

#[test]
fn with_json_each_value_is_a_line_and_nothing_else_is_on_standard_output() {
    let site = Site::start(&[CONTOSO, CONNECTORS]);
    let script = "Write-Host 'a word'; Write-Warning 'careful'; Get-ReceiveConnector | Select-Object Name, RemoteIPRanges; 5; 'x', $null; @{a=1}";
    let output = run(&site.installation, &["--json", "-c", script], "");
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let expected = serde_json::json!([
        {"Name": "Relay", "RemoteIPRanges": ["10.0.0.0/24"]},
        {"Name": "Plant Floor", "RemoteIPRanges": ["10.1.0.0/24"]},
        5, "x", null, {"a": 1}
    ]);
    assert_eq!(serde_json::Value::Array(lines), expected);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("a word") && told.contains("WARNING: careful"), "{told}");
}

#[test]
fn scripts_read_and_write_the_callers_files_by_the_paths_of_windows() {
    let installation = Installation::new(PROGRAM, CONTOSO);
    let folder = installation.folder();
    std::fs::create_dir(folder.join("Reports")).expect("a folder");
    let script = r#"
        'a' | Set-Content .\reports\One.txt
        'b' | Add-Content reports\one.TXT
        'c' > "C:\Scripts\Sub\c.txt"
        'd' | Out-File "$env:TEMP\d.txt"
        "$(Get-Content REPORTS/one.txt) $(Get-Content c:\scripts\SUB\C.txt) $(Get-Content C:\Temp\d.txt) $(Test-Path D:\nothing)"
        Get-Content '\\server\share\x.txt' -ErrorAction SilentlyContinue -ErrorVariable e; "$e".Length -gt 0
    "#;
    let output = Command::new(PROGRAM)
        .args(["shell", "-c", script])
        .current_dir(folder)
        .env("GATEPOST_CONFIG", installation.settings_file())
        .env("XDG_DATA_HOME", folder.join("data-home"))
        .env("TMPDIR", folder)
        .stdin(Stdio::null())
        .output()
        .expect("run the shell");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a b c d False\nTrue\n", "{told}");
    assert!(folder.join("Reports/One.txt").exists() && folder.join("d.txt").exists());
    assert!(folder.join("data-home/gatepost/drives/C/Scripts/Sub/c.txt").exists());
}
