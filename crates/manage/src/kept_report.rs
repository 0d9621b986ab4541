//! Reports that were signed a moment ago: whoever asks again gets the same one, and no second line in the record of acts.
//!
//! Takes who asks for which report, hands on the one that is kept or has it written, one at a time. A report is as long as the settings
//! are, and each costs an audit that may have to be made, a signature and a line in the record: nobody is to push the lines of others out
//! of it by asking.

use std::sync::{Arc, Weak};

use axum::body::Bytes;
use tokio::sync::Mutex;

use crate::kept_audit::KeptAudit;
use crate::resource::ReportFormat;

/// For so long a report is handed out again to whoever asked for it.
const KEPT_MS: u64 = 60_000;
/// More are not kept: the one that was asked for first goes first.
const KEPT_MAX: usize = 8;
/// Longer ones are kept by themselves alone.
const KEPT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A report as it is handed out.
#[derive(Clone, Debug)]
pub struct Written {
    /// The whole file.
    pub file: Bytes,
    /// Whether it is the one of a moment ago.
    pub is_again: bool,
}

struct Kept {
    who: String,
    format: ReportFormat,
    /// Only to be compared: settings that are in force no more are not held in memory by what was once said of them.
    audit: Weak<KeptAudit>,
    revision: u64,
    signed_by: String,
    made_ms: u64,
    file: Bytes,
}

/// What somebody asks for.
pub struct Wanted<'a> {
    /// Who they are, and from where they ask.
    pub who: &'a str,
    /// In which form.
    pub format: ReportFormat,
    /// Of what.
    pub audit: &'a Arc<KeptAudit>,
    /// Of which revision.
    pub revision: u64,
    /// The key that signs it.
    pub signed_by: &'a str,
    /// When they ask.
    pub now_ms: u64,
}

impl Kept {
    fn is(&self, wanted: &Wanted<'_>) -> bool {
        let is_recent = (self.made_ms..self.made_ms.saturating_add(KEPT_MS)).contains(&wanted.now_ms);
        let is_of_it = std::ptr::eq(self.audit.as_ptr(), Arc::as_ptr(wanted.audit)) && self.revision == wanted.revision;
        is_recent
            && is_of_it
            && (self.who.as_str(), self.format, self.signed_by.as_str())
                == (wanted.who, wanted.format, wanted.signed_by)
    }
}

/// The newest reports.
#[derive(Default)]
pub struct Reports(Mutex<Vec<Kept>>);

impl Reports {
    /// The report that is kept, or else the one that `write` makes; the next one is written once this one is.
    ///
    /// # Errors
    /// Those of `write`.
    pub async fn of<E>(
        &self,
        wanted: &Wanted<'_>,
        write: impl Future<Output = Result<String, E>>,
    ) -> Result<Written, E> {
        let mut kept = self.0.lock().await;
        if let Some(known) = kept.iter().find(|kept| kept.is(wanted)) {
            return Ok(Written { file: known.file.clone(), is_again: true });
        }
        let file = Bytes::from(write.await?);
        kept.retain(|kept| kept.audit.strong_count() > 0 && wanted.now_ms.saturating_sub(kept.made_ms) < KEPT_MS);
        let fits = |kept: &[Kept]| {
            let bytes: usize = kept.iter().map(|kept| kept.file.len()).sum();
            kept.len() < KEPT_MAX && bytes + file.len() <= KEPT_BYTES_MAX
        };
        while !kept.is_empty() && !fits(&kept) {
            kept.remove(0);
        }
        let Wanted { who, format, audit, revision, signed_by, now_ms } = *wanted;
        kept.push(Kept {
            who: who.to_owned(),
            format,
            audit: Arc::downgrade(audit),
            revision,
            signed_by: signed_by.to_owned(),
            made_ms: now_ms,
            file: file.clone(),
        });
        Ok(Written { file, is_again: false })
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::path::PathBuf;

    use super::*;
    use crate::document::Document;
    use crate::kept_audit::Audits;

    fn audit(range: &str) -> Arc<KeptAudit> {
        let text = format!(
            "[server]\nname = \"mail.contoso.com\"\ndata_dir = \"/nowhere\"\n[[receive_connector]]\nname = \"Relay\"\n\
             bindings = [\"127.0.0.1:25\"]\nremote_ip_ranges = [\"{range}\"]\n"
        );
        let document = Document::draft(PathBuf::from("/gatepost.toml"), text).unwrap_or_else(|error| panic!("{error}"));
        Audits::default().of(&document)
    }

    #[tokio::test]
    async fn whoever_asks_again_within_a_minute_gets_the_same_report() {
        let (reports, audit, other) = (Reports::default(), audit("10.0.0.1"), audit("10.0.0.2"));
        fn wanted<'a>(
            who: &'a str,
            format: ReportFormat,
            audit: &'a Arc<KeptAudit>,
            revision: u64,
            now_ms: u64,
        ) -> Wanted<'a> {
            Wanted { who, format, audit, revision, signed_by: "1234", now_ms }
        }
        let (json, html) = (ReportFormat::Json, ReportFormat::Html);
        for (place, (wanted, is_again)) in [
            (wanted("alice", json, &audit, 1, 1_000), false),
            (wanted("alice", json, &audit, 1, 1_000 + KEPT_MS - 1), true),
            (wanted("alice", html, &audit, 1, 2_000), false),
            (wanted("bob", json, &audit, 1, 2_000), false),
            (wanted("alice", json, &other, 1, 2_000), false),
            (wanted("alice", json, &audit, 2, 2_000), false),
            (wanted("bob", json, &audit, 1, 2_001), true),
            // Their session from elsewhere: another report, which says so.
            (wanted("bob (10.0.0.9)", json, &audit, 1, 2_001), false),
            (Wanted { signed_by: "5678", ..wanted("bob", json, &audit, 1, 2_001) }, false),
            (wanted("alice", json, &audit, 1, 1_000 + KEPT_MS), false),
            // A clock that was set back makes no report last.
            (wanted("bob", json, &audit, 1, 1), false),
        ]
        .into_iter()
        .enumerate()
        {
            let written = reports.of(&wanted, async { Ok::<_, Infallible>(place.to_string()) }).await;
            let Ok(written) = written;
            assert_eq!(written.is_again, is_again, "{place}");
        }
        for revision in 10..20 {
            let wanted = wanted("alice", json, &audit, revision, 3_000);
            let Ok(_) = reports.of(&wanted, async { Ok::<_, Infallible>(String::new()) }).await;
        }
        assert_eq!(reports.0.lock().await.len(), KEPT_MAX);
        // Of settings that are gone no audit is held, and no report is kept beside the next one.
        let gone = Arc::downgrade(&audit);
        drop(audit);
        assert!(gone.upgrade().is_none());
        let wanted = wanted("alice", json, &other, 1, 3_000);
        let Ok(_) = reports.of(&wanted, async { Ok::<_, Infallible>(String::new()) }).await;
        assert_eq!(reports.0.lock().await.len(), 1);
    }
}
