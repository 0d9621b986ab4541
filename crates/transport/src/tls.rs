//! TLS on both sides (RFC 3207): which certificate we show, which we ask for, and the willingness to encrypt to whoever is
//! there.
//!
//! Takes settings and a data folder, hands on what handshakes need. TLS 1.2 and 1.3 only; rustls offers nothing older.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gatepost_policy::certificate::{CertificateName, KnownBy, PeerCertificate, Thumbprint};
use gatepost_policy::next_hop_certificate::{self, NextHopCertificate};
use gatepost_policy::own_certificate::{self, OwnCertificate};
use gatepost_policy::peer_certificate;
use gatepost_policy::receive_connector::{Mechanism, ReceiveConnector};
use gatepost_policy::send_connector::SendConnector;
use gatepost_policy::settings::Settings;
use rustls::RootCertStore;
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::clock::now_ms;

mod own;
mod peer;
mod pinned;
mod pem;

use own::Own;
use peer::{Asking, Roots};
use pinned::Pinned;

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

/// TLS under one revision of the settings.
pub struct Tls {
    provider: Arc<CryptoProvider>,
    /// Receive connectors that do not show the first certificate to whoever comes.
    doors: HashMap<Arc<str>, Door>,
    first: TlsAcceptor,
    /// What administrators are shown who come from other machines, where any may.
    management: Option<TlsAcceptor>,
    /// Send connectors that show a certificate.
    clients: HashMap<Arc<str>, TlsConnector>,
    roots: Roots,
    /// What the settings ask for and cannot have.
    faults: Vec<Fault>,
    /// Our certificates.
    own: Vec<OwnCertificateStatus>,
}

/// A certificate of ours, as it is told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificateStatus {
    /// Its file.
    pub file: PathBuf,
    /// Issuer and subject, where they can be read.
    pub name: Option<CertificateName>,
    /// The host names that it is for.
    pub hosts: Vec<Box<str>>,
    /// Its SHA-256.
    pub thumbprint: Thumbprint,
    /// From when until when it is valid, Unix time in milliseconds, where that can be read.
    pub validity_ms: Option<(u64, u64)>,
}

/// Until when a certificate of ours is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Its file.
    pub file: PathBuf,
    /// Unix time in milliseconds.
    pub expires_ms: u64,
}

/// A receive or send connector whose certificate is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub connector: Arc<str>,
    /// What it asks for.
    pub wanted: CertificateName,
    /// What comes of it.
    pub consequence: &'static str,
}

/// What stands for a connector where administrators are heard.
const MANAGEMENT: &str = "[management]";
const NOT_OFFERED: &str = "STARTTLS is not offered there";
const NOT_HEARD: &str = "no administrator is heard from another machine";
const NOT_SHOWN: &str = "no certificate is shown to its next hops";

/// How a receive connector meets TLS.
enum Door {
    /// Not at all: the certificate that it names is not there.
    Shut,
    /// It shows this certificate.
    Showing(TlsAcceptor),
    /// It shows this certificate and asks for the peer's.
    Asking(Arc<SingleCertAndKey>),
}

impl Tls {
    /// Reads the certificates, or makes a self-signed one under `data_dir/tls` on the first start, and the roots if anybody
    /// is to be measured by them.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub fn load(settings: &Settings) -> Result<Tls, TlsError> {
        let provider = provider();
        let own = own::load(settings, &provider)?;
        let says: Vec<OwnCertificate> = own.iter().map(|own| own.says.clone()).collect();
        let acceptors: Vec<TlsAcceptor> = own.iter().map(|own| showing(own, &provider)).collect();
        let mut tls = Tls {
            doors: HashMap::new(),
            first: acceptors[0].clone(),
            management: None,
            clients: HashMap::new(),
            roots: match measures_by_roots(settings) {
                true => Roots::load(settings.trusted_roots.as_ref(), &provider)?,
                false => Roots::none(&provider),
            },
            provider,
            faults: Vec::new(),
            own: own
                .iter()
                .map(|own| OwnCertificateStatus {
                    file: own.file.clone(),
                    name: own.says.name.clone(),
                    hosts: own.says.hosts.clone(),
                    thumbprint: own.thumbprint,
                    validity_ms: own.validity_ms,
                })
                .collect(),
        };
        for connector in settings.receive_connectors.iter().filter(|connector| has_tls(connector)) {
            let wanted = connector.tls_certificate_name.as_deref();
            let door = match own_certificate::choose(wanted, &connector.fqdn, &says) {
                Some(place) if peer_certificate::asks(connector, settings) => {
                    Door::Asking(Arc::new(SingleCertAndKey::from(own[place].key.clone())))
                }
                Some(0) => continue,
                Some(place) => Door::Showing(acceptors[place].clone()),
                None => {
                    tls.fault(&connector.name, wanted, NOT_OFFERED);
                    Door::Shut
                }
            };
            tls.doors.insert(connector.name.clone(), door);
        }
        if settings.management.listen_with_tls().next().is_some() {
            let wanted = settings.management.tls_certificate_name.as_deref();
            match own_certificate::choose(wanted, &settings.server.name, &says) {
                Some(place) => tls.management = Some(speaking_http(&own[place], &tls.provider)),
                None => tls.fault(&MANAGEMENT.into(), wanted, NOT_HEARD),
            }
        }
        for connector in &settings.send_connectors {
            let wanted = connector.tls_certificate_name.as_deref();
            let place = match wanted {
                Some(wanted) => own_certificate::named(wanted, &says),
                // Domain security is mutual: we prove ourselves, too.
                None if connector.domain_secure_enabled => own_certificate::choose(None, &connector.fqdn, &says),
                None => continue,
            };
            match place {
                Some(place) => {
                    let shown = Arc::new(SingleCertAndKey::from(own[place].key.clone()));
                    tls.clients.insert(connector.name.clone(), TlsConnector::from(client_config_showing(shown)));
                }
                None => tls.fault(&connector.name, wanted, NOT_SHOWN),
            }
        }
        Ok(tls)
    }

    /// Reads every file that the settings name, and makes none. Hands on what the settings ask for and cannot have.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub fn check(settings: &Settings) -> Result<Vec<Fault>, TlsError> {
        let provider = provider();
        let own = own::load_named(settings, &provider)?;
        if let Some(file) = &settings.trusted_roots {
            Roots::load(Some(file), &provider)?;
        }
        let says: Vec<OwnCertificate> = own.into_iter().map(|own| own.says).collect();
        let fault = |connector: &Arc<str>, wanted: Option<&CertificateName>, consequence| {
            let wanted = wanted.filter(|wanted| own_certificate::named(wanted, &says).is_none())?;
            Some(Fault { connector: connector.clone(), wanted: wanted.clone(), consequence })
        };
        let receiving = settings.receive_connectors.iter().filter(|connector| has_tls(connector));
        let receiving = receiving
            .filter_map(|connector| fault(&connector.name, connector.tls_certificate_name.as_deref(), NOT_OFFERED));
        let administrators = settings.management.listen_with_tls().take(1);
        let administrators = administrators
            .filter_map(|_| fault(&MANAGEMENT.into(), settings.management.tls_certificate_name.as_deref(), NOT_HEARD));
        let sending = settings.send_connectors.iter();
        let sending = sending
            .filter_map(|connector| fault(&connector.name, connector.tls_certificate_name.as_deref(), NOT_SHOWN));
        Ok(receiving.chain(administrators).chain(sending).collect())
    }

    fn fault(&mut self, connector: &Arc<str>, wanted: Option<&CertificateName>, consequence: &'static str) {
        let Some(wanted) = wanted else { return };
        tracing::error!(connector = &**connector, certificate = %wanted, "the certificate of tls_certificate_name is not there: {consequence}");
        self.faults.push(Fault { connector: connector.clone(), wanted: wanted.clone(), consequence });
    }

    /// Until when our certificates are valid.
    pub fn expiries(&self) -> impl Iterator<Item = Expiry> {
        self.own.iter().filter_map(|own| Some(Expiry { file: own.file.clone(), expires_ms: own.validity_ms?.1 }))
    }

    /// Our certificates: that of `[tls]` or the self-signed one first, then those of `[[certificate]]`.
    pub fn own(&self) -> &[OwnCertificateStatus] {
        &self.own
    }

    /// What the settings ask for and cannot have.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether there is a certificate for the connector to show.
    pub fn is_ready_for(&self, connector: &ReceiveConnector) -> bool {
        !matches!(self.doors.get(&connector.name), Some(Door::Shut))
    }

    /// The server's side of a handshake, and what the peer has shown of itself if it was asked.
    ///
    /// # Errors
    /// Of the network, and where there is no certificate to show.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        connector: &ReceiveConnector,
        socket: S,
    ) -> io::Result<(TlsStream<S>, Option<PeerCertificate>)> {
        match self.doors.get(&connector.name) {
            None => Ok((self.first.accept(socket).await?, None)),
            Some(Door::Showing(acceptor)) => Ok((acceptor.accept(socket).await?, None)),
            Some(Door::Shut) => Err(io::Error::other("there is no certificate to show")),
            // Few connectors ask; the others need not have room for it.
            Some(Door::Asking(shown)) => Box::pin(self.ask(shown.clone(), socket)).await,
        }
    }

    /// No session is ever resumed here: each handshake proves anew that the peer holds its key, and nothing that was proven
    /// to one connector is carried to another.
    async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        shown: Arc<SingleCertAndKey>,
        socket: S,
    ) -> io::Result<(TlsStream<S>, Option<PeerCertificate>)> {
        let asking = Asking::new(&self.provider);
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider supports TLS 1.2 and 1.3")
            .with_client_cert_verifier(asking.clone())
            .with_cert_resolver(shown);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let stream = TlsAcceptor::from(Arc::new(config)).accept(socket).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificate = self.roots.look_at(chain, asking.is_proven(), unix_time());
        Ok((stream, certificate))
    }

    /// What is known of the certificate in the chain that a next hop has shown. `address` is asked about beside its names.
    pub fn of_next_hop(&self, chain: &[CertificateDer<'_>], address: Option<IpAddr>) -> Option<NextHopCertificate> {
        self.roots.look_at_server(chain, address, unix_time())
    }

    /// The server's side for administrators who come from other machines; `None` where there is no certificate to show, or
    /// none may come.
    pub fn management(&self) -> Option<&TlsAcceptor> {
        self.management.as_ref()
    }

    /// The client's side for a send connector that shows a certificate; `None` for one that does not.
    pub fn client(&self, connector: &SendConnector) -> Option<&TlsConnector> {
        self.clients.get(&connector.name)
    }
}

/// A configuration that shows `own` to whoever comes.
fn showing(own: &Own, provider: &Arc<CryptoProvider>) -> TlsAcceptor {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own.key.clone())));
    // Stateless tickets: resumption without memory for each peer.
    if let Ok(ticketer) = aws_lc_rs::Ticketer::new() {
        config.ticketer = ticketer;
    }
    TlsAcceptor::from(Arc::new(config))
}

/// The same for HTTP/1.1 (RFC 7301), without resumption: few come, and each proves itself anew.
fn speaking_http(own: &Own, provider: &Arc<CryptoProvider>) -> TlsAcceptor {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own.key.clone())));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    TlsAcceptor::from(Arc::new(config))
}

fn has_tls(connector: &ReceiveConnector) -> bool {
    connector.enabled && connector.auth_mechanism.contains(Mechanism::Tls)
}

/// Whether a certificate can count by its issuer alone.
fn measures_by_roots(settings: &Settings) -> bool {
    let by_name = settings.trusted_servers.iter().any(|server| matches!(server.known_by, KnownBy::Name(_)));
    let next_hops = settings
        .send_connectors
        .iter()
        .filter(|connector| connector.enabled)
        .chain(settings.mailbox_delivery.servers())
        .any(|connector| next_hop_certificate::measures_by_roots(connector));
    by_name || next_hops || !settings.transport.tls_receive_domain_secure_list.is_empty()
}

fn unix_time() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(now_ms()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A configuration for https: believes certificates that lead to a root of this file, or of the operating system.
///
/// # Errors
/// [`TlsError`], when the file cannot be read.
pub fn believing_roots(trusted_roots: Option<&PathBuf>) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let roots = RootCertStore { roots: Roots::load(trusted_roots, &provider)?.into_anchors() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3");
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// The same for who was handed the server's certificate: believes those of this file themselves, whatever name the server
/// is called by, and chains that lead to one of them.
///
/// # Errors
/// [`TlsError`], when the file cannot be read.
pub fn believing_certificates(file: &Path) -> Result<Arc<ClientConfig>, TlsError> {
    const WHAT: &str = "trusted certificate";
    let provider = provider();
    let pinned = Pinned::to(pem::read_certificates(WHAT, file)?, provider.clone());
    let pinned = pinned.map_err(|reason| TlsError::Pem { what: WHAT, path: file.into(), reason })?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3");
    Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(Arc::new(pinned)).with_no_client_auth()))
}

/// The configuration for next hops: encrypts, and believes any certificate.
///
/// Opportunistic TLS protects against listeners, not against impostors (RFC 7435): a next hop that offers STARTTLS with
/// a certificate that we cannot check is still better reached encrypted than in clear.
pub fn client_config() -> Arc<ClientConfig> {
    Arc::new(believing_any().with_no_client_auth())
}

/// The same, showing our certificate to a next hop that asks for one.
fn client_config_showing(shown: Arc<SingleCertAndKey>) -> Arc<ClientConfig> {
    Arc::new(believing_any().with_client_cert_resolver(shown))
}

fn believing_any() -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = provider();
    let verifier = Arc::new(AnyCertificate { provider: provider.clone() });
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
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
