use proptest::prelude::*;

use super::*;

/// The tree as one line, or each mistake as one line: from where to where, and its message.
fn outcome(text: &str) -> String {
    let source = Source::new("test", text);
    match parse(&source) {
        Ok(script) => dump::script(&script),
        Err(errors) => {
            let lines = errors.iter().map(|error| {
                let (line, column) = source.position(error.span.start);
                let incomplete = if error.is_incomplete { " (incomplete)" } else { "" };
                format!("error {line}:{column} `{}`{incomplete}: {error}", source.slice(error.span))
            });
            lines.collect::<Vec<_>>().join("\n")
        }
    }
}

/// Cases are a text, a line `=>`, the expected outcome, and a line `----`.
fn check(name: &str, cases: &str) {
    let cases: Vec<(&str, &str)> = cases
        .split("\n----\n")
        .filter(|case| !case.trim().is_empty())
        .map(|case| case.split_once("\n=>").unwrap_or_else(|| panic!("a case without `=>`: {case}")))
        .collect();
    assert!(cases.len() > 10, "the file of cases has been read");
    if std::env::var_os("GATEPOST_BLESS").is_some() {
        let new: String = cases.iter().map(|(text, _)| format!("{text}\n=>\n{}\n----\n", outcome(text))).collect();
        std::fs::write(format!("{}/src/parse/tests/{name}", env!("CARGO_MANIFEST_DIR")), new).unwrap();
        return;
    }
    for (text, expected) in cases {
        assert_eq!(outcome(text).trim(), expected.trim(), "\n{text}");
    }
}

#[test]
fn scripts_become_the_trees_that_the_original_makes() {
    check("trees.txt", include_str!("tests/trees.txt"));
}

#[test]
fn mistakes_and_foreign_constructs_are_told_with_place_and_remedy() {
    check("mistakes.txt", include_str!("tests/mistakes.txt"));
}

#[test]
fn a_text_that_only_lacks_its_end_is_incomplete() {
    for text in [
        "{",
        "(",
        "@(",
        "$(",
        "@{ a = 1",
        "if ($x)",
        "if ($x) {",
        "try { 1 }",
        "Get-X |",
        "Get-X | ",
        "1 +",
        "$x =",
        "Get-X a,",
        "\"abc",
        "'abc",
        "@\"",
        "@\"\nabc",
        "@'\nabc\n",
        "<# abc",
        "Get-X `",
        "function Get-Foo",
        "param(",
        "$x.",
        "[int",
        "foreach ($x in",
        "switch ($x) { 1 { 2 }",
        "do { 1 }",
        "\"$(Get-X",
        "${abc",
        "while (1)",
        "Get-X -Name:",
        "&",
    ] {
        assert!(is_incomplete(text), "{text}");
    }
    for text in [
        "",
        "Get-X",
        "Get-X `\n",
        "Get-X # `",
        "if ($x) { 1 }",
        "1 + )",
        "}",
        "$x = 5 == 6; (",
        "class A {",
        "Get-X -Name",
        "'`'",
        "5 5",
    ] {
        assert!(!is_incomplete(text), "{text}");
    }
}

/// On a stack as the first thread of a program has it, in a build without optimisation.
#[test]
fn no_depth_of_nesting_overflows_the_stack() {
    let check = || {
        for (opener, closer) in [
            ("(", ")"),
            ("$(", ")"),
            ("@(", ")"),
            ("{", "}"),
            ("@{a=", "}"),
            ("if (1) {", "}"),
            ("if ($(", ")) {}"),
            ("function f {", "}"),
            ("\"$(", ")\""),
            ("-not ", ""),
            ("- ", ""),
            (",", ""),
            ("[int]", ""),
            ("[A[", "]]"),
            ("$a[", "]"),
            ("$a.b(", ")"),
            ("$a = ", ""),
            ("1 + ", ""),
            ("1,(", ")"),
            ("f (", ")"),
            ("f a,(", ")"),
            ("f -a:{", "}"),
            ("& ", ""),
            ("return (", ")"),
            ("try {", "} catch {}"),
            ("switch (1) { {", "} {} }"),
            ("param($a = {", "})"),
            ("param([A({", "})]$b)"),
            ("[A({", "})]"),
            (":a foreach ($x in $(", ")) {}"),
            (".(", ")"),
            ("$a.(", ")"),
            ("++", ""),
        ] {
            for depth in [3, 90, 500, 100_000] {
                let text = opener.repeat(depth) + "$a" + &closer.repeat(depth);
                let result = parse(&Source::new("test", text));
                if depth == 3 && !["[A({", "& ", ".(", "++", "param($a = {", "param([A({", "[A["].contains(&opener) {
                    assert!(result.is_ok(), "{opener}: {result:?}");
                }
                if depth == 90 && ["(", "$(", "@(", "{", "if (1) {", "\"$(", "@{a=", "1 + ", "f ("].contains(&opener) {
                    assert!(result.is_ok(), "{opener}: {result:?}");
                }
            }
        }
        // Operators in a row nest in the tree, not in the text.
        for (first, more) in
            [("1", "+1"), ("$a", ".b"), ("$a", "[0]"), ("$a", ".b()"), ("$a", ",1"), ("f", " a"), ("f", "|f")]
        {
            let result = parse(&Source::new("test", first.to_owned() + &more.repeat(50_000)));
            drop(format!("{result:?}"));
        }
    };
    std::thread::Builder::new().stack_size(8 << 20).spawn(check).unwrap().join().unwrap();
}

#[test]
fn what_is_too_large_is_refused() {
    let error = |text: String| parse(&Source::new("test", text)).unwrap_err()[0].message.clone();
    assert!(error(" ".repeat(SOURCE_BYTES_MAX + 1)).contains("4 MiB"));
    assert!(error("1;".repeat(NODES_MAX)).contains("500000 expressions"));
    assert!(error(")".repeat(100_000)).contains("closes nothing"));
    assert_eq!(parse(&Source::new("test", ")\n".repeat(1000))).unwrap_err().len(), ERRORS_MAX + 1);
}

/// No text makes the parser panic, and every place that it tells lies within the text.
fn hold_the_promises(text: &str) {
    let source = Source::new("test", text);
    let told = match parse(&source) {
        Ok(script) => format!("{script:?}"),
        Err(errors) => {
            assert!(!errors.is_empty());
            format!("{errors:?}")
        }
    };
    let mut rest = told.as_str();
    while let Some(at) = rest.find("Span { start: ") {
        rest = &rest[at + "Span { start: ".len()..];
        let (start, behind) = rest.split_once(", end: ").unwrap();
        let (end, _) = behind.split_once(" }").unwrap();
        let (Ok(start), Ok(end)) = (start.parse::<usize>(), end.parse::<usize>()) else { continue };
        assert!(start <= end && end <= text.len(), "{start}..{end} in {text:?}");
        assert!(text.is_char_boundary(start) && text.is_char_boundary(end), "{start}..{end} in {text:?}");
    }
    is_incomplete(text);
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        hold_the_promises(&text);
    }

    #[test]
    fn no_pieces_of_scripts_make_the_parser_panic(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        hold_the_promises(&pieces.concat());
    }

    #[test]
    fn no_cut_and_no_swap_of_a_script_makes_the_parser_panic(seed in 0_usize..10_000, other in 0_usize..10_000, length in 0_usize..40) {
        let script = include_str!("tests/trees.txt");
        let boundary = |mut at: usize| {
            at %= script.len();
            while !script.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let (from, to) = (boundary(seed * 7), boundary(seed * 7 + 400));
        let cut = if from < to { &script[from..to] } else { &script[to..from] };
        let (from, to) = (boundary(other * 3), boundary(other * 3 + length));
        let put = if from < to { &script[from..to] } else { &script[to..from] };
        let middle = (0..=cut.len() / 2).rev().find(|at| cut.is_char_boundary(*at)).unwrap_or(0);
        hold_the_promises(&format!("{}{put}{}", &cut[..middle], &cut[middle..]));
    }
}

const PIECES: &[&str] = &[
    "$",
    "$a",
    "$_",
    "${",
    "}",
    "{",
    "(",
    ")",
    "@(",
    "@{",
    "$(",
    "[",
    "]",
    "[int]",
    "\"",
    "'",
    "“",
    "’",
    "@\"\n",
    "\n\"@",
    "@'\n",
    "\n'@",
    "`",
    "`\n",
    "\n",
    "\r\n",
    "\r",
    " ",
    "\u{a0}",
    ";",
    ",",
    "|",
    "||",
    "&",
    "&&",
    "=",
    "+=",
    "==",
    "-eq",
    "-f",
    "–",
    "—Name",
    "-not ",
    "!",
    "..",
    ".",
    "::",
    ":",
    "1",
    "1.5",
    "0x",
    "9999999999999999999",
    "35MB",
    "if",
    "else",
    "foreach",
    " in ",
    "for",
    "while",
    "do",
    "until",
    "switch",
    "function",
    "param",
    "try",
    "catch",
    "finally",
    "trap",
    "return",
    "throw",
    "break",
    "begin",
    "process",
    "end",
    "class",
    "Get-X",
    "-Name",
    "-Name:",
    "--",
    "--%",
    "@args",
    "#",
    "<#",
    "#>",
    ">",
    ">>",
    "2>&1",
    "*>",
    "<",
    "%",
    "?",
    "++",
    "--",
    "*",
    "/",
    "\\",
    "ä",
    "日",
    "\u{feff}",
    "default",
    "a",
    "+",
    "-",
];
