//! A question about one message, from the texts in which somebody asks it.
//!
//! Takes texts, hands on what `policy::explain` is asked, or which text cannot be read and what to write instead. Never
//! decides anything.

use std::net::{IpAddr, SocketAddr};

use gatepost_mail::header_senders::{HeaderSenders, SenderField};
use gatepost_mail::{Domain, ForwardPath, Reading, ReversePath};
use gatepost_policy::Settings;
use gatepost_policy::certificate::PeerCertificate;
use gatepost_policy::explain::Question;
use gatepost_policy::settings::parse_size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest text that an error repeats, in characters.
const SHOWN_MAX: usize = 80;

/// The query of `GET /explanation`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExplanationQuery {
    /// Where the peer connects from.
    pub peer: String,
    /// Where it connects to: `10.1.1.1:25`, or a port alone; port 25 of the first connector without it.
    pub local: Option<String>,
    /// The envelope's sender; empty or `<>` for none.
    pub sender: String,
    /// The recipient.
    pub recipient: String,
    /// The user that it logs on as, with the right password.
    pub user: Option<String>,
    /// Whether it starts TLS.
    pub tls: Option<bool>,
    /// The trusted server or the domain that its certificate is for.
    pub certificate: Option<String>,
    /// The size of the message: `5MB`.
    pub size: Option<String>,
    /// The From field of the header.
    pub header_from: Option<String>,
    /// The Sender field of the header.
    pub header_sender: Option<String>,
    /// When, as `2027-01-31T09:30:00Z`; now without it.
    pub at: Option<String>,
}

/// A text that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Which, by its name in [`ExplanationQuery`].
    pub field: &'static str,
    /// What is wrong, and what to write.
    pub error: String,
}

/// A question that can be asked.
#[derive(Debug)]
pub struct Asked {
    peer: IpAddr,
    local: SocketAddr,
    user: Option<String>,
    tls: bool,
    certificate: Option<PeerCertificate>,
    reverse_path: ReversePath,
    forward_path: ForwardPath,
    size: Option<u64>,
    header: Option<HeaderSenders>,
    at_ms: u64,
}

impl Asked {
    /// Reads a question that is asked of `settings`.
    ///
    /// # Errors
    /// [`Unread`]: the first text that cannot be read.
    pub fn parse(settings: &Settings, query: &ExplanationQuery, now_ms: u64) -> Result<Asked, Unread> {
        let filled =
            |text: &Option<String>| text.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
        let peer = query.peer.trim();
        let peer: IpAddr = peer.parse().map_err(|_| unread("peer", format!("`{}` is no IP address", shown(peer))))?;
        let local = match filled(&query.local) {
            Some(local) => local_of(settings, peer, &local)?,
            None => first_binding(settings, peer, None)?,
        };
        let at_ms = match filled(&query.at) {
            None => now_ms,
            Some(at) => {
                at.parse::<jiff::Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok()).ok_or_else(
                    || unread("at", format!("`{}` is no point in time: 2027-01-31T09:30:00Z", shown(&at))),
                )?
            }
        };
        let reading = settings.select(local, peer, at_ms).map_or_else(Reading::default, |connector| Reading {
            default_domain: connector.default_domain.as_ref(),
            long_addresses: connector.long_addresses_enabled,
        });
        let no_address = |field, text: &str| unread(field, format!("`{}` is no mail address", shown(text)));
        let sender = if query.sender.trim().is_empty() { "<>" } else { query.sender.trim() };
        let Ok((reverse_path, "")) = ReversePath::parse_prefix_in(sender, reading) else {
            return Err(no_address("sender", sender));
        };
        let recipient = query.recipient.trim();
        let Ok((forward_path, "")) = ForwardPath::parse_prefix_in(recipient, reading) else {
            return Err(no_address("recipient", recipient));
        };
        let no_size = |size: &str| unread("size", format!("`{}` is no size: 5MB", shown(size)));
        let size = filled(&query.size).map(|size| parse_size(&size).ok_or_else(|| no_size(&size))).transpose()?;
        let certificate = filled(&query.certificate).map(|name| certificate(settings, &name)).transpose()?;
        Ok(Asked {
            peer,
            local,
            user: filled(&query.user),
            tls: query.tls.unwrap_or_default() || certificate.is_some(),
            certificate,
            reverse_path,
            forward_path,
            size,
            header: header(query),
            at_ms,
        })
    }

    /// The question.
    pub fn question(&self) -> Question<'_> {
        Question {
            peer: self.peer,
            local: self.local,
            user: self.user.as_deref(),
            tls: self.tls,
            certificate: self.certificate.as_ref(),
            reverse_path: &self.reverse_path,
            forward_path: &self.forward_path,
            size: self.size,
            header: self.header.as_ref(),
            now_ms: self.at_ms,
        }
    }
}

fn unread(field: &'static str, error: String) -> Unread {
    Unread { field, error }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect::<String>().escape_debug().to_string()
}

/// An address with its port, or the first binding of a port alone.
fn local_of(settings: &Settings, peer: IpAddr, text: &str) -> Result<SocketAddr, Unread> {
    if let Ok(port) = text.parse() {
        return first_binding(settings, peer, Some(port));
    }
    let error = || unread("local", format!("`{}` is no address with a port: 10.1.1.1:25", shown(text)));
    text.parse().map_err(|_| error())
}

/// The first binding of the document to this port; of no port, one to port 25, else any.
fn first_binding(settings: &Settings, peer: IpAddr, port: Option<u16>) -> Result<SocketAddr, Unread> {
    let is_ipv4 = peer.to_canonical().is_ipv4();
    let connectors = settings.receive_connectors.iter().filter(|connector| connector.enabled);
    let bindings = connectors.flat_map(|connector| connector.bindings.iter().map(|binding| binding.address));
    let bindings: Vec<SocketAddr> = bindings.filter(|binding| binding.is_ipv4() == is_ipv4).collect();
    let on = |port| bindings.iter().find(|binding| binding.port() == port);
    let found = match port {
        Some(port) => on(port),
        None => on(25).or(bindings.first()),
    };
    found.copied().ok_or_else(|| {
        let port = port.map_or(String::new(), |port| format!(" on port {port}"));
        unread("local", format!("no enabled receive connector is bound to an address of the peer's family{port}"))
    })
}

/// That of a trusted server, else a sound one for a domain.
fn certificate(settings: &Settings, name: &str) -> Result<PeerCertificate, Unread> {
    let server = settings.trusted_servers.iter().find(|server| server.name.eq_ignore_ascii_case(name));
    match (server, Domain::parse(name)) {
        (Some(server), _) => Ok(PeerCertificate::of_server(server)),
        (None, Ok(domain)) => Ok(PeerCertificate::of_domain(domain)),
        (None, Err(_)) => {
            Err(unread("certificate", format!("`{}` is neither a [[trusted_server]] nor a domain", shown(name))))
        }
    }
}

/// Whom a header with these fields names.
fn header(query: &ExplanationQuery) -> Option<HeaderSenders> {
    let fields = [(SenderField::From, &query.header_from), (SenderField::Sender, &query.header_sender)];
    let named = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.trim().is_empty());
    let mut header = HeaderSenders::default();
    for (field, text) in fields {
        if let Some(text) = text.as_deref().filter(|text| !text.trim().is_empty()) {
            header.read(field, text.as_bytes());
        }
    }
    fields.iter().any(|(_, text)| named(text)).then_some(header)
}
