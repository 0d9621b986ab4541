//! Posts something to another server: one connection, one request, one answer, within a limit of time.
//!
//! Takes a URL of the settings and a body, hands on the status code. Of https it wants a certificate that leads to a root that
//! we trust. Follows no redirections: where something goes, the settings say. Never reads more of an answer than its
//! beginning.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gatepost_policy::monitoring::{Monitoring, Secret, Url};
use gatepost_transport::passwords::{SecretFileFault, read_secret_file};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Of an answer's body, at most this much is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Longest secret, in bytes.
const SECRET_BYTES_MAX: usize = 4 << 10;

/// Why something could not be posted.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// It took too long.
    #[error("no answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// The network, or TLS.
    #[error("{0}")]
    Network(#[from] io::Error),
    /// What was said is no HTTP.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The request cannot be made.
    #[error("{0}")]
    Request(#[from] hyper::http::Error),
    /// The other server does not take it.
    #[error("it answers {0}")]
    Refused(StatusCode),
    /// A secret cannot be had.
    #[error("{0}")]
    Secret(String),
}

impl PostError {
    /// Whether it may do better later: a server that says no will say so again.
    pub fn is_temporary(&self) -> bool {
        match self {
            PostError::Refused(code) => {
                code.is_server_error() || matches!(*code, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
            }
            PostError::Request(_) => false,
            PostError::TimedOut(_) | PostError::Network(_) | PostError::Http(_) | PostError::Secret(_) => true,
        }
    }
}

/// Posts to other servers under one revision of the settings.
#[derive(Clone)]
pub struct Poster {
    tls: Option<Arc<ClientConfig>>,
    user_agent: String,
}

impl Poster {
    /// Reads the roots that we trust, if https is wanted at all.
    pub fn new(wants_tls: bool, trusted_roots: Option<&PathBuf>, version: &str) -> Poster {
        let tls = wants_tls.then(|| gatepost_transport::tls::believing_roots(trusted_roots));
        let tls = tls.and_then(|config| {
            config
                .inspect_err(
                    |error| tracing::error!(%error, "the roots for https cannot be read: nothing is posted there"),
                )
                .ok()
        });
        Poster { tls, user_agent: format!("Gatepost/{version}") }
    }

    /// Posts `body` with these header fields besides the usual ones.
    ///
    /// # Errors
    /// [`PostError`]: anything but an answer of 2xx.
    pub async fn post(
        &self,
        url: &Url,
        fields: &[(&'static str, String)],
        body: Vec<u8>,
        limit: Duration,
    ) -> Result<(), PostError> {
        let posted = tokio::time::timeout(limit, self.exchange(url, fields, body)).await;
        posted.unwrap_or(Err(PostError::TimedOut(limit)))
    }

    async fn exchange(&self, url: &Url, fields: &[(&'static str, String)], body: Vec<u8>) -> Result<(), PostError> {
        let socket = TcpStream::connect((&*url.host, url.port)).await?;
        if !url.is_secure {
            return self.ask(socket, url, fields, body).await;
        }
        let Some(config) = &self.tls else { return Err(io::Error::other("there are no roots for https").into()) };
        let name = ServerName::try_from(url.host.to_string()).map_err(io::Error::other)?;
        let socket = TlsConnector::from(config.clone()).connect(name, socket).await?;
        self.ask(socket, url, fields, body).await
    }

    async fn ask<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        socket: S,
        url: &Url,
        fields: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<(), PostError> {
        let mut request = Request::post(&*url.path)
            .header(header::HOST, url.authority())
            .header(header::USER_AGENT, &self.user_agent)
            .header(header::CONNECTION, "close");
        for (name, value) in fields {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(Bytes::from(body)))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
        // Ends with the connection, which is dropped below at the latest.
        let driving = tokio::spawn(connection);
        let answered = sender.send_request(request).await;
        let outcome = match answered {
            Ok(answer) => {
                let status = answer.status();
                // Read so that the other end sees an orderly end; what it says is of no use to us.
                let _ = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
                if status.is_success() { Ok(()) } else { Err(PostError::Refused(status)) }
            }
            Err(error) => Err(error.into()),
        };
        driving.abort();
        outcome
    }
}

/// Reads a secret from where the settings say it is, without the line end behind it.
///
/// # Errors
/// [`PostError::Secret`], which names the place and never what lies there.
pub async fn read_secret(secret: &Secret) -> Result<String, PostError> {
    let secret = secret.clone();
    let read = tokio::task::spawn_blocking(move || read_secret_now(&secret)).await;
    let read = read.unwrap_or_else(|error| Err(SecretFault::of(error.to_string())));
    read.map_err(|fault| PostError::Secret(fault.text))
}

/// A secret of `[opentelemetry]` or `[[alarms.webhook]]` that cannot be had: nothing would be sent there.
#[derive(Debug)]
pub struct SecretFault {
    /// Which place, and why; never what lies there.
    pub text: String,
    /// The name of the file, without its folder.
    pub file: Option<String>,
    /// Not, where the server may see what this process does not: with other rights, or another environment.
    pub is_certain: bool,
}

impl SecretFault {
    fn of(text: String) -> SecretFault {
        SecretFault { text, file: None, is_certain: true }
    }
}

/// Every secret for monitoring that cannot be had.
pub fn secret_faults(monitoring: &Monitoring) -> Vec<SecretFault> {
    let fault_of = |secret: &Secret| {
        let fault = read_secret_now(secret).err()?;
        let file = match secret {
            Secret::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            Secret::Environment(_) => None,
        };
        Some(SecretFault { file, ..fault })
    };
    monitoring.secrets().filter_map(fault_of).collect()
}

fn read_secret_now(secret: &Secret) -> Result<String, SecretFault> {
    let (place, read) = match secret {
        Secret::File(path) => {
            let text = match read_secret_file(path, SECRET_BYTES_MAX) {
                Ok(bytes) => String::from_utf8(bytes).map_err(|_| ("it is no text in UTF-8".to_owned(), true)),
                Err(fault) => {
                    let is_denied = matches!(&fault, SecretFileFault::Read(error) if error.kind() == io::ErrorKind::PermissionDenied);
                    Err((fault.to_string(), !is_denied))
                }
            };
            (path.display().to_string(), text)
        }
        Secret::Environment(name) => {
            let read = std::env::var(&**name).map_err(|error| (error.to_string(), false));
            (format!("the environment variable {name}"), read)
        }
    };
    let secret = match &read {
        Ok(secret) => secret.trim_end_matches(['\r', '\n']),
        Err((error, is_certain)) => {
            let text = format!("the secret in {place} cannot be read: {error}");
            return Err(SecretFault { is_certain: *is_certain, ..SecretFault::of(text) });
        }
    };
    match secret {
        "" => Err(SecretFault::of(format!("the secret in {place} is empty"))),
        secret if secret.len() > SECRET_BYTES_MAX => Err(SecretFault::of(format!("the secret in {place} is too long"))),
        secret => Ok(secret.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_secret_is_taken_from_a_file_that_is_closed_to_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        let too_long = "x".repeat(SECRET_BYTES_MAX + 100);
        for (text, mode, expected) in [
            (&*too_long, 0o600, Err("is too long")),
            ("s3cret\n", 0o600, Ok("s3cret")),
            ("s3cret\n", 0o640, Ok("s3cret")),
            ("s3cret\n", 0o644, Err("is open to others (mode 0644)")),
            ("s3cret\n", 0o620, Err("is open to others (mode 0620)")),
            ("\n", 0o600, Err("is empty")),
        ] {
            std::fs::write(&file, text).expect("ours");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("ours");
            let read = read_secret(&Secret::File(file.clone())).await.map_err(|error| error.to_string());
            match expected {
                Ok(expected) => assert_eq!(read.as_deref(), Ok(expected), "{mode:o}"),
                Err(expected) => {
                    let fault = read.expect_err("it is not to be used");
                    assert!(fault.contains(expected) && !fault.contains("s3cret"), "{fault}");
                }
            }
        }
    }
}
