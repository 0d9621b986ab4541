//! One TCP connection, read by lines or by counts, which may turn to TLS in the middle. Used by both our client and our
//! sink; knows nothing of SMTP.
//!
//! Certificates are not checked: the servers under test sign their own.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, DigitallySignedStruct, ServerConfig, ServerConnection,
    SignatureScheme, StreamOwned,
};

/// Longest line either side may send us, in bytes; more is a bug worth failing on.
const LINE_BYTES_MAX: usize = 1 << 20;

/// A connection and what was read from it too early.
pub struct Wire {
    stream: Stream,
    buffer: Vec<u8>,
}

enum Stream {
    Plain(TcpStream),
    TlsClient(Box<StreamOwned<ClientConnection, TcpStream>>),
    TlsServer(Box<StreamOwned<ServerConnection, TcpStream>>),
    /// Between taking the plain stream and having the encrypted one; left there only by a failed handshake.
    Broken,
}

impl Wire {
    /// Takes over a connection; every read gives up after `patience`.
    pub fn new(stream: TcpStream, patience: Duration) -> io::Result<Wire> {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream: Stream::Plain(stream), buffer: Vec::new() })
    }

    /// The next line with its line ending; `None` at the end of the stream. A last line without an ending is an error.
    pub fn read_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                return Ok(Some(self.buffer.drain(..=searched + at).collect()));
            }
            searched = self.buffer.len();
            if searched > LINE_BYTES_MAX {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a line longer than 1 MiB"));
            }
            if self.fill()? == 0 {
                let rest = String::from_utf8_lossy(&self.buffer).into_owned();
                return if rest.is_empty() { Ok(None) } else { Err(io::Error::other(format!("cut short: {rest:?}"))) };
            }
        }
    }

    /// Exactly `count` bytes.
    pub fn read_exact(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if self.fill()? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Writes everything at once.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::TlsClient(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Stream::TlsServer(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Stream::Broken => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Does the client's part of a TLS handshake. What the peer sent behind its last plain line is an error: a peer
    /// must not pipeline plain text into the encrypted session.
    pub fn start_tls_as_client(&mut self) -> io::Result<()> {
        self.start_tls_with(client_config())
    }

    /// The same by another configuration, which may have a certificate to show.
    pub fn start_tls_with(&mut self, config: Arc<ClientConfig>) -> io::Result<()> {
        let mut stream = self.take_plain()?;
        let name = ServerName::try_from("gatepost.test").expect("a legal name");
        let mut connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        self.stream = Stream::TlsClient(Box::new(StreamOwned::new(connection, stream)));
        Ok(())
    }

    /// Does the server's part of a TLS handshake, with a certificate made for this process.
    pub fn start_tls_as_server(&mut self) -> io::Result<()> {
        self.start_tls_as_server_with(server_config())
    }

    /// The same by another configuration.
    pub fn start_tls_as_server_with(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let mut stream = self.take_plain()?;
        let mut connection = ServerConnection::new(config).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        self.stream = Stream::TlsServer(Box::new(StreamOwned::new(connection, stream)));
        Ok(())
    }

    /// Whether bytes travel encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::TlsClient(_) | Stream::TlsServer(_))
    }

    /// The certificate that the peer showed in its handshake, DER.
    pub fn peer_certificate(&self) -> Option<Vec<u8>> {
        match &self.stream {
            Stream::TlsClient(stream) => Some(stream.conn.peer_certificates()?.first()?.to_vec()),
            Stream::TlsServer(stream) => Some(stream.conn.peer_certificates()?.first()?.to_vec()),
            _ => None,
        }
    }

    /// Our end's address.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.tcp()?.local_addr()
    }

    /// The peer's address.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        self.tcp()?.peer_addr()
    }

    /// Says that we send nothing more, as `printf … | nc` does at the end of its input.
    pub fn close_sending(&mut self) -> io::Result<()> {
        self.tcp()?.shutdown(std::net::Shutdown::Write)
    }

    fn tcp(&self) -> io::Result<&TcpStream> {
        match &self.stream {
            Stream::Plain(stream) => Ok(stream),
            Stream::TlsClient(stream) => Ok(&stream.sock),
            Stream::TlsServer(stream) => Ok(&stream.sock),
            Stream::Broken => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn take_plain(&mut self) -> io::Result<TcpStream> {
        if !self.buffer.is_empty() {
            let rest = String::from_utf8_lossy(&self.buffer).into_owned();
            return Err(io::Error::other(format!("plain text in front of the handshake: {rest:?}")));
        }
        match std::mem::replace(&mut self.stream, Stream::Broken) {
            Stream::Plain(stream) => Ok(stream),
            _ => Err(io::Error::other("TLS was started twice")),
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let count = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut chunk),
            Stream::TlsClient(stream) => stream.read(&mut chunk),
            Stream::TlsServer(stream) => stream.read(&mut chunk),
            Stream::Broken => Err(io::ErrorKind::NotConnected.into()),
        };
        let count = match count {
            // A peer that hangs up without TLS's own goodbye has hung up all the same.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.is_tls() => 0,
            other => other?,
        };
        self.buffer.extend_from_slice(&chunk[..count]);
        Ok(count)
    }
}

/// A new certificate for `name`, signed by itself: certificate and private key in PEM, and the certificate in DER.
pub fn certificate_for(name: &str) -> (String, String, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a self-signed certificate");
    (made.cert.pem(), made.signing_key.serialize_pem(), made.cert.der().to_vec())
}

fn client_config() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    CONFIG.get_or_init(|| Arc::new(believing_any().with_no_client_auth())).clone()
}

/// A client that takes any certificate of a server.
pub(crate) fn believing_any() -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider supports the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
}

fn server_config() -> Arc<ServerConfig> {
    static CONFIG: OnceLock<Arc<ServerConfig>> = OnceLock::new();
    CONFIG
        .get_or_init(|| {
            let made =
                rcgen::generate_simple_self_signed(vec!["sink.test".to_owned()]).expect("a self-signed certificate");
            let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key that was just made");
            let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .expect("the provider supports the default versions")
                .with_no_client_auth()
                .with_single_cert(vec![made.cert.der().clone()], key)
                .expect("a certificate that fits its key");
            Arc::new(config)
        })
        .clone()
}

/// Takes any certificate, but still checks that the peer holds its key.
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
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
