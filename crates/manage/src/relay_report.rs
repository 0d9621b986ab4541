//! The audit of the settings in force as a file that somebody takes away: a page to print, or JSON, signed on its last line.
//!
//! Takes a kept audit with the document that it is of; hands on the text of the file. Decides nothing, and asks nobody: what it says
//! is what the audit says. `signing` says what the last line holds.

use askama::Template;
use gatepost_policy::address_set::describe_range;
use gatepost_policy::assertion::Assertion;
use gatepost_policy::audit::ASSUMPTION;
use gatepost_policy::note::instant;
use gatepost_policy::permission::Access;

use crate::document::Document;
use crate::explanation::size;
use crate::exposure_text::{
    listeners_text, more_terms, more_words, reach_terms, reach_words, sender_terms, sender_words, severity_look,
    sources_text,
};
use crate::kept_audit::KeptAudit;
use crate::resource::{ExposedFinding, ExposedRow, ExposureReport, ReportFormat, ReportedAssertion};
use crate::signing::{Form, PublicKey, SigningKey};
use crate::surface;

/// The form of a report, by which a program knows what it says: 2 since terms stand beside the rights.
const FORM: u32 = 2;

/// Of what, and for whom.
pub struct Subject<'a> {
    /// The audit.
    pub kept: &'a KeptAudit,
    /// The document that it is of.
    pub document: &'a Document,
    /// Its revision.
    pub revision: u64,
    /// Who asks.
    pub made_by: String,
    /// When.
    pub made_ms: u64,
}

/// Why a report cannot be written: a bug of ours.
#[derive(Debug, thiserror::Error)]
#[error("the report could not be written, which is a bug of ours")]
pub struct NotWritten;

/// The whole file.
///
/// # Errors
/// [`NotWritten`].
pub fn file(subject: Subject<'_>, format: ReportFormat, key: &SigningKey) -> Result<String, NotWritten> {
    let report = report(subject, &key.public());
    match format {
        ReportFormat::Json => {
            let text = serde_json::to_string_pretty(&report).map_err(|_| NotWritten)?;
            Ok(key.sign(Form::Json, text))
        }
        ReportFormat::Html => Ok(key.sign(Form::Html, Sheet::of(&report).render().map_err(|_| NotWritten)?)),
    }
}

fn report(subject: Subject<'_>, key: &PublicKey) -> ExposureReport {
    let Subject { kept, document, revision, made_by, made_ms } = subject;
    let settings = &document.settings;
    ExposureReport {
        form: FORM,
        server: settings.server.name.as_str().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        made_by,
        made_at: instant(made_ms),
        revision,
        document: kept.document.to_string(),
        sentence: surface::sentence(kept),
        assumption: ASSUMPTION.to_owned(),
        exposures: kept.audit.exposures.iter().map(|shown| surface::row(shown, usize::MAX)).collect(),
        findings: kept.audit.findings.iter().map(surface::finding).collect(),
        assertions: settings.assertions.iter().map(assertion).collect(),
        signed_by: key.fingerprint(),
        signature: None,
    }
}

fn assertion(assertion: &Assertion) -> ReportedAssertion {
    let access = match assertion.access {
        Access::Allow => "allow",
        Access::Deny => "deny",
    };
    ReportedAssertion {
        comment: assertion.comment.as_deref().unwrap_or_default().to_owned(),
        who: assertion.who.to_string(),
        sources: sources_text(&assertion.sources),
        listeners: assertion.listeners.clone(),
        access: access.to_owned(),
        powers: assertion.powers.iter().map(ToString::to_string).collect(),
    }
}

#[derive(Template)]
#[template(path = "relay_report.html")]
struct Sheet<'a> {
    report: &'a ExposureReport,
    rows: Vec<Row<'a>>,
    findings: Vec<(&'static str, &'a ExposedFinding)>,
    assertions: Vec<(&'a ReportedAssertion, String)>,
}

struct Row<'a> {
    shown: &'a ExposedRow,
    /// Every range of it.
    from: Vec<String>,
    listeners: String,
    look: &'static str,
    may: &'static str,
    reach_terms: &'a str,
    senders: &'static str,
    sender_terms: Vec<String>,
    also: String,
    more_terms: Vec<String>,
}

impl<'a> Sheet<'a> {
    fn of(report: &'a ExposureReport) -> Sheet<'a> {
        Sheet {
            rows: report.exposures.iter().map(Row::of).collect(),
            findings: report.findings.iter().map(|finding| (severity_look(&finding.severity), finding)).collect(),
            assertions: report
                .assertions
                .iter()
                .map(|assertion| (assertion, listeners_text(&assertion.listeners)))
                .collect(),
            report,
        }
    }
}

impl<'a> Row<'a> {
    fn of(shown: &'a ExposedRow) -> Row<'a> {
        let (look, may) = reach_words(shown);
        let from = shown.ranges.iter().map(|range| describe_range(range.first, range.last));
        Row {
            from: from.collect(),
            listeners: listeners_text(&shown.listeners),
            look,
            may,
            reach_terms: reach_terms(shown),
            senders: sender_words(shown),
            sender_terms: sender_terms(shown),
            also: more_words(shown, instant, size),
            more_terms: more_terms(shown),
            shown,
        }
    }
}
