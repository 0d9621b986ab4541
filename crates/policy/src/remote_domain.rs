//! Remote domains: what may be told to senders and servers of a domain that is not ours (fact sheet section 4.3).
//!
//! Takes the declared `[[remote_domain]]` and a domain, hands on the most specific one that covers it, or what holds
//! where nothing was declared; and whether an automatic reply may go to a recipient. Of Exchange's properties those are here that a transport can keep; the settings reader
//! says of the others why they are not.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::LazyLock;

use gatepost_mail::{Domain, Mailbox};

use crate::accepted_domain::{AcceptedDomains, suffixes};
use crate::refusal::Refusal;
use crate::send_connector::Space;

/// One `[[remote_domain]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteDomain {
    /// Which domains it is about; `*` is the default.
    pub domain: Space,
    /// Whether news of failure and of delay go there.
    pub ndr_enabled: bool,
    /// Whether news of success go there, where a sender asked for them.
    pub delivery_report_enabled: bool,
    /// Whether reports that go there may name what is inside: our servers, connectors and what they said.
    pub ndr_diagnostic_info_enabled: bool,
    /// Whether automatic replies of people's mailboxes go there.
    pub auto_reply_enabled: bool,
    /// Where its name stands in the settings document, in bytes.
    pub span: Range<usize>,
}

impl RemoteDomain {
    /// A remote domain to which everything may go, as Exchange makes a new one.
    pub fn new(domain: Space) -> RemoteDomain {
        RemoteDomain {
            domain,
            ndr_enabled: true,
            delivery_report_enabled: true,
            ndr_diagnostic_info_enabled: true,
            auto_reply_enabled: true,
            span: 0..0,
        }
    }
}

/// All remote domains, ready to be looked up.
#[derive(Clone, Debug, Default)]
pub struct RemoteDomains {
    declared: Vec<RemoteDomain>,
    exact: HashMap<Box<str>, usize>,
    suffixes: HashMap<Box<str>, usize>,
    all: Option<usize>,
}

impl RemoteDomains {
    /// Builds the table. Of two with the same name the first counts; the settings reader refuses the second.
    pub fn new(declared: Vec<RemoteDomain>) -> RemoteDomains {
        let mut domains = RemoteDomains::default();
        for (place, remote) in declared.iter().enumerate() {
            match &remote.domain {
                Space::Exact(domain) => *domains.exact.entry(domain.as_str().into()).or_insert(place),
                Space::WithSubdomains(domain) => *domains.suffixes.entry(domain.as_str().into()).or_insert(place),
                Space::All | Space::AcceptedDomains => *domains.all.get_or_insert(place),
            };
        }
        RemoteDomains { declared, ..domains }
    }

    /// As declared, in document order.
    pub fn iter(&self) -> std::slice::Iter<'_, RemoteDomain> {
        self.declared.iter()
    }
}

/// Whether a message that says of itself that it is an automatic reply (RFC 3834) may go to this recipient. To our own domains all may
/// go.
///
/// # Errors
/// The refusal, where the remote domain takes none.
pub fn decide_automatic_reply(
    recipient: &Mailbox,
    domains: &AcceptedDomains,
    remote_domains: &RemoteDomains,
) -> Result<(), Refusal> {
    let domain = recipient.domain();
    let may_go = domains.find(domain).is_some() || find(remote_domains, domain).auto_reply_enabled;
    may_go.then_some(()).ok_or(Refusal::AutomaticReplyDisabled)
}

/// What holds for `domain`: the domain itself, else the longest `*.` suffix, else `*`, else that everything may go there.
pub fn find<'a>(domains: &'a RemoteDomains, domain: &Domain) -> &'a RemoteDomain {
    static UNDECLARED: LazyLock<RemoteDomain> = LazyLock::new(|| RemoteDomain::new(Space::All));
    let name = domain.as_str();
    let parent = || {
        let mut parents = suffixes(name).filter(|_| !domain.is_literal());
        parents.find_map(|parent| domains.suffixes.get(parent))
    };
    let place = domains.exact.get(name).or_else(parent).copied().or(domains.all);
    place.and_then(|place| domains.declared.get(place)).unwrap_or(&UNDECLARED)
}
