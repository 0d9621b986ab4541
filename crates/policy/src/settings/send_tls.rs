//! Reads what a send connector says about TLS, and checks what its keys say about each other (fact sheet section 4.4).

use gatepost_mail::Domain;

use super::reader::Fields;
use super::{certificates, values};
use crate::certificate::CertificateName;
use crate::send_connector::{TlsAuthLevel, TlsDomain};

/// TLS of one connector.
pub(super) struct SendTls {
    pub require_tls: bool,
    pub implicit_tls: bool,
    pub ignore_starttls: bool,
    pub level: Option<TlsAuthLevel>,
    pub domain: Option<Box<TlsDomain>>,
    pub domain_secure_enabled: bool,
    pub certificate_name: Option<Box<CertificateName>>,
}

const LEVELS: &[(&str, TlsAuthLevel)] = &[
    ("EncryptionOnly", TlsAuthLevel::EncryptionOnly),
    ("CertificateValidation", TlsAuthLevel::CertificateValidation),
    ("DomainValidation", TlsAuthLevel::DomainValidation),
];

pub(super) fn read(fields: &mut Fields<'_, '_, '_>, has_smart_hosts: bool) -> SendTls {
    let flag = |fields: &mut Fields<'_, '_, '_>, key| fields.optional(key, values::boolean).unwrap_or(false);
    let tls = SendTls {
        require_tls: flag(fields, "require_tls"),
        implicit_tls: flag(fields, "implicit_tls"),
        ignore_starttls: flag(fields, "ignore_starttls"),
        level: level(fields),
        domain: domain(fields),
        domain_secure_enabled: flag(fields, "domain_secure_enabled"),
        certificate_name: fields
            .optional("tls_certificate_name", certificates::certificate_name)
            .flatten()
            .map(Box::new),
    };
    check(fields, &tls, has_smart_hosts);
    tls
}

/// `tls_auth_level`. An empty one is what Exchange shows where none is set.
pub(super) fn level(fields: &mut Fields<'_, '_, '_>) -> Option<TlsAuthLevel> {
    let read = fields.optional("tls_auth_level", |value| match values::string(value)?.trim() {
        "" => Ok(None),
        _ => values::choice(LEVELS)(value).map(Some),
    });
    read.flatten()
}

/// `tls_domain`, the same way.
pub(super) fn domain(fields: &mut Fields<'_, '_, '_>) -> Option<Box<TlsDomain>> {
    let read = fields.optional("tls_domain", |value| match values::string(value)?.trim() {
        "" => Ok(None),
        _ => values::domain_pattern(value)
            .map(|(domain, with_subdomains): (Domain, bool)| Some(Box::new(TlsDomain { domain, with_subdomains }))),
    });
    read.flatten()
}

/// What a level and a domain need to have an effect.
pub(super) fn check_level(
    fields: &mut Fields<'_, '_, '_>,
    has_to_be_in_tls: bool,
    level: Option<TlsAuthLevel>,
    domain: Option<&TlsDomain>,
) {
    if level.is_some() && !has_to_be_in_tls && !fields.is_bad("require_tls") {
        fields.error_at(
            "tls_auth_level",
            "`tls_auth_level` needs require_tls = true: without it mail goes out in clear where TLS fails",
            "write require_tls = true, or remove tls_auth_level",
        );
    }
    if domain.is_some() && level != Some(TlsAuthLevel::DomainValidation) && !fields.is_bad("tls_auth_level") {
        fields.error_at(
            "tls_domain",
            "`tls_domain` is compared under DomainValidation only",
            "write tls_auth_level = \"DomainValidation\", or remove tls_domain",
        );
    }
}

fn check(fields: &mut Fields<'_, '_, '_>, tls: &SendTls, has_smart_hosts: bool) {
    const IGNORE: &str = "ignore_starttls";
    if tls.require_tls && tls.ignore_starttls {
        let remedy = "write ignore_starttls = false, or require_tls = false";
        fields.error_at(IGNORE, "`ignore_starttls` cannot be true where require_tls is", remedy);
    }
    if tls.implicit_tls && tls.ignore_starttls {
        let message = "`ignore_starttls` cannot be true where implicit_tls is: TLS has started before STARTTLS could";
        fields.error_at(IGNORE, message, "write ignore_starttls = false, or implicit_tls = false");
    }
    if tls.certificate_name.is_some() && tls.ignore_starttls {
        fields.error_at(
            IGNORE,
            "`ignore_starttls` cannot be true where tls_certificate_name is given: without TLS nobody sees it",
            "write ignore_starttls = false, or remove tls_certificate_name",
        );
    }
    check_level(fields, tls.require_tls || tls.implicit_tls, tls.level, tls.domain.as_deref());
    if tls.level == Some(TlsAuthLevel::DomainValidation)
        && tls.domain.is_none()
        && has_smart_hosts
        && !fields.is_bad("tls_domain")
    {
        fields.error_at(
            "tls_auth_level",
            "DomainValidation of smart hosts needs tls_domain: whom their certificate has to be for",
            "write tls_domain = \"relay.example.net\", or \"*.example.net\" for any host below it",
        );
    }
    if tls.domain_secure_enabled && has_smart_hosts {
        fields.error_at(
            "domain_secure_enabled",
            "`domain_secure_enabled` asks the recipient's own servers for a certificate, and this connector has smart hosts",
            "remove it and write tls_auth_level = \"DomainValidation\", or use MX records instead of smart hosts",
        );
    }
    if tls.domain_secure_enabled && tls.ignore_starttls {
        fields.error_at(
            IGNORE,
            "`ignore_starttls` cannot be true where domain_secure_enabled is",
            "write ignore_starttls = false, or domain_secure_enabled = false",
        );
    }
}
