//! Accepted domains: for which recipient domains mail is taken from anybody (fact sheet section 4.1).
//!
//! Takes domains, hands on which declared domain covers one. A look-up costs one map access per label.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use gatepost_mail::{Domain, Mailbox};

/// What an accepted domain means for its recipients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DomainKind {
    /// All recipients are here; an unknown one is refused.
    #[default]
    Authoritative,
    /// Some recipients are here, the others elsewhere in our organization.
    InternalRelay,
    /// We only pass mail on.
    ExternalRelay,
}

impl DomainKind {
    /// Every kind.
    pub const ALL: [DomainKind; 3] = [DomainKind::Authoritative, DomainKind::InternalRelay, DomainKind::ExternalRelay];

    /// The name as Exchange spells it.
    pub const fn exchange_name(self) -> &'static str {
        match self {
            DomainKind::Authoritative => "Authoritative",
            DomainKind::InternalRelay => "InternalRelay",
            DomainKind::ExternalRelay => "ExternalRelay",
        }
    }
}

/// One `[[accepted_domain]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedDomain {
    /// The domain, without a leading `*.`.
    pub domain: Domain,
    /// Whether it was written `*.contoso.com`: the domain and everything below it.
    pub with_subdomains: bool,
    /// What it means for its recipients.
    pub kind: DomainKind,
    /// Who gets the mail of recipients that are not here, in an authoritative domain.
    pub catch_all_recipient: Option<Mailbox>,
    /// Whether the next hop is asked about recipients that are not known here; never where all of them are.
    pub recipient_verification: bool,
    /// Where its name stands in the settings document, in bytes.
    pub span: Range<usize>,
}

/// As it was declared: `contoso.com` or `*.contoso.com`.
impl fmt::Display for AcceptedDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.with_subdomains { "*." } else { "" }, self.domain)
    }
}

/// All accepted domains, ready to be looked up.
#[derive(Clone, Debug, Default)]
pub struct AcceptedDomains {
    declared: Vec<AcceptedDomain>,
    /// Domain to place in `declared`, for domains declared without and with subdomains.
    exact: HashMap<Box<str>, usize>,
    suffixes: HashMap<Box<str>, usize>,
}

impl AcceptedDomains {
    /// Builds the table. Of two that declare the same name, the first counts; the settings reader refuses the second.
    pub fn new(declared: Vec<AcceptedDomain>) -> AcceptedDomains {
        let (mut exact, mut suffixes) = (HashMap::new(), HashMap::new());
        for (place, accepted) in declared.iter().enumerate() {
            let table = if accepted.with_subdomains { &mut suffixes } else { &mut exact };
            table.entry(accepted.domain.as_str().into()).or_insert(place);
        }
        AcceptedDomains { declared, exact, suffixes }
    }

    /// The accepted domain that covers `domain`: the exact one, else the longest `*.` suffix. `*.contoso.com` covers
    /// `contoso.com` too.
    pub fn find(&self, domain: &Domain) -> Option<&AcceptedDomain> {
        if let Some(place) = self.exact.get(domain.as_str()) {
            return Some(&self.declared[*place]);
        }
        if self.suffixes.is_empty() || domain.is_literal() {
            return None;
        }
        suffixes(domain.as_str()).find_map(|suffix| self.suffixes.get(suffix)).map(|place| &self.declared[*place])
    }

    /// Whether `domain` is one of our own: covered by an authoritative accepted domain.
    pub fn is_authoritative(&self, domain: &Domain) -> bool {
        self.find(domain).is_some_and(|accepted| accepted.kind == DomainKind::Authoritative)
    }

    /// As declared, in document order.
    pub fn iter(&self) -> std::slice::Iter<'_, AcceptedDomain> {
        self.declared.iter()
    }

    /// The default domain: the first authoritative one, as Exchange makes the first domain the default.
    pub fn default_domain(&self) -> Option<&Domain> {
        self.declared
            .iter()
            .find(|accepted| accepted.kind == DomainKind::Authoritative)
            .map(|accepted| &accepted.domain)
    }
}

/// The name itself and each parent, longest first: `a.b.c`, `b.c`, `c`.
pub(crate) fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
}
