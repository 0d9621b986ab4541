//! Reads `[mailbox_delivery]`, and `mailbox_delivery` of `[[accepted_domain]]`, which has the same keys.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::Domain;
use toml::de::{DeTable, DeValue};

use super::reader::{Collector, Fields, Wrong, shown};
use super::receive_connectors::LOGGING_LEVELS;
use super::{send_tls, values};
use crate::error_policy::ErrorPolicies;
use crate::exchangers::AddressScope;
use crate::mailbox_delivery::{Delivery, NAME};
use crate::retry::Overrides;
use crate::send_connector::{
    Host, MailboxProtocol, SendConnector, SmartHost, SmartHostAuthMechanism, SmartHostsOrder, SourceAddresses, Sources,
    Usage,
};

/// LMTP has no port of its own; this is the one that servers of mailboxes are given (RFC 2033 section 4.3 forbids 25).
const LMTP_PORT: u16 = 24;
const SMTP_PORT: u16 = 25;
const PROTOCOLS: &[(&str, Option<MailboxProtocol>)] =
    &[("Maildir", None), ("LMTP", Some(MailboxProtocol::Lmtp)), ("SMTP", Some(MailboxProtocol::Smtp))];
const HOSTS: &str =
    "write where it listens: hosts = [\"/run/dovecot/lmtp\"], a socket of this machine, or [\"mail.contoso.com:24\"]";

/// What the ways to all mailbox servers have in common.
#[derive(Clone, Copy)]
pub(super) struct Common<'a> {
    pub server_name: &'a Domain,
    /// `mailbox_delivery_queue_retry_interval` of `[transport]`.
    pub retry_interval: Duration,
}

/// `[mailbox_delivery]`.
pub(super) fn read<'t>(
    collector: &mut Collector<'t>,
    table: Option<(&DeTable<'t>, Range<usize>)>,
    common: Common<'_>,
) -> Delivery {
    let (table, span) = table?;
    one(Fields::new(collector, "[mailbox_delivery]", table, span), NAME, common)
}

/// That of each accepted domain which has one, with the place of the domain's table.
pub(super) fn read_differing<'t>(
    collector: &mut Collector<'t>,
    domains: &[(&DeTable<'t>, Range<usize>)],
    common: Common<'_>,
) -> Vec<(usize, Delivery)> {
    let mut differing = Vec::new();
    for (place, (table, _)) in domains.iter().enumerate() {
        let Some(value) = table.get("mailbox_delivery") else { continue };
        let Some(inner) = value.get_ref().as_table() else {
            let remedy = "write mailbox_delivery = { protocol = \"LMTP\", hosts = [\"/run/dovecot/lmtp\"] }";
            collector.error(value.span(), "`mailbox_delivery` is a table", remedy);
            continue;
        };
        let domain = table.get("name").and_then(|name| name.get_ref().as_str()).unwrap_or_default();
        let name = format!("{NAME} ({})", shown(domain));
        let fields = Fields::new(collector, "[accepted_domain.mailbox_delivery]", inner, value.span());
        differing.push((place, one(fields, &name, common)));
    }
    differing
}

fn one(mut fields: Fields<'_, '_, '_>, name: &str, common: Common<'_>) -> Delivery {
    let protocol = fields.optional("protocol", values::choice(PROTOCOLS)).flatten();
    let port = if protocol == Some(MailboxProtocol::Smtp) { SMTP_PORT } else { LMTP_PORT };
    let hosts = fields.list("hosts", |value, _| host(value, port));
    let require_tls = fields.optional("require_tls", values::boolean).unwrap_or(false);
    // Without a domain DomainValidation asks for the host that is written.
    let (tls_auth_level, tls_domain) = (send_tls::level(&mut fields), send_tls::domain(&mut fields));
    let logging = fields.optional("protocol_logging_level", values::choice(LOGGING_LEVELS)).unwrap_or_default();
    let hosts: Arc<[SmartHost]> = hosts.unwrap_or_default().into_iter().map(|(host, _)| host).collect();
    let span = fields.span_of("protocol");
    if protocol.is_none() && !fields.is_bad("protocol") {
        for key in ["hosts", "require_tls", "tls_auth_level", "tls_domain", "protocol_logging_level"] {
            if fields.is_given(key) {
                let message = format!("`{key}`: a Maildir is a folder here, nobody is asked");
                fields.error_at(key, message, "remove it, or write protocol = \"LMTP\" or \"SMTP\"");
            }
        }
    } else if hosts.is_empty() {
        fields.lacks("hosts", HOSTS);
    } else if require_tls && hosts.iter().any(|host| matches!(host.host, Host::Socket(_))) {
        fields.error_at(
            "require_tls",
            "`require_tls`: on a socket of this machine there is no TLS, and nobody to hide from",
            "remove it, or write a host with a port",
        );
    }
    if protocol.is_some() {
        send_tls::check_level(&mut fields, require_tls, tls_auth_level, tls_domain.as_deref());
    }
    fields.finish(&[]);
    let interval = Some(common.retry_interval);
    protocol.filter(|_| !hosts.is_empty()).map(|protocol| {
        Arc::new(SendConnector {
            name: name.into(),
            comment: String::new(),
            enabled: true,
            address_spaces: Vec::new(),
            sources: Sources::default(),
            linked_receive_connector: None,
            fallback_connector: None,
            retry: Overrides {
                queue_glitch_retry_count: Some(0),
                transient_failure_retry_count: Some(0),
                outbound_connection_failure_retry_interval: interval,
                ..Overrides::default()
            },
            mailbox_protocol: Some(protocol),
            convert_8bit_mime: false,
            mx_address_scope: AddressScope::default(),
            smart_hosts: hosts,
            smart_hosts_order: SmartHostsOrder::Balanced,
            use_external_dns_servers_enabled: false,
            source_ip_address: SourceAddresses::default(),
            force_helo: false,
            implicit_tls: false,
            tls_auth_level,
            tls_domain,
            domain_secure_enabled: false,
            max_connections: None,
            messages_per_minute: None,
            error_policies: ErrorPolicies::default(),
            logon: None,
            usage: Usage::Internal,
            dns_routing_enabled: false,
            port,
            fqdn: common.server_name.clone(),
            require_tls,
            tls_certificate_name: None,
            ignore_starttls: false,
            max_message_size: None,
            smtp_max_messages_per_connection: 100,
            connection_inactivity_timeout: Duration::from_secs(10 * 60),
            smart_host_auth_mechanism: SmartHostAuthMechanism::None,
            entries: Vec::new(),
            masquerade: None,
            protocol_logging_level: logging,
            span,
        })
    })
}

/// A path of a socket, or a host as smart hosts are written.
fn host(value: &DeValue<'_>, port: u16) -> Result<SmartHost, Wrong> {
    let text = values::string(value)?.trim();
    let path = text.strip_prefix("unix:").unwrap_or(text);
    if path.starts_with('/') {
        if path.len() > SOCKET_BYTES_MAX || path.contains('\0') {
            let message =
                format!("`{}` is no path of a socket: those have at most {SOCKET_BYTES_MAX} bytes", shown(path));
            return Err(Wrong::new(message, "write a shorter path, or make a link"));
        }
        return Ok(SmartHost { host: Host::Socket(Arc::from(Path::new(path))), port: 0 });
    }
    if path != text {
        let message = format!("`{}` is no absolute path", shown(text));
        return Err(Wrong::new(message, "write \"/run/dovecot/lmtp\""));
    }
    values::smart_host(value).map(|host| values::with_port(host, port))
}

/// The system takes no longer ones.
const SOCKET_BYTES_MAX: usize = 107;
