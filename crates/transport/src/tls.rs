//! TLS on both sides (RFC 3207): the server's certificate, made when none is configured, and the client's willingness
//! to encrypt to whoever is there.
//!
//! Takes settings and a data folder, hands on rustls configurations. TLS 1.2 and 1.3 only; rustls offers nothing older.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gatepost_policy::settings::Settings;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};

/// Why a certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the {what} {path}: {source}", path = path.display())]
    Read {
        /// Certificate or private key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not PEM, or does not hold what it should.
    #[error("{path} holds no usable {what} in PEM form: {reason}", path = path.display())]
    Pem {
        /// Certificate or private key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the reader says.
        reason: String,
    },
    /// Certificate and key do not belong together, or the key is of no supported kind.
    #[error("certificate {certificate} and private key {private_key} cannot be used together: {source}", certificate = certificate.display(), private_key = private_key.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        private_key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The self-signed certificate cannot be made or stored.
    #[error("cannot make the self-signed certificate in {folder}: {reason}", folder = folder.display())]
    SelfSigned {
        /// Where it was to be.
        folder: PathBuf,
        /// Why not.
        reason: String,
    },
}

/// Builds the server's TLS configuration from `[tls]`, or from a self-signed certificate under `data_dir/tls` that is
/// made on the first start.
///
/// # Errors
/// [`TlsError`], naming the file.
pub fn server_config(settings: &Settings) -> Result<Arc<ServerConfig>, TlsError> {
    let (certificate, private_key) = match &settings.tls {
        Some(files) => (files.certificate.clone(), files.private_key.clone()),
        None => self_signed(settings)?,
    };
    let pem_error = |what, path: &Path, error: rustls::pki_types::pem::Error| match error {
        rustls::pki_types::pem::Error::Io(source) => TlsError::Read { what, path: path.into(), source },
        other => TlsError::Pem { what, path: path.into(), reason: other.to_string() },
    };
    let chain = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem_error("certificate", &certificate, error))?;
    if chain.is_empty() {
        let reason = "it has no BEGIN CERTIFICATE section".into();
        return Err(TlsError::Pem { what: "certificate", path: certificate, reason });
    }
    let key =
        PrivateKeyDer::from_pem_file(&private_key).map_err(|error| pem_error("private key", &private_key, error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Mismatch { certificate, private_key, source })?;
    // Stateless tickets: resumption without memory for each peer.
    if let Ok(ticketer) = aws_lc_rs::Ticketer::new() {
        config.ticketer = ticketer;
    }
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Paths of the self-signed certificate and its key; makes both when either is missing.
fn self_signed(settings: &Settings) -> Result<(PathBuf, PathBuf), TlsError> {
    let folder = settings.server.data_dir.join("tls");
    let (certificate, private_key) = (folder.join("self-signed.pem"), folder.join("self-signed-key.pem"));
    if certificate.exists() && private_key.exists() {
        return Ok((certificate, private_key));
    }
    let fail = |reason: String| TlsError::SelfSigned { folder: folder.clone(), reason };
    let name = settings.server.name.to_string();
    let mut names = vec![name, "localhost".to_owned()];
    names.dedup();
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| fail(error.to_string()))?;
    fs::create_dir_all(&folder).map_err(|error| fail(error.to_string()))?;
    // The key first and never readable by others: a certificate without its key would be useless.
    write_private(&private_key, made.signing_key.serialize_pem().as_bytes(), 0o600)
        .and_then(|()| write_private(&certificate, made.cert.pem().as_bytes(), 0o644))
        .map_err(|error| fail(error.to_string()))?;
    tracing::info!(certificate = %certificate.display(), "made a self-signed certificate; set [tls] to use your own");
    Ok((certificate, private_key))
}

fn write_private(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The configuration for next hops: encrypts, and believes any certificate.
///
/// Opportunistic TLS protects against listeners, not against impostors (RFC 7435): a next hop that offers STARTTLS with
/// a certificate that we cannot check is still better reached encrypted than in clear.
pub fn client_config() -> Arc<ClientConfig> {
    let provider = provider();
    let verifier = Arc::new(AnyCertificate { provider: provider.clone() });
    Arc::new(
        ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider supports TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth(),
    )
}

/// Version and cipher as logs and Received fields write them: `TLS1.3`, `AES_256_GCM_SHA384`. The version stands beside
/// the cipher, so the prefix that names it again is left out.
pub fn parameters(connection: &rustls::CommonState) -> (&'static str, &'static str) {
    let version = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS1.2",
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS1.3",
        _ => "TLS",
    };
    let cipher = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("unknown");
    let cipher = cipher.strip_prefix("TLS13_").or_else(|| cipher.strip_prefix("TLS_")).unwrap_or(cipher);
    (version, cipher)
}

#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

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
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
