//! What New- and Set-SendConnector take (fact sheet section 4.4).

use gatepost_shell::command::{FromPipeline, Kind, Parameter};

use super::super::parameter::{DOMAIN_CONTROLLER, FORCE, also, at, identity, joined, named, needed};
use super::shape::{ERROR_POLICIES, LOGGING_LEVELS, ORDERS, SCOPES, TLS_LEVELS, USAGES};

/// Those that there are, and the one that needs Kerberos: the settings' reader says so.
const MECHANISMS: &[&str] = &["None", "BasicAuth", "BasicAuthRequireTLS", "ExchangeServer", "ExternalAuthoritative"];

/// Properties that can be given, now or later.
const SETTABLE: [Parameter; 53] = [
    named(
        "AddressSpaces",
        Kind::MultiValued(&Kind::Text),
        "Which domains it leads to, with costs: \"SMTP:*;1\", contoso.com, *.contoso.com; `--` for all accepted domains.",
    ),
    named(
        "SmartHosts",
        Kind::MultiValued(&Kind::Text),
        "Where to instead of asking the DNS: 10.0.0.5, relay.example.net, relay.example.net:587.",
    ),
    named("SmartHostsOrder", Kind::OneOf(ORDERS), "Which of several is tried first. Not of Exchange."),
    named("DNSRoutingEnabled", Kind::Bool, "Whether MX records say where to go; without smart hosts."),
    named("Port", Kind::Int, "TCP port of hosts that name none."),
    named("Enabled", Kind::Bool, "Whether it is taken at all."),
    named("Comment", Kind::Text, "For people."),
    named("Usage", Kind::OneOf(USAGES), "A label; Internal has no limit of size."),
    named("Fqdn", Kind::Text, "Our name at EHLO; the server's name without it."),
    named("SourceIPAddress", Kind::MultiValued(&Kind::Text), "Our own address that connections come from."),
    named("UseExternalDNSServersEnabled", Kind::Bool, "Whether names are looked up at the external DNS servers."),
    named("ForceHELO", Kind::Bool, "Whether HELO is said, and no extension used."),
    named("RequireTLS", Kind::Bool, "Whether mail waits rather than going out in the clear."),
    named("ImplicitTLS", Kind::Bool, "TLS from the first byte, as on port 465. Not of Exchange."),
    named("IgnoreSTARTTLS", Kind::Bool, "Whether TLS is never used."),
    named("TlsAuthLevel", Kind::OneOf(TLS_LEVELS), "What a certificate has to prove, with -RequireTLS $true."),
    named("TlsDomain", Kind::Text, "Whom it has to be for, under DomainValidation."),
    named("TlsCertificateName", Kind::Text, "Which certificate is shown to those that ask: <I>issuer<S>subject."),
    named("DomainSecureEnabled", Kind::Bool, "Whether domains of TLSSendDomainSecureList have to prove to be them."),
    named("SmartHostAuthMechanism", Kind::OneOf(MECHANISMS), "How smart hosts know us."),
    named(
        "AuthenticationCredential",
        Kind::Credential,
        "Name and password for the smart hosts. The password is kept in a file of the data folder, not in the settings.",
    ),
    named("AuthenticationUser", Kind::Text, "The name alone, where the password is elsewhere. Not of Exchange."),
    named("AuthenticationPasswordFile", Kind::Text, "The file that has the password. Not of Exchange."),
    named("AuthenticationPasswordEnv", Kind::Text, "The server's variable that has the password. Not of Exchange."),
    named(
        "AuthenticationMechanisms",
        Kind::MultiValued(&Kind::Text),
        "SCRAM-SHA-256, PLAIN, LOGIN ...: those that may be used; all without it. Not of Exchange.",
    ),
    named("MaxMessageSize", Kind::Size, "Largest message: 35MB, or unlimited."),
    named("SmtpMaxMessagesPerConnection", Kind::Int, "After so many messages a connection is closed."),
    named("ConnectionInactivityTimeOut", Kind::Span, "How long a silent next hop is waited for."),
    named("MaxConnections", Kind::UnlimitedInt, "Most connections at a time. Not of Exchange."),
    named("MessagesPerMinute", Kind::UnlimitedInt, "Most messages within a minute; the others wait. Not of Exchange."),
    named("ProtocolLoggingLevel", Kind::OneOf(LOGGING_LEVELS), "Whether dialogues are recorded."),
    named("ErrorPolicies", Kind::Flags(ERROR_POLICIES), "Which failures are taken for what they do not say they are."),
    named("DowngradeCodes", Kind::MultiValued(&Kind::Text), "Refusals that are tried again. Not of Exchange."),
    named("UpgradeCodes", Kind::MultiValued(&Kind::Text), "Delays that are taken for refusals. Not of Exchange."),
    named(
        "LinkedReceiveConnector",
        Kind::Identity,
        "All that comes in by this receive connector leaves here; instead of -AddressSpaces.",
    ),
    named(
        "SourceReceiveConnectors",
        Kind::MultiValued(&Kind::Identity),
        "Only mail that came in by these receive connectors. Not of Exchange.",
    ),
    named(
        "SourceSenderDomains",
        Kind::MultiValued(&Kind::Text),
        "Only mail of senders in these domains. Not of Exchange.",
    ),
    named(
        "FallbackConnector",
        Kind::Identity,
        "The send connector that stands in while no next hop can be reached. Not of Exchange.",
    ),
    named(
        "Convert8BitMime",
        Kind::Bool,
        "Whether 8-bit content is converted where 8BITMIME is missing. Not of Exchange.",
    ),
    named(
        "MxAddressScope",
        Kind::OneOf(SCOPES),
        "Public: MX records may lead to public addresses alone. Not of Exchange.",
    ),
    named(
        "MasqueradeDomains",
        Kind::MultiValued(&Kind::Text),
        "Senders of these domains are shown by another. Not of Exchange.",
    ),
    named("MasqueradeAs", Kind::Text, "That other domain. Not of Exchange."),
    named(
        "QueueGlitchRetryCount",
        Kind::Int,
        "As in the transport settings, for this connector alone. Not of Exchange.",
    ),
    named("QueueGlitchRetryInterval", Kind::Span, "The same."),
    named("TransientFailureRetryCount", Kind::Int, "The same."),
    named("TransientFailureRetryInterval", Kind::Span, "The same."),
    named("OutboundConnectionFailureRetryInterval", Kind::Span, "The same."),
    named("MessageRetryInterval", Kind::Span, "The same."),
    named("SourceTransportServers", Kind::List(&Kind::Identity), "This server alone: each has settings of its own."),
    named(
        "FrontendProxyEnabled",
        Kind::Bool,
        "$false alone: it is about Exchange's division into front and back ends.",
    ),
    named("CloudServicesMailEnabled", Kind::Bool, "$false alone: it is about Microsoft's cloud."),
    named("IsScopedConnector", Kind::Bool, "$false alone: there are no other Active Directory sites."),
    named("ConnectorType", Kind::Text, "Default alone: it is about Microsoft's cloud."),
];

/// New-SendConnector.
pub(super) static NEW: [Parameter; 62] = joined(
    [
        needed(at(
            0,
            Parameter {
                pipeline: FromPipeline::Property,
                ..named("Name", Kind::Text, "What it is called: 1 to 64 characters, once among send connectors.")
            },
        )),
        named("Custom", Kind::Switch, "The same as -Usage Custom."),
        named("Internal", Kind::Switch, "The same as -Usage Internal: no limit of size."),
        named("Internet", Kind::Switch, "The same as -Usage Internet."),
        named("Partner", Kind::Switch, "The same as -Usage Partner."),
        named("RequireOorg", Kind::Bool, "$false alone: it is about Microsoft's cloud."),
        named("IsCoexistenceConnector", Kind::Bool, "$false alone: it is about Microsoft's cloud."),
        DOMAIN_CONTROLLER,
        FORCE,
    ],
    SETTABLE,
);

/// Set-SendConnector.
pub(super) static SET: [Parameter; 59] = joined(
    [
        needed(identity("Which: a name.")),
        also(&["NewName"], named("Name", Kind::Text, "What it is called from now on.")),
        named("RequireOorg", Kind::Bool, "$false alone: it is about Microsoft's cloud."),
        named("IsCoexistenceConnector", Kind::Bool, "$false alone: it is about Microsoft's cloud."),
        DOMAIN_CONTROLLER,
        FORCE,
    ],
    SETTABLE,
);
