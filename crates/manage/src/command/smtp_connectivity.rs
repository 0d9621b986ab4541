//! Whether the sockets of receive connectors answer: Test-SmtpConnectivity (fact sheet section 9.10).

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, Signature};
use gatepost_shell::value::View;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::exchange_server::is_meant;
use super::parameter::{DOMAIN_CONTROLLER, identity};
use super::receive_connector;
use super::{Answer, CommandError, Entry, Invocation, server};
use crate::object::PropertyKind::{Choice, Identity, Text};
use crate::object::{Record, Shape, Usual, property};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[Entry {
    signature: &TEST,
    role: Role::QueueOperator,
    output: Some(&SHAPE),
    run: |invocation| Box::pin(test(invocation)),
}];

/// How long one socket may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long all of them may take: callers wait for two minutes.
const PATIENCE_IN_ALL: Duration = Duration::from_secs(90);
const GREETING_BYTES_MAX: usize = 2_048;

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Monitoring.SmtpConnectivityStatus",
    table: &["Server", "ReceiveConnector", "Binding", "EndPoint", "StatusCode"],
    identity: "ReceiveConnector",
};

const STATES: &[&str] = &["Success", "UnableToConnect", "TransientError", "PermanentError", "ExternalError"];

static SHAPE: Shape = Shape {
    name: "SmtpConnectivityStatus",
    view: &VIEW,
    properties: &[
        property("Server", "server", Text, Usual::Null),
        property("ReceiveConnector", "receive_connector", Identity, Usual::Null),
        property("Binding", "binding", Text, Usual::Null),
        property("EndPoint", "end_point", Text, Usual::Null),
        property("StatusCode", "status_code", Choice(STATES), Usual::Text("Success")),
        property("Details", "details", Text, Usual::Null),
    ],
};

static TEST: Signature = Signature {
    name: "Test-SmtpConnectivity",
    aliases: &[],
    synopsis: "Connects to each binding of each enabled receive connector, from this server, and says what answers.",
    parameters: &[identity("Which server: the short or the whole name of this one."), DOMAIN_CONTROLLER],
    changes: Changes::Nothing,
    examples: &[
        ("Test-SmtpConnectivity", "Tries all of them."),
        (
            "Test-SmtpConnectivity | Where-Object { $_.StatusCode -ne 'Success' } | Format-List",
            "Shows what does not answer, and why.",
        ),
    ],
};

async fn test(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    if !is_meant(invocation)? {
        return Ok(Answer::default());
    }
    let own = &invocation.settings.server.name;
    let mut tried: HashMap<SocketAddr, (&'static str, String)> = HashMap::new();
    let mut answer = Answer::default();
    let until = Instant::now() + PATIENCE_IN_ALL;
    for connector in invocation.settings.receive_connectors.iter().filter(|connector| connector.enabled) {
        for binding in &connector.bindings {
            let end_point = end_point(binding.address);
            // Several connectors share an end point; it is asked once.
            let (status, details) = match tried.entry(end_point) {
                Occupied(known) => known.into_mut(),
                Vacant(unknown) => unknown.insert(match Instant::now() < until {
                    true => outcome(end_point, connector.implicit_tls).await,
                    false => ("ExternalError", "not tried: others took too long".to_owned()),
                }),
            };
            answer.output.push(
                Record::of(&SHAPE)
                    .with("Server", server::short_name(own))
                    .with("ReceiveConnector", receive_connector::identity(own, &connector.name))
                    .with("Binding", binding.address.to_string())
                    .with("EndPoint", end_point.to_string())
                    .with("StatusCode", *status)
                    .with("Details", details.as_str()),
            );
        }
    }
    Ok(answer)
}

/// Where a binding is reached from this machine.
fn end_point(binding: SocketAddr) -> SocketAddr {
    match binding.ip() {
        IpAddr::V4(address) if address.is_unspecified() => (Ipv4Addr::LOCALHOST, binding.port()).into(),
        IpAddr::V6(address) if address.is_unspecified() => (Ipv6Addr::LOCALHOST, binding.port()).into(),
        _ => binding,
    }
}

async fn outcome(end_point: SocketAddr, is_tls_first: bool) -> (&'static str, String) {
    match timeout(PATIENCE, greeting(end_point, is_tls_first)).await {
        Ok(Ok(greeting)) => (status_of(&greeting), greeting),
        Ok(Err(error)) => ("UnableToConnect", error.to_string()),
        Err(_) => ("UnableToConnect", format!("nothing came within {} seconds", PATIENCE.as_secs())),
    }
}

/// What a reply means for who connects.
fn status_of(greeting: &str) -> &'static str {
    match greeting.as_bytes().first() {
        Some(b'2') | None => "Success",
        Some(b'4') => "TransientError",
        Some(b'5') => "PermanentError",
        _ => "ExternalError",
    }
}

/// The first line that the server says; nothing where TLS comes first: then it takes the connection, and that is all.
async fn greeting(end_point: SocketAddr, is_tls_first: bool) -> io::Result<String> {
    let mut socket = TcpStream::connect(end_point).await?;
    if is_tls_first {
        return Ok(String::new());
    }
    let mut said = Vec::new();
    while !said.contains(&b'\n') && said.len() < GREETING_BYTES_MAX {
        if socket.read_buf(&mut said).await? == 0 {
            return Err(io::Error::other("it closed the connection without a word"));
        }
    }
    // It may have hung up already.
    let _ = socket.write_all(b"QUIT\r\n").await;
    let line = String::from_utf8_lossy(&said);
    Ok(line.lines().next().unwrap_or_default().trim_end().chars().filter(|sign| !sign.is_control()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_of_all_addresses_is_reached_by_loopback() {
        for (binding, expected) in
            [("0.0.0.0:25", "127.0.0.1:25"), ("[::]:587", "[::1]:587"), ("192.0.2.1:25", "192.0.2.1:25")]
        {
            let parsed = |text: &str| text.parse::<SocketAddr>().expect("an address");
            assert_eq!(end_point(parsed(binding)), parsed(expected));
        }
    }

    #[test]
    fn what_a_greeting_means_is_said_by_its_first_digit() {
        for (greeting, expected) in [
            ("220 mx1", "Success"),
            ("", "Success"),
            ("421 4.3.2 Service not available", "TransientError"),
            ("554 no", "PermanentError"),
            ("SSH-2.0", "ExternalError"),
        ] {
            assert_eq!(status_of(greeting), expected, "{greeting}");
        }
    }
}
