//! `gatepost audit`: who may do what from where, proved over all addresses, and what is wrong with it.

use std::io::Write;
use std::path::Path;

use gatepost_manage::document::Document;
use gatepost_manage::exposure_text::{all_terms, listeners_text, sources_text};
use gatepost_manage::host;
use gatepost_manage::resource::{AddressRange, LimitedRights};
use gatepost_policy::audit::{self, Audit, Exposure, Finding, Severity, Who};
use gatepost_policy::note::instant;
use gatepost_policy::permission::{Principal, Right};
use gatepost_policy::relay::Reach;
use gatepost_policy::sender::Scope;
use serde::Serialize;

use super::write_json;
use crate::cli::AuditArguments;
use crate::clock::now_ms;
use crate::failure::Failure;
use crate::terminal::{Table, count, harmless, size, stdout_has_colour};

/// Longer lists are cut for people; JSON has everything.
const ROWS_SHOWN_MAX: usize = 40;
const FINDINGS_SHOWN_MAX: usize = 50;
const CONNECTORS_SHOWN_MAX: usize = 3;
const PATTERNS_SHOWN_MAX: usize = 3;

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    file: String,
    assumption: &'static str,
    exposures: Vec<Row>,
    findings: Vec<Found>,
}

/// Who may do what from where.
#[derive(Serialize)]
struct Row {
    who: Kind,
    listeners: Vec<String>,
    sources: Vec<AddressRange>,
    public: bool,
    connectors: Vec<String>,
    /// When it begins, if not now: an instant with its offset.
    from: Option<String>,
    /// When it ends, if ever.
    until: Option<String>,
    /// None: nothing but to connect and, where that is offered, to log in.
    may: Option<May>,
}

#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Kind {
    Anonymous,
    ExternallySecured,
    /// Trusted servers, by their certificates.
    Servers {
        names: Vec<String>,
    },
    /// Partners that prove by their certificates to be one of these.
    Partners {
        domains: Vec<String>,
    },
    /// None such can arise.
    Other {
        name: String,
    },
    Users {
        names: Vec<String>,
    },
    EveryUser {
        but: Vec<String>,
    },
}

#[derive(Serialize)]
struct May {
    recipients: &'static str,
    senders: &'static str,
    internal: bool,
    bypass_anti_spam: bool,
    message_bytes_max: u64,
    tls_required: bool,
    rights: Vec<&'static str>,
    /// Those of the rights that hang on a condition, or end some day.
    unsure: Vec<&'static str>,
    /// Under which terms those are held.
    limited: Vec<LimitedRights>,
}

#[derive(Serialize)]
struct Found {
    severity: &'static str,
    code: &'static str,
    connector: Option<String>,
    line: usize,
    message: String,
    remedy: String,
    sources: Vec<AddressRange>,
}

/// Audits the settings file, or the one that was named instead.
pub fn audit(out: &mut dyn Write, config: &Path, arguments: &AuditArguments) -> Result<(), Failure> {
    let path = arguments.file.as_deref().unwrap_or(config);
    let document = Document::read(path)?;
    let audit = Audit::of(&document.settings, &document.text, &host::addresses(), now_ms());
    if arguments.json {
        write_json(out, &report(path, &audit))?;
    } else {
        write_exposures(out, &audit.exposures)?;
        write_findings(out, path, &audit.findings)?;
        writeln!(out, "\nAssumed: {}.", audit::ASSUMPTION)?;
    }
    out.flush()?;
    if audit.has_critical() { Err(Failure::Failed(String::new())) } else { Ok(()) }
}

fn write_exposures(out: &mut dyn Write, exposures: &[Exposure]) -> Result<(), Failure> {
    if exposures.is_empty() {
        writeln!(out, "Nobody is heard: no receive connector is enabled.")?;
        return Ok(());
    }
    let mut table = Table::new(&["WHO", "FROM", "AT", "MAY SEND TO", "AS", "ALSO", "BY"]);
    for exposure in exposures.iter().take(ROWS_SHOWN_MAX) {
        let who = &exposure.standing.who;
        let capability = exposure.standing.capability.as_ref();
        table.row(&[
            &who.to_string(),
            &sources_text(&exposure.sources),
            &listeners_text(&exposure.listeners),
            capability.map_or("nobody", |capability| match capability.reach {
                Reach::AnyRecipient => "anyone",
                Reach::AcceptedDomains => "accepted domains",
            }),
            capability.map_or("-", |capability| match (capability.senders, who) {
                (Scope::AnyAddress, _) => "anyone",
                (Scope::OutsideOurDomains, _) => "anyone but own domains",
                (Scope::OwnAddresses, Who::Unauthenticated(_) | Who::Servers(_)) => "<> only",
                (Scope::OwnAddresses, Who::Partners(_)) => "their own domains",
                (Scope::OwnAddresses, _) => "own addresses",
            }),
            &also(exposure),
            &names(exposure),
        ]);
    }
    table.write(out)?;
    write_more(out, exposures.len(), ROWS_SHOWN_MAX, "row")
}

fn also(exposure: &Exposure) -> String {
    let mut words = Vec::new();
    if let Some(capability) = &exposure.standing.capability {
        if capability.is_internal {
            words.push("counts as internal".to_owned());
        }
        if capability.bypasses_anti_spam {
            words.push("no anti-spam".to_owned());
        }
        let unlimited = capability.rights.contains(Right::BypassMessageSizeLimit);
        words.push(if unlimited {
            "any size".to_owned()
        } else {
            format!("up to {}", size(capability.message_bytes_max))
        });
        if capability.needs_tls {
            words.push("TLS only".to_owned());
        }
    }
    words.extend(exposure.from_ms.map(|from_ms| format!("from {} on", instant(from_ms))));
    words.extend(exposure.until_ms.map(|until_ms| format!("until {}", instant(until_ms))));
    let limited = exposure.standing.capability.as_ref().map(|capability| &capability.limited[..]).unwrap_or_default();
    let terms = all_terms(&LimitedRights::list(limited, PATTERNS_SHOWN_MAX));
    // Terms have commas of their own.
    let words: Vec<String> = (!words.is_empty()).then(|| words.join(", ")).into_iter().chain(terms).collect();
    if words.is_empty() { "-".to_owned() } else { words.join("; ") }
}

fn names(exposure: &Exposure) -> String {
    let names = &exposure.connectors;
    let mut text = names.iter().take(CONNECTORS_SHOWN_MAX).map(|name| &**name).collect::<Vec<_>>().join(", ");
    if let Some(more) = names.len().checked_sub(CONNECTORS_SHOWN_MAX).filter(|more| *more > 0) {
        text += &format!(" and {more} more");
    }
    text
}

fn write_findings(out: &mut dyn Write, path: &Path, findings: &[Finding]) -> Result<(), Failure> {
    if findings.is_empty() {
        writeln!(out, "\nNo findings.")?;
        return Ok(());
    }
    let is_shown =
        |(place, finding): &(usize, &Finding)| *place < FINDINGS_SHOWN_MAX || finding.code == audit::ACCEPTED_RISK;
    let shown: Vec<&Finding> = findings.iter().enumerate().filter(is_shown).map(|(_, finding)| finding).collect();
    for finding in &shown {
        let colour = match finding.severity {
            Severity::Critical => "\x1b[1;31m",
            Severity::Warning => "\x1b[1;33m",
            Severity::Note => "\x1b[1;34m",
        };
        let (colour, plain) = if stdout_has_colour() { (colour, "\x1b[0m") } else { ("", "") };
        let place = format!("{}:{}", path.display(), finding.line);
        let subject = finding.connector.as_ref().map_or(String::new(), |name| format!("{name}: "));
        writeln!(
            out,
            "\n{colour}{}{plain}: {}\n  at {}\n  remedy: {}",
            finding.severity.name(),
            harmless(&format!("{subject}{}", finding.message)),
            harmless(&place),
            harmless(&finding.remedy)
        )?;
    }
    write_more(out, findings.len(), shown.len(), "finding")?;
    let number = |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    writeln!(
        out,
        "\n{} critical, {}, {}",
        number(Severity::Critical),
        count(number(Severity::Warning), "warning", "warnings"),
        count(number(Severity::Note), "note", "notes")
    )?;
    Ok(())
}

fn write_more(out: &mut dyn Write, total: usize, shown_max: usize, noun: &str) -> Result<(), Failure> {
    if let Some(more) = total.checked_sub(shown_max).filter(|more| *more > 0) {
        writeln!(
            out,
            "and {}: --json shows all",
            count(more as u64, &format!("more {noun}"), &format!("more {noun}s"))
        )?;
    }
    Ok(())
}

fn report(path: &Path, audit: &Audit) -> Report {
    Report {
        file: path.display().to_string(),
        assumption: audit::ASSUMPTION,
        exposures: audit.exposures.iter().map(row).collect(),
        findings: audit.findings.iter().map(found).collect(),
    }
}

fn row(exposure: &Exposure) -> Row {
    let texts = |names: &[std::sync::Arc<str>]| names.iter().map(|name| name.to_string()).collect();
    Row {
        who: match &exposure.standing.who {
            Who::Unauthenticated(Principal::Anonymous) => Kind::Anonymous,
            Who::Unauthenticated(Principal::ExternallySecured) => Kind::ExternallySecured,
            Who::Unauthenticated(other) => Kind::Other { name: other.to_string() },
            Who::Users(names) => Kind::Users { names: texts(names) },
            Who::UsersBut(names) => Kind::EveryUser { but: texts(names) },
            Who::Servers(names) => Kind::Servers { names: texts(names) },
            Who::Partners(domains) => Kind::Partners { domains: domains.iter().map(ToString::to_string).collect() },
        },
        listeners: exposure.listeners.iter().map(ToString::to_string).collect(),
        sources: AddressRange::list(&exposure.sources),
        public: exposure.is_public,
        connectors: texts(&exposure.connectors),
        from: exposure.from_ms.map(instant),
        until: exposure.until_ms.map(instant),
        may: exposure.standing.capability.as_ref().map(|capability| May {
            recipients: match capability.reach {
                Reach::AnyRecipient => "any",
                Reach::AcceptedDomains => "accepted_domains",
            },
            senders: match capability.senders {
                Scope::AnyAddress => "any",
                Scope::OutsideOurDomains => "outside_own_domains",
                Scope::OwnAddresses => "own_addresses",
            },
            internal: capability.is_internal,
            bypass_anti_spam: capability.bypasses_anti_spam,
            message_bytes_max: capability.message_bytes_max,
            tls_required: capability.needs_tls,
            rights: capability.rights.iter().map(Right::exchange_name).collect(),
            unsure: capability.unsure.iter().map(Right::exchange_name).collect(),
            limited: LimitedRights::list(&capability.limited, usize::MAX),
        }),
    }
}

fn found(finding: &Finding) -> Found {
    Found {
        severity: finding.severity.name(),
        code: finding.code,
        connector: finding.connector.as_ref().map(ToString::to_string),
        line: finding.line,
        message: finding.message.clone(),
        remedy: finding.remedy.clone(),
        sources: AddressRange::list(&finding.sources),
    }
}
