//! TLS of the load: one certificate for all who need one, and what generator and sink agree to.
//!
//! Takes version, cipher and whether sessions are resumed; hands on rustls configurations that allow nothing else, so that a
//! figure says what it was measured with.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, ServerConfig, ServerConnection, SignatureScheme,
};
use serde::{Deserialize, Serialize};

/// The name in the certificate.
const NAME: &str = "relay.bench.test";

/// Certificate and key in PEM, an elliptic key on P-256 as new servers have it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Identity {
    pub certificate: PathBuf,
    pub private_key: PathBuf,
}

/// What the generator offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offer {
    /// TLS 1.3; else 1.2.
    pub is_1_3: bool,
    /// Later connections of a session resume the first.
    pub resumes: bool,
}

impl Identity {
    /// Makes one in this folder.
    pub fn make(folder: &Path) -> io::Result<Identity> {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).map_err(io::Error::other)?;
        let identity =
            Identity { certificate: folder.join("certificate.pem"), private_key: folder.join("private-key.pem") };
        fs::write(&identity.certificate, made.cert.pem())?;
        fs::write(&identity.private_key, made.signing_key.serialize_pem())?;
        Ok(identity)
    }

    /// What the sink needs.
    pub fn server(&self) -> io::Result<Arc<ServerConfig>> {
        let certificate = CertificateDer::from_pem_file(&self.certificate).map_err(io::Error::other)?;
        let key = PrivateKeyDer::from_pem_file(&self.private_key).map_err(io::Error::other)?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .map_err(io::Error::other)?;
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(io::Error::other)?;
        Ok(Arc::new(config))
    }
}

impl Offer {
    /// What the generator needs. It believes any certificate: what is measured is not whether.
    pub fn client(self) -> io::Result<Arc<ClientConfig>> {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites = vec![match self.is_1_3 {
            true => aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
            false => aws_lc_rs::cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        }];
        let version = if self.is_1_3 { &rustls::version::TLS13 } else { &rustls::version::TLS12 };
        let provider = Arc::new(provider);
        let mut config = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        if !self.resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(Arc::new(config))
    }
}

/// A client's side of a connection to a relay.
pub(super) fn connect(config: &Arc<ClientConfig>) -> io::Result<Connection> {
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    Ok(ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?.into())
}

/// The server's side of a connection that was accepted.
pub(super) fn accept(config: &Arc<ServerConfig>) -> io::Result<Connection> {
    Ok(ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?.into())
}

/// Version, cipher suite and key exchange that were agreed to.
pub(super) fn agreed(connection: &Connection) -> String {
    let version = connection.protocol_version().and_then(|version| version.as_str()).unwrap_or("no version");
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("no suite");
    let group =
        connection.negotiated_key_exchange_group().and_then(|group| group.name().as_str()).unwrap_or("no group");
    format!("{version} {suite} {group}")
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
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
