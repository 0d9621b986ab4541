//! `gatepost check`: every problem of the settings file at once, and of the files that it names.

use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use gatepost_manage::credentials::{Secrets, SecretsError};
use gatepost_manage::document::Document;
use gatepost_manage::resource::{ExposureChange, SettingsProblem};
use gatepost_manage::{LoadError, secret_faults};
use gatepost_policy::audit;
use gatepost_policy::read_back::read_back;
use gatepost_policy::receive_connector::ReceiveConnector;
use gatepost_policy::settings::{Problem, Severity};
use gatepost_transport::passwords::{PasswordError, Passwords};
use gatepost_transport::source_addresses;
use gatepost_transport::tls::{Fault, Tls, TlsError};
use serde::Serialize;

use super::{difference, write_json};
use crate::cli::CheckArguments;
use crate::clock::now_ms;
use crate::failure::Failure;
use crate::terminal::{Table, count, harmless, stderr_has_colour, stdout_has_colour};

/// Longer lists are cut for people; JSON has everything.
const CONNECTORS_SHOWN_MAX: usize = 40;

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    file: String,
    problems: Vec<SettingsProblem>,
    warnings: Vec<SettingsProblem>,
    /// Problems of the files that the settings name; they have no line.
    files: Vec<String>,
    /// Files that this user may not read, so that nothing can be said about them.
    unchecked: Vec<String>,
    /// What Exchange would read back of each receive connector.
    receive_connectors: Vec<Connector>,
    /// The file that it was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<String>,
    /// Which addresses gain or lose which right, compared with that file.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<ExposureChange>>,
}

/// A receive connector.
#[derive(Serialize)]
struct Connector {
    name: String,
    /// Groups that are there as a whole; `Custom` where there is more or less than they are.
    permission_groups: Vec<&'static str>,
    /// Why strangers may relay or count as internal here.
    #[serde(skip_serializing_if = "Option::is_none")]
    accept_risk: Option<String>,
}

/// Checks the settings file, or the one that was named instead.
pub fn check(out: &mut dyn Write, config: &Path, arguments: &CheckArguments) -> Result<(), Failure> {
    let path = arguments.file.as_deref().unwrap_or(config);
    let mut report = Report {
        file: path.display().to_string(),
        problems: Vec::new(),
        warnings: Vec::new(),
        files: Vec::new(),
        unchecked: Vec::new(),
        receive_connectors: Vec::new(),
        against: None,
        changes: None,
    };
    let mut document = match Document::read(path) {
        Ok(document) => document,
        Err(LoadError::Problems(faulty)) if arguments.json => {
            report.problems = faulty.problems.iter().map(SettingsProblem::from).collect();
            write_json(out, &report)?;
            return Err(Failure::Settings(String::new()));
        }
        Err(LoadError::Problems(faulty)) => {
            writeln!(out, "{}\n", faulty.render(stdout_has_colour()).trim_end())?;
            out.flush()?;
            return Err(Failure::Settings(format!("{faulty}")));
        }
        Err(other) => return Err(other.into()),
    };
    check_files(&mut document, &mut report);
    report.warnings = document.settings.warnings.iter().map(SettingsProblem::from).collect();
    report.receive_connectors = connectors(&document);
    let changes: Option<Vec<ExposureChange>> = match &arguments.against {
        Some(other) => {
            report.against = Some(other.display().to_string());
            let changes = audit::difference(&Document::read(other)?.settings, &document.settings, now_ms());
            Some(changes.iter().map(ExposureChange::from).collect())
        }
        None => None,
    };
    if arguments.json {
        report.changes = changes;
        write_json(out, &report)?;
        return if report.files.is_empty() { Ok(()) } else { Err(Failure::Settings(String::new())) };
    }
    write_report(out, &document, &report)?;
    if let (Some(against), Some(changes)) = (&report.against, &changes) {
        writeln!(out)?;
        difference::write_changes(out, against, changes)?;
    }
    Ok(())
}

fn write_report(out: &mut dyn Write, document: &Document, report: &Report) -> Result<(), Failure> {
    if !report.warnings.is_empty() {
        writeln!(out, "{}\n", document.render_warnings(stdout_has_colour()).trim_end())?;
    }
    for unchecked in &report.unchecked {
        writeln!(out, "not checked: {unchecked}")?;
    }
    out.flush()?;
    if !report.files.is_empty() {
        let (bold, plain) = if stderr_has_colour() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        let lines: Vec<_> = report.files.iter().map(|fault| format!("{bold}error{plain}: {fault}")).collect();
        return Err(Failure::Settings(lines.join("\n")));
    }
    let settings = &document.settings;
    writeln!(
        out,
        "{}: no problems{} ({}, {}, {})",
        report.file,
        match report.warnings.len() as u64 {
            0 => String::new(),
            warnings => format!(", {}", count(warnings, "warning", "warnings")),
        },
        count(settings.receive_connectors.len() as u64, "receive connector", "receive connectors"),
        count(settings.send_connectors.len() as u64, "send connector", "send connectors"),
        count(settings.accepted_domains.len() as u64, "accepted domain", "accepted domains"),
    )?;
    if report.receive_connectors.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new(&["RECEIVE CONNECTOR", "PERMISSION GROUPS"]);
    for (place, connector) in report.receive_connectors.iter().enumerate() {
        if place < CONNECTORS_SHOWN_MAX {
            let groups = connector.permission_groups.join(", ");
            table.row(&[&connector.name, if groups.is_empty() { "None" } else { &groups }]);
        }
    }
    table.write(out)?;
    if let Some(more) = report.receive_connectors.len().checked_sub(CONNECTORS_SHOWN_MAX).filter(|more| *more > 0) {
        writeln!(out, "and {}: --json shows all", count(more as u64, "more connector", "more connectors"))?;
    }
    for connector in &report.receive_connectors {
        if let Some(reason) = &connector.accept_risk {
            writeln!(out, "accepted risk: {}", harmless(&format!("{}: {reason}", connector.name)))?;
        }
    }
    Ok(())
}

fn connectors(document: &Document) -> Vec<Connector> {
    let connectors = document.settings.receive_connectors.iter();
    let reason = |connector: &ReceiveConnector| {
        let risk = connector.accept_risk.as_ref()?;
        // One that a warning asks to remove accepts nothing.
        let is_idle = document.settings.warnings.iter().any(|warning| warning.span == risk.span);
        (!is_idle).then(|| risk.reason.to_string())
    };
    let shown = connectors.map(|connector| Connector {
        name: connector.name.to_string(),
        permission_groups: read_back(&connector.entries).names(),
        // One that a warning asks to remove accepts nothing.
        accept_risk: reason(connector),
    });
    shown.collect()
}

/// The files that the settings name: what would keep the server from starting is a problem of the settings as well.
fn check_files(document: &mut Document, report: &mut Report) {
    match Tls::check(&document.settings) {
        Ok(faults) => warn_of_missing_certificates(document, &faults),
        Err(error) if matches!(&error, TlsError::Read { source, .. } if is_denied(source)) => {
            report.unchecked.push(error.to_string());
        }
        Err(error) => report.files.push(format!("{error}{}", next_step(&error))),
    }
    warn_of_missing_sources(document);
    match Passwords::load(&document.settings) {
        Ok(_) => {}
        Err(PasswordError::Read { source, .. }) if is_denied(&source) => {
            report.unchecked.push("a password of a send connector: only the server's user may read it".to_owned());
        }
        // The server has an environment of its own.
        Err(error @ PasswordError::NoVariable { .. }) => report.unchecked.push(error.to_string()),
        Err(error) => report.files.push(error.to_string()),
    }
    warn_of_missing_secrets(document, report);
    if let Err(error) = Secrets::read(&document.settings.server.data_dir) {
        let is_denied = matches!(&error, SecretsError::Io { source, .. } if is_denied(source));
        if is_denied { &mut report.unchecked } else { &mut report.files }.push(error.to_string());
    }
}

/// The server starts all the same, and `gatepost status` says it then; better to hear of it before.
fn warn_of_missing_certificates(document: &mut Document, faults: &[Fault]) {
    let warnings = faults.iter().map(|Fault { connector, wanted, consequence }| {
        (
            connector.clone(),
            format!("{connector}: {consequence}; {wanted} is not there"),
            "declare it as [[certificate]], or correct tls_certificate_name: openssl x509 -in cert.pem -noout -issuer \
             -subject prints what it is made of",
        )
    });
    warn(document, warnings.collect());
}

/// Such an address may come later, and another machine may be the one that is to have it.
fn warn_of_missing_sources(document: &mut Document) {
    let warnings = source_addresses::missing(&document.settings).into_iter().map(|(connector, address)| {
        let message = format!("{connector}: this machine does not have source_ip_address {address}");
        (connector, message, "write one of those that `ip address` shows; until then mail of this connector waits")
    });
    warn(document, warnings.collect());
}

/// The server starts all the same; an alarm that cannot be posted would be found out on the day that it is raised.
fn warn_of_missing_secrets(document: &mut Document, report: &mut Report) {
    let (faults, unchecked) =
        secret_faults(&document.settings.monitoring).into_iter().partition::<Vec<_>, _>(|fault| fault.is_certain);
    report.unchecked.extend(unchecked.into_iter().map(|fault| fault.text));
    let warnings = faults.into_iter().map(|fault| {
        let at = fault.file.as_deref().and_then(|file| Some((document.text.find(file)?, file.len())));
        let span = at.map_or(0..0, |(at, length)| at..at + length);
        (span, fault.text, "put it there, in one line; until then nothing is sent to where it is asked for")
    });
    let warnings = warnings.collect();
    warn_at(document, warnings);
}

/// Warnings at the names of connectors.
fn warn(document: &mut Document, told: Vec<(Arc<str>, String, &'static str)>) {
    let settings = &document.settings;
    let place_of = |name: &str| {
        let receiving = settings.receive_connectors.iter().map(|connector| (&connector.name, &connector.span));
        let sending = settings.send_connectors.iter().map(|connector| (&connector.name, &connector.span));
        let place = receiving.chain(sending).find(|(connector, _)| ***connector == *name);
        place.map_or(0..0, |(_, span)| span.clone())
    };
    let told = told.into_iter().map(|(connector, message, remedy)| (place_of(&connector), message, remedy)).collect();
    warn_at(document, told);
}

fn warn_at(document: &mut Document, told: Vec<(Range<usize>, String, &'static str)>) {
    let warnings: Vec<Problem> = told
        .into_iter()
        .map(|(span, message, remedy)| {
            let before = document.text.get(..span.start).unwrap_or_default();
            Problem {
                severity: Severity::Warning,
                line: before.matches('\n').count() + 1,
                column: before.rsplit('\n').next().unwrap_or_default().chars().count() + 1,
                span,
                message,
                remedy: remedy.to_owned(),
                related: None,
            }
        })
        .collect();
    Arc::make_mut(&mut document.settings).warnings.extend(warnings);
}

/// What to do about a file of a certificate.
const fn next_step(error: &TlsError) -> &'static str {
    match error {
        TlsError::Read { .. } => ": correct its path, which counts from the folder of the settings",
        TlsError::Pem { .. } => ": name a file with such a section (openssl makes PEM of other forms)",
        TlsError::Mismatch { .. } => {
            ": name the key that the certificate was made for (openssl x509 -noout -pubkey and openssl pkey -pubout print the \
             same for both)"
        }
        TlsError::SelfSigned { .. } => "",
    }
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}
