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

/// Expressions of every sort, in each other.
fn expression() -> BoxedStrategy<String> {
    let leaf = prop::sample::select(vec![
        "1",
        "-7",
        "0",
        "2.5",
        "9223372036854775807",
        "35MB",
        "'text'",
        "'10.0.0.1'",
        "\"$x and $($y.a) $_\"",
        "$x",
        "$y",
        "$_",
        "$null",
        "$true",
        "@()",
        "@{}",
        "$args",
        "$Error",
        "$Host",
        "$matches",
        "[datetime]'2026-01-02'",
        "[timespan]'00:05:00'",
        "{ $_ }",
        "[int]",
        "$MyInvocation",
        "[pscustomobject]@{a=1; b='x'}",
        "(Get-ReceiveConnector Relay)",
        "$y.b",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let operator = prop::sample::select(vec![
            "+",
            "-",
            "*",
            "/",
            "%",
            "-eq",
            "-ne",
            "-lt",
            "-ge",
            "-like",
            "-match",
            "-notmatch",
            "-contains",
            "-in",
            "-replace",
            "-split",
            "-join",
            "-f",
            "-and",
            "-or",
            "-xor",
            "-band",
            "-shl",
            "-is",
            "-as",
            ",",
        ]);
        let prefix = prop::sample::select(vec![
            "-not ",
            "-",
            "-join ",
            "-split ",
            "[int]",
            "[string]",
            "[array]",
            "[bool]",
            "[datetime]",
            "[ipaddress]",
            "[void]",
            ",",
            "-bnot ",
        ]);
        let member = prop::sample::select(vec![
            "Count",
            "Name",
            "RemoteIPRanges",
            "ToString()",
            "Split(',')",
            "Add(1)",
            "Length",
            "GetType().Name",
            "Substring(1)",
            "Trim()",
            "Keys",
            "a",
            "AddDays(1)",
            "TotalSeconds",
            "ForEach({ $_ })",
            "Where({ $_ })",
            "Nope()",
            "Replace('a','b')",
        ]);
        prop_oneof![
            (inner.clone(), operator, inner.clone())
                .prop_map(|(left, operator, right)| format!("({left} {operator} {right})")),
            (prefix, inner.clone()).prop_map(|(prefix, value)| format!("({prefix}({value}))")),
            (inner.clone(), member).prop_map(|(value, member)| format!("({value}).{member}")),
            (inner.clone(), inner.clone()).prop_map(|(value, index)| format!("({value})[{index}]")),
            prop::collection::vec(inner.clone(), 0..3).prop_map(|values| format!("@({})", values.join("; "))),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("@{{a={one}; b={other}}}")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("$({one} | % {{ {other} }})")),
            (inner.clone(), inner).prop_map(|(one, other)| format!("({one} | ? {{ {other} }})")),
        ]
    })
    .boxed()
}

/// Statements of every sort, in each other.
fn statements() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        expression(),
        expression().prop_map(|value| format!("$x = {value}")),
        expression().prop_map(|value| format!("$x += {value}")),
        expression().prop_map(|value| format!("$y.a = {value}")),
        (expression(), expression()).prop_map(|(index, value)| format!("$y[{index}] = {value}")),
        expression().prop_map(|value| format!("Set-ReceiveConnector Relay -RemoteIPRanges ({value})")),
        expression().prop_map(|value| format!("{value} | Get-ReceiveConnector")),
        expression().prop_map(|value| format!("f ({value}) -b 1 | select -First 1")),
        expression().prop_map(|value| format!("throw {value}")),
        expression().prop_map(|value| format!("return {value}")),
        Just("$i++".to_owned()),
        Just("break".to_owned()),
        Just("continue".to_owned()),
        Just("Get-Nope".to_owned()),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        let block = prop::collection::vec(inner, 1..3).prop_map(|statements| statements.join("; "));
        prop_oneof![
            block.clone(),
            (expression(), block.clone(), block.clone())
                .prop_map(|(test, yes, no)| format!("if ({test}) {{ {yes} }} else {{ {no} }}")),
            (expression(), block.clone()).prop_map(|(values, body)| format!("foreach ($v in {values}) {{ {body} }}")),
            (expression(), block.clone()).prop_map(|(test, body)| format!("while ({test}) {{ {body} }}")),
            (expression(), expression(), block.clone()).prop_map(|(value, test, body)| format!(
                "switch ({value}) {{ {{ {test} }} {{ {body} }} default {{ 1 }} }}"
            )),
            (block.clone(), block.clone())
                .prop_map(|(body, catch)| format!("try {{ {body} }} catch {{ {catch} }} finally {{ 1 }}")),
            block.clone().prop_map(|body| format!("function f {{ param([int]$a, $b) {body} }}")),
            block.clone().prop_map(|body| format!("filter f {{ {body} }}")),
            block.prop_map(|body| format!("& {{ {body} }} 2>&1")),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_script_makes_the_shell_panic(script in statements()) {
        let limits = Limits { memory_bytes: 64 << 20, text_bytes: 1 << 20, list_length: 100_000, ..Limits::default() };
        let (outcome, text) = run(&format!("$y = @{{a=1}}\n{script}"), limits, Some(2_000));
        // It ran: what is put together here is a script.
        prop_assert!(outcome.exit_code != 2, "{}\n{}", script, text);
    }
}
