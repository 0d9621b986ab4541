//! Rights on receive connectors, and sets of them (fact sheet section 2.1, first table).
//!
//! Takes names as Exchange writes them, hands on values. Who holds which, `permission::granted` says.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// One extended right on a receive connector (fact sheet section 2.1). The order is that of the session permissions in
/// Exchange's protocol log (section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Right {
    /// Use the connector at all.
    Submit,
    /// Recipients outside the accepted domains: this is what makes a session a relay.
    AcceptAnyRecipient,
    /// Treat the message as authenticated and internal; honour `AUTH=`.
    AcceptAuthenticationFlag,
    /// Skip the check that the sender may use the address.
    AcceptAnySender,
    /// Senders inside our own authoritative domains.
    AcceptAuthoritativeDomainSender,
    /// Skip the anti-spam filters.
    BypassAntiSpam,
    /// Exceed the connector's message size limit.
    BypassMessageSizeLimit,
    /// Send the legacy property blob.
    AcceptExch50,
    /// Keep Received and Resent fields.
    AcceptHeadersRouting,
    /// Keep `X-MS-Exchange-Forest-*` fields.
    AcceptHeadersForest,
    /// Keep `X-MS-Exchange-Organization-*` fields.
    AcceptHeadersOrganization,
    /// Shadow redundancy.
    AcceptXShadow,
    /// Tenant and directionality attributes.
    AcceptXAttr,
    /// A front end tells the true client.
    AcceptXProxyFrom,
    /// Session hints between servers.
    AcceptXSessionParams,
    /// Monitoring probes.
    AcceptXSysProbe,
    /// Internal transfer of the recipient cache.
    SendXMessageContextAdRecipientCache,
    /// Internal transfer of extended properties.
    SendXMessageContextExtendedProperties,
    /// Internal transfer of the search index.
    SendXMessageContextFastIndex,
}

impl Right {
    /// Every right, in log order.
    pub const ALL: [Right; 19] = [
        Right::Submit,
        Right::AcceptAnyRecipient,
        Right::AcceptAuthenticationFlag,
        Right::AcceptAnySender,
        Right::AcceptAuthoritativeDomainSender,
        Right::BypassAntiSpam,
        Right::BypassMessageSizeLimit,
        Right::AcceptExch50,
        Right::AcceptHeadersRouting,
        Right::AcceptHeadersForest,
        Right::AcceptHeadersOrganization,
        Right::AcceptXShadow,
        Right::AcceptXAttr,
        Right::AcceptXProxyFrom,
        Right::AcceptXSessionParams,
        Right::AcceptXSysProbe,
        Right::SendXMessageContextAdRecipientCache,
        Right::SendXMessageContextExtendedProperties,
        Right::SendXMessageContextFastIndex,
    ];

    /// The right's name in the directory, as it is written in settings and in the shell.
    pub const fn exchange_name(self) -> &'static str {
        match self {
            Right::Submit => "ms-Exch-SMTP-Submit",
            Right::AcceptAnyRecipient => "ms-Exch-SMTP-Accept-Any-Recipient",
            Right::AcceptAuthenticationFlag => "ms-Exch-SMTP-Accept-Authentication-Flag",
            Right::AcceptAnySender => "ms-Exch-SMTP-Accept-Any-Sender",
            Right::AcceptAuthoritativeDomainSender => "ms-Exch-SMTP-Accept-Authoritative-Domain-Sender",
            Right::BypassAntiSpam => "ms-Exch-Bypass-Anti-Spam",
            Right::BypassMessageSizeLimit => "ms-Exch-Bypass-Message-Size-Limit",
            Right::AcceptExch50 => "ms-Exch-SMTP-Accept-Exch50",
            Right::AcceptHeadersRouting => "ms-Exch-Accept-Headers-Routing",
            Right::AcceptHeadersForest => "ms-Exch-Accept-Headers-Forest",
            Right::AcceptHeadersOrganization => "ms-Exch-Accept-Headers-Organization",
            Right::AcceptXShadow => "ms-Exch-SMTP-Accept-XShadow",
            Right::AcceptXAttr => "ms-Exch-SMTP-Accept-XAttr",
            Right::AcceptXProxyFrom => "ms-Exch-SMTP-Accept-XProxyFrom",
            Right::AcceptXSessionParams => "ms-Exch-SMTP-Accept-XSessionParams",
            Right::AcceptXSysProbe => "ms-Exch-SMTP-Accept-XSysProbe",
            Right::SendXMessageContextAdRecipientCache => "ms-Exch-SMTP-Send-XMessageContext-ADRecipientCache",
            Right::SendXMessageContextExtendedProperties => "ms-Exch-SMTP-Send-XMessageContext-ExtendedProperties",
            Right::SendXMessageContextFastIndex => "ms-Exch-SMTP-Send-XMessageContext-FastIndex",
        }
    }

    /// The right's name in the protocol log (fact sheet section 2.3; those from `AcceptXShadow` on are our own).
    pub const fn log_token(self) -> &'static str {
        match self {
            Right::Submit => "SMTPSubmit",
            Right::AcceptAnyRecipient => "SMTPAcceptAnyRecipient",
            Right::AcceptAuthenticationFlag => "SMTPAcceptAuthenticationFlag",
            Right::AcceptAnySender => "SMTPAcceptAnySender",
            Right::AcceptAuthoritativeDomainSender => "SMTPAcceptAuthoritativeDomainSender",
            Right::BypassAntiSpam => "BypassAntiSpam",
            Right::BypassMessageSizeLimit => "BypassMessageSizeLimit",
            Right::AcceptExch50 => "SMTPAcceptEXCH50",
            Right::AcceptHeadersRouting => "AcceptRoutingHeaders",
            Right::AcceptHeadersForest => "AcceptForestHeaders",
            Right::AcceptHeadersOrganization => "AcceptOrganizationHeaders",
            Right::AcceptXShadow => "SMTPAcceptXShadow",
            Right::AcceptXAttr => "SMTPAcceptXAttr",
            Right::AcceptXProxyFrom => "SMTPAcceptXProxyFrom",
            Right::AcceptXSessionParams => "SMTPAcceptXSessionParams",
            Right::AcceptXSysProbe => "SMTPAcceptXSysProbe",
            Right::SendXMessageContextAdRecipientCache => "SMTPSendXMessageContextADRecipientCache",
            Right::SendXMessageContextExtendedProperties => "SMTPSendXMessageContextExtendedProperties",
            Right::SendXMessageContextFastIndex => "SMTPSendXMessageContextFastIndex",
        }
    }

    /// Reads a right by its Exchange name in any case. `ms-Exch-SMTP-Accept-Authoritative-Domain`, as one of the
    /// articles shortens it, is the same right as `...-Domain-Sender`.
    pub fn parse(name: &str) -> Option<Right> {
        if name.eq_ignore_ascii_case("ms-Exch-SMTP-Accept-Authoritative-Domain") {
            return Some(Right::AcceptAuthoritativeDomainSender);
        }
        Right::ALL.into_iter().find(|right| right.exchange_name().eq_ignore_ascii_case(name))
    }
}

/// The Exchange name.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.exchange_name())
    }
}

/// A set of rights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rights(u32);

impl Rights {
    /// No right.
    pub const NONE: Rights = Rights(0);
    /// Every right.
    pub const ALL: Rights = Rights((1 << Right::ALL.len()) - 1);

    /// The set of `rights`.
    pub const fn of(rights: &[Right]) -> Rights {
        let mut bits = 0;
        let mut i = 0;
        while i < rights.len() {
            bits |= 1 << rights[i] as u32;
            i += 1;
        }
        Rights(bits)
    }

    /// Whether `right` is in the set.
    pub const fn contains(self, right: Right) -> bool {
        self.0 & (1 << right as u32) != 0
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many rights the set holds.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Adds a right.
    pub fn insert(&mut self, right: Right) {
        self.0 |= 1 << right as u32;
    }

    /// The rights of the set, in log order.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |right| self.contains(*right))
    }
}

impl From<Right> for Rights {
    fn from(right: Right) -> Rights {
        Rights(1 << right as u32)
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Rights {
        rights.into_iter().fold(Rights::NONE, |set, right| set | right.into())
    }
}

impl BitOr for Rights {
    type Output = Rights;
    fn bitor(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }
}

impl BitOrAssign for Rights {
    fn bitor_assign(&mut self, other: Rights) {
        self.0 |= other.0;
    }
}

impl BitAnd for Rights {
    type Output = Rights;
    fn bitand(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }
}

impl Not for Rights {
    type Output = Rights;
    fn not(self) -> Rights {
        Rights(!self.0 & Rights::ALL.0)
    }
}

/// As the protocol log shows session permissions: log tokens with a space between, `None` when there are none.
impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("None");
        }
        for (i, right) in self.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { " " })?;
            f.write_str(right.log_token())?;
        }
        Ok(())
    }
}
