//! PEM files with certificates, and what to say of a file that is none.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error, PemObject};

use super::TlsError;

/// The certificates of a PEM file, at least one.
pub fn read_certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| self::error(what, path, error))?;
    match certificates.is_empty() {
        false => Ok(certificates),
        true => {
            let reason = "it has no BEGIN CERTIFICATE section".into();
            Err(TlsError::Pem { what, path: path.into(), reason })
        }
    }
}

/// What is wrong with the file, which was to hold this.
pub fn error(what: &'static str, path: &Path, error: Error) -> TlsError {
    match error {
        Error::Io(source) => TlsError::Read { what, path: path.into(), source },
        other => TlsError::Pem { what, path: path.into(), reason: other.to_string() },
    }
}
