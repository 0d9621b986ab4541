//! Whether others can be reached: Test-Connection asks for echoes, Test-NetConnection also tries a port.
//!
//! From the machine that the shell runs on, not from the server.

use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::time::Duration;

use crate::command::{Call, Kind, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::convert;
use crate::fault::{Category, Fault, Severity};
use crate::value::{Value, View};

use super::parameter::{SIGNATURE, TEXTS, also, at, named, needed, piped, switch};
use super::refused::IGNORED;
use super::session::object;

/// How long an echo, and how long a connection may take.
const ECHO_TIMEOUT: Duration = Duration::from_secs(4);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// The most echoes of one host: who wants to watch it for days writes a loop.
const ECHOES_MAX: i64 = 10_000;
const TIMEOUT_SECONDS_MAX: i64 = 3600;

/// Test-Connection.
pub(super) const TEST_CONNECTION: StockCommand = StockCommand {
    signature: &Signature {
        name: "Test-Connection",
        synopsis: "Asks hosts for echoes (ping), from this machine.",
        parameters: &[
            also(
                &["CN", "IPAddress", "__SERVER", "Server", "Destination", "TargetName"],
                needed(piped(at(0, "ComputerName", TEXTS, "Hosts, by name or address."))),
            ),
            also(&["Ping"], named("Count", Kind::Int, "How many echoes of each; 4 without it.")),
            switch("Quiet", "Only whether one came: true or false."),
            named("Delay", Kind::Int, "Seconds between them; 1 without it."),
            also(
                &["TimeoutMilliseconds"],
                named("TimeoutSeconds", Kind::Int, "How long to wait for each; 4 without it."),
            ),
            named("TcpPort", Kind::Int, "Try this port instead of an echo; true or false."),
            IGNORED,
        ],
        ..SIGNATURE
    },
    make: || Box::new(TestConnection),
};

static PING: View = View {
    type_name: "System.Management.ManagementObject",
    table: &["Source", "Destination", "IPV4Address", "IPV6Address", "Bytes", "Time(ms)"],
    identity: "",
};

struct TestConnection;

/// The addresses of a host; one that is written as an address is its own.
fn addresses(context: &mut dyn Context, host: &str) -> io::Result<Vec<IpAddr>> {
    match host.trim_matches(['[', ']']).parse() {
        Ok(address) => Ok(vec![address]),
        Err(_) => context.world().resolve(host),
    }
}

/// The address that is asked: of IPv4, where the host has one.
fn address(context: &mut dyn Context, host: &str) -> io::Result<IpAddr> {
    let mut all = addresses(context, host)?;
    all.sort_by_key(IpAddr::is_ipv6);
    all.first().copied().ok_or_else(|| ErrorKind::NotFound.into())
}

fn why(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::TimedOut => "Error due to lack of resources",
        ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable => "The destination cannot be reached",
        _ => "No such host is known",
    }
}

/// Where the system lets this user send no echoes, "no" would be a lie.
fn check_allowed(error: &io::Error) -> Result<(), Fault> {
    match error.kind() {
        ErrorKind::PermissionDenied => Err(Fault::new(
            Category::PermissionDenied,
            "This system lets its users send no echoes (net.ipv4.ping_group_range leaves this one out): whether the host answers \
             cannot be told. Test-NetConnection HOST -Port PORT tries a port.",
        )),
        _ => Ok(()),
    }
}

impl Stage for TestConnection {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let number = |name: &str, usual: i64, most: i64| match call.argument(name) {
            Some(Value::Int(given)) => (*given).clamp(0, most),
            _ => usual,
        };
        let count = number("Count", 4, ECHOES_MAX).max(1);
        let delay = Duration::from_secs(number("Delay", 1, TIMEOUT_SECONDS_MAX).unsigned_abs());
        let timeout = match number("TimeoutSeconds", 0, TIMEOUT_SECONDS_MAX) {
            0 => ECHO_TIMEOUT,
            seconds => Duration::from_secs(seconds.unsigned_abs()),
        };
        for host in call.argument("ComputerName").map(convert::elements).unwrap_or_default() {
            let host = convert::text(&host);
            context.show(None)?;
            if let Some(Value::Int(port)) = call.argument("TcpPort") {
                let is_open = can_connect(context, &host, *port, timeout)?;
                context.value(Value::Bool(is_open))?;
                continue;
            }
            let mut has_answered = false;
            for round in 0..count {
                if round > 0 {
                    context.world().sleep(delay);
                }
                context.check()?;
                let answer = match address(context, &host) {
                    Ok(address) => context.world().echo(address, timeout).map(|time| (address, time)),
                    Err(error) => Err(error),
                };
                context.check()?;
                match answer {
                    Ok((address, time)) => {
                        has_answered = true;
                        if call.is_set("Quiet") {
                            break;
                        }
                        let answer = answer_of(context, &host, address, time);
                        context.value(answer)?;
                    }
                    Err(error) => {
                        check_allowed(&error)?;
                        if !call.is_set("Quiet") {
                            context.error(unanswered(&host, &error))?;
                        }
                    }
                }
            }
            if call.is_set("Quiet") {
                context.value(Value::Bool(has_answered))?;
            }
        }
        Ok(())
    }
}

fn answer_of(context: &mut dyn Context, host: &str, address: IpAddr, time: Duration) -> Value {
    let source = context.environment("COMPUTERNAME").unwrap_or_default();
    let (four, six) = match address {
        IpAddr::V4(_) => (Value::text(address.to_string()), Value::Null),
        IpAddr::V6(_) => (Value::Null, Value::text(address.to_string())),
    };
    let milliseconds = Value::Int(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
    object(
        &PING,
        vec![
            ("Source", Value::text(source)),
            ("Destination", Value::text(host)),
            ("Address", Value::text(host)),
            ("IPV4Address", four),
            ("IPV6Address", six),
            ("ProtocolAddress", Value::text(address.to_string())),
            ("Bytes", Value::Int(32)),
            ("BufferSize", Value::Int(32)),
            ("Time(ms)", milliseconds.clone()),
            ("ResponseTime", milliseconds.clone()),
            ("Latency", milliseconds),
            ("StatusCode", Value::Int(0)),
            ("Status", Value::text("Success")),
        ],
    )
}

fn unanswered(host: &str, error: &io::Error) -> Fault {
    let mut fault = Fault::new(
        Category::ResourceUnavailable,
        format!("Testing connection to computer '{host}' failed: {}", why(error)),
    );
    fault.exception = "System.Net.NetworkInformation.PingException";
    fault.target = Some(host.to_owned());
    fault.with_severity(Severity::Continuing)
}

/// Test-NetConnection.
pub(super) const TEST_NET_CONNECTION: StockCommand = StockCommand {
    signature: &Signature {
        name: "Test-NetConnection",
        aliases: &["tnc"],
        synopsis: "Tries a port of a host, or asks it for an echo, from this machine.",
        parameters: &[
            also(&["RemoteAddress", "cn"], piped(at(0, "ComputerName", Kind::Text, "The host, by name or address."))),
            at(1, "CommonTCPPort", Kind::OneOf(&["HTTP", "RDP", "SMB", "WINRM"]), "A port by its name."),
            also(&["RemotePort"], named("Port", Kind::Int, "The port.")),
            named("InformationLevel", Kind::OneOf(&["Quiet", "Standard", "Detailed"]), "Quiet: true or false."),
            IGNORED,
        ],
        ..SIGNATURE
    },
    make: || Box::new(TestNetConnection),
};

static NET: View = View { type_name: "TestNetConnectionResult", table: &[], identity: "" };

/// Whether somebody listens at a port.
fn can_connect(context: &mut dyn Context, host: &str, port: i64, timeout: Duration) -> Result<bool, Fault> {
    let Some(port) = u16::try_from(port).ok().filter(|port| *port > 0) else {
        return Err(Fault::new(Category::InvalidArgument, format!("{port} is no port: write 1 to 65535.")));
    };
    let done = context.world().connect(host, port, timeout);
    context.check()?;
    Ok(done.is_ok())
}

struct TestNetConnection;

impl Stage for TestNetConnection {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let host = call.argument("ComputerName").map(convert::text).filter(|host| !host.is_empty());
        let host = host.unwrap_or_else(|| "localhost".to_owned());
        let port = match (call.argument("Port"), call.argument("CommonTCPPort").map(convert::text).as_deref()) {
            (Some(Value::Int(port)), _) => Some(*port),
            (_, Some("HTTP")) => Some(80),
            (_, Some("RDP")) => Some(3389),
            (_, Some("SMB")) => Some(445),
            (_, Some("WINRM")) => Some(5985),
            _ => None,
        };
        let is_quiet = call.argument("InformationLevel").is_some_and(|level| convert::text(level) == "Quiet");
        context.show(None)?;
        let found = address(context, &host);
        let shown = found.as_ref().map(IpAddr::to_string).unwrap_or_default();
        if found.is_err() {
            context.warning(&format!("Name resolution of {host} failed"));
        }
        let mut properties = vec![("ComputerName", Value::text(&host)), ("RemoteAddress", Value::text(&shown))];
        let succeeded = match port {
            Some(port) => {
                let is_open = found.is_ok() && can_connect(context, &host, port, CONNECT_TIMEOUT)?;
                if !is_open && found.is_ok() {
                    context.warning(&format!("TCP connect to ({shown} : {port}) failed"));
                }
                properties.push(("RemotePort", Value::Int(port)));
                properties.push(("TcpTestSucceeded", Value::Bool(is_open)));
                is_open
            }
            None => {
                let answer = found.and_then(|address| context.world().echo(address, ECHO_TIMEOUT));
                context.check()?;
                if let Err(error) = &answer {
                    check_allowed(error)?;
                    context.warning(&format!("Ping to {shown} failed with status: {}", why(error)));
                }
                properties.push(("PingSucceeded", Value::Bool(answer.is_ok())));
                let time = answer.as_ref().map(|time| format!("{} ms", time.as_millis())).unwrap_or_default();
                properties.push(("PingReplyDetails (RTT)", Value::text(time)));
                answer.is_ok()
            }
        };
        context.value(if is_quiet { Value::Bool(succeeded) } else { object(&NET, properties) })
    }
}
