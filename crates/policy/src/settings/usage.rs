//! The presets of `usage` (fact sheet section 1.4): what a receive connector has where its table leaves a key out.
//!
//! Hands on defaults and nothing else: the usage itself is kept nowhere, as in Exchange.

use crate::access_entry::PermissionGroup;
use crate::receive_connector::{Mechanism, MessageRateSource};

/// What one usage says.
#[derive(Clone, Copy)]
pub(super) struct Usage {
    pub permission_groups: &'static [PermissionGroup],
    pub auth_mechanism: &'static [Mechanism],
    /// Where TLS allows it.
    pub domain_secure_enabled: bool,
    /// `None` where the document has to say it.
    pub bindings: Option<&'static [&'static str]>,
    /// `None` where the document has to say it.
    pub remote_ip_ranges: Option<&'static [&'static str]>,
    pub message_rate_limit: Option<u32>,
    pub message_rate_source: MessageRateSource,
}

/// What a connector is without a usage, and with `Custom`.
pub(super) const CUSTOM: Usage = Usage {
    permission_groups: &[],
    auth_mechanism: &[Mechanism::Tls],
    domain_secure_enabled: false,
    bindings: None,
    remote_ip_ranges: None,
    message_rate_limit: None,
    message_rate_source: MessageRateSource::IpAddress,
};

/// By name.
pub(super) const USAGES: &[(&str, Usage)] = &[
    (
        "Client",
        Usage {
            permission_groups: &[PermissionGroup::ExchangeUsers],
            auth_mechanism: &[
                Mechanism::Tls,
                Mechanism::Integrated,
                Mechanism::BasicAuth,
                Mechanism::BasicAuthRequireTls,
            ],
            bindings: Some(&["0.0.0.0:587", "[::]:587"]),
            message_rate_limit: Some(5),
            message_rate_source: MessageRateSource::User,
            ..CUSTOM
        },
    ),
    ("Custom", CUSTOM),
    (
        "Internal",
        Usage {
            permission_groups: &[PermissionGroup::ExchangeServers, PermissionGroup::ExchangeLegacyServers],
            auth_mechanism: &[Mechanism::Tls, Mechanism::ExchangeServer],
            bindings: Some(&["0.0.0.0:25", "[::]:25"]),
            ..CUSTOM
        },
    ),
    (
        "Internet",
        Usage {
            permission_groups: &[PermissionGroup::AnonymousUsers],
            remote_ip_ranges: Some(&["0.0.0.0-255.255.255.255"]),
            ..CUSTOM
        },
    ),
    ("Partner", Usage { permission_groups: &[PermissionGroup::Partners], domain_secure_enabled: true, ..CUSTOM }),
];
