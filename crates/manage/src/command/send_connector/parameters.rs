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
        "The recipients' domains that it leads to, each with a cost from 1 to 100: SMTP:*;1 is all of them, contoso.com one, *.contoso.com one and everything below it, -- the accepted domains.",
    ),
    named(
        "SmartHosts",
        Kind::MultiValued(&Kind::Text),
        "The servers that take its mail, whatever MX records say: 10.0.0.5, relay.example.net, relay.example.net:587.",
    ),
    named("SmartHostsOrder", Kind::OneOf(ORDERS), "Which of several smart hosts is tried first. Not of Exchange."),
    named(
        "DNSRoutingEnabled",
        Kind::Bool,
        "Whether MX records of the recipient's domain say where to, rather than smart hosts.",
    ),
    named("Port", Kind::Int, "The TCP port of hosts that name none."),
    named("Enabled", Kind::Bool, "Whether mail leaves by it."),
    named("Comment", Kind::Text, "For people."),
    named("Usage", Kind::OneOf(USAGES), "What it is for: a label, but Internal has no limit of size."),
    named("Fqdn", Kind::Text, "The name that this server gives at HELO and EHLO."),
    named(
        "SourceIPAddress",
        Kind::MultiValued(&Kind::Text),
        "The address of this server that its connections come from: one IPv4 and one IPv6 address at most.",
    ),
    named(
        "UseExternalDNSServersEnabled",
        Kind::Bool,
        "Whether names are looked up at the external DNS servers of the transport settings.",
    ),
    named("ForceHELO", Kind::Bool, "Whether HELO is said and no extension used, for servers that take EHLO amiss."),
    named("RequireTLS", Kind::Bool, "Whether mail waits rather than going out in clear."),
    named("ImplicitTLS", Kind::Bool, "TLS from the first byte, as on port 465. Not of Exchange."),
    named("IgnoreSTARTTLS", Kind::Bool, "Whether STARTTLS is left alone where it is offered."),
    named("TlsAuthLevel", Kind::OneOf(TLS_LEVELS), "What a certificate has to prove, where TLS is required."),
    named(
        "TlsDomain",
        Kind::Text,
        "Whom the certificate has to be for, where it has to be for the right name: mail.fabrikam.com, *.fabrikam.com.",
    ),
    named(
        "TlsCertificateName",
        Kind::Text,
        "The certificate that is shown to those who ask for one, as <I>issuer<S>subject.",
    ),
    named(
        "DomainSecureEnabled",
        Kind::Bool,
        "Whether the domains that TLSSendDomainSecureList names have to prove to be them.",
    ),
    named("SmartHostAuthMechanism", Kind::OneOf(MECHANISMS), "How smart hosts know who we are."),
    named(
        "AuthenticationCredential",
        Kind::Credential,
        "User name and password for the smart hosts. The password is kept in a file of the data folder, not in the settings.",
    ),
    named("AuthenticationUser", Kind::Text, "The user name alone, where the password is elsewhere. Not of Exchange."),
    named(
        "AuthenticationPasswordFile",
        Kind::Text,
        "The file of this server that holds the password, instead of one that is typed. Not of Exchange.",
    ),
    named(
        "AuthenticationPasswordEnv",
        Kind::Text,
        "The environment variable of this server that holds the password. Not of Exchange.",
    ),
    named(
        "AuthenticationMechanisms",
        Kind::MultiValued(&Kind::Text),
        "Those that may be used, as SCRAM-SHA-256, PLAIN, LOGIN; all that are offered otherwise. Not of Exchange.",
    ),
    named("MaxMessageSize", Kind::Size, "The largest message: 35MB, or unlimited."),
    named("SmtpMaxMessagesPerConnection", Kind::Int, "After so many messages a connection is closed."),
    named(
        "ConnectionInactivityTimeOut",
        Kind::Span,
        "How long a silent server is waited for: hours, minutes, seconds.",
    ),
    named("MaxConnections", Kind::UnlimitedInt, "Most connections at a time: a number, or unlimited. Not of Exchange."),
    named(
        "MessagesPerMinute",
        Kind::UnlimitedInt,
        "Most messages within a minute, the others wait: a number, or unlimited. Not of Exchange.",
    ),
    named("ProtocolLoggingLevel", Kind::OneOf(LOGGING_LEVELS), "Whether the dialogues of this connector are recorded."),
    named("ErrorPolicies", Kind::Flags(ERROR_POLICIES), "Which failures are taken for what they do not say they are."),
    named(
        "DowngradeCodes",
        Kind::MultiValued(&Kind::Text),
        "Refusals, as 550 or 550 5.7.1, that are taken for delays. Not of Exchange.",
    ),
    named(
        "UpgradeCodes",
        Kind::MultiValued(&Kind::Text),
        "Delays, as 450 or 450 4.7.0, that are taken for refusals. Not of Exchange.",
    ),
    named(
        "LinkedReceiveConnector",
        Kind::Identity,
        "All that comes in by this receive connector leaves here, whoever it is for; then there are no address spaces.",
    ),
    named(
        "SourceReceiveConnectors",
        Kind::MultiValued(&Kind::Identity),
        "Only mail that came in by these receive connectors takes it. Not of Exchange.",
    ),
    named(
        "SourceSenderDomains",
        Kind::MultiValued(&Kind::Text),
        "Only mail of senders in these domains takes it: contoso.com, *.contoso.com. Not of Exchange.",
    ),
    named(
        "FallbackConnector",
        Kind::Identity,
        "The send connector that takes the mail while no server of this one can be reached. Not of Exchange.",
    ),
    named(
        "Convert8BitMime",
        Kind::Bool,
        "Whether 8-bit content is converted for servers that do not take it. Not of Exchange.",
    ),
    named(
        "MxAddressScope",
        Kind::OneOf(SCOPES),
        "Whether MX records may lead to addresses of private networks. Not of Exchange.",
    ),
    named(
        "MasqueradeDomains",
        Kind::MultiValued(&Kind::Text),
        "Senders of these domains are shown to the world by another domain. Not of Exchange.",
    ),
    named("MasqueradeAs", Kind::Text, "That other domain. Not of Exchange."),
    named(
        "QueueGlitchRetryCount",
        Kind::Int,
        "How often a connection that broke off is tried again at once. Not of Exchange.",
    ),
    named("QueueGlitchRetryInterval", Kind::Span, "How long it waits before each of them. Not of Exchange."),
    named("TransientFailureRetryCount", Kind::Int, "How often it is tried again after these. Not of Exchange."),
    named("TransientFailureRetryInterval", Kind::Span, "How long it waits before each of these. Not of Exchange."),
    named(
        "OutboundConnectionFailureRetryInterval",
        Kind::Span,
        "How long it waits before each later one. Not of Exchange.",
    ),
    named(
        "MessageRetryInterval",
        Kind::Span,
        "How long a message waits that the server asked to send again later. Not of Exchange.",
    ),
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
