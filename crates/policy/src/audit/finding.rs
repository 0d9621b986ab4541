//! What deserves a look in the settings: too much opened, nothing opened, or less than it seems.
//!
//! Takes the survey, hands on findings, each with its place in the document and the smallest remedy.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::exposure::Survey;
use super::host::{HostAddresses, Kind};
use super::report::{ACCEPTED_RISK, Finding, Report, Severity};
use super::standing::{Capability, authentication_is_possible, entry_granting, is_offered_without_tls, principals};
use super::{passage, upkeep};
use crate::accepted_domain::DomainKind;
use crate::access_entry::{Access, AccessEntry, Principal, Right, Source, Trustee};
use crate::address_set::{AddressSet, describe_range};
use crate::permission::granted_at_worst;
use crate::public_address::public;
use crate::receive_connector::{Mechanism, ReceiveConnector, select};
use crate::relay::Reach;
use crate::sender::Scope;
use crate::settings::Settings;

/// From so many addresses on one connector, relaying without authentication raises no eyebrow yet: a /24.
pub const RELAY_ADDRESSES_MAX: u128 = 256;

/// How many ranges stand in a message.
const RANGES_SHOWN_MAX: usize = 3;

/// All findings, most severe first, then in the order of the document.
pub(super) fn findings(settings: &Settings, survey: &Survey, document: &str, host: &HostAddresses) -> Vec<Finding> {
    let mut report = Report::of(document);
    for (place, connector) in settings.receive_connectors.iter().enumerate() {
        let seen = Seen { settings, connector, survey, place };
        if !connector.enabled {
            seen.disabled(&mut report);
            continue;
        }
        seen.open_to_strangers(&mut report);
        seen.trusted_hosts(host, &mut report);
        seen.both_options(&mut report);
        seen.own_domain_forging(&mut report);
        seen.headers_of_strangers(&mut report);
        seen.credentials_before_tls(&mut report);
        seen.ipv6_ranges_forgotten(&mut report);
        seen.never_matching(&mut report);
        seen.unusable_entries(&mut report);
    }
    ipv6_bindings_forgotten(settings, &mut report);
    passage::check(settings, survey, &mut report);
    upkeep::check(settings, survey, &mut report);
    report.finish()
}

/// A way of being open to peers who did not authenticate, and its words.
struct Opening {
    /// What makes it; none where the mechanism does.
    right: Option<Right>,
    may: &'static str,
    from_public: &'static str,
    from_many: &'static str,
}

const EXTERNALLY_SECURED: Opening = Opening {
    right: None,
    may: "are externally secured and may do nearly everything",
    from_public: "externally_secured_from_public",
    from_many: "externally_secured_from_many",
};
const ANONYMOUS_RELAY: Opening = Opening {
    right: Some(Right::AcceptAnyRecipient),
    may: "may relay to anyone without logging in",
    from_public: "anonymous_relay_from_public",
    from_many: "anonymous_relay_from_many",
};
const ANONYMOUS_INTERNAL: Opening = Opening {
    right: Some(Right::AcceptAuthenticationFlag),
    may: "count as internal without logging in",
    from_public: "anonymous_internal_from_public",
    from_many: "anonymous_internal_from_many",
};

/// One connector as the audit sees it.
struct Seen<'a> {
    settings: &'a Settings,
    connector: &'a ReceiveConnector,
    survey: &'a Survey,
    place: usize,
}

impl Seen<'_> {
    fn peers(&self) -> &AddressSet {
        &self.survey.peers[self.place]
    }

    fn add<'r>(
        &self,
        report: &'r mut Report,
        severity: Severity,
        code: &'static str,
        at: usize,
        texts: [String; 2],
    ) -> &'r mut Finding {
        report.add_about(self.connector, severity, code, at, texts)
    }

    /// Who peers are before they authenticate, and what they may do then.
    fn unauthenticated(&self) -> Option<(&Principal, &Capability)> {
        self.survey.unauthenticated(self.place)
    }

    /// The first entry that gives `right` to `principal`.
    fn entry_granting(&self, right: Right, principal: &Principal) -> Option<&AccessEntry> {
        entry_granting(self.connector, right, principal, self.survey.now_ms)
    }

    fn disabled(&self, report: &mut Report) {
        let texts = ["it is disabled: nobody is heard by it".into(), "enable it, or remove it".into()];
        self.add(report, Severity::Note, "connector_disabled", self.connector.span.start, texts);
    }

    /// Relaying or being trusted without authentication.
    fn open_to_strangers(&self, report: &mut Report) {
        let Some((principal, capability)) = self.unauthenticated() else { return };
        let relays = capability.reach == Reach::AnyRecipient;
        if *principal == Principal::ExternallySecured {
            if relays || capability.is_internal {
                self.open_by(&EXTERNALLY_SECURED, principal, report);
            }
            return;
        }
        if relays {
            self.open_by(&ANONYMOUS_RELAY, principal, report);
        }
        // An accepted risk is told once.
        if capability.is_internal && !(relays && self.connector.accept_risk.is_some()) {
            self.open_by(&ANONYMOUS_INTERNAL, principal, report);
        }
    }

    /// From public addresses, or from many.
    fn open_by(&self, opening: &Opening, principal: &Principal, report: &mut Report) {
        let may = opening.may;
        let strangers = self.peers().intersection(public());
        let entry = opening.right.and_then(|right| self.entry_granting(right, principal));
        let at = entry.map_or(self.connector.span.start, |entry| entry.span.start);
        // The settings that are put in force have a reason (`safeguard`).
        if let Some(risk) = self.connector.accept_risk.as_deref().filter(|_| !strangers.is_empty()) {
            let texts = [
                format!(
                    "accepted risk: public addresses {may}: it hears {}; the reason is \"{}\"",
                    self.peers().describe(RANGES_SHOWN_MAX),
                    risk.reason
                ),
                "look from time to time whether the reason still holds".to_owned(),
            ];
            self.add(report, Severity::Note, ACCEPTED_RISK, risk.span.start, texts).sources = strangers;
            return;
        }
        if !strangers.is_empty() {
            let take_away = match entry.zip(opening.right) {
                Some((entry, right)) => format!("take {right} from {}", entry.trustee),
                None => "take ExternalAuthoritative from auth_mechanism".to_owned(),
            };
            let texts = [
                format!("public addresses {may}: it hears {}", self.peers().describe(RANGES_SHOWN_MAX)),
                format!(
                    "{take_away} and let such peers log in (ExchangeUsers with Tls, BasicAuth, BasicAuthRequireTLS), or \
                     narrow remote_ip_ranges to private addresses"
                ),
            ];
            self.add(report, Severity::Critical, opening.from_public, at, texts).sources = strangers;
            return;
        }
        let count = self.peers().count();
        if count > RELAY_ADDRESSES_MAX {
            let count = if count > 1 << 32 { "more than 2^32".to_owned() } else { count.to_string() };
            let texts = [
                format!("{count} addresses {may}: it hears {}", self.peers().describe(RANGES_SHOWN_MAX)),
                format!("narrow remote_ip_ranges to the hosts that need it, at most {RELAY_ADDRESSES_MAX}"),
            ];
            self.add(report, Severity::Warning, opening.from_many, at, texts).sources = self.peers().clone();
        }
    }

    /// Addresses behind which strangers may hide, where trust in an address is all there is. Where public addresses are
    /// trusted too, there is nobody left to hide.
    fn trusted_hosts(&self, host: &HostAddresses, report: &mut Report) {
        let Some((_, capability)) = self.unauthenticated() else { return };
        let is_trusted = capability.reach == Reach::AnyRecipient || capability.is_internal;
        if !is_trusted || !self.peers().intersection(public()).is_empty() {
            return;
        }
        for (kind, addresses) in host.within(self.peers()) {
            let text = addresses.describe(RANGES_SHOWN_MAX);
            // Proxies come from the address that the kernel takes where nobody chooses.
            let [localhost, localhost6] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            let proxies_too = addresses.contains(localhost) || addresses.contains(localhost6);
            let (severity, code, message, remedy) = match kind {
                Kind::Gateway => (
                    Severity::Critical,
                    "trusted_gateway",
                    format!(
                        "it trusts {text}, the default gateway: where that translates addresses, strangers come from it"
                    ),
                    "take that address out of remote_ip_ranges; if strangers reach this port through NAT, let the NAT keep \
                     their addresses",
                ),
                Kind::Bridge => (
                    Severity::Critical,
                    "trusted_bridge",
                    format!(
                        "it trusts {text}, this host on a bridge: what a container proxy passes on, strangers' mail too, \
                         may come from it"
                    ),
                    "take that address out of remote_ip_ranges; name the containers, or let them log on",
                ),
                Kind::Own => (
                    Severity::Warning,
                    "trusted_own_address",
                    format!(
                        "it trusts {text}, this host: whatever a proxy or port forwarding on it passes on is trusted too"
                    ),
                    "take that address out of remote_ip_ranges unless a program on this host needs it",
                ),
                Kind::Loopback => (
                    Severity::Warning,
                    "trusted_loopback",
                    format!(
                        "it trusts loopback, {text}: every program and every user of this host may use it{}",
                        if proxies_too { ", proxies too" } else { "" }
                    ),
                    match proxies_too {
                        true => {
                            "let local programs log on, or give them a loopback address of their own such as 127.0.0.2 \
                             and trust only that"
                        }
                        false => "let local programs log on, or take it out once a trial is over",
                    },
                ),
            };
            // The range that lets it in, if it is one.
            let ranges = self.connector.remote_ip_ranges.iter();
            let mut holding = ranges.filter(|range| addresses.overlaps(range.first, range.last));
            let at = holding.next().map_or(self.connector.span.start, |range| range.span.start);
            self.add(report, severity, code, at, [message, remedy.to_owned()]).sources = addresses;
        }
    }

    /// Fact sheet section 2.6: one or the other, never both.
    fn both_options(&self, report: &mut Report) {
        let Some(entry) = self.entry_beside_external() else { return };
        let what = match entry.source {
            Source::Group(group) => format!("permission group {}", group.exchange_name()),
            Source::Extra => format!("the entry for {}", entry.trustee),
        };
        let texts = [
            format!("both ways of relaying are mixed: ExternalAuthoritative, and {what} for anonymous peers"),
            format!("remove {what}, or, to give its hosts less, ExternalAuthoritative and ExchangeServers"),
        ];
        self.add(report, Severity::Warning, "both_options", entry.span.start, texts);
    }

    /// On an externally secured connector, what would open it to anonymous peers: the other option.
    fn entry_beside_external(&self) -> Option<&AccessEntry> {
        if !self.connector.auth_mechanism.contains(Mechanism::ExternalAuthoritative) {
            return None;
        }
        let granting = |right| self.entry_granting(right, &Principal::Anonymous);
        granting(Right::AcceptAnyRecipient)
            .or_else(|| granting(Right::Submit))
            .filter(|entry| !entry.trustee.covers(&Principal::ExternallySecured))
    }

    fn own_domain_forging(&self, report: &mut Report) {
        let Some((principal @ Principal::Anonymous, capability)) = self.unauthenticated() else { return };
        let has_own = self.settings.accepted_domains.iter().any(|accepted| accepted.kind == DomainKind::Authoritative);
        let strangers = self.peers().intersection(public());
        if capability.senders < Scope::AnyAddress || !has_own || strangers.is_empty() {
            return;
        }
        let texts = [
            format!(
                "public addresses may write as our own domains: it hears {}",
                self.peers().describe(RANGES_SHOWN_MAX)
            ),
            format!(
                "deny it: [[receive_connector.permission]] with user = \"{}\", deny = true, extended_rights = [\"{}\"]",
                principal.to_string().replace('\\', "\\\\"),
                Right::AcceptAuthoritativeDomainSender
            ),
        ];
        let at = self.connector.span.start;
        self.add(report, Severity::Warning, "own_domain_forging", at, texts).sources = strangers;
    }

    /// Fields by which servers of the organization tell one another what they found out. Whoever may bring them says so
    /// of its own message, and readers and servers behind us believe it.
    fn headers_of_strangers(&self, report: &mut Report) {
        let Some((principal @ Principal::Anonymous, _)) = self.unauthenticated() else { return };
        let rights = granted_at_worst(self.connector, principal, self.survey.now_ms);
        let families = [Right::AcceptHeadersOrganization, Right::AcceptHeadersForest];
        let Some(right) = families.into_iter().find(|right| rights.contains(*right)) else { return };
        let strangers = self.peers().intersection(public());
        let Some(entry) = self.entry_granting(right, principal).filter(|_| !strangers.is_empty()) else { return };
        let texts = [
            format!(
                "public addresses may bring header fields that only servers of our organization write ({right}): it hears {}",
                self.peers().describe(RANGES_SHOWN_MAX)
            ),
            format!("remove {right} from the entry, or narrow remote_ip_ranges"),
        ];
        self.add(report, Severity::Warning, "headers_of_strangers", entry.span.start, texts).sources = strangers;
    }

    fn credentials_before_tls(&self, report: &mut Report) {
        if !is_offered_without_tls(self.connector) || self.peers().is_empty() {
            return;
        }
        let texts = [
            "passwords are taken without TLS, readable on the way".into(),
            "write auth_mechanism = [\"Tls\", \"BasicAuth\", \"BasicAuthRequireTLS\"]".into(),
        ];
        self.add(report, Severity::Warning, "credentials_before_tls", self.connector.span.start, texts);
    }

    /// A connector for all of IPv4 that listens on IPv6 too and has no word about its peers.
    fn ipv6_ranges_forgotten(&self, report: &mut Report) {
        let ranges = &self.connector.remote_ip_ranges;
        let Some(binding) = self.connector.bindings.iter().find(|binding| binding.address.is_ipv6()) else { return };
        let every_v4 = AddressSet::of([(IpAddr::from([0; 4]), IpAddr::from([255; 4]))]);
        let v4 = ranges.iter().filter(|range| range.first.is_ipv4()).map(|range| (range.first, range.last));
        if ranges.iter().any(|range| range.first.is_ipv6()) || AddressSet::of(v4) != every_v4 {
            return;
        }
        let texts = [
            format!(
                "it hears all of IPv4 and is bound to {}, but has no IPv6 range: IPv6 peers fall to another connector or to none",
                binding.address
            ),
            "add \"::/0\" to remote_ip_ranges, or remove the IPv6 binding".into(),
        ];
        self.add(report, Severity::Note, "ipv6_range_forgotten", binding.span.start, texts);
    }

    fn never_matching(&self, report: &mut Report) {
        let connector = self.connector;
        if self.peers().is_empty() {
            let texts = [
                format!("it can never be selected: {}", self.why_never(connector.remote_ip_ranges.first())),
                "give it a more specific range or a binding of its own, or remove it".into(),
            ];
            self.add(report, Severity::Warning, "connector_never_matches", connector.span.start, texts);
            return;
        }
        for range in &connector.remote_ip_ranges {
            if self.peers().overlaps(range.first, range.last) {
                continue;
            }
            let texts = [
                format!("the range {range} can never match: {}", self.why_never(Some(range))),
                "remove it, or make it more specific".into(),
            ];
            let finding = self.add(report, Severity::Note, "range_never_matches", range.span.start, texts);
            finding.sources = AddressSet::of([(range.first, range.last)]);
        }
    }

    fn why_never(&self, range: Option<&crate::receive_connector::RemoteRange>) -> String {
        let Some(range) = range else { return "it has no range".to_owned() };
        let family = if range.first.is_ipv4() { "IPv4" } else { "IPv6" };
        let mut bindings = self.connector.bindings.iter().map(|binding| binding.address);
        let Some(local) = bindings.find(|local| local.ip().to_canonical().is_ipv4() == range.first.is_ipv4()) else {
            return format!("it has no {family} binding for {}", describe_range(range.first, range.last));
        };
        match select(&self.settings.selector, local, range.first, self.survey.now_ms) {
            Some(other) => format!("more specific ranges, such as those of {}, cover it", other.name),
            None => "nothing is selected there".to_owned(),
        }
    }

    /// Entries and groups that speak of nobody who can come here, or of peers who may not even submit.
    fn unusable_entries(&self, report: &mut Report) {
        let arising = principals(self.connector, self.settings, self.survey.now_ms);
        // Told already.
        let mixed = self.entry_beside_external().map(|entry| &entry.span);
        for group in self.connector.permission_groups.iter() {
            let mut entries = self.connector.entries.iter().filter(|entry| entry.source == Source::Group(group));
            let Some(entry) = entries.clone().next() else { continue };
            if mixed == Some(&entry.span)
                || entries.any(|entry| arising.iter().any(|principal| entry.trustee.covers(principal)))
            {
                continue;
            }
            let texts = [
                format!(
                    "permission group {} has no effect: {}",
                    group.exchange_name(),
                    self.why_absent(&entry.trustee)
                ),
                format!("remove {} from permission_groups", group.exchange_name()),
            ];
            self.add(report, Severity::Note, "unusable_group", entry.span.start, texts);
        }
        for entry in self.connector.entries.iter().filter(|entry| entry.source == Source::Extra) {
            let covered: Vec<_> = arising.iter().filter(|principal| entry.trustee.covers(principal)).collect();
            let may_submit = |principal: &&Principal| {
                granted_at_worst(self.connector, principal, self.survey.now_ms).contains(Right::Submit)
            };
            let texts = if mixed == Some(&entry.span) {
                continue;
            } else if covered.is_empty() {
                [
                    format!("the entry for {} has no effect: {}", entry.trustee, self.why_absent(&entry.trustee)),
                    "remove the entry, or change auth_mechanism so that such peers exist".into(),
                ]
            } else if entry.access == Access::Allow && !covered.iter().any(may_submit) {
                [
                    format!(
                        "the entry for {} has no effect: without {} nothing is taken",
                        entry.trustee,
                        Right::Submit
                    ),
                    format!("add {} or the permission group that holds it, or remove the entry", Right::Submit),
                ]
            } else {
                continue;
            };
            self.add(report, Severity::Warning, "unusable_right", entry.span.start, texts);
        }
    }

    fn why_absent(&self, trustee: &Trustee) -> String {
        let user_is_known = |name: &str| self.settings.find_user(name).is_some();
        match trustee {
            Trustee::User(name) if !user_is_known(name) => format!("there is no user {name}"),
            Trustee::User(_) | Trustee::Group(_) | Trustee::AuthenticatedUsers
                if !authentication_is_possible(self.connector) =>
            {
                "nobody can log in here, since auth_mechanism offers no AUTH".to_owned()
            }
            Trustee::User(_) | Trustee::Group(_) | Trustee::AuthenticatedUsers => "there is no [[user]] yet".to_owned(),
            Trustee::AnonymousLogon => "peers are externally secured from the first moment, never anonymous".to_owned(),
            Trustee::ExternallySecuredServers => "auth_mechanism lacks ExternalAuthoritative".to_owned(),
            Trustee::PartnerServers if !self.connector.domain_secure_enabled => {
                "no certificates are asked for, since domain_secure_enabled is false".to_owned()
            }
            Trustee::PartnerServers => "tls_receive_domain_secure_list is empty".to_owned(),
            Trustee::LegacyExchangeServers => {
                "nothing that a peer can show makes it an Exchange 2003 server".to_owned()
            }
            _ if !self.connector.auth_mechanism.contains(Mechanism::ExchangeServer) => {
                "auth_mechanism lacks ExchangeServer".to_owned()
            }
            _ => "no [[trusted_server]] is declared".to_owned(),
        }
    }
}

/// A port on all IPv4 addresses and on no IPv6 address. Told once for each port, at its first binding.
fn ipv6_bindings_forgotten(settings: &Settings, report: &mut Report) {
    let enabled = settings.receive_connectors.iter().filter(|connector| connector.enabled);
    let bindings = enabled
        .flat_map(|connector| connector.bindings.iter().map(move |binding| (connector, binding.address, binding)));
    let heard = bindings.clone().filter(|(_, local, _)| local.is_ipv6() && !local.ip().is_loopback());
    let mut told: HashSet<u16> = heard.map(|(_, local, _)| local.port()).collect();
    for (connector, local, binding) in bindings {
        if !local.is_ipv4() || !local.ip().is_unspecified() || !told.insert(local.port()) {
            continue;
        }
        let port = local.port();
        let finding = report.add(
            Severity::Note,
            "ipv6_binding_forgotten",
            binding.span.start,
            format!("port {port} hears all of IPv4 and nothing of IPv6"),
            format!(
                "add \"[::]:{port}\" to bindings and IPv6 ranges to remote_ip_ranges, if hosts are to come by IPv6"
            ),
        );
        finding.connector = Some(connector.name.clone());
    }
}
