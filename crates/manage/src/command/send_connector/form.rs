//! How a person fills in a send connector.

use serde_json::Value as Json;

use super::super::form::{Form, Section, among, field, like, shown_by, usually};

/// The dialog of a send connector.
pub static FORM: Form = Form {
    noun: "SendConnector",
    sections: &[
        Section {
            key: "general",
            title: "General",
            about: "",
            is_advanced: false,
            fields: &[
                like("Internet", field("Name", "Name")),
                among(
                    &[
                        ("Custom", "Custom: anything"),
                        ("Internal", "Internal: to servers of your organization"),
                        ("Internet", "Internet: to everybody"),
                        ("Partner", "Partner: to domains of a partner"),
                    ],
                    field("Usage", "Intended use"),
                ),
                field("Enabled", "Enabled"),
                field("Comment", "Comment"),
                among(
                    &[("None", "None"), ("Verbose", "Verbose: dialogues are recorded")],
                    field("ProtocolLoggingLevel", "Protocol logging"),
                ),
            ],
        },
        Section {
            key: "delivery",
            title: "Delivery",
            about: "How mail leaves: straight to the servers of each recipient's domain, or by servers that pass it on.",
            is_advanced: false,
            fields: &[
                among(
                    &[("true", "By the MX records of the recipient's domain"), ("false", "Through smart hosts")],
                    field("DNSRoutingEnabled", "Route mail"),
                ),
                like("smtp.example.net:587", field("SmartHosts", "Smart hosts")),
                among(
                    &[
                        ("Balanced", "Each connection begins with another one"),
                        ("Ordered", "The first as long as it answers"),
                    ],
                    field("SmartHostsOrder", "Order of smart hosts"),
                ),
                like("25", field("Port", "Port")),
                field("UseExternalDNSServersEnabled", "Use the external DNS servers"),
                usually("as the system chooses", field("SourceIPAddress", "Source addresses")),
                usually("the server's name", like("mail.contoso.com", field("Fqdn", "Name at HELO or EHLO"))),
            ],
        },
        Section {
            key: "address-space",
            title: "Address space",
            about: "Which mail takes this connector. Of several that lead to a domain the most specific address space is \
                    taken, then the lowest cost.",
            is_advanced: false,
            fields: &[
                like("SMTP:*;1", field("AddressSpaces", "Address spaces")),
                field("LinkedReceiveConnector", "Everything that comes in by the receive connector"),
                usually("any", field("SourceReceiveConnectors", "Only what comes in by the receive connectors")),
                usually("any", field("SourceSenderDomains", "Only from senders in the domains")),
                field("FallbackConnector", "Send connector that stands in"),
            ],
        },
        Section {
            key: "security",
            title: "Security",
            about: "How smart hosts know us, and what TLS has to prove.",
            is_advanced: false,
            fields: &[
                among(
                    &[
                        ("None", "None"),
                        ("BasicAuthRequireTLS", "User name and password, inside TLS only"),
                        ("BasicAuth", "User name and password, in clear where TLS is not offered"),
                        ("ExternalAuthoritative", "Externally secured (for example, with IPsec)"),
                    ],
                    field("SmartHostAuthMechanism", "Smart host authentication"),
                ),
                shown_by("AuthenticationUser", field("AuthenticationCredential", "Log on as")),
                field("RequireTLS", "Require TLS"),
                among(
                    &[
                        ("EncryptionOnly", "Encryption: any certificate will do"),
                        ("CertificateValidation", "A certificate of a trusted issuer"),
                        ("DomainValidation", "A certificate of a trusted issuer, for the right name"),
                    ],
                    usually("an encrypted connection will do", field("TlsAuthLevel", "TLS has to prove")),
                ),
                like("mail.fabrikam.com", field("TlsDomain", "Name in the certificate")),
                field("DomainSecureEnabled", "Domain Security (mutual TLS)"),
                field("ImplicitTLS", "TLS from the first byte"),
                field("IgnoreSTARTTLS", "Never use TLS"),
                field("TlsCertificateName", "Own certificate"),
            ],
        },
        Section {
            key: "limits",
            title: "Limits",
            about: "",
            is_advanced: true,
            fields: &[
                usually("35MB; unlimited for Internal", like("35MB", field("MaxMessageSize", "Maximum message size"))),
                usually("20", field("SmtpMaxMessagesPerConnection", "Messages per connection")),
                usually("00:10:00", field("ConnectionInactivityTimeOut", "Inactivity timeout")),
                field("MaxConnections", "Connections at a time"),
                field("MessagesPerMinute", "Messages per minute"),
                usually(OF_SERVER, field("QueueGlitchRetryCount", "Quick retries of a connection")),
                usually(OF_SERVER, like("00:01:00", field("QueueGlitchRetryInterval", "Time between them"))),
                usually(OF_SERVER, field("TransientFailureRetryCount", "Further retries")),
                usually(OF_SERVER, like("00:05:00", field("TransientFailureRetryInterval", "Time between these"))),
                usually(
                    OF_SERVER,
                    like("00:10:00", field("OutboundConnectionFailureRetryInterval", "Time between all later retries")),
                ),
                usually(OF_SERVER, like("00:15:00", field("MessageRetryInterval", "Retry of a delayed message"))),
            ],
        },
        Section {
            key: "advanced",
            title: "Advanced",
            about: "",
            is_advanced: true,
            fields: &[
                field("ForceHELO", "Say HELO, use no extension"),
                field("Convert8BitMime", "Convert 8-bit content"),
                among(
                    &[("Any", "Any address"), ("Public", "Public addresses only")],
                    field("MxAddressScope", "MX records may lead to"),
                ),
                among(
                    &[
                        ("DowngradeDnsFailures", "Try again where the DNS knows no such domain"),
                        ("DowngradeCustomFailures", "Try again after the refusals below"),
                        ("UpgradeCustomFailures", "Give up after the delays below"),
                    ],
                    field("ErrorPolicies", "Error policies"),
                ),
                like("550 5.7.1", field("DowngradeCodes", "Refusals to try again")),
                like("450 4.7.0", field("UpgradeCodes", "Delays to give up at")),
                like("*.internal", field("MasqueradeDomains", "Domains that are not shown")),
                like("contoso.com", field("MasqueradeAs", "Domain that is shown instead")),
                field("AuthenticationMechanisms", "Logon mechanisms"),
                field("AuthenticationPasswordFile", "File with the password"),
                field("AuthenticationPasswordEnv", "Variable with the password"),
            ],
        },
    ],
    for_scripts: &[
        "Custom",
        "Internal",
        "Internet",
        "Partner",
        "AuthenticationUser",
        "SourceTransportServers",
        "FrontendProxyEnabled",
        "CloudServicesMailEnabled",
        "IsScopedConnector",
        "ConnectorType",
        "RequireOorg",
        "IsCoexistenceConnector",
    ],
    besides: &[],
    told: &[("SmartHosts", smart_hosts), ("AddressSpaces", address_spaces)],
    badges: &[("Enabled", false, "disabled")],
    is_confirmed: true,
};

/// Each with the port that it is connected to.
fn smart_hosts(record: &Json) -> String {
    let port = record["Port"].as_u64().unwrap_or(25);
    let has_port =
        |host: &str| host.rsplit_once(':').is_some_and(|(before, _)| !before.contains(':') || before.ends_with(']'));
    let with_port = |host: &str| if has_port(host) { host.to_owned() } else { format!("{host}:{port}") };
    texts(&record["SmartHosts"]).map(with_port).collect::<Vec<_>>().join(", ")
}

/// As people write them: what is for mail by SMTP at the usual cost need not say so.
fn address_spaces(record: &Json) -> String {
    let short = |space: &str| {
        let domain = space.strip_prefix("SMTP:").unwrap_or(space);
        domain.strip_suffix(";1").unwrap_or(domain).to_owned()
    };
    texts(&record["AddressSpaces"]).map(short).collect::<Vec<_>>().join(", ")
}

fn texts(list: &Json) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Json::as_str)
}

/// What holds where a connector has no setting of its own.
const OF_SERVER: &str = "as for the whole server";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn hosts_are_told_with_their_ports_and_address_spaces_as_people_write_them() {
        for (hosts, port, expected) in [
            (json!(["[127.0.0.1]"]), json!(27599), "[127.0.0.1]:27599"),
            (json!(["smtp.example.net:587", "b.example"]), json!(null), "smtp.example.net:587, b.example:25"),
            (json!(["[2001:db8::1]", "[2001:db8::1]:26"]), json!(25), "[2001:db8::1]:25, [2001:db8::1]:26"),
            (json!([]), json!(25), ""),
        ] {
            assert_eq!(smart_hosts(&json!({"SmartHosts": hosts, "Port": port})), expected);
        }
        let spaces = json!({"AddressSpaces": ["SMTP:*;1", "SMTP:fabrikam.com;10", "X400:c=x;1"]});
        assert_eq!(address_spaces(&spaces), "*, fabrikam.com;10, X400:c=x");
    }
}
