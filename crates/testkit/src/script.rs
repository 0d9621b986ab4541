//! Dialogues as data: what each side of an SMTP connection says, line by line, and a player that holds a server to it.
//!
//! ```text
//! # A comment.
//! @127.0.0.2            connect from this address (a name in braces behind it: to another port than the first)
//! S: 220 mail.*         the server must say a line like this; * stands for anything
//! S: 550 * [*]          a line with a bracket is held against all of it; else an id of a decision at its end is ignored
//! S: ...                the rest of a reply of several lines, whatever it is
//! C: EHLO app01         we say this line; several C lines in a row go out in one packet
//! B: a\nb\r\n           we say these bytes: \r \n \t \0 \\ and \xNN are escapes, nothing is added
//! TLS                   we do a TLS handshake
//! CLOSED                the server must hang up without saying more
//! ```

use std::net::{IpAddr, SocketAddr};

use crate::client::{Client, split_decision_id};

/// A dialogue and the settings that it needs, from a data file: TOML, a line of `---`, steps.
#[derive(Debug)]
pub struct Script {
    /// What stands above `---`.
    pub settings: String,
    steps: Vec<(usize, Step)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Connect { source: IpAddr, port: Option<String> },
    Say(Vec<u8>),
    Expect(String),
    SkipRest,
    StartTls,
    Closed,
}

impl Script {
    /// Reads a data file. The error names the line.
    pub fn parse(text: &str) -> Result<Script, String> {
        let (settings, dialogue, first_line) = match text.split_once("\n---\n") {
            Some((settings, dialogue)) => (settings, dialogue, settings.lines().count() + 2),
            None => ("", text, 1),
        };
        let mut steps = Vec::new();
        for (i, line) in dialogue.lines().enumerate() {
            let number = first_line + i;
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            steps.push((number, parse_step(line).map_err(|problem| format!("line {number}: {problem}: {line:?}"))?));
        }
        Ok(Script { settings: settings.to_owned(), steps })
    }

    /// Plays the dialogue against `server`; `port_of` knows the ports named in braces. The error says what was expected,
    /// what came instead, and what was said so far.
    pub fn play(&self, server: SocketAddr, port_of: impl Fn(&str) -> Option<u16>) -> Result<(), String> {
        let mut client: Option<Client> = None;
        let mut packet: Vec<u8> = Vec::new();
        let mut last_line = String::new();
        for (number, step) in &self.steps {
            let fail = |client: &Option<Client>, problem: String| {
                let transcript = client.as_ref().map_or("", |client: &Client| client.transcript());
                format!("line {number}: {problem}; so far:\n{transcript}")
            };
            if let Step::Say(bytes) = step {
                packet.extend_from_slice(bytes);
                continue;
            }
            if !packet.is_empty() {
                let connected = client.as_mut().ok_or_else(|| fail(&None, "no connection yet".to_owned()))?;
                let sent = connected.try_send_bytes(&packet);
                sent.map_err(|error| fail(&client, format!("cannot send: {error}")))?;
                packet.clear();
            }
            if let Step::Connect { source, port } = step {
                let port = match port {
                    Some(name) => port_of(name).ok_or_else(|| fail(&client, format!("no port named {name}")))?,
                    None => server.port(),
                };
                let server = SocketAddr::new(server.ip(), port);
                let connected = Client::try_connect_from(*source, server);
                client = Some(connected.map_err(|error| fail(&None, format!("cannot connect: {error}")))?);
                continue;
            }
            let Some(connected) = client.as_mut() else { return Err(fail(&None, "no connection yet".to_owned())) };
            match step {
                Step::Expect(pattern) => match connected.try_whole_line() {
                    Ok(line) if is_said(pattern, &line) => last_line = line,
                    Ok(line) => return Err(fail(&client, format!("expected {pattern:?}, got {line:?}"))),
                    Err(error) => return Err(fail(&client, format!("expected {pattern:?}, got {error}"))),
                },
                Step::SkipRest => {
                    while last_line.as_bytes().get(3) == Some(&b'-') {
                        match connected.try_line() {
                            Ok(line) => last_line = line,
                            Err(error) => return Err(fail(&client, format!("expected more lines, got {error}"))),
                        }
                    }
                }
                Step::StartTls => connected.handshake(),
                Step::Closed => connected.expect_closed(),
                Step::Connect { .. } | Step::Say(_) => {}
            }
        }
        match packet.is_empty() {
            true => Ok(()),
            false => Err("the script ends with something said and nothing expected".to_owned()),
        }
    }
}

fn parse_step(line: &str) -> Result<Step, String> {
    if let Some(source) = line.strip_prefix('@') {
        let (source, port) = match source.split_once(' ') {
            Some((source, port)) => {
                let name = port.trim().strip_prefix('{').and_then(|port| port.strip_suffix('}'));
                (source, Some(name.ok_or("write the port's name in braces")?.to_owned()))
            }
            None => (source, None),
        };
        let source = source.parse().map_err(|_| "not an address")?;
        return Ok(Step::Connect { source, port });
    }
    if let Some(text) = argument(line, "C:") {
        return Ok(Step::Say(format!("{text}\r\n").into_bytes()));
    }
    if let Some(text) = argument(line, "B:") {
        return Ok(Step::Say(unescape(text)?));
    }
    if let Some(pattern) = argument(line, "S:") {
        return Ok(if pattern == "..." { Step::SkipRest } else { Step::Expect(pattern.to_owned()) });
    }
    match line {
        "TLS" => Ok(Step::StartTls),
        "CLOSED" => Ok(Step::Closed),
        _ => Err("not a step".to_owned()),
    }
}

fn argument<'a>(line: &'a str, label: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(label)?;
    Some(rest.strip_prefix(' ').unwrap_or(rest))
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let kind = escape.chars().next().ok_or("a lone backslash at the end")?;
        let mut length = kind.len_utf8();
        match kind {
            'r' => bytes.push(b'\r'),
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            '0' => bytes.push(0),
            '\\' => bytes.push(b'\\'),
            'x' => {
                let digits = escape.get(1..3).ok_or("two hexadecimal digits belong behind \\x")?;
                bytes.push(u8::from_str_radix(digits, 16).map_err(|_| "not hexadecimal")?);
                length = 3;
            }
            other => return Err(format!("unknown escape \\{other}")),
        }
        rest = &escape[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

fn is_said(pattern: &str, line: &str) -> bool {
    let without_id = split_decision_id(line).0;
    is_like(pattern, if pattern.contains('[') { line } else { without_id })
}

/// Whether `text` has the form of `pattern`, in which `*` stands for any text, none included.
pub fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    // The earliest place is always good enough for a part between two stars.
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::Sink;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("250 OK", "250 OK", true),
            ("250 OK", "250 OK.", false),
            ("250 *", "250 ", true),
            ("250*OK*", "250 2.0.0 OK then", true),
            ("*aab", "aaaab", true),
            ("a*b*b", "ab", false),
            ("*", "", true),
        ] {
            assert_eq!(is_like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn an_id_is_ignored_unless_brackets_are_expected() {
        for (pattern, line, expected) in [
            ("550 5.7.1 Unable to relay", "550 5.7.1 Unable to relay [1f3a9c04b27e]", true),
            ("550 5.7.1 Unable to relay", "550 5.7.1 Unable to relay [1f3a9c04b27g]", false),
            ("550 5.7.1 Unable to relay [*]", "550 5.7.1 Unable to relay [1f3a9c04b27e]", true),
            ("550 5.7.1 Unable to relay [*]", "550 5.7.1 Unable to relay", false),
            ("250-mail Hello [127.0.0.2]", "250-mail Hello [127.0.0.2]", true),
        ] {
            assert_eq!(is_said(pattern, line), expected, "{pattern} {line}");
        }
    }

    #[test]
    fn a_script_holds_a_server_to_its_lines() {
        let sink = Sink::start();
        let play = |text: &str| {
            let script = Script::parse(text).expect("a well-formed script");
            script.play(sink.address(), |_| None)
        };
        let good = "x = 1\n---\n@127.0.0.2\nS: 220 *\nC: EHLO a\nS: 250-sink.test\nS: ...\nC: NOOP\nB: N\\x4fOP\\r\\n\nS: 250 *\n\
                    S: 250 *\nC: QUIT\nS: 221*\nCLOSED\n";
        play(good).expect("the sink says so");
        let problem = play("@127.0.0.2\nS: 220 *\nC: NOOP\nS: 500 *\n").expect_err("the sink says otherwise");
        assert!(problem.starts_with("line 4: expected \"500 *\", got \"250 2.0.0 OK\""), "{problem}");
    }
}
