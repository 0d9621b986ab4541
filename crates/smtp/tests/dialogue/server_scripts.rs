//! Plays a peer against a session.
//!
//! | key | text |
//! |---|---|
//! | `P` | the profile: words such as `chunking`, `auth=LOGIN,PLAIN`, `errors=5`; first line of a script |
//! | `T` | the profile inside TLS |
//! | `A` | the answer to the next question of that kind: `rcpt 550 5.7.1 No`, `end close 421 4.3.2 Bye`; otherwise yes |
//! | `C` | a line of the peer; lines in a row go out in one write |
//! | `B` | bytes of the peer, as they are |
//! | `X` | an event at the caller: `timeout` or `stop` |
//! | `S` | a line of the session |
//! | `Q` | a question |
//! | `D` | content, joined |
//! | `L` | a line for the transcript |
//! | `!` | `reset`, `starttls`, `close` |

use std::collections::VecDeque;
use std::fmt::Write;
use std::time::{Duration, Instant};

use gatepost_mail::Domain;
use gatepost_smtp::{Answer, BareLinefeed, Mechanism, Output, Profile, Question, Session, SizeOffer};

use crate::script::{self, PARTS};

struct Caller {
    session: Session,
    now: Instant,
    profile: Profile,
    tls_profile: Profile,
    answers: Vec<(String, Answer)>,
    transcript: String,
    content: Vec<u8>,
}

pub fn profile(words: &str) -> Profile {
    let mut profile = Profile {
        greeting_date: "Tue, 4 May 2010 09:00:01 +0000".into(),
        ..Profile::new("mail.contoso.com".into(), [192, 168, 2, 55].into())
    };
    for word in words.split_whitespace() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<u64>().expect("a number");
        match name {
            "banner" => profile.banner = Some(format!("220 {value}")),
            "size" if value.is_empty() => profile.size = SizeOffer::Bare,
            "size" => profile.size = SizeOffer::Limit(number()),
            "pipelining" => profile.pipelining = true,
            "dsn" => profile.dsn = true,
            "plain-codes" => profile.enhanced_status_codes = false,
            "starttls" => profile.starttls = true,
            "8bitmime" => profile.eight_bit_mime = true,
            "binarymime" => profile.binary_mime = true,
            "chunking" => profile.chunking = true,
            "smtputf8" => profile.smtputf8 = true,
            "auth" => {
                profile.auth = value.split(',').map(|name| Mechanism::parse(name).expect("a mechanism")).collect();
            }
            "auth-after-tls" => profile.auth_after_tls = true,
            "require-domain" => profile.require_hello_domain = true,
            "default-domain" => profile.default_domain = Some(Domain::parse("contoso.com").expect("a domain")),
            "errors" => profile.protocol_errors_max = if value == "any" { None } else { Some(number() as u32) },
            "logons" => profile.logon_failures_max = number() as u32,
            "normalize" => profile.bare_linefeed = BareLinefeed::Normalize,
            "transcribe" => profile.transcribe = true,
            "all" => {
                profile.size = SizeOffer::Limit(37_748_736);
                profile.pipelining = true;
                profile.dsn = true;
                profile.eight_bit_mime = true;
                profile.binary_mime = true;
                profile.chunking = true;
                profile.smtputf8 = true;
            }
            other => panic!("no such word of a profile: {other}"),
        }
    }
    profile
}

impl Caller {
    fn feed(&mut self, bytes: &[u8], part: usize) {
        if bytes.is_empty() {
            self.drain(&[]);
        }
        let mut left: VecDeque<&[u8]> = bytes.chunks(part.min(bytes.len().max(1))).collect();
        while let Some(bytes) = left.pop_front() {
            if !self.drain(bytes) {
                // What else came over the old connection is behind STARTTLS in the clear, or behind the end.
                break;
            }
        }
        self.flush_content();
    }

    /// Whether the peer's further bytes still count.
    fn drain(&mut self, bytes: &[u8]) -> bool {
        let mut used = 0;
        loop {
            let (n, output) = self.session.receive(self.now, &bytes[used..]);
            used += n;
            if !matches!(output, Output::Content(_)) && !self.content.is_empty() {
                let content = std::mem::take(&mut self.content);
                if !matches!(output, Output::NeedInput) {
                    let _ = writeln!(self.transcript, "D: {}", script::escaped(&content));
                } else {
                    self.content = content;
                }
            }
            match output {
                Output::Send(reply) => {
                    let text = std::str::from_utf8(reply).expect("replies are text");
                    for line in text.strip_suffix("\r\n").expect("replies end with CRLF").split("\r\n") {
                        let _ = writeln!(self.transcript, "S: {line}");
                    }
                }
                Output::Ask(question) => {
                    let (kind, text, yes) = answer_yes(&question, &self.profile);
                    let _ = writeln!(self.transcript, "Q: {kind}{text}");
                    let answer = match self.answers.iter().position(|(wanted, _)| wanted == kind) {
                        Some(i) => self.answers.remove(i).1,
                        None => yes,
                    };
                    self.session.answer(self.now, answer);
                }
                Output::Content(piece) => self.content.extend_from_slice(piece),
                Output::Line(line) => {
                    let _ = writeln!(self.transcript, "L: {}", script::escaped(line));
                }
                Output::Reset => self.transcript.push_str("!: reset\n"),
                Output::StartTls => {
                    self.transcript.push_str("!: starttls\n");
                    self.session.tls_started(self.now, self.tls_profile.clone());
                    return false;
                }
                Output::NeedInput => return true,
                Output::Close => {
                    self.transcript.push_str("!: close\n");
                    return false;
                }
            }
        }
    }

    fn flush_content(&mut self) {
        if !self.content.is_empty() {
            let _ = writeln!(self.transcript, "D: {}", script::escaped(&self.content));
            self.content.clear();
        }
    }
}

/// The question's kind, the rest of what is to be seen of it, and the answer that lets it pass.
fn answer_yes(question: &Question<'_>, profile: &Profile) -> (&'static str, String, Answer) {
    match question {
        Question::Connect => ("connect", String::new(), Answer::Greet(profile.clone())),
        Question::Hello(hello) => {
            (if hello.esmtp { "ehlo" } else { "helo" }, format!(" {}", hello.domain), Answer::Accept)
        }
        Question::Authenticate(who) => (
            "auth",
            format!(" {} {:?} {:?} {:?}", who.mechanism.as_str(), who.authorization_id, who.user, who.password),
            Answer::Authenticated { profile: Profile { auth: Vec::new(), ..profile.clone() } },
        ),
        Question::Mail(mail) => {
            let mut text = format!(" {} {:?}", mail.reverse_path, mail.body);
            for (name, value) in [
                ("size", mail.size.map(|size| size.to_string())),
                ("smtputf8", mail.smtputf8.then(String::new)),
                ("ret", mail.ret.map(|ret| format!("{ret:?}"))),
                ("envid", mail.envid.as_deref().map(str::to_owned)),
                ("auth", mail.auth.as_ref().map(ToString::to_string)),
            ] {
                if let Some(value) = value {
                    let _ = write!(text, " {name}={value}");
                }
            }
            ("mail", text, Answer::Accept)
        }
        Question::Rcpt(rcpt) => {
            let mut text = format!(" {}", rcpt.forward_path);
            if rcpt.notify.given {
                let notify = rcpt.notify;
                let _ = write!(text, " notify={},{},{}", notify.success, notify.failure, notify.delay);
            }
            if let Some(original) = &rcpt.original_recipient {
                let _ = write!(text, " orcpt={original}");
            }
            ("rcpt", text, Answer::Accept)
        }
        Question::BeginContent => ("begin", String::new(), Answer::Accept),
        Question::EndContent => {
            let queued = script::reply("250 2.6.0 <1@contoso.com> [InternalId=1] Queued mail for delivery");
            ("end", String::new(), Answer::Accepted(queued))
        }
    }
}

fn answer(text: &str) -> (String, Answer) {
    let (kind, text) = text.split_once(' ').expect("a question's kind and a reply");
    let answer = match text.strip_prefix("close ") {
        Some(text) => Answer::Close(script::reply(text)),
        None if text.starts_with('2') => Answer::Accepted(script::reply(text)),
        None => Answer::Refuse(script::reply(text)),
    };
    (kind.to_owned(), answer)
}

fn play(text: &str, part: usize) -> (String, String) {
    let now = Instant::now();
    let mut caller = Caller {
        session: Session::new(now),
        now,
        profile: profile(""),
        tls_profile: profile(""),
        answers: Vec::new(),
        transcript: String::new(),
        content: Vec::new(),
    };
    let mut expected = String::new();
    let mut is_connected = false;
    let mut pending: Vec<u8> = Vec::new();
    let mut lines = script::lines(text).peekable();
    while let Some((key, text)) = lines.next() {
        if !matches!(key, "P" | "T" | "A") && !is_connected {
            is_connected = true;
            caller.feed(b"", part);
        }
        match key {
            "P" => caller.profile = profile(text),
            "T" => caller.tls_profile = profile(text),
            "A" => caller.answers.push(answer(text)),
            "C" | "B" => {
                if key == "C" {
                    pending.extend_from_slice(text.as_bytes());
                    pending.extend_from_slice(b"\r\n");
                } else {
                    pending.extend(script::unescaped(text));
                }
                if !matches!(lines.peek(), Some(("C" | "B", _))) {
                    caller.feed(&std::mem::take(&mut pending), part);
                }
            }
            "X" => {
                match text {
                    "timeout" => caller.session.timeout(now + Duration::from_secs(1)),
                    "stop" => caller.session.close(now, script::reply("421 4.3.2 Service not available")),
                    other => panic!("no such event: {other}"),
                }
                caller.feed(b"", part);
            }
            _ => {
                let _ = writeln!(expected, "{key}: {text}");
            }
        }
    }
    (expected, caller.transcript)
}

#[test]
fn sessions_follow_their_scripts_however_the_wire_is_cut() {
    for (name, text) in script::scripts("server") {
        for part in PARTS {
            let (expected, actual) = play(&text, part);
            script::assert_same(&name, part, &expected, &actual);
        }
    }
}
