//! What no script may do: overflow the stack, take all memory, run on after Ctrl-C, or make the shell panic.

mod made;

use std::rc::Rc;

use gatepost_shell::limits::Limits;
use gatepost_shell::session::{Outcome, Output, Session};
use gatepost_shell::source::Source;
use made::{MadeCommands, MadeWorld};
use proptest::prelude::*;

fn run(script: &str, limits: Limits, patience: Option<u64>) -> (Outcome, String) {
    let world = MadeWorld::default();
    world.patience.set(patience);
    let written = Rc::clone(&world.written);
    let mut session = Session::new(Box::new(world), Rc::new(MadeCommands), limits);
    let outcome = session.run(Source::new("command line", script), Output::Screen);
    let text = written.borrow().clone();
    (outcome, text)
}

#[test]
fn recursion_ends_before_the_stack_does() {
    let scripts = [
        "function f { f }; f",
        "function f($n) { 1 + (f ($n + 1)) }; f 1",
        "function f { 1 | % { f } }; f",
        "$b = { & $b }; & $b",
        "function f { try { f } finally { } }; f",
        "function f { $(if ($true) { @(f) }) }; f",
        "function f { $x = [scriptblock]::Create('f'); & $x }; f",
        "function f { process { $_ | f } }; 1 | f",
        "function f { 'x'.ToUpper((f)) }; f",
        "function f { param([ValidateScript({ f $_ })]$x) }; f 1",
        "$o = [pscustomobject]@{}; function f { switch (1) { { f } { } } }; f",
    ];
    for script in scripts {
        // Threads of Rust have 2 MiB unless more is asked for; the default limits are for them.
        let (outcome, text) = std::thread::spawn(move || run(script, Limits::default(), None))
            .join()
            .unwrap_or_else(|_| panic!("{script}: panicked"));
        assert_eq!(outcome.exit_code, 1, "{script}: {text}");
        assert!(text.contains("call depth overflow"), "{script}: {text}");
    }
}

#[test]
fn what_would_take_all_memory_is_refused() {
    let limits = Limits { memory_bytes: 64 << 20, text_bytes: 16 << 20, list_length: 100_000, ..Limits::default() };
    for (script, words) in [
        ("$s = 'x'; while ($true) { $s += $s }", "text of more than"),
        ("'x' * 100000000", "larger than"),
        ("$l = @(1); while ($true) { $l += $l }", "list of more than"),
        ("1..1000000000", "list of more than"),
        ("$h = @{}; $i = 0; while ($true) { $h[$i] = 'x' * 1000000; $i++ }", "take more than"),
        ("$l = [System.Collections.ArrayList]@(); while ($true) { [void]$l.Add('x' * 1000000) }", "take more than"),
        ("$(while ($true) { 'x' * 1000000 })", "take more than"),
        ("$(while ($true) { 1 })", "more than"),
        ("'a' -replace 'a', ('b' * 10000000) -replace 'b', ('c' * 1000)", "text of more than"),
        ("$s = 'x' * 1000000; \"$s$s$s$s$s$s$s$s$s$s$s$s$s$s$s$s$s$s\"", "text of more than"),
    ] {
        let (outcome, text) = run(script, limits, None);
        assert_eq!(outcome.exit_code, 1, "{script}: {text}");
        assert!(text.contains(words), "{script}: {text}");
    }
}

#[test]
fn limits_cannot_be_caught() {
    let (outcome, text) = run("function f { f }; try { f } catch { 'caught' }; 'on'", Limits::default(), None);
    assert_eq!(outcome.exit_code, 1);
    assert!(!text.contains("caught") && !text.lines().any(|line| line == "on"), "{text}");
}

#[test]
fn ctrl_c_ends_whatever_runs() {
    for script in [
        "while ($true) { }",
        "for (;;) { }",
        "do { } while ($true)",
        "1..1000000 | % { $_ } | ? { $false }",
        "function f { while ($true) { try { throw 1 } catch { } } }; f",
        "while ($true) { try { while ($true) { } } catch { } finally { } }",
        "trap { continue } throw 1; while ($true) { }",
        "foreach ($i in 1..1000000) { $i }",
        "switch (1..1000000) { 1 { } }",
        "(1..1000000).ForEach({ $_ })",
    ] {
        let (outcome, text) = run(script, Limits::default(), Some(5_000));
        assert_eq!(outcome.exit_code, 130, "{script}: {text}");
    }
}

#[test]
fn half_of_a_script_is_told_of() {
    for script in [
        "try {  }",
        "if (",
        "foreach ($x in",
        "function",
        "@{a=",
        "try { 1 } catch { (",
        "switch (1) { 1 {",
        "1 |",
        "'",
    ] {
        let (outcome, text) = run(script, Limits::default(), None);
        assert_eq!(outcome.exit_code, 2, "{script}: {text}");
    }
}

/// Pieces of scripts that are put together at random: most of the results parse.
const PIECES: [&str; 60] = [
    "$x",
    "$x = ",
    "1",
    "'a'",
    "\"$x $(1) $_\"",
    "@(",
    ")",
    "{ ",
    " }",
    "@{a=1}",
    "$x.a",
    "$x[0]",
    " + ",
    " -eq ",
    " -f ",
    " -join ','",
    " | ",
    "% { $_ }",
    "? { $_ }",
    "if ($x) { ",
    "foreach ($i in 1..3) { ",
    "while ($x) { ",
    "function f { ",
    "f ",
    "; ",
    "\n",
    "return ",
    "break",
    "continue",
    "throw 'x'",
    "try { ",
    "} catch { ",
    "} finally { ",
    "param($p)",
    "Get-ReceiveConnector ",
    "Set-ReceiveConnector Relay ",
    "-RemoteIPRanges ",
    "-Foo",
    "$true",
    "$null",
    ",",
    "-not ",
    "[int]",
    "[string]",
    "[math]::Abs(-1)",
    "$x.ToString()",
    "..",
    "$i++",
    " += ",
    "switch ($x) { ",
    "default { 1 }",
    "& ",
    ". ",
    "@x",
    "2>&1",
    " -match '^(a)'",
    "$matches",
    "exit 3",
    "trap { continue } ",
    "-split ' '",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, ..ProptestConfig::default() })]

    #[test]
    fn no_script_makes_the_shell_panic(pieces in proptest::collection::vec(0..PIECES.len(), 1..24)) {
        let script: String = pieces.into_iter().map(|at| PIECES[at]).collect();
        let limits = Limits { memory_bytes: 64 << 20, text_bytes: 1 << 20, list_length: 100_000, ..Limits::default() };
        run(&script, limits, Some(2_000));
    }
}
