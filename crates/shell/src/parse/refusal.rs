//! Constructs of the original that this language does not have: each is named, and told what to write instead.

/// Keywords that begin a statement which is refused, and what is said of each.
pub(super) const KEYWORDS: &[(&str, &str)] = &[
    (
        "class",
        "classes are not part of this shell's language; make objects with [pscustomobject]@{...} and use functions",
    ),
    ("enum", "`enum` is not part of this shell's language; use a list of texts, or a hashtable"),
    ("workflow", "`workflow` is not part of this shell's language; write a function"),
    (
        "configuration",
        "`configuration` (desired state) is not part of this shell's language; settings are declared in gatepost.toml",
    ),
    ("data", "`data` sections are not part of this shell's language; assign a hashtable to a variable"),
    ("parallel", "`parallel` is not part of this shell's language; write a foreach loop"),
    ("sequence", "`sequence` is not part of this shell's language; write the statements as they are"),
    ("inlinescript", "`inlinescript` is not part of this shell's language; write the statements as they are"),
];

pub(super) const DYNAMIC_PARAMETERS: &str =
    "`dynamicparam` is not part of this shell's language; declare the parameters in `param (...)`";
pub(super) const CLEAN: &str = "`clean` blocks are not part of this shell's language; use try and finally";
pub(super) const USING_MODULE: &str =
    "`using module` and `using assembly` are not part of this shell's language; dot-source a script: . .\\file.ps1";
pub(super) const CHAIN: &str =
    "`&&` and `||` are not part of this shell's language; write two statements, the second as if ($?) { ... }";
pub(super) const BACKGROUND: &str =
    "jobs in the background (`&` at the end) are not part of this shell's language; run the command without it";
pub(super) const TERNARY: &str = "`? :` is not part of this shell's language; write $(if (...) { ... } else { ... })";
pub(super) const NULL_COALESCING: &str =
    "`??` and `?.` are not part of this shell's language; write if ($null -eq $x) { ... }";
pub(super) const STOP_PARSING: &str =
    "`--%` is for programs, which this shell does not run; write the arguments as they are, in quotes where needed";
pub(super) const INPUT_REDIRECTION: &str = "`<` reads nothing here; write Get-Content file | command";
pub(super) const PARALLEL_LOOP: &str = "`-Parallel` is not part of this shell's language; the loop runs without it";
pub(super) const COMPUTED_LABEL: &str = "a label is a name: break outer";
