//! The audit of the settings in force: computed once, kept for whoever asks.
//!
//! Takes the document in force, hands on its audit with the addresses grouped by what they may do at worst. Computes it anew
//! when the document, this machine's addresses or an expiry make it another one. Blocking.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gatepost_policy::Settings;
use gatepost_policy::address_set::AddressSet;
use gatepost_policy::audit::{Audit, Capability, Exposure, HostAddresses};
use gatepost_policy::note::Note;
use gatepost_policy::relay::Reach;
use gatepost_tracking::RevisionId;

use crate::clock::now_ms;
use crate::document::Document;
use crate::host;

/// What an address may do at worst, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Send to anyone without authentication.
    Open,
    /// Send to anyone, once it has proven who it is.
    Relay,
    /// Send to the accepted domains.
    Submit,
    /// Connect.
    Heard,
}

impl Level {
    /// All of them, the worst first.
    pub const ALL: [Level; 4] = [Level::Open, Level::Relay, Level::Submit, Level::Heard];

    /// In the API.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Open => "open",
            Level::Relay => "relay",
            Level::Submit => "submit",
            Level::Heard => "heard",
        }
    }

    /// That of one exposure.
    pub fn of(exposure: &Exposure) -> Level {
        match exposure.standing.capability.as_ref().map(|capability| capability.reach) {
            Some(Reach::AnyRecipient) if exposure.standing.who.is_unauthenticated() => Level::Open,
            Some(Reach::AnyRecipient) => Level::Relay,
            Some(Reach::AcceptedDomains) => Level::Submit,
            None => Level::Heard,
        }
    }
}

/// An audit, and for how long it is true.
pub struct KeptAudit {
    /// What was found.
    pub audit: Audit,
    /// The addresses of each of [`Level::ALL`]; an address may be in several.
    pub levels: [AddressSet; 4],
    /// Those of [`Level::Open`] that are so only for certain messages, or until some day.
    pub open_under_conditions: AddressSet,
    /// How many receive connectors are enabled.
    pub connectors: usize,
    /// The document.
    pub document: RevisionId,
    /// When it was computed.
    pub made_ms: u64,
    /// When something expires or comes into force by that.
    until_ms: Option<u64>,
    host: HostAddresses,
}

impl KeptAudit {
    fn of(document: &Document, host: HostAddresses, now_ms: u64) -> KeptAudit {
        let settings = &document.settings;
        let audit = Audit::of(settings, &document.text, &host, now_ms);
        let addresses = |is_one: &dyn Fn(&&Exposure) -> bool| {
            AddressSet::of(audit.exposures.iter().filter(is_one).flat_map(|exposure| exposure.sources.ranges()))
        };
        let levels = Level::ALL.map(|level| addresses(&|exposure| Level::of(exposure) == level));
        let for_all = addresses(&|exposure| Level::of(exposure) == Level::Open && !relays_under_conditions(exposure));
        KeptAudit {
            open_under_conditions: levels[Level::Open as usize].intersection(&for_all.complement()),
            levels,
            connectors: settings.receive_connectors.iter().filter(|connector| connector.enabled).count(),
            document: document.id(),
            made_ms: now_ms,
            until_ms: next_expiry_ms(settings, now_ms),
            host,
            audit,
        }
    }

    /// The addresses of a level.
    pub fn at(&self, level: Level) -> &AddressSet {
        &self.levels[level as usize]
    }

    fn is_of(&self, document: &Document, host: &HostAddresses, now_ms: u64) -> bool {
        let is_true = self.until_ms.is_none_or(|until_ms| (self.made_ms..until_ms).contains(&now_ms));
        self.document == document.id() && self.host == *host && is_true
    }
}

/// Whether sending to anyone hangs on a condition, or ends some day.
pub fn relays_under_conditions(exposure: &Exposure) -> bool {
    exposure.standing.capability.as_ref().is_some_and(Capability::relays_under_terms)
}

/// When the next of all notes expires.
fn next_expiry_ms(settings: &Settings, now_ms: u64) -> Option<u64> {
    let connectors = settings.receive_connectors.iter();
    let of_connectors = connectors.flat_map(|connector| {
        let entries = connector.entries.iter().map(|entry| entry.note.as_deref());
        entries.chain(connector.remote_ip_ranges.iter().map(|range| range.note.as_deref()))
    });
    let of_servers = settings.trusted_servers.iter().map(|server| server.note.as_deref());
    let expiry = |note: Option<&Note>| note.and_then(|note| note.expires_ms).filter(|expires_ms| *expires_ms > now_ms);
    of_connectors.chain(of_servers).filter_map(expiry).min()
}

/// The newest audit.
#[derive(Default)]
pub struct Audits {
    kept: Mutex<Option<Arc<KeptAudit>>>,
    was_asked: AtomicBool,
}

impl Audits {
    /// The audit of the document in force. The first who asks after a change waits for it.
    pub fn of(&self, document: &Document) -> Arc<KeptAudit> {
        self.was_asked.store(true, Ordering::Relaxed);
        self.keep(document, now_ms())
    }

    /// The settings that the server starts with, where somebody will look at them soon. As [`Audits::renew`].
    pub fn begin(self: &Arc<Self>, document: &Arc<Document>) {
        self.was_asked.store(true, Ordering::Relaxed);
        self.renew(document);
    }

    /// Other settings are in force: audits them ahead, where somebody wanted to know about those before. Must be called
    /// within the runtime.
    pub fn renew(self: &Arc<Self>, document: &Arc<Document>) {
        if self.was_asked.swap(false, Ordering::Relaxed) {
            let (audits, document) = (self.clone(), document.clone());
            tokio::task::spawn_blocking(move || audits.keep(&document, now_ms()));
        }
    }

    fn keep(&self, document: &Document, now_ms: u64) -> Arc<KeptAudit> {
        let host = host::addresses();
        // Held while it is computed: nobody computes it a second time.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_of(document, &host, now_ms)) {
            return kept.clone();
        }
        let fresh = Arc::new(KeptAudit::of(document, host, now_ms));
        *kept = Some(fresh.clone());
        fresh
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const EXPIRES_MS: u64 = 4_102_444_800_000;

    fn document(range: &str) -> Document {
        let text = format!(
            "[server]\nname = \"mail.contoso.com\"\ndata_dir = \"/nowhere\"\n[[accepted_domain]]\nname = \"contoso.com\"\n\
             domain_type = \"Authoritative\"\n[[receive_connector]]\nname = \"Relay\"\nbindings = [\"127.0.0.1:25\"]\n\
             remote_ip_ranges = [\"{range}\"]\npermission_groups = [\"AnonymousUsers\"]\n\
             [[receive_connector.permission]]\nuser = \"NT AUTHORITY\\\\ANONYMOUS LOGON\"\n\
             extended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\nexpires = \"2100-01-01T00:00:00Z\"\n"
        );
        Document::draft(PathBuf::from("/gatepost.toml"), text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn an_audit_is_kept_until_the_document_or_an_expiry_makes_it_another() {
        let (audits, document, other) = (Audits::default(), document("10.0.0.5"), document("10.0.0.6"));
        let first = audits.keep(&document, 1_000);
        assert!(Arc::ptr_eq(&first, &audits.keep(&document, EXPIRES_MS - 1)), "nothing has changed");
        assert!(first.at(Level::Open).contains("10.0.0.5".parse().expect("an address")));
        assert!(first.open_under_conditions.contains("10.0.0.5".parse().expect("an address")), "until some day");
        let expired = audits.keep(&document, EXPIRES_MS);
        assert!(!Arc::ptr_eq(&first, &expired), "an entry has expired");
        assert!(expired.at(Level::Open).is_empty());
        let changed = audits.keep(&other, 1_000);
        assert!(changed.at(Level::Open).contains("10.0.0.6".parse().expect("an address")));
    }
}
