//! An authority that issues certificates, for peers and servers that prove who they are.
//!
//! Hands on PEM texts and thumbprints; whether anybody believes them is the business of the server under test.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};

use crate::wire::believing_any;

/// Somebody who signs certificates.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// What a certificate is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// For clients and servers, valid now.
    Sound,
    /// For servers alone, as public authorities issue them.
    ServerOnly,
    /// Its time was over in 2020.
    Expired,
    /// Its time comes in 2090.
    NotYetValid,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: String,
}

impl Authority {
    /// An authority with this common name.
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Authority { pem, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate, for those who trust it.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these host names; the first is the common name.
    pub fn issue(&self, hosts: &[&str], kind: Kind) -> Identity {
        let (params, key) = (params(hosts, kind), KeyPair::generate().expect("a key"));
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }
}

impl Identity {
    /// A certificate that nobody but itself has signed.
    pub fn self_signed(hosts: &[&str]) -> Identity {
        let (params, key) = (params(hosts, Kind::Sound), KeyPair::generate().expect("a key"));
        let certificate = params.self_signed(&key).expect("a certificate");
        Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    /// The SHA-256 of the certificate, as settings take it.
    pub fn thumbprint(&self) -> String {
        let hash = digest(&SHA256, &self.certificate());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The certificate in DER.
    pub fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).expect("PEM that was just made")
    }

    /// A server that shows it, and asks for a client's certificate or not; it takes any.
    pub(crate) fn server_config(&self, asks: bool) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("PEM that was just made");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider supports the default versions");
        let builder = match asks {
            true => builder.with_client_cert_verifier(Arc::new(AnyClient(provider))),
            false => builder.with_no_client_auth(),
        };
        Arc::new(builder.with_single_cert(vec![self.certificate()], key).expect("a certificate that fits its key"))
    }

    /// A client that shows it.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("PEM that was just made");
        let config = believing_any().with_client_auth_cert(vec![self.certificate()], key);
        Arc::new(config.expect("a certificate that fits its key"))
    }
}

/// Asks every client for a certificate and takes any, but checks that the client holds its key.
#[derive(Debug)]
struct AnyClient(Arc<CryptoProvider>);

impl ClientCertVerifier for AnyClient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
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
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn params(hosts: &[&str], kind: Kind) -> CertificateParams {
    let mut params =
        CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).expect("host names");
    params.distinguished_name.push(DnType::CommonName, hosts[0]);
    params.extended_key_usages = match kind {
        Kind::Sound | Kind::Expired | Kind::NotYetValid => {
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth]
        }
        Kind::ServerOnly => vec![ExtendedKeyUsagePurpose::ServerAuth],
    };
    if kind == Kind::Expired {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    if kind == Kind::NotYetValid {
        params.not_before = date_time_ymd(2090, 1, 1);
        params.not_after = date_time_ymd(2091, 1, 1);
    }
    params
}
