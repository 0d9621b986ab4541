//! What a send connector looks like to administrators: Exchange's properties in Exchange's order (fact sheet section 4.4), then
//! those that Exchange does not have.

use gatepost_mail::Domain;
use gatepost_policy::error_policy::ErrorPolicies;
use gatepost_policy::exchangers::AddressScope;
use gatepost_policy::logon::{Logon, LogonMechanism, PasswordPlace};
use gatepost_policy::masquerade::Masquerade;
use gatepost_policy::send_connector::{
    Host, ProtocolLoggingLevel, SendConnector, SmartHost, SmartHostAuthMechanism, SmartHostsOrder, TlsAuthLevel, Usage,
};
use gatepost_shell::value::View;
use serde_json::Value as Json;

use super::super::receive_connector::span;
use crate::object::PropertyKind::{Bool, Choice, Flags, Identity, Int, List, Size, Span, Text, Unlimited};
use crate::object::{Record, Shape, Usual, property};

/// The labels of `-Usage`, each a switch, too.
pub(super) const USAGES: &[&str] = &["Custom", "Internal", "Internet", "Partner"];
pub(super) const TLS_LEVELS: &[&str] = &["EncryptionOnly", "CertificateValidation", "DomainValidation"];
pub(super) const ERROR_POLICIES: &[&str] =
    &["Default", "DowngradeDnsFailures", "DowngradeCustomFailures", "UpgradeCustomFailures"];
pub(super) const LOGGING_LEVELS: &[&str] = &["None", "Verbose"];
pub(super) const MECHANISMS: &[&str] = &["None", "BasicAuth", "BasicAuthRequireTLS", "ExternalAuthoritative"];
pub(super) const ORDERS: &[&str] = &["Balanced", "Ordered"];
pub(super) const SCOPES: &[&str] = &["Any", "Public"];

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.SystemConfiguration.SmtpSendConnectorConfig",
    table: &["Identity", "AddressSpaces", "Enabled"],
    identity: "Identity",
};

const NOTHING: Usual = Usual::Null;
const NO: Usual = Usual::Bool(false);
const NONE: Usual = Usual::Texts(&[]);

/// A send connector: Exchange's properties in its order, then those that it does not have.
pub static SHAPE: Shape = Shape {
    name: "SendConnector",
    view: &VIEW,
    properties: &[
        property("DNSRoutingEnabled", "dns_routing_enabled", Bool, Usual::Bool(true)),
        property("TlsDomain", "tls_domain", Text, NOTHING),
        property("TlsAuthLevel", "tls_auth_level", Choice(TLS_LEVELS), NOTHING),
        property("ErrorPolicies", "error_policies", Flags(ERROR_POLICIES), Usual::Texts(&["Default"])),
        property("SmartHosts", "smart_hosts", List(&Text), NONE),
        property("Port", "port", Int, Usual::Int(25)),
        property("ConnectionInactivityTimeOut", "connection_inactivity_timeout", Span, NOTHING),
        property("ForceHELO", "force_helo", Bool, NO),
        property("FrontendProxyEnabled", "frontend_proxy_enabled", Bool, NO),
        property("IgnoreSTARTTLS", "ignore_starttls", Bool, NO),
        property("CloudServicesMailEnabled", "cloud_services_mail_enabled", Bool, NO),
        property("Fqdn", "fqdn", Text, NOTHING),
        property("TlsCertificateName", "tls_certificate_name", Text, NOTHING),
        property("RequireTLS", "require_tls", Bool, NO),
        property("RequireOorg", "require_oorg", Bool, NO),
        property("Enabled", "enabled", Bool, Usual::Bool(true)),
        property("ProtocolLoggingLevel", "protocol_logging_level", Choice(LOGGING_LEVELS), Usual::Text("None")),
        property("SmartHostAuthMechanism", "smart_host_auth_mechanism", Choice(MECHANISMS), Usual::Text("None")),
        property("UseExternalDNSServersEnabled", "use_external_dns_servers_enabled", Bool, NO),
        property("DomainSecureEnabled", "domain_secure_enabled", Bool, NO),
        property("SourceIPAddress", "source_ip_address", List(&Text), NONE),
        property("SmtpMaxMessagesPerConnection", "smtp_max_messages_per_connection", Int, NOTHING),
        property("ConnectorType", "connector_type", Text, Usual::Text("Default")),
        property("SmartHostsString", "smart_hosts_string", Text, NOTHING),
        property("AddressSpaces", "address_spaces", List(&Text), NONE),
        property("LinkedReceiveConnector", "linked_receive_connector", Text, NOTHING),
        property("IsScopedConnector", "is_scoped_connector", Bool, NO),
        property("IsSmtpConnector", "is_smtp_connector", Bool, Usual::Bool(true)),
        property("Comment", "comment", Text, NOTHING),
        property("SourceTransportServers", "source_transport_servers", List(&Text), NONE),
        property("MaxMessageSize", "max_message_size", Unlimited(&Size), NOTHING),
        property("IsCoexistenceConnector", "is_coexistence_connector", Bool, NO),
        property("Usage", "usage", Choice(USAGES), Usual::Text("Custom")),
        property("SmartHostsOrder", "smart_hosts_order", Choice(ORDERS), Usual::Text("Balanced")),
        property("AuthenticationUser", "authentication_user", Text, NOTHING),
        property("AuthenticationPasswordFile", "authentication_password_file", Text, NOTHING),
        property("AuthenticationPasswordEnv", "authentication_password_env", Text, NOTHING),
        property("AuthenticationMechanisms", "authentication_mechanisms", List(&Text), NONE),
        property("DowngradeCodes", "downgrade_codes", List(&Text), NONE),
        property("UpgradeCodes", "upgrade_codes", List(&Text), NONE),
        property("SourceReceiveConnectors", "source_receive_connectors", List(&Text), NONE),
        property("SourceSenderDomains", "source_sender_domains", List(&Text), NONE),
        property("FallbackConnector", "fallback_connector", Text, NOTHING),
        property("ImplicitTLS", "implicit_tls", Bool, NO),
        property("Convert8BitMime", "convert_8bit_mime", Bool, NO),
        property("MxAddressScope", "mx_address_scope", Choice(SCOPES), Usual::Text("Any")),
        property("MasqueradeDomains", "masquerade_domains", List(&Text), NONE),
        property("MasqueradeAs", "masquerade_as", Text, NOTHING),
        property("MaxConnections", "max_connections", Unlimited(&Int), Usual::Text("unlimited")),
        property("MessagesPerMinute", "messages_per_minute", Unlimited(&Int), Usual::Text("unlimited")),
        property("QueueGlitchRetryCount", "queue_glitch_retry_count", Int, NOTHING),
        property("QueueGlitchRetryInterval", "queue_glitch_retry_interval", Span, NOTHING),
        property("TransientFailureRetryCount", "transient_failure_retry_count", Int, NOTHING),
        property("TransientFailureRetryInterval", "transient_failure_retry_interval", Span, NOTHING),
        property("OutboundConnectionFailureRetryInterval", "outbound_connection_failure_retry_interval", Span, NOTHING),
        property("MessageRetryInterval", "message_retry_interval", Span, NOTHING),
        property("Name", "name", Text, NOTHING),
        property("Identity", "identity", Identity, NOTHING),
    ],
};

fn unlimited(number: Option<impl Into<Json>>) -> Json {
    number.map_or_else(|| "unlimited".into(), Into::into)
}

pub fn record(own: &str, connector: &SendConnector) -> Record {
    let texts = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>();
    let smart_hosts = smart_hosts(connector);
    let logon = connector.logon.as_deref();
    let (password_file, password_env) = match logon.map(|logon| &logon.password) {
        Some(PasswordPlace::File(path)) => (Some(path.display().to_string()), None),
        Some(PasswordPlace::Environment(name)) => (None, Some(name.to_string())),
        None => (None, None),
    };
    let masquerade = connector.masquerade.as_deref();
    let retry = &connector.retry;
    Record::of(&SHAPE)
        .with("DNSRoutingEnabled", connector.dns_routing_enabled)
        .with("TlsDomain", connector.tls_domain.as_ref().map(ToString::to_string))
        .with("TlsAuthLevel", connector.tls_auth_level.map(TlsAuthLevel::exchange_name))
        .with("ErrorPolicies", error_policies(&connector.error_policies))
        .with("SmartHosts", smart_hosts.clone())
        .with("Port", connector.port)
        .with("ConnectionInactivityTimeOut", span(connector.connection_inactivity_timeout))
        .with("ForceHELO", connector.force_helo)
        .with("IgnoreSTARTTLS", connector.ignore_starttls)
        .with("Fqdn", connector.fqdn.to_string())
        .with("TlsCertificateName", connector.tls_certificate_name.as_ref().map(ToString::to_string))
        .with("RequireTLS", connector.require_tls)
        .with("Enabled", connector.enabled)
        .with(
            "ProtocolLoggingLevel",
            match connector.protocol_logging_level {
                ProtocolLoggingLevel::None => "None",
                ProtocolLoggingLevel::Verbose => "Verbose",
            },
        )
        .with(
            "SmartHostAuthMechanism",
            match connector.smart_host_auth_mechanism {
                SmartHostAuthMechanism::None => "None",
                SmartHostAuthMechanism::BasicAuth => "BasicAuth",
                SmartHostAuthMechanism::BasicAuthRequireTls => "BasicAuthRequireTLS",
                SmartHostAuthMechanism::ExternalAuthoritative => "ExternalAuthoritative",
            },
        )
        .with("UseExternalDNSServersEnabled", connector.use_external_dns_servers_enabled)
        .with("DomainSecureEnabled", connector.domain_secure_enabled)
        .with("SourceIPAddress", texts(&mut connector.source_ip_address.iter().map(|address| address.to_string())))
        .with("SmtpMaxMessagesPerConnection", connector.smtp_max_messages_per_connection)
        .with("SmartHostsString", smart_hosts.join(","))
        .with("AddressSpaces", texts(&mut connector.address_spaces.iter().map(ToString::to_string)))
        .with(
            "LinkedReceiveConnector",
            connector.linked_receive_connector.as_ref().map(|name| format!("{own}\\{name}")),
        )
        .with("Comment", Some(connector.comment.as_str()).filter(|comment| !comment.is_empty()))
        .with("SourceTransportServers", vec![own.to_owned()])
        .with("MaxMessageSize", unlimited(connector.max_message_size))
        .with(
            "Usage",
            match connector.usage {
                Usage::Custom => "Custom",
                Usage::Internal => "Internal",
                Usage::Internet => "Internet",
                Usage::Partner => "Partner",
            },
        )
        .with(
            "SmartHostsOrder",
            match connector.smart_hosts_order {
                SmartHostsOrder::Balanced => "Balanced",
                SmartHostsOrder::Ordered => "Ordered",
            },
        )
        .with("AuthenticationUser", logon.map(|logon| logon.user.to_string()))
        .with("AuthenticationPasswordFile", password_file)
        .with("AuthenticationPasswordEnv", password_env)
        .with("AuthenticationMechanisms", logon.map(mechanisms).unwrap_or_default())
        .with("DowngradeCodes", texts(&mut connector.error_policies.downgrade.iter().map(ToString::to_string)))
        .with("UpgradeCodes", texts(&mut connector.error_policies.upgrade.iter().map(ToString::to_string)))
        .with(
            "SourceReceiveConnectors",
            texts(&mut connector.sources.receive_connectors.iter().map(|name| format!("{own}\\{name}"))),
        )
        .with("SourceSenderDomains", texts(&mut connector.sources.sender_domains.iter().map(ToString::to_string)))
        .with("FallbackConnector", connector.fallback_connector.as_deref())
        .with("ImplicitTLS", connector.implicit_tls)
        .with("Convert8BitMime", connector.convert_8bit_mime)
        .with(
            "MxAddressScope",
            match connector.mx_address_scope {
                AddressScope::Any => "Any",
                AddressScope::Public => "Public",
            },
        )
        .with("MasqueradeDomains", masquerade.map(masqueraded).unwrap_or_default())
        .with("MasqueradeAs", masquerade.map(|masquerade| masquerade.domain.to_string()))
        .with("MaxConnections", unlimited(connector.max_connections))
        .with("MessagesPerMinute", unlimited(connector.messages_per_minute))
        .with("QueueGlitchRetryCount", retry.queue_glitch_retry_count)
        .with("QueueGlitchRetryInterval", retry.queue_glitch_retry_interval.map(span))
        .with("TransientFailureRetryCount", retry.transient_failure_retry_count)
        .with("TransientFailureRetryInterval", retry.transient_failure_retry_interval.map(span))
        .with("OutboundConnectionFailureRetryInterval", retry.outbound_connection_failure_retry_interval.map(span))
        .with("MessageRetryInterval", retry.message_retry_interval.map(span))
        .with("Name", &*connector.name)
        .with("Identity", &*connector.name)
}

/// A port that the connector has anyway is not shown.
pub fn smart_hosts(connector: &SendConnector) -> Vec<String> {
    let text = |smart_host: &SmartHost| match (&smart_host.host, smart_host.port == connector.port) {
        (Host::Address(address), true) => format!("[{address}]"),
        (Host::Name(name), true) => name.to_string(),
        _ => smart_host.to_string(),
    };
    connector.smart_hosts.iter().map(text).collect()
}

/// The policies that a connector has, or `Default`.
pub fn error_policies(policies: &ErrorPolicies) -> Vec<&'static str> {
    let known = [
        (policies.downgrade_dns_failures, "DowngradeDnsFailures"),
        (!policies.downgrade.is_empty(), "DowngradeCustomFailures"),
        (!policies.upgrade.is_empty(), "UpgradeCustomFailures"),
    ];
    let names: Vec<_> = known.into_iter().filter(|(is_on, _)| *is_on).map(|(_, name)| name).collect();
    if names.is_empty() { vec!["Default"] } else { names }
}

/// Those that may be used; nothing where all may.
pub fn mechanisms(logon: &Logon) -> Vec<String> {
    let all = LogonMechanism::NAMED;
    let may = all.iter().filter(|(_, mechanism)| logon.mechanisms.contains(mechanism));
    let names: Vec<_> = may.map(|(name, _)| (*name).to_owned()).collect();
    if names.len() == all.len() { Vec::new() } else { names }
}

/// The domains that are not shown outside.
pub fn masqueraded(masquerade: &Masquerade) -> Vec<String> {
    let text = |(domain, below): &(Domain, bool)| format!("{}{domain}", if *below { "*." } else { "" });
    masquerade.domains.iter().map(text).collect()
}
