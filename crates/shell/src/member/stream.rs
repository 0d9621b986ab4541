//! What scripts read and write piece by piece: connections by TCP (`TcpClient`, `NetworkStream`), and lines of a connection or
//! a file (`StreamReader`, `StreamWriter`).
//!
//! Takes bytes from the world and hands them on as text or numbers. A line that does not end and a peer that does not stop
//! have a limit. What is written to a file is written at once: a script that forgets to close loses nothing.

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use crate::context::Context;
use crate::convert;
use crate::convert::encoding::{self, Encoding};
use crate::fault::Fault;
use crate::path;
use crate::value::{Foreign, Value};
use crate::world::Peer;

use super::arguments::{Arguments, invalid, out_of_range};
use super::tool::{TextEncoding, bytes};

/// How long connecting and waiting may take where the script does not say.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that a script may wait.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// Bytes of one line of a connection.
const LINE_BYTES_MAX: usize = 16 << 20;
const BUFFER_BYTES: usize = 16 << 10;

/// What the classes of this module are called.
const CLIENT: &str = "System.Net.Sockets.TcpClient";
const STREAM: &str = "System.Net.Sockets.NetworkStream";
const READER: &str = "System.IO.StreamReader";
const WRITER: &str = "System.IO.StreamWriter";

/// A connection, before and while it is one.
#[derive(Default)]
pub(super) struct Connection {
    peer: RefCell<Option<Box<dyn Peer>>>,
    /// Where it shall lead, until somebody waits for it: `BeginConnect`, `ConnectAsync`.
    wanted: RefCell<Option<(String, u16)>>,
    /// Why it came to nothing.
    failure: RefCell<Option<Fault>>,
    /// What came and was not read yet.
    pending: RefCell<Vec<u8>>,
    receive_timeout_ms: Cell<i64>,
    send_timeout_ms: Cell<i64>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", if self.peer.borrow().is_some() { "open" } else { "closed" })
    }
}

/// A time limit in milliseconds; nothing and less than nothing: the usual one.
fn limit(milliseconds: i64) -> Duration {
    match u64::try_from(milliseconds) {
        Ok(0) | Err(_) => TIMEOUT,
        Ok(some) => Duration::from_millis(some).min(TIMEOUT_MAX),
    }
}

impl Connection {
    fn connect(&self, context: &mut dyn Context, host: &str, port: u16, timeout: Duration) -> Result<(), Fault> {
        self.wanted.replace(None);
        // Who tries again is told of this attempt.
        self.failure.replace(None);
        // What was written before is to be seen while the other side takes its time.
        context.show(None)?;
        let done = context.world().connect(host, port, timeout);
        context.check()?;
        match done {
            Ok(peer) => {
                self.peer.replace(Some(peer));
                Ok(())
            }
            Err(error) => {
                let fault = failed(&error, &format!("{host}:{port}"));
                self.failure.replace(Some(fault.clone()));
                Err(fault)
            }
        }
    }

    /// Makes of a wish to connect a connection or a failure; whether it is over.
    fn settle(&self, context: &mut dyn Context, timeout: Duration) -> Result<bool, Fault> {
        let Some((host, port)) = self.wanted.borrow().clone() else { return Ok(true) };
        match self.connect(context, &host, port, timeout) {
            Err(fault) if fault.exception == TIMED_OUT => Ok(false),
            Err(_) => context.check().map(|()| true),
            Ok(()) => Ok(true),
        }
    }

    /// Takes in what comes next; whether something came before the other side closed.
    fn receive(&self, context: &mut dyn Context) -> Result<bool, Fault> {
        let mut buffer = [0; BUFFER_BYTES];
        let done = match &mut *self.peer.borrow_mut() {
            Some(peer) => peer.receive(&mut buffer, limit(self.receive_timeout_ms.get())),
            None => return Err(invalid("The connection is closed.")),
        };
        context.check()?;
        match done {
            Ok(count) => {
                context.charge(count)?;
                self.pending.borrow_mut().extend_from_slice(&buffer[..count]);
                Ok(count > 0)
            }
            // Who hangs up without a word has said what there was.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(failed(&error, "the connection")),
        }
    }

    fn send(&self, context: &mut dyn Context, bytes: &[u8]) -> Result<(), Fault> {
        let done = match &mut *self.peer.borrow_mut() {
            Some(peer) => peer.send(bytes, limit(self.send_timeout_ms.get())),
            None => return Err(invalid("The connection is closed.")),
        };
        context.check()?;
        done.map_err(|error| failed(&error, "the connection"))
    }

    fn has_come(&self) -> bool {
        !self.pending.borrow().is_empty() || self.has_more()
    }

    /// Whether something came that was not taken in yet.
    fn has_more(&self) -> bool {
        self.peer.borrow_mut().as_mut().is_some_and(|peer| peer.has_come().unwrap_or(false))
    }

    /// How many bytes can be read without waiting. Scripts ask until there are enough: each time, what came meanwhile is taken in.
    fn available(&self, context: &mut dyn Context) -> Result<usize, Fault> {
        let is_room = self.pending.borrow().len() <= LINE_BYTES_MAX;
        if is_room && self.has_more() {
            self.receive(context)?;
        }
        Ok(self.pending.borrow().len())
    }

    fn close(&self) {
        self.peer.replace(None);
        self.wanted.replace(None);
    }

    /// The next line without its end; `None`: there is none.
    fn line(&self, context: &mut dyn Context) -> Result<Option<String>, Fault> {
        loop {
            let end = self.pending.borrow().iter().position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let line: Vec<u8> = self.pending.borrow_mut().drain(..=end).collect();
                let line = String::from_utf8_lossy(&line);
                return Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()));
            }
            if self.pending.borrow().len() > LINE_BYTES_MAX {
                return Err(invalid(format!("The other side sent a line of more than {} MB.", LINE_BYTES_MAX >> 20)));
            }
            if !self.receive(context)? {
                let rest = self.pending.take();
                return Ok((!rest.is_empty()).then(|| String::from_utf8_lossy(&rest).into_owned()));
            }
        }
    }

    /// All that comes until the other side closes.
    fn rest(&self, context: &mut dyn Context) -> Result<String, Fault> {
        while self.receive(context)? {}
        Ok(String::from_utf8_lossy(&self.pending.take()).into_owned())
    }
}

/// How a time limit that has passed is told.
const TIMED_OUT: &str = "System.TimeoutException";

fn failed(error: &std::io::Error, place: &str) -> Fault {
    let (exception, message) = match error.kind() {
        ErrorKind::ConnectionRefused => (
            "System.Net.Sockets.SocketException",
            format!("No connection could be made because the target machine actively refused it {place}"),
        ),
        ErrorKind::TimedOut => (
            TIMED_OUT,
            format!(
                "A connection attempt failed because the connected party did not properly respond after a period of time {place}"
            ),
        ),
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset | ErrorKind::WriteZero => {
            ("System.IO.IOException", format!("The other side has closed {place}."))
        }
        _ if error.raw_os_error().is_none() => {
            ("System.Net.Sockets.SocketException", "No such host is known".to_owned())
        }
        _ => ("System.Net.Sockets.SocketException", format!("{place}: {error}")),
    };
    Fault { exception, ..invalid(message) }
}

/// One of the classes of this module.
#[derive(Debug)]
pub(super) enum Stream {
    /// `TcpClient`.
    Client(Rc<Connection>),
    /// `NetworkStream`.
    Network(Rc<Connection>),
    /// What `BeginConnect` and `ConnectAsync` hand out: who waits for it connects.
    Attempt(Rc<Connection>),
    /// `StreamReader` of a connection.
    Reader(Rc<Connection>),
    /// `StreamReader` of a file: its text, and how much of it has been read.
    FileReader { text: String, read: Cell<usize> },
    /// `StreamWriter`.
    Writer { target: Target, new_line: RefCell<String> },
}

/// Where a `StreamWriter` writes.
#[derive(Debug)]
pub(super) enum Target {
    Connection(Rc<Connection>),
    File { path: String, encoding: Encoding },
}

impl Foreign for Stream {
    fn type_name(&self) -> &str {
        match self {
            Stream::Client(_) => CLIENT,
            Stream::Network(_) => STREAM,
            Stream::Attempt(_) => "System.Threading.Tasks.Task",
            Stream::Reader(_) | Stream::FileReader { .. } => READER,
            Stream::Writer { .. } => WRITER,
        }
    }

    fn text(&self) -> String {
        self.type_name().to_owned()
    }
}

/// What `New-Object` makes of the classes of this module; `None`: it is none of them.
pub(super) fn make(context: &mut dyn Context, full: &str, arguments: &Arguments<'_>) -> Option<Result<Value, Fault>> {
    Some(match full {
        CLIENT => client(context, arguments),
        READER => reader(context, arguments),
        WRITER => writer(context, arguments),
        _ => return None,
    })
}

fn client(context: &mut dyn Context, arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let connection = Rc::new(Connection::default());
    if arguments.values.len() > 1 {
        let (host, port) = place(arguments)?;
        connection.connect(context, &host, port, TIMEOUT)?;
    }
    Ok(Value::foreign(Stream::Client(connection)))
}

/// Host and port of the first two arguments.
fn place(arguments: &Arguments<'_>) -> Result<(String, u16), Fault> {
    let number = arguments.int(1)?;
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    Ok((arguments.text(0)?, port.ok_or_else(|| out_of_range(&format!("{number} is no port")))?))
}

fn reader(context: &mut dyn Context, arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let source = &arguments.need(1)?[0];
    match source.downcast::<Stream>() {
        Some(Stream::Network(connection)) => Ok(Value::foreign(Stream::Reader(connection.clone()))),
        Some(_) => Err(invalid("Stream was not readable.")),
        None => file_reader(context, &convert::text(source)),
    }
}

/// `StreamReader` of a file.
pub(super) fn file_reader(context: &mut dyn Context, path: &str) -> Result<Value, Fault> {
    let bytes = context.world().read_file(path, path::FILE_BYTES_MAX).map_err(|error| path::failed(path, &error))?;
    context.charge(bytes.len())?;
    Ok(Value::foreign(Stream::FileReader { text: encoding::decode_file(&bytes), read: Cell::new(0) }))
}

fn writer(context: &mut dyn Context, arguments: &Arguments<'_>) -> Result<Value, Fault> {
    let target = &arguments.need(1)?[0];
    match target.downcast::<Stream>() {
        Some(Stream::Network(connection)) => Ok(Value::foreign(Stream::Writer {
            target: Target::Connection(connection.clone()),
            // Whoever speaks with a mail server means this end of a line, as the original has it.
            new_line: RefCell::new("\r\n".to_owned()),
        })),
        Some(_) => Err(invalid("Stream was not writable.")),
        None => {
            let is_append = matches!(arguments.values.get(1), Some(Value::Bool(true)));
            let encoding = arguments.values.iter().find_map(Value::downcast::<TextEncoding>);
            file_writer(context, &convert::text(target), is_append, encoding.map_or(Encoding::Utf8, |one| one.0))
        }
    }
}

/// `StreamWriter` of a file.
pub(super) fn file_writer(
    context: &mut dyn Context,
    path: &str,
    is_append: bool,
    encoding: Encoding,
) -> Result<Value, Fault> {
    let mark = if is_append { &[] } else { encoding.mark() };
    context.world().write_file(path, mark, is_append).map_err(|error| path::failed(path, &error))?;
    // The script may go to another folder before it writes.
    let path = path::full(&context.world().current_folder(), path);
    Ok(Value::foreign(Stream::Writer {
        target: Target::File { path, encoding },
        new_line: RefCell::new("\n".to_owned()),
    }))
}

/// A property of one of them.
pub(super) fn property(context: &mut dyn Context, value: &Value, lower: &str) -> Option<Result<Value, Fault>> {
    let stream = value.downcast::<Stream>()?;
    Some(Ok(match (stream, lower) {
        (Stream::Client(connection), "connected") => match connection.settle(context, TIMEOUT) {
            Ok(_) => Value::Bool(connection.peer.borrow().is_some()),
            Err(fault) => return Some(Err(fault)),
        },
        (Stream::Client(connection), "available") => match connection.available(context) {
            Ok(count) => Value::Int(count as i64),
            Err(fault) => return Some(Err(fault)),
        },
        // What scripts ask the socket beneath is answered by the client.
        (Stream::Client(_) | Stream::Network(_), "client" | "socket") => value.clone(),
        (Stream::Client(connection), "receivetimeout") | (Stream::Network(connection), "readtimeout") => {
            Value::Int(connection.receive_timeout_ms.get())
        }
        (Stream::Client(connection), "sendtimeout") | (Stream::Network(connection), "writetimeout") => {
            Value::Int(connection.send_timeout_ms.get())
        }
        (Stream::Network(connection), "dataavailable") => Value::Bool(connection.has_come()),
        (Stream::Network(connection), "canread" | "canwrite") => Value::Bool(connection.peer.borrow().is_some()),
        (Stream::Attempt(_), "asyncwaithandle") => value.clone(),
        (Stream::Attempt(connection), "iscompleted" | "isfaulted") => match connection.settle(context, TIMEOUT) {
            Ok(is_over) if lower == "iscompleted" => Value::Bool(is_over),
            Ok(_) => Value::Bool(connection.failure.borrow().is_some()),
            Err(fault) => return Some(Err(fault)),
        },
        (Stream::Reader(connection), "endofstream") => {
            let is_over = connection.pending.borrow().is_empty();
            match if is_over { connection.receive(context) } else { Ok(true) } {
                Ok(is_more) => Value::Bool(!is_more),
                Err(fault) => return Some(Err(fault)),
            }
        }
        (Stream::FileReader { text, read }, "endofstream") => Value::Bool(read.get() >= text.len()),
        (Stream::Reader(connection), "basestream") => Value::foreign(Stream::Network(connection.clone())),
        (Stream::Writer { .. }, "autoflush") => Value::Bool(true),
        (Stream::Writer { new_line, .. }, "newline") => Value::text(&*new_line.borrow()),
        _ => return None,
    }))
}

/// Changes a property of one of them; whether it is one that may be changed.
pub(super) fn set_property(value: &Value, lower: &str, new: &Value) -> bool {
    let Some(stream) = value.downcast::<Stream>() else { return false };
    match (stream, lower) {
        (Stream::Client(connection), "receivetimeout") | (Stream::Network(connection), "readtimeout") => {
            connection.receive_timeout_ms.set(convert::integer(new).unwrap_or_default());
        }
        (Stream::Client(connection), "sendtimeout") | (Stream::Network(connection), "writetimeout") => {
            connection.send_timeout_ms.set(convert::integer(new).unwrap_or_default());
        }
        (Stream::Writer { new_line, .. }, "newline") => *new_line.borrow_mut() = convert::text(new),
        // What is written goes at once, small or large.
        (Stream::Writer { .. }, "autoflush") | (Stream::Client(_), "nodelay" | "lingerstate") => {}
        _ => return false,
    }
    true
}

/// Calls a method of one of them.
pub(super) fn call(
    context: &mut dyn Context,
    value: &Value,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    match value.downcast::<Stream>()? {
        Stream::Client(connection) => client_call(context, connection, lower, arguments),
        Stream::Network(connection) => network_call(context, connection, lower, arguments),
        Stream::Attempt(connection) => attempt_call(context, connection, lower, arguments),
        Stream::Reader(connection) => reader_call(context, connection, lower, arguments),
        Stream::FileReader { text, read } => file_reader_call(text, read, lower),
        Stream::Writer { target, new_line } => writer_call(context, target, &new_line.borrow(), lower, arguments),
    }
}

type Answer = Option<Result<Option<Value>, Fault>>;

fn client_call(
    context: &mut dyn Context,
    connection: &Rc<Connection>,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Answer {
    Some(match lower {
        "connect" => place(arguments).and_then(|(host, port)| {
            connection.connect(context, &host, port, TIMEOUT)?;
            Ok(None)
        }),
        "beginconnect" | "connectasync" => place(arguments).map(|wanted| {
            connection.wanted.replace(Some(wanted));
            Some(Value::foreign(Stream::Attempt(connection.clone())))
        }),
        "endconnect" => connection.settle(context, TIMEOUT).and_then(|_| match connection.failure.take() {
            Some(fault) => Err(fault),
            None => Ok(None),
        }),
        "getstream" => match connection.peer.borrow().is_some() {
            true => Ok(Some(Value::foreign(Stream::Network(connection.clone())))),
            false => Err(invalid("The operation is not allowed on non-connected sockets.")),
        },
        "close" | "dispose" | "shutdown" => {
            connection.close();
            Ok(None)
        }
        _ => return None,
    })
}

fn attempt_call(
    context: &mut dyn Context,
    connection: &Rc<Connection>,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Answer {
    let timeout = match arguments.values.first() {
        Some(Value::Span(span)) => limit(span.ticks / 10_000),
        Some(value) => limit(convert::integer(value).unwrap_or_default()),
        None => TIMEOUT,
    };
    Some(match lower {
        "waitone" => connection.settle(context, timeout).map(|is_over| Some(Value::Bool(is_over))),
        "wait" => connection.settle(context, timeout).and_then(|is_over| match connection.failure.take() {
            Some(fault) if is_over => Err(fault),
            _ => Ok(Some(Value::Bool(is_over))),
        }),
        "close" | "dispose" => Ok(None),
        _ => return None,
    })
}

fn network_call(
    context: &mut dyn Context,
    connection: &Rc<Connection>,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Answer {
    Some(match lower {
        "read" => read_into(context, connection, arguments).map(|count| Some(Value::Int(count))),
        "readbyte" => received(context, connection).map(|is_more| {
            let byte = is_more.then(|| connection.pending.borrow_mut().remove(0));
            Some(Value::Int(byte.map_or(-1, i64::from)))
        }),
        "write" => arguments.need(1).and_then(|values| {
            let all = bytes(&values[0])?;
            let part = match values.len() {
                1 => &all[..],
                _ => {
                    let (from, count) = (arguments.size(1)?, arguments.size(2)?);
                    all.get(from..from.saturating_add(count)).ok_or_else(|| out_of_range("offset and count"))?
                }
            };
            connection.send(context, part).map(|()| None)
        }),
        "writebyte" => {
            arguments.need(1).and_then(|values| connection.send(context, &bytes(&values[0])?)).map(|()| None)
        }
        "flush" => Ok(None),
        "close" | "dispose" => {
            connection.close();
            Ok(None)
        }
        _ => return None,
    })
}

/// Whether there is something to take, waiting for it where need be.
fn received(context: &mut dyn Context, connection: &Connection) -> Result<bool, Fault> {
    let is_empty = connection.pending.borrow().is_empty();
    if is_empty { connection.receive(context) } else { Ok(true) }
}

/// `Read(buffer, offset, count)`: the buffer is a list of the script's.
fn read_into(context: &mut dyn Context, connection: &Connection, arguments: &Arguments<'_>) -> Result<i64, Fault> {
    let (Some(Value::List(buffer)), from, most) = (arguments.values.first(), arguments.size(1)?, arguments.size(2)?)
    else {
        return Err(invalid("Read wants a buffer: New-Object byte[] 1024"));
    };
    let room = buffer.values.borrow().len();
    if from.checked_add(most).is_none_or(|end| end > room) {
        return Err(out_of_range("offset and count"));
    }
    if most == 0 || !received(context, connection)? {
        return Ok(0);
    }
    let count = most.min(connection.pending.borrow().len());
    let mut values = buffer.values.borrow_mut();
    for (place, byte) in values[from..].iter_mut().zip(connection.pending.borrow_mut().drain(..count)) {
        *place = Value::Int(byte.into());
    }
    Ok(count as i64)
}

fn reader_call(
    context: &mut dyn Context,
    connection: &Rc<Connection>,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Answer {
    Some(match lower {
        "readline" => connection.line(context).map(|line| Some(line.map(Value::text).unwrap_or_default())),
        "readtoend" => connection.rest(context).map(|rest| Some(Value::text(rest))),
        "peek" => {
            let next = match connection.has_come() {
                true => received(context, connection).map(|_| connection.pending.borrow().first().copied()),
                false => Ok(None),
            };
            next.map(|next| Some(Value::Int(next.map_or(-1, i64::from))))
        }
        "read" if arguments.values.is_empty() => return network_call(context, connection, "readbyte", arguments),
        "read" => {
            let Some(Value::List(buffer)) = arguments.values.first() else {
                return Some(Err(invalid("Read wants a buffer: New-Object char[] 1024")));
            };
            read_into(context, connection, arguments).map(|count| {
                // A reader hands on characters.
                let from = arguments.size(1).unwrap_or_default();
                for value in buffer.values.borrow_mut().iter_mut().skip(from).take(count as usize) {
                    if let Value::Int(byte) = value {
                        *value = Value::Char(char::from(*byte as u8));
                    }
                }
                Some(Value::Int(count))
            })
        }
        "close" | "dispose" => {
            connection.close();
            Ok(None)
        }
        "discardbuffereddata" => Ok(None),
        _ => return None,
    })
}

fn file_reader_call(text: &str, read: &Cell<usize>, lower: &str) -> Answer {
    let rest = &text[read.get().min(text.len())..];
    let taken = match lower {
        "readline" => match rest.split_inclusive('\n').next() {
            Some(line) => {
                read.set(read.get() + line.len());
                Value::text(line.trim_end_matches(['\n', '\r']))
            }
            None => Value::Null,
        },
        "readtoend" => {
            read.set(text.len());
            Value::text(rest)
        }
        "read" | "peek" => match rest.chars().next() {
            Some(sign) => {
                let step = if lower == "read" { sign.len_utf8() } else { 0 };
                read.set(read.get() + step);
                Value::Int(u32::from(sign).into())
            }
            None => Value::Int(-1),
        },
        "close" | "dispose" => return Some(Ok(None)),
        _ => return None,
    };
    Some(Ok(Some(taken)))
}

fn writer_call(
    context: &mut dyn Context,
    target: &Target,
    new_line: &str,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Answer {
    let text = match arguments.values {
        [] => Ok(String::new()),
        [only] => Ok(convert::joined(only, "")),
        [form, parts @ ..] => convert::composite::fill(&convert::text(form), parts),
    };
    let text = match lower {
        "write" => text,
        "writeline" => text.map(|text| text + new_line),
        "flush" => return Some(Ok(None)),
        "close" | "dispose" => {
            if let Target::Connection(connection) = target {
                connection.close();
            }
            return Some(Ok(None));
        }
        _ => return None,
    };
    Some(text.and_then(|text| {
        match target {
            Target::Connection(connection) => connection.send(context, text.as_bytes())?,
            Target::File { path, encoding } => {
                let bytes = encoding.encode(&text);
                context.world().write_file(path, &bytes, true).map_err(|error| path::failed(path, &error))?;
            }
        }
        Ok(None)
    }))
}
