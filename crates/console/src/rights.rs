//! What each right means, for people who are about to give it (fact sheet section 2.1).

use gatepost_policy::permission::{Access, PermissionGroup, Right, Trustee};

/// A right with its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RightShown {
    /// As Exchange spells it.
    pub name: &'static str,
    /// Half a sentence.
    pub meaning: &'static str,
}

impl RightShown {
    fn of(right: Right) -> RightShown {
        RightShown { name: right.exchange_name(), meaning: meaning(right) }
    }
}

/// All rights on receive connectors.
pub fn all() -> Vec<RightShown> {
    Right::ALL.into_iter().map(RightShown::of).collect()
}

/// Those that every host of an externally secured connector has.
pub fn externally_secured() -> Vec<RightShown> {
    let entries = PermissionGroup::ExchangeServers.entries();
    let its = entries
        .iter()
        .filter(|entry| entry.trustee == Trustee::ExternallySecuredServers && entry.access == Access::Allow);
    its.flat_map(|entry| entry.rights.iter()).map(RightShown::of).collect()
}

/// What the right of this name means.
pub fn meaning_of(name: &str) -> &'static str {
    Right::parse(name).map_or("", meaning)
}

fn meaning(right: Right) -> &'static str {
    match right {
        Right::Submit => "send mail through this connector at all",
        Right::AcceptAnyRecipient => "send to recipients outside your accepted domains: this makes a relay",
        Right::AcceptAuthenticationFlag => "messages count as authenticated and internal",
        Right::AcceptAnySender => "use any sender address",
        Right::AcceptAuthoritativeDomainSender => "use sender addresses of your own domains",
        Right::BypassAntiSpam => "pass the anti-spam filters by",
        Right::BypassMessageSizeLimit => "exceed the size limit of the connector",
        Right::AcceptExch50 => "send the property blob of older Exchange servers",
        Right::AcceptHeadersRouting => "keep Received and Resent fields of the header",
        Right::AcceptHeadersForest => "keep X-MS-Exchange-Forest fields of the header",
        Right::AcceptHeadersOrganization => "keep X-MS-Exchange-Organization fields of the header",
        Right::AcceptXShadow => "shadow redundancy between servers",
        Right::AcceptXAttr => "tell tenant and direction of messages",
        Right::AcceptXProxyFrom => "tell the true client, as a front end does",
        Right::AcceptXSessionParams => "hand over session hints between servers",
        Right::AcceptXSysProbe => "send monitoring probes",
        Right::SendXMessageContextAdRecipientCache => "hand over the recipient cache between servers",
        Right::SendXMessageContextExtendedProperties => "hand over extended properties between servers",
        Right::SendXMessageContextFastIndex => "hand over the search index between servers",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn externally_secured_hosts_have_the_nine_rights_of_the_article() {
        let names: Vec<&str> = externally_secured().iter().map(|right| right.name).collect();
        assert_eq!(names.len(), 9, "{names:?}");
        assert!(names.contains(&"ms-Exch-SMTP-Accept-Any-Recipient") && names.contains(&"ms-Exch-Bypass-Anti-Spam"));
        assert_eq!(meaning_of("MS-EXCH-SMTP-SUBMIT"), "send mail through this connector at all");
        assert_eq!(meaning_of("nonsense"), "");
    }
}
