//! Accepted domains: for which recipient domains mail is taken from anybody (fact sheet section 4.1).
//!
//! Takes domains, hands on which declared domain covers one. A look-up costs one map access, and one more for each number
//! of labels that a declared `*.` domain has; it allocates nothing.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use foldhash::fast::RandomState;
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
    /// Whether it is said to be the default domain; see [`AcceptedDomains::default_domain`].
    pub is_default: bool,
    /// Whether the next hop is asked about recipients that are not known here; never where all of them are.
    pub recipient_verification: bool,
    /// Where its name stands in the settings document, in bytes.
    pub span: Range<usize>,
}

/// Whether both lists say the same, wherever they stand in the settings document.
pub fn are_alike(one: &[AcceptedDomain], other: &[AcceptedDomain]) -> bool {
    let is_like = |(one, other): (&AcceptedDomain, &AcceptedDomain)| {
        *one == AcceptedDomain { span: one.span.clone(), ..other.clone() }
    };
    one.len() == other.len() && one.iter().zip(other).all(is_like)
}

/// As it was declared: `contoso.com` or `*.contoso.com`.
impl fmt::Display for AcceptedDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.with_subdomains { "*." } else { "" }, self.domain)
    }
}

/// Top-level names below which nobody can register a domain: those of RFC 2606, and what organizations use inside.
const PRIVATE_TOP_LEVEL: [&str; 13] = [
    "alt",
    "corp",
    "example",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
    "test",
];

/// Whether anybody may have a domain below this one, as below `com`.
pub fn is_public_top_level(domain: &Domain) -> bool {
    let name = domain.as_str();
    !domain.is_literal() && !name.contains('.') && !PRIVATE_TOP_LEVEL.contains(&name)
}

/// All accepted domains, ready to be looked up.
#[derive(Clone, Debug, Default)]
pub struct AcceptedDomains {
    declared: Vec<AcceptedDomain>,
    names: HashMap<Box<str>, Declared, RandomState>,
    suffix_labels: LabelCounts,
}

/// The places of a name in the list of declared ones.
#[derive(Clone, Copy, Debug, Default)]
struct Declared {
    exact: Option<u32>,
    with_subdomains: Option<u32>,
}

impl AcceptedDomains {
    /// Builds the table. Of two that declare the same name, the first counts; the settings reader refuses the second.
    pub fn new(declared: Vec<AcceptedDomain>) -> AcceptedDomains {
        let mut names: HashMap<Box<str>, Declared, RandomState> = HashMap::default();
        let mut suffix_labels = LabelCounts::default();
        for (place, accepted) in (0..).zip(&declared) {
            let name = names.entry(accepted.domain.as_str().into()).or_default();
            if accepted.with_subdomains {
                suffix_labels.insert(labels(accepted.domain.as_str()));
                name.with_subdomains.get_or_insert(place);
            } else {
                name.exact.get_or_insert(place);
            }
        }
        AcceptedDomains { declared, names, suffix_labels }
    }

    /// The accepted domain that covers `domain`: the exact one, else the longest `*.` suffix. `*.contoso.com` covers
    /// `contoso.com` too.
    pub fn find(&self, domain: &Domain) -> Option<&AcceptedDomain> {
        let whole = self.names.get(domain.as_str()).copied().unwrap_or_default();
        let covering = || match domain.is_literal() {
            true => None,
            false => self.find_parent(domain.as_str()),
        };
        let place = whole.exact.or(whole.with_subdomains).or_else(covering)?;
        self.declared.get(place as usize)
    }

    /// Domains are declared in few depths, so that most parents of a name need no look-up.
    fn find_parent(&self, name: &str) -> Option<u32> {
        if self.suffix_labels.is_empty() {
            return None;
        }
        let parents = (0..labels(name)).rev().zip(suffixes(name).skip(1));
        parents
            .filter(|(labels, _)| self.suffix_labels.contains(*labels))
            .find_map(|(_, parent)| self.names.get(parent)?.with_subdomains)
    }

    /// Whether `domain` is one of our own: covered by an authoritative accepted domain.
    pub fn is_authoritative(&self, domain: &Domain) -> bool {
        self.find(domain).is_some_and(|accepted| accepted.kind == DomainKind::Authoritative)
    }

    /// As declared, in document order.
    pub fn iter(&self) -> std::slice::Iter<'_, AcceptedDomain> {
        self.declared.iter()
    }

    /// The default domain: the one that is said to be it, else the first authoritative one, as Exchange makes the first
    /// domain the default.
    pub fn default_domain(&self) -> Option<&Domain> {
        let said = self.declared.iter().find(|accepted| accepted.is_default);
        let first = || self.declared.iter().find(|accepted| accepted.kind == DomainKind::Authoritative);
        said.or_else(first).map(|accepted| &accepted.domain)
    }
}

/// Some of the numbers of labels that a name can have; a legal one has fewer than 128.
#[derive(Clone, Copy, Debug, Default)]
struct LabelCounts(u128);

impl LabelCounts {
    fn insert(&mut self, labels: u32) {
        self.0 |= 1 << labels.min(u128::BITS - 1);
    }

    fn contains(self, labels: u32) -> bool {
        self.0 & 1 << labels.min(u128::BITS - 1) != 0
    }

    fn is_empty(self) -> bool {
        self.0 == 0
    }
}

fn labels(name: &str) -> u32 {
    (1..).zip(suffixes(name)).last().map_or(0, |(labels, _)| labels)
}

/// The name itself and each parent, longest first: `a.b.c`, `b.c`, `c`.
pub(crate) fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent))
}
