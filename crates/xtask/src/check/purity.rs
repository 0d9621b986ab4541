//! The pure crates do no I/O and read no clock (invariant I1): what they need from outside is an argument.
//!
//! Takes the repository's folder; hands on one finding for each path in smtp, policy, mail, filter or shell that leads to a
//! disk, a socket, a clock, a thread, the environment or an async runtime. Tests are exempt.

use std::io;
use std::path::Path;

use super::Finding;
use super::source::{Source, rust_files};

const PURE_CRATES: [&str; 5] = ["mail", "smtp", "policy", "filter", "shell"];

/// What a pure crate never names: a path, or its end; why; what to do instead.
const FORBIDDEN: [(&str, &str); 18] = [
    ("std::fs", DISK),
    ("std::io::stdin", DISK),
    ("std::io::stdout", DISK),
    ("std::io::stderr", DISK),
    ("std::os::unix::net", SOCKET),
    ("std::net::TcpStream", SOCKET),
    ("std::net::TcpListener", SOCKET),
    ("std::net::UdpSocket", SOCKET),
    ("std::net::ToSocketAddrs", SOCKET),
    ("SystemTime::now", CLOCK),
    ("Instant::now", CLOCK),
    ("Timestamp::now", CLOCK),
    ("Zoned::now", CLOCK),
    ("std::thread", THREAD),
    ("std::process", THREAD),
    ("std::env", "take the value as an argument: the binary reads the environment"),
    ("tokio", THREAD),
    ("getrandom", "take random bytes as an argument: transport draws them"),
];

const DISK: &str = "take the bytes as an argument and hand bytes back: the caller reads and writes";
const SOCKET: &str = "take and hand on bytes: crate transport owns the sockets";
const CLOCK: &str = "take the time as an argument: transport reads the clock";
const THREAD: &str = "return what is to be done: transport runs it";

pub(super) fn findings(root: &Path) -> io::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for name in PURE_CRATES {
        for file in rust_files(&root.join("crates").join(name).join("src"))? {
            findings.extend(judge(name, &Source::read(root, &file)?));
        }
    }
    Ok(findings)
}

fn judge(name: &str, source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for path in source.paths() {
        let named = |forbidden: &str| {
            path.text == forbidden
                || path.text.starts_with(&format!("{forbidden}::"))
                || path.text.ends_with(&format!("::{forbidden}"))
        };
        if let Some((forbidden, instead)) = FORBIDDEN.iter().find(|(forbidden, _)| named(forbidden)) {
            findings.push(Finding {
                file: source.file.clone(),
                line: path.line,
                wrong: format!("`{name}` is pure and names `{forbidden}`"),
                instead: (*instead).to_owned(),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_and_clocks_are_found_however_they_are_imported() {
        for (text, expected) in [
            ("use std::fs;", 1),
            ("use std::fs::File;", 1),
            ("use std::{collections::HashMap, fs};", 1),
            ("use std::net::{IpAddr, TcpStream};", 1),
            ("use std::net::IpAddr;", 0),
            ("let now = std::time::Instant::now();", 1),
            ("let now = Instant::now();", 1),
            ("fn f(now: std::time::Instant) {}", 0),
            ("let now = jiff::Timestamp::now();", 1),
            ("tokio::spawn(f)", 1),
            ("// Instant::now", 0),
            ("#[cfg(test)]\nmod tests {\n    fn f() { std::fs::read(\"x\"); }\n}\n", 0),
        ] {
            let source = Source::parse(Path::new("x.rs"), text);
            assert_eq!(judge("smtp", &source).len(), expected, "{text}");
        }
    }
}
