//! The settings document: everything that the administrator declared, as one value.
//!
//! Takes the text of `gatepost.toml`, hands on [`Settings`] or every problem of the document at once, each with its
//! place and its remedy. Reads no file and resolves no path.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::{Domain, ForwardPath, Mailbox};

use crate::accepted_domain::{AcceptedDomain, AcceptedDomains};
use crate::assertion::Assertion;
use crate::back_pressure::BackPressureSettings;
use crate::certificate::TrustedServer;
use crate::directory::Directory;
use crate::mailbox_delivery::MailboxDelivery;
use crate::management::ManagementSettings;
use crate::monitoring::Monitoring;
use crate::notify::ReportSettings;
use crate::protocol_log::ProtocolLogs;
use crate::receive_connector::{self, Listener, ReceiveConnector, Selector};
use crate::remote_domain::RemoteDomains;
use crate::retry::{self, Schedule};
use crate::send_connector::{AddressSpaces, SendConnector};

mod again;
mod document;
mod queues;
mod recipients;
mod assertions;
mod send_connectors;
mod mailbox_delivery;
mod route_keys;
mod retry_keys;
mod remote_domains;
mod receive_connectors;
mod send_tls;
mod logons;
mod error_policies;
mod management;
mod certificates;
mod monitoring;
mod protocol_logs;
mod idle_send_properties;
mod idle_properties;
mod check;
mod access_entries;
mod notes;
mod reports;
mod usage;
mod values;
mod reader;
mod syntax;
mod known;
mod default_document;
mod problem;

pub use again::{Kept, KeptList, parse_again};
pub use document::parse;
pub use problem::{Problem, Related, Severity, render};
pub use queues::QueueSettings;
pub(crate) use reader::Collector;
pub use reader::nearest;
pub use values::{parse_address_space, parse_size, parse_smart_host};

/// Longest settings document, in bytes: room for some million ranges.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the document may leave to its surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// The machine's name, for a document without `server.name`; one that is no domain name becomes `localhost`.
    pub host_name: String,
    /// The data folder, for a document without `server.data_dir`.
    pub data_dir: PathBuf,
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// Our name; the default `fqdn` of connectors.
    pub name: Domain,
    /// Where everything that we keep is kept; as written, so a relative one is relative to the document's folder.
    pub data_dir: PathBuf,
}

/// `[tls]`: paths as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM, the server's own certificate first.
    pub certificate: PathBuf,
    /// PEM.
    pub private_key: PathBuf,
}

/// The keys of `[transport]` that are about the whole server (Exchange: Set-TransportService, Set-TransportConfig).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportSettings {
    /// Outbound connections at a time, in all; `None` is unlimited.
    pub max_outbound_connections: Option<u32>,
    /// Outbound connections at a time to one next hop; `None` is unlimited.
    pub max_per_domain_outbound_connections: Option<u32>,
    /// Outbound connections at a time to one host, whatever the domains that it serves; `None` is unlimited.
    pub max_per_host_outbound_connections: Option<u32>,
    /// Domains whose mail comes from peers that prove to be them by a certificate.
    pub tls_receive_domain_secure_list: Arc<[Domain]>,
    /// Domains that have to prove to be them by a certificate before they get mail.
    pub tls_send_domain_secure_list: Arc<[Domain]>,
    /// Sender of reports; `None` is postmaster at the default domain ([`Settings::postmaster`]).
    pub external_postmaster_address: Option<Mailbox>,
    /// Queues: priorities, poison, idle times.
    pub queues: QueueSettings,
}

/// `[tracking]`: which decisions are recorded, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackingSettings {
    /// Whether the reply to a refused command ends with the id of its record.
    pub ids_in_replies: bool,
    /// Bytes of records of accepted messages.
    pub messages_max_size: u64,
    /// Bytes of records of refusals.
    pub refusals_max_size: u64,
    /// Refusals of one source beyond so many a minute are counted only.
    pub refusals_per_source_per_minute: u32,
    /// Whether passports of messages are recorded.
    pub message_tracking_log_enabled: bool,
    /// How long passports are kept; zero: until there is no room.
    pub message_tracking_log_max_age: Duration,
    /// Bytes of passports.
    pub message_tracking_log_max_directory_size: u64,
    /// Whether passports hold subjects.
    pub message_tracking_log_subject_logging_enabled: bool,
    /// Whether passports hold addresses; if not, tokens stand for them.
    pub message_tracking_log_address_logging_enabled: bool,
}

impl Default for TrackingSettings {
    fn default() -> Self {
        TrackingSettings {
            ids_in_replies: true,
            messages_max_size: 64 << 20,
            refusals_max_size: 64 << 20,
            refusals_per_source_per_minute: 60,
            message_tracking_log_enabled: true,
            message_tracking_log_max_age: Duration::from_secs(30 * 24 * 3_600),
            message_tracking_log_max_directory_size: 1_000 << 20,
            message_tracking_log_subject_logging_enabled: true,
            message_tracking_log_address_logging_enabled: true,
        }
    }
}

/// `[revisions]`: how much of the history of settings is kept. The newest revision always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevisionSettings {
    /// So many revisions.
    pub max_count: u64,
    /// What was in force so long ago and since; zero: however long.
    pub max_age: Duration,
    /// So many bytes of them.
    pub max_size: u64,
}

impl Default for RevisionSettings {
    fn default() -> Self {
        RevisionSettings { max_count: 1_000, max_age: Duration::ZERO, max_size: 256 << 20 }
    }
}

/// Where names are looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsSettings {
    /// Asked in this order; empty: those of the operating system.
    pub external_dns_servers: Vec<SocketAddr>,
    /// How they are asked.
    pub external_dns_protocol_option: DnsProtocolOption,
    /// Asked instead of those by send connectors that do not say `use_external_dns_servers_enabled`; empty: there are none.
    pub internal_dns_servers: Vec<SocketAddr>,
    /// How they are asked.
    pub internal_dns_protocol_option: DnsProtocolOption,
    /// Whether half an answer will do.
    pub dns_fault_tolerance: DnsFaultTolerance,
}

/// How name servers are asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DnsProtocolOption {
    /// Over UDP, and over TCP where an answer is too long for it.
    #[default]
    Any,
    /// Over TCP alone.
    UseTcpOnly,
    /// Over UDP alone: what is too long is a failure.
    UseUdpOnly,
}

/// What is done where name servers answer for one family of addresses and fail for the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DnsFaultTolerance {
    /// The addresses that are there will do: many servers fail at AAAA alone.
    #[default]
    Lenient,
    /// The mail waits.
    Normal,
}

/// An argon2 hash in PHC form. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Box<str>);

impl PasswordHash {
    /// Takes a hash that begins as one (`$argon2id$`, also `$argon2i$` and `$argon2d$`); whether it is whole, the
    /// verifier finds out.
    pub fn new(text: &str) -> Option<PasswordHash> {
        let argon2 = ["$argon2id$", "$argon2i$", "$argon2d$"].iter().any(|prefix| text.starts_with(prefix));
        (argon2 && text.len() <= 1024 && text.bytes().all(|b| b.is_ascii_graphic())).then(|| PasswordHash(text.into()))
    }

    /// The hash, for the verifier alone.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `(set)`.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(set)")
    }
}

/// One `[[user]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Unique, case ignored; 1 to 64 characters.
    pub name: Arc<str>,
    /// The addresses that the user may send as.
    pub addresses: Vec<Mailbox>,
    /// The groups of users that the user belongs to.
    pub groups: Vec<Arc<str>>,
    /// Where it stands in the document; other passwords are in the data folder.
    pub password: Option<PasswordHash>,
    /// Where its name stands in the settings document, in bytes.
    pub span: Range<usize>,
}

impl User {
    /// Whether `address` is one of the user's.
    pub fn owns(&self, address: &Mailbox) -> bool {
        self.addresses.iter().any(|own| own.is_same_mailbox(address))
    }
}

/// Everything that is declared, with what follows from it ready to be looked up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[server]`.
    pub server: ServerSettings,
    /// `[tls]`; without it the server makes its own certificate.
    pub tls: Option<TlsFiles>,
    /// `[[certificate]]`: others, for connectors that want one of them.
    pub certificates: Vec<TlsFiles>,
    /// `[tls] trusted_roots`, PEM; without it the roots of the operating system are trusted. As written.
    pub trusted_roots: Option<PathBuf>,
    /// `[[trusted_server]]`.
    pub trusted_servers: Vec<TrustedServer>,
    /// `[transport]`, but for [`Settings::retry`] and [`Settings::dns`].
    pub transport: TransportSettings,
    /// Retry intervals and expiry.
    pub retry: Schedule,
    /// `[reports]`, `[notices]`, and `delay_notification_timeout` of `[transport]`.
    pub reports: ReportSettings,
    /// Name servers.
    pub dns: DnsSettings,
    /// `[tracking]`.
    pub tracking: TrackingSettings,
    /// `[revisions]`.
    pub revisions: RevisionSettings,
    /// `[tracking]`: protocol transcripts.
    pub protocol_logs: ProtocolLogs,
    /// `[back_pressure]`.
    pub back_pressure: BackPressureSettings,
    /// `[metrics]`, `[opentelemetry]` and `[alarms]`.
    pub monitoring: Monitoring,
    /// `[management]`.
    pub management: ManagementSettings,
    /// `[[accepted_domain]]`, as declared; [`Settings::domains`] looks them up.
    pub accepted_domains: Vec<AcceptedDomain>,
    /// `[[user]]`; [`Settings::find_user`] looks them up.
    pub users: Vec<Arc<User>>,
    /// `[[receive_connector]]`, enabled or not; [`Settings::select`] selects one.
    pub receive_connectors: Vec<Arc<ReceiveConnector>>,
    /// `[[send_connector]]`, enabled or not; `route::select` selects one.
    pub send_connectors: Vec<Arc<SendConnector>>,
    /// `[mailbox_delivery]`, and what accepted domains say instead.
    pub mailbox_delivery: MailboxDelivery,
    /// `[[remote_domain]]`; see [`crate::remote_domain::find`].
    pub remote_domains: RemoteDomains,
    /// `[[assert]]`; see `safeguard`.
    pub assertions: Vec<Assertion>,
    /// Accepted domains by name.
    pub domains: AcceptedDomains,
    /// `[[mailbox]]`, `[[contact]]` and `[[distribution_group]]`, by address.
    pub directory: Directory,
    /// Receive connectors by local and remote address.
    pub selector: Selector,
    /// Send connectors by address space.
    pub address_spaces: AddressSpaces,
    /// What is no error but worth a look.
    pub warnings: Vec<Problem>,
    user_names: HashMap<Box<str>, usize>,
    user_addresses: HashMap<Box<str>, Option<usize>>,
}

impl Settings {
    /// The connector of a connection; see [`receive_connector::select`].
    pub fn select(&self, local: SocketAddr, peer: std::net::IpAddr, now_ms: u64) -> Option<&Arc<ReceiveConnector>> {
        receive_connector::select(&self.selector, local, peer, now_ms)
    }

    /// The sockets to listen on; see [`receive_connector::listeners`].
    pub fn listeners(&self) -> Vec<Listener> {
        receive_connector::listeners(&self.receive_connectors)
    }

    /// The user of a name as it is given to AUTH: the declared name in any case, with or without a Windows domain before
    /// it (`CONTOSO\alice`), or an address that belongs to exactly one user.
    pub fn find_user(&self, name: &str) -> Option<&Arc<User>> {
        let place = self.user_names.get(name.to_lowercase().as_str()).copied();
        let account =
            || name.rsplit_once('\\').and_then(|(_, account)| self.user_names.get(account.to_lowercase().as_str()));
        let place = place.or_else(|| account().copied()).or_else(|| {
            let address = Mailbox::parse(name).ok()?;
            *self.user_addresses.get(address.key().as_str())?
        });
        place.map(|place| &self.users[place])
    }

    /// The recipient that a forward-path names: `<Postmaster>` gets the default domain, or the server's name where
    /// there is none.
    pub fn recipient(&self, forward_path: &ForwardPath) -> Mailbox {
        match forward_path {
            ForwardPath::Mailbox(mailbox) => mailbox.clone(),
            ForwardPath::Postmaster => self.default_postmaster(),
        }
    }

    /// The sender that reports name in their From field.
    pub fn postmaster(&self) -> Mailbox {
        self.transport.external_postmaster_address.clone().unwrap_or_else(|| self.default_postmaster())
    }

    /// The longest that anything ever waits for its next attempt, by any route.
    pub fn retry_wait_max(&self) -> Duration {
        let own = self.send_connectors.iter().map(|connector| retry::wait_max(&connector.retry.over(&self.retry)));
        own.fold(retry::wait_max(&self.retry), Duration::max)
    }

    /// The send connector of this name, in any case of its letters.
    pub fn send_connector(&self, name: &str) -> Option<&Arc<SendConnector>> {
        self.send_connectors.iter().find(|connector| connector.name.eq_ignore_ascii_case(name))
    }

    /// Whether mail to this address is delivered into a mailbox here.
    pub fn is_local_mailbox(&self, address: &Mailbox) -> bool {
        self.directory.resolve(address, &self.domains).is_some_and(|found| found.recipient.mailbox().is_some())
    }

    fn default_postmaster(&self) -> Mailbox {
        let domain = self.domains.default_domain().unwrap_or(&self.server.name).clone();
        Mailbox::new("postmaster", domain).expect("postmaster is a legal local part")
    }
}
