//! An authority that issues certificates, for peers and servers that prove who they are.
//!
//! Hands on PEM texts and thumbprints; whether anybody believes them is the business of the server under test.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

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

    /// A client that shows it.
    pub(crate) fn client_config(&self) -> Arc<ClientConfig> {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("PEM that was just made");
        let config = believing_any().with_client_auth_cert(vec![self.certificate()], key);
        Arc::new(config.expect("a certificate that fits its key"))
    }
}

fn params(hosts: &[&str], kind: Kind) -> CertificateParams {
    let mut params =
        CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).expect("host names");
    params.distinguished_name.push(DnType::CommonName, hosts[0]);
    params.extended_key_usages = match kind {
        Kind::Sound | Kind::Expired => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        Kind::ServerOnly => vec![ExtendedKeyUsagePurpose::ServerAuth],
    };
    if kind == Kind::Expired {
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    params
}
