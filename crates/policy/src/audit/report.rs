//! A finding, and how findings are put together.
//!
//! Takes what was found with its place in bytes, hands on findings with lines, in their order.

use std::sync::Arc;

use crate::address_set::AddressSet;
use crate::receive_connector::ReceiveConnector;

/// The code of findings that tell the reason of `accept_risk`: every report shows all of them.
pub const ACCEPTED_RISK: &str = "accepted_risk";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Strangers can abuse this server.
    Critical,
    /// More is open than is likely meant.
    Warning,
    /// Has no effect, or is worth knowing.
    Note,
}

impl Severity {
    /// In lower case, as reports show it.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Critical => "critical",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// One thing that deserves a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Its kind, for programs; stable.
    pub code: &'static str,
    /// The receive connector, if it is about one; of several, the first.
    pub connector: Option<Arc<str>>,
    /// Line of the document, from 1.
    pub line: usize,
    /// What it is.
    pub message: String,
    /// The smallest change that ends it.
    pub remedy: String,
    /// The peers concerned; empty where it is not about peers.
    pub sources: AddressSet,
}

/// Where lines begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(document: &str) -> Lines {
        let newlines = document.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Lines(std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect())
    }

    fn at(&self, byte: usize) -> usize {
        self.0.partition_point(|start| *start <= byte)
    }
}

/// What was found so far.
pub(super) struct Report {
    lines: Lines,
    findings: Vec<Finding>,
}

impl Report {
    pub fn of(document: &str) -> Report {
        Report { lines: Lines::of(document), findings: Vec::new() }
    }

    /// Most severe first, then in the order of the document.
    pub fn finish(mut self) -> Vec<Finding> {
        self.findings.sort_by(|a, b| (a.severity, a.line, a.code).cmp(&(b.severity, b.line, b.code)));
        self.findings
    }

    /// Adds what was found about one connector.
    pub fn add_about(
        &mut self,
        connector: &ReceiveConnector,
        severity: Severity,
        code: &'static str,
        at: usize,
        [message, remedy]: [String; 2],
    ) -> &mut Finding {
        let finding = self.add(severity, code, at, message, remedy);
        finding.connector = Some(connector.name.clone());
        finding
    }

    pub fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        at: usize,
        message: String,
        remedy: String,
    ) -> &mut Finding {
        let line = self.lines.at(at);
        let finding = Finding { severity, code, connector: None, line, message, remedy, sources: AddressSet::EMPTY };
        self.findings.push(finding);
        self.findings.last_mut().expect("it was just put there")
    }
}
