//! Our own certificates: read from the files that the settings name, or made on the first start.
//!
//! Takes settings, hands on chains with their keys and what they say of themselves.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use gatepost_policy::certificate::{Thumbprint, validity_ms};
use gatepost_policy::own_certificate::OwnCertificate;
use gatepost_policy::settings::{Settings, TlsFiles};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;

use super::TlsError;
use super::{peer, pem};
use crate::whole_file;

/// One of our certificates, ready to be shown.
pub struct Own {
    /// The file that it is from.
    pub file: PathBuf,
    /// From when until when it is valid, Unix time in milliseconds, where that can be read.
    pub validity_ms: Option<(u64, u64)>,
    pub thumbprint: Thumbprint,
    pub key: Arc<CertifiedKey>,
    pub says: OwnCertificate,
}

/// All of them: that of `[tls]` or the self-signed one first, then those of `[[certificate]]`.
pub fn load(settings: &Settings, provider: &CryptoProvider) -> Result<Vec<Own>, TlsError> {
    let mut own = load_named(settings, provider)?;
    if settings.tls.is_none() {
        own.insert(0, read(&self_signed(settings)?, provider)?);
    }
    Ok(own)
}

/// Those whose files the settings name.
pub fn load_named(settings: &Settings, provider: &CryptoProvider) -> Result<Vec<Own>, TlsError> {
    settings.tls.iter().chain(&settings.certificates).map(|files| read(files, provider)).collect()
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<Own, TlsError> {
    let TlsFiles { certificate, private_key } = files.clone();
    let chain = pem::read_certificates("certificate", &certificate)?;
    let key =
        PrivateKeyDer::from_pem_file(&private_key).map_err(|error| pem::error("private key", &private_key, error))?;
    let says = EndEntityCert::try_from(&chain[0]).map_or_else(
        |_| OwnCertificate::default(),
        |parsed| OwnCertificate {
            name: peer::name(&parsed),
            hosts: parsed.valid_dns_names().map(Into::into).collect(),
        },
    );
    let (file, validity_ms) = (certificate.clone(), validity_ms(&chain[0]));
    let mut thumbprint = [0; 32];
    thumbprint.copy_from_slice(digest(&SHA256, &chain[0]).as_ref());
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|source| TlsError::Mismatch {
        certificate,
        private_key,
        source,
    })?;
    Ok(Own { file, validity_ms, thumbprint: Thumbprint(thumbprint), key: Arc::new(key), says })
}

/// Paths of the self-signed certificate and its key; makes both when either is missing.
fn self_signed(settings: &Settings) -> Result<TlsFiles, TlsError> {
    let folder = settings.server.data_dir.join("tls");
    let (certificate, private_key) = (folder.join("self-signed.pem"), folder.join("self-signed-key.pem"));
    if certificate.exists() && private_key.exists() {
        return Ok(TlsFiles { certificate, private_key });
    }
    let fail = |reason: String| TlsError::SelfSigned { folder: folder.clone(), reason };
    let name = settings.server.name.to_string();
    let mut names = vec![name, "localhost".to_owned()];
    names.dedup();
    let made = rcgen::generate_simple_self_signed(names).map_err(|error| fail(error.to_string()))?;
    // Each file is whole or not there, and the certificate comes last: whenever this is cut off, both are made anew.
    fs::create_dir_all(&folder)
        .and_then(|()| whole_file::flush_folder(&settings.server.data_dir))
        .and_then(|()| remove(&certificate))
        .and_then(|()| whole_file::replace(&private_key, made.signing_key.serialize_pem().as_bytes(), 0o600))
        .and_then(|()| whole_file::replace(&certificate, made.cert.pem().as_bytes(), 0o644))
        .map_err(|error| fail(error.to_string()))?;
    tracing::info!(certificate = %certificate.display(), "made a self-signed certificate; set [tls] to use your own");
    Ok(TlsFiles { certificate, private_key })
}

/// Removes a file, if it is there, so that a power cut does not bring it back.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    path.parent().map_or(Ok(()), whole_file::flush_folder)
}
