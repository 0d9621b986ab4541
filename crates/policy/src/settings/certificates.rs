//! Reads `[tls]`, `[[certificate]]` and `[[trusted_server]]`, and checks what receive connectors say about certificates
//! (fact sheet sections 1.9 and 3.8). Opens no file.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::reader::{Collector, Fields, Wrong, shown};
use super::{Settings, TlsFiles, check, notes, values};
use crate::access_entry::{PermissionGroup, Trustee};
use crate::certificate::{CertificateName, KnownBy, NameError, Thumbprint, TrustedServer};
use crate::receive_connector::{Mechanism, ReceiveConnector};

type Table<'d, 't> = (&'d DeTable<'t>, Range<usize>);

/// `[tls]`: the certificate that is shown unless a connector wants another, and the roots that are trusted.
pub(super) fn read_tls<'t>(
    collector: &mut Collector<'t>,
    table: &DeTable<'t>,
    span: Range<usize>,
) -> (Option<TlsFiles>, Option<PathBuf>) {
    let mut fields = Fields::new(collector, "[tls]", table, span);
    let trusted_roots = fields.optional("trusted_roots", values::path);
    let are_roots_alone =
        fields.is_given("trusted_roots") && !fields.is_given("certificate") && !fields.is_given("private_key");
    let files =
        if are_roots_alone { None } else { files(&mut fields, ", or remove [tls] to use a self-signed certificate") };
    fields.finish(&[]);
    (files, trusted_roots)
}

fn files(fields: &mut Fields<'_, '_, '_>, without: &str) -> Option<TlsFiles> {
    let remedy = |what| format!("write the path of a PEM file with the {what}{without}");
    // Both are read, so that both are missed at once.
    let certificate = fields.required("certificate", &remedy("chain"), values::path);
    let private_key = fields.required("private_key", &remedy("key"), values::path);
    Some(TlsFiles { certificate: certificate?, private_key: private_key? })
}

/// `[[certificate]]`.
pub(super) fn read_certificates<'t>(collector: &mut Collector<'t>, tables: Vec<Table<'_, 't>>) -> Vec<TlsFiles> {
    let read = |(table, span)| {
        let mut fields = Fields::new(collector, "[[certificate]]", table, span);
        let files = files(&mut fields, "");
        fields.finish(&[]);
        files
    };
    tables.into_iter().filter_map(read).collect()
}

/// `[[trusted_server]]`.
pub(super) fn read_trusted_servers<'t>(
    collector: &mut Collector<'t>,
    tables: Vec<Table<'_, 't>>,
) -> Vec<TrustedServer> {
    let servers: Vec<TrustedServer> =
        tables.into_iter().filter_map(|(table, span)| trusted_server(collector, table, span)).collect();
    let named = servers.iter().map(|server| (server.name.to_lowercase(), server.span.clone()));
    check::unique(collector, "trusted servers", named);
    servers
}

fn trusted_server<'t>(collector: &mut Collector<'t>, table: &DeTable<'t>, span: Range<usize>) -> Option<TrustedServer> {
    let mut fields = Fields::new(collector, "[[trusted_server]]", table, span);
    let name = fields.required("name", "write name = \"mx2\": logs and records call the server that", |value| {
        values::name(value).map(Arc::from)
    });
    let thumbprint = fields.optional("thumbprint", thumbprint);
    let certificate_name = fields.optional("tls_certificate_name", name_of_one).flatten();
    let known_by = match (thumbprint, certificate_name) {
        (Some(thumbprint), None) => Some(KnownBy::Thumbprint(thumbprint)),
        (None, Some(name)) => Some(KnownBy::Name(name)),
        (Some(_), Some(_)) => {
            fields.error_at(
                "tls_certificate_name",
                "`thumbprint` and `tls_certificate_name` are two ways to know one certificate",
                "keep `thumbprint`, which needs no issuer that is trusted; or `tls_certificate_name`, which outlives a renewal",
            );
            None
        }
        (None, None) => {
            if !fields.is_bad("thumbprint") && !fields.is_bad("tls_certificate_name") {
                let remedy = format!("{THUMBPRINT_REMEDY}; or write tls_certificate_name, its issuer and subject");
                fields.lacks("thumbprint", &remedy);
            }
            None
        }
    };
    let note = notes::read(&mut fields);
    let span = fields.span_of("name");
    fields.finish(&[]);
    Some(TrustedServer { name: name?, known_by: known_by?, note, span })
}

const THUMBPRINT_REMEDY: &str = "write the SHA-256 of its certificate, what openssl x509 -in cert.pem -noout -fingerprint -sha256 prints behind `=`";

fn thumbprint(value: &DeValue<'_>) -> Result<Thumbprint, Wrong> {
    let text = values::string(value)?;
    Thumbprint::parse(text).ok_or_else(|| {
        let digits = text.chars().filter(char::is_ascii_hexdigit).count();
        let what = if digits == 40 { "is the shorter SHA-1" } else { "is no SHA-256 of 64 hexadecimal digits" };
        Wrong::new(format!("`{}` {what}", shown(text)), THUMBPRINT_REMEDY)
    })
}

/// `<I>issuer<S>subject`; blank is none.
pub(super) fn certificate_name(value: &DeValue<'_>) -> Result<Option<CertificateName>, Wrong> {
    let text = values::string(value)?;
    if text.trim().is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: NameError| {
        let remedy = "write issuer and subject as Exchange does: \"<I>CN=Contoso CA, O=Contoso<S>CN=mail.contoso.com\"";
        Wrong::new(format!("`{}` names no certificate: {error}", shown(text)), remedy)
    })
}

/// A name that one holder has: with no subject, or no issuer, it would be that of everybody whom a certificate does not name.
fn name_of_one(value: &DeValue<'_>) -> Result<Option<CertificateName>, Wrong> {
    let name = certificate_name(value)?;
    match &name {
        Some(name) if name.issuer.is_empty() || name.subject.is_empty() => {
            let message = format!("`{}` may be the name of many certificates", shown(&name.to_string()));
            Err(Wrong::new(
                message,
                "name an issuer and a subject; know a certificate without them by its `thumbprint`",
            ))
        }
        _ => Ok(name),
    }
}

/// What one receive connector says about itself (fact sheet section 1.9).
pub(super) fn check_connector(fields: &mut Fields<'_, '_, '_>, connector: &ReceiveConnector) {
    const KEY: &str = "domain_secure_enabled";
    let has = |mechanism| connector.auth_mechanism.contains(mechanism);
    if !connector.domain_secure_enabled || fields.is_bad("auth_mechanism") {
        return;
    }
    if has(Mechanism::ExternalAuthoritative) {
        fields.error_at(
            KEY,
            "`domain_secure_enabled` cannot stand beside ExternalAuthoritative, whose hosts need no certificate",
            "remove one of the two",
        );
    } else if !has(Mechanism::Tls) {
        fields.error_at(KEY, "`domain_secure_enabled` needs Tls in auth_mechanism", "add \"Tls\" to auth_mechanism");
    }
}

/// What connectors expect of the rest of the document: somebody whom they could identify.
pub(super) fn check_expectations(collector: &mut Collector<'_>, settings: &Settings) {
    let listed = &settings.transport.tls_receive_domain_secure_list;
    for connector in settings.receive_connectors.iter().filter(|connector| connector.enabled) {
        let at = connector.span.clone();
        let covers = |trustee: &Trustee| connector.entries.iter().any(|entry| entry.trustee == *trustee);
        let has_partners = covers(&Trustee::PartnerServers);
        if connector.domain_secure_enabled && has_partners && listed.is_empty() {
            collector.warning(
                at.clone(),
                format!("{}: nobody can be a partner yet: no domain has to prove itself", connector.name),
                "write [transport] tls_receive_domain_secure_list = [\"partner.example\"]",
            );
        }
        if connector.domain_secure_enabled && !has_partners && !listed.is_empty() {
            collector.warning(
                at.clone(),
                format!(
                    "{}: mail from the domains of tls_receive_domain_secure_list is refused: they have to prove themselves, \
                     and partners may not submit",
                    connector.name
                ),
                "add \"Partners\" to permission_groups, or write domain_secure_enabled = false",
            );
        }
        let mechanism = |mechanism| connector.auth_mechanism.contains(mechanism);
        let has_servers = connector.permission_groups.contains(PermissionGroup::ExchangeServers);
        if mechanism(Mechanism::ExchangeServer) && has_servers && settings.trusted_servers.is_empty() {
            collector.warning(
                at.clone(),
                format!("{}: nobody can be an Exchange server yet: none is known by its certificate", connector.name),
                "declare [[trusted_server]] with the thumbprint of its certificate; its other proofs need a Windows domain",
            );
        } else if mechanism(Mechanism::ExchangeServer) && !mechanism(Mechanism::Tls) {
            collector.warning(
                at.clone(),
                format!("{}: without Tls in auth_mechanism no server can show its certificate", connector.name),
                "add \"Tls\" to auth_mechanism",
            );
        }
    }
    let hears_servers = |connector: &Arc<ReceiveConnector>| {
        connector.enabled && connector.auth_mechanism.contains(Mechanism::ExchangeServer)
    };
    if let [first, ..] = settings.trusted_servers.as_slice()
        && !settings.receive_connectors.iter().any(hears_servers)
    {
        collector.warning(
            first.span.clone(),
            "[[trusted_server]] has no effect: no receive connector asks servers for certificates",
            "add \"ExchangeServer\" to auth_mechanism, and \"ExchangeServers\" to permission_groups, of the connector that \
             hears these servers",
        );
    }
    let asks = |connector: &Arc<ReceiveConnector>| connector.domain_secure_enabled;
    if !listed.is_empty() && !settings.receive_connectors.iter().any(asks) {
        collector.warning(
            0..0,
            "tls_receive_domain_secure_list has no effect: no receive connector asks for certificates",
            "write domain_secure_enabled = true in the connector that hears these partners",
        );
    }
}
