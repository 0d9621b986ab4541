//! This server's certificates, as scripts look for one to name it on a connector: Get-ExchangeCertificate.

use gatepost_policy::note::instant;
use gatepost_policy::role::Role;
use gatepost_shell::command::{Changes, Signature};
use gatepost_shell::value::View;
use gatepost_transport::OwnCertificateStatus;

use super::parameter::{DOMAIN_CONTROLLER, also, identity};
use super::queue::{SERVER, of_this_server};
use super::{Answer, CommandError, Entry, Invocation};
use crate::clock::now_ms;
use crate::object::PropertyKind::{Bool, Choice, Flags, Identity, List, Text, Time};
use crate::object::{Record, Shape, Usual, property};

/// The commands of this noun.
pub static ENTRIES: &[Entry] = &[Entry {
    signature: &GET,
    role: Role::View,
    output: Some(&SHAPE),
    run: |invocation| Box::pin(std::future::ready(get(invocation))),
}];

static VIEW: View = View {
    type_name: "Microsoft.Exchange.Management.SystemConfigurationTasks.ExchangeCertificate",
    table: &["Thumbprint", "Services", "Subject"],
    identity: "Thumbprint",
};

const SERVICES: &[&str] = &["SMTP"];
const STATES: &[&str] = &["Valid", "DateInvalid", "Unknown"];

/// A certificate: Exchange's properties in its order, then the file.
static SHAPE: Shape = Shape {
    name: "ExchangeCertificate",
    view: &VIEW,
    properties: &[
        property("CertificateDomains", "certificate_domains", List(&Text), Usual::Texts(&[])),
        property("HasPrivateKey", "has_private_key", Bool, Usual::Bool(true)),
        property("IsSelfSigned", "is_self_signed", Bool, Usual::Bool(false)),
        property("Issuer", "issuer", Text, Usual::Null),
        property("NotAfter", "not_after", Time, Usual::Null),
        property("NotBefore", "not_before", Time, Usual::Null),
        property("Services", "services", Flags(SERVICES), Usual::Texts(SERVICES)),
        property("Status", "status", Choice(STATES), Usual::Text("Valid")),
        property("Subject", "subject", Text, Usual::Null),
        property("Thumbprint", "thumbprint", Text, Usual::Null),
        property("File", "file", Text, Usual::Null),
        property("Identity", "identity", Identity, Usual::Null),
    ],
};

fn record(certificate: &OwnCertificateStatus, now_ms: u64) -> Record {
    let name = certificate.name.as_ref();
    let is_self_signed = name.is_some_and(|name| name.issuer.is_same(&name.subject));
    let status = match certificate.validity_ms {
        None => "Unknown",
        Some((from_ms, until_ms)) if (from_ms..=until_ms).contains(&now_ms) => "Valid",
        Some(_) => "DateInvalid",
    };
    // As Exchange shows it, and so that it can be copied into a settings document.
    let thumbprint = certificate.thumbprint.to_string().to_uppercase();
    Record::of(&SHAPE)
        .with("CertificateDomains", certificate.hosts.iter().map(ToString::to_string).collect::<Vec<_>>())
        .with("IsSelfSigned", is_self_signed)
        .with("Issuer", name.map(|name| name.issuer.to_string()))
        .with("NotAfter", certificate.validity_ms.map(|(_, until_ms)| instant(until_ms)))
        .with("NotBefore", certificate.validity_ms.map(|(from_ms, _)| instant(from_ms)))
        .with("Status", status)
        .with("Subject", name.map(|name| name.subject.to_string()))
        .with("Thumbprint", thumbprint.as_str())
        .with("File", certificate.file.display().to_string())
        .with("Identity", thumbprint)
}

static GET: Signature = Signature {
    name: "Get-ExchangeCertificate",
    aliases: &[],
    synopsis: "Shows this server's certificates: that of [tls] or the self-signed one first, then those of [[certificate]].",
    parameters: &[
        also(&["Thumbprint"], identity("Which: the thumbprint, SHA-256; all without it.")),
        SERVER,
        DOMAIN_CONTROLLER,
    ],
    changes: Changes::Nothing,
    examples: &[
        (
            "Get-ExchangeCertificate | Format-List Subject,Issuer,NotAfter,CertificateDomains",
            "Shows whom they are for, and until when.",
        ),
        (
            "$c = Get-ExchangeCertificate | Sort-Object NotAfter | Select-Object -Last 1; Set-ReceiveConnector \"MX1\\Relay\" -TlsCertificateName \"<I>$($c.Issuer)<S>$($c.Subject)\"",
            "A connector shows the one that is valid for longest.",
        ),
    ],
};

fn get(invocation: &Invocation<'_>) -> Result<Answer, CommandError> {
    of_this_server(invocation)?;
    let wanted = invocation.arguments.text("Identity").map(|wanted| wanted.replace([':', ' '], ""));
    let (now_ms, all) = (now_ms(), invocation.control.certificates());
    let is_wanted = |certificate: &&OwnCertificateStatus| {
        let thumbprint = certificate.thumbprint.to_string();
        wanted.as_ref().is_none_or(|wanted| thumbprint.eq_ignore_ascii_case(wanted.trim()))
    };
    let found: Vec<Record> = all.iter().filter(is_wanted).map(|certificate| record(certificate, now_ms)).collect();
    match (&wanted, found.is_empty()) {
        (Some(wanted), true) => {
            let wanted: String = wanted.chars().take(80).collect();
            let error = format!("The certificate with thumbprint {} was not found.", wanted.escape_debug());
            Err(CommandError::NotFound(error))
        }
        _ => Ok(Answer::of(found)),
    }
}
