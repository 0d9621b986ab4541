//! What wire scripts have in common.
//!
//! A script is lines of `X: text`. The runner plays the lines that the far side says and writes down what the engine
//! makes of them in the same form; the two must be equal. `\r`, `\n`, `\t`, `\0` and `\\` are written out in text that
//! is not made of lines. Lines that start with `#` are comments.

use std::path::Path;

use gatepost_mail::{Reply, Status};

/// Slicings of what is fed in: all at once, and in parts of that many bytes.
pub const PARTS: [usize; 5] = [usize::MAX, 1, 2, 3, 7];

/// The scripts of a folder, each with its name, in a fixed order.
pub fn scripts(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire").join(folder);
    let mut scripts: Vec<_> = std::fs::read_dir(&folder)
        .expect("the folder is part of the crate")
        .map(|entry| {
            let path = entry.expect("a readable folder").path();
            let text = std::fs::read_to_string(&path).expect("a text file");
            (path.file_name().expect("it came from a listing").to_string_lossy().into_owned(), text)
        })
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "no scripts in {}", folder.display());
    scripts
}

/// The script's lines: key and text.
pub fn lines(script: &str) -> impl Iterator<Item = (&str, &str)> {
    script.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| {
        let (key, text) = line.split_once(':').unwrap_or_else(|| panic!("a key and a colon in {line:?}"));
        (key, text.strip_prefix(' ').unwrap_or(text))
    })
}

/// Reads a reply as scripts write it: `550 5.7.1 Unable to relay`.
pub fn reply(text: &str) -> Reply {
    let (code, text) = text.split_once(' ').unwrap_or((text, ""));
    let (status, text) = match Status::parse_prefix(text) {
        Some((status, text)) => (Some(status), text),
        None => (None, text),
    };
    Reply { code: code.parse().expect("a reply code"), status, text: text.to_owned().into() }
}

/// Writes bytes out so that they fit a line.
pub fn escaped(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .replace('\\', "\\\\")
        .replace('\r', "\\r")
        .replace('\n', "\\n")
        .replace('\t', "\\t")
        .replace('\0', "\\0")
}

/// The reverse of [`escaped`]; `\xNN` is any byte.
pub fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let (kind, tail) = tail.split_first().expect("something behind a backslash");
        rest = tail;
        bytes.push(match kind {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'x' => {
                let digits = std::str::from_utf8(&rest[..2]).expect("two digits");
                let byte = u8::from_str_radix(digits, 16).expect("two hexadecimal digits");
                rest = &rest[2..];
                byte
            }
            other => *other,
        });
    }
    bytes
}

/// Says where two transcripts part ways.
pub fn assert_same(name: &str, part: usize, expected: &str, actual: &str) {
    let differing = expected.lines().zip(actual.lines()).position(|(e, a)| e != a);
    let at = differing.unwrap_or_else(|| expected.lines().count().min(actual.lines().count()));
    assert!(
        expected == actual,
        "{name}, in parts of {part}, line {}:\n  expected {:?}\n  actual   {:?}\nwhole transcript:\n{actual}",
        at + 1,
        expected.lines().nth(at).unwrap_or("(the end)"),
        actual.lines().nth(at).unwrap_or("(the end)"),
    );
}
