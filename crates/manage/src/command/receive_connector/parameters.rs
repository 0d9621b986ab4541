//! What New- and Set-ReceiveConnector take (fact sheet section 1.2).

use gatepost_shell::command::{FromPipeline, Kind, Parameter};

use super::super::parameter::{DOMAIN_CONTROLLER, FORCE, also, at, identity, joined, named, needed};
use super::shape::{
    GROUPS, LOGGING_LEVELS, MECHANISMS, PROTECTION_POLICIES, RATE_SOURCES, REPAIRS, SIZE_MODES, TRANSPORT_ROLES,
};

/// The presets of `-Usage`, each a switch, too.
pub(super) const USAGES: &[&str] = &["Client", "Custom", "Internal", "Internet", "Partner"];

/// Properties that can be given, now or later.
const SETTABLE: [Parameter; 58] = [
    named("Bindings", Kind::MultiValued(&Kind::Text), "Where it listens: address:port, as 0.0.0.0:25 or [::]:25."),
    named(
        "RemoteIPRanges",
        Kind::MultiValued(&Kind::Text),
        "Whom it hears: addresses, first-last, networks. A plain list replaces all; @{Add=...; Remove=...} changes some.",
    ),
    named(
        "AuthMechanism",
        Kind::Flags(MECHANISMS),
        "What peers may do to say who they are. ExternalAuthoritative trusts the network.",
    ),
    named("PermissionGroups", Kind::Flags(GROUPS), "Who may use it. Single rights are given by Add-ADPermission."),
    named("Enabled", Kind::Bool, "Whether it is a candidate at all."),
    named("Comment", Kind::Text, "For people."),
    named("Fqdn", Kind::Text, "The name in greeting, EHLO and Received; the server's name without it."),
    named("Banner", Kind::Text, "The whole greeting, beginning with 220; $null for ours."),
    named("DefaultDomain", Kind::Text, "Given to addresses without a domain: one of the accepted domains."),
    named("RequireTLS", Kind::Bool, "Whether MAIL needs TLS."),
    named(
        "DomainSecureEnabled",
        Kind::Bool,
        "Whether peers are asked for a certificate, which can make partners of them.",
    ),
    named("TlsCertificateName", Kind::Text, "Which certificate is shown: <I>issuer<S>subject."),
    named("MaxMessageSize", Kind::Size, "Largest message: 36MB."),
    named("SizeEnabled", Kind::OneOf(SIZE_MODES), "How EHLO shows SIZE."),
    named("MaxHeaderSize", Kind::Size, "Largest header section."),
    named("MaxHopCount", Kind::Int, "Most Received fields."),
    named("MaxLocalHopCount", Kind::Int, "Most Received fields of this server; 0 switches it off."),
    named("MaxRecipientsPerMessage", Kind::Int, "Most recipients of a message."),
    named("MaxInboundConnection", Kind::UnlimitedInt, "Most connections at a time."),
    named("MaxInboundConnectionPerSource", Kind::UnlimitedInt, "Most connections of one address at a time."),
    named(
        "MaxInboundConnectionPercentagePerSource",
        Kind::Int,
        "Most of what is left that one address may take, in percent.",
    ),
    named("MessageRateLimit", Kind::UnlimitedInt, "Most messages a minute."),
    named("MessageRateSource", Kind::OneOf(RATE_SOURCES), "Whose messages are counted together."),
    named("MaxProtocolErrors", Kind::UnlimitedInt, "Most errors of a peer before the connection ends."),
    named("MaxLogonFailures", Kind::Int, "Most failed logons before the connection ends; 0 switches it off."),
    named("ConnectionTimeout", Kind::Span, "Longest connection, whatever happens."),
    named("ConnectionInactivityTimeout", Kind::Span, "How long a silent peer is waited for."),
    named("TarpitInterval", Kind::Span, "How long a refusal to an anonymous peer is held back."),
    named("AuthTarpitInterval", Kind::Span, "How long the reply to a failed logon is held back."),
    named("ProtocolLoggingLevel", Kind::OneOf(LOGGING_LEVELS), "Whether dialogues are recorded."),
    named("PipeliningEnabled", Kind::Bool, "Whether EHLO shows PIPELINING."),
    named("EightBitMimeEnabled", Kind::Bool, "Whether EHLO shows 8BITMIME."),
    named("BinaryMimeEnabled", Kind::Bool, "Whether EHLO shows BINARYMIME; needs ChunkingEnabled."),
    named("ChunkingEnabled", Kind::Bool, "Whether EHLO shows CHUNKING."),
    named("DeliveryStatusNotificationEnabled", Kind::Bool, "Whether EHLO shows DSN."),
    named("EnhancedStatusCodesEnabled", Kind::Bool, "Whether EHLO shows ENHANCEDSTATUSCODES and replies carry them."),
    named("SmtpUtf8Enabled", Kind::Bool, "Whether EHLO shows SMTPUTF8."),
    named("BareLinefeedRejectionEnabled", Kind::Bool, "Whether content with a bare line feed is refused."),
    named("LongAddressesEnabled", Kind::Bool, "Whether addresses may have 1,860 bytes."),
    named("RequireEHLODomain", Kind::Bool, "Whether EHLO and HELO need a domain."),
    named(
        "RejectReservedTopLevelRecipientDomains",
        Kind::Bool,
        "Whether recipients below .test, .example and the like are refused.",
    ),
    named(
        "RejectReservedSecondLevelRecipientDomains",
        Kind::Bool,
        "Whether recipients in example.com and the like are refused.",
    ),
    named("RejectSingleLabelRecipientDomains", Kind::Bool, "Whether recipients in a domain without a dot are refused."),
    named("ImplicitTls", Kind::Bool, "TLS from the first byte, as on port 465. Not of Exchange."),
    named(
        "Repair",
        Kind::MultiValued(&Kind::OneOf(REPAIRS)),
        "What is put right in messages of devices that send rubbish. Not of Exchange.",
    ),
    named(
        "AcceptRisk",
        Kind::Text,
        "Why public addresses may relay or count as internal here: a sentence. Not of Exchange.",
    ),
    named(
        "TransportRole",
        Kind::OneOf(TRANSPORT_ROLES),
        "Taken for the sake of scripts: one service is both roles here.",
    ),
    named("MaxAcknowledgementDelay", Kind::Span, "Taken and ignored, as by Exchange since 2013."),
    named("SuppressXAnonymousTls", Kind::Bool, "Taken and ignored: X-ANONYMOUSTLS is never offered."),
    named("AdvertiseClientSettings", Kind::Bool, "$false alone: there is no web mail here."),
    named("EnableAuthGSSAPI", Kind::Bool, "$false alone: Kerberos needs Active Directory."),
    named(
        "ExtendedProtectionPolicy",
        Kind::OneOf(PROTECTION_POLICIES),
        "None alone: it binds logons that are not offered here.",
    ),
    named("LiveCredentialEnabled", Kind::Bool, "$false alone: for Microsoft's own use."),
    named("OrarEnabled", Kind::Bool, "$false alone: XORAR was never published."),
    named(
        "ServiceDiscoveryFqdn",
        Kind::Text,
        "Blank alone: nothing here answers clients that look for their settings.",
    ),
    named("TlsDomainCapabilities", Kind::MultiValued(&Kind::Text), "Empty alone: it is about Microsoft's cloud."),
    named("ProxyEnabled", Kind::Bool, "$false alone: it is about Exchange's division into front and back ends."),
    named("AcceptConsumerMail", Kind::Bool, "$false alone: it is about Microsoft's cloud."),
];

/// New-ReceiveConnector.
pub(super) static NEW: [Parameter; 67] = joined(
    [
        needed(at(
            0,
            Parameter {
                pipeline: FromPipeline::Property,
                ..named("Name", Kind::Text, "What it is called: 1 to 64 characters, once on the server.")
            },
        )),
        named(
            "Usage",
            Kind::OneOf(USAGES),
            "A preset of permission groups, mechanisms and bindings. It is kept nowhere.",
        ),
        named("Client", Kind::Switch, "The same as -Usage Client: users who log on, on port 587."),
        named("Custom", Kind::Switch, "The same as -Usage Custom: nobody until a group or a right is given."),
        named("Internal", Kind::Switch, "The same as -Usage Internal: servers of the organization."),
        named("Internet", Kind::Switch, "The same as -Usage Internet: anonymous senders from everywhere."),
        named("Partner", Kind::Switch, "The same as -Usage Partner: partners that prove themselves by certificates."),
        named("Server", Kind::Identity, "On which server: this one."),
        DOMAIN_CONTROLLER,
    ],
    SETTABLE,
);

/// Set-ReceiveConnector.
pub(super) static SET: [Parameter; 62] = joined(
    [
        needed(identity("Which: a name or SERVER\\Name.")),
        also(&["NewName"], named("Name", Kind::Text, "What it is called from now on.")),
        DOMAIN_CONTROLLER,
        FORCE,
    ],
    SETTABLE,
);
