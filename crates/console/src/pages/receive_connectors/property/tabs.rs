//! Every property of a receive connector, on its tab: what stands beside its input, and what it is for.

use super::{Input, Property, Section, Tab};

const fn property(name: &'static str, label: &'static str, input: Input, hint: &'static str) -> Property {
    Property { name, label, hint, input }
}

/// The mechanisms as the dialog names them, without `None`, which is what no box means.
const MECHANISMS: &[(&str, &str)] = &[
    ("Tls", "Transport Layer Security (TLS)"),
    ("BasicAuth", "Basic authentication"),
    ("BasicAuthRequireTLS", "Offer Basic authentication only after starting TLS"),
    ("ExchangeServer", "Exchange Server authentication"),
    ("Integrated", "Integrated Windows authentication"),
    (EXTERNALLY_SECURED, "Externally Secured (for example, with IPsec)"),
];
/// The mechanism that trusts the network.
pub const EXTERNALLY_SECURED: &str = "ExternalAuthoritative";

const GROUPS: &[(&str, &str)] = &[
    (ANONYMOUS_USERS, "Anonymous users"),
    ("ExchangeUsers", "Exchange users"),
    (EXCHANGE_SERVERS, "Exchange servers"),
    ("ExchangeLegacyServers", "Legacy Exchange Servers"),
    ("Partners", "Partners"),
];
/// The group of those who do not log on.
pub const ANONYMOUS_USERS: &str = "AnonymousUsers";
/// The group that the mechanism above needs.
pub const EXCHANGE_SERVERS: &str = "ExchangeServers";

/// The tab with the entries, which is a page of its own making.
pub const RIGHTS: &str = "rights";

/// The tabs in their order.
pub static TABS: [Tab; 6] = [
    Tab {
        key: "general",
        name: "General",
        sections: &[
            Section {
                title: "Connector",
                properties: &[
                    property("Name", "Name", Input::Text, "1 to 64 characters. The log shows it as SERVER\\Name."),
                    property(
                        "Enabled",
                        "Enabled",
                        Input::Truth,
                        "Whom a disabled connector heard falls to the next wider one.",
                    ),
                    property("Comment", "Comment", Input::Text, "For people."),
                    property(
                        "ProtocolLoggingLevel",
                        "Protocol logging level",
                        Input::Choice(&["None", "Verbose"]),
                        "Verbose records the dialogues with peers.",
                    ),
                    property(
                        "Fqdn",
                        "FQDN for HELO or EHLO",
                        Input::Text,
                        "The name in greeting, EHLO and Received. Empty: the server's name.",
                    ),
                    property("Banner", "Banner", Input::Text, "The whole greeting, beginning with 220. Empty: ours."),
                    property(
                        "DefaultDomain",
                        "Default domain",
                        Input::Text,
                        "Given to addresses without a domain: one of the accepted domains.",
                    ),
                    property("MaxMessageSize", "Maximum message size", Input::Size, "64 KB to 2 GB, as 36 MB."),
                ],
            },
            Section {
                title: "What EHLO offers",
                properties: &[
                    property("PipeliningEnabled", "PIPELINING", Input::Truth, ""),
                    property("EightBitMimeEnabled", "8BITMIME", Input::Truth, ""),
                    property("ChunkingEnabled", "CHUNKING", Input::Truth, ""),
                    property("BinaryMimeEnabled", "BINARYMIME", Input::Truth, "Needs CHUNKING."),
                    property("DeliveryStatusNotificationEnabled", "DSN", Input::Truth, ""),
                    property(
                        "EnhancedStatusCodesEnabled",
                        "ENHANCEDSTATUSCODES",
                        Input::Truth,
                        "Replies carry them, too.",
                    ),
                    property("SmtpUtf8Enabled", "SMTPUTF8", Input::Truth, ""),
                    property("LongAddressesEnabled", "XLONGADDR", Input::Truth, "Addresses of up to 1,860 bytes."),
                    property(
                        "SizeEnabled",
                        "SIZE",
                        Input::Choice(&["Enabled", "Disabled", "EnabledWithoutValue"]),
                        "With the largest size, not at all, or without the number.",
                    ),
                ],
            },
            Section {
                title: "What is refused or put right",
                properties: &[
                    property("RequireEHLODomain", "Require a domain in EHLO and HELO", Input::Truth, ""),
                    property("BareLinefeedRejectionEnabled", "Refuse content with bare line feeds", Input::Truth, ""),
                    property(
                        "RejectReservedTopLevelRecipientDomains",
                        "Refuse recipients below .test, .example and the like",
                        Input::Truth,
                        "",
                    ),
                    property(
                        "RejectReservedSecondLevelRecipientDomains",
                        "Refuse recipients in example.com and the like",
                        Input::Truth,
                        "",
                    ),
                    property(
                        "RejectSingleLabelRecipientDomains",
                        "Refuse recipients in domains without a dot",
                        Input::Truth,
                        "",
                    ),
                    property(
                        "Repair",
                        "Repair messages of devices that send rubbish",
                        Input::Flags(&[
                            ("Senders", "Write broken sender fields anew"),
                            ("Date", "Add a missing Date field"),
                        ]),
                        "",
                    ),
                ],
            },
        ],
    },
    Tab {
        key: "network",
        name: "Network",
        sections: &[
            Section {
                title: "Receive mail from remote servers that have these IP addresses",
                properties: &[property(
                    "RemoteIPRanges",
                    "Addresses",
                    Input::Lines,
                    "One each line: 192.168.2.55, 192.168.2.1-192.168.2.99, 10.0.0.0/24, 10.0.0.0(255.255.255.0). The most specific range of all connectors wins.",
                )],
            },
            Section {
                title: "Use these local IP addresses to receive mail",
                properties: &[property(
                    "Bindings",
                    "Addresses and ports",
                    Input::Lines,
                    "One each line: 0.0.0.0:25 for all IPv4 addresses, [::]:25 for all IPv6 addresses, 10.1.1.1:25 for one.",
                )],
            },
        ],
    },
    Tab {
        key: "authentication",
        name: "Authentication",
        sections: &[
            Section {
                title: "What peers may do to say who they are",
                properties: &[property(
                    "AuthMechanism",
                    "Mechanisms",
                    Input::Flags(MECHANISMS),
                    "Externally Secured trusts every host of the ranges as a server of your organization. It needs the permission group Exchange servers, ticked before, and goes together with TLS alone.",
                )],
            },
            Section {
                title: "TLS",
                properties: &[
                    property("RequireTLS", "Require TLS", Input::Truth, "MAIL is refused before STARTTLS."),
                    property(
                        "DomainSecureEnabled",
                        "Enable Domain Security (Mutual Auth TLS)",
                        Input::Truth,
                        "Peers are asked for a certificate, which can make partners of them.",
                    ),
                    property(
                        "ImplicitTls",
                        "TLS from the first byte, as on port 465",
                        Input::Truth,
                        "Not of Exchange.",
                    ),
                    property(
                        "TlsCertificateName",
                        "Certificate",
                        Input::Text,
                        "<I>issuer<S>subject. Empty: the one that fits the FQDN.",
                    ),
                ],
            },
        ],
    },
    Tab {
        key: "groups",
        name: "Permission groups",
        sections: &[Section {
            title: "Who is allowed to use this connector",
            properties: &[
                property(
                    "PermissionGroups",
                    "Permission groups",
                    Input::Flags(GROUPS),
                    "Each group is a fixed set of rights. Single rights are given on the tab Rights.",
                ),
                property(
                    "AcceptRisk",
                    "Accepted risk",
                    Input::Text,
                    "Why public addresses may relay here, in one sentence. Without it the server refuses that.",
                ),
            ],
        }],
    },
    Tab {
        key: "limits",
        name: "Limits",
        sections: &[
            Section {
                title: "Messages",
                properties: &[
                    property("MaxRecipientsPerMessage", "Recipients per message", Input::Number, "1 to 512,000."),
                    property("MaxHeaderSize", "Header size", Input::Size, "As 256 KB."),
                    property("MaxHopCount", "Hops", Input::Number, "Received fields, 1 to 500."),
                    property(
                        "MaxLocalHopCount",
                        "Local hops",
                        Input::Number,
                        "Received fields of this server; 0: no limit.",
                    ),
                    property("MessageRateLimit", "Messages per minute", Input::Unlimited, "A number or unlimited."),
                    property(
                        "MessageRateSource",
                        "Counted by",
                        Input::Choice(&["None", "User", "IPAddress", "All"]),
                        "Whose messages are counted together.",
                    ),
                ],
            },
            Section {
                title: "Connections",
                properties: &[
                    property("MaxInboundConnection", "Connections", Input::Unlimited, "A number or unlimited."),
                    property(
                        "MaxInboundConnectionPerSource",
                        "Connections per source",
                        Input::Unlimited,
                        "A number or unlimited.",
                    ),
                    property(
                        "MaxInboundConnectionPercentagePerSource",
                        "Percentage per source",
                        Input::Number,
                        "Of what is left, 1 to 100.",
                    ),
                    property(
                        "ConnectionTimeout",
                        "Connection timeout",
                        Input::Span,
                        "hh:mm:ss, whatever happens. Longer than the next.",
                    ),
                    property("ConnectionInactivityTimeout", "Inactivity timeout", Input::Span, "hh:mm:ss."),
                ],
            },
            Section {
                title: "Errors",
                properties: &[
                    property("MaxProtocolErrors", "Protocol errors", Input::Unlimited, "A number or unlimited."),
                    property("MaxLogonFailures", "Logon failures", Input::Number, "0: no limit."),
                    property(
                        "TarpitInterval",
                        "Tarpit interval",
                        Input::Span,
                        "How long a refusal to an anonymous peer is held back.",
                    ),
                    property(
                        "AuthTarpitInterval",
                        "Tarpit interval of logons",
                        Input::Span,
                        "How long the reply to a failed logon is held back.",
                    ),
                ],
            },
        ],
    },
    Tab { key: RIGHTS, name: "Rights", sections: &[] },
];
