//! The load, as processes: our own generator and sink, or Postfix's smtp-source and smtp-sink.
//!
//! Takes what to send and where; hands on what became of it. Both tools run in control groups of their own, so that what they cost
//! is known. Our own run this very program once more: `xtask bench source` and `xtask bench sink`.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::cryptography::{Identity, Offer};
use super::ground::{Ground, Process};
use super::histogram::Quantiles;
use super::meter::Meter;
use super::options::Tools;
use super::smtp_tools::{SmtpSink, SmtpSource};
use super::{sink, source};

const START: Duration = Duration::from_secs(20);

/// What is sent in one go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub tools: Tools,
    pub sessions: u64,
    pub messages: u64,
    pub size_bytes: u64,
    /// 0: no limit.
    pub messages_per_connection: u64,
    pub is_pipelining: bool,
    pub tls: Option<Offer>,
}

/// What became of it.
pub(super) struct Sent {
    pub first_ns: u64,
    /// When the last message had its 250.
    pub last_ns: u64,
    /// What only our own generator tells.
    pub details: Option<Details>,
}

pub(super) struct Details {
    pub accept: Quantiles,
    pub transaction: Quantiles,
    pub connections: u64,
    pub resumed: u64,
    pub tls: Option<String>,
}

impl Load {
    /// In words, for the report.
    pub fn words(&self) -> String {
        let per_connection = match self.messages_per_connection {
            0 => "many messages per connection".to_owned(),
            1 => "one message per connection".to_owned(),
            count => format!("at most {count} messages per connection"),
        };
        let tls = match self.tls {
            None => "",
            Some(Offer { resumes: true, .. }) => ", STARTTLS with resumption",
            Some(Offer { resumes: false, .. }) => ", STARTTLS without resumption",
        };
        format!(
            "{} of {} bytes over {} session{}, {per_connection}{}{tls}",
            self.messages,
            self.size_bytes,
            self.sessions,
            if self.sessions == 1 { "" } else { "s" },
            if self.is_pipelining { ", pipelining" } else { "" },
        )
    }

    fn task(&self, to: SocketAddr, domain: &str) -> source::Task {
        source::Task {
            to,
            domain: domain.to_owned(),
            sessions: self.sessions.min(self.messages),
            messages: self.messages,
            size_bytes: self.size_bytes,
            messages_per_connection: self.messages_per_connection,
            is_pipelining: self.is_pipelining,
            tls: self.tls,
            is_held: false,
        }
    }

    /// Sends it to `to` and waits until every message has its 250.
    pub fn send(&self, ground: &Ground, to: SocketAddr, limit: Duration) -> io::Result<Sent> {
        if self.tools == Tools::Smtp {
            let (first_ns, last_ns) = SmtpSource::start(ground, &self.task(to, source::DOMAIN))?.finish(limit)?;
            return Ok(Sent { first_ns, last_ns, details: None });
        }
        self.send_for(source::DOMAIN, ground, to, limit)
    }

    /// The same for a recipient in another domain, by our own generator.
    pub fn send_for(&self, domain: &str, ground: &Ground, to: SocketAddr, limit: Duration) -> io::Result<Sent> {
        let mut tool = Tool::<source::Word>::start(ground, None, "source", &self.task(to, domain))?;
        match tool.hear(limit)? {
            source::Word::Done(done) => Ok(Sent {
                first_ns: done.first_ns,
                last_ns: done.last_ns,
                details: Some(Details {
                    accept: done.accept,
                    transaction: done.transaction,
                    connections: done.connections,
                    resumed: done.resumed,
                    tls: done.tls,
                }),
            }),
            source::Word::Held => Err(io::Error::other("the generator holds connections instead of sending")),
        }
    }
}

/// Connections that are open and say nothing, until this value is dropped.
pub(super) struct Held {
    _tool: Tool<source::Word>,
}

impl Held {
    /// Opens them, up to the reply to EHLO.
    pub fn open(
        ground: &Ground,
        to: SocketAddr,
        connections: u64,
        tls: Option<Offer>,
        limit: Duration,
    ) -> io::Result<Held> {
        let task = source::Task {
            to,
            domain: source::DOMAIN.to_owned(),
            sessions: connections,
            messages: 0,
            size_bytes: 0,
            messages_per_connection: 0,
            is_pipelining: false,
            tls,
            is_held: true,
        };
        let mut tool = Tool::start(ground, None, "source", &task)?;
        match tool.hear(limit)? {
            source::Word::Held => Ok(Held { _tool: tool }),
            source::Word::Done(_) => Err(io::Error::other("the generator ended instead of holding its connections")),
        }
    }
}

/// The next hop.
pub(super) enum Sink {
    Own { tool: Tool<sink::Word>, address: SocketAddr, meter: Meter },
    Smtp(SmtpSink),
}

impl Sink {
    pub fn start(ground: &Ground, tools: Tools, identity: Option<&Identity>) -> io::Result<Sink> {
        if tools == Tools::Smtp {
            return Ok(Sink::Smtp(SmtpSink::start(ground)?));
        }
        Sink::own(ground, "sink", &sink::Task { identity: identity.cloned(), address: None })
    }

    /// Our own, at this address.
    pub fn start_at(ground: &Ground, address: SocketAddr) -> io::Result<Sink> {
        Sink::own(ground, "sink-there", &sink::Task { identity: None, address: Some(address) })
    }

    fn own(ground: &Ground, name: &str, task: &sink::Task) -> io::Result<Sink> {
        let meter = ground.meter(name);
        let mut tool = Tool::start(ground, Some(&meter), "sink", task)?;
        match tool.hear(START)? {
            sink::Word::Listening(address) => Ok(Sink::Own { tool, address, meter }),
            other => Err(unexpected(&other)),
        }
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Sink::Own { address, .. } => *address,
            Sink::Smtp(sink) => sink.address(),
        }
    }

    pub fn meter(&self) -> &Meter {
        match self {
            Sink::Own { meter, .. } => meter,
            Sink::Smtp(sink) => sink.meter(),
        }
    }

    /// What it has taken so far.
    pub fn count(&mut self) -> io::Result<sink::Count> {
        match self {
            Sink::Own { tool, .. } => {
                tool.order(&sink::Order::Count)?;
                match tool.hear(START)? {
                    sink::Word::Counted(count) => Ok(count),
                    other => Err(unexpected(&other)),
                }
            }
            Sink::Smtp(sink) => Ok(sink::Count { messages: sink.count()?, ..sink::Count::default() }),
        }
    }

    /// Calls `meanwhile`, then waits until `count` messages have come in all. Returns what `meanwhile` did, and when that was.
    pub fn until<T>(
        &mut self,
        count: u64,
        limit: Duration,
        meanwhile: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<(T, u64)> {
        match self {
            Sink::Own { tool, .. } => {
                tool.order(&sink::Order::Until(count))?;
                let done = meanwhile()?;
                match tool.hear(limit) {
                    Ok(sink::Word::Reached { at_ns }) => Ok((done, at_ns)),
                    Ok(other) => Err(unexpected(&other)),
                    Err(error) => Err(io::Error::new(error.kind(), format!("message {count} at the sink: {error}"))),
                }
            }
            Sink::Smtp(sink) => {
                let done = meanwhile()?;
                Ok((done, sink.wait_for(count, limit)?))
            }
        }
    }
}

fn unexpected(word: &sink::Word) -> io::Error {
    io::Error::other(format!("the sink says {word:?}"))
}

/// One of our own tools, running; it ends when this is dropped, for its standard input then ends.
pub(super) struct Tool<W> {
    stdin: Option<ChildStdin>,
    words: Receiver<io::Result<W>>,
    process: Process,
}

impl<W: DeserializeOwned + Send + 'static> Tool<W> {
    fn start(ground: &Ground, meter: Option<&Meter>, name: &str, task: &impl Serialize) -> io::Result<Tool<W>> {
        let program = std::env::current_exe()?;
        let mut command = match meter {
            Some(meter) => meter.command(program),
            None => std::process::Command::new(program),
        };
        command.args(["bench", name]).arg(serde_json::to_string(task)?);
        let mut process = ground.spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        if let Some(meter) = meter {
            meter.watch(process.id());
        }
        let (stdin, stdout) = process.pipes();
        let (sender, words) = channel();
        thread::spawn(move || {
            for word in read_words(stdout) {
                if sender.send(word).is_err() {
                    return;
                }
            }
        });
        Ok(Tool { stdin: Some(stdin), words, process })
    }

    fn order(&mut self, order: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        self.stdin.as_mut().expect("it is taken on drop only").write_all(&line)
    }

    fn hear(&mut self, limit: Duration) -> io::Result<W> {
        match self.words.recv_timeout(limit) {
            Ok(word) => word,
            Err(RecvTimeoutError::Timeout) => {
                let message = format!("waited {} s, in vain", limit.as_secs());
                Err(io::Error::new(io::ErrorKind::TimedOut, message))
            }
            // What it had to say about that stands on standard error.
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("the generator or the sink gave up")),
        }
    }
}

impl<W> Drop for Tool<W> {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.process.wait(START);
    }
}

fn read_words<W: DeserializeOwned>(stdout: ChildStdout) -> impl Iterator<Item = io::Result<W>> {
    BufReader::new(stdout).lines().map(|line| Ok(serde_json::from_str(&line?)?))
}
