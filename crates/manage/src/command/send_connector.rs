//! Send connectors: Get-SendConnector (fact sheet section 4.4).

use std::sync::Arc;

use gatepost_policy::role::Role;
use gatepost_policy::send_connector::{
    ProtocolLoggingLevel, SendConnector, SmartHostAuthMechanism, SmartHostsOrder, TlsAuthLevel, Usage,
};
use gatepost_shell::command::{Changes, Signature};
use gatepost_shell::value::View;
use serde_json::Value as Json;

use super::by_name::search;
use super::parameter::{DOMAIN_CONTROLLER, identity};
use super::receive_connector::span;
use super::{Answer, CommandError, Entry, Invocation, server};
use crate::object::PropertyKind::{Bool, Choice, Identity, Int, List, Size, Span, Text, Unlimited};
use crate::object::{Record, Shape, Usual, property};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[Entry {
    signature: &GET,
    role: Role::View,
    output: Some(&SHAPE),
    run: |invocation| Box::pin(std::future::ready(get(invocation))),
}];

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Data.Directory.SystemConfiguration.SmtpSendConnectorConfig",
    table: &["Identity", "AddressSpaces", "Enabled"],
    identity: "Identity",
};

const NOTHING: Usual = Usual::Null;
const NO: Usual = Usual::Bool(false);
const NONE: Usual = Usual::Texts(&[]);

/// A send connector: Exchange's properties in its order, then those that it does not have.
static SHAPE: Shape = Shape {
    name: "SendConnector",
    view: &VIEW,
    properties: &[
        property("DNSRoutingEnabled", "dns_routing_enabled", Bool, Usual::Bool(true)),
        property("TlsDomain", "tls_domain", Text, NOTHING),
        property(
            "TlsAuthLevel",
            "tls_auth_level",
            Choice(&["EncryptionOnly", "CertificateValidation", "DomainValidation"]),
            NOTHING,
        ),
        property("SmartHosts", "smart_hosts", List(&Text), NONE),
        property("Port", "port", Int, Usual::Int(25)),
        property("ConnectionInactivityTimeOut", "connection_inactivity_timeout", Span, NOTHING),
        property("ForceHELO", "force_helo", Bool, NO),
        property("IgnoreSTARTTLS", "ignore_starttls", Bool, NO),
        property("Fqdn", "fqdn", Text, NOTHING),
        property("TlsCertificateName", "tls_certificate_name", Text, NOTHING),
        property("RequireTLS", "require_tls", Bool, NO),
        property("Enabled", "enabled", Bool, Usual::Bool(true)),
        property("ProtocolLoggingLevel", "protocol_logging_level", Choice(&["None", "Verbose"]), Usual::Text("None")),
        property(
            "SmartHostAuthMechanism",
            "smart_host_auth_mechanism",
            Choice(&["None", "BasicAuth", "BasicAuthRequireTLS", "ExternalAuthoritative"]),
            Usual::Text("None"),
        ),
        property("UseExternalDNSServersEnabled", "use_external_dns_servers_enabled", Bool, NO),
        property("DomainSecureEnabled", "domain_secure_enabled", Bool, NO),
        property("SourceIPAddress", "source_ip_address", List(&Text), NONE),
        property("SmtpMaxMessagesPerConnection", "smtp_max_messages_per_connection", Int, NOTHING),
        property("SmartHostsString", "smart_hosts_string", Text, NOTHING),
        property("AddressSpaces", "address_spaces", List(&Text), NONE),
        property("LinkedReceiveConnector", "linked_receive_connector", Text, NOTHING),
        property("IsSmtpConnector", "is_smtp_connector", Bool, Usual::Bool(true)),
        property("Comment", "comment", Text, NOTHING),
        property("SourceTransportServers", "source_transport_servers", List(&Text), NONE),
        property("MaxMessageSize", "max_message_size", Unlimited(&Size), NOTHING),
        property("Usage", "usage", Choice(&["Custom", "Internal", "Internet", "Partner"]), Usual::Text("Custom")),
        property("SmartHostsOrder", "smart_hosts_order", Choice(&["Balanced", "Ordered"]), Usual::Text("Balanced")),
        property("FallbackConnector", "fallback_connector", Text, NOTHING),
        property("ImplicitTLS", "implicit_tls", Bool, NO),
        property("MaxConnections", "max_connections", Unlimited(&Int), Usual::Text("unlimited")),
        property("MessagesPerMinute", "messages_per_minute", Unlimited(&Int), Usual::Text("unlimited")),
        property("Name", "name", Text, NOTHING),
        property("Identity", "identity", Identity, NOTHING),
    ],
};

static GET: Signature = Signature {
    name: "Get-SendConnector",
    aliases: &[],
    synopsis: "Shows send connectors: by which way mail leaves, for which domains, under which rules.",
    parameters: &[identity("Which: a name, or a name with wildcards; all without it."), DOMAIN_CONTROLLER],
    changes: Changes::Nothing,
    examples: &[
        ("Get-SendConnector", "Lists all of them."),
        (
            "Get-SendConnector | Format-List Name,AddressSpaces,SmartHosts,RequireTLS",
            "Shows where mail goes, and whether in TLS.",
        ),
    ],
};

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    let settings = &invocation.settings;
    let wanted = invocation.arguments.text("Identity");
    let name = |connector: &Arc<SendConnector>| connector.name.to_string();
    let found = search(settings.send_connectors.iter(), name, wanted, "send connector")?;
    let own = server::short_name(&settings.server.name);
    Ok(Answer::of(found.into_iter().map(|connector| record(&own, connector)).collect()))
}

fn unlimited(number: Option<impl Into<Json>>) -> Json {
    number.map_or_else(|| "unlimited".into(), Into::into)
}

fn record(own: &str, connector: &SendConnector) -> Record {
    let texts = |all: &mut dyn Iterator<Item = String>| all.collect::<Vec<_>>();
    let smart_hosts = texts(&mut connector.smart_hosts.iter().map(ToString::to_string));
    let tls_domain = connector.tls_domain.as_ref();
    let below = |with_subdomains: bool| if with_subdomains { "*." } else { "" };
    Record::of(&SHAPE)
        .with("DNSRoutingEnabled", connector.dns_routing_enabled)
        .with("TlsDomain", tls_domain.map(|tls| format!("{}{}", below(tls.with_subdomains), tls.domain)))
        .with(
            "TlsAuthLevel",
            connector.tls_auth_level.map(|level| match level {
                TlsAuthLevel::EncryptionOnly => "EncryptionOnly",
                TlsAuthLevel::CertificateValidation => "CertificateValidation",
                TlsAuthLevel::DomainValidation => "DomainValidation",
            }),
        )
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
        .with("FallbackConnector", connector.fallback_connector.as_deref())
        .with("ImplicitTLS", connector.implicit_tls)
        .with("MaxConnections", unlimited(connector.max_connections))
        .with("MessagesPerMinute", unlimited(connector.messages_per_minute))
        .with("Name", &*connector.name)
        .with("Identity", &*connector.name)
}
