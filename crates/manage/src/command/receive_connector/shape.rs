//! What a receive connector looks like to administrators: Exchange's properties in Exchange's order (fact sheet section 1.3),
//! then those that Exchange does not have.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use gatepost_mail::Domain;
use gatepost_policy::note::instant;
use gatepost_policy::permission::PermissionGroup;
use gatepost_policy::read_back::read_back;
use gatepost_policy::receive_connector::{
    Mechanism, MessageRateSource, ProtocolLoggingLevel, ReceiveConnector, SizeEnabled,
};
use gatepost_policy::repair::Part;
use gatepost_shell::value::View;
use serde_json::Value as Json;

use super::super::server::short_name;
use crate::age::Age;
use crate::object::PropertyKind::{
    Binding, Bool, Choice, Flags, Identity, Int, List, Range, Size, Span, Text, Time, Unlimited, UtcTime,
};
use crate::object::{Property, Record, Shape, Usual, property};

/// Every mechanism, and none.
pub(super) const MECHANISMS: &[&str] = &[
    "None",
    Mechanism::Tls.exchange_name(),
    Mechanism::Integrated.exchange_name(),
    Mechanism::BasicAuth.exchange_name(),
    Mechanism::BasicAuthRequireTls.exchange_name(),
    Mechanism::ExchangeServer.exchange_name(),
    Mechanism::ExternalAuthoritative.exchange_name(),
];
/// Every group, none, and what is read back where there is more than groups.
pub(super) const GROUPS: &[&str] = &[
    "None",
    PermissionGroup::AnonymousUsers.exchange_name(),
    PermissionGroup::ExchangeUsers.exchange_name(),
    PermissionGroup::ExchangeServers.exchange_name(),
    PermissionGroup::ExchangeLegacyServers.exchange_name(),
    PermissionGroup::Partners.exchange_name(),
    "Custom",
];
pub(super) const RATE_SOURCES: &[&str] = &["None", "User", "IPAddress", "All"];
pub(super) const LOGGING_LEVELS: &[&str] = &["None", "Verbose"];
pub(super) const SIZE_MODES: &[&str] = &["Enabled", "Disabled", "EnabledWithoutValue"];
pub(super) const TRANSPORT_ROLES: &[&str] = &["FrontendTransport", "HubTransport"];
pub(super) const PROTECTION_POLICIES: &[&str] = &["None", "Allow", "Require"];
pub(super) const REPAIRS: &[&str] = &[Part::Senders.name(), Part::Date.name()];

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.SystemConfiguration.ReceiveConnector",
    table: &["Identity", "Bindings", "Enabled"],
    identity: "Identity",
};

/// A receive connector.
pub static SHAPE: Shape = Shape { name: "ReceiveConnector", view: &VIEW, properties: PROPERTIES };

const NOTHING: Usual = Usual::Null;
const YES: Usual = Usual::Bool(true);
const NO: Usual = Usual::Bool(false);

const PROPERTIES: &[Property] = &[
    property("AuthMechanism", "auth_mechanism", Flags(MECHANISMS), Usual::Texts(&["Tls"])),
    property("Banner", "banner", Text, NOTHING),
    property("BinaryMimeEnabled", "binary_mime_enabled", Bool, YES),
    property("Bindings", "bindings", List(&Binding), Usual::Texts(&[])),
    property("ChunkingEnabled", "chunking_enabled", Bool, YES),
    property("DefaultDomain", "default_domain", Text, NOTHING),
    property("DeliveryStatusNotificationEnabled", "delivery_status_notification_enabled", Bool, YES),
    property("EightBitMimeEnabled", "eight_bit_mime_enabled", Bool, YES),
    property("SmtpUtf8Enabled", "smtp_utf8_enabled", Bool, YES),
    property("BareLinefeedRejectionEnabled", "bare_linefeed_rejection_enabled", Bool, NO),
    property("DomainSecureEnabled", "domain_secure_enabled", Bool, NO),
    property("EnhancedStatusCodesEnabled", "enhanced_status_codes_enabled", Bool, YES),
    property("LongAddressesEnabled", "long_addresses_enabled", Bool, NO),
    property("OrarEnabled", "orar_enabled", Bool, NO),
    property("SuppressXAnonymousTls", "suppress_x_anonymous_tls", Bool, NO),
    property("ProxyEnabled", "proxy_enabled", Bool, NO),
    property("AdvertiseClientSettings", "advertise_client_settings", Bool, NO),
    property("Fqdn", "fqdn", Text, NOTHING),
    property("ServiceDiscoveryFqdn", "service_discovery_fqdn", Text, NOTHING),
    property("TlsCertificateName", "tls_certificate_name", Text, NOTHING),
    property("Comment", "comment", Text, Usual::Text("")),
    property("Enabled", "enabled", Bool, YES),
    property("ConnectionTimeout", "connection_timeout", Span, Usual::Text("00:10:00")),
    property("ConnectionInactivityTimeout", "connection_inactivity_timeout", Span, Usual::Text("00:05:00")),
    property("MessageRateLimit", "message_rate_limit", Unlimited(&Int), Usual::Text("unlimited")),
    property("MessageRateSource", "message_rate_source", Choice(RATE_SOURCES), Usual::Text("IPAddress")),
    property("MaxInboundConnection", "max_inbound_connection", Unlimited(&Int), Usual::Int(5000)),
    property("MaxInboundConnectionPerSource", "max_inbound_connection_per_source", Unlimited(&Int), Usual::Int(20)),
    property(
        "MaxInboundConnectionPercentagePerSource",
        "max_inbound_connection_percentage_per_source",
        Int,
        Usual::Int(2),
    ),
    property("MaxHeaderSize", "max_header_size", Size, Usual::Int(256 << 10)),
    property("MaxHopCount", "max_hop_count", Int, Usual::Int(60)),
    property("MaxLocalHopCount", "max_local_hop_count", Int, Usual::Int(5)),
    property("MaxLogonFailures", "max_logon_failures", Int, Usual::Int(3)),
    property("MaxMessageSize", "max_message_size", Size, Usual::Int(36 << 20)),
    property("MaxProtocolErrors", "max_protocol_errors", Unlimited(&Int), Usual::Int(5)),
    property("MaxRecipientsPerMessage", "max_recipients_per_message", Int, Usual::Int(200)),
    property("PermissionGroups", "permission_groups", Flags(GROUPS), Usual::Texts(&["None"])),
    property("PipeliningEnabled", "pipelining_enabled", Bool, YES),
    property("ProtocolLoggingLevel", "protocol_logging_level", Choice(LOGGING_LEVELS), Usual::Text("None")),
    property("RemoteIPRanges", "remote_ip_ranges", List(&Range), Usual::Texts(&[])),
    property("RequireEHLODomain", "require_ehlo_domain", Bool, NO),
    property("RequireTLS", "require_tls", Bool, NO),
    property("EnableAuthGSSAPI", "enable_auth_gssapi", Bool, NO),
    property(
        "ExtendedProtectionPolicy",
        "extended_protection_policy",
        Choice(PROTECTION_POLICIES),
        Usual::Text("None"),
    ),
    property("LiveCredentialEnabled", "live_credential_enabled", Bool, NO),
    property("TlsDomainCapabilities", "tls_domain_capabilities", List(&Text), Usual::Texts(&[])),
    property("Server", "server", Identity, NOTHING),
    property("TransportRole", "transport_role", Choice(TRANSPORT_ROLES), Usual::Text("FrontendTransport")),
    property("RejectReservedTopLevelRecipientDomains", "reject_reserved_top_level_recipient_domains", Bool, NO),
    property("RejectReservedSecondLevelRecipientDomains", "reject_reserved_second_level_recipient_domains", Bool, NO),
    property("RejectSingleLabelRecipientDomains", "reject_single_label_recipient_domains", Bool, NO),
    property("AcceptConsumerMail", "accept_consumer_mail", Bool, NO),
    property("SizeEnabled", "size_enabled", Choice(SIZE_MODES), Usual::Text("Enabled")),
    property("TarpitInterval", "tarpit_interval", Span, Usual::Text("00:00:05")),
    property("AuthTarpitInterval", "auth_tarpit_interval", Span, Usual::Text("00:00:05")),
    property("MaxAcknowledgementDelay", "max_acknowledgement_delay", Span, Usual::Text("00:00:30")),
    property("AdminDisplayName", "admin_display_name", Text, Usual::Text("")),
    property("ExchangeVersion", "exchange_version", Text, Usual::Text("0.1 (8.0.535.0)")),
    property("Name", "name", Text, NOTHING),
    property("DistinguishedName", "distinguished_name", Text, NOTHING),
    property("Identity", "identity", Identity, NOTHING),
    property("Guid", "guid", Text, NOTHING),
    property("ObjectCategory", "object_category", Text, Usual::Text("ms-Exch-Smtp-Receive-Connector")),
    property("ObjectClass", "object_class", List(&Text), Usual::Texts(&["top", "msExchSmtpReceiveConnector"])),
    property("WhenChanged", "when_changed", Time, NOTHING),
    property("WhenCreated", "when_created", Time, NOTHING),
    property("WhenChangedUTC", "when_changed_utc", UtcTime, NOTHING),
    property("WhenCreatedUTC", "when_created_utc", UtcTime, NOTHING),
    property("OrganizationId", "organization_id", Text, Usual::Text("")),
    property("Id", "id", Identity, NOTHING),
    property("OriginatingServer", "originating_server", Text, NOTHING),
    property("IsValid", "is_valid", Bool, YES),
    property("ObjectState", "object_state", Text, Usual::Text("Unchanged")),
    property("ImplicitTls", "implicit_tls", Bool, NO),
    property("Repair", "repair", List(&Choice(REPAIRS)), Usual::Texts(&[])),
    property("AcceptRisk", "accept_risk", Text, NOTHING),
];

/// `connector` of the server of this name; `age` as far as the history knows it.
pub fn record(server: &Domain, connector: &ReceiveConnector, age: Option<Age>) -> Record {
    let created = age.map(|age| instant(age.created_ms));
    let changed = age.map(|age| instant(age.changed_ms));
    let identity = identity(server, &connector.name);
    let dn = distinguished_name(server, &connector.name);
    let texts = |texts: Vec<String>| Json::from(texts);
    Record::of(&SHAPE)
        .with("AuthMechanism", names(connector.auth_mechanism.iter().map(Mechanism::exchange_name)))
        .with("Banner", connector.banner.clone())
        .with("BinaryMimeEnabled", connector.binary_mime_enabled)
        .with("Bindings", texts(connector.bindings.iter().map(|binding| binding.address.to_string()).collect()))
        .with("ChunkingEnabled", connector.chunking_enabled)
        .with("DefaultDomain", connector.default_domain.as_ref().map(Domain::to_string))
        .with("DeliveryStatusNotificationEnabled", connector.delivery_status_notification_enabled)
        .with("EightBitMimeEnabled", connector.eight_bit_mime_enabled)
        .with("SmtpUtf8Enabled", connector.smtp_utf8_enabled)
        .with("BareLinefeedRejectionEnabled", connector.bare_linefeed_rejection_enabled)
        .with("DomainSecureEnabled", connector.domain_secure_enabled)
        .with("EnhancedStatusCodesEnabled", connector.enhanced_status_codes_enabled)
        .with("LongAddressesEnabled", connector.long_addresses_enabled)
        .with("Fqdn", connector.fqdn.as_str())
        .with("TlsCertificateName", connector.tls_certificate_name.as_ref().map(|name| name.to_string()))
        .with("Comment", connector.comment.as_str())
        .with("Enabled", connector.enabled)
        .with("ConnectionTimeout", span(connector.connection_timeout))
        .with("ConnectionInactivityTimeout", span(connector.connection_inactivity_timeout))
        .with("MessageRateLimit", unlimited(connector.message_rate_limit))
        .with("MessageRateSource", rate_source(connector.message_rate_source))
        .with("MaxInboundConnection", unlimited(connector.max_inbound_connection))
        .with("MaxInboundConnectionPerSource", unlimited(connector.max_inbound_connection_per_source))
        .with("MaxInboundConnectionPercentagePerSource", connector.max_inbound_connection_percentage_per_source)
        .with("MaxHeaderSize", connector.max_header_size)
        .with("MaxHopCount", connector.max_hop_count)
        .with("MaxLocalHopCount", connector.max_local_hop_count)
        .with("MaxLogonFailures", connector.max_logon_failures)
        .with("MaxMessageSize", connector.max_message_size)
        .with("MaxProtocolErrors", unlimited(connector.max_protocol_errors))
        .with("MaxRecipientsPerMessage", connector.max_recipients_per_message)
        .with("PermissionGroups", names(read_back(&connector.entries).names().into_iter()))
        .with("PipeliningEnabled", connector.pipelining_enabled)
        .with("ProtocolLoggingLevel", logging_level(connector.protocol_logging_level))
        .with("RemoteIPRanges", texts(connector.remote_ip_ranges.iter().map(|range| range.to_string()).collect()))
        .with("RequireEHLODomain", connector.require_ehlo_domain)
        .with("RequireTLS", connector.require_tls)
        .with("Server", short_name(server))
        .with("RejectReservedTopLevelRecipientDomains", connector.reject_reserved_top_level_recipient_domains)
        .with("RejectReservedSecondLevelRecipientDomains", connector.reject_reserved_second_level_recipient_domains)
        .with("RejectSingleLabelRecipientDomains", connector.reject_single_label_recipient_domains)
        .with("SizeEnabled", size_mode(connector.size_enabled))
        .with("TarpitInterval", span(connector.tarpit_interval))
        .with("AuthTarpitInterval", span(connector.auth_tarpit_interval))
        .with("Name", &*connector.name)
        .with("Guid", guid(&dn))
        .with("DistinguishedName", dn)
        .with("WhenChanged", changed.clone())
        .with("WhenCreated", created.clone())
        .with("WhenChangedUTC", changed)
        .with("WhenCreatedUTC", created)
        .with("Id", identity.as_str())
        .with("Identity", identity)
        .with("OriginatingServer", server.as_str())
        .with("ImplicitTls", connector.implicit_tls)
        .with("Repair", texts(repairs(connector)))
        .with("AcceptRisk", connector.accept_risk.as_ref().map(|risk| &*risk.reason))
}

/// `SERVER\Name`.
pub fn identity(server: &Domain, name: &str) -> String {
    format!("{}\\{name}", short_name(server))
}

/// The name that a directory would give it.
pub fn distinguished_name(server: &Domain, name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for character in name.chars() {
        if r#",\#+<>;"="#.contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    format!("CN={escaped},CN=SMTP Receive Connectors,CN=Protocols,CN={}", short_name(server))
}

/// A number that stays the same while server and connector keep their names: nothing else tells a connector from others.
pub fn guid(distinguished_name: &str) -> String {
    let hash = digest(&SHA256, distinguished_name.to_lowercase().as_bytes());
    let mut bytes: [u8; 16] = std::array::from_fn(|place| hash.as_ref()[place]);
    // What RFC 9562 section 5.8 leaves to everybody's own way of making them: version 8, variant 10.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = u128::from_be_bytes(bytes);
    let (one, two, three, four) = (hex >> 96, hex >> 80 & 0xffff, hex >> 64 & 0xffff, hex >> 48 & 0xffff);
    format!("{one:08x}-{two:04x}-{three:04x}-{four:04x}-{:012x}", hex & 0xffff_ffff_ffff)
}

/// `None` alone where there is no flag.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> Json {
    let names: Vec<Json> = names.map(Json::from).collect();
    if names.is_empty() { vec![Json::from("None")].into() } else { names.into() }
}

pub(super) fn unlimited(number: Option<u32>) -> Json {
    number.map_or_else(|| "unlimited".into(), Json::from)
}

/// `[d.]hh:mm:ss`.
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let time = format!("{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    if days == 0 { time } else { format!("{days}.{time}") }
}

fn rate_source(source: MessageRateSource) -> &'static str {
    match source {
        MessageRateSource::None => "None",
        MessageRateSource::User => "User",
        MessageRateSource::IpAddress => "IPAddress",
        MessageRateSource::All => "All",
    }
}

fn logging_level(level: ProtocolLoggingLevel) -> &'static str {
    match level {
        ProtocolLoggingLevel::None => "None",
        ProtocolLoggingLevel::Verbose => "Verbose",
    }
}

fn size_mode(mode: SizeEnabled) -> &'static str {
    match mode {
        SizeEnabled::Enabled => "Enabled",
        SizeEnabled::Disabled => "Disabled",
        SizeEnabled::EnabledWithoutValue => "EnabledWithoutValue",
    }
}

pub(super) fn repairs(connector: &ReceiveConnector) -> Vec<String> {
    let wanted = connector.repair;
    let parts = [(wanted.senders, Part::Senders), (wanted.date, Part::Date)];
    parts.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, part)| part.name().to_owned()).collect()
}
