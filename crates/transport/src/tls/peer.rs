//! What a peer shows of itself in a handshake: asked for, never insisted on.
//!
//! Takes the chain of a finished handshake and the roots that we trust, hands on [`PeerCertificate`]. Decides nothing: whom
//! a certificate makes of a peer, `policy::peer_certificate` does.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use gatepost_mail::Domain;
use gatepost_policy::certificate::{CertificateName, DistinguishedName, PeerCertificate, Thumbprint, Untrusted};
use gatepost_policy::next_hop_certificate::NextHopCertificate;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName as Hint, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage};

use super::{TlsError, pem};

/// Of the domains of a certificate, at most so many are looked at.
const DOMAINS_MAX: usize = 1_000;

/// The roots that we trust, and how to tell whether a chain leads to one.
pub struct Roots {
    anchors: Vec<TrustAnchor<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Roots {
    /// None: every chain is unknown.
    pub fn none(provider: &CryptoProvider) -> Roots {
        Roots { anchors: Vec::new(), algorithms: provider.signature_verification_algorithms }
    }

    /// The roots, for rustls.
    pub fn into_anchors(self) -> Vec<TrustAnchor<'static>> {
        self.anchors
    }

    /// Those of the file, or those of the operating system.
    pub fn load(file: Option<&PathBuf>, provider: &CryptoProvider) -> Result<Roots, TlsError> {
        let certificates = match file {
            Some(file) => pem::read_certificates("trusted root", file)?,
            None => {
                let found = rustls_native_certs::load_native_certs();
                for error in &found.errors {
                    tracing::warn!(%error, "a root of the operating system cannot be read");
                }
                if found.certs.is_empty() {
                    tracing::warn!(
                        "the operating system has no roots: install ca-certificates, or set [tls] trusted_roots"
                    );
                }
                found.certs
            }
        };
        let anchor = |certificate: &CertificateDer<'_>| {
            webpki::anchor_from_trusted_cert(certificate).map(|anchor| anchor.to_owned())
        };
        let anchors: Vec<_> = certificates.iter().filter_map(|certificate| anchor(certificate).ok()).collect();
        if let Some(file) = file
            && anchors.len() < certificates.len()
        {
            let reason = "one of its certificates cannot be a root".into();
            return Err(TlsError::Pem { what: "trusted root", path: file.clone(), reason });
        }
        Ok(Roots { anchors, ..Roots::none(provider) })
    }

    /// What is known of the first certificate of `chain`, whose key was proven or not.
    pub fn look_at(&self, chain: &[CertificateDer<'_>], is_proven: bool, now: UnixTime) -> Option<PeerCertificate> {
        let (first, others) = chain.split_first()?;
        let thumbprint = digest(&SHA256, first).as_ref().try_into().map(Thumbprint).ok()?;
        let unknown = |fault| PeerCertificate { thumbprint, name: None, domains: Vec::new(), trust: Err(fault) };
        let Ok(parsed) = EndEntityCert::try_from(first) else { return Some(unknown(Untrusted::Unreadable)) };
        let trust = match is_proven {
            true => self.verify(&parsed, others, now),
            false => Err(Untrusted::Unproven),
        };
        let domains = parsed.valid_dns_names().take(DOMAINS_MAX).filter_map(|name| Domain::parse(name).ok()).collect();
        Some(PeerCertificate {
            name: name(&parsed),
            domains,
            ..PeerCertificate { trust, ..unknown(Untrusted::Unproven) }
        })
    }

    /// The same of a server that we connect to: for whom its certificate is, and whether a root stands behind it. Its key
    /// was proven, or there would be no connection.
    pub fn look_at_server(
        &self,
        chain: &[CertificateDer<'_>],
        address: Option<IpAddr>,
        now: UnixTime,
    ) -> Option<NextHopCertificate> {
        let (first, others) = chain.split_first()?;
        let thumbprint = digest(&SHA256, first).as_ref().try_into().map(Thumbprint).ok()?;
        let Ok(parsed) = EndEntityCert::try_from(first) else {
            let trust = Err(Untrusted::Unreadable);
            return Some(NextHopCertificate { thumbprint, hosts: Vec::new(), addresses: Vec::new(), trust });
        };
        let is_for = |address: &IpAddr| {
            parsed.verify_is_valid_for_subject_name(&ServerName::IpAddress((*address).into())).is_ok()
        };
        Some(NextHopCertificate {
            thumbprint,
            hosts: parsed.valid_dns_names().take(DOMAINS_MAX).map(Into::into).collect(),
            addresses: address.filter(is_for).into_iter().collect(),
            trust: self.verify_for(&parsed, others, now, KeyUsage::server_auth()).map_err(|error| untrusted(&error)),
        })
    }

    fn verify(
        &self,
        parsed: &EndEntityCert<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Untrusted> {
        // Public issuers no longer sign for clients. What is to be known is which domain this server stands for, and that
        // a server's certificate says.
        let verified = self.verify_for(parsed, others, now, KeyUsage::client_auth()).or_else(|error| match error {
            webpki::Error::RequiredEkuNotFoundContext(_) => {
                self.verify_for(parsed, others, now, KeyUsage::server_auth())
            }
            error => Err(error),
        });
        verified.map_err(|error| untrusted(&error))
    }

    fn verify_for(
        &self,
        parsed: &EndEntityCert<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), webpki::Error> {
        parsed.verify_for_usage(self.algorithms.all, &self.anchors, others, now, usage, None, None).map(|_| ())
    }
}

fn untrusted(error: &webpki::Error) -> Untrusted {
    match error {
        webpki::Error::CertExpired { .. } => Untrusted::Expired,
        webpki::Error::CertNotValidYet { .. } => Untrusted::NotYetValid,
        // One with the name of a root and another key has not issued it either.
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => Untrusted::UnknownIssuer,
        webpki::Error::BadDer | webpki::Error::BadDerTime | webpki::Error::InvalidCertValidity => Untrusted::Unreadable,
        _ => Untrusted::Unsound,
    }
}

/// Issuer and subject, if both can be read.
pub fn name(parsed: &EndEntityCert<'_>) -> Option<CertificateName> {
    let read = |der| DistinguishedName::from_der(der).ok();
    Some(CertificateName { issuer: read(parsed.issuer())?, subject: read(parsed.subject())? })
}

/// Asks one peer for a certificate and takes any, so that no certificate can end a handshake. Serves one handshake: it
/// remembers whether the peer has proven that it holds the key.
#[derive(Debug)]
pub struct Asking {
    algorithms: WebPkiSupportedAlgorithms,
    proof: AtomicU8,
}

const NOT_SEEN: u8 = 0;
const PROVEN: u8 = 1;
const FAILED: u8 = 2;

impl Asking {
    pub fn new(provider: &CryptoProvider) -> Arc<Asking> {
        Arc::new(Asking { algorithms: provider.signature_verification_algorithms, proof: AtomicU8::new(NOT_SEEN) })
    }

    /// Whether the handshake has shown that the peer holds the key of its certificate.
    pub fn is_proven(&self) -> bool {
        self.proof.load(Ordering::Relaxed) == PROVEN
    }

    /// Notes the answer and goes on. A peer whose signature is wrong, or made with a key that we cannot check, is no worse
    /// off than one without a certificate, and no better: what is not proven identifies nobody.
    fn note(&self, verified: Result<HandshakeSignatureValid, rustls::Error>) -> HandshakeSignatureValid {
        self.proof.store(if verified.is_ok() { PROVEN } else { FAILED }, Ordering::Relaxed);
        HandshakeSignatureValid::assertion()
    }
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// No hints: a client might keep a self-signed certificate to itself that is known by its thumbprint.
    fn root_hint_subjects(&self) -> &[Hint] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(self.note(verify_tls12_signature(message, certificate, signed, &self.algorithms)))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(self.note(verify_tls13_signature(message, certificate, signed, &self.algorithms)))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
