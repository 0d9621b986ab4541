//! Rust source read as text: code apart from comments, literals and tests, and the paths that the code names.
//!
//! Takes a file; hands on [`Source`]. It is a lexer and a reader of `use` trees, not a compiler: it sees what is written,
//! so an alias or a macro can hide a path from it. The rules built on it are guard rails, not proofs.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One file, with its tests taken out.
pub(super) struct Source {
    /// Relative to the repository's folder.
    pub file: PathBuf,
    /// The code: comments, literals and `#[cfg(test)]` modules are blanked, so offsets and lines are the file's.
    pub code: String,
    /// String literals outside tests: line and text between the quotes.
    pub strings: Vec<(usize, String)>,
    /// Lines of the `//!` block that opens the file, without the marker.
    pub opening: Vec<String>,
    /// Where modules with a body lie.
    inline: Vec<Range<usize>>,
}

/// A path that the code names, `use` trees expanded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedPath {
    pub line: usize,
    /// Byte offset in the code, of the path or of the `use` tree's first segment.
    pub offset: usize,
    /// The segments joined by `::`; a glob import ends with `*`.
    pub text: String,
    /// The name that it goes by after `as`, otherwise its last segment.
    pub alias: String,
}

impl Source {
    pub fn read(root: &Path, file: &Path) -> io::Result<Source> {
        let text = fs::read_to_string(file)?;
        Ok(Source::parse(file.strip_prefix(root).unwrap_or(file), &text))
    }

    pub fn parse(file: &Path, text: &str) -> Source {
        let (mut code, literals) = blank_comments_and_literals(text);
        let tests = test_modules(&code);
        for range in &tests {
            blank(&mut code, range.clone());
        }
        let code = String::from_utf8(code).expect("blanking replaces whole characters by spaces");
        let lines = Lines::of(text);
        let strings = literals
            .into_iter()
            .filter(|range| !tests.iter().any(|test| test.contains(&range.start)))
            .map(|range| (lines.line(range.start), text[range].to_owned()))
            .collect();
        let opening = text
            .lines()
            .map_while(|line| line.strip_prefix("//!"))
            .map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned())
            .collect();
        let inline = inline_modules(code.as_bytes());
        Source { file: file.to_path_buf(), code, strings, opening, inline }
    }

    /// The modules that the file declares in files of their own, in the order in which it lists them.
    pub fn modules(&self) -> Vec<String> {
        self.modules_declared(false)
    }

    /// Those that exist in tests only.
    pub fn modules_for_tests(&self) -> Vec<String> {
        self.modules_declared(true)
    }

    fn modules_declared(&self, wanted_for_tests: bool) -> Vec<String> {
        let mut modules = Vec::new();
        let mut for_tests = false;
        for line in self.code.lines().map(str::trim) {
            if line.starts_with("#[") {
                for_tests |= line.starts_with("#[cfg(test)]");
                continue;
            }
            if let Some(name) = module_declared(line)
                && for_tests == wanted_for_tests
            {
                modules.push(name.to_owned());
            }
            for_tests &= line.is_empty();
        }
        modules
    }

    /// Every path of two segments or more.
    pub fn paths(&self) -> Vec<NamedPath> {
        let code = self.code.as_bytes();
        let lines = Lines::of(&self.code);
        let mut paths = Vec::new();
        let mut at = 0;
        while at < code.len() {
            let starts = is_word(code[at]) && !code[at].is_ascii_digit();
            if !starts {
                at += 1;
                continue;
            }
            let mut texts = Vec::new();
            let end = read_tree(code, at, "", &mut texts);
            let line = lines.line(at);
            for (text, alias) in texts {
                if text.contains("::") {
                    paths.push(NamedPath { line, offset: at, text, alias });
                }
            }
            at = end.max(at + 1);
        }
        paths
    }

    /// The names that `pub use` lifts into this module: the name and the path it stands for.
    pub fn lifted(&self) -> Vec<NamedPath> {
        let mut statements = Vec::new();
        let mut from = 0;
        while let Some(found) = self.code[from..].find("pub") {
            let start = from + found;
            let end = self.code[start..].find(';').map_or(self.code.len(), |length| start + length);
            let statement = self.code[start + 3..end].trim_start();
            let statement = match statement.strip_prefix('(') {
                Some(scope) => scope.split_once(')').map_or("", |(_, rest)| rest.trim_start()),
                None => statement,
            };
            if statement.starts_with("use ") {
                statements.push(start..end);
            }
            from = start + 3;
        }
        self.paths().into_iter().filter(|path| statements.iter().any(|range| range.contains(&path.offset))).collect()
    }

    /// How many inline modules are open at an offset: each takes one `super` to leave.
    pub fn inline_depth(&self, offset: usize) -> usize {
        self.inline.iter().filter(|range| range.contains(&offset)).count()
    }
}

/// All Rust files below a folder, in the order of their paths, but for `tests.rs` and what lies in a folder `tests`; none
/// when the folder does not exist.
pub(super) fn rust_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    files_below(folder, |path| path.file_stem().is_none_or(|name| name != "tests"))
}

/// All Rust files below a folder, tests included.
pub(super) fn with_tests(folder: &Path) -> io::Result<Vec<PathBuf>> {
    files_below(folder, |_| true)
}

fn files_below(folder: &Path, wanted: impl Fn(&Path) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if !wanted(&entry.path()) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The crates of the workspace: folder name and path, in the order of their names.
pub(super) fn crates(root: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut crates = Vec::new();
    for entry in fs::read_dir(root.join("crates"))? {
        let entry = entry?;
        if entry.path().join("Cargo.toml").is_file() {
            crates.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    crates.sort();
    Ok(crates)
}

fn module_declared(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) => match rest.strip_prefix('(') {
            Some(scope) => scope.split_once(')')?.1,
            None => rest,
        },
        None => line,
    };
    let name = line.trim_start().strip_prefix("mod ")?.strip_suffix(';')?.trim();
    name.bytes().all(is_word).then_some(name)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Finds the line of an offset without counting from the start each time.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Lines {
        Lines(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    /// 1-based.
    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|&end| end < offset) + 1
    }
}

fn blank(code: &mut [u8], range: Range<usize>) {
    for byte in &mut code[range] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

/// Reads one path or `use` tree at `at`; pushes each full path with its alias; returns where it ends.
fn read_tree(code: &[u8], mut at: usize, prefix: &str, texts: &mut Vec<(String, String)>) -> usize {
    let mut text = prefix.to_owned();
    loop {
        let start = at;
        while at < code.len() && is_word(code[at]) {
            at += 1;
        }
        let word = String::from_utf8_lossy(&code[start..at]).into_owned();
        text.push_str(&word);
        if !code[at..].starts_with(b"::") {
            let (alias, end) = read_alias(code, at, &word);
            texts.push((text, alias));
            return end;
        }
        match code.get(at + 2) {
            Some(b'{') => return read_group(code, at + 3, &format!("{text}::"), texts),
            Some(b'*') => {
                texts.push((format!("{text}::*"), "*".to_owned()));
                return at + 3;
            }
            Some(&byte) if is_word(byte) => {
                text.push_str("::");
                at += 2;
            }
            _ => {
                texts.push((text, word));
                return at + 2;
            }
        }
    }
}

fn read_group(code: &[u8], mut at: usize, prefix: &str, texts: &mut Vec<(String, String)>) -> usize {
    while at < code.len() {
        match code[at] {
            b'}' => return at + 1,
            b'*' => {
                texts.push((format!("{prefix}*"), "*".to_owned()));
                at += 1;
            }
            byte if is_word(byte) => at = read_tree(code, at, prefix, texts),
            _ => at += 1,
        }
    }
    at
}

/// The name after ` as `, when there is one, and where it ends.
fn read_alias(code: &[u8], at: usize, word: &str) -> (String, usize) {
    let Some(rest) = code[at..].strip_prefix(b" as ") else { return (word.to_owned(), at) };
    let length = rest.iter().take_while(|&&byte| is_word(byte)).count();
    (String::from_utf8_lossy(&rest[..length]).into_owned(), at + 4 + length)
}

/// Where the `#[cfg(test)]` modules with a body lie.
fn test_modules(code: &[u8]) -> Vec<Range<usize>> {
    inline_modules(code)
        .into_iter()
        .filter(|range| {
            let before = String::from_utf8_lossy(&code[..range.start]);
            let attributes =
                before.lines().rev().map(str::trim).take_while(|line| line.is_empty() || line.starts_with('#'));
            attributes.into_iter().any(|line| line == "#[cfg(test)]")
        })
        .collect()
}

/// Where the modules with a body lie, from the line of `mod` to the closing brace.
fn inline_modules(code: &[u8]) -> Vec<Range<usize>> {
    let mut modules = Vec::new();
    let mut line_start = 0;
    while line_start < code.len() {
        let line_end = code[line_start..].iter().position(|&byte| byte == b'\n').map_or(code.len(), |n| line_start + n);
        let line = String::from_utf8_lossy(&code[line_start..line_end]).into_owned();
        if let Some(head) = line.trim().strip_suffix('{')
            && module_declared(&format!("{};", head.trim_end())).is_some()
        {
            modules.push(line_start..closing_brace(code, line_end - 1));
        }
        line_start = line_end + 1;
    }
    modules
}

/// Just behind the brace that closes the one at or before `from` on its line.
fn closing_brace(code: &[u8], from: usize) -> usize {
    let mut depth = 0usize;
    let open = code[..=from].iter().rposition(|&byte| byte == b'{').unwrap_or(from);
    for (at, byte) in code.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// The text with comments and literals replaced by spaces, and where the string literals' texts lie.
fn blank_comments_and_literals(text: &str) -> (Vec<u8>, Vec<Range<usize>>) {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut strings = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let end = if rest.starts_with(b"//") {
            at + rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            at + block_comment_length(rest)
        } else if let Some((inside, length)) = string_literal(bytes, at) {
            strings.push(inside);
            at + length
        } else if let Some(length) = character_literal(text, at) {
            at + length
        } else {
            at += 1;
            continue;
        };
        blank(&mut code, at..end);
        at = end;
    }
    (code, strings)
}

fn block_comment_length(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// A string literal at `at`, plain or raw, without its `b` or `c` prefix: where its text lies and its whole length.
fn string_literal(bytes: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let rest = &bytes[at..];
    if rest.first() == Some(&b'"') {
        let mut end = 1;
        while end < rest.len() && rest[end] != b'"' {
            end += if rest[end] == b'\\' { 2 } else { 1 };
        }
        let end = end.min(rest.len());
        return Some((at + 1..at + end, (end + 1).min(rest.len())));
    }
    let follows_word = at > 0 && is_word(bytes[at - 1]) && !matches!(bytes[at - 1], b'b' | b'c');
    if rest.first() != Some(&b'r') || follows_word {
        return None;
    }
    let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return None;
    }
    let close = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let start = hashes + 2;
    let length = rest[start..].windows(close.len()).position(|window| window == close)?;
    Some((at + start..at + start + length, start + length + close.len()))
}

/// The length of a character or byte literal at `at`; a lifetime is none.
fn character_literal(text: &str, at: usize) -> Option<usize> {
    if text.as_bytes()[at] != b'\'' {
        return None;
    }
    let rest = &text[at + 1..];
    let mut characters = rest.char_indices();
    let (_, first) = characters.next()?;
    if first == '\\' {
        let (escaped, _) = characters.next()?;
        let after = escaped + rest[escaped..].chars().next()?.len_utf8();
        return rest[after..].find('\'').map(|length| 1 + after + length + 1);
    }
    let (after, second) = characters.next()?;
    (second == '\'').then_some(1 + after + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source::parse(Path::new("x.rs"), text)
    }

    fn paths(text: &str) -> Vec<String> {
        source(text).paths().into_iter().map(|path| path.text).collect()
    }

    #[test]
    fn paths_are_read_from_code_and_from_use_trees() {
        for (text, expected) in [
            ("use std::fs;", vec!["std::fs"]),
            ("use std::{fs, net::{self, TcpStream}};", vec!["std::fs", "std::net::self", "std::net::TcpStream"]),
            ("use crate::address::*;", vec!["crate::address::*"]),
            ("use std::{\n    io::*,\n    time::Instant,\n};", vec!["std::io::*", "std::time::Instant"]),
            ("let now = Instant::now();", vec!["Instant::now"]),
            ("fn f(x: &crate::a::B) -> Vec<super::C> {}", vec!["crate::a::B", "super::C"]),
            ("Vec::<u8>::new()", vec![]),
        ] {
            assert_eq!(paths(text), expected, "{text}");
        }
    }

    #[test]
    fn comments_literals_and_tests_name_no_paths() {
        for text in [
            "// std::fs::read",
            "/* std::fs /* nested */ std::net */",
            r#"let x = "std::fs::read";"#,
            "let x = r#\"std::fs \" ::read\"#;",
            "let quote = '\"'; // std::fs::read \"",
            r"let quote = '\''; // std::fs::read '",
            "#[cfg(test)]\nmod tests {\n    use std::fs::read;\n    fn f() { }\n}\n",
        ] {
            assert_eq!(paths(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_lifetime_is_not_a_character() {
        assert_eq!(paths("fn f<'a>(x: &'a str) { std::fs::read('a') }"), ["std::fs::read"]);
    }

    #[test]
    fn code_behind_a_test_module_counts_again() {
        assert_eq!(paths("#[cfg(test)]\nmod tests {\n    use a::b;\n}\nuse c::d;"), ["c::d"]);
    }

    #[test]
    fn modules_are_listed_in_order_and_without_those_for_tests() {
        let text = "pub mod b;\nmod a;\n#[cfg(test)]\nmod tests;\npub(crate) mod c;\nmod inline {\n}\n";
        assert_eq!(source(text).modules(), ["b", "a", "c"]);
    }

    #[test]
    fn lifted_names_keep_the_path_they_stand_for() {
        let text = "mod a;\npub use a::{B, C as D};\npub(crate) use a::E;\nuse a::F;";
        let lifted: Vec<_> = source(text).lifted().into_iter().map(|path| (path.alias, path.text)).collect();
        let expected = [("B", "a::B"), ("D", "a::C"), ("E", "a::E")];
        assert_eq!(lifted, expected.map(|(alias, text)| (alias.to_owned(), text.to_owned())));
    }

    #[test]
    fn strings_are_kept_with_their_lines_and_without_those_of_tests() {
        let text =
            "let a = \"one\";\nlet b = r\"two\";\n#[cfg(test)]\nmod tests {\n    const C: &str = \"three\";\n}\n";
        assert_eq!(source(text).strings, [(1, "one".to_owned()), (2, "two".to_owned())]);
    }

    #[test]
    fn any_text_is_read_without_a_panic() {
        for text in ["'", "\"", "r#\"", "/*", "mod x {", "use a::{", "b'\\", "'\\é", "é'é", "\"\\"] {
            let _ = source(text).paths();
        }
    }
}
