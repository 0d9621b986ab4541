//! Proof of what the settings open: for every IPv4 and IPv6 address, what may it do, where, as whom?
//!
//! Takes settings, hands on exposures (the whole answer, as the fewest ranges), findings (what is wrong with it) and the
//! difference between two settings. Works on the selector's segments, never by sampling. It decides nothing: connectors
//! come from `receive_connector::Selector`, rights from `permission::granted`, what they allow from `relay`, `sender`,
//! `limits` and `authentication` (invariant I12). Where an answer may depend on more than address and principal, the
//! worst case counts (`permission::granted_at_worst`).

use crate::settings::Settings;

mod difference;
mod finding;
mod passage;
mod upkeep;
mod exposure;
mod standing;
mod terms;
mod report;
mod host;

pub use difference::{Altered, Change, Whom, difference};
pub use exposure::Exposure;
pub(crate) use exposure::{Survey, addresses};
pub use finding::RELAY_ADDRESSES_MAX;
pub use host::HostAddresses;
pub(crate) use passage::strangers_may_submit;
pub use report::{ACCEPTED_RISK, Finding, Severity};
pub use standing::{Capability, Standing, Who, standings};
pub(crate) use standing::{authentication_is_possible, entry_granting, is_internal, principals};
pub use terms::{Limited, Term, Terms};

/// What the answer rests on.
pub const ASSUMPTION: &str = "addresses are those that this machine's kernel saw: behind NAT, a proxy or a container \
                              bridge, one address may stand for many hosts";

/// What the settings open.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Who may do what from where: every pair of listener and address from which a peer is heard at all, most dangerous
    /// first.
    pub exposures: Vec<Exposure>,
    /// What deserves a look, most severe first, then in the order of the document.
    pub findings: Vec<Finding>,
}

impl Audit {
    /// Audits `settings`, which were read from `document`, for every instant from `now_ms` on, on a machine that has these
    /// addresses.
    pub fn of(settings: &Settings, document: &str, host: &HostAddresses, now_ms: u64) -> Audit {
        let survey = Survey::of(settings, now_ms);
        let findings = finding::findings(settings, &survey, document, host);
        Audit { exposures: survey.exposures(settings), findings }
    }

    /// Whether a finding is critical.
    pub fn has_critical(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Critical)
    }
}
